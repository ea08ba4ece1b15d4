package otlp_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// goldenOptions reads the exporter options beside a golden.
func goldenOptions(t *testing.T, dir string) otlp.Options {
	o := otlp.Options{Profile: otlp.ProfileCollector}
	b, err := os.ReadFile(filepath.Join(dir, "options.json"))
	if err != nil {
		return o
	}
	var in struct {
		Indexed  []string `json:"indexed_attributes"`
		All      bool     `json:"index_all_attributes"`
		Groups   []string `json:"aws_log_groups"`
		SkipTime *bool    `json:"skip_timestamp_validation"`
		AllowDot *bool    `json:"allow_dot"`
	}
	if err := json.Unmarshal(b, &in); err != nil {
		t.Fatal(err)
	}
	o.IndexedAttributes, o.IndexAllAttributes, o.LogGroups = in.Indexed, in.All, in.Groups
	o.CheckTraceIDTime = in.SkipTime != nil && !*in.SkipTime
	o.ReplaceDots = in.AllowDot != nil && !*in.AllowDot
	return o
}

// rendered renders the document of each segment and decodes it.
func rendered(t testing.TB, m *otlp.Mapper, segs []*trace.Segment) []any {
	t.Helper()
	out := []any{}
	for _, s := range segs {
		r, err := rendering(m, s)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(r.Entity.Raw, &v); err != nil {
			t.Fatalf("rendered %s: %v", r.Entity.Raw, err)
		}
		out = append(out, v)
	}
	return out
}

var hexID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// sameJSON compares values. Ids that the reference drew at random (ee00000000000001 …)
// may be any id, but the same one each time.
func sameJSON(got, want any, path string, ids map[string]string) error {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: %v, want %v", path, got, want)
		}
		for k := range g {
			if _, ok := w[k]; !ok {
				return fmt.Errorf("%s.%s: %v, want none", path, k, g[k])
			}
		}
		for k, v := range w {
			gv, ok := g[k]
			if !ok {
				return fmt.Errorf("%s.%s is missing, want %v", path, k, v)
			}
			if err := sameJSON(gv, v, path+"."+k, ids); err != nil {
				return err
			}
		}
		return nil
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Errorf("%s: %v, want %v", path, got, want)
		}
		for i := range w {
			if err := sameJSON(g[i], w[i], fmt.Sprintf("%s[%d]", path, i), ids); err != nil {
				return err
			}
		}
		return nil
	case string:
		if g, ok := got.(string); ok && strings.HasPrefix(w, "ee0000000000") && hexID.MatchString(g) {
			if have, seen := ids[w]; seen && have != g {
				return fmt.Errorf("%s: generated id %s, elsewhere %s", path, g, have)
			}
			for other, have := range ids {
				if other != w && have == g {
					return fmt.Errorf("%s: generated id %s is used twice", path, g)
				}
			}
			ids[w] = g
			return nil
		}
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s: %#v, want %#v", path, got, want)
	}
	return nil
}

// Every golden of the collector's exporter is reproduced, from protobuf and from JSON.
func TestMapper_goldens(t *testing.T) {
	goldens(t, 13, filepath.Join("testdata", "*"))
}

func TestMapper_goldensOfCorpus(t *testing.T) {
	dir := corpus(t)
	goldens(t, 17, filepath.Join(dir, "otel-to-xray", "*"), filepath.Join(dir, "otlp", "*"),
		filepath.Join(dir, "sdk-captures", "*"), filepath.Join(dir, "zipkin", "*"))
}

// goldens compares the goldens in some folders; there must be at least n of them.
func goldens(t *testing.T, n int, patterns ...string) {
	var paths []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(pattern, "expected.segments.json"))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	if len(paths) < n {
		t.Fatalf("found only %d goldens", len(paths))
	}
	for _, path := range paths {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m := otlp.NewMapper(goldenOptions(t, dir))
			var want any
			if err := json.Unmarshal(readFile(t, path), &want); err != nil {
				t.Fatal(err)
			}
			proto, err := m.Proto(readFile(t, dir, "input.otlp.pb"), at)
			if err != nil {
				t.Fatal(err)
			}
			if err := sameJSON(rendered(t, m, proto.Segments), want, "", map[string]string{}); err != nil {
				t.Error("protobuf:", err)
			}
			var refused []any
			if b, err := os.ReadFile(filepath.Join(dir, "expected.rejected.json")); err == nil {
				if err := json.Unmarshal(b, &refused); err != nil {
					t.Fatal(err)
				}
			}
			if proto.RejectedSpans != len(refused) {
				t.Errorf("rejected %v, want %v", proto.Rejected, refused)
			}
			fromJSON, err := m.JSON(readFile(t, dir, "input.otlp.json"), at)
			if err != nil {
				t.Fatal(err)
			}
			if err := sameJSON(rendered(t, m, fromJSON.Segments), want, "", map[string]string{}); err != nil {
				t.Error("JSON:", err)
			}
			for i, s := range fromJSON.Segments {
				sameSegment(t, s, proto.Segments[i])
			}
		})
	}
}

// sameSegment compares the content of segments, not their received bytes.
func sameSegment(t testing.TB, got, want *trace.Segment) {
	t.Helper()
	g, w := *got, *want
	g.Raw, w.Raw, g.Scope, w.Scope = nil, nil, nil, nil
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %+v\nwant %+v", g, w)
	}
}

func TestMapper_capturedRequest(t *testing.T) {
	dir := filepath.Join(corpus(t), "sdk-captures", "adot-node-0.13.0-xray-sampler")
	spans, err := otlp.Proto(readFile(t, dir, "request.body.bin"), at)
	if err != nil || spans.Spans != 47 || spans.RejectedSpans != 0 {
		t.Fatalf("%d spans, %v, %v", spans.Spans, spans.Rejected, err)
	}
	traces := map[trace.ID]bool{}
	for _, s := range spans.Segments {
		traces[s.TraceID] = true
	}
	if len(traces) != 7 {
		t.Errorf("%d traces, want 7", len(traces))
	}
}

// eachLine calls do for the lines of a compressed file.
func eachLine(t testing.TB, do func(line []byte), path ...string) {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(readFile(t, path...)))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		do(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestMapper_dataset(t *testing.T) {
	dir := filepath.Join(corpus(t), "datasets", "trainticket-baseline-0130")
	m := otlp.NewMapper(otlp.Options{Profile: otlp.ProfileCollector})
	got := map[string]any{}
	spans := 0
	eachLine(t, func(line []byte) {
		s, err := m.JSON(line, at)
		if err != nil || s.RejectedSpans > 0 {
			t.Fatal(err, s.Rejected)
		}
		spans += s.Spans
		for i, v := range rendered(t, m, s.Segments) {
			got[s.Segments[i].TraceID.String()+s.Segments[i].ID.String()] = v
		}
	}, dir, "input.otlp.jsonl.gz")
	if spans != 4595 {
		t.Errorf("%d spans, want 4595", spans)
	}
	compared := 0
	eachLine(t, func(line []byte) {
		var want any
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatal(err)
		}
		docs, ok := want.([]any)
		if !ok {
			docs = []any{want}
		}
		for _, doc := range docs {
			d := doc.(map[string]any)
			if err := sameJSON(got[d["trace_id"].(string)+d["id"].(string)], doc, "", map[string]string{}); err != nil {
				t.Fatal(err)
			}
			compared++
		}
	}, dir, "expected.segments.jsonl.gz")
	if compared == 0 {
		t.Error("nothing compared")
	}
	t.Logf("compared %d documents", compared)
}
