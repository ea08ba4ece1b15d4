package render_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/render"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// entities returns a document's entities, parents first.
func entities(e *trace.Entity) []*trace.Entity {
	out := []*trace.Entity{e}
	for _, s := range e.Subsegments {
		out = append(out, entities(s)...)
	}
	return out
}

// plain removes members that OTLP/JSON may omit, and sorts attributes by key.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, m := range v {
			m = plain(m)
			v[k] = m
			if m == nil || reflect.DeepEqual(m, []any{}) || reflect.DeepEqual(m, map[string]any{}) || m == "" {
				delete(v, k)
			}
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
		slices.SortStableFunc(v, func(a, b any) int { return strings.Compare(keyOf(a), keyOf(b)) })
	}
	return v
}

func stringOf(v any) string { s, _ := v.(string); return s }

func keyOf(v any) string {
	m, _ := v.(map[string]any)
	return stringOf(m["key"])
}

// near compares the times of a span and then sets them to the wanted ones: the
// reference works with float64 seconds, which have a precision of 240 ns today.
func near(t *testing.T, got, want any) {
	t.Helper()
	g, w := got.(map[string]any), want.(map[string]any)
	for _, name := range []string{"startTimeUnixNano", "endTimeUnixNano"} {
		a, _ := strconv.ParseInt(stringOf(g[name]), 10, 64)
		b, _ := strconv.ParseInt(stringOf(w[name]), 10, 64)
		if a-b > 240 || b-a > 240 {
			t.Errorf("%s %v, not %v", name, g[name], w[name])
		}
		g[name] = w[name]
	}
}

// spanOf returns the resource and the span of a message with one span.
func spanOf(t *testing.T, text []byte) (resource, span any) {
	t.Helper()
	var message struct {
		ResourceSpans []struct {
			Resource   any
			ScopeSpans []struct {
				Spans []any
			}
		}
	}
	if err := json.Unmarshal(text, &message); err != nil || len(message.ResourceSpans) != 1 || len(message.ResourceSpans[0].ScopeSpans) != 1 || len(message.ResourceSpans[0].ScopeSpans[0].Spans) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	return message.ResourceSpans[0].Resource, message.ResourceSpans[0].ScopeSpans[0].Spans[0]
}

// The goldens of the collector's awsxrayreceiver.
func TestEntity_goldens(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(corpus(t), "xray-to-otel", "*"))
	if err != nil || len(dirs) < 14 {
		t.Fatalf("%d goldens, %v", len(dirs), err)
	}
	compared := 0
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			segs, refusal := decode.Document(readFile(t, dir, "input.segment.json"), at)
			golden, err := os.ReadFile(filepath.Join(dir, "expected.otlp.json"))
			if err != nil { // the receiver refuses it; but if we accept it, it must be rendered
				if refusal == nil {
					spanOf(t, render.Entity(segs[0], &segs[0].Entity))
				}
				return
			}
			if refusal != nil || len(segs) != 1 {
				t.Fatal(refusal)
			}
			var want struct {
				ResourceSpans []struct {
					Resource   any
					ScopeSpans []struct{ Spans []any }
				}
			}
			if err := json.Unmarshal(golden, &want); err != nil {
				t.Fatal(err)
			}
			list := entities(&segs[0].Entity)
			if len(list) != len(want.ResourceSpans[0].ScopeSpans[0].Spans) {
				t.Fatalf("%d spans", len(list))
			}
			for i, e := range list {
				resource, span := spanOf(t, render.Entity(segs[0], e))
				near(t, span, want.ResourceSpans[0].ScopeSpans[0].Spans[i])
				for what, pair := range map[string][2]any{"resource": {resource, want.ResourceSpans[0].Resource}, "span": {span, want.ResourceSpans[0].ScopeSpans[0].Spans[i]}} {
					if got, want := plain(pair[0]), plain(pair[1]); !reflect.DeepEqual(got, want) {
						a, _ := json.Marshal(got)
						b, _ := json.Marshal(want)
						t.Errorf("%s\n got %s\nwant %s", what, a, b)
					}
				}
				compared++
			}
		})
	}
	if compared < 14 {
		t.Errorf("only %d spans were compared", compared)
	}
}

