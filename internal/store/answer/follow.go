package answer

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// followPause is the minimum time between two rounds of events to one follower.
const followPause = 250 * time.Millisecond

// followers are told of every append; events that a follower has not read yet are
// merged.
type followers struct {
	mu  sync.Mutex
	all map[*follower]struct{}
}

type follower struct {
	filled chan struct{} // holds one token when pending is not empty

	mu      sync.Mutex
	pending map[trace.Account]Event
}

func (f *followers) add(one *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil {
		f.all = map[*follower]struct{}{}
	}
	f.all[one] = struct{}{}
}

func (f *followers) remove(one *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, one)
}

func (f *followers) tell(account trace.Account, segments int, at trace.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for one := range f.all {
		one.tell(account, segments, at)
	}
}

func (f *follower) tell(account trace.Account, segments int, at trace.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending[account] = Event{Account: account, Segments: f.pending[account].Segments + segments, Time: at}
	select {
	case f.filled <- struct{}{}:
	default:
	}
}

func (f *follower) take() map[trace.Account]Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := f.pending
	f.pending = map[trace.Account]Event{}
	return events
}

// Follow yields one event for each account with appends after this call, at most four
// times a second. It ends with ctx or with the store.
func (s *Store) Follow(ctx context.Context) iter.Seq[Event] {
	one := &follower{filled: make(chan struct{}, 1), pending: map[trace.Account]Event{}}
	s.followers.add(one)
	stop := context.AfterFunc(ctx, func() { s.followers.remove(one) })
	return func(yield func(Event) bool) {
		defer func() {
			stop()
			s.followers.remove(one)
		}()
		for {
			select {
			case <-one.filled:
			case <-ctx.Done():
				return
			case <-s.closing.Done():
				return
			}
			for _, event := range one.take() {
				if ctx.Err() != nil || !yield(event) {
					return
				}
			}
			pause := time.NewTimer(followPause)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return
			case <-s.closing.Done():
				pause.Stop()
				return
			}
		}
	}
}
