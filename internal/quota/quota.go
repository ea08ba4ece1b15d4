// Package quota limits what each account may send, keep distinct and ask, so that one
// tenant cannot take a server from the others. Without limits it costs nothing.
//
// Rates are token buckets with debt: a request enters while the bucket holds anything,
// and then takes all it needs. So a large request is never impossible, the average stays
// exact, and a request is stored whole or refused whole. A request that comes too early
// waits up to a second before it is refused: most senders are slowed down, and those that
// do not slow down cannot spin.
package quota

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Limits are the quotas of an account. 0 means no limit.
type Limits struct {
	Spans   int64 `json:"spans,omitempty"`   // segments, subsegment documents and spans a second
	Bytes   int64 `json:"bytes,omitempty"`   // bytes of requests and datagrams a second, as sent
	Series  int64 `json:"series,omitempty"`  // distinct names of services and of the calls they make, in a day
	Queries int64 `json:"queries,omitempty"` // requests that read traces, a second
	Scans   int64 `json:"scans,omitempty"`   // requests that read many traces, at the same time
}

const (
	// burst is how much of its rate an idle account may use at once.
	burst = 2 * time.Second
	// patience is how long a request waits for its account's bucket.
	patience = time.Second
	// fresh is how long limits are used before the records are read again.
	fresh = 5 * time.Second
	// keepAccounts bounds how many accounts are remembered.
	keepAccounts = 10_000
)

// Options of Quotas.
type Options struct {
	Store    meta.Store
	Defaults Limits // of accounts without a record
	Now      func() time.Time
	Logger   *slog.Logger
}

// Quotas applies limits. Its methods may be called by many goroutines.
type Quotas struct {
	store    meta.Store
	defaults Limits
	now      func() time.Time
	log      *slog.Logger

	mu       sync.Mutex
	accounts map[trace.Account]*account
}

// account is the state of one account.
type account struct {
	mu                    sync.Mutex
	limits                Limits
	loaded                time.Time
	spans, bytes, queries bucket
	scans                 int64
	series                series
	refused               map[string]int64 // by name of the limit
	used                  time.Time
}

// New makes Quotas.
func New(o Options) *Quotas {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Quotas{store: o.Store, defaults: o.Defaults, now: o.Now, log: o.Logger, accounts: map[trace.Account]*account{}}
}

// of returns the state of an account, locked, with limits that are fresh.
func (q *Quotas) of(ctx context.Context, id trace.Account) *account {
	now := q.now()
	q.mu.Lock()
	a := q.accounts[id]
	if a == nil {
		if len(q.accounts) >= keepAccounts {
			q.forget(now)
		}
		a = &account{refused: map[string]int64{}}
		q.accounts[id] = a
	}
	q.mu.Unlock()
	a.mu.Lock()
	a.used = now
	if now.Sub(a.loaded) >= fresh {
		q.load(ctx, id, a, now)
	}
	return a
}

// load reads the limits of an account. If the records cannot be read, the limits stay.
func (q *Quotas) load(ctx context.Context, id trace.Account, a *account, now time.Time) {
	first := a.loaded.IsZero()
	a.loaded = now
	limits, _, err := q.Get(ctx, id)
	switch {
	case err == nil:
		a.limits = limits
	case first:
		a.limits = q.defaults
	}
	if err != nil && ctx.Err() == nil {
		q.log.Warn("the quotas of an account cannot be read; the limits stay as they were", "account", id, "error", err)
	}
}

// forget removes the accounts that were not used for a minute. The caller holds mu.
func (q *Quotas) forget(now time.Time) {
	for id, a := range q.accounts {
		a.mu.Lock()
		idle := now.Sub(a.used) > time.Minute && a.scans == 0
		a.mu.Unlock()
		if idle {
			delete(q.accounts, id)
		}
	}
}

// Send waits until an account may send, at most a second. Errors: KindThrottled, with the
// name of the limit; the error of ctx.
func (q *Quotas) Send(ctx context.Context, id trace.Account) error {
	return q.enter(ctx, id, func(a *account, now time.Time) (string, int64, time.Duration) {
		wait, name, limit := a.spans.wait(a.limits.Spans, now), "spans", a.limits.Spans
		if w := a.bytes.wait(a.limits.Bytes, now); w > wait {
			wait, name, limit = w, "bytes", a.limits.Bytes
		}
		return name, limit, wait
	})
}

