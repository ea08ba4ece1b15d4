package audit

import (
	"context"
	"crypto/sha256"
	"fmt"
	hashes "hash"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Options of a Log. Zero values stand for the defaults named here.
type Options struct {
	Dir    string
	FS     vfs.FS    // the operating system's
	Keys   seal.Keys // records are sealed under the newest key of seal.System (Off)
	Signer *Signer   // required
	// Owner is the account and region of the server itself: of digests, and of records
	// about the log.
	Owner trace.Owner
	// Durable makes Write wait until a record survives a power failure. Otherwise it
	// survives the end of the process at once, and a power failure after flushEvery.
	Durable   bool
	FileBytes int64         // size after which a new file begins (64 MB)
	Every     time.Duration // time after which a new file and a digest begin (1 hour)
	Keep      time.Duration // age after which files are deleted (400 days)
	Now       func() time.Time
	Logger    *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.Keys == nil {
		o.Keys = seal.Off{}
	}
	if o.FileBytes <= 0 {
		o.FileBytes = 64 << 20
	}
	if o.Every <= 0 {
		o.Every = time.Hour
	}
	if o.Keep <= 0 {
		o.Keep = 400 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

const (
	// queued is how many records may wait for the committer. Who writes more waits.
	queued = 256
	// groupBytes bounds what is written together.
	groupBytes = 1 << 20
	// flushEvery is how often the file is synced and the head is signed.
	flushEvery = 250 * time.Millisecond
	// retryAfter is the time between two attempts to write after a failure.
	retryAfter = time.Second
)

// Log is an open audit directory. All methods may be called by many goroutines at once.
type Log struct {
	o     Options
	queue chan *pending
	stop  chan struct{}
	ended chan struct{}
	once  sync.Once

	written, lost atomic.Int64

	mu     sync.Mutex
	failed error         // why nothing can be written; nil while it can
	grown  chan struct{} // closed and replaced when records were written
	now    place         // of the newest record
	since  time.Time     // of the failure

	work       sync.Mutex // held while records are written; guards all below
	finished   bool       // Close has written the last digest
	file       vfs.File
	sealer     *sealer
	sum        hashes.Hash // of the file
	current    finished    // the file as it will be when it is finished
	dirty      bool
	head       headState
	digests    *storedDigest // newest
	digested   time.Time     // end of the newest digest
	undigested []finished
	reported   int64 // of lost
}

// pending is a record on its way to the file.
type pending struct {
	event []byte
	time  string
	done  chan error
}

// Open opens an audit directory, or makes one. It checks the end of the chain: what it
// finds wrong becomes part of the chain, so that it is never hidden.
func Open(ctx context.Context, o Options) (*Log, error) {
	l := &Log{o: o.withDefaults(), queue: make(chan *pending, queued), stop: make(chan struct{}), ended: make(chan struct{}), grown: make(chan struct{})}
	for _, dir := range []string{"", digestDir, streamDir} {
		if err := l.o.FS.MkdirAll(filepath.Join(l.o.Dir, dir)); err != nil {
			return nil, fmt.Errorf("open the audit log: %w", err)
		}
	}
	found, err := l.find()
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	if found.head == nil && found.at.file == 0 {
		// Files without a head are suspicious, so the head comes first.
		if err := l.saveHead(); err != nil {
			return nil, fmt.Errorf("open the audit log: %w", err)
		}
	}
	if err := l.begin(ctx, found); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	for _, text := range found.lost {
		l.o.Logger.Error("the audit log was changed or damaged", "damage", text)
	}
	if len(l.undigested) > 0 {
		if err := l.digest(); err != nil {
			return nil, fmt.Errorf("open the audit log: %w", err)
		}
	}
	if err := l.saveHead(); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	go l.run()
	return l, nil
}

// Ready returns nil while records can be written, else a KindUnavailable error. Once in
// retryAfter it lets a caller through, who finds out.
func (l *Log) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil || l.o.Now().Sub(l.since) >= retryAfter {
		return nil
	}
	return unavailable(l.failed)
}

func unavailable(err error) error {
	return &trace.KindError{Kind: trace.KindUnavailable, Message: "the audit log cannot be written: " + err.Error(), Err: err}
}

// Stats tells how many records were written and lost since the start, and why none can be
// written now; nil if they can.
func (l *Log) Stats() (written, lost int64, failed error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written.Load(), l.lost.Load(), l.failed
}

// Write appends a record. When it returns nil, the record survives the end of the
// process, and with Options.Durable a power failure. It waits while too many others wait.
// Errors: KindUnavailable, then the record is lost; the log counts it.
func (l *Log) Write(e *Event) error {
	b, err := e.encode(l.o.Now())
	if err != nil {
		return trace.Errorf(trace.KindInternal, "a record cannot be written as JSON: %v", err)
	}
	p := &pending{event: b, time: e.Time, done: make(chan error, 1)}
	if l.o.Durable {
		return l.queued(p)
	}
	// Writing takes less time than waking another goroutine.
	l.work.Lock()
	defer l.work.Unlock()
	if l.finished {
		return errShut()
	}
	l.commit([]*pending{p})
	return <-p.done
}

func errShut() error { return trace.Errorf(trace.KindUnavailable, "the audit log is shut down") }

// queued gives a record to the committer: one sync is for all that wait.
func (l *Log) queued(p *pending) error {
	select {
	case <-l.stop:
		return errShut()
	default:
	}
	select {
	case l.queue <- p:
	case <-l.ended:
		return errShut()
	}
	select {
	case err := <-p.done:
		return err
	case <-l.ended:
		select {
		case err := <-p.done: // it was written last
			return err
		default:
			return errShut()
		}
	}
}

// Close writes what waits, a last digest and the head. Closing twice does nothing.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.stop) })
	<-l.ended
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// run is the committer, and does what is due from time to time.
func (l *Log) run() {
	defer close(l.ended)
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	for {
		select {
		case p := <-l.queue:
			l.work.Lock()
			l.commit(l.gather(p))
			l.work.Unlock()
		case <-flush.C:
			l.tick()
		case <-l.stop:
			l.last()
			return
		}
	}
}

// last writes the records that wait, and finishes the log.
func (l *Log) last() {
	l.work.Lock()
	defer l.work.Unlock()
	for {
		select {
		case p := <-l.queue:
			l.commit(l.gather(p))
			continue
		default:
		}
		break
	}
	l.finish()
	l.finished = true
}

// gather takes the records that wait, up to groupBytes.
func (l *Log) gather(first *pending) []*pending {
	group, bytes := []*pending{first}, len(first.event)
	for bytes < groupBytes {
		select {
		case p := <-l.queue:
			group, bytes = append(group, p), bytes+len(p.event)
		default:
			return group
		}
	}
	return group
}

// commit writes a group of records and acknowledges them.
func (l *Log) commit(group []*pending) {
	err := l.usable()
	if err == nil {
		if err = l.append(group); err != nil {
			l.fail(err)
		}
	}
	if err != nil {
		l.lost.Add(int64(len(group)))
		err = unavailable(err)
	} else {
		l.written.Add(int64(len(group)))
	}
	for _, p := range group {
		p.done <- err
	}
	if err == nil && l.current.bytes >= l.o.FileBytes {
		if err := l.rotate(); err != nil {
			l.fail(err)
		}
	}
}

// append writes records to the file.
func (l *Log) append(group []*pending) error {
	at := l.now
	var text []byte
	for _, p := range group {
		b := l.sealer.encodeLine(at.seq+1, at.hash, p.event)
		at.seq, at.hash = at.seq+1, sha256.Sum256(b)
		text = append(append(text, b...), '\n')
	}
	if _, err := l.file.Write(text); err != nil {
		return err
	}
	if l.o.Durable {
		if err := l.file.Sync(); err != nil {
			return err
		}
	}
	_, _ = l.sum.Write(text) // a hash never fails
	at.size += int64(len(text))
	l.advance(at)
	for _, p := range group {
		l.current.cover(p.time)
	}
	l.current.bytes = at.size
	l.dirty = true
	return nil
}

// advance makes a place the newest one and wakes those who wait for it.
func (l *Log) advance(at place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = at
	close(l.grown)
	l.grown = make(chan struct{})
}

// newest returns the newest place, and a channel that is closed when there is a newer one.
func (l *Log) newest() (place, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.grown
}

// usable returns nil if the file can be written. After a failure it begins a new file,
// once in retryAfter: a file that failed is never trusted again.
func (l *Log) usable() error {
	l.mu.Lock()
	failed, since := l.failed, l.since
	l.mu.Unlock()
	if failed == nil {
		return nil
	}
	if l.o.Now().Sub(since) < retryAfter {
		return failed
	}
	if err := l.reopen(); err != nil {
		l.fail(err)
		return err
	}
	l.mu.Lock()
	l.failed = nil
	l.mu.Unlock()
	l.o.Logger.Info("the audit log can be written again")
	return nil
}

// fail stops writing until the next attempt succeeds.
func (l *Log) fail(err error) {
	l.mu.Lock()
	first := l.failed == nil
	l.failed, l.since = err, l.o.Now()
	l.mu.Unlock()
	if first {
		l.o.Logger.Error("the audit log cannot be written", "error", err)
	}
}

// tick does what is due: it syncs, signs the head, begins a new file, deletes old ones,
// and reports lost records.
func (l *Log) tick() {
	if l.Ready() != nil {
		return // it failed, and the next attempt is not due
	}
	l.work.Lock()
	err := l.report()
	l.work.Unlock()
	if err == nil {
		err = l.flush()
	}
	if err == nil {
		l.work.Lock()
		err = l.due()
		l.work.Unlock()
	}
	if err != nil {
		l.fail(err)
	}
}

// report tries to write again after a failure, and records how many records were lost.
// The work mutex is held.
func (l *Log) report() error {
	if err := l.usable(); err != nil {
		return err
	}
	lost := l.lost.Load()
	if lost == l.reported {
		return nil
	}
	e := NewEvent(l.o.Owner, "LoseAuditRecords", map[string]any{"records": lost - l.reported, "reason": "the audit log could not be written"})
	b, err := e.encode(l.o.Now())
	if err == nil {
		err = l.append([]*pending{{event: b, time: e.Time}})
	}
	if err == nil {
		l.reported = lost
	}
	return err
}

// due begins a new file and a digest once in Options.Every. The work mutex is held.
func (l *Log) due() error {
	now := l.o.Now()
	if now.Sub(l.digested) < l.o.Every {
		return nil
	}
	err := l.rotate()
	if err == nil {
		err = l.digest()
	}
	if err == nil {
		err = l.retain(now)
	}
	return err
}

// flush makes the records durable and signs the head. Others may write meanwhile.
func (l *Log) flush() error {
	l.work.Lock()
	file, dirty, head := l.file, l.dirty, l.head
	at, _ := l.newest()
	l.dirty = false
	l.work.Unlock()
	if !dirty || file == nil {
		return nil
	}
	err := file.Sync()
	if err == nil {
		return l.writeHead(head, at)
	}
	l.work.Lock()
	defer l.work.Unlock()
	l.dirty = true
	if l.file != file {
		return nil // it was finished meanwhile, and synced before
	}
	return err
}

// saveHead signs and writes the present head.
func (l *Log) saveHead() error {
	at, _ := l.newest()
	return l.writeHead(l.head, at)
}

// writeHead signs and writes a head that ends at a place.
func (l *Log) writeHead(head headState, at place) error {
	head.Version, head.Time = formatVersion, l.o.Now().UTC().Format(time.RFC3339Nano)
	head.File, head.Seq, head.Hash = at.file, at.seq, at.hash.String()
	b, err := head.encode(l.o.Signer)
	if err != nil {
		return err
	}
	return replace(l.o.FS, filepath.Join(l.o.Dir, HeadName), b)
}
