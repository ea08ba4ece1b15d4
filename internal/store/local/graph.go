package local

import (
	"context"
	"errors"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Graph aggregates every trace of which something was received in the window.
func (s *Store) Graph(ctx context.Context, account trace.Account, q store.GraphQuery) (*trace.Graph, error) {
	b := assemble.NewGraph(&q.Window)
	if err := s.eachReceived(ctx, account, q.Window, q.Group, b.Add); err != nil {
		return nil, err
	}
	for t, err := range s.Traces(ctx, account, b.Linked()) {
		if err != nil {
			if err := notCorrupt(err); err != nil {
				return nil, err
			}
			continue
		}
		b.Resolve(t)
	}
	return b.Graph(), nil
}

// Series counts every trace of which something was received in the window.
func (s *Store) Series(ctx context.Context, account trace.Account, q store.SeriesQuery) (*trace.Series, error) {
	b := assemble.NewSeries(q.Window, q.Period, q.Of)
	if err := s.eachReceived(ctx, account, assemble.Minutes(q.Window), q.Group, b.Add); err != nil {
		return nil, err
	}
	return b.Series(), nil
}

// eachReceived calls add for each trace of which something can have been received
// in a window and can belong to a group, one after the other.
func (s *Store) eachReceived(ctx context.Context, account trace.Account, w trace.Window, group *store.Group, add func(*trace.Trace, assemble.Member)) error {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return err
	}
	snap := s.snapshot(account)
	defer snap.release()
	each := func(src *source, memo *block.Memo) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		v, err := s.view(src, false, memo)
		if err != nil {
			return notCorrupt(err)
		}
		if member, any := group.Member(v.trace, v.summary); any {
			add(v.trace, member)
		}
		return nil
	}
	for i := range snap.opens {
		if snap.opens[i].reach().received < w.Start {
			continue
		}
		if err := each(&snap.opens[i], nil); err != nil {
			return err
		}
	}
	for n := range snap.blocks {
		if err := snap.received(n, account, w, each); err != nil {
			return err
		}
	}
	return nil
}

// received calls add for the settled traces of a block of which something can
// have been received in a window.
func (snap *snapshot) received(n int, account trace.Account, w trace.Window, add func(*source, *block.Memo) error) error {
	b := snap.blocks[n]
	if b.Range.MaxUpdated < max(w.Start, snap.horizon) || b.Range.MinFirst >= w.End {
		return nil
	}
	selector := b.Select(account, filter.Bounds{})
	if selector.Nothing() {
		return nil
	}
	var memo block.Memo
	for i := range b.Len() {
		e := b.Entry(i)
		if e.Updated < max(w.Start, snap.horizon) || e.First >= w.End || !selector.Account(e) || snap.dead[n].gone(i, snap.epoch) {
			continue
		}
		src := source{key: key{account, e.ID}, base: place{b, i}}
		if _, masked := snap.masked[src.base]; masked {
			continue
		}
		if err := add(&src, &memo); err != nil {
			return err
		}
	}
	return nil
}
