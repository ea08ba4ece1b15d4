package analytics

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// list is a source of summaries only.
type list []*trace.Summary

func (l list) Summaries(ctx context.Context, _ trace.Account, q *answer.SummaryQuery) iter.Seq2[*trace.Summary, error] {
	return func(yield func(*trace.Summary, error) bool) {
		for _, s := range l {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			*q.Examined++
			if !q.Window.Contains(s.Start) {
				continue
			}
			t := &trace.Trace{ID: s.ID}
			if s.Root == "missing segment" {
				t.Entry = &trace.Entity{Gap: trace.GapParent}
			}
			q.Seen(t)
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (list) Traces(context.Context, trace.Account, []trace.ID, answer.Reach) iter.Seq2[*trace.Trace, error] {
	return func(func(*trace.Trace, error) bool) {}
}

func of(l list) *Analytics {
	return New(l, func(_ trace.Owner, text string) (*filter.Expr, error) { return filter.Parse(text) })
}

// one returns a summary that starts at a second and took some seconds.
func one(start, took float64, url string, users ...string) *trace.Summary {
	d := time.Duration(took * float64(time.Second))
	return &trace.Summary{Start: trace.FromSeconds(start), ResponseTime: &d, HTTP: trace.HTTP{URL: url}, Users: users}
}

func fault(s *trace.Summary) *trace.Summary { s.HasFault = true; return s }

func ask(t testing.TB, l list, group string, top int) *Series {
	t.Helper()
	d, err := ParseDimension(group)
	if err != nil {
		t.Fatal(err)
	}
	window := trace.Window{Start: 0, End: trace.FromSeconds(600)}
	out, err := of(l).Series(context.Background(), answer.Reader{Owner: trace.Owner{Account: "1"}}, SeriesRequest{Selection: Selection{Window: window}, Group: d, Bucket: time.Minute, Top: top})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Counted by hand: /a has 1, 2, 3 s in minute 0 (one fault) and 9 s in minute 1,
// /b has 5 s in minute 0, /c 4 s in minute 2; one trace has no url.
func TestSeries_byHand(t *testing.T) {
	s := ask(t, list{one(0, 2, "/a"), fault(one(59.9, 1, "/a")), one(5, 3, "/a"), one(60, 9, "/a"), one(7, 5, "/b"), one(120, 4, "/c"), one(1, 1, ""), one(700, 1, "/a")}, "url", 1)
	if s.Counted != (Counted{Examined: 8, Matched: 7, Complete: true}) || s.None != 1 || len(s.Groups) != 1 {
		t.Fatalf("%+v", s)
	}
	a := s.Groups[0]
	if a.Value != "/a" || a.Counts != (Counts{Count: 4, OK: 3, Fault: 1}) || *a.Percentiles != (Percentiles{2, 3, 9, 9, 9}) || len(a.Points) != 2 {
		t.Errorf("/a: %+v %+v", a, a.Percentiles)
	}
	if p := a.Points[0]; p.Start != 0 || p.Rate != 3./60 || p.Counts != (Counts{Count: 3, OK: 2, Fault: 1}) || *p.Percentiles != (Percentiles{2, 3, 3, 3, 3}) {
		t.Errorf("/a in minute 0: %+v %+v", p, p.Percentiles)
	}
	if p := a.Points[1]; p.Start != 60 || p.Count != 1 || p.P50 != 9 {
		t.Errorf("/a in minute 1: %+v", p)
	}
	if o := s.Other; o == nil || o.Count != 2 || o.P50 != 4 || o.P75 != 5 || len(o.Points) != 2 || o.Points[1].Start != 120 {
		t.Errorf("other: %+v", o)
	}
	if u := ask(t, list{one(0, 1, "", "x", "y"), one(0, 1, "", "x")}, "user", 9); len(u.Groups) != 2 || u.Groups[0].Count != 2 || u.Groups[1].Count != 1 {
		t.Errorf("a trace counts for each of its users: %+v", u.Groups)
	}
}

// A missing root does not count as success: its outcome is unknown, unless a call of
// it failed.
func TestSeries_missingRoot(t *testing.T) {
	missing := func() *trace.Summary {
		s := one(1, 1, "/a")
		s.Root, s.ResponseTime = "missing segment", nil
		return s
	}
	s := ask(t, list{one(0, 2, "/a"), missing(), one(0, 2, "/b"), missing(), fault(missing())}, "url", 1)
	if a := s.Groups[0]; a.Counts != (Counts{Count: 4, OK: 1, Fault: 1, Unknown: 2}) || a.Points[0].Counts != a.Counts {
		t.Errorf("%+v", s.Groups[0])
	}
	if s.Other == nil || s.Other.Counts != (Counts{Count: 1, OK: 1}) {
		t.Errorf("other: %+v", s.Other)
	}
}

// The counts of groups, other and none add up to the matched traces, and the points
// to their group, also beyond the limits.
func TestSeries_sums(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, urls := range []int{1, 7, 60, 3 * maxGroups} {
		var l list
		for range 8000 {
			url := ""
			if n := rnd.IntN(urls + 1); n > 0 {
				url = fmt.Sprint("/", n)
			}
			l = append(l, one(rnd.Float64()*600, rnd.Float64(), url))
		}
		s := ask(t, l, "url", 5)
		total := s.None
		for _, g := range append(s.Groups, s.Other) {
			if g == nil {
				continue
			}
			var points Counts
			for _, p := range g.Points {
				points.merge(p.Counts)
			}
			if !reflect.DeepEqual(points, g.Counts) {
				t.Errorf("%d urls, %s: points %+v, group %+v", urls, g.Value, points, g.Counts)
			}
			total += g.Count
		}
		if total != s.Matched || s.Matched != int64(len(l)) {
			t.Errorf("%d urls: %d in groups, %d matched of %d", urls, total, s.Matched, len(l))
		}
	}
}

func TestSeries_saysThatTimeRanOut(t *testing.T) {
	a := of(list{one(0, 1, "/a")})
	a.limit = 0
	s, err := a.Series(context.Background(), answer.Reader{Owner: trace.Owner{Account: "1"}}, SeriesRequest{Selection: Selection{Window: trace.Window{End: 1e9}}, Group: dimensions[""], Bucket: time.Second, Top: 1})
	if err != nil || s.Complete {
		t.Errorf("%+v, %v", s, err)
	}
}

func BenchmarkSeries_100k(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var l list
	for range 100_000 {
		l = append(l, one(rnd.Float64()*600, rnd.Float64(), fmt.Sprint("/", rnd.IntN(200))))
	}
	b.ReportAllocs()
	for b.Loop() {
		ask(b, l, "url", 10)
	}
}

func TestFacets_byHand(t *testing.T) {
	a := of(list{one(0, 1, "/a", "x"), one(1, 1, "/b"), one(2, 1, "/b", "y"), one(3, 1, "other")})
	window := Selection{Window: trace.Window{End: 1e12}}
	f, err := a.Facets(context.Background(), answer.Reader{Owner: trace.Owner{Account: "1"}}, FacetsRequest{Selection: window, Of: dimensions["url"], Prefix: "/", Top: 1})
	if err != nil || !reflect.DeepEqual(f.Values, []Facet{{"/b", 2}}) || !f.More || f.Matched != 4 {
		t.Errorf("%+v, %v", f, err)
	}
	f, err = a.Facets(context.Background(), answer.Reader{Owner: trace.Owner{Account: "1"}}, FacetsRequest{Selection: window, All: true, Top: 9})
	if err != nil || !reflect.DeepEqual(f.Values, []Facet{{"url", 4}, {"user", 2}}) || f.More {
		t.Errorf("%+v, %v", f, err)
	}
}

// Half of A (2 of 4) but none of B (0 of 4) has x: pooled share 1/4, so z is
// .5/sqrt(3/16 * 1/2) = 1.633; h is 2 asin sqrt .5 = π/2.
func TestCompare_byHand(t *testing.T) {
	var l list
	for n := range 8 {
		s := one(float64(n), 1, "/a")
		if n < 2 {
			s.Users = []string{"x"}
		}
		l = append(l, s)
	}
	half := func(from, to trace.Time) Selection {
		return Selection{Window: trace.Window{Start: from * 1e9, End: to * 1e9}}
	}
	c, err := of(l).Compare(context.Background(), answer.Reader{Owner: trace.Owner{Account: "1"}}, CompareRequest{A: half(0, 4), B: half(4, 8), Top: 9})
	if err != nil || len(c.Differences) != 2 || c.A.Matched != 4 || c.B.Matched != 4 {
		t.Fatalf("%+v, %v", c, err)
	}
	x, same := c.Differences[0], c.Differences[1]
	if x.Attribute != "user" || x.Value != "x" || x.CountA != 2 || x.CountB != 0 || x.ShareA != .5 || fmt.Sprintf("%.3f %.3f", x.Score, x.Effect) != "1.633 1.571" {
		t.Errorf("%+v", x)
	}
	if same.Value != "/a" || same.CountA != 4 || same.CountB != 4 || same.Score != 0 || same.Effect != 0 {
		t.Errorf("%+v", same)
	}
}

// Bins begin at powers of 2^(1/4): 1 and 1.1 s share one, 2 s begins another.
func TestHistogram_byHand(t *testing.T) {
	l := list{one(0, 1, "/a"), one(0, 1.1, "/a"), one(0, 2, "/a"), one(0, 0, "/a"), one(0, 4, "/b"), {}}
	h, err := of(l).Histogram(context.Background(), answer.Reader{Owner: trace.Owner{Account: "1"}}, HistogramRequest{Selection: Selection{Window: trace.Window{End: 1e9}}, Group: dimensions["url"], Top: 1})
	if err != nil || h.Matched != 6 || h.Unfinished != 1 || len(h.Groups) != 1 || h.Other == nil || h.Other.Count != 1 {
		t.Fatalf("%+v, %v", h, err)
	}
	want := []Bin{{0, bound(zeroBin + 1), 1}, {1, bound(1), 2}, {2, bound(5), 1}}
	if g := h.Groups[0]; g.Count != 4 || !reflect.DeepEqual(g.Bins, want) || g.P50 != 1 || g.P99 != 2 {
		t.Errorf("%+v %+v", g, g.Percentiles)
	}
	for _, v := range []float64{1e-9, 1e-6, .1, .5, 1, 1.5, 1e9} {
		if n := binOf(v); bound(n) > v || bound(n+1) <= v {
			t.Errorf("%v is in bin %v to %v", v, bound(n), bound(n+1))
		}
	}
}
