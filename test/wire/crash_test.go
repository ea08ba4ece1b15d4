package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// ledger records what was sent, and which of it the server acknowledged.
type ledger struct {
	mu     sync.Mutex
	traces map[[16]byte]*entry
	acked  int // segments
}

// entry is a trace: its segments by number, and whether each was acknowledged.
type entry map[uint32]bool

// note records a request: the segments first to first+n-1 of a trace.
func (l *ledger) note(id [16]byte, first, n uint32, acked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.traces[id]
	if e == nil {
		e = &entry{}
		l.traces[id] = e
	}
	for i := range n {
		(*e)[first+i] = acked
	}
	if acked {
		l.acked += int(n)
	}
}

// clone returns a copy of the ledger.
func (l *ledger) clone() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := &ledger{traces: map[[16]byte]*entry{}, acked: l.acked}
	for id, e := range l.traces {
		same := maps.Clone(*e)
		out.traces[id] = &same
	}
	return out
}

// check reads all traces and returns how many acknowledged segments are lost, and
// how many segments exist more than once.
func (l *ledger) check(t *testing.T, s *harness.Server) (lost, doubled int) {
	t.Helper()
	for id, e := range l.traces {
		var answer struct {
			Traces []struct{ Segments []struct{ Id string } }
		}
		s.Ask("/Traces", map[string]any{"TraceIds": []string{textOf(id)}}, &answer)
		found := map[string]int{}
		for _, t := range answer.Traces {
			for _, seg := range t.Segments {
				found[seg.Id]++
			}
		}
		for number, acked := range *e {
			switch n := found[fmt.Sprintf("%016x", number)]; {
			case n == 0 && acked:
				lost++
			case n > 1:
				doubled++
			}
		}
	}
	return lost, doubled
}

func textOf(id [16]byte) string { return fmt.Sprintf("1-%x-%x", id[:4], id[4:]) }

// sender sends one request repeatedly: segments of one trace, numbered from first
// on. It reports whether all of it was acknowledged.
type sender struct {
	n    uint32 // segments a request
	send func(ctx context.Context, id [16]byte, first, n uint32) (acked bool)
}

