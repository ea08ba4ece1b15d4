package wire_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// rules returns the names of the sampling rules, requested as an SDK's poller does:
// plain HTTP, unsigned, without a content type.
func rules(t *testing.T, s *harness.Server, body string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.URL("/GetSamplingRules"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	var answer struct {
		SamplingRuleRecords []struct {
			CreatedAt, ModifiedAt *float64
			SamplingRule          struct {
				RuleName   string
				Version    int
				Attributes map[string]string
			}
		}
	}
	if err := json.Unmarshal(b, &answer); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s: %v", res.StatusCode, b, err)
	}
	var names []string
	for _, r := range answer.SamplingRuleRecords {
		if r.CreatedAt == nil || r.ModifiedAt == nil || r.SamplingRule.Version != 1 || r.SamplingRule.Attributes == nil {
			t.Errorf("SDKs cannot read %+v", r)
		}
		names = append(names, r.SamplingRule.RuleName)
	}
	return strings.Join(names, " ")
}

func rule(name string, reservoir int) map[string]any {
	return map[string]any{"SamplingRule": map[string]any{
		"RuleName": name, "Priority": 5, "FixedRate": 0.5, "ReservoirSize": reservoir, "ServiceName": "*", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "ResourceARN": "*", "Version": 1,
	}}
}

type targets struct {
	LastRuleModification    *float64
	SamplingTargetDocuments []struct {
		RuleName          string
		FixedRate         float64
		ReservoirQuota    int
		ReservoirQuotaTTL float64
		Interval          int
	}
	UnprocessedStatistics []struct{ RuleName, ErrorCode, Message string }
}

func report(s *harness.Server, rule, client string, requests int) (answer targets) {
	s.Ask("/SamplingTargets", map[string]any{"SamplingStatisticsDocuments": []map[string]any{
		{"RuleName": rule, "ClientID": client, "Timestamp": time.Now().Unix(), "RequestCount": requests, "SampledCount": 1, "BorrowCount": 1},
	}}, &answer)
	return answer
}

// A rule from its creation, through the clients that sample by it, a crash and a
// restart, to its deletion.
func TestSampling_lifeOfARule(t *testing.T) {
	s := harness.Start(t)
	a, b := strings.Repeat("a", 24), strings.Repeat("b", 24)
	if got := report(s, "checkout", a, 10); len(got.SamplingTargetDocuments) != 0 || len(got.UnprocessedStatistics) != 1 || got.UnprocessedStatistics[0].ErrorCode != "400" || got.LastRuleModification == nil || *got.LastRuleModification != 0 {
		t.Errorf("before it exists: %+v", got)
	}
	polled := float64(time.Now().UnixNano()) / 1e9
	s.Ask("/CreateSamplingRule", rule("checkout", 5), &struct{}{})
	for _, body := range []string{"", "{}", `{"NextToken":null}`} {
		if got := rules(t, s, body); got != "checkout Default" {
			t.Errorf("polled with %q: %s", body, got)
		}
	}
	got := report(s, "checkout", a, 1000)
	target := got.SamplingTargetDocuments[0]
	if target.ReservoirQuota != 5 || target.FixedRate != 0.5 || target.Interval != 10 || target.ReservoirQuotaTTL < polled+299 || target.ReservoirQuotaTTL > polled+310 {
		t.Errorf("target %+v", target)
	}
	if *got.LastRuleModification <= polled {
		t.Errorf("a client that polled at %f is told of a change at %f", polled, *got.LastRuleModification)
	}
	sum := 0
	for range 3 { // reports of both clients in turn
		sum = report(s, "checkout", b, 1000).SamplingTargetDocuments[0].ReservoirQuota + report(s, "checkout", a, 1000).SamplingTargetDocuments[0].ReservoirQuota
		if sum > 5 {
			t.Errorf("two clients hold %d of 5", sum)
		}
	}
	if sum != 5 {
		t.Errorf("two busy clients hold %d of 5", sum)
	}

	harness.Eventually(t, "a closed window with what was reported", func() bool {
		var answer struct {
			SamplingStatisticSummaries []struct {
				RuleName                                string
				RequestCount, SampledCount, BorrowCount int
			}
		}
		report(s, "checkout", a, 7)
		s.Ask("/SamplingStatisticSummaries", map[string]any{}, &answer)
		for _, w := range answer.SamplingStatisticSummaries {
			if w.RuleName == "checkout" && w.RequestCount > 0 && w.SampledCount > 0 && w.BorrowCount > 0 {
				return true
			}
		}
		return false
	})

	s.Ask("/UpdateSamplingRule", map[string]any{"SamplingRuleUpdate": map[string]any{"RuleName": "checkout", "FixedRate": 0.75}}, &struct{}{})
	s.Kill()
	s.Restart()
	if got := report(s, "checkout", a, 10).SamplingTargetDocuments[0].FixedRate; got != 0.75 {
		t.Errorf("rate %v after a crash", got)
	}
	s.Ask("/DeleteSamplingRule", map[string]any{"RuleName": "checkout"}, &struct{}{})
	s.Stop()
	s.Restart()
	if got := rules(t, s, ""); got != "Default" {
		t.Errorf("after its end: %s", got)
	}
}

func TestSampling_limitOfRules(t *testing.T) {
	s := harness.Start(t)
	for i := range 25 {
		s.Ask("/CreateSamplingRule", rule(fmt.Sprint(i), 1), &struct{}{})
	}
	status, header, body := s.Post("/CreateSamplingRule", rule("26", 1))
	if status != http.StatusBadRequest || header.Get("x-amzn-errortype") != "RuleLimitExceededException" {
		t.Errorf("26th rule: %d %s %s", status, header.Get("x-amzn-errortype"), body)
	}
	// An SDK with all rules and Default sends 26 documents in a call.
	var docs []map[string]any
	for i := range 26 {
		name := fmt.Sprint(i)
		if i == 25 {
			name = "Default"
		}
		docs = append(docs, map[string]any{"RuleName": name, "ClientID": strings.Repeat("c", 24), "Timestamp": time.Now().Unix(), "RequestCount": 1, "SampledCount": 1})
	}
	var got targets
	s.Ask("/SamplingTargets", map[string]any{"SamplingStatisticsDocuments": docs}, &got)
	if len(got.SamplingTargetDocuments) != 26 {
		t.Errorf("%d targets", len(got.SamplingTargetDocuments))
	}
}

// SDKs poll the rules when a process starts: with the maximum number of rules, the
// answer must take less than a millisecond.
func TestSampling_rulesAreFast(t *testing.T) {
	s := harness.Start(t)
	for i := range 25 {
		s.Ask("/CreateSamplingRule", rule(fmt.Sprint(i), 1), &struct{}{})
	}
	var took []time.Duration
	for range 400 {
		began := time.Now()
		s.Ask("/GetSamplingRules", map[string]any{}, &struct{}{})
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("quartiles %v %v %v", took[100], took[200], took[300])
	if took[100] > time.Millisecond { // the lower quartile: the machine may be busy
		t.Errorf("took %v", took[100])
	}
}
