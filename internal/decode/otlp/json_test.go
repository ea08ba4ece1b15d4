package otlp_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Text that takes long to read, because each level of nesting is scanned again, is
// refused before it takes long.
func TestJSON_slowText(t *testing.T) {
	const depth = 60
	value := strings.Repeat(`{"arrayValue":{"values":[`, depth) + strings.Repeat(`{"intValue":1},`, 1000) + "{}" + strings.Repeat("]}}", depth)
	body := []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"a","value":` + value + `}]}]}]}]}`)
	if _, err := otlp.JSON(body, at); err == nil || !strings.Contains(err.Error(), "nested too deeply for its size") {
		t.Errorf("%.100v", err)
	}
}

// hexIDs converts the ids of protobuf's JSON form, which are base64, to OTLP's.
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

// JSON and protobuf of the same request give the same stored bytes.
func TestJSON_sameAsProto(t *testing.T) {
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

func TestJSON_forms(t *testing.T) {
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
		{`"attributes":{}`, "attributes: want an array, not an object"},
		{`"attributes":[{"key":"a","value":{"boolValue":"true"}}]`, `attributes[0].value.boolValue: want true or false, not a string`},
		{`"attributes":["x"]`, `attributes[0]: want an object, not a string`},
		{`"attributes":[{"key":"a","value":{"bytesValue":"*"}}]`, `bytesValue: the string is not base64`},
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

// The collector accepts and refuses odd bodies in the same way, except ids of zeros:
// OpenTelemetry calls them invalid, and a span is stored under its ids.
func TestJSON_invalidCorpus(t *testing.T) {
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
