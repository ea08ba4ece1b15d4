package local_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/store/local/vfs"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A question for a value goes straight to the traces that have it. It finds what one
// finds that has to look at all of them, and says of as many that it looked.
func TestSummaries_ofAValueAreThoseOfALookAtAll(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	o := small(vfs.NewMem())
	now := time.Unix(rollupStart+1000, 0)
	o.Now = func() time.Time { return now }
	s, err := local.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for round := range 12 {
		var batch []*trace.Segment
		for range 40 {
			n := rnd.IntN(300)
			start := rollupStart + float64(n)
			doc := fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"shop","start_time":%f,"end_time":%f,"annotations":{"tier":"t%d","odd":%v},"user":"u%d"}`,
				idOf(n), rnd.Uint64()|1, start, start+1, rnd.IntN(6), n%2 == 1, n%7)
			list, refusal := decode.Document([]byte(doc), trace.FromSeconds(rollupStart+float64(400+rnd.IntN(400))))
			if refusal != nil {
				t.Fatal(refusal)
			}
			batch = append(batch, list...)
		}
		if _, err := s.Append(context.Background(), owner, batch); err != nil {
			t.Fatal(err)
		}
		if round < 11 { // the last batch stays open
			if err := s.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if round == 5 {
			s.Merge()
		}
	}
	for range 300 {
		tier := rnd.IntN(7)
		from := rollupStart + float64(rnd.IntN(500))
		w := trace.Window{Start: trace.FromSeconds(from), End: trace.FromSeconds(from + float64(rnd.IntN(500)))}
		clock := []trace.Clock{trace.ClockTraceID, trace.ClockEvent, trace.ClockService}[rnd.IntN(3)]
		var after *store.Cursor
		if rnd.IntN(2) == 0 {
			after = &store.Cursor{Time: trace.FromSeconds(from + float64(rnd.IntN(500))), ID: idOf(rnd.IntN(300))}
		}
		limit := 1 + rnd.IntN(40)
		ask := func(text string) string {
			e, err := filter.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			var examined int64
			q := &store.SummaryQuery{Window: w, Clock: clock, Filter: e, After: after, Examined: &examined}
			found := ""
			n := 0
			for sum, err := range s.Summaries(context.Background(), owner, q) {
				if err != nil {
					t.Fatal(err)
				}
				found += sum.ID.String() + " "
				if n++; n == limit { // what it passed over in other blocks is not counted yet
					return found
				}
			}
			return fmt.Sprintf("%s examined %d", found, examined)
		}
		direct, looking := ask(fmt.Sprintf(`annotation.tier = "t%d"`, tier)), ask(fmt.Sprintf(`annotation.tier BEGINSWITH "t%d"`, tier))
		if direct != looking {
			t.Fatalf("t%d in %v by clock %v behind %v:\n%s\n%s", tier, w, clock, after, direct, looking)
		}
	}
}
