package local

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// summer hands over what was received in a window. It takes whole seconds from the
// rollups of blocks, and the rest at both ends, and open traces, from traces.
type summer struct {
	state   *state
	loader  *loader
	rollups *rollups
}

func (s *summer) sum(ctx context.Context, account trace.Account, q *store.SumQuery, begin func() store.Sums) error {
	for {
		err := s.once(ctx, account, q, begin())
		if !errors.Is(err, errStale) {
			return err
		}
	}
}

// summing is one run of Sum.
type summing struct {
	*summer
	ctx     context.Context
	account trace.Account
	q       *store.SumQuery
	snap    *snapshot
	to      store.Sums
	whole   trace.Window // whole seconds of the window
	ends    []trace.Window
	rolled  map[*sealed]bool // blocks whose rollups were added
}

func (s *summer) once(ctx context.Context, account trace.Account, q *store.SumQuery, to store.Sums) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &summing{summer: s, ctx: ctx, account: account, q: q, snap: s.state.snapshot(account), to: to, rolled: map[*sealed]bool{}}
	defer c.snap.release()
	c.split()
	order := make([]int, len(c.snap.opens)) // by id: so the same names are kept each time
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(c.snap.opens[a].id[:], c.snap.opens[b].id[:]) })
	for n := range c.snap.blocks {
		if err := c.block(n); err != nil {
			return err
		}
	}
	for _, i := range order {
		if err := c.open(i); err != nil {
			return err
		}
	}
	return nil
}

// split splits the window into whole seconds and its ends.
func (c *summing) split() {
	w := c.q.Window
	from, to := w.Start.FloorSecond(), w.End.FloorSecond()
	if from < w.Start {
		from += 1e9
	}
	if from >= to {
		c.ends = []trace.Window{w}
		return
	}
	c.whole = trace.Window{Start: from, End: to}
	for _, end := range []trace.Window{{Start: w.Start, End: from}, {Start: to, End: w.End}} {
		if end.Start < end.End {
			c.ends = append(c.ends, end)
		}
	}
}

// block sums up one block.
func (c *summing) block(n int) error {
	b := c.snap.blocks[n]
	if b.Range.MaxUpdated < c.q.Window.Start || b.Range.MinFirst >= c.q.Window.End {
		return nil
	}
	if c.q.Owners == nil || c.whole == (trace.Window{}) {
		return c.read(n, c.q.Window)
	}
	plus, minus, err := c.rollups.of(c.ctx, b, c.snap.dead[n], c.snap.epoch)
	if errors.Is(err, errNoRollup) {
		return c.read(n, c.q.Window)
	}
	if err != nil || plus == nil {
		return err
	}
	if err := c.roll(b, plus, minus); err != nil {
		return err
	}
	c.rolled[b] = true
	for _, end := range c.ends {
		any, err := plus.Any(c.account, rollup.Second(end.Start))
		if err != nil {
			return c.unroll(b, err)
		}
		if any {
			if err := c.read(n, end); err != nil {
				return err
			}
		}
	}
	return nil
}

// roll adds what the rollups of a block count.
func (c *summing) roll(b *sealed, plus, minus *rollup.File) error {
	// A block that lies in the window is one sum: pages of hours have it ready.
	from, to := rollup.Second(c.whole.Start), rollup.Second(c.whole.End)
	if first, last := b.Range.MinFirst, b.Range.MaxUpdated; first >= c.whole.Start && last < c.whole.End {
		from, to = rollup.Hours(first, last)
	}
	for i, version := range c.q.Owners {
		o := rollup.Owner{Account: c.account, Version: version}
		err := c.to.Owner(i, func(graph *assemble.Sum, series *assemble.SeriesBuilder) error {
			add := func(f *rollup.File, sign int64) error {
				if graph != nil {
					return f.AddTo(graph, o, from, to, sign)
				}
				return f.AddSeries(series, o, from, to, sign)
			}
			if err := add(plus, 1); err != nil || minus == nil {
				return err
			}
			return add(minus, -1)
		})
		if err != nil {
			return c.unroll(b, err)
		}
	}
	return nil
}

// unroll gives up a rollup that turned out to be damaged, and the sums so far.
func (c *summing) unroll(b *sealed, err error) error {
	if !corrupt(err) {
		return err
	}
	c.rollups.damaged(b, err)
	return errStale
}

// read hands over the settled traces of a block that may have been received in a
// window.
func (c *summing) read(n int, w trace.Window) error {
	b := c.snap.blocks[n]
	var memo block.Memo
	for i, e := range b.Received(w) {
		if e.Updated < c.q.Horizon || b.Account(i) != c.account || c.snap.dead[n].gone(i, c.snap.epoch) {
			continue
		}
		src := source{key: key{c.account, e.ID}, base: place{b, i}}
		if _, masked := c.snap.masked[src.base]; masked {
			continue
		}
		if err := c.trace(&src, w, &memo, 1); err != nil {
			return err
		}
	}
	return nil
}

// open hands over an open trace. It subtracts the settled part if a rollup has counted
// it: the open trace includes it.
func (c *summing) open(i int) error {
	src := &c.snap.opens[i]
	if src.reach().received >= max(c.q.Window.Start, c.q.Horizon) {
		if err := c.trace(src, c.q.Window, nil, 1); err != nil {
			return err
		}
	}
	if !c.rolled[c.snap.scanned[i]] {
		return nil
	}
	return c.trace(&source{key: src.key, base: src.base}, c.whole, nil, -1)
}

func (c *summing) trace(src *source, w trace.Window, keep block.Keeper, sign int) error {
	from := c.loader.source(src, keep)
	return c.to.Trace(c.ctx, &from, w, sign)
}
