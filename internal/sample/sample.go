// Package sample decides how much is recorded: the sampling rules that SDKs
// poll, and the quotas their reservoirs are shared out in. Its types take the
// time as an argument and keep no clock.
//
// The rules are those of the X-Ray developer guide, "Configuring sampling
// rules" and "Using sampling rules with the X-Ray API".
package sample

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// leaseTime is how long a quota is valid.
	leaseTime = 300 * time.Second
	// Interval is how often clients report.
	Interval = 10 * time.Second
	// maxClients bounds what is remembered per rule; more get no quota and go by
	// the rule's rate alone.
	maxClients = 100_000
)

// Rule is a sampling rule.
type Rule struct {
	Name                                                          string
	Priority                                                      int
	FixedRate                                                     float64
	ReservoirSize                                                 int
	ServiceName, ServiceType, Host, HTTPMethod, URLPath, Resource string
	Attributes                                                    map[string]string
	Created, Modified                                             time.Time // zero for the Default rule
}

// Default is the rule that always exists: the first request of each second and
// 5 % of the others.
func Default() Rule {
	return Rule{
		Name: "Default", Priority: 10000, FixedRate: 0.05, ReservoirSize: 1,
		ServiceName: "*", ServiceType: "*", Host: "*", HTTPMethod: "*", URLPath: "*", Resource: "*", Attributes: map[string]string{},
	}
}

// Report is what one client counted for one rule since its last report.
type Report struct {
	Rule, Client                string
	Requests, Sampled, Borrowed int64
}

// Target is a client's share of a rule.
type Target struct {
	Rule      string
	FixedRate float64
	Quota     int
	Expires   time.Time
}

// Window is what all clients counted for a rule in ten seconds.
type Window struct {
	Rule                        string
	Start                       time.Time
	Requests, Sampled, Borrowed int64
}

// Sampler shares out the reservoirs. Its methods may be called by many
// goroutines.
type Sampler struct {
	mu    sync.Mutex
	rules map[string]*ruleState
}

// ruleState is a rule with the clients that report on it.
type ruleState struct {
	rule    Rule
	leases  map[string]lease
	current Window // being counted
	closed  Window // the last that ended
}

type lease struct {
	quota   int
	expires time.Time
}

// New makes a Sampler that knows the Default rule.
func New() *Sampler {
	d := Default()
	return &Sampler{rules: map[string]*ruleState{d.Name: {rule: d, leases: map[string]lease{}}}}
}

// Rules lists the rules by name, Default last.
func (s *Sampler) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Rule
	for _, r := range s.rules {
		out = append(out, r.rule)
	}
	slices.SortFunc(out, func(a, b Rule) int {
		if (a.Name == "Default") != (b.Name == "Default") {
			return cmp.Compare(a.Priority, b.Priority)
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return out
}

// LastModification is when a rule was last changed; zero if never.
func (s *Sampler) LastModification() time.Time {
	var last time.Time
	for _, r := range s.Rules() {
		if r.Modified.After(last) {
			last = r.Modified
		}
	}
	return last
}

// Known says whether there is a rule with this name.
func (s *Sampler) Known(rule string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules[rule] != nil
}

// Report counts what a client did and gives it a share of the reservoir. The
// unexpired shares of all clients of a rule never add up to more than its
// reservoir. It is false for a rule that does not exist.
func (s *Sampler) Report(r Report, now time.Time) (Target, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.rules[r.Rule]
	if st == nil {
		return Target{}, false
	}
	st.roll(now)
	st.current.Requests += r.Requests
	st.current.Sampled += r.Sampled
	st.current.Borrowed += r.Borrowed
	return Target{Rule: r.Rule, FixedRate: st.rule.FixedRate, Quota: st.grant(r, now), Expires: now.Add(leaseTime).Truncate(time.Second)}, true
}

// grant renews a client's lease: what it can use, at most an even share, and at
// most what the leases of the others leave.
func (st *ruleState) grant(r Report, now time.Time) int {
	held, active := 0, 1
	for client, l := range st.leases {
		if client == r.Client {
			continue
		}
		if !l.expires.After(now) {
			delete(st.leases, client)
			continue
		}
		held += l.quota
		active++
	}
	if _, known := st.leases[r.Client]; !known && len(st.leases) >= maxClients {
		return 0
	}
	demand := int((r.Requests + 9) / 10) // requests a second
	share := max(1, (st.rule.ReservoirSize+active-1)/active)
	quota := max(0, min(max(1, demand), share, st.rule.ReservoirSize-held))
	st.leases[r.Client] = lease{quota: quota, expires: now.Add(leaseTime)}
	return quota
}

// roll closes the window that is counted once its ten seconds are over.
func (st *ruleState) roll(now time.Time) {
	start := now.Truncate(Interval)
	if start.Equal(st.current.Start) {
		return
	}
	st.closed = Window{Rule: st.rule.Name, Start: start.Add(-Interval)}
	if st.current.Start.Equal(st.closed.Start) {
		st.closed = st.current
	}
	st.current = Window{Rule: st.rule.Name, Start: start}
}

// Windows lists what was counted in the last ten seconds that are over, rules by
// name.
func (s *Sampler) Windows(now time.Time) []Window {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Window
	for _, st := range s.rules {
		st.roll(now)
		out = append(out, st.closed)
	}
	slices.SortFunc(out, func(a, b Window) int { return cmp.Compare(a.Rule, b.Rule) })
	return out
}
