package access

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const account = "111122223333"

// directory is a Grants of one set, or of an error.
type directory struct {
	set policy.Set
	err error
}

func (d *directory) Grants(context.Context, identity.Principal) (*policy.Set, error) {
	return &d.set, d.err
}

// shelf is a Resources of one list.
type shelf []policy.Policy

func (s shelf) Documents(context.Context, trace.Account) ([]policy.Policy, error) { return s, nil }

func documents(t testing.TB, statements ...string) (out []policy.Policy) {
	t.Helper()
	out = []policy.Policy{}
	for _, s := range statements {
		d, err := policy.Parse(`{"Version":"2012-10-17","Statement":[` + s + `]}`)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		out = append(out, policy.Policy{Name: "p", Document: d})
	}
	return out
}

var (
	now   = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	owner = trace.Owner{Account: account, Region: "us-east-1"}
	alice = identity.Principal{
		Owner: owner, Type: identity.TypeUser, ARN: "arn:aws:iam::" + account + ":user/team/alice", ID: "AIDAALICE", Name: "alice", Proof: identity.ProofSignature,
		Tags: map[string]string{"Team": "pay"},
	}
	session = identity.Principal{
		Owner: owner, Type: identity.TypeRole, ARN: "arn:aws:sts::" + account + ":assumed-role/dev/s1", ID: "AROADEV:s1", Name: "dev/s1", Proof: identity.ProofSignature,
		Session: &identity.Session{Issued: now.Add(-time.Hour), RoleARN: "arn:aws:iam::" + account + ":role/path/dev", SourceIdentity: "al", Provider: "https://id.example.com"},
	}
	root = identity.Principal{Owner: owner, Type: identity.TypeRoot, ARN: "arn:aws:iam::" + account + ":root", ID: account}
)

func newAccess(d *directory, r shelf) *Access {
	return New(Options{Grants: d, Resources: r, Now: func() time.Time { return now }})
}

func call() identity.Call {
	return identity.Call{Listener: "http", Source: "203.0.113.10:4711", Request: &http.Request{Header: http.Header{"User-Agent": {"aws-cli/2"}}, TLS: &tls.ConnectionState{}}}
}

func ask(a *Access, p identity.Principal, action, resource string, keys map[string][]string) (sight.Sight, error) {
	return a.Authorize(context.Background(), p, call(), identity.Question{Action: action, Resource: resource, Keys: keys})
}

func TestAuthorize_words(t *testing.T) {
	const denied = "User: arn:aws:iam::111122223333:user/team/alice is not authorized to perform: "
	group := "arn:aws:xray:us-east-1:" + account + ":group/web/7Q2F"
	foreign := "arn:aws:iam::444455556666:role/ship"
	scp := documents(t, `{"Effect":"Deny","Action":"xray:*","Resource":"*"}`)
	scp[0].ARN = "arn:aws:organizations::999999999999:policy/o-a/service_control_policy/p-b"
	all := documents(t, `{"Effect":"Allow","Action":"*","Resource":"*"}`)
	for _, c := range []struct {
		set              policy.Set
		resource         shelf
		action, on, want string
	}{
		{policy.Set{}, nil, "xray:PutTraceSegments", "*", denied + "xray:PutTraceSegments because no identity-based policy allows the xray:PutTraceSegments action"},
		{policy.Set{}, nil, "xray:GetTraceSummaries", group, denied + "xray:GetTraceSummaries because no identity-based policy allows the xray:GetTraceSummaries action"},
		{policy.Set{}, nil, "xray:GetGroup", group, denied + "xray:GetGroup on resource: " + group + " because no identity-based policy allows the xray:GetGroup action"},
		{policy.Set{Identity: documents(t, `{"Effect":"Deny","Action":"*","Resource":"*"}`)}, nil, "xray:GetGroup", group, denied + "xray:GetGroup on resource: " + group + " with an explicit deny in an identity-based policy"},
		{policy.Set{Identity: all, Boundary: documents(t, `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`)}, nil, "xray:GetGroups", "*", denied + "xray:GetGroups because no permissions boundary allows the xray:GetGroups action"},
		{policy.Set{Identity: all, Session: []policy.Policy{}}, nil, "xray:GetGroups", "*", denied + "xray:GetGroups because no session policy allows the xray:GetGroups action"},
		{policy.Set{Identity: all, SCP: [][]policy.Policy{{}}}, nil, "xray:GetGroups", "*", denied + "xray:GetGroups because no service control policy allows the xray:GetGroups action"},
		{policy.Set{Identity: all, SCP: [][]policy.Policy{scp}}, nil, "xray:GetGroups", "*", denied + "xray:GetGroups with an explicit deny in a service control policy: " + scp[0].ARN},
		{policy.Set{Identity: all, SCP: [][]policy.Policy{scp}, Manages: true}, nil, "xray:GetGroups", "*", ""},
		{policy.Set{Identity: all}, documents(t, `{"Effect":"Deny","Principal":"*","Action":"xray:*","Resource":"*"}`), "xray:GetGroups", "*", denied + "xray:GetGroups with an explicit deny in a resource-based policy"},
		{policy.Set{Identity: all}, documents(t, `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`), "iam:CreateUser", "*", ""}, // resource policies are about X-Ray
		{policy.Set{}, documents(t, `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`), "iam:CreateUser", "*", denied + "iam:CreateUser because no identity-based policy allows the iam:CreateUser action"},
		{policy.Set{}, documents(t, `{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}`), "xray:GetGroups", "*", ""},
		{policy.Set{Identity: all}, nil, "sts:AssumeRole", foreign, denied + "sts:AssumeRole on resource: " + foreign}, // across accounts without a reason
	} {
		_, err := ask(newAccess(&directory{set: c.set}, c.resource), alice, c.action, c.on, nil)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want || err != nil && trace.KindOf(err) != trace.KindDenied {
			t.Errorf("%s on %s: %q, want %q", c.action, c.on, got, c.want)
		}
	}
}

