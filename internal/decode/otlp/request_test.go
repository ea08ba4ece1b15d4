package otlp_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Spans that cannot be stored are rejected one by one; the others are accepted.
func TestProto_rejectsSpans(t *testing.T) {
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

func TestProto_acceptsOddSpans(t *testing.T) {
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

// A broken message is refused completely, with the offset of the damage.
func TestProto_brokenMessages(t *testing.T) {
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

// nested returns an array value nested to a depth.
func nested(depth int) *commonpb.AnyValue {
	v := new(commonpb.AnyValue)
	for range depth - 1 {
		v = &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{v}}}}
	}
	return v
}

func TestRequest_depth(t *testing.T) {
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

// The walker reads the same as the generated code, and the segments keep the original
// bytes of their spans, resources and scopes.
func TestProto_keepsSpans(t *testing.T) {
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

// Fields that occur twice, in any order and with unknown fields between them, are read
// as the generated code reads them.
func TestProto_repeatedFields(t *testing.T) {
	tagged := func(num protowire.Number, parts ...[]byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), bytes.Join(parts, nil))
	}
	list := func(s ...string) []byte {
		return marshal(t, &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: attributes("", s)[0].Value.GetArrayValue()}})
	}
	text := marshal(t, attributes("", "x")[0].Value)
	unknown := []byte{0xf8, 0x07, 0x01, 0xfb, 0x07, 0x08, 0x01, 0xfc, 0x07, 0x30, 0x05} // a varint, a group, kind as a field that is no varint
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

// A segment restored from its stored form is the same, in each of its parts.
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

// The instrumentation library spans of senders before opentelemetry-proto 0.15 are read
// as scope spans, in protobuf and in JSON.
func TestRequest_legacyScopeSpans(t *testing.T) {
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

// Unknown data that belongs to no span is never dropped silently: it is counted, and
// the first of it is named. Known data is kept.
func TestRequest_unknownData(t *testing.T) {
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