// MaySend tells whether an account may send now, for senders that cannot wait.
func (q *Quotas) MaySend(id trace.Account) error {
	a := q.of(context.Background(), id)
	defer a.mu.Unlock()
	now := q.now()
	switch {
	case a.spans.wait(a.limits.Spans, now) > 0:
		return a.refuse("spans", a.limits.Spans)
	case a.bytes.wait(a.limits.Bytes, now) > 0:
		return a.refuse("bytes", a.limits.Bytes)
	}
	return nil
}

// Sent takes what an account has sent from its buckets: a number of segments, and bytes.
func (q *Quotas) Sent(id trace.Account, segments int, bytes int64) {
	a := q.of(context.Background(), id)
	defer a.mu.Unlock()
	now := q.now()
	a.spans.take(a.limits.Spans, int64(segments), now)
	a.bytes.take(a.limits.Bytes, bytes, now)
}

// Ask waits until an account may ask, at most a second, and counts the question. Errors
// as for Send.
func (q *Quotas) Ask(ctx context.Context, id trace.Account) error {
	return q.enter(ctx, id, func(a *account, now time.Time) (string, int64, time.Duration) {
		wait := a.queries.wait(a.limits.Queries, now)
		if wait == 0 {
			a.queries.take(a.limits.Queries, 1, now)
		}
		return "queries", a.limits.Queries, wait
	})
}

// Scan waits until an account may scan, at most a second. The caller calls done when the
// scan has ended. Errors as for Send.
func (q *Quotas) Scan(ctx context.Context, id trace.Account) (done func(), err error) {
	counted := false
	err = q.enter(ctx, id, func(a *account, _ time.Time) (string, int64, time.Duration) {
		if a.limits.Scans > 0 && a.scans >= a.limits.Scans {
			return "scans", a.limits.Scans, patience / 10
		}
		a.scans++
		counted = true
		return "", 0, 0
	})
	return func() {
		if counted {
			a := q.of(context.Background(), id)
			a.scans--
			a.mu.Unlock()
		}
	}, err
}

// enter asks may until it tells no time to wait, or patience ends. may runs with the
// account locked; it returns the name of the limit, the limit, and the time to wait.
func (q *Quotas) enter(ctx context.Context, id trace.Account, may func(*account, time.Time) (string, int64, time.Duration)) error {
	var end time.Time
	for {
		a := q.of(ctx, id)
		now := q.now()
		name, limit, wait := may(a, now)
		if wait == 0 {
			a.mu.Unlock()
			return nil
		}
		if end.IsZero() {
			end = now.Add(patience)
		}
		if !now.Before(end) {
			err := a.refuse(name, limit)
			a.mu.Unlock()
			return err
		}
		a.mu.Unlock()
		timer := time.NewTimer(min(wait, end.Sub(now)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// refuse counts a refusal and makes its error. The caller holds mu.
func (a *account) refuse(name string, limit int64) error {
	a.refused[name]++
	unit := " a second"
	switch name {
	case "scans":
		unit = " at the same time"
	case "series":
		unit = " in a day"
	}
	return trace.Errorf(trace.KindThrottled, "the account is over its quota of %d %s%s; try again in a second", limit, name, unit) // not recorded
}

// Use tells how much of its limits an account uses.
type Use struct {
	Limits  Limits           `json:"limits"`
	Own     bool             `json:"own"` // a record of the account, not the defaults
	Series  int64            `json:"series"`
	Scans   int64            `json:"scans"`
	Refused map[string]int64 `json:"refused"` // requests and names, by limit, since the start
}

// Use tells what an account uses.
func (q *Quotas) Use(ctx context.Context, id trace.Account) (Use, error) {
	limits, own, err := q.Get(ctx, id)
	if err != nil {
		return Use{}, err
	}
	u := Use{Limits: limits, Own: own, Refused: map[string]int64{}}
	a := q.of(ctx, id)
	defer a.mu.Unlock()
	u.Series, u.Scans = a.series.count(), a.scans
	for name, n := range a.refused {
		u.Refused[name] = n
	}
	return u, nil
}
