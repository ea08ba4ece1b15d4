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
	horizon := s.rules.Horizon()
	sum := &store.SumQuery{Window: q.Window, Horizon: horizon}
	if horizon > q.Window.Start {
		// If the horizon lies within a second, the graph leaves this second out: to
		// count the rest of it, its traces would have to be loaded.
		if sum.Window.Start = horizon.FloorSecond(); sum.Window.Start < horizon {
			sum.Window.Start += 1e9
		}
	}
	j, err := s.judge(ctx, account, q.Sight)
	if err != nil {
		return nil, err
	}
	err = s.count(ctx, &counting{account: account, reach: &q.Reach, judge: j, group: q.Group}, sum, func() counter {
		b = assemble.NewGraph(&sum.Window).Limited(s.rules.Limit())
		return graphCounter{b}
	})
	if err != nil {
		return nil, err
	}
	if err := s.resolve(ctx, &counting{account: account, reach: &q.Reach, judge: j}, b); err != nil {
		return nil, err
	}
	return b.Graph(), nil
}

// Series counts what was received in the minutes of the window. The bucket of the
// horizon counts only what has not expired.
func (s *Store) Series(ctx context.Context, account trace.Account, q SeriesQuery) (*trace.Series, error) {
	var b *assemble.SeriesBuilder
	sum := &store.SumQuery{Window: assemble.Minutes(q.Window), Horizon: s.rules.Horizon()}
	sum.Window.Start = max(sum.Window.Start, sum.Horizon)
	j, err := s.judge(ctx, account, q.Sight)
	if err != nil {
		return nil, err
	}
	err = s.count(ctx, &counting{account: account, reach: &q.Reach, judge: j, group: q.Group}, sum, func() counter {
		b = assemble.NewSeries(q.Window, q.Period, q.Of).Limited(q.Limit)
		return seriesCounter{b}
	})
	if err != nil {
		return nil, err
	}
	return b.Series(), nil
}

// resolve makes edges of the links that lead to existing traces.
func (s *Store) resolve(ctx context.Context, as *counting, b *assemble.GraphBuilder) error {
	ids := b.Linked()
	if len(ids) == 0 {
		return nil
	}
	found, release, err := s.find(ctx, as.account, as.reach, ids)
	if err != nil {
		return err
	}
	defer release()
	for i := range found {
		if err := s.usable(ctx); err != nil {
			return err
		}
		if src := &found[i]; src.Updated >= s.rules.Horizon() {
			if err := s.resolveOne(ctx, as, src, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) resolveOne(ctx context.Context, as *counting, src *store.Source, b *assemble.GraphBuilder) error {
	defer s.alone(src)()
	t, err := s.assembled(ctx, as.account, src)
	if err != nil {
		return undamaged(err)
	}
	if t = as.judge.mask(t, nil); t != nil {
		b.Resolve(t)
	}
	return nil
}

// counter counts traces and sums for an answer.
type counter interface {
	Add(*trace.Trace, assemble.Member)
	Remove(*trace.Trace, assemble.Member)
	// Entities returns how many completed entities were counted.
	Entities() int64
	// Old notes that some entities belong to a group only by an older filter.
	Old()
	// sums calls add with the sum or the series to add to.
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

// counting is one pass over the data that was received in a window.
type counting struct {
	store   *Store
	account trace.Account
	reach   *Reach
	judge   *judge
	group   *Group // nil: all data
	old     []bool // by owner: whether it is an older filter of the group
	olds    int64  // entities counted by sums of older filters
	to      counter
}

// count adds up data. like tells whose data, and what of it; begin makes an empty
// counter.
func (s *Store) count(ctx context.Context, like *counting, q *store.SumQuery, begin func() counter) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	if q.Window.Start >= q.Window.End {
		begin()
		return nil
	}
	if len(like.reach.Linked) > 0 {
		return s.countAll(ctx, like, q, begin)
	}
	owners, old := s.ownersOf(like.group)
	if like.judge != nil {
		owners, old = nil, nil // sums count hidden segments as well
	}
	q.Owners = owners
	var c *counting
	err := s.shelf.Sum(ctx, like.account, q, func() store.Sums {
		c = &counting{store: s, account: like.account, judge: like.judge, group: like.group, old: old, to: begin()}
		return c
	})
	if err == nil && c.olds > 0 {
		c.to.Old()
	}
	return err
}

// ownersOf lists the owners of a group's sums; nil if the shelf has no sums for one of
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
	if c.old[number] {
		c.olds += c.to.Entities() - before
	}
	return nil
}

// Trace counts those observations of a trace that were received in a window and
// belong to the group.
func (c *counting) Trace(ctx context.Context, src *store.Source, w trace.Window, sign int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer c.store.alone(src)() // held until the trace is counted
	if c.group == nil {
		t, err := c.store.assembled(ctx, c.account, src)
		if err != nil {
			return undamaged(err)
		}
		if t = c.judge.mask(t, nil); t == nil {
			return nil
		}
		c.add(t, sign, func(received trace.Time) (belongs, old bool) { return w.Contains(received), false })
		return nil
	}
	v := c.store.cached(c.account, src, false)
	if v == nil {
		var err error
		if v, err = c.store.makeView(ctx, c.account, src, false); err != nil {
			return undamaged(err)
		}
	}
	if v = c.store.seen(c.account, src, v, c.judge); v == nil {
		return nil
	}
	if member, any := c.group.Member(v.trace, v.summary); any {
		c.add(v.trace, sign, func(received trace.Time) (belongs, old bool) {
			if !w.Contains(received) {
				return false, false
			}
			return member(received)
		})
	}
	return nil
}

// add counts observations of a trace; with sign -1 it subtracts those that sums
// counted.
func (c *counting) add(t *trace.Trace, sign int, member assemble.Member) {
	if sign > 0 {
		c.to.Add(t, member)
		return
	}
	for _, older := range []bool{true, false} {
		before := c.to.Entities()
		c.to.Remove(t, func(received trace.Time) (bool, bool) {
			belongs, old := member(received)
			return belongs && old == older, false
		})
		if older {
			c.olds += c.to.Entities() - before
		}
	}
}
