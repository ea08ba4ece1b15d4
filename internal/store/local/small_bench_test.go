package local_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// BenchmarkEncryption_datagrams measures batches of one document, of many senders.
func BenchmarkEncryption_datagrams(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("on=%v", on), func(b *testing.B) {
			o := options{Dir: filepath.Join(b.TempDir(), "data"), Retention: -1, SettleAfter: time.Hour, MemoryLimit: 4 << 30}
			if on {
				o.Keys = newRing()
			}
			s, err := open(o)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			var all []*trace.Segment
			for len(all) < b.N {
				all = append(all, benchBatch(b, len(all)/50)...)
			}
			var next atomic.Int64
			before := cpu()
			b.ResetTimer()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := next.Add(1) - 1
					if _, err := s.Append(b.Context(), account, all[i:i+1]); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.StopTimer()
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/batch")
		})
	}
}
