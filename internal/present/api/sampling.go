package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/fluoro-io/fluoro/internal/sample"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// nextTokenRequest is a request that may hold a token. Most operations ignore it, because
// there is one page.
type nextTokenRequest struct{ NextToken *string }

func (a *API) createSamplingRule(ctx context.Context, r *request) (any, error) {
	var q wire.CreateSamplingRuleRequest
	if err := parse(r.body, &q); err != nil {
		return nil, err
	}
	c := q.SamplingRule
	if err := a.mayCreate(ctx, "xray:CreateSamplingRule", r.owner.ARN("sampling-rule/"+given(c.RuleName)), tags(q.Tags)); err != nil {
		return nil, err
	}
	rule, err := a.Sampler.Create(ctx, r.owner, sample.Rule{
		RuleName: given(c.RuleName), RuleARN: given(c.RuleARN), Priority: int(given(c.Priority)), FixedRate: given(c.FixedRate), ReservoirSize: int(given(c.ReservoirSize)),
		ServiceName: given(c.ServiceName), ServiceType: given(c.ServiceType), Host: given(c.Host), HTTPMethod: given(c.HTTPMethod),
		URLPath: given(c.URLPath), ResourceARN: given(c.ResourceARN), Attributes: c.Attributes, SamplingRateBoost: rateBoost(c.SamplingRateBoost),
	}, int(given(c.Version)), tags(q.Tags), a.Now())
	return ruleResult(rule, err)
}

func (a *API) updateSamplingRule(ctx context.Context, r *request) (any, error) {
	var q wire.UpdateSamplingRuleRequest
	if err := parse(r.body, &q); err != nil {
		return nil, err
	}
	c := q.SamplingRuleUpdate
	if err := a.mayUseRule(ctx, r, "xray:UpdateSamplingRule", given(c.RuleName), given(c.RuleARN)); err != nil {
		return nil, err
	}
	rule, err := a.Sampler.Update(ctx, r.owner, sample.Update{
		Selector: sample.Selector{RuleName: given(c.RuleName), RuleARN: given(c.RuleARN)},
		Priority: number(c.Priority), ReservoirSize: number(c.ReservoirSize), FixedRate: c.FixedRate,
		ServiceName: c.ServiceName, ServiceType: c.ServiceType, Host: c.Host, HTTPMethod: c.HTTPMethod, URLPath: c.URLPath, ResourceARN: c.ResourceARN,
		Attributes: c.Attributes, SamplingRateBoost: rateBoost(c.SamplingRateBoost),
	}, a.Now())
	return ruleResult(rule, err)
}

func (a *API) deleteSamplingRule(ctx context.Context, r *request) (any, error) {
	var q wire.DeleteSamplingRuleRequest
	if err := parse(r.body, &q); err != nil {
		return nil, err
	}
	if err := a.mayUseRule(ctx, r, "xray:DeleteSamplingRule", given(q.RuleName), given(q.RuleARN)); err != nil {
		return nil, err
	}
	rule, err := a.Sampler.Delete(ctx, r.owner, sample.Selector{RuleName: given(q.RuleName), RuleARN: given(q.RuleARN)}, a.Now())
	return ruleResult(rule, err)
}

func (a *API) getSamplingRules(ctx context.Context, r *request) (any, error) {
	if err := parse(r.body, &nextTokenRequest{}); err != nil {
		return nil, err
	}
	rules, err := a.Sampler.Rules(ctx, r.owner)
	if err != nil {
		return nil, err
	}
	answer := wire.GetSamplingRulesResult{SamplingRuleRecords: []wire.SamplingRuleRecord{}}
	for _, rule := range rules {
		answer.SamplingRuleRecords = append(answer.SamplingRuleRecords, ruleRecord(rule))
	}
	return answer, nil
}

// ruleResult answers with a rule. A rule that does not exist is an
// InvalidRequestException here, not a ResourceNotFoundException.
func ruleResult(rule sample.Rule, err error) (any, error) {
	var ke *trace.KindError
	switch {
	case err == nil:
		return wire.SamplingRuleResult{SamplingRuleRecord: ruleRecord(rule)}, nil
	case !errors.As(err, &ke):
		return nil, err
	case errors.Is(err, sample.ErrTooMany):
		return nil, &exception{http.StatusBadRequest, "RuleLimitExceededException", ke.Message, true}
	case ke.Kind == trace.KindNotFound:
		return nil, &exception{http.StatusBadRequest, "InvalidRequestException", ke.Message, true}
	}
	return nil, err
}

