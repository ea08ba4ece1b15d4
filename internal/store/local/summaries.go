package local

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"errors"
	"iter"
	"sort"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Summaries merges the blocks' orders with that of the open traces. A block's
// index gives the order and prunes; a trace is read when its turn comes and
// nothing in the index speaks against it.
func (s *Store) Summaries(ctx context.Context, account trace.Account, q *store.SummaryQuery) iter.Seq2[*trace.Summary, error] {
	return func(yield func(*trace.Summary, error) bool) {
		if err := errors.Join(ctx.Err(), s.usable()); err != nil {
			yield(nil, err)
			return
		}
		c := &scan{store: s, q: q, snap: s.snapshot(account), bounds: q.Filter.Bounds()}
		defer c.snap.release()
		c.begin(account)
		for len(c.heap) > 0 {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			sum, err := c.step()
			if err != nil {
				yield(nil, err)
				return
			}
			if sum != nil && !yield(sum, nil) {
				return
			}
		}
	}
}

// position is a place in the order of a query, which goes downwards.
type position struct {
	time trace.Time
	id   trace.ID
}

func (p position) compare(o position) int {
	return cmp.Or(cmp.Compare(p.time, o.time), bytes.Compare(p.id[:], o.id[:]))
}

// lastID sorts behind no id.
func lastID() (id trace.ID) {
	for i := range id {
		id[i] = 0xff
	}
	return id
}

// scan is one run of Summaries.
type scan struct {
	store  *Store
	q      *store.SummaryQuery
	snap   *snapshot
	bounds filter.Bounds
	heap   candidates
}

// candidate is the next trace of a block, or an open trace.
type candidate struct {
	position
	run *run // nil for an open trace
	// open traces come first with the latest position they can have, then again
	// with the one they do have.
	open *source
	view *view // nil the first time
}

type candidates []*candidate

func (h candidates) Len() int           { return len(h) }
func (h candidates) Less(i, j int) bool { return h[i].compare(h[j].position) > 0 }
func (h candidates) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *candidates) Push(c any)        { *h = append(*h, c.(*candidate)) }
func (h *candidates) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}

// begin fills the heap.
func (c *scan) begin(account trace.Account) {
	for i, b := range c.snap.blocks {
		r := &run{scan: c, block: b, dead: c.snap.dead[i]}
		if !r.possible() {
			continue
		}
		var err error
		if r.selector, err = b.Select(account, c.bounds, c.store.choice); err != nil {
			_ = c.store.readFailed(b, err) // more traces are read
		}
		if r.selector.Nothing() && c.q.Examined == nil {
			continue
		}
		if r.seek(); r.next() {
			c.heap = append(c.heap, &candidate{position: r.position, run: r})
		} else {
			c.examined(r.passed)
		}
	}
	for i := range c.snap.opens {
		if src := &c.snap.opens[i]; c.reachable(src) {
			latest := src.reach().maxStart
			if c.q.Clock == trace.ClockEvent {
				latest = src.reach().received
			}
			c.heap = append(c.heap, &candidate{position: position{latest, lastID()}, open: src})
		}
	}
	heap.Init(&c.heap)
}

// reachable says whether an open trace can be in the window and behind the cursor.
func (c *scan) reachable(src *source) bool {
	r, w := src.reach(), c.q.Window
	switch c.q.Clock {
	case trace.ClockEvent:
		return r.received >= w.Start
	case trace.ClockTraceID:
		if r.maxStart < w.Start || r.minStart >= w.End {
			return false
		}
	}
	return c.q.After == nil || r.minStart <= c.q.After.Time
}

func (c *scan) examined(n int64) {
	if c.q.Examined != nil {
		*c.q.Examined += n
	}
}

// step takes the candidate with the highest position and is its summary, or
// nil if it is not selected or its turn has not come.
func (c *scan) step() (*trace.Summary, error) {
	top := c.heap[0]
	if top.run == nil {
		if top.view != nil {
			heap.Pop(&c.heap)
			return c.yield(top.view), nil
		}
		return nil, c.decide(top)
	}
	r, i := top.run, top.run.entry
	c.examined(r.passed)
	r.passed = 0
	c.examined(1)
	src := source{key: key{r.block.Account(i), r.block.Entry(i).ID}, base: place{r.block, i}}
	v, err := c.store.view(&src, false, c.store.groups)
	c.advance(top)
	if err != nil {
		return nil, notCorrupt(err)
	}
	if !c.match(v) {
		return nil, nil
	}
	return c.yield(v), nil
}

func (c *scan) yield(v *view) *trace.Summary {
	if c.q.Seen != nil {
		c.q.Seen(v.trace)
	}
	return v.summary
}

func (c *scan) advance(top *candidate) {
	if r := top.run; r.next() {
		top.position = r.position
		heap.Fix(&c.heap, 0)
		return
	}
	c.examined(top.run.passed)
	heap.Pop(&c.heap)
}

// decide reads an open trace and puts it in its place, or drops it.
func (c *scan) decide(top *candidate) error {
	if lacks(top.open, &c.bounds) {
		r := top.open.reach()
		top.position = position{r.minStart, top.open.id}
		if c.q.Clock == trace.ClockEvent {
			top.time = r.received
		}
		if c.inside(top.position) {
			c.examined(1)
		}
		heap.Pop(&c.heap)
		return nil
	}
	t, err := c.store.assembled(top.open, nil)
	if err != nil {
		heap.Pop(&c.heap)
		return notCorrupt(err)
	}
	top.position = position{c.q.Clock.OfTrace(t), t.ID}
	inside := c.inside(top.position)
	if inside {
		c.examined(1)
	}
	if !inside || !hasServices(t, c.bounds.Services) {
		heap.Pop(&c.heap)
		return nil
	}
	v := c.store.openView(top.open, t)
	if !c.match(v) {
		heap.Pop(&c.heap)
		return nil
	}
	top.view = v
	heap.Fix(&c.heap, 0)
	return nil
}

