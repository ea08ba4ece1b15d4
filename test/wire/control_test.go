package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

type shownGroup struct {
	GroupName, GroupARN   string
	FilterExpression      *string
	InsightsConfiguration struct{ InsightsEnabled, NotificationsEnabled bool }
}

// apiError is the answer to a refused request: the HTTP status, the exception, and a
// word in its text.
type apiError struct {
	status          int
	exception, word string
}

// refusedAs checks that a request is refused, and returns the answer's headers.
func refusedAs(t *testing.T, s *harness.Server, path string, body any, want apiError) http.Header {
	t.Helper()
	got, header, b := s.Post(path, body)
	if got != want.status || header.Get("x-amzn-errortype") != want.exception || !strings.Contains(string(b), want.word) {
		t.Errorf("%s: %d %s %s, want %d %s %q", path, got, header.Get("x-amzn-errortype"), b, want.status, want.exception, want.word)
	}
	return header
}

type m = map[string]any

const statement = `{"Effect":%q,"Principal":"*","Action":["xray:PutResourcePolicy"],"Resource":"*"}`

func policyOf(effect string) string {
	return `{"Version":"2012-10-17","Statement":[` + fmt.Sprintf(statement, effect) + `]}`
}

// Answered control-plane changes survive a crash.
func TestControl_survivesACrash(t *testing.T) {
	s := harness.Start(t, "--region", "eu-west-1")
	var made struct{ Group shownGroup }
	s.Ask("/CreateGroup", m{"GroupName": "slow", "FilterExpression": "responsetime > 2", "Tags": []m{{"Key": "Owner", "Value": "x"}}}, &made)
	s.Ask("/UpdateGroup", m{"GroupARN": made.Group.GroupARN, "FilterExpression": "fault", "InsightsConfiguration": m{"InsightsEnabled": true}}, &made)
	var ignored m
	s.Ask("/TagResource", m{"ResourceARN": made.Group.GroupARN, "Tags": []m{{"Key": "Case", "Value": ""}}}, &ignored)
	s.Ask("/PutResourcePolicy", m{"PolicyName": "p", "PolicyDocument": policyOf("Allow")}, &ignored)
	s.Ask("/PutEncryptionConfig", m{"Type": "KMS", "KeyId": "alias/aws/xray"}, &ignored)
	var destination m
	s.Ask("/UpdateTraceSegmentDestination", m{"Destination": "CloudWatchLogs"}, &destination)
	if fmt.Sprint(destination) != "map[Destination:CloudWatchLogs Status:PENDING]" {
		t.Errorf("the destination is %v", destination)
	}
	s.Ask("/UpdateIndexingRule", m{"Name": "Default", "Rule": m{"Probabilistic": m{"DesiredSamplingPercentage": 37.5}}}, &ignored)

	questions := []struct {
		path string
		body any
		want []string
	}{
		{"/Groups", m{}, []string{`"GroupName":"Default"`, `"FilterExpression":null`, `"FilterExpression":"fault"`, `"InsightsEnabled":true`, `"NextToken":null`, made.Group.GroupARN}},
		{"/ListTagsForResource", m{"ResourceARN": made.Group.GroupARN}, []string{`{"NextToken":null,"Tags":[{"Key":"Owner","Value":"x"},{"Key":"Case","Value":""}]}`}},
		{"/ListResourcePolicies", m{}, []string{`"PolicyRevisionId":"1"`, `\"Action\":\"xray:PutResourcePolicy\"`}},
		{"/EncryptionConfig", []byte(nil), []string{`{"EncryptionConfig":{"KeyId":"alias/aws/xray","Status":"ACTIVE","Type":"KMS"}}`}},
		{"/GetTraceSegmentDestination", m{}, []string{`{"Destination":"CloudWatchLogs","Status":"ACTIVE"}`}},
		{"/GetIndexingRules", m{}, []string{`"Name":"Default"`, `"DesiredSamplingPercentage":37.5`}},
	}
	before := make([][]byte, len(questions))
	for i, q := range questions {
		var status int
		if status, _, before[i] = s.Post(q.path, q.body); status != http.StatusOK {
			t.Errorf("%s: %d", q.path, status)
		}
		for _, want := range q.want {
			if !strings.Contains(string(before[i]), want) {
				t.Errorf("%s: %s, want %s", q.path, before[i], want)
			}
		}
	}
	s.Kill()
	s.Restart("--region", "eu-west-1")
	for i, q := range questions {
		if _, _, after := s.Post(q.path, q.body); !bytes.Equal(after, before[i]) {
			t.Errorf("%s: %s\n before the crash %s", q.path, after, before[i])
		}
	}
}

