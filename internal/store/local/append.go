package local

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A batch in the log is what block.Encoder writes: account (uvarint length and
// bytes), uvarint number of records, and for each the trace id and the record.

func encodeBatch(e *block.Encoder, account trace.Account, batch []*trace.Segment) []byte {
	size := 64
	for _, s := range batch {
		size += len(s.Raw) + 32
	}
	e.Reset(size)
	e.Text(string(account))
	e.Uvarint(uint64(len(batch)))
	for _, s := range batch {
		r := trace.RecordOf(s)
		e.Bytes(r.TraceID[:])
		e.Record(&r)
	}
	return e.Finish()
}

// encoders are used again: a batch is encoded for as long as it takes to be
// written, and is as large as its request.
var encoders = sync.Pool{New: func() any { return new(block.Encoder) }}

func decodeBatch(b []byte) (trace.Account, []block.Record, error) {
	d, err := block.NewDecoder(b)
	if err != nil {
		return "", nil, err
	}
	account := trace.Account(d.Blob())
	n := d.Uvarint()
	var records []block.Record
	for range n {
		id := d.ID()
		r := d.Record(id)
		if d.Err() != nil {
			return "", nil, d.Err()
		}
		records = append(records, r)
	}
	if !d.Done() {
		return "", nil, errors.New("more than the announced records")
	}
	return account, records, d.Err()
}

// commit is one batch on its way.
type commit struct {
	account trace.Account
	payload []byte
	bytes   int64  // of memory in the head
	lsn     uint64 // once it is in the log
	parts   []tracePart
	done    chan error // nil if nobody waits
	probe   bool
	// rotate asks for a new log file; it is a probe, too.
	rotate bool
	// repeated are the traces that had a segment of the same id before: another
	// observation, the same one sent again, or one that contradicts it.
	repeated []repeatedTrace
	// deletion is set when the commit deletes traces instead of adding some.
	deletion *deletion
}

// tracePart is what a batch brings for one trace.
type tracePart struct {
	id trace.ID
	part
}

// repeatedTrace is all that is open of a trace after a batch.
type repeatedTrace struct {
	id    trace.ID
	parts []part
}

// newCommit sorts a batch by trace, keeping the order within each.
func newCommit(account trace.Account, batch []*trace.Segment) *commit {
	c := &commit{account: account}
	var places map[trace.ID]int
	if len(batch) > 8 {
		places = make(map[trace.ID]int, len(batch))
	}
	var scope *trace.OTLPScope
	for _, s := range batch {
		at := -1
		if places != nil {
			if n, ok := places[s.TraceID]; ok {
				at = n
			}
		} else {
			for i := range c.parts {
				if c.parts[i].id == s.TraceID {
					at = i
				}
			}
		}
		if at < 0 {
			at = len(c.parts)
			c.parts = append(c.parts, tracePart{s.TraceID, part{reach: noReach()}})
			if places != nil {
				places[s.TraceID] = at
			}
		}
		p := &c.parts[at]
		bytes, r := measure(s)
		if s.Scope != nil && s.Scope != scope {
			// Spans of one sender follow each other, and share this.
			bytes += scopeBytes + 2*int64(len(s.Scope.Resource)+len(s.Scope.Scope))
			scope = s.Scope
		}
		p.segments = append(p.segments, s)
		p.bytes += bytes
		p.reach.join(r)
		c.bytes += bytes
	}
	return c
}

// Append keeps a batch.
func (s *Shelf) Append(ctx context.Context, account trace.Account, b store.Batch) (done store.Appended, err error) {
	batch := b.Segments
	if err := errors.Join(ctx.Err(), s.usable()); err != nil || len(batch) == 0 {
		return done, err
	}
	if reason := s.unwritable(); reason != "" {
		return done, unavailable(reason)
	}
	c := newCommit(account, batch)
	if err := s.reserve(ctx, c.bytes); err != nil {
		return done, err
	}
	encoder := encoders.Get().(*block.Encoder)
	c.payload = encodeBatch(encoder, account, batch)
	c.done = make(chan error, 1)
	if !s.queue.push(c) {
		s.room.give(c.bytes)
		return done, errClosed()
	}
	select {
	case err := <-c.done:
		encoders.Put(encoder)
		if err != nil {
			return done, err
		}
		return store.Appended{Seq: store.Seq(c.lsn), Repeated: s.repeatedOf(c)}, nil
	case <-ctx.Done():
		return done, ctx.Err() // the batch may be kept: it was not acknowledged
	}
}

func (s *Shelf) unwritable() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.readOnly
}

func unavailable(reason string) error {
	return trace.Errorf(trace.KindUnavailable, "segments cannot be stored now: %s", reason)
}

// reserve waits until the head has room, which it makes by settling early.
func (s *Shelf) reserve(ctx context.Context, bytes int64) error {
	var timer *time.Timer
	for {
		freed, ok := s.room.tryTake(bytes)
		if s.room.pressure() {
			s.wake()
		}
		if ok {
			return nil
		}
		if timer == nil {
			timer = time.NewTimer(s.o.Patience)
			defer timer.Stop()
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return errClosed()
		case <-timer.C:
			s.mu.RLock()
			reason := s.flushError
			s.mu.RUnlock()
			if reason != "" {
				return unavailable("no memory is left and blocks cannot be written: " + reason)
			}
			return trace.Errorf(trace.KindThrottled, "too many segments at once: %d MB of open traces are waiting to be written", s.room.limit>>20)
		}
	}
}

