package iam

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const trustAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`

// trust is a trust policy of one statement.
func trust(principal, rest string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"` + rest + `}]}`
}

// caller makes a user with policies and returns its principal.
func (f *fixture) caller(t *testing.T, account trace.Account, name string, policies ...string) identity.Principal {
	t.Helper()
	must[User](t)(f.CreateUser(t.Context(), account, NewEntity{Name: name}))
	for i, text := range policies {
		if err := f.PutInline(t.Context(), account, TypeUser, name, Document{Name: decimal(i), Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	k := must[NewKey](t)(f.CreateKey(t.Context(), account, KeyRequest{User: name}))
	_, p, err := f.AccessKey(t.Context(), k.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// role makes a role.
func (f *fixture) role(t *testing.T, account trace.Account, name, trust string) string {
	t.Helper()
	return must[Role](t)(f.CreateRole(t.Context(), account, NewRole{NewEntity: NewEntity{Name: name, Path: "/ci/", Tags: []Tag{{"team", "role"}, {"kind", "ci"}}}, Trust: trust, MaxSession: 7200})).ARN
}

func TestAssumeRole_credentialsWork(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	alice := f.caller(t, acc, "alice")
	arn := f.role(t, acc, "deploy", trustAll)
	a := must[Assumed](t)(f.AssumeRole(ctx, alice, AssumeRequest{RoleARN: arn, Session: "s1", Tags: []Tag{{"Team", "pay"}}, SourceIdentity: "Alice", Policy: all, PolicyARNs: []string{"arn:aws:iam::aws:policy/AWSXrayReadOnlyAccess"}}))
	if a.ARN != "arn:aws:sts::111122223333:assumed-role/deploy/s1" || !strings.HasPrefix(a.ID, "AROA") || !strings.HasSuffix(a.ID, ":s1") || a.Packed < 1 {
		t.Errorf("%+v", a)
	}
	if want := f.clock.time().Add(time.Hour); !a.Credentials.Expiration.Equal(want) {
		t.Errorf("expires %v, want %v", a.Credentials.Expiration, want)
	}
	c := a.Credentials
	second := f.another() // another process, without a cache
	secret, p, err := second.AccessKey(ctx, c.AccessKeyID, c.SessionToken)
	if err != nil || secret != c.SecretAccessKey || len(secret) != 40 {
		t.Fatalf("%q, %v", secret, err)
	}
	if p.ARN != a.ARN || p.ID != a.ID || p.Name != "deploy/s1" || p.Type != identity.TypeRole || p.Account != acc || p.Session.RoleARN != arn || p.Session.SourceIdentity != "Alice" {
		t.Errorf("%+v", p)
	}
	if p.Tags["Team"] != "pay" || p.Tags["kind"] != "ci" || len(p.Tags) != 2 {
		t.Errorf("tags %v", p.Tags)
	}
	set, err := f.Grants(ctx, p)
	if err != nil || len(set.Session) != 2 || len(p.Session.Policies) != 2 {
		t.Errorf("session policies %v, %v", set, err)
	}
	if again, _ := f.Grants(ctx, p); again != set {
		t.Error("the set is made again for each request")
	}
	for what, try := range map[string][2]string{
		"another id": {newKeyID(prefixTemp, acc), c.SessionToken}, "cut": {c.AccessKeyID, c.SessionToken[:len(c.SessionToken)-4]},
		"changed": {c.AccessKeyID, "AQAAAAE" + strings.Repeat("B", len(c.SessionToken)-7)}, "no base64": {c.AccessKeyID, "?"}, "long": {c.AccessKeyID, strings.Repeat("A", 1<<20)},
		"other version": {c.AccessKeyID, "Ag" + c.SessionToken[2:]}, "unknown session key": {c.AccessKeyID, "AQAAAAk" + c.SessionToken[7:]},
	} {
		if secret, _, err := f.AccessKey(ctx, try[0], try[1]); secret != "" && err == nil || !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("%s: %v", what, err)
		}
	}
	f.clock.pass(time.Hour)
	if _, _, err := f.AccessKey(ctx, c.AccessKeyID, c.SessionToken); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
}

func TestAssumeRole_voidWithItsRole(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	alice := f.caller(t, acc, "alice")
	session := func(arn string) func() error {
		c := must[Assumed](t)(f.AssumeRole(ctx, alice, AssumeRequest{RoleARN: arn, Session: "s1"})).Credentials
		return func() error { _, _, err := f.AccessKey(ctx, c.AccessKeyID, c.SessionToken); return err }
	}
	arn := f.role(t, acc, "r", trustAll)
	old := session(arn)
	if err := f.RevokeSessions(ctx, acc, "r"); err != nil {
		t.Fatal(err)
	}
	if err := old(); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("revoked: %v", err)
	}
	f.clock.pass(time.Second)
	later := session(arn)
	if err := later(); err != nil {
		t.Errorf("issued after the revocation: %v", err)
	}
	if err := f.Delete(ctx, acc, TypeRole, "r"); err != nil {
		t.Fatal(err)
	}
	f.role(t, acc, "r", trustAll) // another role of the same name
	if err := later(); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("the session of a deleted role: %v", err)
	}
}

// Who may assume a role: the trust policy, the caller's own policies, across accounts.
func TestAssumeRole_decisions(t *testing.T) {
	may := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`
	mayNot := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sts:*","Resource":"*"}]}`
	aliceARN, root := ARN(acc, "user/alice"), ARN(acc, "root")
	for name, k := range map[string]struct {
		trust    string
		policies []string
		from     trace.Account
		q        AssumeRequest
		denied   string // "" for allowed
	}{
		"named itself":             {trust: trust(aliceARN, ""), from: acc},
		"named, but denied":        {trust: trust(aliceARN, ""), policies: []string{mayNot}, from: acc, denied: "explicit deny in an identity-based policy"},
		"account named, no policy": {trust: trust(root, ""), from: acc, denied: "not authorized to perform: sts:AssumeRole on resource"},
		"account named, policy":    {trust: trust(root, ""), policies: []string{may}, from: acc},
		"somebody else":            {trust: trust(ARN(acc, "user/bob"), ""), policies: []string{may}, from: acc, denied: "because no role trust policy allows the sts:AssumeRole action"},
		"other account, both":      {trust: trust(ARN(other, "user/alice"), ""), policies: []string{may}, from: other},
		"other account, trust":     {trust: trust(ARN(other, "user/alice"), ""), from: other, denied: "not authorized"},
		"other account, policy":    {trust: trust(root, ""), policies: []string{may}, from: other, denied: "not authorized"},
		"external id":              {trust: trust(aliceARN, `,"Condition":{"StringEquals":{"sts:ExternalId":"42"}}`), from: acc, q: AssumeRequest{ExternalID: "42"}},
		"wrong external id":        {trust: trust(aliceARN, `,"Condition":{"StringEquals":{"sts:ExternalId":"42"}}`), from: acc, q: AssumeRequest{ExternalID: "43"}, denied: "not authorized"},
		"no external id":           {trust: trust(aliceARN, `,"Condition":{"StringEquals":{"sts:ExternalId":"42"}}`), from: acc, denied: "not authorized"},
		"session name":             {trust: trust(aliceARN, `,"Condition":{"StringLike":{"sts:RoleSessionName":"${aws:username}"}}`), from: acc, denied: "not authorized"},
		"tags need TagSession":     {trust: trust(aliceARN, ""), from: acc, q: AssumeRequest{Tags: []Tag{{"a", "b"}}}, denied: "sts:TagSession"},
		"source identity":          {trust: trust(aliceARN, ""), from: acc, q: AssumeRequest{SourceIdentity: "al"}, denied: "sts:SetSourceIdentity"},
		"tags and identity":        {trust: trustAll, from: acc, q: AssumeRequest{Tags: []Tag{{"a", "b"}}, SourceIdentity: "al"}},
		"by source address":        {trust: trust(aliceARN, `,"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`), from: acc, q: AssumeRequest{Call: identity.Call{Source: "10.1.2.3:4"}}},
		"from another address":     {trust: trust(aliceARN, `,"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`), from: acc, q: AssumeRequest{Call: identity.Call{Source: "11.1.2.3:4"}}, denied: "not authorized"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			caller := f.caller(t, k.from, "alice", k.policies...)
			k.q.RoleARN, k.q.Session = f.role(t, acc, "r", k.trust), "s1"
			_, err := f.AssumeRole(t.Context(), caller, k.q)
			if k.denied == "" && err != nil {
				t.Errorf("denied: %v", err)
			}
			if k.denied != "" {
				wants(t, name, err, AccessDenied, k.denied)
			}
		})
	}
}

func TestAssumeRole_refusesBadRequests(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	alice, arn := f.caller(t, acc, "alice"), f.role(t, acc, "r", trustAll)
	for name, k := range map[string]struct {
		q    AssumeRequest
		code Code
		text string
	}{
		"short session":   {AssumeRequest{Session: "s"}, ValidationError, "roleSessionName"},
		"long session":    {AssumeRequest{Session: strings.Repeat("s", 65)}, ValidationError, "roleSessionName"},
		"session's form":  {AssumeRequest{Session: "a b"}, ValidationError, `[\w+=,.@-]*`},
		"no role":         {AssumeRequest{RoleARN: "arn:aws:iam::111122223333:user/alice"}, ValidationError, "is invalid"},
		"no ARN":          {AssumeRequest{RoleARN: "r"}, ValidationError, "roleArn"},
		"unknown role":    {AssumeRequest{RoleARN: ARN(acc, "role/none")}, AccessDenied, "not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::111122223333:role/none"},
		"wrong path":      {AssumeRequest{RoleARN: ARN(acc, "role/r")}, AccessDenied, ""},
		"unknown account": {AssumeRequest{RoleARN: ARN("999999999999", "role/rrr")}, AccessDenied, ""},
		"too short":       {AssumeRequest{Duration: 899}, ValidationError, "greater than or equal to 900"},
		"too long":        {AssumeRequest{Duration: 43201}, ValidationError, "less than or equal to 43200"},
		"beyond the role": {AssumeRequest{Duration: 7201}, ValidationError, "exceeds the MaxSessionDuration set for this role"},
		"policy":          {AssumeRequest{Policy: "{"}, MalformedPolicyDocument, ""},
		"policy's size":   {AssumeRequest{Policy: strings.Repeat("x", 2049)}, PackedPolicyTooLarge, "Packed policy consumes"},
		"unknown policy":  {AssumeRequest{PolicyARNs: []string{ARN(acc, "policy/none")}}, ValidationError, "does not exist"},
		"tags":            {AssumeRequest{Tags: []Tag{{"a", ""}, {"A", ""}}}, InvalidInput, "Duplicate tag keys"},
		"transitive":      {AssumeRequest{Transitive: []string{"x"}}, InvalidInput, "transitive"},
		"source identity": {AssumeRequest{SourceIdentity: "aws:x"}, ValidationError, "sourceIdentity"},
		"external id":     {AssumeRequest{ExternalID: "?"}, ValidationError, "externalId"},
	} {
		if k.q.RoleARN == "" {
			k.q.RoleARN = arn
		}
		if k.q.Session == "" {
			k.q.Session = "s1"
		}
		_, err := f.AssumeRole(ctx, alice, k.q)
		wants(t, name, err, k.code, k.text)
	}
	var tags []Tag
	for i := range 50 {
		tags = append(tags, Tag{fmt.Sprint("key", i), strings.Repeat("v", 200)})
	}
	_, err := f.AssumeRole(ctx, alice, AssumeRequest{RoleARN: arn, Session: "s1", Tags: tags})
	wants(t, "packed", err, PackedPolicyTooLarge, "% of allotted space")
}

// A session may assume further roles, for an hour at most, and passes on what is
// transitive.
func TestAssumeRole_chains(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	alice, arn := f.caller(t, acc, "alice"), f.role(t, acc, "r", trustAll)
	first := must[Assumed](t)(f.AssumeRole(ctx, alice, AssumeRequest{RoleARN: arn, Session: "s1", Duration: 7200, Tags: []Tag{{"project", "x"}, {"own", "y"}}, Transitive: []string{"project"}, SourceIdentity: "alice"}))
	_, p, err := f.AccessKey(ctx, first.Credentials.AccessKeyID, first.Credentials.SessionToken)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.AssumeRole(ctx, p, AssumeRequest{RoleARN: arn, Session: "s2", Duration: 3601})
	wants(t, "long chain", err, ValidationError, "1 hour session limit for roles assumed by role chaining")
	_, err = f.AssumeRole(ctx, p, AssumeRequest{RoleARN: arn, Session: "s2", Tags: []Tag{{"Project", "z"}}})
	wants(t, "transitive tag", err, InvalidInput, "conflicts with a transitive tag key")
	_, err = f.AssumeRole(ctx, p, AssumeRequest{RoleARN: arn, Session: "s2", SourceIdentity: "bob"})
	wants(t, "source identity", err, AccessDenied, "cannot be changed")
	next := must[Assumed](t)(f.AssumeRole(ctx, p, AssumeRequest{RoleARN: arn, Session: "s2"}))
	_, q, err := f.AccessKey(ctx, next.Credentials.AccessKeyID, next.Credentials.SessionToken)
	if err != nil || q.Tags["project"] != "x" || q.Tags["own"] != "" || q.Session.SourceIdentity != "alice" || q.Session.TransitiveTags["project"] != "x" {
		t.Errorf("%+v %+v, %v", q, q.Session, err)
	}
	if _, err := f.SessionToken(ctx, q, 0); err == nil {
		t.Error("GetSessionToken with a session")
	}
}

func TestSessionToken_isTheUser(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	alice := f.caller(t, acc, "alice", all)
	c := must[Credentials](t)(f.SessionToken(ctx, alice, 900))
	secret, p, err := f.AccessKey(ctx, c.AccessKeyID, c.SessionToken)
	if err != nil || secret != c.SecretAccessKey || p.ARN != alice.ARN || p.Session == nil || p.Session.Policies != nil {
		t.Fatalf("%+v, %v", p, err)
	}
	set, err := f.Grants(ctx, p)
	if err != nil || !set.Decide(&policy.Request{Principal: policy.PrincipalOf(p.ARN, ""), Action: "xray:GetGroups", Resource: "*"}).Allowed {
		t.Errorf("%v, %v", set, err)
	}
	if err := f.Delete(ctx, acc, TypeUser, "alice"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.AccessKey(ctx, c.AccessKeyID, c.SessionToken); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("of a deleted user: %v", err)
	}
}

// Session keys are replaced, and old ones are kept as long as sessions need them.
func TestSessionKeys_rotate(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	alice, arn := f.caller(t, acc, "alice"), f.role(t, acc, "r", trustAll)
	issue := func() Credentials {
		return must[Assumed](t)(f.AssumeRole(ctx, alice, AssumeRequest{RoleARN: arn, Session: "s1", Duration: 7200})).Credentials
	}
	number := func(c Credentials) byte {
		b, err := base64.StdEncoding.DecodeString(c.SessionToken)
		if err != nil {
			t.Fatal(err)
		}
		return b[4]
	}
	first := issue()
	f.clock.pass(keyLife - time.Minute)
	second := issue()
	f.clock.pass(time.Hour)
	third := issue()
	if number(first) != 1 || number(second) != 1 || number(third) != 2 {
		t.Errorf("keys %d, %d, %d", number(first), number(second), number(third))
	}
	if _, _, err := f.AccessKey(ctx, second.AccessKeyID, second.SessionToken); err != nil {
		t.Errorf("under the old key: %v", err)
	}
	f.clock.pass(keyLife)
	issue()
	s, err := f.snapshot(ctx, system)
	if err != nil || len(s.signing) != 2 {
		t.Errorf("%d session keys, %v", len(s.signing), err)
	}
}

func TestContainer_renewsCredentials(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	arn := f.role(t, acc, "box", trustAll)
	end := f.clock.time().Add(90 * time.Minute)
	_, text, err := f.CreateToken(ctx, acc, TokenRequest{Role: "box", Purpose: PurposeContainer, Expires: &end})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []time.Duration{time.Hour, 45 * time.Minute} {
		c, account, role, err := f.Container(ctx, text)
		if err != nil || account != acc || role != arn || !c.Expiration.Equal(f.clock.time().Add(want)) {
			t.Errorf("%d: %+v, %s, %s, %v", i, c, account, role, err)
		}
		if _, p, err := f.AccessKey(ctx, c.AccessKeyID, c.SessionToken); err != nil || p.Session.RoleARN != arn {
			t.Errorf("%d: %+v, %v", i, p, err)
		}
		f.clock.pass(45 * time.Minute)
	}
	if _, _, _, err := f.Container(ctx, text); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
}

// No token makes the decoder panic, and only sealed ones open.
func FuzzSessionToken(f *testing.F) {
	fix := newFixture(f)
	k, err := fix.newest(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	good, err := fix.issue(f.Context(), session{Account: acc, User: "u", ID: "AIDA", Expires: 1 << 60})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good.SessionToken, good.SessionToken[:40], "", "AQAAAAE=", "AQAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAA==", "?", strings.Repeat("A", 5000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		_, head, sealed, err := splitToken(token)
		if err != nil {
			return
		}
		s, err := k.unseal(head, sealed)
		if err == nil && token != good.SessionToken {
			t.Errorf("%q opens: %+v", token, s)
		}
	})
}

// No text makes the check of tokens panic.
func FuzzToken(f *testing.F) {
	_, text := newToken(acc)
	for _, seed := range []string{text, text[:50], "fluoro_", "", strings.Repeat("x", tokenLength)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, account, ok := idOfToken(text); ok && (len(id) != tokenID || len(account) != 12) {
			t.Errorf("%q: %q of %q", text, id, account)
		}
	})
}
