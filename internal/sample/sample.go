// Package sample decides which requests are traced: it keeps the sampling rules that
// SDKs poll, shares out their reservoirs as quotas, and computes the boosts that
// raise a rule's rate while something is wrong. Callers pass the time; it has no
// clock.
//
// Rules are records of package meta; quotas and counts are in memory. After a
// restart, clients keep their old quotas until their next report, so for one
// Interval a reservoir may be used twice.
//
// Sources: X-Ray developer guide, "Configuring sampling rules", "Using sampling
// rules with the X-Ray API" and "Adaptive sampling".
package sample

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// DefaultName is the name of the rule that always exists.
const DefaultName = "Default"

// The kinds of records: rules by name, and the time of the last change to a rule.
const (
	ruleKind   meta.Kind = "sampling-rule"
	changeKind meta.Kind = "sampling-change"
)

// lastChange is the only record of changeKind.
const lastChange = "last"

// Rule is a stored sampling rule.
type Rule struct {
	RuleName, RuleARN                          string
	Priority                                   int     // 1 … 9999, 10000 for Default; the lowest matching one decides
	FixedRate                                  float64 // 0 … 1, of the requests beyond the reservoir
	ReservoirSize                              int     // requests a second, of all clients together
	ServiceName, ServiceType, Host, HTTPMethod string  // patterns with * and ?
	URLPath, ResourceARN                       string  // patterns
	Attributes                                 map[string]string
	SamplingRateBoost                          *RateBoost `json:",omitempty"`
	CreatedAt, ModifiedAt                      trace.Time // 0 in a Default that was never changed
}

// RateBoost allows a rule's rate to rise for a minute when clients see anomalies.
type RateBoost struct {
	MaxRate               float64 // 0 … 1
	CooldownWindowMinutes int     // minutes between the starts of two boosts
}

// Sampler keeps the rules of every account and shares out their reservoirs. Its
// methods may be called by many goroutines. Its errors are KindErrors with the texts
// of the X-Ray API, and the store's errors.
type Sampler struct {
	store meta.Store

	mu        sync.Mutex
	snapshots map[trace.Account]*snapshot
	states    map[trace.Account]map[string]*state // by rule name
}

// New makes a Sampler over records.
func New(store meta.Store) *Sampler {
	return &Sampler{store: store, snapshots: map[trace.Account]*snapshot{}, states: map[trace.Account]map[string]*state{}}
}

// Default returns the rule that always exists: the first request of each second and
// 5 % of the others.
func Default(owner trace.Owner) Rule {
	return Rule{
		RuleName: DefaultName, RuleARN: arn(owner, DefaultName), Priority: 10000, FixedRate: 0.05, ReservoirSize: 1,
		ServiceName: "*", ServiceType: "*", Host: "*", HTTPMethod: "*", URLPath: "*", ResourceARN: "*", Attributes: map[string]string{},
	}
}

func arn(owner trace.Owner, name string) string { return owner.ARN("sampling-rule/" + name) }

// Rules lists the rules by name, Default last. Callers must not modify them.
func (s *Sampler) Rules(ctx context.Context, owner trace.Owner) ([]Rule, error) {
	now, err := s.view(ctx, owner.Account)
	if err != nil {
		return nil, err
	}
	if last := len(now.rules) - 1; now.rules[last].RuleARN == "" {
		return append(slices.Clone(now.rules[:last]), Default(owner)), nil
	}
	return now.rules, nil
}

// snapshot holds the rules of an account after a change.
type snapshot struct {
	change change
	rules  []Rule // Default last, without an ARN while it is not stored; must not be modified
}

// change counts the changes to an account's rules, so that a cached snapshot can be
// recognised as outdated.
type change struct {
	Count int64
	At    trace.Time // of the last change; never goes back
}

// view returns the rules, and reads them only if they have changed.
func (s *Sampler) view(ctx context.Context, account trace.Account) (*snapshot, error) {
	unstored := Default(trace.Owner{})
	unstored.RuleARN = ""
	s.mu.Lock()
	now := s.snapshots[account]
	s.mu.Unlock()
	err := s.store.View(ctx, account, func(tx meta.Tx) error {
		read := &snapshot{rules: []Rule{unstored}}
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