func TestControl_refusals(t *testing.T) {
	s := harness.Start(t)
	arn := "arn:aws:xray:us-east-1:000000000000:group/x/Y"
	for _, path := range []string{"/TagResource", "/UntagResource", "/ListTagsForResource"} {
		refusedAs(t, s, path, m{"ResourceARN": arn, "Tags": []m{}, "TagKeys": []string{}}, apiError{404, "ResourceNotFoundException", `{"Message":"Resource ` + arn + ` not found","ResourceName":"` + arn + `"}`})
	}
	refusedAs(t, s, "/GetGroup", m{"GroupName": "x"}, apiError{400, "InvalidRequestException", `{"Message":"Group not found"}`})
	refusedAs(t, s, "/Groups", m{"NextToken": "x"}, apiError{400, "InvalidRequestException", `{"Message":"Next Token not supported"}`})
	refusedAs(t, s, "/ListResourcePolicies", m{"NextToken": "x"}, apiError{400, "InvalidRequestException", `{"Message":"NextToken is currently not supported"}`})
	header := refusedAs(t, s, "/PutResourcePolicy", m{"PolicyName": "p", "PolicyDocument": `{"Version":"2012-10-17"}`}, apiError{400, "MalformedPolicyDocumentException", `{"Message":null}`})
	if !strings.Contains(header.Get("x-fluoro-reason"), "Statement") {
		t.Errorf("the reason is %q", header.Get("x-fluoro-reason"))
	}
	put := func(name, document string, more m) m {
		q := m{"PolicyName": name, "PolicyDocument": document}
		for k, v := range more {
			q[k] = v
		}
		return q
	}
	refusedAs(t, s, "/PutResourcePolicy", put("p", policyOf("Deny"), nil), apiError{400, "LockoutPreventionException", "p"})
	refusedAs(t, s, "/PutResourcePolicy", put("p", strings.Repeat(" ", 6000)+policyOf("Allow"), nil), apiError{400, "PolicySizeLimitExceededException", "5120"})
	refusedAs(t, s, "/PutResourcePolicy", put("p", policyOf("Allow"), m{"PolicyRevisionId": "1"}), apiError{400, "InvalidPolicyRevisionIdException", "Another concurrent request has modified the resource policy p"})
	var answer m
	for i := range 5 {
		s.Ask("/PutResourcePolicy", put(fmt.Sprint("p", i), policyOf("Deny"), m{"BypassPolicyLockoutCheck": true, "PolicyRevisionId": "0"}), &answer)
	}
	refusedAs(t, s, "/PutResourcePolicy", put("p5", policyOf("Allow"), nil), apiError{400, "PolicyCountLimitExceededException", "5"})
	refusedAs(t, s, "/DeleteResourcePolicy", m{"PolicyName": "p5"}, apiError{400, "InvalidRequestException", `{"Message":"The resource policy p5 does not exist."}`})
	refusedAs(t, s, "/UpdateIndexingRule", m{"Name": "x", "Rule": m{"Probabilistic": m{"DesiredSamplingPercentage": 1}}}, apiError{404, "ResourceNotFoundException", "x"})
	refusedAs(t, s, "/UpdateIndexingRule", m{"Name": "Default", "Rule": m{"Probabilistic": m{"DesiredSamplingPercentage": 101}}}, apiError{400, "InvalidRequestException", "between 0 and 100"})
	refusedAs(t, s, "/PutEncryptionConfig", m{"Type": "KMS"}, apiError{400, "InvalidRequestException", "KeyId"})
}