func ruleRecord(r sample.Rule) wire.SamplingRuleRecord {
	rule := wire.SamplingRule{
		Attributes: r.Attributes, FixedRate: r.FixedRate, HTTPMethod: r.HTTPMethod, Host: r.Host, Priority: r.Priority, ReservoirSize: r.ReservoirSize,
		ResourceARN: r.ResourceARN, RuleARN: r.RuleARN, RuleName: r.RuleName, ServiceName: r.ServiceName, ServiceType: r.ServiceType, URLPath: r.URLPath, Version: 1,
	}
	if b := r.SamplingRateBoost; b != nil {
		rule.SamplingRateBoost = &wire.SamplingRateBoost{CooldownWindowMinutes: wire.Count(b.CooldownWindowMinutes), MaxRate: b.MaxRate}
	}
	return wire.SamplingRuleRecord{CreatedAt: epoch(r.CreatedAt), ModifiedAt: epoch(r.ModifiedAt), SamplingRule: rule}
}

func rateBoost(b *wire.SamplingRateBoost) *sample.RateBoost {
	if b == nil {
		return nil
	}
	return &sample.RateBoost{MaxRate: b.MaxRate, CooldownWindowMinutes: int(b.CooldownWindowMinutes)}
}

// given returns the value of a member, the zero value if it is absent.
func given[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// number converts a number that may be absent.
func number(c *wire.Count) *int {
	if c == nil {
		return nil
	}
	n := int(*c)
	return &n
}

// epoch converts a time to whole epoch seconds; no time becomes 0, because SDKs fail on
// null.
func epoch(t trace.Time) wire.Timestamp { return wire.Timestamp(t.FloorSecond().Seconds()) }

func (a *API) getSamplingTargets(ctx context.Context, r *request) (any, error) {
	var q wire.GetSamplingTargetsRequest
	if err := parse(r.body, &q); err != nil {
		return nil, err
	}
	now := a.Now()
	var reports []sample.Report
	for _, d := range q.SamplingStatisticsDocuments {
		reports = append(reports, sample.Report{Rule: given(d.RuleName), Client: given(d.ClientID), At: trace.FromSeconds(float64(given(d.Timestamp))).Time(), Requests: int64(given(d.RequestCount)), Sampled: int64(given(d.SampledCount)), Borrowed: int64(given(d.BorrowCount))})
	}
	var seen []sample.Anomalies
	for _, d := range q.SamplingBoostStatisticsDocuments {
		seen = append(seen, sample.Anomalies{Rule: given(d.RuleName), Service: given(d.ServiceName), At: trace.FromSeconds(float64(given(d.Timestamp))).Time(), Total: int64(given(d.TotalCount)), Anomalous: int64(given(d.AnomalyCount)), Sampled: int64(given(d.SampledAnomalyCount))})
	}
	targets, err := a.Sampler.Report(ctx, r.owner.Account, reports, seen, now)
	if err != nil {
		return nil, err
	}
	// Round up to the next whole second: a client that read the rules just before the
	// change must see a later time.
	changed := (targets.Changed + 1e9 - 1).FloorSecond()
	answer := wire.GetSamplingTargetsResult{LastRuleModification: epoch(changed), SamplingTargetDocuments: []wire.SamplingTargetDocument{}, UnprocessedStatistics: unknownRules(targets.Unknown)}
	for _, t := range targets.Targets {
		d := wire.SamplingTargetDocument{FixedRate: t.FixedRate, Interval: int(sample.Interval / time.Second), ReservoirQuota: t.Quota, ReservoirQuotaTTL: epoch(trace.TimeOf(t.Expires)), RuleName: t.Rule}
		if t.Boost != nil {
			d.SamplingBoost = &wire.SamplingBoost{BoostRate: t.Boost.Rate, BoostRateTTL: epoch(trace.TimeOf(t.Boost.Expires))}
		}
		answer.SamplingTargetDocuments = append(answer.SamplingTargetDocuments, d)
	}
	if len(seen) > 0 {
		unknown := unknownRules(targets.UnknownAnomalies)
		answer.UnprocessedBoostStatistics = &unknown
	}
	return answer, nil
}

func unknownRules(names []string) []wire.UnprocessedStatistics {
	out := []wire.UnprocessedStatistics{}
	for _, name := range names {
		out = append(out, wire.UnprocessedStatistics{ErrorCode: "400", Message: "Unknown rule", RuleName: name})
	}
	return out
}

func (a *API) getSamplingStatisticSummaries(ctx context.Context, r *request) (any, error) {
	if err := parse(r.body, &nextTokenRequest{}); err != nil {
		return nil, err
	}
	windows, err := a.Sampler.Windows(ctx, r.owner.Account, a.Now())
	if err != nil {
		return nil, err
	}
	answer := wire.GetSamplingStatisticSummariesResult{SamplingStatisticSummaries: []wire.SamplingStatisticSummary{}}
	fit := func(n int64) int64 { return min(n, math.MaxInt32) } // clients read 32 bits
	for _, w := range windows {
		answer.SamplingStatisticSummaries = append(answer.SamplingStatisticSummaries, wire.SamplingStatisticSummary{
			BorrowCount: fit(w.Borrowed), RequestCount: fit(w.Requests), RuleName: w.Rule, SampledCount: fit(w.Sampled), Timestamp: epoch(trace.TimeOf(w.Start)),
		})
	}
	return answer, nil
}
