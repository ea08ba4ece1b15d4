package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// clockOf hands out receipts one millisecond apart.
func clockOf(start float64) func() trace.Time {
	at := second(start)
	return func() trace.Time { at += 1e6; return at }
}

// fill appends n shop traces, three batches each of some of them mixed.
func fill(f *fixture, n int) {
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	received := clockOf(1000)
	var batch []*trace.Segment
	for i := range n {
		at := received()
		batch = append(batch, shop(f, rnd, func() trace.Time { return at }, i, float64(rnd.IntN(600)))...)
		if i%4 == 3 || i == n-1 {
			f.append(home, batch...)
			batch = nil
		}
	}
}

func readYourWrites(t *testing.T, e Engine) {
	f := newFixture(t, e)
	received := clockOf(0)
	for i := range 50 {
		f.append(home, segment(f, received(), i%7, segmentID(i), "svc", float64(i), float64(i)+0.5, nil))
		f.compare(fmt.Sprintf("after batch %d", i), home)
		if i%11 == 10 {
			f.settle()
		}
	}
}

func oneChangeABatch(t *testing.T, e Engine) {
	f := newFixture(t, e)
	received := clockOf(0)
	for batch := range 3 {
		at := received()
		var segments []*trace.Segment
		for i := range 5 {
			segments = append(segments, segment(f, at, i%2, segmentID(batch*10+i), "svc", 1, 2, nil))
		}
		f.append(home, segments...)
		if batch == 1 {
			f.settle()
		}
	}
	f.states(func(state string) {
		for _, tr := range f.traces(home, traceID(0), traceID(1)) {
			if tr.Revision != 3 {
				t.Errorf("%s: revision %d after three batches", state, tr.Revision)
			}
		}
	})
}

func emptyBatch(t *testing.T, e Engine) {
	f := newFixture(t, e)
	f.append(home)
	if st := f.stats(); st.Traces != 0 || st.Segments != 0 {
		t.Errorf("stats %+v", st)
	}
	f.compare("empty", home)
}

func accountsAreApart(t *testing.T, e Engine) {
	f := newFixture(t, e)
	accounts := []trace.Account{home, "111111111111", "111111111112", ""}
	received := clockOf(0)
	for i, a := range accounts {
		for n := range 3 {
			// The same ids everywhere, but other names and times.
			f.append(a, segment(f, received(), n, segmentID(1), fmt.Sprintf("svc-%d", i), float64(i*100+n), float64(i*100+n+1), nil))
		}
	}
	f.states(func(state string) {
		for _, a := range accounts {
			f.compare(state+", account "+string(a), a)
		}
		if got := f.traces("222222222222", traceID(0)); len(got) != 0 {
			t.Errorf("%s: a stranger sees %d traces", state, len(got))
		}
		if got := f.summaries("222222222222", &answer.SummaryQuery{Window: everything()}); len(got) != 0 {
			t.Errorf("%s: a stranger sees %d summaries", state, len(got))
		}
		if g := f.graph("222222222222", answer.GraphQuery{Window: everything()}); len(g.Services) != 0 {
			t.Errorf("%s: a stranger sees %d services", state, len(g.Services))
		}
	})
}

func tracesInOrder(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 20)
	want := []trace.ID{traceID(7), traceID(3), traceID(19), traceID(0)}
	asked := []trace.ID{traceID(7), traceID(1000), traceID(3), traceID(19), {}, traceID(0)}
	f.states(func(state string) {
		var got []trace.ID
		for _, tr := range f.traces(home, asked...) {
			got = append(got, tr.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", state, got, want)
		}
	})
}

func tracesHaveText(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 3)
	f.append(home, spans(f, second(2000), 50, "payments", 5)...)
	f.states(func(state string) {
		for _, tr := range f.traces(home, traceID(0), traceID(50)) {
			for en := range assemble.All(tr) {
				if len(en.Raw) == 0 || en.Raw[0] != '{' || !strings.Contains(string(en.Raw), en.ID.String()) {
					t.Errorf("%s: entity %s of %s has the text %q", state, en.ID, tr.ID, en.Raw)
				}
			}
		}
	})
}

