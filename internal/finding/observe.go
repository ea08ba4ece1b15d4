package finding

import (
	"net/netip"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// These bound the counts of one account between two looks.
const (
	mostUsers   = 5000
	mostClients = 5000
	mostNets    = 8 // networks of one user that are distinguished
)

// counts holds what was seen since the last look.
type counts struct {
	clients map[netip.Prefix]*sighting
	users   map[userKey]*userCount
	sizes   map[string]*sizeCount // by service
}

// sighting is the first of some equal observations.
type sighting struct {
	service string
	traceID trace.ID
	count   int64
}

// userKey is a user of a service.
type userKey struct{ service, user string }

type userCount struct {
	sighting
	networks []netip.Prefix
}

// sizeCount describes the responses of a service: their logarithms, and the largest.
type sizeCount struct {
	sizes   moments
	largest int64
	traceID trace.ID
}

func newCounts() *counts {
	return &counts{clients: map[netip.Prefix]*sighting{}, users: map[userKey]*userCount{}, sizes: map[string]*sizeCount{}}
}

// networkOf returns the network of a client: what one customer of a provider has, /24 of
// IPv4 and /48 of IPv6.
func networkOf(address string) (netip.Prefix, bool) {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}, false
	}
	bits := 48
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		bits = 24
	}
	p, err := addr.Prefix(bits)
	return p, err == nil
}

// Observe counts segments that an account has stored. It never waits for the disk and
// keeps a bounded amount.
func (f *Findings) Observe(account trace.Account, batch []*trace.Segment) {
	var c *counts
	for _, s := range batch {
		e := &s.Entity
		if e.Subsegment || e.HTTP.ClientIP == "" && e.User == "" && e.HTTP.Length == 0 {
			continue
		}
		if c == nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			c = f.account(account).now
		}
		c.add(s)
	}
	if c == nil && len(batch) > 0 {
		f.mu.Lock()
		f.account(account)
		f.mu.Unlock()
	}
}

func (c *counts) add(s *trace.Segment) {
	e := &s.Entity
	network, known := netip.Prefix{}, false
	if e.HTTP.ClientIP != "" {
		network, known = networkOf(e.HTTP.ClientIP)
	}
	if known {
		seen := c.clients[network]
		if seen == nil && len(c.clients) < mostClients {
			seen = &sighting{service: e.Name, traceID: s.TraceID}
			c.clients[network] = seen
		}
		if seen != nil {
			seen.count++
		}
	}
	if e.User != "" {
		c.user(s, network, known)
	}
	if n := e.HTTP.Length; n > 0 {
		size := c.sizes[e.Name]
		if size == nil {
			if len(c.sizes) >= mostServices {
				return
			}
			size = &sizeCount{}
			c.sizes[e.Name] = size
		}
		size.sizes.add(logOf(float64(n)))
		if n > size.largest {
			size.largest, size.traceID = n, s.TraceID
		}
	}
}

func (c *counts) user(s *trace.Segment, network netip.Prefix, known bool) {
	k := userKey{s.Name, s.User}
	u := c.users[k]
	if u == nil {
		if len(c.users) >= mostUsers {
			return
		}
		u = &userCount{sighting: sighting{service: s.Name, traceID: s.TraceID}}
		c.users[k] = u
	}
	u.count++
	if !known || len(u.networks) >= mostNets {
		return
	}
	for _, n := range u.networks {
		if n == network {
			return
		}
	}
	u.networks = append(u.networks, network)
}

// take returns the counts of an account since the last call, and whether it was seen.
func (f *Findings) take(account trace.Account) (*counts, *baseline) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.accounts[account]
	if a == nil {
		return nil, nil
	}
	c := a.now
	a.now = newCounts()
	return c, a.base
}

// state holds what is known about one account.
type state struct {
	now  *counts
	base *baseline // nil until it was loaded; only Look uses it
	used time.Time
}

// account finds or makes the state of an account. The caller holds mu.
func (f *Findings) account(account trace.Account) *state {
	a := f.accounts[account]
	if a == nil {
		a = &state{now: newCounts()}
		f.accounts[account] = a
	}
	a.used = f.now()
	return a
}