// senders returns a sender for each protocol that acknowledges.
func senders(t *testing.T, s *harness.Server) []sender {
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	post := func(url, kind string, body []byte, want string) bool {
		res, err := http.Post(url, kind, bytes.NewReader(body))
		if err != nil {
			return false
		}
		defer res.Body.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(res.Body)
		return err == nil && res.StatusCode == http.StatusOK && b.String() == want
	}
	return []sender{
		{500, func(_ context.Context, id [16]byte, first, n uint32) bool {
			return post("http://"+s.OTLP+"/v1/traces", "application/x-protobuf", spansOf(id, first, n), "")
		}},
		{500, func(ctx context.Context, id [16]byte, first, n uint32) bool {
			var answer []byte
			return conn.Invoke(ctx, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", spansOf(id, first, n), &answer) == nil
		}},
		{10, func(_ context.Context, id [16]byte, first, n uint32) bool {
			var docs []string
			now := time.Now()
			for i := range n {
				docs = append(docs, fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"crash","start_time":%d.%03d,"end_time":%d}`, textOf(id), first+i, now.Unix()-1, i, now.Unix()))
			}
			body, err := json.Marshal(map[string]any{"TraceSegmentDocuments": docs})
			return err == nil && post(s.URL("/TraceSegments"), "application/json", body, `{"UnprocessedTraceSegments":[]}`)
		}},
	}
}

func spansOf(id [16]byte, first, n uint32) []byte {
	now := uint64(time.Now().UnixNano())
	scope := &otlptrace.ScopeSpans{}
	for i := range n {
		scope.Spans = append(scope.Spans, &otlptrace.Span{
			TraceId: id[:], SpanId: binary.BigEndian.AppendUint64(nil, uint64(first+i)), Name: "crash", Kind: otlptrace.Span_SPAN_KIND_SERVER,
			StartTimeUnixNano: now - 1e6, EndTimeUnixNano: now,
		})
	}
	body, err := proto.Marshal(&coltrace.ExportTraceServiceRequest{ResourceSpans: []*otlptrace.ResourceSpans{{ScopeSpans: []*otlptrace.ScopeSpans{scope}}}})
	if err != nil {
		panic(err) // a message of our own always marshals
	}
	return body
}

// load sends with one sender until ctx ends, each trace in three requests.
func load(ctx context.Context, of sender, worker, round int, l *ledger) {
	var id [16]byte
	binary.BigEndian.PutUint32(id[:], uint32(time.Now().Unix()))
	binary.BigEndian.PutUint16(id[4:], uint16(worker))
	binary.BigEndian.PutUint16(id[6:], uint16(round))
	for n := uint32(0); ctx.Err() == nil; n++ {
		binary.BigEndian.PutUint32(id[12:], n/3)
		first := 1 + n%3*of.n
		l.note(id, first, of.n, of.send(ctx, id, first, of.n))
	}
}

// The server is killed under full load by all protocols that acknowledge. Afterwards
// everything acknowledged exists, nothing exists twice, and the server is ready
// again at once. $FLUORO_CRASHES is the number of kills (3).
func TestCrash_keepsWhatWasAcknowledged(t *testing.T) {
	rounds := 3
	if text := os.Getenv("FLUORO_CRASHES"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil || rounds < 1 {
			t.Fatalf("$FLUORO_CRASHES: %q", text)
		}
	}
	s := harness.Start(t, "--settle", "200ms")
	l := &ledger{traces: map[[16]byte]*entry{}}
	ways := senders(t, s)
	var slowest, sum time.Duration
	for round := range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for i := range 2 * len(ways) {
			wg.Go(func() { load(ctx, ways[i%len(ways)], i, round, l) })
		}
		time.Sleep(time.Duration(300+round*137%1000) * time.Millisecond)
		s.Kill()
		cancel()
		wg.Wait()
		http.DefaultClient.CloseIdleConnections()
		s.Restart("--settle", "200ms")
		slowest, sum = max(slowest, s.Ready), sum+s.Ready
	}
	lost, doubled := l.check(t, s)
	t.Logf("%d kills: %d segments of %d traces acknowledged, %d lost, %d doubled; start to ready %v on average, %v at most", rounds, l.acked, len(l.traces), lost, doubled, sum/time.Duration(rounds), slowest)
	if lost > 0 || doubled > 0 {
		t.Errorf("%d segments lost, %d doubled", lost, doubled)
	}
	if l.acked < 1000 {
		t.Fatalf("only %d segments were acknowledged", l.acked)
	}
	listed := map[string]int{}
	for _, sum := range s.Summaries(`service("crash")`) {
		listed[sum.Id]++
	}
	for id, n := range listed {
		if n != 1 {
			t.Errorf("trace %s is listed %d times", id, n)
		}
	}
	for id, e := range l.traces {
		if text := textOf(id); listed[text] == 0 && slices.Contains(slices.Collect(maps.Values(*e)), true) {
			t.Errorf("trace %s is not listed", text)
		}
	}
}

// On SIGTERM, running requests finish and the exit code is 0 (harness.Stop checks
// that); everything exists after the next start.
func TestStop_drains(t *testing.T) {
	s := harness.Start(t)
	l := &ledger{traces: map[[16]byte]*entry{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i, way := range senders(t, s) {
		wg.Go(func() { load(ctx, way, i, 0, l) })
	}
	harness.Eventually(t, "segments are acknowledged", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.acked > 1000
	})
	s.Stop()
	cancel()
	wg.Wait()
	s.Restart()
	if lost, doubled := l.check(t, s); lost > 0 || doubled > 0 {
		t.Errorf("%d segments lost, %d doubled", lost, doubled)
	}
}
