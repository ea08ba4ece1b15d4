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

// observationCase is a trace in which something is not as it should be, and what is
// to be seen of it. An observation is a line
//
//	service KIND id<parent start..end name=… status=…
//
// with ids of one letter, seconds, and an open end where it was not finished. KIND
// is a span's, or SEGMENT, SUBSEGMENT, REMOTE for documents.
type observationCase struct {
	name, sent string
	// tree is what BatchGetTraces shows: name/id, in brackets what is inside, ? behind
	// what nobody sent, … behind what is not finished.
	tree string
	// graph are the nodes of GetTraceGraph, ! behind those with faults, and the edges.
	graph string
	// summary is the entry point, and flags.
	summary string
}

var observationCases = []observationCase{
	{
		name: "a call and who answers it share an id (B3)",
		sent: `front SERVER a 0..9
			front CLIENT b<a 1..8 name=GET
			back SERVER b<a 2..7 status=503
			back INTERNAL c<b 3..4 name=work
			front INTERNAL d<a 8..9 name=render`,
		tree:    "back/b(work/c) front/a(GET/b render/d)",
		graph:   "back! front client→front front→back",
		summary: "front responsetime",
	},
	{
		name: "the same with documents",
		sent: `front SEGMENT a 0..9
			back.example REMOTE b<a 1..8
			back SEGMENT b<a 2..7 status=503
			work SUBSEGMENT c<b 3..4`,
		tree:    "back/b(work/c) front/a(back.example/b)",
		graph:   "back! front client→front front→back",
		summary: "front responsetime",
	},
	{
		name: "a message and who receives it share an id, without a parent",
		sent: `shop PRODUCER a 0..1 name=send
			mail CONSUMER a 2..4 name=process status=500
			mail INTERNAL b<a 3..4 name=work`,
		tree:    "mail/a(work/b) shop/?(send/a)",
		graph:   "mail! shop client→shop shop→mail",
		summary: "shop responsetime",
	},
	{
		name: "two tries with one id, as an agent outside the process sees them",
		sent: `front SERVER a 0..9
			front CLIENT b<a 1..2 name=GET status=503
			front CLIENT b<a 3..4 name=GET
			back SERVER c<b 3.5..3.9`,
		tree:    "back/c front/a(GET/b GET/b) GET/?",
		graph:   "GET! back front client→front front→GET front→back",
		summary: "front responsetime",
	},
	{
		name: "two services with one id, without a call between them",
		sent: `one SERVER a 0..9
			two SERVER a 1..2 status=500`,
		tree:    "one/a two/a",
		graph:   "one two! client→one client→two",
		summary: "one responsetime",
	},
	{
		name: "a span that was sent before its end, and again with it",
		sent: `front SERVER a 0..
			front SERVER a 0..9 status=503
			front INTERNAL b<a 1.. name=unnamed
			front INTERNAL b<a 1..2 name=renamed`,
		tree:    "front/a(renamed/b)",
		graph:   "front! client→front",
		summary: "front fault responsetime",
	},
	{
		name: "two tries with one id, of which one is still running",
		sent: `front SERVER a 0..9
			front INTERNAL b<a 1.. name=try
			front INTERNAL b<a 3..4 name=try`,
		tree:    "front/a(try/b… try/b)",
		graph:   "front client→front",
		summary: "front responsetime",
	},
	{
		name: "a document of one service and a span of another with one id and start",
		sent: `one SEGMENT a 0..9
			two SERVER a 0..5 status=500`,
		tree:    "one/a two/a",
		graph:   "one two! client→one client→two",
		summary: "one responsetime",
	},
	{
		name:    "a span that is still running",
		sent:    `front SERVER a 0..`,
		tree:    "front/a…",
		summary: "front",
	},
	{
		name: "a span whose parent never comes",
		sent: `shop INTERNAL b<a 1..3 name=work
			shop CLIENT c<b 1..2 name=GET status=503
			shop INTERNAL d<a 2..4 name=more`,
		tree:    "shop/a?(work/b(GET/c) more/d) GET/?",
		graph:   "GET! shop shop→GET",
		summary: "shop partial",
	},
	{
		name: "a failed span whose parent never comes, beside one of another service",
		sent: `shop INTERNAL b<a 1..3 name=work status=500
			stock CLIENT c<a 2..4 name=GET`,
		tree:    "shop/a?(work/b) stock/a?(GET/c) GET/?",
		graph:   "GET shop! stock stock→GET",
		summary: "shop fault partial",
	},
	{
		name:    "a span that is its own parent",
		sent:    `shop INTERNAL a<a 1..3 name=work`,
		tree:    "shop/?(work/a)",
		graph:   "shop",
		summary: "shop",
	},
	{
		name: "spans that are each other's parents",
		sent: `shop INTERNAL a<b 1..3 name=first
			shop INTERNAL b<a 2..3 name=second`,
		tree:    "shop/?(first/a(second/b))",
		graph:   "shop",
		summary: "shop",
	},
	{
		name: "subsegments without Lambda's own segment",
		sent: `work SUBSEGMENT b<a 1..3 status=500
			DynamoDB AWS c<a 2..3`,
		tree:    "", // X-Ray shows them when their parent is there
		graph:   "DynamoDB missing·segment! missing·segment→DynamoDB",
		summary: "missing·segment fault partial",
	},
	{
		name:    "a server that is called by something that reports nothing",
		sent:    `back SERVER b<a 1..3 status=503`,
		tree:    "back/b",
		graph:   "back!",
		summary: "back fault responsetime partial",
	},
	{
		name:    "a consumer of what something sent that reports nothing",
		sent:    `worker CONSUMER b<a 1..3 name=process status=503`,
		tree:    "worker/b",
		graph:   "worker!",
		summary: "worker fault responsetime partial",
	},
	{
		name: "a script, whose root span is a call",
		sent: `script CLIENT a 0..9 name=GET
			back SERVER b<a 1..3`,
		tree:    "back/b script/?(GET/a)",
		graph:   "back script client→script script→back",
		summary: "script responsetime",
	},
	{
		name: "a publisher",
		sent: `cron PRODUCER a 0..1 name=send
			worker CONSUMER b<a 2..3 name=process`,
		tree:    "cron/?(send/a) worker/b",
		graph:   "cron worker client→cron cron→worker",
		summary: "cron responsetime",
	},
	{
		name: "spans of another service that do not say that their parent is elsewhere",
		sent: `front SERVER a 0..9
			front PRODUCER b<a 1..2 name=send
			worker CONSUMER c<b 3..5 name=process status=500
			worker INTERNAL d<c 4..5 name=work
			audit INTERNAL e<d 4..5 name=note
			audit CLIENT f<a 6..7 name=GET`,
		tree:    "audit/?(GET/f) audit/e front/a(send/b) worker/c(work/d) GET/?",
		graph:   "GET audit front worker! audit→GET client→front front→audit front→worker worker→audit",
		summary: "front responsetime",
	},
}

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

