package local

import (
	"container/heap"
	"context"
	"sort"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/facts"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// scanner yields the candidates of scans. It merges the orders of the blocks with that
// of the open traces. The index of a block gives the order and prunes.
type scanner struct {
	*base
	state  *state
	loader *loader
}

func (s *scanner) candidates(ctx context.Context, account trace.Account, q *store.Scan, yield func(*store.Candidate, error) bool) {
	c := &scan{scanner: s, q: q, snap: s.state.snapshot(account)}
	defer c.snap.release()
	c.begin(account)
	for len(c.heap) > 0 {
		if err := ctx.Err(); err != nil {
			yield(nil, err)
			return
		}
		top := c.heap[0]
		if top.run == nil {
			heap.Pop(&c.heap)
		}
		if candidate := c.take(top); candidate != nil && !yield(candidate, nil) {
			return
		}
	}
}

// lastID returns the greatest id.
func lastID() (id trace.ID) {
	for i := range id {
		id[i] = 0xff
	}
	return id
}

// scan is one run of Candidates.
type scan struct {
	*scanner
	q    *store.Scan
	snap *snapshot
	heap queued
}

// next is the next trace of a block, or an open trace with the greatest position that it
// can have.
type next struct {
	store.Position
	run  *run // nil for an open trace
	open *source
}

type queued []*next

func (h queued) Len() int           { return len(h) }
func (h queued) Less(i, j int) bool { return h[i].Compare(h[j].Position) > 0 }
func (h queued) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *queued) Push(c any)        { *h = append(*h, c.(*next)) }
func (h *queued) Pop() any {
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
		if r.selector, err = b.Select(account, c.q.Bounds, c.choice); err != nil {
			_ = b.readFailed(c.damage, err) // more traces are loaded
		}
		if r.selector.Nothing() && c.q.Passed == nil {
			continue
		}
		if r.seek(); r.next() {
			c.heap = append(c.heap, &next{Position: r.Position, run: r})
		} else {
			c.passed(r.passed)
		}
	}
	for i := range c.snap.opens {
		if src := &c.snap.opens[i]; c.reachable(src) {
			c.heap = append(c.heap, &next{Position: store.Position{Time: c.latest(src), ID: lastID()}, open: src})
		}
	}
	heap.Init(&c.heap)
}

// latest returns the greatest time that the position of an open trace can have.
func (c *scan) latest(src *source) trace.Time {
	if c.q.By == store.ByReceipt {
		return src.reach().received
	}
	return src.reach().maxStart
}

// reachable tells whether the scan can ask for an open trace.
func (c *scan) reachable(src *source) bool {
	r := src.reach()
	if r.received < c.q.Horizon || c.latest(src) < c.q.From {
		return false
	}
	// A segment that only repeats an observation changes nothing: the last change may be
	// long ago.
	return c.q.By == store.ByReceipt || r.minStart <= c.q.Before.Time
}

// asks tells whether the scan asks for an open trace. It may be wrong if segments
// repeat observations, since the trace is not assembled.
func (c *scan) asks(src *source) bool {
	r := src.reach()
	at := store.Position{Time: r.minStart, ID: src.id}
	if c.q.By == store.ByReceipt {
		at.Time = r.received
	}
	return at.Time >= c.q.From && at.Compare(c.q.Before) < 0 && (c.q.Touch == nil || r.touches(*c.q.Touch))
}

func (c *scan) passed(n int64) {
	if c.q.Passed != nil {
		*c.q.Passed += n
	}
}

// take returns the candidate on top of the heap, nil if the bounds rule it out, and
// goes on to the next one of its block.
func (c *scan) take(top *next) *store.Candidate {
	if top.run == nil {
		// The count of passed traces needs exact times: of those the caller assembles.
		if (c.q.Passed == nil || !top.open.repeats) && lacks(top.open, &c.q.Bounds) {
			if c.asks(top.open) {
				c.passed(1)
			}
			return nil
		}
		return &store.Candidate{Source: c.loader.source(top.open, c.loader.groups), At: top.Position, Settling: true}
	}
	r, i := top.run, top.run.entry
	c.passed(r.passed)
	r.passed = 0
	src := &source{key: key{r.block.Account(i), r.block.Entry(i).ID}, base: place{r.block, i}}
	candidate := &store.Candidate{Source: c.loader.source(src, c.loader.groups), At: r.Position}
	if r.next() {
		top.Position = r.Position
		heap.Fix(&c.heap, 0)
	} else {
		c.passed(r.passed)
		heap.Pop(&c.heap)
	}
	return candidate
}

