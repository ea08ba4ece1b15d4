package answer

import (
	"context"
	"strings"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// deletionStep is how many traces are deleted at a time, so that readers and writers
// never wait long.
const deletionStep = 4096

// Delete deletes whole traces and returns how many existed. When it returns nil the
// deletion is durable and every later call honours it: traces, summaries, graphs. The
// shelf removes the data from the disk within a day. A segment that arrives later
// starts a new trace. Held traces stay: their ids are refused with KindConflict, a window
// leaves them out. On error some of the traces may be deleted; the number counts
// those that certainly are. Errors: KindInvalid for a query that names both ids and a
// filter or neither ids nor a window, KindUnavailable as for Append.
func (s *Store) Delete(ctx context.Context, account trace.Account, q DeleteQuery) (int, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	switch {
	case len(q.IDs) > 0 && (q.Filter != nil || q.Window != trace.Window{}):
		return 0, trace.Errorf(trace.KindInvalid, "a deletion names ids or a window, not both")
	case len(q.IDs) == 0 && q.Window.Start >= q.Window.End:
		return 0, trace.Errorf(trace.KindInvalid, "a deletion names ids, or a window that ends after it starts")
	}
	holds := func(trace.ID) []string { return nil }
	if s.rules.o.Holds != nil {
		var err error
		if holds, err = s.rules.o.Holds.On(ctx, account); err != nil {
			return 0, err
		}
	}
	for _, id := range q.IDs {
		if names := holds(id); len(names) > 0 {
			return 0, trace.Errorf(trace.KindConflict, "trace %s is held by %s: it can be deleted when the hold is released", id, strings.Join(names, ", "))
		}
	}
	d := deletion{store: s, account: account}
	for _, id := range q.IDs {
		if err := d.add(ctx, store.Tombstone{ID: id}); err != nil {
			return d.deleted, err
		}
	}
	if len(q.IDs) == 0 {
		for sum, err := range s.Summaries(ctx, account, &SummaryQuery{Window: q.Window, Clock: trace.ClockTraceID, Filter: q.Filter}) {
			if err == nil && len(holds(sum.ID)) == 0 {
				err = d.add(ctx, store.Tombstone{ID: sum.ID})
			}
			if err != nil {
				return d.deleted, err
			}
		}
	}
	err := d.flush(ctx)
	return d.deleted, err
}

// Purge takes everything that was deleted before the call off the disk. Assembled traces in
// memory are forgotten when they are not used.
func (s *Store) Purge(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	return s.shelf.Purge(ctx)
}

// deletion collects tombstones and buries them in steps.
type deletion struct {
	store   *Store
	account trace.Account
	stones  []store.Tombstone
	deleted int
}

func (d *deletion) add(ctx context.Context, stone store.Tombstone) error {
	if d.stones = append(d.stones, stone); len(d.stones) < deletionStep {
		return nil
	}
	return d.flush(ctx)
}

func (d *deletion) flush(ctx context.Context) error {
	if len(d.stones) == 0 {
		return nil
	}
	n, err := d.store.shelf.Bury(ctx, d.account, d.stones, d.store.rules.Horizon())
	d.deleted += n
	d.stones = nil // the shelf may keep them
	return err
}
