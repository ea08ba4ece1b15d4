package decode

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// OTLPText is a span that was received as OTLP, with its resource and scope, as
// one OTLP/JSON TracesData message without blanks: what /v1/traces takes. All
// that was received is in it but fields that OTLP does not know. An error says
// that Segment.Raw is no span.
func OTLPText(seg *trace.Segment) ([]byte, error) {
	scope := seg.Scope
	if scope == nil {
		scope = new(trace.OTLPScope)
	}
	w := openTracesData()
	w.message("resource", scope.Resource, resourceShape)
	w.list("scopeSpans")
	w.element()
	w.message("scope", scope.Scope, scopeShape)
	w.list("spans")
	w.b = separate(w.b)
	w.append(seg.Raw, spanShape, 0)
	w.b = append(w.b, ']')
	w.some("schemaUrl", scope.ScopeSchema)
	w.b = append(w.b, '}', ']')
	w.some("schemaUrl", scope.ResourceSchema)
	w.b = append(w.b, '}', ']', '}')
	if w.err != nil {
		return nil, fmt.Errorf("show span %s: %w", seg.ID, w.err)
	}
	return w.b, nil
}

// otlpWriter writes OTLP/JSON.
type otlpWriter struct {
	jsonWriter
	err error
}

// openTracesData begins a message with one resource.
func openTracesData() *otlpWriter {
	return &otlpWriter{jsonWriter: jsonWriter{[]byte(`{"resourceSpans":[{`)}}
}

// list begins an array.
func (w *otlpWriter) list(name string) {
	w.name(name)
	w.b = append(w.b, '[')
}

// element begins an object in an array.
func (w *otlpWriter) element() { w.b = append(separate(w.b), '{') }

// message writes a protobuf message as a member.
func (w *otlpWriter) message(name string, msg []byte, s shape) {
	w.name(name)
	w.append(msg, s, 0)
}

// append writes a protobuf message as an object with the members of its shape;
// depth counts the attribute values around it. What comes twice and is not
// repeated counts as protobuf prescribes: messages are merged, of others the last
// one counts.
func (w *otlpWriter) append(msg []byte, s shape, depth int) {
	if depth > maxValueDepth {
		w.err = errDepth
	}
	w.b = append(w.b, '{')
	for i := range s {
		w.member(msg, &s[i], depth)
	}
	w.b = append(w.b, '}')
}

// value writes an AnyValue, of which the last member counts.
func (w *otlpWriter) value(msg []byte, depth int) {
	if depth > maxValueDepth {
		w.err = errDepth
		return
	}
	var last *member
	var f wireField
	for b := msg; len(b) > 0 && w.err == nil; {
		if b, w.err = f.next(b); w.err == nil {
			for i := range anyShape {
				if m := &anyShape[i]; f.is(int32(m.num), m.wire()) {
					last = m
				}
			}
		}
	}
	w.b = append(w.b, '{')
	if last != nil {
		w.member(msg, last, depth)
	}
	w.b = append(w.b, '}')
}

// wire is the wire type of a member.
func (m *member) wire() uint8 {
	switch m.form {
	case formEnum, formBool, formVarint:
		return wireVarint
	case formFixed32:
		return wireFixed32
	case formFixed64, formDouble:
		return wireFixed64
	}
	return wireBytes
}

// member writes one member of a message if it is there.
func (w *otlpWriter) member(msg []byte, m *member, depth int) {
	var last wireField
	found, merged := 0, []byte(nil)
	var f wireField
	for b := msg; len(b) > 0 && w.err == nil; {
		if b, w.err = f.next(b); w.err != nil || !f.is(int32(m.num), m.wire()) {
			continue
		}
		found++
		last = f
		switch {
		case m.repeated && found == 1:
			w.list(m.name)
			fallthrough
		case m.repeated:
			w.b = separate(w.b)
			w.one(&f, m, depth)
		case m.form == formMessage || m.form == formAny:
			if found == 1 {
				merged = f.data // capped, so that appending copies
			} else {
				merged = append(merged, f.data...)
			}
		}
	}
	switch {
	case found == 0 || w.err != nil:
	case m.repeated:
		w.b = append(w.b, ']')
	default:
		if merged != nil {
			last.data = merged
		}
		w.name(m.name)
		w.one(&last, m, depth)
	}
}

// one writes a value by the rules of OTLP/JSON: ids in hex, enums as numbers,
// integers of 64 bits as strings.
func (w *otlpWriter) one(f *wireField, m *member, depth int) {
	switch m.form {
	case formMessage:
		w.append(f.data, m.shape, depth)
	case formAny:
		w.value(f.data, depth+1)
	case formString:
		w.b = jsonscan.AppendString(w.b, text(f.data))
	case formHex:
		w.b = append(hex.AppendEncode(append(w.b, '"'), f.data), '"')
	case formBase64:
		w.b = append(base64.StdEncoding.AppendEncode(append(w.b, '"'), f.data), '"')
	case formEnum:
		w.b = strconv.AppendInt(w.b, int64(int32(f.num64)), 10)
	case formBool:
		w.b = strconv.AppendBool(w.b, f.num64 != 0)
	case formDouble:
		w.b = appendFloat(w.b, math.Float64frombits(f.num64))
	case formFixed32:
		w.b = strconv.AppendUint(w.b, uint64(uint32(f.num64)), 10)
	case formFixed64:
		w.b = append(strconv.AppendUint(append(w.b, '"'), f.num64, 10), '"')
	case formVarint:
		if m.name == "intValue" {
			w.b = append(strconv.AppendInt(append(w.b, '"'), int64(f.num64), 10), '"')
		} else {
			w.b = strconv.AppendUint(w.b, uint64(uint32(f.num64)), 10)
		}
	}
}
