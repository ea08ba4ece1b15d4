// Package wire_test sends the real binary the requests of real and of hostile
// clients, and ends its process in every way.
package wire_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// read decodes a JSON file of the corpus.
func read[T any](t *testing.T, elements ...string) (v T) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, elements...), &v); err != nil {
		t.Fatalf("%v: %v", elements, err)
	}
	return v
}

func readFile(t *testing.T, elements ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{harness.Shared(t), "corpus"}, elements...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(harness.Shared(t), "corpus", pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(names), err)
	}
	return names
}

type refusal struct{ Id, ErrorCode, Message string }

// put sends documents and returns the refusals.
func put(s *harness.Server, docs ...string) []refusal {
	var answer struct{ UnprocessedTraceSegments []refusal }
	s.Ask("/TraceSegments", map[string]any{"TraceSegmentDocuments": docs}, &answer)
	return answer.UnprocessedTraceSegments
}

// Documents of the developer guide and of translators' tests are accepted and
// returned unchanged, or refused for the reason in their index.
func TestCorpus_documents(t *testing.T) {
	refused := map[string]string{
		"custom-subsegment-with-metadata":          "MissingTraceId",
		"devguide-custom-subsegment-with-metadata": "MissingTraceId",
	}
	for _, name := range append(glob(t, "xray-docs/*/*.json"), glob(t, "xray-to-otel/*/input.segment.json")...) {
		item := strings.TrimSuffix(filepath.Base(name), ".json")
		if item == "input.segment" {
			item = filepath.Base(filepath.Dir(name))
		}
		t.Run(item, func(t *testing.T) {
			s := harness.Start(t)
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var sent map[string]any
			if err := json.Unmarshal(text, &sent); err != nil {
				t.Fatal(err)
			}
			got := put(s, string(text))
			if code, bad := refused[item]; bad {
				if len(got) != 1 || got[0].ErrorCode != code || got[0].Id != sent["id"] {
					t.Fatalf("refused with %+v, not %s", got, code)
				}
				return
			}
			if len(got) != 0 {
				t.Fatalf("refused: %+v", got)
			}
			if sent["type"] == "subsegment" {
				return // shown once its parent has arrived
			}
			kept := documents(t, s, sent["trace_id"].(string))[sent["id"].(string)]
			if item == "contrib-minCauseIsInvalid" {
				delete(sent, "cause") // a number: X-Ray ignores members of a wrong type
			}
			dropTraced(sent) // as X-Ray does
			if !contains(kept, sent) {
				t.Errorf("sent %v\nkept %v", sent, kept)
			}
		})
	}
}

// dropTraced removes http.request.traced, which BatchGetTraces does not return.
func dropTraced(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "traced")
		for _, member := range v {
			dropTraced(member)
		}
	case []any:
		for _, element := range v {
			dropTraced(element)
		}
	}
}

// documents returns the documents of a trace, by id.
func documents(t *testing.T, s *harness.Server, id string) map[string]map[string]any {
	t.Helper()
	var answer struct {
		Traces []struct {
			Duration float64
			Segments []struct{ Id, Document string }
		}
	}
	s.Ask("/Traces", map[string]any{"TraceIds": []string{id}}, &answer)
	out := map[string]map[string]any{}
	for _, tr := range answer.Traces {
		for _, seg := range tr.Segments {
			var doc map[string]any
			if err := json.Unmarshal([]byte(seg.Document), &doc); err != nil {
				t.Fatalf("%v: %s", err, seg.Document)
			}
			if doc["id"] != seg.Id {
				t.Errorf("segment %s has the document of %v", seg.Id, doc["id"])
			}
			out[seg.Id] = doc
		}
	}
	return out
}

// contains reports whether everything in want is in got, null standing for absent.
func contains(got, want any) bool {
	switch w := want.(type) {
	case nil:
		return got == nil
	case map[string]any:
		g, ok := got.(map[string]any)
		for k := range w {
			ok = ok && contains(g[k], w[k])
		}
		return ok
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !contains(g[i], w[i]) {
				return false
			}
		}
		return true
	case float64:
		g, ok := got.(float64)
		return ok && math.Abs(g-w) < 1e-6*math.Max(1, math.Abs(w)/1e9)
	}
	return reflect.DeepEqual(got, want)
}

