package decode_test

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
)

func TestBody(t *testing.T) {
	for _, c := range []struct {
		body string
		want []string // nil: missing
	}{
		{`{"TraceSegmentDocuments":["{\"id\":1}","two"]}`, []string{`{"id":1}`, "two"}},
		{" \n{ \"TraceSegmentDocuments\" : [ \"a\" , \"b\" ] }\r\n", []string{"a", "b"}},
		{`{"TraceSegmentDocuments":["\u007b\n\t\r\b\f\/\\\"\u00e9é\ud83d\ude00\ud800"]}`, []string{"{\n\t\r\b\f/\\\"éé😀\ufffd"}},
		{`{"TraceSegmentDocuments":[""]}`, []string{""}},
		{`{"TraceSegmentDocuments":[]}`, []string{}},
		{`{"TraceSegmentDocuments":null}`, nil},
		{`{}`, nil},
		{`{"tracesegmentdocuments":["a"]}`, nil},
		{`{"Other":[1,{}],"TraceSegmentDocuments":["a"],"More":{"TraceSegmentDocuments":["b"]}}`, []string{"a"}},
		{`{"TraceSegmentDocuments":["a","b"],"TraceSegmentDocuments":["a longer one"]}`, []string{"a longer one"}},
		{`{"TraceSegmentDocuments":["a"],"TraceSegmentDocuments":null}`, nil},
		{`{"TraceSegmentDocuments":7,"TraceSegmentDocuments":["a"]}`, []string{"a"}},
		{`{"TraceSegmentDocuments":[7],"TraceSegmentDocuments":["a"]}`, []string{"a"}},
		{`{"TraceSegment\u0044ocuments":["a"]}`, []string{"a"}},
	} {
		docs, err := decode.Body([]byte(c.body))
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		var got []string
		if docs != nil {
			got = []string{}
		}
		for _, d := range docs {
			got = append(got, string(d))
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.body, got, c.want)
		}
	}
}

func TestBody_errors(t *testing.T) {
	for body, want := range map[string]string{
		``:                                         "request body is not JSON: unexpected end at byte 0",
		`{"TraceSegmentDocuments":["a"`:            "request body is not JSON: unexpected end at byte 29",
		`{"TraceSegmentDocuments":["a"]}}`:         "request body is not JSON: more text behind the value at byte 31",
		`{"TraceSegmentDocuments":["\x"]}`:         "request body is not JSON: invalid escape at byte 27",
		"{\"TraceSegmentDocuments\":[\"\xff\"]}":   "request body is not JSON: string is not valid UTF-8 at byte 26",
		"{\"TraceSegmentDocuments\":[\"a\nb\"]}":   "request body is not JSON: control character in string at byte 28",
		`{"TraceSegmentDocuments":[42}`:            "request body is not JSON: unexpected '}' at byte 28",
		`["a"]`:                                    "Start of list found where not expected",
		`"a"`:                                      "request body must be a JSON object",
		`7`:                                        "request body must be a JSON object",
		`{"TraceSegmentDocuments":"a"}`:            "Expected list or null",
		`{"TraceSegmentDocuments":{}}`:             "Start of structure or map found where not expected.",
		`{"TraceSegmentDocuments":false}`:          "Expected list or null",
		`{"TraceSegmentDocuments":[42]}`:           "NUMBER_VALUE can not be converted to a String",
		`{"TraceSegmentDocuments":["a",null,1]}`:   "NULL_VALUE can not be converted to a String",
		`{"TraceSegmentDocuments":[true]}`:         "TRUE_VALUE can not be converted to a String",
		`{"TraceSegmentDocuments":[false,"a"]}`:    "FALSE_VALUE can not be converted to a String",
		`{"TraceSegmentDocuments":[{"id":"a"}]}`:   "Start of structure or map found where not expected.",
		`{"TraceSegmentDocuments":[["a"],[],{}] }`: "Start of list found where not expected",
	} {
		docs, err := decode.Body([]byte(body))
		var e *decode.SerializationError
		if !errors.As(err, &e) || e.Message != want || docs != nil {
			t.Errorf("%s\ngot  %v, %q\nwant %s", body, err, docs, want)
		}
	}
}

// TestBody_documentsAreApart checks that the owner of one document cannot reach another
// by appending to it.
func TestBody_documentsAreApart(t *testing.T) {
	docs, err := decode.Body([]byte(`{"TraceSegmentDocuments":["first","second"]}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = append(docs[0], "XXXX"...)
	if string(docs[1]) != "second" {
		t.Errorf("got %q", docs[1])
	}
}

// TestBody_memory limits what a request can cost, even if the member occurs many times.
func TestBody_memory(t *testing.T) {
	docs := make([]string, 50_000)
	for i := range docs {
		docs[i] = typical[0].doc
	}
	for name, body := range map[string][]byte{
		"50,000 documents":      putBody(docs),
		"100,000 times a list":  []byte("{" + strings.Repeat(`"TraceSegmentDocuments":["abcdefgh"],`, 100_000) + `"a":1}`),
		"one document of 10 MB": fmt.Appendf(nil, `{"TraceSegmentDocuments":["%s"]}`, strings.Repeat(`\n`, 5<<20)),
		"5,000,000 brackets":    []byte(strings.Repeat("[", 5_000_000)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := decode.Body(body)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4*uint64(len(body))+1<<20 {
			t.Errorf("%s: %d bytes for a body of %d (%v)", name, n, len(body), err)
		}
	}
}
