package scrub

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

func str(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

func num(key string, value int64) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: value}}}
}

// ofDefaults compiles the default rules and others.
func ofDefaults(t testing.TB, more ...Rule) *Program {
	t.Helper()
	for i := range more {
		if err := more[i].Check(); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Compile(append(Defaults(), more...), []byte("a key of 32 bytes, one per account"), func(string) *atomic.Int64 { return new(atomic.Int64) })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// generated makes a request like those of the generator in test/bench: 20 spans a
// resource, 7 attributes a span.
func generated(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	req := &coltrace.ExportTraceServiceRequest{}
	for at := 0; at < n; at += 20 {
		var list []*otlptrace.Span
		for range 20 {
			id := fmt.Appendf(nil, "%016x", rnd.Uint64())
			list = append(list, &otlptrace.Span{
				TraceId: id, SpanId: id[:8], ParentSpanId: id[8:], Name: "GET /items/{id}", Kind: otlptrace.Span_SPAN_KIND_CLIENT,
				StartTimeUnixNano: 1764426056123456789, EndTimeUnixNano: 1764426056223456789,
				Attributes: []*common.KeyValue{
					str("http.request.method", "GET"), str("url.full", "http://storefront/items/order-3w5e11264sgsf"), num("http.response.status_code", 200),
					str("server.address", "catalog"), str("user.id", "user-12345"), str("app.order", "order-3w5e11264sgsf"), str("app.tier", "gold"),
				},
			})
		}
		req.ResourceSpans = append(req.ResourceSpans, &otlptrace.ResourceSpans{
			Resource: &resource.Resource{Attributes: []*common.KeyValue{
				str("service.name", "storefront"), str("service.version", "1.4.2"), str("service.instance.id", "storefront-7d9c6b5f4-x2x9z"),
				str("telemetry.sdk.name", "opentelemetry"), str("telemetry.sdk.language", "go"), str("telemetry.sdk.version", "1.47.0"),
				str("k8s.namespace.name", "shop"), str("k8s.node.name", "node-3"), str("host.name", "node-3"), str("deployment.environment", "prod"),
			}},
			ScopeSpans: []*otlptrace.ScopeSpans{{Scope: &common.InstrumentationScope{Name: "shop/http", Version: "0.9"}, Spans: list}},
		})
	}
	b, err := proto.Marshal(req)
	if err != nil {
		panic(err)
	}
	return b
}

// cpu returns a function that tells the processor time since now: other processes on the
// machine do not count.
func cpu(b *testing.B) func() time.Duration {
	now := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := now()
	return func() time.Duration { return now() - start }
}

func BenchmarkRequest(b *testing.B) {
	p, body := ofDefaults(b), generated(1000)
	if out := p.Request(body); &out[0] != &body[0] {
		b.Fatal("something was changed")
	}
	b.ReportAllocs()
	used := cpu(b)
	for b.Loop() {
		p.Request(body)
	}
	b.ReportMetric(float64(used())/float64(b.N)/1000, "cpu-ns/span")
}

// document is one of the generator: a segment with a subsegment, two spans.
const document = `{"name":"storefront","id":"70de5b6f19ff9a0a","trace_id":"1-581cf771-a006649127e371903a2de979","start_time":1478293361.271000,"end_time":1478293361.449000,"fault":false,"http":{"request":{"method":"GET","url":"http://storefront/items/order-3w5e11264sgsf"},"response":{"status":200,"content_length":512}},"parent_id":"53995c3f42cd8ad8","origin":"AWS::EC2::Instance","user":"user-12345","annotations":{"order":"order-3w5e11264sgsf","tier":"gold"},"aws":{"xray":{"sdk":"X-Ray for Go","sdk_version":"1.8.5"},"ec2":{"instance_id":"i-0a1b2c3d4e5f","availability_zone":"eu-west-1a"}},"subsegments":[{"name":"catalog","id":"53995c3f42cd8ad9","namespace":"remote","start_time":1478293361.271000,"end_time":1478293361.449000,"fault":false,"http":{"request":{"method":"GET","url":"http://storefront/items/order-3w5e11264sgsf"},"response":{"status":200,"content_length":512}}}]}`

func BenchmarkDocument(b *testing.B) {
	p, doc := ofDefaults(b), []byte(document)
	if out := p.Document(doc); &out[0] != &doc[0] {
		b.Fatal("something was changed")
	}
	b.ReportAllocs()
	used := cpu(b)
	for b.Loop() {
		p.Document(doc)
	}
	b.ReportMetric(float64(used())/float64(b.N)/2, "cpu-ns/span")
}