// A resource in another account is decided by the policies of that account.
func TestAuthorize_otherAccount(t *testing.T) {
	asked := accounts{}
	a := New(Options{Grants: &directory{set: policy.Set{Identity: documents(t, `{"Effect":"Allow","Action":"*","Resource":"*"}`)}}, Resources: asked})
	_, err := ask(a, alice, "xray:TagResource", "arn:aws:xray:us-east-1:444455556666:group/a/b", nil)
	if err == nil || !asked["444455556666"] || asked[account] {
		t.Errorf("%v, asked %v", err, asked)
	}
}

// accounts notes whose resource policies were read.
type accounts map[trace.Account]bool

func (a accounts) Documents(_ context.Context, account trace.Account) ([]policy.Policy, error) {
	a[account] = true
	return nil, nil
}

func TestAuthorize_principals(t *testing.T) {
	none := newAccess(&directory{}, nil)
	socket := identity.Principal{Owner: owner, Type: identity.TypeRoot, Proof: identity.ProofSocket}
	anonymous := identity.Principal{Owner: owner, Type: identity.TypeAnonymous, Name: "anonymous", Proof: identity.ProofNone}
	locked := newAccess(&directory{set: policy.Set{SCP: [][]policy.Policy{{}}}}, documents(t, `{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}`))
	for name, c := range map[string]struct {
		access  *Access
		p       identity.Principal
		allowed bool
	}{
		"the root user": {none, root, true}, "the root user under an SCP": {locked, root, false},
		"the socket": {none, socket, true}, "the socket under a Deny": {locked, socket, true},
		"anonymous": {none, anonymous, false}, "anonymous, open": {New(Options{Open: true}), anonymous, true},
		"a user, open": {New(Options{Open: true}), alice, false}, "nobody at all": {New(Options{Open: true}), identity.Principal{Owner: owner}, false},
		"an anonymous with a resource policy": {newAccess(&directory{}, documents(t, `{"Effect":"Allow","Principal":"*","Action":"xray:*","Resource":"*"}`)), anonymous, false},
	} {
		if _, err := ask(c.access, c.p, "xray:PutEncryptionConfig", "*", nil); (err == nil) != c.allowed {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := ask(none, anonymous, "xray:GetGroups", "*", nil)
	if err == nil || !strings.HasPrefix(err.Error(), "User: anonymous is not authorized") {
		t.Errorf("anonymous: %v", err)
	}
	gone := trace.Errorf(trace.KindUnavailable, "the records cannot be read")
	if _, err := ask(newAccess(&directory{err: gone}, nil), alice, "xray:GetGroups", "*", nil); !errors.Is(err, gone) {
		t.Errorf("records that cannot be read: %v", err)
	}
}

func TestAuthorize_conditionKeys(t *testing.T) {
	in := func(condition string) *directory {
		return &directory{set: policy.Set{
			Identity: documents(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+condition+`}`),
			OrgID:    "o-a", OrgPaths: []string{"o-a/r-b/"},
		}}
	}
	keys := map[string][]string{"aws:ResourceTag/Team": {"pay"}, "aws:TagKeys": {"a"}, "aws:SourceIp": {"10.0.0.1"}, "xray:ResourcePolicyName": {"p"}}
	for _, c := range []struct {
		condition string
		p         identity.Principal
	}{
		{`{"StringEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:user/team/alice","aws:PrincipalAccount":"111122223333","aws:PrincipalType":"User","aws:userid":"AIDAALICE","aws:username":"alice"}}`, alice},
		{`{"StringEquals":{"aws:PrincipalTag/team":"pay","aws:ResourceTag/team":"${aws:PrincipalTag/Team}","xray:ResourceTag/Team":"pay","xray:ResourcePolicyName":"p"}}`, alice},
		{`{"ForAnyValue:StringEquals":{"aws:TagKeys":"a","aws:PrincipalOrgPaths":"o-a/r-b/"},"StringEquals":{"aws:PrincipalOrgID":"o-a","aws:ResourceOrgID":"o-a","aws:ResourceAccount":"111122223333"}}`, alice},
		{`{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"},"Bool":{"aws:SecureTransport":"true","aws:PrincipalIsAWSService":"false","aws:ViaAWSService":"false"},"StringLike":{"aws:UserAgent":"aws-cli/*","aws:RequestedRegion":"us-*"}}`, alice},
		{`{"DateEquals":{"aws:CurrentTime":"2026-11-29T12:00:00Z","aws:EpochTime":"2026-11-29T12:00:00Z"}}`, alice},
		{`{"Null":{"aws:MultiFactorAuthPresent":"true","aws:TokenIssueTime":"true","aws:MultiFactorAuthAge":"true","aws:SourceVpc":"true","aws:Referer":"true","aws:PrincipalServiceName":"true","aws:FederatedProvider":"true","fluoro:Service":"true"}}`, alice},
		{`{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/path/dev"},"Null":{"aws:username":"true"},"StringEquals":{"aws:userid":"AROADEV:s1","aws:PrincipalType":"AssumedRole","aws:SourceIdentity":"al","aws:FederatedProvider":"https://id.example.com"}}`, session},
		{`{"Bool":{"aws:MultiFactorAuthPresent":"false"},"DateEquals":{"aws:TokenIssueTime":"2026-11-29T11:00:00Z"}}`, session},
	} {
		if _, err := ask(newAccess(in(c.condition), nil), c.p, "xray:GetGroup", "arn:aws:xray:us-east-1:"+account+":group/a/b", keys); err != nil {
			t.Errorf("%s: %v", c.condition, err)
		}
	}
	plain := call()
	plain.Source, plain.Request = "[::ffff:203.0.113.10]:5", nil // a datagram
	d := in(`{"IpAddress":{"aws:SourceIp":"203.0.113.10"},"Bool":{"aws:SecureTransport":"false"},"Null":{"aws:UserAgent":"true"}}`)
	if _, err := newAccess(d, nil).Authorize(context.Background(), alice, plain, identity.Question{Action: "xray:PutTraceSegments", Resource: "*"}); err != nil {
		t.Errorf("a datagram: %v", err)
	}
}

func TestAuthorize_sights(t *testing.T) {
	a := newAccess(&directory{set: policy.Set{Identity: documents(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"fluoro:Service":"web"}}}`, `{"Effect":"Allow","Action":"xray:GetGroups","Resource":"*"}`)}}, nil)
	s, err := ask(a, alice, "xray:BatchGetTraces", "*", nil)
	if err != nil || s == nil || !s.Sees(&sight.Segment{Service: "web"}) || s.Sees(&sight.Segment{Service: "db"}) {
		t.Errorf("%v %v", s, err)
	}
	if again, err := ask(a, alice, "fluoro:GetTrace", "*", nil); err != nil || again != s {
		t.Errorf("another action: %v %v, want the same sight", again, err)
	}
	if s, err := ask(a, alice, "fluoro:SomethingNew", "*", nil); err == nil || s != nil || !strings.Contains(err.Error(), "about all segments") {
		t.Errorf("an action that is not listed, with a limited Allow: %v %v", s, err)
	}
	denied := newAccess(&directory{set: policy.Set{Identity: documents(t, `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"fluoro:Service":"db"}}}`)}}, nil)
	for action, want := range map[string]bool{"fluoro:SomethingNew": false, "fluoro:CreateToken": true, "xray:GetGroups": true, "iam:CreateUser": true, "fluoro:GetTrace": true, "xray:Link": false, "fluoro:ExportTraces": false, "fluoro:ForgetDataKeys": false, "fluoro:GetDataKeys": true} {
		if _, err := ask(denied, alice, action, "*", nil); (err == nil) != want {
			t.Errorf("%s with a Deny for a service: %v", action, err)
		}
	}
	if _, err := ask(a, alice, "fluoro:CreateToken", "*", nil); err == nil {
		t.Error("a limited Allow must not allow an action about no segments")
	}
	if s, err := ask(a, alice, "xray:GetGroups", "*", nil); err != nil || s != nil {
		t.Errorf("an action about no segments: %v %v", s, err)
	}
	if _, err := ask(a, alice, "xray:PutTraceSegments", "*", nil); err == nil {
		t.Error("the condition key is absent from other actions, so they must not be allowed")
	}
	if s, err := ask(newAccess(&directory{}, nil), root, "xray:BatchGetTraces", "*", nil); err != nil || s != nil {
		t.Errorf("the root user: %v %v", s, err)
	}
}

func TestAuthorize_spans(t *testing.T) {
	for statement, allowed := range map[string]bool{
		`{"Effect":"Allow","Action":"xray:PutTraceSegments","Resource":"*"}`: true, `{"Effect":"Allow","Action":"xray:PutSpans","Resource":"*"}`: true,
		`{"Effect":"Allow","Action":"xray:Get*","Resource":"*"}`:                                                           false,
		`{"Effect":"Allow","Action":"xray:Put*","Resource":"*"},{"Effect":"Deny","Action":"xray:PutSpans","Resource":"*"}`: false,
	} {
		_, err := ask(newAccess(&directory{set: policy.Set{Identity: documents(t, statement)}}, nil), alice, "xray:PutSpans", "*", nil)
		if (err == nil) != allowed || err != nil && !strings.Contains(err.Error(), "xray:PutSpans") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestAuthorize_sessionPolicies(t *testing.T) {
	a := newAccess(&directory{set: policy.Set{Identity: documents(t, `{"Effect":"Allow","Action":"xray:*","Resource":"*"}`)}}, nil)
	p, s := session, *session.Session
	p.Session = &s
	for _, c := range []struct {
		policies []string
		want     string
	}{
		{nil, ""},
		{[]string{}, "no session policy"},
		{[]string{`{"Statement":{"Effect":"Allow","Action":"xray:GetGroups","Resource":"*"}}`}, ""},
		{[]string{`{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`}, "no session policy"},
		{[]string{`{`}, "cannot be read"},
	} {
		s.Policies = c.policies
		for range 2 { // the second time compiled already
			if _, err := ask(a, p, "xray:GetGroups", "*", nil); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: %v, want %q", c.policies, err, c.want)
			}
		}
	}
}

func TestAuthorize_proposed(t *testing.T) {
	a := newAccess(&directory{set: policy.Set{OrgID: "o-a"}}, nil)
	anonymous := identity.Principal{Owner: owner, Type: identity.TypeAnonymous, Proof: identity.ProofNone}
	a.Open = true
	for _, c := range []struct {
		statement string
		p         identity.Principal
		denied    bool
	}{
		{`"Effect":"Deny","Principal":{"AWS":"` + alice.ARN + `"}`, alice, true},
		{`"Effect":"Deny","Principal":{"AWS":"` + alice.ARN + `"}`, session, false},
		{`"Effect":"Deny","Principal":{"AWS":"` + account + `"}`, session, true},
		{`"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::` + account + `:role/path/dev"}`, session, true},
		{`"Effect":"Deny","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, alice, true},
		{`"Effect":"Deny","Principal":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, alice, false},
		{`"Effect":"Allow","Principal":{"AWS":"444455556666"}`, alice, false}, // a missing Allow does not lock out
		{`"Effect":"Deny","Principal":"*","Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-a"}}`, alice, false},
		{`"Effect":"Deny","Principal":"*"`, anonymous, true},
		{`"Effect":"Deny","Principal":{"AWS":"` + account + `"}`, anonymous, true},
		{`"Effect":"Deny","Principal":{"AWS":"` + alice.ARN + `"}`, anonymous, false},
	} {
		q := identity.Question{Action: "xray:PutResourcePolicy", Resource: "*", Proposed: `{"Version":"2012-10-17","Statement":{` + c.statement + `,"Action":"xray:*","Resource":"*"}}`}
		_, err := a.Authorize(context.Background(), c.p, call(), q)
		if (trace.KindOf(err) == trace.KindDenied) != c.denied || err != nil && !c.denied {
			t.Errorf("%s as %s: %v", c.statement, c.p.ARN, err)
		}
	}
}

func TestAssume(t *testing.T) {
	a := newAccess(&directory{}, nil)
	trust := func(principal, action, condition string) policy.Policy {
		return documents(t, `{"Effect":"Allow","Principal":`+principal+`,"Action":"`+action+`","Condition":{`+condition+`}}`)[0]
	}
	may := &policy.Set{Identity: documents(t, `{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}`)}
	const here, there, provider = "arn:aws:iam::" + account + ":role/dev", "arn:aws:iam::444455556666:role/dev", "arn:aws:iam::" + account + ":oidc-provider/id.example.com"
	for _, c := range []struct {
		name, role string
		set        *policy.Set
		trust      policy.Policy
		provider   string
		keys       map[string][]string
		want       string
	}{
		{"the user is named", here, nil, trust(`{"AWS":"`+alice.ARN+`"}`, "sts:AssumeRole", ""), "", nil, ""},
		{"the account is named, without an own policy", here, nil, trust(`{"AWS":"`+account+`"}`, "sts:AssumeRole", ""), "", nil, "no identity-based policy allows the sts:AssumeRole action"},
		{"the account is named, with an own policy", here, may, trust(`{"AWS":"`+account+`"}`, "sts:AssumeRole", ""), "", nil, ""},
		{"another is named", here, may, trust(`{"AWS":"444455556666"}`, "sts:AssumeRole", ""), "", nil, "no role trust policy allows the sts:AssumeRole action"},
		{"another account, the user is named", there, nil, trust(`{"AWS":"`+alice.ARN+`"}`, "sts:AssumeRole", ""), "", nil, "no identity-based policy allows the sts:AssumeRole action"},
		{"another account, another is named", there, may, trust(`{"AWS":"999999999999"}`, "sts:AssumeRole", ""), "", nil, "sts:AssumeRole on resource: " + there},
		{"another account, both", there, may, trust(`{"AWS":"`+account+`"}`, "sts:AssumeRole", ""), "", nil, ""},
		{"the external id", here, may, trust(`{"AWS":"`+account+`"}`, "sts:AssumeRole", `"StringEquals":{"sts:ExternalId":"x"}`), "", map[string][]string{"sts:ExternalId": {"x"}}, ""},
		{"a wrong external id", here, may, trust(`{"AWS":"`+account+`"}`, "sts:AssumeRole", `"StringEquals":{"sts:ExternalId":"x"}`), "", map[string][]string{"sts:ExternalId": {"y"}}, "no role trust policy"},
		{"a web identity", here, nil, trust(`{"Federated":"`+provider+`"}`, "sts:AssumeRole*", `"StringEquals":{"id.example.com:sub":"me"}`), provider, map[string][]string{"id.example.com:sub": {"me"}}, ""},
		{"another subject", here, nil, trust(`{"Federated":"`+provider+`"}`, "sts:AssumeRole*", `"StringEquals":{"id.example.com:sub":"me"}`), provider, map[string][]string{"id.example.com:sub": {"you"}}, "Not authorized to perform sts:AssumeRole"},
		{"another provider", here, nil, trust(`{"Federated":"`+provider+`2"}`, "sts:AssumeRole*", ""), provider, nil, "Not authorized to perform sts:AssumeRole"},
	} {
		err := a.Assume(Assumption{
			Caller: alice, Provider: c.provider, Call: call(), Set: c.set, Trust: c.trust,
			Question: identity.Question{Action: "sts:AssumeRole", Resource: c.role, Keys: c.keys},
		})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func BenchmarkAuthorize(b *testing.B) {
	var statements []string
	for range 19 {
		statements = append(statements, `{"Effect":"Allow","Action":["xray:Get*","xray:BatchGet*"],"Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"other"}}}`)
	}
	statements = append(statements, `{"Effect":"Allow","Action":"xray:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}`)
	a := newAccess(&directory{set: policy.Set{Identity: documents(b, statements...)}}, nil)
	ctx, c, q := context.Background(), call(), identity.Question{Action: "xray:GetTraceSummaries", Resource: "*"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authorize(ctx, alice, c, q); err != nil {
			b.Fatal(err)
		}
	}
}
