package filter_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// generator makes traces and expressions from few words, so that they often match.
type generator struct{ *rand.Rand }

func (g generator) one(words ...string) string { return words[g.IntN(len(words))] }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

// entity makes a segment or subsegment, with subsegments.
func (g generator) entity(next *int, depth int) map[string]any {
	*next++
	start := float64(g.IntN(8)) / 4
	e := map[string]any{"id": fmt.Sprintf("%016x", *next), "name": g.one("a", "b", "DynamoDB"), "start_time": start}
	if g.chance(10) {
		e["in_progress"] = true
	} else {
		e["end_time"] = start + float64(g.IntN(12))/4
	}
	for _, flag := range []string{"fault", "error", "throttle"} {
		if g.chance(25) {
			e[flag] = true
		}
	}
	if g.chance(40) {
		e["annotations"] = map[string]any{g.one("k", "l"): []any{"x", 1, true}[g.IntN(3)]}
	}
	if g.chance(30) {
		e["user"] = g.one("u", "v")
	}
	if g.chance(40) {
		e["http"] = map[string]any{"request": map[string]any{"url": g.one("http://a/x", "http://b/y")}, "response": map[string]any{"status": []int{200, 404, 429, 503}[g.IntN(4)]}}
	}
	if g.chance(20) {
		e["cause"] = map[string]any{"exceptions": []any{map[string]any{"id": fmt.Sprintf("%016x", 1<<20+*next), "type": g.one("E", "F"), "message": "m"}}}
	}
	if depth > 0 {
		var below []any
		for range g.IntN(3) {
			s := g.entity(next, depth-1)
			if g.chance(60) {
				s["namespace"] = g.one("remote", "aws", "local")
				s["aws"] = map[string]any{"operation": "Get", "table_name": g.one("a", "t")}
			}
			below = append(below, s)
		}
		if below != nil {
			e["subsegments"] = below
		}
	}
	return e
}

// trace assembles one to three documents.
func (g generator) trace(t testing.TB) *trace.Trace {
	var segments []*trace.Segment
	id, next := trace.ID{1}, 0
	for i := range 1 + g.IntN(3) {
		doc := g.entity(&next, 2)
		doc["trace_id"] = id.String()
		if i > 0 || g.chance(20) {
			doc["parent_id"] = fmt.Sprintf("%016x", 1+g.IntN(next+1))
		}
		if i > 0 && g.chance(20) {
			doc["type"] = "subsegment"
		}
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		got, refusal := decode.Document(text, trace.Time(i))
		if refusal != nil {
			t.Fatalf("%s: %v", text, refusal)
		}
		segments = append(segments, got...)
	}
	if g.chance(50) {
		segments = append(segments, g.span(t, id, next)...)
	}
	return assemble.Trace(id, segments)
}

