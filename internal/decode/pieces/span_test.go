package pieces_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/decode/pieces"
	"github.com/fluoro-io/fluoro/internal/trace"
)

func init() {
	names[pieces.Kind], names[pieces.Attribute], names[pieces.Failed], names[pieces.Route] = "Kind", "Attribute", "Failed", "Route"
}

// fields returns the fields of a span as text, and whether it was read to its end.
func fields(message []byte) (out []string, whole bool) {
	var s pieces.Span
	for s.Reset(message); s.Next(); {
		text := names[s.Field]
		switch s.Field {
		case pieces.Kind, pieces.StartTime, pieces.EndTime:
			text += fmt.Sprintf(" %d", s.Number)
		case pieces.Attribute:
			a := &s.Attribute
			text += fmt.Sprintf(" %s %s", names[a.Field()], a.Key)
			if a.Type == pieces.TextValue {
				text += " " + string(a.Text)
			} else {
				text += fmt.Sprintf(" %x", a.Bits)
			}
		default:
			text += fmt.Sprintf(" %x", message[s.Value:s.End])
		}
		out = append(out, text)
	}
	return out, s.Whole()
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func attribute(key string, value *common.AnyValue) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: value}
}

func text(key, value string) *common.KeyValue {
	return attribute(key, &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}})
}

func integer(key string, value int64) *common.KeyValue {
	return attribute(key, &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: value}})
}

func boolean(key string, value bool) *common.KeyValue {
	return attribute(key, &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: value}})
}

func number(key string, value float64) *common.KeyValue {
	return attribute(key, &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: value}})
}

// fullSpan has each field that Span knows, and others.
func fullSpan() *otlptrace.Span {
	long := strings.Repeat("x", 300)
	return &otlptrace.Span{
		TraceId: bytes.Repeat([]byte{0xab}, 16), SpanId: []byte{1, 2, 3, 4, 5, 6, 7, 8}, ParentSpanId: []byte{8, 7, 6, 5, 4, 3, 2, 1},
		TraceState: "a=b", Name: "GET", Kind: otlptrace.Span_SPAN_KIND_CLIENT, StartTimeUnixNano: 5, EndTimeUnixNano: 9, Flags: 1,
		Attributes: []*common.KeyValue{
			text("http.method", "GET"), text("url.full", "u"), text("http.route", "/"), text("enduser.id", "ann"), integer("http.response.status_code", 404),
			integer("url.full", -1), text("http.status_code", "200"), boolean("on", true), boolean("off", false), number("d", 0.5), text("", ""), text("long", long), text(long, "é"),
			number("nan", math.NaN()), attribute("empty", &common.AnyValue{}), attribute("none", nil), attribute("bytes", &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: []byte("b")}}),
		},
		Status: &otlptrace.Status{Message: "m", Code: otlptrace.Status_STATUS_CODE_ERROR},
	}
}

func TestSpan_findsFields(t *testing.T) {
	got, whole := fields(marshal(t, fullSpan()))
	long := strings.Repeat("x", 300)
	want := []string{
		"TraceID " + strings.Repeat("ab", 16), "ID 0102030405060708", "Other 613d62", "ParentID 0807060504030201", "Name 474554", "Kind 3", "StartTime 5", "EndTime 9",
		"Attribute Method http.method GET", "Attribute URL url.full u", "Attribute Route http.route /", "Attribute User enduser.id ann", "Attribute Status http.response.status_code 194",
		"Attribute Other url.full ffffffffffffffff", "Attribute Other http.status_code 200", "Attribute Other on 1", "Attribute Other off 0", "Attribute Other d 3fe0000000000000",
		"Other 12020a00", "Attribute Other long " + long, "Attribute Other " + long + " é",
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("field %d:\n got %q\nwant %q", i, got, want[i])
		}
	}
	rest := got[len(want):] // NaN, empty, no value, bytes, status, flags
	if !whole || len(rest) != 6 || rest[4] != "Failed 12016d1802" {
		t.Errorf("whole %t, rest %q", whole, rest)
	}
	for _, i := range []int{0, 1, 2, 3, 5} {
		if !strings.HasPrefix(rest[i], "Other ") {
			t.Errorf("%s", rest[i])
		}
	}
}

