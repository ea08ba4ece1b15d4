package otlp_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/render"
	"github.com/fluoro-io/fluoro/internal/trace"
)

var (
	traceID  = []byte{0x66, 0x66, 0x99, 0x80, 0xb3, 0xd1, 0xd8, 0x4e, 0x16, 0xac, 0x2f, 0x7e, 0x15, 0xc3, 0xbd, 0x0a}
	spanID   = []byte{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}
	parentID = []byte{0x53, 0x99, 0x5c, 0x3f, 0x42, 0xcd, 0x8a, 0xd8}
)

// newSpan is a span of 120 ms with attributes.
func newSpan(kind tracepb.Span_SpanKind, pairs ...any) *tracepb.Span {
	return &tracepb.Span{TraceId: traceID, SpanId: spanID, Name: "op", Kind: kind,
		StartTimeUnixNano: 1718000000005000000, EndTimeUnixNano: 1718000000125000001, Attributes: attributes(pairs...)}
}

func child(s *tracepb.Span) *tracepb.Span {
	s.ParentSpanId = parentID
	return s
}

// request puts spans below one resource.
func request(resource []*commonpb.KeyValue, spans ...*tracepb.Span) *coltracepb.ExportTraceServiceRequest {
	return &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: resource},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "lib", Version: "1"}, Spans: spans}},
	}}}
}

func mapped(t testing.TB, m *otlp.Mapper, req *coltracepb.ExportTraceServiceRequest) []*trace.Segment {
	t.Helper()
	spans, err := m.Proto(marshal(t, req), at)
	if err != nil || spans.RejectedSpans != 0 {
		t.Fatal(err, spans.Message())
	}
	return spans.Segments
}

// path reads a value of a rendered document; the last argument may have dots.
func path(doc any, names ...string) any {
	for _, n := range names {
		m, _ := doc.(map[string]any)
		doc = m[n]
	}
	return doc
}

const (
	server   = tracepb.Span_SPAN_KIND_SERVER
	client   = tracepb.Span_SPAN_KIND_CLIENT
	producer = tracepb.Span_SPAN_KIND_PRODUCER
	consumer = tracepb.Span_SPAN_KIND_CONSUMER
	internal = tracepb.Span_SPAN_KIND_INTERNAL
)

// The native profile's names, namespaces and kinds of document.
func TestMapper_nativeNames(t *testing.T) {
	remote := func(s *tracepb.Span, flags uint32) *tracepb.Span { s = child(s); s.Flags = flags; return s }
	long := newSpan(internal)
	long.Name = strings.Repeat("é", 300)
	for _, c := range []struct {
		what       string
		span       *tracepb.Span
		name, ns   string
		subsegment bool
	}{
		{"server", newSpan(server), "shop", "", false},
		{"server of a database", newSpan(server, "db.name", "x"), "shop", "", false},
		{"root internal", newSpan(internal), "shop", "", false},
		{"internal", child(newSpan(internal)), "op", "", true},
		{"root consumer", newSpan(consumer, "net.peer.name", "broker"), "shop", "", false},
		{"consumer below a local span", child(newSpan(consumer, "server.address", "broker")), "op", "", true},
		{"consumer below a remote span", remote(newSpan(consumer), 0x301), "shop", "", false},
		{"consumer below a span known to be local", remote(newSpan(consumer), 0x101), "op", "", true},
		{"client below a remote span", remote(newSpan(client), 0x301), "op", "remote", true},
		{"client by server.address", child(newSpan(client, "server.address", "api.example.com")), "api.example.com", "remote", true},
		{"client by peer.service", child(newSpan(client, "server.address", "a", "peer.service", "billing")), "billing", "remote", true},
		{"client by net.peer.name", child(newSpan(client, "net.peer.name", "old", "server.address", "new")), "old", "remote", true},
		{"database", child(newSpan(client, "db.system.name", "postgresql", "db.namespace", "shop", "server.address", "db-1")), "shop@db-1", "remote", true},
		{"database without host", child(newSpan(client, "db.system", "mysql", "db.name", "shop")), "shop", "remote", true},
		{"database by connection string", child(newSpan(client, "db.name", "shop", "db.connection_string", "jdbc:mysql://h:3306")), "shop@h", "remote", true},
		{"redis", child(newSpan(client, "db.system.name", "redis", "db.namespace", "0", "server.address", "cache")), "cache", "remote", true},
		{"producer", child(newSpan(producer, "messaging.destination.name", "orders", "server.address", "broker")), "orders", "remote", true},
		{"producer without destination", child(newSpan(producer)), "op", "", true},
		{"gRPC", child(newSpan(client, "rpc.service", "pkg.Svc")), "pkg.Svc", "remote", true},
		{"stable gRPC", child(newSpan(client, "rpc.system.name", "grpc", "rpc.method", "pkg.Svc/Do")), "pkg.Svc", "remote", true},
		{"AWS", child(newSpan(client, "rpc.system", "aws-api", "rpc.service", "S3")), "S3", "aws", true},
		{"name without letters", child(func() *tracepb.Span { s := newSpan(internal); s.Name = "*()`"; return s }()), "span", "", true},
		{"long name", child(long), strings.Repeat("é", 200), "", true},
	} {
		t.Run(c.what, func(t *testing.T) {
			segs := mapped(t, new(otlp.Mapper), request(attributes("service.name", "shop"), c.span))
			if len(segs) != 1 {
				t.Fatalf("%d segments", len(segs))
			}
			s := segs[0]
			if s.Name != c.name || s.Namespace != c.ns || s.Independent != c.subsegment || s.Subsegment != c.subsegment {
				t.Errorf("name %q, namespace %q, subsegment %v; want %q, %q, %v", s.Name, s.Namespace, s.Independent, c.name, c.ns, c.subsegment)
			}
			doc := rendered(t, new(otlp.Mapper), segs)[0]
			typ := any(nil)
			if c.subsegment {
				typ = "subsegment"
			}
			if path(doc, "name") != c.name || path(doc, "type") != typ {
				t.Errorf("rendered %v, %v", path(doc, "name"), path(doc, "type"))
			}
		})
	}
}

