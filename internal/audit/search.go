package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Query selects records. Zero members select everything.
type Query struct {
	Account    trace.Account // recipientAccountId; "" for all accounts
	Start, End time.Time     // of the request: from Start until before End
	Principal  string        // a part of the ARN, name, id or credential of the principal
	Action     string        // event name, or SERVICE:NAME as in policies; * at its end matches any rest
	TraceID    string        // a trace id that the record lists
	Error      string        // an error code; * for any
	Limit      int           // of records in a page (50)
	Before     uint64        // records with lower numbers; 0 for the newest
}

// Page is a page of records, the newest first.
type Page struct {
	Records []Found
	// Next is the Query.Before of the next page; 0 if there is none. A page may hold fewer
	// records than the limit, even none, and have a next one: a page reads a limited
	// part of the log.
	Next uint64
	// Damaged names files that could not be read to their end.
	Damaged []string
}

// Found is a record and its number.
type Found struct {
	Seq   uint64          `json:"seq"`
	Event json.RawMessage `json:"event"`
}

const (
	// MaxPage is the maximum number of records in a page.
	MaxPage = 1000
	// pageBytes bounds the records of a page, pageRead what is read for one.
	pageBytes = 1 << 20
	pageRead  = 128 << 20
)

// Search returns the records that a query selects.
func (l *Log) Search(ctx context.Context, q *Query) (*Page, error) {
	at, _ := l.newest()
	return (&reader{fs: l.o.FS, dir: l.o.Dir, o: &l.o, end: &at}).search(ctx, q)
}

// Search returns records of a directory that no server uses.
func Search(ctx context.Context, o Options, q *Query) (*Page, error) {
	o = o.withDefaults()
	return (&reader{fs: o.FS, dir: o.Dir, o: &o}).search(ctx, q)
}

// reader reads the records of a directory.
type reader struct {
	fs  vfs.FS
	dir string
	o   *Options
	end *place // nothing after it is read; nil: the ends of the files
}

func (r *reader) search(ctx context.Context, q *Query) (*Page, error) {
	if q.Limit <= 0 {
		q.Limit = 50
	}
	if q.Limit > MaxPage {
		return nil, trace.Errorf(trace.KindInvalid, "limit: at most %d records fit a page", MaxPage)
	}
	numbers, err := listLogs(r.fs, r.dir)
	if err != nil {
		return nil, err
	}
	m := newMatcher(q)
	page := &Page{Records: []Found{}}
	read, size := int64(0), 0
	var after *header // of the next newer file
	for i := len(numbers) - 1; i >= 0; i-- {
		h, err := headerOf(r.fs, r.dir, numbers[i])
		if err != nil {
			page.Damaged = append(page.Damaged, logName(numbers[i]))
			continue
		}
		if after != nil && !q.Start.IsZero() && opened(after).Before(q.Start) {
			break // its records are older than the file after it
		}
		if read >= pageRead && after != nil {
			page.Next = after.First // continue with this file
			return page, nil
		}
		after = h
		if q.Before > 0 && h.First >= q.Before || !q.End.IsZero() && opened(h).After(q.End) {
			continue
		}
		found, bytes, err := r.file(ctx, numbers[i], h, m)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			page.Damaged = append(page.Damaged, fmt.Sprintf("%s: %v", logName(numbers[i]), err))
		}
		read += bytes
		slices.Reverse(found)
		for _, f := range found {
			if len(page.Records) == q.Limit || size+len(f.Event) > pageBytes && len(page.Records) > 0 {
				page.Next = page.Records[len(page.Records)-1].Seq
				return page, nil
			}
			page.Records, size = append(page.Records, f), size+len(f.Event)
		}
	}
	return page, nil
}

// opened returns when a file was begun.
func opened(h *header) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, h.Opened)
	return t.Truncate(time.Second) // as the times of records
}

// file returns the records of a file that match, the last q.Limit+1 of them.
func (r *reader) file(ctx context.Context, number uint64, h *header, m *matcher) (found []Found, size int64, err error) {
	s, err := sealerOf(ctx, r.o.Keys, h)
	if err != nil {
		return nil, 0, err
	}
	f, size, err := open(r.fs, filepath.Join(r.dir, logName(number)))
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	if r.end != nil && r.end.file == number {
		size = min(size, r.end.size)
	}
	held := 0
	_, err = readLines(f, 0, size, func(e *entry) error {
		if e.line == 1 {
			return nil
		}
		if e.line%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if s == nil && !m.may(e.text) {
			return nil
		}
		l, _, err := parseLine(e.text)
		if err != nil {
			return err
		}
		if m.Before > 0 && l.Seq >= m.Before {
			return nil
		}
		event, err := s.open(&l)
		if err != nil {
			return fmt.Errorf("record %d: %w", l.Seq, err)
		}
		if !m.match(event) {
			return nil
		}
		found, held = append(found, Found{l.Seq, bytes.Clone(event)}), held+len(event)
		// The newest ones are wanted: older ones go.
		for len(found) > m.Limit+1 || held > 2*pageBytes && len(found) > 1 {
			held -= len(found[0].Event)
			found[0] = Found{}
			found = found[1:]
		}
		return nil
	})
	return found, size, err
}

// matcher decides whether a record is selected.
type matcher struct {
	*Query
	parts           [][]byte // texts that a matching line in the clear contains
	service, action string
	prefix          bool
	start, end      string
}

