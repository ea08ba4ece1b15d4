package block

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// Tags of fields of opentelemetry.proto.trace.v1.Span.
const (
	tagTraceID   = 1<<3 | 2
	tagSpanID    = 2<<3 | 2
	tagParent    = 4<<3 | 2
	tagName      = 5<<3 | 2
	tagKind      = 6 << 3
	tagStart     = 7<<3 | 1
	tagEnd       = 8<<3 | 1
	tagAttribute = 9<<3 | 2
	tagStatus    = 15<<3 | 2
)

// Tags of a value, opentelemetry.proto.common.v1.AnyValue.
const (
	valueText   = 1<<3 | 2
	valueBool   = 2 << 3
	valueInt    = 3 << 3
	valueDouble = 4<<3 | 1
)

// asideFrom is from which length on a field that has no column leaves the template.
const asideFrom = 32

// spanColumns are the attributes that have a column, as OpenTelemetry's
// semantic conventions for HTTP name them, old and new.
func spanColumn(key []byte) (byte, bool) {
	if len(key) < 7 || key[0] != 'h' && key[0] != 'u' && key[0] != 'e' {
		return 0, false
	}
	switch string(key) {
	case "http.request.method", "http.method":
		return colMethod, true
	case "url.full", "http.url":
		return colURL, true
	case "http.route":
		return colRoute, true
	case "user.id", "enduser.id":
		return colUser, true
	case "http.response.status_code", "http.status_code":
		return colStatus, true
	}
	return 0, false
}

// span takes a span apart. Only what is written the usual way (each length in as
// few bytes as possible, each field once) leaves the template, so that a joiner
// makes the same bytes.
func (s *splitter) span() bool {
	r, b := s.row, s.from
	var end int64
	failed, hasStart, hasEnd := false, false, false
	for i := 0; i < len(b); {
		tag := b[i]
		size, value, ok := fieldOf(b[i:])
		if !ok {
			return false
		}
		from, to := i+value, i+size
		field := b[from:to]
		switch {
		case tag == tagTraceID && string(field) == string(r.TraceID[:]):
			s.hole(from, to, opTraceRaw)
		case tag == tagSpanID && len(field) == 8 && !s.hasID:
			s.hasID = true
			copy(r.SpanID[:], field)
			s.hole(from, to, opSpanRaw)
		case tag == tagParent && len(field) == 8 && r.ParentID == nil:
			r.ParentID = field
			s.hole(from, to, opParentRaw)
		case tag == tagName && usual(field, value) && isText(field) && s.put(colName, field):
			s.hole(i+1, to, opMessageText, colName)
		case tag == tagKind && len(field) == 1:
			r.Kind = int32(field[0])
		case tag == tagStart && !hasStart:
			hasStart = true
			r.Start = int64(binary.LittleEndian.Uint64(field))
			s.hole(from, to, opStartFixed)
		case tag == tagEnd && !hasEnd:
			hasEnd = true
			end = int64(binary.LittleEndian.Uint64(field))
			s.hole(from, to, opEndFixed)
		case tag == tagAttribute && usual(field, value) && s.attribute(i, to, field):
		case tag == tagStatus && statusIsError(field):
			failed = true
			if len(field) >= asideFrom {
				s.aside(i, to, tag%kinds)
			}
		case size >= asideFrom:
			s.aside(i, to, tag%kinds)
		}
		i = to
	}
	r.Duration = end - r.Start
	s.finish()
	r.Throttle = r.Status == 429
	r.Error = r.Status >= 400 && r.Status < 500 && !r.Throttle
	r.Fault = r.Status >= 500 && r.Status < 600 || failed && !r.Error && !r.Throttle
	return true
}

// fieldOf is the size of the protobuf field that b begins with, and where its
// value begins. Only fields up to 15 are known: their tag is one byte.
func fieldOf(b []byte) (size, value int, ok bool) {
	if len(b) == 0 {
		return 0, 0, false
	}
	tag := 1
	if b[0] >= 0x80 {
		if _, tag = binary.Uvarint(b); tag <= 0 {
			return 0, 0, false
		}
	}
	switch b[0] & 7 {
	case 0:
		_, w := binary.Uvarint(b[tag:])
		return tag + w, tag, w > 0
	case 1:
		return tag + 8, tag, len(b) >= tag+8
	case 2:
		if len(b) > tag && b[tag] < 0x80 {
			size = tag + 1 + int(b[tag])
			return size, tag + 1, size <= len(b)
		}
		n, w := binary.Uvarint(b[tag:])
		if w <= 0 || n > uint64(len(b)-tag-w) {
			return 0, 0, false
		}
		return tag + w + int(n), tag + w, true
	case 5:
		return tag + 4, tag, len(b) >= tag+4
	}
	return 0, 0, false
}

// usual says whether the length of a field, which begins at a place with a tag of
// one byte, is written in as few bytes as possible.
func usual(field []byte, at int) bool { return at == 1+uvarintLen(len(field)) }

