package otlp_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
)

// addCorpus seeds a fuzz target with the requests of the goldens and with recorded
// ones, if they exist.
func addCorpus(f *testing.F, golden string, patterns ...string) {
	root := cmp.Or(os.Getenv("FLUORO_SHARED"), filepath.Join(harness.Root(), "..", "shared"))
	for i := range patterns {
		patterns[i] = filepath.Join(root, "corpus", patterns[i])
	}
	for _, pattern := range append(patterns, filepath.Join("testdata", "*", golden)) {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			f.Add(readFile(f, path))
		}
	}
}

// checkSpans checks the properties of every accepted request: documents are JSON, in
// both profiles, and the stored form restores each segment.
func checkSpans(t *testing.T, spans otlp.Spans) {
	collector := otlp.NewMapper(otlp.Options{Profile: otlp.ProfileCollector, IndexAllAttributes: true})
	for _, s := range spans.Segments {
		for _, m := range []*otlp.Mapper{new(otlp.Mapper), collector} {
			r, err := rendering(m, s)
			if err != nil || !json.Valid(r.Entity.Raw) {
				t.Fatalf("render: %v: %s", err, r.Entity.Raw)
			}
		}
		if s.Peer != "" && (!s.Remote() || utf8.RuneCountInString(s.Peer) > 200) {
			t.Fatalf("a peer of namespace %q: %q", s.Namespace, s.Peer)
		}
		again, err := decode.Restore(s.Source, s.Raw, s.Scope, s.Part, s.ReceivedAt)
		if err != nil || entityText(again.Entity) != entityText(s.Entity) {
			t.Fatalf("restore: %v\ngot  %+v\nwant %+v", err, again, s)
		}
	}
}

// entityText returns an entity as text, with everything it points to: NaN differs from
// itself.
func entityText(e trace.Entity) string {
	aws, sql, span := e.AWS, e.SQL, ""
	if e.Span != nil {
		span = fmt.Sprintf("%d %q %+v", e.Span.Kind, e.Span.Name, *e.Span.Resource)
	}
	e.AWS, e.SQL, e.Span = nil, nil, nil
	return fmt.Sprintf("%+v %+v %+v %s", e, aws, sql, span)
}

// sameAsGenerated checks that we read a request as the generated code does: written
// again by the generated code, it gives the same segments.
func sameAsGenerated(t *testing.T, spans otlp.Spans, req *coltracepb.ExportTraceServiceRequest) {
	anew, err := otlp.Proto(marshal(t, req), at)
	if err != nil || len(anew.Segments) != len(spans.Segments) || anew.RejectedSpans != spans.RejectedSpans {
		t.Fatalf("%v: %d segments, %d rejected, want %d, %d", err, len(spans.Segments), spans.RejectedSpans, len(anew.Segments), anew.RejectedSpans)
	}
	for i, want := range anew.Segments {
		got := spans.Segments[i]
		a, err1 := rendering(new(otlp.Mapper), got)
		b, err2 := rendering(new(otlp.Mapper), want)
		if err1 != nil || err2 != nil || string(a.Entity.Raw) != string(b.Entity.Raw) || entityText(got.Entity) != entityText(want.Entity) {
			t.Fatalf("%v, %v\ngot  %+v %s\nwant %+v %s", err1, err2, got.Entity, a.Entity.Raw, want.Entity, b.Entity.Raw)
		}
	}
}

