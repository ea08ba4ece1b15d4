package sample

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/tag"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	maxRules   = 25 // custom rules of an account (AWS X-Ray quotas)
	maxName    = 32 // characters of a rule's name (X-Ray API model)
	maxVersion = 1  // of the rule format
)

// ErrTooMany means that an account has the maximum number of rules.
var ErrTooMany = trace.Errorf(trace.KindLimit, "Sampling rule limit exceeded: there are %d", maxRules) // not recorded

// Selector names a rule by its name or by its ARN, not both.
type Selector struct{ RuleName, RuleARN string }

// Update is a change to a rule. Nil members stay as they are, except the boost:
// without one, the rule has no boost afterwards.
type Update struct {
	Selector
	Priority, ReservoirSize                                          *int
	FixedRate                                                        *float64
	ServiceName, ServiceType, Host, HTTPMethod, URLPath, ResourceARN *string
	Attributes                                                       map[string]string
	SamplingRateBoost                                                *RateBoost
}

// Create stores a new rule with its tags. RuleName or the end of RuleARN names it.
func (s *Sampler) Create(ctx context.Context, owner trace.Owner, r Rule, version int, tags []tag.Tag, now time.Time) (Rule, error) {
	name, err := selected(owner, Selector{r.RuleName, r.RuleARN})
	if trace.KindOf(err) == trace.KindInvalid {
		return Rule{}, err
	}
	if err != nil || name == "" || len([]rune(name)) > maxName {
		return Rule{}, trace.Errorf(trace.KindInvalid, "Sampling rule ARN must be %s and a name of up to %d characters", arn(owner, ""), maxName) // not recorded
	}
	if version != maxVersion {
		return Rule{}, trace.Errorf(trace.KindInvalid, "Sampling rule version must be %d", maxVersion)
	}
	if !valid(r) {
		return Rule{}, trace.Errorf(trace.KindInvalid, "Invalid create request for sampling rule") // not recorded
	}
	r.RuleName, r.RuleARN, r.CreatedAt, r.ModifiedAt = name, arn(owner, name), trace.TimeOf(now), trace.TimeOf(now)
	if r.Attributes == nil {
		r.Attributes = map[string]string{}
	}
	err = s.store.Update(ctx, owner.Account, func(tx meta.Tx) error {
		count, exists := 0, name == DefaultName
		if err := tx.List(ruleKind, func(n string, _ json.RawMessage) error {
			exists = exists || n == name
			if n != DefaultName {
				count++
			}
			return nil
		}); err != nil {
			return err
		}
		switch {
		case exists:
			return trace.Errorf(trace.KindConflict, "Sampling rule already exists")
		case count >= maxRules:
			return ErrTooMany
		}
		if err := tag.Set(tx, r.RuleARN, tags); err != nil {
			return err
		}
		return put(tx, r, now)
	})
	return r, err
}

// Update changes a rule completely or, on error, not at all. Of Default, only the
// rate and the reservoir can be changed.
func (s *Sampler) Update(ctx context.Context, owner trace.Owner, u Update, now time.Time) (Rule, error) {
	name, err := selected(owner, u.Selector)
	if err != nil {
		return Rule{}, err
	}
	var r Rule
	err = s.store.Update(ctx, owner.Account, func(tx meta.Tx) error {
		old, err := get(tx, owner, name)
		if err != nil {
			return err
		}
		r = u.apply(old)
		if name == DefaultName && !sameButLimits(old, r) {
			return trace.Errorf(trace.KindInvalid, "Invalid update request for default sampling rule") // not recorded
		}
		if !valid(r) {
			return trace.Errorf(trace.KindInvalid, "Invalid update request for sampling rule")
		}
		r.ModifiedAt = trace.TimeOf(now)
		return put(tx, r, now)
	})
	if err != nil {
		return Rule{}, err
	}
	if r.SamplingRateBoost == nil {
		s.forgetBoost(owner.Account, name)
	}
	return r, nil
}

