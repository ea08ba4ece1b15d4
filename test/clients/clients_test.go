// Package clients_test queries the real binary through clients that people use:
// boto3 and Debian's AWS CLI, with only the endpoint changed.
package clients_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// account returns an environment in which AWS clients work offline.
func account(s *harness.Server) []string {
	return append(os.Environ(), "AWS_ENDPOINT_URL_XRAY="+s.URL(""), "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=secret",
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=")
}

func TestBoto3(t *testing.T) { python(t, "boto3_test.py") }

func TestCorpus(t *testing.T) {
	python(t, "corpus_test.py", "FLUORO_CORPUS="+filepath.Join(harness.Shared(t), "corpus"))
}

// python runs the tests of a file against its own server.
func python(t *testing.T, file string, env ...string) {
	s := harness.Start(t)
	cmd := exec.Command(filepath.Join(harness.Root(), ".cache", "venv", "bin", "python"), file)
	cmd.Env = append(account(s), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "\nOK") || strings.Contains(string(out), "Ran 0 tests") {
		t.Fatalf("nothing ran:\n%s", out)
	}
}

// cli runs the AWS CLI and decodes its output.
func cli(t *testing.T, s *harness.Server, answer any, args ...string) (failure string) {
	t.Helper()
	cmd := exec.Command("/usr/bin/aws", append([]string{"xray", "--endpoint-url", s.URL(""), "--output", "json"}, args...)...)
	cmd.Env = account(s)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return stderr.String()
	}
	if answer != nil {
		if err := json.Unmarshal(out, answer); err != nil {
			t.Fatalf("aws %v: %v\n%s", args, err, out)
		}
	}
	return ""
}

func TestAWSCLI(t *testing.T) {
	s := harness.Start(t)
	now := time.Now().Unix()
	id := fmt.Sprintf("1-%08x-0123456789abcdef01234567", now)
	document := fmt.Sprintf(`{"trace_id":%q,"id":"70de5b6f19ff9a0a","name":"till","start_time":%d.5,"end_time":%d,"annotations":{"lane":4},"error":true}`, id, now-2, now)
	ok := func(answer any, args ...string) {
		t.Helper()
		if failure := cli(t, s, answer, args...); failure != "" {
			t.Fatalf("aws xray %v: %s", args, failure)
		}
	}
	start, end := fmt.Sprint(now-600), fmt.Sprint(now+60)

	var put struct{ UnprocessedTraceSegments []any }
	ok(&put, "put-trace-segments", "--trace-segment-documents", document)
	if len(put.UnprocessedTraceSegments) != 0 {
		t.Errorf("refused: %v", put)
	}
	ok(nil, "put-telemetry-records", "--telemetry-records", fmt.Sprintf(`[{"Timestamp":%d,"SegmentsSentCount":1}]`, now))

	var traces struct {
		Traces []struct {
			Id       string
			Duration float64
			Segments []struct{ Document string }
		}
	}
	ok(&traces, "batch-get-traces", "--trace-ids", id)
	if len(traces.Traces) != 1 || traces.Traces[0].Id != id || traces.Traces[0].Duration != 1.5 || !strings.Contains(traces.Traces[0].Segments[0].Document, `"lane":4`) {
		t.Errorf("batch-get-traces: %+v", traces)
	}

	var summaries struct {
		TraceSummaries []struct {
			Id       string
			HasError bool
		}
	}
	ok(&summaries, "get-trace-summaries", "--start-time", start, "--end-time", end, "--filter-expression", `service("till") AND annotation.lane = 4`)
	if len(summaries.TraceSummaries) != 1 || !summaries.TraceSummaries[0].HasError {
		t.Errorf("get-trace-summaries: %+v", summaries)
	}

	var graph struct{ Services []struct{ Name, Type string } }
	names := func() (out []string) {
		for _, svc := range graph.Services {
			out = append(out, svc.Name+"/"+svc.Type)
		}
		slices.Sort(out)
		return out
	}
	want := []string{"till/", "till/client"}
	ok(&graph, "get-trace-graph", "--trace-ids", id)
	if !slices.Equal(names(), want) {
		t.Errorf("get-trace-graph: %v", names())
	}
	graph.Services = nil
	ok(&graph, "get-service-graph", "--start-time", start, "--end-time", end)
	if !slices.Equal(names(), want) {
		t.Errorf("get-service-graph: %v", names())
	}

	var rules struct {
		SamplingRuleRecords []struct {
			SamplingRule struct{ RuleName, RuleARN string }
		}
	}
	ok(&rules, "get-sampling-rules")
	if len(rules.SamplingRuleRecords) != 1 || rules.SamplingRuleRecords[0].SamplingRule.RuleARN != "arn:aws:xray:us-east-1:000000000000:sampling-rule/Default" {
		t.Errorf("get-sampling-rules: %+v", rules)
	}
	var targets struct {
		SamplingTargetDocuments []struct{ RuleName string }
	}
	ok(&targets, "get-sampling-targets", "--sampling-statistics-documents",
		fmt.Sprintf(`[{"RuleName":"Default","ClientID":"0123456789abcdef01234567","Timestamp":%d,"RequestCount":1,"SampledCount":1,"BorrowCount":0}]`, now))
	if len(targets.SamplingTargetDocuments) != 1 {
		t.Errorf("get-sampling-targets: %+v", targets)
	}
	ok(nil, "get-sampling-statistic-summaries")

	for text, args := range map[string][]string{
		"InvalidRequestException": {"batch-get-traces", "--trace-ids", "nonsense"},
		"Insight not found":       {"get-insight", "--insight-id", "11111111-1111-4111-8111-111111111111"},
		"ValidationException":     {"get-insight", "--insight-id", "nonsense"},
	} {
		if failure := cli(t, s, nil, args...); !strings.Contains(failure, text) {
			t.Errorf("aws xray %v: %q, not %s", args, failure, text)
		}
	}
}
