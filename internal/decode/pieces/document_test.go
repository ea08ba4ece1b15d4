package pieces_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/pieces"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
)

var names = map[pieces.Field]string{
	pieces.Other: "Other", pieces.CallDetail: "CallDetail", pieces.Annotation: "Annotation", pieces.Subsegment: "Subsegment",
	pieces.ID: "ID", pieces.ParentID: "ParentID", pieces.TraceID: "TraceID", pieces.Name: "Name", pieces.User: "User", pieces.Origin: "Origin",
	pieces.Method: "Method", pieces.URL: "URL", pieces.StartTime: "StartTime", pieces.EndTime: "EndTime", pieces.Status: "Status",
	pieces.Error: "Error", pieces.Fault: "Fault", pieces.Throttle: "Throttle",
	pieces.SubsegmentID: "SubsegmentID", pieces.SubsegmentStart: "SubsegmentStart", pieces.SubsegmentEnd: "SubsegmentEnd",
}

// list returns the pieces of a document as "Field key text", and whether it was read to
// its end.
func list(text string) (out []string, whole bool) {
	var d pieces.Document
	for d.Reset([]byte(text)); d.Next(); {
		out = append(out, fmt.Sprintf("%s %s %s", names[d.Field], d.Key, text[d.Start:d.End]))
	}
	return out, d.Whole()
}

func TestDocument_findsFields(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"empty", `{}`, ``},
		{"white space", " {\n\t\"id\" : \"a\" ,\r\n \"metadata\": [ 1 , [ ] , { } ] } ", `ID id a|Other metadata 1`},
		{"segment", `{"id":"a","parent_id":"b","trace_id":"c","name":"d","user":"e","origin":"f","start_time":1.5,"end_time":2,"type":"subsegment","namespace":"aws"}`,
			`ID id a|ParentID parent_id b|TraceID trace_id c|Name name d|User user e|Origin origin f|StartTime start_time 1.5|EndTime end_time 2`},
		{"other types", `{"id":1,"name":null,"start_time":"x","origin":5,"user":{"name":"y"}}`, `Other id 1|Other start_time x|Other name y`},
		{"flags", `{"error":true,"fault":false,"throttle":true,"in_progress":true}`, `Error error true|Throttle throttle true`},
		{"http", `{"http":{"request":{"method":"GET","url":"u","client_ip":"i"},"response":{"status":200,"content_length":9}},"request":{"method":"GET","url":"u"},"status":"s"}`,
			`Method method GET|URL url u|Other client_ip i|Status status 200|Other content_length 9|Other url u`},
		{"annotations", `{"annotations":{"a":"x","b":-1,"c":true,"d":["y"],"e":{"f":"z"},"g":"\n","h" :1,"method":"m"}}`,
			`Annotation a x|Annotation b -1|Annotation c true|Other d y|Other f z|Other g "\n"|Other h 1|Annotation method m`},
		{"repeating", `{"aws":{"xray":{"sdk":"X-Ray for Go"},"ec2":{"ids":["i-1"]},"request_id":"r","message_id":"\n"},"service":{"version":"1"}}`, `Other request_id r`},
		{"subsegments", `{"subsegments":[{"id":"a","start_time":1,"end_time":2,"name":"n","error":true,"annotations":{"k":"v"},"subsegments":[{"id":"b"}]},{"id":"c"}]}`,
			`Subsegment subsegments {|SubsegmentID id a|SubsegmentStart start_time 1|SubsegmentEnd end_time 2|Other name n|Other k v|Subsegment subsegments {|SubsegmentID id b|Subsegment subsegments {|SubsegmentID id c`},
		{"call", `{"subsegments":[{"namespace":"aws","aws":{"operation":"GetItem","table_name":"t","request_id":"r","retries":0,"more":{"type":"x","key":"k"}},"service":{"version":"1"},"http":{"request":{"url":"u","method":"GET"}}}]}`,
			`Subsegment subsegments {|CallDetail request_id r|CallDetail retries 0|CallDetail key k|Other url u`},
		{"escapes", `{"name":"a\"b","\u0069d":"x","user":"\\"}`, `Other name "a\"b"|Other \u0069d x|Other user "\\"`},
		{"a key twice", `{"id":"a","id":"b"}`, `ID id a|ID id b`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, whole := list(c.doc)
			if strings.Join(got, "|") != c.want || !whole {
				t.Errorf("whole %t\n got %s\nwant %s", whole, strings.Join(got, "|"), c.want)
			}
		})
	}
}

