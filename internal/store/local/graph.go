package local

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Graph sums up what was received in the window.
func (s *Store) Graph(ctx context.Context, account trace.Account, q store.GraphQuery) (*trace.Graph, error) {
	var b *assemble.GraphBuilder
	err := s.count(ctx, account, q.Window, q.Group, func(w trace.Window) counter {
		b = assemble.NewGraph(&w).Limited(s.limit())
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

// resolve makes edges of the links that lead into traces which are there. They are
// read in the order in which blocks have them: neighbours are decompressed once.
func (s *Store) resolve(ctx context.Context, account trace.Account, b *assemble.GraphBuilder) error {
	var list []source
	defer func() {
		for i := range list {
			list[i].release()
		}
	}()
	ids := b.Linked()
	s.mu.RLock()
	for _, id := range ids {
		if src, ok := s.locate(key{account, id}); ok {
			list = append(list, src)
		}
	}
	s.mu.RUnlock()
	number := func(src *source) uint64 {
		if src.base.block == nil {
			return 0
		}
		return src.base.block.Number()
	}
	slices.SortFunc(list, func(x, y source) int {
		return cmp.Or(cmp.Compare(number(&x), number(&y)), cmp.Compare(x.base.entry, y.base.entry))
	})
	var memo block.Memo
	for i := range list {
		if err := errors.Join(ctx.Err(), s.usable()); err != nil {
			return err
		}
		if err := s.resolveOne(&list[i], &memo, b); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) resolveOne(src *source, memo *block.Memo, b *assemble.GraphBuilder) error {
	if s.expired(src) {
		return nil
	}
	defer s.alone(src)()
	t, err := s.assembled(src, memo)
	if err != nil {
		return notCorrupt(err)
	}
	b.Resolve(t)
	return nil
}

// Series counts what was received in the minutes of the window.
func (s *Store) Series(ctx context.Context, account trace.Account, q store.SeriesQuery) (*trace.Series, error) {
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

// counter is what counts traces or rollups for an answer.
type counter interface {
	Add(*trace.Trace, assemble.Member)
	Remove(*trace.Trace, assemble.Member)
	// roll adds a rollup's seconds [from, to), times sign.
	roll(f *rollup.File, o rollup.Owner, from, to, sign int64) error
	// bound counts names as one if there are too many.
	bound()
	// Entities is how many completed entities were counted.
	Entities() int64
	// Old says that some of it belongs to a group by an older filter.
	Old()
}

type graphCounter struct{ *assemble.GraphBuilder }

func (c graphCounter) roll(f *rollup.File, o rollup.Owner, from, to, sign int64) error {
	return f.AddTo(c.Sum(), o, from, to, sign)
}

func (c graphCounter) bound() { c.Sum().Bound(false) }

type seriesCounter struct{ *assemble.SeriesBuilder }

func (c seriesCounter) roll(f *rollup.File, o rollup.Owner, from, to, sign int64) error {
	return f.AddSeries(c.SeriesBuilder, o, from, to, sign)
}

func (c seriesCounter) bound() {}

// counting is one run over what was received in a window. Whole seconds come
// from the blocks' rollups, what is left at both ends, and what is open, from
// traces.
type counting struct {
	store   *Store
	ctx     context.Context
	account trace.Account
	window  trace.Window
	group   *store.Group
	snap    *snapshot
	to      counter
	whole   trace.Window // whole seconds of the window
	ends    []trace.Window
	owners  []owner
	rolled  map[*sealed]bool // blocks whose rollups were taken
}

// owner is whose rollups are taken.
type owner struct {
	rollup.Owner
	old bool
}

// errStale is of a question that saw a state which a later one has left behind.
var errStale = errors.New("the state that was asked for is gone")

// count adds up what was received of a group in a window. begin makes an empty
// counter for what of the window is not over its time.
func (s *Store) count(ctx context.Context, account trace.Account, w trace.Window, group *store.Group, begin func(trace.Window) counter) error {
	for {
		err := s.countOnce(ctx, account, w, group, begin)
		if !errors.Is(err, errStale) {
			return err
		}
	}
}

func (s *Store) countOnce(ctx context.Context, account trace.Account, w trace.Window, group *store.Group, begin func(trace.Window) counter) error {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return err
	}
	c := &counting{store: s, ctx: ctx, account: account, group: group, snap: s.snapshot(account), rolled: map[*sealed]bool{}}
	defer c.snap.release()
	c.window = w
	if horizon := c.snap.horizon; horizon > w.Start {
		// Of the second that is partly over nothing counts: to count a part of it
		// all its traces would have to be read.
		if c.window.Start = horizon.FloorSecond(); c.window.Start < horizon {
			c.window.Start += 1e9
		}
	}
	c.to = begin(c.window)
	if c.window.Start >= c.window.End {
		return nil
	}
	c.split()
	c.own()
	order := make([]int, len(c.snap.opens)) // so that names that are too many are the same each time
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

// split cuts the window into whole seconds and its ends.
func (c *counting) split() {
	w := c.window
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

// own finds whose rollups to take; none if some version has no rollups.
func (c *counting) own() {
	if c.group == nil {
		c.owners = []owner{{Owner: rollup.Owner{Account: c.account}}}
		return
	}
	for _, v := range c.group.Versions {
		if v.ID == "" || c.store.o.Groups == nil {
			c.owners = nil
			return
		}
		c.owners = append(c.owners, owner{rollup.Owner{Account: c.account, Version: v.ID}, v.Old})
	}
}

// block counts one block.
func (c *counting) block(n int) error {
	b := c.snap.blocks[n]
	if b.Range.MaxUpdated < c.window.Start || b.Range.MinFirst >= c.window.End {
		return nil
	}
	if c.owners == nil || c.whole == (trace.Window{}) {
		return c.read(n, c.window)
	}
	plus, minus, err := c.store.rollups(b, c.snap.dead[n], c.snap.epoch)
	if errors.Is(err, errNoRollup) {
		return c.read(n, c.window)
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
func (c *counting) roll(b *sealed, plus, minus *rollup.File) error {
	// A block of which nothing lies outside is one sum: whole hours have it ready.
	from, to := rollup.Second(c.whole.Start), rollup.Second(c.whole.End)
	if first, last := b.Range.MinFirst, b.Range.MaxUpdated; first >= c.whole.Start && last < c.whole.End {
		from, to = rollup.Hours(first, last)
	}
	for _, o := range c.owners {
		before := c.to.Entities()
		if err := c.to.roll(plus, o.Owner, from, to, 1); err != nil {
			return c.unroll(b, err)
		}
		if minus != nil {
			if err := c.to.roll(minus, o.Owner, from, to, -1); err != nil {
				return c.unroll(b, err)
			}
		}
		c.to.bound()
		if o.old && c.to.Entities() > before {
			c.to.Old()
		}
	}
	return nil
}

// unroll gives up a rollup that turned out to be damaged, and what was counted
// with it.
func (c *counting) unroll(b *sealed, err error) error {
	if notCorrupt(err) != nil {
		return err
	}
	b.rolling.Lock()
	defer b.rolling.Unlock()
	_ = c.store.noRollup(b, err)
	return errStale
}

// read counts the settled traces of a block of which something can have been
// received in a window.
func (c *counting) read(n int, w trace.Window) error {
	b := c.snap.blocks[n]
	var memo block.Memo
	for i, e := range b.Received(w) {
		if e.Updated < c.snap.horizon || b.Account(i) != c.account || c.snap.dead[n].gone(i, c.snap.epoch) {
			continue
		}
		src := source{key: key{c.account, e.ID}, base: place{b, i}}
		if _, masked := c.snap.masked[src.base]; masked {
			continue
		}
		if err := c.add(&src, w, &memo, c.to.Add); err != nil {
			return err
		}
	}
	return nil
}

// open counts an open trace. What the rollup of a block has of it goes: the open
// trace has it, too.
func (c *counting) open(i int) error {
	src := &c.snap.opens[i]
	if src.reach().received >= c.window.Start {
		if err := c.add(src, c.window, nil, c.to.Add); err != nil {
			return err
		}
	}
	if !c.rolled[c.snap.scanned[i]] {
		return nil
	}
	return c.add(&source{key: src.key, base: src.base}, c.whole, nil, c.to.Remove)
}

// add adds or removes those observations of a trace that were received in a
// window and belong to the group.
func (c *counting) add(src *source, w trace.Window, keep block.Keeper, to func(*trace.Trace, assemble.Member)) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	defer c.store.alone(src)() // until it is counted
	if c.group == nil {
		t, err := c.store.assembled(src, keep)
		if err != nil {
			return notCorrupt(err)
		}
		to(t, func(received trace.Time) (belongs, old bool) { return w.Contains(received), false })
		return nil
	}
	v := c.store.viewed(src, false)
	if v == nil {
		var err error
		if v, err = c.store.makeView(src, false, keep); err != nil {
			return notCorrupt(err)
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
