package trace_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// TestCounts: whatever is added, merged and taken away, what is left is what a map
// would say, and what was merged stays as it was.
func TestCounts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	check := func(c *trace.Counts, want map[int64]int64) {
		t.Helper()
		var bins []trace.Bin
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if want[k] != 0 {
				bins = append(bins, trace.Bin{Key: k, N: want[k]})
			}
		}
		if got := c.Bins(); !slices.Equal(got, bins) {
			t.Fatalf("%v, want %v", got, bins)
		}
	}
	for range 300 {
		var sum trace.Counts
		all := map[int64]int64{}
		for range rnd.IntN(12) {
			var c trace.Counts
			m := map[int64]int64{}
			span := 1 + rnd.Int64N(60)
			for range rnd.IntN(40) {
				k, n := rnd.Int64N(span), 1+rnd.Int64N(3)
				c.Add(k, n)
				m[k] += n
			}
			sum.Merge(&c, 1)
			if rnd.IntN(3) == 0 {
				sum.Merge(&c, -1)
			} else {
				for k, n := range m {
					all[k] += n
				}
			}
			check(&c, m)
			check(&sum, all)
		}
	}
}
