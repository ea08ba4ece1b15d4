// Package room shares a bounded amount of something, mostly bytes of memory, among
// accounts, so that one that floods the server does not keep others out.
//
// An account that is alone may take all. As soon as another one asks, none may hold
// more than is left free after it: so of n accounts that flood, each gets 1/(n+1),
// and as much is free for the next one (the "dynamic threshold" of shared-memory
// switches: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998).
// The only request of an account may always take what is free, however much.
package room

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// lasting is how long an account counts as present after it last asked.
const lasting = time.Minute

// Room is an amount that requests take and return. Its methods may be called by
// many goroutines.
type Room struct {
	limit int64
	now   func() time.Time

	mu     sync.Mutex
	used   int64
	shares map[trace.Account]*share // of accounts that are present
	last   *share                   // that was looked up last
	swept  time.Time
	tick   int64 // counts waiters
}

// share counts the amounts that one account holds and waits for.
type share struct {
	account trace.Account
	held    int64
	waiting []*waiter // oldest first
	seen    time.Time // while there are other accounts
}

type waiter struct {
	turn    int64
	amount  int64
	granted chan struct{}
}

// New makes a Room of a size.
func New(limit int64) *Room {
	return &Room{limit: limit, now: time.Now, shares: map[trace.Account]*share{}}
}

// Verdict says what became of an attempt to take.
type Verdict int

// The verdicts.
const (
	Granted Verdict = iota
	Full            // all of the room is taken
	Over            // there is room, but the account holds its share of it
)

// Try takes an amount for an account, or nothing. own is how much of the
// amount that the account holds belongs to the same request.
func (r *Room) Try(account trace.Account, amount, own int64) Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.share(account)
	v := r.judge(s, amount, own)
	if v == Granted {
		s.held += amount
		r.used += amount
	}
	return v
}

// Wait takes an amount, at most all of the room, for an account as soon as its turn
// comes. Requests of one account wait in line; the lines of accounts that hold less
// than their share wait by age. It fails only with the error of ctx.
func (r *Room) Wait(ctx context.Context, account trace.Account, amount int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waiter{amount: min(amount, r.limit), granted: make(chan struct{})}
	r.mu.Lock()
	s := r.share(account)
	r.tick++
	w.turn = r.tick
	s.waiting = append(s.waiting, w)
	r.admit()
	r.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(s.waiting, w)
	if i < 0 {
		return nil // granted in the same moment
	}
	s.waiting = slices.Delete(s.waiting, i, i+1)
	r.admit()
	return ctx.Err()
}

// Give returns an amount that was taken for an account.
func (r *Room) Give(account trace.Account, amount int64) {
	if amount == 0 {
		return // this must not make the account present
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.share(account).held -= amount
	r.used -= amount
	r.admit()
}

// Used is how much is taken.
func (r *Room) Used() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// Held is how much an account holds.
func (r *Room) Held(account trace.Account) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.shares[account]; s != nil {
		return s.held
	}
	return 0
}

// Limit is the size of the room.
func (r *Room) Limit() int64 { return r.limit }

// judge says whether a share may grow. The caller holds mu.
func (r *Room) judge(s *share, amount, own int64) Verdict {
	free := r.limit - r.used - amount // afterwards
	switch {
	case len(r.shares) > 1 && s.held > own && s.held+amount > free:
		return Over
	case free < 0:
		return Full
	}
	return Granted
}

// share finds or makes the share of an account, which is present from now on. The
// caller holds mu.
func (r *Room) share(account trace.Account) *share {
	s := r.last
	if s == nil || s.account != account {
		if s = r.shares[account]; s == nil {
			s = &share{account: account}
			r.shares[account] = s
			if len(r.shares) == 2 && r.last != nil {
				r.last.seen = r.now() // it was alone, and nobody looked at the clock
			}
		}
		r.last = s
	}
	if len(r.shares) > 1 {
		s.seen = r.now()
		r.sweep(s)
	}
	return s
}

// sweep forgets accounts that are present no longer, at most once a second. The
// caller holds mu.
func (r *Room) sweep(but *share) {
	if but.seen.Sub(r.swept) < time.Second {
		return
	}
	r.swept = but.seen
	for account, s := range r.shares {
		if s != but && s.held == 0 && len(s.waiting) == 0 && but.seen.Sub(s.seen) > lasting {
			delete(r.shares, account)
		}
	}
}

// admit grants what those in line wait for. A request that waits for others to give
// theirs back holds up younger ones of every account, or large ones would never get
// in; one that waits for its own account holds up that account alone. The caller
// holds mu.
func (r *Room) admit() {
	for {
		var next *share
		for _, s := range r.shares {
			if len(s.waiting) > 0 && (next == nil || s.waiting[0].turn < next.waiting[0].turn) && r.judge(s, s.waiting[0].amount, 0) != Over {
				next = s
			}
		}
		if next == nil || r.judge(next, next.waiting[0].amount, 0) == Full {
			return
		}
		w := next.waiting[0]
		next.waiting = slices.Delete(next.waiting, 0, 1)
		next.held += w.amount
		r.used += w.amount
		close(w.granted)
	}
}