func TestMapper_nativeURLs(t *testing.T) {
	for _, c := range []struct {
		what string
		span *tracepb.Span
		url  string
	}{
		{"path and query", newSpan(server, "url.scheme", "https", "server.address", "h", "url.path", "/a", "url.query", "b=1"), "https://h/a?b=1"},
		{"port", newSpan(server, "http.request.method", "GET", "server.address", "h", "server.port", 8080), "http://h:8080/"},
		{"default port", newSpan(server, "url.scheme", "https", "server.address", "h", "server.port", 443, "url.path", "/x"), "https://h/x"},
		{"path alone", newSpan(server, "url.path", "/a", "url.query", "b"), "/a?b"},
		{"client", newSpan(client, "http.request.method", "GET", "server.address", "h", "server.port", 81, "url.path", "/p"), "http://h:81/p"},
		{"IPv6", newSpan(client, "url.path", "/", "server.address", "::1", "server.port", 81), "http://[::1]:81/"},
		{"full", newSpan(client, "url.full", "https://x/y?z", "server.address", "h"), "https://x/y?z"},
		{"old target", newSpan(server, "http.host", "h:1", "http.target", "/a?b", "net.host.port", 9), "http://h:1/a?b"},
	} {
		segs := mapped(t, new(otlp.Mapper), request(nil, c.span))
		if got := segs[0].HTTP.URL; got != c.url {
			t.Errorf("%s: %q, want %q", c.what, got, c.url)
		}
	}
}

// Typed segment and rendered document say the same.
// rendering is a copy of a segment with its text in Entity.Raw.
func rendering(m *otlp.Mapper, s *trace.Segment) (*trace.Segment, error) {
	out := *s
	var err error
	out.Entity.Raw, err = render.TextBy(m, s, false)
	return &out, err
}

func TestMapper_typedAndRendered(t *testing.T) {
	span := child(newSpan(client,
		"rpc.system", "aws-api", "rpc.service", "S3", "rpc.method", "GetObject", "aws.s3.bucket", "pictures", "aws.request.id", "R1", "cloud.region", "eu-west-1",
		"aws.xray.sampling_rule", "Default", "http.response.status_code", 429, "http.request.method", "GET", "enduser.id", "ann",
		"http.response.body.size", 77, "network.peer.address", "10.0.0.1",
		"tier", "gold", "n", 3, "f", 0.5, "b", true, "list", []string{"x"}, "aws.xray.annotations", []string{"tier", "n", "f", "b", "list", "nothing"}))
	span.Links = []*tracepb.Span_Link{{TraceId: traceID, SpanId: parentID, TraceState: "k=v"}}
	m := new(otlp.Mapper)
	segs := mapped(t, m, request(attributes("service.name", "shop", "service.version", "7", "cloud.provider", "aws", "cloud.platform", "aws_ec2",
		"cloud.account.id", "123456789012", "host.id", "i-1", "cloud.availability_zone", "eu-west-1a", "cloud.resource_id", "arn:aws:ec2:x"), span))
	s := segs[0]
	want := trace.Entity{
		ID: trace.SegmentID(spanID), ParentID: trace.SegmentID(parentID), Name: "S3", Namespace: "aws", Origin: "AWS::EC2::Instance", User: "ann",
		ResourceARN: "arn:aws:ec2:x", Version: "7", Start: 1718000000005000000, End: 1718000000125000001, Error: true, Throttle: true, Subsegment: true,
		HTTP: trace.HTTP{Method: "GET", Status: 429},
		AWS: &trace.AWS{AccountID: "123456789012", Operation: "GetObject", Region: "eu-west-1", BucketName: "pictures", InstanceID: "i-1",
			AvailabilityZone: "eu-west-1a", SamplingRule: "Default"},
		Annotations: []trace.Annotation{{Key: "tier", Value: trace.Value{Kind: trace.StringValue, String: "gold"}}, {Key: "n", Value: trace.Value{Kind: trace.NumberValue, Number: 3}},
			{Key: "f", Value: trace.Value{Kind: trace.NumberValue, Number: 0.5}}, {Key: "b", Value: trace.Value{Kind: trace.BoolValue, Bool: true}}},
		Links:      []trace.Link{{TraceID: trace.ID(traceID), ID: trace.SegmentID(parentID)}},
		ReceivedAt: at,
		Span:       &trace.Span{Kind: trace.SpanClient, Name: "op", Resource: &trace.Resource{Service: "shop"}},
	}
	if !reflect.DeepEqual(s.Entity, want) {
		t.Errorf("got  %+v\nwant %+v", s.Entity, want)
	}
	doc := rendered(t, m, segs)[0]
	for _, c := range []struct {
		path []string
		want any
	}{
		{[]string{"start_time"}, 1718000000.005}, {[]string{"user"}, "ann"}, {[]string{"resource_arn"}, "arn:aws:ec2:x"}, {[]string{"throttle"}, true}, {[]string{"fault"}, false},
		{[]string{"aws", "bucket_name"}, "pictures"}, {[]string{"aws", "region"}, "eu-west-1"}, {[]string{"aws", "request_id"}, "R1"}, {[]string{"aws", "ec2", "instance_id"}, "i-1"},
		{[]string{"aws", "xray", "sampling_rule_name"}, "Default"}, {[]string{"http", "response", "content_length"}, 77.0}, {[]string{"http", "request", "client_ip"}, nil},
		{[]string{"annotations"}, map[string]any{"tier": "gold", "n": 3.0, "f": 0.5, "b": true}},
		{[]string{"metadata", "default", "list"}, []any{"x"}}, {[]string{"metadata", "default", "network.peer.address"}, "10.0.0.1"},
		{[]string{"metadata", "default", "http.request.method"}, nil},
		{[]string{"links"}, []any{map[string]any{"trace_id": "1-66669980-b3d1d84e16ac2f7e15c3bd0a", "id": "53995c3f42cd8ad8", "trace_state": "k=v"}}},
		{[]string{"metadata", "otel", "name"}, "op"}, {[]string{"metadata", "otel", "kind"}, "CLIENT"}, {[]string{"metadata", "otel", "scope", "name"}, "lib"},
	} {
		if got := path(doc, c.path...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v = %v, want %v", c.path, got, c.want)
		}
	}
	r, err := rendering(m, s)
	if err != nil || !strings.Contains(string(r.Entity.Raw), `"end_time":1718000000.125000001,`) {
		t.Errorf("%v: nanoseconds are lost in %s", err, r.Entity.Raw)
	}
}

