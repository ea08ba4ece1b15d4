package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/identity"
	serving "github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
	"github.com/spf13/pflag"
)

// runFluoro runs the binary and returns exit code and output.
func runFluoro(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(harness.Binary(t), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// event is a record of the audit log.
type event struct {
	EventVersion, EventTime, EventSource, EventName, EventType, EventCategory, EventID, RequestID string
	AwsRegion, SourceIPAddress, UserAgent, ErrorCode, ErrorMessage, RecipientAccountId            string
	ReadOnly, ManagementEvent                                                                     *bool
	UserIdentity                                                                                  struct {
		Type, PrincipalId, Arn, AccountId, AccessKeyId, UserName string
		SessionContext                                           *struct {
			SessionIssuer struct{ Type, Arn, UserName string }
		}
	}
	RequestParameters, ResponseElements, AdditionalEventData map[string]any
	Resources                                                []struct{ ARN, AccountId, Type string }
}

func (e *event) ids() (ids []string) {
	list, _ := e.AdditionalEventData["traceIds"].([]any)
	for _, id := range list {
		ids = append(ids, id.(string))
	}
	return ids
}

// events returns the records of a data directory, the oldest first, without those of the
// server about itself.
func events(t *testing.T, data string) (list []event) {
	t.Helper()
	code, out, errs := runFluoro(t, "audit", "export", "--data", data)
	if code != 0 {
		t.Fatal(code, errs)
	}
	for line := range strings.Lines(out) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err, line)
		}
		if e.EventType != "AwsServiceEvent" {
			list = append(list, e)
		}
	}
	return list
}

// sameJSON compares a member of a record with JSON text; "" stands for any.
func sameJSON(t *testing.T, what string, got map[string]any, want string) {
	t.Helper()
	if want == "" {
		return
	}
	var v any
	if err := json.Unmarshal([]byte(want), &v); err != nil {
		t.Fatal(err)
	}
	if v == nil {
		if got != nil {
			t.Errorf("%s: got %v, want null", what, got)
		}
		return
	}
	for _, d := range harness.Differences("record", any(got), v) {
		t.Errorf("%s: %s", what, d)
	}
}

