package local_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// A question for a value goes straight to the traces that have it. It finds the same
// traces as a question that reads all of them, and counts as many as examined.
func TestSummaries_ofAValueAreThoseOfALookAtAll(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	o := small(vfs.NewMem())
	now := time.Unix(rollupStart+1000, 0)
	o.Now = func() time.Time { return now }
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for round := range 12 {
		var batch []*trace.Segment
		for range 40 {
			n := rnd.IntN(300)
			start := rollupStart + float64(n)
			doc := fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"shop","start_time":%f,"end_time":%f,"annotations":{"tier":"t%d","odd":%v},"user":"u%d"}`,
				idOf(n), rnd.Uint64()|1, start, start+1, rnd.IntN(6), n%2 == 1, n%7)
			list, refusal := decode.Document([]byte(doc), trace.FromSeconds(rollupStart+float64(400+rnd.IntN(400))))
			if refusal != nil {
				t.Fatal(refusal)
			}
			batch = append(batch, list...)
		}
		if _, err := s.Append(context.Background(), owner, batch); err != nil {
			t.Fatal(err)
		}
		if round < 11 { // the last batch stays open
			if err := s.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if round == 5 {
			s.Merge()
		}
	}
	for range 300 {
		tier := rnd.IntN(7)
		from := rollupStart + float64(rnd.IntN(500))
		w := trace.Window{Start: trace.FromSeconds(from), End: trace.FromSeconds(from + float64(rnd.IntN(500)))}
		clock := []trace.Clock{trace.ClockTraceID, trace.ClockEvent, trace.ClockService}[rnd.IntN(3)]
		var after *answer.Cursor
		if rnd.IntN(2) == 0 {
			after = &answer.Cursor{Time: trace.FromSeconds(from + float64(rnd.IntN(500))), ID: idOf(rnd.IntN(300))}
		}
		limit := 1 + rnd.IntN(40)
		ask := func(text string) string {
			e, err := filter.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			var examined int64
			q := &answer.SummaryQuery{Window: w, Clock: clock, Filter: e, After: after, Examined: &examined}
			found := ""
			n := 0
			for sum, err := range s.Summaries(context.Background(), owner, q) {
				if err != nil {
					t.Fatal(err)
				}
				found += sum.ID.String() + " "
				if n++; n == limit { // what it passed over in other blocks is not counted yet
					return found
				}
			}
			return fmt.Sprintf("%s examined %d", found, examined)
		}
		direct, looking := ask(fmt.Sprintf(`annotation.tier = "t%d"`, tier)), ask(fmt.Sprintf(`annotation.tier BEGINSWITH "t%d"`, tier))
		if direct != looking {
			t.Fatalf("t%d in %v by clock %v behind %v:\n%s\n%s", tier, w, clock, after, direct, looking)
		}
	}
}

// anything makes random segments and expressions of few keys and values.
type anything struct{ rnd *rand.Rand }

func (a anything) value() string {
	return []string{`{"stringValue":"1"}`, `{"intValue":"1"}`, `{"doubleValue":1}`, `{"doubleValue":-0.0}`, `{"intValue":"0"}`, `{"boolValue":true}`, `{"boolValue":false}`, `{"stringValue":""}`}[a.rnd.IntN(8)]
}

func (a anything) key() string { return []string{"k", "k.l", "k l", "m"}[a.rnd.IntN(4)] }

// batch makes a span or a document of trace n.
func (a anything) batch(t *testing.T, n int, received trace.Time) []*trace.Segment {
	t.Helper()
	rnd, start := a.rnd, int64(rollupStart+n)*1e9
	if rnd.IntN(2) == 0 {
		text := fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s%d"}},{"key":%q,"value":%s}]},"scopeSpans":[{"spans":[
			{"traceId":%q,"spanId":"%016x","name":"b","kind":2,"startTimeUnixNano":"%d","endTimeUnixNano":"%d","attributes":[{"key":%q,"value":%s},{"key":"http.response.status_code","value":{"intValue":"%d"}}]}]}]}]}`,
			rnd.IntN(3), a.key(), a.value(), idOf(n).Hex(), rnd.Uint64()|1, start, start+1e9, a.key(), a.value(), []int{200, 404, 429, 500}[rnd.IntN(4)])
		spans, err := otlp.JSON([]byte(text), received)
		if err != nil || spans.RejectedSpans > 0 {
			t.Fatalf("%v %s", err, spans.Message())
		}
		return spans.Segments
	}
	doc := fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"s%d","start_time":%d,"end_time":%d,"user":"u%d","annotations":{%q:%s},"subsegments":[{"id":"%016x","name":"t","namespace":"remote","start_time":%d,"in_progress":true,"fault":%v,"annotations":{"m":%d}}]}`,
		idOf(n), rnd.Uint64()|1, rnd.IntN(3), rollupStart+n, rollupStart+n+1, rnd.IntN(3), a.key(), []string{"1", `"1"`, "true"}[rnd.IntN(3)], rnd.Uint64()|1, rollupStart+n, rnd.IntN(2) == 0, rnd.IntN(3))
	list, refusal := decode.Document([]byte(doc), received)
	if refusal != nil {
		t.Fatal(refusal)
	}
	return list
}

func (a anything) term() string {
	rnd := a.rnd
	literal := []string{"1", `"1"`, "true", "false", "0", `""`, "2"}[rnd.IntN(7)]
	return []string{
		fmt.Sprintf("annotation[%q] = %s", a.key(), literal), fmt.Sprintf("annotation[%q]", a.key()), fmt.Sprintf("annotation[%q] != %s", a.key(), literal),
		fmt.Sprintf(`service("s%d") { annotation[%q] = %s }`, rnd.IntN(4), a.key(), literal), fmt.Sprintf(`user = "u%d"`, rnd.IntN(4)),
		fmt.Sprintf(`service("%s") { %s }`, []string{"s0", "s1", "t"}[rnd.IntN(3)], []string{"fault", "error", "throttle = true", "fault OR error", "!fault", "error != true"}[rnd.IntN(6)]),
	}[rnd.IntN(6)]
}

func (a anything) expression() string {
	text := a.term()
	for range a.rnd.IntN(3) {
		text = []string{text + " AND " + a.term(), "(" + text + ") OR " + a.term(), "!(" + text + ")"}[a.rnd.IntN(3)]
	}
	return text
}

// Pruning never drops a trace that a question selects: by annotations, attributes of
// spans and resources, users or failures, of traces that are open, settled, merged or
// reopened, also with more keys and values than the index has room for.
func TestSummaries_passOverNothingThatIsSelected(t *testing.T) {
	for _, limits := range []struct{ keys, values int }{{0, 0}, {3, 0}, {0, 2}} {
		rnd := rand.New(rand.NewPCG(7, uint64(limits.keys*10+limits.values)))
		o := small(vfs.NewMem())
		o.AnnotationKeys, o.AnnotationValues = limits.keys, limits.values
		now := time.Unix(rollupStart+1000, 0)
		o.Now = func() time.Time { return now }
		s, err := open(o)
		if err != nil {
			t.Fatal(err)
		}
		const traces = 60
		m := anything{rnd}
		received := trace.FromSeconds(rollupStart + 500)
		for round := range 6 {
			for range 25 {
				n := rnd.IntN(traces)
				received++
				batch := m.batch(t, n, received)
				if _, err := s.Append(context.Background(), owner, batch); err != nil {
					t.Fatal(err)
				}
			}
			if round < 5 && round%2 == 0 {
				if err := s.Flush(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if round == 4 {
				s.Merge()
			}
		}
		var ids []trace.ID
		for n := range traces {
			ids = append(ids, idOf(n))
		}
		selected := 0
		for range 400 {
			text := m.expression()
			e, err := filter.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			want, got := map[trace.ID]bool{}, map[trace.ID]bool{}
			for tr, err := range s.Traces(context.Background(), owner, ids, answer.Reach{}) {
				if err != nil {
					t.Fatal(err)
				}
				if e.Match(tr, assemble.Summary(tr)) {
					want[tr.ID] = true
				}
			}
			q := &answer.SummaryQuery{Window: trace.Window{Start: 0, End: trace.MaxTime}, Filter: e}
			for sum, err := range s.Summaries(context.Background(), owner, q) {
				if err != nil {
					t.Fatal(err)
				}
				got[sum.ID] = true
			}
			if !maps.Equal(got, want) {
				t.Fatalf("budgets %v: %s selects %d traces, want %d: %v, %v", limits, text, len(got), len(want), got, want)
			}
			selected += len(got)
		}
		if selected < 2000 || selected > 20000 {
			t.Errorf("%d traces selected by 400 questions: that tests little", selected)
		}
		st, err := s.Stats(context.Background())
		if err != nil || limits.keys > 0 != (st.Keys.TracesBeyond > 0) || limits.values > 0 != (len(st.Keys.Over) > 0) {
			t.Errorf("budgets %v: %+v, %v", limits, st.Keys, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