func FuzzProto(f *testing.F) {
	addCorpus(f, "input.otlp.pb", "otlp/*/input.otlp.pb", "zipkin/*/input.otlp.pb")
	f.Add(marshal(f, shopRequest(20)))
	f.Add(marshal(f, request(nil, newSpan(client, "aws.span.kind", "LOCAL_ROOT", "deep", nested(9), "aws.xray.metadata.a", `{"b":1}`))))
	f.Add(marshal(f, request(nil, newSpan(server, "http.status_code", "503 Service Unavailable", "http.response.status_code", 404.0), newSpan(client, "http.status_code", "HTTP/1.1 1e9", "http.response.status_code", -1))))
	for _, c := range peers {
		for i, pairs := range c.spans {
			f.Add(marshal(f, request(nil, peerSpan([]tracepb.Span_SpanKind{client, producer}[i%2], pairs))))
		}
	}
	f.Add([]byte{0x0a, 0x80})
	f.Add([]byte{0x0b, 0x0c})
	f.Add([]byte{0x0a, 0x06, 0x12, 0x04, 0x12, 0x02, 0x4a, 0x00})
	f.Add(legacy(f, request(attributes("service.name", "old"), newSpan(server, "a", "b"))))
	f.Add(append(marshal(f, request(nil, newSpan(server))), 0x12, 2, 0x0a, 0))
	f.Fuzz(func(t *testing.T, body []byte) {
		spans, err := otlp.Proto(bytes.Clone(body), at)
		checkSpans(t, spans)
		var req coltracepb.ExportTraceServiceRequest
		if proto.Unmarshal(body, &req) != nil {
			return // the generated code refuses strings that are not UTF-8; we accept them
		}
		if err != nil {
			if len(body) < 4*60 { // too short to nest deeper than allowed
				t.Fatalf("refused, though it is protobuf: %v", err)
			}
			return
		}
		if !modern(&req) {
			return // the order of two lists is unknown
		}
		n := 0
		for _, rs := range req.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				n += len(ss.Spans)
			}
		}
		if n != spans.Spans {
			t.Fatalf("%d spans, want %d", spans.Spans, n)
		}
		sameAsGenerated(t, spans, &req)
	})
}

func FuzzJSON(f *testing.F) {
	addCorpus(f, "input.otlp.json", "otlp/*/input.otlp.json", "zipkin/*/input.otlp.json", "otlp-invalid/*.json")
	for _, s := range []string{
		"{}", `{"resourceSpans":[{}]}`, `{"resourceSpans":[{"":[{}]}]}`, `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"}]}]}]}`,
		`{"resource_spans":[{"instrumentation_library_spans":[{"instrumentation_library":{"name":"l"},"spans":[{"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174"}]}]}]}`, `{"resource_spans":[{"scope_spans":[{"spans":[{"trace_id":"AA","attributes":[{"key":"k","value":{"arrayValue":{"values":[null,{}]}}}]}]}]}]}`,
		`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"66669980b3d1d84e16ac2f7e15c3bd0a","spanId":"00f067aa0ba902b7","kind":"SPAN_KIND_CLIENT","startTimeUnixNano":1e18,"attributes":[{"key":"a\u0000","value":{"doubleValue":"Infinity"}}]}]}]}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		spans, err := otlp.JSON(body, at)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatal("accepted, though it is no JSON")
		}
		checkSpans(t, spans)
	})
}

// legacy writes a request like senders before opentelemetry-proto 0.15.
func legacy(t testing.TB, req *coltracepb.ExportTraceServiceRequest) []byte {
	t.Helper()
	for _, rs := range req.ResourceSpans {
		var b []byte
		for _, ss := range rs.ScopeSpans {
			b = protowire.AppendBytes(protowire.AppendTag(b, 1000, protowire.BytesType), marshal(t, ss))
		}
		rs.ScopeSpans = nil
		rs.ProtoReflect().SetUnknown(b)
	}
	return marshal(t, req)
}

// modern makes scope spans of the legacy lists that req has as unknown fields. It
// returns false for a request that has both.
func modern(req *coltracepb.ExportTraceServiceRequest) bool {
	for _, rs := range req.ResourceSpans {
		both, rest := len(rs.ScopeSpans) > 0, []byte(nil)
		for b := []byte(rs.ProtoReflect().GetUnknown()); len(b) > 0; {
			num, typ, n := protowire.ConsumeField(b)
			if num == 1000 && typ == protowire.BytesType {
				_, _, tag := protowire.ConsumeTag(b)
				message, _ := protowire.ConsumeBytes(b[tag:])
				ss := new(tracepb.ScopeSpans)
				if both || proto.Unmarshal(message, ss) != nil {
					return false
				}
				rs.ScopeSpans = append(rs.ScopeSpans, ss)
			} else {
				rest = append(rest, b[:n]...)
			}
			b = b[n:]
		}
		rs.ProtoReflect().SetUnknown(rest)
	}
	return true
}
