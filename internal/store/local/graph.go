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

// Graph reads every trace of which something was received in the window, one
// after the other.
func (s *Store) Graph(ctx context.Context, account trace.Account, q store.GraphQuery) (*trace.Graph, error) {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return nil, err
	}
	b := assemble.NewGraph(&q.Window)
	snap := s.snapshot(account)
	defer snap.release()
	add := func(src *source, memo *block.Memo) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		v, err := s.view(src, false, memo)
		if err != nil {
			return notCorrupt(err)
		}
		b.Add(v.trace)
		return nil
	}
	for i := range snap.opens {
		if snap.opens[i].reach().received < q.Window.Start {
			continue
		}
		if err := add(&snap.opens[i], nil); err != nil {
			return nil, err
		}
	}
	for n := range snap.blocks {
		if err := snap.received(n, account, q.Window, add); err != nil {
			return nil, err
		}
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
