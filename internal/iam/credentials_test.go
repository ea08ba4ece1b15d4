package iam

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

func TestAccessKey_statesAndTheirPrincipal(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	must[User](t)(f.CreateUser(ctx, acc, NewEntity{Name: "alice", Path: "/dev/", Tags: []Tag{{"team", "pay"}}}))
	k := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{User: "alice", Policies: []string{"AWSXrayReadOnlyAccess"}}))
	secret, p, err := f.AccessKey(ctx, k.ID, "")
	if err != nil || secret != k.Secret || len(secret) != 40 {
		t.Fatalf("%q, %v", secret, err)
	}
	if p.Account != acc || p.Region != "eu-west-1" || p.Type != identity.TypeUser || p.ARN != "arn:aws:iam::111122223333:user/dev/alice" ||
		p.Name != "alice" || !strings.HasPrefix(p.ID, "AIDA") || p.KeyID != k.ID || p.Proof != identity.ProofSignature || p.Tags["team"] != "pay" || p.Session != nil {
		t.Errorf("principal %+v", p)
	}
	set, err := f.Grants(ctx, p)
	if err != nil || len(set.Identity) != 1 || set.Identity[0].Name != "AWSXrayReadOnlyAccess" {
		t.Errorf("grants %+v, %v", set, err)
	}
	if again, _ := f.Grants(ctx, p); again != set {
		t.Error("the set is made again for each request")
	}
	unknown := func(what, id, token string) {
		t.Helper()
		secret, _, err := f.AccessKey(ctx, id, token)
		if secret != "" || !errors.Is(err, identity.ErrUnknown) || trace.KindOf(err) != trace.KindDenied {
			t.Errorf("%s: %q, %v", what, secret, err)
		}
	}
	unknown("unknown", newKeyID(prefixKey, acc), "")
	unknown("of an account without records", newKeyID(prefixKey, "999999999999"), "")
	unknown("with a session token", k.ID, "x")
	unknown("no id", "", "")
	unknown("temporary without token", newKeyID(prefixTemp, acc), "")
	unknown("nonsense", "AKIA"+strings.Repeat("é", 100), "")
	for _, status := range []string{Inactive, Active} {
		if err := f.SetKeyStatus(ctx, acc, "alice", k.ID, status); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.AccessKey(ctx, k.ID, ""); (err == nil) != (status == Active) {
			t.Errorf("%s: %v", status, err)
		}
	}
	wants(t, "status", f.SetKeyStatus(ctx, acc, "alice", k.ID, "Off"), ValidationError, "[Active, Inactive]")
	wants(t, "of another user", f.SetKeyStatus(ctx, acc, "bob", k.ID, Inactive), NoSuchEntity, "")
	wants(t, "of another account", f.DeleteKey(ctx, other, "", k.ID), NoSuchEntity, "")
	must[NewKey](t)(f.RotateKey(ctx, acc, k.ID))
	_, err = f.CreateKey(ctx, acc, KeyRequest{User: "alice"})
	wants(t, "third key", err, LimitExceeded, "AccessKeysPerUser: 2")
	if err := f.DeleteKey(ctx, acc, "alice", k.ID); err != nil {
		t.Fatal(err)
	}
	unknown("deleted", k.ID, "")
}

// A user that was made for a key goes with it.
func TestCreateKey_makesItsUser(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	names := map[string]bool{}
	var last NewKey
	for range 5 {
		last = must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{Policies: []string{"AWSXRayDaemonWriteAccess"}}))
		names[last.User] = true
	}
	if len(names) != 5 || !strings.HasPrefix(last.User, "AWSXRayDaemonWriteAccess-") {
		t.Errorf("users %v", names)
	}
	if err := f.DeleteKey(ctx, acc, "", last.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Find(ctx, acc, TypeUser, last.User); trace.KindOf(err) != trace.KindNotFound {
		t.Errorf("its user is still there: %v", err)
	}
	_, err := f.CreateKey(ctx, acc, KeyRequest{Policies: []string{"nope"}})
	wants(t, "unknown policy", err, NoSuchEntity, "nope")
	if users := must[[]User](t)(List[User](ctx, f.Directory, acc, "")); len(users) != 4 {
		t.Errorf("%d users", len(users))
	}
	long := must[Policy](t)(f.CreatePolicy(ctx, acc, NewPolicy{Name: strings.Repeat("p", 128), Path: "/x/", Text: all}))
	if k := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{Policies: []string{long.ARN}})); len(k.User) > maxUserName {
		t.Errorf("user %s", k.User)
	}
	if k := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{User: "named", Policies: []string{"AWSXrayFullAccess"}})); k.User != "named" {
		t.Errorf("user %s", k.User)
	}
	_, err = f.CreateKey(ctx, acc, KeyRequest{User: "missing"})
	wants(t, "no user, no policy", err, NoSuchEntity, "user with name missing")
}

