package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// changed returns a policy of one statement with some members changed; null removes a
// member.
func changed(t testing.TB, base, changes string) string {
	t.Helper()
	m := map[string]any{}
	for _, text := range []string{base, changes} {
		var c map[string]any
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		for k, v := range c {
			if m[k] = v; v == nil {
				delete(m, k)
			}
		}
	}
	b, _ := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []any{m}})
	return string(b)
}

const (
	plainStatement    = `{"Effect":"Allow","Action":"xray:*","Resource":"*"}`
	trustStatement    = `{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}`
	resourceStatement = `{"Effect":"Allow","Principal":"*","Action":"xray:*","Resource":"*"}`
)

func TestValidate_accepts(t *testing.T) {
	for _, c := range []struct {
		kind          Kind
		base, changes string
	}{
		{KindIdentity, plainStatement, `{}`},
		{KindIdentity, plainStatement, `{"Sid":"A1","Action":null,"NotAction":["iam:*","sts:Assume?ole"],"Resource":null,"NotResource":["arn:aws:xray:*:111122223333:group/${aws:username}/*"]}`},
		{KindIdentity, plainStatement, `{"Resource":["arn:*:xray:${aws:RequestedRegion}:*:group/*","arn:aws:iam::aws:policy/X","arn:aws:s3:::b/${*}"]}`},
		{KindIdentity, plainStatement, `{"Condition":{"Bool":{"aws:SecureTransport":"yes"},"Null":{"aws:TokenIssueTime":"yes"},"NumericEquals":{"any:key":["01",1,1.5]},"DateLessThan":{"a:b":["2026-11-29",1795953600]}}}`},
		{KindIdentity, plainStatement, `{"Condition":{"ArnLike":{"a:b":["arn:aws:sns:*:*:${aws:username}","arn:*:*:*:*:*"]},"IpAddress":{"a:b":["10.0.0.0/8","010.1.1.1","2001:db8::/32"]},"BinaryEquals":{"a:b":"YQ=="},"ForAnyValue:StringLikeIfExists":{"a:b":[]}}}`},
		{KindIdentity, plainStatement, `{"Action":["unknown:Thing","*"]}`},
		{KindInline, plainStatement, `{}`}, {KindBoundary, plainStatement, `{}`}, {KindSession, plainStatement, `{}`}, {KindSCP, plainStatement, `{"Condition":{"StringEquals":{"a:b":"c"}}}`},
		{KindTrust, trustStatement, `{}`},
		{KindTrust, trustStatement, `{"Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/token.example.com/a","Service":"xray.amazonaws.com"},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{"StringEquals":{"token.example.com/a:sub":"x"}}}`},
		{KindTrust, trustStatement, `{"Principal":{"Federated":"accounts.example.com"}}`},
		{KindTrust, trustStatement, `{"Effect":"Deny","Principal":null,"NotPrincipal":{"AWS":["111122223333","arn:aws:iam::111122223333:user/a"]}}`},
		{KindResource, resourceStatement, `{"Sid":"with blanks"}`},
		{KindResource, resourceStatement, `{"Principal":{"AWS":["*","arn:aws:iam::111122223333:role/a/b","arn:aws:sts::111122223333:assumed-role/a/b","arn:aws:sts::111122223333:federated-user/f","AIDACKCEVSQ6C2EXAMPLE"]}}`},
	} {
		if _, err := Validate(c.kind, changed(t, c.base, c.changes)); err != nil {
			t.Errorf("%s %s: %v", c.kind, c.changes, err)
		}
	}
}

