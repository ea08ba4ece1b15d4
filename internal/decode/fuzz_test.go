package decode_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// seeds returns documents, good and bad, for the fuzz targets, including those of the
// corpus if it exists.
func seeds(f *testing.F) [][]byte {
	var out [][]byte
	for _, c := range typical {
		out = append(out, []byte(c.doc))
	}
	for _, s := range []string{
		"", "{", "{}", "[]", "null", "T1S", "T1U", "T1S!", "\xff", edited(nil), streamed(nil), embedded(nil),
		edited(edit{"in_progress": "true", "end_time": ""}), edited(edit{"subsegments": "[42]"}), edited(edit{"name": `"\u00e9\ud800"`}), edited(edit{"id": `"bad"`}),
		edited(edit{"id": `""`}), edited(edit{"parent_id": `""`}), streamed(edit{"parent_id": `""`}),
		edited(edit{"start_time": "9.2e9", "end_time": "-1e-9"}), edited(edit{"cause": `"aaaaaaaaaaaaaaaa"`, "annotations": `{"a":1,"a":null,"\u0061":"x"}`, "links": `[{"trace_id":"` + docTrace + `","id":"` + docID + `","attributes":{"aws.xray.reserved.reference_type":"child"}}]`}),
		edited(edit{"namespace": `"remote"`, "sql": `{"preparation":"call"}`}), edited(edit{"sql": "{}"}), edited(edit{"sql": "[]"}), edited(edit{"sql": "null"}),
		edited(nil)[:60] + `,"http":{"request":{"url":"x"},"response":{"status":"404"}},"http":1}`,
	} {
		out = append(out, []byte(s))
	}
	root := os.Getenv("FLUORO_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	for _, pattern := range []string{"xray-docs/devguide/*.json", "xray-to-otel/*/input.segment.json"} {
		paths, err := filepath.Glob(filepath.Join(root, "corpus", filepath.FromSlash(pattern)))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			out = append(out, readFile(f, path))
		}
	}
	return out
}

func FuzzDocument(f *testing.F) {
	for _, doc := range seeds(f) {
		f.Add(doc)
	}
	for _, status := range []string{`503.0`, `5.03e2`, `"503 Service Unavailable"`, `"HTTP/1.1 503 x"`, `1e300`, `-0.5`, `"1e9"`} {
		f.Add([]byte(`{"trace_id":"1-6560a0f0-000000000000000000000bad","id":"0bad0bad0bad0bad","name":"x","start_time":1,"end_time":2,"http":{"response":{"status":` + status + `}}}`))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		original := slices.Clone(doc)
		segments, refusal := decode.Document(doc, at)
		if !bytes.Equal(doc, original) {
			t.Fatal("the document was changed")
		}
		if refusal != nil {
			if segments != nil || refusal.Code == "" || !strings.Contains(refusal.Message, refusal.Code) || !utf8.ValidString(refusal.Message) {
				t.Fatalf("%d segments, %+v", len(segments), refusal)
			}
			if refusal.Code == "ParseError" && refusal.Message == "Invalid segment. ErrorCode: ParseError" && json.Valid(doc) && utf8.Valid(doc) && !strings.Contains(refusal.Detail, "nested deeper") {
				t.Fatalf("this is JSON: %s", refusal)
			}
			return
		}
		for _, s := range segments {
			checkRestores(t, s)
			if s.Source != trace.SourceDocument {
				continue
			}
			if len(segments) != 1 || !bytes.Equal(s.Raw, bytes.Trim(original, " \t\r\n")) || !json.Valid(s.Raw) {
				t.Fatalf("%d segments, kept %q", len(segments), s.Raw)
			}
			walk(&s.Entity, func(e *trace.Entity) { checkEntity(t, s, e) })
		}
	})
}

