package room

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Turns shares processors among accounts. One account alone is never held up. While
// several accounts are present, each may do only its part of the processors' work at the
// same time, at least one piece, and its other pieces wait in a line. So an account whose
// requests come one at a time finds a processor, however many requests another one sends.
// Its methods may be called by many goroutines.
type Turns struct {
	processors int
	now        func() time.Time

	mu    sync.Mutex
	lines map[trace.Account]*line // of the accounts that are present
	swept time.Time
}

// line is the work of one account.
type line struct {
	running int
	waiting []chan struct{} // oldest first; closed when the turn comes
	seen    time.Time
}

// NewTurns makes Turns.
func NewTurns(processors int) *Turns {
	return &Turns{processors: processors, now: time.Now, lines: map[trace.Account]*line{}}
}

// Wait waits for a turn of an account. The caller calls done at the end of the work, once
// or more often. It fails only with the error of ctx. Turns may be nil: then nothing waits.
func (t *Turns) Wait(ctx context.Context, account trace.Account) (done func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	t.mu.Lock()
	l := t.present(account)
	if l.running < t.share() && len(l.waiting) == 0 {
		l.running++
		t.mu.Unlock()
		return t.done(l), nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return t.done(l), nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(l.waiting, turn); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		return func() {}, ctx.Err()
	}
	l.running-- // the turn came in the same moment
	t.next()
	return func() {}, ctx.Err()
}

func (t *Turns) done(l *line) func() {
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		l.running--
		t.next()
	})
}

// share returns how many turns each account may have now. The caller holds mu.
func (t *Turns) share() int {
	if len(t.lines) < 2 {
		return 1 << 30
	}
	return max(1, t.processors/len(t.lines))
}

// next gives turns to the oldest waiters of each account. The caller holds mu.
func (t *Turns) next() {
	t.sweep()
	share := t.share()
	for _, l := range t.lines {
		for len(l.waiting) > 0 && l.running < share {
			close(l.waiting[0])
			l.waiting = l.waiting[1:]
			l.running++
		}
	}
}

// present finds or makes the line of an account. The caller holds mu.
func (t *Turns) present(account trace.Account) *line {
	l := t.lines[account]
	if l == nil {
		l = &line{}
		t.lines[account] = l
	}
	l.seen = t.now()
	t.sweep()
	return l
}

// sweep removes accounts that are no longer present, at most once a second. The caller
// holds mu.
func (t *Turns) sweep() {
	now := t.now()
	if now.Sub(t.swept) < time.Second {
		return
	}
	t.swept = now
	for account, l := range t.lines {
		if l.running == 0 && len(l.waiting) == 0 && now.Sub(l.seen) > lasting {
			delete(t.lines, account)
		}
	}
}
