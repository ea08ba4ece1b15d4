// Package storetest holds every engine to the contract of package store. An
// engine joins with one call:
//
//	func TestContract(t *testing.T) { storetest.Run(t, storetest.Engine{Open: …, Reopen: …, Settle: …}) }
//
// Each case is named after the sentence of the contract that it checks. Most run three
// times: on data that was just appended, on the same data after it settled, and after
// the engine was closed and opened again. The answers are compared with those of a
// model that holds everything in a map.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Engine tells the suite how to open and drive an engine.
type Engine struct {
	// Open opens an empty shelf.
	Open func(t testing.TB, rules store.Rules) store.Shelf
	// Reopen opens a closed shelf again, with its data.
	Reopen func(t testing.TB, closed store.Shelf, rules store.Rules) store.Shelf
	// Settle moves all appended data to its final place.
	Settle func(t testing.TB, s store.Shelf)
}

// home is the account of most cases.
const home trace.Account = "000000000000"

// everything returns a window that holds all times.
func everything() trace.Window { return trace.Window{Start: 0, End: trace.MaxTime} }

// Run runs the suite.
func Run(t *testing.T, e Engine) {
	for _, c := range []struct {
		sentence string
		run      func(*testing.T, Engine)
	}{
		{"acknowledged data is part of the answer to every call that starts afterwards", readYourWrites},
		{"a purge takes deleted traces off the disk and leaves all others", purges},
		{"a batch counts as one change of each trace it touches", oneChangeABatch},
		{"an empty batch is no error", emptyBatch},
		{"every call sees one account's data alone", accountsAreApart},
		{"traces come in the order of ids, those that exist", tracesInOrder},
		{"traces have the text of every entity", tracesHaveText},
		{"everything that surrounded a span is kept", spansKeepScope},
		{"a weight is about what traces take", weights},
		{"summaries come newest first, then by id, descending", summariesInOrder},
		{"a window includes its start and excludes its end, for each clock", windows},
		{"an engine may prune less than the bounds allow, never more", pruning},
		{"a filter selects the same traces wherever they are", filters},
		{"paging is stable while data arrives", paging},
		{"examined counts the traces that were looked at", examined},
		{"a late segment reopens its trace, which counts once", lateSegments},
		{"the first completion that was accepted wins", firstCompletionWins},
		{"a duplicate changes nothing", duplicates},
		{"subsegments join their parent whichever comes first", subsegmentsJoin},
		{"a graph counts what was received in its window", graphWindow},
		{"links join the graphs of two traces", graphLinks},
		{"a graph or series of a group has what a filter of its time matches", groupVersions},
		{"a series has its buckets by receipt, newest first", seriesBuckets},
		{"sequences end with ctx's error", cancellation},
		{"sequences end when the caller stops", earlyStop},
		{"events follow appends and are merged", follow},
		{"stats count traces and segments once", stats},
		{"a deletion is honoured by every call that starts afterwards", deletions},
		{"a deletion counts what existed, in its account alone", deletionCounts},
		{"a segment after the deletion begins its trace anew", deletedBeginsAnew},
		{"a deletion by window and filter takes what the query selects", deletionByFilter},
		{"a deletion that names nothing, or too much, is refused", deletionRefused},
		{"a replacement changes what every call sees, in one step", replacements},
		{"a replacement of a trace that has changed does nothing", staleReplacements},
		{"acceptance order comes from the shelf", acceptanceOrder},
		{"a source is a trace at one moment", oneMoment},
		{"a tombstone may have a condition", conditionalTombstones},
		{"a shelf does what it says it is capable of", capabilities},
		{"what is over its age is part of no answer", retentionByAge},
		{"a series counts what was received since the horizon", seriesAtTheHorizon},
		{"accounts and groups have ages of their own", retentionOfAccountsAndGroups},
		{"the oldest traces are dropped when the shelf is too large", retentionByBytes},
		{"closing twice does nothing, and calls after it say so", closeTwice},
		{"reopening keeps everything", reopening},
		{"many goroutines may call at once", concurrency},
		{"order, batches, settling and restarts do not change answers", anyHistory},
	} {
		t.Run(c.sentence, func(t *testing.T) { c.run(t, e) })
	}
}

