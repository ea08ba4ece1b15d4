package iam

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// issuerServer is an OpenID Connect provider.
type issuerServer struct {
	*httptest.Server
	rsa  *rsa.PrivateKey
	ec   *ecdsa.PrivateKey
	down atomic.Bool
	asks atomic.Int32 // for keys
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func newIssuer(t *testing.T, start func(http.Handler) *httptest.Server) *issuerServer {
	t.Helper()
	s := &issuerServer{}
	var err error
	if s.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if s.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": s.URL, "jwks_uri": s.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"}})
		case "/keys":
			s.asks.Add(1)
			point, err := s.ec.PublicKey.Bytes()
			if err != nil {
				t.Error(err)
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{
				{"kty": "RSA", "kid": "rsa", "use": "sig", "n": encoded(s.rsa.N.Bytes()), "e": "AQAB"},
				{"kty": "EC", "kid": "ec", "use": "sig", "crv": "P-256", "x": encoded(point[1:33]), "y": encoded(point[33:])},
			}})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// sign makes a JWT.
func (s *issuerServer) sign(t *testing.T, header map[string]string, claims map[string]any) string {
	t.Helper()
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	text := encoded(h) + "." + encoded(c)
	sum := sha256.Sum256([]byte(text))
	var sig []byte
	var err error
	switch header["alg"] {
	case "RS256":
		sig, err = rsa.SignPKCS1v15(rand.Reader, s.rsa, crypto.SHA256, sum[:])
	case "ES256":
		r, q, e := ecdsa.Sign(rand.Reader, s.ec, sum[:])
		sig, err = append(r.FillBytes(make([]byte, 32)), q.FillBytes(make([]byte, 32))...), e
	}
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encoded(sig)
}

var rs256 = map[string]string{"alg": "RS256", "kid": "rsa", "typ": "JWT"}

func (s *issuerServer) claims(f *fixture, more ...any) map[string]any {
	c := map[string]any{"iss": s.URL, "sub": "system:serviceaccount:shop:till", "aud": "sts.amazonaws.com", "exp": f.clock.time().Add(time.Hour).Unix(), "iat": f.clock.time().Unix()}
	for i := 0; i < len(more); i += 2 {
		if c[more[i].(string)] = more[i+1]; more[i+1] == nil {
			delete(c, more[i].(string))
		}
	}
	return c
}

