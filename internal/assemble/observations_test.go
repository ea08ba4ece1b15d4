package assemble_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/render"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// messy is one observation of a trace with unusual parts.
type messy struct {
	document, subsegment, open bool
	service, name, id, parent  string
	kind                       int
	start, end                 int64
	embedded                   []string // ids of embedded subsegments
}

const messyTrace = "5f84c7a1000000000000000000000001"

// random uses few ids, services, names and times, so that they often collide.
func random(rnd *rand.Rand) messy {
	id := func() string { return fmt.Sprintf("%016x", 1+rnd.IntN(5)) }
	m := messy{
		document: rnd.IntN(3) == 0, subsegment: rnd.IntN(2) == 0, open: rnd.IntN(4) == 0, id: id(),
		service: []string{"front", "orders", "payments"}[rnd.IntN(3)], name: []string{"get", "put"}[rnd.IntN(2)],
		kind: rnd.IntN(6), start: 10 + rnd.Int64N(3), end: 13 + rnd.Int64N(2),
	}
	if rnd.IntN(4) > 0 || m.document && m.subsegment {
		m.parent = id()
	}
	if m.document && rnd.IntN(2) == 0 {
		m.embedded = []string{id()}
	}
	return m
}

// decoded returns the observation as a received segment.
func (m *messy) decoded(t testing.TB, at trace.Time) *trace.Segment {
	t.Helper()
	var segments []*trace.Segment
	if m.document {
		d := map[string]any{"id": m.id, "trace_id": "1-" + messyTrace[:8] + "-" + messyTrace[8:], "name": m.service, "start_time": m.start}
		if m.open {
			d["in_progress"] = true
		} else {
			d["end_time"] = m.end
		}
		if m.parent != "" {
			d["parent_id"] = m.parent
		}
		if m.subsegment {
			d["type"] = "subsegment"
		}
		var inside []any
		for _, id := range m.embedded {
			inside = append(inside, map[string]any{"id": id, "name": m.name, "start_time": m.start, "end_time": m.end})
		}
		if inside != nil {
			d["subsegments"] = inside
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var refusal *decode.Refusal
		if segments, refusal = decode.Document(text, at); refusal != nil {
			t.Fatalf("%s: %v", text, refusal)
		}
	} else {
		end := m.end * 1e9
		if m.open {
			end = 0
		}
		text := fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}}]},"scopeSpans":[{"spans":[
			{"traceId":%q,"spanId":%q,"parentSpanId":%q,"name":%q,"kind":%d,"startTimeUnixNano":"%d","endTimeUnixNano":"%d"}]}]}]}`,
			m.service, messyTrace, m.id, m.parent, m.name, m.kind, m.start*1e9, end)
		spans, err := otlp.JSON([]byte(text), at)
		if err != nil || len(spans.Segments) != 1 {
			t.Fatalf("%v: %s", err, text)
		}
		segments = spans.Segments
	}
	return segments[0]
}

// shape returns a trace as text, without anything that depends on the order of
// acceptance.
func shape(t *trace.Trace) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d-%d open=%v partial=%v entry=%s", t.Start, t.End, t.InProgress, t.Partial, nameOf(t.Entry))
	var walk func(e *trace.Entity, depth int)
	walk = func(e *trace.Entity, depth int) {
		fmt.Fprintf(&b, "\n%s%s %s %d-%d gap=%d under=%s", strings.Repeat(" ", depth), e.ID, e.Name, e.Start, e.End, e.Gap, nameOf(e.Parent))
		for _, s := range e.Subsegments {
			walk(s, depth+1)
		}
	}
	for _, s := range t.Segments {
		walk(s, 1)
	}
	var graph []string
	for _, n := range t.Nodes {
		graph = append(graph, fmt.Sprintf("\nnode %v %v %s %d", n.Service, n.Client, n.State, len(n.Entities)))
	}
	for _, e := range t.Edges {
		graph = append(graph, fmt.Sprintf("\nedge %v %v %d", e.From.Service, e.To.Service, len(e.Calls)))
	}
	slices.Sort(graph)
	return b.String() + strings.Join(graph, "")
}

func nameOf(e *trace.Entity) string {
	if e == nil {
		return "-"
	}
	return e.Name + "/" + e.ID.String()
}

// Whatever is received, in any order: each observation is in the trace, or refused
// because another one contradicts it, or it is an earlier version or a repetition of
// one in the trace. Nothing appears twice, every entity is below a segment, and
// there are no circles. Without contradictions, the order does not matter.
func TestTrace_losesNothing(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		var sent []messy
		for range 1 + rnd.IntN(9) {
			sent = append(sent, random(rnd))
			if rnd.IntN(4) == 0 { // a repetition, or an earlier version
				again := sent[rnd.IntN(len(sent))]
				again.open = again.open || rnd.IntN(2) == 0
				sent = append(sent, again)
			}
		}
		var first string
		for order := range 4 {
			var segments []*trace.Segment
			for i, at := range rnd.Perm(len(sent)) {
				segments = append(segments, sent[at].decoded(t, trace.Time(100+i)))
			}
			tr := assemble.Trace(segments[0].TraceID, segments)
			for _, s := range segments {
				accounted(t, tr, s, fmt.Sprintf("seed %d, order %d", seed, order))
			}
			if err := assemble.Render(tr, render.Text); err != nil {
				t.Fatal(err)
			}
			docs, _, _ := assemble.AllDocuments(tr)
			var text strings.Builder
			for _, d := range docs {
				if !json.Valid(d.JSON) {
					t.Fatalf("seed %d: %s", seed, d.JSON)
				}
				text.Write(d.JSON)
			}
			n := 0
			for e := range assemble.All(tr) {
				n++
				if e.Segment == nil || !strings.Contains(text.String(), e.ID.String()) {
					t.Fatalf("seed %d: %s is not shown", seed, nameOf(e))
				}
			}
			if n > 200 {
				t.Fatalf("seed %d: %d entities", seed, n)
			}
			assemble.Summary(tr)
			if settled(sent) {
				switch got := shape(tr); {
				case order == 0:
					first = got
				case got != first:
					t.Fatalf("seed %d, another order:\n%s\nbefore:\n%s", seed, got, first)
				}
			}
		}
	}
}

// settled reports whether no two observations with the same identity differ.
func settled(sent []messy) bool {
	for i, a := range sent {
		for _, b := range sent[:i] {
			if a.id == b.id && (a.open || b.open) || len(a.embedded)+len(b.embedded) > 0 {
				return false
			}
			same := a.id == b.id && a.document == b.document && a.start == b.start
			if same && (a.end != b.end || a.parent != b.parent || a.service != b.service || a.name != b.name || a.kind != b.kind || a.subsegment != b.subsegment) {
				return false
			}
			if a.id == b.id && a.document != b.document {
				return false
			}
		}
	}
	return true
}

// accounted checks that an observation is in a trace, or that the trace tells why
// not.
func accounted(t *testing.T, tr *trace.Trace, s *trace.Segment, state string) {
	t.Helper()
	for e := range assemble.All(tr) {
		if e.Received == s && e.ID == s.ID {
			return
		}
	}
	for _, r := range tr.Refused {
		if r.In == s {
			return
		}
	}
	for e := range assemble.All(tr) {
		// A repetition, an earlier version, or a translation of a shown observation.
		if e.ID != s.ID || e.Gap != trace.NoGap {
			continue
		}
		switch spans := e.Span != nil && s.Span != nil; {
		case spans && e.Span.Kind == s.Span.Kind && !e.Span.Resource.Differs(s.Span.Resource) && e.Start == s.Start && (e.Span.Name == s.Span.Name || s.InProgress):
			return
		case !spans && (e.Name == s.Name || e.Start == s.Start && s.Subsegment):
			return
		case e.Span == nil && s.Span == nil && s.InProgress && (e.Start == s.Start || s.Subsegment && e.Subsegment && (e.ParentID == s.ParentID || e.Parent.ID == s.ParentID)):
			return
		}
	}
	t.Fatalf("%s: %s is nowhere:\n%s", state, nameOf(&s.Entity), shape(tr))
}
