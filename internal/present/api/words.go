package api

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// wanted names the expected types in errors about values of other types.
var wanted = map[wire.Type]string{
	wire.String: "a String", wire.Integer: "an Integer", wire.Double: "a Double", wire.Boolean: "a Boolean", wire.Time: "milliseconds since epoch",
	wire.List: "a List", wire.Map: "a Map", wire.Structure: "a Structure",
}

// show formats a value as Java prints it, because the native service does so: [a, b],
// {key=value}, 1.0E-4. It cuts long values.
func show(s *wire.Shape, v jsonscan.Value) string {
	var b strings.Builder
	appendShown(&b, s, v)
	text := b.String()
	if len(text) <= maxShown {
		return text
	}
	end := maxShown
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

func appendShown(b *strings.Builder, s *wire.Shape, v jsonscan.Value) {
	if s == nil {
		s = &wire.Shape{Type: wire.String}
	}
	separate := func(n int) bool {
		if n > 0 {
			b.WriteString(", ")
		}
		return b.Len() <= maxShown
	}
	n := 0
	switch v.Kind() {
	case jsonscan.Array:
		b.WriteByte('[')
		for element := range v.Elements() {
			if !separate(n) {
				return
			}
			n++
			appendShown(b, s.Element, element)
		}
		b.WriteByte(']')
	case jsonscan.Object:
		b.WriteByte('{')
		for name, value := range v.Members() {
			if !separate(n) {
				return
			}
			n++
			b.WriteString(jsonscan.Unquote(name))
			b.WriteByte('=')
			appendShown(b, s.Element, value)
		}
		b.WriteByte('}')
	case jsonscan.String:
		b.WriteString(v.Text())
	case jsonscan.Number:
		switch f, finite := v.Float(); {
		case s.Type == wire.Integer:
			b.WriteString(strconv.FormatInt(integer(v), 10))
		case s.Type == wire.Double && finite:
			b.WriteString(javaDouble(f))
		default:
			b.Write(v)
		}
	default:
		b.Write(v)
	}
}

// javaDouble formats a number as Double.toString of Java does.
func javaDouble(f float64) string {
	format, exponent := byte('f'), ""
	if a := max(f, -f); a != 0 && (a < 1e-3 || a >= 1e7) {
		format = 'E'
	}
	digits := strconv.FormatFloat(f, format, -1, 64)
	if format == 'E' {
		mantissa, e, _ := strings.Cut(digits, "E")
		n, _ := strconv.Atoi(e)
		digits, exponent = mantissa, "E"+strconv.Itoa(n)
	}
	if !strings.Contains(digits, ".") {
		digits += ".0"
	}
	return digits + exponent
}