func weights(t *testing.T, e Engine) {
	f := newFixture(t, e)
	f.append(home, segment(f, second(1), 1, segmentID(1), "small", 1, 2, nil))
	f.append(home, segment(f, second(1), 2, segmentID(1), "large", 1, 2, doc{"metadata": doc{"x": strings.Repeat("0123456789 ", 50_000)}}))
	f.append("111111111111", segment(f, second(1), 3, segmentID(1), "strange", 1, 2, nil))
	f.states(func(state string) {
		weigh := func(numbers ...int) int64 {
			var ids []trace.ID
			for _, n := range numbers {
				ids = append(ids, traceID(n))
			}
			all, _, err := f.store.Weigh(f.ctx, home, ids)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		// Traces that are kept close together may have to share their weight.
		if most, err := f.store.Heaviest(f.ctx, home, everything()); err != nil || most < max(weigh(1), weigh(2)) {
			t.Errorf("%s: the largest trace weighs %d, one of them %d", state, most, weigh(2))
		}
		if small, large, both := weigh(1), weigh(2), weigh(1, 2); small < 100 || large < 250_000 || both < 500_000 || both > 5_000_000 || weigh(3, 99) != 0 {
			t.Errorf("%s: a small trace weighs %d, one of 550 KB %d, both %d, others %d", state, small, large, both, weigh(3, 99))
		}
	})
}

func spansKeepScope(t *testing.T, e Engine) {
	f := newFixture(t, e)
	for n := range 6 {
		batch := spans(f, second(float64(n)), n, fmt.Sprintf("svc-%d", n%2), float64(n))
		if batch[0].Scope == nil || len(batch[0].Scope.Resource) == 0 {
			t.Fatal("the spans of this case must have a scope")
		}
		f.append(home, batch...)
	}
	f.states(func(state string) { f.compare(state, home) })
}

func summariesInOrder(t *testing.T, e Engine) {
	f := newFixture(t, e)
	received := clockOf(0)
	// Many traces start at the same moment, and are not received in order.
	for _, n := range rand.New(rand.NewPCG(3, 4)).Perm(60) {
		f.append(home, segment(f, received(), n, segmentID(n), "svc", float64(n/10), float64(n/10)+float64(n%3), nil))
		if n%17 == 0 {
			f.settle()
		}
	}
	f.states(func(state string) { f.compare(state, home) })
}

func windows(t *testing.T, e Engine) {
	f := newFixture(t, e)
	for n := range 10 {
		start := float64(10 * n)
		f.append(home, segment(f, second(1000+start), n, segmentID(n), "svc", start, start+5, nil))
	}
	f.states(func(state string) {
		for _, c := range []struct {
			clock      trace.Clock
			start, end float64
			want       int
		}{
			{trace.ClockTraceID, 20, 40, 2}, {trace.ClockTraceID, 20.001, 40.001, 2}, {trace.ClockTraceID, 20, 20, 0}, {trace.ClockTraceID, -10, 1, 1},
			{trace.ClockEvent, 1020, 1040, 2}, {trace.ClockEvent, 20, 40, 0}, {trace.ClockEvent, 1090, 1090.001, 1},
			{trace.ClockService, 25, 45, 2}, {trace.ClockService, 20, 25, 0}, {trace.ClockService, 0, 5.001, 1},
		} {
			q := &answer.SummaryQuery{Window: trace.Window{Start: second(c.start), End: second(c.end)}, Clock: c.clock}
			if got := f.summaries(home, q); len(got) != c.want {
				t.Errorf("%s: clock %d from %v to %v: %d traces, want %d", state, c.clock, c.start, c.end, len(got), c.want)
			}
			f.compareSummaries(state, home, q)
		}
	})
}

// expressions touch every bound that an engine may prune by, and some none.
func expressions() []string {
	return []string{
		"", `service("front")`, `service("orders") { fault }`, `service("nobody")`, `edge("front", "orders")`, `service(id(name: "front", type: "client"))`,
		"fault", "!fault", "fault = false", "error", "throttle", "!error AND !throttle", "ok", "responsetime > 2", "responsetime <= 1.5 AND responsetime > 0.5",
		"responsetime > 99", "duration >= 1 AND duration < 3", `annotation.tier = "gold"`, "annotation.items > 4", "annotation.campaign = true",
		"annotation.nothing = 1", `annotation.tier = "gold" OR annotation.campaign = true`, `http.status = 404`, `user = "user-3"`, `http.url CONTAINS "orders"`,
		"partial", `service("front") AND annotation.tier = "silver" AND responsetime > 1 AND !fault`,
	}
}

func pruning(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 60)
	received := clockOf(5000)
	for n := range 6 {
		// No root, still open, and not an end at all.
		f.append(home, segment(f, received(), 900+n, segmentID(n), "front", float64(100*n), -1, doc{"parent_id": segmentID(77), "annotations": doc{"tier": "gold"}}))
	}
	f.states(func(state string) {
		for _, text := range expressions() {
			for _, clock := range []trace.Clock{trace.ClockTraceID, trace.ClockEvent, trace.ClockService} {
				for _, w := range []trace.Window{everything(), {Start: second(100), End: second(400)}, {Start: second(1000), End: second(1008)}} {
					f.compareSummaries(state, home, &answer.SummaryQuery{Window: w, Clock: clock, Filter: parse(f, text)})
				}
			}
		}
	})
}