// Delete removes a rule with its tags and returns the deleted rule.
func (s *Sampler) Delete(ctx context.Context, owner trace.Owner, sel Selector, now time.Time) (Rule, error) {
	name, err := selected(owner, sel)
	if err != nil {
		return Rule{}, err
	}
	if name == DefaultName {
		return Rule{}, trace.Errorf(trace.KindInvalid, "Invalid delete request for default sampling rule") // not recorded
	}
	var r Rule
	err = s.store.Update(ctx, owner.Account, func(tx meta.Tx) error {
		if r, err = get(tx, owner, name); err != nil {
			return err
		}
		if _, err := tx.Delete(ruleKind, name); err != nil {
			return err
		}
		if err := tag.Drop(tx, r.RuleARN); err != nil {
			return err
		}
		return touch(tx, now)
	})
	return r, err
}

// selected returns the rule name in a selector. An ARN of another account or region,
// or of another resource, selects no rule.
func selected(owner trace.Owner, sel Selector) (string, error) {
	switch {
	case sel.RuleName != "" && sel.RuleARN != "":
		return "", trace.Errorf(trace.KindInvalid, "Request cannot contain both sampling rule name and sampling rule ARN")
	case sel.RuleName != "":
		return sel.RuleName, nil
	case sel.RuleARN == "":
		return "", trace.Errorf(trace.KindInvalid, "Request must contain either sampling rule name or sampling rule ARN")
	}
	name, ours := strings.CutPrefix(sel.RuleARN, arn(owner, ""))
	if !ours {
		return "", notFound()
	}
	return name, nil
}

func notFound() error { return trace.Errorf(trace.KindNotFound, "Sampling rule does not exist") }

// get reads a rule; Default exists even if it was never stored.
func get(tx meta.Tx, owner trace.Owner, name string) (Rule, error) {
	var r Rule
	found, err := tx.Get(ruleKind, name, &r)
	switch {
	case err != nil:
		return Rule{}, err
	case !found && name == DefaultName:
		return Default(owner), nil
	case !found:
		return Rule{}, notFound()
	}
	return r, nil
}

// put writes a rule and records the change.
func put(tx meta.Tx, r Rule, now time.Time) error {
	if err := tx.Put(ruleKind, r.RuleName, r); err != nil {
		return err
	}
	return touch(tx, now)
}

// touch records a change.
func touch(tx meta.Tx, now time.Time) error {
	var last change
	if _, err := tx.Get(changeKind, lastChange, &last); err != nil {
		return err
	}
	// If the time went back, clients would miss the change.
	return tx.Put(changeKind, lastChange, change{Count: last.Count + 1, At: max(last.At, trace.TimeOf(now))})
}

// apply returns the rule after the update.
func (u Update) apply(r Rule) Rule {
	set(&r.Priority, u.Priority)
	set(&r.FixedRate, u.FixedRate)
	set(&r.ReservoirSize, u.ReservoirSize)
	set(&r.ServiceName, u.ServiceName)
	set(&r.ServiceType, u.ServiceType)
	set(&r.Host, u.Host)
	set(&r.HTTPMethod, u.HTTPMethod)
	set(&r.URLPath, u.URLPath)
	set(&r.ResourceARN, u.ResourceARN)
	if u.Attributes != nil {
		r.Attributes = u.Attributes
	}
	r.SamplingRateBoost = u.SamplingRateBoost
	return r
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// sameButLimits reports whether two rules differ in rate and reservoir at most.
func sameButLimits(a, b Rule) bool {
	return a.Priority == b.Priority && a.ServiceName == b.ServiceName && a.ServiceType == b.ServiceType && a.Host == b.Host && a.HTTPMethod == b.HTTPMethod &&
		a.URLPath == b.URLPath && a.ResourceARN == b.ResourceARN && maps.Equal(a.Attributes, b.Attributes) && b.SamplingRateBoost == nil
}

// valid checks the ranges of a rule's numbers. The API model has none for updates,
// and allows a cooldown of 0, although the native service fails on it.
func valid(r Rule) bool {
	b := r.SamplingRateBoost
	return (r.Priority >= 1 && r.Priority <= 9999 || r.RuleName == DefaultName) &&
		r.FixedRate >= 0 && r.FixedRate <= 1 && r.ReservoirSize >= 0 &&
		(b == nil || b.MaxRate >= 0 && b.MaxRate <= 1 && b.CooldownWindowMinutes >= 1)
}
