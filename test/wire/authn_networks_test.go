package wire_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/xray"
	serving "github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/test/harness"
	"github.com/fluoro-io/fluoro/test/harness/inside"
)

// plainPost sends an unsigned request and returns its status.
func plainPost(t *testing.T, s *inside.Server, path string, change ...func(*http.Request)) int {
	t.Helper()
	body := "{}"
	if path == "/SamplingTargets" {
		body = fmt.Sprintf(`{"SamplingStatisticsDocuments":[{"RuleName":"Default","ClientID":"0123456789abcdef01234567","Timestamp":%d,"RequestCount":1,"SampledCount":1,"BorrowCount":0}]}`, time.Now().Unix())
	}
	r, err := http.NewRequest("POST", "http://"+s.HTTP+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(r)
	}
	status, _, _ := send(t, r)
	return status
}

func forwardedFor(list string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("X-Forwarded-For", list) }
}

// Stock SDKs poll sampling rules without a signature; a setting lets them, and nothing
// else.
func TestAuthn_unsignedSampling(t *testing.T) {
	for setting, want := range map[string]int{"off": 403, "loopback": 200, "10.0.0.0/8": 403, "10.0.0.0/8,127.0.0.1": 200} {
		s, _ := startRequired(t, "--unsigned-sampling", setting)
		for _, path := range []string{"/GetSamplingRules", "/SamplingTargets"} {
			if got := plainPost(t, s, path); got != want {
				t.Errorf("%s from %s: %d, want %d", path, setting, got, want)
			}
		}
		for _, path := range []string{"/Groups", "/TraceSegments", "/TelemetryRecords", "/SamplingStatisticSummaries", "/CreateSamplingRule"} {
			if got := plainPost(t, s, path); got != 403 {
				t.Errorf("%s with %s: %d", path, setting, got)
			}
		}
		// A proxy on this machine passes requests of others on.
		if got := plainPost(t, s, "/GetSamplingRules", forwardedFor("203.0.113.5")); setting == "loopback" && got != 403 {
			t.Errorf("through a proxy: %d", got)
		}
		// Credentials that are there must be right.
		if got := plainPost(t, s, "/GetSamplingRules", func(r *http.Request) { r.Header.Set("Authorization", "Bearer wrong") }); got != 403 {
			t.Errorf("with a wrong token: %d", got)
		}
	}
}

// Networks may belong to different accounts.
func TestAuthn_unsignedSamplingOfAnotherAccount(t *testing.T) {
	s, _ := startRequired(t, "--unsigned-sampling", "127.0.0.0/8="+first+",::1")
	rule := `{"SamplingRule":{"RuleName":"of-first","ResourceARN":"*","Priority":1,"FixedRate":0.5,"ReservoirSize":1,"ServiceName":"*","ServiceType":"*","Host":"*","HTTPMethod":"*","URLPath":"*","Version":1}}`
	r, err := http.NewRequest("POST", "http://"+s.HTTP+"/CreateSamplingRule", strings.NewReader(rule))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer fluoro_first")
	if status, _, body := send(t, r); status != 200 {
		t.Fatal(status, body)
	}
	r, _ = http.NewRequest("POST", "http://"+s.HTTP+"/GetSamplingRules", strings.NewReader("{}"))
	if _, _, body := send(t, r); !strings.Contains(body, "of-first") {
		t.Errorf("the poll sees %s", body)
	}
	if _, _, body := send(t, call{path: "/GetSamplingRules", body: "{}"}.sign(t, s)); strings.Contains(body, "of-first") {
		t.Errorf("another account sees %s", body)
	}
}