func paging(t *testing.T, e Engine) {
	for _, clock := range []trace.Clock{trace.ClockTraceID, trace.ClockEvent, trace.ClockService} {
		f := newFixture(t, e)
		fill(f, 50)
		f.settle()
		received := clockOf(3000)
		// What exists now must come once and in order, whatever arrives meanwhile.
		w := trace.Window{Start: 0, End: second(2000)}
		first := f.model.summaries(home, &answer.SummaryQuery{Window: w, Clock: clock})
		var seen []trace.ID
		var after *answer.Cursor
		for page := 0; ; page++ {
			n := 0
			for s, err := range f.store.Summaries(f.ctx, home, &answer.SummaryQuery{Window: w, Clock: clock, After: after}) {
				if err != nil {
					t.Fatal(err)
				}
				seen = append(seen, s.ID)
				after = &answer.Cursor{Time: clock.Of(s), ID: s.ID}
				if n++; n == 7 {
					break
				}
			}
			if n < 7 {
				break
			}
			// New traces with all sorts of times; settled now and then.
			for i := range 5 {
				f.append(home, segment(f, received(), 10_000+page*10+i, segmentID(i), "late", float64(600-page*60-i), float64(620-page*60-i), nil))
			}
			if page%3 == 1 {
				f.settle()
			}
		}
		at := map[trace.ID]int{}
		for i, id := range seen {
			if _, twice := at[id]; twice {
				t.Errorf("clock %d: %s came twice", clock, id)
			}
			at[id] = i
		}
		last := -1
		for _, s := range first {
			i, ok := at[s.ID]
			if !ok {
				t.Errorf("clock %d: %s never came", clock, s.ID)
			} else if i < last {
				t.Errorf("clock %d: %s came out of order", clock, s.ID)
			}
			last = i
		}
	}
}

func examined(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 30)
	f.states(func(state string) {
		for _, text := range []string{"", "fault", `annotation.nothing = 1`} {
			var n int64
			q := &answer.SummaryQuery{Window: everything(), Filter: parse(f, text), Examined: &n}
			got := f.summaries(home, q)
			if n < int64(len(got)) || n > 30 || n == 0 && len(got) > 0 {
				t.Errorf("%s: %q: %d traces, %d looked at, 30 exist", state, text, len(got), n)
			}
			if text == "" && n != 30 {
				t.Errorf("%s: %d looked at without a filter, want 30", state, n)
			}
		}
	})
}

