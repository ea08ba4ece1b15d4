package otlp_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/render"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// attributes makes KeyValues of pairs of name and string, int, bool or float64.
func attributes(pairs ...any) []*commonpb.KeyValue {
	var out []*commonpb.KeyValue
	for i := 0; i < len(pairs); i += 2 {
		v := new(commonpb.AnyValue)
		switch x := pairs[i+1].(type) {
		case string:
			v.Value = &commonpb.AnyValue_StringValue{StringValue: x}
		case int:
			v.Value = &commonpb.AnyValue_IntValue{IntValue: int64(x)}
		case bool:
			v.Value = &commonpb.AnyValue_BoolValue{BoolValue: x}
		case float64:
			v.Value = &commonpb.AnyValue_DoubleValue{DoubleValue: x}
		case []string:
			a := new(commonpb.ArrayValue)
			for _, s := range x {
				a.Values = append(a.Values, &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}})
			}
			v.Value = &commonpb.AnyValue_ArrayValue{ArrayValue: a}
		case *commonpb.AnyValue:
			v = x
		default:
			panic(fmt.Sprintf("attribute of type %T", x))
		}
		out = append(out, &commonpb.KeyValue{Key: pairs[i].(string), Value: v})
	}
	return out
}

// shopRequest returns a request of n spans of 20 services, as a collector batches them:
// server, client, SQL, cache, AWS, messaging and internal spans in turn.
func shopRequest(n int) *coltracepb.ExportTraceServiceRequest {
	rnd := rand.New(rand.NewPCG(7, 7))
	id := func(size int) []byte {
		b := make([]byte, size)
		for i := 0; i < size; i += 8 {
			binary.BigEndian.PutUint64(b[i:], rnd.Uint64()|1)
		}
		return b
	}
	req := new(coltracepb.ExportTraceServiceRequest)
	for svc := range 20 {
		name := fmt.Sprintf("service-%02d", svc)
		scope := &tracepb.ScopeSpans{Scope: &commonpb.InstrumentationScope{Name: "io.opentelemetry.instrumentation.http", Version: "2.1.0"}}
		for i := range n / 20 {
			start := 1_795_000_000_000_000_000 + rnd.Uint64N(1e12)
			s := &tracepb.Span{TraceId: id(16), SpanId: id(8), ParentSpanId: id(8), StartTimeUnixNano: start, EndTimeUnixNano: start + rnd.Uint64N(1e9), Flags: 0x101}
			shopSpan(s, name, i, rnd)
			scope.Spans = append(scope.Spans, s)
		}
		req.ResourceSpans = append(req.ResourceSpans, &tracepb.ResourceSpans{
			Resource: &resourcepb.Resource{Attributes: attributes(
				"service.name", name, "service.version", "1.4.2", "service.namespace", "shop", "cloud.provider", "aws", "cloud.platform", "aws_eks",
				"cloud.region", "eu-central-1", "cloud.availability_zone", "eu-central-1a", "cloud.account.id", "123456789012", "host.id", "i-0123456789abcdef0",
				"k8s.cluster.name", "shop-prod", "k8s.pod.name", name+"-7c9d", "telemetry.sdk.name", "opentelemetry", "telemetry.sdk.language", "go", "telemetry.sdk.version", "1.38.0")},
			ScopeSpans: []*tracepb.ScopeSpans{scope},
		})
	}
	return req
}