// checkEntity checks the properties of every entity of an accepted document.
func checkEntity(t *testing.T, s *trace.Segment, e *trace.Entity) {
	if e.Name == "" || utf8.RuneCountInString(e.Name) > 200 || e.InProgress && e.End != 0 || e.HTTP.Status < 0 || !bytes.Contains(s.Raw, e.Raw) {
		t.Fatalf("%+v", e)
	}
	texts := []string{e.Name, e.User, e.Origin, e.HTTP.URL, e.Cause.Ref}
	if e.AWS != nil {
		texts = append(texts, e.AWS.Operation)
	}
	if e.SQL != nil {
		texts = append(texts, e.SQL.URL)
	}
	for _, text := range texts {
		if !utf8.ValidString(text) {
			t.Fatalf("%q is not valid UTF-8", text)
		}
	}
	// encoding/json ignores the case of names and merges duplicates, so it can only be
	// compared if all names are known ones.
	var m map[string]json.RawMessage
	if err := json.Unmarshal(e.Raw, &m); err != nil {
		t.Fatal(err)
	}
	var id, name, user string
	if json.Unmarshal(m["id"], &id) != nil || !strings.EqualFold(id, e.ID.String()) {
		t.Fatalf("id %s of %s", e.ID, e.Raw)
	}
	if json.Unmarshal(m["name"], &name) != nil || !strings.HasPrefix(name, e.Name) {
		t.Fatalf("name %q of %s", e.Name, e.Raw)
	}
	if json.Unmarshal(m["user"], &user) == nil && user != e.User {
		t.Fatalf("user %q of %s", e.User, e.Raw)
	}
	var annotations map[string]json.RawMessage
	if json.Unmarshal(m["annotations"], &annotations) == nil {
		want := scalars(annotations)
		if got := annotationTexts(e); !reflect.DeepEqual(got, want) || len(got) != len(e.Annotations) {
			t.Fatalf("annotations %v of %s", e.Annotations, e.Raw)
		}
	}
}

func FuzzBody(f *testing.F) {
	var docs []string
	for _, doc := range seeds(f) {
		docs = append(docs, string(doc))
		f.Add(putBody([]string{string(doc)}))
	}
	f.Add(putBody(docs))
	for _, s := range []string{
		`{}`, `[]`, `{"TraceSegmentDocuments":null}`, `{"TraceSegmentDocuments":[1]}`, `{"TraceSegmentDocuments":["\ud83d\ude00\ud800\u0041"],"TraceSegmentDocuments":["a"]}`, `{"a":[[["`, `{"TraceSegmentDocuments":["é","\u00e9`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		original := slices.Clone(body)
		docs, err := decode.Body(body)
		if !bytes.Equal(body, original) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			var e *decode.SerializationError
			if !errors.As(err, &e) || docs != nil {
				t.Fatalf("%v, %d documents", err, len(docs))
			}
			return
		}
		var texts []string
		for _, d := range docs {
			if !utf8.Valid(d) || cap(d) != len(d) {
				t.Fatalf("%q of capacity %d", d, cap(d))
			}
			texts = append(texts, string(d))
		}
		again, err := decode.Body(putBody(texts))
		if err != nil || len(again) != len(docs) {
			t.Fatalf("%d documents, written anew %d: %v", len(docs), len(again), err)
		}
		for i := range docs {
			if !bytes.Equal(again[i], docs[i]) {
				t.Fatalf("document %d: %q, written anew %q", i, docs[i], again[i])
			}
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatal(err)
		}
		var list []string
		if raw, found := want["TraceSegmentDocuments"]; found && json.Unmarshal(raw, &list) != nil || !slices.Equal(list, texts) {
			t.Fatalf("got %q, encoding/json reads %q", texts, list)
		}
	})
}

func FuzzDatagram(f *testing.F) {
	for _, doc := range seeds(f) {
		f.Add(append([]byte("{\"format\":\"json\",\"version\":1}\n"), doc...))
	}
	for _, s := range []string{"", "\n", "{\"version\":1.0,\"format\":\"JSON\"}\n{}", "{\"format\":\"json\",\"version\":2}\n{}", "{\"format\": \"json\", \"version\": 1}\n", "x\ny"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		original := slices.Clone(b)
		body, refusal := decode.Datagram(b)
		if !bytes.Equal(b, original) {
			t.Fatal("the datagram was changed")
		}
		header, rest, found := bytes.Cut(original, []byte("\n"))
		if refusal != nil {
			if body != nil || refusal.Code == "" || refusal.Message == "" || len(refusal.Message) > 1000 {
				t.Fatalf("%q, %+v", body, refusal)
			}
			return
		}
		if !found || len(body) == 0 || !bytes.Equal(body, rest) || !json.Valid(header) {
			t.Fatalf("header %q, body %q", header, body)
		}
	})
}
