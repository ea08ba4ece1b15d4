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

// noH hides segments whose name begins with h, and placeholders of unknown services.
func noH(s *trace.Entity) bool {
	return !strings.HasPrefix(s.Name, "h") && !assemble.UnknownService(s)
}

// joined decodes documents of one trace, in order, and joins them.
func joined(t testing.TB, docs ...map[string]any) *trace.Trace {
	t.Helper()
	var list []*trace.Segment
	for i, d := range docs {
		d["trace_id"] = "1-00000001-000000000000000000000001"
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		got, refusal := decode.Document(b, trace.Time(i/2+1))
		if refusal != nil {
			t.Fatalf("%s: %v", b, refusal)
		}
		list = append(list, got...)
	}
	return assemble.Trace(list[0].TraceID, list)
}

type members = map[string]any

// at lies between two times in seconds.
type at struct{ from, to float64 }

func segmentOf(id, parent int, name string, when at, more ...any) members {
	d := members{"id": hexID(id), "name": name, "start_time": when.from, "end_time": when.to}
	if parent > 0 {
		d["parent_id"] = hexID(parent)
	}
	for i := 0; i < len(more); i += 2 {
		d[more[i].(string)] = more[i+1]
	}
	return d
}

func hexID(n int) string { return fmt.Sprintf("%016x", n) }

func below(list ...members) []members { return list }