// room is the memory of the head: of open traces and of batches on their way.
type room struct {
	limit int64
	mu    sync.Mutex
	used  int64
	freed chan struct{} // closed when something is given back; nil if nobody waits
}

// tryTake takes memory if there is room, or is a channel that is closed when
// asking again makes sense. A batch larger than the limit is taken alone.
func (r *room) tryTake(n int64) (freed <-chan struct{}, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used == 0 || r.used+n <= r.limit {
		r.used += n
		return nil, true
	}
	if r.freed == nil {
		r.freed = make(chan struct{})
	}
	return r.freed, false
}

func (r *room) take(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used += n
}

func (r *room) give(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	if r.freed != nil && n > 0 {
		close(r.freed)
		r.freed = nil
	}
}

// ample says that half of the memory is free.
func (r *room) ample() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used < r.limit/2
}

// pressure says that traces should settle early; excess is by how much memory.
func (r *room) pressure() bool { return r.excess() > 0 }

// excess is how much memory should be given back: down to a half and at least
// an eighth of the limit, once three quarters are used or somebody waits.
func (r *room) excess() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used > r.limit*3/4 || r.freed != nil {
		return max(r.limit/8, r.used-r.limit/2)
	}
	return 0
}

// queue holds the batches that wait for the committer.
type queue struct {
	mu      sync.Mutex
	filled  *sync.Cond
	waiting []*commit
	closed  bool
}

func (q *queue) init() { q.filled = sync.NewCond(&q.mu) }

func (q *queue) push(c *commit) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.waiting = append(q.waiting, c)
	q.filled.Signal()
	return true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Signal()
}

// groupBytes bounds what commits together, so that one sync never waits for
// a very long write.
const groupBytes = 8 << 20

// take waits for batches and takes those that fit one group; nil at the end.
func (q *queue) take() []*commit {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 {
		if q.closed {
			return nil
		}
		q.filled.Wait()
	}
	// On a busy machine others are about to push: they go first, so that one sync
	// is for all of them, and nobody waits for several.
	q.mu.Unlock()
	runtime.Gosched()
	q.mu.Lock()
	n, bytes := 0, 0
	for n < len(q.waiting) && (n == 0 || bytes < groupBytes) {
		bytes += len(q.waiting[n].payload)
		n++
	}
	group := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return group
}

// commitLoop is the only writer of the log. Batches are applied in the order in
// which the log has them, so that a restart gives the same order.
func (s *Shelf) commitLoop() {
	for group := s.queue.take(); group != nil; group = s.queue.take() {
		if s.unwritable() != "" {
			probed := slices.ContainsFunc(group, func(c *commit) bool { return c.probe })
			if !probed || !s.repair() {
				s.refuse(group)
				continue
			}
		}
		if err := s.write(group); err != nil {
			s.setReadOnly(err)
			s.refuse(group)
			continue
		}
		if slices.ContainsFunc(group, func(c *commit) bool { return c.rotate }) {
			err := s.rotate()
			for _, c := range group {
				if c.rotate && c.done != nil {
					c.done <- err
				}
			}
		}
	}
}

// repair begins a new log file; a file that failed is never trusted again.
func (s *Shelf) repair() bool {
	if err := s.log.Rotate(); err != nil {
		s.setReadOnly(err)
		return false
	}
	s.mu.Lock()
	s.readOnly = ""
	s.mu.Unlock()
	s.o.Logger.Info("segments can be stored again")
	return true
}

func (s *Shelf) setReadOnly(err error) {
	s.mu.Lock()
	was := s.readOnly
	s.readOnly = err.Error()
	s.mu.Unlock()
	if was == "" {
		s.o.Logger.Error("segments cannot be stored; reads go on", "error", err)
	}
}

func (s *Shelf) refuse(group []*commit) {
	reason := s.unwritable()
	for _, c := range group {
		s.room.give(c.bytes)
		if c.done != nil {
			c.done <- unavailable(reason)
		}
	}
}

// write makes a group durable, shows it to readers, then acknowledges it.
func (s *Shelf) write(group []*commit) error {
	var payloads [][]byte
	for _, c := range group {
		if !c.probe {
			payloads = append(payloads, c.payload)
		}
	}
	if len(payloads) == 0 {
		return nil
	}
	lsn, file, err := s.log.Append(payloads)
	if err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	s.mu.Lock()
	for _, c := range group {
		if !c.probe {
			if c.deletion != nil {
				s.applyDeletion(c.account, c.deletion, lsn, file)
			} else {
				s.apply(c, lsn, file)
			}
			c.lsn = lsn
			lsn++
		}
	}
	s.mu.Unlock()
	for _, c := range group {
		if !c.probe {
			c.done <- nil
		}
	}
	return nil
}

// apply adds a batch to the head. The mutex is held, or nobody else knows the store.
func (s *Shelf) apply(c *commit, lsn, file uint64) {
	now := s.o.Now()
	for i := range c.parts {
		p := c.parts[i].part
		p.lsn, p.file = lsn, file
		if o, repeated := s.head.add(key{c.account, c.parts[i].id}, p, now, s.isSettled); repeated && c.done != nil {
			c.repeated = append(c.repeated, repeatedTrace{o.id, o.parts[:len(o.parts):len(o.parts)]})
		}
	}
	s.appliedFile = max(s.appliedFile, file)
}

func (s *Shelf) isSettled(k key) bool {
	_, ok := s.table.get(k)
	return ok
}