func TestDocument_givesUp(t *testing.T) {
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	if _, whole := list(deep(64)); !whole {
		t.Error("64 levels are too deep")
	}
	for _, text := range []string{
		``, ` `, `x`, `1`, `"a"`, `[]`, `{`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a":1}}`, `{"a":1} x`, `{"a" 1}`, `{a:1}`, `{"a":1 "b":2}`,
		`{"a":"`, `{"a":"\`, `{"a":"\"`, `{"a":[`, `{"a":[1`, `{"a":[1,]}`, `{"a":[1}`, `{"a":[,1]}`, `{"annotations":{"a":}}`, deep(65),
	} {
		if got, whole := list(text); whole {
			t.Errorf("%s was read to its end: %s", text, got)
		}
	}
}

// A document that was given up leaves nothing behind, and no document allocates.
func TestDocument_isUsedAgain(t *testing.T) {
	var d pieces.Document
	broken, good := []byte(`{"aws":[{"b":["c"`), []byte(`{"id":"a","subsegments":[{"id":"b"}]}`)
	allocations := testing.AllocsPerRun(10, func() {
		for d.Reset(broken); d.Next(); {
			continue
		}
		n := 0
		for d.Reset(good); d.Next(); {
			n++
		}
		if n != 3 || !d.Whole() {
			t.Errorf("%d pieces, whole %t", n, d.Whole())
		}
	})
	if allocations != 0 {
		t.Errorf("%g allocations", allocations)
	}
}

// What package decode reads in recorded documents and the pieces agree.
func TestDocument_agreesWithDecode(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(harness.Shared(t), "corpus", "xray-docs", "devguide", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(harness.Shared(t), "corpus", "xray-to-otel", "*", "input.segment.json"))
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, path := range append(paths, more...) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		segments, refusal := decode.Document(text, 0)
		if refusal != nil {
			continue
		}
		read++
		s := &segments[0].Entity
		want := map[pieces.Field][]string{
			pieces.ID: {s.ID.String()}, pieces.Name: {s.Name}, pieces.TraceID: {segments[0].TraceID.String()},
			pieces.SubsegmentID: subsegments(nil, s),
		}
		got := map[pieces.Field][]string{}
		var d pieces.Document
		for d.Reset(text); d.Next(); {
			got[d.Field] = append(got[d.Field], string(text[d.Start:d.End]))
		}
		for field := range want {
			if !slices.Equal(got[field], want[field]) {
				t.Errorf("%s: %s %q, decode reads %q", path, names[field], got[field], want[field])
			}
		}
		if annotations := len(got[pieces.Annotation]); !d.Whole() || annotations > len(s.Annotations) {
			t.Errorf("%s: whole %t, %d annotations, decode reads %d", path, d.Whole(), annotations, len(s.Annotations))
		}
	}
	if read < 10 {
		t.Errorf("only %d documents were read", read)
	}
}

// subsegments appends the ids of all subsegments, in their order in the document.
func subsegments(to []string, e *trace.Entity) []string {
	for _, child := range e.Subsegments {
		to = subsegments(append(to, child.ID.String()), child)
	}
	return to
}

// FuzzDocument checks that pieces lie inside the text, in order and without overlap, and
// that all JSON objects which are not too deep are read to their end.
func FuzzDocument(f *testing.F) {
	for _, text := range []string{
		``, `{}`, `[{}]`, "{\"a\" :\n[ ]}", `{"id":"a","name":"\"","error":true,"annotations":{"a":"x","b":1.5e3,"c" :"y"},"aws":{"request_id":"é"},"metadata":[[{"a":null}]]}`,
		`{"subsegments":[{"id":"b","aws":{"operation":"o","x":"\\"},"subsegments":[{"start_time":1,"end_time":2}]}],"http":{"request":{"method":"GET","url":"u"},"response":{"status":404}}}`,
		`{"annotations":{"a":}}`, `{"annotations":[{"a":"b"}]}`, `{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, `{"a":"\`, "{\"a\":\"\xff\"}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		valid := json.Valid(text)
		var d pieces.Document
		last := 0
		for d.Reset(text); d.Next(); {
			from, to := d.Start, d.End
			if d.Quoted {
				from, to = from-1, to+1
			}
			if valid && d.Field != pieces.Subsegment && !json.Valid(text[from:to]) {
				t.Fatalf("%q is no JSON value of %q", text[from:to], text)
			}
			if d.Field == pieces.Annotation {
				from -= len(d.Key) + len(`"":`)
				if from < last || string(text[from:from+len(d.Key)+len(`"":`)]) != `"`+string(d.Key)+`":` {
					t.Fatalf("key %q does not stand before %q", d.Key, text[d.Start:])
				}
			}
			if from < last || d.Start > d.End || to > len(text) || names[d.Field] == "" {
				t.Fatalf("piece %d..%d of field %d after %d in %q", from, to, d.Field, last, text)
			}
			last = to
		}
		if d.Next() {
			t.Fatal("a piece after the end")
		}
		if trimmed := strings.Trim(string(text), " \t\r\n"); valid && !d.Whole() && trimmed[0] == '{' && strings.Count(trimmed, "[")+strings.Count(trimmed, "{") <= 64 {
			t.Fatalf("not read to its end: %q", text)
		}
	})
}
