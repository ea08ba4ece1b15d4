package otlp

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// JSON decodes an ExportTraceServiceRequest in OTLP/JSON (OpenTelemetry protocol
// specification, "JSON Protobuf Encoding"): ids in hex of any case, enums as numbers or
// names, 64-bit integers as numbers or strings, names in camelCase or snake_case, nulls
// ignored. It drops unknown members and names them in the result. It converts the text
// to protobuf, which the segments keep; they do not keep body. The error says where the
// text is not OTLP.
func (m *Mapper) JSON(body []byte, at trace.Time) (Spans, error) {
	return m.Changed(body, true, at, nil)
}

// Changed is Proto or, if json is true, JSON. change, if not nil, gets the request in
// protobuf before it is decoded and returns the one to decode.
func (m *Mapper) Changed(body []byte, json bool, at trace.Time, change func([]byte) []byte) (Spans, error) {
	t := transcoder{budget: freeRescans + maxRescans*len(body)}
	if json {
		v, err := jsonscan.Parse(body)
		if err == nil {
			body, err = t.message(make([]byte, 0, len(body)/2), v, requestShape, 0)
		}
		if err != nil {
			return Spans{}, &trace.KindError{Kind: trace.KindInvalid, Message: "malformed OTLP request: " + err.Error()}
		}
	}
	if change != nil {
		body = change(body)
	}
	spans, err := m.Proto(body, at)
	if t.unknown > 0 && err == nil {
		spans.Unknown, spans.UnknownData, spans.HiddenSpans = t.first(), t.unknown, t.hidden
	}
	return spans, err
}

// jsonError tells what is wrong with a member, and its place.
type jsonError struct {
	path   []string // innermost first
	reason string
}

// Error returns path and reason.
func (e *jsonError) Error() string { return e.place() + ": " + e.reason }

// place writes the path from the outside in.
func (e *jsonError) place() string {
	var b strings.Builder
	for _, p := range slices.Backward(e.path) {
		if b.Len() > 0 && !strings.HasPrefix(p, "[") {
			b.WriteByte('.')
		}
		b.WriteString(cmp.Or(p, `""`)) // members may have no name
	}
	return b.String()
}

// within adds a step to the path of an error.
func within(err error, step string) error {
	if e, ok := errors.AsType[*jsonError](err); ok {
		e.path = append(e.path, step)
		return e
	}
	return &jsonError{path: []string{step}, reason: err.Error()}
}

// maxRescans bounds how often, on average, the transcoder scans the text of a request.
// Each level of nesting costs one scan: a real request takes 10 to 20, a hostile one
// could take 200. Small requests may take more.
const (
	maxRescans  = 32
	freeRescans = 1 << 20 // bytes
)

// transcoder converts JSON text to protobuf.
type transcoder struct {
	budget  int
	unknown int      // dropped members with content
	hidden  int      // spans in them
	path    []string // to the first of them, innermost first
	size    int      // bytes of the first
}

// note counts a dropped member.
func (t *transcoder) note(name []byte, v jsonscan.Value) {
	if saysNothing(v) {
		return
	}
	if t.unknown++; t.unknown == 1 {
		t.path, t.size = []string{fmt.Sprintf("%.100s", name)}, len(v)
	}
	t.hidden += t.spansIn(v, 0)
}

// within adds a step to the path of the first dropped member, if that was found since
// before.
func (t *transcoder) within(before int, step string) {
	if before == 0 && t.unknown > 0 {
		t.path = append(t.path, step)
	}
}

func (t *transcoder) first() string {
	path := &jsonError{path: t.path}
	return fmt.Sprintf("%s (%d bytes)", path.place(), t.size)
}

// saysNothing is true for null, "", [] and {}.
func saysNothing(v jsonscan.Value) bool {
	switch v.Kind() {
	case jsonscan.Null:
		return true
	case jsonscan.String:
		return len(v) == 2
	case jsonscan.Array:
		for range v.Elements() {
			return false
		}
		return true
	case jsonscan.Object:
		for range v.Members() {
			return false
		}
		return true
	}
	return false
}

