package assemble_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A page of a series continues where the previous page ended, and nothing is counted
// twice.
func TestSeries_hasPages(t *testing.T) {
	const minutes, limit = 500, 20
	for _, period := range []time.Duration{time.Minute, 5 * time.Minute} {
		for _, ascending := range []bool{true, false} {
			w := trace.Window{Start: 1_780_000_020e9, End: 1_780_000_020e9 + (minutes+2)*60e9}
			var got int64
			last := trace.MaxTime
			pages := 0
			for end := w.End; ; pages++ {
				b := assemble.NewSeries(trace.Window{Start: w.Start, End: end}, period, nil).Limited(limit)
				for i := range int64(minutes) {
					if !ascending {
						i = minutes - 1 - i
					}
					start := trace.Time(1_780_000_020e9 + i*60e9)
					if start+60e9 >= w.Start && start+60e9 < end && i%3 > 0 { // what the store would count
						b.Minute(start, 1, 1)
						e := &assemble.EdgeSum{Seen: 1}
						e.Statistics.Add(trace.OK, time.Second)
						e.ResponseTimes.Add(time.Second)
						b.Edge(start, e, 1)
					}
				}
				s := b.Series()
				if len(s.Points) > limit || len(s.Points) == 0 {
					t.Fatalf("%v: a page of %d points", period, len(s.Points))
				}
				for _, p := range s.Points {
					if p.End >= last {
						t.Fatalf("%v: %v comes after %v", period, p.End, last)
					}
					last, got = p.End, got+p.Statistics.Total()
				}
				if s.Next == 0 {
					break
				}
				end = s.Next
			}
			if want := int64(minutes * 2 / 3); got != want || pages < 3 {
				t.Errorf("%v, ascending %v: %d pages count %d, want %d", period, ascending, pages+1, got, want)
			}
		}
	}
}

// If there are too many links, the same ones count in any order, and none remains
// after subtraction.
func TestSum_samplesLinks(t *testing.T) {
	links := make([]assemble.LinkKey, 1000)
	for i := range links {
		links[i] = assemble.LinkKey{Link: trace.Link{TraceID: trace.ID{14: byte(i >> 8), 15: byte(i)}, ID: trace.SegmentID{7: 1}}, Second: 1}
	}
	sum := func(seed uint64) *assemble.Sum {
		s := &assemble.Sum{Limit: 10}
		rnd := rand.New(rand.NewPCG(seed, 1))
		for _, i := range rnd.Perm(len(links)) {
			s.Link(links[i], 1)
		}
		return s
	}
	a, b := sum(1), sum(2)
	if len(a.Links) < 40 || len(a.Links) >= 80 {
		t.Errorf("%d links, want 40 to 80", len(a.Links))
	}
	both := 0
	for l := range a.Links {
		if b.Links[l] == 1 {
			both++
		}
	}
	if both < 40 {
		t.Errorf("only %d of %d and %d are the same", both, len(a.Links), len(b.Links))
	}
	for _, l := range links {
		a.Link(l, -1)
	}
	if len(a.Links) != 0 {
		t.Errorf("%d are left", len(a.Links))
	}
}

// The most frequent names are kept, whichever arrive first, and the others add up.
func TestBound_keepsTheMostFrequent(t *testing.T) {
	s := &assemble.Sum{Limit: 20}
	node := func(i int) *assemble.NodeSum {
		return s.Node(assemble.NodeKey{Service: trace.Service{Name: fmt.Sprint("svc-", i)}})
	}
	add := func(i int) {
		n := node(i)
		n.Seconds.Add(int64(i), 1)
		n.Statistics.Add(trace.OK, time.Second)
		n.ResponseTimes.Add(time.Second)
	}
	for i := range 10_000 {
		add(i + 100)
		if i%10 == 0 {
			for frequent := range 5 {
				add(frequent)
			}
		}
		s.Bound(false)
		if len(s.Nodes) > 51 {
			t.Fatalf("%d nodes", len(s.Nodes))
		}
	}
	s.Bound(true)
	total := int64(0)
	for _, n := range s.Nodes {
		total += n.Statistics.Total()
	}
	if total != 15_000 || len(s.Nodes) != 21 {
		t.Errorf("%d nodes count %d", len(s.Nodes), total)
	}
	for frequent := range 5 {
		if n := node(frequent).Statistics.Total(); n < 990 {
			t.Errorf("svc-%d counts %d of 1000", frequent, n)
		}
	}
	if n := s.Node(assemble.NodeKey{Service: assemble.Other}).Statistics.Total(); n < 9_900 {
		t.Errorf("the others count %d", n)
	}
}