// Only proxies that a setting names are believed.
func TestAuthn_trustedProxies(t *testing.T) {
	for _, c := range []struct {
		name, proxies string
		change        func(*http.Request)
		want          int
	}{
		{"no proxy", "", func(*http.Request) {}, 200},
		{"an unknown proxy", "192.0.2.1", forwardedFor("10.1.2.3"), 403},
		{"a client that is allowed", "127.0.0.1", forwardedFor("10.1.2.3"), 200},
		{"with a port", "127.0.0.1", forwardedFor("10.1.2.3:4567"), 200},
		{"a client that is not", "127.0.0.1", forwardedFor("203.0.113.5"), 403},
		{"what a client made up", "127.0.0.1", forwardedFor("10.1.2.3, 203.0.113.5"), 403},
		{"two proxies", "127.0.0.1,192.0.2.0/24", forwardedFor("203.0.113.5, 10.1.2.3, 192.0.2.7"), 200},
		{"no address", "127.0.0.1", forwardedFor("10.1.2.3, unknown"), 403},
		{"two headers", "127.0.0.1", func(r *http.Request) { r.Header["X-Forwarded-For"] = []string{"10.1.2.3", "203.0.113.5"} }, 403},
	} {
		networks := "10.0.0.0/8"
		if c.proxies == "" || c.proxies == "192.0.2.1" {
			networks += ",loopback"
		}
		s, _ := startRequired(t, "--unsigned-sampling", networks, "--trusted-proxies", c.proxies)
		if got := plainPost(t, s, "/GetSamplingRules", c.change); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// Datagrams have no credentials; their network decides whether they are accepted, and for
// which account.
func TestAuthn_datagrams(t *testing.T) {
	for setting, want := range map[string]string{"": operator, "loopback": operator, "off": "", "10.0.0.0/8": "", "0.0.0.0/0=" + first: first, "10.0.0.0/8,127.0.0.0/8=" + first + ",0.0.0.0/0": first} {
		s, _ := startRequired(t, "--udp-from", setting)
		conn, err := net.Dial("udp", s.UDP)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now().Unix()
		id := fmt.Sprintf("1-%08x-%024x", now, 0xda7a)
		if _, err := fmt.Fprintf(conn, "{\"format\":\"json\",\"version\":1}\n"+`{"trace_id":%q,"id":"00000000000000aa","name":"udp","start_time":%d,"end_time":%d}`, id, now-1, now); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		refused := func() bool {
			return strings.Contains(status200(t, s, "/console/api/status"), `"reason":"Network"`)
		}
		if want == "" {
			harness.Eventually(t, "the datagram is refused", refused)
		}
		has := func(token string) bool {
			r, _ := http.NewRequest("POST", "http://"+s.HTTP+"/Traces", strings.NewReader(fmt.Sprintf(`{"TraceIds":[%q]}`, id)))
			r.Header.Set("Authorization", "Bearer "+token)
			status, _, body := send(t, r)
			if status != 200 {
				t.Fatal(status, body)
			}
			return strings.Contains(body, `\"name\":\"udp\"`)
		}
		tokens := map[string]string{operator: goodToken, first: "fluoro_first"}
		if want != "" {
			harness.Eventually(t, "the trace is there", func() bool { return has(tokens[want]) })
		}
		for account, token := range tokens {
			if account != want && has(token) {
				t.Errorf("%q: account %s has the trace", setting, account)
			}
		}
		if want != "" && refused() {
			t.Errorf("%q: a datagram is refused", setting)
		}
	}
}

// In an open server everything works without credentials, and dummy ones do not matter;
// those that the server knows do.
func TestAuthn_open(t *testing.T) {
	d := directory()
	s := inside.Start(t, nil, serving.WithCredentials(d))
	groups := func(key, secret, token string) string {
		_, err := sdk(s, key, secret, token).GetGroups(t.Context(), &xray.GetGroupsInput{})
		if err == nil {
			return ""
		}
		return exceptionOf(err)
	}
	for _, c := range []struct{ key, secret, token, want string }{
		{"x", "x", "", ""},
		{"AKIANOBODYNOBODYNOBO", "x", "", ""},
		{disabledKey, "x", "", ""},
		{goodKey, goodSecret, "", ""},
		{goodKey, "wrong", "", "InvalidSignatureException: " + mismatchText},
		{expiredKey, goodSecret, "session-token", "ExpiredTokenException: The security token included in the request is expired"},
	} {
		if got := groups(c.key, c.secret, c.token); got != c.want {
			t.Errorf("%s with %s: %q, want %q", c.key, c.secret, got, c.want)
		}
	}
	for _, authorization := range []string{"", "Basic x", "Bearer x", "AWS4-HMAC-SHA256 nonsense"} {
		if got := plainPost(t, s, "/Groups", func(r *http.Request) { r.Header.Set("Authorization", authorization) }); got != 200 {
			t.Errorf("%q: %d", authorization, got)
		}
		if err := export(t, s, authorization); err != nil {
			t.Errorf("gRPC with %q: %v", authorization, err)
		}
	}
	// A key of another account reads and writes that account.
	r := call{path: "/console/api/status", key: "x"}.sign(t, s)
	r.Header.Set("Authorization", "Bearer fluoro_first")
	if _, _, body := send(t, r); !strings.Contains(body, `"account":"`+first+`"`) {
		t.Errorf("the token of an account: %s", body)
	}
	if n := d.Uses(goodKey); n != 1 {
		t.Errorf("the good key was used %d times", n)
	}
}

// Each listener takes the kinds of credentials that its setting names.
func TestAuthn_kindsOfAListener(t *testing.T) {
	s, _ := startRequired(t, "--http-auth", "sigv4", "--otlp-http-auth", "bearer", "--otlp-grpc-auth", "mtls")
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+goodToken) }
	r := call{path: "/Groups", body: "{}"}.sign(t, s)
	if status, _, body := send(t, r); status != 200 {
		t.Errorf("a signature: %d %s", status, body)
	}
	r = call{path: "/Groups", body: "{}"}.sign(t, s)
	bearer(r)
	if status, code, body := send(t, r); status != 403 || code != "IncompleteSignatureException" || !strings.Contains(body, "It takes: sigv4.") {
		t.Errorf("a token: %d %s %s", status, code, body)
	}
	r, err := http.NewRequest("POST", "http://"+s.OTLP+"/v1/traces", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	bearer(r)
	if status, _, body := send(t, r); status != 200 {
		t.Errorf("OTLP with a token: %d %s", status, body)
	}
	if err := export(t, s, "Bearer "+goodToken); !strings.Contains(fmt.Sprint(err), "Unauthenticated") {
		t.Errorf("gRPC with a token: %v", err)
	}
}
