package render

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// OTLP writes a span that was received as OTLP, with its resource and scope, as one
// compact OTLP/JSON TracesData message, which /v1/traces accepts. It omits only fields
// that OTLP does not define. The error says why Segment.Raw is not a span.
func OTLP(seg *trace.Segment) ([]byte, error) {
	scope := seg.Scope
	if scope == nil {
		scope = new(trace.OTLPScope)
	}
	w := openTracesData()
	w.message("resource", scope.Resource, otlp.ResourceShape)
	w.OpenList("scopeSpans")
	w.Element()
	w.message("scope", scope.Scope, otlp.ScopeShape)
	w.OpenList("spans")
	w.Text = jsonscan.Separate(w.Text)
	w.append(seg.Raw, otlp.SpanShape, 0)
	w.CloseList()
	w.Some("schemaUrl", scope.ScopeSchema)
	w.Text = append(w.Text, '}', ']')
	w.Some("schemaUrl", scope.ResourceSchema)
	w.Text = append(w.Text, '}', ']', '}')
	if w.err != nil {
		return nil, fmt.Errorf("show span %s: %w", seg.ID, w.err)
	}
	return w.Text, nil
}

// otlpWriter writes OTLP/JSON.
type otlpWriter struct {
	jsonscan.Writer
	err error
}

// fail stores the first error.
func (w *otlpWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// openTracesData opens a message with one resource.
func openTracesData() *otlpWriter {
	return &otlpWriter{Writer: jsonscan.Writer{Text: []byte(`{"resourceSpans":[{`)}}
}

// message writes a protobuf message as a member.
func (w *otlpWriter) message(name string, msg []byte, s otlp.Shape) {
	w.Name(name)
	w.append(msg, s, 0)
}

// append writes a protobuf message as an object with the members of its shape; depth
// counts the enclosing attribute values. If a field that is not repeated occurs twice,
// protobuf merges messages and keeps the last of other values.
func (w *otlpWriter) append(msg []byte, s otlp.Shape, depth int) {
	if depth > otlp.MaxValueDepth {
		w.fail(otlp.ErrDepth)
	}
	w.Text = append(w.Text, '{')
	for i := range s {
		w.member(msg, &s[i], depth)
	}
	w.Text = append(w.Text, '}')
}

// value writes an AnyValue; its last member counts.
func (w *otlpWriter) value(msg []byte, depth int) {
	if depth > otlp.MaxValueDepth {
		w.fail(otlp.ErrDepth)
		return
	}
	var last *otlp.Member
	f := otlp.FieldsOf(msg)
	for f.Next() {
		for i := range otlp.ValueShape {
			if m := &otlp.ValueShape[i]; f.Is(uint32(m.Number), m.Wire()) {
				last = m
			}
		}
	}
	w.fail(f.Err())
	w.Text = append(w.Text, '{')
	if last != nil {
		w.member(msg, last, depth)
	}
	w.Text = append(w.Text, '}')
}

// member writes one member of a message if the message has it.
func (w *otlpWriter) member(msg []byte, m *otlp.Member, depth int) {
	var last otlp.Fields
	found, merged := 0, []byte(nil)
	f := otlp.FieldsOf(msg)
	for w.err == nil && f.Next() {
		if !f.Is(uint32(m.Number), m.Wire()) {
			continue
		}
		found++
		last = f
		switch {
		case m.Repeated && found == 1:
			w.OpenList(m.Name)
			fallthrough
		case m.Repeated:
			w.Text = jsonscan.Separate(w.Text)
			w.one(&f, m, depth)
		case m.Form == otlp.FormMessage || m.Form == otlp.FormAny:
			if found == 1 {
				merged = f.Data // capped, so that appending copies
			} else {
				merged = append(merged, f.Data...)
			}
		}
	}
	w.fail(f.Err())
	switch {
	case found == 0 || w.err != nil:
	case m.Repeated:
		w.CloseList()
	default:
		if merged != nil {
			last.Data = merged
		}
		w.Name(m.Name)
		w.one(&last, m, depth)
	}
}

// one writes a value by the rules of OTLP/JSON: ids in hex, enums as numbers, 64-bit
// integers as strings.
func (w *otlpWriter) one(f *otlp.Fields, m *otlp.Member, depth int) {
	switch m.Form {
	case otlp.FormMessage:
		w.append(f.Data, m.Shape, depth)
	case otlp.FormAny:
		w.value(f.Data, depth+1)
	case otlp.FormString:
		w.Text = jsonscan.AppendString(w.Text, otlp.Text(f.Data))
	case otlp.FormHex:
		w.Text = append(hex.AppendEncode(append(w.Text, '"'), f.Data), '"')
	case otlp.FormBase64:
		w.Text = append(base64.StdEncoding.AppendEncode(append(w.Text, '"'), f.Data), '"')
	case otlp.FormEnum:
		w.Text = strconv.AppendInt(w.Text, int64(int32(f.Num)), 10)
	case otlp.FormBool:
		w.Text = strconv.AppendBool(w.Text, f.Num != 0)
	case otlp.FormDouble:
		w.Text = jsonscan.AppendFloat(w.Text, math.Float64frombits(f.Num))
	case otlp.FormFixed32:
		w.Text = strconv.AppendUint(w.Text, uint64(uint32(f.Num)), 10)
	case otlp.FormFixed64:
		w.Text = append(strconv.AppendUint(append(w.Text, '"'), f.Num, 10), '"')
	case otlp.FormVarint:
		if m.Name == "intValue" {
			w.Text = append(strconv.AppendInt(append(w.Text, '"'), int64(f.Num), 10), '"')
		} else {
			w.Text = strconv.AppendUint(w.Text, uint64(uint32(f.Num)), 10)
		}
	}
}