// run goes through one block in the order of a scan.
type run struct {
	scan     *scan
	block    *sealed
	dead     liveness
	selector *block.Selector
	order    []uint32 // by Updated; nil for the block's own order
	left     int      // entries order[:left] are still to be read
	// listed: only the entries of the list can be selected; those before floor lie before
	// the scan's first time.
	listed bool
	list   []uint32
	floor  int

	store.Position
	entry  int
	passed int64 // entries that were pruned since the last one
}

// possible tells whether a block has entries that the scan asks for.
func (r *run) possible() bool {
	q, have := r.scan.q, &r.block.Range
	if have.MaxUpdated < q.Horizon {
		return false
	}
	if w := q.Touch; w != nil && (have.MaxEnd < w.Start || have.MinStart >= w.End && !have.Backward) {
		return false
	}
	if q.By == store.ByReceipt {
		return have.MinUpdated <= q.Before.Time && have.MaxUpdated >= q.From
	}
	return have.MinStart <= q.Before.Time && have.MaxStart >= q.From
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

// seek goes to the end of the scan's range.
func (r *run) seek() {
	q := r.scan.q
	if q.By == store.ByReceipt {
		r.order = r.block.ByUpdated()
	}
	bound := q.Before
	if q.Touch != nil && !r.block.Range.Backward {
		if end := (store.Position{Time: q.Touch.End}); end.Compare(bound) < 0 {
			bound = end
		}
	}
	r.left = sort.Search(r.block.Len(), func(n int) bool {
		_, e := r.at(n)
		return store.Position{Time: r.timeOf(e), ID: e.ID}.Compare(bound) >= 0
	})
	if r.order != nil {
		return
	}
	if r.list, r.listed = r.selector.Entries(); !r.listed {
		return
	}
	r.list = r.list[:sort.Search(len(r.list), func(n int) bool { return int(r.list[n]) >= r.left })]
	if q.From > trace.MinTime {
		r.floor = sort.Search(r.left, func(n int) bool { return r.block.Entry(n).Start >= q.From })
	}
}

// skip goes to the next entry of the list, and tells whether there is one.
func (r *run) skip() bool {
	to := r.floor
	if last := len(r.list) - 1; last >= 0 && int(r.list[last]) >= to {
		to = int(r.list[last]) + 1
		r.list = r.list[:last]
	}
	if r.scan.q.Passed != nil {
		r.passed += r.countable(to, r.left)
	}
	found := to > r.floor
	if r.left = to; !found {
		r.left = 0
	}
	return found
}

// countable returns how many of the entries [from, to) the scan asks for.
func (r *run) countable(from, to int) (n int64) {
	if r.scan.q.Touch == nil && r.dead == nil && len(r.block.Accounts()) == 1 && r.block.Range.MinUpdated >= r.scan.q.Horizon {
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

// counts tells whether the scan asks for an entry whose position is in its range: the
// entry is alive, and no open trace continues it.
func (r *run) counts(i int, e *block.Entry) bool {
	if w := r.scan.q.Touch; w != nil && !facts.Touches(*w, e.Start, e.End, e.Flags&block.Backward != 0) {
		return false
	}
	if _, masked := r.scan.snap.masked[place{r.block, i}]; masked {
		return false
	}
	return r.selector.Account(e) && e.Updated >= r.scan.q.Horizon && !r.dead.gone(i, r.scan.snap.epoch)
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
		if t < q.From {
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
		r.Position, r.entry = store.Position{Time: t, ID: e.ID}, i
		return true
	}
	return false
}