// Each request leaves exactly one record, with the right class and the facts about it.
func TestAudit_recordsEachRequest(t *testing.T) {
	s := harness.Start(t, "--audit", "on")
	now := time.Now()
	const id = "1-0a0a0a0a-0a0a0a0a0a0a0a0a0a0a0a0a"
	doc := fmt.Sprintf(`{"trace_id":%q,"id":"0a0a0a0a0a0a0a0a","name":"shop","start_time":%d,"end_time":%d,"annotations":{"card":"4111111111111111"}}`, id, now.Unix()-2, now.Unix()-1)
	s.Put(doc)
	window := func(more m) m {
		more["StartTime"], more["EndTime"] = now.Unix()-600, now.Unix()+600
		return more
	}
	get := func(path string) {
		res, err := http.Get(s.URL(path))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	span := url.Values{"start": {fmt.Sprint(now.Unix() - 600)}, "end": {fmt.Sprint(now.Unix() + 600)}}
	steps := []struct {
		do       func()
		name     string
		read     bool
		data     bool
		code     string
		params   string // JSON
		response string // JSON
		traces   []string
	}{
		{do: func() { s.Post("/TraceSummaries", window(m{"FilterExpression": `service("shop")`})) }, name: "GetTraceSummaries", read: true, data: true,
			params: `{"filterExpression":"service(\"shop\")"}`, traces: []string{id}},
		{do: func() { s.Post("/Traces", m{"TraceIds": []string{id, "1-0b0b0b0b-0b0b0b0b0b0b0b0b0b0b0b0b"}}) }, name: "BatchGetTraces", read: true, data: true,
			params: `{"traceIds":["` + id + `","1-0b0b0b0b-0b0b0b0b0b0b0b0b0b0b0b0b"]}`, traces: []string{id}},
		{do: func() { s.Post("/TraceGraph", m{"TraceIds": []string{id}}) }, name: "GetTraceGraph", read: true, data: true, traces: []string{id}},
		{do: func() { s.Post("/ServiceGraph", window(m{})) }, name: "GetServiceGraph", read: true, data: true},
		{do: func() { s.Post("/CreateGroup", m{"GroupName": "web", "FilterExpression": "fault"}) }, name: "CreateGroup", params: `{"groupName":"web","filterExpression":"fault"}`, response: `{"group":{"groupName":"web"}}`},
		{do: func() { s.Post("/GetGroup", m{"GroupName": "web"}) }, name: "GetGroup", read: true, params: `{"groupName":"web"}`},
		{do: func() { s.Post("/DeleteGroup", m{"GroupName": "web"}) }, name: "DeleteGroup", params: `{"groupName":"web"}`},
		{do: func() { s.Post("/GetGroup", m{"GroupName": "absent"}) }, name: "GetGroup", read: true, code: "InvalidRequestException"},
		{do: func() { s.Post("/Traces", m{}) }, name: "BatchGetTraces", read: true, data: true, code: "ValidationException", params: `null`},
		{do: func() { s.Post("/EncryptionConfig", m{}) }, name: "GetEncryptionConfig", read: true, params: `null`},
		{do: func() { get("/console/api/trace?id=" + id) }, name: "GetTrace", read: true, data: true, params: `{"id":"` + id + `"}`, traces: []string{id}},
		{do: func() { get("/console/api/search?text=shop&" + span.Encode()) }, name: "SearchTraces", read: true, data: true, params: `{"text":"shop"}`, traces: []string{id}},
		{do: func() { get("/console/api/histogram?" + span.Encode()) }, name: "GetHistogram", read: true, data: true},
		{do: func() { get("/console/api/facets?nonsense=1") }, name: "GetFacets", read: true, data: true, code: "InvalidRequestException", params: `null`},
		{do: func() { get("/metrics") }, name: "GetMetrics", read: true},
		{do: func() { get("/console/api/backup") }, name: "CreateBackup"},
		{do: func() { get("/console/api/audit?action=GetTrace") }, name: "LookupEvents", read: true, params: `{"action":"GetTrace"}`},
		{do: func() { s.Post("/console/api/delete", m{"ids": []string{id}}) }, name: "DeleteTraces", data: true, params: `{"dryRun":false}`, traces: []string{id}},
	}
	for _, step := range steps {
		step.do()
	}
	list := events(t, s.Data)
	if len(list) != len(steps) {
		t.Fatalf("%d records for %d requests: %+v", len(list), len(steps), list)
	}
	for i, step := range steps {
		e := list[i]
		category := "Management"
		if step.data {
			category = "Data"
		}
		if e.EventName != step.name || e.ErrorCode != step.code || e.ReadOnly == nil || *e.ReadOnly != step.read || e.ManagementEvent == nil || *e.ManagementEvent == step.data || e.EventCategory != category {
			t.Errorf("%d: %+v, want %+v", i, e, step)
		}
		if e.EventVersion != "1.11" || e.EventType != "AwsApiCall" || e.AwsRegion != "us-east-1" || e.RecipientAccountId != operator || e.SourceIPAddress != "127.0.0.1" ||
			e.EventID == "" || e.UserAgent == "" || e.UserIdentity.AccountId != operator || e.UserIdentity.Type != "Unknown" {
			t.Errorf("%d: %+v", i, e)
		}
		if at, err := time.Parse(time.RFC3339, e.EventTime); err != nil || at.Sub(now).Abs() > time.Minute {
			t.Errorf("%d: at %q", i, e.EventTime)
		}
		sameJSON(t, fmt.Sprint(i, " ", e.EventName, " parameters"), e.RequestParameters, step.params)
		sameJSON(t, fmt.Sprint(i, " ", e.EventName, " response"), e.ResponseElements, step.response)
		if !slices.Equal(e.ids(), step.traces) {
			t.Errorf("%d %s: traces %v, want %v", i, e.EventName, e.ids(), step.traces)
		}
	}
	files, _ := filepath.Glob(filepath.Join(s.Data, "audit", "*"))
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil && bytes.Contains(b, []byte("4111111111111111")) {
			t.Errorf("%s has a value of a document", name)
		}
	}
	if code, out, errs := runFluoro(t, "audit", "verify", "--data", s.Data); code != 0 || !strings.Contains(out, "nothing was changed") {
		t.Error(code, out, errs)
	}
}