func statusIsError(b []byte) bool {
	for len(b) > 0 {
		size, value, ok := fieldOf(b)
		if !ok {
			return false
		}
		if b[0] == 3<<3 {
			return b[value] == 2
		}
		b = b[size:]
	}
	return false
}

// keyValue is an attribute's key, and its value with the tag that says of what
// type it is.
func keyValue(b []byte) (key, value []byte, ok bool) {
	if len(b) > 4 && len(b) < 0x80 && b[0] == 1<<3|2 { // all lengths are one byte
		if n := int(b[1]); n+4 < len(b) && b[2+n] == 2<<3|2 && int(b[3+n]) == len(b)-4-n {
			return b[2 : 2+n], b[4+n:], true
		}
		return nil, nil, false
	}
	size, at, ok := fieldOf(b)
	if !ok || b[0] != 1<<3|2 || size == len(b) || b[size] != 2<<3|2 || !usual(b[at:size], at) {
		return nil, nil, false
	}
	key, b = b[at:size], b[size:]
	if size, at, ok = fieldOf(b); !ok || size != len(b) || size == at || !usual(b[at:], at) {
		return nil, nil, false
	}
	return key, b[at:], true
}

// attribute takes an attribute apart whose field is from[start:end].
func (s *splitter) attribute(start, end int, b []byte) bool {
	key, b, ok := keyValue(b)
	if !ok {
		return false
	}
	kind := b[0]
	size, value, ok := fieldOf(b)
	if !ok || size != len(b) || !isText(key) {
		return false
	}
	text := b[value:]
	switch kind {
	case valueText:
		if !usual(text, value) || !isText(text) {
			return false
		}
	case valueInt:
		n, w := binary.Uvarint(text)
		if w != uvarintLenOf(n) {
			return false
		}
		text = s.made(strconv.AppendInt(s.space, int64(n), 10))
	case valueBool:
		if len(text) > 1 || text[0] > 1 {
			return false
		}
		text = s.made(strconv.AppendBool(s.space, text[0] == 1))
	case valueDouble:
		f := math.Float64frombits(binary.LittleEndian.Uint64(text))
		if math.IsNaN(f) { // there are many
			return false
		}
		text = s.made(strconv.AppendFloat(s.space, f, 'g', -1, 64))
	default:
		return false
	}
	if c, ok := spanColumn(key); ok && (c == colStatus) == (kind == valueInt) && (kind == valueInt || kind == valueText) && s.put(c, text) {
		s.hole(start, end, opSpanColumn, kind, c)
		s.template = binary.AppendUvarint(s.template, uint64(len(key)))
		s.template = append(s.template, key...)
		return true
	}
	s.hole(start, end, opSpanPair, kind)
	s.pairs = append(s.pairs, pair{stringOf(key), stringOf(text)})
	return true
}

// attribute adds the field of an attribute of a span.
func (j *joiner) attribute(kind byte, key, text string) {
	var space [16]byte
	value := append(space[:0], kind)
	switch kind {
	case valueText:
		value = binary.AppendUvarint(value, uint64(len(text)))
	case valueInt:
		n, _ := strconv.ParseInt(text, 10, 64)
		value, text = binary.AppendUvarint(value, uint64(n)), ""
	case valueBool:
		on := byte(0)
		if text == "true" {
			on = 1
		}
		value, text = append(value, on), ""
	case valueDouble:
		f, _ := strconv.ParseFloat(text, 64)
		value, text = binary.LittleEndian.AppendUint64(value, math.Float64bits(f)), ""
	}
	inner := len(value) + len(text)
	whole := 1 + uvarintLen(len(key)) + len(key) + 1 + uvarintLen(inner) + inner
	j.out = binary.AppendUvarint(append(j.out, tagAttribute), uint64(whole))
	j.out = binary.AppendUvarint(append(j.out, 1<<3|2), uint64(len(key)))
	j.out = append(j.out, key...)
	j.out = binary.AppendUvarint(append(j.out, 2<<3|2), uint64(inner))
	j.out = append(append(j.out, value...), text...)
}

// isText is utf8.Valid, faster for what is short and ASCII, as most is.
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

func uvarintLen(n int) int { return uvarintLenOf(uint64(n)) }

func uvarintLenOf(n uint64) int {
	w := 1
	for ; n >= 0x80; n >>= 7 {
		w++
	}
	return w
}

// serviceOf is the attribute service.name of a protobuf resource.
func serviceOf(resource []byte) string {
	for b := resource; len(b) > 0; {
		size, value, ok := fieldOf(b)
		if !ok {
			return ""
		}
		if name, ok := bytes.CutPrefix(b[value:size], []byte("\x0a\x0cservice.name\x12")); ok && b[0] == 1<<3|2 {
			if n, at, ok := fieldOf(append([]byte{2<<3 | 2}, name...)); ok {
				name = name[at-1 : n-1]
			}
			if n, at, ok := fieldOf(name); ok && n == len(name) && name[0] == valueText && isText(name[at:]) {
				return string(name[at:])
			}
		}
		b = b[size:]
	}
	return ""
}
