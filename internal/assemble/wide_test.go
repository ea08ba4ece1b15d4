package assemble_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// BenchmarkTrace shows that the cost of a trace grows linearly with its entities:
// for a service that calls another one n times, and for one that calls n others.
// Each document is received alone; each pair has its own user and annotation.
func BenchmarkTrace(b *testing.B) {
	for _, shape := range []string{"calls", "hosts", "keys"} {
		for _, n := range []int{10, 1_000, 100_000} {
			b.Run(fmt.Sprintf("%s-%d", shape, n), func(b *testing.B) {
				segments := wide(b, shape, n)
				var a assemble.Assembler
				var sum assemble.Sum
				b.ReportAllocs()
				for b.Loop() {
					t := a.Trace(segments[0].TraceID, segments)
					a.Outline(t)
					assemble.Observe(t, func(trace.Time) *assemble.Sum { return &sum })
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(2*n), "ns/entity")
			})
		}
	}
}

// TestWide checks traces that have more of everything than the linear search
// handles.
func TestWide(t *testing.T) {
	const n = 200
	for _, c := range []struct {
		shape                      string
		nodes, edges, keys, values int
	}{
		{"calls", 3, 2, 1, n / 2}, // the client, front and back
		{"hosts", n + 2, n + 1, 1, n / 2},
		{"keys", 3, 2, n / 2, n / 2},
	} {
		segments := wide(t, c.shape, n)
		joined := assemble.Trace(segments[0].TraceID, segments)
		s := assemble.Summary(joined)
		values := 0
		for _, a := range s.Annotations {
			values += len(a.Values)
		}
		if len(joined.Nodes) != c.nodes || len(joined.Edges) != c.edges || len(s.Annotations) != c.keys || values != c.values || len(s.Users) != n/2 {
			t.Errorf("%s: %d nodes, %d edges, %d keys with %d values, %d users; want %d, %d, %d with %d, %d",
				c.shape, len(joined.Nodes), len(joined.Edges), len(s.Annotations), values, len(s.Users), c.nodes, c.edges, c.keys, c.values, n/2)
		}
		var sum assemble.Sum
		assemble.Observe(joined, func(trace.Time) *assemble.Sum { return &sum })
		calls := int64(0)
		for _, e := range sum.Edges {
			calls += e.Statistics.Total()
		}
		if calls != n+1 {
			t.Errorf("%s: %d calls, want %d and the client's", c.shape, calls, n)
		}
	}
}

// wide returns a trace of one segment that makes n calls, each answered by a segment.
func wide(t testing.TB, shape string, n int) []*trace.Segment {
	const id = "1-581cf771-a006649127e371903a2de979"
	var segments []*trace.Segment
	add := func(doc string) {
		got, refusal := decode.Document([]byte(doc), trace.Time(len(segments)+1))
		if refusal != nil {
			t.Fatal(refusal)
		}
		segments = append(segments, got...)
	}
	add(`{"trace_id":"` + id + `","id":"00000000000000ff","name":"front","start_time":1478293361,"end_time":1478293362}`)
	for i := range n {
		name, key := "back", "item"
		if shape == "hosts" {
			name = fmt.Sprint("back-", i)
		}
		if shape == "keys" {
			key = fmt.Sprint("item-", i/2)
		}
		add(fmt.Sprintf(`{"trace_id":"%s","type":"subsegment","id":"%016x","parent_id":"00000000000000ff","name":"%s","namespace":"remote","start_time":1478293361,"end_time":1478293362}`, id, 0x1000+2*i, name))
		add(fmt.Sprintf(`{"trace_id":"%s","id":"%016x","parent_id":"%016x","name":"%s","start_time":1478293361,"end_time":1478293362,"user":"u-%d","annotations":{"%s":%d}}`, id, 0x1001+2*i, 0x1000+2*i, name, i/2, key, i/2))
	}
	return segments
}

// TestCauses_longChains checks chains of failed calls; all of them, or none, refer
// to an exception. The time must grow with their length, not with its square.
func TestCauses_longChains(t *testing.T) {
	const id, n = "1-581cf771-a006649127e371903a2de979", 100_000
	for cause, want := range map[string]int{`,"cause":"eeeeeeeeeeeeeeee"`: n, ``: 1} {
		var segments []*trace.Segment
		for i := range n + 1 {
			doc := fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"x","start_time":1,"end_time":2,"fault":true%s`, id, i+1, cause)
			if i > 0 {
				doc += fmt.Sprintf(`,"type":"subsegment","namespace":"remote","parent_id":"%016x"`, i)
			}
			got, refusal := decode.Document([]byte(doc+"}"), 1)
			if refusal != nil {
				t.Fatal(refusal)
			}
			segments = append(segments, got...)
		}
		began := time.Now()
		if got := len(assemble.Summary(assemble.Trace(segments[0].TraceID, segments)).FaultCauses); got != want {
			t.Errorf("with %q: %d causes, want %d", cause, got, want)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("with %q: took %v", cause, took)
		}
	}
}
