package pieces

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
)

// Span iterates over the fields of an opentelemetry.proto.trace.v1.Span message:
//
//	for s.Reset(message); s.Next(); {
//		… s.Field, message[s.Value:s.End]
//	}
//	if s.Whole() …
//
// Protobuf has several spellings of a tag and of a length. A Name or Attribute has the
// usual one, in as few bytes as possible, so that its parts are enough to write the same
// field; in another spelling the field is Other. Like Document, Span does not validate. It
// may be used again and allocates nothing.
type Span struct {
	// Field is TraceID, ID, ParentID, Name, Kind, StartTime, EndTime, Failed, Attribute
	// or Other.
	Field Field
	// Start, Value and End are the offsets of the field's tag, its content after tag and
	// length, and the next field.
	Start, Value, End int
	// Number is a Kind, StartTime or EndTime.
	Number uint64
	// Attribute is the current Attribute.
	Attribute SpanAttribute

	message []byte
	broken  bool // the message is malformed
}

// SpanAttribute is an attribute of a span with a value of a basic type.
type SpanAttribute struct {
	Key  []byte
	Type ValueType
	Text []byte // of a TextValue
	Bits uint64 // of the others: 0 or 1, the integer in two's complement, IEEE 754
}

// ValueType is the type of an attribute's value, as the tag that its field has in an
// opentelemetry.proto.common.v1.AnyValue.
type ValueType byte

// The basic types.
const (
	TextValue   ValueType = 1<<3 | otlp.Bytes
	BoolValue   ValueType = 2<<3 | otlp.Varint
	IntValue    ValueType = 3<<3 | otlp.Varint
	DoubleValue ValueType = 4<<3 | otlp.Fixed64
)

// Tags of the fields of a KeyValue, and that of attributes of a span.
const (
	tagKey       = 1<<3 | otlp.Bytes
	tagValue     = 2<<3 | otlp.Bytes
	tagAttribute = 9<<3 | otlp.Bytes
)

// spanFields are the fields of a span by their tags.
var spanFields = [128]Field{
	1<<3 | otlp.Bytes:   TraceID,
	2<<3 | otlp.Bytes:   ID,
	4<<3 | otlp.Bytes:   ParentID,
	5<<3 | otlp.Bytes:   Name,
	6<<3 | otlp.Varint:  Kind,
	7<<3 | otlp.Fixed64: StartTime,
	8<<3 | otlp.Fixed64: EndTime,
	tagAttribute:        Attribute,
	15<<3 | otlp.Bytes:  Failed,
}

// Reset begins with another span. Keys and texts share its memory.
func (s *Span) Reset(message []byte) { s.message, s.End, s.broken = message, 0, false }

// Whole says whether Next read the message to its end.
func (s *Span) Whole() bool { return !s.broken }

// Next moves to the next field. It returns false after the last one and where the message
// is malformed.
func (s *Span) Next() bool {
	b, i := s.message, s.End
	if i >= len(b) || s.broken {
		return false
	}
	tag := b[i]
	s.Field, s.Start, s.Value = Other, i, i+1
	usual := true
	if tag < 0x80 && tag&7 == otlp.Bytes && i+1 < len(b) && int(b[i+1]) < min(0x80, len(b)-i-1) {
		// Most fields; this is faster than FieldsOf.
		s.Value = i + 2
		s.End = s.Value + int(b[i+1])
	} else {
		f := otlp.FieldsOf(b[i:])
		if s.broken = !f.Next(); s.broken {
			return false
		}
		s.End = i + f.Pos()
		if tag >= 0x80 { // the first of several bytes: another field or an unusual spelling
			return true
		}
		s.Number = f.Num
		if tag&7 == otlp.Bytes {
			s.Value = s.End - len(f.Data)
			usual = s.Value == i+1+uvarintLen(uint64(len(f.Data)))
		}
	}
	data := b[s.Value:s.End]
	switch field := spanFields[tag]; field {
	case ID, ParentID:
		if len(data) == 8 {
			s.Field = field
		}
	case Name:
		if usual && isText(data) {
			s.Field = field
		}
	case Attribute:
		if usual && s.Attribute.split(data) {
			s.Field = field
		}
	case Failed:
		if isError(data) {
			s.Field = field
		}
	case Kind:
		if len(data) == 1 { // the kinds of OpenTelemetry are below 6
			s.Field = field
		}
	case StartTime, EndTime, TraceID:
		s.Field = field
	}
	return true
}

// isError says whether a Status message has the code of an error.
func isError(status []byte) bool {
	for f := otlp.FieldsOf(status); f.Next(); {
		if f.Is(3, otlp.Varint) {
			return f.Num == 2
		}
	}
	return false
}

