package jsonscan

import (
	"bytes"
	"iter"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Value is the text of one JSON value, without surrounding blanks. It must come from
// [Parse] or from another such Value; the methods do not validate. A nil Value is a
// missing member.
type Value []byte

// Kind is the type of a value.
type Kind uint8

// The kinds of value. Missing is a nil Value.
const (
	Missing Kind = iota
	Object
	Array
	String
	Number
	Bool
	Null
)

// Kind returns the type of the value.
func (v Value) Kind() Kind {
	if len(v) == 0 {
		return Missing
	}
	return kindOf(v[0])
}

// kindOf returns the type of the value that begins with c.
func kindOf(c byte) Kind {
	switch c {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	return Number
}

// Members yields the members of an object in order; nothing for other types. Names are
// the text between quotes (see [Unquote] for escapes).
func (v Value) Members() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		if v.Kind() != Object {
			return
		}
		i := skipSpace(v, 1)
		for v[i] != '}' {
			end := skipString(v, i)
			name := v[i+1 : end-1]
			i = skipSpace(v, end)
			i = skipSpace(v, i+1) // ':'
			end = skip(v, i)
			if !yield(name, v[i:end]) {
				return
			}
			i = skipSpace(v, end)
			if v[i] == ',' {
				i = skipSpace(v, i+1)
			}
		}
	}
}

// Elements yields the elements of an array; nothing for other types.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != Array {
			return
		}
		i := skipSpace(v, 1)
		for v[i] != ']' {
			end := skip(v, i)
			if !yield(v[i:end]) {
				return
			}
			i = skipSpace(v, end)
			if v[i] == ',' {
				i = skipSpace(v, i+1)
			}
		}
	}
}

// Get follows a path of member names; of members with the same name the last counts. It
// returns nil if one is missing.
func (v Value) Get(path ...string) Value {
	for _, name := range path {
		var found Value
		for n, m := range v.Members() {
			if string(n) == name {
				found = m
			}
		}
		v = found
	}
	return v
}

// Text returns a string's value, "" for other types.
func (v Value) Text() string {
	if v.Kind() != String {
		return ""
	}
	return Unquote(v[1 : len(v)-1])
}

// Float returns a number's value; false for other types and numbers beyond float64.
func (v Value) Float() (float64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v), 64)
	return f, err == nil
}

// Int returns a number's value cut to an integer; false for other types and numbers
// beyond int64.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return n, true
	}
	f, ok := v.Float()
	if !ok || f >= 1<<63 || f < -1<<63 {
		return 0, false
	}
	return int64(f), true
}

// Bool is true for the literal true only.
func (v Value) Bool() bool { return len(v) == 4 && v[0] == 't' }

// skip returns the offset after the value that begins at i. It keeps no stack: in
// validated text only the depth matters.
func skip(v []byte, i int) int {
	switch v[i] {
	case '"':
		return skipString(v, i)
	case '{', '[':
		depth := 0
		for {
			switch v[i] {
			case '"':
				i = skipString(v, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
				if depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for i < len(v) && v[i] != ',' && v[i] != '}' && v[i] != ']' && !isSpace(v[i]) {
		i++
	}
	return i
}

// skipString returns the offset after the string that begins at i.
func skipString(v []byte, i int) int {
	for {
		i += 1 + bytes.IndexByte(v[i+1:], '"')
		n := 0 // backslashes before the quote: an odd number escapes it
		for v[i-1-n] == '\\' {
			n++
		}
		if n%2 == 0 {
			return i + 1
		}
	}
}

// Unquote resolves the escapes of a string's text between its quotes. Lone
// surrogates become U+FFFD.
func Unquote(s []byte) string {
	first := bytes.IndexByte(s, '\\')
	if first < 0 {
		return string(s)
	}
	return string(AppendUnquoted(make([]byte, 0, len(s)), s))
}

// AppendUnquoted appends the result of Unquote to a buffer.
func AppendUnquoted(dst, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		c := s[i+1]
		s = s[i+2:]
		if c != 'u' {
			dst = append(dst, unescaped(c))
			continue
		}
		r := hex4(s)
		s = s[4:]
		if utf16.IsSurrogate(r) {
			if len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
				if pair := utf16.DecodeRune(r, hex4(s[2:])); pair != utf8.RuneError {
					dst = utf8.AppendRune(dst, pair)
					s = s[6:]
					continue
				}
			}
			r = utf8.RuneError
		}
		dst = utf8.AppendRune(dst, r)
	}
}

// unescaped returns the byte for an escape of two bytes; c is the second.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c // " \ /
}

func hex4(s []byte) rune {
	n, _ := strconv.ParseUint(string(s[:4]), 16, 32)
	return rune(n)
}

// AppendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"', r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
