package authn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/fluoro-io/fluoro/internal/authn"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	keyID  = "AKIAIOSFODNN7EXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

var (
	owner = trace.Owner{Account: "111122223333", Region: "eu-west-1"}
	noon  = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
)

// one is a directory with one of each credential.
type one struct {
	uses  int
	fails error // if not nil, every question fails with it
}

func (o *one) Used(identity.Principal, string) { o.uses++ }

func (o *one) AccessKey(_ context.Context, id, token string) (string, identity.Principal, error) {
	if o.fails != nil {
		return "", identity.Principal{}, o.fails
	}
	if id != keyID || token != "" {
		return "", identity.Principal{}, &trace.KindError{Kind: trace.KindDenied, Err: identity.ErrUnknown}
	}
	return secret, identity.Principal{Owner: trace.Owner{Account: owner.Account}, Name: "alice"}, nil // no region: the server's
}

func (o *one) Bearer(_ context.Context, token string) (identity.Principal, []string, error) {
	if token != "right" {
		return identity.Principal{}, nil, &trace.KindError{Kind: trace.KindDenied, Err: identity.ErrUnknown}
	}
	return identity.Principal{Owner: owner, Name: "token", KeyID: "T1"}, []string{"xray:Get*"}, nil
}

func (o *one) Certificate(_ context.Context, c *x509.Certificate) (identity.Principal, error) {
	if c.Subject.CommonName != "checkout" {
		return identity.Principal{}, &trace.KindError{Kind: trace.KindDenied, Err: identity.ErrUnknown}
	}
	return identity.Principal{Owner: owner, Name: "checkout"}, nil
}

// signedRequest makes a request as a server gets it.
func signedRequest(t testing.TB, body string, at time.Time) *http.Request {
	t.Helper()
	r := httptest.NewRequest("POST", "http://traces.example.com:2000/TraceSummaries", strings.NewReader(body))
	sum := sha256.Sum256([]byte(body))
	r.Header.Set("Content-Type", "application/json")
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), "xray", "eu-west-1", at); err != nil {
		t.Fatal(err)
	}
	return r
}

func required(o authn.Options) (*authn.Authenticator, *one) {
	d := &one{}
	o.Credentials, o.Owner = d, owner
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	return authn.New(o), d
}

func callOf(r *http.Request) identity.Call {
	return identity.Call{Action: "xray:GetTraceSummaries", Listener: "http", Request: r, Source: "203.0.113.10:5555"}
}

