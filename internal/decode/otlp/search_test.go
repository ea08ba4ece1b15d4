package otlp

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
)

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		text      string
		know, not []string
	}{
		{"*", []string{"a", "http.route", "日本", "a b"}, nil},
		{"listed", nil, []string{"a", "listed"}},
		{" listed ", nil, []string{"a", "listed"}},
		{"a,b.*", []string{"a", "b.", "b.c.d"}, []string{"", "ab", "b", "xb.c"}},
		{"*,!http.*", []string{"a", "https.a", "http"}, []string{"http.", "http.route"}},
		{"!http.*", []string{"a"}, []string{"http.route"}},
		{"*, !http.*, http.route", []string{"a", "http.route"}, []string{"http.routes"}},
		{"!*,a*b*c", []string{"abc", "axxbyyc", "abcc", "abbc"}, []string{"ab", "acb", "abcd"}},
		{"*ab", []string{"ab", "aab", "abab", "xab"}, []string{"aba", "b"}},
		{"a**", []string{"a", "ab"}, []string{"b"}},
		{"a b*", []string{"a b", "a bc"}, []string{"ab"}},
	} {
		p, err := ParsePatterns(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		for _, name := range c.know {
			if !p.know(name) {
				t.Errorf("%s does not know %q", c.text, name)
			}
		}
		for _, name := range c.not {
			if p.know(name) {
				t.Errorf("%s knows %q", c.text, name)
			}
		}
	}
	for _, text := range []string{"", " ", ",", "a,", "!", "a,!,b"} {
		if _, err := ParsePatterns(text); err == nil || !strings.Contains(err.Error(), "want names") {
			t.Errorf("%q: %v", text, err)
		}
	}
	// Backtracking is bounded: at most the product of the two lengths.
	if fits(strings.Repeat("a*", 2000)+"b", strings.Repeat("a", 20_000)) {
		t.Error("a name without b fits")
	}
}

// All scalars of span and resource are found, with their types, by the names they were
// sent with, however the document shows them.
func TestAttributes_areAllScalars(t *testing.T) {
	const body = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}},{"key":"n","value":{"intValue":"7"}},{"key":"list","value":{"arrayValue":{"values":[]}}}]},
		"scopeSpans":[{"spans":[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000002","name":"a","kind":2,"endTimeUnixNano":"1","attributes":[
		{"key":"http.method","value":{"stringValue":"GET"}},{"key":"enduser.id","value":{"stringValue":"ann"}},{"key":"d","value":{"doubleValue":1.5}},{"key":"b","value":{"boolValue":true}},
		{"key":"twice","value":{"intValue":"1"}},{"key":"twice","value":{"intValue":"2"}},{"key":"inf","value":{"doubleValue":"Infinity"}},{"key":"bytes","value":{"bytesValue":"AA=="}},
		{"key":"none","value":{}},{"key":"map","value":{"kvlistValue":{"values":[]}}},{"key":"a b","value":{"stringValue":""}},{"key":"min","value":{"intValue":"-9223372036854775808"}},
		{"key":"aws.xray.annotations","value":{"arrayValue":{"values":[{"stringValue":"a b"}]}}}]}]}]}]}`
	spans, err := JSON([]byte(body), 1)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]any{}
	note := func(key string, v trace.Value) bool {
		got[key] = append(got[key], map[trace.ValueKind]any{trace.StringValue: v.String, trace.NumberValue: v.Number, trace.BoolValue: v.Bool}[v.Kind])
		return true
	}
	seg := spans.Segments[0]
	if !seg.Attributes.OfSpan(seg.Raw, nil, note) || !seg.Attributes.OfResource(note) {
		t.Error("it was not yielded to the end")
	}
	want := map[string][]any{"service.name": {"s"}, "n": {7.0}, "http.method": {"GET"}, "enduser.id": {"ann"}, "d": {1.5}, "b": {true}, "twice": {1.0, 2.0},
		"inf": {math.Inf(1)}, "a b": {""}, "min": {-9223372036854775808.0}}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if len(seg.Annotations) != 1 || seg.Annotations[0].Key != "a_b" {
		t.Errorf("annotations of the document: %v", seg.Annotations)
	}
	n := 0
	if seg.Attributes.OfSpan(seg.Raw, nil, func(string, trace.Value) bool { n++; return n < 2 }) || n != 2 {
		t.Errorf("%d attributes were yielded to one that wanted 2", n)
	}
}

// The stored form of a span gives the same attributes when it is restored, also for
// names and values that are not UTF-8.
func FuzzAttributes(f *testing.F) {
	f.Add("k", "v", 1.5, true)
	f.Add("a b\"=<~]", "\xff", 0.0, false)
	f.Fuzz(func(t *testing.T, key, value string, number float64, flag bool) {
		body, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{
			"resource": map[string]any{"attributes": []any{map[string]any{"key": key, "value": map[string]any{"boolValue": flag}}}},
			"scopeSpans": []any{map[string]any{"spans": []any{map[string]any{"traceId": "00000000000000000000000000000001", "spanId": "0000000000000002", "attributes": []any{
				map[string]any{"key": key, "value": map[string]any{"stringValue": value}}, map[string]any{"key": "n", "value": map[string]any{"doubleValue": number}}}}}}}}}})
		if err != nil {
			return // NaN
		}
		spans, err := JSON(body, 1)
		if err != nil || len(spans.Segments) != 1 {
			t.Fatalf("%s: %v, %s", body, err, spans.Message())
		}
		list := func(s *trace.Segment) (out string) {
			note := func(key string, v trace.Value) bool { out += fmt.Sprintf("%q %+v\n", key, v); return true }
			s.Attributes.OfSpan(s.Raw, nil, note)
			s.Attributes.OfResource(note)
			return out
		}
		seg := spans.Segments[0]
		again, err := new(Mapper).Span(seg.Raw, seg.Scope, 1)
		if err != nil || len(again) != 1 {
			t.Fatal(err, len(again))
		}
		if a, b := list(seg), list(again[0]); a != b || strings.Count(a, "\n") < 3 {
			t.Errorf("%s\nrestored\n%s", a, b)
		}
	})
}