// fixture is a store and the model that predicts its answers.
type fixture struct {
	testing.TB
	engine  Engine
	options answer.Options
	shelf   store.Shelf
	store   *answer.Store
	model   *model
	ctx     context.Context
}

// newFixture opens an empty store without retention.
func newFixture(t testing.TB, e Engine) *fixture {
	return newFixtureWith(t, e, answer.Options{Retention: -1})
}

func newFixtureWith(t testing.TB, e Engine, o answer.Options) *fixture {
	f := &fixture{TB: t, engine: e, options: o, model: newModel(), ctx: context.Background()}
	f.open(func(rules store.Rules) store.Shelf { return e.Open(t, rules) })
	t.Cleanup(func() {
		if err := f.store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return f
}

// open opens the store on a shelf.
func (f *fixture) open(shelf func(store.Rules) store.Shelf) {
	f.Helper()
	s, err := answer.Open(f.ctx, f.options, func(rules store.Rules) (store.Shelf, error) {
		f.shelf = shelf(rules)
		return f.shelf, nil
	})
	if err != nil {
		f.Fatalf("Open: %v", err)
	}
	f.store = s
}

// reopen closes the store and opens it again with its data.
func (f *fixture) reopen() {
	f.Helper()
	if err := f.store.Close(); err != nil {
		f.Fatalf("Close: %v", err)
	}
	closed := f.shelf
	f.open(func(rules store.Rules) store.Shelf { return f.engine.Reopen(f, closed, rules) })
}

// settle moves all appended data to its final place.
func (f *fixture) settle() { f.engine.Settle(f, f.shelf) }

// append appends to the store and to the model.
func (f *fixture) append(account trace.Account, batch ...*trace.Segment) {
	f.Helper()
	if _, err := f.store.Append(f.ctx, account, batch); err != nil {
		f.Fatalf("Append: %v", err)
	}
	f.model.append(account, batch)
}

// states runs a check three times: on the data as it is, settled, and reopened.
func (f *fixture) states(check func(state string)) {
	check("as appended")
	f.settle()
	check("settled")
	f.reopen()
	check("reopened")
}

// summaries collects the answer to a query.
func (f *fixture) summaries(account trace.Account, q *answer.SummaryQuery) []*trace.Summary {
	f.Helper()
	var list []*trace.Summary
	var seen *trace.Trace
	looking := *q
	looking.Seen = func(t *trace.Trace) { seen = t }
	for s, err := range f.store.Summaries(f.ctx, account, &looking) {
		if err != nil {
			f.Fatalf("Summaries: %v", err)
		}
		if seen == nil || seen.ID != s.ID {
			f.Fatalf("Summaries yields %s and hands out %+v", s.ID, seen)
		}
		list = append(list, s)
	}
	return list
}

// traces collects traces by id.
func (f *fixture) traces(account trace.Account, ids ...trace.ID) []*trace.Trace {
	f.Helper()
	return f.tracesFor(account, answer.Reach{}, ids...)
}

// tracesFor collects what a reader sees of traces.
func (f *fixture) tracesFor(account trace.Account, reach answer.Reach, ids ...trace.ID) []*trace.Trace {
	f.Helper()
	var list []*trace.Trace
	for t, err := range f.store.Traces(f.ctx, account, ids, reach) {
		if err != nil {
			f.Fatalf("Traces: %v", err)
		}
		list = append(list, t)
	}
	return list
}

func (f *fixture) graph(account trace.Account, q answer.GraphQuery) *trace.Graph {
	f.Helper()
	g, err := f.store.Graph(f.ctx, account, q)
	if err != nil {
		f.Fatalf("Graph: %v", err)
	}
	return g
}

func (f *fixture) stats() answer.Stats {
	f.Helper()
	st, err := f.store.Stats(f.ctx)
	if err != nil {
		f.Fatalf("Stats: %v", err)
	}
	return st
}

// compare checks all answers of the store about an account against the model.
func (f *fixture) compare(state string, account trace.Account) {
	f.Helper()
	f.compareTraces(state, account, answer.Reach{})
	for _, clock := range []trace.Clock{trace.ClockTraceID, trace.ClockEvent, trace.ClockService} {
		f.compareSummaries(state, account, &answer.SummaryQuery{Window: everything(), Clock: clock})
	}
	f.compareGraph(state, account, answer.GraphQuery{Window: everything()})
	f.compareSeries(state, account, answer.SeriesQuery{Window: everything(), Period: time.Minute})
}

// compareTraces checks what a reader sees of all traces of an account.
func (f *fixture) compareTraces(state string, account trace.Account, reach answer.Reach) {
	f.Helper()
	ids := f.model.idsFor(account, reach)
	got, want := f.tracesFor(account, reach, ids...), f.model.traces(account, reach, ids...)
	if len(got) != len(want) {
		f.Fatalf("%s: %d traces, want %d", state, len(got), len(want))
	}
	for i := range want {
		if g, w := describeTrace(got[i]), describeTrace(want[i]); g != w {
			f.Fatalf("%s: trace %s\n got %s\nwant %s", state, want[i].ID, g, w)
		}
	}
}

func (f *fixture) compareSummaries(state string, account trace.Account, q *answer.SummaryQuery) {
	f.Helper()
	got, want := f.summaries(account, q), f.model.summaries(account, q)
	if g, w := summaryIDs(got), summaryIDs(want); !slices.Equal(g, w) {
		f.Fatalf("%s: summaries of %s\n got %v\nwant %v", state, describeQuery(q), g, w)
	}
	for i := range want {
		if g, w := describeSummary(got[i]), describeSummary(want[i]); g != w {
			f.Fatalf("%s: summary of %s\n got %s\nwant %s", state, describeQuery(q), g, w)
		}
	}
}

func (f *fixture) compareGraph(state string, account trace.Account, q answer.GraphQuery) {
	f.Helper()
	if g, w := describeGraph(f.graph(account, q)), describeGraph(f.model.graph(account, q)); g != w {
		f.Fatalf("%s: graph\n got %s\nwant %s", state, g, w)
	}
}

func (f *fixture) compareSeries(state string, account trace.Account, q answer.SeriesQuery) {
	f.Helper()
	s, err := f.store.Series(f.ctx, account, q)
	if err != nil {
		f.Fatalf("%s: Series: %v", state, err)
	}
	if g, w := describeSeries(s), describeSeries(f.model.series(account, q)); g != w {
		f.Fatalf("%s: series\n got %s\nwant %s", state, g, w)
	}
}

func describeQuery(q *answer.SummaryQuery) string {
	text := ""
	if q.Filter != nil {
		text = q.Filter.String()
	}
	return fmt.Sprintf("clock %d, window %d to %d, filter %q, after %v, reach %v", q.Clock, q.Window.Start, q.Window.End, text, q.After, q.Reach)
}

func summaryIDs(list []*trace.Summary) []string {
	var ids []string
	for _, s := range list {
		ids = append(ids, s.ID.String())
	}
	return ids
}

func parse(t testing.TB, text string) *filter.Expr {
	t.Helper()
	e, err := filter.Parse(text)
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return e
}

// second returns an instant on the fixture's time line.
func second(s float64) trace.Time { return trace.FromSeconds(1_780_000_000 + s) }

// isDone tells whether an error is that of an ended context.
func isDone(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// patience is how long a case waits for something that must happen soon.
const patience = 10 * time.Second
