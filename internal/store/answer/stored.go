package answer

import (
	"context"
	"iter"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// StoredTrace is a trace as it is stored: its segments in the order of acceptance. They
// are shared and must not be changed.
type StoredTrace struct {
	ID       trace.ID
	Seq      store.Seq // of its newest batch
	Updated  trace.Time
	Segments []*trace.Segment
}

// Stored yields the traces that were last received at or before a time, and not before
// another one: the latest first. It leaves out damaged traces, which Stats names.
func (s *Store) Stored(ctx context.Context, account trace.Account, received trace.Window) iter.Seq2[*StoredTrace, error] {
	return func(yield func(*StoredTrace, error) bool) {
		if err := s.usable(ctx); err != nil {
			yield(nil, err)
			return
		}
		before := highest
		if received.End < trace.MaxTime {
			before = store.Position{Time: received.End, ID: lastID}
		}
		scan := store.Scan{By: store.ByReceipt, From: received.Start, Before: before, Horizon: s.rules.Horizon()}
		for candidate, err := range s.shelf.Candidates(ctx, account, &scan) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if candidate.Updated < received.Start || candidate.Updated > received.End {
				continue
			}
			segments, err := candidate.Segments(ctx)
			if undamaged(err) != nil {
				yield(nil, err)
				return
			}
			if err != nil {
				continue
			}
			if !yield(&StoredTrace{candidate.ID, candidate.Seq, candidate.Updated, segments}, nil) {
				return
			}
		}
	}
}
