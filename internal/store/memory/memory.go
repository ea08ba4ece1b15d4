// Package memory is the simplest shelf: it holds everything in maps and loses it when
// the process ends. It shows what the contract requires of an engine; tests compare
// other engines with it.
package memory

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/facts"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Data holds the content of shelves and outlives them.
type Data struct {
	mu       sync.RWMutex
	accounts map[trace.Account]map[trace.ID]*entry
	seq      store.Seq // of the newest batch
	floor    trace.Time
}

// NewData makes empty data.
func NewData() *Data {
	return &Data{accounts: map[trace.Account]map[trace.ID]*entry{}, floor: trace.MinTime}
}

// entry is one trace. It is replaced, never changed.
type entry struct {
	id       trace.ID
	segments []*trace.Segment
	seq      store.Seq
	bytes    int64
	facts    func() *facts.Set // computed when first needed
}

// with returns the entry with the segments of one more batch.
func (e *entry) with(id trace.ID, seq store.Seq, segments []*trace.Segment) *entry {
	more := &entry{id: id, seq: seq}
	if e != nil {
		more.segments, more.bytes = slices.Clone(e.segments), e.bytes
	}
	more.segments = append(more.segments, segments...)
	for _, s := range segments {
		more.bytes += store.Memory(s)
	}
	more.facts = sync.OnceValue(func() *facts.Set {
		t := assemble.Trace(id, more.segments)
		return facts.SetOf(t, assemble.Summary(t))
	})
	return more
}

// Shelf is an open shelf. It needs no store.Rules because it never settles.
type Shelf struct {
	data   *Data
	mu     sync.RWMutex
	closed bool
}

var _ store.Shelf = (*Shelf)(nil)

// Open opens a shelf on data.
func Open(data *Data) *Shelf { return &Shelf{data: data} }

func (s *Shelf) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return trace.Errorf(trace.KindUnavailable, "the store is shut down")
	}
	return nil
}

// Append stores a batch.
func (s *Shelf) Append(ctx context.Context, account trace.Account, batch store.Batch) (done store.Appended, err error) {
	if err := s.usable(ctx); err != nil || len(batch.Segments) == 0 {
		return done, err
	}
	var order []trace.ID
	byTrace := map[trace.ID][]*trace.Segment{}
	for _, seg := range batch.Segments {
		if byTrace[seg.TraceID] == nil {
			order = append(order, seg.TraceID)
		}
		byTrace[seg.TraceID] = append(byTrace[seg.TraceID], seg)
	}
	d := s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.accounts[account] == nil {
		d.accounts[account] = map[trace.ID]*entry{}
	}
	d.seq++
	done.Seq = d.seq
	for _, id := range order {
		e := d.accounts[account][id].with(id, d.seq, byTrace[id])
		d.accounts[account][id] = e
		if r := repeated(e, byTrace[id]); r != nil {
			done.Repeated = append(done.Repeated, *r)
		}
	}
	return done, nil
}

// repeated finds the new segments that share an id, and those they share it with; nil
// if all ids are new.
func repeated(e *entry, added []*trace.Segment) *store.Repeated {
	ids := map[trace.SegmentID]bool{}
	for _, seg := range added {
		ids[seg.ID] = true
	}
	var same []*trace.Segment
	for _, seg := range e.segments {
		if ids[seg.ID] {
			same = append(same, seg)
		}
	}
	if len(same) == len(ids) {
		return nil
	}
	return &store.Repeated{ID: e.id, Segments: same, New: func(seg *trace.Segment) bool { return slices.Contains(added, seg) }}
}

// Bury deletes traces.
func (s *Shelf) Bury(ctx context.Context, account trace.Account, stones []store.Tombstone, horizon trace.Time) (buried int, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	d := s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, stone := range stones {
		e := d.accounts[account][stone.ID]
		if e == nil || stone.UpTo > 0 && e.seq > stone.UpTo {
			continue
		}
		if e.facts().Updated >= horizon {
			buried++
		}
		d.forget(account, stone.ID)
	}
	return buried, nil
}

// Replace replaces the segments of a trace.
func (s *Shelf) Replace(ctx context.Context, account trace.Account, r store.Replacement) (bool, error) {
	if err := s.usable(ctx); err != nil || len(r.Segments) == 0 {
		return false, err
	}
	d := s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.accounts[account][r.ID]; e == nil || e.seq != r.Seq {
		return false, nil
	}
	d.seq++
	var none *entry
	d.accounts[account][r.ID] = none.with(r.ID, d.seq, r.Segments)
	return true, nil
}

// forget removes a trace. The caller holds the mutex.
func (d *Data) forget(account trace.Account, id trace.ID) {
	delete(d.accounts[account], id)
	if len(d.accounts[account]) == 0 {
		delete(d.accounts, account)
	}
}

// entries lists the present traces of an account.
func (s *Shelf) entries(account trace.Account) []*entry {
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	return slices.Collect(maps.Values(s.data.accounts[account]))
}

// content is a trace as of one moment.
type content struct{ *entry }

// Segments returns the segments.
func (c content) Segments(ctx context.Context) ([]*trace.Segment, error) {
	return slices.Clone(c.segments), ctx.Err()
}

// Assembled returns nil: the shelf caches nothing.
func (c content) Assembled() *trace.Trace { return nil }

