// Package room shares a limited amount, usually bytes of memory, among accounts, so
// that one account that floods the server does not lock out others.
//
// One account alone may take all. When another account makes a request, no account may
// hold more than the amount that stays free: n accounts that flood the server get
// 1/(n+1) each, and the same amount is free for the next one (the "dynamic threshold"
// of shared-memory switches: Choudhury and Hahne, IEEE/ACM Transactions on Networking
// 6(2), 1998). The only request of an account may always take everything that is free.
package room

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// lasting is how long an account counts as present after its last request.
const lasting = time.Minute

// Room is an amount that requests take and return. Its methods may be called by
// many goroutines.
type Room struct {
	limit int64
	now   func() time.Time

	mu     sync.Mutex
	used   int64
	shares map[trace.Account]*share // of the accounts that are present
	last   *share                   // the share that was looked up last
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

// New makes a Room with a limit.
func New(limit int64) *Room {
	return &Room{limit: limit, now: time.Now, shares: map[trace.Account]*share{}}
}

// Verdict is the result of an attempt to take an amount.
type Verdict int

// The verdicts.
const (
	Granted Verdict = iota
	Full            // all of the room is taken
	Over            // there is room, but the account holds its share of it
)

// Try takes an amount for an account, or nothing. own is the part of the account's held
// amount that belongs to the same request.
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

// Wait takes an amount, at most the limit of the room, for an account when its turn
// comes. Requests of one account wait in a line; the oldest request goes first among
// the lines of accounts that hold less than their share. It fails only with the error
// of ctx.
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

// Used returns how much is taken.
func (r *Room) Used() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// Held returns how much an account holds.
func (r *Room) Held(account trace.Account) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.shares[account]; s != nil {
		return s.held
	}
	return 0
}

// Limit returns the size of the room.
func (r *Room) Limit() int64 { return r.limit }

// judge tells whether a share may grow. The caller holds mu.
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

// share finds or makes the share of an account, which counts as present from now on.
// The caller holds mu.
func (r *Room) share(account trace.Account) *share {
	s := r.last
	if s == nil || s.account != account {
		if s = r.shares[account]; s == nil {
			s = &share{account: account}
			r.shares[account] = s
			if len(r.shares) == 2 && r.last != nil {
				r.last.seen = r.now() // it was alone, and seen was not updated
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

// sweep removes accounts that are no longer present, at most once a second. The caller
// holds mu.
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

// admit grants the amounts that requests wait for. A request that waits for other
// accounts blocks younger requests of every account: otherwise large requests would
// never get in. A request that waits for its own account blocks only that account. The
// caller holds mu.
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
