package answer

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Graph aggregates the service graph of everything that was received in a window.
func (s *Store) Graph(ctx context.Context, account trace.Account, q GraphQuery) (*trace.Graph, error) {
	var b *assemble.GraphBuilder
	err := s.count(ctx, account, q.Window, q.Group, func(w trace.Window) counter {
		b = assemble.NewGraph(&w).Limited(s.rules.Limit())
		return graphCounter{b}
	})
	if err != nil {
		return nil, err
	}
	if err := s.resolve(ctx, account, b); err != nil {
		return nil, err
	}
	return b.Graph(), nil
}

// Series counts what was received in the minutes of the window.
func (s *Store) Series(ctx context.Context, account trace.Account, q SeriesQuery) (*trace.Series, error) {
	var b *assemble.SeriesBuilder
	err := s.count(ctx, account, assemble.Minutes(q.Window), q.Group, func(trace.Window) counter {
		b = assemble.NewSeries(q.Window, q.Period, q.Of).Limited(q.Limit)
		return seriesCounter{b}
	})
	if err != nil {
		return nil, err
	}
	return b.Series(), nil
}

// resolve makes edges of the links that lead into traces which exist.
func (s *Store) resolve(ctx context.Context, account trace.Account, b *assemble.GraphBuilder) error {
	ids := b.Linked()
	if len(ids) == 0 {
		return nil
	}
	found, release, err := s.shelf.Find(ctx, account, ids)
	if err != nil {
		return err
	}
	defer release()
	for i := range found {
		if err := s.usable(ctx); err != nil {
			return err
		}
		if src := &found[i]; src.Updated >= s.rules.Horizon() {
			if err := s.resolveOne(ctx, account, src, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) resolveOne(ctx context.Context, account trace.Account, src *store.Source, b *assemble.GraphBuilder) error {
	defer s.alone(src)()
	t, err := s.assembled(ctx, account, src)
	if err != nil {
		return undamaged(err)
	}
	b.Resolve(t)
	return nil
}

// counter counts traces and sums for an answer.
type counter interface {
	Add(*trace.Trace, assemble.Member)
	Remove(*trace.Trace, assemble.Member)
	// Entities returns how many completed entities were counted.
	Entities() int64
	// Old notes that some of it belongs to a group by an older filter.
	Old()
	// sums calls add with what it adds to.
	sums(add func(*assemble.Sum, *assemble.SeriesBuilder) error) error
}

type graphCounter struct{ *assemble.GraphBuilder }

func (c graphCounter) sums(add func(*assemble.Sum, *assemble.SeriesBuilder) error) error {
	if err := add(c.Sum(), nil); err != nil {
		return err
	}
	c.Sum().Bound(false)
	return nil
}

type seriesCounter struct{ *assemble.SeriesBuilder }

func (c seriesCounter) sums(add func(*assemble.Sum, *assemble.SeriesBuilder) error) error {
	return add(nil, c.SeriesBuilder)
}

// counting is one run over what was received in a window.
type counting struct {
	store   *Store
	account trace.Account
	group   *Group
	old     []bool // of each owner: an older filter of the group
	to      counter
}

// count adds up what was received of a group in a window. begin makes an empty
// counter for what of the window is not over its time.
func (s *Store) count(ctx context.Context, account trace.Account, w trace.Window, group *Group, begin func(trace.Window) counter) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	q := &store.SumQuery{Window: w, Horizon: s.rules.Horizon()}
	if q.Horizon > w.Start {
		// Nothing counts of the second that is partly over its time: to count a part of
		// it, all its traces would have to be loaded.
		if q.Window.Start = q.Horizon.FloorSecond(); q.Window.Start < q.Horizon {
			q.Window.Start += 1e9
		}
	}
	if q.Window.Start >= q.Window.End {
		begin(q.Window)
		return nil
	}
	owners, old := s.ownersOf(group)
	q.Owners = owners
	return s.shelf.Sum(ctx, account, q, func() store.Sums {
		return &counting{store: s, account: account, group: group, old: old, to: begin(q.Window)}
	})
}

// ownersOf lists the owners of the sums of a group; nil if no sums tell about one of
// its versions.
func (s *Store) ownersOf(g *Group) (owners []string, old []bool) {
	if g == nil {
		return []string{""}, []bool{false}
	}
	owners = []string{}
	for _, v := range g.Versions {
		if v.ID == "" || s.rules.o.Groups == nil {
			return nil, nil
		}
		owners, old = append(owners, v.ID), append(old, v.Old)
	}
	return owners, old
}

// Owner counts sums of an owner.
func (c *counting) Owner(number int, add func(*assemble.Sum, *assemble.SeriesBuilder) error) error {
	before := c.to.Entities()
	if err := c.to.sums(add); err != nil {
		return err
	}
	if c.old[number] && c.to.Entities() > before {
		c.to.Old()
	}
	return nil
}

// Trace counts those observations of a trace that were received in a window and
// belong to the group.
func (c *counting) Trace(ctx context.Context, src *store.Source, w trace.Window, sign int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	to := c.to.Add
	if sign < 0 {
		to = c.to.Remove
	}
	defer c.store.alone(src)() // until it is counted
	if c.group == nil {
		t, err := c.store.assembled(ctx, c.account, src)
		if err != nil {
			return undamaged(err)
		}
		to(t, func(received trace.Time) (belongs, old bool) { return w.Contains(received), false })
		return nil
	}
	v := c.store.cached(c.account, src, false)
	if v == nil {
		var err error
		if v, err = c.store.makeView(ctx, c.account, src, false); err != nil {
			return undamaged(err)
		}
	}
	if member, any := c.group.Member(v.trace, v.summary); any {
		to(v.trace, func(received trace.Time) (belongs, old bool) {
			if !w.Contains(received) {
				return false, false
			}
			return member(received)
		})
	}
	return nil
}
