package wire_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/policy"
	serving "github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
)

// cast holds the users of a server whose policies decide. It is its authenticator, which
// trusts a header, and finds the policies of its users.
type cast struct {
	users map[string]identity.Principal
	sets  map[string]*policy.Set
}

func (c *cast) Authenticate(_ context.Context, call identity.Call) (identity.Principal, error) {
	p, known := c.users[call.Request.Header.Get(accountHeader)]
	if !known {
		return identity.Principal{}, trace.Errorf(trace.KindDenied, "nobody knows who asks for %s", call.Action)
	}
	return p, nil
}

func (c *cast) Grants(_ context.Context, p identity.Principal) (*policy.Set, error) {
	return c.sets[p.Name], nil
}

// user adds a user with the policies of documents.
func (c *cast) user(t *testing.T, name string, documents ...string) {
	t.Helper()
	c.users[name] = identity.Principal{
		Owner: trace.Owner{Account: first, Region: "us-east-1"}, Type: identity.TypeUser, Name: name, ID: "AIDA" + strings.ToUpper(name),
		ARN: "arn:aws:iam::" + first + ":user/" + name, Proof: "test", Tags: map[string]string{"team": name},
	}
	set := &policy.Set{}
	for _, text := range documents {
		p := policy.Policy{Name: "inline"}
		if m, ok := policy.FindManaged(text); ok {
			p = m.Policy()
		} else {
			d, err := policy.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			p.Document = d
		}
		set.Identity = append(set.Identity, p)
	}
	c.sets[name] = set
}

// TestPolicies_decideOverTheWire calls the X-Ray API as users with different policies.
func TestPolicies_decideOverTheWire(t *testing.T) {
	c := &cast{map[string]identity.Principal{}, map[string]*policy.Set{}}
	statement := func(s string) string { return `{"Version":"2012-10-17","Statement":[` + s + `]}` }
	c.user(t, "viewer", "AWSXrayReadOnlyAccess")
	c.user(t, "writer", "AWSXRayDaemonWriteAccess")
	c.user(t, "admin", "AWSXrayFullAccess")
	c.user(t, "web", statement(`{"Effect":"Allow","Action":"xray:*Group","Resource":"arn:aws:xray:*:*:group/${aws:PrincipalTag/team}/*","Condition":{"StringEqualsIfExists":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}}`))
	c.user(t, "careful", "AWSXrayFullAccess", statement(`{"Effect":"Deny","Action":"xray:Delete*","Resource":"*"},{"Effect":"Deny","Action":"xray:GetTraceSummaries","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`))
	c.user(t, "nobody")
	s := startSharedWith(t, []serving.Option{serving.WithAuthenticator(c), serving.WithGrants(c, false)}, "--udp", "off", "--otlp-grpc", "off")

	window := map[string]any{"StartTime": 1, "EndTime": 2}
	group := map[string]any{"GroupName": "web"}
	tagged := map[string]any{"GroupName": "other", "FilterExpression": "fault", "Tags": []map[string]string{{"Key": "team", "Value": "x"}}}
	arn := "arn:aws:xray:us-east-1:" + first + ":group/"
	for _, k := range []struct {
		user, path string
		body       any
		want       string // of the refusal; "" for allowed
	}{
		{"viewer", "/TraceSummaries", window, ""},
		{"viewer", "/TraceSegments", map[string]any{"TraceSegmentDocuments": []string{"{}"}}, "because no identity-based policy allows the xray:PutTraceSegments action"},
		{"writer", "/TraceSegments", map[string]any{"TraceSegmentDocuments": []string{"{}"}}, ""},
		{"writer", "/TraceSummaries", window, "because no identity-based policy allows the xray:GetTraceSummaries action"},
		{"nobody", "/Groups", map[string]any{}, "because no identity-based policy allows the xray:GetGroups action"},
		{"web", "/CreateGroup", map[string]any{"GroupName": "web", "FilterExpression": "fault"}, ""},
		{"web", "/CreateGroup", tagged, "not authorized to perform: xray:CreateGroup on resource: " + arn + "other/* because no identity-based policy allows the xray:CreateGroup action"},
		{"admin", "/CreateGroup", tagged, ""},
		{"web", "/GetGroup", group, ""},
		{"web", "/GetGroup", map[string]any{"GroupName": "other"}, "not authorized to perform: xray:GetGroup on resource: " + arn + "other/"},
		{"web", "/Groups", map[string]any{}, "because no identity-based policy allows the xray:GetGroups action"},
		{"careful", "/Groups", map[string]any{}, ""},
		{"careful", "/DeleteGroup", group, "with an explicit deny in an identity-based policy"},
		{"careful", "/TraceSummaries", window, "with an explicit deny in an identity-based policy"},
		{"viewer", "/PutResourcePolicy", map[string]any{"PolicyName": "p", "PolicyDocument": "{}"}, "because no identity-based policy allows the xray:PutResourcePolicy action"},
	} {
		status, answer := s.call(k.user, http.MethodPost, "http://"+s.http+k.path, k.body)
		switch {
		case k.want == "" && status != http.StatusOK:
			t.Errorf("%s as %s: %d %s", k.path, k.user, status, answer)
		case k.want != "" && (status != http.StatusForbidden || !strings.Contains(answer, k.want) || !strings.Contains(answer, "User: "+c.users[k.user].ARN+" is not authorized to perform: xray:")):
			t.Errorf("%s as %s: %d %s, want %q", k.path, k.user, status, answer, k.want)
		}
	}

	put := func(user, name, document string) (int, string) {
		return s.call(user, http.MethodPost, "http://"+s.http+"/PutResourcePolicy", map[string]any{"PolicyName": name, "PolicyDocument": document})
	}
	// A resource policy that denies its own author is refused, one that denies others is not.
	if status, answer := put("admin", "p", statement(`{"Effect":"Deny","Principal":{"AWS":"`+c.users["admin"].ARN+`"},"Action":"xray:*","Resource":"*"}`)); status != http.StatusBadRequest || !strings.Contains(answer, "will not allow the caller of this request to call PutResourcePolicy") {
		t.Errorf("a policy against its author: %d %s", status, answer)
	}
	if status, answer := put("admin", "p", statement(`{"Effect":"Deny","Principal":{"AWS":"`+c.users["viewer"].ARN+`"},"Action":"xray:*","Resource":"*"},{"Effect":"Allow","Principal":{"AWS":"`+c.users["nobody"].ARN+`"},"Action":"xray:GetGroups","Resource":"*"}`)); status != http.StatusOK {
		t.Errorf("a policy against others: %d %s", status, answer)
	}
	if status, answer := s.call("viewer", http.MethodPost, "http://"+s.http+"/TraceSummaries", window); status != http.StatusForbidden || !strings.Contains(answer, "with an explicit deny in a resource-based policy") {
		t.Errorf("after a Deny for the viewer: %d %s", status, answer)
	}
	if status, answer := s.call("nobody", http.MethodPost, "http://"+s.http+"/Groups", map[string]any{}); status != http.StatusOK {
		t.Errorf("after an Allow by a resource policy: %d %s", status, answer)
	}
}

