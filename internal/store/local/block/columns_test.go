package block

import (
	"bytes"
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// FuzzRow: whatever was received comes back, whether or not it is a span as
// the usual encoders write them.
func FuzzRow(f *testing.F) {
	id := trace.ID{1: 2}
	span := row{TraceID: id, SpanID: [8]byte{1}, ParentID: bytes.Repeat([]byte{2}, 8), Name: "GET /", Kind: 2, Start: 5, Duration: -1, Fields: []byte{0x4a, 0}}
	whole := span.join(nil)
	f.Add(uint8(trace.SourceOTLP), whole)
	f.Add(uint8(trace.SourceOTLP), whole[:len(whole)-3])
	f.Add(uint8(trace.SourceOTLP), append([]byte{0x2a, 0x81, 0x00}, whole...))
	f.Add(uint8(trace.SourceDocument), []byte(`{"id":"\ud800"}`))
	f.Add(uint8(trace.SourceDocument), []byte{0xff})
	f.Fuzz(func(t *testing.T, source uint8, raw []byte) {
		r := Record{TraceID: id, Source: trace.Source(source), Raw: raw}
		out, _ := rowOf(7, id, &r, nil)
		back, _, err := out.record(nil)
		if err != nil || !bytes.Equal(back.Raw, raw) || back.Source != r.Source || back.TraceID != id {
			t.Fatalf("%x came back as %x (form %d): %v", raw, back.Raw, out.Form, err)
		}
	})
}

func TestRow_spanIsTakenApart(t *testing.T) {
	id := trace.ID{1: 2}
	span := row{TraceID: id, SpanID: [8]byte{1}, Name: "GET /", Kind: 2, Start: 5, Duration: 9}
	out, _ := rowOf(0, id, &Record{Source: trace.SourceOTLP, Raw: span.join(nil)}, nil)
	if out.Form != formSpan || out.Name != "GET /" || out.Duration != 9 || out.Kind != 2 || out.Raw != nil {
		t.Errorf("%+v", out)
	}
}