// Keep does nothing: the shelf caches nothing.
func (c content) Keep(*trace.Trace) {}

func (e *entry) source() store.Source {
	return store.Source{ID: e.id, Seq: e.seq, Updated: e.facts().Updated, Weight: e.bytes, Content: content{e}}
}

// Find finds traces.
func (s *Shelf) Find(ctx context.Context, account trace.Account, ids []trace.ID) (found []store.Source, release func(), err error) {
	if err := s.usable(ctx); err != nil {
		return nil, nil, err
	}
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	for _, id := range ids {
		if e := s.data.accounts[account][id]; e != nil {
			found = append(found, e.source())
		}
	}
	return found, func() {}, nil
}

// Candidates sorts all traces and yields those that the scan selects.
func (s *Shelf) Candidates(ctx context.Context, account trace.Account, q *store.Scan) iter.Seq2[*store.Candidate, error] {
	return func(yield func(*store.Candidate, error) bool) {
		if err := s.usable(ctx); err != nil {
			yield(nil, err)
			return
		}
		all := s.entries(account)
		slices.SortFunc(all, func(a, b *entry) int { return b.position(q.By).Compare(a.position(q.By)) })
		for _, e := range all {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			if !e.asked(q) {
				continue
			}
			if !e.facts().Allows(&q.Bounds) {
				if q.Passed != nil {
					*q.Passed++
				}
				continue
			}
			if !yield(&store.Candidate{Source: e.source(), At: e.position(q.By)}, nil) {
				return
			}
		}
	}
}

func (e *entry) position(by store.Order) store.Position {
	if by == store.ByReceipt {
		return store.Position{Time: e.facts().Updated, ID: e.id}
	}
	return store.Position{Time: e.facts().Start, ID: e.id}
}

// asked tells whether a scan selects the trace; it ignores the bounds.
func (e *entry) asked(q *store.Scan) bool {
	f, at := e.facts(), e.position(q.By)
	return at.Time >= q.From && at.Compare(q.Before) < 0 && f.Updated >= q.Horizon &&
		(q.Touch == nil || facts.Touches(*q.Touch, f.Start, f.End, f.EndsBeforeStart))
}

// Sum passes every trace that may have received something in the window.
func (s *Shelf) Sum(ctx context.Context, account trace.Account, q *store.SumQuery, begin func() store.Sums) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	to := begin()
	all := s.entries(account)
	slices.SortFunc(all, func(a, b *entry) int { return a.id.Compare(b.id) })
	for _, e := range all {
		f := e.facts()
		if f.Updated < q.Horizon || f.Updated < q.Window.Start || f.First >= q.Window.End {
			continue
		}
		src := e.source()
		if err := to.Trace(ctx, &src, q.Window, 1); err != nil {
			return err
		}
	}
	return nil
}

// Estimate returns the weight of the largest trace.
func (s *Shelf) Estimate(ctx context.Context, account trace.Account, _ store.EstimateQuery) (e store.Estimate, err error) {
	all := s.entries(account)
	for _, one := range all {
		e.Largest = max(e.Largest, one.bytes)
	}
	e.Settling = len(all)
	return e, s.usable(ctx)
}

// Capabilities tells that the shelf has no sums.
func (s *Shelf) Capabilities() store.Capabilities {
	return store.Capabilities{Prunes: true, Drops: true}
}

// Accounts lists the accounts.
func (s *Shelf) Accounts(ctx context.Context) ([]trace.Account, error) {
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.data.accounts)), s.usable(ctx)
}

// Portions lists the traces: each can be dropped separately.
func (s *Shelf) Portions(ctx context.Context) (list []store.Portion, err error) {
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	for _, traces := range s.data.accounts {
		for _, e := range traces {
			list = append(list, store.Portion{Bytes: e.bytes, Updated: e.facts().Updated})
		}
	}
	return list, s.usable(ctx)
}

// Floor returns the floor of the last Expire.
func (s *Shelf) Floor(ctx context.Context) (trace.Time, error) {
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	return s.data.floor, s.usable(ctx)
}

// Expire removes all traces last received before the floor.
func (s *Shelf) Expire(ctx context.Context, floor trace.Time) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	d := s.data
	d.mu.Lock()
	defer d.mu.Unlock()
	d.floor = max(d.floor, floor)
	for account, traces := range d.accounts {
		for id, e := range traces {
			if e.facts().Updated < floor {
				d.forget(account, id)
			}
		}
	}
	return nil
}

// Purge does nothing: deleted traces are gone at once.
func (s *Shelf) Purge(ctx context.Context) error { return s.usable(ctx) }

// Status counts the stored traces and segments.
func (s *Shelf) Status(ctx context.Context) (st store.Status, err error) {
	s.data.mu.RLock()
	defer s.data.mu.RUnlock()
	var bytes int64
	for _, traces := range s.data.accounts {
		for _, e := range traces {
			st.Traces, st.Segments, bytes = st.Traces+1, st.Segments+int64(len(e.segments)), bytes+e.bytes
		}
	}
	st.Gauges = []store.Gauge{{Name: "memory_bytes", Help: "About the bytes of memory of all traces.", Value: bytes}}
	return st, s.usable(ctx)
}

// Close closes the shelf; its data stays.
func (s *Shelf) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