// TestPolicySimulate_cases runs the documented command on the reference's cases, on one
// with a wrong expectation, and on one with a malformed policy.
func TestPolicySimulate_cases(t *testing.T) {
	run := func(args ...string) (string, string, error) {
		cmd := exec.Command(harness.Binary(t), append([]string{"policy", "simulate"}, args...)...)
		cmd.Dir = t.TempDir()
		var out, problems bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &problems
		err := cmd.Run()
		return out.String(), problems.String(), err
	}
	file := func(cases string) string {
		name := filepath.Join(t.TempDir(), "cases.json")
		if err := os.WriteFile(name, []byte(`{"format":"fluoro-iam-cases/1","cases":[`+cases+`]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	one := func(id, identity, expected string) string {
		return fmt.Sprintf(`{"id":%q,"policies":{"identity":[%s]},"request":{"principal":{"type":"user","arn":"arn:aws:iam::111122223333:user/alice","account":"111122223333"},"action":"xray:GetGroups","resource":"*","resourceAccount":"111122223333","context":{}},"expected":%s}`, id, identity, expected)
	}
	allow := `{"Version":"2012-10-17","Statement":[{"Sid":"Groups","Effect":"Allow","Action":"xray:GetGroups","Resource":"*"}]}`
	out, problems, err := run("--cases", file(one("a", allow, `{"decision":"allow","kind":"explicit","by":"identity"}`)+","+one("b", "", `{"decision":"deny","kind":"implicit","by":"identity"}`)))
	if err != nil || !strings.HasPrefix(out, "a allow ") || !strings.Contains(out, "\nb deny ") || !strings.Contains(out, `statement 1 (Sid "Groups")`) || strings.Count(out, "\n") != 2 {
		t.Errorf("%v %s %s", err, out, problems)
	}
	out, problems, err = run("--cases", file(one("c", allow, `{"decision":"deny"}`)+","+one("d", `{"Statement":[{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}]}`, `{"decision":"deny"}`)))
	if err == nil || !strings.HasPrefix(out, "c allow ") || !strings.Contains(out, "\nd deny ") || !strings.Contains(out, `has "Effect" twice`) || !strings.Contains(problems, "c: decision is allow, expected deny") {
		t.Errorf("%v %s %s", err, out, problems)
	}
}

// TestPolicyCommands_needNoServer runs the other commands about policies.
func TestPolicyCommands_needNoServer(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"web.json":   `{"Version":"2012-10-17","Statement":[{"Sid":"Web","Effect":"Allow","Action":"xray:*Group","Resource":"arn:aws:xray:*:*:group/web/*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}}]}`,
		"bad.json":   `{"Version":"2012-10-17","Statement":[{"Sid":"Bad","Effect":"Allow","Action":"xray:*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}}]}`,
		"trust.json": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const group = "arn:aws:xray:us-east-1:111122223333:group/web/7Q2F"
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"simulate", "--policy", "AWSXrayReadOnlyAccess", "--action", "xray:GetGroups", "--action", "xray:DeleteGroup"}, 0, []string{"xray:GetGroups allow explicit, by identity: statement 1", "xray:DeleteGroup deny implicit, by identity"}},
		{[]string{"simulate", "--policy", "web.json", "--action", "xray:CreateGroup", "--resource", group, "--context", "aws:TagKeys=[team]"}, 0, []string{`allow explicit, by identity: statement 1 (Sid "Web") of policy 1 ("web.json")`}},
		{[]string{"simulate", "--policy", "web.json", "--action", "xray:CreateGroup", "--resource", group, "--context", "aws:TagKeys=[team,cost]"}, 0, []string{"deny implicit"}},
		{[]string{"simulate", "--policy", "AWSXrayFullAccess", "--scp", "AdministratorAccess", "--scp", "web.json", "--action", "xray:GetGroups"}, 0, []string{"deny implicit, by scp (level 2)"}},
		{[]string{"simulate", "--policy", "AWSXrayFullAccess", "--principal", "arn:aws:iam::111122223333:root", "--action", "iam:CreateUser"}, 0, []string{"allow by root"}},
		{[]string{"simulate", "--policy", "missing.json", "--action", "xray:GetGroups"}, 1, []string{"missing.json"}},
		{[]string{"simulate"}, 2, []string{"give --cases"}},
		{[]string{"simulate", "--action", "a:b", "--context", "x"}, 2, []string{"is not key=value"}},
		{[]string{"simulate", "--cases", "web.json"}, 1, []string{"no list of cases"}},
		{[]string{"validate", "web.json"}, 0, []string{"web.json: valid", "web.json: warning: statement 1 (Sid \"Web\"): ForAllValues"}},
		{[]string{"validate", "web.json", "bad.json"}, 1, []string{`bad.json: refused: statement 1 (Sid "Bad"): condition key "aws:CurrentTime" of DateLessThan: "tomorrow" is no date`, "1 of 2 policies are refused"}},
		{[]string{"validate", "--kind", "trust", "trust.json"}, 0, []string{"trust.json: valid"}},
		{[]string{"validate", "trust.json"}, 1, []string{"Policy document should not specify a principal."}},
		{[]string{"validate", "--kind", "other", "trust.json"}, 1, []string{`no kind of policy "other"`}},
		{[]string{"managed"}, 0, []string{"arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess v2", "arn:aws:iam::fluoro:policy/FluoroViewer"}},
		{[]string{"managed", "AWSXrayFullAccess"}, 0, []string{`"xray:*"`}},
		{[]string{"managed", "Nothing"}, 1, []string{`no managed policy "Nothing"`}},
	} {
		cmd := exec.Command(harness.Binary(t), append([]string{"policy"}, c.args...)...)
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != c.code {
			t.Errorf("%v: exit code %d: %s", c.args, cmd.ProcessState.ExitCode(), out)
		}
		for _, want := range c.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%v: %s, want %q", c.args, out, want)
			}
		}
	}
}
