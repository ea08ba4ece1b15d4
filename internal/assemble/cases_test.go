package assemble_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// ruleCase is one file of testdata: documents, a question and the answer that one
// rule demands. The file's name is the rule's.
//
// Documents without trace_id belong to the trace "1-00000000-" + 24 zeros; times
// are seconds. "received" says when each document was accepted, in seconds; all
// together at 100 if absent. "window" restricts a graph to what was received from
// its first second to before its last.
type ruleCase struct {
	Rule      string            `json:"rule"`
	Source    string            `json:"source"`
	Documents []json.RawMessage `json:"documents"`
	Received  []float64         `json:"received"`
	Window    []float64         `json:"window"`
	Question  string            `json:"question"`
	Answer    json.RawMessage   `json:"answer"`
}

func TestRules(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d cases (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			c := readCase(t, file)
			got := c.ask(t)
			var want any
			if err := json.Unmarshal(c.Answer, &want); err != nil {
				t.Fatal(err)
			}
			diffs := subset("answer", got, want)
			if len(diffs) == 0 {
				return
			}
			text, _ := json.MarshalIndent(got, "", " ")
			t.Errorf("%s\n%s\nthe whole answer:\n%s", c.Rule, strings.Join(diffs, "\n"), text)
		})
	}
}

func readCase(t *testing.T, file string) *ruleCase {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	c := &ruleCase{}
	if err := d.Decode(c); err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
	if c.Rule == "" || c.Source == "" || len(c.Documents) == 0 || len(c.Received) > 0 && len(c.Received) != len(c.Documents) {
		t.Fatalf("%s lacks its rule, source or documents, or has too few times of receipt", file)
	}
	return c
}

// ask assembles the documents and answers the question as JSON-like values.
func (c *ruleCase) ask(t *testing.T) any {
	t.Helper()
	var ids []trace.ID
	segments := map[trace.ID][]*trace.Segment{}
	for i, doc := range c.Documents {
		at := 100.0
		if len(c.Received) > 0 {
			at = c.Received[i]
		}
		got, refusal := decode.Document(withTraceID(t, doc), trace.FromSeconds(at))
		if refusal != nil {
			t.Fatalf("document %d: %v", i, refusal)
		}
		for _, s := range got {
			if segments[s.TraceID] == nil {
				ids = append(ids, s.TraceID)
			}
			segments[s.TraceID] = append(segments[s.TraceID], s)
		}
	}
	first := assemble.Trace(ids[0], segments[ids[0]])
	switch c.Question {
	case "summary":
		return viewSummary(assemble.Summary(first))
	case "documents":
		return viewDocuments(t, first)
	case "graph":
		var window *trace.Window
		if len(c.Window) == 2 {
			window = &trace.Window{Start: trace.FromSeconds(c.Window[0]), End: trace.FromSeconds(c.Window[1])}
		}
		b := assemble.NewGraph(window)
		for _, id := range ids {
			b.Add(assemble.Trace(id, segments[id]))
		}
		for _, id := range b.Linked() {
			if segments[id] != nil {
				b.Resolve(assemble.Trace(id, segments[id]))
			}
		}
		return viewGraph(b.Graph())
	}
	t.Fatalf("no such question: %q", c.Question)
	return nil
}

// withTraceID puts the default trace id into a document that has none.
func withTraceID(t *testing.T, doc json.RawMessage) []byte {
	t.Helper()
	if _, ok := object(t, doc)["trace_id"]; ok {
		return slices.Clone(doc)
	}
	doc = bytes.TrimSpace(doc)
	return append([]byte(`{"trace_id":"1-00000000-000000000000000000000000",`), doc[1:]...)
}

// Views: what is asked about, in the fewest words that tell answers apart. A
// service is "name|type"; sets are sorted.

func identity(s trace.Service) string { return s.Name + "|" + s.Type }

func secondsOf(d *time.Duration) any {
	if d == nil {
		return nil
	}
	return d.Seconds()
}

func texts[T any](list []T, text func(T) string) []any {
	sorted := []string{}
	for _, v := range list {
		sorted = append(sorted, text(v))
	}
	slices.Sort(sorted)
	out := []any{}
	for _, v := range sorted {
		out = append(out, v)
	}
	return out
}

func same(s string) string { return s }

