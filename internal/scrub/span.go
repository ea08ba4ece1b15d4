package scrub

import (
	"math"
	"strconv"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"google.golang.org/protobuf/encoding/protowire"
)

// Request scrubs an ExportTraceServiceRequest in protobuf and returns it, in new memory
// if something changed. A malformed request comes back as it was from the malformed place
// on: its decoder refuses it.
func (p *Program) Request(body []byte) []byte {
	if p.Empty() {
		return body
	}
	w := p.walker()
	defer p.release(w)
	return w.request(body)
}

// Message scrubs an error that may quote received data. Nothing is counted.
func (p *Program) Message(text string) string {
	if p.Empty() {
		return text
	}
	w := p.walker()
	defer p.release(w)
	w.quiet = true
	out, res := w.text([]byte(text), 0)
	if res == same {
		return text
	}
	return string(out)
}

func (w *walker) request(body []byte) []byte {
	m := message{in: body, fields: otlp.FieldsOf(body)}
	for m.next() {
		if m.fields.Is(1, otlp.Bytes) {
			m.set(w.resourceSpans(m.fields.Data))
		} else {
			w.unknown(&m)
		}
	}
	return m.end()
}

// Span scrubs a span and the resource and scope messages that belong to it.
func (p *Program) Span(span, resource, scope []byte) (newSpan, newResource, newScope []byte) {
	if p.Empty() {
		return span, resource, scope
	}
	w := p.walker()
	defer p.release(w)
	w.rules = p.ofService(w.serviceOf(resource))
	return w.span(span), w.resource(resource), w.scope(scope)
}

// message copies a protobuf message, with changed fields.
type message struct {
	in      []byte
	fields  otlp.Fields
	start   int    // of the present field
	out     []byte // nil while nothing changed
	changed bool
}

// next moves to the next field. The present one is copied unless it was set or cut.
func (m *message) next() bool {
	m.start = m.fields.Pos()
	return m.fields.Next()
}

// set replaces the content of the present length-delimited field, if it differs.
func (m *message) set(content []byte) {
	data := m.fields.Data
	if len(content) == len(data) && (len(data) == 0 || &content[0] == &data[0]) {
		if m.changed {
			m.out = append(m.out, m.in[m.start:m.fields.Pos()]...)
		}
		return
	}
	m.begin()
	m.out = protowire.AppendVarint(m.out, uint64(m.fields.Tag))
	m.out = protowire.AppendBytes(m.out, content)
}

// keep copies the present field.
func (m *message) keep() {
	if m.changed {
		m.out = append(m.out, m.in[m.start:m.fields.Pos()]...)
	}
}

// cut leaves out the present field.
func (m *message) cut() { m.begin() }

// begin copies everything before the present field.
func (m *message) begin() {
	if !m.changed {
		m.changed = true
		m.out = append(make([]byte, 0, len(m.in)+64), m.in[:m.start]...)
	}
}

// end returns the message.
func (m *message) end() []byte {
	if !m.changed {
		return m.in
	}
	if m.fields.Err() != nil {
		return append(m.out, m.in[m.start:]...)
	}
	return m.out
}

// unknown handles a field that no OTLP message has. Its structure is unknown, so it is
// left out as a whole if a text in it must not be stored.
func (w *walker) unknown(m *message) {
	if m.fields.Tag&7 == otlp.Bytes {
		if _, res := w.text(m.fields.Data, 0); res != same {
			m.cut()
			return
		}
	}
	m.keep()
}

// legacyScopeSpans is the field of scope spans before opentelemetry-proto 0.15 (package
// otlp).
const legacyScopeSpans = 1000