// Secrets are not in the records, and a secret that was moved to another key does not open.
func TestSecrets_areSealedWhereTheyAre(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	a := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{User: "u", Policies: []string{"AWSXrayFullAccess"}}))
	b := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{User: "u"}))
	_, text, err := f.CreateToken(ctx, acc, TokenRequest{User: "u"})
	if err != nil {
		t.Fatal(err)
	}
	err = f.records.Update(ctx, acc, func(tx meta.Tx) error {
		for _, kind := range []meta.Kind{kindKey, kindToken, kindUser} {
			if err := tx.List(kind, func(name string, value json.RawMessage) error {
				for _, secret := range []string{a.Secret, b.Secret, text, text[len(tokenPrefix)+tokenID:]} {
					if bytes.Contains(value, []byte(secret)) {
						t.Errorf("the record of %s shows a secret: %s", name, value)
					}
				}
				return nil
			}); err != nil {
				return err
			}
		}
		var first, second keyRecord
		_, err := tx.Get(kindKey, a.ID, &first)
		_, err2 := tx.Get(kindKey, b.ID, &second)
		first.Sealed = second.Sealed
		return errors.Join(err, err2, tx.Put(kindKey, a.ID, first))
	})
	if err != nil {
		t.Fatal(err)
	}
	if secret, _, err := f.another().AccessKey(ctx, a.ID, ""); err == nil || trace.KindOf(err) != trace.KindUnavailable || strings.Contains(err.Error(), b.Secret) {
		t.Errorf("%q, %v", secret, err)
	}
}

// A change by another process is seen within seconds.
func TestSnapshot_seesOtherProcesses(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	k := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{Policies: []string{"AWSXrayFullAccess"}}))
	second := f.another()
	if _, _, err := second.AccessKey(ctx, k.ID, ""); err != nil {
		t.Fatal(err)
	}
	if err := f.SetKeyStatus(ctx, acc, "", k.ID, Inactive); err != nil {
		t.Fatal(err)
	}
	f.clock.pass(freshFor)
	if _, _, err := second.AccessKey(ctx, k.ID, ""); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("after %v: %v", freshFor, err)
	}
}

func TestBearer_formsStatesAndScopes(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	must[User](t)(f.CreateUser(ctx, acc, NewEntity{Name: "u"}))
	must[Role](t)(f.CreateRole(ctx, acc, NewRole{NewEntity: NewEntity{Name: "r", Path: "/ci/"}, Trust: trustAll}))
	end := f.clock.time().Add(time.Hour)
	token, text, err := f.CreateToken(ctx, acc, TokenRequest{User: "u", Scopes: []string{"xray:Put*"}, Expires: &end})
	if err != nil || len(text) != tokenLength || !strings.HasPrefix(text, "fluoro_") {
		t.Fatalf("%q, %v", text, err)
	}
	p, scopes, err := f.Bearer(ctx, text)
	if err != nil || p.Name != "u" || p.Proof != identity.ProofToken || p.KeyID != token.ID || len(scopes) != 1 || scopes[0] != "xray:Put*" {
		t.Errorf("%+v, %v, %v", p, scopes, err)
	}
	for _, bad := range []string{"", "fluoro_", text + "x", text[:len(text)-1] + "x", strings.ToLower(text), text[:30] + "A" + text[31:], "Bearer " + text} {
		if _, _, err := f.Bearer(ctx, bad); bad != text && !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	forged := text[:len(tokenPrefix)+tokenID] + strings.Repeat("0", tokenSecret)
	if _, _, err := f.Bearer(ctx, forged+checksum(forged)); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("a wrong secret with a right checksum: %v", err)
	}
	if err := f.SetTokenStatus(ctx, acc, token.ID, Inactive); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Bearer(ctx, text); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("disabled: %v", err)
	}
	if err := f.SetTokenStatus(ctx, acc, token.ID, Active); err != nil {
		t.Fatal(err)
	}
	f.clock.pass(time.Hour)
	if _, _, err := f.Bearer(ctx, text); !errors.Is(err, identity.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	_, ofRole, err := f.CreateToken(ctx, acc, TokenRequest{Role: "r"})
	if err != nil {
		t.Fatal(err)
	}
	if p, _, err := f.Bearer(ctx, ofRole); err != nil || p.Type != identity.TypeRole || p.Session.RoleARN != ARN(acc, "role/ci/r") || !strings.HasPrefix(p.ARN, "arn:aws:sts::111122223333:assumed-role/r/") {
		t.Errorf("of a role: %+v, %v", p, err)
	}
	f.clock.pass(time.Second)
	if err := f.RevokeSessions(ctx, acc, "r"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Bearer(ctx, ofRole); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("revoked: %v", err)
	}
	_, box, err := f.CreateToken(ctx, acc, TokenRequest{Role: "r", Purpose: PurposeContainer})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Bearer(ctx, box); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("a container's token as a bearer token: %v", err)
	}
	if _, _, _, err := f.Container(ctx, text); err == nil {
		t.Error("a bearer token at the endpoint of containers")
	}
	for name, q := range map[string]TokenRequest{
		"both": {User: "u", Role: "r"}, "none": {}, "purpose": {User: "u", Purpose: "x"}, "scope": {User: "u", Scopes: []string{"get"}},
		"past": {User: "u", Expires: &end}, "scoped container": {User: "u", Purpose: PurposeContainer, Scopes: []string{"xray:*"}},
	} {
		_, _, err := f.CreateToken(ctx, acc, q)
		wants(t, name, err, ValidationError, "")
	}
}

