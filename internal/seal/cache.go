package seal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
	"golang.org/x/sync/singleflight"
)

const (
	// callTime limits one call of a KMS, with its retries.
	callTime = 5 * time.Second
	// callsAtOnce limits the calls for one account at a time.
	callsAtOnce = 4
	// After a failure the wrapping key is left alone for firstPause, which doubles with
	// every further failure up to longestPause.
	firstPause, longestPause = 250 * time.Millisecond, 15 * time.Second
)

// owner holds the keys of one account.
type owner struct {
	ring    *Ring
	account trace.Account
	damage  string // why its files cannot be read; then it has no keys
	repair  string // of a ReadOnly ring: what is wrong with one of its files

	change sync.Mutex            // held while the state changes
	state  atomic.Pointer[state] // as it is on disk; never nil
	tried  uint64                // the newest revision that may be on disk; under change

	flights   singleflight.Group
	slots     chan struct{}
	replacing atomic.Bool            // a newer key is being made
	current   atomic.Pointer[cached] // the newest key, if it is in memory

	mu       sync.RWMutex
	cache    map[uint32]*cached
	failures map[string]*failure // by wrapping key
	left     string              // why old keys are not under the present wrapping key
}

// cached is a data key in the clear.
type cached struct {
	key        *Key
	refresh    time.Time // from then on, one use checks that it may still be used
	until      time.Time // from then on, it must not be used
	refreshing atomic.Bool
}

// failure remembers that a wrapping key cannot be used.
type failure struct {
	err   error
	since time.Time
	pause time.Duration
	next  time.Time // no call before it
}

func newOwner(r *Ring, account trace.Account) *owner {
	a := &owner{ring: r, account: account, slots: make(chan struct{}, callsAtOnce), cache: map[uint32]*cached{}, failures: map[string]*failure{}}
	a.state.Store(&state{Account: account, Config: Config{Type: TypeNone}})
	return a
}

// encrypts tells whether new data of the account is encrypted.
func (a *owner) encrypts() bool {
	return a.ring.o.Mode != ModeOff || a.state.Load().Config.Type == TypeKMS
}

// newest returns the key for new data, and makes the first one.
func (a *owner) newest(ctx context.Context) (*Key, error) {
	now := a.ring.o.Now()
	s := a.state.Load()
	k := s.newest()
	if k == nil {
		return a.first(ctx)
	}
	if now.Sub(k.Created) > a.ring.o.KeyAge {
		a.replaceSoon(k.ID)
	}
	if c := a.current.Load(); c != nil && c.key.id == k.ID && now.Before(c.until) {
		if c.key.sealed.Load() > a.ring.o.KeyBytes {
			a.replaceSoon(k.ID)
		}
		a.refreshSoon(c, now)
		return c.key, nil
	}
	return a.find(ctx, k.ID)
}

// find returns the key with an id from memory, or unwraps it.
func (a *owner) find(ctx context.Context, id uint32) (*Key, error) {
	now := a.ring.o.Now()
	a.mu.RLock()
	c := a.cache[id]
	a.mu.RUnlock()
	if c != nil && now.Before(c.until) {
		a.refreshSoon(c, now)
		return c.key, nil
	}
	return a.once(ctx, strconv.Itoa(int(id)), func(ctx context.Context) (*Key, error) { return a.load(ctx, id) })
}

// once runs f, unless it runs already for the same name: then it waits for that one. f
// does not end with the ctx of one of those who wait.
func (a *owner) once(ctx context.Context, name string, f func(context.Context) (*Key, error)) (*Key, error) {
	done := a.flights.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*callTime)
		defer cancel()
		defer context.AfterFunc(a.ring.life, cancel)()
		return f(ctx)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-done:
		k, _ := result.Val.(*Key)
		return k, result.Err
	}
}

// refreshSoon checks in the background that a key may still be used, once its time is
// half over: so no request waits for that.
func (a *owner) refreshSoon(c *cached, now time.Time) {
	if now.Before(c.refresh) || !c.refreshing.CompareAndSwap(false, true) {
		return
	}
	a.ring.later(func() {
		defer c.refreshing.Store(false)
		id := c.key.id
		_, _ = a.once(context.Background(), strconv.Itoa(int(id)), func(ctx context.Context) (*Key, error) { return a.load(ctx, id) })
	})
}

