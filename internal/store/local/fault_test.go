package local_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

const account trace.Account = "000000000000"

var everything = trace.Window{Start: 0, End: trace.MaxTime}

// numbered is a segment with ids of its own: one of many of its trace.
func numbered(t testing.TB, traceNumber, segment int) *trace.Segment {
	t.Helper()
	at := trace.FromSeconds(1_780_000_000 + float64(segment))
	doc := fmt.Sprintf(`{"trace_id":"1-581cf771-a006649127e371%010x","id":"70de5b6f%08x","name":"svc-%d","start_time":%f,"end_time":%f,"annotations":{"n":%d},"metadata":{"default":{"text":%q}}}`,
		traceNumber, segment+1, traceNumber%3, at.Seconds(), at.Seconds()+1, segment, strings.Repeat("lorem ipsum ", segment%40))
	segments, refusal := decode.Document([]byte(doc), at)
	if refusal != nil {
		t.Fatalf("document refused: %+v", refusal)
	}
	return segments[0]
}

// ledger records which segments were sent and which were acknowledged.
type ledger struct {
	sent  int
	acked map[int]int // segment number to trace number
	maybe map[int]int // sent, but not acknowledged
}

func newLedger() *ledger { return &ledger{acked: map[int]int{}, maybe: map[int]int{}} }

// send appends a batch of n segments spread over some traces.
func (l *ledger) send(t testing.TB, s *opened, n int) error {
	var batch []*trace.Segment
	numbers := map[int]int{}
	for range n {
		tr := (l.sent * 7) % 23
		batch = append(batch, numbered(t, tr, l.sent))
		numbers[l.sent] = tr
		l.sent++
	}
	_, err := s.Append(context.Background(), account, batch)
	for seg, tr := range numbers {
		if err == nil {
			l.acked[seg] = tr
		} else {
			l.maybe[seg] = tr
		}
	}
	return err
}

// verify checks that every query returns each acknowledged segment once and
// nothing that was not sent, and that the store reports no damage.
func (l *ledger) verify(s *opened) error {
	if err := l.verifyData(s); err != nil {
		return err
	}
	st, err := s.Stats(context.Background())
	if err != nil {
		return err
	}
	if len(st.Damage) > 0 {
		return fmt.Errorf("damage without any being done: %v", st.Damage)
	}
	return nil
}

func (l *ledger) verifyData(s *opened) error {
	found := map[int]int{}
	var ids []trace.ID
	traces := 0
	for sum, err := range s.Summaries(context.Background(), account, &answer.SummaryQuery{Window: everything}) {
		if err != nil {
			return fmt.Errorf("summaries: %w", err)
		}
		ids = append(ids, sum.ID)
		traces++
	}
	for tr, err := range s.Traces(context.Background(), account, ids, answer.Reach{}) {
		if err != nil {
			return fmt.Errorf("traces: %w", err)
		}
		traces--
		for _, e := range tr.Segments {
			number := int(e.Annotations[0].Value.Number)
			if _, twice := found[number]; twice {
				return fmt.Errorf("segment %d is there twice", number)
			}
			found[number] = int(tr.ID[15])
		}
	}
	if traces != 0 {
		return fmt.Errorf("%d summaries more than traces", traces)
	}
	for seg, tr := range l.acked {
		if got, ok := found[seg]; !ok || got != tr {
			return fmt.Errorf("segment %d of trace %d was acknowledged but is not there", seg, tr)
		}
	}
	for seg := range found {
		_, acked := l.acked[seg]
		if _, maybe := l.maybe[seg]; !acked && !maybe {
			return fmt.Errorf("segment %d was never sent", seg)
		}
	}
	g, err := s.Graph(context.Background(), account, answer.GraphQuery{Window: everything})
	if err != nil {
		return fmt.Errorf("graph: %w", err)
	}
	var counted int64
	for _, svc := range g.Services {
		if svc.Statistics != nil {
			counted += svc.Statistics.Total()
		}
	}
	st, err := s.Stats(context.Background())
	if err != nil {
		return err
	}
	if counted != int64(len(found)) || st.Segments != int64(len(found)) || st.Traces != int64(len(ids)) {
		return fmt.Errorf("%d segments of %d traces are there, the graph counts %d, stats say %+v", len(found), len(ids), counted, st)
	}
	return nil
}

