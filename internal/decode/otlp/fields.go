package otlp

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// The wire types that OTLP messages use.
const (
	Varint  = 0
	Fixed64 = 1
	Bytes   = 2
	group   = 3
	Fixed32 = 5
)

var (
	errTruncated = errors.New("cut short")
	errTag       = errors.New("malformed field tag")
)

// Fields reads the fields of a protobuf message in order:
//
//	f := otlp.FieldsOf(message)
//	for f.Next() {
//		switch {
//		case f.Is(1, otlp.Bytes):
//			name = otlp.Text(f.Data)
//		}
//	}
//	return f.Err()
//
// A field number with a wire type that its message does not expect counts as
// unknown, as in protobuf itself.
type Fields struct {
	Tag  uint32 // number of the field <<3 | wire type
	Num  uint64 // value of varint, fixed64 and fixed32 fields
	Data []byte // content of length-delimited fields, a part of the message

	message []byte
	at      int // of message: the next field
	err     error
}

// FieldsOf returns a reader before the first field of a message.
func FieldsOf(message []byte) Fields { return Fields{message: message} }

// Is says whether the current field has this number and wire type.
func (f *Fields) Is(number, typ uint32) bool { return f.Tag == number<<3|typ }

// Pos returns the offset in the message after the current field.
func (f *Fields) Pos() int { return f.at }

// Err returns the error in the message; nil if Next read the message to its end.
func (f *Fields) Err() error { return f.err }

// Next reads the next field. It returns false after the last one and where the message
// is malformed.
func (f *Fields) Next() bool {
	b, i := f.message, f.at
	if i >= len(b) {
		return false
	}
	tag, n := uint64(b[i]), 1
	if tag >= 0x80 {
		if tag, n = binary.Uvarint(b[i:]); n <= 0 {
			return f.fail(errTruncated)
		}
	}
	if tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		return f.fail(errTag)
	}
	f.Tag = uint32(tag)
	i += n
	switch tag & 7 {
	case Bytes:
		var size uint64
		if i < len(b) && b[i] < 0x80 {
			size, n = uint64(b[i]), 1
		} else if size, n = binary.Uvarint(b[i:]); n <= 0 {
			return f.fail(errTruncated)
		}
		i += n
		if size > uint64(len(b)-i) {
			return f.fail(errTruncated)
		}
		end := i + int(size)
		f.Data, f.at = b[i:end:end], end
	case Varint:
		if i < len(b) && b[i] < 0x80 {
			f.Num, n = uint64(b[i]), 1
		} else if f.Num, n = binary.Uvarint(b[i:]); n <= 0 {
			return f.fail(errTruncated)
		}
		f.at = i + n
	case Fixed64:
		if len(b)-i < 8 {
			return f.fail(errTruncated)
		}
		f.Num, f.at = binary.LittleEndian.Uint64(b[i:]), i+8
	case Fixed32:
		if len(b)-i < 4 {
			return f.fail(errTruncated)
		}
		f.Num, f.at = uint64(binary.LittleEndian.Uint32(b[i:])), i+4
	default:
		// A group: no OTLP message has one, but an unknown field may be one.
		n = protowire.ConsumeFieldValue(protowire.Number(tag>>3), protowire.Type(tag&7), b[i:])
		if n < 0 {
			return f.fail(errTag)
		}
		f.at = i + n
	}
	return true
}

func (f *Fields) fail(err error) bool {
	f.at, f.err = len(f.message), err
	return false
}

// Text returns a protobuf string that shares the memory of b. Each byte that is not
// UTF-8 becomes U+FFFD; Segment.Raw keeps the original.
func Text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if utf8.Valid(b) {
		return unsafe.String(unsafe.SliceData(b), len(b))
	}
	return string([]rune(string(b)))
}

// view returns a string that shares the memory of b, without checking it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