// Traces that AWS itself returned: the same documents lead to the same inferred
// segments.
func TestCorpus_tracesOfAWS(t *testing.T) {
	for _, dir := range []string{"servitrace/realworld_app", "servitrace/thumbnail_app_warm", "servitrace/todo_app", "awscli-scorekeep"} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			s := harness.Start(t)
			var docs []string
			sent := read[[]json.RawMessage](t, "xray-traces", dir, "input.documents.json")
			for _, d := range sent {
				docs = append(docs, string(d))
			}
			if got := put(s, docs...); len(got) != 0 {
				t.Fatalf("refused: %+v", got)
			}
			want := read[[]map[string]any](t, "xray-traces", dir, "expected.inferred.json")
			kept := documents(t, s, want[0]["trace_id"].(string))
			inferred := 0
			for _, doc := range kept {
				if doc["inferred"] == true {
					inferred++
				}
			}
			if inferred != len(want) || len(kept) != len(want)+len(sent) {
				t.Errorf("%d segments of which %d inferred, AWS had %d and %d", len(kept), inferred, len(want)+len(sent), len(want))
			}
			for _, w := range want {
				delete(w, "id") // drawn at random
				if !slices.ContainsFunc(slicesOf(kept), func(doc map[string]any) bool { return contains(doc, w) }) {
					t.Errorf("no inferred segment like AWS's %v in %v", w, kept)
				}
			}
		})
	}
}

func slicesOf(m map[string]map[string]any) (out []map[string]any) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

