package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxValueDepth is how deep attribute values (arrays and maps in each other)
// may nest. Real values nest two or three deep; the limit keeps recursion small.
const maxValueDepth = 64

// The wire types of protobuf that the messages of OTLP use.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireGroup   = 3
	wireFixed32 = 5
)

var (
	errTruncated = errors.New("cut short")
	errTag       = errors.New("malformed field tag")
	errDepth     = fmt.Errorf("attribute value nested deeper than %d", maxValueDepth)
)

// wireField is one field of a protobuf message. A field number with a wire type
// that its message does not expect counts as unknown, as in protobuf itself.
type wireField struct {
	num   int32
	typ   uint8
	num64 uint64 // value of varint, fixed64 and fixed32 fields
	data  []byte // content of length-delimited fields
}

// is says whether the field has this number and wire type.
func (f *wireField) is(num int32, typ uint8) bool { return f.num == num && f.typ == typ }

// uvarint reads a varint; n is 0 when b is cut short or the varint is too long.
func uvarint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	v, n = binary.Uvarint(b)
	return v, max(n, 0)
}

// next reads the first field of b, which is not empty, and returns what follows.
func (f *wireField) next(b []byte) ([]byte, error) {
	tag, n := uvarint(b)
	if n == 0 {
		return nil, errTruncated
	}
	if tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		return nil, errTag
	}
	f.num, f.typ = int32(tag>>3), uint8(tag&7)
	b = b[n:]
	switch f.typ {
	case wireBytes:
		size, n := uvarint(b)
		if n == 0 || size > uint64(len(b)-n) {
			return nil, errTruncated
		}
		end := n + int(size)
		f.data = b[n:end:end]
		return b[end:], nil
	case wireVarint:
		if f.num64, n = uvarint(b); n == 0 {
			return nil, errTruncated
		}
		return b[n:], nil
	case wireFixed64:
		if len(b) < 8 {
			return nil, errTruncated
		}
		f.num64 = binary.LittleEndian.Uint64(b)
		return b[8:], nil
	case wireFixed32:
		if len(b) < 4 {
			return nil, errTruncated
		}
		f.num64 = uint64(binary.LittleEndian.Uint32(b))
		return b[4:], nil
	}
	// Groups (type 3): no message of OTLP has one, but an unknown field may be one.
	n = protowire.ConsumeFieldValue(protowire.Number(f.num), protowire.Type(f.typ), b)
	if n < 0 {
		return nil, errTag
	}
	return b[n:], nil
}

// valueKind is the type of an attribute's value
// (opentelemetry.proto.common.v1.AnyValue).
type valueKind uint8

const (
	emptyValue valueKind = iota
	stringValue
	boolValue
	intValue
	doubleValue
	arrayValue
	mapValue
	bytesValue
)

// anyValue is one attribute value. It is a view: data is part of the message.
type anyValue struct {
	kind valueKind
	num  uint64 // bool, int and double
	data []byte // string and bytes: the content; array and map: the message
}

func (v *anyValue) isScalar() bool { return v.kind >= stringValue && v.kind <= doubleValue }

// str is the string, "" for other types.
func (v *anyValue) str() string {
	if v == nil || v.kind != stringValue {
		return ""
	}
	return text(v.data)
}

// int is the integer, 0 for other types.
func (v *anyValue) int() int64 {
	if v == nil || v.kind != intValue {
		return 0
	}
	return int64(v.num)
}

func (v *anyValue) double() float64 { return math.Float64frombits(v.num) }

// text makes a string of bytes that stay as they are, without copying. Bytes
// that are no UTF-8 become U+FFFD, one each; the original stays in Segment.Raw.
func text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if utf8.Valid(b) {
		return unsafe.String(unsafe.SliceData(b), len(b))
	}
	return string([]rune(string(b)))
}

// view makes a string of bytes without copying or checking them.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// attr is one attribute of a span, event, link, scope or resource. It is a view.
type attr struct {
	data  []byte // the name
	key   key
	value anyValue
}

func (a *attr) name() string { return text(a.data) }

