package local_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

func TestPlan(t *testing.T) {
	const mb, day = 1 << 20, 24 * 3600
	same := func(n int, b [4]int64) (list [][4]int64) {
		for range n {
			list = append(list, b)
		}
		return list
	}
	for _, c := range []struct {
		name   string
		blocks [][4]int64 // size, entries, dead, latest receipt in seconds
		want   string
	}{
		{"too few", same(3, [4]int64{mb, 10, 0, 1}), "[]"},
		{"enough of one tier", same(4, [4]int64{mb, 10, 0, 1}), "[1 2 3 4]"},
		{"not of different tiers", append(same(3, [4]int64{mb, 10, 0, 1}), [4]int64{20 * mb, 10, 0, 1}), "[]"},
		{"small ones first", append(same(4, [4]int64{5 * mb, 10, 0, 1}), same(4, [4]int64{mb, 10, 0, 1})...), "[5 6 7 8]"},
		{"the oldest first", append([][4]int64{{mb, 10, 0, 9}}, same(8, [4]int64{mb, 10, 0, 1})...), "[2 3 4 5 6 7 8 9]"},
		{"no more than a block may hold", same(4, [4]int64{200 * mb, 10, 0, 1}), "[1 2]"},
		{"no more traces than a block may have", same(4, [4]int64{50 * mb, 100_000, 0, 1}), "[1 2]"},
		{"large ones are left alone", append(same(2, [4]int64{300 * mb, 10, 0, 0}), same(4, [4]int64{100 * mb, 10, 0, 1})...), "[3 4 5 6]"},
		{"days apart", [][4]int64{{20 * mb, 10, 0, 0}, {20 * mb, 10, 0, day}, {20 * mb, 10, 0, 2 * day}, {20 * mb, 10, 0, 3 * day}}, "[]"},
		{"mostly dead", [][4]int64{{mb, 10, 0, 1}, {mb, 10, 6, 1}}, "[2]"},
	} {
		if got := fmt.Sprint(local.Plan(4, c.blocks)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Retention by bytes drops only a small part of the data at once.
func TestLargest_isAPartOfWhatIsKept(t *testing.T) {
	for bytes, want := range map[int64]int64{0: 512 << 20, 800 << 20: 100 << 20, 1 << 40: 512 << 20} {
		if got := local.Largest(local.Options{BoundBytes: bytes}); got != want {
			t.Errorf("%d bytes kept: blocks of %d, want %d", bytes, got, want)
		}
	}
}

// Settled traces wait for others that are open, so that blocks are not tiny; they do not
// wait when no other trace is open.
func TestSettle_waitsForWhatIsOpen(t *testing.T) {
	var now atomic.Int64
	o := small(vfs.NewMem())
	o.SettleAfter, o.FlushAfter = 5*time.Second, time.Hour
	o.Now = func() time.Time { return time.Unix(rollupStart+now.Load(), 0) }
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	blocks := func(want int64) {
		t.Helper()
		s.SettleDue()
		if st, err := s.Stats(t.Context()); err != nil || st.Gauge(local.GaugeBlocks) != want {
			t.Fatalf("%d s: %d blocks, %v, want %d", now.Load(), st.Gauge(local.GaugeBlocks), err, want)
		}
	}
	for n := range 2 {
		if err := put(s, n, 1); err != nil {
			t.Fatal(err)
		}
		now.Add(3)
		blocks(0)
	}
	now.Add(3)
	blocks(1)
}
