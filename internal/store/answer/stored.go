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
	Open     bool // still arriving: it comes before its place in the order
	Segments []*trace.Segment
}

// Stored yields the traces that were last received at a time or later and that are wanted
// by the time of their last receipt (nil: all): the latest first. It leaves out damaged
// traces, which Stats names.
func (s *Store) Stored(ctx context.Context, account trace.Account, from trace.Time, wanted func(received trace.Time) bool) iter.Seq2[*StoredTrace, error] {
	return func(yield func(*StoredTrace, error) bool) {
		if err := s.usable(ctx); err != nil {
			yield(nil, err)
			return
		}
		scan := store.Scan{By: store.ByReceipt, From: from, Before: highest, Horizon: s.rules.Horizon()}
		for candidate, err := range s.shelf.Candidates(ctx, account, &scan) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if candidate.Updated < from || wanted != nil && !wanted(candidate.Updated) {
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
			if !yield(&StoredTrace{candidate.ID, candidate.Seq, candidate.Updated, candidate.Settling, segments}, nil) {
				return
			}
		}
	}
}

// Find returns a trace as Stored does; nil if there is none.
func (s *Store) Find(ctx context.Context, account trace.Account, id trace.ID) (*StoredTrace, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	found, release, err := s.shelf.Find(ctx, account, []trace.ID{id})
	if err != nil {
		return nil, err
	}
	defer release()
	if len(found) == 0 || found[0].Updated < s.rules.Horizon() {
		return nil, nil
	}
	segments, err := found[0].Segments(ctx)
	if err != nil {
		return nil, undamaged(err)
	}
	return &StoredTrace{id, found[0].Seq, found[0].Updated, false, segments}, nil
}

// Rewrite replaces all segments of a trace by others, given as records in the order of
// acceptance, and returns whether it did: not if the trace has changed since it was read.
// When it returns true the change is durable and every later call honours it.
func (s *Store) Rewrite(ctx context.Context, account trace.Account, t *StoredTrace, records []trace.Record) (bool, error) {
	if err := s.usable(ctx); err != nil {
		return false, err
	}
	r := store.Replacement{ID: t.ID, Seq: t.Seq}
	for i := range records {
		seg, err := s.rules.Restore(&records[i])
		if err != nil {
			return false, trace.Errorf(trace.KindInvalid, "trace %s cannot be read after the change: %v", t.ID, err)
		}
		r.Segments = append(r.Segments, seg)
	}
	return s.shelf.Replace(ctx, account, r)
}

// Accounts lists the accounts that have traces.
func (s *Store) Accounts(ctx context.Context) ([]trace.Account, error) { return s.shelf.Accounts(ctx) }
