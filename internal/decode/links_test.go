package decode_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/render"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// TestLinks_direction checks the type of a reference from a document's link and from a
// span's: only the flat key with the text child makes it a link of the receiver.
func TestLinks_direction(t *testing.T) {
	for attributes, child := range map[string]bool{
		`{}`: false,
		`{"aws.xray.reserved.reference_type":"parent"}`:                           false,
		`{"aws.xray.reserved.reference_type":"child"}`:                            true,
		`{"a":1,"aws.xray.reserved.reference_type":"ch\u0069ld","b":[1]}`:         true,
		`{"aws.xray.reserved.reference_type":true}`:                               false,
		`{"aws.xray.reserved.reference_type":["child"]}`:                          false,
		`{"aws.xray.reserved":{"reference_type":"child"}}`:                        false,
		`{"aws":{"xray":{"reserved":{"reference_type":"child"}}}}`:                false,
		`{"aws.xray.reserved.reference_type":"sibling","reference_type":"child"}`: false,
	} {
		want := []trace.Link{{TraceID: trace.ID{0: 0x66, 1: 0x66, 2: 0x99, 3: 0x80, 15: 1}, ID: trace.SegmentID{7: 2}, Child: child}}
		doc := edited(edit{"links": `[{"attributes":` + attributes + `,"trace_id":"1-66669980-000000000000000000000001","id":"0000000000000002"},{"trace_id":"x","id":"0000000000000002","attributes":` + attributes + `}]`})
		segments, refusal := decode.Document([]byte(doc), at)
		if refusal != nil || !reflect.DeepEqual(segments[0].Links, want) {
			t.Errorf("document, %s: %+v, %v", attributes, segments[0].Links, refusal)
			continue
		}
		// The same document as a span, decoded again.
		spans, err := otlp.JSON(render.Entity(segments[0], &segments[0].Entity), at)
		if err != nil || len(spans.Segments) != 1 || !reflect.DeepEqual(spans.Segments[0].Links, want) {
			t.Errorf("span, %s: %+v, %v", attributes, spans.Segments, err)
		}
	}
}

// TestLinks_attributes sends a document's links through OTLP: they return unchanged,
// except that a number beyond float64 becomes text.
func TestLinks_attributes(t *testing.T) {
	const attributes = `{"text":"ä\n<","int":9007199254740993,"minus":-1,"double":1.5,"yes":true,"list":["x",1,[false],{}],"map":{"a":{"b":"c"},"":null},"none":null,"huge":1e999}`
	doc := edited(edit{"links": `[{"trace_id":"66669980000000000000000000000001","id":"0000000000000002","trace_state":"a=b","attributes":` + attributes + `},{"trace_id":"1-66669980-000000000000000000000001","id":"0000000000000003","attributes":[1]}]`})
	segments, refusal := decode.Document([]byte(doc), at)
	if refusal != nil {
		t.Fatal(refusal)
	}
	text := render.Entity(segments[0], &segments[0].Entity)
	spans, err := otlp.JSON(text, at)
	if err != nil || len(spans.Segments) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	rendered, err := render.Text(spans.Segments[0], false)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Links []map[string]json.RawMessage }
	if err := json.Unmarshal(rendered, &got); err != nil || len(got.Links) != 2 {
		t.Fatalf("%v: %s", err, rendered)
	}
	want := []string{
		`{"attributes":` + strings.Replace(attributes, "1e999", `"1e999"`, 1) + `,"id":"0000000000000002","trace_id":"1-66669980-000000000000000000000001","trace_state":"a=b"}`,
		`{"id":"0000000000000003","trace_id":"1-66669980-000000000000000000000001"}`,
	}
	for i, l := range got.Links {
		members := "{"
		for j, name := range []string{"attributes", "id", "trace_id", "trace_state"} {
			if v := l[name]; v != nil {
				if j > 0 && members != "{" {
					members += ","
				}
				members += fmt.Sprintf("%q:%s", name, v)
			}
		}
		if members+"}" != want[i] {
			t.Errorf("link %d:\ngot  %s\nwant %s", i, members+"}", want[i])
		}
	}
}
