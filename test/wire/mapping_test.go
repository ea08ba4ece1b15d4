package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// exporterCases lists the folders with an OTLP request and the documents that the
// collector's awsxrayexporter makes of it, with the exporter's default options.
func exporterCases(t *testing.T) (dirs []string) {
	t.Helper()
	patterns := []string{filepath.Join(harness.Root(), "internal", "decode", "otlp", "testdata", "*")}
	for _, folder := range []string{"otel-to-xray", "otlp", "sdk-captures", "zipkin"} {
		patterns = append(patterns, filepath.Join(harness.Shared(t), "corpus", folder, "*"))
	}
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(pattern, "expected.segments.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), "options.json")); err != nil {
				dirs = append(dirs, filepath.Dir(path))
			}
		}
	}
	if len(dirs) < 20 {
		t.Fatalf("only %d cases", len(dirs))
	}
	return dirs
}

// sendOTLP posts a protobuf request to a listener; the server must accept all its
// spans.
func sendOTLP(t *testing.T, s *harness.Server, body []byte) {
	t.Helper()
	res, err := http.Post("http://"+s.OTLP+"/v1/traces", "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || len(text) > 0 {
		t.Fatalf("status %d, %q", res.StatusCode, text)
	}
}

// exported returns the documents of the exporter, by trace and id. An id that the
// exporter drew at random is "ee…".
func exported(t *testing.T, dir string) (docs []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "expected.segments.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &docs); err != nil {
		t.Fatal(err)
	}
	return docs
}

// putParents sends a segment for each parent that is missing among the documents: X-Ray
// shows subsegments only below their parent.
func putParents(s *harness.Server, docs []map[string]any) {
	sent := map[any]bool{}
	for _, d := range docs {
		sent[d["id"]] = true
	}
	for _, d := range docs {
		if parent := d["parent_id"]; d["type"] == "subsegment" && !sent[parent] {
			sent[parent] = true
			s.Put(fmt.Sprintf(`{"trace_id":%q,"id":%q,"name":"parent","start_time":1,"end_time":2}`, d["trace_id"], parent))
		}
	}
}

// shownAs returns all segments and subsegments of a trace by id, subsegments with a >
// before it: a client and its server may share one id. It omits the members that X-Ray
// adds.
func shownAs(t *testing.T, s *harness.Server, trace string) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	var walk func(doc map[string]any, mark string)
	walk = func(doc map[string]any, mark string) {
		children, _ := doc["subsegments"].([]any)
		delete(doc, "subsegments")
		if aws, _ := doc["aws"].(map[string]any); aws != nil {
			delete(aws, "resource_names")
		}
		out[mark+doc["id"].(string)] = doc
		for _, c := range children {
			walk(c.(map[string]any), ">")
		}
	}
	var answer struct {
		Traces []struct{ Segments []struct{ Document string } }
	}
	s.Ask("/Traces", map[string]any{"TraceIds": []string{trace}}, &answer)
	for _, tr := range answer.Traces {
		for _, seg := range tr.Segments {
			var doc map[string]any
			if err := json.Unmarshal([]byte(seg.Document), &doc); err != nil {
				t.Fatalf("%v: %s", err, seg.Document)
			}
			if doc["inferred"] != true {
				walk(doc, "")
			}
		}
	}
	return out
}

// checkExported compares what the server shows with the exporter's documents.
func checkExported(t *testing.T, s *harness.Server, when string, want []map[string]any) {
	t.Helper()
	shown := map[string]map[string]map[string]any{}
	drawn := map[string]string{} // ids that the exporter drew at random, ee…, and ours
	for _, w := range want {
		trace, id := w["trace_id"].(string), w["id"].(string)
		if shown[trace] == nil {
			shown[trace] = shownAs(t, s, trace)
		}
		if w["type"] == "subsegment" {
			w, id = maps.Clone(w), ">"+id
			for _, inherited := range []string{"type", "trace_id", "parent_id"} {
				delete(w, inherited)
			}
		}
		if got := shown[trace][id]; got == nil {
			t.Errorf("%s: segment %s is not shown", when, id)
		} else if diff := difference("", got, w, drawn); diff != "" {
			t.Errorf("%s: segment %s: %s", when, id, diff)
		}
	}
}

