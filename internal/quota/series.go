package quota

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// turn is how often old names are forgotten: a name counts for one to two turns after it
// was seen last.
const turn = 12 * time.Hour

// series counts distinct names. After a restart it starts again with none.
type series struct {
	young, old map[uint64]struct{}
	turned     time.Time
}

var seed = maphash.MakeSeed()

// add counts a name, and reports whether that was possible within a limit.
func (s *series) add(name string, limit int64, now time.Time) bool {
	if now.Sub(s.turned) >= turn {
		s.old, s.young, s.turned = s.young, map[uint64]struct{}{}, now
	}
	key := maphash.String(seed, name)
	if _, known := s.young[key]; known {
		return true
	}
	if _, known := s.old[key]; !known && s.count() >= limit {
		return false
	}
	delete(s.old, key)
	s.young[key] = struct{}{}
	return true
}

func (s *series) count() int64 { return int64(len(s.young) + len(s.old)) }

// Series returns a function that counts the names of a segment and of the calls in it,
// and fails with KindThrottled if the account has too many of them. It is nil if there is
// no limit.
func (q *Quotas) Series(id trace.Account) func(*trace.Segment) error {
	a := q.of(context.Background(), id)
	defer a.mu.Unlock()
	if a.limits.Series == 0 {
		return nil
	}
	return func(s *trace.Segment) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.names(&s.Entity, q.now())
	}
}

// names counts the names of an entity and of its subsegments. The caller holds mu.
func (a *account) names(e *trace.Entity, now time.Time) error {
	name := e.Name
	if e.Peer != "" {
		name = e.Peer
	}
	if node := e.Namespace == "aws" || e.Namespace == "remote" || !e.Subsegment; node && !a.series.add(name, a.limits.Series, now) {
		return a.refuse("series", a.limits.Series)
	}
	for _, child := range e.Subsegments {
		if err := a.names(child, now); err != nil {
			return err
		}
	}
	return nil
}