// The document rendered of a span, read as any document is, says what the span's
// segment says.
func TestRender_readsBack(t *testing.T) {
	var bodies [][]byte
	found, err := filepath.Glob(filepath.Join("testdata", "*", "input.otlp.pb"))
	if err != nil || len(found) == 0 {
		t.Fatal(err, len(found))
	}
	for _, name := range found {
		bodies = append(bodies, readFile(t, name))
	}
	bodies = append(bodies, marshal(t, shopRequest(200)), marshal(t, request(attributes("cloud.resource_id", "arn:x"),
		newSpan(client, "aws.span.kind", "LOCAL_ROOT", "aws.local.service", "w", "aws.remote.service", "AWS::S3", "rpc.system", "aws-api", "aws.sns.topic.arn", "arn:t",
			"aws.sqs.queue.url", "https://q", "faas.invoked_name", "fn", "a.b", 2.5, "aws.xray.annotations", []string{"a.b"}))))
	for _, body := range bodies {
		spans, err := otlp.Proto(body, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range spans.Segments {
			r, err := rendering(new(otlp.Mapper), s)
			if err != nil {
				t.Fatal(err)
			}
			read, refusal := decode.Document(r.Entity.Raw, at)
			if refusal != nil || len(read) != 1 {
				t.Fatalf("%v: %s", refusal, r.Entity.Raw)
			}
			got, want := read[0].Entity, s.Entity
			got.Raw, want.Raw = nil, nil
			// Only a span has a kind; calls of documents are named after what they lead to.
			want.Span, want.Peer = nil, ""
			if !reflect.DeepEqual(got, want) || read[0].TraceID != s.TraceID || read[0].Independent != s.Independent {
				t.Fatalf("%s\ngot  %+v\nwant %+v", r.Entity.Raw, got, want)
			}
		}
	}
}

// What a span has and a segment document has no place for is in metadata.otel.
func TestMapper_nativeKeepsEverything(t *testing.T) {
	span := child(newSpan(internal, "deep", &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{
		Values: attributes("a", 1, "b", []string{"x", "y"}, "a", 2)}}}))
	span.TraceState, span.Flags = "vendor=1", 0x101
	span.DroppedAttributesCount, span.DroppedEventsCount, span.DroppedLinksCount = 1, 2, 3
	span.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_OK, Message: "fine"}
	span.Events = []*tracepb.Span_Event{{Name: "cache miss", TimeUnixNano: 1718000000010000000, Attributes: attributes("key", "k1"), DroppedAttributesCount: 4}}
	req := request(nil, span)
	req.ResourceSpans[0].SchemaUrl, req.ResourceSpans[0].ScopeSpans[0].SchemaUrl = "https://r", "https://s"
	req.ResourceSpans[0].ScopeSpans[0].Scope.Attributes = attributes("q", true)
	doc := rendered(t, new(otlp.Mapper), mapped(t, new(otlp.Mapper), req))[0]
	var want any
	if err := json.Unmarshal([]byte(`{"default":{"deep":{"a":2,"b":["x","y"]}},"otel":{"name":"op","kind":"INTERNAL","status":{"code":"OK","message":"fine"},
		"trace_state":"vendor=1","flags":257,"scope":{"name":"lib","version":"1","attributes":{"q":true},"schema_url":"https://s"},"resource_schema_url":"https://r",
		"events":[{"name":"cache miss","time":1718000000.01,"attributes":{"key":"k1"},"dropped_attributes_count":4}],
		"dropped_attributes_count":1,"dropped_events_count":2,"dropped_links_count":3}}`), &want); err != nil {
		t.Fatal(err)
	}
	if got := path(doc, "metadata"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Local roots that call another service give a subsegment and a segment.
func TestMapper_localRoot(t *testing.T) {
	for _, provider := range []string{"aws", "gcp"} { // the collector crashes on the second
		span := child(newSpan(consumer, "aws.span.kind", "LOCAL_ROOT", "aws.local.service", "worker", "aws.remote.service", "queue", "enduser.id", "u"))
		span.Links = []*tracepb.Span_Link{{TraceId: traceID, SpanId: spanID}}
		span.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "boom"}
		segs := mapped(t, new(otlp.Mapper), request(attributes("cloud.provider", provider), span))
		if len(segs) != 2 {
			t.Fatalf("%d segments", len(segs))
		}
		call, service := segs[0], segs[1]
		if call.Part != 0 || !call.Independent || call.Name != "queue" || call.Namespace != "remote" || call.ID != trace.SegmentID(spanID) || call.ParentID != service.ID || call.Links != nil {
			t.Errorf("call: %+v", call)
		}
		if service.Part != 1 || service.Independent || service.Name != "worker" || service.Namespace != "" || service.ParentID != trace.SegmentID(parentID) || len(service.Links) != 1 {
			t.Errorf("service: %+v", service)
		}
		if service.ID.IsZero() || service.ID == call.ID || call.Cause.Exceptions[0].ID == service.Cause.Exceptions[0].ID {
			t.Errorf("ids collide: %+v", segs)
		}
		again := mapped(t, new(otlp.Mapper), request(attributes("cloud.provider", provider), span))
		if again[1].ID != service.ID || again[0].Cause.Exceptions[0].ID != call.Cause.Exceptions[0].ID {
			t.Error("generated ids differ from one reading to the next")
		}
	}
}