// inside says whether an open trace is in the window and behind the cursor.
func (c *scan) inside(p position) bool {
	if after := c.q.After; after != nil && p.compare(position{after.Time, after.ID}) >= 0 {
		return false
	}
	return c.q.Clock == trace.ClockService || c.q.Window.Contains(p.time)
}

func (c *scan) match(v *view) bool {
	if c.q.Clock == trace.ClockService {
		return c.q.Filter.MatchService(v.trace, v.summary, c.q.Window)
	}
	return c.q.Filter.Match(v.trace, v.summary)
}

// notCorrupt is nil for damage: it is noted, and the rest is served.
func notCorrupt(err error) error {
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		return nil
	}
	return err
}

// run goes through one block in the order of a query.
type run struct {
	scan     *scan
	block    *sealed
	dead     liveness
	selector *block.Selector
	order    []uint32 // by Updated; nil for the block's own order
	left     int      // entries order[:left] are to come
	// With listed, only those of a list can be selected; entries before floor are
	// before the window.
	listed bool
	list   []uint32
	floor  int

	position
	entry  int
	passed int64 // entries that were pruned since the last one
}

// possible says whether a block has entries in the window.
func (r *run) possible() bool {
	w, have := r.scan.q.Window, &r.block.Range
	if have.MaxUpdated < r.scan.snap.horizon {
		return false
	}
	switch r.scan.q.Clock {
	case trace.ClockEvent:
		return have.MinUpdated < w.End && have.MaxUpdated >= w.Start
	case trace.ClockTraceID:
		return have.MinStart < w.End && have.MaxStart >= w.Start
	}
	return have.MaxEnd >= w.Start && (have.MinStart < w.End || have.Backward)
}

func (r *run) at(n int) (int, *block.Entry) {
	if r.order != nil {
		n = int(r.order[n])
	}
	return n, r.block.Entry(n)
}

func (r *run) timeOf(e *block.Entry) trace.Time {
	if r.order != nil {
		return e.Updated
	}
	return e.Start
}

// seek goes to the end of the window or to the cursor.
func (r *run) seek() {
	q := r.scan.q
	if q.Clock == trace.ClockEvent {
		r.order = r.block.ByUpdated()
	}
	bound := position{time: q.Window.End}
	if q.Clock == trace.ClockService && r.block.Range.Backward {
		bound = position{trace.MaxTime, lastID()}
	}
	if q.After != nil {
		if after := (position{q.After.Time, q.After.ID}); after.compare(bound) < 0 {
			bound = after
		}
	}
	r.left = sort.Search(r.block.Len(), func(n int) bool {
		_, e := r.at(n)
		return position{r.timeOf(e), e.ID}.compare(bound) >= 0
	})
	if r.order != nil {
		return
	}
	if r.list, r.listed = r.selector.Entries(); !r.listed {
		return
	}
	r.list = r.list[:sort.Search(len(r.list), func(n int) bool { return int(r.list[n]) >= r.left })]
	if q.Clock == trace.ClockTraceID {
		r.floor = sort.Search(r.left, func(n int) bool { return r.block.Entry(n).Start >= q.Window.Start })
	}
}

// skip goes to the next entry of the list, and says whether there is one.
func (r *run) skip() bool {
	to := r.floor
	if last := len(r.list) - 1; last >= 0 && int(r.list[last]) >= to {
		to = int(r.list[last]) + 1
		r.list = r.list[:last]
	}
	if r.scan.q.Examined != nil {
		r.passed += r.countable(to, r.left)
	}
	found := to > r.floor
	if r.left = to; !found {
		r.left = 0
	}
	return found
}

// countable is how many of some entries count as looked at.
func (r *run) countable(from, to int) (n int64) {
	if r.scan.q.Clock == trace.ClockTraceID && r.dead == nil && r.block.Accounts() == 1 && r.block.Range.MinUpdated >= r.scan.snap.horizon {
		n = int64(to - from)
		for p := range r.scan.snap.masked {
			if p.block == r.block && p.entry >= from && p.entry < to {
				n--
			}
		}
		return n
	}
	for i := from; i < to; i++ {
		if r.counts(i, r.block.Entry(i)) {
			n++
		}
	}
	return n
}

// counts says whether an entry is of the account and of the window, which its
// start is not after, still there, and all there is of its trace.
func (r *run) counts(i int, e *block.Entry) bool {
	if w := r.scan.q.Window; r.scan.q.Clock == trace.ClockService && (e.End == 0 || e.End < w.Start) {
		return false
	}
	if _, masked := r.scan.snap.masked[place{r.block, i}]; masked {
		return false
	}
	return r.selector.Account(e) && e.Updated >= r.scan.snap.horizon && !r.dead.gone(i, r.scan.snap.epoch)
}

// next goes to the next entry that can be selected.
func (r *run) next() bool {
	q := r.scan.q
	for r.left > 0 {
		if r.listed && !r.skip() {
			return false
		}
		r.left--
		i, e := r.at(r.left)
		t := r.timeOf(e)
		if q.Clock != trace.ClockService && t < q.Window.Start {
			r.left = 0
			return false
		}
		if !r.counts(i, e) {
			continue
		}
		if !r.selector.Match(i) {
			r.passed++
			continue
		}
		r.position, r.entry = position{t, e.ID}, i
		return true
	}
	return false
}