// reason returns the reason of a failure, "" for success.
func reason(err error) string {
	if f := identity.FailureOf(err); f != nil {
		return f.Reason
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// The principal is known at once, but proved only when the body was read to its end.
func TestSigned_bodyProves(t *testing.T) {
	for _, c := range []struct {
		name, body, sent string
		length           int64
		want             string
	}{
		{"the body", "0123456789", "0123456789", 10, ""},
		{"without length", "0123456789", "0123456789", -1, ""},
		{"another body", "0123456789", "012345678x", 10, "signature"},
		{"another body without length", "0123456789", "012345678x", -1, "signature"},
		{"nothing instead of a body", "0123456789", "", -1, "signature"},
	} {
		for _, one := range []bool{false, true} {
			var failed error
			a, d := required(authn.Options{Failed: func(_ identity.Call, err error) { failed = err }})
			r := signedRequest(t, c.body, noon)
			from := io.Reader(strings.NewReader(c.sent))
			if one {
				from = iotest.OneByteReader(from)
			}
			r.Body, r.ContentLength = io.NopCloser(from), c.length
			if c.length < 0 {
				r.Header.Set("Content-Length", "10") // the SDK signed it
			}
			p, err := a.Authenticate(t.Context(), callOf(r))
			if err != nil || p.Account != owner.Account || p.Region != owner.Region || p.KeyID != keyID || p.Proof != identity.ProofSignature {
				t.Fatalf("%s: %+v, %v", c.name, p, err)
			}
			if d.uses != 0 {
				t.Errorf("%s: counted before it was proved", c.name)
			}
			var got []byte
			if c.length >= 0 { // a reader that knows the length does not wait for the end
				got = make([]byte, c.length)
				_, err = io.ReadFull(r.Body, got)
			} else {
				got, err = io.ReadAll(r.Body)
			}
			if reason(err) != c.want || c.want == "" && string(got) != c.sent || c.want != "" && c.length >= 0 && bytes.HasSuffix(got, []byte("x")) {
				t.Errorf("%s: read %q, %v, want %q", c.name, got, err, c.want)
			}
			if reason(failed) != c.want || (d.uses == 1) != (c.want == "") {
				t.Errorf("%s: told %v, %d uses", c.name, failed, d.uses)
			}
			if _, again := r.Body.Read(make([]byte, 1)); c.want != "" && reason(again) != c.want {
				t.Errorf("%s: the second read: %v", c.name, again)
			}
		}
	}
}

func TestSigned_time(t *testing.T) {
	for _, c := range []struct {
		ahead, skew time.Duration
		want        string
	}{
		{0, 0, ""}, {-5 * time.Minute, 0, ""}, {5 * time.Minute, 0, ""},
		{-5*time.Minute - time.Second, 0, "Signature expired: 20261129T115459Z is now earlier than 20261129T115500Z (20261129T120000Z - 5 min.)"},
		{5*time.Minute + time.Second, 0, "Signature not yet current: 20261129T120501Z is still later than 20261129T120500Z (20261129T120000Z + 5 min.)"},
		{-14 * time.Minute, 15 * time.Minute, ""},
		{-16 * time.Minute, 15 * time.Minute, "Signature expired: 20261129T114400Z is now earlier than 20261129T114500Z (20261129T120000Z - 15 min.)"},
		{-40 * time.Second, 30 * time.Second, "Signature expired: 20261129T115920Z is now earlier than 20261129T115930Z (20261129T120000Z - 0.5 min.)"},
	} {
		a, _ := required(authn.Options{Skew: c.skew})
		_, err := a.Authenticate(t.Context(), callOf(signedRequest(t, "", noon.Add(c.ahead))))
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("%v: %v, want %q", c.ahead, err, c.want)
		}
	}
}

// Requests for the services of AWS are signed with their names.
func TestSigned_services(t *testing.T) {
	sign := func(service, region string) *http.Request {
		r := httptest.NewRequest("GET", "http://traces.example.com/", nil)
		sum := sha256.Sum256(nil)
		if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), service, region, noon); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct{ action, service, region, want string }{
		{"xray:GetGroups", "xray", "eu-west-1", ""}, {"fluoro:PutSpans", "xray", "eu-west-1", ""}, {"fluoro:GetStatus", "fluoro", "eu-west-1", ""},
		{"xray:GetGroups", "sts", "eu-west-1", "scope"}, {"xray:GetGroups", "xray", "us-east-1", "scope"},
		{"sts:AssumeRole", "sts", "eu-west-1", ""}, {"sts:AssumeRole", "sts", "us-east-1", ""}, {"sts:AssumeRole", "xray", "eu-west-1", "scope"},
		{"iam:CreateUser", "iam", "us-east-1", ""}, {"iam:CreateUser", "iam", "us-west-2", "scope"},
	} {
		a, _ := required(authn.Options{})
		call := callOf(sign(c.service, c.region))
		call.Action = c.action
		if _, err := a.Authenticate(t.Context(), call); reason(err) != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A directory that cannot answer is no reason to call a key unknown.
func TestSigned_directoryFails(t *testing.T) {
	a, d := required(authn.Options{})
	d.fails = trace.Errorf(trace.KindUnavailable, "the records cannot be read")
	if _, err := a.Authenticate(t.Context(), callOf(signedRequest(t, "", noon))); trace.KindOf(err) != trace.KindUnavailable || identity.FailureOf(err) != nil {
		t.Errorf("got %v", err)
	}
	open, d := required(authn.Options{Open: true})
	d.fails = errors.New("broken")
	if p, err := open.Authenticate(t.Context(), callOf(signedRequest(t, "", noon))); err != nil || p.Type != identity.TypeAnonymous {
		t.Errorf("an open server: %+v, %v", p, err)
	}
}

// Secrets do not travel in the clear between machines, unless a setting says so.
func TestBearer_needsTLS(t *testing.T) {
	for _, c := range []struct {
		name, source  string
		secure, plain bool
		want          string
	}{
		{"another machine", "203.0.113.10:5", false, false, "plaintext"},
		{"another machine, IPv6", "[2001:db8::1]:5", false, false, "plaintext"},
		{"no address", "", false, false, "plaintext"},
		{"this machine", "127.0.0.1:5", false, false, ""},
		{"this machine, IPv6", "[::1]:5", false, false, ""},
		{"this machine, mapped", "[::ffff:127.0.0.1]:5", false, false, ""},
		{"TLS", "203.0.113.10:5", true, false, ""},
		{"a setting", "203.0.113.10:5", false, true, ""},
	} {
		a, _ := required(authn.Options{Plain: c.plain})
		r := httptest.NewRequest("GET", "http://h/", nil)
		r.Header.Set("Authorization", "Bearer right")
		call := callOf(r)
		call.Source, call.Secure = c.source, c.secure
		p, err := a.Authenticate(t.Context(), call)
		if reason(err) != c.want || c.want == "" && (p.Name != "token" || len(p.Scopes) != 1 || p.KeyID != "T1") {
			t.Errorf("%s: %+v, %v", c.name, p, err)
		}
	}
}

// Without a header, a console session comes before a client certificate.
func TestAuthenticate_order(t *testing.T) {
	cert := func(name string, until time.Time) *tls.ConnectionState {
		return &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: name}, NotAfter: until}}}}
	}
	session := func(_ context.Context, c identity.Call) (identity.Principal, bool, error) {
		cookie, err := c.Request.Cookie("s")
		if err != nil {
			return identity.Principal{}, false, nil
		}
		if cookie.Value != "ok" {
			return identity.Principal{}, true, &identity.Failure{Reason: "expired"}
		}
		return identity.Principal{Owner: owner, Name: "browser"}, true, nil
	}
	for _, c := range []struct {
		name, header, cookie string
		origin               string
		tls                  *tls.ConnectionState
		takes                authn.Kinds
		proof, want          string
	}{
		{name: "nothing", want: "unsigned"},
		{name: "a certificate", tls: cert("checkout", noon.Add(time.Hour)), proof: "mtls"},
		{name: "an unknown certificate", tls: cert("nobody", noon.Add(time.Hour)), want: "unknown"},
		{name: "a certificate that expired since the connection was made", tls: cert("checkout", noon.Add(-time.Second)), want: "expired"},
		{name: "a certificate that was not verified", tls: &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "checkout"}}}}, want: "unsigned"},
		{name: "a session of a foreign page", cookie: "ok", origin: "https://evil.example", want: "unsigned"},
		{name: "a session of an own page", cookie: "ok", origin: "http://h", proof: "console-session"},
		{name: "a session", cookie: "ok", proof: "console-session"},
		{name: "a session and a certificate", cookie: "ok", tls: cert("checkout", noon.Add(time.Hour)), proof: "console-session"},
		{name: "an ended session and a certificate", cookie: "old", tls: cert("checkout", noon.Add(time.Hour)), want: "expired"},
		{name: "a token and all else", header: "Bearer right", cookie: "ok", tls: cert("checkout", noon.Add(time.Hour)), proof: "bearer"},
		{name: "a wrong token and all else", header: "Bearer wrong", cookie: "ok", tls: cert("checkout", noon.Add(time.Hour)), want: "unknown"},
		{name: "a certificate where none is taken", tls: cert("checkout", noon.Add(time.Hour)), takes: authn.SigV4 | authn.Bearer, want: "unsigned"},
		{name: "a session where none is taken", cookie: "ok", takes: authn.SigV4, want: "unsigned"},
		{name: "a token where none is taken", header: "Bearer right", takes: authn.SigV4, want: "kind"},
	} {
		o := authn.Options{Session: session}
		if c.takes != 0 {
			o.Takes = map[string]authn.Kinds{"http": c.takes}
		}
		a, _ := required(o)
		r := httptest.NewRequest("POST", "http://h/", nil)
		r.TLS = c.tls
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		if c.cookie != "" {
			r.AddCookie(&http.Cookie{Name: "s", Value: c.cookie})
		}
		call := callOf(r)
		call.Secure = true
		p, err := a.Authenticate(t.Context(), call)
		if reason(err) != c.want || c.want == "" && p.Proof != c.proof {
			t.Errorf("%s: %q, %v, want %q, %q", c.name, p.Proof, err, c.proof, c.want)
		}
	}
}

