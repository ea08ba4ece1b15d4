package local_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// namedCall makes a segment of trace n, of one of many services, that calls another.
func namedCall(t testing.TB, rnd *rand.Rand, n, segment int, at float64) *trace.Segment {
	t.Helper()
	service := func() int { return min(rnd.IntN(40), rnd.IntN(40)) } // some are more frequent
	start := rollupStart + float64(n)
	up := ""
	if segment > 3 && rnd.IntN(2) == 0 {
		up = fmt.Sprintf(`"parent_id":"%016x",`, 1000+segment-1-rnd.IntN(3))
	}
	doc := fmt.Sprintf(`{"trace_id":%q,"id":"%016x",%s"name":"svc-%d","start_time":%f,"end_time":%f,"fault":%v,"subsegments":[{"id":"%016x","name":"svc-%d","namespace":"remote","start_time":%f,"end_time":%f}]}`,
		idOf(n), segment, up, service(), start, start+float64(segment%9)/7, segment%5 == 0, 1000+segment, service(), start, start+float64(segment%7)/9)
	list, refusal := decode.Document([]byte(doc), trace.FromSeconds(at))
	if refusal != nil {
		t.Fatalf("refused: %+v", refusal)
	}
	return list[0]
}

// totals are the sums over all nodes of a graph, and over all edges.
type totals struct {
	nodes, edges trace.Statistics
	responses    int64
}

// totalsOf fails the test when a count is below zero, or a graph has too many nodes.
func totalsOf(t *testing.T, g *trace.Graph, most int) (sum totals) {
	t.Helper()
	check := func(what any, s *trace.Statistics, histograms ...*trace.Histogram) {
		if s.OK < 0 || s.Error < 0 || s.Fault < 0 || s.Throttle < 0 {
			t.Fatalf("%+v: %+v", what, s)
		}
		for _, h := range histograms {
			for _, e := range h.Entries() {
				if e.Count <= 0 {
					t.Fatalf("%+v: %v", what, h.Entries())
				}
			}
		}
	}
	nodes := 0
	for _, s := range g.Services {
		if s.Statistics == nil {
			continue
		}
		nodes++
		check(s.Service, s.Statistics, s.ResponseTimes, s.Durations)
		sum.nodes.Merge(*s.Statistics, 1)
		sum.responses += s.ResponseTimes.Count()
	}
	for _, s := range g.Services {
		for _, e := range s.Edges {
			check(e.To.Service, &e.Statistics, e.ResponseTimes)
			sum.edges.Merge(e.Statistics, 1)
		}
	}
	if most > 0 && len(g.Services) > most+2 {
		t.Fatalf("%d nodes, of %d", len(g.Services), most)
	}
	return sum
}

// With more services than graphs tell apart, the totals are those of the traces and no
// count is below zero, in any window and after any settling, reopening, merge, deletion
// or crash.
func TestNames_keepTheTotals(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { namesKeep(t, rand.New(rand.NewPCG(seed, 8)), 6+int(seed)%30) })
	}
}

func namesKeep(t *testing.T, rnd *rand.Rand, limit int) {
	l := life{
		steps:  80,
		change: func(o *options) { o.Names = limit },
		segment: func(segment int) *trace.Segment {
			return namedCall(t, rnd, rnd.IntN(30), segment, rollupStart+float64(rnd.IntN(300))+[]float64{0, 0.25, 0.5}[rnd.IntN(3)])
		},
	}
	l.live(t, rnd, func(s *opened) {
		w := someWindow(rnd)
		if rnd.IntN(2) == 0 {
			w = wideWindow(rnd)
		}
		compareTotals(t, s, w, limit)
	})
}

func compareTotals(t *testing.T, s *opened, w trace.Window, limit int) {
	t.Helper()
	graph, series := assemble.NewGraph(&w), assemble.NewSeries(w, time.Minute, nil)
	for n := range 30 {
		for tr, err := range s.Traces(context.Background(), owner, []trace.ID{idOf(n)}, answer.Reach{}) {
			if err != nil {
				t.Fatal(err)
			}
			graph.Add(tr, nil)
			series.Add(tr, nil)
		}
	}
	got, err := s.Graph(context.Background(), owner, answer.GraphQuery{Window: w})
	if err != nil {
		t.Fatal(err)
	}
	have, want := totalsOf(t, got, limit), totalsOf(t, graph.Graph(), 0)
	if have.nodes != want.nodes || have.responses != want.responses {
		t.Fatalf("%v: nodes count %+v, %d; want %+v, %d", w, have.nodes, have.responses, want.nodes, want.responses)
	}
	if have.edges != want.edges {
		t.Errorf("%v: edges count %+v; want %+v", w, have.edges, want.edges)
	}
	points, err := s.Series(context.Background(), owner, answer.SeriesQuery{Window: w, Period: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := seriesText(points), seriesText(series.Series()); got != want {
		t.Fatalf("series of %v:\n got %s\nwant %s", w, got, want)
	}
}