func newMatcher(q *Query) *matcher {
	m := &matcher{Query: q, action: q.Action}
	if service, name, ok := strings.Cut(q.Action, ":"); ok {
		m.service, m.action = service, name
	}
	if rest, ok := strings.CutSuffix(m.action, "*"); ok {
		m.action, m.prefix = rest, true
	}
	for _, text := range []string{string(q.Account), q.TraceID, m.action} {
		if text != "" {
			m.parts = append(m.parts, quoted(text))
		}
	}
	if !q.Start.IsZero() {
		m.start = q.Start.UTC().Format(time.RFC3339)
	}
	if !q.End.IsZero() {
		m.end = q.End.UTC().Format(time.RFC3339Nano)
	}
	return m
}

// quoted returns a text as records have it, without quotes.
func quoted(text string) []byte {
	b, _ := json.Marshal(text) // texts always have JSON
	b = ascii(b)
	return b[1 : len(b)-1]
}

// may reports whether a line may hold a matching record. It saves decoding.
func (m *matcher) may(line []byte) bool {
	for _, p := range m.parts {
		if !bytes.Contains(line, p) {
			return false
		}
	}
	return true
}

// match reports whether a record is selected.
func (m *matcher) match(event []byte) bool {
	var e struct {
		Time       string       `json:"eventTime"`
		Source     string       `json:"eventSource"`
		Name       string       `json:"eventName"`
		Identity   UserIdentity `json:"userIdentity"`
		ErrorCode  string       `json:"errorCode"`
		Recipient  string       `json:"recipientAccountId"`
		Additional struct {
			IDs []string `json:"traceIds"`
		} `json:"additionalEventData"`
		Parameters struct {
			IDs any `json:"traceIds"` // those that were asked for, found or not
			ID  any `json:"id"`
		} `json:"requestParameters"`
	}
	if json.Unmarshal(event, &e) != nil {
		return false
	}
	service, _, _ := strings.Cut(e.Source, ".")
	u := &e.Identity
	switch {
	case m.Account != "" && e.Recipient != string(m.Account),
		m.start != "" && e.Time < m.start,
		m.end != "" && e.Time >= m.end,
		m.service != "" && service != m.service,
		m.Action != "" && e.Name != m.action && !(m.prefix && strings.HasPrefix(e.Name, m.action)),
		m.Error != "" && m.Error != e.ErrorCode && !(m.Error == "*" && e.ErrorCode != ""),
		m.TraceID != "" && !slices.Contains(e.Additional.IDs, m.TraceID) && e.Parameters.ID != m.TraceID && !lists(e.Parameters.IDs, m.TraceID):
		return false
	}
	if m.Principal == "" {
		return true
	}
	for _, text := range []string{u.ARN, u.UserName, u.PrincipalID, u.AccessKeyID, u.CredentialID, u.InvokedBy} {
		if strings.Contains(text, m.Principal) {
			return true
		}
	}
	return false
}

// lists reports whether a JSON value is a list with a text.
func lists(v any, text string) bool {
	list, _ := v.([]any)
	return slices.Contains(list, any(text))
}

// Since calls each with the records from a number on, in order, and returns the number of
// the next one. It ends at the newest record, or when each returns an error, which it
// returns.
func (l *Log) Since(ctx context.Context, seq uint64, each func(Found) error) (next uint64, err error) {
	at, _ := l.newest()
	return (&reader{fs: l.o.FS, dir: l.o.Dir, o: &l.o, end: &at}).since(ctx, seq, each)
}

// Since is Log.Since for a directory that no server uses.
func Since(ctx context.Context, o Options, seq uint64, each func(Found) error) (next uint64, err error) {
	o = o.withDefaults()
	return (&reader{fs: o.FS, dir: o.Dir, o: &o}).since(ctx, seq, each)
}

func (r *reader) since(ctx context.Context, seq uint64, each func(Found) error) (uint64, error) {
	numbers, err := listLogs(r.fs, r.dir)
	if err != nil {
		return seq, err
	}
	from := 0
	for i, n := range numbers {
		if h, err := headerOf(r.fs, r.dir, n); err == nil && h.First <= seq {
			from = i
		}
	}
	for _, n := range numbers[min(from, len(numbers)):] {
		if err := r.readFrom(ctx, n, &seq, each); err != nil {
			return seq, err
		}
	}
	return seq, nil
}

// readFrom calls each with the records of a file from seq on, and raises seq.
func (r *reader) readFrom(ctx context.Context, number uint64, seq *uint64, each func(Found) error) error {
	h, err := headerOf(r.fs, r.dir, number)
	if err != nil {
		return err
	}
	s, err := sealerOf(ctx, r.o.Keys, h)
	if err != nil {
		return err
	}
	f, size, err := open(r.fs, filepath.Join(r.dir, logName(number)))
	if err != nil {
		return err
	}
	defer f.Close()
	if r.end != nil && r.end.file == number {
		size = min(size, r.end.size)
	}
	_, err = readLines(f, 0, size, func(e *entry) error {
		if e.line == 1 || ctx.Err() != nil {
			return ctx.Err()
		}
		l, _, err := parseLine(e.text)
		if err != nil || l.Seq < *seq {
			return err
		}
		event, err := s.open(&l)
		if err == nil {
			err = each(Found{l.Seq, bytes.Clone(event)})
		}
		if err == nil {
			*seq = l.Seq + 1
		}
		return err
	})
	return err
}

// Wait returns nil when there is a record from a number on, or ctx's error.
func (l *Log) Wait(ctx context.Context, seq uint64) error {
	for {
		at, grown := l.newest()
		if at.seq >= seq {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
