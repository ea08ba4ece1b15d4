// Package sample decides how much is recorded: the sampling rules that SDKs
// poll, the quotas their reservoirs are shared out in, and the boosts that raise
// a rule's rate while something is wrong. It takes the time as an argument and
// keeps no clock.
//
// Rules are records of package meta; what clients hold and count is in memory.
// After a restart clients keep the quotas they had until their next report, so
// that for one Interval a reservoir may be used twice.
//
// The rules are those of the X-Ray developer guide, "Configuring sampling
// rules", "Using sampling rules with the X-Ray API" and "Adaptive sampling".
package sample

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// DefaultName is the name of the rule that always exists.
const DefaultName = "Default"

// The kinds of record that are kept: rules by name, and when a rule was last
// changed.
const (
	ruleKind   meta.Kind = "sampling-rule"
	changeKind meta.Kind = "sampling-change"
)

// lastChange is the only record of changeKind.
const lastChange = "last"

// Rule is a sampling rule, as it is stored.
type Rule struct {
	RuleName, RuleARN                          string
	Priority                                   int     // 1 … 9999, of Default 10000; the lowest that matches decides
	FixedRate                                  float64 // 0 … 1, of what the reservoir does not take
	ReservoirSize                              int     // requests a second, over all clients
	ServiceName, ServiceType, Host, HTTPMethod string  // patterns with * and ?
	URLPath, ResourceARN                       string  // patterns
	Attributes                                 map[string]string
	SamplingRateBoost                          *RateBoost `json:",omitempty"`
	CreatedAt, ModifiedAt                      trace.Time // 0 in a Default that was never changed
}

// RateBoost lets a rule's rate rise for a minute when clients see anomalies.
type RateBoost struct {
	MaxRate               float64 // 0 … 1
	CooldownWindowMinutes int     // at most one boost is started in so many minutes
}

// Sampler keeps the rules of every account and shares out their reservoirs. Its
// methods may be called by many goroutines. Their errors are KindErrors with the
// texts of the X-Ray API, and those of the store.
type Sampler struct {
	store  meta.Store
	region string

	mu        sync.Mutex
	snapshots map[trace.Account]*snapshot
	states    map[trace.Account]map[string]*state // by rule name
}

// New makes a Sampler whose rules have ARNs of a region.
func New(store meta.Store, region string) *Sampler {
	return &Sampler{store: store, region: region, snapshots: map[trace.Account]*snapshot{}, states: map[trace.Account]map[string]*state{}}
}

// Default returns the rule that always exists: the first request of each second and
// 5 % of the others.
func (s *Sampler) Default(account trace.Account) Rule {
	return Rule{
		RuleName: DefaultName, RuleARN: s.arn(account, DefaultName), Priority: 10000, FixedRate: 0.05, ReservoirSize: 1,
		ServiceName: "*", ServiceType: "*", Host: "*", HTTPMethod: "*", URLPath: "*", ResourceARN: "*", Attributes: map[string]string{},
	}
}

func (s *Sampler) arn(account trace.Account, name string) string {
	return fmt.Sprintf("arn:aws:xray:%s:%s:sampling-rule/%s", s.region, account, name)
}

// Rules lists the rules by name, Default last. They must not be modified.
func (s *Sampler) Rules(ctx context.Context, account trace.Account) ([]Rule, error) {
	now, err := s.view(ctx, account)
	if err != nil {
		return nil, err
	}
	return now.rules, nil
}

// snapshot is the rules of an account after a change.
type snapshot struct {
	change change
	rules  []Rule // must not be modified
}

// change counts the changes of an account's rules, to know what is old.
type change struct {
	Count int64
	At    trace.Time // of the last one; never goes back
}

// view reads the rules, unless they are those of the last reading.
func (s *Sampler) view(ctx context.Context, account trace.Account) (*snapshot, error) {
	s.mu.Lock()
	now := s.snapshots[account]
	s.mu.Unlock()
	err := s.store.View(ctx, account, func(tx meta.Tx) error {
		read := &snapshot{rules: []Rule{s.Default(account)}}
		if _, err := tx.Get(changeKind, lastChange, &read.change); err != nil {
			return err
		}
		if now != nil && read.change.Count == now.change.Count {
			return nil
		}
		now = read
		if err := tx.List(ruleKind, func(name string, value json.RawMessage) error {
			var r Rule
			if err := json.Unmarshal(value, &r); err != nil {
				return fmt.Errorf("sampling rule %q: %w", name, err)
			}
			if name == DefaultName {
				now.rules[0] = r
			} else {
				now.rules = append(now.rules, r)
			}
			return nil
		}); err != nil {
			return err
		}
		now.rules = append(now.rules[1:], now.rules[0])
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.snapshots[account] = now
	s.mu.Unlock()
	return now, nil
}
