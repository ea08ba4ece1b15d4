package storetest

import (
	"fmt"
	"testing"

	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// delete deletes from the model and returns how many traces existed.
func (m *model) delete(account trace.Account, ids ...trace.ID) (n int) {
	for _, id := range ids {
		if _, ok := m.accounts[account][id]; ok {
			n++
			delete(m.accounts[account], id)
		}
	}
	return n
}

// delete deletes by id from both and compares the numbers.
func (f *fixture) delete(account trace.Account, ids ...trace.ID) {
	f.Helper()
	got, err := f.store.Delete(f.ctx, account, answer.DeleteQuery{IDs: ids})
	if err != nil {
		f.Fatalf("Delete: %v", err)
	}
	if want := f.model.delete(account, ids...); got != want {
		f.Fatalf("Delete says %d traces, want %d", got, want)
	}
}

func deletions(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 30)
	deleted := f.model.ids(home)
	f.delete(home, deleted[0], deleted[3])
	f.states(func(state string) { f.compare(state, home) })
	f.delete(home, deleted[1], deleted[4]) // settled traces
	check := func(state string) {
		f.compare(state, home)
		if got := f.traces(home, deleted[0], deleted[1], deleted[3], deleted[4]); len(got) != 0 {
			t.Errorf("%s: %d deleted traces are there", state, len(got))
		}
		if st := f.stats(); st.Traces != int64(len(f.model.ids(home))) {
			t.Errorf("%s: stats count %d traces of %d", state, st.Traces, len(f.model.ids(home)))
		}
	}
	check("at once")
	f.states(check)
	// Again: nothing may reappear after a second start.
	f.reopen()
	check("reopened twice")
}

func purges(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 30)
	deleted := f.model.ids(home)
	f.delete(home, deleted[0], deleted[3])
	f.states(func(string) {
		f.delete(home, f.model.ids(home)[0])
		if err := f.shelf.Purge(f.ctx); err != nil {
			t.Fatal(err)
		}
		f.compare("purged", home)
	})
	f.reopen()
	f.compare("reopened", home)
	if err := f.shelf.Purge(f.ctx); err != nil {
		t.Fatalf("a purge with nothing to do: %v", err)
	}
}

func deletionCounts(t *testing.T, e Engine) {
	f := newFixture(t, e)
	received := clockOf(0)
	for _, a := range []trace.Account{home, "111111111111"} {
		for n := range 3 {
			f.append(a, segment(f, received(), n, segmentID(1), "svc", 1, 2, nil))
		}
	}
	f.delete(home, traceID(0), traceID(0), traceID(99))
	f.delete(home, traceID(0))
	f.settle()
	f.delete(home, traceID(0), traceID(1))
	f.states(func(state string) {
		f.compare(state, home)
		f.compare(state, "111111111111")
	})
}

func deletedBeginsAnew(t *testing.T, e Engine) {
	for _, settled := range []bool{false, true} {
		f := newFixture(t, e)
		received := clockOf(0)
		add := func(n int) {
			f.append(home, segment(f, received(), 1, segmentID(n), fmt.Sprintf("svc-%d", n), float64(n), float64(n)+1, nil))
		}
		add(1)
		add(2)
		if settled {
			f.settle()
			add(3) // opens it again
		}
		f.delete(home, traceID(1))
		add(4)
		f.compare("anew", home)
		f.states(func(state string) { f.compare(state, home) })
		add(5)
		f.delete(home, traceID(1))
		add(6)
		f.states(func(state string) { f.compare(state, home) })
	}
}

func deletionByFilter(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 40)
	for i, w := range []trace.Window{{Start: second(0), End: second(300)}, {Start: second(200), End: second(500)}} {
		q := &answer.SummaryQuery{Window: w, Clock: trace.ClockTraceID, Filter: parse(t, "error OR fault")}
		if i == 1 {
			q.Filter = nil
		}
		var ids []trace.ID
		for _, s := range f.model.summaries(home, q) {
			ids = append(ids, s.ID)
		}
		if len(ids) == 0 || len(ids) == len(f.model.ids(home)) {
			t.Fatalf("the query selects %d traces of %d: it shows nothing", len(ids), len(f.model.ids(home)))
		}
		got, err := f.store.Delete(f.ctx, home, answer.DeleteQuery{Window: q.Window, Filter: q.Filter})
		if err != nil || got != len(ids) {
			t.Fatalf("Delete: %d, %v; want %d", got, err, len(ids))
		}
		f.model.delete(home, ids...)
		f.states(func(state string) { f.compare(state, home) })
	}
}

func deletionRefused(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 4)
	for name, q := range map[string]answer.DeleteQuery{
		"nothing":       {},
		"a filter only": {Filter: parse(t, "fault")},
		"both":          {IDs: f.model.ids(home), Window: everything()},
		"no window":     {Window: trace.Window{Start: 5, End: 5}},
	} {
		if n, err := f.store.Delete(f.ctx, home, q); n != 0 || trace.KindOf(err) != trace.KindInvalid {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	f.compare("after refusals", home)
}
