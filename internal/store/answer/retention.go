package answer

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Keep tells how long the traces of an account are kept after their last receipt. A
// trace that belongs to groups is kept as long as the longest of their times, any other
// for Default.
type Keep struct {
	Default time.Duration
	Groups  []GroupKeep
}

// GroupKeep is how long the traces of a group are kept.
type GroupKeep struct {
	Group *Group
	For   time.Duration
}

// of returns how long a trace is kept.
func (k *Keep) of(v *view) time.Duration {
	longest, any := time.Duration(0), false
	for _, g := range k.Groups {
		if _, belongs := g.Group.Member(v.trace, v.summary); belongs {
			longest, any = max(longest, g.For), true
		}
	}
	if !any {
		return k.Default
	}
	return longest
}

// times lists the distinct times that traces are kept.
func (k *Keep) times() []time.Duration {
	list := []time.Duration{k.Default}
	for _, g := range k.Groups {
		list = append(list, g.For)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

const (
	// sizePause is the time between two checks of the stored size.
	sizePause = 5 * time.Second
	// sweepPause is the time between two searches for traces that expired by the rules
	// of their account or group.
	sweepPause = time.Minute
	// sweepSlack is how far a sweep goes back before the last one: the shelf may learn
	// late how old a trace is.
	sweepSlack = time.Hour
)

// retain applies the rules of retention until the store closes.
func (s *Store) retain() {
	size, sweep := time.NewTicker(sizePause), time.NewTicker(sweepPause)
	defer size.Stop()
	defer sweep.Stop()
	s.Sweep(s.closing)
	s.Shrink(s.closing)
	for {
		select {
		case <-s.closing.Done():
			return
		case <-size.C:
			s.Shrink(s.closing)
		case <-sweep.C:
			s.Sweep(s.closing)
		}
	}
}

// Sweep deletes the traces that expired by Options.Keep since the last sweep. It runs
// by itself every minute.
func (s *Store) Sweep(ctx context.Context) {
	if s.rules.o.Keep == nil {
		return
	}
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	now := trace.TimeOf(s.rules.o.Now())
	accounts, err := s.shelf.Accounts(ctx)
	for _, account := range accounts {
		if err != nil {
			break
		}
		from, late := s.behind[account]
		if !late {
			from = s.swept
		}
		err = s.sweepAccount(ctx, account, trace.Window{Start: from, End: now})
		if trace.KindOf(err) == trace.KindUnavailable && ctx.Err() == nil {
			// Its key is away: the others are swept, and it is when the key is back.
			s.behind[account], err = from, nil
		} else if err == nil {
			delete(s.behind, account)
		}
	}
	if err != nil {
		if ctx.Err() == nil {
			s.rules.o.Logger.Warn("expired traces are not deleted yet", "error", err)
		}
		return
	}
	s.swept = now
}

// sweepAccount deletes the traces of an account that expired in a window.
func (s *Store) sweepAccount(ctx context.Context, account trace.Account, w trace.Window) error {
	now := w.End
	keep, err := s.rules.o.Keep(ctx, account)
	if err != nil {
		return err
	}
	d := deletion{store: s, account: account}
	for _, t := range keep.times() {
		ended := trace.Window{Start: w.Start - trace.Time(sweepSlack) - trace.Time(t), End: now - trace.Time(t)}
		scan := &store.Scan{By: store.ByReceipt, From: ended.Start, Before: store.Position{Time: ended.End}, Horizon: s.rules.Horizon()}
		for c, err := range s.shelf.Candidates(ctx, account, scan) {
			if err == nil && c.Settling {
				continue // its times are not known yet; because of the slack a later sweep sees it
			}
			if err == nil {
				err = s.sweepOne(ctx, &d, &keep, c, now)
			}
			if err != nil {
				return err
			}
		}
	}
	err = d.flush(ctx)
	if d.deleted > 0 {
		s.rules.o.Logger.Info("expired traces are deleted", "account", account, "traces", d.deleted)
	}
	return err
}

// sweepOne deletes a trace if it has expired, unless segments arrive meanwhile.
func (s *Store) sweepOne(ctx context.Context, d *deletion, keep *Keep, c *store.Candidate, now trace.Time) error {
	kept := keep.Default
	if len(keep.Groups) > 0 {
		v, err := s.view(ctx, d.account, &c.Source, false)
		if err != nil {
			return undamaged(err)
		}
		kept = keep.of(v)
	}
	if c.Updated+trace.Time(kept) >= now {
		return nil
	}
	return d.add(ctx, store.Tombstone{ID: c.ID, UpTo: c.Seq})
}

// Shrink drops the oldest traces while the stored data is larger than
// Options.RetentionBytes. Older data in other portions is dropped with them, so that an
// answer never has gaps in the middle. It runs by itself.
func (s *Store) Shrink(ctx context.Context) {
	limit := s.rules.o.RetentionBytes
	if limit <= 0 {
		return
	}
	s.shrinking.Lock()
	defer s.shrinking.Unlock()
	portions, err := s.shelf.Portions(ctx)
	floor, any := floorFor(portions, limit, s.rules.Horizon())
	if err == nil && any {
		s.rules.o.Logger.Info("the oldest traces are dropped: the stored data is larger than --retention-bytes", "limit", limit)
		if err = s.shelf.Expire(ctx, floor); err == nil {
			s.rules.raise(floor)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.rules.o.Logger.Warn("the stored data cannot be reduced to --retention-bytes", "error", err)
	}
}

// floorFor returns the floor to set so that the stored data fits the limit; any is
// false if nothing must be dropped.
func floorFor(portions []store.Portion, limit int64, horizon trace.Time) (floor trace.Time, any bool) {
	portions = slices.DeleteFunc(portions, func(p store.Portion) bool { return p.Updated < horizon })
	slices.SortFunc(portions, func(a, b store.Portion) int { return cmp.Compare(a.Updated, b.Updated) })
	var sum int64
	for _, p := range portions {
		sum += p.Bytes
	}
	for _, p := range portions {
		if sum <= limit {
			break
		}
		sum -= p.Bytes
		floor, any = p.Updated+1, true
	}
	return floor, any
}