func (w *walker) resourceSpans(b []byte) []byte {
	outer := w.rules
	if w.program.limited != 0 {
		var service []byte
		for f := otlp.FieldsOf(b); f.Next(); {
			if f.Is(1, otlp.Bytes) {
				if name := w.serviceOf(f.Data); name != nil {
					service = name
				}
			}
		}
		w.rules = w.program.ofService(service)
	}
	m := message{in: b, fields: otlp.FieldsOf(b)}
	for m.next() {
		switch {
		case m.fields.Is(1, otlp.Bytes):
			m.set(w.resource(m.fields.Data))
		case m.fields.Is(2, otlp.Bytes), m.fields.Is(legacyScopeSpans, otlp.Bytes):
			m.set(w.scopeSpans(m.fields.Data))
		case m.fields.Is(3, otlp.Bytes):
			m.set(w.line(m.fields.Data, "schema_url"))
		default:
			w.unknown(&m)
		}
	}
	w.rules = outer
	return m.end()
}

// serviceOf returns the service.name of a resource; nil if it has none.
func (w *walker) serviceOf(resource []byte) (name []byte) {
	if w.program.limited == 0 {
		return nil
	}
	for f := otlp.FieldsOf(resource); f.Next(); {
		if f.Is(1, otlp.Bytes) {
			key, value := keyAndText(f.Data)
			if string(key) == "service.name" {
				name = value
			}
		}
	}
	return name
}

// keyAndText reads a KeyValue; value is nil if it is no string.
func keyAndText(b []byte) (key, value []byte) {
	for f := otlp.FieldsOf(b); f.Next(); {
		switch {
		case f.Is(1, otlp.Bytes):
			key = f.Data
		case f.Is(2, otlp.Bytes):
			for v := otlp.FieldsOf(f.Data); v.Next(); {
				if v.Is(1, otlp.Bytes) {
					value = v.Data
				}
			}
		}
	}
	return key, value
}

func (w *walker) resource(b []byte) []byte {
	m := message{in: b, fields: otlp.FieldsOf(b)}
	for m.next() {
		switch {
		case m.fields.Is(1, otlp.Bytes):
			w.attribute(&m, "resource")
		default:
			w.unknown(&m)
		}
	}
	return m.end()
}

func (w *walker) scopeSpans(b []byte) []byte {
	m := message{in: b, fields: otlp.FieldsOf(b)}
	for m.next() {
		switch {
		case m.fields.Is(1, otlp.Bytes):
			m.set(w.scope(m.fields.Data))
		case m.fields.Is(2, otlp.Bytes):
			m.set(w.span(m.fields.Data))
		case m.fields.Is(3, otlp.Bytes):
			m.set(w.line(m.fields.Data, "schema_url"))
		default:
			w.unknown(&m)
		}
	}
	return m.end()
}

func (w *walker) scope(b []byte) []byte {
	m := message{in: b, fields: otlp.FieldsOf(b)}
	for m.next() {
		switch {
		case m.fields.Is(3, otlp.Bytes):
			w.attribute(&m, "scope")
		case m.fields.Is(1, otlp.Bytes):
			m.set(w.line(m.fields.Data, "scope.name"))
		default:
			w.unknown(&m)
		}
	}
	return m.end()
}

// line scrubs a text that the message needs: it is never dropped.
func (w *walker) line(text []byte, path string) []byte {
	var sel uint64
	n := len(w.path)
	if w.program.pathed != 0 || w.see != nil {
		w.path = append(w.path[:0], path...)
		sel = w.program.byPath(w.path)
	}
	out, res := w.text(text, sel)
	w.outOf(n)
	switch {
	case res == dropped, res == changed && len(out) == 0:
		return []byte(maskedPart)
	}
	return out
}

func (w *walker) span(b []byte) []byte {
	if w.rules&^w.program.defaults == 0 && w.see == nil && w.cleanSpan(b) {
		return b
	}
	m := message{in: b, fields: otlp.FieldsOf(b)}
	for m.next() {
		f := &m.fields
		switch {
		case f.Is(9, otlp.Bytes):
			w.attribute(&m, "attributes")
		case f.Is(1, otlp.Bytes), f.Is(2, otlp.Bytes), f.Is(4, otlp.Bytes):
			m.keep()
		case f.Is(5, otlp.Bytes):
			m.set(w.line(f.Data, "name"))
		case f.Is(3, otlp.Bytes):
			m.set(w.line(f.Data, "trace_state"))
		case f.Is(11, otlp.Bytes):
			m.set(w.part(f.Data, &eventShape))
		case f.Is(13, otlp.Bytes):
			m.set(w.part(f.Data, &linkShape))
		case f.Is(15, otlp.Bytes):
			m.set(w.part(f.Data, &statusShape))
		default:
			w.unknown(&m)
		}
	}
	return m.end()
}