func TestMapper_options(t *testing.T) {
	span := newSpan(server, "http.request.method", "GET", "a.b", "x", "c d", 1)
	m := otlp.NewMapper(otlp.Options{IndexedAttributes: []string{"a.b", "c d", "http.request.method", "otel.resource.env"}, ReplaceDots: true, LogGroups: []string{"g"}})
	doc := rendered(t, m, mapped(t, m, request(attributes("env", "prod"), span)))[0]
	if got, want := path(doc, "annotations"), (map[string]any{"a_b": "x", "c_d": 1.0, "http_request_method": "GET", "otel_resource_env": "prod"}); !reflect.DeepEqual(got, want) {
		t.Errorf("annotations %v, want %v", got, want)
	}
	if got, want := path(doc, "aws", "cloudwatch_logs"), []any{map[string]any{"log_group": "g"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("log groups %v", got)
	}
	m = otlp.NewMapper(otlp.Options{IndexAllAttributes: true})
	segs := mapped(t, m, request(attributes("env", "prod"), newSpan(server, "x", true, "list", []string{"a"})))
	if len(segs[0].Annotations) != 2 {
		t.Errorf("annotations %+v", segs[0].Annotations)
	}
	m = otlp.NewMapper(otlp.Options{CheckTraceIDTime: true})
	spans, err := m.Proto(marshal(t, request(nil, span)), at)
	if err != nil || spans.RejectedSpans != 1 || len(spans.Segments) != 0 {
		t.Errorf("a trace id of 2024 is accepted in 2026: %v, %v", spans.Message(), err)
	}
	if spans, err = m.Proto(marshal(t, request(nil, span)), 1718000000e9); err != nil || spans.RejectedSpans != 0 {
		t.Errorf("a trace id of today is refused: %v, %v", spans.Message(), err)
	}
}

// Spans that cannot be kept are rejected one by one; the others stay.
func TestOTLPProto_rejectsSpans(t *testing.T) {
	bad := func(change func(s *tracepb.Span)) *tracepb.Span {
		s := newSpan(server)
		change(s)
		return s
	}
	for _, c := range []struct {
		span   *tracepb.Span
		reason string
	}{
		{bad(func(s *tracepb.Span) { s.TraceId = nil }), "no trace id"},
		{bad(func(s *tracepb.Span) { s.TraceId = traceID[:6] }), "trace id has 6 bytes, want 16"},
		{bad(func(s *tracepb.Span) { s.TraceId = make([]byte, 16) }), "trace id is all zeros"},
		{bad(func(s *tracepb.Span) { s.SpanId = nil }), "no span id"},
		{bad(func(s *tracepb.Span) { s.SpanId = append(spanID, 1) }), "span id has 9 bytes, want 8"},
		{bad(func(s *tracepb.Span) { s.SpanId = make([]byte, 8) }), "span id is all zeros"},
		{bad(func(s *tracepb.Span) { s.ParentSpanId = spanID[:4] }), "parent span id has 4 bytes, want 8"},
		{bad(func(s *tracepb.Span) { s.Links = []*tracepb.Span_Link{{TraceId: traceID[:3]}} }), "trace id of a link has 3 bytes, want 16"},
		{bad(func(s *tracepb.Span) { s.StartTimeUnixNano = 1 << 63 }), "start time 9223372036854775808 ns is after the year 2262"},
		{bad(func(s *tracepb.Span) { s.EndTimeUnixNano = 1<<64 - 1 }), "end time 18446744073709551615 ns is after the year 2262"},
		{bad(func(s *tracepb.Span) { s.Events = make([]*tracepb.Span_Event, 10_001); fill(s.Events) }), "more than 10000 events"},
		{bad(func(s *tracepb.Span) { s.Attributes = attributes("a", strings.Repeat("x", 1<<20)) }), "span has 1048643 bytes, more than 1048576"},
	} {
		spans, err := otlp.Proto(marshal(t, request(nil, newSpan(server), c.span, newSpan(server))), at)
		if err != nil {
			t.Errorf("%s: %v", c.reason, err)
			continue
		}
		if spans.Spans != 3 || len(spans.Segments) != 2 || spans.RejectedSpans != 1 || spans.Rejected[0].Index != 1 || spans.Rejected[0].Reason != c.reason {
			t.Errorf("%s: %d spans, %d segments, %+v", c.reason, spans.Spans, len(spans.Segments), spans.Rejected)
		}
		if !strings.Contains(spans.Message(), "1 of 3 spans rejected; span 1 ") || !strings.Contains(spans.Message(), c.reason) {
			t.Errorf("message %q", spans.Message())
		}
	}
}

func fill(events []*tracepb.Span_Event) {
	for i := range events {
		events[i] = new(tracepb.Span_Event)
	}
}

func TestOTLPProto_acceptsOddSpans(t *testing.T) {
	empty := newSpan(server)
	empty.Name, empty.StartTimeUnixNano, empty.EndTimeUnixNano = "", 5, 0
	empty.ParentSpanId = make([]byte, 8)
	segs := mapped(t, new(otlp.Mapper), request(nil, empty))
	if s := segs[0]; s.Name != "span" || s.Start != 5 || s.End != 0 || !s.InProgress || !s.ParentID.IsZero() || s.Duration() != 0 {
		t.Errorf("%+v", s)
	}
	spans, err := otlp.Proto(nil, at)
	if err != nil || spans.Spans != 0 {
		t.Errorf("an empty request: %+v, %v", spans, err)
	}
}

// A broken message is refused whole, with the place where it breaks.
func TestOTLPProto_brokenMessages(t *testing.T) {
	sound := marshal(t, request(attributes("service.name", "s"), newSpan(server, "a", "b")))
	span := marshal(t, newSpan(server, "a", "b"))
	wrap := func(span []byte) []byte {
		b := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), span)
		b = protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), b)
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), b)
	}
	for _, c := range []struct {
		body []byte
		want string
	}{
		{sound[:len(sound)-1], "cut short"},
		{append(sound[:len(sound):len(sound)], 0xff), "cut short"},
		{[]byte{0x00}, "malformed field tag"},
		{[]byte{0x0c}, "malformed field tag"},
		{wrap(span[:len(span)-1]), "resourceSpans[0].scopeSpans[0].spans[0]: "},
		{wrap(append(span[:len(span):len(span)], 0x4a, 2, 0x12, 9)), "spans[0]: attribute 1: cut short"},
		{wrap(append(span[:len(span):len(span)], 0x5a, 1, 0x0a)), "spans[0]: event 0: cut short"},
	} {
		_, err := otlp.Proto(c.body, at)
		if err == nil || trace.KindOf(err) != trace.KindInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%x: %v, want %q", c.body, err, c.want)
		}
	}
}