// In an open server an ended session is no reason to refuse; a live one counts.
func TestAuthenticate_openSession(t *testing.T) {
	for _, c := range []struct {
		err   error
		proof string
	}{{nil, identity.ProofSession}, {&identity.Failure{Reason: authn.ReasonExpired}, identity.ProofNone}} {
		a, _ := required(authn.Options{Open: true, Session: func(context.Context, identity.Call) (identity.Principal, bool, error) {
			return identity.Principal{Owner: owner}, true, c.err
		}})
		call := callOf(httptest.NewRequest("GET", "http://h/", nil))
		call.Secure = true
		if p, err := a.Authenticate(t.Context(), call); err != nil || p.Proof != c.proof {
			t.Errorf("session error %v: %+v, %v", c.err, p, err)
		}
	}
}

// A rotated secret must not live on in the cache of signing keys.
func TestSigned_keyCache(t *testing.T) {
	a, _ := required(authn.Options{})
	if _, err := a.Authenticate(t.Context(), callOf(signedRequest(t, "", noon))); err != nil {
		t.Fatal(err)
	}
	a.Credentials = &rotated{}
	if _, err := a.Authenticate(t.Context(), callOf(signedRequest(t, "", noon))); reason(err) != "signature" {
		t.Errorf("the old secret after rotation: %v", err)
	}
}