// resourceSpans is a span as OTLP/JSON.
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

// document is a segment document.
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

// sendAll sends observations, each part of the list in one request, and is what was
// refused.
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

// tree is what BatchGetTraces shows of a trace.
func tree(s *harness.Server, id string) string {
	var list []string
	for _, n := range s.Trace(id) {
		list = append(list, branch(n))
	}
	slices.SortFunc(list, func(a, b string) int { // what was made for a callee comes last
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

// edges is what GetTraceGraph shows of a trace.
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

// outcome is the summary of a trace.
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

// Each case in one request, then one request for each observation in four other
// orders; open, settled, and after a restart. What was answered 200 is shown, or
// counted as refused.
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
			// A retry of all of it changes nothing.
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
	// The ledger: all that was answered 200 is accepted, and shown, as nothing is refused.
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

// What says something else of a span that is there already is refused: its sender
// is told while the trace is open, the metrics and the status page tell always.
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

// consoleTrace is a trace as the console's page gets it.
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

// What X-Ray hides until its parent comes is on the trace page, with the reason.
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
	// Its parent comes, and another version of it, which is refused.
	sendAll(t, s, hex, base, observations(t, "shop SEGMENT a 0..9"), observations(t, "shop SEGMENT a 0..8"))
	docs, refused, _ = consoleTrace(t, s, id)
	if len(docs) != 2 || branch(&docs[0]) != "shop/a(work/b(DynamoDB/c))" || len(refused) != 1 || refused[0].Id != idOf("a") {
		t.Errorf("%+v, refused %+v", docs, refused)
	}
	if _, _, status := consoleTrace(t, s, "1-00000000-00000000000000000000abcd"); status != 404 {
		t.Errorf("a trace that does not exist: status %d", status)
	}
}

// What a retrieval gives in OTLP can be sent back, unfinished spans too: to the same
// server nothing is new, another one has the same trace, and what is finished later
// replaces what was not.
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