func lateSegments(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 20)
	f.settle()
	received := clockOf(90_000)
	for round := range 3 {
		for n := 0; n < 20; n += 3 {
			f.append(home, segment(f, received(), n, segmentID(n*100+round+50), "billing", float64(700+n), float64(701+n), doc{"parent_id": segmentID(n*10 + 1)}))
		}
		f.compare(fmt.Sprintf("reopened, round %d", round), home)
		if st := f.stats(); st.Traces != 20 || st.Segments != int64(40+7*(round+1)) {
			t.Errorf("round %d: stats %+v", round, st)
		}
		if round == 1 {
			f.reopen()
			f.compare("reopened traces after a restart", home)
		}
		if round != 0 {
			f.settle()
			f.compare("settled again", home)
		}
	}
	f.states(func(state string) { f.compare(state, home) })
}

func firstCompletionWins(t *testing.T, e Engine) {
	f := newFixture(t, e)
	send := func(at, start, end float64, name string) []trace.Refused {
		t.Helper()
		refused, err := f.store.Append(f.ctx, home, []*trace.Segment{segment(f, second(at), 1, segmentID(1), name, start, end, nil)})
		if err != nil {
			t.Fatal(err)
		}
		f.model.append(home, []*trace.Segment{segment(f, second(at), 1, segmentID(1), name, start, end, nil)})
		return refused
	}
	send(100, 0, -1, "one")
	send(101, 0, -1, "two")
	f.compare("in progress", home)
	// Accepted first, though its receipt is later than that of the next.
	send(110, 0, 1, "three")
	if refused := send(111, 0, 1, "three"); refused != nil {
		t.Errorf("sent again: refused %v", refused)
	}
	if refused := send(112, 0, 3, "three"); len(refused) != 1 || refused[0].Entity.ID.String() != segmentID(1) || refused[0].Kept.End != second(1) {
		t.Errorf("a contradiction: refused %v", refused)
	}
	if refused := send(113, 0, -1, "three"); refused != nil {
		t.Errorf("an earlier version: refused %v", refused)
	}
	f.settle()
	send(105, 0, 2, "three")
	f.states(func(state string) {
		f.compare(state, home)
		got := f.traces(home, traceID(1))
		if len(got) != 1 || got[0].Root.Name != "three" || got[0].Root.End != second(1) || len(got[0].Segments) != 1 || len(got[0].Refused) != 2 {
			t.Errorf("%s: %s", state, describeTrace(got[0]))
		}
	})
}

func duplicates(t *testing.T, e Engine) {
	f := newFixture(t, e)
	one := func() *trace.Segment { return segment(f, second(5), 1, segmentID(1), "svc", 1, 2, nil) }
	f.append(home, one(), one())
	f.append(home, one())
	f.settle()
	f.append(home, segment(f, second(9), 1, segmentID(1), "svc", 1, 2, nil))
	f.states(func(state string) {
		f.compare(state, home)
		if got := f.traces(home, traceID(1)); len(got) != 1 || got[0].Revision != 1 || len(got[0].Segments) != 1 {
			t.Errorf("%s: %s", state, describeTrace(got[0]))
		}
	})
}

func subsegmentsJoin(t *testing.T, e Engine) {
	for _, parentFirst := range []bool{true, false} {
		f := newFixture(t, e)
		parent := segment(f, second(10), 1, segmentID(1), "svc", 1, 9, nil)
		child := segment(f, second(11), 1, segmentID(2), "call", 2, 3, doc{"type": "subsegment", "parent_id": segmentID(1), "namespace": "remote"})
		order := []*trace.Segment{parent, child}
		if !parentFirst {
			slices.Reverse(order)
		}
		f.append(home, order[0])
		f.settle()
		f.compare("first half", home)
		f.append(home, order[1])
		f.states(func(state string) {
			f.compare(state, home)
			if got := f.traces(home, traceID(1))[0]; len(got.Segments) != 1 || len(got.Segments[0].Subsegments) != 1 {
				t.Errorf("%s: %s", state, describeTrace(got))
			}
		})
	}
}

func graphWindow(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 40)
	// One trace whose documents are received far apart.
	f.append(home, segment(f, second(2000), 500, segmentID(1), "early", 1, 2, nil))
	f.append(home, segment(f, second(4000), 500, segmentID(2), "late", 1, 2, doc{"parent_id": segmentID(1)}))
	f.states(func(state string) {
		for _, w := range []trace.Window{everything(), {Start: second(1000), End: second(1000.021)}, {Start: second(1000.02), End: second(1001)},
			{Start: second(2000), End: second(2001)}, {Start: second(3000), End: second(3001)}, {Start: second(4000), End: second(4000.1)}, {Start: 0, End: 1}} {
			f.compareGraph(fmt.Sprintf("%s, %v", state, w), home, answer.GraphQuery{Window: w})
		}
	})
}