// small are options under which little data makes many files.
func small(fs vfs.FS) options {
	return options{Dir: "data", FS: fs, LogFileBytes: 3000, Retention: -1, RetryAfter: time.Millisecond, SettleAfter: time.Hour, MergeBlocks: 4}
}

// cycle appends, settles, flushes and merges. The caller judges the errors.
func cycle(t testing.TB, s *opened, l *ledger) []error {
	var errs []error
	for round := range 7 {
		for i := range 4 {
			errs = append(errs, l.send(t, s, 1+(round+i)%4))
		}
		errs = append(errs, s.Flush(context.Background()))
		if round == 3 || round == 6 {
			s.Merge()
		}
	}
	return errs
}

// faultPoints yields the operations at which a fault test stops the engine: all of
// them, without an end. With -short, for the race detector, it yields some of each
// kind, about as many of the rare as of the frequent ones, and of each kind other
// places in the run. run is a run of the engine without a fault.
func faultPoints(t *testing.T, run func(fs *vfs.Mem)) iter.Seq[int] {
	t.Helper()
	if !testing.Short() {
		return func(yield func(int) bool) {
			for k := 0; yield(k); k++ {
			}
		}
	}
	return somePoints(t, run, 10)
}

// somePoints yields about most operations of each kind.
func somePoints(t *testing.T, run func(fs *vfs.Mem), most int) iter.Seq[int] {
	t.Helper()
	const least = 20
	byKind := map[string][]int{}
	fs := vfs.NewMem()
	fs.Before(func(op vfs.Op) error {
		byKind[op.Kind] = append(byKind[op.Kind], op.N)
		return nil
	})
	run(fs)
	var points []int
	for n, kind := range slices.Sorted(maps.Keys(byKind)) {
		all := byKind[kind]
		count := min(most, len(all))
		for i := range count {
			// The middle of the i-th part of the run, a little later for each kind.
			at := (2*i*len(all)+len(all))/(2*count) + n
			points = append(points, all[at%len(all)])
		}
	}
	points = append(points, 0, fs.Ops()) // before the first, and none at all
	slices.Sort(points)
	if points = slices.Compact(points); len(points) < least {
		t.Fatalf("only %d points of %d operations", len(points), fs.Ops())
	}
	t.Logf("%d of %d operations, of the kinds %v", len(points), fs.Ops(), slices.Sorted(maps.Keys(byKind)))
	return slices.Values(points)
}

// sound checks that Inspect finds no damage after a crash: torn writes and
// superfluous files are no damage.
func sound(fs *vfs.Mem) error {
	r, err := inspect(small(fs), true)
	if err != nil && strings.Contains(err.Error(), "holds no Fluoro data") {
		return nil // the first start did not get that far
	}
	if err == nil && len(r.Damage) > 0 {
		err = fmt.Errorf("a check finds damage: %v", r.Damage)
	}
	return err
}

// A crash may come after any operation, those on the manifest included, and takes a
// random share of the unsynced data: every acknowledged segment is there
// afterwards, once, and nothing passes for damage.
func TestCrash_atEveryOperation(t *testing.T) {
	for k := range faultPoints(t, func(fs *vfs.Mem) { cycleAndClose(t, fs) }) {
		if survived := crashAt(t, k); survived && !testing.Short() {
			t.Logf("%d operations", k)
			return
		}
	}
}

// cycleAndClose runs a cycle in a directory, from its first start to the end.
func cycleAndClose(t *testing.T, fs *vfs.Mem) *ledger {
	t.Helper()
	l := newLedger()
	if s, err := open(small(fs)); err == nil {
		cycle(t, s, l)
		_ = s.Close()
	}
	return l
}

