package answer

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Received is a trace as it was received: its segments in the order of acceptance. They
// are shared and must not be changed.
type Received struct {
	ID       trace.ID
	Segments []*trace.Segment
}

// Received yields those given traces that exist. Damage of one trace does not hide the
// others: a *store.DamagedError at the end names the missing ones.
func (s *Store) Received(ctx context.Context, account trace.Account, ids []trace.ID) iter.Seq2[*Received, error] {
	return func(yield func(*Received, error) bool) {
		if err := s.usable(ctx); err != nil {
			yield(nil, err)
			return
		}
		found, release, err := s.shelf.Find(ctx, account, ids)
		if err != nil {
			yield(nil, err)
			return
		}
		defer release()
		var damaged store.DamagedError
		horizon := s.rules.Horizon()
		for i := range found {
			if found[i].Updated < horizon {
				continue
			}
			segments, err := found[i].Segments(ctx)
			switch {
			case err == nil:
				if !yield(&Received{found[i].ID, segments}, nil) {
					return
				}
			case undamaged(err) != nil:
				yield(nil, err)
				return
			default:
				damaged.IDs, damaged.Err = append(damaged.IDs, found[i].ID), err
			}
		}
		if len(damaged.IDs) > 0 {
			yield(nil, &damaged)
		}
	}
}

// Missing returns those segments that others do not have. Segments are the same if they
// came from the same bytes at the same time.
func Missing(have, all []*trace.Segment) (missing []*trace.Segment) {
	type key struct {
		at   trace.Time
		part uint8
		raw  string
	}
	known := map[key]int{}
	for _, s := range have {
		known[key{s.ReceivedAt, s.Part, string(s.Raw)}]++
	}
	for _, s := range all {
		k := key{s.ReceivedAt, s.Part, string(s.Raw)}
		if known[k] > 0 {
			known[k]--
			continue
		}
		missing = append(missing, s)
	}
	return missing
}

// Holds keep traces that must not disappear (package hold).
type Holds interface {
	// On returns a function that names the holds on a trace of an account.
	On(ctx context.Context, account trace.Account) (func(trace.ID) []string, error)
	// Segments returns the held segments of a trace, nil if it is not held.
	Segments(ctx context.Context, account trace.Account, id trace.ID) ([]*trace.Segment, error)
}

// withHeld returns a trace with its held segments; src is nil if the shelf does not have
// it any more. It returns nil if the shelf has all of it, or nothing is held.
func (s *Store) withHeld(ctx context.Context, account trace.Account, id trace.ID, src *store.Source) (*trace.Trace, error) {
	if s.rules.o.Holds == nil {
		return nil, nil
	}
	segments, err := s.rules.o.Holds.Segments(ctx, account, id)
	if err != nil || len(segments) == 0 {
		return nil, err
	}
	if src != nil {
		have, err := src.Segments(ctx)
		if _, damaged := errors.AsType[*store.DamagedError](err); err != nil && !damaged {
			return nil, err
		}
		more := Missing(have, segments)
		if err == nil && len(more) == 0 {
			return nil, nil
		}
		segments = append(more, have...)
	}
	t := assemble.Trace(id, segments)
	if err := assemble.Render(t, s.rules.o.Text); err != nil {
		return nil, fmt.Errorf("render held trace %s: %w", id, err)
	}
	return t, nil
}