// group is a group whose filter changed at an instant.
func group(t testing.TB, before, after string, change trace.Time) *answer.Group {
	return &answer.Group{Versions: []answer.GroupVersion{
		{Filter: parse(t, before), Received: trace.Window{Start: 0, End: change}, Old: true},
		{Filter: parse(t, after), Received: trace.Window{Start: change, End: trace.MaxTime}},
	}}
}

func groupVersions(t *testing.T, e Engine) {
	f := newFixture(t, e)
	// Trace 1 came before the change, trace 2 after it, trace 3 on both sides.
	f.append(home, segment(f, second(100), 1, segmentID(1), "a", 1, 2, nil))
	f.append(home, segment(f, second(500), 2, segmentID(2), "a", 1, 2, nil))
	f.append(home, segment(f, second(510), 4, segmentID(5), "b", 1, 2, nil))
	f.append(home, segment(f, second(110), 3, segmentID(3), "a", 1, 3, nil))
	f.append(home, segment(f, second(520), 3, segmentID(4), "b", 1, 2, doc{"parent_id": segmentID(3)}))
	g := group(t, `service("a")`, `service("b")`, second(300))
	f.states(func(state string) {
		q := answer.GraphQuery{Window: everything(), Group: g}
		f.compareGraph(state, home, q)
		got := f.graph(home, q)
		counts := map[string]int64{}
		for _, s := range got.Services {
			if s.Statistics != nil {
				counts[s.Name] = s.Statistics.Total()
			}
		}
		if counts["a"] != 2 || counts["b"] != 2 || !got.OldGroupVersions {
			t.Errorf("%s: counted %v, old versions %v; want two of a by the old filter and two of b by the new one", state, counts, got.OldGroupVersions)
		}
		q.Window.Start = second(400)
		if got := f.graph(home, q); got.OldGroupVersions {
			t.Errorf("%s: nothing in %v is of an old version", state, q.Window)
		}
		f.compareSeries(state, home, answer.SeriesQuery{Window: everything(), Period: time.Minute, Group: g})
	})
}

func seriesBuckets(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 40)
	// minute 10: two receipts; minute 11: one, late for a trace of minute 10.
	f.append(home, segment(f, second(600), 700, segmentID(1), "front", 1, 2, doc{"subsegments": []doc{{"id": segmentID(2), "name": "back", "namespace": "remote", "start_time": 1, "end_time": 1.5}}}))
	f.append(home, segment(f, second(610), 701, segmentID(3), "front", 1, 4, doc{"fault": true}))
	f.append(home, segment(f, second(670), 700, segmentID(4), "back", 1.1, 1.4, doc{"parent_id": segmentID(2)}))
	of := func(text string) *filter.Entities {
		e, err := filter.ParseEntities(text)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	f.states(func(state string) {
		for _, what := range []*filter.Entities{nil, of(`service("front")`), of(`service("back")`), of(`edge("front", "back")`), of(`service("nobody")`)} {
			for _, period := range []time.Duration{time.Minute, 5 * time.Minute} {
				for _, w := range []trace.Window{everything(), {Start: second(600), End: second(660)}, {Start: second(661), End: second(900)}, {Start: second(0), End: second(1)}} {
					f.compareSeries(fmt.Sprintf("%s, %v, %v, %v", state, what, period, w), home, answer.SeriesQuery{Window: w, Period: period, Of: what})
				}
			}
		}
		s, err := f.store.Series(f.ctx, home, answer.SeriesQuery{Window: trace.Window{Start: second(600), End: second(900)}, Period: time.Minute, Of: of(`service("front")`)})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Points) != 2 || s.Points[0].Statistics != nil || s.Points[1].Statistics.Total() != 2 || s.Points[1].Statistics.Fault != 1 {
			t.Errorf("%s: series %s; want the later minute without front, then two of front, one a fault", state, describeSeries(s))
		}
	})
}