// nested is an array value that deep.
func nested(depth int) *commonpb.AnyValue {
	v := new(commonpb.AnyValue)
	for range depth - 1 {
		v = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{v}}}}
	}
	return v
}

func TestOTLP_depth(t *testing.T) {
	for _, c := range []struct {
		depth int
		ok    bool
	}{{64, true}, {65, false}, {2000, false}} {
		body := marshal(t, request(nil, newSpan(server, "a", nested(c.depth))))
		if _, err := otlp.Proto(body, at); (err == nil) != c.ok {
			t.Errorf("protobuf, depth %d: %v", c.depth, err)
		}
		value := strings.Repeat(`{"arrayValue":{"values":[`, c.depth-1) + "{}" + strings.Repeat("]}}", c.depth-1)
		body = []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"66669980b3d1d84e16ac2f7e15c3bd0a","spanId":"00f067aa0ba902b7","attributes":[{"key":"a","value":` + value + `}]}]}]}]}`)
		if _, err := otlp.JSON(body, at); (err == nil) != c.ok {
			t.Errorf("JSON, depth %d: %v", c.depth, err)
		}
	}
}

// Text that is slow to read, because every level of nesting is looked through
// anew, is refused before that takes long.
func TestOTLPJSON_slowText(t *testing.T) {
	const depth = 60
	value := strings.Repeat(`{"arrayValue":{"values":[`, depth) + strings.Repeat(`{"intValue":1},`, 1000) + "{}" + strings.Repeat("]}}", depth)
	body := []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"a","value":` + value + `}]}]}]}]}`)
	if _, err := otlp.JSON(body, at); err == nil || !strings.Contains(err.Error(), "nested too deeply for its size") {
		t.Errorf("%.100v", err)
	}
}

// The walker reads what the generated code reads, and the segments keep the
// very bytes of their spans and what surrounded them.
func TestOTLPProto_keepsSpans(t *testing.T) {
	req := shopRequest(200)
	body := marshal(t, req)
	spans, err := otlp.Proto(body, at)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for _, rs := range req.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, want := range ss.Spans {
				seg := spans.Segments[i]
				i++
				got, res, scope := new(tracepb.Span), new(resourcepb.Resource), new(commonpb.InstrumentationScope)
				if err := errors.Join(proto.Unmarshal(seg.Raw, got), proto.Unmarshal(seg.Scope.Resource, res), proto.Unmarshal(seg.Scope.Scope, scope)); err != nil {
					t.Fatal(err)
				}
				if !proto.Equal(got, want) || !proto.Equal(res, rs.Resource) || !proto.Equal(scope, ss.Scope) {
					t.Fatalf("span %d is not as sent", i)
				}
				if seg.TraceID != trace.ID(want.TraceId) || seg.ID != trace.SegmentID(want.SpanId) || seg.Start != trace.Time(want.StartTimeUnixNano) || seg.ReceivedAt != at || seg.Entity.ReceivedAt != at {
					t.Fatalf("span %d: %+v", i, seg)
				}
			}
		}
	}
	if i != len(spans.Segments) || i != 200 {
		t.Errorf("%d segments", len(spans.Segments))
	}
}

// Fields that come twice, in any order and with fields nobody knows between
// them, are read as the generated code reads them.
func TestOTLPProto_repeatedFields(t *testing.T) {
	tagged := func(num protowire.Number, parts ...[]byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), bytes.Join(parts, nil))
	}
	list := func(s ...string) []byte {
		return marshal(t, &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: attributes("", s)[0].Value.GetArrayValue()}})
	}
	text := marshal(t, attributes("", "x")[0].Value)
	unknown := []byte{0xf8, 0x07, 0x01, 0xfb, 0x07, 0x08, 0x01, 0xfc, 0x07, 0x30, 0x05} // a varint, a group, kind as no varint field
	attr := func(key string, values ...[]byte) []byte {
		b := tagged(1, []byte(key))
		for _, v := range values {
			b = append(b, tagged(2, v)...)
		}
		return tagged(9, b)
	}
	first, second := newSpan(client, "a", 1), newSpan(server)
	first.Status, second.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR}, &tracepb.Status{Message: "boom"}
	second.Name = "later"
	span := bytes.Join([][]byte{marshal(t, first), unknown, attr("l", list("1", "2"), list("3"), list("4")), attr("m", list("1"), text), attr("n", text, list("2"), list("3")), attr("o"), marshal(t, second)}, nil)
	resource := func(pairs ...any) []byte {
		return tagged(1, marshal(t, &resourcepb.Resource{Attributes: attributes(pairs...)}))
	}
	scope := func(name string) []byte {
		return tagged(1, marshal(t, &commonpb.InstrumentationScope{Name: name, Attributes: attributes(name, 1)}))
	}
	body := tagged(1, tagged(2, scope("s1"), tagged(2, span), tagged(3, []byte("x")), scope("s2"), tagged(3, []byte("y"))), resource("service.name", "a"), unknown, resource("service.version", "2"))
	spans, err := otlp.Proto(body, at)
	var req coltracepb.ExportTraceServiceRequest
	if err := errors.Join(err, proto.Unmarshal(body, &req)); err != nil || len(spans.Segments) != 1 {
		t.Fatal(err, spans.Message())
	}
	sameAsGenerated(t, spans, &req)
	doc := rendered(t, new(otlp.Mapper), spans.Segments)[0]
	if got, want := path(doc, "metadata", "default", "l"), []any{"1", "2", "3", "4"}; !reflect.DeepEqual(got, want) {
		t.Errorf("list %v, want %v", got, want)
	}
	if path(doc, "name") != "a" || path(doc, "metadata", "otel", "name") != "later" || path(doc, "service", "version") != "2" {
		t.Errorf("%v", doc)
	}
}