func sendDatagram(t *testing.T, s *harness.Server, b []byte) {
	t.Helper()
	c, err := net.Dial("udp", s.UDP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

const udpSeries = `fluoro_receive_segments_total{outcome=%q,protocol="udp",reason=%q}`

// Datagrams are accepted, or counted as refused with the right reason.
func TestCorpus_datagrams(t *testing.T) {
	reasons := map[string]string{
		"plain.bin": "", "otlp-sampled-shared.bin": "",
		"header-version-2.bin": "InvalidHeader", "no-newline.bin": "MissingHeader", "body-not-json.bin": "ParseError",
	}
	verdicts := read[[]struct {
		File string
		Why  string
	}](t, "udp-datagrams", "expected.json")
	for _, v := range verdicts {
		t.Run(v.File, func(t *testing.T) {
			s := harness.Start(t)
			sendDatagram(t, s, readFile(t, "udp-datagrams", v.File))
			reason, known := reasons[v.File]
			if !known {
				t.Fatalf("no verdict for %s", v.File)
			}
			harness.Eventually(t, "the datagram is counted", func() bool {
				if reason == "" {
					return s.Metric(fmt.Sprintf(udpSeries, "accepted", "")) >= 1
				}
				return s.Metric(fmt.Sprintf(udpSeries, "rejected", reason)) == 1 &&
					s.Metric(fmt.Sprintf(`fluoro_receive_refusals_total{outcome="rejected",protocol="udp",reason=%q,source="127.0.0.1"}`, reason)) == 1
			})
		})
	}
}

// Datagrams of the X-Ray SDK for Python, and facts about their traces.
func TestCorpus_sdkDatagrams(t *testing.T) {
	s := harness.Start(t)
	type traceFacts struct {
		TraceID  string `json:"trace_id"`
		Entities int
		Users    []string
		Segments []struct {
			ID, Name      string
			Fault, Error  bool
			HTTPStatus    *float64 `json:"http_status"`
			ParentID      *string  `json:"parent_id"`
			SegmentFaults bool     `json:"-"`
		}
		Annotations map[string][]any
	}
	facts := read[struct {
		Datagrams []struct{ File string }
		Traces    []traceFacts
	}](t, "sdk-captures", "xray-sdk-python-2.15.0", "expected.json")
	for _, d := range facts.Datagrams {
		sendDatagram(t, s, readFile(t, "sdk-captures", "xray-sdk-python-2.15.0", d.File))
	}
	harness.Eventually(t, "all datagrams are accepted", func() bool {
		return s.Metric(fmt.Sprintf(udpSeries, "accepted", "")) == float64(len(facts.Datagrams))
	})
	for _, f := range facts.Traces {
		entities, users, annotations := 0, []string{}, map[string][]any{}
		byID := map[string]*harness.Node{}
		for _, doc := range s.Trace(f.TraceID) {
			if doc.Inferred {
				continue
			}
			byID[doc.ID] = doc
			if doc.User != "" {
				users = append(users, doc.User)
			}
			doc.Each(func(n *harness.Node) {
				entities++
				for k, v := range n.Annotations {
					annotations[k] = append(annotations[k], v)
				}
			})
		}
		if entities != f.Entities || !slices.Equal(users, f.Users) && len(users)+len(f.Users) > 0 {
			t.Errorf("%s: %d entities and users %v, sent %d and %v", f.TraceID, entities, users, f.Entities, f.Users)
		}
		for k, v := range f.Annotations {
			if len(annotations[k]) != len(v) {
				t.Errorf("%s: annotation %s is %v, sent %v", f.TraceID, k, annotations[k], v)
			}
		}
		for _, seg := range f.Segments {
			if got := byID[seg.ID]; got == nil || got.Name != seg.Name || got.Fault != seg.Fault || got.Error != seg.Error {
				t.Errorf("%s: segment %+v is %+v", f.TraceID, seg, got)
			}
		}
	}
}

// A request of ADOT, byte by byte, with its headers.
func TestCorpus_adotRequest(t *testing.T) {
	s := harness.Start(t)
	dir := "sdk-captures/adot-node-0.13.0-xray-sampler"
	req, err := http.NewRequest(http.MethodPost, "http://"+s.OTLP+"/v1/traces", bytes.NewReader(readFile(t, dir, "request.body.bin")))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range read[struct{ Headers map[string]string }](t, dir, "request.headers.json").Headers {
		switch strings.ToLower(k) {
		case "content-type", "content-encoding", "user-agent":
			req.Header.Set(k, v)
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Fatalf("status %d", res.StatusCode)
	}
	want := read[[]map[string]any](t, dir, "expected.segments.json")
	kept := map[string]map[string]map[string]any{}
	for _, w := range want {
		id := w["trace_id"].(string)
		if kept[id] == nil {
			kept[id] = documents(t, s, id)
		}
		if w["type"] == "subsegment" {
			continue // folded into its parent
		}
		got := kept[id][w["id"].(string)]
		// A root that is not SERVER is named after its service, not after the span.
		name := w["name"]
		if got != nil && got["metadata"].(map[string]any)["otel"].(map[string]any)["kind"] == "INTERNAL" {
			name = "shop-otel"
		}
		if got == nil || got["name"] != name || !contains(got["aws"], w["aws"]) || !contains(got["service"], w["service"]) {
			t.Errorf("segment %v is %v", w, got)
		}
	}
	if len(kept) != 7 {
		t.Errorf("%d traces", len(kept))
	}
}

// Odd or malformed OTLP, compared with the collector's verdict.
func TestCorpus_oddOTLP(t *testing.T) {
	for _, v := range read[[]struct {
		File    string
		Accepts bool `json:"reference_accepts"`
	}](t, "otlp-invalid", "expected.json") {
		t.Run(v.File, func(t *testing.T) {
			s := harness.Start(t)
			res, err := http.Post("http://"+s.OTLP+"/v1/traces", "application/json", bytes.NewReader(readFile(t, "otlp-invalid", v.File)))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			partial := strings.Contains(string(body), "rejectedSpans")
			switch {
			// A span with a bad id is refused alone, where the collector refuses the
			// whole request; the zero id, which OTLP calls invalid, is refused as
			// well.
			case !v.Accepts || v.File == "zero-trace-id.json":
				if res.StatusCode == 200 && !partial {
					t.Errorf("not refused: %s", body)
				}
			case res.StatusCode != 200 || partial:
				t.Errorf("refused: status %d: %s", res.StatusCode, body)
			}
		})
	}
}

// Requests exactly as real clients sent them.
func TestCorpus_clientRequests(t *testing.T) {
	s := harness.Start(t)
	for _, name := range glob(t, "client-requests/*/*.http") {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		check(t, s, name, raw)
	}
	for _, name := range glob(t, "client-requests/sampling/*.json") {
		call := read[struct {
			Method, Path, Body string
			Headers            map[string]string
		}](t, "client-requests", "sampling", filepath.Base(name))
		var raw strings.Builder
		fmt.Fprintf(&raw, "%s %s HTTP/1.1\r\n", call.Method, call.Path)
		for k, v := range call.Headers {
			fmt.Fprintf(&raw, "%s: %s\r\n", k, v)
		}
		check(t, s, name, []byte(raw.String()+"\r\n"+call.Body))
	}
}

// check sends bytes and expects 200.
func check(t *testing.T, s *harness.Server, name string, raw []byte) {
	t.Helper()
	c, err := net.Dial("tcp", s.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(raw); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	path := strings.Fields(string(raw))[1]
	// Some name groups and rules that do not exist here.
	missing := res.StatusCode/100 == 4 && (bytes.Contains(body, []byte("does not exist")) || bytes.Contains(body, []byte("not found")))
	if res.StatusCode != http.StatusOK && !missing || !json.Valid(body) {
		t.Errorf("%s: %s answered %d %s", filepath.Base(name), path, res.StatusCode, body)
	}
}
