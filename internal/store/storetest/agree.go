package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Named is an engine with its name and a function that disturbs its shelf (see
// History).
type Named struct {
	Name string
	Engine
	Upset func(rnd *rand.Rand, s store.Shelf) func(store.Rules) store.Shelf // nil: nothing
}

// agreement runs one history on several engines at once, with one clock.
type agreement struct {
	*history
	engines  []Named
	fixtures []*clocked
	groups   []answer.GroupVersion
	sweeping atomic.Bool
}

// Agree runs one random history, derived from the seed, on several engines at once, and
// requires the same bytes from all of them for every query: traces, summaries with the
// number of examined traces, graphs and series of groups with and without sums,
// deletions, all while traces expire.
func Agree(t testing.TB, engines []Named, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 17))
	a := &agreement{engines: engines, history: &history{rnd: rnd, now: second(float64(rnd.IntN(120)))}}
	a.first = a.history.now
	a.declareGroups(t)
	o := answer.Options{
		Retention: 20 * time.Minute,
		Groups:    func(context.Context, trace.Account) ([]answer.GroupVersion, error) { return a.groups, nil },
		Keep: func(context.Context, trace.Account) (answer.Keep, error) {
			if !a.sweeping.Load() { // a store sweeps when it opens
				return answer.Keep{Default: time.Hour}, nil
			}
			return answer.Keep{Default: 15 * time.Minute, Groups: []answer.GroupKeep{{Group: &answer.Group{Versions: a.groups[:1]}, For: 20 * time.Minute}}}, nil
		},
	}
	for _, e := range engines {
		a.fixtures = append(a.fixtures, newClocked(t, e.Engine, o))
	}
	a.fixture = a.fixtures[0].fixture
	a.live()
}

// declareGroups invents versions of two groups; one of the groups changes.
func (a *agreement) declareGroups(t testing.TB) {
	change := a.first + trace.Time(a.rnd.Int64N(int64(10*minute)))
	all := expressions()
	any := func() *filter.Expr { return parse(t, all[a.rnd.IntN(len(all))]) }
	a.groups = []answer.GroupVersion{
		{ID: "one/1", Name: "one", Filter: any(), Received: trace.Window{Start: 0, End: change}, Old: true},
		{ID: "one/2", Name: "one", Filter: any(), Received: trace.Window{Start: change, End: trace.MaxTime}},
		{ID: "two/1", Name: "two", Filter: any(), Received: everything()},
	}
}

func (a *agreement) live() {
	var docs []func(at trace.Time) []*trace.Segment
	traces := 4 + a.rnd.IntN(10)
	for n := range traces {
		docs = append(docs, randomTrace(a, a.rnd, n, traces)...)
	}
	a.rnd.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	for step := 0; len(docs) > 0; step++ {
		n := min(len(docs), 1+a.rnd.IntN(8))
		at := a.tick()
		account := []trace.Account{home, "111111111111"}[a.rnd.IntN(6)/5]
		for _, f := range a.fixtures {
			f.now.Store(int64(a.history.now))
			var batch []*trace.Segment
			for _, d := range docs[:n] {
				batch = append(batch, d(at)...)
			}
			if _, err := f.store.Append(f.ctx, account, batch); err != nil {
				a.Fatalf("Append: %v", err)
			}
		}
		docs = docs[n:]
		for i, e := range a.engines {
			if e.Upset == nil || a.rnd.IntN(2) > 0 {
				continue
			}
			if again := e.Upset(a.rnd, a.fixtures[i].shelf); again != nil {
				_ = a.fixtures[i].store.Close() // a crashed shelf cannot be closed
				a.fixtures[i].open(again)
			}
		}
		if a.rnd.IntN(6) == 0 {
			a.sweep()
		}
		if a.rnd.IntN(8) == 0 {
			a.all("Delete", func(f *clocked) string { return f.deleted(traceID(step % traces)) })
		}
		if a.rnd.IntN(2) == 0 {
			a.ask(account, traces)
		}
	}
	for _, f := range a.fixtures {
		f.settle()
	}
	for range 4 {
		a.ask(home, traces)
	}
}

// sweep makes all engines delete their expired traces.
func (a *agreement) sweep() {
	a.sweeping.Store(true)
	defer a.sweeping.Store(false)
	for _, f := range a.fixtures {
		f.settle() // the sweep skips traces that are still arriving
		f.store.Sweep(f.ctx)
	}
}

// all requires the same answer from all engines.
func (a *agreement) all(question string, ask func(*clocked) string) {
	a.Helper()
	want := ask(a.fixtures[0])
	for i, f := range a.fixtures[1:] {
		if got := ask(f); got != want {
			a.Fatalf("%s\n%s answers %s\n%s answers %s", question, a.engines[0].Name, want, a.engines[i+1].Name, got)
		}
	}
}

// ask makes one query of each kind.
func (a *agreement) ask(account trace.Account, traces int) {
	a.Helper()
	var ids []trace.ID
	for n := range traces + 1 {
		ids = append(ids, traceID(n))
	}
	a.rnd.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	reach := answer.Reach{Sight: randomSight(a.rnd), Linked: a.linked(account)}
	a.all(fmt.Sprint("Traces, reach ", reach), func(f *clocked) string {
		var b strings.Builder
		for _, t := range f.tracesFor(account, reach, ids...) {
			fmt.Fprintln(&b, describeTrace(t))
		}
		return b.String()
	})
	group := []*answer.Group{nil, {Versions: a.groups[:2]}, {Versions: a.groups[2:]}, a.group()}[a.rnd.IntN(4)]
	g := answer.GraphQuery{Window: a.window(), Group: group, Reach: reach}
	a.all("Graph, "+describeReceived(g.Window, g.Group), func(f *clocked) string { return describeGraph(f.graph(account, g)) })
	s := answer.SeriesQuery{Window: a.window(), Group: group, Period: time.Minute, Reach: reach}
	a.all("Series, "+describeReceived(s.Window, s.Group), func(f *clocked) string {
		series, err := f.store.Series(f.ctx, account, s)
		if err != nil {
			f.Fatalf("Series: %v", err)
		}
		return describeSeries(series)
	})
	q := answer.SummaryQuery{Window: a.window(), Clock: trace.Clock(a.rnd.IntN(3)), Filter: a.filter(), Reach: reach}
	if q.Clock != trace.ClockEvent {
		from := second(float64(a.rnd.IntN(100)))
		q.Window = trace.Window{Start: from, End: from + trace.Time(a.rnd.IntN(100))*1e9}
	}
	if a.rnd.IntN(2) == 0 {
		q.After = &answer.Cursor{Time: q.Window.Start + trace.Time(a.rnd.Int64N(max(1, int64(q.Window.End-q.Window.Start)))), ID: ids[0]}
	}
	a.all("Summaries, "+describeQuery(&q), func(f *clocked) string {
		var examined int64
		asked := q
		asked.Examined = &examined
		var b strings.Builder
		for _, s := range f.summaries(account, &asked) {
			fmt.Fprintln(&b, describeSummary(s))
		}
		fmt.Fprintln(&b, "examined", examined)
		return b.String()
	})
}

// deleted deletes a trace and tells how many existed.
func (c *clocked) deleted(id trace.ID) string {
	n, err := c.store.Delete(c.ctx, home, answer.DeleteQuery{IDs: []trace.ID{id}})
	if err != nil {
		c.Fatalf("Delete: %v", err)
	}
	return fmt.Sprint(n)
}
