package jsonscan

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// Reader reads a text in one pass and validates it as [Check] does: after the last
// value, [Reader.End] says whether the text was JSON. If it was not, discard what was
// read before. Read each value exactly once: by Skip, or by Object or Array and their
// Next until that is false:
//
//	for more := r.Object(); more; more = r.NextMember() {
//		switch string(r.Name()) {
//		case "id":
//			id = r.Skip()
//		default:
//			r.Skip()
//		}
//	}
//
// After an error there are no more values: loops end, Kind is Missing.
type Reader struct {
	text       []byte
	pos, depth int
	name       []byte
	err        *Error
}

// NewReader returns a Reader at the value of text.
func NewReader(text []byte) Reader {
	return Reader{text: text, pos: skipSpace(text, 0)}
}

// Kind returns the type of the current value, by its first byte; Missing if no value can
// begin here.
func (r *Reader) Kind() Kind {
	if r.pos >= len(r.text) {
		return Missing
	}
	return kindOf(r.text[r.pos])
}

// Pos returns the current offset.
func (r *Reader) Pos() int { return r.pos }

// Since returns the text from the offset start to here.
func (r *Reader) Since(start int) Value {
	if r.err != nil {
		return nil
	}
	return r.text[start:r.pos:r.pos]
}

// Name returns the unescaped name of the current member. It is valid until the text
// changes.
func (r *Reader) Name() []byte { return r.name }

// Skip reads one value of any type and returns its text, nil after an error.
func (r *Reader) Skip() Value {
	if r.err != nil {
		return nil
	}
	end := 0
	if r.pos < len(r.text) && r.text[r.pos] == '"' {
		end = plain(r.text, r.pos)
	}
	if end == 0 {
		var err *Error
		if end, err = value(r.text, r.pos, r.depth); err != nil {
			r.fail(err)
			return nil
		}
	}
	v := Value(r.text[r.pos:end:end])
	r.pos = end
	return v
}

// AppendText reads a string and appends its unescaped text to dst, in one pass; it skips
// other values. It grows dst for all remaining text, so that one buffer for many strings
// is allocated once.
func (r *Reader) AppendText(dst []byte) []byte {
	if r.Kind() != String {
		r.Skip()
		return dst
	}
	dst, end, err := appendText(dst, r.text, r.pos)
	if err != nil {
		r.fail(err)
		return dst
	}
	r.pos = end
	return dst
}

// Object enters an object and moves to its first value. It is false, and has skipped the
// value, if the object is empty or the value is not an object.
func (r *Reader) Object() bool { return r.enter('{') && r.member() }

// Array enters an array and moves to its first element. It is false, and has skipped the
// value, if the array is empty or the value is not an array.
func (r *Reader) Array() bool { return r.enter('[') }

// NextMember moves to the object's next value; false after the last.
func (r *Reader) NextMember() bool { return r.next('}') && r.member() }

// NextElement moves to the array's next element; false after the last.
func (r *Reader) NextElement() bool { return r.next(']') }

// End returns nil if the text was one JSON value that was read to its end, else an
// *Error.
func (r *Reader) End() error {
	if r.err != nil {
		return r.err
	}
	if r.pos = skipSpace(r.text, r.pos); r.pos < len(r.text) {
		r.fail(&Error{r.pos, "more text behind the value"})
		return r.err
	}
	return nil
}

func (r *Reader) fail(err *Error) {
	if r.err == nil {
		r.err = err
	}
	r.pos = len(r.text)
}

func (r *Reader) enter(open byte) bool {
	switch {
	case r.err != nil:
		return false
	case r.pos >= len(r.text) || r.text[r.pos] != open:
		r.Skip()
		return false
	case r.depth == MaxDepth:
		r.fail(tooDeep(r.pos))
		return false
	}
	r.depth++
	r.pos = skipSpace(r.text, r.pos+1)
	if r.pos < len(r.text) && r.text[r.pos] == open+2 { // ']' is '['+2, '}' is '{'+2
		r.pos++
		r.depth--
		return false
	}
	return true
}

func (r *Reader) next(closing byte) bool {
	if r.err != nil {
		return false
	}
	r.pos = skipSpace(r.text, r.pos)
	if r.pos >= len(r.text) {
		r.fail(&Error{r.pos, "unexpected end"})
		return false
	}
	switch c := r.text[r.pos]; c {
	case ',':
		r.pos = skipSpace(r.text, r.pos+1)
		return true
	case closing:
		r.pos++
		r.depth--
	default:
		r.fail(&Error{r.pos, fmt.Sprintf("unexpected %q", c)})
	}
	return false
}

// member reads a name and moves to its value.
func (r *Reader) member() bool {
	if r.pos < len(r.text) && r.text[r.pos] == '"' {
		if end := plain(r.text, r.pos); end > 0 && end < len(r.text) && r.text[end] == ':' {
			r.name, r.pos = r.text[r.pos+1:end-1], skipSpace(r.text, end+1)
			return true
		}
	}
	start, next, escaped, err := checkName(r.text, r.pos)
	if err != nil {
		r.fail(err)
		return false
	}
	r.name = r.text[r.pos+1 : start-1]
	if escaped {
		r.name = AppendUnquoted(make([]byte, 0, len(r.name)), r.name)
	}
	r.pos = next
	return true
}

// appendText does the work of checkString and AppendUnquoted in one pass.
func appendText(dst, b []byte, i int) ([]byte, int, *Error) {
	// Unescaped text is never longer; eight more bytes, because words of eight bytes
	// are copied.
	dst = slices.Grow(dst, len(b)-i+8)
	out, n, j, ascii := dst[:cap(dst)], len(dst), i+1, true
	for {
		for j+8 <= len(b) {
			word := binary.LittleEndian.Uint64(b[j:])
			binary.LittleEndian.PutUint64(out[n:], word)
			if m := special(word); m != 0 {
				m := bits.TrailingZeros64(m) / 8
				j, n = j+m, n+m
				if b[j] == '\\' && j+1 < len(b) && b[j+1] == '"' { // the most frequent escape
					out[n] = '"'
					j, n = j+2, n+1
					continue
				}
				break
			}
			j, n = j+8, n+8
		}
		if j == len(b) {
			return dst, 0, &Error{j, "unexpected end"}
		}
		switch c := b[j]; {
		case c == '"':
			if !ascii && !utf8.Valid(b[i+1:j]) {
				return dst, 0, &Error{i, "string is not valid UTF-8"}
			}
			return out[:n], j + 1, nil
		case c < ' ':
			return dst, 0, &Error{j, "control character in string"}
		case c == '\\':
			length := escape(b, j)
			switch {
			case length == 0 && j+1 == len(b):
				return dst, 0, &Error{j + 1, "unexpected end"}
			case length == 0:
				return dst, 0, &Error{j, "invalid escape"}
			case length == 6:
				var r rune
				r, length = escapedRune(b, j)
				n += utf8.EncodeRune(out[n:], r)
			default:
				out[n] = unescaped(b[j+1])
				n++
			}
			j += length
		default:
			ascii = ascii && c < utf8.RuneSelf
			out[n] = c
			n, j = n+1, j+1
		}
	}
}

// escapedRune returns the rune of the \u escape at i, U+FFFD for a lone surrogate, and
// the length of its one or two escapes.
func escapedRune(b []byte, i int) (rune, int) {
	r := hex4(b[i+2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if escape(b, i+6) == 6 && b[i+6] == '\\' {
		if pair := utf16.DecodeRune(r, hex4(b[i+8:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}
