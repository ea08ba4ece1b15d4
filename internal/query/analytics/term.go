package analytics

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Term is the condition of a search in the documents of entities: a text anywhere in
// their members' names or values, or a member with a value.
type Term struct {
	text   string // in lower case; "" if the term is about a member
	key    string
	op     string // =, !=, ~, <, <=, >, >=; "" if the member must only exist
	value  string
	number float64
	isNum  bool
}

// maxTerm is the maximum length of a term.
const maxTerm = 1000

// ParseTerm parses a term. KEY=VALUE finds members whose path
// (metadata.default.cart, http.response.status) is KEY or ends with .KEY; != finds
// members with another value, ~ those whose text contains VALUE, case-insensitive;
// <, <=, > and >= compare numbers; KEY=* finds all entities with the member. Blanks
// around the operator are ignored. KEY and VALUE may be in double quotes, where \"
// is a quote and \\ a backslash; a KEY with a blank, an operator or a quote needs
// them. Any other text is searched for literally, case-insensitive; put a text with
// an operator in double quotes.
func ParseTerm(text string) (*Term, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return nil, invalid("text: is required")
	case len(text) > maxTerm:
		return nil, invalid("text: is longer than %d bytes", maxTerm)
	}
	plain := &Term{text: strings.ToLower(text)}
	t := &Term{}
	rest := text
	if text[0] == '"' {
		key, behind, ok := unquote(text)
		if rest = strings.TrimSpace(behind); !ok {
			return plain, nil
		} else if rest == "" && key == "" {
			return nil, invalid("text: is required")
		} else if rest == "" {
			return &Term{text: strings.ToLower(key)}, nil
		}
		t.key = key
	} else {
		at := strings.IndexAny(text, "=!~<>\"")
		if at <= 0 || strings.ContainsAny(strings.TrimSpace(text[:at]), " \t") {
			return plain, nil
		}
		t.key, rest = strings.TrimSpace(text[:at]), text[at:]
	}
	for _, op := range []string{"!=", "<=", ">=", "=", "~", "<", ">"} {
		if value, ok := strings.CutPrefix(rest, op); ok {
			t.op, t.value = op, strings.TrimSpace(value)
			break
		}
	}
	if t.op == "" || t.key == "" { // a ! or a quote alone, or no name
		return plain, nil
	}
	if value, behind, ok := unquote(t.value); ok && behind == "" {
		t.value = value
	} else if t.op == "=" && t.value == "*" {
		t.op = ""
	}
	n, err := strconv.ParseFloat(t.value, 64)
	t.number, t.isNum = n, err == nil
	if !t.isNum && strings.ContainsAny(t.op, "<>") {
		return nil, invalid("text: %.50q compares numbers, but %.50q is not a number", t.op, t.value)
	}
	return t, nil
}

// unquote reads a double-quoted text at the beginning, and returns the rest as
// behind.
func unquote(text string) (plain, behind string, ok bool) {
	if text == "" || text[0] != '"' {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// MatchesAttribute reports whether an attribute matches under its original name; the
// document may show it under another one.
func (t *Term) MatchesAttribute(key string, v trace.Value) bool {
	return t.matches(key, valueText(v), map[trace.ValueKind]jsonscan.Kind{trace.StringValue: jsonscan.String, trace.NumberValue: jsonscan.Number, trace.BoolValue: jsonscan.Bool}[v.Kind])
}

// Matches reports whether an entity's document matches, without its subsegments. The
// text must be JSON.
func (t *Term) Matches(document []byte) bool {
	if !t.possible(document) {
		return false
	}
	found := false
	eachMember(jsonscan.Value(document), "", func(path string, v jsonscan.Value) bool {
		found = t.matches(path, scalar(v), v.Kind())
		return !found
	})
	return found
}

// possible is a fast check: if it is false, the document does not match.
func (t *Term) possible(document []byte) bool {
	if t.text != "" {
		// Escapes may hide a text, but only one with these characters.
		return strings.ContainsAny(t.text, "\"\\/<>&") || !ascii(t.text) || bytes.Contains(bytes.ToLower(document), []byte(t.text))
	}
	last := t.key[strings.LastIndexByte(t.key, '.')+1:]
	return strings.ContainsAny(last, "\"\\/<>&") || !ascii(last) || bytes.Contains(document, []byte(last))
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func (t *Term) matches(path, value string, kind jsonscan.Kind) bool {
	if t.text != "" {
		return strings.Contains(strings.ToLower(path), t.text) || strings.Contains(strings.ToLower(value), t.text)
	}
	if path != t.key && !strings.HasSuffix(path, "."+t.key) {
		return false
	}
	switch t.op {
	case "":
		return true
	case "~":
		return strings.Contains(strings.ToLower(value), strings.ToLower(t.value))
	case "=":
		return t.equal(value, kind == jsonscan.Number)
	case "!=":
		return kind != jsonscan.Null && !t.equal(value, kind == jsonscan.Number) // null counts as missing
	}
	n, err := strconv.ParseFloat(value, 64)
	switch {
	case err != nil:
		return false
	case t.op == "<":
		return n < t.number
	case t.op == "<=":
		return n <= t.number
	case t.op == ">":
		return n > t.number
	}
	return n >= t.number
}

func (t *Term) equal(value string, isNumber bool) bool {
	if value == t.value {
		return true
	}
	if !t.isNum || !isNumber {
		return false
	}
	n, err := strconv.ParseFloat(value, 64)
	return err == nil && n == t.number
}

// scalar returns a value as text, unless it is an object or list.
func scalar(v jsonscan.Value) string {
	if v.Kind() == jsonscan.String {
		return v.Text()
	}
	return string(bytes.TrimSpace(v))
}

// eachMember yields every scalar of a document with its path, until yield is false;
// elements of lists have their list's path. It skips subsegments, which are entities
// themselves.
func eachMember(v jsonscan.Value, path string, yield func(path string, v jsonscan.Value) bool) bool {
	switch v.Kind() {
	case jsonscan.Object:
		for key, member := range v.Members() {
			name := jsonscan.Unquote(key)
			if path == "" && name == "subsegments" {
				continue
			}
			if path != "" {
				name = path + "." + name
			}
			if !eachMember(member, name, yield) {
				return false
			}
		}
	case jsonscan.Array:
		for element := range v.Elements() {
			if !eachMember(element, path, yield) {
				return false
			}
		}
	default:
		return yield(path, v)
	}
	return true
}