func graphLinks(t *testing.T, e Engine) {
	f := newFixture(t, e)
	f.append(home, segment(f, second(10), 1, segmentID(1), "producer", 1, 2, doc{
		"links": []doc{{"trace_id": traceID(2).String(), "id": segmentID(2), "attributes": doc{"aws.xray.reserved.reference_type": "child"}}},
	}))
	f.append(home, segment(f, second(20), 3, segmentID(1), "other", 1, 2, doc{
		"links": []doc{{"trace_id": traceID(2).String(), "id": segmentID(2), "attributes": doc{"aws.xray.reserved.reference_type": "child"}}},
	}))
	f.append(home, segment(f, second(500), 2, segmentID(2), "consumer", 3, 4, doc{
		"links": []doc{{"trace_id": traceID(1).String(), "id": segmentID(1), "attributes": doc{"aws.xray.reserved.reference_type": "parent"}}},
	}))
	f.states(func(state string) {
		f.compareGraph(state, home, answer.GraphQuery{Window: everything()})
		f.compareGraph(state+", consumer alone", home, answer.GraphQuery{Window: trace.Window{Start: second(400), End: second(600)}})
		f.compareGraph(state+", producers alone", home, answer.GraphQuery{Window: trace.Window{Start: second(5), End: second(30)}})
		for _, w := range []trace.Window{everything(), {Start: second(5), End: second(30)}} {
			if g := describeGraph(f.graph(home, answer.GraphQuery{Window: w})); strings.Count(g, "link=true") != 2 {
				t.Errorf("%s, %v: not one edge for each producer:\n%s", state, w, g)
			}
		}
	})
}

func cancellation(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 30)
	f.states(func(state string) {
		ctx, cancel := context.WithCancel(f.ctx)
		defer cancel()
		n, last := 0, error(nil)
		for _, err := range f.store.Summaries(ctx, home, &answer.SummaryQuery{Window: everything()}) {
			if last = err; err == nil {
				if n++; n == 3 {
					cancel()
				}
			}
		}
		if n != 3 || !isDone(last) {
			t.Errorf("%s: %d summaries, then %v", state, n, last)
		}
		last = nil
		for _, err := range f.store.Traces(ctx, home, []trace.ID{traceID(1)}) {
			last = err
		}
		if !isDone(last) {
			t.Errorf("%s: Traces ended with %v", state, last)
		}
		if _, err := f.store.Graph(ctx, home, answer.GraphQuery{Window: everything()}); !isDone(err) {
			t.Errorf("%s: Graph ended with %v", state, err)
		}
		if _, err := f.store.Append(ctx, home, []*trace.Segment{segment(f, second(1), 77, segmentID(1), "svc", 1, 2, nil)}); !isDone(err) {
			t.Errorf("%s: Append ended with %v", state, err)
		}
		for range f.store.Follow(ctx) {
			t.Errorf("%s: an event after the end", state)
		}
	})
}

func earlyStop(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 10)
	f.states(func(state string) {
		for range f.store.Summaries(f.ctx, home, &answer.SummaryQuery{Window: everything()}) {
			break
		}
		for range f.store.Traces(f.ctx, home, f.model.ids(home)) {
			break
		}
		f.compare(state, home)
	})
}

func follow(t *testing.T, e Engine) {
	f := newFixture(t, e)
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	defer cancel()
	events := f.store.Follow(ctx)
	const others trace.Account = "111111111111"
	received := clockOf(0)
	want := map[trace.Account]int{home: 60, others: 20}
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 20 {
			for j := range 3 {
				f.append(home, segment(f, received(), i, segmentID(j), "svc", 1, 2, nil))
			}
			f.append(others, segment(f, received(), i, segmentID(1), "svc", 1, 2, nil))
		}
	})
	got, n := map[trace.Account]int{}, 0
	begin := time.Now()
	for ev := range events {
		if ev.Segments < 1 || ev.Time == 0 {
			t.Errorf("event %+v", ev)
		}
		got[ev.Account] += ev.Segments
		if n++; got[home] == want[home] && got[others] == want[others] {
			break
		}
	}
	took := time.Since(begin)
	writer.Wait()
	if got[home] != want[home] || got[others] != want[others] {
		t.Errorf("events of %v segments, want %v", got, want)
	}
	if most := 2 * (2 + int(took/(100*time.Millisecond))); n > most {
		t.Errorf("%d events in %v: they were not merged", n, took)
	}
}

