package jsonscan

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// Reader reads a text in one pass and judges what it passes, as [Check] does:
// after the last value, [Reader.End] says whether all of it was JSON. What was
// read before the place of an error may have been used already; it must not
// count. Every value the Reader stands at must be passed exactly once, by Skip,
// or by Object or Array and their Nexts until these are false:
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
// After an error there are no values any more: loops end, Kind is Missing.
type Reader struct {
	text       []byte
	pos, depth int
	name       []byte
	err        *Error
}

// NewReader stands at the value that text must hold.
func NewReader(text []byte) Reader {
	return Reader{text: text, pos: skipSpace(text, 0)}
}

// Kind is the type of the value that begins here, by its first byte; Missing
// where none can begin.
func (r *Reader) Kind() Kind {
	if r.pos >= len(r.text) {
		return Missing
	}
	return kindOf(r.text[r.pos])
}

// Pos is the offset of what comes next.
func (r *Reader) Pos() int { return r.pos }

// Since is the text from the offset start to here.
func (r *Reader) Since(start int) Value {
	if r.err != nil {
		return nil
	}
	return r.text[start:r.pos:r.pos]
}

// Name is the name of the member whose value the Reader stands at, without
// escapes. It is valid until the text changes.
func (r *Reader) Name() []byte { return r.name }

// Skip passes one value of any type and returns its text, nil after an error.
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

// AppendText passes a string and appends what it says to dst, in one pass; other
// values it passes only. It makes room for all of the text that is left, so that
// one buffer for many strings is made once.
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

// Object enters an object and stands at the value of its first member. It is
// false, and the value passed, when the object is empty or the value none.
func (r *Reader) Object() bool { return r.enter('{') && r.member() }

// Array enters an array and stands at its first element. It is false, and the
// value passed, when the array is empty or the value none.
func (r *Reader) Array() bool { return r.enter('[') }

// NextMember goes on to the object's next member, false behind the last.
func (r *Reader) NextMember() bool { return r.next('}') && r.member() }

// NextElement goes on to the array's next element, false behind the last.
func (r *Reader) NextElement() bool { return r.next(']') }

// End is nil if the text was one JSON value and that has been passed, else an
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

// member reads a name and stands at its value.
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

// appendText is checkString and AppendUnquoted at once.
func appendText(dst, b []byte, i int) ([]byte, int, *Error) {
	// Unescaping never lengthens; eight more, because bytes are copied in eights.
	dst = slices.Grow(dst, len(b)-i+8)
	out, n, j, ascii := dst[:cap(dst)], len(dst), i+1, true
	for {
		for j+8 <= len(b) {
			word := binary.LittleEndian.Uint64(b[j:])
			binary.LittleEndian.PutUint64(out[n:], word)
			if m := special(word); m != 0 {
				m := bits.TrailingZeros64(m) / 8
				j, n = j+m, n+m
				if b[j] == '\\' && j+1 < len(b) && b[j+1] == '"' { // most are these
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

// escapedRune is the rune of the \u escape at i, U+FFFD for a lone surrogate,
// and the length of its one or two escapes.
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
