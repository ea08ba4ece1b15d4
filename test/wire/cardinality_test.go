//go:build linux

package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// The node that counts the folded services of a graph.
const (
	otherName = "other services"
	otherType = "fluoro::other"
)

// distinct returns how many names each case sends; $FLUORO_NAMES sets another number.
func distinct(t *testing.T, n int) int {
	t.Helper()
	if v := os.Getenv("FLUORO_NAMES"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func textAttribute(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

// spansOf makes some spans of one trace of a service; the first is the parent of the
// others.
func (o *overload) spansOf(service string, spans ...*otlptrace.Span) *otlptrace.ResourceSpans {
	id, _ := o.traceID()
	now := uint64(time.Now().UnixNano())
	for i, s := range spans {
		s.TraceId, s.SpanId = id[:], binary.BigEndian.AppendUint64(nil, uint64(i+1))
		if i > 0 {
			s.ParentSpanId = spans[0].SpanId
		}
		s.StartTimeUnixNano, s.EndTimeUnixNano = now-1e6, now
	}
	return &otlptrace.ResourceSpans{
		Resource:   &resource.Resource{Attributes: []*common.KeyValue{textAttribute("service.name", service)}},
		ScopeSpans: []*otlptrace.ScopeSpans{{Spans: spans}},
	}
}

func server(name string, attributes ...*common.KeyValue) *otlptrace.Span {
	return &otlptrace.Span{Name: name, Kind: otlptrace.Span_SPAN_KIND_SERVER, Attributes: attributes}
}

func client(name string, attributes ...*common.KeyValue) *otlptrace.Span {
	return &otlptrace.Span{Name: name, Kind: otlptrace.Span_SPAN_KIND_CLIENT, Attributes: attributes}
}

// fill sends n resources, some hundred per request, until all are acknowledged.
func (o *overload) fill(t *testing.T, n int, one func(i int) []*otlptrace.ResourceSpans) {
	t.Helper()
	const many = 500
	jobs := make(chan int)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for from := range jobs {
				req := &coltrace.ExportTraceServiceRequest{}
				for i := from; i < min(from+many, n); i++ {
					req.ResourceSpans = append(req.ResourceSpans, one(i)...)
				}
				o.export(t, req)
			}
		})
	}
	for from := 0; from < n; from += many {
		jobs <- from
	}
	close(jobs)
	all.Wait()
}

// export sends a request until it is acknowledged.
func (o *overload) export(t *testing.T, req *coltrace.ExportTraceServiceRequest) {
	body, err := proto.Marshal(req)
	if err != nil {
		t.Error(err)
		return
	}
	for {
		res, err := http.Post("http://"+o.s.OTLP+"/v1/traces", "application/x-protobuf", bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		answer, _ := io.ReadAll(res.Body)
		res.Body.Close()
		switch res.StatusCode {
		case http.StatusOK:
			return
		case http.StatusTooManyRequests:
			time.Sleep(100 * time.Millisecond)
		default:
			t.Errorf("status %d: %.200s", res.StatusCode, answer)
			return
		}
	}
}

// graphNode is a service of a graph.
type graphNode struct {
	ReferenceId       int
	Name, Type        string
	SummaryStatistics *struct{ TotalCount int64 }
	Edges             []struct {
		ReferenceId       int
		SummaryStatistics struct{ TotalCount int64 }
		Aliases           []struct{ Name string }
	}
}

// graph returns all pages of the graph of the last hour. If a merge in between changes
// which services are kept, it starts again.
func graph(t *testing.T, s *harness.Server) (nodes []graphNode, pages int) {
	t.Helper()
	start, end := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	var token any
	for tries := 0; ; pages++ {
		status, _, b := s.Post("/ServiceGraph", map[string]any{"StartTime": start, "EndTime": end, "NextToken": token})
		if status == http.StatusBadRequest && token != nil && tries < 10 {
			nodes, token, pages = nil, nil, -1
			tries++
			continue
		}
		if status != http.StatusOK {
			t.Fatalf("status %d: %.200s", status, b)
		}
		if len(b) > 20<<20 {
			t.Errorf("a page has %d bytes", len(b))
		}
		var answer struct {
			Services  []graphNode
			NextToken *string
		}
		if err := json.Unmarshal(b, &answer); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, answer.Services...)
		if answer.NextToken == nil {
			return nodes, pages + 1
		}
		token = *answer.NextToken
	}
}

