package answer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Rules implements store.Rules: it answers the questions of a shelf that works in the
// background.
type Rules struct {
	o          Options
	floor      atomic.Int64 // retention by bytes dropped everything below it
	folded     atomic.Int64 // names that graphs do not keep distinct, since the start
	foldedSaid atomic.Int64 // when this was last logged
}

var _ store.Rules = (*Rules)(nil)

// NewRules makes rules for a shelf without answers, to inspect or back it up.
func NewRules(o Options) *Rules {
	r := &Rules{o: o.withDefaults()}
	r.floor.Store(int64(trace.MinTime))
	return r
}

// Restore decodes a stored record into a segment.
func (r *Rules) Restore(rec *trace.Record) (*trace.Segment, error) {
	return r.o.Restore(rec.Source, rec.Raw, rec.Scope, rec.Part, rec.ReceivedAt)
}

// Horizon returns the time before which traces have expired; it is rounded to whole
// seconds if their age decides.
func (r *Rules) Horizon() trace.Time {
	floor := trace.Time(r.floor.Load())
	if r.o.Retention < 0 {
		return floor
	}
	return max(floor, trace.TimeOf(r.o.Now().Add(-r.o.Retention)).FloorSecond())
}

// raise raises the floor.
func (r *Rules) raise(floor trace.Time) {
	for {
		old := r.floor.Load()
		if int64(floor) <= old || r.floor.CompareAndSwap(old, int64(floor)) {
			return
		}
	}
}

// Limit returns how many names graphs keep distinct.
func (r *Rules) Limit() assemble.Limit { return assemble.Limit(r.o.Names) }

// Owners returns a function that lists the versions of groups to which a trace belongs.
// The outline of its summary is enough.
func (r *Rules) Owners(ctx context.Context, account trace.Account) (func(*trace.Trace, *trace.Summary) []store.Owner, error) {
	if r.o.Groups == nil {
		return func(*trace.Trace, *trace.Summary) []store.Owner { return nil }, nil
	}
	versions, err := r.o.Groups(ctx, account)
	if errors.Is(err, store.ErrOwnersUnknown) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("groups of account %s: %w", account, err)
	}
	var owners []store.Owner
	return func(t *trace.Trace, sum *trace.Summary) []store.Owner {
		if len(versions) > 0 && sum.ResponseCauses == nil {
			assemble.Explain(t, sum) // groups may ask for root causes
		}
		owners = owners[:0]
		for i := range versions {
			if v := &versions[i]; v.Has(t, sum) {
				owners = append(owners, store.Owner{ID: v.ID, Received: v.Received})
			}
		}
		return owners
	}, nil
}

// foldedPause is the minimum time between two log lines about folded names.
const foldedPause = 10 * time.Minute

// Folded counts names that were folded into one, and logs it now and then.
func (r *Rules) Folded(names int) {
	if names == 0 {
		return
	}
	r.folded.Add(int64(names))
	now := r.o.Now().UnixNano()
	if last := r.foldedSaid.Load(); now-last > int64(foldedPause) && r.foldedSaid.CompareAndSwap(last, now) {
		r.o.Logger.Warn("too many names of services: graphs count the least frequent ones as one node", "node", assemble.Other.Name, "limit", r.o.Names, "names", names)
	}
}

// Refused passes on observations that contradict earlier ones.
func (r *Rules) Refused(account trace.Account, refused []trace.Refused) {
	if r.o.Refused != nil && len(refused) > 0 {
		r.o.Refused(account, refused)
	}
}