// load unwraps a key.
func (a *owner) load(ctx context.Context, id uint32) (*Key, error) {
	began := a.ring.o.Now()
	s := a.state.Load()
	w := s.find(id)
	if w == nil {
		return nil, a.lost(s, id)
	}
	var secret []byte
	err := a.try(ctx, w.Wrapper, func(ctx context.Context) (err error) {
		secret, err = a.ring.unwrap(ctx, w)
		return err
	})
	if err != nil {
		return nil, a.explain(err)
	}
	return a.remember(NewKey(id, [KeyBytes]byte(secret)), began), nil
}

// lost returns the error for a key that the ring does not have.
func (a *owner) lost(s *state, id uint32) error {
	switch {
	case a.damage != "":
		return trace.Errorf(trace.KindUnavailable, "the data of account %s cannot be read: %s", a.account, a.damage)
	case s.Destroyed != nil && id <= s.Last:
		return &trace.KindError{Kind: trace.KindUnavailable, Err: ErrDestroyed,
			Message: fmt.Sprintf("data of account %s under key %d is unreadable for good since %s", a.account, id, s.Destroyed.Format(time.RFC3339))}
	}
	return trace.Errorf(trace.KindUnavailable, "the data of account %s is encrypted under key %d, but its files in the folder %s of the data directory do not have this key: they are missing or older than the data", a.account, id, Folder)
}

// try uses a wrapping key, unless it failed a moment ago, and remembers failures.
func (a *owner) try(ctx context.Context, wrapper string, f func(context.Context) error) error {
	if err := a.paused(wrapper); err != nil {
		return err
	}
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := a.paused(wrapper); err != nil { // one of those before us has failed
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := f(ctx)
	a.note(wrapper, err)
	return err
}

func (a *owner) paused(wrapper string) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if f := a.failures[wrapper]; f != nil && a.ring.o.Now().Before(f.next) {
		return f.err
	}
	return nil
}

// note remembers how the use of a wrapping key ended. It logs changes only.
func (a *owner) note(wrapper string, err error) {
	now := a.ring.o.Now()
	a.mu.Lock()
	f := a.failures[wrapper]
	log := err != nil && f == nil
	switch {
	case err == nil:
		delete(a.failures, wrapper)
	case f == nil:
		f = &failure{since: now, pause: firstPause / 2}
		a.failures[wrapper] = f
		fallthrough
	default:
		f.err, f.pause = err, min(2*f.pause, longestPause)
		f.next = now.Add(f.pause)
	}
	a.mu.Unlock()
	switch {
	case log:
		a.ring.o.Logger.Error("the keys of an account cannot be used", "account", a.account, "key", wrapper, "reason", err)
	case err == nil && f != nil:
		a.ring.o.Logger.Info("the keys of an account can be used again", "account", a.account, "key", wrapper)
	}
}

// explain makes the error that callers of Keys see.
func (a *owner) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if e, ok := errors.AsType[*trace.KindError](err); ok && e.Kind == trace.KindUnavailable {
		return err
	}
	return trace.Errorf(trace.KindUnavailable, "the data keys of account %s cannot be used: %v", a.account, err)
}

// remember keeps a key in memory. If the same key is there already, it stays, because it
// counts the bytes.
func (a *owner) remember(k *Key, began time.Time) *Key {
	c := &cached{key: k, refresh: began.Add(a.ring.o.CacheTime / 2), until: began.Add(a.ring.o.CacheTime)}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.state.Load()
	if s.find(k.id) == nil {
		return k // destroyed meanwhile
	}
	if old := a.cache[k.id]; old != nil && old.key.secret == k.secret {
		c.key = old.key
	}
	a.cache[k.id] = c
	if n := s.newest(); n != nil && n.ID == k.id {
		a.current.Store(c)
	}
	return c.key
}

// sweep forgets keys whose time is over.
func (a *owner) sweep(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, c := range a.cache {
		if !now.Before(c.until) {
			delete(a.cache, id)
		}
	}
	if c := a.current.Load(); c != nil && !now.Before(c.until) {
		a.current.CompareAndSwap(c, nil)
	}
	s := a.state.Load()
	for wrapper := range a.failures {
		inUse := slices.ContainsFunc(s.Keys, func(k wrappedKey) bool { return k.Wrapper == wrapper })
		if !inUse && wrapper != a.wrapperName() {
			delete(a.failures, wrapper)
		}
	}
}
