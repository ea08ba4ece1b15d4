package otlp_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
)

// corpus returns the folder of recorded requests; without one it skips the test.
func corpus(t testing.TB) string {
	t.Helper()
	return filepath.Join(harness.Shared(t), "corpus")
}

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// at is the time when requests are accepted in these tests.
var at = trace.TimeOf(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC))

var (
	traceID  = []byte{0x66, 0x66, 0x99, 0x80, 0xb3, 0xd1, 0xd8, 0x4e, 0x16, 0xac, 0x2f, 0x7e, 0x15, 0xc3, 0xbd, 0x0a}
	spanID   = []byte{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}
	parentID = []byte{0x53, 0x99, 0x5c, 0x3f, 0x42, 0xcd, 0x8a, 0xd8}
)

// newSpan returns a span of 120 ms with attributes.
func newSpan(kind tracepb.Span_SpanKind, pairs ...any) *tracepb.Span {
	return &tracepb.Span{TraceId: traceID, SpanId: spanID, Name: "op", Kind: kind,
		StartTimeUnixNano: 1718000000005000000, EndTimeUnixNano: 1718000000125000001, Attributes: attributes(pairs...)}
}

func child(s *tracepb.Span) *tracepb.Span {
	s.ParentSpanId = parentID
	return s
}

// request puts spans below one resource.
func request(resource []*commonpb.KeyValue, spans ...*tracepb.Span) *coltracepb.ExportTraceServiceRequest {
	return &coltracepb.ExportTraceServiceRequest{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource:   &resourcepb.Resource{Attributes: resource},
		ScopeSpans: []*tracepb.ScopeSpans{{Scope: &commonpb.InstrumentationScope{Name: "lib", Version: "1"}, Spans: spans}},
	}}}
}

func mapped(t testing.TB, m *otlp.Mapper, req *coltracepb.ExportTraceServiceRequest) []*trace.Segment {
	t.Helper()
	spans, err := m.Proto(marshal(t, req), at)
	if err != nil || spans.RejectedSpans != 0 {
		t.Fatal(err, spans.Message())
	}
	return spans.Segments
}

// path reads a value of a rendered document; the last argument may have dots.
func path(doc any, names ...string) any {
	for _, n := range names {
		m, _ := doc.(map[string]any)
		doc = m[n]
	}
	return doc
}

const (
	server   = tracepb.Span_SPAN_KIND_SERVER
	client   = tracepb.Span_SPAN_KIND_CLIENT
	producer = tracepb.Span_SPAN_KIND_PRODUCER
	consumer = tracepb.Span_SPAN_KIND_CONSUMER
	internal = tracepb.Span_SPAN_KIND_INTERNAL
)
