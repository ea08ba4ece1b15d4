package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

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
		for _, err := range f.store.Traces(ctx, home, []trace.ID{traceID(1)}, answer.Reach{}) {
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
		for range f.store.Traces(f.ctx, home, f.model.ids(home), answer.Reach{}) {
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
				for _, err := range f.store.Traces(f.ctx, account, []trace.ID{traceID(n)}, answer.Reach{}) {
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
