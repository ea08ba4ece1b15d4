package receive_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// keeper keeps segments in memory, or fails.
type keeper struct {
	mu       sync.Mutex
	segments []*trace.Segment
	fail     error
}

func (k *keeper) Append(_ context.Context, _ trace.Account, batch []*trace.Segment) ([]trace.Refused, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return nil, k.fail
	}
	k.segments = append(k.segments, batch...)
	return nil, nil
}

func (k *keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.segments)
}

func newIntake(t *testing.T, maxInFlight int64) (*receive.Intake, *keeper, *receive.Tally) {
	t.Helper()
	tally, _ := newTally(t)
	k := &keeper{}
	return receive.New(receive.Options{Store: k, Tally: tally, MaxInFlight: maxInFlight}), k, tally
}

// as replaces the door before a handler: all requests belong to one account.
func as(account trace.Account, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := identity.Principal{Owner: trace.Owner{Account: account}}
		h.ServeHTTP(w, r.WithContext(identity.With(r.Context(), p)))
	})
}

func anybody(string) (identity.Principal, error) {
	return identity.Principal{Owner: trace.Owner{Account: "0"}}, nil
}

func spansTo(in *receive.Intake) http.Handler { return as("0", receive.NewOTLPHTTP(in, 64<<20)) }

func document(i int) string {
	return fmt.Sprintf(`{"name":"api","id":"%016x","trace_id":"1-5f84c7a1-%024x","start_time":1.5,"end_time":2}`, i+1, i+1)
}

func reasons(tally *receive.Tally) string {
	var out []string
	for _, c := range tally.Counts("0") {
		out = append(out, fmt.Sprintf("%s/%s/%s=%d", c.Protocol, c.Outcome, c.Reason, c.Count))
	}
	return strings.Join(out, " ")
}

func TestIntake_keepsTheGoodDocumentsOfABatch(t *testing.T) {
	in, k, tally := newIntake(t, 0)
	refused, err := in.Documents(t.Context(), "0", "127.0.0.1:1", [][]byte{[]byte(document(1)), []byte(`{"id":"bad"}`), []byte(`[`), []byte(document(2))})
	if err != nil || len(refused) != 2 || k.count() != 2 {
		t.Fatalf("%v, %v, %d kept", refused, err, k.count())
	}
	if k.segments[0].ReceivedAt == 0 || k.segments[0].ReceivedAt != k.segments[1].ReceivedAt {
		t.Error("the documents of one request must share one stamp")
	}
	if _, err := in.Documents(t.Context(), "0", "", [][]byte{[]byte(document(3))}); err != nil || k.segments[2].ReceivedAt <= k.segments[0].ReceivedAt {
		t.Error("stamps of requests must rise")
	}
	if got := reasons(tally); got != "xray/accepted/=3 xray/rejected/InvalidId=1 xray/rejected/ParseError=1" {
		t.Errorf("tally %s", got)
	}
}

func TestIntake_refusesWhatDoesNotFit(t *testing.T) {
	in, k, tally := newIntake(t, 5000)
	release, err := in.Admit(4900)
	if err != nil {
		t.Fatal(err)
	}
	_, err = in.Documents(t.Context(), "0", "", [][]byte{[]byte(document(1))})
	if trace.KindOf(err) != trace.KindThrottled || k.count() != 0 || in.InFlight() != 4900 {
		t.Errorf("%v, %d kept, %d in flight", err, k.count(), in.InFlight())
	}
	release()
	if got := reasons(tally); got != "xray/throttled/Throttled=1" {
		t.Errorf("tally %s", got)
	}
	if _, err := in.Documents(t.Context(), "0", "", [][]byte{[]byte(document(1))}); err != nil || k.count() != 1 || in.InFlight() != 0 {
		t.Errorf("with room: %v, %d kept, %d in flight", err, k.count(), in.InFlight())
	}
}

// A request that never fits is refused permanently: trying again would not help.
func TestIntake_refusesWhatNeverFits(t *testing.T) {
	in, k, tally := newIntake(t, 800)
	_, err := in.Documents(t.Context(), "0", "", [][]byte{[]byte(document(1))})
	if trace.KindOf(err) != trace.KindTooLarge || k.count() != 0 || in.InFlight() != 0 {
		t.Errorf("%v, %d kept, %d in flight", err, k.count(), in.InFlight())
	}
	if got := reasons(tally); got != "xray/rejected/TooLarge=1" {
		t.Errorf("tally %s", got)
	}
	r := httptest.NewRequest("POST", "/v1/traces", bytes.NewReader(encode(t, request(1))))
	r.Header.Set("Content-Type", "application/x-protobuf")
	w := httptest.NewRecorder()
	spansTo(in).ServeHTTP(w, r)
	if w.Code != 413 || w.Header().Get("Retry-After") != "" || k.count() != 0 || in.InFlight() != 0 {
		t.Errorf("status %d, headers %v, %d in flight", w.Code, w.Header(), in.InFlight())
	}
}

