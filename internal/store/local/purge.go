package local

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// purgeRounds is how often Purge tries: traces that arrive meanwhile may keep a log file
// that also holds deleted ones.
const purgeRounds = 5

// Purge takes everything that was deleted before the call off the disk: from the log, from
// blocks and from their tables.
func (s *Shelf) Purge(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	limit := trace.TimeOf(s.base.Now())
	left := 0
	for range purgeRounds {
		if due, _ := s.state.catalog.tombstones.due(limit); len(due) == 0 {
			return nil
		}
		// Open traces keep the log files that also hold deleted ones: they settle.
		if err := s.settler.flushNow(ctx); err != nil {
			return err
		}
		if _, err := s.log.newFile(ctx); err != nil {
			return err
		}
		s.merger.asked.Store(int64(limit))
		s.merger.purge()
		due, _ := s.state.catalog.tombstones.due(limit)
		if left = len(due); left == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return trace.Errorf(trace.KindUnavailable, "%d deleted traces are still on the disk: a block with them is damaged, or their files cannot be removed now; the log names the reason", left)
}