func shopSpan(s *tracepb.Span, service string, i int, rnd *rand.Rand) {
	number := rnd.IntN(1e9)
	switch i % 5 {
	case 0:
		s.Name, s.Kind = "GET /api/v1/orders/{id}", tracepb.Span_SPAN_KIND_SERVER
		s.Attributes = attributes("http.request.method", "GET", "http.route", "/api/v1/orders/{id}", "url.path", fmt.Sprintf("/api/v1/orders/%d", number), "url.scheme", "https",
			"http.response.status_code", 200, "user_agent.original", "okhttp/4.12.0", "client.address", "20.1.2.3", "network.protocol.version", "1.1", "app.tenant", "tenant-0042")
	case 1:
		s.Name, s.Kind = "GET", tracepb.Span_SPAN_KIND_CLIENT
		s.Attributes = attributes("http.request.method", "GET", "url.full", fmt.Sprintf("http://stock.shop.svc.cluster.local:8080/api/v1/stock/%d?v=2", number),
			"server.address", "stock.shop.svc.cluster.local", "server.port", 8080, "http.response.status_code", 200, "network.protocol.version", "1.1")
	case 2:
		s.Name, s.Kind = "SELECT shop.orders", tracepb.Span_SPAN_KIND_CLIENT
		s.Attributes = attributes("db.system.name", "postgresql", "db.namespace", "shop", "db.operation.name", "SELECT", "db.collection.name", "orders",
			"db.query.text", "SELECT id, status, amount FROM orders WHERE tenant_id = $1 AND id = $2 ORDER BY created_at DESC LIMIT 50", "server.address", service+"-db.eu-central-1.rds.amazonaws.com", "server.port", 5432, "db.response.returned_rows", 7)
	case 3:
		s.Name, s.Kind = "DynamoDB.GetItem", tracepb.Span_SPAN_KIND_CLIENT
		s.Attributes = attributes("rpc.system", "aws-api", "rpc.service", "DynamoDB", "rpc.method", "GetItem", "aws.dynamodb.table_names", []string{"shop-orders"}, "aws.request_id", fmt.Sprintf("%032x", number), "http.response.status_code", 200, "cloud.region", "eu-central-1")
	default:
		s.Name, s.Kind = "Validate", tracepb.Span_SPAN_KIND_INTERNAL
		s.Attributes = attributes("code.function.name", "com.shop.Service.Validate", "code.line.number", 42, "thread.name", "worker-7", "app.tenant", "tenant-0042", "app.entity_id", fmt.Sprint(number), "app.feature_flag", "variant-a")
		if i%100 == 4 {
			s.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}
			s.Events = []*tracepb.Span_Event{{Name: "exception", Attributes: attributes("exception.type", "TimeoutError", "exception.message", "deadline exceeded",
				"exception.stacktrace", "goroutine 1843 [running]:\nshop/rpc.(*Client).Do(0xc0002a6000)\n\t/src/rpc/client.go:211 +0x1f4\nnet/http.HandlerFunc.ServeHTTP()\n\t/usr/local/go/src/net/http/server.go:2171 +0x29\n")}}
		}
	}
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var sink []*trace.Segment

func perSpan(b *testing.B, spans int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*spans), "ns/span")
}

func BenchmarkProto(b *testing.B) {
	body := marshal(b, shopRequest(1000))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		spans, err := otlp.Proto(body, at)
		if err != nil || spans.Spans != 1000 {
			b.Fatal(err)
		}
		sink = spans.Segments
	}
	perSpan(b, 1000)
}

// The same with the generated code, for comparison: only the messages, no segments.
func BenchmarkProto_generated(b *testing.B) {
	body := marshal(b, shopRequest(1000))
	b.ReportAllocs()
	for b.Loop() {
		if err := proto.Unmarshal(body, new(coltracepb.ExportTraceServiceRequest)); err != nil {
			b.Fatal(err)
		}
	}
	perSpan(b, 1000)
}

func BenchmarkRestore_spans(b *testing.B) {
	spans, err := otlp.Proto(marshal(b, shopRequest(1000)), at)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range spans.Segments {
			if _, err := decode.Restore(s.Source, s.Raw, s.Scope, s.Part, at); err != nil {
				b.Fatal(err)
			}
		}
	}
	perSpan(b, len(spans.Segments))
}

func BenchmarkRender(b *testing.B) {
	spans, err := otlp.Proto(marshal(b, shopRequest(1000)), at)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range spans.Segments {
			if _, err := render.Text(s, false); err != nil {
				b.Fatal(err)
			}
		}
	}
	perSpan(b, len(spans.Segments))
}
