// Package jsonscan reads JSON text in place. It hides two things that segment
// documents need and encoding/json does not offer: exact strictness (RFC 8259,
// valid UTF-8, bounded depth) at the cost of one pass without allocation, and
// values that remember where they stand in the text, so that a document can be
// kept and given back as it was received.
//
// [Check] judges a text once; [Value] then walks it without judging again.
package jsonscan

import (
	"fmt"
	"unicode/utf8"
)

// MaxDepth is how deeply arrays and objects may nest.
const MaxDepth = 512

// Error says where and why a text is not JSON. Offset counts bytes from 0.
type Error struct {
	Offset int
	Reason string
}

// Error names reason and offset.
func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.Reason, e.Offset) }

// Parse judges a text that must hold one value, and returns it.
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

// Check returns nil if b holds exactly one JSON value, else an *Error. The depth
// of nesting is bounded by MaxDepth; strings must be valid UTF-8. Escapes of
// lone surrogates are allowed, as RFC 8259 does.
func Check(b []byte) error {
	var objects [MaxDepth]bool // of the open containers: is it an object?
	depth := 0
	i := skipSpace(b, 0)
value:
	if i >= len(b) {
		return &Error{i, "unexpected end"}
	}
	switch c := b[i]; {
	case c == '{', c == '[':
		if depth == MaxDepth {
			return &Error{i, fmt.Sprintf("nested deeper than %d levels", MaxDepth)}
		}
		objects[depth] = c == '{'
		depth++
		i = skipSpace(b, i+1)
		if i < len(b) && b[i] == c+2 { // ']' is '['+2, '}' is '{'+2
			i++
			depth--
			goto after
		}
		if c == '{' {
			goto key
		}
		goto value
	case c == '"':
		n, err := checkString(b, i)
		if err != nil {
			return err
		}
		i = n
	case c == '-' || c >= '0' && c <= '9':
		n, err := checkNumber(b, i)
		if err != nil {
			return err
		}
		i = n
	default:
		n := literal(b, i)
		if n == 0 {
			return &Error{i, fmt.Sprintf("unexpected %q", c)}
		}
		i += n
	}
after:
	i = skipSpace(b, i)
	if depth == 0 {
		if i < len(b) {
			return &Error{i, "more text behind the value"}
		}
		return nil
	}
	if i >= len(b) {
		return &Error{i, "unexpected end"}
	}
	switch c := b[i]; {
	case c == ',':
		i = skipSpace(b, i+1)
		if objects[depth-1] {
			goto key
		}
		goto value
	case c == '}' && objects[depth-1], c == ']' && !objects[depth-1]:
		i++
		depth--
		goto after
	}
	return &Error{i, fmt.Sprintf("unexpected %q", b[i])}
key:
	if i >= len(b) {
		return &Error{i, "unexpected end"}
	}
	if b[i] != '"' {
		return &Error{i, fmt.Sprintf("unexpected %q where a member name must stand", b[i])}
	}
	n, err := checkString(b, i)
	if err != nil {
		return err
	}
	i = skipSpace(b, n)
	if i >= len(b) {
		return &Error{i, "unexpected end"}
	}
	if b[i] != ':' {
		return &Error{i, fmt.Sprintf("unexpected %q where ':' must stand", b[i])}
	}
	i = skipSpace(b, i+1)
	goto value
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

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

// checkString returns the offset behind the string that begins at i.
func checkString(b []byte, i int) (int, error) {
	ascii := true
	for j := i + 1; j < len(b); j++ {
		switch c := b[j]; {
		case c == '"':
			if !ascii && !utf8.Valid(b[i+1:j]) {
				return 0, &Error{i, "string is not valid UTF-8"}
			}
			return j + 1, nil
		case c < ' ':
			return 0, &Error{j, "control character in string"}
		case c >= utf8.RuneSelf:
			ascii = false
		case c == '\\':
			j++
			if j >= len(b) {
				return 0, &Error{j, "unexpected end"}
			}
			switch b[j] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for k := 1; k <= 4; k++ {
					if j+k >= len(b) || !isHex(b[j+k]) {
						return 0, &Error{j - 1, "invalid escape"}
					}
				}
				j += 4
			default:
				return 0, &Error{j - 1, "invalid escape"}
			}
		}
	}
	return 0, &Error{len(b), "unexpected end"}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// checkNumber returns the offset behind the number that begins at i.
func checkNumber(b []byte, i int) (int, error) {
	digits := func(j int) int {
		for j < len(b) && b[j] >= '0' && b[j] <= '9' {
			j++
		}
		return j
	}
	j := i
	if b[j] == '-' {
		j++
	}
	if j < len(b) && b[j] == '0' {
		j++
	} else if n := digits(j); n > j {
		j = n
	} else {
		return 0, &Error{i, "invalid number"}
	}
	if j < len(b) && b[j] == '.' {
		n := digits(j + 1)
		if n == j+1 {
			return 0, &Error{i, "invalid number"}
		}
		j = n
	}
	if j < len(b) && b[j]|0x20 == 'e' {
		j++
		if j < len(b) && (b[j] == '+' || b[j] == '-') {
			j++
		}
		n := digits(j)
		if n == j {
			return 0, &Error{i, "invalid number"}
		}
		j = n
	}
	return j, nil
}