// shape describes an event, a link or a status.
type shape struct {
	name       string
	text, list uint32 // the fields with a text and with attributes; 0 for none
	path       string // of the text
	ids        bool   // fields 1 and 2 are ids
}

var (
	eventShape  = shape{"events", 2, 3, "events.name", false}
	linkShape   = shape{"links", 3, 4, "links.trace_state", true}
	statusShape = shape{"status", 2, 0, "status.message", false}
)

// part scrubs an event, a link or a status.
func (w *walker) part(b []byte, s *shape) []byte {
	m := message{in: b, fields: otlp.FieldsOf(b)}
	for m.next() {
		f := &m.fields
		switch {
		case s.list != 0 && f.Is(s.list, otlp.Bytes):
			w.attribute(&m, s.name)
		case f.Is(s.text, otlp.Bytes):
			m.set(w.line(f.Data, s.path))
		case s.ids && (f.Is(1, otlp.Bytes) || f.Is(2, otlp.Bytes)):
			m.keep()
		default:
			w.unknown(&m)
		}
	}
	return m.end()
}

// attribute scrubs a KeyValue, the present field of m.
func (w *walker) attribute(m *message, prefix string) {
	if w.rules&^w.program.defaults == 0 && w.see == nil && w.cleanPair(m.fields.Data) {
		m.keep()
		return
	}
	if w.program.pathed == 0 && w.see == nil {
		prefix = ""
	}
	w.path = append(w.path[:0], prefix...)
	out, drop := w.keyValue(m.fields.Data, 0, 0)
	w.path = w.path[:0]
	if drop {
		m.cut()
		return
	}
	m.set(out)
}

// keyValue scrubs a KeyValue.
func (w *walker) keyValue(b []byte, sel uint64, depth int) (out []byte, drop bool) {
	if key, value, ok := small(b); ok {
		n := w.into(key)
		text, res := w.text(value, w.at(sel, key))
		w.outOf(n)
		switch res {
		case same:
			return b, false
		case dropped:
			return nil, true
		}
		out = append(make([]byte, 0, len(b)+len(text)+4), b[:2+len(key)]...)
		return protowire.AppendBytes(protowire.AppendTag(out, 2, protowire.BytesType), textValue(text)), false
	}
	var key []byte
	for f := otlp.FieldsOf(b); f.Next(); {
		if f.Is(1, otlp.Bytes) {
			key = f.Data
		}
	}
	n := w.into(key)
	defer w.outOf(n)
	sel = w.at(sel, key)
	m := message{in: b, fields: otlp.FieldsOf(b)}
	for m.next() {
		switch {
		case m.fields.Is(2, otlp.Bytes):
			value, drop := w.anyValue(m.fields.Data, sel, depth)
			if drop {
				return nil, true
			}
			m.set(value)
		case m.fields.Is(1, otlp.Bytes):
			m.keep()
		default:
			w.unknown(&m)
		}
	}
	return m.end(), false
}

// small reads the most common form of a KeyValue: a name, then a string, with lengths of
// one byte. It exists for speed.
func small(b []byte) (key, value []byte, ok bool) {
	if len(b) < 2 || b[0] != 1<<3|otlp.Bytes || b[1] >= 0x80 {
		return nil, nil, false
	}
	end := 2 + int(b[1])
	if len(b) < end+4 || b[end] != 2<<3|otlp.Bytes || int(b[end+1]) != len(b)-end-2 || b[end+1] >= 0x80 {
		return nil, nil, false
	}
	v := b[end+2:]
	if v[0] != 1<<3|otlp.Bytes || int(v[1]) != len(v)-2 {
		return nil, nil, false
	}
	return b[2:end], v[2:], true
}

