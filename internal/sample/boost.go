package sample

import (
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// boostTime is the maximum duration of a boost, boostLease how long clients may
	// use it after each report (recorded from the native service).
	boostTime  = time.Minute
	boostLease = 20 * time.Second
	// maxServices limits the number of services counted in a window.
	maxServices = 1000
)

// Boost is a raised rate. It replaces the fixed rate until it expires.
type Boost struct {
	Rate    float64
	Expires time.Time // in whole seconds
}

// boost is the last boost of a rule.
type boost struct {
	started, expires time.Time
	rate             float64
}

// see adds a service's anomalies to the window.
func (c *counts) see(a Anomalies) {
	sum, known := c.anomalies[a.Service]
	switch {
	case !known && len(c.anomalies) >= maxServices:
		return
	case c.anomalies == nil:
		c.anomalies = map[string]Anomalies{}
	}
	sum.Total += a.Total
	sum.Anomalous += a.Anomalous
	sum.Sampled += a.Sampled
	c.anomalies[a.Service] = sum
}

// missed returns the largest share of one service's requests that were anomalous but
// not sampled. It does not sum over services, because one trace passes many.
func (c *counts) missed() (share float64) {
	for _, a := range c.anomalies {
		if a.Total > 0 {
			share = max(share, float64(min(a.Anomalous, a.Total)-a.Sampled)/float64(a.Total))
		}
	}
	return share
}

// anomalous reports whether any service saw an anomaly.
func (c *counts) anomalous() bool {
	for _, a := range c.anomalies {
		if a.Anomalous > 0 {
			return true
		}
	}
	return false
}

// boosted returns the boost of a rule. A boost starts if anomalies of the last
// window were missed, with the rate that would have sampled them. It is renewed
// while there are anomalies, for at most a minute; the next boost cannot start
// within the cooldown. AWS does not publish how it chooses the rate.
func (st *state) boosted(rule Rule, now time.Time) *Boost {
	config, b := rule.SamplingRateBoost, &st.boost
	if config == nil {
		*b = boost{}
		return nil
	}
	wanted := min(st.last.missed(), config.MaxRate)
	running := now.Before(b.expires)
	switch {
	case wanted <= rule.FixedRate:
	case running:
		b.rate = max(b.rate, wanted)
	case b.started.IsZero() || now.Sub(b.started).Minutes() >= float64(config.CooldownWindowMinutes):
		*b, running = boost{started: now, rate: wanted}, true
	}
	if running && (st.last.anomalous() || st.counted.anomalous()) {
		b.expires = now.Add(boostLease)
		if end := b.started.Add(boostTime); end.Before(b.expires) {
			b.expires = end
		}
		b.expires = b.expires.Truncate(time.Second)
	}
	rate := min(b.rate, config.MaxRate)
	if !now.Before(b.expires) || rate <= rule.FixedRate {
		return nil
	}
	return &Boost{Rate: rate, Expires: b.expires}
}

// forgetBoost ends a rule's boost, because the rule no longer allows one.
func (s *Sampler) forgetBoost(account trace.Account, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.states[account][name]; st != nil {
		st.boost = boost{}
	}
}