// crashAt stops the machine at operation k of a cycle, checks what the next
// start serves, and goes on with it. It reports whether the cycle ended before.
func crashAt(t *testing.T, k int) (survived bool) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(uint64(k), 1))
	fs := vfs.NewMem()
	fs.Before(func(op vfs.Op) error {
		if op.N >= k {
			return vfs.ErrCrashed
		}
		return nil
	})
	l := cycleAndClose(t, fs)
	survived = fs.Ops() <= k
	after := fs.Crash(rnd)
	if err := sound(after); err != nil {
		t.Fatalf("operation %d: after the crash: %v", k, err)
	}
	// The next start may crash as well.
	if rnd.IntN(3) == 0 {
		limit := rnd.IntN(12)
		after.Before(func(op vfs.Op) error {
			if op.N >= limit {
				return vfs.ErrCrashed
			}
			return nil
		})
		if s, err := open(small(after)); err == nil {
			_ = s.Flush(context.Background())
			_ = s.Close()
		}
		after = after.Crash(rnd)
		if err := sound(after); err != nil {
			t.Fatalf("operation %d: after the second crash: %v", k, err)
		}
	}
	s, err := open(small(after))
	if err != nil {
		t.Fatalf("operation %d: open after the crash: %v", k, err)
	}
	if err := l.verify(s); err != nil {
		t.Fatalf("operation %d: %v", k, err)
	}
	for _, err := range cycle(t, s, l) {
		if err != nil {
			t.Fatalf("operation %d: after the crash: %v", k, err)
		}
	}
	if err := errors.Join(l.verify(s), s.Close()); err != nil {
		t.Fatalf("operation %d: after going on: %v", k, err)
	}
	s, err = open(small(after))
	if err != nil {
		t.Fatalf("operation %d: open again: %v", k, err)
	}
	if err := errors.Join(l.verify(s), s.Close()); err != nil {
		t.Fatalf("operation %d: opened again: %v", k, err)
	}
	return survived
}

// Every cycle writes the manifest many times, so the tests of crashes and failures
// at every operation cover it, too.
func TestManifest_isWrittenInEveryCycle(t *testing.T) {
	fs := vfs.NewMem()
	kinds := map[string]int{}
	fs.Before(func(op vfs.Op) error {
		if strings.Contains(op.Name, "manifest") {
			kinds[op.Kind]++
		}
		return nil
	})
	s, err := open(small(fs))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(errors.Join(cycle(t, s, newLedger())...), s.Close()); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"create", "write", "sync", "rename"} {
		if kinds[kind] < 10 {
			t.Errorf("%d times %s, of %v", kinds[kind], kind, kinds)
		}
	}
}

// recorder counts the warnings that an operator sees.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (r *recorder) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, rec.Message)
	return nil
}
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r *recorder) WithGroup(string) slog.Handler      { return r }
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lines)
}

// Any operation may fail: the caller or the operator is told, nothing that was
// acknowledged is lost, and the store recovers by itself.
func TestFail_everyOperation(t *testing.T) {
	for k := range faultPoints(t, func(fs *vfs.Mem) { cycleAndClose(t, fs) }) {
		if happened := failAt(t, k); !happened && !testing.Short() {
			t.Logf("%d operations", k)
			return
		}
	}
}

// failAt lets up to three operations from number k on fail in a cycle, and checks
// that somebody is told, that nothing is lost, and that the engine recovers. It
// reports whether an operation failed.
func failAt(t *testing.T, k int) (happened bool) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(uint64(k), 2))
	fs := vfs.NewMem()
	var failed vfs.Op
	times := 1 + rnd.IntN(3)
	fs.Before(func(op vfs.Op) error {
		if op.N >= k && times > 0 {
			times--
			failed = op
			return syscall.ENOSPC
		}
		return nil
	})
	l, told := newLedger(), &recorder{}
	o := small(fs)
	o.Logger = slog.New(told)
	s, err := open(o)
	errs := 0
	if err != nil {
		errs++
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("operation %d %+v: Open: %v", k, failed, err)
		}
		for range 4 {
			if err != nil {
				s, err = open(o)
			}
		}
		if err != nil {
			t.Fatalf("operation %d %+v: Open does not recover: %v", k, failed, err)
		}
	}
	for _, err := range cycle(t, s, l) {
		if err == nil {
			continue
		}
		errs++
		if trace.KindOf(err) != trace.KindUnavailable && !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("operation %d %+v: error %v", k, failed, err)
		}
		if err := l.verify(s); err != nil {
			t.Fatalf("operation %d %+v: while failing: %v", k, failed, err)
		}
	}
	// The remaining failures may still happen.
	for range 4 {
		waitWritable(t, s)
		if err = errors.Join(l.send(t, s, 3), s.Flush(context.Background())); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("operation %d %+v: after recovering: %v", k, failed, err)
	}
	if err := l.verify(s); err != nil {
		t.Fatalf("operation %d %+v: %v", k, failed, err)
	}
	if err := s.Close(); err != nil {
		errs++
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("operation %d %+v: Close: %v", k, failed, err)
		}
	}
	happened = failed.Kind != ""
	if happened && errs == 0 && told.count() == 0 {
		t.Errorf("operation %d %+v failed and nobody was told", k, failed)
	}
	// Bytes that a failed sync lost are gone after a crash.
	s, err = open(small(fs.Crash(rnd)))
	if err != nil {
		t.Fatalf("operation %d %+v: open: %v", k, failed, err)
	}
	if err := errors.Join(l.verify(s), s.Close()); err != nil {
		t.Fatalf("operation %d %+v: after a crash: %v", k, failed, err)
	}
	return happened
}

