package embedded

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"iter"
	"slices"
	"time"
	"unique"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/embedded/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Traces implements store.Store.
func (s *Store) Traces(ctx context.Context, name trace.Account, ids []trace.ID) iter.Seq2[*trace.Trace, error] {
	return func(yield func(*trace.Trace, error) bool) {
		for _, id := range ids {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			sn, found := s.find(name, id)
			if !found {
				continue
			}
			t, err := sn.rendered(id)
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// find looks a trace up; false if there is none.
func (s *Store) find(name trace.Account, id trace.ID) (snapshot, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if a := s.accounts[name]; a != nil {
		return a.snapshot(id)
	}
	return snapshot{}, false
}

// candidate is a trace that a question may be about.
type candidate struct {
	time trace.Time
	id   trace.ID
	sn   snapshot
}

// before is the order of summaries: newest first, then by id.
func (c *candidate) before(time trace.Time, id trace.ID) int {
	return cmp.Or(cmp.Compare(time, c.time), bytes.Compare(id[:], c.id[:]))
}

// candidates is a heap with the newest on top: most questions end after a page,
// so sorting all of them would be waste.
type candidates []candidate

func (c candidates) Len() int           { return len(c) }
func (c candidates) Less(i, j int) bool { return c[i].before(c[j].time, c[j].id) < 0 }
func (c candidates) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)        { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	(*c)[last] = candidate{}
	*c = (*c)[:last]
	return x
}

// Summaries implements store.Store.
func (s *Store) Summaries(ctx context.Context, name trace.Account, q *store.SummaryQuery) iter.Seq2[*trace.Summary, error] {
	return func(yield func(*trace.Summary, error) bool) {
		list := s.matching(name, q)
		heap.Init(&list)
		for len(list) > 0 {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			c := heap.Pop(&list).(candidate)
			v, err := c.sn.assemble(c.id)
			if err != nil {
				// One damaged trace must not hide the others.
				s.log.Error("a trace cannot be read", "trace", c.id, "error", err)
				continue
			}
			if q.Examined != nil {
				*q.Examined++
			}
			matched := false
			if q.Clock == trace.ClockService {
				matched = q.Filter.MatchService(v.trace, v.summary, q.Window)
			} else {
				matched = q.Filter.Match(v.trace, v.summary)
			}
			if matched && !yield(v.summary, nil) {
				return
			}
		}
	}
}

// matching lists the traces that a query may select, from what is in memory
// alone.
func (s *Store) matching(name trace.Account, q *store.SummaryQuery) candidates {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.accounts[name]
	if a == nil {
		return nil
	}
	var out candidates
	p := newPruner(q.Filter.Bounds())
	take := func(c candidate) {
		if q.After == nil || c.before(q.After.Time, q.After.ID) > 0 {
			out = append(out, c)
		}
	}
	for id, o := range a.open {
		at := o.start
		in := q.Window.Contains(at)
		switch q.Clock {
		case trace.ClockEvent:
			at = o.updated
			in = q.Window.Contains(at)
		case trace.ClockService:
			in = at < q.Window.End
		}
		if in {
			sn, _ := a.snapshot(id)
			take(candidate{at, id, sn})
		}
	}
	for _, b := range s.blocks {
		for i := range b.Rows {
			row := &b.Rows[i]
			if row.Dead || row.Account != name {
				continue
			}
			at := row.Start
			in := q.Window.Contains(at)
			switch q.Clock {
			case trace.ClockEvent:
				at = row.Updated
				in = q.Window.Contains(at)
			case trace.ClockService:
				in = row.Start < q.Window.End && row.End >= q.Window.Start
			}
			if in && p.allows(row) && a.open[row.ID] == nil {
				take(candidate{at, row.ID, snapshot{base: row}})
			}
		}
	}
	return out
}

// pruner holds a filter's bounds in the form of rows.
type pruner struct {
	filter.Bounds
	services, keys []unique.Handle[string]
}

func newPruner(b filter.Bounds) *pruner {
	p := &pruner{Bounds: b}
	for _, s := range b.Services {
		p.services = append(p.services, unique.Make(s))
	}
	for _, k := range b.AnnotationKeys {
		p.keys = append(p.keys, unique.Make(k))
	}
	return p
}

func (p *pruner) allows(r *block.Row) bool {
	for _, s := range p.services {
		if !slices.Contains(r.Services, s) {
			return false
		}
	}
	for _, k := range p.keys {
		if !slices.Contains(r.Keys, k) {
			return false
		}
	}
	return within(r.Response, p.MinResponse, p.MaxResponse) && within(r.Duration, p.MinDuration, p.MaxDuration) &&
		(p.Fault == nil || *p.Fault == r.Fault) && (p.Error == nil || *p.Error == r.Error) && (p.Throttle == nil || *p.Throttle == r.Throttle)
}

// within says whether a duration that may be unknown lies in bounds that may be
// open.
func within(v time.Duration, low, high *time.Duration) bool {
	if low == nil && high == nil {
		return true
	}
	return v != block.Unknown && (low == nil || v >= *low) && (high == nil || v <= *high)
}

// Graph implements store.Store.
func (s *Store) Graph(ctx context.Context, name trace.Account, q store.GraphQuery) (*trace.Graph, error) {
	b := assemble.NewGraph(&q.Window)
	for _, c := range s.received(name, q.Window) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v, err := c.sn.assemble(c.id)
		if err != nil {
			s.log.Error("a trace cannot be read", "trace", c.id, "error", err)
			continue
		}
		b.Add(v.trace)
	}
	for _, id := range b.Linked() {
		if sn, found := s.find(name, id); found {
			v, err := sn.assemble(id)
			if err != nil {
				return nil, err
			}
			b.Resolve(v.trace)
		}
	}
	return b.Graph(), nil
}

// received lists the traces that may have been received in a window, settled
// ones in the order in which they are stored.
func (s *Store) received(name trace.Account, w trace.Window) []candidate {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.accounts[name]
	if a == nil {
		return nil
	}
	var out []candidate
	for id, o := range a.open {
		if o.updated >= w.Start {
			sn, _ := a.snapshot(id)
			out = append(out, candidate{id: id, sn: sn})
		}
	}
	for _, b := range s.blocks {
		for i := range b.Rows {
			row := &b.Rows[i]
			if !row.Dead && row.Account == name && row.First < w.End && row.Updated >= w.Start && a.open[row.ID] == nil {
				out = append(out, candidate{id: row.ID, sn: snapshot{base: row}})
			}
		}
	}
	return out
}

// Stats implements store.Store.
func (s *Store) Stats(context.Context) (store.Stats, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := store.Stats{Blocks: int64(len(s.blocks)), WALBytes: s.walBytes, ReadOnly: s.readOnly}
	for _, a := range s.accounts {
		st.OpenTraces += int64(len(a.open))
		st.Traces += int64(len(a.rows))
		for id, o := range a.open {
			st.Segments += int64(len(o.segments))
			if a.rows[id] == nil {
				st.Traces++
			}
		}
	}
	for _, b := range s.blocks {
		st.BlockBytes += b.Size
		for i := range b.Rows {
			if !b.Rows[i].Dead {
				st.Segments += int64(b.Rows[i].Segments)
			}
		}
	}
	return st, nil
}
