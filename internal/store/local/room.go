package local

import (
	"context"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// room counts the memory of open traces and of batches on their way to them.
type room struct {
	limit int64
	// short holds a token after memory became short: traces should settle early.
	short chan struct{}

	mu      sync.Mutex
	used    int64
	freed   chan struct{} // closed when memory is returned; nil if nobody waits
	stalled string        // why no trace can settle, or ""
}

func newRoom(limit int64) *room { return &room{limit: limit, short: make(chan struct{}, 1)} }

// patience is how long a batch waits for memory.
const patience = time.Second

// reserve takes memory, and waits for it if there is none. Errors: KindThrottled,
// KindUnavailable when traces cannot settle.
func (r *room) reserve(ctx context.Context, closing <-chan struct{}, bytes int64) error {
	var timer *time.Timer
	for {
		freed, ok := r.tryTake(bytes)
		if r.excess() > 0 {
			r.call()
		}
		if ok {
			return nil
		}
		if timer == nil {
			timer = time.NewTimer(patience)
			defer timer.Stop()
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		case <-closing:
			return errClosed()
		case <-timer.C:
			if reason := r.reason(); reason != "" {
				return unavailable("no memory is left and blocks cannot be written: " + reason)
			}
			return trace.Errorf(trace.KindThrottled, "too many segments at once: %d MB of open traces are waiting to be written", r.limit>>20)
		}
	}
}

// call tells the settler that memory is short.
func (r *room) call() {
	select {
	case r.short <- struct{}{}:
	default:
	}
}

// tryTake takes memory if there is room; else freed is closed when asking again makes
// sense. A batch larger than the limit is taken alone.
func (r *room) tryTake(n int64) (freed <-chan struct{}, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used == 0 || r.used+n <= r.limit {
		r.used += n
		return nil, true
	}
	if r.freed == nil {
		r.freed = make(chan struct{})
	}
	return r.freed, false
}

// take takes memory whether there is room or not.
func (r *room) take(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used += n
}

func (r *room) give(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used -= n
	if r.freed != nil && n > 0 {
		close(r.freed)
		r.freed = nil
	}
}

// ample tells whether half of the memory is free.
func (r *room) ample() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used < r.limit/2
}

// excess returns how much memory should be returned: down to a half and at least
// an eighth of the limit, once three quarters are used or somebody waits.
func (r *room) excess() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used > r.limit*3/4 || r.freed != nil {
		return max(r.limit/8, r.used-r.limit/2)
	}
	return 0
}

// stall sets why no trace can settle, "" when traces can again, and returns the
// reason before.
func (r *room) stall(reason string) (before string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, r.stalled = r.stalled, reason
	return before
}

func (r *room) reason() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stalled
}
