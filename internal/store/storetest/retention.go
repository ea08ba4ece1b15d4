package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// clocked is a fixture whose store has a clock, in seconds on the fixture's time line.
type clocked struct {
	*fixture
	now atomic.Int64
}

func newClocked(t testing.TB, e Engine, o answer.Options) *clocked {
	c := &clocked{}
	c.set(0)
	o.Now = func() time.Time { return time.Unix(0, c.now.Load()) }
	c.fixture = newFixtureWith(t, e, o)
	return c
}

func (c *clocked) set(at float64) { c.now.Store(int64(second(at))) }

// received appends a trace of one segment, received at a time.
func (c *clocked) received(n int, at float64, account trace.Account, more doc) {
	c.Helper()
	if _, err := c.store.Append(c.ctx, account, []*trace.Segment{segment(c, second(at), n, segmentID(n), "svc", at-1, at-0.5, more)}); err != nil {
		c.Fatal(err)
	}
}

// seen lists the numbers of the traces that every kind of answer contains.
func (c *clocked) seen(state string, account trace.Account, most int) (numbers []int) {
	c.Helper()
	var ids []trace.ID
	for n := range most {
		ids = append(ids, traceID(n))
	}
	for _, t := range c.traces(account, ids...) {
		numbers = append(numbers, slices.Index(ids, t.ID))
	}
	var examined int64
	for _, clock := range []trace.Clock{trace.ClockTraceID, trace.ClockEvent, trace.ClockService} {
		examined = 0
		list := c.summaries(account, &answer.SummaryQuery{Window: everything(), Clock: clock, Examined: &examined})
		if len(list) != len(numbers) || examined != int64(len(numbers)) {
			c.Errorf("%s: %d traces, clock %d has %d summaries and examined %d", state, len(numbers), clock, len(list), examined)
		}
	}
	return numbers
}

func retentionByAge(t *testing.T, e Engine) {
	c := newClocked(t, e, answer.Options{Retention: 100 * time.Second})
	c.set(10)
	for n := range 5 {
		c.received(n, 10+float64(n)/4, home, nil) // 10, 10.25, … 11
	}
	c.settle()
	for _, step := range []struct {
		at   float64
		want []int
	}{
		{110, []int{0, 1, 2, 3, 4}}, {110.99, []int{0, 1, 2, 3, 4}}, // whole seconds
		{111, []int{4}}, {111.5, []int{4}}, {112, nil},
	} {
		c.set(step.at)
		state := fmt.Sprintf("at %v", step.at)
		if got := c.seen(state, home, 5); !slices.Equal(got, step.want) {
			t.Errorf("%s: %v, want %v", state, got, step.want)
		}
		g := c.graph(home, answer.GraphQuery{Window: everything()})
		total := int64(0)
		for _, s := range g.Services {
			if s.Statistics != nil {
				total += s.Statistics.Total()
			}
		}
		if total != int64(len(step.want)) {
			t.Errorf("%s: the graph counts %d, want %d", state, total, len(step.want))
		}
	}
	// Expired traces do not count as deleted; a late segment starts a new trace.
	if n, err := c.store.Delete(c.ctx, home, answer.DeleteQuery{IDs: []trace.ID{traceID(0), traceID(4)}}); n != 0 || err != nil {
		t.Errorf("%d deleted that were over their time, %v", n, err)
	}
	c.received(1, 112, home, nil)
	if got := c.seen("late", home, 5); !slices.Equal(got, []int{1}) {
		t.Errorf("late: %v", got)
	}
}

