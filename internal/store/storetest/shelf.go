package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// These cases call the shelf directly, without the answers above it.

// find finds one trace on the shelf.
func (f *fixture) find(id trace.ID) (src store.Source, release func()) {
	f.Helper()
	found, release, err := f.shelf.Find(f.ctx, home, []trace.ID{id})
	if err != nil || len(found) != 1 || found[0].ID != id {
		f.Fatalf("Find(%s): %+v, %v", id, found, err)
	}
	return found[0], release
}

func (f *fixture) put(batch ...*trace.Segment) store.Seq {
	f.Helper()
	done, err := f.shelf.Append(f.ctx, home, store.Batch{Segments: batch})
	if err != nil {
		f.Fatalf("Append: %v", err)
	}
	return done.Seq
}

func acceptanceOrder(t *testing.T, e Engine) {
	f := newFixture(t, e)
	received := clockOf(0)
	var mu sync.Mutex
	seen := map[store.Seq]bool{}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			last := store.Seq(0)
			for i := range 20 {
				mu.Lock()
				seg := segment(t, received(), w, segmentID(i), fmt.Sprint(i), float64(i), float64(i)+1, nil)
				mu.Unlock()
				done, err := f.shelf.Append(f.ctx, home, store.Batch{Segments: []*trace.Segment{seg}})
				if err != nil || done.Seq <= last {
					t.Errorf("batch %d: place %d after %d, %v", i, done.Seq, last, err)
				}
				last = done.Seq
				mu.Lock()
				if seen[last] {
					t.Errorf("two batches have the place %d", last)
				}
				seen[last] = true
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	newest := map[int]store.Seq{}
	for w := range 4 {
		newest[w] = f.put(segment(t, received(), w, segmentID(50), "50", 50, 51, nil))
	}
	f.states(func(state string) {
		for w := range 4 {
			src, release := f.find(traceID(w))
			if src.Seq != newest[w] {
				t.Errorf("%s: trace %d goes up to %d, want %d", state, w, src.Seq, newest[w])
			}
			segments, err := src.Segments(f.ctx)
			release()
			var names []string
			for _, s := range segments {
				names = append(names, s.Name)
			}
			if err != nil || len(names) != 21 || names[0] != "0" || names[20] != "50" || !slices.IsSortedFunc(segments, func(a, b *trace.Segment) int { return int(a.Start - b.Start) }) {
				t.Errorf("%s: trace %d has %v, %v", state, w, names, err)
			}
		}
	})
	if f.put(segment(t, received(), 9, segmentID(1), "after", 1, 2, nil)) <= newest[3] {
		t.Error("a place after a restart is not behind those before it")
	}
}

func oneMoment(t *testing.T, e Engine) {
	f := newFixture(t, e)
	for _, settled := range []bool{false, true} {
		n := 1
		if settled {
			n = 2
		}
		f.put(segment(t, second(1), n, segmentID(1), "first", 1, 2, nil))
		if settled {
			f.settle()
		}
		src, release := f.find(traceID(n))
		f.put(segment(t, second(2), n, segmentID(2), "second", 3, 4, nil))
		if segments, err := src.Segments(f.ctx); err != nil || len(segments) != 1 {
			t.Errorf("settled %v: %d segments of a source that was found before the second one, %v", settled, len(segments), err)
		}
		release()
		now, release := f.find(traceID(n))
		if now.Seq <= src.Seq {
			t.Errorf("settled %v: %d before, %d now", settled, src.Seq, now.Seq)
		}
		if now.Assembled() != nil {
			t.Errorf("settled %v: a trace that nobody assembled is assembled", settled)
		}
		release()
	}
}

func conditionalTombstones(t *testing.T, e Engine) {
	f := newFixture(t, e)
	for _, settled := range []bool{false, true} {
		first := f.put(segment(t, second(1), 1, segmentID(1), "first", 1, 2, nil), segment(t, second(1), 2, segmentID(1), "first", 1, 2, nil))
		if settled {
			f.settle()
		}
		f.put(segment(t, second(2), 1, segmentID(2), "second", 3, 4, nil))
		stones := []store.Tombstone{{ID: traceID(1), UpTo: first}, {ID: traceID(2), UpTo: first}, {ID: traceID(3)}}
		if n, err := f.shelf.Bury(f.ctx, home, stones, trace.MinTime); n != 1 || err != nil {
			t.Errorf("settled %v: %d buried, %v; want the one without a newer batch", settled, n, err)
		}
		if found, release, err := f.shelf.Find(f.ctx, home, []trace.ID{traceID(1), traceID(2)}); err != nil || len(found) != 1 || found[0].ID != traceID(1) {
			t.Errorf("settled %v: %+v is left, %v", settled, found, err)
		} else {
			release()
		}
		// Both kinds in one call, and one that has expired.
		f.put(segment(t, second(3), 4, segmentID(1), "third", 1, 2, nil))
		f.settle()
		stones = []store.Tombstone{{ID: traceID(1)}, {ID: traceID(4), UpTo: f.put(segment(t, second(3), 5, segmentID(1), "x", 1, 2, nil))}}
		if n, err := f.shelf.Bury(f.ctx, home, stones, second(3)); n != 1 || err != nil {
			t.Errorf("settled %v: %d buried that were received since the horizon, %v; want 1", settled, n, err)
		}
	}
}

// scanOf selects everything, by start.
func scanOf(b filter.Bounds) *store.Scan {
	return &store.Scan{From: trace.MinTime, Before: store.Position{Time: trace.MaxTime}, Horizon: trace.MinTime, Bounds: b}
}

func capabilities(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 20)
	can := f.shelf.Capabilities()
	f.states(func(state string) {
		if f.shelf.Capabilities() != can {
			t.Errorf("%s: the capabilities have changed", state)
		}
		if state == "as appended" {
			return
		}
		yielded, passed := 0, int64(0)
		q := scanOf(filter.Bounds{Services: []string{"nobody"}})
		q.Passed = &passed
		for _, err := range f.shelf.Candidates(f.ctx, home, q) {
			if err != nil {
				t.Fatal(err)
			}
			yielded++
		}
		if int64(yielded)+passed != 20 || can.Prunes != (yielded == 0) {
			t.Errorf("%s: prunes %v: %d yielded, %d passed over, of 20", state, can.Prunes, yielded, passed)
		}
		var c counts
		if err := f.shelf.Sum(f.ctx, home, &store.SumQuery{Window: everything(), Horizon: trace.MinTime, Owners: []string{""}}, c.begin); err != nil {
			t.Fatal(err)
		}
		if can.Sums && (c.sums == 0 || c.traces != 0) || !can.Sums && (c.sums != 0 || c.traces != 20) {
			t.Errorf("%s: sums %v: %d of owners, %d traces", state, can.Sums, c.sums, c.traces)
		}
		if err := f.shelf.Sum(f.ctx, home, &store.SumQuery{Window: everything(), Horizon: trace.MinTime}, c.begin); err != nil || c.sums != 0 || c.traces != 20 {
			t.Errorf("%s: without owners: %d sums of owners, %d traces, %v", state, c.sums, c.traces, err)
		}
		portions, err := f.shelf.Portions(f.ctx)
		if err != nil || can.Drops != (len(portions) > 0) {
			t.Errorf("%s: drops %v: portions %v, %v", state, can.Drops, portions, err)
		}
		if accounts, err := f.shelf.Accounts(f.ctx); err != nil || !slices.Equal(accounts, []trace.Account{home}) {
			t.Errorf("%s: accounts %v, %v", state, accounts, err)
		}
	})
}

// counts counts the sums and traces that a shelf passes.
type counts struct{ sums, traces int }

func (c *counts) begin() store.Sums {
	*c = counts{}
	return c
}

// Trace counts a trace.
func (c *counts) Trace(_ context.Context, _ *store.Source, _ trace.Window, sign int) error {
	c.traces += sign
	return nil
}

// Owner counts sums of an owner.
func (c *counts) Owner(_ int, add func(*assemble.Sum, *assemble.SeriesBuilder) error) error {
	c.sums++
	return add(&assemble.Sum{}, nil)
}
