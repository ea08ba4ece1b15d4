package sample_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/sample"
)

// sdk is the algorithm that the X-Ray SDKs run for one rule in each process
// (aws-xray-sdk-go, strategy/sampling).
type sdk struct {
	id                          string
	rnd                         *rand.Rand
	perSecond                   int // requests it serves
	capacity                    int // the rule's reservoir
	rate                        float64
	quota                       int
	expires, refreshed          int64
	interval                    int64
	used, borrowed              int // in this second
	requests, sampled, borrows  int64
	byQuota, byRate, byBorrowed int // in this second
}

// second serves the requests of a second.
func (c *sdk) second(now int64) {
	c.used, c.borrowed, c.byQuota, c.byRate, c.byBorrowed = 0, 0, 0, 0, 0
	for range c.perSecond {
		c.requests++
		switch leased := now <= c.expires; {
		case leased && c.used < c.quota:
			c.used++
			c.sampled++
			c.byQuota++
		case !leased && c.capacity > 0 && c.borrowed == 0:
			c.borrowed++
			c.borrows++
			c.byBorrowed++
		case c.rnd.Float64() < c.rate:
			c.sampled++
			c.byRate++
		}
	}
}

// poll asks for a target when one is due.
func (c *sdk) poll(f *fixture) {
	now := f.now.Unix()
	if c.requests == 0 || now < c.refreshed+c.interval {
		return
	}
	target := f.report(sample.Report{Rule: "r", Client: c.id, Requests: c.requests, Sampled: c.sampled, Borrowed: c.borrows}).Targets[0]
	c.requests, c.sampled, c.borrows = 0, 0, 0
	c.rate, c.quota, c.expires, c.interval, c.refreshed = target.FixedRate, target.Quota, target.Expires.Unix(), int64(sample.Interval/time.Second), now
}

// Ten processes that start and stop share a reservoir of five a second. They never
// take more than the reservoir, they get all of it once each has reported twice, and
// the rate applies to the other requests.
func TestFleet(t *testing.T) {
	const reservoir, rate, perSecond = 5, 0.05, 40
	f := fresh(t)
	f.rule("r", reservoir, rate, nil)
	rnd := rand.New(rand.NewPCG(3, 4))
	fleet := make([]*sdk, 10)
	begin := func(i, process int) {
		fleet[i] = &sdk{id: fmt.Sprintf("%024d", process), rnd: rnd, perSecond: perSecond, capacity: reservoir, rate: rate, interval: 10, refreshed: f.now.Unix() - int64(rnd.IntN(10))}
	}
	for i := range fleet {
		begin(i, i)
	}
	process, full, seconds, byRate, rest := len(fleet), 0, 0, 0, 0
	for s := range 3600 {
		f.pass(time.Second)
		if s > 600 && s < 2400 && s%120 == 0 { // one process in two minutes is replaced
			begin(rnd.IntN(len(fleet)), process)
			process++
		}
		byQuota, borrowers := 0, 0
		for _, c := range fleet {
			c.poll(f)
		}
		for _, c := range fleet {
			c.second(f.now.Unix())
			byQuota += c.byQuota
			byRate += c.byRate
			rest += perSecond - c.byQuota - c.byBorrowed
			if c.expires == 0 {
				borrowers++
			}
			if c.byBorrowed > 1 || c.byBorrowed == 1 && c.expires > 0 {
				t.Fatalf("second %d: %s borrowed %d with a lease until %d", s, c.id, c.byBorrowed, c.expires)
			}
		}
		if byQuota > reservoir {
			t.Fatalf("second %d: %d sampled of a reservoir of %d", s, byQuota, reservoir)
		}
		if borrowers > 0 && s > 10 && s <= 600 {
			t.Fatalf("second %d: %d clients have no lease", s, borrowers)
		}
		if s > 20 && s <= 600 || s > 2700 { // no process has just stopped
			seconds++
			if byQuota == reservoir {
				full++
			}
		}
	}
	if full != seconds {
		t.Errorf("the reservoir was used in full in %d of %d seconds", full, seconds)
	}
	if want, sigma := rate*float64(rest), math.Sqrt(rate*(1-rate)*float64(rest)); math.Abs(float64(byRate)-want) > 6*sigma {
		t.Errorf("%d of %d sampled by rate, want %.0f ± %.0f", byRate, rest, want, 6*sigma)
	}
}