// seriesAtTheHorizon holds series to the horizon inside a minute: a bucket counts what
// was received since, of traces that go on as well.
func seriesAtTheHorizon(t *testing.T, e Engine) {
	for _, settled := range []bool{false, true} {
		c := newClocked(t, e, answer.Options{Retention: 100 * time.Second})
		c.set(10)
		for n := range 4 {
			c.received(n, 10+float64(2*n), home, nil) // 10, 12, 14, 16
		}
		c.settle()
		c.received(0, 40, home, doc{"id": segmentID(50)}) // trace 0 goes on
		if settled {
			c.settle()
		}
		// Time never goes back: an engine may drop what is over its time.
		for _, step := range []struct {
			at   float64
			want int64
		}{{100, 5}, {111, 4}, {113, 3}, {115, 2}, {117, 1}} {
			c.set(step.at)
			s, err := c.store.Series(c.ctx, home, answer.SeriesQuery{Window: everything(), Period: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			total := int64(0)
			for _, p := range s.Points {
				if p.Statistics != nil {
					total += p.Statistics.Total()
				}
			}
			if total != step.want {
				t.Errorf("settled %v, at %v: the series counts %d, want %d", settled, step.at, total, step.want)
			}
		}
	}
}

func retentionOfAccountsAndGroups(t *testing.T, e Engine) {
	const others trace.Account = "111111111111"
	slow := &answer.Group{Versions: []answer.GroupVersion{{Filter: parse(t, `annotation.tier = "gold"`), Received: everything()}}}
	c := newClocked(t, e, answer.Options{Retention: 100 * time.Second, Keep: func(_ context.Context, account trace.Account) (answer.Keep, error) {
		if account == others {
			return answer.Keep{Default: 20 * time.Second}, nil
		}
		return answer.Keep{Default: 50 * time.Second, Groups: []answer.GroupKeep{{Group: slow, For: 80 * time.Second}}}, nil
	}})
	c.set(10)
	c.received(0, 10, home, nil)
	c.received(1, 10, home, doc{"annotations": doc{"tier": "gold"}})
	c.received(2, 12, home, nil)
	c.received(0, 10, others, doc{"annotations": doc{"tier": "gold"}})
	c.received(1, 40, others, nil)
	c.settle()
	for _, step := range []struct {
		at          float64
		home, other []int
	}{
		{29, []int{0, 1, 2}, []int{0, 1}}, {31, []int{0, 1, 2}, []int{1}}, {61, []int{1, 2}, nil}, {63, []int{1}, nil}, {89, []int{1}, nil}, {91, nil, nil},
	} {
		c.set(step.at)
		c.store.Sweep(c.ctx)
		for account, want := range map[trace.Account][]int{home: step.home, others: step.other} {
			state := fmt.Sprintf("account %s at %v", account, step.at)
			if got := c.seen(state, account, 3); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", state, got, want)
			}
		}
	}
}

func retentionByBytes(t *testing.T, e Engine) {
	c := newClocked(t, e, answer.Options{Retention: -1})
	if !c.shelf.Capabilities().Drops {
		if err := c.shelf.Expire(c.ctx, second(5)); trace.KindOf(err) != trace.KindInvalid {
			t.Errorf("a shelf that drops nothing is told to: %v", err)
		}
		return
	}
	for n := range 4 {
		c.received(n, 10+float64(n), home, nil)
		c.settle()
	}
	portions, err := c.shelf.Portions(c.ctx)
	if err != nil || len(portions) < 2 {
		t.Fatalf("%v, %v", portions, err)
	}
	var sum int64
	for _, p := range portions {
		sum += p.Bytes
	}
	c.options.RetentionBytes = sum - 1
	c.reopen()
	c.store.Shrink(c.ctx)
	if got := c.seen("smaller", home, 4); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("smaller: %v", got)
	}
	c.options.RetentionBytes = 0
	c.reopen()
	if got := c.seen("without a bound again", home, 4); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("without a bound again: %v", got)
	}
	if floor, err := c.shelf.Floor(c.ctx); err != nil || floor != second(10)+1 {
		t.Errorf("the floor is %d, %v", floor, err)
	}
	if err := c.shelf.Expire(c.ctx, second(100)); err != nil {
		t.Fatal(err)
	}
	c.reopen()
	if got := c.seen("with a floor above everything", home, 4); got != nil {
		t.Errorf("with a floor above everything: %v", got)
	}
}
