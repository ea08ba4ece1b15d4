package local_test

import (
	"errors"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// The oldest traces are dropped first, and stay gone when the bound is lifted.
func TestRetain_byBytes(t *testing.T) {
	fs := vfs.NewMem()
	o := small(fs)
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	const blocks = 3
	for n := range blocks {
		if err := errors.Join(put(s, n, 1), s.Flush(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.Gauge(local.GaugeBlocks) != blocks {
		t.Fatalf("%+v, %v", st, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.RetentionBytes = st.Gauge(local.GaugeBlockBytes) - 1
	check := func(state string) {
		t.Helper()
		for n, want := range []int{0, 1, 1} {
			if got := has(t, s, n); got != want {
				t.Errorf("%s: trace %d has %d segments, want %d", state, n, got, want)
			}
		}
	}
	if s, err = open(o); err != nil {
		t.Fatal(err)
	}
	s.Retain()
	check("bounded")
	if st, _ := s.Stats(t.Context()); st.Gauge(local.GaugeBlockBytes) > o.RetentionBytes {
		t.Errorf("blocks have %d bytes, may have %d", st.Gauge(local.GaugeBlockBytes), o.RetentionBytes)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.RetentionBytes = 0
	if s, err = open(o); err != nil {
		t.Fatal(err)
	}
	check("reopened without a bound")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Any one bit may flip: the other copy counts, and Status names the damage.
	name := filepath.Join("data", "horizon")
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	good := make([]byte, size)
	if n, err := f.ReadAt(good, 0); n != len(good) {
		t.Fatal(n, err)
	}
	for at := range good {
		bad := append([]byte(nil), good...)
		bad[at] ^= 4
		w, err := fs.Create(name)
		if err == nil {
			_, err = w.Write(bad)
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, err = open(o); err != nil {
			t.Fatal(err)
		}
		check("damaged horizon")
		if st, _ := s.Stats(t.Context()); len(st.Damage) != 1 {
			t.Errorf("byte %d: damage %v", at, st.Damage)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// Without the file the manifest has the horizon.
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	if s, err = open(o); err != nil {
		t.Fatal(err)
	}
	check("without a horizon")
	if st, _ := s.Stats(t.Context()); !names(st.Damage, name) {
		t.Errorf("without a horizon: damage %v", st.Damage)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// On a full disk the store drops blocks over their time, although it cannot write a
// manifest; the next start misses nothing.
func TestRetain_onAFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	var now, full atomic.Int64
	now.Store(1_790_000_000)
	o := small(fs)
	o.Retention = time.Hour
	o.Now = func() time.Time { return time.Unix(now.Load(), 0) }
	fs.Before(func(op vfs.Op) error {
		if full.Load() > 0 && (op.Kind == "create" || op.Kind == "write") {
			return syscall.ENOSPC
		}
		return nil
	})
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	if err := errors.Join(l.send(t, s, 5), s.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	full.Store(1)
	now.Add(1_000_000_000)
	s.Retain()
	for _, name := range files(t, fs, "blocks") {
		t.Errorf("%s is still there", name)
	}
	_ = s.Close() // it cannot write any more
	full.Store(0)
	if s, err = open(o); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Stats(t.Context()); err != nil || len(st.Damage) > 0 {
		t.Errorf("damage %v, %v", st.Damage, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// When retention by bytes drops blocks, the horizon lies within a second. A graph from
// before it counts from the next second on, and reads no trace for that.
func TestRetain_graphsOfWhatIsLeftReadNoTrace(t *testing.T) {
	fs := vfs.NewMem()
	o := small(fs)
	restored := 0
	o.Restore = func(source trace.Source, raw []byte, scope *trace.OTLPScope, part uint8, at trace.Time) (*trace.Segment, error) {
		restored++
		return decode.Restore(source, raw, scope, part, at)
	}
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	segment := 0
	block := func(at ...float64) {
		t.Helper()
		for _, at := range at {
			segment++
			if _, err := s.Append(t.Context(), owner, []*trace.Segment{call(t, segment, segment, 0, rollupStart+at)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	block(0.25)
	block(0.5, 0.75, 1, 1.5, 2.25)
	st, err := s.Stats(t.Context())
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	o.RetentionBytes = st.Gauge(local.GaugeBlockBytes) - 1
	if s, err = open(o); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	s.Retain()
	graph := func(from float64) *trace.Graph {
		t.Helper()
		w := trace.Window{Start: trace.FromSeconds(rollupStart + from), End: trace.FromSeconds(rollupStart + 60)}
		g, err := s.Graph(t.Context(), owner, answer.GraphQuery{Window: w})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	got, want := graph(-60), graph(1)
	if restored > 0 {
		t.Errorf("%d segments were read", restored)
	}
	if graphText(got) != graphText(want) || len(got.Services) == 0 {
		t.Errorf("got %s\nwant %s", graphText(got), graphText(want))
	}
	compareCounts(t, s, trace.Window{Start: trace.FromSeconds(rollupStart + 1), End: trace.FromSeconds(rollupStart + 60)}, nil)
}