// There are no insights: requests for one are refused, lists are empty, and both are
// validated.
func TestControl_insights(t *testing.T) {
	s := harness.Start(t)
	now, day := time.Now().Unix(), int64(24*60*60)
	id := "a8a5bd59-1f1c-4ab0-9d4d-9d6f37c2d1d1"
	if status, _, b := s.Post("/InsightSummaries", m{"GroupName": "Default", "StartTime": now - 30*day, "EndTime": now, "States": []string{"ACTIVE"}}); status != 200 || string(b) != `{"InsightSummaries":[],"NextToken":null}` {
		t.Errorf("%d %s", status, b)
	}
	for _, c := range []struct {
		path string
		body m
		word string
	}{
		{"/Insight", m{"InsightId": id}, "Insight not found"},
		{"/InsightEvents", m{"InsightId": id}, "Insight not found"},
		{"/InsightImpactGraph", m{"InsightId": id, "StartTime": now - 6*3600, "EndTime": now}, "Insight not found"},
		{"/InsightImpactGraph", m{"InsightId": id, "StartTime": now - 6*3600 - 1, "EndTime": now}, "6 hours"},
		{"/InsightImpactGraph", m{"InsightId": id, "StartTime": now, "EndTime": now}, "before EndTime"},
		{"/InsightImpactGraph", m{"InsightId": id, "StartTime": now - 31*day, "EndTime": now - 31*day + 60}, "30 days"},
		{"/InsightSummaries", m{"GroupName": "Default", "StartTime": now - 31*day, "EndTime": now}, "30 days"},
		{"/InsightSummaries", m{"StartTime": now - 60, "EndTime": now}, "GroupName"},
		{"/InsightSummaries", m{"GroupName": "x", "StartTime": now - 60, "EndTime": now}, "Group not found"},
		{"/InsightSummaries", m{"GroupName": "Default", "StartTime": now - 60, "EndTime": now, "NextToken": "x"}, "Invalid token x"},
	} {
		refusedAs(t, s, c.path, c.body, apiError{400, "InvalidRequestException", c.word})
	}
}

// Of concurrent requests that create the same resource, one succeeds.
func TestControl_concurrentRequests(t *testing.T) {
	s := harness.Start(t)
	var mu sync.Mutex
	statuses := map[string]map[int]int{"/CreateGroup": {}, "/PutResourcePolicy": {}}
	var group sync.WaitGroup
	for range 10 {
		for path, body := range map[string]m{
			"/CreateGroup":       {"GroupName": "a", "FilterExpression": "ok"},
			"/PutResourcePolicy": {"PolicyName": "a", "PolicyDocument": policyOf("Allow"), "PolicyRevisionId": "0"},
		} {
			group.Go(func() {
				b, _ := json.Marshal(body)
				res, err := http.Post(s.URL(path), "application/json", bytes.NewReader(b))
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				mu.Lock()
				defer mu.Unlock()
				statuses[path][res.StatusCode]++
			})
		}
	}
	group.Wait()
	for path, got := range statuses {
		if got[200] != 1 || got[400] != 9 {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// A damaged file does not stop the server: it receives and serves traces, and
// requests that need a record get the reason. The file is not changed.
func TestControl_damagedFile(t *testing.T) {
	s := harness.Start(t)
	s.Stop()
	path := filepath.Join(s.Data, "meta.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 8192), 0o640); err != nil {
		t.Fatal(err)
	}
	s.Restart("--settle", "100ms")
	s.Put(`{"trace_id":"1-6a18aa00-00000000000000000000000a","id":"000000000000000a","name":"a","start_time":1780000000,"end_time":1780000001}`)
	if len(s.Trace("1-6a18aa00-00000000000000000000000a")) != 1 || len(s.Summaries("")) != 1 {
		t.Error("a trace is not served")
	}
	harness.Eventually(t, "the trace settles", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
	var graph struct{ Services []any }
	s.Ask("/ServiceGraph", map[string]any{"StartTime": time.Now().Unix() - 600, "EndTime": time.Now().Unix() + 60}, &graph)
	if len(graph.Services) != 2 { // the service and its client
		t.Errorf("the graph has %v", graph.Services)
	}
	for _, path := range []string{"/CreateGroup", "/GetSamplingRules"} {
		if code, h, b := s.Post(path, map[string]any{"GroupName": "a", "FilterExpression": "ok"}); code != 503 || h.Get("Retry-After") == "" || !bytes.Contains(b, []byte("meta.db")) {
			t.Errorf("%s: %d, %s", path, code, b)
		}
	}
	if code, text := ready(t, s); code != 200 || !strings.Contains(text, path) {
		t.Errorf("/readyz: %d, %s", code, text)
	}
	s.Stop()
	if code, out := run(t, "store", "check", "--data", s.Data); code != 1 || !strings.Contains(out, path) {
		t.Errorf("store check: exit %d, %s", code, out)
	}
	if b, err := os.ReadFile(path); err != nil || len(b) != 8192 || b[0] != 'x' {
		t.Errorf("the file was changed: %d bytes, %v", len(b), err)
	}
}