func stats(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 25)
	f.states(func(state string) {
		st := f.stats()
		if st.Traces != 25 || st.Segments != 50 || st.ReadOnly != "" || len(st.Damage) != 0 {
			t.Errorf("%s: %+v", state, st)
		}
		names := map[string]bool{}
		for _, g := range st.Gauges {
			if names[g.Name] || g.Name == "" || g.Help == "" || g.Value < 0 {
				t.Errorf("%s: gauge %+v", state, g)
			}
			names[g.Name] = true
		}
		if st.Gauge("open_traces") > st.Traces {
			t.Errorf("%s: more open traces than traces: %+v", state, st)
		}
	})
}

func closeTwice(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 3)
	for range 2 {
		if err := f.store.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	if _, err := f.store.Append(f.ctx, home, []*trace.Segment{segment(f, second(1), 1, segmentID(1), "svc", 1, 2, nil)}); trace.KindOf(err) != trace.KindUnavailable {
		t.Errorf("Append after Close: %v", err)
	}
	var last error
	for _, err := range f.store.Summaries(f.ctx, home, &answer.SummaryQuery{Window: everything()}) {
		last = err
	}
	if last == nil {
		t.Error("Summaries after Close gave no error")
	}
	if _, err := f.store.Graph(f.ctx, home, answer.GraphQuery{Window: everything()}); err == nil {
		t.Error("Graph after Close gave no error")
	}
}

func reopening(t *testing.T, e Engine) {
	f := newFixture(t, e)
	received := clockOf(7000)
	fill(f, 12)
	for round := range 4 {
		f.reopen()
		f.compare(fmt.Sprintf("restart %d", round), home)
		if round%2 == 0 {
			f.settle()
		}
		f.append(home, segment(f, received(), round, segmentID(990+round), "after", 3, 4, nil))
		f.append(home, segment(f, received(), 200+round, segmentID(1), "after", 3, 4, nil))
		f.compare(fmt.Sprintf("after restart %d", round), home)
	}
}

func concurrency(t *testing.T, e Engine) {
	f := newFixture(t, e)
	var all sync.WaitGroup
	const writers, batches = 4, 25
	for w := range writers {
		all.Go(func() {
			account := trace.Account(fmt.Sprintf("%012d", w%2))
			for i := range batches {
				n := w*1000 + i
				s := segment(t, second(float64(n)), n, segmentID(1), "svc", float64(i), float64(i)+1, nil)
				if _, err := f.store.Append(f.ctx, account, []*trace.Segment{s}); err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				found := 0
				for _, err := range f.store.Traces(f.ctx, account, []trace.ID{traceID(n)}) {
					if err != nil {
						t.Errorf("Traces: %v", err)
					}
					found++
				}
				if found != 1 {
					t.Errorf("writer %d: trace %d was found %d times right after it was acknowledged", w, n, found)
				}
			}
		})
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			seen := map[trace.ID]bool{}
			for s, err := range f.store.Summaries(f.ctx, home, &answer.SummaryQuery{Window: everything()}) {
				if err != nil || seen[s.ID] {
					t.Errorf("a reader got %v, %v", s, err)
					return
				}
				seen[s.ID] = true
			}
			if _, err := f.store.Graph(f.ctx, home, answer.GraphQuery{Window: everything()}); err != nil {
				t.Errorf("Graph: %v", err)
			}
		}
	})
	readers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				f.settle()
			}
		}
	})
	all.Wait()
	close(done)
	readers.Wait()
	if st := f.stats(); st.Traces != writers*batches || st.Segments != writers*batches {
		t.Errorf("stats %+v", st)
	}
}