// files are those in a directory of the store.
func files(t *testing.T, fs vfs.FS, dir string) []string {
	t.Helper()
	names, err := fs.List(filepath.Join("data", dir))
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range names {
		names[i] = filepath.Join("data", dir, n)
	}
	return names
}

// A flipped bit in a block or a closed log is found and named, by file and
// place, and the store serves everything else.
func TestDamage_isNamedAndTheRestServed(t *testing.T) {
	build := func() (*vfs.Mem, *ledger) {
		fs, l := vfs.NewMem(), newLedger()
		s, err := open(small(fs))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for range 3 {
				if err := l.send(t, s, 3); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		for range 6 {
			if err := l.send(t, s, 2); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return fs, l
	}
	reference, _ := build()
	for _, dir := range []string{"wal", "blocks"} {
		for n, name := range files(t, reference, dir) {
			if strings.HasSuffix(name, ".synced") {
				continue // it says what is known; nothing is lost with it
			}
			f, err := reference.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			size, err := f.Size()
			if err != nil {
				t.Fatal(err)
			}
			stride := int64(1)
			if size > 300 {
				stride = size / 150
				if testing.Short() {
					stride = size/12 + 1 // 12 places of each file, not all of the same byte of a frame
				}
			}
			for at := int64(0); at < size; at += stride {
				fs, l := build()
				name := files(t, fs, dir)[n]
				if err := fs.Damage(name, func(b []byte) []byte { b[min(at, int64(len(b))-1)] ^= 1 << (at % 8); return b }); err != nil {
					t.Fatal(err)
				}
				s, err := open(small(fs))
				if err != nil {
					t.Fatalf("%s byte %d: Open: %v", name, at, err)
				}
				served := 0
				for _, err := range s.Summaries(context.Background(), account, &answer.SummaryQuery{Window: everything}) {
					if err != nil {
						t.Fatalf("%s byte %d: Summaries: %v", name, at, err)
					}
					served++
				}
				st, err := s.Stats(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				// Superseded copies do not count: nothing reads them, so nothing notices their damage.
				missing := l.verifyData(s)
				if strings.HasSuffix(name, ".rollup") {
					if missing != nil {
						t.Fatalf("%s byte %d: the traces are not read instead: %v", name, at, missing)
					}
					if st, err = s.Stats(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
				if len(st.Damage) == 0 && missing != nil {
					t.Fatalf("%s byte %d: data is missing and no damage was noted: %v", name, at, missing)
				}
				if len(st.Damage) == 0 && dir == "wal" {
					t.Fatalf("%s byte %d: no damage was noted", name, at)
				}
				if len(st.Damage) > 0 && !strings.Contains(st.Damage[0], filepath.Base(name)) {
					t.Fatalf("%s byte %d: damage is %v", name, at, st.Damage)
				}
				if served == 0 {
					t.Fatalf("%s byte %d: nothing is served", name, at)
				}
				// The store still accepts and settles traces.
				if err := errors.Join(l.send(t, s, 3), s.Flush(context.Background()), s.Close()); err != nil {
					t.Fatalf("%s byte %d: going on: %v", name, at, err)
				}
			}
		}
	}
}