// maxHidden bounds how deep below an unknown member spansIn looks.
const maxHidden = 12

// spansIn counts the objects with the ids of a span below an unknown member. It gives up
// if that takes too long.
func (t *transcoder) spansIn(v jsonscan.Value, depth int) (n int) {
	if kind := v.Kind(); kind != jsonscan.Object && kind != jsonscan.Array || depth > maxHidden || t.spend(v) != nil {
		return 0
	}
	if v.Kind() == jsonscan.Array {
		for e := range v.Elements() {
			n += t.spansIn(e, depth+1)
		}
		return n
	}
	ids := 0
	for name, e := range v.Members() {
		if e.Kind() == jsonscan.String {
			switch strings.ToLower(strings.ReplaceAll(string(name), "_", "")) {
			case "traceid":
				ids |= 1
			case "spanid":
				ids |= 2
			}
		}
		n += t.spansIn(e, depth+1)
	}
	if ids == 3 {
		return 1 // its links are not spans
	}
	return n
}

// spend pays for one scan of v.
func (t *transcoder) spend(v jsonscan.Value) error {
	if t.budget -= len(v); t.budget < 0 {
		return errors.New("nested too deeply for its size")
	}
	return nil
}

// message appends the protobuf form of a JSON object; depth counts the enclosing
// attribute values.
func (t *transcoder) message(b []byte, v jsonscan.Value, s Shape, depth int) ([]byte, error) {
	switch v.Kind() {
	case jsonscan.Object:
	case jsonscan.Null:
		return b, nil
	default:
		return nil, fmt.Errorf("want an object, not %s", shown(v))
	}
	if err := t.spend(v); err != nil {
		return nil, err
	}
	for name, value := range v.Members() {
		m := s.find(name)
		if m == nil {
			t.note(name, value)
		}
		if m == nil || value.Kind() == jsonscan.Null {
			continue
		}
		var err error
		before := t.unknown
		if b, err = t.member(b, m, value, depth); err != nil {
			return nil, within(err, m.Name)
		}
		t.within(before, m.Name)
	}
	return b, nil
}

// member appends a member, of a repeated one all elements.
func (t *transcoder) member(b []byte, m *Member, v jsonscan.Value, depth int) ([]byte, error) {
	if !m.Repeated {
		return t.one(b, m, v, depth)
	}
	if v.Kind() != jsonscan.Array {
		return nil, fmt.Errorf("want an array, not %s", shown(v))
	}
	if err := t.spend(v); err != nil {
		return nil, err
	}
	i := 0
	for e := range v.Elements() {
		var err error
		before := t.unknown
		if b, err = t.one(b, m, e, depth); err != nil {
			return nil, within(err, fmt.Sprintf("[%d]", i))
		}
		if before != t.unknown {
			t.within(before, fmt.Sprintf("[%d]", i))
		}
		i++
	}
	return b, nil
}

// one appends a single member or element.
func (t *transcoder) one(b []byte, m *Member, v jsonscan.Value, depth int) ([]byte, error) {
	switch m.Form {
	case FormMessage, FormAny:
		return t.nested(b, m, v, depth)
	case FormString:
		if v.Kind() != jsonscan.String {
			return nil, fmt.Errorf("want a string, not %s", shown(v))
		}
		return protowire.AppendString(protowire.AppendTag(b, m.Number, protowire.BytesType), v.Text()), nil
	case FormHex, FormBase64:
		raw, err := m.bytes(v)
		if err != nil {
			return nil, err
		}
		return protowire.AppendBytes(protowire.AppendTag(b, m.Number, protowire.BytesType), raw), nil
	case FormBool:
		if v.Kind() != jsonscan.Bool {
			return nil, fmt.Errorf("want true or false, not %s", shown(v))
		}
		return protowire.AppendVarint(protowire.AppendTag(b, m.Number, protowire.VarintType), protowire.EncodeBool(v.Bool())), nil
	case FormDouble:
		f, err := double(v)
		if err != nil {
			return nil, err
		}
		return protowire.AppendFixed64(protowire.AppendTag(b, m.Number, protowire.Fixed64Type), math.Float64bits(f)), nil
	}
	n, err := m.integer(v)
	if err != nil {
		return nil, err
	}
	switch m.Form {
	case FormFixed32:
		return protowire.AppendFixed32(protowire.AppendTag(b, m.Number, protowire.Fixed32Type), uint32(n)), nil
	case FormFixed64:
		return protowire.AppendFixed64(protowire.AppendTag(b, m.Number, protowire.Fixed64Type), n), nil
	}
	return protowire.AppendVarint(protowire.AppendTag(b, m.Number, protowire.VarintType), n), nil
}

