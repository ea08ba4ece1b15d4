package assemble_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// recordedTraces returns the folder of traces that X-Ray itself returned: beside the
// repository, or in FLUORO_SHARED.
func recordedTraces(t testing.TB) string {
	t.Helper()
	root := os.Getenv("FLUORO_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	dir := filepath.Join(root, "corpus", "xray-traces")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the corpus is missing: %v (FLUORO_SHARED names its folder)", err)
		}
		t.Skipf("no corpus: %v (FLUORO_SHARED names its folder)", err)
	}
	return dir
}

// readJSON reads a JSON file into v and reports whether it exists.
func readJSON(t testing.TB, v any, path ...string) bool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if os.IsNotExist(err) {
		return false
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatalf("read %s: %v", filepath.Join(path...), err)
	}
	return true
}

// decodeAll decodes documents in order; each gets its own receipt unless at returns
// one.
func decodeAll(t testing.TB, docs []json.RawMessage, at func(i int) trace.Time) []*trace.Segment {
	t.Helper()
	var segments []*trace.Segment
	for i, doc := range docs {
		got, refusal := decode.Document(slices.Clone(doc), at(i))
		if refusal != nil {
			t.Fatalf("document %d %.80s: %v", i, doc, refusal)
		}
		segments = append(segments, got...)
	}
	return segments
}

// recorded holds the content of a folder of the corpus.
type recorded struct {
	Answer struct {
		Traces []struct {
			ID       string `json:"Id"`
			Duration float64
			Segments []struct{ ID, Document string }
		}
	}
	Inferred []map[string]any
	Summary  *recordedSummary
	trace    *trace.Trace
}

type recordedSummary struct {
	Duration           float64 `json:"duration"`
	Segments           int     `json:"segments"` // inferred ones included
	Inferred           int     `json:"inferred"`
	Entities           int     `json:"entities"`
	MinStart           float64 `json:"min_start"`
	MaxEnd             float64 `json:"max_end"`
	EntitiesWith       struct{ Error, Fault, Throttle, InProgress int }
	ServitraceExpected struct {
		StartTime float64 `json:"start_time"`
		EndTime   float64 `json:"end_time"`
		Duration  float64 `json:"duration"`
		URL       string  `json:"url"`
		Errors    int
		Throttles int
		Faults    int
		Services  []string
	} `json:"servitrace_expected"`
}

var recordedItems = []string{"awscli-scorekeep", "servitrace/realworld_app", "servitrace/thumbnail_app_warm", "servitrace/todo_app"}

func readRecorded(t *testing.T, item string) *recorded {
	t.Helper()
	dir := filepath.Join(recordedTraces(t), filepath.FromSlash(item))
	var docs []json.RawMessage
	r := &recorded{}
	if !readJSON(t, &docs, dir, "input.documents.json") || !readJSON(t, &r.Answer, dir, "batch-get-traces.json") || !readJSON(t, &r.Inferred, dir, "expected.inferred.json") {
		t.Fatalf("%s lacks files", dir)
	}
	if strings.HasPrefix(item, "servitrace/") {
		r.Summary = &recordedSummary{}
		if !readJSON(t, r.Summary, dir, "expected.summary.json") {
			t.Fatalf("%s lacks the summary", dir)
		}
	}
	if len(r.Answer.Traces) != 1 {
		t.Fatalf("%s holds %d traces, want 1", dir, len(r.Answer.Traces))
	}
	segments := decodeAll(t, docs, func(i int) trace.Time { return trace.Time(i + 1) })
	r.trace = assemble.Trace(segments[0].TraceID, segments)
	if got := r.trace.ID.String(); got != r.Answer.Traces[0].ID {
		t.Fatalf("trace id %s, want %s", got, r.Answer.Traces[0].ID)
	}
	return r
}

// The test compares X-Ray's answers member by member, except the ids that X-Ray made
// up for inferred segments.
func TestDocuments_asXRayReturnedThem(t *testing.T) {
	for _, item := range recordedItems {
		t.Run(item, func(t *testing.T) {
			r := readRecorded(t, item)
			docs, duration, known := assemble.Documents(r.trace)
			want := map[string]map[string]any{}
			for _, s := range r.Answer.Traces[0].Segments {
				doc := object(t, []byte(s.Document))
				if doc["id"] != s.ID {
					t.Fatalf("recorded document %s has id %v", s.ID, doc["id"])
				}
				want[recordedKey(doc)] = doc
			}
			if len(docs) != len(want) {
				t.Errorf("%d documents, want %d", len(docs), len(want))
			}
			for _, d := range docs {
				doc := object(t, d.JSON)
				if doc["id"] != d.ID {
					t.Errorf("document %s has id %v", d.ID, doc["id"])
				}
				expected := want[recordedKey(doc)]
				if expected == nil {
					t.Errorf("document that X-Ray did not return: %s", d.JSON)
					continue
				}
				delete(want, recordedKey(doc))
				for _, diff := range differences("", replaceOwnIDs(doc), replaceOwnIDs(expected)) {
					t.Errorf("document %s%s", d.ID, diff)
				}
			}
			for key := range want {
				t.Errorf("missing: %s", key)
			}
			if got := math.Round(duration.Seconds()*1000) / 1000; !known || got != r.Answer.Traces[0].Duration {
				t.Errorf("duration %v (known: %v), want %v", got, known, r.Answer.Traces[0].Duration)
			}
		})
	}
}