// A segment made again from what a store keeps is the same, each part of it.
func TestRestore_spans(t *testing.T) {
	req := shopRequest(100)
	req.ResourceSpans = append(req.ResourceSpans, request(attributes("service.name", "w"),
		newSpan(client, "aws.span.kind", "LOCAL_ROOT", "aws.local.service", "w", "aws.remote.service", "AWS::S3", "aws.xray.annotations", []string{"aws.local.service"})).ResourceSpans...)
	spans, err := otlp.Proto(marshal(t, req), at)
	if err != nil || len(spans.Segments) != 102 {
		t.Fatal(err, len(spans.Segments))
	}
	for _, want := range spans.Segments {
		got, err := decode.Restore(want.Source, want.Raw, want.Scope, want.Part, want.ReceivedAt)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	}
	if _, err := decode.Restore(trace.SourceOTLP, []byte{0xff}, nil, 0, at); err == nil {
		t.Error("damage is not noticed")
	}
}

// hexIDs turns the ids of protobuf's own JSON, which are base64, into OTLP's.
func hexIDs(v any) {
	switch x := v.(type) {
	case []any:
		for _, e := range x {
			hexIDs(e)
		}
	case map[string]any:
		for k, e := range x {
			if s, ok := e.(string); ok && (k == "traceId" || k == "spanId" || k == "parentSpanId") {
				raw, _ := base64.StdEncoding.DecodeString(s)
				x[k] = strings.ToUpper(hex.EncodeToString(raw))
			} else {
				hexIDs(e)
			}
		}
	}
}

// JSON and protobuf of the same request give the same bytes to keep.
func TestOTLPJSON_sameAsProto(t *testing.T) {
	req := shopRequest(100)
	req.ResourceSpans[0].SchemaUrl = "https://schema"
	s := child(newSpan(client, "bytes", &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{0, 255, 7}}}, "deep", nested(9), "f", 1.5, "neg", -7, "big", 1<<62, "no", &commonpb.AnyValue{}))
	s.Links = []*tracepb.Span_Link{{TraceId: traceID, SpanId: spanID, TraceState: "a", Flags: 0x300, DroppedAttributesCount: 3, Attributes: attributes("z", "é\"\\")}}
	s.TraceState, s.DroppedLinksCount, s.Flags = "x=y", 1, 0x101
	req.ResourceSpans = append(req.ResourceSpans, request(nil, s).ResourceSpans...)
	text, err := protojson.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	hexIDs(v)
	if text, err = json.Marshal(v); err != nil {
		t.Fatal(err)
	}
	got, err := otlp.JSON(text, at)
	if err != nil {
		t.Fatal(err)
	}
	want, err := otlp.Proto(marshal(t, req), at)
	if err != nil || len(got.Segments) != len(want.Segments) {
		t.Fatal(err, len(got.Segments), len(want.Segments))
	}
	for i := range want.Segments {
		var a, b tracepb.Span
		if err := errors.Join(proto.Unmarshal(got.Segments[i].Raw, &a), proto.Unmarshal(want.Segments[i].Raw, &b)); err != nil || !proto.Equal(&a, &b) {
			t.Fatalf("span %d: %v\ngot  %v\nwant %v", i, err, &a, &b)
		}
		if got.Segments[i].Scope.ResourceSchema != want.Segments[i].Scope.ResourceSchema {
			t.Fatal("schema is lost")
		}
	}
}

