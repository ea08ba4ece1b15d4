package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

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

// group returns a group whose filter changed at an instant.
func group(t testing.TB, before, after string, change trace.Time) *answer.Group {
	return &answer.Group{Versions: []answer.GroupVersion{
		{Filter: parse(t, before), Received: trace.Window{Start: 0, End: change}, Old: true},
		{Filter: parse(t, after), Received: trace.Window{Start: change, End: trace.MaxTime}},
	}}
}

func groupVersions(t *testing.T, e Engine) {
	f := newFixture(t, e)
	// Trace 1 was received before the change, trace 2 after it, trace 3 on both sides.
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
			t.Errorf("%s: nothing in %v belongs to an old version", state, q.Window)
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