// Cases that the goldens do not have.
func TestEntity_more(t *testing.T) {
	segs, refusal := decode.Document([]byte(`{"trace_id":"1-66669980-b3d1d84e16ac2f7e15c3bd0a","id":"00f067aa0ba902b7","name":"svc","start_time":1718000000.123456789,"end_time":1718000000.5,
		"links":[{"trace_id":"1-66669980-000000000000000000000001","id":"1111111111111111"}],"metadata":{"a":{"k":[1]},"b":2},
		"sql":{"url":"nothing to split"},"fault":true,"cause":{"working_directory":"/","exceptions":[{"id":"2222222222222222","type":"E","message":"m","remote":true,"stack":[{"path":"f.go","line":7,"label":"f"},{"path":"g.go","label":"g"}]}]}}`), at)
	if refusal != nil {
		t.Fatal(refusal)
	}
	got := string(render.Entity(segs[0], &segs[0].Entity))
	for _, want := range []string{
		`"startTimeUnixNano":"1718000000123456789"`, `"links":[{"traceId":"66669980000000000000000000000001","spanId":"1111111111111111"}]`, `"status":{"code":2}`,
		`{"key":"aws.xray.metadata.a","value":{"stringValue":"{\"k\":[1]}"}}`, `{"key":"aws.xray.metadata.b","value":{"stringValue":"2"}}`,
		`{"key":"db.connection_string","value":{"stringValue":"nothing to split"}}`, `{"key":"telemetry.sdk.language","value":{"stringValue":"java"}}`,
		`{"key":"exception.stacktrace","value":{"stringValue":"E: m\n\tat f(f.go: 7)\n\tat g(g.go: <unknown>)\n"}}`, `{"key":"aws.xray.exception.remote","value":{"boolValue":true}}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}

// Every accepted span of the corpus can be rendered as OTLP, and decodes to the same
// span again: no field is lost.
func TestOTLP_corpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus(t), "otel-to-xray", "*", "input.otlp.pb"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		got, err := otlp.Proto(readFile(t, file), at)
		if err != nil {
			t.Fatal(file, err)
		}
		for _, seg := range got.Segments {
			text, err := render.OTLP(seg)
			if err != nil {
				t.Fatal(file, err)
			}
			spans, err := otlp.JSON(text, at)
			if err != nil || int(seg.Part) >= len(spans.Segments) {
				t.Fatal(file, err, string(text))
			}
			again := spans.Segments[seg.Part]
			same(t, new(tracepb.Span), new(tracepb.Span), seg.Raw, again.Raw)
			same(t, new(resourcepb.Resource), new(resourcepb.Resource), seg.Scope.Resource, again.Scope.Resource)
			same(t, new(commonpb.InstrumentationScope), new(commonpb.InstrumentationScope), seg.Scope.Scope, again.Scope.Scope)
			if seg.Scope.ResourceSchema != again.Scope.ResourceSchema || seg.Scope.ScopeSchema != again.Scope.ScopeSchema {
				t.Errorf("%s: schemas in %s", file, text)
			}
		}
	}
}

// same compares two protobuf messages, decoded into a and b of one type.
func same(t *testing.T, a, b proto.Message, one, other []byte) {
	t.Helper()
	if err := errors.Join(proto.Unmarshal(one, a), proto.Unmarshal(other, b)); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(a, b) {
		t.Errorf("received %v\ngiven %v", a, b)
	}
}

// FuzzOTLP renders any bytes as a span: the result is JSON or an error.
func FuzzOTLP(f *testing.F) {
	f.Add([]byte{0x0a, 0x01, 0xff, 0x2a, 0x02, 0xff, '"'}, []byte{0x0a, 0x00})
	text := &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: "v"}}
	number := &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 3}}
	span, err := proto.Marshal(&tracepb.Span{Name: "n", SpanId: []byte("12345678"), Attributes: []*commonpb.KeyValue{{Key: "k", Value: text}, {Key: "n", Value: number}}, Events: []*tracepb.Span_Event{{Name: "e"}}, Kind: -1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(span, span)
	f.Fuzz(func(t *testing.T, span, resource []byte) {
		text, err := render.OTLP(&trace.Segment{Source: trace.SourceOTLP, Raw: span, Scope: &trace.OTLPScope{Resource: resource, Scope: resource}})
		if err == nil && !json.Valid(text) {
			t.Errorf("%x, %x: %s", span, resource, text)
		}
	})
}

// FuzzEntity renders every entity of any accepted document.
func FuzzEntity(f *testing.F) {
	f.Add([]byte(`{"trace_id":"1-66669980-b3d1d84e16ac2f7e15c3bd0a","id":"00f067aa0ba902b7","name":"s","start_time":1,"end_time":2,"aws":{"ecs":3},"annotations":{"a\"":1e300},"metadata":{"m":[]},"subsegments":[{"id":"1111111111111111","name":"x","start_time":1,"in_progress":true,"cause":"2222222222222222","sql":{"url":"a//b/c?"}}]}`))
	f.Add([]byte(`{"trace_id":"1-66669980-b3d1d84e16ac2f7e15c3bd0a","id":"00f067aa0ba902b7","name":"s","start_time":1,"end_time":2,"links":[{"trace_id":"66669980000000000000000000000001","id":"0000000000000002","trace_state":"a","attributes":{"aws.xray.reserved.reference_type":"child","\u0000":[{"a":[]},null,1e999,-0]}},7]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		segs, _ := decode.Document(doc, at)
		for _, seg := range segs {
			if seg.Source != trace.SourceDocument {
				continue
			}
			for _, e := range entities(&seg.Entity) {
				if text := render.Entity(seg, e); !json.Valid(text) {
					t.Errorf("%s: %s", doc, text)
				}
			}
		}
	})
}