// nested appends a message after its length.
func (t *transcoder) nested(b []byte, m *Member, v jsonscan.Value, depth int) ([]byte, error) {
	s := m.Shape
	if m.Form == FormAny {
		s = ValueShape
		if depth++; depth > MaxValueDepth {
			return nil, ErrDepth
		}
	}
	b = protowire.AppendTag(b, m.Number, protowire.BytesType)
	start := len(b)
	b, err := t.message(append(b, 0), v, s, depth)
	if err != nil {
		return nil, err
	}
	size := len(b) - start - 1
	if size < 1<<7 {
		b[start] = byte(size)
		return b, nil
	}
	var prefix [10]byte
	return slices.Replace(b, start, start+1, protowire.AppendVarint(prefix[:0], uint64(size))...), nil
}

// bytes reads ids and byte strings.
func (m *Member) bytes(v jsonscan.Value) ([]byte, error) {
	if v.Kind() != jsonscan.String {
		return nil, fmt.Errorf("want a string, not %s", shown(v))
	}
	s := v.Text()
	if m.Form == FormHex {
		raw, err := hex.DecodeString(s)
		if err != nil {
			return nil, fmt.Errorf("%.40q is not hex (OTLP/JSON writes ids in hex, not in base64)", s)
		}
		return raw, nil
	}
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	raw, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("the string is not base64")
	}
	return raw, nil
}

// integer reads an integer of the member's size, or the name of an enum value.
func (m *Member) integer(v jsonscan.Value) (uint64, error) {
	s := string(v)
	if v.Kind() == jsonscan.String {
		s = v.Text()
		if i := slices.Index(m.enum, strings.TrimPrefix(s, m.prefix)); i >= 0 {
			return uint64(i), nil
		}
	} else if v.Kind() != jsonscan.Number {
		return 0, fmt.Errorf("want an integer, not %s", shown(v))
	}
	bits := 32
	if m.Form == FormFixed64 || m.Name == "intValue" {
		bits = 64
	}
	if m.Form == FormEnum || m.Name == "intValue" {
		if n, err := strconv.ParseInt(s, 10, bits); err == nil {
			return uint64(n), nil
		}
	} else if n, err := strconv.ParseUint(s, 10, bits); err == nil {
		return n, nil
	}
	// 1.7e18 and 2.0 are integers too.
	if f, err := strconv.ParseFloat(s, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<63 && (f >= 0 || bits == 64 && m.Form == FormVarint) && (bits == 64 || f < 1<<32) {
		return uint64(int64(f)), nil
	}
	if m.Name == "intValue" {
		return 0, fmt.Errorf("%s is no integer of %d bits", shown(v), bits)
	}
	return 0, fmt.Errorf("%.40s is no integer of %d bits", v, bits)
}

// shown describes a value in an error. It does not quote strings: they may be secrets, and
// errors are shown and logged.
func shown(v jsonscan.Value) string {
	switch v.Kind() {
	case jsonscan.String:
		return "a string"
	case jsonscan.Object:
		return "an object"
	case jsonscan.Array:
		return "an array"
	}
	return fmt.Sprintf("%.20s", v)
}

func double(v jsonscan.Value) (float64, error) {
	s := string(v)
	if v.Kind() == jsonscan.String {
		s = v.Text()
	} else if v.Kind() != jsonscan.Number {
		return 0, fmt.Errorf("want a number, not %s", shown(v))
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, fmt.Errorf("%s is no number", shown(v))
	}
	return f, nil
}