type rotated struct{ one }

func (*rotated) Used(identity.Principal, string) {}

func (*rotated) AccessKey(context.Context, string, string) (string, identity.Principal, error) {
	return "another secret", identity.Principal{Owner: owner}, nil
}

func TestDatagram(t *testing.T) {
	networks := authn.Networks{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Prefix: netip.MustParsePrefix("10.1.0.0/16"), Account: "999999999999"}, {Prefix: netip.MustParsePrefix("2001:db8::/32")}}
	for source, want := range map[string]string{
		"10.2.0.1:5": "111122223333", "10.1.2.3:5": "999999999999", "[::ffff:10.1.2.3]:5": "999999999999", "[2001:db8::5]:1": "111122223333", "127.0.0.1:5": "", "": "", "garbage": "", "[fe80::1%eth0]:5": "",
	} {
		a, _ := required(authn.Options{Datagrams: networks})
		p, err := a.Authenticate(t.Context(), identity.Call{Action: "xray:PutTraceSegments", Listener: "udp", Source: source})
		if string(p.Account) != want || (err == nil) != (want != "") {
			t.Errorf("%q: %+v, %v, want %q", source, p, err, want)
		}
	}
}

func TestInScope(t *testing.T) {
	for _, c := range []struct {
		scopes []string
		action string
		want   bool
	}{
		{nil, "xray:GetGroups", true},
		{[]string{}, "xray:GetGroups", false},
		{[]string{"*"}, "xray:GetGroups", true},
		{[]string{"xray:Get*"}, "xray:GetGroups", true},
		{[]string{"XRAY:get*"}, "xray:GetGroups", true},
		{[]string{"xray:Get*"}, "xray:BatchGetTraces", false},
		{[]string{"xray:*Get*"}, "xray:BatchGetTraces", true},
		{[]string{"xray:GetGroup?"}, "xray:GetGroup", false},
		{[]string{"xray:GetGroup?"}, "xray:GetGroups", true},
		{[]string{"iam:*", "xray:GetGroups"}, "xray:GetGroups", true},
		{[]string{""}, "xray:GetGroups", false},
		{[]string{"*a*a*a*a*a*a*a*a*a*a*b"}, strings.Repeat("a", 5000), false},
		{[]string{"x*:*s"}, "xray:GetGroups", true},
	} {
		if got := authn.InScope(c.scopes, c.action); got != c.want {
			t.Errorf("%v for %.20s: %v", c.scopes, c.action, got)
		}
	}
}