func TestValidate_refuses(t *testing.T) {
	for _, c := range []struct {
		kind                Kind
		base, changes, want string
	}{
		{KindIdentity, plainStatement, `{"Principal":"*"}`, "statement 1: Policy document should not specify a principal."},
		{KindSCP, plainStatement, `{"NotPrincipal":{"AWS":"111122223333"}}`, "should not specify a principal"},
		{KindSession, plainStatement, `{"Principal":"*"}`, "should not specify a principal"},
		{KindIdentity, plainStatement, `{"Resource":null}`, "Policy statement must contain resources."},
		{KindIdentity, plainStatement, `{"Action":null}`, "Policy statement must contain actions."},
		{KindIdentity, plainStatement, `{"NotAction":"a:b"}`, "one of Action and NotAction is required, and not both"},
		{KindIdentity, plainStatement, `{"NotResource":"*"}`, "one of Resource and NotResource"},
		{KindIdentity, plainStatement, `{"Sid":"a b"}`, `statement 1 (Sid "a b"): a Sid can have letters and digits only`},
		{KindIdentity, plainStatement, `{"Effect":"allow"}`, "Allow or Deny"},
		{KindIdentity, plainStatement, `{"effect":"Allow"}`, `cannot have a member "effect"`},
		{KindIdentity, plainStatement, `{"Action":"GetGroup"}`, "must be prefaced by a vendor"},
		{KindIdentity, plainStatement, `{"Action":"xray:Get Group"}`, "not * or service:operation"},
		{KindIdentity, plainStatement, `{"Action":"xray:a:b"}`, "not * or service:operation"},
		{KindIdentity, plainStatement, `{"Action":"xray:${aws:username}"}`, "not * or service:operation"},
		{KindIdentity, plainStatement, `{"Resource":"group/a"}`, `must be in ARN format or "*"`},
		{KindIdentity, plainStatement, `{"Resource":"arn:aws:xray:us-east-1:111122223333"}`, "must be in ARN format"},
		{KindIdentity, plainStatement, `{"Resource":"arn:aws:x*:us-east-1:111122223333:group/a"}`, "service of an ARN must be a name without wildcards"},
		{KindIdentity, plainStatement, `{"Resource":"arn:aws:xray:us-east-1:12a:group/a"}`, "is not * or an ARN"},
		{KindIdentity, plainStatement, `{"Resource":"arn:aws:xray:us-east-1:111122223333:${aws:username"}`, "has no end"},
		{KindIdentity, plainStatement, `{"Resource":"arn:aws:xray:us-east-1:111122223333:${aws:username, x}"}`, "single quotes"},
		{KindIdentity, plainStatement, `{"Resource":"arn:aws:xray:us-east-1:111122223333:${}"}`, "is no policy variable"},
		{KindIdentity, plainStatement, `{"Condition":{"StringIs":{"a:b":"c"}}}`, `no condition operator "StringIs"`},
		{KindIdentity, plainStatement, `{"Condition":{"NullIfExists":{"a:b":"true"}}}`, "no condition operator"},
		{KindIdentity, plainStatement, `{"Condition":{"ForAnyValue:Null":{"a:b":"true"}}}`, "no condition operator"},
		{KindIdentity, plainStatement, `{"Condition":{"ForSomeValues:StringEquals":{"a:b":"c"}}}`, "no condition operator"},
		{KindIdentity, plainStatement, `{"Condition":{"NumericEquals":{"a:b":"NaN"}}}`, `condition key "a:b" of NumericEquals: "NaN" is no number`},
		{KindIdentity, plainStatement, `{"Condition":{"NumericLessThan":{"a:b":["1","many"]}}}`, `"many" is no number`},
		{KindIdentity, plainStatement, `{"Condition":{"NumericLessThan":{"a:b":true}}}`, `"true" is no number`},
		{KindIdentity, plainStatement, `{"Condition":{"DateEquals":{"a:b":"tomorrow"}}}`, "is no date"},
		{KindIdentity, plainStatement, `{"Condition":{"ArnNotLike":{"a:b":"nonsense"}}}`, "is no ARN"},
		{KindIdentity, plainStatement, `{"Condition":{"NotIpAddress":{"a:b":"10.0.0.0/33"}}}`, "is no IP address or CIDR range"},
		{KindIdentity, plainStatement, `{"Condition":{"BinaryEquals":{"a:b":"%"}}}`, "is no base64 text"},
		{KindIdentity, plainStatement, `{"Condition":{"StringEquals":{"key":"c"}}}`, "service:name"},
		{KindIdentity, plainStatement, `{"Condition":{"StringEquals":{"a:b":{}}}}`, "value must be"},
		{KindIdentity, plainStatement, `{"Condition":{"StringEquals":{"a:b":null}}}`, "value must be"},
		{KindIdentity, plainStatement, `{"Condition":[]}`, "must be an object"},
		{KindIdentity, plainStatement, `{"Sid":"\u20ac"}`, "outside of U+0020 to U+00FF"},
		{KindTrust, trustStatement, `{"Resource":"*"}`, "Has prohibited field Resource"},
		{KindTrust, trustStatement, `{"Principal":null}`, "Principal"},
		{KindTrust, trustStatement, `{"Action":"xray:GetGroup"}`, "AssumeRole policy may only specify STS AssumeRole actions."},
		{KindTrust, trustStatement, `{"Principal":null,"NotPrincipal":{"AWS":"111122223333"}}`, "NotPrincipal"},
		{KindTrust, trustStatement, `{"Principal":{"Federated":"arn:aws:iam::111122223333:user/a"}}`, "no Federated principal"},
		{KindResource, resourceStatement, `{"Principal":null}`, "Principal"},
		{KindResource, resourceStatement, `{"Principal":{"AWS":"arn:aws:iam::111122223333:user/*"}}`, "no AWS principal"},
		{KindResource, resourceStatement, `{"Principal":{"AWS":"arn:aws:iam::111122223333:group/g"}}`, "no AWS principal"},
		{KindResource, resourceStatement, `{"Principal":{"Service":"*"}}`, "no Service principal"},
	} {
		_, err := Validate(c.kind, changed(t, c.base, c.changes))
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.kind, c.changes, err, c.want)
		}
	}
	second := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},%s]}`, `{"Sid":"A","Effect":"Deny","Action":"*","Resource":"*"}`)
	if _, err := Validate(KindIdentity, second); err == nil || err.Error() != `statement 2 (Sid "A"): Statement IDs (SID) in a single policy must be unique.` {
		t.Errorf("a Sid twice: %v", err)
	}
	for _, text := range []string{
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}}`,
		`{"Version":"2012-10-17","Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"a:b":"true","a:b":"false"}}}}`,
		`{"Statement":{"Effect":"Allow","Action":"*","\u0041ction":"a:b","Resource":"*"}}`,
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestValidate_sizes(t *testing.T) {
	of := func(length int) string {
		text := changed(t, plainStatement, `{"Sid":"X"}`)
		return strings.Replace(text, "X", "X"+strings.Repeat("x", length-len(text)), 1)
	}
	trust := func(length int) string {
		text := changed(t, trustStatement, `{"Sid":"X"}`)
		return strings.Replace(text, "X", "X"+strings.Repeat("x", length-len(text)), 1)
	}
	for _, c := range []struct {
		kind   Kind
		text   func(int) string
		most   int
		blanks bool // count
	}{
		{KindIdentity, of, MaxManaged, false}, {KindBoundary, of, MaxManaged, false}, {KindInline, of, MaxInlineRole, false},
		{KindSession, of, MaxSession, true}, {KindSCP, of, MaxSCP, true}, {KindTrust, trust, MaxTrust, false},
	} {
		if _, err := Validate(c.kind, c.text(c.most)); err != nil {
			t.Errorf("%s of %d: %v", c.kind, c.most, err)
		}
		if _, err := Validate(c.kind, c.text(c.most+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s of %d: %v", c.kind, c.most+1, err)
		}
		if _, err := Validate(c.kind, c.text(c.most)+" \n\t"); errors.Is(err, ErrTooLarge) != c.blanks {
			t.Errorf("%s with blanks: %v", c.kind, err)
		}
	}
	if _, err := Validate("other", of(200)); err == nil {
		t.Error("an unknown kind")
	}
}

func TestWarnings(t *testing.T) {
	for policy, want := range map[string]string{
		"A xray:* if StringEquals aws:TagKeys=a":              "never matches",
		"A xray:* if ForAllValues:StringEquals aws:TagKeys=a": "add Null",
		"A not iam:*": "NotAction allows",
		"A xray:* if StringEquals aws:PrincipalTag/a=b*":  "StringLike has wildcards",
		"(Version none) A xray:* @ …:group/${aws:user}/*": "no variables",
		"D NP(ACC) xray:*": "not completely listed",
		"A NP(ACC) xray:*": "unknown callers",
	} {
		d, err := Parse(notationDocument(t, policy))
		if err != nil {
			t.Fatal(err)
		}
		if w := d.Warnings(); len(w) != 1 || !strings.Contains(w[0], want) {
			t.Errorf("%s: %q, want %q", policy, w, want)
		}
	}
	d, err := Parse(notationDocument(t, "A xray:* if ForAllValues:StringEquals aws:TagKeys=a & Null aws:TagKeys=false & StringEquals aws:x=${*}"))
	if err != nil || len(d.Warnings()) > 0 {
		t.Errorf("%v %q", err, d.Warnings())
	}
}

func TestManaged(t *testing.T) {
	for name, actions := range map[string][2]string{ // an allowed and a denied action
		"AWSXRayDaemonWriteAccess": {"xray:PutTraceSegments", "xray:GetTraceSummaries"}, "AWSXrayWriteOnlyAccess": {"xray:GetSamplingTargets", "xray:GetGroups"},
		"AWSXrayReadOnlyAccess": {"xray:GetInsightImpactGraph", "xray:GetEncryptionConfig"}, "AWSXrayFullAccess": {"xray:PutEncryptionConfig", "iam:CreateUser"},
		"AWSXrayCrossAccountSharingConfiguration": {"xray:Link", "xray:GetGroups"}, "CloudWatchAgentServerPolicy": {"xray:PutTelemetryRecords", "xray:GetGroups"},
		"CloudWatchReadOnlyAccess": {"xray:StartTraceRetrieval", "xray:PutTraceSegments"}, "CloudWatchApplicationSignalsReadOnlyAccess": {"xray:GetTraceSummaries", "xray:BatchGetTraces"},
		"CloudWatchApplicationSignalsServiceRolePolicy": {"xray:GetServiceGraph", "xray:GetTraceGraph"}, "AdministratorAccess": {"iam:CreateUser", ""},
		"FluoroViewer": {"fluoro:GetTrace", "fluoro:DeleteTraces"}, "FluoroOperator": {"xray:CreateGroup", "xray:PutResourcePolicy"},
		"FluoroSecurityAuditor": {"iam:ListUsers", "xray:BatchGetTraces"}, "FluoroAdministrator": {"iam:CreateUser", "s3:GetObject"},
	} {
		m, ok := FindManaged(name)
		if !ok {
			t.Errorf("no %s", name)
			continue
		}
		if _, err := Validate(KindIdentity, m.Text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		keys := Context{"aws:resourceaccount": Single(testAccount), "aws:principalaccount": Single(testAccount)}
		for i, action := range actions {
			r := alice(keys)
			r.Action = action
			if d := (&Set{Identity: []Policy{m.Policy()}}).Decide(r); action != "" && d.Allowed != (i == 0) {
				t.Errorf("%s: %s %v", name, action, d)
			}
		}
	}
	byARN, ok := FindManaged("arn:aws:iam::aws:policy/AWSXrayReadOnlyAccess")
	if folded, ok2 := FindManaged("awsxrayreadonlyaccess"); !ok || !ok2 || byARN != folded {
		t.Error("not found by ARN or in lower case")
	}
	if _, ok := FindManaged("arn:aws:iam::aws:policy/FluoroViewer"); ok {
		t.Error("Fluoro's own policy has an ARN of AWS")
	}
	if !slices.ContainsFunc(AllManaged(), func(m Managed) bool { return m.Name == "AWSXrayReadOnlyAccess" && m.Version == "v8" }) {
		t.Error("the version is missing")
	}
}

func TestCause(t *testing.T) {
	for want, d := range map[string]Decision{
		"": {Allowed: true, By: LayerIdentity},
		"because no identity-based policy allows the xray:GetGroups action":         {By: LayerIdentity, Action: "xray:GetGroups"},
		"because no permissions boundary allows the xray:GetGroups action":          {By: LayerBoundary, Action: "xray:GetGroups"},
		"because no session policy allows the xray:GetGroups action":                {By: LayerSession, Action: "xray:GetGroups"},
		"because no service control policy allows the xray:GetGroups action":        {By: LayerSCP, Action: "xray:GetGroups"},
		"because no resource-based policy allows the xray:GetGroups action":         {By: LayerResource, Action: "xray:GetGroups"},
		"because no role trust policy allows the sts:AssumeRole action":             {By: LayerTrust, Action: "sts:AssumeRole"},
		"with an explicit deny in an identity-based policy":                         {By: LayerIdentity, Explicit: true},
		"with an explicit deny in a resource-based policy":                          {By: LayerResource, Explicit: true},
		"with an explicit deny in a permissions boundary":                           {By: LayerBoundary, Explicit: true},
		"with an explicit deny in a session policy":                                 {By: LayerSession, Explicit: true},
		"with an explicit deny in the role trust policy":                            {By: LayerTrust, Explicit: true},
		"with an explicit deny in a service control policy: arn:aws:organizations:": {By: LayerSCP, Explicit: true, Policy: Policy{ARN: "arn:aws:organizations:"}},
	} {
		if got := d.Cause(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