// parseAttr reads an opentelemetry.proto.common.v1.KeyValue into a, which is
// empty. Content that comes twice is merged as protobuf prescribes: the last one
// counts.
func parseAttr(b []byte, a *attr) error {
	if parseSmallAttr(b, a) {
		return nil
	}
	var f wireField
	var err error
	*a = attr{}
	for len(b) > 0 {
		if b, err = f.next(b); err != nil {
			return err
		}
		switch {
		case f.is(1, wireBytes):
			a.data = f.data
		case f.is(2, wireBytes):
			if err := parseValue(f.data, &a.value, 1); err != nil {
				return err
			}
		}
	}
	a.key = keyOf(view(a.data))
	return nil
}

// parseSmallAttr reads the KeyValue that nearly all are: a name, then one string
// or small integer, all lengths in one byte. It exists for speed and is false for
// everything else.
func parseSmallAttr(b []byte, a *attr) bool {
	if len(b) < 2 || b[0] != 1<<3|wireBytes || b[1] >= 0x80 {
		return false
	}
	end := 2 + int(b[1])
	if len(b) < end+4 || b[end] != 2<<3|wireBytes || int(b[end+1]) != len(b)-end-2 || b[end+1] >= 0x80 {
		return false
	}
	v := b[end+2:]
	switch {
	case v[0] == 1<<3|wireBytes && int(v[1]) == len(v)-2:
		a.value = anyValue{kind: stringValue, data: v[2:len(v):len(v)]}
	case v[0] == 3<<3|wireVarint && len(v) == 2 && v[1] < 0x80:
		a.value = anyValue{kind: intValue, num: uint64(v[1])}
	default:
		return false
	}
	a.data = b[2:end:end]
	a.key = keyOf(view(a.data))
	return true
}

// parseValue reads an AnyValue over what v holds and checks what is nested in it.
func parseValue(b []byte, v *anyValue, depth int) error {
	if depth > maxValueDepth {
		return errDepth
	}
	var f wireField
	var err error
	for len(b) > 0 {
		if b, err = f.next(b); err != nil {
			return err
		}
		switch {
		case f.is(1, wireBytes):
			*v = anyValue{kind: stringValue, data: f.data}
		case f.is(2, wireVarint):
			*v = anyValue{kind: boolValue, num: min(f.num64, 1)}
		case f.is(3, wireVarint):
			*v = anyValue{kind: intValue, num: f.num64}
		case f.is(4, wireFixed64):
			*v = anyValue{kind: doubleValue, num: f.num64}
		case f.is(5, wireBytes):
			v.merge(arrayValue, f.data)
			err = eachElement(f.data, func(e *anyValue) error { return nil }, depth)
		case f.is(6, wireBytes):
			v.merge(mapValue, f.data)
			err = eachMember(f.data, func(string, *anyValue) error { return nil }, depth)
		case f.is(7, wireBytes):
			*v = anyValue{kind: bytesValue, data: f.data}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// merge sets a message value; a second one of the same kind adds to the first,
// as protobuf prescribes. Data of a message has no spare capacity, so append
// copies the first time and is cheap after that.
func (v *anyValue) merge(kind valueKind, data []byte) {
	if v.kind == kind {
		v.data = append(v.data, data...)
		return
	}
	*v = anyValue{kind: kind, data: data}
}

// eachElement calls do for the elements of an array value in order; depth is
// the array's own.
func eachElement(b []byte, do func(*anyValue) error, depth int) error {
	var f wireField
	var err error
	for len(b) > 0 {
		if b, err = f.next(b); err != nil {
			return err
		}
		if !f.is(1, wireBytes) {
			continue
		}
		var e anyValue
		if err := parseValue(f.data, &e, depth+1); err != nil {
			return err
		}
		if err := do(&e); err != nil {
			return err
		}
	}
	return nil
}

// eachMember calls do for the members of a map value in order.
func eachMember(b []byte, do func(name string, v *anyValue) error, depth int) error {
	var f, kv wireField
	var err error
	for len(b) > 0 {
		if b, err = f.next(b); err != nil {
			return err
		}
		if !f.is(1, wireBytes) {
			continue
		}
		var name string
		var v anyValue
		for m := f.data; len(m) > 0; {
			if m, err = kv.next(m); err != nil {
				return err
			}
			switch {
			case kv.is(1, wireBytes):
				name = text(kv.data)
			case kv.is(2, wireBytes):
				if err := parseValue(kv.data, &v, depth+1); err != nil {
					return err
				}
			}
		}
		if err := do(name, &v); err != nil {
			return err
		}
	}
	return nil
}