// After a kill, everything that was answered is recorded.
func TestAudit_survivesKill(t *testing.T) {
	s := harness.Start(t, "--audit", "on")
	answered := 0
	for range 3 {
		for range 20 {
			if status, _, _ := s.Post("/Groups", m{}); status == http.StatusOK {
				answered++
			}
		}
		s.Kill()
		s.Restart("--audit", "on")
	}
	n := 0
	for _, e := range events(t, s.Data) {
		if e.EventName == "GetGroups" {
			n++
		}
	}
	if n != answered {
		t.Errorf("%d records for %d answers", n, answered)
	}
	if code, out, errs := runFluoro(t, "audit", "verify", "--data", s.Data); code != 0 {
		t.Error(code, out, errs)
	}
}

// A change of a file is found, named, and answered with exit code 1.
func TestAudit_verifyFindsChanges(t *testing.T) {
	s := harness.Start(t, "--audit", "on")
	for range 3 {
		s.Post("/Groups", m{})
	}
	code, key, errs := runFluoro(t, "audit", "public-key", "--data", s.Data)
	if code != 0 {
		t.Fatal(errs)
	}
	pem := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(pem, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if code, out, errs := runFluoro(t, "audit", "verify", "--data", s.Data, "--public-key", pem); code != 0 {
		t.Fatal(code, out, errs)
	}
	name := filepath.Join(s.Data, "audit", "00000001.jsonl")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Replace(b, []byte(`"GetGroups"`), []byte(`"GetGroupz"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runFluoro(t, "audit", "verify", "--data", s.Data, "--public-key", pem)
	if code != 1 || !strings.Contains(out, "record 2 was changed or replaced") || !strings.Contains(errs, "problems") {
		t.Error(code, out, errs)
	}
}

// permissive is an authorizer that denies some actions.
type permissive struct{ denied map[string]bool }

func (p permissive) Authorize(_ context.Context, who identity.Principal, _ identity.Call, q identity.Question) (sight.Sight, error) {
	if p.denied[q.Action] {
		return nil, trace.Errorf(trace.KindDenied, "User: %s is not authorized to perform: %s because no identity-based policy allows the %s action", who.ARN, q.Action, q.Action)
	}
	return nil, nil
}

// people is an authenticator by a header: alice is a user, a deploy session of a role.
type people struct{}

func (people) Authenticate(_ context.Context, c identity.Call) (identity.Principal, error) {
	p := identity.Principal{Owner: trace.Owner{Account: first, Region: "eu-west-1"}, Proof: identity.ProofSignature}
	who := ""
	if c.Request != nil {
		who = c.Request.Header.Get(accountHeader)
	}
	switch who {
	case "alice":
		p.Type, p.Name, p.ID, p.ARN, p.KeyID = identity.TypeUser, "alice", "AIDAEXAMPLE", "arn:aws:iam::"+first+":user/alice", "AKIAEXAMPLE"
	case "deploy":
		p.Type, p.Name, p.ID, p.ARN, p.KeyID = identity.TypeRole, "deployer/job-1", "AROAEXAMPLE:job-1", "arn:aws:sts::"+first+":assumed-role/deployer/job-1", "ASIAEXAMPLE"
		p.Session = &identity.Session{Issued: time.Unix(1764417600, 0), RoleARN: "arn:aws:iam::" + first + ":role/ci/deployer", MFA: true}
	default:
		return identity.Principal{}, &trace.KindError{Kind: trace.KindDenied, Message: "The security token included in the request is invalid.", Err: identity.ErrUnknown}
	}
	return p, nil
}

func TestAudit_recordsPeopleAndDenials(t *testing.T) {
	s := &shared{t: t, http: harness.FreePort(t)}
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Register(set)
	data := t.TempDir()
	if err := set.Parse([]string{"--data", data, "--http", s.http, "--udp", "off", "--otlp-grpc", "off", "--otlp-http", "off", "--audit", "on", "--audit-filters", "hash"}); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(set, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- serving.Run(ctx, c, t.Output(), t.Output(), serving.WithAuthenticator(people{}), serving.WithAuthorizer(permissive{map[string]bool{"xray:GetServiceGraph": true, "xray:DeleteGroup": true, "xray:PutSpans": true}}))
	}()
	harness.Eventually(t, "the server answers", func() bool {
		res, err := http.Get("http://" + s.http + "/readyz")
		return err == nil && res.Body.Close() == nil
	})
	w := m{"StartTime": time.Now().Unix() - 60, "EndTime": time.Now().Unix()}
	ask := func(who, path string, body any, want int) {
		t.Helper()
		if status, answer := s.call(who, "POST", "http://"+s.http+path, body); status != want {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	ask("alice", "/ServiceGraph", w, 403)
	ask("deploy", "/CreateGroup", m{"GroupName": "web", "FilterExpression": "fault"}, 200)
	ask("deploy", "/DeleteGroup", m{"GroupName": "web"}, 403)
	ask("alice", "/v1/traces", `{}`, 403)
	ask("alice", "/TraceSummaries", m{"StartTime": w["StartTime"], "EndTime": w["EndTime"], "FilterExpression": `user = "carla"`}, 200)
	ask("mallory", "/Groups", m{}, 403) // of nobody: no record
	if status, answer := s.call("alice", "GET", "http://"+s.http+"/metrics", nil); status != 403 {
		t.Error(status, answer)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	list := events(t, data)
	var got []string
	for _, e := range list {
		got = append(got, e.UserIdentity.Type+" "+e.EventName+" "+e.ErrorCode)
	}
	want := []string{"IAMUser GetServiceGraph AccessDenied", "AssumedRole CreateGroup ", "AssumedRole DeleteGroup AccessDenied", "IAMUser PutSpans AccessDenied", "IAMUser GetTraceSummaries ", "IAMUser GetMetrics AccessDenied"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	alice, deploy := list[0].UserIdentity, list[1].UserIdentity
	if alice.Arn != "arn:aws:iam::"+first+":user/alice" || alice.UserName != "alice" || alice.AccessKeyId != "AKIAEXAMPLE" || alice.PrincipalId != "AIDAEXAMPLE" || list[0].RecipientAccountId != first || list[0].RequestParameters != nil ||
		!strings.Contains(list[0].ErrorMessage, "no identity-based policy allows the xray:GetServiceGraph action") {
		t.Errorf("%+v", list[0])
	}
	if deploy.SessionContext == nil || deploy.SessionContext.SessionIssuer.Arn != "arn:aws:iam::"+first+":role/ci/deployer" || deploy.SessionContext.SessionIssuer.UserName != "deployer" || deploy.Arn != "arn:aws:sts::"+first+":assumed-role/deployer/job-1" {
		t.Errorf("%+v", deploy)
	}
	if r := list[2].Resources; len(r) != 1 || !strings.Contains(r[0].ARN, ":group/web/") || r[0].Type != "AWS::XRay::Group" || list[2].ResponseElements != nil {
		t.Errorf("%+v", list[2])
	}
	if f, _ := list[4].RequestParameters["filterExpression"].(string); !strings.HasPrefix(f, "hmac-sha256:") {
		t.Errorf("the filter is recorded as %q", f)
	}
}

// With --audit-ingest, requests that bring data are recorded, with trace ids and nothing
// else of their content; without it, only denied ones are.
func TestAudit_ingest(t *testing.T) {
	for _, on := range []bool{false, true} {
		flags := []string{"--audit", "on"}
		if on {
			flags = append(flags, "--audit-ingest")
		}
		s := harness.Start(t, flags...)
		s.Put(personal(1, "carla", "SECRET"), personal(2, "carla", "SECRET"))
		res, err := http.Post("http://"+s.OTLP+"/v1/traces", "application/json", strings.NewReader(`{"resourceSpans":[]}`))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		s.Post("/SamplingTargets", m{"SamplingStatisticsDocuments": []m{}})
		var got []string
		for _, e := range events(t, s.Data) {
			got = append(got, e.EventName)
			if e.EventName == "PutTraceSegments" && !slices.Equal(e.ids(), []string{traceID(1), traceID(2)}) {
				t.Errorf("%+v", e)
			}
			if e.EventCategory != "Data" || e.RequestParameters != nil && e.EventName != "GetSamplingTargets" {
				t.Errorf("%+v", e)
			}
		}
		want := []string(nil)
		if on {
			want = []string{"PutTraceSegments", "PutSpans", "GetSamplingTargets"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if names := grep(t, filepath.Join(s.Data, "audit"), "SECRET"); len(names) > 0 {
			t.Errorf("the content is in %v", names)
		}
	}
}

// The laptop case writes no audit files.
func TestAudit_offWritesNothing(t *testing.T) {
	s := harness.Start(t)
	s.Post("/Groups", m{})
	for _, name := range []string{"audit", "holds"} {
		if _, err := os.Stat(filepath.Join(s.Data, name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if code, _, errs := runFluoro(t, "audit", "search", "--url", s.URL("")); code != 1 || !strings.Contains(errs, "keeps no audit log") {
		t.Error(code, errs)
	}
}

// Searches over the wire: filters, pages, and who may see which account.
func TestAudit_search(t *testing.T) {
	s := harness.Start(t, "--audit", "on")
	for range 5 {
		s.Post("/Groups", m{})
	}
	s.Post("/GetGroup", m{"GroupName": "absent\n\x1b[31m"})
	s.Post("/Traces", m{"TraceIds": []string{traceID(1)}})
	search := func(args ...string) (n int) {
		t.Helper()
		code, out, errs := runFluoro(t, append([]string{"audit", "search", "--url", s.URL("")}, args...)...)
		if code != 0 {
			t.Fatal(args, errs)
		}
		for line := range strings.Lines(out) {
			if !json.Valid([]byte(line)) || strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x1b\r\n") {
				t.Errorf("line %q", line)
			}
			n++
		}
		return n
	}
	for _, c := range []struct {
		args string
		want int
	}{
		{"--action GetGroups", 5}, {"--action xray:GetGroup*", 6}, {"--action iam:GetGroups", 0}, {"--action GetGroups --limit 2", 2}, {"--error *", 1}, {"--error InvalidRequestException", 1}, {"--error AccessDenied", 0},
		{"--trace " + traceID(1), 1}, {"--trace " + traceID(2), 0}, {"--principal anonymous --action GetGroups", 5}, {"--principal nobody", 0}, {"--end 1h", 0}, {"--start 1h --action GetGroups", 5}, {"--account * --action GetGroups", 5},
		{"--account 999999999999", 0},
	} {
		if got := search(strings.Fields(c.args)...); got != c.want {
			t.Errorf("%s: %d records, want %d", c.args, got, c.want)
		}
		code, out, errs := runFluoro(t, append([]string{"audit", "search", "--data", s.Data}, strings.Fields(c.args)...)...)
		if got := strings.Count(out, "\n"); code != 0 || got != c.want {
			t.Errorf("%s in the files: %d records, want %d %s", c.args, got, c.want, errs)
		}
	}
	var page struct {
		Events []struct{ Seq int }
		Token  string
	}
	seen := 0
	for path := "/console/api/audit?limit=3"; ; path = "/console/api/audit?limit=3&token=" + page.Token {
		res, err := http.Get(s.URL(path))
		if err != nil {
			t.Fatal(err)
		}
		page.Events, page.Token = nil, ""
		if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if seen += len(page.Events); page.Token == "" {
			break
		}
	}
	if seen < 8 {
		t.Errorf("the pages have %d records", seen)
	}
	for _, bad := range []string{"limit=0", "limit=1001", "token=x", "trace=x", "start=x", "nonsense=1"} {
		if res, err := http.Get(s.URL("/console/api/audit?" + bad)); err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %v %v", bad, res, err)
		}
	}
}

// Changes of keys and policies are recorded, whether a server runs or not, and no secret
// stands in any file of the log.
func TestAudit_recordsKeys(t *testing.T) {
	s := harness.Start(t, "--audit", "on")
	create := func(user string) (id, secret string) {
		t.Helper()
		code, out, errs := runFluoro(t, "keys", "create", "--data", s.Data, "--policy", "AWSXrayReadOnlyAccess", "--json")
		if code != 0 {
			t.Fatal(user, errs)
		}
		var key struct{ AccessKeyId, SecretAccessKey string }
		if err := json.Unmarshal([]byte(out), &key); err != nil || key.SecretAccessKey == "" {
			t.Fatal(err, out)
		}
		return key.AccessKeyId, key.SecretAccessKey
	}
	first, secret := create("running")
	s.Stop()
	second, other := create("stopped")
	var got []string
	for _, e := range events(t, s.Data) {
		if e.EventSource == "iam.amazonaws.com" && !*e.ReadOnly {
			b, _ := json.Marshal(e.ResponseElements)
			got = append(got, e.EventName+" "+e.UserIdentity.Type+" "+string(b))
		}
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{"CreateAccessKey Root", first, second} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is missing in:\n%s", want, all)
		}
	}
	for _, text := range []string{secret, other} {
		if names := grep(t, filepath.Join(s.Data, "audit"), text); len(names) > 0 {
			t.Errorf("a secret is in %v", names)
		}
	}
	if code, out, errs := runFluoro(t, "audit", "verify", "--data", s.Data); code != 0 {
		t.Error(code, out, errs)
	}
}
