package otlp

import (
	"fmt"
	"math"
)

// MaxValueDepth bounds how deep attribute values (arrays and maps) nest. Real values
// nest two or three deep; the limit bounds recursion.
const MaxValueDepth = 64

// ErrDepth says that an attribute value nests deeper than MaxValueDepth.
var ErrDepth = fmt.Errorf("attribute value nested deeper than %d", MaxValueDepth)

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

// Value is one attribute value. It shares the memory of the message.
type Value struct {
	kind valueKind
	num  uint64 // bool, int and double
	data []byte // string and bytes: the content; array and map: the message
}

func (v *Value) isScalar() bool { return v.kind >= stringValue && v.kind <= doubleValue }

// Text returns the string, "" for other types.
func (v *Value) Text() string {
	if v == nil || v.kind != stringValue {
		return ""
	}
	return Text(v.data)
}

// int returns the integer, 0 for other types.
func (v *Value) int() int64 {
	if v == nil || v.kind != intValue {
		return 0
	}
	return int64(v.num)
}

func (v *Value) double() float64 { return math.Float64frombits(v.num) }

// Attribute is one attribute of a span, event, link, scope or resource. It shares the
// memory of the message.
type Attribute struct {
	data  []byte // the name
	key   key
	Value Value
}

// Name returns the attribute's name.
func (a *Attribute) Name() string { return Text(a.data) }

// parseAttr reads an opentelemetry.proto.common.v1.KeyValue into a, which is empty. If a
// field occurs twice, the last one counts, as protobuf prescribes.
func parseAttr(b []byte, a *Attribute) error {
	if parseSmallAttr(b, a) {
		return nil
	}
	*a = Attribute{}
	f := FieldsOf(b)
	for f.Next() {
		switch {
		case f.Is(1, Bytes):
			a.data = f.Data
		case f.Is(2, Bytes):
			if err := parseValue(f.Data, &a.Value, 1); err != nil {
				return err
			}
		}
	}
	a.key = keyOf(view(a.data))
	return f.err
}

// parseSmallAttr reads the most common form of KeyValue: a name, then a string or a
// small integer, all lengths in one byte. It is false for other forms. It exists for
// speed.
func parseSmallAttr(b []byte, a *Attribute) bool {
	if len(b) < 2 || b[0] != 1<<3|Bytes || b[1] >= 0x80 {
		return false
	}
	end := 2 + int(b[1])
	if len(b) < end+4 || b[end] != 2<<3|Bytes || int(b[end+1]) != len(b)-end-2 || b[end+1] >= 0x80 {
		return false
	}
	v := b[end+2:]
	switch {
	case v[0] == 1<<3|Bytes && int(v[1]) == len(v)-2:
		a.Value = Value{kind: stringValue, data: v[2:len(v):len(v)]}
	case v[0] == 3<<3|Varint && len(v) == 2 && v[1] < 0x80:
		a.Value = Value{kind: intValue, num: uint64(v[1])}
	default:
		return false
	}
	a.data = b[2:end:end]
	a.key = keyOf(view(a.data))
	return true
}

// parseValue reads an AnyValue into v and checks nested values.
func parseValue(b []byte, v *Value, depth int) error {
	if depth > MaxValueDepth {
		return ErrDepth
	}
	f := FieldsOf(b)
	for f.Next() {
		var err error
		switch {
		case f.Is(1, Bytes):
			*v = Value{kind: stringValue, data: f.Data}
		case f.Is(2, Varint):
			*v = Value{kind: boolValue, num: min(f.Num, 1)}
		case f.Is(3, Varint):
			*v = Value{kind: intValue, num: f.Num}
		case f.Is(4, Fixed64):
			*v = Value{kind: doubleValue, num: f.Num}
		case f.Is(5, Bytes):
			v.merge(arrayValue, f.Data)
			err = eachElement(f.Data, func(e *Value) error { return nil }, depth)
		case f.Is(6, Bytes):
			v.merge(mapValue, f.Data)
			err = eachMember(f.Data, func(string, *Value) error { return nil }, depth)
		case f.Is(7, Bytes):
			*v = Value{kind: bytesValue, data: f.Data}
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

// merge sets a message value, or appends to one of the same kind, as protobuf
// prescribes. Data of a message has no spare capacity, so append copies the first time
// and is cheap after that.
func (v *Value) merge(kind valueKind, data []byte) {
	if v.kind == kind {
		v.data = append(v.data, data...)
		return
	}
	*v = Value{kind: kind, data: data}
}

// eachElement calls do for the elements of an array value in order; depth is the array's
// own.
func eachElement(b []byte, do func(*Value) error, depth int) error {
	f := FieldsOf(b)
	for f.Next() {
		if !f.Is(1, Bytes) {
			continue
		}
		var e Value
		if err := parseValue(f.Data, &e, depth+1); err != nil {
			return err
		}
		if err := do(&e); err != nil {
			return err
		}
	}
	return f.err
}

// eachMember calls do for the members of a map value in order.
func eachMember(b []byte, do func(name string, v *Value) error, depth int) error {
	f := FieldsOf(b)
	for f.Next() {
		if !f.Is(1, Bytes) {
			continue
		}
		var name string
		var v Value
		kv := FieldsOf(f.Data)
		for kv.Next() {
			switch {
			case kv.Is(1, Bytes):
				name = Text(kv.Data)
			case kv.Is(2, Bytes):
				if err := parseValue(kv.Data, &v, depth+1); err != nil {
					return err
				}
			}
		}
		if kv.err != nil {
			return kv.err
		}
		if err := do(name, &v); err != nil {
			return err
		}
	}
	return f.err
}
