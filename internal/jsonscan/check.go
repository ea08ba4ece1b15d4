// Package jsonscan reads JSON text in place, and writes JSON. Segment documents need two
// things that encoding/json does not offer: exact strictness (RFC 8259, valid UTF-8,
// bounded depth) in one pass without allocation, and values that share the text, so that
// a document can be stored and returned as it was received.
//
// [Check] validates a text once; [Value] then walks it without validating again.
// [Reader] does both in one pass.
package jsonscan

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is how deeply arrays and objects may nest.
const MaxDepth = 512

// Error says where and why a text is not JSON. Offset counts bytes from 0.
type Error struct {
	Offset int
	Reason string
}

// Error returns reason and offset.
func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// Parse validates a text and returns its value.
func Parse(b []byte) (Value, error) {
	if err := Check(b); err != nil {
		return nil, err
	}
	start, end := skipSpace(b, 0), len(b)
	for end > start && isSpace(b[end-1]) {
		end--
	}
	return Value(b[start:end]), nil
}

// Check returns nil if b holds exactly one JSON value, else an *Error. Nesting is
// bounded by MaxDepth; strings must be valid UTF-8. Escapes of lone surrogates are
// allowed, as in RFC 8259.
func Check(b []byte) error {
	end, err := value(b, skipSpace(b, 0), 0)
	if err != nil {
		return err
	}
	if end = skipSpace(b, end); end < len(b) {
		return &Error{end, "more text behind the value"}
	}
	return nil
}

// value returns the offset after the value that begins at i, inside of outer containers.
func value(b []byte, i, outer int) (int, *Error) {
	if i < len(b) && (b[i] == '{' || b[i] == '[') {
		return container(b, i, outer)
	}
	return scalar(b, i)
}

func scalar(b []byte, i int) (int, *Error) {
	if i >= len(b) {
		return 0, &Error{i, "unexpected end"}
	}
	switch c := b[i]; {
	case c == '"':
		end, _, err := checkString(b, i)
		return end, err
	case c == '-' || c >= '0' && c <= '9':
		return checkNumber(b, i)
	}
	n := literal(b, i)
	if n == 0 {
		return 0, &Error{i, fmt.Sprintf("unexpected %q", b[i])}
	}
	return i + n, nil
}

func tooDeep(i int) *Error {
	return &Error{i, fmt.Sprintf("nested deeper than %d levels", MaxDepth)}
}

// container is value for objects and arrays. It does not recurse.
func container(b []byte, i, outer int) (int, *Error) {
	var objects [MaxDepth / 64]uint64 // of the open containers, one bit each: is it an object?
	depth := 0
	for {
		// A value begins here.
		if i < len(b) && (b[i] == '{' || b[i] == '[') {
			if outer+depth == MaxDepth {
				return 0, tooDeep(i)
			}
			c, word, bit := b[i], depth/64, uint64(1)<<(depth%64)
			objects[word] &^= bit
			if c == '{' {
				objects[word] |= bit
			}
			depth++
			i = skipSpace(b, i+1)
			if i >= len(b) || b[i] != c+2 { // ']' is '['+2, '}' is '{'+2
				if c == '{' {
					var err *Error
					if _, i, _, err = checkName(b, i); err != nil {
						return 0, err
					}
				}
				continue
			}
			i++
			depth--
		} else {
			var err *Error
			if i, err = scalar(b, i); err != nil {
				return 0, err
			}
		}
		// A value has ended here, and perhaps the values around it.
		more := false
		for depth > 0 && !more {
			i = skipSpace(b, i)
			if i >= len(b) {
				return 0, &Error{i, "unexpected end"}
			}
			inObject := objects[(depth-1)/64]>>((depth-1)%64)&1 == 1
			switch c := b[i]; {
			case c == ',':
				more = true
				i = skipSpace(b, i+1)
				if inObject {
					var err *Error
					if _, i, _, err = checkName(b, i); err != nil {
						return 0, err
					}
				}
			case c == '}' && inObject, c == ']' && !inObject:
				i++
				depth--
			default:
				return 0, &Error{i, fmt.Sprintf("unexpected %q", c)}
			}
		}
		if depth == 0 {
			return i, nil
		}
	}
}