// eight requests a graph eight times at once. Requests without room are told to try
// again.
func eight(t *testing.T, s *harness.Server) {
	t.Helper()
	var all sync.WaitGroup
	answered := make(chan int, 8)
	for range 8 {
		all.Go(func() {
			status, header, b := s.Post("/ServiceGraph", map[string]any{"StartTime": time.Now().Add(-time.Hour).Unix(), "EndTime": time.Now().Add(time.Hour).Unix()})
			if status != http.StatusOK && (status != http.StatusTooManyRequests || header.Get("Retry-After") == "") {
				t.Errorf("status %d: %.200s", status, b)
			}
			answered <- status
		})
	}
	all.Wait()
	close(answered)
	ok := 0
	for status := range answered {
		if status == http.StatusOK {
			ok++
		}
	}
	if ok == 0 {
		t.Error("none of eight was answered")
	}
}

// However many names senders use, and wherever: memory stays bounded, graphs keep
// the most frequent services and count all, and every name finds its traces.
func TestCardinality_isBounded(t *testing.T) {
	const memoryMB = 256
	for _, c := range []struct {
		name  string
		n     int
		one   func(o *overload, i int) []*otlptrace.ResourceSpans
		total func(n int) int64 // the expected count of all nodes except clients
		find  func(i int) string
	}{
		{"services", 100_000, func(o *overload, i int) []*otlptrace.ResourceSpans {
			return []*otlptrace.ResourceSpans{o.spansOf(fmt.Sprintf("service-%08d", i), server("work"))}
		}, func(n int) int64 { return int64(n) }, func(i int) string { return fmt.Sprintf(`service("service-%08d")`, i) }},
		{"callees", 60_000, func(o *overload, i int) []*otlptrace.ResourceSpans {
			return []*otlptrace.ResourceSpans{o.spansOf("front", server("work"), client("GET", textAttribute("peer.service", fmt.Sprintf("host-%08d", i)), textAttribute("url.full", fmt.Sprintf("https://host-%08d/x/%d", i, i))))}
		}, func(n int) int64 { return 2 * int64(n) }, func(i int) string { return fmt.Sprintf(`service("host-%08d")`, i) }},
		{"keys of annotations", 60_000, func(o *overload, i int) []*otlptrace.ResourceSpans {
			key := fmt.Sprintf("key_%08d", i)
			list := &common.KeyValue{Key: "aws.xray.annotations", Value: &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: &common.ArrayValue{
				Values: []*common.AnyValue{{Value: &common.AnyValue_StringValue{StringValue: key}}},
			}}}}
			return []*otlptrace.ResourceSpans{o.spansOf("front", server("work", textAttribute(key, "yes"), list))}
		}, func(n int) int64 { return int64(n) }, func(i int) string { return fmt.Sprintf(`annotation.key_%08d = "yes"`, i) }},
		{"names of one callee", 40_000, func(o *overload, i int) []*otlptrace.ResourceSpans {
			front := o.spansOf("front", server("work"), client("GET", textAttribute("peer.service", fmt.Sprintf("alias-%08d", i))))
			call := front.ScopeSpans[0].Spans[1]
			back := o.spansOf("back", server("work"))
			span := back.ScopeSpans[0].Spans[0]
			span.TraceId, span.SpanId, span.ParentSpanId = call.TraceId, binary.BigEndian.AppendUint64(nil, 3), call.SpanId
			return []*otlptrace.ResourceSpans{front, back}
		}, func(n int) int64 { return 2 * int64(n) }, func(int) string { return `service("back")` }},
		{"links", 40_000, func(o *overload, i int) []*otlptrace.ResourceSpans {
			from := o.spansOf("sender", server("work"))
			to := o.spansOf(fmt.Sprintf("receiver-%d", i%100), server("work"))
			sent := from.ScopeSpans[0].Spans[0]
			to.ScopeSpans[0].Spans[0].Links = []*otlptrace.Span_Link{{TraceId: sent.TraceId, SpanId: sent.SpanId}}
			return []*otlptrace.ResourceSpans{from, to}
		}, func(n int) int64 { return 2 * int64(n) }, func(int) string { return `service("receiver-7")` }},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := distinct(t, c.n)
			s := harness.Start(t, "--memory", fmt.Sprintf("%dMB", memoryMB), "--settle", "1s")
			o := &overload{s: s}
			o.fill(t, n, func(i int) []*otlptrace.ResourceSpans { return c.one(o, i) })
			t.Logf("%d sent, peak %d MB", n, peakMB(t, s))
			if got := countAll(graph(t, s)); got != c.total(n) {
				t.Errorf("while traces are open, nodes count %d, want %d", got, c.total(n))
			}
			harness.Eventually(t, "all traces are settled", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
			nodes, pages := graph(t, s)
			if got := countAll(nodes, pages); got != c.total(n) {
				t.Errorf("nodes count %d, want %d", got, c.total(n))
			}
			t.Logf("%d nodes on %d pages, peak %d MB", len(nodes), pages, peakMB(t, s))
			began := time.Now()
			eight(t, s)
			t.Logf("eight graphs in %v, peak %d MB", time.Since(began), peakMB(t, s))
			for _, i := range []int{0, n / 2, n - 1} {
				if list := s.Summaries(c.find(i) + ` AND responsetime >= 0`); strings.Contains(c.find(i), "0000") && len(list) != 1 {
					t.Errorf("%s finds %d traces", c.find(i), len(list))
				}
				if strings.Contains(c.find(i), "-7") || strings.Contains(c.find(i), "back") {
					break // very many
				}
			}
			if mb := peakMB(t, s); mb > memoryMB+slackMB {
				t.Errorf("%d MB were taken of %d MB", mb, memoryMB)
			}
		})
	}
}

