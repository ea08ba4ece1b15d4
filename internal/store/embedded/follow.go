package embedded

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// followInterval is the least time between two events for one follower.
const followInterval = 250 * time.Millisecond

// followers are told when something was stored.
type followers struct {
	mu   sync.Mutex
	list map[*follower]struct{}
}

// follower gathers events between two looks.
type follower struct {
	pending map[trace.Account]store.Event
	wake    chan struct{}
}

func (f *followers) publish(account trace.Account, segments int, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.list {
		e := l.pending[account]
		l.pending[account] = store.Event{Account: account, Segments: e.Segments + segments, Time: trace.TimeOf(now)}
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Follow implements store.Store.
func (s *Store) Follow(ctx context.Context) iter.Seq[store.Event] {
	return func(yield func(store.Event) bool) {
		l := &follower{pending: map[trace.Account]store.Event{}, wake: make(chan struct{}, 1)}
		f := &s.followers
		f.mu.Lock()
		if f.list == nil {
			f.list = map[*follower]struct{}{}
		}
		f.list[l] = struct{}{}
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			delete(f.list, l)
			f.mu.Unlock()
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.stop:
				return
			case <-l.wake:
			}
			f.mu.Lock()
			events := l.pending
			l.pending = map[trace.Account]store.Event{}
			f.mu.Unlock()
			for _, e := range events {
				if !yield(e) {
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(followInterval):
			}
		}
	}
}