func viewSummary(s *trace.Summary) any {
	annotations := map[string]any{}
	for _, a := range s.Annotations {
		values := []any{}
		for _, v := range a.Values {
			values = append(values, map[trace.ValueKind]any{trace.StringValue: v.String, trace.NumberValue: v.Number, trace.BoolValue: v.Bool}[v.Kind])
		}
		annotations[a.Key] = values
	}
	var entry any
	if s.EntryPoint != nil {
		entry = identity(*s.EntryPoint)
	}
	return map[string]any{
		"root": s.Root, "entryPoint": entry, "start": s.Start.Seconds(), "end": s.End.Seconds(), "duration": secondsOf(s.Duration), "responseTime": secondsOf(s.ResponseTime),
		"fault": s.HasFault, "error": s.HasError, "throttle": s.HasThrottle, "partial": s.Partial, "inProgress": s.InProgress, "revision": float64(s.Revision),
		"http":     map[string]any{"url": s.HTTP.URL, "method": s.HTTP.Method, "agent": s.HTTP.UserAgent, "ip": s.HTTP.ClientIP, "status": float64(s.HTTP.Status)},
		"services": texts(s.Services, identity), "users": texts(s.Users, same), "arns": texts(s.ResourceARNs, same), "instances": texts(s.InstanceIDs, same), "zones": texts(s.Zones, same),
		"annotations": annotations, "faultCauses": viewCauses(s.FaultCauses, false), "errorCauses": viewCauses(s.ErrorCauses, false), "responseCauses": viewCauses(s.ResponseCauses, true),
	}
}

// viewCauses writes an entity as its name, its coverage or its exceptions
// ("(type: message)"), and "remote".
func viewCauses(causes []trace.RootCause, coverage bool) any {
	out := []any{}
	for _, c := range causes {
		services := []any{}
		for _, s := range c.Services {
			entities := []any{}
			for _, e := range s.Entities {
				text := e.Name
				if coverage {
					text += " " + strconv.FormatFloat(e.Coverage, 'g', 6, 64)
				}
				for _, x := range e.Exceptions {
					text += " (" + x.Type + ": " + x.Message + ")"
				}
				if e.Remote {
					text += " remote"
				}
				entities = append(entities, text)
			}
			services = append(services, map[string]any{"service": identity(s.Service), "inferred": s.Inferred, "path": entities})
		}
		out = append(out, map[string]any{"clientImpacting": c.ClientImpacting, "services": services})
	}
	return out
}

func viewDocuments(t *testing.T, tr *trace.Trace) any {
	t.Helper()
	docs, duration, known := assemble.Documents(tr)
	out := map[string]any{"duration": nil}
	if known {
		out["duration"] = duration.Seconds()
	}
	list := []any{}
	for _, d := range docs {
		doc := object(t, d.JSON)
		if doc["id"] != d.ID {
			t.Errorf("document %s has id %v", d.ID, doc["id"])
		}
		list = append(list, doc)
	}
	out["documents"] = list
	return out
}

func viewGraph(g *trace.Graph) any {
	services := map[string]any{}
	for _, s := range g.Services {
		edges := map[string]any{}
		for _, e := range s.Edges {
			key := identity(e.To.Service)
			if e.Link {
				key += " link"
			}
			view := map[string]any{"responses": viewHistogram(e.ResponseTimes), "aliases": texts(e.Aliases, identity), "ages": viewHistogram(e.EventAges), "start": e.Start.Seconds(), "end": e.End.Seconds()}
			edges[key] = withCounts(view, &e.Statistics)
		}
		view := map[string]any{"state": string(s.State), "root": s.Root, "start": s.Start.Seconds(), "end": s.End.Seconds(), "edges": edges}
		if s.Statistics != nil {
			withCounts(view, s.Statistics)
			view["responses"], view["durations"] = viewHistogram(s.ResponseTimes), viewHistogram(s.Durations)
		}
		services[identity(s.Service)] = view
	}
	return map[string]any{"start": g.Start.Seconds(), "end": g.End.Seconds(), "services": services}
}

func withCounts(view map[string]any, s *trace.Statistics) any {
	view["ok"], view["error"], view["fault"], view["throttle"] = float64(s.OK), float64(s.Error), float64(s.Fault), float64(s.Throttle)
	view["total"] = s.TotalResponseTime.Seconds()
	return view
}

func viewHistogram(h *trace.Histogram) any {
	if h == nil {
		return nil
	}
	out := map[string]any{}
	for _, e := range h.Entries() {
		out[strconv.FormatFloat(e.Value, 'f', -1, 64)] = float64(e.Count)
	}
	return out
}

// whole are the members whose own members must all be expected: of other objects
// an answer names what matters.
var whole = []string{"services", "edges", "annotations", "responses", "durations", "ages"}

// subset lists where got differs from want. Lists must be alike, objects may have
// more members than want, and the text "absent" stands for a missing member.
func subset(path string, got, want any) []string {
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
				out = append(out, subset(path+"."+k, g, w)...)
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
			out = append(out, subset(fmt.Sprintf("%s[%d]", path, i), got[i], want[i])...)
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