func TestIntake_reportsWhatTheStoreSays(t *testing.T) {
	in, k, tally := newIntake(t, 0)
	k.fail = trace.Errorf(trace.KindUnavailable, "disk full")
	if _, err := in.Documents(t.Context(), "0", "", [][]byte{[]byte(document(1))}); !errors.Is(err, k.fail) {
		t.Errorf("got %v", err)
	}
	if got := reasons(tally); got != "xray/failed/StoreFailed=1" {
		t.Errorf("tally %s", got)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestUDP_keepsDocumentsAndCountsTheRest(t *testing.T) {
	in, k, tally := newIntake(t, 0)
	u, err := receive.ListenUDP("127.0.0.1:0", in, anybody)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- u.Serve() }()
	conn, err := net.Dial("udp", u.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	const header = "{\"format\":\"json\",\"version\":1}\n"
	for i := range 500 {
		fmt.Fprint(conn, header+document(i))
	}
	for _, bad := range []string{"", "x", header, "{\"format\":\"json\",\"version\":2}\n{}", header + "[]", header + document(1)[:50]} {
		if _, err := conn.Write([]byte(bad)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "500 segments and 6 refusals", func() bool {
		var rejected int64
		for _, c := range tally.Counts("0") {
			if c.Outcome == receive.OutcomeRejected {
				rejected += c.Count
			}
		}
		return k.count() == 500 && rejected == 6
	})
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := reasons(tally); got != "udp/accepted/=500 udp/rejected/InvalidHeader=1 udp/rejected/MissingBody=1 udp/rejected/MissingHeader=2 udp/rejected/ParseError=2" {
		t.Errorf("tally %s", got)
	}
}

func TestUDP_busyAddress(t *testing.T) {
	in, _, _ := newIntake(t, 0)
	u, err := receive.ListenUDP("127.0.0.1:0", in, anybody)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := receive.ListenUDP(u.Addr().String(), in, anybody); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}

func request(ids ...byte) *coltrace.ExportTraceServiceRequest {
	spans := make([]*otlptrace.Span, len(ids))
	for i, id := range ids {
		spans[i] = &otlptrace.Span{TraceId: bytes.Repeat([]byte{id}, 16), SpanId: bytes.Repeat([]byte{id}, 8), Name: "op", StartTimeUnixNano: 1, EndTimeUnixNano: 2}
	}
	return &coltrace.ExportTraceServiceRequest{ResourceSpans: []*otlptrace.ResourceSpans{{ScopeSpans: []*otlptrace.ScopeSpans{{Spans: spans}}}}}
}

func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func zipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOTLPHTTP(t *testing.T) {
	const pb, js = "application/x-protobuf", "application/json"
	good := encode(t, request(1, 2))
	for _, c := range []struct {
		name, method, typ, encoding string
		body                        []byte
		status, kept                int
		answer                      string
	}{
		{"protobuf", "POST", pb, "", good, 200, 2, ""},
		{"gzip", "POST", pb, "gzip", zipped(t, good), 200, 2, ""},
		{"JSON", "POST", js + "; charset=utf-8", "", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"op","startTimeUnixNano":"1","endTimeUnixNano":2}]}]}]}`), 200, 1, ""},
		{"empty", "POST", pb, "", nil, 200, 0, ""},
		{"partial success", "POST", pb, "", encode(t, request(1, 0)), 200, 1, "partial"},
		{"other data", "POST", js, "", []byte(`{"resourceLogs":[{"scopeLogs":[{"traceId":"1","spanId":"2"}]}]}`), 200, 0, "partial"},
		{"not protobuf", "POST", pb, "", []byte("{}xxx"), 400, 0, "status"},
		{"not JSON", "POST", js, "", []byte("{"), 400, 0, "status"},
		{"not gzip", "POST", pb, "gzip", good, 400, 0, "status"},
		{"cut gzip", "POST", pb, "gzip", zipped(t, good)[:20], 400, 0, "status"},
		{"other encoding", "POST", pb, "br", good, 415, 0, "status"},
		{"other type", "POST", "text/plain", "", good, 415, 0, ""},
		{"other method", "GET", pb, "", nil, 405, 0, ""},
		{"bomb", "POST", pb, "gzip", zipped(t, make([]byte, 70<<20)), 413, 0, "status"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, k, _ := newIntake(t, 1<<30)
			r := httptest.NewRequest(c.method, "/v1/traces", bytes.NewReader(c.body))
			r.Header.Set("Content-Type", c.typ)
			r.Header.Set("Content-Encoding", c.encoding)
			w := httptest.NewRecorder()
			spansTo(in).ServeHTTP(w, r)
			if w.Code != c.status || k.count() != c.kept || in.InFlight() != 0 {
				t.Fatalf("status %d, %d kept, %d in flight: %q", w.Code, k.count(), in.InFlight(), w.Body)
			}
			typ, _, _ := strings.Cut(c.typ, ";")
			if c.status != 405 && c.status != 415 && w.Header().Get("Content-Type") != typ {
				t.Errorf("answer is %q, want the request's %q", w.Header().Get("Content-Type"), typ)
			}
			switch c.answer {
			case "partial":
				var res coltrace.ExportTraceServiceResponse
				unmarshal := proto.Unmarshal
				if typ == js {
					unmarshal = protojson.Unmarshal
				}
				if err := unmarshal(w.Body.Bytes(), &res); err != nil || res.GetPartialSuccess().GetRejectedSpans() != 1 || res.GetPartialSuccess().GetErrorMessage() == "" {
					t.Errorf("answer %v, %v", &res, err)
				}
			case "status":
				s := status.New(codes.OK, "").Proto()
				unmarshal := proto.Unmarshal
				if typ == js {
					unmarshal = protojson.Unmarshal
				}
				if err := unmarshal(w.Body.Bytes(), s); err != nil || s.GetCode() != int32(codes.InvalidArgument) || s.GetMessage() == "" {
					t.Errorf("answer %v, %v", s, err)
				}
			}
		})
	}
}

func TestOTLPHTTP_overload(t *testing.T) {
	in, k, tally := newIntake(t, 20_000)
	if _, err := in.Admit(19_500); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v1/traces", bytes.NewReader(encode(t, request(1))))
	r.Header.Set("Content-Type", "application/x-protobuf")
	w := httptest.NewRecorder()
	spansTo(in).ServeHTTP(w, r)
	if w.Code != 429 || w.Header().Get("Retry-After") == "" || k.count() != 0 {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
	if got := reasons(tally); got != "otlp-http/throttled/Throttled=1" {
		t.Errorf("tally %s", got)
	}
}

func TestOTLPHTTP_halfABodyIsNotKept(t *testing.T) {
	in, k, tally := newIntake(t, 0)
	s := httptest.NewServer(spansTo(in))
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100\r\n\r\nhalf")
	conn.Close()
	eventually(t, "refused and nothing in flight", func() bool { return len(tally.Refused("0")) == 1 && in.InFlight() == 0 })
	if k.count() != 0 {
		t.Error("half a body was kept")
	}
}

func TestOTLPGRPC(t *testing.T) {
	in, k, _ := newIntake(t, 0)
	server := receive.GRPCServer(as("0", receive.NewOTLPGRPC(in, 64<<20)), false)
	at, err := receive.ListenTCP("OTLP/gRPC", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(at) }()
	defer server.Close()
	conn, err := grpc.NewClient(at.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := coltrace.NewTraceServiceClient(conn)
	if res, err := client.Export(t.Context(), request(1, 2, 0)); err != nil || res.GetPartialSuccess().GetRejectedSpans() != 1 || k.count() != 2 {
		t.Errorf("%v, %v, %d kept", res, err, k.count())
	}
	if _, err := client.Export(t.Context(), request(3), grpc.UseCompressor(grpcgzip.Name)); err != nil || k.count() != 3 {
		t.Errorf("gzip: %v, %d kept", err, k.count())
	}
	for kind, want := range map[trace.Kind]codes.Code{trace.KindThrottled: codes.ResourceExhausted, trace.KindUnavailable: codes.Unavailable, trace.KindInternal: codes.Internal} {
		k.fail = trace.Errorf(kind, "no")
		_, err := client.Export(t.Context(), request(4))
		if s, _ := status.FromError(err); s.Code() != want || (want != codes.Internal) != (len(s.Details()) == 1) {
			t.Errorf("%v: %v with %v", kind, err, s.Details())
		}
	}
	if err := conn.Invoke(t.Context(), "/opentelemetry.proto.collector.trace.v1.TraceService/Nothing", request(), request()); status.Code(err) != codes.Unimplemented {
		t.Errorf("unknown method: %v", err)
	}
}
