package local_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// hides is a sight that hides a service; "" hides nothing.
type hides string

func (h hides) Sees(s *sight.Segment) bool { return s.Service != string(h) }
func (hides) NeedsGroups() bool            { return false }
func (h hides) Fingerprint() string        { return string(h) }

// sightTraces is the number of settled traces of BenchmarkSight, six segments each.
const sightTraces = 20_000

// fillForSight makes a chain of six services in each trace, over an hour of receipts.
func fillForSight(b *testing.B, s *opened) {
	for n := range sightTraces {
		var batch []*trace.Segment
		at := rollupStart + float64(n)*3600/sightTraces
		for k := range 6 {
			parent := ""
			if k > 0 {
				parent = fmt.Sprintf(`"parent_id":"%016x",`, 100+k-1)
			}
			doc := fmt.Sprintf(`{"trace_id":%q,"id":"%016x",%s"name":"svc-%d","start_time":%f,"end_time":%f,"user":"user-%d","annotations":{"tier":"%d"},"http":{"request":{"method":"GET","url":"http://svc/%d"},"response":{"status":200}},"subsegments":[{"id":"%016x","name":"svc-%d","namespace":"remote","start_time":%f,"end_time":%f}]}`,
				idOf(n), k+1, parent, k, at, at+0.5-float64(k)/20, n%50, n%500, n%20, 100+k, k+1, at, at+0.4-float64(k)/20)
			list, refusal := decode.Document([]byte(doc), trace.FromSeconds(at+1))
			if refusal != nil {
				b.Fatal(refusal)
			}
			batch = append(batch, list...)
		}
		if _, err := s.Append(context.Background(), owner, batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSight compares reads that see everything with limited ones: without a limit,
// with a limit that hides nothing, with one service of six hidden, and with a linked
// account, which is empty.
func BenchmarkSight(b *testing.B) {
	s, err := open(options{Dir: b.TempDir(), Retention: -1, CacheBytes: 64 << 20, Now: func() time.Time { return time.Unix(rollupStart+3700, 0) }})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	fillForSight(b, s)
	ctx := context.Background()
	window := trace.Window{Start: trace.FromSeconds(rollupStart), End: trace.FromSeconds(rollupStart + 3700)}
	for _, reader := range []struct {
		name  string
		reach answer.Reach
	}{{"plain", answer.Reach{}}, {"sees all", answer.Reach{Sight: hides("")}}, {"hides one", answer.Reach{Sight: hides("svc-2")}}, {"linked", answer.Reach{Linked: []trace.Linked{{Account: "111111111111"}}}}} {
		at := 0
		b.Run("traces/"+reader.name, func(b *testing.B) {
			for b.Loop() {
				var ids []trace.ID
				for range 5 {
					at = (at + 7919) % sightTraces
					ids = append(ids, idOf(at))
				}
				for _, err := range s.Traces(ctx, owner, ids, reader.reach) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		for name, text := range map[string]string{"page": "", "page by annotation": `annotation.tier = "77"`, "page by service": `service("svc-4")`} {
			b.Run(name+"/"+reader.name, func(b *testing.B) {
				q := &answer.SummaryQuery{Window: window, Reach: reader.reach}
				if text != "" {
					q.Filter = mustParse(b, text)
				}
				for b.Loop() {
					n := 0
					for _, err := range s.Summaries(ctx, owner, q) {
						if err != nil {
							b.Fatal(err)
						}
						if n++; n == 40 {
							break
						}
					}
					if n != 40 {
						b.Fatalf("%d summaries", n)
					}
				}
			})
		}
		b.Run("graph of an hour/"+reader.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Graph(ctx, owner, answer.GraphQuery{Window: window, Reach: reader.reach}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func mustParse(b *testing.B, text string) *filter.Expr {
	e, err := filter.Parse(text)
	if err != nil {
		b.Fatal(err)
	}
	return e
}
