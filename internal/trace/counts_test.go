package trace_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// TestCounts compares random additions, merges and subtractions with a map, and
// checks that merged counts do not change.
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
			// A few that repeat, or many, some of them far from the others.
			first, span, far := rnd.Int64N(100), 1+rnd.Int64N(1<<rnd.IntN(10)), 1+rnd.Int64N(8)
			for range rnd.IntN(1 << rnd.IntN(9)) {
				k, n := first+rnd.Int64N(span), 1+rnd.Int64N(3)
				if rnd.IntN(8) == 0 {
					k *= far
				}
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
			if k := rnd.Int64N(600); rnd.IntN(2) == 0 {
				sum.Add(k, 1)
				all[k]++
			}
			check(&c, m)
			if rnd.IntN(3) == 0 {
				check(&sum, all)
			}
		}
		check(&sum, all)
	}
}

// BenchmarkCounts_Merge adds up response times as a service graph does: one
// histogram per block.
func BenchmarkCounts_Merge(b *testing.B) {
	for _, size := range []int{30, 300, 3000} {
		for _, parts := range []int{2, 8, 100} {
			b.Run(fmt.Sprintf("%d observations in each of %d parts", size, parts), func(b *testing.B) {
				rnd := rand.New(rand.NewPCG(1, 2))
				from, bins := make([]trace.Counts, parts), 0
				for i := range from {
					for range size {
						from[i].Add(int64(20*math.Exp(rnd.NormFloat64())), 1)
					}
					bins += len(from[i].Bins())
				}
				b.ReportAllocs()
				for b.Loop() {
					var sum trace.Counts
					for i := range from {
						sum.Merge(&from[i], 1)
					}
					sum.Bins()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bins), "ns/bin")
			})
		}
	}
}
