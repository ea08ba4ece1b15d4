package api

import (
	"context"
	"fmt"
	"time"

	"github.com/fluoro-io/fluoro/internal/sample"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// nextTokenRequest is a request that may hold a token, which is ignored: there is
// one page.
type nextTokenRequest struct{ NextToken *string }

func (a *API) getSamplingRules(_ context.Context, r *request) (any, error) {
	if err := parse(r.body, &nextTokenRequest{}); err != nil {
		return nil, err
	}
	answer := wire.GetSamplingRulesResult{SamplingRuleRecords: []wire.SamplingRuleRecord{}}
	for _, rule := range a.Sampler.Rules() {
		answer.SamplingRuleRecords = append(answer.SamplingRuleRecords, wire.SamplingRuleRecord{
			CreatedAt: epoch(rule.Created), ModifiedAt: epoch(rule.Modified),
			SamplingRule: wire.SamplingRule{
				Attributes: rule.Attributes, FixedRate: rule.FixedRate, HTTPMethod: rule.HTTPMethod, Host: rule.Host, Priority: rule.Priority, ReservoirSize: rule.ReservoirSize,
				ResourceARN: rule.Resource, RuleARN: fmt.Sprintf("arn:aws:xray:%s:%s:sampling-rule/%s", a.Region, a.Account, rule.Name), RuleName: rule.Name,
				ServiceName: rule.ServiceName, ServiceType: rule.ServiceType, URLPath: rule.URLPath, Version: 1,
			},
		})
	}
	return answer, nil
}

// epoch is a time as epoch seconds; the zero time is 0, never null: SDKs fail on
// null.
func epoch(t time.Time) wire.Timestamp {
	if t.IsZero() {
		return 0
	}
	return wire.Timestamp(t.Unix())
}

func (a *API) getSamplingTargets(_ context.Context, r *request) (any, error) {
	var q wire.GetSamplingTargetsRequest
	if err := parse(r.body, &q); err != nil {
		return nil, err
	}
	now := a.Now()
	answer := wire.GetSamplingTargetsResult{
		LastRuleModification: epoch(a.Sampler.LastModification()), SamplingTargetDocuments: []wire.SamplingTargetDocument{}, UnprocessedStatistics: []wire.UnprocessedStatistics{},
	}
	for _, d := range q.SamplingStatisticsDocuments {
		target, known := a.Sampler.Report(sample.Report{Rule: *d.RuleName, Client: *d.ClientID, Requests: count(d.RequestCount), Sampled: count(d.SampledCount), Borrowed: count(d.BorrowCount)}, now)
		if !known {
			answer.UnprocessedStatistics = append(answer.UnprocessedStatistics, unknownRule(*d.RuleName))
			continue
		}
		answer.SamplingTargetDocuments = append(answer.SamplingTargetDocuments, wire.SamplingTargetDocument{
			FixedRate: target.FixedRate, Interval: int(sample.Interval / time.Second), ReservoirQuota: target.Quota, ReservoirQuotaTTL: epoch(target.Expires), RuleName: target.Rule,
		})
	}
	if len(q.SamplingBoostStatisticsDocuments) > 0 {
		answer.UnprocessedBoostStatistics = &[]wire.UnprocessedStatistics{}
		for _, d := range q.SamplingBoostStatisticsDocuments {
			if !a.Sampler.Known(*d.RuleName) {
				*answer.UnprocessedBoostStatistics = append(*answer.UnprocessedBoostStatistics, unknownRule(*d.RuleName))
			}
		}
	}
	return answer, nil
}

func unknownRule(name string) wire.UnprocessedStatistics {
	return wire.UnprocessedStatistics{ErrorCode: "400", Message: "Unknown rule", RuleName: name}
}

func count(c *wire.Count) int64 {
	if c == nil {
		return 0
	}
	return int64(*c)
}

func (a *API) getSamplingStatisticSummaries(_ context.Context, r *request) (any, error) {
	if err := parse(r.body, &nextTokenRequest{}); err != nil {
		return nil, err
	}
	answer := wire.GetSamplingStatisticSummariesResult{SamplingStatisticSummaries: []wire.SamplingStatisticSummary{}}
	for _, w := range a.Sampler.Windows(a.Now()) {
		answer.SamplingStatisticSummaries = append(answer.SamplingStatisticSummaries, wire.SamplingStatisticSummary{
			BorrowCount: w.Borrowed, RequestCount: w.Requests, RuleName: w.Rule, SampledCount: w.Sampled, Timestamp: epoch(w.Start),
		})
	}
	return answer, nil
}
