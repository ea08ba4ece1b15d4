package login

import (
	"net/netip"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/lru"
)

// mostBuckets bounds the names and addresses that a limiter remembers.
const mostBuckets = 20_000

// limiter limits attempts for each of many keys: burst at once, then one each while.
type limiter struct {
	burst float64
	every time.Duration

	mu      sync.Mutex
	buckets *lru.Cache[string, *bucket]
}

type bucket struct {
	left float64
	at   time.Time
}

func newLimiter(burst int, every time.Duration) *limiter {
	return &limiter{burst: float64(burst), every: every, buckets: lru.New[string, *bucket](mostBuckets, 1)}
}

// take uses up one attempt of a key. If there is none left, it returns how long to wait.
func (l *limiter) take(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets.Get(key)
	if b == nil {
		b = &bucket{left: l.burst, at: now}
		l.buckets.Put(key, b, 1)
	}
	if passed := now.Sub(b.at); passed > 0 {
		b.left = min(l.burst, b.left+float64(passed)/float64(l.every))
	}
	b.at = now
	if b.left < 1 {
		return time.Duration((1 - b.left) * float64(l.every))
	}
	b.left--
	return 0
}

// give returns an attempt that succeeded.
func (l *limiter) give(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buckets.Get(key); b != nil {
		b.left = min(l.burst, b.left+1)
	}
}

// addressKey groups the addresses that one person can have: an IPv4 address, or the
// /64 of an IPv6 address.
func addressKey(source string) string {
	at, err := netip.ParseAddrPort(source)
	if err != nil {
		return "?"
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}

// attempt counts an attempt to sign in. name is "" if the attempt names nobody. A stranger
// who tries many passwords at one address does not lock the user out at another one, and
// one with many addresses is slowed down all the same. succeeded gives the attempt back.
func (l *Logins) attempt(name string, from From) (succeeded func(), err error) {
	now, address := l.Now(), addressKey(from.Source)
	type use struct {
		of  *limiter
		key string
	}
	uses := []use{{l.byAddress, address}}
	if name != "" {
		uses = append(uses, use{l.byPair, name + " " + address}, use{l.byName, name})
	}
	for _, u := range uses {
		if wait := u.of.take(u.key, now); wait > 0 {
			return nil, throttled(wait)
		}
	}
	return func() {
		for _, u := range uses {
			u.of.give(u.key)
		}
	}, nil
}
