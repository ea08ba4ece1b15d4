package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// clockOf returns times of receipt that are one millisecond apart.
func clockOf(start float64) func() trace.Time {
	at := second(start)
	return func() trace.Time { at += 1e6; return at }
}

// fill appends n shop traces, three batches for each few of them, mixed.
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
			// The same ids everywhere, but different names and times.
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
		// Traces that are stored close together may have to share their weight.
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
	// Many traces start at the same moment and are received in random order.
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

// expressions covers every bound that an engine may prune by; some have no bounds.
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
		// No root, still open, and without any end.
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
		// Everything that exists now must be yielded once and in order, whatever
		// arrives meanwhile.
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
			// New traces with various times; settled now and then.
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
	// Accepted first, although its receipt is later than that of the next.
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