// difference tells where two values differ, "" if they are equal.
func difference(path string, got, want any, drawn map[string]string) string {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		names := slices.Sorted(maps.Keys(w))
		if more := slices.Sorted(maps.Keys(g)); !slices.Equal(names, more) {
			return fmt.Sprintf("%s has %v, want %v", path, more, names)
		}
		for _, name := range names {
			if diff := difference(path+"."+name, g[name], w[name], drawn); diff != "" {
				return diff
			}
		}
		return ""
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			return fmt.Sprintf("%s is %v, want %v", path, got, want)
		}
		for i := range w {
			if diff := difference(fmt.Sprintf("%s[%d]", path, i), g[i], w[i], drawn); diff != "" {
				return diff
			}
		}
		return ""
	case string:
		if g, _ := got.(string); strings.HasPrefix(w, "ee0000000000") && len(g) == len(w) && (drawn[w] == "" || drawn[w] == g) {
			drawn[w] = g
			return ""
		}
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Sprintf("%s is %v, want %v", path, got, want)
	}
	return ""
}

// mappedSpan is a request with one span that the two mappings name differently if it is
// a CLIENT span (kind 3).
const mappedSpan = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"spans":[{
	"traceId":"%s","spanId":"00000000000000%s","name":"GET","kind":%d,"startTimeUnixNano":"%d","endTimeUnixNano":"%d","attributes":[
	{"key":"server.address","value":{"stringValue":"stock"}},{"key":"tier","value":{"stringValue":"gold"}}]}]}]}]}`

// TestMapping_change changes the mapping between starts: spans keep the mapping of
// their receipt, in documents, searches and graphs, and one that is sent again counts
// once.
func TestMapping_change(t *testing.T) {
	s := harness.Start(t, "--settle=300ms")
	now := time.Now().UnixNano()
	send := func(trace, span string, kind int) {
		t.Helper()
		res, err := http.Post("http://"+s.OTLP+"/v1/traces", "application/json", strings.NewReader(fmt.Sprintf(mappedSpan, trace, span, kind, now, now+1e6)))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
	}
	native, collector := "66669980000000000000000000000001", "66669980000000000000000000000002"
	trace := func(hex string) string { return "1-" + hex[:8] + "-" + hex[8:] }
	check := func(when string) {
		t.Helper()
		for filter, want := range map[string]string{`service("stock")`: native, `service("GET")`: collector} {
			if got := s.Summaries(filter); len(got) != 1 || got[0].Id != trace(want) {
				t.Errorf("%s: %s finds %v, want %s", when, filter, got, trace(want))
			}
		}
		if got := s.Summaries(`annotation[tier] = "gold"`); len(got) != 2 {
			t.Errorf("%s: %d traces have the attribute", when, len(got))
		}
		names := map[string]int{}
		var graph struct {
			Services []struct {
				Name              string
				SummaryStatistics struct{ TotalCount int }
			}
		}
		s.Ask("/ServiceGraph", map[string]any{"StartTime": now/1e9 - 60, "EndTime": now/1e9 + 60}, &graph)
		for _, service := range graph.Services {
			names[service.Name] += service.SummaryStatistics.TotalCount
		}
		if names["stock"] != 1 || names["GET"] != 1 {
			t.Errorf("%s: the graph has %v", when, names)
		}
	}
	settled := func() {
		t.Helper()
		harness.Eventually(t, "all are settled", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
	}
	send(native, "01", 3)
	settled()
	s.Stop()
	s.Restart("--settle=300ms", "--otlp-mapping=collector")
	send(collector, "02", 3)
	check("open")
	settled()
	check("settled")
	s.Stop()
	s.Restart("--settle=300ms")
	check("with the first mapping again")
	s.Stop()
	s.Restart("--settle=300ms", "--otlp-mapping=collector")
	again := "66669980000000000000000000000003"
	send(again, "03", 2)
	s.Stop()
	s.Restart("--settle=300ms")
	send(again, "03", 2) // its sender did not learn that it was stored
	settled()
	if n := len(shownAs(t, s, trace(again))); n != 1 {
		t.Errorf("a span that was sent again is shown %d times", n)
	}
}

// With --otlp-mapping=collector, the server shows spans as X-Ray shows the documents of
// the collector's awsxrayexporter: while a trace is open, when it is settled, and after
// a restart with the other mapping.
func TestMapping_collector(t *testing.T) {
	for _, dir := range exporterCases(t) {
		t.Run(filepath.Base(filepath.Dir(dir))+"/"+filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, "--otlp-mapping=collector", "--settle=300ms")
			want := exported(t, dir)
			putParents(s, want)
			body, err := os.ReadFile(filepath.Join(dir, "input.otlp.pb"))
			if err != nil {
				t.Fatal(err)
			}
			sendOTLP(t, s, body)
			checkExported(t, s, "open", want)
			harness.Eventually(t, "all are settled", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
			checkExported(t, s, "settled", want)
			s.Stop()
			s.Restart()
			checkExported(t, s, "after a restart with the other mapping", want)
		})
	}
}
