package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/identity"
	serving "github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
	"github.com/spf13/pflag"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// Accounts of one server: first writes data that second must neither see nor change,
// idle never writes anything, and operator has the server's own account.
const (
	operator = "000000000000"
	first    = "111111111111"
	second   = "222222222222"
	idle     = "333333333333"
	nobody   = ""
)

var regions = map[string]string{operator: "us-east-1", first: "eu-west-1", second: "us-west-2", idle: "us-west-2"}

// accountHeader names the caller for the authenticator of these tests.
const accountHeader = "X-Test-Account"

// hiddenHeader names what the caller may not see, for the authorizer of limited readers.
const hiddenHeader = "X-Test-Hidden"

// shared is a server with several accounts.
type shared struct {
	t                     *testing.T
	http, udp, grpc, otlp string
	senders               sync.Map // account by address of the sender of datagrams
}

// Authenticate trusts a header, and for datagrams the address.
func (s *shared) Authenticate(_ context.Context, c identity.Call) (identity.Principal, error) {
	account := ""
	if c.Request != nil {
		account = c.Request.Header.Get(accountHeader)
	} else if a, known := s.senders.Load(c.Source); known {
		account = a.(string)
	}
	if regions[account] == "" {
		return identity.Principal{}, trace.Errorf(trace.KindDenied, "nobody knows who asks for %s", c.Action)
	}
	return identity.Principal{Owner: trace.Owner{Account: trace.Account(account), Region: regions[account]}, Name: account, Proof: "test"}, nil
}

// startShared runs a server in this process until the test ends.
func startShared(t *testing.T, flags ...string) *shared {
	t.Helper()
	return startSharedWith(t, nil, flags...)
}

// startSharedWith is like startShared, with more options.
func startSharedWith(t *testing.T, options []serving.Option, flags ...string) *shared {
	t.Helper()
	s := &shared{t: t, http: harness.FreePort(t), grpc: harness.FreePort(t), otlp: harness.FreePort(t)}
	s.udp = s.http
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Register(set)
	if err := set.Parse(append(flags, "--data", t.TempDir(), "--http", s.http, "--udp", s.udp, "--otlp-grpc", s.grpc, "--otlp-http", s.otlp)); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(set, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- serving.Run(ctx, c, io.Discard, t.Output(), append([]serving.Option{serving.WithAuthenticator(s)}, options...)...)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	harness.Eventually(t, "the server answers", func() bool {
		res, err := http.Get("http://" + s.http + "/readyz")
		if err != nil {
			return false
		}
		return res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	return s
}

// call makes a request as an account and returns status and body. A body that is not
// text is sent as JSON.
func (s *shared) call(account, method, url string, body any) (int, string) {
	s.t.Helper()
	sent, ok := body.(string)
	if !ok && body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		sent = string(b)
	}
	r, err := http.NewRequest(method, url, strings.NewReader(sent))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(accountHeader, account)
	if account, own := strings.CutSuffix(account, " only own"); own {
		r.Header.Set(accountHeader, account)
		r.Header.Set("X-Fluoro-Linked-Accounts", "exclude")
	}
	if account, hidden, limited := strings.Cut(account, " without "); limited {
		r.Header.Set(accountHeader, account)
		r.Header.Set(hiddenHeader, hidden)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// must makes a request on the HTTP address that must return 200.
func (s *shared) must(account, method, path string, body any) string {
	s.t.Helper()
	status, answer := s.call(account, method, "http://"+s.http+path, body)
	if status != http.StatusOK {
		s.t.Fatalf("%s as %s: %d %s", path, account, status, answer)
	}
	return answer
}

// field reads a member of a JSON answer by its path of names.
func (s *shared) field(answer string, path ...string) string {
	s.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(answer), &v); err != nil {
		s.t.Fatal(err, answer)
	}
	for _, name := range path {
		v = v.(map[string]any)[name]
	}
	return fmt.Sprint(v)
}

// spans returns an OTLP request with one span of a service.
func (s *shared) spans(service string, id byte) *coltrace.ExportTraceServiceRequest {
	now := uint64(time.Now().UnixNano())
	value := func(text string) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: text}}
	}
	return &coltrace.ExportTraceServiceRequest{ResourceSpans: []*otlptrace.ResourceSpans{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: value(service)}}},
		ScopeSpans: []*otlptrace.ScopeSpans{{Spans: []*otlptrace.Span{{
			TraceId: bytes.Repeat([]byte{id}, 16), SpanId: bytes.Repeat([]byte{id}, 8), Name: service, Kind: otlptrace.Span_SPAN_KIND_SERVER,
			StartTimeUnixNano: now - 2e9, EndTimeUnixNano: now - 1e9,
		}}}},
	}}}
}