// withIssuer makes a role for the tokens of an issuer.
func withIssuer(t *testing.T) (*fixture, *issuerServer, string) {
	f := newFixture(t)
	s := newIssuer(t, httptest.NewServer)
	p := must[Provider](t)(f.CreateProvider(t.Context(), acc, NewProvider{URL: s.URL, Clients: []string{"sts.amazonaws.com"}}))
	name := strings.TrimPrefix(s.URL, "http://")
	trust := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{"StringLike":{"%s:sub":"system:serviceaccount:shop:*"},"StringEquals":{"%s:aud":"sts.amazonaws.com"}}}]}`, p.ARN, name, name)
	return f, s, f.role(t, acc, "pod", trust)
}

func TestWebIdentity_goodTokens(t *testing.T) {
	f, s, arn := withIssuer(t)
	for name, header := range map[string]map[string]string{"RS256": rs256, "ES256": {"alg": "ES256", "kid": "ec"}, "no kid": {"alg": "RS256"}} {
		a, err := f.AssumeRoleWithWebIdentity(t.Context(), AssumeRequest{RoleARN: arn, Session: "pod-1", Token: s.sign(t, header, s.claims(f))})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a.Subject != "system:serviceaccount:shop:till" || a.Audience != "sts.amazonaws.com" || a.Provider != ARN(acc, "oidc-provider/"+strings.TrimPrefix(s.URL, "http://")) {
			t.Errorf("%s: %+v", name, a)
		}
		if _, p, err := f.AccessKey(t.Context(), a.Credentials.AccessKeyID, a.Credentials.SessionToken); err != nil || p.Session.Provider != a.Provider || p.Name != "pod/pod-1" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	tags := map[string]any{"principal_tags": map[string]any{"shop": []string{"berlin"}}, "transitive_tag_keys": []string{"shop"}}
	a, err := f.AssumeRoleWithWebIdentity(t.Context(), AssumeRequest{RoleARN: arn, Session: "pod-1", Token: s.sign(t, rs256, s.claims(f, "aud", []string{"x", "sts.amazonaws.com"}, "https://aws.amazon.com/tags", tags))})
	if err != nil {
		t.Fatal(err)
	}
	if _, p, err := f.AccessKey(t.Context(), a.Credentials.AccessKeyID, a.Credentials.SessionToken); err != nil || p.Tags["shop"] != "berlin" || p.Session.TransitiveTags["shop"] != "berlin" {
		t.Errorf("tags of the token: %+v, %v", p, err)
	}
}

func TestWebIdentity_badTokens(t *testing.T) {
	f, s, arn := withIssuer(t)
	other := newIssuer(t, httptest.NewServer)
	now := f.clock.time()
	good := s.sign(t, rs256, s.claims(f))
	none := encoded([]byte(`{"alg":"none"}`)) + "." + strings.Split(good, ".")[1] + "."
	for name, k := range map[string]struct {
		token string
		code  Code
		text  string
	}{
		"no JWT":            {"aaaa", InvalidIdentityToken, "not a valid JWT"},
		"two parts":         {"a.b", ValidationError, "webIdentityToken"},
		"long":              {strings.Repeat("a", 20_001), ValidationError, "webIdentityToken"},
		"unknown issuer":    {other.sign(t, rs256, other.claims(f)), InvalidIdentityToken, "No OpenIDConnect provider found in your account for " + other.URL},
		"foreign signature": {other.sign(t, rs256, s.claims(f)), InvalidIdentityToken, "cannot be verified"},
		"changed":           {strings.Replace(good, ".", ".e30", 1), InvalidIdentityToken, ""},
		"algorithm none":    {none, InvalidIdentityToken, "cannot be verified"},
		"algorithm HS256":   {s.sign(t, map[string]string{"alg": "HS256", "kid": "rsa"}, s.claims(f)), InvalidIdentityToken, "cannot be verified"},
		"expired":           {s.sign(t, rs256, s.claims(f, "exp", now.Unix())), ExpiredToken, "Token expired: current date/time"},
		"no expiry":         {s.sign(t, rs256, s.claims(f, "exp", nil)), ExpiredToken, ""},
		"not yet":           {s.sign(t, rs256, s.claims(f, "nbf", now.Add(time.Minute).Unix())), InvalidIdentityToken, "not valid before"},
		"audience":          {s.sign(t, rs256, s.claims(f, "aud", "other")), InvalidIdentityToken, "Incorrect token audience"},
		"no audience":       {s.sign(t, rs256, s.claims(f, "aud", nil)), InvalidIdentityToken, "Incorrect token audience"},
		"no subject":        {s.sign(t, rs256, s.claims(f, "sub", nil)), InvalidIdentityToken, "not a valid JWT"},
		"other subject":     {s.sign(t, rs256, s.claims(f, "sub", "system:serviceaccount:admin:x")), AccessDenied, "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		"source identity":   {s.sign(t, rs256, s.claims(f, "https://aws.amazon.com/source_identity", "till")), AccessDenied, "Not authorized to perform sts:SetSourceIdentity"},
	} {
		if name == "two parts" {
			k.token = "a.b"
		}
		_, err := f.AssumeRoleWithWebIdentity(t.Context(), AssumeRequest{RoleARN: arn, Session: "pod-1", Token: k.token})
		wants(t, name, err, k.code, k.text)
	}
	_, err := f.AssumeRoleWithWebIdentity(t.Context(), AssumeRequest{RoleARN: ARN(acc, "role/none"), Session: "pod-1", Token: good})
	wants(t, "unknown role", err, AccessDenied, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	_, err = f.AssumeRoleWithWebIdentity(t.Context(), AssumeRequest{RoleARN: ARN(acc, "role/none"), Session: "pod-1", Token: none})
	wants(t, "unknown role, bad token", err, InvalidIdentityToken, "cannot be verified")
	alone := f.role(t, acc, "alone", trustAll)
	_, err = f.AssumeRoleWithWebIdentity(t.Context(), AssumeRequest{RoleARN: alone, Session: "pod-1", Token: good})
	wants(t, "role for users", err, AccessDenied, "")
}

// Tokens with invented key ids do not make the server flood the issuer, and its failure
// is one that SDKs retry.
func TestWebIdentity_issuerIsSparedAndMayFail(t *testing.T) {
	f, s, arn := withIssuer(t)
	s.down.Store(true)
	_, err := f.AssumeRoleWithWebIdentity(t.Context(), AssumeRequest{RoleARN: arn, Session: "pod-1", Token: s.sign(t, rs256, s.claims(f))})
	wants(t, "down", err, IDPCommunicationError, "Couldn't retrieve verification key")
	s.down.Store(false)
	f.clock.pass(pause)
	f.issuers.known = nil // its answer is kept by the clock of the system
	for i := range 50 {
		_, err := f.AssumeRoleWithWebIdentity(t.Context(), AssumeRequest{RoleARN: arn, Session: "pod-1", Token: s.sign(t, map[string]string{"alg": "RS256", "kid": fmt.Sprint(i)}, s.claims(f))})
		var c Code
		if !errors.As(err, &c) {
			t.Fatal(err)
		}
	}
	if n := s.asks.Load(); n > 2 {
		t.Errorf("the issuer was asked %d times for its keys", n)
	}
}

func TestProviders_urlsAndAuthorities(t *testing.T) {
	f := newFixture(t)
	for _, bad := range []string{"", "issuer.example.com", "http://issuer.example.com", "ftp://x", "https://u:p@issuer.example.com", "https://issuer.example.com?x=1", "https://issuer.example.com#x", "https://", "http://127.0.0.1.example.com"} {
		_, err := f.CreateProvider(t.Context(), acc, NewProvider{URL: bad})
		wants(t, bad, err, InvalidInput, "cannot be used")
	}
	s := newIssuer(t, httptest.NewTLSServer)
	_, err := f.CreateProvider(t.Context(), acc, NewProvider{URL: s.URL, Authorities: "x"})
	wants(t, "no certificate", err, InvalidInput, "no certificate")
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	for name, k := range map[string]struct{ ca, code string }{"unknown authority": {"", string(IDPCommunicationError)}, "known authority": {ca, ""}} {
		p := must[Provider](t)(f.CreateProvider(t.Context(), acc, NewProvider{URL: s.URL, Clients: []string{"sts.amazonaws.com"}, Authorities: k.ca}))
		arn := f.role(t, acc, fmt.Sprint("r", len(k.ca)), fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":%q},"Action":"sts:AssumeRoleWithWebIdentity"}]}`, p.ARN))
		_, err := f.AssumeRoleWithWebIdentity(t.Context(), AssumeRequest{RoleARN: arn, Session: "pod-1", Token: s.sign(t, rs256, s.claims(f))})
		if k.code == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if k.code != "" {
			wants(t, name, err, Code(k.code), "")
		}
		if err := f.DeleteProvider(t.Context(), acc, p.ARN); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzUnverified(f *testing.F) {
	for _, seed := range []string{"a.b.c", "e30.eyJpc3MiOiJ4In0.x", "..", "", "e30.eyJpc3MiOjF9.", strings.Repeat(".", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, jwt string) {
		if issuer, err := unverified(jwt); err == nil && issuer == "" {
			t.Errorf("%q has an empty issuer", jwt)
		}
	})
}
