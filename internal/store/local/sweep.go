package local

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Keep says how long the traces of an account are kept, counted from their last
// receipt: those that belong to groups as long as the longest of these, the
// others for Default.
type Keep struct {
	Default time.Duration
	Groups  []GroupKeep
}

// GroupKeep is how long the traces of a group are kept.
type GroupKeep struct {
	Group *store.Group
	For   time.Duration
}

// of is how long a trace is kept.
func (k *Keep) of(t *trace.Trace, s *trace.Summary) time.Duration {
	longest, any := time.Duration(0), false
	for _, g := range k.Groups {
		if _, belongs := g.Group.Member(t, s); belongs {
			longest, any = max(longest, g.For), true
		}
	}
	if !any {
		return k.Default
	}
	return longest
}

// crossed says whether one of the times ended between two instants for what was
// received last at another.
func (k *Keep) crossed(received, from, to trace.Time) bool {
	ended := func(d time.Duration) bool {
		end := received + trace.Time(d)
		return end >= from && end < to
	}
	if ended(k.Default) {
		return true
	}
	for _, g := range k.Groups {
		if ended(g.For) {
			return true
		}
	}
	return false
}

// sweep deletes the settled traces whose time of Options.Keep ended since the
// last sweep. What Options.Retention ends goes with its whole block.
func (s *Store) sweep() {
	if s.o.Keep == nil {
		return
	}
	s.merging.Lock()
	defer s.merging.Unlock()
	now := trace.TimeOf(s.o.Now())
	keeps := map[trace.Account]*Keep{}
	blocks := s.acquireBlocks()
	defer func() {
		for _, b := range blocks {
			b.Release()
		}
	}()
	var d deletion
	var account trace.Account
	flush := func() error {
		if len(d.ids) == 0 {
			return nil
		}
		n, err := s.deleteSome(context.Background(), account, d)
		d = deletion{}
		if n > 0 {
			s.o.Logger.Info("traces are over the time they are kept", "account", account, "traces", n)
		}
		return err
	}
	for _, b := range blocks {
		var memo block.Memo
		for i, e := range b.Received(trace.Window{Start: s.horizon(), End: now}) {
			if b.Account(i) != account || len(d.ids) == deletionStep {
				if err := flush(); err != nil {
					s.o.Logger.Warn("traces over their time are not deleted yet", "error", err)
					return
				}
				account = b.Account(i)
			}
			over, err := s.over(b, i, now, keeps, &memo)
			if err != nil {
				s.o.Logger.Warn("traces over their time are not deleted yet", "error", err)
				return
			}
			if over {
				d.ids, d.upTo = append(d.ids, e.ID), append(d.upTo, e.LSN)
			}
		}
	}
	if err := flush(); err != nil {
		s.o.Logger.Warn("traces over their time are not deleted yet", "error", err)
		return
	}
	s.swept = now
}

// over says whether the time ended that a settled trace is kept.
func (s *Store) over(b *sealed, i int, now trace.Time, keeps map[trace.Account]*Keep, keep block.Keeper) (bool, error) {
	account, e := b.Account(i), b.Entry(i)
	k := keeps[account]
	if k == nil {
		keep, err := s.o.Keep(account)
		if err != nil {
			return false, err
		}
		k = &keep
		keeps[account] = k
	}
	// What came to its block late was not there for the last sweep.
	if !k.crossed(e.Updated, s.swept-trace.Time(time.Hour), now) {
		return false, nil
	}
	s.mu.RLock()
	newest, known := s.table.get(key{account, e.ID})
	s.mu.RUnlock()
	if !known || newest != (place{b, i}) {
		return false, nil
	}
	if len(k.Groups) == 0 {
		return e.Updated+trace.Time(k.Default) < now, nil
	}
	v, err := s.view(&source{key: key{account, e.ID}, base: place{b, i}}, false, keep)
	if err != nil {
		return false, notCorrupt(err)
	}
	return e.Updated+trace.Time(k.of(v.trace, v.summary)) < now, nil
}