// span makes a span of a service, with attributes.
func (g generator) span(t testing.TB, id trace.ID, below int) []*trace.Segment {
	value := func() string {
		return g.one(`{"stringValue":"x"}`, `{"intValue":"1"}`, `{"doubleValue":1}`, `{"boolValue":true}`)
	}
	parent := ""
	if g.chance(70) {
		parent = fmt.Sprintf(`"parentSpanId":"%016x",`, 1+g.IntN(below+1))
	}
	text := fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}},{"key":"l","value":%s}]},"scopeSpans":[{"spans":[
		{"traceId":%q,"spanId":"00000000000000ff",%s"name":"b","kind":%d,"startTimeUnixNano":"0","endTimeUnixNano":"1000000000","attributes":[{"key":"k","value":%s}]}]}]}]}`,
		g.one("a", "b"), value(), id.Hex(), parent, 1+g.IntN(5), value())
	spans, err := otlp.JSON([]byte(text), 5)
	if err != nil || spans.RejectedSpans > 0 {
		t.Fatalf("%s: %v, %s", text, err, spans.Message())
	}
	return spans.Segments
}

func (g generator) number() string { return g.one("0", "0.5", "1", "1.25", "2", "200", "404", "-1") }

func (g generator) text() string { return g.one(`"a"`, `"b"`, `"x"`, `"u"`, `""`, `"t"`, `"E"`) }

func (g generator) literal() string { return g.one(g.number(), g.text(), "true", "false") }

func (g generator) order() string { return g.one("=", "!=", "<", "<=", ">", ">=") }

// expression makes a text of the language; in is "", "service", "edge" or a clause
// for root causes.
func (g generator) expression(in string, depth int) string {
	if depth > 0 && g.chance(60) {
		a, b := g.expression(in, depth-1), g.expression(in, depth-1)
		switch g.IntN(5) {
		case 0:
			return "(" + a + ") OR " + b
		case 1:
			return "!(" + a + ")"
		case 2:
			return a + " (" + b + ")"
		}
		return a + " AND " + b
	}
	body := func(in string) string {
		if g.chance(40) {
			return ""
		}
		return " { " + g.expression(in, 1) + " }"
	}
	selector := func() string {
		return g.one(g.text(), `id(name: `+g.text()+`)`, `id(type: "client")`, `id(name: `+g.text()+`, type: "remote")`)
	}
	if strings.HasPrefix(in, "rootcause") {
		return g.one("first", "last", "index = 1", "name = "+g.text(), "!first")
	}
	if in == "" {
		switch g.IntN(8) {
		case 0:
			return g.one("", "!") + "service(" + selector() + ")" + body("service")
		case 1:
			return "edge(" + selector() + ", " + selector() + ")" + body("edge")
		case 2:
			cause := g.one("rootcause.fault.service", "rootcause.error.entity", "rootcause.fault.exception", "rootcause.responsetime.entity")
			return cause + " { " + g.expression(cause, 1) + " }"
		case 3:
			return "group.name " + g.one("=", "!=") + g.one(`"slow"`, `"fast"`, `"double"`, `"unknown"`, `"Default"`)
		}
	}
	switch g.IntN(5) {
	case 0:
		return g.one("", "!") + g.one("ok", "fault", "error", "throttle")
	case 1:
		return g.one("fault", "error", "throttle", "ok") + g.one(" = ", " != ") + g.one("true", "false", "1")
	case 2:
		return g.one("responsetime", "duration", "http.status") + g.order() + g.number()
	case 3:
		return g.one("user", "http.url") + g.one(" = ", " != ", " CONTAINS ", " BEGINSWITH ") + g.text()
	}
	from := ""
	if in == "edge" {
		from = g.one("", "source.", "destination.")
	}
	return from + "annotation." + g.one("k", "l") + g.one("", " = "+g.literal(), " != "+g.literal(), " > "+g.number())
}

// check verifies three properties of an expression and a trace: the bounds allow
// every match, by either kind of matching; the printed expression means the same;
// and !x is the opposite of x.
func check(t *testing.T, text string, tr *trace.Trace) (matched bool) {
	t.Helper()
	e, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	again, err := parse(e.String())
	if err != nil || again.String() != e.String() {
		t.Fatalf("%s: printed %s, which parses to %v, %v", text, e, again, err)
	}
	s := assemble.Summary(tr)
	matched = e.Match(tr, s)
	inWindow := e.MatchService(tr, s, trace.Window{Start: trace.MinTime, End: trace.FromSeconds(2)})
	if (matched || inWindow) && !allows(e.Bounds(), tr, s) {
		t.Errorf("%s: matches, but its bounds %+v do not allow it", text, e.Bounds())
	}
	if again.Match(tr, s) != matched {
		t.Errorf("%s: printed %s, which does not select the same", text, e)
	}
	if not, err := parse("!(" + text + ")"); err != nil || not.Match(tr, s) == matched {
		t.Errorf("!(%s): %v, selects the same", text, err)
	}
	return matched
}

func TestBounds_neverPruneWhatMatches(t *testing.T) {
	matched := 0
	for seed := range uint64(20_000) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		if check(t, g.expression("", 3), g.trace(t)) {
			matched++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if matched < 4000 || matched > 16000 {
		t.Errorf("%d of 20,000 match: that tests little", matched)
	}
}

// FuzzBounds checks the same properties with the fuzzer's own expressions.
func FuzzBounds(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(generator{rand.New(rand.NewPCG(seed, 2))}.expression("", 2), seed)
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		if strings.Count(text, "(")+strings.Count(text, "!") > 100 {
			return // !(…) around it would pass the limit
		}
		if _, err := parse(text); err != nil || strings.TrimSpace(text) == "" {
			return
		}
		check(t, text, generator{rand.New(rand.NewPCG(seed, 3))}.trace(t))
	})
}

// An expression of 2 KB and a scalar one, used as an engine does: compiled once and
// matched often.
func BenchmarkMatchScalar(b *testing.B) {
	tr, s := shop()
	for _, text := range []string{"responsetime > 1 AND ok", `http.url CONTAINS "/api/" AND http.status = 200 AND user = "bob"`, `annotation.plan = "gold" AND !annotation.absent`} {
		e, err := filter.Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Match(tr, s)
			}
		})
	}
}

func BenchmarkMatchService(b *testing.B) {
	tr, s := shop()
	e, err := filter.Parse(`service("back") { responsetime > 1 } AND edge("front", "back") { fault }`)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Match(tr, s)
	}
}

func BenchmarkParse2KB(b *testing.B) {
	text := strings.Repeat(`service("back") { responsetime > 1 } AND annotation.plan = "gold" OR `, 30) + "ok"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := filter.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