func TestParseKinds(t *testing.T) {
	if k, err := authn.ParseKinds("http", []string{"sigv4", "session"}); err != nil || k != authn.SigV4|authn.Session || k.String() != "sigv4,session" {
		t.Errorf("%v, %v", k, err)
	}
	for listener, name := range map[string]string{"http": "basic", "otlp-http": "session", "otlp-grpc": "sigv4", "nowhere": "sigv4"} {
		if _, err := authn.ParseKinds(listener, []string{name}); err == nil {
			t.Errorf("%s takes %s", listener, name)
		}
	}
}

// Whatever the headers are, nothing panics, and only a right signature is accepted.
func FuzzAuthorization(f *testing.F) {
	right := signedRequest(f, "", noon)
	f.Add(right.Header.Get("Authorization"), right.Header.Get("X-Amz-Date"), "", "")
	for _, seed := range []string{
		"", "Bearer", "Bearer ", "Bearer right", "Basic eA==", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=", "AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=0",
		"AWS4-HMAC-SHA256 Credential=a/b/c/d/e/f, SignedHeaders=host, Signature=0", "AWS4-HMAC-SHA256 Credential=" + keyID + "/20261129/eu-west-1/xray/aws4_request, SignedHeaders=host;host, Signature=zz",
		"AWS4-HMAC-SHA256 Credential=" + keyID + "/20261129/eu-west-1/xray/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + strings.Repeat("0", 64), "AWS4-HMAC-SHA256 =,=,=", "\x00\xff",
	} {
		f.Add(seed, "20261129T120000Z", "", "e3b0")
		f.Add(seed, "20261129T120000.5Z", "token", "UNSIGNED-PAYLOAD")
	}
	f.Fuzz(func(t *testing.T, header, date, token, claim string) {
		for _, o := range []authn.Options{{}, {Open: true}} {
			a, _ := required(o)
			r := httptest.NewRequest("POST", "http://traces.example.com:2000/TraceSummaries", nil)
			r.Header.Set("Authorization", header)
			r.Header.Set("Content-Type", "application/json")
			for name, value := range map[string]string{"X-Amz-Date": date, "X-Amz-Security-Token": token, "X-Amz-Content-Sha256": claim} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			call := callOf(r)
			call.Secure = true
			p, err := a.Authenticate(t.Context(), call)
			switch {
			case err != nil && trace.KindOf(err) != trace.KindDenied:
				t.Errorf("kind of %v", err)
			case err == nil && p.Proof == identity.ProofSignature && (token != "" || claim != "" || date != right.Header.Get("X-Amz-Date") || !strings.Contains(header, right.Header.Get("Authorization")[len(right.Header.Get("Authorization"))-64:])):
				t.Errorf("accepted: %q %q %q %q", header, date, token, claim)
			case err != nil && len(secret) > 0 && strings.Contains(err.Error(), secret):
				t.Errorf("the error contains the secret: %v", err)
			}
		}
	})
}

// reusable is a body that can be read again.
type reusable struct{ bytes.Reader }

func (*reusable) Close() error { return nil }

func benchmark(b *testing.B, size int, header bool) {
	a, _ := required(authn.Options{})
	body := strings.Repeat("x", size)
	r := signedRequest(b, body, noon)
	if header {
		sum := sha256.Sum256([]byte(body))
		r = httptest.NewRequest("POST", "http://traces.example.com:2000/TraceSummaries", nil)
		r.ContentLength = int64(size)
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
		if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), "xray", "eu-west-1", noon); err != nil {
			b.Fatal(err)
		}
	}
	sent, from, buf := []byte(body), &reusable{}, make([]byte, size)
	b.ReportAllocs()
	for b.Loop() {
		from.Reset(sent)
		r.Body = from
		if _, err := a.Authenticate(b.Context(), callOf(r)); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(r.Body, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// The budget is 60 µs for a request.
func BenchmarkSigned_1KB(b *testing.B)     { benchmark(b, 1<<10, false) }
func BenchmarkSigned_1KBHash(b *testing.B) { benchmark(b, 1<<10, true) }
func BenchmarkSigned_64KB(b *testing.B)    { benchmark(b, 64<<10, false) }
func BenchmarkSigned_unknown(b *testing.B) {
	a, _ := required(authn.Options{})
	r := signedRequest(b, "{}", noon)
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), keyID, "AKIANOBODYNOBODYNOBO", 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(b.Context(), callOf(r)); err == nil {
			b.Fatal("accepted")
		}
	}
}
