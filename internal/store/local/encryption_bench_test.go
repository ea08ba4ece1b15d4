package local_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // never fails
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchBatch is a batch as an agent sends it: 50 documents of about 900 bytes.
func benchBatch(b *testing.B, n int) []*trace.Segment {
	b.Helper()
	var batch []*trace.Segment
	for i := range 50 {
		at := 1_780_000_000 + float64(n)
		doc := fmt.Sprintf(`{"trace_id":"1-581cf771-%024x","id":"%016x","name":"svc-%d","start_time":%f,"end_time":%f,"user":"user-%d","annotations":{"tenant":"t%d","n":%d},
		"http":{"request":{"method":"GET","url":"https://shop.example.com/cart/%d?session=%x","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","client_ip":"10.1.%d.%d"},"response":{"status":200,"content_length":%d}},
		"subsegments":[{"id":"%016x","name":"carts","namespace":"aws","start_time":%f,"end_time":%f,"aws":{"operation":"GetItem","table_name":"carts","request_id":"%032x"}},
		{"id":"%016x","name":"db","namespace":"remote","start_time":%f,"end_time":%f,"sql":{"sanitized_query":"SELECT * FROM carts WHERE id = ? AND tenant = ?","url":"postgresql://db/%d"}}]}`,
			n*50+i, n*50+i+1, i%7, at, at+0.1, n*7919%1000, i%5, n, n*31, n*7919, n%256, i, n*17, n*50+i+1<<32, at, at+0.01, n*1_000_003+i, n*50+i+2<<32, at, at+0.02, i)
		list, refusal := decode.Document([]byte(doc), trace.FromSeconds(at))
		if refusal != nil {
			b.Fatalf("refused: %+v", refusal)
		}
		batch = append(batch, list...)
	}
	return batch
}

// BenchmarkEncryption measures what encryption adds to Append, settling and merging, and
// to reading. cpu-µs/batch is the CPU of all threads.
func BenchmarkEncryption(b *testing.B) {
	for _, on := range []bool{false, true} {
		o := options{Dir: filepath.Join(b.TempDir(), "data"), Retention: -1, SettleAfter: time.Hour}
		if on {
			o.Keys = newRing()
		}
		s, err := open(o)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		b.Run(fmt.Sprintf("ingest/on=%v", on), func(b *testing.B) {
			var batches [][]*trace.Segment
			for range b.N {
				batches = append(batches, benchBatch(b, n))
				n++
			}
			before := cpu()
			b.ResetTimer()
			for i, batch := range batches {
				if _, err := s.Append(b.Context(), account, batch); err != nil {
					b.Fatal(err)
				}
				if i%200 == 199 {
					if err := s.Flush(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := s.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			s.Merge()
			b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/batch")
		})
		b.Run(fmt.Sprintf("graph/on=%v", on), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Graph(b.Context(), account, answer.GraphQuery{Window: everything}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("traces/on=%v", on), func(b *testing.B) {
			i := 0
			for b.Loop() {
				var id trace.ID
				copy(id[:], []byte{0x58, 0x1c, 0xf7, 0x71})
				i = (i + 7919) % (n * 50)
				id[15], id[14], id[13] = byte(i), byte(i>>8), byte(i>>16)
				found := 0
				for _, err := range s.Traces(b.Context(), account, []trace.ID{id}, answer.Reach{}) {
					if err != nil {
						b.Fatal(err)
					}
					found++
				}
				if found != 1 {
					b.Fatalf("trace %s: %d", id, found)
				}
			}
		})
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
