package receive

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// taken returns how much memory the result of make keeps in use.
func taken[T any](make func() T) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	v := make()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(v)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// The reservation of a request covers the memory that decoding takes, but is not so
// much larger that ordinary requests would be refused.
func TestCost_isWhatDecodingTakes(t *testing.T) {
	subsegments := strings.TrimSuffix(strings.Repeat(`{"id":"1111111111111111","name":"s","start_time":1,"end_time":2},`, 9000), ",")
	documents := map[string]string{
		"many tiny subsegments": `{"trace_id":"1-6560a0f0-000000000000000000000bad","id":"0bad0bad0bad0bad","name":"x","start_time":1,"end_time":2,"subsegments":[` + subsegments + `]}`,
		"much text":             `{"trace_id":"1-6560a0f0-000000000000000000000bad","id":"0bad0bad0bad0bad","name":"x","start_time":1,"end_time":2,"metadata":{"a":"` + strings.Repeat("y", 900_000) + `"}}`,
		"escaped names": `{"trace_id":"1-6560a0f0-000000000000000000000bad","id":"0bad0bad0bad0bad","name":"x","start_time":1,"end_time":2,"subsegments":[` +
			strings.ReplaceAll(subsegments, "start_time", `st\u0061rt_time`) + `]}`,
	}
	for name, doc := range documents {
		cost := documentCost([]byte(doc))
		got := taken(func() []*trace.Segment {
			segments, refusal := decode.Document(bytes.Clone([]byte(doc)), 1)
			if refusal != nil {
				t.Fatalf("%s: %v", name, refusal)
			}
			return segments
		})
		check(t, name, got, cost+int64(len(doc)))
		if most := mostCost(int64(len(doc))); most < cost {
			t.Errorf("%s: costs %d, at most %d", name, cost, most)
		}
	}
	var spans, jsonSpans []byte
	for i := range 20_000 {
		span := fmt.Appendf(nil, "\x0a\x10%016d\x12\x08%08d\x2a\x01s\x39%08d\x41%08d", i, i, i, i)
		spans = append(append(spans, 0x12, byte(len(span))), span...)
		jsonSpans = fmt.Appendf(jsonSpans, `,{"traceId":"%032x","spanId":"%016x","name":"s","startTimeUnixNano":"1","endTimeUnixNano":"2"}`, i+1, i+1)
	}
	body := message(0x0a, message(0x12, spans))
	check(t, "many tiny spans", taken(func() otlp.Spans { return spansOf(t, otlp.Proto, body) }), spansCost(body, false)+int64(len(body)))
	old := message(0x0a, append([]byte{0xc2, 0x3e}, message(0, spans)[1:]...)) // field 1000
	check(t, "many tiny legacy spans", taken(func() otlp.Spans { return spansOf(t, otlp.Proto, old) }), spansCost(old, false)+int64(len(old)))
	text := fmt.Appendf(nil, `{"resourceSpans":[{"scopeSpans":[{"spans":[%s]}]}]}`, jsonSpans[1:])
	check(t, "many tiny spans as JSON", taken(func() otlp.Spans { return spansOf(t, otlp.JSON, text) }), spansCost(text, true)+int64(len(text)))
}

func spansOf(t *testing.T, parse func([]byte, trace.Time) (otlp.Spans, error), body []byte) otlp.Spans {
	spans, err := parse(bytes.Clone(body), 1)
	if err != nil || len(spans.Segments) != 20_000 {
		t.Fatalf("%d spans, %v, %s", len(spans.Segments), err, spans.Message())
	}
	return spans
}

// message encodes a protobuf field that holds a message.
func message(tag byte, b []byte) []byte {
	out := []byte{tag}
	for n := len(b); ; n >>= 7 {
		if n < 0x80 {
			return append(append(out, byte(n)), b...)
		}
		out = append(out, byte(n)|0x80)
	}
}

func check(t *testing.T, name string, got, reserved int64) {
	t.Helper()
	t.Logf("%s: %d bytes taken, %d reserved", name, got, reserved)
	if got > reserved || reserved > 4*got {
		t.Errorf("%s: %d bytes are reserved for what takes %d", name, reserved, got)
	}
}

// Counting spans never fails, and finds at least the spans that decoding finds.
func FuzzCost(f *testing.F) {
	f.Add(message(0x0a, message(0x12, message(0x12, []byte("\x0a\x100123456789abcdef\x12\x0801234567")))))
	f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"1"}]}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if cost := documentCost(b); cost < int64(len(b)) {
			t.Errorf("a document costs %d", cost)
		}
		if cost := spansCost(b, true); cost < int64(len(b)) {
			t.Errorf("JSON costs %d", cost)
		}
		cost := spansCost(b, false)
		if spans, err := otlp.Proto(bytes.Clone(b), 1); err == nil && cost < int64(min(spans.Spans, otlp.MaxSpans))*decodedBytes+int64(len(b)) {
			t.Errorf("%d spans cost %d", spans.Spans, cost)
		}
	})
}
