// Package ship sends the records of the audit log to other places while they are written:
// to a file, to syslog, to a webhook, to S3. Each stream has a position, the number of the
// next record: the audit files are its outbox, so nothing is lost while a place cannot be
// reached. The position is saved after a delivery; after a crash in between, records
// arrive twice, with the same eventID, where the place has no means to prevent that.
package ship

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
)

// Source is the audit log.
type Source interface {
	// Since calls each with the records from a number on.
	Since(ctx context.Context, seq uint64, each func(audit.Found) error) (next uint64, err error)
	// Wait returns when there is a record from a number on, or ctx ends.
	Wait(ctx context.Context, seq uint64) error
}

// sink delivers records to one place. A sink is used by one goroutine.
type sink interface {
	// send delivers records, in order. On error none, some or all may have arrived.
	send(ctx context.Context, batch []audit.Found) error
	close() error
}

// Options of Streams.
type Options struct {
	Targets []string // URLs, as Parse accepts
	Source  Source
	Dir     string // of the positions
	// Secret signs the requests of webhooks; "" for none.
	Secret string
	// Server names this log in keys of deliveries, such as the fingerprint of its public
	// key.
	Server string
	Logger *slog.Logger
	// Missed, if not nil, is told about records that were deleted before they were sent.
	Missed func(target string, first, last uint64)
}

const (
	// batchRecords and batchBytes bound what is delivered together.
	batchRecords = 500
	batchBytes   = 1 << 20
	// firstPause and longestPause bound the time between two attempts.
	firstPause, longestPause = time.Second, time.Minute
	// sendTime limits one attempt.
	sendTime = 30 * time.Second
)

// Streams run until Close.
type Streams struct {
	list   []*stream
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// stream is one place and its position.
type stream struct {
	Options
	name string // for people and metrics, without secrets
	file string
	sink sink
	next atomic.Uint64
	// pause is the least time between two deliveries.
	pause time.Duration
	err   atomic.Pointer[string]
}

// State describes a stream.
type State struct {
	Target string // without secrets
	Next   uint64 // number of the next record to send
	Error  string // of the last attempt; "" if it succeeded
}

// Start starts streams. Errors name the target that is wrong.
func Start(o Options) (*Streams, error) {
	s := &Streams{}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	for _, target := range o.Targets {
		st := &stream{Options: o}
		if err := st.open(ctx, target); err != nil {
			s.cancel()
			return nil, errors.Join(fmt.Errorf("stream of the audit log: %w", err), s.close())
		}
		s.list = append(s.list, st)
	}
	for _, st := range s.list {
		s.tasks.Go(func() { st.run(ctx) })
	}
	return s, nil
}

// States describes all streams.
func (s *Streams) States() (list []State) {
	for _, st := range s.list {
		state := State{Target: st.name, Next: st.next.Load()}
		if e := st.err.Load(); e != nil {
			state.Error = *e
		}
		list = append(list, state)
	}
	return list
}

// Close ends the streams. What they did not send, they send after the next start.
func (s *Streams) Close() error {
	s.cancel()
	s.tasks.Wait()
	return s.close()
}

func (s *Streams) close() (failed error) {
	for _, st := range s.list {
		failed = errors.Join(failed, st.sink.close())
	}
	return failed
}

// Parse checks a list of targets, separated by commas:
//
//	file:///PATH
//	syslog+udp://HOST:PORT, syslog+tcp://HOST:PORT, syslog+tls://HOST:PORT?ca=FILE
//	http://HOST/PATH, https://HOST/PATH?ca=… stays part of the URL
//	s3://BUCKET/PREFIX?region=REGION&endpoint=URL&interval=1m
func Parse(list string) (targets []string, err error) {
	for target := range strings.SplitSeq(list, ",") {
		if target = strings.TrimSpace(target); target == "" {
			continue
		}
		if _, err := parse(target); err != nil {
			return nil, err
		}
		targets = append(targets, target)
	}
	return targets, nil
}

// parse parses one target. Errors show no password.
func parse(target string) (*url.URL, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, errors.New("a target is no URL") // the error would quote it
	}
	form := func(ok bool, want string) (*url.URL, error) {
		if !ok {
			return nil, fmt.Errorf("%s: want %s", u.Redacted(), want)
		}
		return u, nil
	}
	switch u.Scheme {
	case "file":
		return form(u.Host == "" && filepath.IsAbs(u.Path), "file:///PATH")
	case "syslog+udp", "syslog+tcp", "syslog+tls":
		return form(u.Hostname() != "" && u.Port() != "" && strings.Trim(u.Path, "/") == "", u.Scheme+"://HOST:PORT")
	case "http", "https":
		return form(u.Host != "" && u.User == nil, u.Scheme+"://HOST/PATH without a user")
	case "s3":
		return form(u.Host != "" && u.User == nil, "s3://BUCKET/PREFIX")
	}
	return nil, fmt.Errorf("%s: want a URL with file, syslog+udp, syslog+tcp, syslog+tls, http, https or s3", u.Redacted())
}

