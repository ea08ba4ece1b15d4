package query

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const start = trace.Time(1718000000e9)

func assembled(t *testing.T, docs ...string) *trace.Trace {
	t.Helper()
	var all []*trace.Segment
	for _, d := range docs {
		segs, refusal := decode.Document([]byte(d), start)
		if refusal != nil {
			t.Fatal(refusal)
		}
		all = append(all, segs...)
	}
	return assemble.Trace(all[0].TraceID, all)
}

const head = `"trace_id":"1-66669980-b3d1d84e16ac2f7e15c3bd0a","start_time":1718000000,"end_time":1718000001,`

// A segment with too many subsegments is split, and no part loses anything.
func TestFormats_longSegment(t *testing.T) {
	docs := []string{`{` + head + `"id":"0000000000000001","name":"root"}`}
	for i := range 300 {
		docs = append(docs, fmt.Sprintf(`{%s"id":"%016x","type":"subsegment","parent_id":"0000000000000001","name":"part","metadata":{"m":{"k":%q}}}`, head, i+2, strings.Repeat("x", 1000)))
	}
	tr := assembled(t, docs...)
	for _, f := range []Format{FormatXRay, FormatOTel} {
		spans, err := f.Spans(tr)
		if err != nil || len(spans) != 301 {
			t.Fatalf("%s: %d documents, %v", f.Name, len(spans), err)
		}
		for _, s := range spans[1:] {
			if len(s.JSON) > maxSpan || !json.Valid(s.JSON) || !strings.Contains(string(s.JSON), strings.Repeat("x", 1000)) {
				t.Fatalf("%s: %s", f.Name, s.JSON)
			}
		}
	}
	spans, _ := FormatXRay.Spans(tr)
	if got, want := between(string(spans[1].JSON), `"type"`), `"type":"subsegment","trace_id":"1-66669980-b3d1d84e16ac2f7e15c3bd0a","parent_id":"0000000000000001"}`; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	for _, s := range spans { // each can be received again
		if _, refusal := decode.Document(s.JSON, start); refusal != nil {
			t.Fatalf("%s: %v", s.JSON, refusal)
		}
	}
}

func between(s, from string) string { return s[max(0, strings.Index(s, from)):] }

// A single entity that is too long is shortened, and stays an entity.
func TestFormats_longEntity(t *testing.T) {
	var members []string
	for i := range 20_000 {
		members = append(members, fmt.Sprintf(`"key%d":{"a":[1,2,3],"b":"two"}`, i))
	}
	for name, doc := range map[string]string{
		"one text":     `{` + head + `"id":"0000000000000001","name":"root","metadata":{"m":{"k":"` + strings.Repeat("ü\\n", 150_000) + `"}}}`,
		"many members": `{` + head + `"id":"0000000000000001","name":"root","metadata":{"m":{` + strings.Join(members, ",") + `}}}`,
	} {
		tr := assembled(t, doc)
		for _, f := range []Format{FormatXRay, FormatOTel} {
			spans, err := f.Spans(tr)
			if err != nil || len(spans) != 1 {
				t.Fatalf("%s, %s: %d documents, %v", name, f.Name, len(spans), err)
			}
			text := spans[0].JSON
			if len(text) > maxSpan || len(text) < 1000 || !json.Valid(text) || !strings.Contains(string(text), "0000000000000001") || !strings.Contains(string(text), `"root"`) {
				t.Errorf("%s, %s: %d bytes: %.300s", name, f.Name, len(text), text)
			}
			if f.Name == "XRAY" {
				if _, refusal := decode.Document(text, start); refusal != nil {
					t.Errorf("%s: %v", name, refusal)
				}
			}
		}
	}
}

func FuzzShorten(f *testing.F) {
	f.Add([]byte(`{"a":"bcdefg","d":[1,2,{"e":"\u00fc\ud83d\ude00"}],"e":{}}`), 30)
	f.Fuzz(func(t *testing.T, doc []byte, limit int) {
		limit = max(2, limit)
		if !json.Valid(doc) || len(doc) == 0 || doc[0] != '{' {
			return
		}
		if out := shorten(doc, limit); len(out) > limit || !json.Valid(out) {
			t.Errorf("%d: %s becomes %s", limit, doc, out)
		}
	})
}
