package sample

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"
)

const (
	// leaseTime is how long a quota is valid.
	leaseTime = 300 * time.Second
	// maxClients limits the clients remembered per rule; further clients get no
	// quota and use only the rule's rate.
	maxClients = 10_000
)

// clients are the clients of a rule that hold a quota, by id.
type clients []client

// client is one process that samples by a rule.
type client struct {
	id       string
	requests int64 // of its last report
	need     int   // requests a second: a tenth of a report's count
	quota    int
	expires  int64 // epoch seconds; the quota is valid until that second ends
	calling  bool  // it is reporting now, so its quota can be reduced
}

func (c clients) find(id string) (int, bool) {
	return slices.BinarySearchFunc(c, id, func(cl client, id string) int { return cmp.Compare(cl.id, id) })
}

// report counts a client's requests; several reports in one call add up.
func (c *clients) report(id string, requests int64) {
	i, known := c.find(id)
	switch {
	case !known && len(*c) >= maxClients:
		return
	case !known:
		*c = slices.Insert(*c, i, client{id: id})
	}
	cl := &(*c)[i]
	if !cl.calling {
		cl.requests, cl.quota, cl.calling = 0, 0, true
	}
	cl.requests += requests
	cl.need = int(min((cl.requests+9)/10, math.MaxInt32))
}

// lease gives the reporting clients their shares of a reservoir, as far as the
// quotas of the others leave it, and removes clients whose quota has expired.
func (c *clients) lease(size int, now, expires time.Time) {
	*c = slices.DeleteFunc(*c, func(cl client) bool { return !cl.calling && cl.expires < now.Unix() })
	free := size
	for _, cl := range *c {
		free -= cl.quota
	}
	share := c.split(size)
	for i := range *c {
		cl := &(*c)[i]
		mine := share(cl)
		if cl.calling {
			cl.quota, cl.expires, cl.calling = max(0, min(mine, free)), expires.Unix(), false
			free -= cl.quota
		}
	}
}

// split shares a reservoir max-min fairly by the clients' needs. If the reservoir is
// large enough, all get what they need and the rest is spread evenly; if not, no
// client gets more than an equal share while another one needs more. An indivisible
// remainder goes to the first ids. The returned function must be called for each
// client in order.
func (c clients) split(size int) func(*client) int {
	upTo := func(level int) (sum int) {
		for i := range c {
			sum += min(c[i].need, level)
		}
		return sum
	}
	if all := upTo(size); all <= size && len(c) > 0 {
		each, rest := (size-all)/len(c), (size-all)%len(c)
		return func(cl *client) int {
			rest--
			if rest >= 0 {
				return cl.need + each + 1
			}
			return cl.need + each
		}
	}
	level := sort.Search(size, func(l int) bool { return upTo(l+1) > size })
	rest := size - upTo(level)
	return func(cl *client) int {
		if cl.need > level && rest > 0 {
			rest--
			return level + 1
		}
		return min(cl.need, level)
	}
}

// quota returns a client's quota; 0 if the client is not remembered.
func (c clients) quota(id string) int {
	if i, known := c.find(id); known {
		return c[i].quota
	}
	return 0
}
