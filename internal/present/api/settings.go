package api

import (
	"context"
	"net/http"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/policy/resource"
	"github.com/fluoro-io/fluoro/internal/setting"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
)

func (a *API) putResourcePolicy(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.PutResourcePolicyRequest) (any, error) {
		if err := mayWith(ctx, "xray:PutResourcePolicy", "xray:ResourcePolicyName", value(q.PolicyName)); err != nil {
			return nil, err
		}
		p, err := a.Policies.Put(ctx, r.owner.Account, resource.Request{
			Name: value(q.PolicyName), Document: value(q.PolicyDocument), Revision: q.PolicyRevisionId, Bypass: q.BypassPolicyLockoutCheck != nil && *q.BypassPolicyLockoutCheck,
			Caller: func(document string) error {
				return identity.Ask(ctx, identity.Question{Action: "xray:PutResourcePolicy", Resource: "*", Proposed: document, Keys: map[string][]string{"xray:ResourcePolicyName": {value(q.PolicyName)}}})
			},
		}, trace.TimeOf(a.Now()))
		return wire.PutResourcePolicyResult{ResourcePolicy: shownPolicy(p)}, err
	})
}

func (a *API) listResourcePolicies(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *nextTokenRequest) (any, error) {
		if q.NextToken != nil {
			return nil, trace.Errorf(trace.KindInvalid, "NextToken is currently not supported")
		}
		list, err := a.Policies.List(ctx, r.owner.Account)
		if err != nil {
			return nil, err
		}
		answer := wire.ListResourcePoliciesResult{ResourcePolicies: []wire.ResourcePolicy{}}
		for _, p := range list {
			answer.ResourcePolicies = append(answer.ResourcePolicies, shownPolicy(p))
		}
		return answer, nil
	})
}

func (a *API) deleteResourcePolicy(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.DeleteResourcePolicyRequest) (any, error) {
		if err := mayWith(ctx, "xray:DeleteResourcePolicy", "xray:ResourcePolicyName", value(q.PolicyName)); err != nil {
			return nil, err
		}
		return struct{}{}, a.Policies.Delete(ctx, r.owner.Account, value(q.PolicyName), q.PolicyRevisionId)
	})
}

func shownPolicy(p resource.Policy) wire.ResourcePolicy {
	return wire.ResourcePolicy{LastUpdatedTime: timestamp(p.Updated.FloorSecond()), PolicyDocument: p.Document, PolicyName: p.Name, PolicyRevisionId: p.RevisionID()}
}

func (a *API) getEncryptionConfig(ctx context.Context, r *request) (any, error) {
	return ask(r, func(*struct{}) (any, error) {
		e, status, err := a.Encryption.Get(ctx, r.owner.Account)
		return wire.EncryptionConfigResult{EncryptionConfig: wire.EncryptionConfig{KeyId: text(e.KeyID), Status: status, Type: e.Type}}, err
	})
}

// putEncryptionConfig answers UPDATING, as the native service does.
func (a *API) putEncryptionConfig(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.PutEncryptionConfigRequest) (any, error) {
		e := setting.Encryption{Type: value(q.Type), KeyID: value(q.KeyId)}
		err := a.Encryption.Set(ctx, r.owner.Account, e)
		return wire.EncryptionConfigResult{EncryptionConfig: wire.EncryptionConfig{KeyId: text(e.KeyID), Status: "UPDATING", Type: e.Type}}, err
	})
}

func (a *API) getTraceSegmentDestination(ctx context.Context, r *request) (any, error) {
	return ask(r, func(*struct{}) (any, error) {
		d, err := a.Settings.Destination(ctx, r.owner.Account)
		return wire.TraceSegmentDestinationResult{Destination: d, Status: "ACTIVE"}, err
	})
}

// updateTraceSegmentDestination answers PENDING if it changes anything; the next read
// answers ACTIVE.
func (a *API) updateTraceSegmentDestination(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.UpdateTraceSegmentDestinationRequest) (any, error) {
		if err := mayWith(ctx, "xray:UpdateTraceSegmentDestination", "xray:TraceSegmentDestination", value(q.Destination)); err != nil {
			return nil, err
		}
		if q.Destination == nil {
			return a.getTraceSegmentDestination(ctx, r)
		}
		changed, err := a.Settings.SetDestination(ctx, r.owner.Account, *q.Destination, trace.TimeOf(a.Now()))
		status := "ACTIVE"
		if changed {
			status = "PENDING"
		}
		return wire.TraceSegmentDestinationResult{Destination: *q.Destination, Status: status}, err
	})
}

func (a *API) getIndexingRules(ctx context.Context, r *request) (any, error) {
	return ask(r, func(*nextTokenRequest) (any, error) {
		rule, err := a.Settings.Indexing(ctx, r.owner.Account)
		return wire.GetIndexingRulesResult{IndexingRules: []wire.IndexingRule{shownIndexing(rule)}}, err
	})
}

func (a *API) updateIndexingRule(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.UpdateIndexingRuleRequest) (any, error) {
		if name := value(q.Name); name != setting.IndexingRule {
			return nil, &exception{http.StatusNotFound, "ResourceNotFoundException", "Indexing rule " + name + " not found", true} // not recorded
		}
		if q.Rule == nil || q.Rule.Probabilistic == nil || q.Rule.Probabilistic.DesiredSamplingPercentage == nil {
			return nil, trace.Errorf(trace.KindInvalid, "Rule must have Probabilistic with a DesiredSamplingPercentage") // not recorded
		}
		rule, err := a.Settings.SetIndexing(ctx, r.owner.Account, *q.Rule.Probabilistic.DesiredSamplingPercentage, trace.TimeOf(a.Now()))
		return wire.UpdateIndexingRuleResult{IndexingRule: shownIndexing(rule)}, err
	})
}

func shownIndexing(r setting.Indexing) wire.IndexingRule {
	out := wire.IndexingRule{Name: setting.IndexingRule, Rule: wire.IndexingRuleValue{Probabilistic: &wire.ProbabilisticRuleValue{ActualSamplingPercentage: r.Percentage, DesiredSamplingPercentage: r.Percentage}}}
	if r.Modified != 0 {
		at := timestamp(r.Modified.FloorSecond())
		out.ModifiedAt = &at
	}
	return out
}
