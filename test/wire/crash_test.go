package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// acknowledged remembers what the server said it keeps.
type acknowledged struct {
	mu  sync.Mutex
	ids map[string][]string // of segments, by trace
}

func (a *acknowledged) add(trace string, segments []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ids[trace] = append(a.ids[trace], segments...)
}

// load sends batches of documents until ctx ends, each trace in several requests.
func load(ctx context.Context, s *harness.Server, worker, round int, acked *acknowledged) {
	for n := 0; ctx.Err() == nil; n++ {
		trace := fmt.Sprintf("1-%08x-%04x%04x%016x", time.Now().Unix(), worker, round, n/3)
		var docs []string
		var ids []string
		for i := range 10 {
			id := fmt.Sprintf("%02x%02x%08x%04x", worker+1, round, n, i)
			docs = append(docs, fmt.Sprintf(`{"trace_id":%q,"id":%q,"name":"crash","start_time":%d.%03d,"end_time":%d}`, trace, id, time.Now().Unix()-1, i, time.Now().Unix()))
			ids = append(ids, id)
		}
		body, err := json.Marshal(map[string]any{"TraceSegmentDocuments": docs})
		if err != nil {
			panic(err)
		}
		res, err := http.Post(s.URL("/TraceSegments"), "application/json", bytes.NewReader(body))
		if err != nil {
			return
		}
		var answer struct{ UnprocessedTraceSegments []any }
		err = json.NewDecoder(res.Body).Decode(&answer)
		res.Body.Close()
		if err == nil && res.StatusCode == 200 && len(answer.UnprocessedTraceSegments) == 0 {
			acked.add(trace, ids)
		}
	}
}

// The server is killed under load, 20 times: whatever it acknowledged is there
// afterwards, once, and it is ready again at once.
func TestCrash_keepsWhatWasAcknowledged(t *testing.T) {
	const rounds, workers = 20, 4
	s := harness.Start(t, "--settle", "200ms")
	acked := &acknowledged{ids: map[string][]string{}}
	var slowest time.Duration
	for round := range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() { load(ctx, s, w, round, acked) })
		}
		time.Sleep(time.Duration(50+round*20) * time.Millisecond)
		s.Kill()
		cancel()
		wg.Wait()
		http.DefaultClient.CloseIdleConnections()
		s.Restart("--settle", "200ms")
		slowest = max(slowest, s.Ready)
	}
	segments := 0
	for trace, want := range acked.ids {
		found := map[string]int{}
		for _, doc := range s.Trace(trace) {
			found[doc.ID]++
		}
		for _, id := range want {
			segments++
			if found[id] != 1 {
				t.Fatalf("segment %s of trace %s is there %d times", id, trace, found[id])
			}
		}
	}
	if segments < 1000 {
		t.Fatalf("only %d segments were acknowledged", segments)
	}
	listed := map[string]int{}
	for _, sum := range s.Summaries(`service("crash")`) {
		listed[sum.Id]++
	}
	for trace := range acked.ids {
		if listed[trace] != 1 {
			t.Fatalf("trace %s is listed %d times", trace, listed[trace])
		}
	}
	t.Logf("%d segments of %d traces through %d kills; slowest restart %v", segments, len(acked.ids), rounds, slowest)
}

// SIGTERM lets what is under way finish and exits 0 (harness.Stop checks that);
// everything is there after the next start.
func TestStop_drains(t *testing.T) {
	s := harness.Start(t)
	acked := &acknowledged{ids: map[string][]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { load(ctx, s, 0, 0, acked) })
	time.Sleep(300 * time.Millisecond)
	s.Stop()
	cancel()
	wg.Wait()
	s.Restart()
	if len(acked.ids) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	for trace, want := range acked.ids {
		if got := s.Trace(trace); len(got) < len(want) {
			t.Fatalf("trace %s has %d of %d segments", trace, len(got), len(want))
		}
	}
}
