package otlp_test

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/render"
	"github.com/fluoro-io/fluoro/internal/trace"
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

// rendering returns a copy of a segment with its document in Entity.Raw.
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
		HTTP: trace.HTTP{Method: "GET", Status: 429, Length: 77},
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

// The rendered document of a span, decoded like any document, gives the content of the
// span's segment.
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
			// Only a span has a kind; calls in documents are named after their callee.
			want.Span, want.Peer = nil, ""
			if !reflect.DeepEqual(got, want) || read[0].TraceID != s.TraceID || read[0].Independent != s.Independent {
				t.Fatalf("%s\ngot  %+v\nwant %+v", r.Entity.Raw, got, want)
			}
		}
	}
}

// Span data without a place in a segment document is in metadata.otel.
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

// A local root that calls another service gives a subsegment and a segment.
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

// An HTTP status is read in any form and under any of its names. A value that is no
// status sets nothing and stays in the metadata, like text with more details.
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
	// Of two attributes the readable one counts; the other is kept, too.
	doc := rendered(t, new(otlp.Mapper), mapped(t, new(otlp.Mapper), request(nil, newSpan(server, "http.status_code", "none", "http.response.status_code", 404))))[0]
	if path(doc, "http", "response", "status") != 404.0 || path(doc, "error") != true || path(doc, "metadata", "default", "http.status_code") != "none" {
		t.Errorf("of two: %v", doc)
	}
}