func TestMask_placeholders(t *testing.T) {
	call := func(id int, name string) members { return segmentOf(id, 0, name, at{1, 4}, "namespace", "remote") }
	for name, c := range map[string]struct {
		docs []members
		want []string // placeholders: segments, id of the parent, start, end, ids of children
	}{
		"a hidden callee": {
			[]members{segmentOf(1, 0, "a", at{0, 5}, "subsegments", below(call(2, "b"))), segmentOf(3, 2, "h", at{2, 3})},
			[]string{"1 below 2 from 1 to 4, above []"},
		},
		"a hidden segment between visible ones": {
			[]members{segmentOf(1, 0, "a", at{0, 5}, "subsegments", below(call(2, "b"))), segmentOf(3, 2, "h", at{2, 3}), segmentOf(4, 3, "c", at{2.25, 2.5})},
			[]string{"1 below 2 from 1 to 4, above [4]"},
		},
		"a chain of hidden segments is one place": {
			[]members{segmentOf(1, 0, "a", at{0, 5}, "subsegments", below(call(2, "b"))), segmentOf(3, 2, "h1", at{2, 3}), segmentOf(4, 3, "h2", at{2, 3}), segmentOf(5, 4, "h3", at{2, 3}), segmentOf(6, 5, "c", at{2, 3}), segmentOf(7, 4, "d", at{2, 3})},
			[]string{"3 below 2 from 1 to 4, above [6 7]"},
		},
		"two callees of one call": {
			[]members{segmentOf(1, 0, "a", at{0, 5}, "subsegments", below(call(2, "b"))), segmentOf(3, 2, "h1", at{2, 3}), segmentOf(4, 2, "h2", at{2, 3})},
			[]string{"2 below 2 from 1 to 4, above []"},
		},
		"a hidden root": {
			[]members{segmentOf(1, 0, "h", at{0, 5}), segmentOf(2, 1, "b", at{2, 3}), segmentOf(3, 1, "c", at{1.5, 2.5})},
			[]string{"1 below 0 from 1.5 to 3, above [3 2]"},
		},
		"hidden segments that belong to nothing": {
			[]members{segmentOf(1, 0, "a", at{1, 5}), segmentOf(2, 99, "h", at{2, 3}), segmentOf(3, 98, "h", at{0, 9})},
			[]string{"2 below 0 from 1 to 1, above []"},
		},
		"a circle of hidden segments": {
			[]members{segmentOf(1, 0, "a", at{1, 5}), segmentOf(2, 3, "h", at{2, 3}), segmentOf(3, 2, "h", at{0, 9}), segmentOf(4, 3, "c", at{2, 4})},
			[]string{"2 below 0 from 2 to 4, above [4]"},
		},
		"places in several parts": {
			[]members{segmentOf(1, 0, "h", at{0, 9}), segmentOf(2, 1, "b", at{2, 8}, "subsegments", below(call(3, "x"))), segmentOf(4, 3, "h", at{3, 4}), segmentOf(5, 4, "c", at{3, 4})},
			[]string{"1 below 3 from 1 to 4, above [5]", "1 below 0 from 2 to 8, above [2]"},
		},
		"a subsegment whose segment has not arrived": {
			[]members{segmentOf(1, 0, "a", at{1, 5}), segmentOf(2, 77, "query", at{2, 3}, "type", "subsegment")},
			[]string{"1 below 0 from 1 to 1, above []"},
		},
		"a call in progress": {
			[]members{{"id": hexID(1), "name": "a", "start_time": 0, "in_progress": true, "subsegments": below(members{"id": hexID(2), "name": "b", "namespace": "remote", "start_time": 1, "in_progress": true})}, segmentOf(3, 2, "h", at{2, 3})},
			[]string{"1 below 2 from 1 to 0, above []"},
		},
	} {
		m := assemble.Mask(joined(t, c.docs...), noH)
		var got []string
		for _, h := range m.Hidden {
			var above []string
			for _, s := range m.Segments {
				if s.ParentID == h.Entity.ID {
					above = append(above, strings.TrimLeft(s.ID.String(), "0"))
				}
			}
			got = append(got, fmt.Sprintf("%d below %s from %v to %v, above %v", h.Segments, "0"[:max(0, 1-len(strings.TrimLeft(h.Entity.ParentID.String(), "0")))]+strings.TrimLeft(h.Entity.ParentID.String(), "0"),
				h.Entity.Start.Seconds(), h.Entity.End.Seconds(), above))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
		if again := assemble.Mask(joined(t, c.docs...), noH); described(again) != described(m) {
			t.Errorf("%s: differs when read again", name)
		}
	}
}

func TestMask_allOrNothing(t *testing.T) {
	whole := joined(t, segmentOf(1, 0, "a", at{0, 5}), segmentOf(2, 1, "b", at{1, 2}))
	if m := assemble.Mask(whole, noH); m != whole {
		t.Errorf("who sees everything gets a copy: %v", m)
	}
	if m := assemble.Mask(joined(t, segmentOf(1, 0, "h", at{0, 5}), segmentOf(2, 1, "h2", at{1, 2})), noH); m != nil {
		t.Errorf("who sees nothing gets %s", described(m))
	}
	// The refused document has the annotation that hides it.
	refused := joined(t, segmentOf(1, 0, "a", at{0, 5}), segmentOf(1, 0, "a", at{0, 5}, "annotations", members{"hide": "me"}))
	if len(refused.Refused) != 1 {
		t.Fatalf("%d are refused, want 1", len(refused.Refused))
	}
	m := assemble.Mask(refused, func(s *trace.Entity) bool { return len(s.Annotations) == 0 })
	if m == nil || len(m.Refused) != 0 || len(m.Segments) != 1 || len(refused.Refused) != 1 {
		t.Errorf("a hidden document that was refused is shown: %+v", m)
	}
}

// A span of a hidden service whose parent is in a document joins the document's segment.
func TestMask_spansInDocuments(t *testing.T) {
	for service, seen := range map[string]bool{"hidden": false, "a": true, "b": true} {
		list, refusal := decode.Document([]byte(`{"trace_id":"1-00000001-000000000000000000000001","id":"0000000000000001","name":"a","start_time":1,"end_time":5}`), 1)
		if refusal != nil {
			t.Fatal(refusal)
		}
		spans, err := otlp.JSON(fmt.Appendf(nil, `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}}]},"scopeSpans":[{"spans":[{"traceId":"00000001000000000000000000000001","spanId":"0000000000000002","parentSpanId":"0000000000000001","name":"select","kind":3,"startTimeUnixNano":"2000000000","endTimeUnixNano":"3000000000"}]}]}]}`, service), 1)
		if err != nil || len(spans.Segments) != 1 {
			t.Fatal(err, spans)
		}
		whole := assemble.Trace(list[0].TraceID, append(list, spans.Segments...))
		if len(whole.Segments) != 1 {
			t.Fatalf("%d segments, want the document with the span in it", len(whole.Segments))
		}
		if m := assemble.Mask(whole, noH); (m != nil) != seen {
			t.Errorf("%s: %v", service, m)
		}
	}
}

// described returns everything that any answer is made of.
func described(t *trace.Trace) string {
	var b strings.Builder
	docs, duration, known := assemble.AllDocuments(t)
	for _, d := range docs {
		fmt.Fprintf(&b, "%s %s\n", d.ID, d.JSON)
	}
	summary, err := json.Marshal(assemble.Summary(t))
	fmt.Fprintf(&b, "%v %v %s %v\n", duration, known, summary, err)
	for _, n := range t.Nodes {
		fmt.Fprintf(&b, "node %+v %s %v %v %v\n", n.Service, n.State, n.Inferred, n.Root, idsOf(n.Entities))
	}
	for _, e := range t.Edges {
		fmt.Fprintf(&b, "edge %+v %+v %v %+v\n", e.From.Service, e.To.Service, idsOf(e.Calls), e.Aliases)
	}
	fmt.Fprintf(&b, "%d %d %v", t.Start, t.End, t.InProgress)
	return b.String()
}

func idsOf(list []*trace.Entity) (out []string) {
	for _, e := range list {
		out = append(out, e.ID.String())
	}
	return out
}

// randomShop returns the documents of a random trace, and which of them are hidden.
// Everything that only hidden documents have is drawn from secret.
func randomShop(rnd, secret *rand.Rand) (docs []members, hidden []bool) {
	type place struct {
		id     int
		hidden bool
	}
	var places []place // where callers and owners of subsegments are
	next := 1
	fill := func(r *rand.Rand, d members) {
		d["fault"], d["error"] = r.IntN(3) == 0, r.IntN(4) == 0
		d["annotations"] = members{fmt.Sprint("key", r.IntN(4)): r.IntN(5)}
		d["user"] = fmt.Sprint("user", r.IntN(9))
		if r.IntN(3) == 0 {
			d["cause"] = members{"exceptions": []members{{"id": hexID(r.IntN(1000) + 1), "message": fmt.Sprint("broken ", r.IntN(9))}}}
		}
		if r.IntN(3) == 0 {
			d["http"] = members{"request": members{"url": fmt.Sprint("http://", r.IntN(9)), "method": "GET"}, "response": members{"status": 200 + 100*r.IntN(4)}}
		}
	}
	for range 2 + rnd.IntN(7) {
		isHidden := rnd.IntN(3) == 0
		r := rnd
		name := []string{"a", "b", "c"}[rnd.IntN(3)]
		if isHidden {
			r, name = secret, []string{"h", "hat", "house"}[secret.IntN(3)]
		}
		id := next
		next++
		parent := 0
		if len(places) > 0 && rnd.IntN(4) > 0 {
			parent = places[rnd.IntN(len(places))].id
		}
		start := float64(r.IntN(100)) / 4
		d := segmentOf(id, parent, name, at{start, start + float64(r.IntN(40))/4})
		fill(r, d)
		places = append(places, place{id, isHidden})
		var subs []members
		for range rnd.IntN(3) {
			sub := segmentOf(next, 0, fmt.Sprint("call", r.IntN(3)), at{start, start + float64(r.IntN(20))/4})
			fill(r, sub)
			if r.IntN(3) > 0 {
				sub["namespace"] = "remote"
			}
			places = append(places, place{next, isHidden})
			next++
			subs = append(subs, sub)
		}
		if subs != nil {
			d["subsegments"] = subs
		}
		docs, hidden = append(docs, d), append(hidden, isHidden)
		if rnd.IntN(3) == 0 {
			sub := segmentOf(next, id, fmt.Sprint("late", r.IntN(3)), at{start, start + 1}, "type", "subsegment", "namespace", "remote")
			next++
			docs, hidden = append(docs, sub), append(hidden, isHidden)
		}
	}
	return docs, hidden
}

// No answer depends on anything that hidden segments say: two traces that differ only
// there look the same. And except for placeholders, the visible part looks as if the
// hidden segments had never arrived.
func TestMask_revealsNothing(t *testing.T) {
	partly := 0
	for seed := range uint64(500) {
		make := func(secret uint64) ([]members, []bool) {
			return randomShop(rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, secret)))
		}
		docs, hidden := make(2)
		others, _ := make(3)
		m, other := assemble.Mask(joined(t, docs...), noH), assemble.Mask(joined(t, others...), noH)
		if (m == nil) != (other == nil) {
			t.Fatalf("seed %d: the secret decides whether the trace exists", seed)
		}
		if m == nil || !slices.Contains(hidden, true) {
			continue
		}
		partly++
		if a, b := described(m), described(other); a != b {
			t.Fatalf("seed %d: the secret decides\n%s\nor\n%s", seed, a, b)
		}
		var visible []members
		for i, d := range docs {
			if !hidden[i] {
				visible = append(visible, d)
			}
		}
		got, want := assemble.Summary(m), assemble.Summary(joined(t, visible...))
		want.Partial = true
		want.Revision, want.FirstReceived, want.Updated = got.Revision, got.FirstReceived, got.Updated
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if string(a) != string(b) {
			t.Fatalf("seed %d: the summary is\n%s\nwant\n%s", seed, a, b)
		}
	}
	if partly < 100 {
		t.Errorf("only %d traces were partly hidden", partly)
	}
}