// open opens a target.
func (st *stream) open(ctx context.Context, target string) error {
	u, err := parse(target)
	if err != nil {
		return err
	}
	shown := *u
	shown.RawQuery, shown.Fragment = "", "" // queries of webhooks often hold tokens
	st.name = shown.Redacted()
	sum := sha256.Sum256([]byte(target))
	st.file = filepath.Join(st.Dir, u.Scheme+"-"+hex.EncodeToString(sum[:8])+".position")
	if err := st.load(); err != nil {
		return err
	}
	switch u.Scheme {
	case "file":
		st.sink, err = openFile(u.Path)
	case "http", "https":
		st.sink = &webhook{url: target, secret: []byte(st.Secret), server: st.Server, client: &http.Client{
			Timeout:       sendTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
	case "s3":
		st.sink, st.pause, err = openS3(ctx, u, st.Server)
	default:
		st.sink, err = openSyslog(u)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", st.name, err)
	}
	return nil
}

// position is the file of a position.
type position struct {
	Target string `json:"target"`
	Next   uint64 `json:"next"`
}

// load reads the position. A new stream begins with the first record.
func (st *stream) load() error {
	st.next.Store(1)
	b, err := os.ReadFile(st.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var p position
	if err := json.Unmarshal(b, &p); err != nil || p.Next == 0 {
		return fmt.Errorf("%s: %s holds no position; remove it to send all records again", st.name, st.file)
	}
	st.next.Store(p.Next)
	return nil
}

func (st *stream) save() error {
	b, err := json.Marshal(position{st.name, st.next.Load()})
	if err != nil {
		return err
	}
	temp := st.file + ".tmp"
	if err := os.WriteFile(temp, b, 0o640); err != nil {
		return err
	}
	return os.Rename(temp, st.file)
}

// run sends until ctx ends.
func (st *stream) run(ctx context.Context) {
	for ctx.Err() == nil {
		batch, next, err := st.read(ctx)
		if err != nil {
			st.failed(ctx, "the audit log cannot be read for a stream", err)
			sleep(ctx, firstPause)
			continue
		}
		if len(batch) == 0 {
			if st.Source.Wait(ctx, st.next.Load()) != nil {
				return
			}
			sleep(ctx, st.pause) // more may come for the same delivery
			continue
		}
		if !st.deliver(ctx, batch) {
			return
		}
		st.next.Store(next)
		st.err.Store(nil)
		if err := st.save(); err != nil {
			st.failed(ctx, "the position of a stream cannot be saved: records may be sent again after a restart", err)
		}
		if len(batch) < batchRecords {
			sleep(ctx, st.pause)
		}
	}
}

// read returns the next records.
func (st *stream) read(ctx context.Context) (batch []audit.Found, next uint64, err error) {
	bytes, from := 0, st.next.Load()
	next, err = st.Source.Since(ctx, from, func(f audit.Found) error {
		if len(batch) == batchRecords || bytes > batchBytes {
			return io.EOF
		}
		batch, bytes = append(batch, f), bytes+len(f.Event)
		return nil
	})
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if len(batch) > 0 {
		next = batch[len(batch)-1].Seq + 1
		if first := batch[0].Seq; first > from && from > 1 {
			st.Logger.Error("records of the audit log were deleted before they were sent", "stream", st.name, "first", from, "last", first-1)
			if st.Missed != nil {
				st.Missed(st.name, from, first-1)
			}
		}
	}
	return batch, next, err
}

// deliver sends a batch until it succeeds; false if ctx ended.
func (st *stream) deliver(ctx context.Context, batch []audit.Found) bool {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		attempt, cancel := context.WithTimeout(ctx, sendTime)
		err := st.sink.send(attempt, batch)
		cancel()
		if err == nil {
			return true
		}
		st.failed(ctx, "records of the audit log cannot be sent; they are sent again later", err)
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// failed notes the error of an attempt.
func (st *stream) failed(ctx context.Context, message string, err error) {
	if ctx.Err() != nil {
		return
	}
	text := err.Error()
	if st.err.Swap(&text) == nil {
		st.Logger.Warn(message, "stream", st.name, "error", err)
	}
}

// sleep waits; false if ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