func TestOTLPJSON_forms(t *testing.T) {
	wrap := func(members string) []byte {
		return []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"66669980b3d1d84e16ac2f7e15c3bd0a","spanId":"00f067aa0ba902b7",` + members + `}]}]}]}`)
	}
	for _, c := range []struct{ members, wrong string }{
		{`"kind":2,"startTimeUnixNano":5`, ""},
		{`"kind":"SPAN_KIND_SERVER","start_time_unix_nano":"5"`, ""},
		{`"kind":2,"startTimeUnixNano":5.0,"parentSpanId":null,"status":null,"attributes":[]`, ""},
		{`"kind":2,"startTimeUnixNano":"5","unknown":{"a":[1]},"status":{"code":"STATUS_CODE_UNSET"}`, ""},
		{`"kind":2,"startTimeUnixNano":5,"attributes":[{"key":"d","value":{"doubleValue":"NaN"}},{"key":"i","value":{"intValue":-3}},{"key":"b","value":{"bytesValue":"-_8"}}]`, ""},
		{`"kind":"ROUND"`, `resourceSpans[0].scopeSpans[0].spans[0].kind: "ROUND" is no integer of 32 bits`},
		{`"startTimeUnixNano":-1`, "startTimeUnixNano: -1 is no integer of 64 bits"},
		{`"startTimeUnixNano":1.5`, "startTimeUnixNano: 1.5 is no integer"},
		{`"startTimeUnixNano":true`, "startTimeUnixNano: want an integer, not true"},
		{`"parentSpanId":"U5lcP0LNitg="`, `parentSpanId: "U5lcP0LNitg=" is not hex`},
		{`"name":7`, "name: want a string, not 7"},
		{`"attributes":{}`, "attributes: want an array, not {}"},
		{`"attributes":[{"key":"a","value":{"boolValue":"true"}}]`, `attributes[0].value.boolValue: want true or false, not "true"`},
		{`"attributes":["x"]`, `attributes[0]: want an object, not "x"`},
		{`"attributes":[{"key":"a","value":{"bytesValue":"*"}}]`, `bytesValue: "*" is not base64`},
		{`"flags":4294967296`, "flags: 4294967296 is no integer of 32 bits"},
		{`"name":"x"`, ""},
	} {
		spans, err := otlp.JSON(wrap(c.members), at)
		if c.wrong == "" {
			if err != nil || len(spans.Segments) != 1 {
				t.Errorf("%s: %v", c.members, err)
			} else if s := spans.Segments[0]; strings.Contains(c.members, "kind") && (s.Independent || s.Start != 5) {
				t.Errorf("%s: %+v", c.members, s)
			}
			continue
		}
		if err == nil || trace.KindOf(err) != trace.KindInvalid || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", c.members, err, c.wrong)
		}
	}
	for _, body := range []string{"", "{", "[]", "1", `{"resourceSpans":{}}`, `{"resourceSpans":[1]}`, "{}x"} {
		if _, err := otlp.JSON([]byte(body), at); err == nil {
			t.Errorf("%q is accepted", body)
		}
	}
	if spans, err := otlp.JSON([]byte(`{"resourceSpans":null}`), at); err != nil || spans.Spans != 0 {
		t.Errorf("an empty request: %v", err)
	}
}

// The collector's verdict on odd bodies, save that ids of zeros are rejected:
// OpenTelemetry calls them invalid, and a span is stored under its ids.
func TestOTLPJSON_invalidCorpus(t *testing.T) {
	dir := filepath.Join(corpus(t), "otlp-invalid")
	var cases []struct {
		File     string
		Accepts  bool `json:"reference_accepts"`
		Segments []any
	}
	if err := json.Unmarshal(readFile(t, dir, "expected.json"), &cases); err != nil {
		t.Fatal(err)
	}
	m := otlp.NewMapper(otlp.Options{Profile: otlp.ProfileCollector})
	for _, c := range cases {
		spans, err := m.JSON(readFile(t, dir, c.File), at)
		accepted := err == nil && spans.RejectedSpans == 0
		if want := c.Accepts && c.File != "zero-trace-id.json"; accepted != want {
			t.Errorf("%s: accepted %v (%v, %s), want %v", c.File, accepted, err, spans.Message(), want)
		} else if accepted {
			if err := sameJSON(rendered(t, m, spans.Segments), c.Segments, "", map[string]string{}); err != nil {
				t.Errorf("%s: %v", c.File, err)
			}
		}
	}
}

// An HTTP status is read in whatever form and under whichever name it came; what is
// none sets nothing and stays in the metadata, as does text that says more.
func TestMapper_httpStatus(t *testing.T) {
	for _, c := range []struct {
		value any
		want  int
		keeps bool // in the metadata
	}{
		{503, 503, false},
		{503.0, 503, false},
		{"503", 503, false},
		{"503 Service Unavailable", 503, true},
		{"503: Service Unavailable", 503, true},
		{"HTTP/1.1 503 Service Unavailable", 503, true},
		{" 503 ", 503, true},
		{"503.0", 503, true},
		{"OK", 0, true},
		{"5xx", 0, true},
		{"HTTP/1.1", 0, true},
		{"", 0, true},
		{0, 0, true},
		{-503, 0, true},
		{99, 0, true},
		{600, 0, true},
		{1 << 40, 0, true},
		{503.5, 0, true},
		{1e300, 0, true},
		{math.NaN(), 0, true},
		{true, 0, true},
		{[]string{"503"}, 0, true},
	} {
		for _, name := range []string{"http.status_code", "http.response.status_code"} {
			t.Run(fmt.Sprintf("%s=%v", name, c.value), func(t *testing.T) {
				seg := mapped(t, new(otlp.Mapper), request(nil, newSpan(server, name, c.value)))[0]
				if seg.Entity.HTTP.Status != c.want || seg.Entity.Fault != (c.want == 503) {
					t.Errorf("status %d, fault %v; want %d", seg.Entity.HTTP.Status, seg.Entity.Fault, c.want)
				}
				doc := rendered(t, new(otlp.Mapper), []*trace.Segment{seg})[0]
				got, has := path(doc, "http", "response", "status").(float64)
				if has != (c.want > 0) || int(got) != c.want {
					t.Errorf("http %v, want status %d", path(doc, "http"), c.want)
				}
				metadata, _ := path(doc, "metadata", "default").(map[string]any)
				if _, kept := metadata[name]; kept != c.keeps {
					t.Errorf("metadata %v, want %s in it: %v", path(doc, "metadata"), name, c.keeps)
				}
			})
		}
	}
	// Of two the one that can be read counts, and the other is not lost.
	doc := rendered(t, new(otlp.Mapper), mapped(t, new(otlp.Mapper), request(nil, newSpan(server, "http.status_code", "none", "http.response.status_code", 404))))[0]
	if path(doc, "http", "response", "status") != 404.0 || path(doc, "error") != true || path(doc, "metadata", "default", "http.status_code") != "none" {
		t.Errorf("of two: %v", doc)
	}
}

// What senders before opentelemetry-proto 0.15 called instrumentation library spans
// are scope spans, in protobuf and in JSON.
func TestOTLP_legacyScopeSpans(t *testing.T) {
	want := mapped(t, new(otlp.Mapper), request(attributes("service.name", "old"), newSpan(server, "a", "b")))[0]
	span := `{"traceId":"66669980b3d1d84e16ac2f7e15c3bd0a","spanId":"00f067aa0ba902b7","name":"op","kind":2,"startTimeUnixNano":"1718000000005000000","endTimeUnixNano":"1718000000125000001","attributes":[{"key":"a","value":{"stringValue":"b"}}]}`
	resource := `"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"old"}}]}`
	proto := func(b []byte) (otlp.Spans, error) { return otlp.Proto(b, at) }
	text := func(b []byte) (otlp.Spans, error) { return otlp.JSON(b, at) }
	for _, c := range []struct {
		name  string
		parse func([]byte) (otlp.Spans, error)
		body  []byte
	}{
		{"protobuf", proto, legacy(t, request(attributes("service.name", "old"), newSpan(server, "a", "b")))},
		{"camelCase", text, []byte(`{"resourceSpans":[{` + resource + `,"instrumentationLibrarySpans":[{"instrumentationLibrary":{"name":"lib","version":"1"},"spans":[` + span + `]}]}]}`)},
		{"snake_case", text, []byte(`{"resource_spans":[{"instrumentation_library_spans":[{"instrumentation_library":{"name":"lib","version":"1"},"spans":[` + span + `]}],` + resource + `}]}`)},
		{"half", text, []byte(`{"resourceSpans":[{` + resource + `,"scopeSpans":[{"instrumentationLibrary":{"name":"lib","version":"1"},"spans":[` + span + `]}]}]}`)},
	} {
		spans, err := c.parse(c.body)
		if err != nil || len(spans.Segments) != 1 || spans.Message() != "" {
			t.Errorf("%s: %d segments, %v, %q", c.name, len(spans.Segments), err, spans.Message())
			continue
		}
		got := spans.Segments[0]
		if got.Name != "old" || !bytes.Equal(got.Raw, want.Raw) || !bytes.Equal(got.Scope.Scope, want.Scope.Scope) {
			t.Errorf("%s: %s, scope %q, span %x", c.name, got.Name, got.Scope.Scope, got.Raw)
		}
	}
	both := request(nil, newSpan(server))
	other := newSpan(server)
	other.SpanId = parentID
	both.ResourceSpans[0].ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 1000, protowire.BytesType), marshal(t, &tracepb.ScopeSpans{Spans: []*tracepb.Span{other}})))
	if spans, err := otlp.Proto(marshal(t, both), at); err != nil || len(spans.Segments) != 2 {
		t.Errorf("with both lists: %d segments, %v", len(spans.Segments), err)
	}
}

