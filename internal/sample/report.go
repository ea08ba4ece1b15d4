package sample

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// Interval is how often clients report, and the length of a window.
	Interval = 10 * time.Second
	// maxSkew is how far a report's time may differ from ours. Reports beyond it get
	// their target, but are not counted.
	maxSkew = 5 * time.Minute
	// maxGone is how many deleted rules are remembered because clients still hold
	// quotas of them.
	maxGone = 100
)

// Report holds one client's counts for one rule since its last report.
type Report struct {
	Rule, Client                string
	At                          time.Time
	Requests, Sampled, Borrowed int64
}

// Anomalies holds one service's counts for a rule's requests: of Total, Anomalous
// were anomalous, and of those Sampled were sampled.
type Anomalies struct {
	Rule, Service             string
	At                        time.Time
	Total, Anomalous, Sampled int64
}

// Target is a client's share of a rule.
type Target struct {
	Rule      string
	FixedRate float64
	Quota     int       // requests a second
	Expires   time.Time // of the quota, in whole seconds
	Boost     *Boost    // nil while there is none
}

// Targets is the answer to reports: a target for each report on an existing rule.
type Targets struct {
	Targets          []Target
	Unknown          []string   // rules of the other reports
	UnknownAnomalies []string   // and of anomalies
	Changed          trace.Time // when a rule was last created, changed or deleted; 0 if never
}

// Window holds the counts of all clients for a rule in ten seconds.
type Window struct {
	Rule                        string
	Start                       time.Time
	Requests, Sampled, Borrowed int64
}

// state is the remembered state of a rule.
type state struct {
	created       trace.Time // of the rule; a new rule with the same name differs
	used          bool       // there was a report
	clients       clients
	until         time.Time // when the last quota expires
	window        int64     // the window being counted, in Intervals since the epoch
	counted, last counts    // counts of that window and the previous one
	boost         boost
}

// counts holds the counts of one window of a rule.
type counts struct {
	requests, sampled, borrowed int64
	anomalies                   map[string]Anomalies // by service
}

// Report counts the reports of clients and gives each client a share of its rules'
// reservoirs. The unexpired shares of a rule never add up to more than its
// reservoir; if the reservoir shrinks, no new shares are given until they fit again.
func (s *Sampler) Report(ctx context.Context, account trace.Account, reports []Report, seen []Anomalies, now time.Time) (Targets, error) {
	latest, err := s.view(ctx, account)
	if err != nil {
		return Targets{}, err
	}
	rules := byName(latest.rules)
	answer := Targets{Changed: latest.change.At}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(account, rules, now)
	for _, a := range seen {
		if rule, known := rules[a.Rule]; !known {
			answer.UnknownAnomalies = append(answer.UnknownAnomalies, a.Rule)
		} else if rule.SamplingRateBoost != nil && timely(a.At, now) {
			s.state(account, rule, now).counted.see(a)
		}
	}
	called := map[string]*state{}
	for _, r := range reports {
		rule, known := rules[r.Rule]
		if !known {
			answer.Unknown = append(answer.Unknown, r.Rule)
			continue
		}
		st := s.state(account, rule, now)
		st.used, called[r.Rule] = true, st
		st.clients.report(r.Client, r.Requests)
		if timely(r.At, now) {
			st.counted.requests += r.Requests
			st.counted.sampled += r.Sampled
			st.counted.borrowed += r.Borrowed
		}
	}
	boosts := map[string]*Boost{}
	for name, st := range called {
		st.until = now.Add(leaseTime).Truncate(time.Second)
		st.clients.lease(rules[name].ReservoirSize, now, st.until)
		boosts[name] = st.boosted(rules[name], now)
	}
	for _, r := range reports {
		if st := called[r.Rule]; st != nil {
			answer.Targets = append(answer.Targets, Target{
				Rule: r.Rule, FixedRate: rules[r.Rule].FixedRate, Quota: st.clients.quota(r.Client), Expires: st.until, Boost: boosts[r.Rule],
			})
		}
	}
	return answer, nil
}

func byName(rules []Rule) map[string]Rule {
	out := make(map[string]Rule, len(rules))
	for _, r := range rules {
		out[r.RuleName] = r
	}
	return out
}

// timely reports whether an event at a time is counted now.
func timely(at, now time.Time) bool { return now.Sub(at).Abs() <= maxSkew }

// state finds or makes the state of a rule and advances it to the current window. A
// rule that was deleted and made again starts anew, except for the quotas that
// clients hold. The caller holds mu.
func (s *Sampler) state(account trace.Account, rule Rule, now time.Time) *state {
	states := s.states[account]
	if states == nil {
		states = map[string]*state{}
		s.states[account] = states
	}
	st := states[rule.RuleName]
	switch {
	case st == nil:
		st = &state{created: rule.CreatedAt}
		states[rule.RuleName] = st
	case st.created != rule.CreatedAt:
		st = &state{created: rule.CreatedAt, clients: st.clients, until: st.until}
		states[rule.RuleName] = st
	}
	if w := now.Unix() / int64(Interval/time.Second); w != st.window {
		if st.last = (counts{}); w == st.window+1 {
			st.last = st.counted
		}
		st.window, st.counted = w, counts{}
	}
	return st
}

// forget removes the states of deleted rules whose quotas have all expired. The
// caller holds mu.
func (s *Sampler) forget(account trace.Account, rules map[string]Rule, now time.Time) {
	states := s.states[account]
	for name, st := range states {
		if _, known := rules[name]; !known && (st.until.Before(now.Truncate(time.Second)) || len(states) > len(rules)+maxGone) {
			delete(states, name)
		}
	}
}

// Windows lists the counts of the last complete ten seconds: a window for every rule
// in the order of Rules, with zeros if there were no reports; Default is listed only
// once there was a report on it.
func (s *Sampler) Windows(ctx context.Context, account trace.Account, now time.Time) ([]Window, error) {
	latest, err := s.view(ctx, account)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(account, byName(latest.rules), now)
	var out []Window
	for _, r := range latest.rules {
		st := s.state(account, r, now)
		if r.RuleName == DefaultName && !st.used {
			continue
		}
		start := time.Unix((st.window-1)*int64(Interval/time.Second), 0)
		out = append(out, Window{Rule: r.RuleName, Start: start, Requests: st.last.requests, Sampled: st.last.sampled, Borrowed: st.last.borrowed})
	}
	return out, nil
}
