package assemble_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
)

func TestRules(t *testing.T) {
	cases := harness.Cases(t, "testdata")
	if len(cases) < 40 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			got := ask(t, c)
			var want any
			if err := json.Unmarshal(c.Answer, &want); err != nil {
				t.Fatal(err)
			}
			diffs := harness.Differences("answer", got, want)
			if len(diffs) == 0 {
				return
			}
			text, _ := json.MarshalIndent(got, "", " ")
			t.Errorf("%s\n%s\nthe whole answer:\n%s", c.Rule, strings.Join(diffs, "\n"), text)
		})
	}
}

// ask assembles the documents and answers the question as JSON-like values.
func ask(t *testing.T, c *harness.Case) any {
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
			b.Add(assemble.Trace(id, segments[id]), nil)
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

// Views write an answer in the fewest words that distinguish answers. A service is
// "name|type"; sets are sorted.

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
