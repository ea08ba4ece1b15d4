package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Case is a readable case of one rule, in a JSON file: documents, a question and the
// answer that the rule demands. The file has the rule's name.
//
// Documents without trace_id belong to the trace "1-00000000-" + 24 zeros; times are
// seconds. "received" has the time at which each document was accepted, in seconds;
// if absent, all are accepted together at 100. "window" restricts a graph to the
// receipts from its first second until before its last.
//
// The questions "summary" and "documents" ask about the first document's trace,
// "graph" about the graph of all. Any other question is the path of an operation,
// called with "request" and answered with "status", 200 if absent; only a server can
// answer it.
type Case struct {
	Name      string            `json:"-"`
	Rule      string            `json:"rule"`
	Source    string            `json:"source"`
	Documents []json.RawMessage `json:"documents"`
	Received  []float64         `json:"received"`
	Window    []float64         `json:"window"`
	Question  string            `json:"question"`
	Request   json.RawMessage   `json:"request"`
	Status    int               `json:"status"`
	Answer    json.RawMessage   `json:"answer"`
}

// DefaultTrace is the trace of documents without a trace id.
const DefaultTrace = "1-00000000-000000000000000000000000"

// Cases reads all cases of a directory.
func Cases(t testing.TB, dir string) []*Case {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in %s (%v)", dir, err)
	}
	var out []*Case
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := &Case{Name: strings.TrimSuffix(filepath.Base(file), ".json")}
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(c); err != nil {
			t.Fatalf("read %s: %v", file, err)
		}
		if c.Rule == "" || c.Source == "" || len(c.Answer) == 0 || len(c.Received) > 0 && len(c.Received) != len(c.Documents) {
			t.Fatalf("%s lacks its rule, source or answer, or has too few times of receipt", file)
		}
		out = append(out, c)
	}
	return out
}

// whole are the objects whose members must all be expected; of other objects, an
// answer lists only the relevant members.
var whole = []string{"services", "edges", "annotations", "responses", "durations", "ages"}

// Differences lists where got differs from want. Lists must be equal, objects may
// have more members than want, and the text "absent" stands for a missing member.
// Numbers may differ by a microsecond, the precision of recordings.
func Differences(path string, got, want any) []string {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			break
		}
		var out []string
		for k, w := range want {
			g, has := got[k]
			switch {
			case w == "absent" && has:
				out = append(out, fmt.Sprintf("%s.%s is %v, want none", path, k, g))
			case w == "absent":
			case !has:
				out = append(out, fmt.Sprintf("%s.%s is missing", path, k))
			default:
				out = append(out, Differences(path+"."+k, g, w)...)
			}
		}
		if slices.Contains(whole, path[strings.LastIndexByte(path, '.')+1:]) {
			for k := range got {
				if _, has := want[k]; !has {
					out = append(out, fmt.Sprintf("%s has %s too much", path, k))
				}
			}
		}
		slices.Sort(out)
		return out
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			break
		}
		var out []string
		for i := range want {
			out = append(out, Differences(fmt.Sprintf("%s[%d]", path, i), got[i], want[i])...)
		}
		return out
	case float64:
		if got, ok := got.(float64); ok && math.Abs(got-want) < 1e-6 {
			return nil
		}
	default:
		if reflect.DeepEqual(got, want) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is %v, want %v", path, got, want)}
}