// randomSpans returns OTLP/JSON requests with the spans of a random trace, one each, and
// the ids of hidden ones. Names, times and attributes of hidden spans are drawn from
// secret.
func randomSpans(rnd, secret *rand.Rand) (requests []string, hiddenIDs []string) {
	n := 2 + rnd.IntN(8)
	for i := 1; i <= n; i++ {
		r, service := rnd, []string{"a", "b"}[rnd.IntN(2)]
		if rnd.IntN(3) == 0 {
			r, service = secret, "hidden"
			hiddenIDs = append(hiddenIDs, "feed"+hexID(i)[4:])
		}
		id, parent := hexID(i), ""
		if service == "hidden" {
			id = "feed" + id[4:]
		}
		if i > 1 && rnd.IntN(5) > 0 {
			up := 1 + rnd.IntN(i-1)
			if parent = hexID(up); slices.Contains(hiddenIDs, "feed"+parent[4:]) {
				parent = "feed" + parent[4:]
			}
		}
		kind, start := rnd.IntN(6), 1e9*(1+r.IntN(50))
		requests = append(requests, fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}},{"key":"host.id","value":{"stringValue":"i-%d"}}]},"scopeSpans":[{"spans":[{"traceId":"00000001000000000000000000000001","spanId":%q,"parentSpanId":%q,"name":"op%d","kind":%d,"startTimeUnixNano":"%d","endTimeUnixNano":"%d","attributes":[{"key":"db.statement","value":{"stringValue":"select %d"}},{"key":"peer.service","value":{"stringValue":"peer%d"}}],"status":{"code":%d}}]}]}]}`,
			service, r.IntN(9), id, parent, r.IntN(9), kind, start, start+1e8*(1+r.IntN(100)), r.IntN(99), r.IntN(3), r.IntN(3)))
	}
	return requests, hiddenIDs
}

// What holds for documents holds for spans, in both formats, and no id of a hidden span is
// in any of them.
func TestMask_revealsNothingOfSpans(t *testing.T) {
	partly := 0
	for seed := range uint64(500) {
		masked := func(secret uint64) (*trace.Trace, []string) {
			requests, ids := randomSpans(rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, secret)))
			var list []*trace.Segment
			for i, r := range requests {
				decoded, err := otlp.JSON([]byte(r), trace.Time(i/2+1))
				if err != nil || len(decoded.Segments) == 0 {
					t.Fatal(err, r)
				}
				list = append(list, decoded.Segments...)
			}
			whole := assemble.Trace(list[0].TraceID, list)
			if err := assemble.Render(whole, render.Text); err != nil {
				t.Fatal(err)
			}
			return assemble.Mask(whole, noH), ids
		}
		m, ids := masked(2)
		other, _ := masked(3)
		if (m == nil) != (other == nil) {
			t.Fatalf("seed %d: the secret decides whether the trace exists", seed)
		}
		if m == nil || len(ids) == 0 {
			continue
		}
		partly++
		a, b := described(m), described(other)
		if a != b {
			t.Fatalf("seed %d: the secret decides\n%s\nor\n%s", seed, a, b)
		}
		for e := range assemble.All(m) {
			if e.Gap != trace.NoGap || e.Received.Part > 0 {
				continue
			}
			span, err := render.OTLP(e.Received)
			if err != nil {
				t.Fatal(err)
			}
			a += string(span)
		}
		if strings.Contains(a, "feed") || strings.Contains(a, `:"hidden"`) {
			t.Fatalf("seed %d: %v in %s", seed, ids, a)
		}
	}
	if partly < 100 {
		t.Errorf("only %d traces were partly hidden", partly)
	}
}