// split reads a KeyValue message. It returns false for values of other types and for
// unusual spellings.
func (a *SpanAttribute) split(b []byte) bool {
	var value []byte
	if len(b) > 4 && len(b) < 0x80 && b[0] == tagKey { // all lengths are one byte
		n := int(b[1])
		if n+4 >= len(b) || b[2+n] != tagValue || int(b[3+n]) != len(b)-4-n {
			return false
		}
		a.Key, value = b[2:2+n], b[4+n:]
	} else {
		var ok bool
		if a.Key, b, ok = bytesField(b, tagKey); !ok {
			return false
		}
		if value, b, ok = bytesField(b, tagValue); !ok || len(b) > 0 || len(value) == 0 {
			return false
		}
	}
	if !isText(a.Key) {
		return false
	}
	a.Type = ValueType(value[0])
	switch content := value[1:]; a.Type {
	case TextValue:
		text, rest, ok := bytesField(value, byte(TextValue))
		a.Text = text
		return ok && len(rest) == 0 && isText(text)
	case IntValue, BoolValue:
		n, w := binary.Uvarint(content)
		a.Bits = n
		return w > 0 && w == len(content) && w == uvarintLen(n) && (a.Type == IntValue || n <= 1)
	case DoubleValue:
		if len(content) != 8 {
			return false
		}
		a.Bits = binary.LittleEndian.Uint64(content)
		return !math.IsNaN(math.Float64frombits(a.Bits)) // a NaN has many spellings
	}
	return false
}

// bytesField cuts off a length-delimited field that b begins with, if its length is
// written in as few bytes as possible.
func bytesField(b []byte, tag byte) (content, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	if n := int(b[1]); n < 0x80 {
		if n > len(b)-2 {
			return nil, nil, false
		}
		return b[2 : 2+n], b[2+n:], true
	}
	n, w := binary.Uvarint(b[1:])
	if w != uvarintLen(n) || n > uint64(len(b)-1-w) {
		return nil, nil, false
	}
	return b[1+w : 1+w+int(n)], b[1+w+int(n):], true
}

// Field returns Method, URL, Route, User or Status if the attribute is one of them, by
// the names and types of OpenTelemetry's semantic conventions, old and new, otherwise
// Other.
func (a *SpanAttribute) Field() Field {
	if len(a.Key) < len("user.id") || a.Key[0] != 'h' && a.Key[0] != 'u' && a.Key[0] != 'e' {
		return Other
	}
	field := Other
	switch string(a.Key) {
	case "http.request.method", "http.method":
		field = Method
	case "url.full", "http.url":
		field = URL
	case "http.route":
		field = Route
	case "user.id", "enduser.id":
		field = User
	case "http.response.status_code", "http.status_code":
		if a.Type == IntValue {
			return Status
		}
	}
	if a.Type != TextValue {
		return Other
	}
	return field
}

// AppendAttribute appends the field of a span that has this attribute, in the usual
// spelling. It reads text for a TextValue and bits for the others.
func AppendAttribute(to []byte, key string, as ValueType, text string, bits uint64) []byte {
	var space [16]byte
	value := append(space[:0], byte(as))
	switch as {
	case TextValue:
		value = binary.AppendUvarint(value, uint64(len(text)))
	case IntValue, BoolValue:
		value, text = binary.AppendUvarint(value, bits), ""
	case DoubleValue:
		value, text = binary.LittleEndian.AppendUint64(value, bits), ""
	}
	inner := len(value) + len(text)
	whole := 1 + uvarintLen(uint64(len(key))) + len(key) + 1 + uvarintLen(uint64(inner)) + inner
	to = binary.AppendUvarint(append(to, tagAttribute), uint64(whole))
	to = binary.AppendUvarint(append(to, tagKey), uint64(len(key)))
	to = append(to, key...)
	to = binary.AppendUvarint(append(to, tagValue), uint64(inner))
	return append(append(to, value...), text...)
}

// Service returns the attribute service.name of an opentelemetry.proto.resource.v1.Resource
// message, "" if it has none.
func Service(resource []byte) string {
	for f := otlp.FieldsOf(resource); f.Next(); {
		var a SpanAttribute
		if f.Is(1, otlp.Bytes) && a.split(f.Data) && a.Type == TextValue && string(a.Key) == "service.name" {
			return string(a.Text)
		}
	}
	return ""
}

// isText is utf8.Valid, faster for short ASCII, the most common text.
func isText(b []byte) bool {
	const high = 0x8080808080808080
	var bits uint64
	switch n := len(b); {
	case n > 32:
		return utf8.Valid(b)
	case n >= 8:
		for i := 0; i+8 < n; i += 8 {
			bits |= binary.LittleEndian.Uint64(b[i:])
		}
		bits |= binary.LittleEndian.Uint64(b[n-8:])
	default:
		for _, c := range b {
			bits |= uint64(c)
		}
	}
	return bits&high == 0 || utf8.Valid(b)
}

func uvarintLen(n uint64) int {
	w := 1
	for ; n >= 0x80; n >>= 7 {
		w++
	}
	return w
}
