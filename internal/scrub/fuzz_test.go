package scrub

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

// fuzzed are programs with rules of every kind and action.
func fuzzed(t testing.TB) []*Program {
	all := []Rule{
		{Name: "a", Keys: []string{"x", "app.*"}, Action: Drop}, {Name: "b", Paths: []string{"metadata.*.body", "attributes.y", "http.request.url", "name"}, Action: Mask},
		{Name: "c", Detectors: []string{"card", "email", "iban", "sql"}, Action: KeepLast}, {Name: "d", Pattern: `[a-c]+\d`, Action: Hash}, {Name: "e", Pattern: `z.`, Action: Drop},
		{Name: "f", Keys: []string{"q"}, Services: []string{"s*"}, Action: Keep}, {Name: "g", Keys: []string{"*"}, Pattern: "..", Action: Mask, Services: []string{"t"}},
	}
	all = all[:6]
	return []*Program{ofDefaults(t), only(t, all...), ofDefaults(t, all...)}
}

// A scrubbed document is JSON if the document was, scrubbing it again changes nothing,
// its ids and times stay, and the quick pass misses nothing that the walk finds.
func FuzzDocument(f *testing.F) {
	for _, c := range documentCases {
		f.Add([]byte(c.in))
	}
	for _, c := range defaultCases {
		b, _ := json.Marshal(map[string]any{"id": "70de5b6f19ff9a0a", "metadata": map[string]any{c.key: c.value}})
		f.Add(b)
	}
	f.Add([]byte(document))
	f.Add([]byte("T1S!"))
	f.Add([]byte(`0"\u"`))
	programs := fuzzed(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		was := jsonscan.Check(doc) == nil
		for i, p := range programs {
			in := bytes.Clone(doc)
			out := p.Document(in)
			if !bytes.Equal(in, doc) {
				t.Fatalf("the document was overwritten: %q became %q", doc, in)
			}
			if !was {
				if !bytes.HasPrefix(doc, []byte("T1")) && !bytes.Equal(out, doc) {
					t.Fatalf("what is no JSON became %q", out)
				}
				continue
			}
			if err := jsonscan.Check(out); err != nil {
				t.Fatalf("%q became %q: %v", doc, out, err)
			}
			if again := p.Document(out); !bytes.Equal(again, out) {
				t.Fatalf("program %d: %q became %q, then %q", i, doc, out, again)
			}
			for _, name := range []string{"id", "trace_id", "start_time", "parent_id", "type"} {
				if a, b := jsonscan.Value(trim(doc)).Get(name), jsonscan.Value(trim(out)).Get(name); !bytes.Equal(a, b) {
					t.Fatalf("%s was %s and is %s", name, a, b)
				}
			}
			if i == 0 {
				w := p.walker()
				slow := w.document(doc)
				p.release(w)
				if !bytes.Equal(slow, out) {
					t.Fatalf("the quick pass gives %q, the walk %q", out, slow)
				}
			}
		}
	})
}

func trim(b []byte) []byte { return bytes.TrimSpace(b) }

// A scrubbed request is decoded like the original: it has as many spans, and scrubbing it
// again changes nothing. The quick pass misses nothing that the walk finds.
func FuzzRequest(f *testing.F) {
	for _, c := range spanCases {
		f.Add(spanText(f, kv("service.name", text("shop")), c.in))
	}
	for _, c := range defaultCases {
		if !strings.ContainsAny(c.value, "\"\\\n\r\t") {
			f.Add(spanText(f, kv(c.key, text(c.value)), attributes(kv(c.key, text(c.value)))))
		}
	}
	f.Add(generated(20)[:600])
	f.Add([]byte{0x0a, 0x02, 0x12, 0x00})
	programs := fuzzed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		before, wrong := otlp.Proto(bytes.Clone(body), 1)
		for i, p := range programs {
			in := bytes.Clone(body)
			out := p.Request(in)
			if !bytes.Equal(in, body) {
				t.Fatalf("the request was overwritten: %q became %q", body, in)
			}
			if wrong != nil {
				continue
			}
			after, err := otlp.Proto(bytes.Clone(out), 1)
			if err != nil || after.Spans != before.Spans || len(after.Segments) != len(before.Segments) {
				t.Fatalf("program %d: %q became %q: %v, %d spans of %d", i, body, out, err, after.Spans, before.Spans)
			}
			if again := p.Request(out); !bytes.Equal(again, out) {
				t.Fatalf("program %d: %q became %q, then %q", i, body, out, again)
			}
			if i == 0 {
				w := p.walker()
				w.see = func(int, string, []byte, []byte) {} // no quick pass
				slow := w.request(bytes.Clone(body))
				p.release(w)
				if !bytes.Equal(slow, out) {
					t.Fatalf("the quick pass gives %q, the walk %q", out, slow)
				}
			}
		}
	})
}

// Every detector finds parts in order, apart, and inside of the text.
func FuzzDetectors(f *testing.F) {
	for _, c := range defaultCases {
		f.Add([]byte(c.value))
	}
	for _, text := range []string{"4111 1111 1111 1111", "a@b.example", "DE89370400440532013000", "SELECT 'a' FROM b WHERE c = $$x$$ AND d IN (1,2)", "x://a:b@c@d/e", "=", "password=", "'", "\\"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for name, detect := range detectors {
			at := 0
			for _, p := range detect(nil, text) {
				if p.start < at || p.end < p.start || p.end > len(text) {
					t.Fatalf("%s of %q: %v after %d", name, text, p, at)
				}
				at = p.end
			}
			if at > 0 && strings.HasPrefix(name, "password") && !suspicious(text) {
				t.Fatalf("%s finds something in %q that is not suspicious", name, text)
			}
		}
	})
}

// A rule that Check allows can be compiled; names and patterns are whatever they are.
func FuzzRule(f *testing.F) {
	f.Add([]byte(`{"Name":"a","Keys":["x"],"Action":"mask"}`))
	f.Add([]byte(`{"Name":"a","Pattern":"(a|b)+c","Detectors":["email"],"Action":"last4","Services":["*"]}`))
	f.Add([]byte(`{"Name":"default-jwt","Action":"mask","Disabled":true}`))
	f.Add([]byte(`{"Name":"","Pattern":"(","Action":"burn","Order":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Rule
		if json.Unmarshal(b, &r) != nil || r.Check() != nil {
			return
		}
		p, err := Compile([]Rule{r}, []byte("key"), func(string) *atomic.Int64 { return new(atomic.Int64) })
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		p.Document([]byte(document))
	})
}