// anyValue scrubs an AnyValue; sel are the rules that select it by its place.
func (w *walker) anyValue(b []byte, sel uint64, depth int) (out []byte, drop bool) {
	if depth > otlp.MaxValueDepth {
		return b, false // the decoder refuses it
	}
	if whole := w.wholeOf(sel); whole >= 0 && w.container(b) {
		// With other actions, and for rules that only count, each value in it counts.
		r := &w.program.rules[whole]
		switch {
		case r.DryRun:
		case r.Action == Drop:
			w.note(whole, b, nil)
			return nil, true
		case r.Action == Mask:
			w.note(whole, b, nil)
			return textValue(r.replace(w.program, nil, nil, true)), false
		}
	}
	m := message{in: b, fields: otlp.FieldsOf(b)}
	for m.next() {
		f := &m.fields
		switch {
		case f.Is(1, otlp.Bytes), f.Is(7, otlp.Bytes):
			text, res := w.text(f.Data, sel)
			if res == dropped {
				return nil, true
			}
			m.set(text)
		case f.Is(2, otlp.Varint), f.Is(3, otlp.Varint), f.Is(4, otlp.Fixed64):
			text, res := w.number(f, sel)
			if res == dropped {
				return nil, true
			}
			if res == changed {
				m.begin()
				m.out = append(m.out, textValue(text)...)
				continue
			}
			m.keep()
		case f.Is(5, otlp.Bytes), f.Is(6, otlp.Bytes):
			m.set(w.list(f.Data, sel, depth, f.Is(6, otlp.Bytes)))
		default:
			w.unknown(&m)
		}
	}
	return m.end(), false
}

// container tells whether an AnyValue is an array or a map.
func (w *walker) container(b []byte) bool {
	for f := otlp.FieldsOf(b); f.Next(); {
		if (f.Is(5, otlp.Bytes) || f.Is(6, otlp.Bytes)) && len(f.Data) > 0 {
			return true
		}
	}
	return false
}

// wholeOf returns the first rule of a set that changes whole values; -1 if there is none.
func (w *walker) wholeOf(sel uint64) int {
	for i := range w.program.rules {
		if (sel&w.rules)>>i&1 == 1 && w.program.rules[i].whole {
			if w.program.rules[i].Action == Keep {
				return -1
			}
			return i
		}
	}
	return -1
}

// textValue makes an AnyValue with a string.
func textValue(text []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), text)
}

// number applies rules to a bool or a number.
func (w *walker) number(f *otlp.Fields, sel uint64) ([]byte, result) {
	if (sel|w.program.everywhere)&w.rules&^w.program.quick == 0 {
		return nil, same
	}
	var buffer [32]byte
	var text []byte
	kind := numberValue
	switch {
	case f.Is(2, otlp.Varint):
		kind, text = wordValue, strconv.AppendBool(buffer[:0], f.Num != 0)
	case f.Is(3, otlp.Varint):
		text = strconv.AppendInt(buffer[:0], int64(f.Num), 10)
	default:
		text = strconv.AppendFloat(buffer[:0], math.Float64frombits(f.Num), 'f', -1, 64)
	}
	return w.scalar(text, sel, kind)
}

// list scrubs an ArrayValue or a KeyValueList.
func (w *walker) list(b []byte, sel uint64, depth int, pairs bool) []byte {
	m := message{in: b, fields: otlp.FieldsOf(b)}
	for m.next() {
		if !m.fields.Is(1, otlp.Bytes) {
			w.unknown(&m)
			continue
		}
		scrub := w.anyValue
		if pairs {
			scrub = w.keyValue
		}
		out, drop := scrub(m.fields.Data, sel, depth+1)
		if drop {
			m.cut()
			continue
		}
		m.set(out)
	}
	return m.end()
}
