package embedded_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/embedded"
	"github.com/fluoro-io/fluoro/internal/store/embedded/vfs"
	"github.com/fluoro-io/fluoro/internal/trace"
)

func doc(t testing.TB, tr, seg int, at int64) *trace.Segment {
	t.Helper()
	s, r := decode.Document(fmt.Appendf(nil, `{"name":"s%d","id":"%016x","trace_id":"1-00000000-%024x","start_time":%d,"end_time":%d,"annotations":{"n":%d}}`, seg%3, seg+1, tr, at, at+1, seg), trace.Time(at*1e9))
	if r != nil {
		t.Fatal(r)
	}
	return s[0]
}

func traceID(n int) trace.ID {
	id, _ := trace.ParseID(fmt.Sprintf("1-00000000-%024x", n))
	return id
}

func TestStore_cycle(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	fs := vfs.NewMem()
	now := time.Unix(1e9, 0)
	o := embedded.Options{Dir: "d", FS: fs, SettleAfter: time.Hour, Now: func() time.Time { return now }}
	s, err := embedded.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]map[int]bool{}
	for i := range 300 {
		tr := rnd.IntN(40)
		if want[tr] == nil {
			want[tr] = map[int]bool{}
		}
		want[tr][i] = true
		if err := s.Append(t.Context(), "a", []*trace.Segment{doc(t, tr, i, int64(1e9+i))}); err != nil {
			t.Fatal(err)
		}
		if i%50 == 49 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = embedded.Open(o); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(s *embedded.Store) {
		t.Helper()
		for tr, segs := range want {
			n := 0
			for x, err := range s.Traces(context.Background(), "a", []trace.ID{traceID(tr)}) {
				if err != nil {
					t.Fatal(err)
				}
				n = len(x.Segments)
			}
			if n != len(segs) {
				t.Errorf("trace %d: %d segments, want %d", tr, n, len(segs))
			}
		}
		n := 0
		last := trace.MaxTime
		for sum, err := range s.Summaries(context.Background(), "a", &store.SummaryQuery{Window: trace.Window{Start: trace.MinTime, End: trace.MaxTime}}) {
			if err != nil {
				t.Fatal(err)
			}
			if sum.Start > last {
				t.Error("order")
			}
			last = sum.Start
			n++
		}
		if n != len(want) {
			t.Errorf("%d summaries, want %d", n, len(want))
		}
	}
	check(s)
	c := fs.Crash(rnd)
	o.FS = c
	s2, err := embedded.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	check(s2)
	st, _ := s2.Stats(t.Context())
	t.Logf("%+v", st)
}