func TestSpan_leavesUnusualSpellings(t *testing.T) {
	for _, message := range []string{
		"\x2a\x81\x00a",                    // the length in two bytes
		"\xaa\x00\x01a",                    // the tag in two bytes
		"\x2a\x01\xff",                     // no UTF-8
		"\x12\x07abcdefg",                  // an id of seven bytes
		"\x5b\x08\x01\x5c",                 // a group
		"\x30\x83\x00",                     // a kind in two bytes
		"\x7a\x02\x18\x01",                 // a status that is no error
		"\x4a\x06\x12\x02\x18\x05\x0a\x00", // the value before the key
		"\x4a\x08\x0a\x01n\x12\x03\x18\x85\x00",
		"\x4a\x08\x0a\x01n\x12\x83\x00\x18\x05",
		"\x4a\x07\x0a\x01n\x12\x02\x10\x02", // a boolean of 2
		"\x4a\x09\x0a\x01n\x12\x04\x18\x05\x18\x05",
		"\x4a\x09\x0a\x01n\x12\x02\x18\x05\x18\x05",
	} {
		if got, whole := fields([]byte(message)); !whole || len(got) != 1 || !strings.HasPrefix(got[0], "Other ") {
			t.Errorf("%x is %q, whole %t", message, got, whole)
		}
	}
	for _, message := range []string{"\x2a", "\x2a\x02a", "\x2a\xff", "\x30", "\x39\x01", "\xff", "\x2a\x01a\x2a\x02a"} {
		if got, whole := fields([]byte(message)); whole {
			t.Errorf("%x was read to its end: %q", message, got)
		}
	}
}

func TestService(t *testing.T) {
	for _, c := range []struct {
		want       string
		attributes []*common.KeyValue
	}{
		{"", nil},
		{"shop", []*common.KeyValue{text("service.namespace", "n"), text("service.name", "shop"), text("service.name", "other")}},
		{"", []*common.KeyValue{integer("service.name", 1)}},
	} {
		if got := pieces.Service(marshal(t, &resource.Resource{Attributes: c.attributes})); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// FuzzSpan checks that the fields follow each other without gaps, that an attribute can be
// written again from its parts, and that spans which decode accepts are read to their end.
func FuzzSpan(f *testing.F) {
	var mapper otlp.Mapper
	full := marshal(f, fullSpan())
	f.Add([]byte{})
	f.Add(full)
	f.Add(full[:len(full)-1])
	f.Add(append([]byte("\x2a\x81\x00a\xca\x00\x00\x0b\x0c"), full...))
	f.Fuzz(func(t *testing.T, message []byte) {
		var s pieces.Span
		at := 0
		for s.Reset(message); s.Next(); {
			if s.Start != at || s.Value < s.Start || s.End < s.Value || s.End == s.Start || s.End > len(message) || names[s.Field] == "" {
				t.Fatalf("field %d at %d, %d..%d after %d", s.Field, s.Start, s.Value, s.End, at)
			}
			at = s.End
			if s.Field != pieces.Attribute {
				continue
			}
			a := &s.Attribute
			if again := pieces.AppendAttribute(nil, string(a.Key), a.Type, string(a.Text), a.Bits); !bytes.Equal(again, message[s.Start:s.End]) {
				t.Fatalf("%x was written as %x", message[s.Start:s.End], again)
			}
		}
		if s.Whole() != (at == len(message)) || s.Next() {
			t.Fatalf("whole %t at %d of %d", s.Whole(), at, len(message))
		}
		if _, err := mapper.Span(message, &trace.OTLPScope{}, 0); err == nil && !s.Whole() {
			t.Fatalf("not read to its end: %x", message)
		}
		pieces.Service(message)
	})
}