// checkName reads a member's name and colon. It returns the offset after the name, that
// of the value, and whether the name has escapes.
func checkName(b []byte, i int) (end, next int, escaped bool, err *Error) {
	if i >= len(b) {
		return 0, 0, false, &Error{i, "unexpected end"}
	}
	if b[i] != '"' {
		return 0, 0, false, &Error{i, fmt.Sprintf("unexpected %q where a member name must stand", b[i])}
	}
	if end, escaped, err = checkString(b, i); err != nil {
		return 0, 0, false, err
	}
	i = skipSpace(b, end)
	if i >= len(b) {
		return 0, 0, false, &Error{i, "unexpected end"}
	}
	if b[i] != ':' {
		return 0, 0, false, &Error{i, fmt.Sprintf("unexpected %q where ':' must stand", b[i])}
	}
	return end, skipSpace(b, i+1), escaped, nil
}

func isSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\n' || c == '\t' || c == '\r') }

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

func literal(b []byte, i int) int {
	for _, s := range [...]string{"true", "false", "null"} {
		if len(b)-i >= len(s) && string(b[i:i+len(s)]) == s {
			return len(s)
		}
	}
	return 0
}

// special tests eight bytes of a string at once. The lowest bit set is the high bit of
// the first byte that is not ASCII or needs attention: a quote, a backslash, a control
// character. Ignore the bits above it.
func special(word uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, backslash := word^(ones*'"'), word^(ones*'\\')
	return (word | (quote-ones)&^quote | (backslash-ones)&^backslash | (word-ones*' ')&^word) & highs
}

// plain returns the offset after the string that begins at i if it is ASCII without
// escapes, as most are; 0 means that checkString must read it.
func plain(b []byte, i int) int {
	for j := i + 1; j+8 <= len(b); j += 8 {
		if m := special(binary.LittleEndian.Uint64(b[j:])); m != 0 {
			j += bits.TrailingZeros64(m) / 8
			if b[j] == '"' {
				return j + 1
			}
			return 0
		}
	}
	return 0
}

// checkString returns the offset after the string that begins at i, and whether it has
// escapes.
func checkString(b []byte, i int) (end int, escaped bool, err *Error) {
	if end := plain(b, i); end > 0 {
		return end, false, nil
	}
	ascii := true
	for j := i + 1; j < len(b); j++ {
		for j+8 <= len(b) {
			if m := special(binary.LittleEndian.Uint64(b[j:])); m != 0 {
				j += bits.TrailingZeros64(m) / 8
				break
			}
			j += 8
		}
		if j == len(b) {
			break
		}
		switch c := b[j]; {
		case c == '"':
			if !ascii && !utf8.Valid(b[i+1:j]) {
				return 0, false, &Error{i, "string is not valid UTF-8"}
			}
			return j + 1, escaped, nil
		case c < ' ':
			return 0, false, &Error{j, "control character in string"}
		case c >= utf8.RuneSelf:
			ascii = false
			for j+1 < len(b) && b[j+1] >= utf8.RuneSelf {
				j++
			}
		case c == '\\':
			escaped = true
			n := escape(b, j)
			if n == 0 {
				if j+1 >= len(b) {
					return 0, false, &Error{j + 1, "unexpected end"}
				}
				return 0, false, &Error{j, "invalid escape"}
			}
			j += n - 1
		}
	}
	return 0, false, &Error{len(b), "unexpected end"}
}

// escape returns the length of the escape that begins at i, 0 if it is invalid.
func escape(b []byte, i int) int {
	if i+1 >= len(b) {
		return 0
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if i+6 <= len(b) && isHex(b[i+2]) && isHex(b[i+3]) && isHex(b[i+4]) && isHex(b[i+5]) {
			return 6
		}
	}
	return 0
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// checkNumber returns the offset after the number that begins at i.
func checkNumber(b []byte, i int) (int, *Error) {
	j := i
	if b[j] == '-' {
		j++
	}
	n := digits(b, j)
	switch {
	case n == j:
		return 0, &Error{i, "invalid number"}
	case b[j] == '0':
		n = j + 1 // digits after a leading zero do not belong to the number
	}
	j = n
	if j < len(b) && b[j] == '.' {
		if n = digits(b, j+1); n == j+1 {
			return 0, &Error{i, "invalid number"}
		}
		j = n
	}
	if j < len(b) && b[j]|0x20 == 'e' {
		j++
		if j < len(b) && (b[j] == '+' || b[j] == '-') {
			j++
		}
		if n = digits(b, j); n == j {
			return 0, &Error{i, "invalid number"}
		}
		j = n
	}
	return j, nil
}

// digits returns the offset after the digits that begin at i.
func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}