// spansJSON returns the same as OTLP/JSON.
func (s *shared) spansJSON(service string, id byte) any {
	now := time.Now().UnixNano()
	return m{"resourceSpans": []m{{
		"resource": m{"attributes": otlpAttributes("service.name", service)},
		"scopeSpans": []m{{"spans": []m{{
			"traceId": strings.Repeat(fmt.Sprintf("%02x", id), 16), "spanId": strings.Repeat(fmt.Sprintf("%02x", id), 8), "name": service, "kind": 2,
			"startTimeUnixNano": fmt.Sprint(now - 2e9), "endTimeUnixNano": fmt.Sprint(now - 1e9),
		}}}},
	}}}
}

// export sends spans by gRPC.
func (s *shared) export(account string, req *coltrace.ExportTraceServiceRequest) error {
	conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(context.Background(), accountHeader, account)
	_, err = coltrace.NewTraceServiceClient(conn).Export(ctx, req)
	return err
}

// datagram sends a document and waits until it is counted, as accepted or refused.
func (s *shared) datagram(account, document string) {
	s.t.Helper()
	conn, err := net.Dial("udp", s.udp)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	s.senders.Store(conn.LocalAddr().String(), account)
	asked := account
	if account == nobody {
		asked = operator // sees datagrams of unknown senders
	}
	counted := func() int { return strings.Count(s.must(asked, "GET", "/console/api/status", nil), `"protocol":"udp"`) }
	before := counted()
	if _, err := fmt.Fprintf(conn, "{\"format\":\"json\",\"version\":1}\n%s", document); err != nil {
		s.t.Fatal(err)
	}
	harness.Eventually(s.t, "the datagram is counted", func() bool { return counted() > before })
}

// news opens the live stream of an account and returns its events.
func (s *shared) news(ctx context.Context, account string) <-chan string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.http+"/console/api/live", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	account, hidden, _ := strings.Cut(account, " without ")
	r.Header.Set(accountHeader, account)
	r.Header.Set(hiddenHeader, hidden)
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatal(res, err)
	}
	out := make(chan string, 100)
	go func() {
		defer res.Body.Close()
		b := make([]byte, 1<<16)
		for {
			n, err := res.Body.Read(b)
			if err != nil {
				return
			}
			if text := string(b[:n]); strings.Contains(text, "event:") {
				out <- text
			}
		}
	}()
	return out
}

// Requests without an identity are refused on every route except those for everyone, in
// the words of each protocol, and counted.
func TestAccounts_whoIsNobodyIsRefused(t *testing.T) {
	s := startShared(t)
	for _, r := range serving.Routes() {
		name := r.Method + " " + r.Path
		if r.Listeners == "otlp-grpc" {
			if err := s.export(nobody, s.spans("x", 1)); !strings.Contains(fmt.Sprint(err), "PermissionDenied desc = nobody knows who asks for xray:PutSpans") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if r.Method == "UDP" {
			s.datagram(nobody, "{}")
			continue
		}
		for listener, at := range map[string]string{"otlp-http": s.otlp, "http": s.http} {
			if !strings.Contains(r.Listeners, listener) || listener == "http" && r.Listeners == "otlp-http" {
				continue
			}
			status, answer := s.call(nobody, r.Method, "http://"+at+r.Path, "{}")
			switch {
			case r.Action == "" && (r.Method == http.MethodPost || strings.HasPrefix(r.Path, "/login/")):
				// Logins: the proof is in the request, and here there is none.
				if status >= http.StatusInternalServerError || strings.Contains(answer, operator) {
					t.Errorf("%s: %d %s", name, status, answer)
				}
			case r.Action == "":
				if status != http.StatusOK {
					t.Errorf("%s: %d %s", name, status, answer)
				}
			case r.Unsigned: // without a token in the request, either
				if status < http.StatusBadRequest || status >= http.StatusInternalServerError {
					t.Errorf("%s: %d %s", name, status, answer)
				}
			case status != http.StatusForbidden || !strings.Contains(answer, "nobody knows who asks for "+r.Action):
				t.Errorf("%s at %s: %d %s", name, listener, status, answer)
			}
		}
	}
	report := s.must(operator, "GET", "/console/api/status", nil)
	for _, protocol := range []string{"udp", "xray", "otlp-http"} {
		if !strings.Contains(report, fmt.Sprintf(`{"protocol":%q,"outcome":"rejected","reason":"Identity","source":"127.0.0.1"`, protocol)) {
			t.Errorf("%s is not counted: %s", protocol, report)
		}
	}
	if report := s.must(first, "GET", "/console/api/status", nil); strings.Contains(report, "Identity") {
		t.Errorf("another account sees: %s", report)
	}
}

// question returns a console query about an hour.
func question(name string, at time.Time, more ...string) string {
	q := url.Values{"start": {fmt.Sprint(at.Unix() - 600)}, "end": {fmt.Sprint(at.Unix() + 600)}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "/console/api/" + name + "?" + q.Encode()
}
