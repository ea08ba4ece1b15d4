package local

import (
	"context"
	"errors"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// heaviest is the largest weight of a block's traces.
func heaviest(b *sealed) (most int64) {
	for i := range b.Len() {
		src := source{base: place{b, i}}
		most = max(most, src.weight())
	}
	return most
}

// Estimate tells how much memory a question takes.
func (s *Shelf) Estimate(ctx context.Context, account trace.Account, q store.EstimateQuery) (store.Estimate, error) {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return store.Estimate{}, err
	}
	if q.Sums {
		return s.estimateSums(account, q.Window), nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := store.Estimate{Largest: s.heaviestOpen(account, q.Window)}
	for _, b := range s.blocks {
		r := &b.Range
		if max(r.MaxStart, r.MaxEnd, r.MaxUpdated) >= q.Window.Start && min(r.MinStart, r.MinFirst) < q.Window.End {
			e.Largest = max(e.Largest, b.heaviest)
		}
	}
	return e, nil
}

// heaviestOpen is the weight of the largest open trace of a window. The mutex is held.
func (s *Shelf) heaviestOpen(account trace.Account, w trace.Window) (most int64) {
	for _, o := range s.head.accounts[account] {
		src := source{parts: o.parts}
		if reach := src.reach(); max(reach.maxStart, reach.received) < w.Start {
			continue
		}
		if o.reopened {
			if p, ok := s.table.get(o.key); ok {
				src.base = p
			}
		}
		most = max(most, src.weight())
	}
	return most
}

func (s *Shelf) estimateSums(account trace.Account, w trace.Window) store.Estimate {
	owner := rollup.Owner{Account: account}
	s.mu.RLock()
	e := store.Estimate{Largest: s.heaviestOpen(account, w), Settling: len(s.head.accounts[account])}
	var blocks []*sealed
	for _, b := range s.blocks {
		if b.Range.MaxUpdated >= w.Start && b.Range.MinFirst < w.End {
			b.Acquire()
			blocks = append(blocks, b)
		}
	}
	s.mu.RUnlock()
	for _, b := range blocks {
		b.rolling.Lock()
		f, err := s.openRollup(b)
		b.rolling.Unlock()
		b.Release()
		if err != nil {
			e.Largest = max(e.Largest, b.heaviest) // its traces are loaded
			continue
		}
		nodes, edges, size := f.Size(owner, rollup.Second(w.Start), rollup.Second(w.End))
		e.Nodes, e.Edges = e.Nodes+nodes, e.Edges+edges
		e.SumBytes, e.LargestSum = e.SumBytes+size, max(e.LargestSum, size)
	}
	return e
}