func TestDocuments_inferredSegmentsAsXRayMadeThem(t *testing.T) {
	for _, item := range recordedItems {
		t.Run(item, func(t *testing.T) {
			r := readRecorded(t, item)
			docs, _, _ := assemble.Documents(r.trace)
			again, _, _ := assemble.Documents(r.trace)
			if !reflect.DeepEqual(docs, again) {
				t.Error("a second read differs from the first")
			}
			ids := map[string]bool{}
			for e := range assemble.All(r.trace) {
				ids[e.ID.String()] = true
			}
			made := map[string]map[string]any{}
			for _, d := range docs {
				if doc := object(t, d.JSON); doc["inferred"] == true {
					if ids[d.ID] {
						t.Errorf("the id %s of an inferred segment is taken", d.ID)
					}
					ids[d.ID] = true
					made[doc["parent_id"].(string)] = doc
				}
			}
			if len(made) != len(r.Inferred) {
				t.Errorf("%d inferred segments, want %d", len(made), len(r.Inferred))
			}
			for _, want := range r.Inferred {
				parent := want["parent_id"].(string)
				for _, diff := range differences("", replaceOwnIDs(made[parent]), replaceOwnIDs(want)) {
					t.Errorf("inferred from %s%s", parent, diff)
				}
			}
		})
	}
}

func TestSummary_asXRayCountedIt(t *testing.T) {
	for _, item := range recordedItems {
		t.Run(item, func(t *testing.T) {
			r := readRecorded(t, item)
			if r.Summary == nil {
				t.Skip("the item has no summary")
			}
			want, s := r.Summary, assemble.Summary(r.trace)
			if s.Duration == nil || s.Duration.Round(time.Millisecond).Seconds() != want.Duration {
				t.Errorf("duration %v, want %v", s.Duration, want.Duration)
			}
			if !near(s.Start.Seconds(), want.MinStart) || !near(s.End.Seconds(), want.MaxEnd) {
				t.Errorf("from %v to %v, want %v to %v", s.Start.Seconds(), s.End.Seconds(), want.MinStart, want.MaxEnd)
			}
			docs, _, _ := assemble.Documents(r.trace)
			entities, origins := 0, []string{}
			for _, d := range docs {
				doc := object(t, d.JSON)
				entities += countEntities(doc)
				if origin, ok := doc["origin"].(string); ok {
					origins = append(origins, origin)
				}
			}
			if len(docs) != want.Segments || len(docs)-len(r.trace.Segments) != want.Inferred || entities != want.Entities {
				t.Errorf("%d segments, %d inferred, %d entities, want %d, %d, %d", len(docs), len(docs)-len(r.trace.Segments), entities, want.Segments, want.Inferred, want.Entities)
			}
			p := want.ServitraceExpected
			if s.HTTP.URL != p.URL {
				t.Errorf("url %q, want %q", s.HTTP.URL, p.URL)
			}
			slices.Sort(origins)
			slices.Sort(p.Services)
			if !slices.Equal(origins, p.Services) {
				t.Errorf("services %v, want %v", origins, p.Services)
			}
			if s.HasError || s.HasFault || s.HasThrottle || p.Errors+p.Faults+p.Throttles != 0 {
				t.Errorf("error %v, fault %v, throttle %v, want none", s.HasError, s.HasFault, s.HasThrottle)
			}
			if s.Partial || s.InProgress || s.ResponseTime == nil {
				t.Errorf("partial %v, in progress %v, response time %v", s.Partial, s.InProgress, s.ResponseTime)
			}
		})
	}
}

// recordedKey identifies a document; inferred ones by their parent, because their
// own ids are made up.
func recordedKey(doc map[string]any) string {
	if doc["inferred"] == true {
		return fmt.Sprintf("inferred from %v", doc["parent_id"])
	}
	return fmt.Sprint(doc["id"])
}

// replaceOwnIDs replaces the ids that X-Ray made up.
func replaceOwnIDs(doc map[string]any) map[string]any {
	if doc["inferred"] != true {
		return doc
	}
	out := map[string]any{}
	for k, v := range doc {
		out[k] = v
	}
	out["id"] = "made up"
	return out
}

func countEntities(doc map[string]any) int {
	n := 1
	list, _ := doc["subsegments"].([]any)
	for _, s := range list {
		n += countEntities(s.(map[string]any))
	}
	return n
}

func object(t testing.TB, text []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// near compares times in seconds with the precision of X-Ray's recordings, which are
// floating-point numbers.
func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// differences lists where two JSON values differ; the order of subsegments does not
// matter.
func differences(path string, got, want any) []string {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			break
		}
		var out []string
		for k, w := range want {
			if g, has := got[k]; !has {
				out = append(out, fmt.Sprintf("%s.%s is missing", path, k))
			} else {
				out = append(out, differences(path+"."+k, g, w)...)
			}
		}
		for k := range got {
			if _, has := want[k]; !has {
				out = append(out, fmt.Sprintf("%s.%s is too much", path, k))
			}
		}
		return out
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			break
		}
		if strings.HasSuffix(path, ".subsegments") {
			got, want = byID(got), byID(want)
		}
		var out []string
		for i := range want {
			out = append(out, differences(fmt.Sprintf("%s[%d]", path, i), got[i], want[i])...)
		}
		return out
	case float64:
		if got, ok := got.(float64); ok && near(got, want) {
			return nil
		}
	default:
		if reflect.DeepEqual(got, want) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is %v, want %v", path, got, want)}
}

func byID(list []any) []any {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b any) int {
		return strings.Compare(fmt.Sprint(a.(map[string]any)["id"]), fmt.Sprint(b.(map[string]any)["id"]))
	})
	return list
}
