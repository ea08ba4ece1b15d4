package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// observation is one line of a case.
type observation struct {
	service, kind, id, parent, name string
	start, end                      float64
	open                            bool
	status                          int
}

func observations(t *testing.T, text string) (list []observation) {
	t.Helper()
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		o := observation{service: words[0], kind: words[1], name: words[0]}
		o.id, o.parent, _ = strings.Cut(words[2], "<")
		start, end, _ := strings.Cut(words[3], "..")
		if _, err := fmt.Sscan(start, &o.start); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if o.open = end == ""; !o.open {
			if _, err := fmt.Sscan(end, &o.end); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
		for _, w := range words[4:] {
			k, v, _ := strings.Cut(w, "=")
			switch k {
			case "name":
				o.name = v
			case "status":
				_, _ = fmt.Sscan(v, &o.status)
			}
		}
		list = append(list, o)
	}
	return list
}

func idOf(letter string) string {
	if letter == "" {
		return ""
	}
	return strings.Repeat(letter, 16)
}

var kinds = []string{"", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"}

// resourceSpans returns a span as OTLP/JSON.
func (o *observation) resourceSpans(traceID string, base float64) map[string]any {
	nanos := func(s float64) string { return fmt.Sprintf("%.0f000", (base+s)*1e6) }
	span := map[string]any{"traceId": traceID, "spanId": idOf(o.id), "parentSpanId": idOf(o.parent), "name": o.name, "kind": slices.Index(kinds, o.kind), "startTimeUnixNano": nanos(o.start)}
	if !o.open {
		span["endTimeUnixNano"] = nanos(o.end)
	}
	if o.status > 0 {
		span["attributes"] = []any{map[string]any{"key": "http.response.status_code", "value": map[string]any{"intValue": o.status}}}
	}
	resource := []any{map[string]any{"key": "service.name", "value": map[string]any{"stringValue": o.service}}}
	return map[string]any{"resource": map[string]any{"attributes": resource}, "scopeSpans": []any{map[string]any{"spans": []any{span}}}}
}

// document returns a segment document.
func (o *observation) document(traceID string, base float64) string {
	d := map[string]any{"trace_id": "1-" + traceID[:8] + "-" + traceID[8:], "id": idOf(o.id), "name": o.service, "start_time": base + o.start}
	if o.open {
		d["in_progress"] = true
	} else {
		d["end_time"] = base + o.end
	}
	if o.parent != "" {
		d["parent_id"] = idOf(o.parent)
	}
	if o.kind != "SEGMENT" {
		d["type"] = "subsegment"
	}
	switch o.kind {
	case "REMOTE":
		d["namespace"] = "remote"
	case "AWS":
		d["namespace"] = "aws"
	}
	if o.status > 0 {
		d["http"] = map[string]any{"response": map[string]any{"status": o.status}}
		d["fault"] = o.status >= 500
	}
	b, _ := json.Marshal(d)
	return string(b)
}

// sendAll sends observations, each part of the list in one request, and returns the
// refused ones.
func sendAll(t *testing.T, s *harness.Server, traceID string, base float64, parts ...[]observation) (rejected int64) {
	t.Helper()
	for _, part := range parts {
		var spans []any
		var docs []string
		for _, o := range part {
			if slices.Contains(kinds, o.kind) {
				spans = append(spans, o.resourceSpans(traceID, base))
			} else {
				docs = append(docs, o.document(traceID, base))
			}
		}
		if docs != nil {
			s.Put(docs...)
		}
		if spans != nil {
			rejected += sendSpans(t, s, spans...).RejectedSpans
		}
	}
	return rejected
}

type partialSuccess struct {
	RejectedSpans int64 `json:"rejectedSpans,string"`
	ErrorMessage  string
}

func sendSpans(t *testing.T, s *harness.Server, resourceSpans ...any) partialSuccess {
	t.Helper()
	body, err := json.Marshal(map[string]any{"resourceSpans": resourceSpans})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post("http://"+s.OTLP+"/v1/traces", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	var answer struct{ PartialSuccess partialSuccess }
	if err := json.Unmarshal(b, &answer); err != nil || res.StatusCode != 200 {
		t.Fatalf("status %d, %v: %s", res.StatusCode, err, b)
	}
	return answer.PartialSuccess
}

// tree returns the answer of BatchGetTraces as text.
func tree(s *harness.Server, id string) string {
	var list []string
	for _, n := range s.Trace(id) {
		list = append(list, branch(n))
	}
	slices.SortFunc(list, func(a, b string) int { // inferred segments last
		return strings.Compare(rank(a)+a, rank(b)+b)
	})
	return strings.Join(list, " ")
}

func rank(s string) string {
	if strings.HasSuffix(s, "/?") {
		return "2"
	}
	return "1"
}

func branch(n *harness.Node) string {
	text := n.Name + "/"
	sent := n.ID == strings.Repeat(n.ID[:1], 16)
	if sent {
		text += n.ID[:1]
	}
	if n.Inferred || !sent {
		text += "?"
	}
	if n.InProgress {
		text += "…"
	}
	if len(n.Subsegments) > 0 {
		var list []string
		for _, c := range n.Subsegments {
			list = append(list, branch(c))
		}
		text += "(" + strings.Join(list, " ") + ")"
	}
	return text
}

// edges returns the answer of GetTraceGraph as text.
func edges(t *testing.T, s *harness.Server, id string) string {
	var answer struct {
		Services []struct {
			Name, Type        string
			ReferenceId       int
			SummaryStatistics *struct{ FaultStatistics struct{ TotalCount int } }
			Edges             []struct{ ReferenceId int }
		}
	}
	s.Ask("/TraceGraph", map[string]any{"TraceIds": []string{id}}, &answer)
	names := map[int]string{}
	for _, n := range answer.Services {
		name := strings.ReplaceAll(n.Name, " ", "·")
		if n.Type == "client" {
			name = "client"
		}
		if n.SummaryStatistics != nil && n.SummaryStatistics.FaultStatistics.TotalCount > 0 {
			name += "!"
		}
		names[n.ReferenceId] = name
	}
	var nodes, edges []string
	for _, n := range answer.Services {
		from := names[n.ReferenceId]
		if from != "client" {
			nodes = append(nodes, from)
		}
		for _, e := range n.Edges {
			edges = append(edges, strings.TrimSuffix(from, "!")+"→"+strings.TrimSuffix(names[e.ReferenceId], "!"))
		}
	}
	slices.Sort(nodes)
	slices.Sort(edges)
	return strings.Join(append(nodes, edges...), " ")
}

// outcome returns the summary of a trace.
func outcome(s *harness.Server, id string) string {
	for _, v := range s.Summaries("") {
		if v.Id != id {
			continue
		}
		text := "nothing"
		if v.EntryPoint != nil {
			text = strings.ReplaceAll(v.EntryPoint.Name, " ", "·")
		}
		if v.HasFault {
			text += " fault"
		}
		if v.ResponseTime != nil {
			text += " responsetime"
		}
		if v.IsPartial {
			text += " partial"
		}
		return text
	}
	return "no summary"
}

// Each case is sent in one request, then with one request per observation in four
// other orders; it is checked open, settled, and after a restart. Everything
// answered with 200 is shown, or counted as refused.
func TestObservations(t *testing.T) {
	s := harness.Start(t, "--settle", "1s")
	rnd := rand.New(rand.NewPCG(14, 14))
	base := float64(time.Now().Unix() - 100)
	type run struct {
		c  *observationCase
		id string
	}
	var runs []run
	var spans, documents float64
	for i := range observationCases {
		c := &observationCases[i]
		list := observations(t, c.sent)
		for order := range 5 {
			parts := [][]observation{list}
			if order > 0 {
				parts = nil
				for _, at := range rnd.Perm(len(list)) {
					parts = append(parts, list[at:at+1])
				}
			}
			hex := fmt.Sprintf("5f84c7a1%012x%012x", i+1, order+1)
			if n := sendAll(t, s, hex, base, parts...); n > 0 {
				t.Errorf("%s: %d refused", c.name, n)
			}
			// Repeating all of it changes nothing.
			if n := sendAll(t, s, hex, base, list); n > 0 {
				t.Errorf("%s, sent again: %d refused", c.name, n)
			}
			for _, o := range list {
				if slices.Contains(kinds, o.kind) {
					spans += 2
				} else {
					documents += 2
				}
			}
			runs = append(runs, run{c, "1-" + hex[:8] + "-" + hex[8:]})
		}
	}
	look := func(state string) {
		for n, r := range runs {
			want := []string{r.c.tree, r.c.graph, r.c.summary}
			got := []string{tree(s, r.id), edges(t, s, r.id), outcome(s, r.id)}
			if !slices.Equal(got, want) {
				t.Errorf("%s, order %d, %s:\n got  %q\n want %q", r.c.name, n%5, state, got, want)
			}
		}
	}
	look("open")
	// Since nothing is refused, everything answered with 200 is accepted, and shown.
	const accepted = `fluoro_receive_segments_total{outcome="accepted",protocol=%q,reason=""}`
	if a, b := s.Metric(fmt.Sprintf(accepted, "otlp-http")), s.Metric(fmt.Sprintf(accepted, "xray")); a != spans || b != documents {
		t.Errorf("%v spans and %v documents are accepted, %v and %v were sent", a, b, spans, documents)
	}
	harness.Eventually(t, "all settle", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
	look("settled")
	s.Stop()
	s.Restart("--settle", "1s")
	look("after a restart")
	if n := s.Metric(`fluoro_receive_refusals_total{outcome="rejected",protocol="otlp-http",reason="Contradiction",source="127.0.0.1"}`); n > 0 {
		t.Errorf("%v contradictions", n)
	}
}

// An observation that contradicts an existing span is refused: its sender is told
// while the trace is open; the metrics and the status page always report it.
func TestObservations_contradiction(t *testing.T) {
	s := harness.Start(t, "--settle", "1s")
	base := float64(time.Now().Unix() - 100)
	hex := "5f84c7a1" + strings.Repeat("c", 24)
	first := observations(t, "front SERVER a 0..9")[0]
	other := observations(t, "front SERVER a 0..8 status=503")[0]
	if n := sendAll(t, s, hex, base, []observation{first}); n != 0 {
		t.Fatalf("%d refused", n)
	}
	answer := sendSpans(t, s, other.resourceSpans(hex, base))
	if answer.RejectedSpans != 1 || !strings.Contains(answer.ErrorMessage, hex) || !strings.Contains(answer.ErrorMessage, idOf("a")) {
		t.Errorf("%+v", answer)
	}
	if n := s.Metric(`fluoro_receive_segments_total{outcome="accepted",protocol="otlp-http",reason=""}`); n != 1 {
		t.Errorf("%v accepted of two, of which one was refused", n)
	}
	const refusals = `fluoro_receive_refusals_total{outcome="rejected",protocol="otlp-http",reason="Contradiction",source=%q}`
	if n := s.Metric(fmt.Sprintf(refusals, "127.0.0.1")); n != 1 {
		t.Errorf("%v counted", n)
	}
	harness.Eventually(t, "it settles", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
	if n := s.Metric(fmt.Sprintf(refusals, "")); n != 0 {
		t.Errorf("%v counted again when it settled", n)
	}
	// Now the trace is in a block.
	if answer := sendSpans(t, s, other.resourceSpans(hex, base)); answer.RejectedSpans != 0 {
		t.Errorf("%+v", answer)
	}
	harness.Eventually(t, "it is counted when the trace settles again", func() bool { return s.Metric(fmt.Sprintf(refusals, "")) == 1 })
	if got := tree(s, "1-"+hex[:8]+"-"+hex[8:]); got != "front/a" {
		t.Errorf("shown: %s", got)
	}
	res, err := http.Get(s.URL("/console/api/status"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	status, _ := io.ReadAll(res.Body)
	if !strings.Contains(string(status), "Contradiction") || !strings.Contains(string(status), idOf("a")) {
		t.Errorf("the status page does not tell: %s", status)
	}
}

// consoleTrace returns a trace as the console's page receives it.
func consoleTrace(t *testing.T, s *harness.Server, id string) (docs []harness.Node, refused []struct{ Id, Reason string }, status int) {
	t.Helper()
	res, err := http.Get(s.URL("/console/api/trace?id=" + id))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Segments []struct{ Document string }
		Refused  []struct{ Id, Reason string }
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	for _, seg := range answer.Segments {
		var n harness.Node
		if err := json.Unmarshal([]byte(seg.Document), &n); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, n)
	}
	return docs, answer.Refused, res.StatusCode
}

// The trace page shows subsegments that X-Ray hides until their parent arrives, with
// the reason.
func TestObservations_consoleShowsAll(t *testing.T) {
	s := harness.Start(t)
	base := float64(time.Now().Unix() - 100)
	hex := "5f84c7a1" + strings.Repeat("d", 24)
	id := "1-" + hex[:8] + "-" + hex[8:]
	sendAll(t, s, hex, base, observations(t, "work SUBSEGMENT b<a 1..3 status=500\nDynamoDB AWS c<b 2..3"))
	docs, refused, status := consoleTrace(t, s, id)
	if status != 200 || len(docs) != 2 || len(refused) != 0 || branch(&docs[0]) != "missing segment/a?(work/b(DynamoDB/c))" {
		t.Fatalf("status %d, %+v, %+v", status, docs, refused)
	}
	if why := fmt.Sprint(docs[0].Metadata["fluoro"]); !strings.Contains(why, "has not arrived") {
		t.Errorf("it does not say why: %s", why)
	}
	if got := s.Summaries(`service("missing segment") { fault } AND fault`); len(got) != 1 || got[0].Id != id {
		t.Errorf("a filter finds %+v", got)
	}
	// Its parent arrives, and another version of the parent, which is refused.
	sendAll(t, s, hex, base, observations(t, "shop SEGMENT a 0..9"), observations(t, "shop SEGMENT a 0..8"))
	docs, refused, _ = consoleTrace(t, s, id)
	if len(docs) != 2 || branch(&docs[0]) != "shop/a(work/b(DynamoDB/c))" || len(refused) != 1 || refused[0].Id != idOf("a") {
		t.Errorf("%+v, refused %+v", docs, refused)
	}
	if _, _, status := consoleTrace(t, s, "1-00000000-00000000000000000000abcd"); status != 404 {
		t.Errorf("a trace that does not exist: status %d", status)
	}
}

// The OTLP documents of a retrieval can be sent again, unfinished spans too: they
// change nothing on the same server, another server gets the same trace, and a later
// finished version replaces the unfinished one.
func TestObservations_retrievalRoundTrip(t *testing.T) {
	one, other := harness.Start(t), harness.Start(t)
	base := float64(time.Now().Unix() - 100)
	hex := "5f84c7a1" + strings.Repeat("e", 24)
	id := "1-" + hex[:8] + "-" + hex[8:]
	for _, world := range []struct{ sent, finished, open, whole string }{
		{"front SERVER a 0..\nfront INTERNAL b<a 1.. name=work\nfront CLIENT c<b 2..3 name=GET", "front SERVER a 0..9\nfront INTERNAL b<a 1..4 name=work",
			"front/a…(work/b…(GET/c)) GET/?", "front/a(work/b(GET/c)) GET/?"},
		{"front SEGMENT a 0..\nwork SUBSEGMENT b<a 1..\nGET REMOTE c<b 2..3", "front SEGMENT a 0..9\nwork SUBSEGMENT b<a 1..4",
			"front/a…(work/b…(GET/c)) GET/?", "front/a(work/b(GET/c)) GET/?"},
	} {
		sendAll(t, one, hex, base, observations(t, world.sent))
		if got := tree(one, id); got != world.open {
			t.Fatalf("sent: %s, want %s", got, world.open)
		}
		now := time.Now()
		page := pages(t, one, retrieve(t, one, now.Add(-time.Hour), now.Add(time.Hour), id), "OTEL")
		for _, s := range []*harness.Server{one, other} {
			for _, span := range page[0].Traces[0].Spans {
				var message struct{ ResourceSpans []any }
				if err := json.Unmarshal([]byte(span.Document), &message); err != nil {
					t.Fatal(err)
				}
				if r := sendSpans(t, s, message.ResourceSpans...); r.RejectedSpans > 0 {
					t.Errorf("refused: %+v", r)
				}
			}
			if got := tree(s, id); got != world.open {
				t.Errorf("sent back: %s, want %s", got, world.open)
			}
			sendAll(t, s, hex, base, observations(t, world.finished))
			if got := tree(s, id); got != world.whole {
				t.Errorf("finished: %s, want %s", got, world.whole)
			}
		}
		hex = "5f84c7a1" + strings.Repeat("f", 24)
		id = "1-" + hex[:8] + "-" + hex[8:]
	}
}
