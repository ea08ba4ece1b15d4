package answer

import (
	"container/heap"
	"context"
	"iter"
	"slices"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/facts"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Summaries yields the traces that a query selects, newest first. Like Graph and
// Series, it leaves out damaged data; Stats names it.
//
// The shelf yields candidates in the order of the query. Of a trace that is still
// arriving, it knows only the greatest possible position: such a trace is assembled
// when this position is reached, and then waits for its real position.
func (s *Store) Summaries(ctx context.Context, account trace.Account, q *SummaryQuery) iter.Seq2[*trace.Summary, error] {
	return func(yield func(*trace.Summary, error) bool) {
		if err := s.usable(ctx); err != nil {
			yield(nil, err)
			return
		}
		c, err := newSelection(s, ctx, account, q)
		if err != nil {
			yield(nil, err)
			return
		}
		for candidate, err := range s.candidates(ctx, account, &q.Reach, &c.scan) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !c.turnsBefore(candidate.At, yield) {
				return
			}
			v, err := c.look(candidate)
			if err != nil {
				yield(nil, err)
				return
			}
			if v != nil && !c.yield(v, yield) {
				return
			}
		}
		c.turnsBefore(lowest, yield)
	}
}

// selection is one run of Summaries.
type selection struct {
	store   *Store
	ctx     context.Context
	account trace.Account
	q       *SummaryQuery
	judge   *judge
	scan    store.Scan
	waiting turns
}

// lastID sorts after every other id.
var lastID = func() (id trace.ID) {
	for i := range id {
		id[i] = 0xff
	}
	return id
}()

var (
	highest = store.Position{Time: trace.MaxTime, ID: lastID}
	lowest  = store.Position{Time: trace.MinTime}
)

func newSelection(s *Store, ctx context.Context, account trace.Account, q *SummaryQuery) (c *selection, err error) {
	c = &selection{store: s, ctx: ctx, account: account, q: q}
	if c.judge, err = s.judge(ctx, account, q.Sight); err != nil {
		return nil, err
	}
	c.scan = store.Scan{From: q.Window.Start, Before: store.Position{Time: q.Window.End}, Horizon: s.rules.Horizon(), Bounds: q.Filter.Bounds(), Passed: q.Examined}
	if c.judge != nil {
		// The filter is about a part of each trace, the facts are about the whole.
		c.scan.Bounds, c.scan.Passed = c.scan.Bounds.OfParts(), nil
	}
	switch q.Clock {
	case trace.ClockEvent:
		c.scan.By = store.ByReceipt
	case trace.ClockService:
		// Entities may be in the window although their trace starts outside.
		c.scan.From, c.scan.Before, c.scan.Touch = trace.MinTime, highest, &q.Window
	}
	if q.After != nil {
		if after := (store.Position{Time: q.After.Time, ID: q.After.ID}); after.Compare(c.scan.Before) < 0 {
			c.scan.Before = after
		}
	}
	return c, nil
}

// inside tells whether a trace with known facts matches the scan.
func (c *selection) inside(t *trace.Trace, at store.Position) bool {
	if at.Time < c.scan.From || at.Compare(c.scan.Before) >= 0 || t.Updated < c.scan.Horizon {
		return false
	}
	if c.scan.Touch == nil {
		return true
	}
	return facts.Touches(*c.scan.Touch, t.Start, t.End, facts.EndsBeforeStart(t))
}

// examined counts a trace that was looked at. With a judge, yield counts instead.
func (c *selection) examined() {
	if c.q.Examined != nil && c.judge == nil {
		*c.q.Examined++
	}
}

// look examines a candidate. It returns its view if the query selects the trace and its
// position is known; else nil.
func (c *selection) look(candidate *store.Candidate) (*view, error) {
	if candidate.Settling {
		return nil, c.settling(candidate)
	}
	c.examined()
	v, err := c.store.view(c.ctx, c.account, &candidate.Source, false)
	if err != nil {
		return nil, undamaged(err)
	}
	if v = c.store.seen(c.account, &candidate.Source, v, c.judge); v == nil || !c.match(v) {
		return nil, nil
	}
	return v, nil
}

// settling assembles a trace that is still arriving and queues it at its real position.
func (c *selection) settling(candidate *store.Candidate) error {
	t, err := c.store.assembled(c.ctx, c.account, &candidate.Source)
	if err != nil {
		return undamaged(err)
	}
	at := store.Position{ID: t.ID}
	if start, updated := c.store.clocks(c.account, &candidate.Source, t); c.q.Clock == trace.ClockEvent {
		at.Time = updated
	} else {
		at.Time = start
	}
	if !c.inside(t, at) {
		return nil
	}
	c.examined()
	if !hasServices(t, c.scan.Bounds.Services) {
		return nil // decided before the summary is made
	}
	v := c.store.seen(c.account, &candidate.Source, c.store.viewOf(c.account, &candidate.Source, t), c.judge)
	if v != nil && c.match(v) {
		heap.Push(&c.waiting, turn{at, v})
	}
	return nil
}

func (c *selection) match(v *view) bool {
	if c.q.Clock == trace.ClockService {
		return c.q.Filter.MatchService(v.trace, v.summary, c.q.Window)
	}
	return c.q.Filter.Match(v.trace, v.summary)
}

// turnsBefore yields the queued traces with positions before another.
func (c *selection) turnsBefore(at store.Position, yield func(*trace.Summary, error) bool) bool {
	for len(c.waiting) > 0 && c.waiting[0].at.Compare(at) > 0 {
		if !c.yield(heap.Pop(&c.waiting).(turn).view, yield) {
			return false
		}
	}
	return true
}

func (c *selection) yield(v *view, yield func(*trace.Summary, error) bool) bool {
	if c.judge != nil && c.q.Examined != nil {
		*c.q.Examined++
	}
	if c.q.Seen != nil {
		c.q.Seen(v.trace)
	}
	return yield(v.summary, nil)
}

// hasServices tells whether a trace has nodes with all names.
func hasServices(t *trace.Trace, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		return !slices.ContainsFunc(t.Nodes, func(n *trace.Node) bool { return n.Name == name })
	})
}

// turn is a selected trace that waits for its position; turns is a heap, the highest
// position first.
type turn struct {
	at   store.Position
	view *view
}

type turns []turn

func (h turns) Len() int           { return len(h) }
func (h turns) Less(i, j int) bool { return h[i].at.Compare(h[j].at) > 0 }
func (h turns) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *turns) Push(t any)        { *h = append(*h, t.(turn)) }
func (h *turns) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = turn{}
	*h = (*h)[:last]
	return t
}