// Data that belongs to no span and is not known is never dropped in silence: it is
// counted, and the first of it is named. What is known is kept.
func TestOTLP_unknownData(t *testing.T) {
	const span = `{"traceId":"66669980b3d1d84e16ac2f7e15c3bd0a","spanId":"00f067aa0ba902b7"}`
	for _, c := range []struct {
		body          string
		data, hidden  int
		kept          int
		first, silent string
	}{
		{body: `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}`, data: 1, first: "resourceLogs ("},
		{body: `{"ResourceSpans":[{"ScopeSpans":[{"Spans":[` + span + `,` + span + `]}]}]}`, data: 1, hidden: 2, first: "ResourceSpans ("},
		{body: `{"resourceSpans":[{"spans":[` + span + `]}]}`, data: 1, hidden: 1, first: "resourceSpans[0].spans ("},
		{body: `{"resourceSpans":[{},{"scopeSpans":[{"spans":[` + span + `],"span":{"span_id":"1","trace_id":"2","links":[` + span + `]},"x":1}]}]}`, data: 2, hidden: 1, kept: 1, first: "resourceSpans[1].scopeSpans[0].span ("},
		{body: `{"resourceSpans":[{"scopeSpans":[{"spans":[` + span[:len(span)-1] + `,"attribs":[1]}]}]}]}`, data: 1, kept: 1, first: "resourceSpans[0].scopeSpans[0].spans[0].attribs ("},
		{body: `{"resourceSpans":[{"scopeSpans":[{"spans":[` + span + `],"a":null,"b":[],"c":{},"d":"","e":[ ]}]}]}`, kept: 1},
	} {
		spans, err := otlp.JSON([]byte(c.body), at)
		if err != nil || len(spans.Segments) != c.kept || spans.UnknownData != c.data || spans.HiddenSpans != c.hidden || !strings.HasPrefix(spans.Unknown, c.first) {
			t.Errorf("%s: %v; %d kept, %d unknown with %d spans: %q", c.body, err, len(spans.Segments), spans.UnknownData, spans.HiddenSpans, spans.Unknown)
		}
		if (spans.Message() == "") != (c.data == 0) {
			t.Errorf("%s: %q", c.body, spans.Message())
		}
	}
	add := func(m proto.Message, num protowire.Number, data string) {
		m.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(m.ProtoReflect().GetUnknown(), num, protowire.BytesType), data))
	}
	req := request(nil, newSpan(server))
	add(req, 2, "")
	add(req.ResourceSpans[0].ScopeSpans[0].Spans[0], 99, "newer fields of spans are kept")
	if spans, err := otlp.Proto(marshal(t, req), at); err != nil || spans.Message() != "" || len(spans.Segments) != 1 {
		t.Errorf("nothing unknown: %v, %q", err, spans.Message())
	}
	add(req.ResourceSpans[0].ScopeSpans[0], 4, "more")
	add(req.ResourceSpans[0], 7, "data")
	add(req, 3, "here")
	spans, err := otlp.Proto(marshal(t, req), at)
	if err != nil || len(spans.Segments) != 1 || spans.UnknownData != 3 || spans.Message() != "not kept, because it is no part of a request for traces that is known here: field 7 of resourceSpans[0] (4 bytes), and data in 2 other places" {
		t.Errorf("%v, %d unknown: %q", err, spans.UnknownData, spans.Message())
	}
}
