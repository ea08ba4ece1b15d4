package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/demo"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// seen is an item that the shop sent: a segment, subsegment or span.
type seen struct {
	protocol, service, name, version string
	trace, id, parent                string
	seconds                          float64
	status                           int
	fault                            bool
}

// receiver receives the shop's traces.
type receiver struct {
	coltrace.UnimplementedTraceServiceServer
	mu       sync.Mutex
	all      []seen
	udp      net.PacketConn
	grpcAddr string
	httpAddr string
}

func listen(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	var err error
	if r.udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.udp.Close() })
	go r.datagrams()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(server, r)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	r.grpcAddr = l.Addr().String()
	h, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(q.Body)
		var req coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(b.Bytes(), &req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.spans(&req, "otlp-http")
	})}
	go func() { _ = web.Serve(h) }()
	t.Cleanup(func() { web.Close() })
	r.httpAddr = h.Addr().String()
	return r
}

func (r *receiver) Export(_ context.Context, req *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	r.spans(req, "otlp-grpc")
	return &coltrace.ExportTraceServiceResponse{}, nil
}

func (r *receiver) spans(req *coltrace.ExportTraceServiceRequest, protocol string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range req.ResourceSpans {
		attrs := map[string]string{}
		for _, kv := range rs.Resource.Attributes {
			attrs[kv.Key] = kv.Value.GetStringValue()
		}
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				status := 0
				for _, kv := range s.Attributes {
					if kv.Key == "http.response.status_code" {
						status = int(kv.Value.GetIntValue())
					}
				}
				r.all = append(r.all, seen{protocol, attrs["service.name"], s.Name, attrs["service.version"], fmt.Sprintf("%x", s.TraceId), fmt.Sprintf("%x", s.SpanId), fmt.Sprintf("%x", s.ParentSpanId),
					float64(s.EndTimeUnixNano-s.StartTimeUnixNano) / 1e9, status, s.GetStatus().GetCode() == otlptrace.Status_STATUS_CODE_ERROR})
			}
		}
	}
}

// segment holds the members of a document that the test reads.
type segment struct {
	Name     string
	ID       string
	TraceID  string `json:"trace_id"`
	ParentID string `json:"parent_id"`
	Fault    bool
	Start    float64 `json:"start_time"`
	End      float64 `json:"end_time"`
	Service  struct{ Version string }
	HTTP     struct{ Response struct{ Status int } }
	Subs     []segment `json:"subsegments"`
}

func (r *receiver) datagrams() {
	buf := make([]byte, 1<<16)
	for {
		n, _, err := r.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		_, body, _ := bytes.Cut(buf[:n], []byte("\n"))
		var s segment
		if json.Unmarshal(body, &s) == nil {
			r.mu.Lock()
			r.segment(s, s.Name, strings.ReplaceAll(strings.TrimPrefix(s.TraceID, "1-"), "-", ""), s.ParentID)
			r.mu.Unlock()
		}
	}
}

func (r *receiver) segment(s segment, service, trace, parent string) {
	r.all = append(r.all, seen{"udp", service, s.Name, s.Service.Version, trace, s.ID, parent, s.End - s.Start, s.HTTP.Response.Status, s.Fault})
	for _, sub := range s.Subs {
		r.segment(sub, service, trace, s.ID)
	}
}

// until waits until the received items satisfy a condition.
func (r *receiver) until(t *testing.T, what string, ok func([]seen) bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r.mu.Lock()
		done := ok(r.all)
		r.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within 40 s: %s", what)
		}
	}
}

func contains(want func(seen) bool) func([]seen) bool {
	return func(all []seen) bool {
		for _, s := range all {
			if want(s) {
				return true
			}
		}
		return false
	}
}

// safeBuffer holds the shop's output.
type safeBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestRun_shopAndSwitches(t *testing.T) {
	r := listen(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &safeBuffer{}
	control := freePort(t)
	done := make(chan error, 1)
	go func() {
		done <- demo.Run(ctx, demo.Options{XRayAddr: r.udp.LocalAddr().String(), OTLPGRPC: r.grpcAddr, OTLPHTTP: r.httpAddr, Control: control, Rate: 40, Seed: 1, Out: out, Console: "http://console"})
	}()
	r.until(t, "seven services over three protocols", func(all []seen) bool {
		services, protocols := map[string]bool{}, map[string]bool{}
		for _, s := range all {
			services[s.service], protocols[s.protocol] = true, true
		}
		return len(services) >= 7 && len(protocols) == 3
	})
	r.until(t, "one trace through X-Ray SDK and OpenTelemetry, joined by parent ids", func(all []seen) bool {
		byID := map[string]seen{}
		for _, s := range all {
			byID[s.trace+s.id] = s
		}
		crossed := map[string]bool{}
		for _, s := range all {
			if p, ok := byID[s.trace+s.parent]; ok && (p.protocol == "udp") != (s.protocol == "udp") {
				crossed[s.service] = true
			}
		}
		return crossed["catalog"] && crossed["payments"] && crossed["inventory"] && crossed["recommendations"]
	})
	for _, c := range []struct {
		name  string
		shows func(seen) bool
	}{
		{"slow-query", func(s seen) bool { return s.service == "catalog" && s.name == "SELECT products" && s.seconds > 0.1 }},
		{"faults", func(s seen) bool { return s.service == "checkout" && s.fault }},
		{"throttle", func(s seen) bool { return s.service == "checkout" && s.status == 429 }},
		{"bad-deploy", func(s seen) bool { return s.service == "recommendations" && s.version == "2.0.0" }},
	} {
		res, err := http.Post("http://"+control+"/switch/"+c.name+"?on=true", "", nil)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v, %v", c.name, res, err)
		}
		res.Body.Close()
		r.until(t, "what "+c.name+" does", contains(c.shows))
	}
	for path, want := range map[string]int{"/switch/nothing?on=true": 404, "/switch/faults?on=perhaps": 400} {
		if res, err := http.Post("http://"+control+path, "", nil); err != nil || res.StatusCode != want {
			t.Errorf("%s: %v, %v", path, res, err)
		}
	}
	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the shop did not close")
	}
	for _, want := range []string{"http://console", "storefront", "slow-query", "closed: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the output:\n%s", want, out)
		}
	}
}

func TestRun_refuses(t *testing.T) {
	r := listen(t)
	good := demo.Options{XRayAddr: r.udp.LocalAddr().String(), OTLPGRPC: r.grpcAddr, OTLPHTTP: r.httpAddr, Rate: 1}
	for name, c := range map[string]struct {
		change func(*demo.Options)
		want   string
	}{
		"switch":    {func(o *demo.Options) { o.Break = []string{"everything"} }, "slow-query, faults, throttle, bad-deploy"},
		"rate":      {func(o *demo.Options) { o.Rate = 0 }, "rate is 0"},
		"no server": {func(o *demo.Options) { o.OTLPGRPC = freePort(t) }, "is `fluoro serve` running?"},
		"busy port": {func(o *demo.Options) { o.Control = r.httpAddr }, "in use"},
	} {
		o := good
		c.change(&o)
		if err := demo.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}