func TestCertificate_mostExactMappingCounts(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	for _, name := range []string{"exact", "uri", "name"} {
		must[User](t)(f.CreateUser(ctx, acc, NewEntity{Name: name}))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, _ := url.Parse("spiffe://example.com/daemon")
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Daemon"}, URIs: []*url.URL{uri}, DNSNames: []string{"Daemon.example.com"}, NotAfter: time.Now().Add(time.Hour),
	}, &x509.Certificate{SerialNumber: big.NewInt(1)}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Certificate(ctx, c); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
	for _, m := range []struct{ match, user string }{{"cn:Daemon", "name"}, {"uri:spiffe://example.com/daemon", "uri"}, {matches(c)[0], "exact"}} {
		must[Certificate](t)(f.PutCertificate(ctx, Certificate{Match: m.match, Account: acc, Of: Ref{TypeUser, m.user}}))
		if p, err := f.Certificate(ctx, c); err != nil || p.Name != m.user || p.Proof != identity.ProofTLS || p.Account != acc {
			t.Errorf("with %s: %+v, %v", m.match, p, err)
		}
	}
	for _, match := range []string{"", "cn:", "x", "sha256:12", "cn:a\nb", "dns:a b"} {
		_, err := f.PutCertificate(ctx, Certificate{Match: match, Account: acc, Of: Ref{TypeUser, "uri"}})
		wants(t, match, err, ValidationError, "")
	}
}

// Uses are written at most once a minute, bounded, and not for deleted keys.
func TestUsed_isBoundedAndWritten(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	k := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{User: "u", Policies: []string{"AWSXrayFullAccess"}}))
	gone := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{User: "u"}))
	for i := range mostUses + 100 {
		f.Used(identity.Principal{Owner: trace.Owner{Account: acc}, KeyID: "x" + decimal(i)}, "10.0.0.1:5")
	}
	if len(f.uses.pending) != mostUses {
		t.Errorf("%d uses are kept", len(f.uses.pending))
	}
	f.uses.pending = map[string]use{}
	for _, id := range []string{k.ID, gone.ID} {
		_, p, err := f.AccessKey(ctx, id, "")
		if err != nil {
			t.Fatal(err)
		}
		f.UsedFor(p, "xray:early") // nobody has seen a proof
		f.Used(p, "10.0.0.7:4711")
		f.UsedFor(p, "xray:GetGroups")
	}
	if err := f.DeleteKey(ctx, acc, "u", gone.ID); err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithCancel(ctx)
	cancel()
	if err := f.Run(stop); err != nil {
		t.Fatal(err)
	}
	got := must[Key](t)(f.another().Key(ctx, acc, k.ID)).LastUsed
	if got == nil || got.Address != "10.0.0.7" || got.Action != "xray:GetGroups" || !got.At.Equal(f.clock.time()) {
		t.Errorf("last used %+v", got)
	}
	if l := must[*LastUsed](t)(f.LastUsed(ctx, acc, gone.ID)); l != nil {
		t.Errorf("a deleted key has a use: %+v", l)
	}
}

// What a request costs: the secret and principal of a key, a session and a token, with the
// principal's policies.
func BenchmarkCredentials(b *testing.B) {
	f, ctx := newFixture(b), b.Context()
	k := must[NewKey](b)(f.CreateKey(ctx, acc, KeyRequest{User: "u", Policies: []string{"AWSXrayReadOnlyAccess"}}))
	c := must[Credentials](b)(f.issue(ctx, session{Account: acc, User: "u", ID: must[any](b)(f.Find(ctx, acc, TypeUser, "u")).(*User).ID, Expires: 1 << 60}))
	_, text, err := f.CreateToken(ctx, acc, TokenRequest{User: "u"})
	if err != nil {
		b.Fatal(err)
	}
	for name, find := range map[string]func() (identity.Principal, error){
		"key": func() (identity.Principal, error) { _, p, err := f.AccessKey(ctx, k.ID, ""); return p, err },
		"session": func() (identity.Principal, error) {
			_, p, err := f.AccessKey(ctx, c.AccessKeyID, c.SessionToken)
			return p, err
		},
		"token": func() (identity.Principal, error) { p, _, err := f.Bearer(ctx, text); return p, err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := find()
				if err == nil {
					_, err = f.Grants(ctx, p)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
