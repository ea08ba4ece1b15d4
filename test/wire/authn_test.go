package wire_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/smithy-go"
	serving "github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness/inside"
)

// The credentials of these tests.
const (
	goodKey     = "AKIAGOODGOODGOODGOOD"
	goodSecret  = "good/secret+of/forty/characters/EXAMPLEKEY"
	otherKey    = "AKIAOTHEROTHEROTHERO"
	disabledKey = "AKIADISABLEDDISABLED"
	sessionKey  = "ASIASESSIONSESSIONSE"
	expiredKey  = "ASIAEXPIREDEXPIREDEX"
	goodToken   = "fluoro_good"
	writeToken  = "fluoro_write"
)

var home = trace.Owner{Account: operator, Region: "us-east-1"}

// directory returns the credentials of these tests.
func directory() *inside.Directory {
	elsewhere := trace.Owner{Account: first, Region: "us-east-1"}
	return &inside.Directory{
		Keys: map[string]inside.Key{
			goodKey: {Secret: goodSecret, Owner: home}, otherKey: {Secret: "other", Owner: elsewhere},
			disabledKey: {Secret: goodSecret, Disabled: true, Owner: home},
			sessionKey:  {Secret: goodSecret, Token: "session-token", Owner: home}, expiredKey: {Secret: goodSecret, Token: "session-token", Expired: true, Owner: home},
		},
		Tokens: map[string]inside.Token{
			goodToken: {Owner: home}, writeToken: {Owner: home, Scopes: []string{"xray:Put*", "fluoro:PutSpans"}},
			"fluoro_old": {Owner: home, Expired: true}, "fluoro_first": {Owner: elsewhere},
		},
		Certs: map[string]trace.Owner{"checkout": home},
	}
}

// startRequired runs a server that requires credentials.
func startRequired(t *testing.T, flags ...string) (*inside.Server, *inside.Directory) {
	d := directory()
	return inside.Start(t, append([]string{"--auth", "required"}, flags...), serving.WithCredentials(d)), d
}

// sdk makes an X-Ray client of the AWS SDK for Go.
func sdk(s *inside.Server, key, secret, token string, options ...func(*xray.Options)) *xray.Client {
	return xray.New(xray.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://" + s.HTTP), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret, SessionToken: token}, nil
		})}, options...)
}

// exceptionOf returns name and message of an AWS exception.
func exceptionOf(err error) string {
	var e smithy.APIError
	if !errors.As(err, &e) {
		return fmt.Sprint(err)
	}
	return e.ErrorCode() + ": " + e.ErrorMessage()
}

// The official Go SDK with good, wrong, unknown, disabled and expired credentials.
func TestSigV4_sdk(t *testing.T) {
	s, d := startRequired(t)
	const unknown = "UnrecognizedClientException: The security token included in the request is invalid."
	for _, c := range []struct{ name, key, secret, token, want string }{
		{"good", goodKey, goodSecret, "", ""},
		{"temporary", sessionKey, goodSecret, "session-token", ""},
		{"wrong secret", goodKey, "wrong", "", "InvalidSignatureException: The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
		{"unknown key", "AKIANOBODYNOBODYNOBO", goodSecret, "", unknown},
		{"disabled key", disabledKey, goodSecret, "", unknown},
		{"token of a long-term key", goodKey, goodSecret, "session-token", unknown},
		{"wrong session token", sessionKey, goodSecret, "another", unknown},
		{"no session token", sessionKey, goodSecret, "", unknown},
		{"expired session", expiredKey, goodSecret, "session-token", "ExpiredTokenException: The security token included in the request is expired"},
	} {
		client := sdk(s, c.key, c.secret, c.token)
		_, err := client.GetGroups(t.Context(), &xray.GetGroupsInput{})
		if c.want == "" && err != nil || c.want != "" && exceptionOf(err) != c.want {
			t.Errorf("%s: %s, want %q", c.name, exceptionOf(err), c.want)
		}
		now := time.Now()
		_, err = client.PutTraceSegments(t.Context(), &xray.PutTraceSegmentsInput{TraceSegmentDocuments: []string{
			fmt.Sprintf(`{"trace_id":"1-%08x-%024x","id":"%016x","name":"signed","start_time":%d,"end_time":%d}`, now.Unix(), 1, 1, now.Unix()-1, now.Unix()),
		}})
		if c.want == "" && err != nil || c.want != "" && exceptionOf(err) != c.want {
			t.Errorf("%s writes: %s, want %q", c.name, exceptionOf(err), c.want)
		}
	}
	if n := d.Uses(goodKey); n != 2 {
		t.Errorf("the good key was used %d times", n)
	}
	for reason, n := range map[string]int{"unknown": 10, "expired": 2, "signature": 2} {
		if got := metric(t, s, fmt.Sprintf(`fluoro_http_refused_total{listener="http",reason=%q}`, reason)); got != fmt.Sprint(n) {
			t.Errorf("%s: %s are counted, want %d", reason, got, n)
		}
	}
	for _, secret := range []string{goodSecret, "session-token"} {
		if strings.Contains(s.Output(), secret) {
			t.Errorf("%s is in the log:\n%s", secret, s.Output())
		}
	}
}

// call describes a request that is signed with the good key.
type call struct {
	path, body string
	at         time.Time           // of the signature; zero: now
	before     func(*http.Request) // changes the request before it is signed
	key        string              // another access key
}

// sign makes the request: a POST if it has a body, else a GET. The claim of the body's
// hash is left out, as most SDKs do, unless before sets it.
func (c call) sign(t *testing.T, s *inside.Server) *http.Request {
	t.Helper()
	method := http.MethodPost
	if c.body == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.HTTP+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if c.before != nil {
		c.before(r)
	}
	hash := sha256Hex(c.body)
	if claim := r.Header.Get("X-Amz-Content-Sha256"); claim != "" {
		hash = claim
	}
	if c.at.IsZero() {
		c.at = time.Now()
	}
	if c.key == "" {
		c.key = goodKey
	}
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: c.key, SecretAccessKey: goodSecret}, r, hash, "xray", "us-east-1", c.at); err != nil {
		t.Fatal(err)
	}
	return r
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// send makes a request and returns status, exception and body.
func send(t *testing.T, r *http.Request) (int, string, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if date, err := http.ParseTime(res.Header.Get("Date")); err != nil || time.Since(date).Abs() > 10*time.Second {
		t.Errorf("Date of the answer: %q", res.Header.Get("Date")) // SDKs set their clock by it
	}
	return res.StatusCode, res.Header.Get("X-Amzn-Errortype"), string(bytes.TrimSpace(b))
}

// metric reads a metric.
func metric(t *testing.T, s *inside.Server, name string) string {
	t.Helper()
	_, _, text := send(t, call{path: "/metrics"}.sign(t, s))
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return "absent"
}