// countAll returns the number of observations that all nodes count, except clients.
func countAll(nodes []graphNode, _ int) (total int64) {
	for _, n := range nodes {
		if n.SummaryStatistics != nil {
			total += n.SummaryStatistics.TotalCount
		}
	}
	return total
}

// Folded names are reported where operators look: metrics, the status page and the
// log; and a frequent service keeps its own node.
func TestCardinality_isTold(t *testing.T) {
	s := harness.Start(t, "--memory", "128MB", "--settle", "200ms")
	o := &overload{s: s}
	n := 20_000
	o.fill(t, n, func(i int) []*otlptrace.ResourceSpans {
		name := fmt.Sprintf("pod-%08d", i)
		if i%10 == 0 {
			name = "checkout"
		}
		return []*otlptrace.ResourceSpans{o.spansOf(name, server("work"))}
	})
	harness.Eventually(t, "all traces are settled", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
	nodes, pages := graph(t, s)
	if pages < 2 {
		t.Errorf("%d nodes are on %d page", len(nodes), pages)
	}
	window := map[string]any{"StartTime": 1, "EndTime": 2, "NextToken": "AAAA"}
	refusedAs(t, s, "/ServiceGraph", window, apiError{400, "InvalidRequestException", `{"Message":"NextToken is currently not supported"}`})
	var checkout, other int64
	apart := 0
	for _, node := range nodes {
		switch {
		case node.SummaryStatistics == nil:
		case node.Name == "checkout":
			checkout = node.SummaryStatistics.TotalCount
		case node.Name == otherName && node.Type == otherType:
			other = node.SummaryStatistics.TotalCount
		default:
			apart++
		}
	}
	if checkout != int64(n/10) {
		t.Errorf("checkout counts %d, want %d", checkout, n/10)
	}
	if other == 0 || other+int64(apart) != int64(n-n/10) {
		t.Errorf("%d pods are told apart and %d counted as others, want %d together", apart, other, n-n/10)
	}
	if limit := s.Metric("fluoro_store_names_limit"); limit != 1024 || s.Metric("fluoro_store_names_folded_total") == 0 {
		t.Errorf("metrics: limit %v, folded %v", limit, s.Metric("fluoro_store_names_folded_total"))
	}
	res, err := http.Get(s.URL("/console/api/status"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var status struct {
		Store struct {
			Names       int    `json:"names"`
			NamesFolded int64  `json:"names_folded"`
			OtherName   string `json:"other_name"`
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	if status.Store.Names != 1024 || status.Store.NamesFolded == 0 || status.Store.OtherName != otherName {
		t.Errorf("status page: %+v", status.Store)
	}
	if log := s.Log(); strings.Count(log, otherName) != 1 {
		t.Errorf("the log does not say it once: %s", log)
	}
	// Deletions and continued traces keep the totals correct, whichever node counted
	// the traces.
	s.Stop()
	s.Restart("--memory", "128MB", "--settle", "200ms")
	if again, _ := graph(t, s); countAll(again, 0) != int64(n) {
		t.Errorf("after a restart nodes count %d, want %d", countAll(again, 0), n)
	}
}

// Many queries about one large trace do not load it into memory many times.
func TestCardinality_largeTrace(t *testing.T) {
	const memoryMB = 256
	for _, c := range []struct {
		name       string
		spans, pad int
	}{{"of large spans", 70, 400_000}, {"of many spans", 40_000, 400}} {
		t.Run(c.name, func(t *testing.T) {
			s := harness.Start(t, "--memory", fmt.Sprintf("%dMB", memoryMB), "--settle", "1h")
			o := &overload{s: s}
			id, text := o.traceID()
			service := textAttribute("service.name", "large")
			for from := 0; from < c.spans; {
				rs := o.spansOf("large")
				for bytes := 0; from < c.spans && bytes < 3<<20; bytes += c.pad + 100 {
					span := server("work", textAttribute("app.text", noise(c.pad)))
					span.TraceId, span.SpanId = id[:], binary.BigEndian.AppendUint64(nil, uint64(from+1))
					span.StartTimeUnixNano, span.EndTimeUnixNano = uint64(time.Now().UnixNano())-1e6, uint64(time.Now().UnixNano())
					if from > 0 {
						span.ParentSpanId = binary.BigEndian.AppendUint64(nil, 1)
					}
					rs.ScopeSpans[0].Spans = append(rs.ScopeSpans[0].Spans, span)
					from++
				}
				rs.Resource.Attributes = []*common.KeyValue{service}
				o.export(t, &coltrace.ExportTraceServiceRequest{ResourceSpans: []*otlptrace.ResourceSpans{rs}})
			}
			t.Logf("sent, peak %d MB", peakMB(t, s))
			window := map[string]any{"StartTime": time.Now().Add(-time.Hour).Unix(), "EndTime": time.Now().Add(time.Hour).Unix()}
			for _, ask := range []struct {
				path string
				body any
			}{
				{"/ServiceGraph", window}, {"/TraceGraph", map[string]any{"TraceIds": []string{text}}},
				{"/TraceSummaries", window}, {"/TimeSeriesServiceStatistics", window},
			} {
				var all sync.WaitGroup
				for range 6 {
					all.Go(func() {
						status, header, b := s.Post(ask.path, ask.body)
						if status != http.StatusOK && (status != http.StatusTooManyRequests || header.Get("Retry-After") == "") {
							t.Errorf("%s: status %d: %.200s", ask.path, status, b)
						}
						if status == http.StatusOK && ask.path == "/ServiceGraph" && !bytes.Contains(b, fmt.Appendf(nil, `"TotalCount":%d`, c.spans)) {
							t.Errorf("the graph does not count %d: %.500s", c.spans, b)
						}
					})
				}
				all.Wait()
				t.Logf("%s, peak %d MB", ask.path, peakMB(t, s))
			}
			if mb := peakMB(t, s); mb > memoryMB+slackMB {
				t.Errorf("%d MB were taken of %d MB", mb, memoryMB)
			}
		})
	}
}
