package filter

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// SyntaxError tells where and why a text is not a filter expression, in the
// service's wording. Line and Position are 1-based; Position counts characters.
type SyntaxError struct {
	Line, Position int
	Reason         string
}

// Error returns "Error Location: line L, position P : reason".
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("Error Location: line %d, position %d : %s", e.Line, e.Position, e.Reason)
}

// Unwrap makes the error one of kind invalid.
func (e *SyntaxError) Unwrap() error {
	return &trace.KindError{Kind: trace.KindInvalid, Message: e.Reason}
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenString
	tokenNumber
	tokenJSON // #[…]
	tokenSymbol
)

// token is one lexical element. text is the source text of words and symbols
// and the value of strings; num the value of numbers.
type token struct {
	kind tokenKind
	text string
	num  float64
	at   int // byte offset
}

// is reports whether the token is this keyword or symbol.
func (t token) is(s string) bool {
	return (t.kind == tokenWord || t.kind == tokenSymbol) && len(t.text) == len(s) && strings.EqualFold(t.text, s)
}

type lexer struct {
	text string
	at   int
}

func (l *lexer) fail(at int, format string, args ...any) error {
	before := l.text[:min(at, len(l.text))]
	line := 1 + strings.Count(before, "\n")
	column := before[strings.LastIndexByte(before, '\n')+1:]
	return &SyntaxError{Line: line, Position: 1 + utf8.RuneCountInString(column), Reason: fmt.Sprintf(format, args...)}
}

// invalidUTF8 returns the offset of the first byte that is not part of UTF-8.
func invalidUTF8(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}

// next reads one token into t.
func (l *lexer) next(t *token) error {
	for l.at < len(l.text) && (l.text[l.at] == ' ' || l.text[l.at] >= '\t' && l.text[l.at] <= '\r') {
		l.at++
	}
	at := l.at
	t.kind, t.at = tokenEnd, at
	if at == len(l.text) {
		t.text = ""
		return nil
	}
	switch c := l.text[at]; {
	case isWordStart(c):
		for l.at < len(l.text) && isWord(l.text[l.at]) {
			l.at++
		}
		t.kind, t.text = tokenWord, l.text[at:l.at]
		return nil
	case c == '"':
		return l.string(t)
	case c >= '0' && c <= '9', c == '-', c == '+', c == '.':
		return l.number(t)
	case c == '#':
		return l.json(t)
	case strings.IndexByte("=<>!(){}[],:", c) >= 0:
		l.at++
		if (c == '<' || c == '>' || c == '!') && l.at < len(l.text) && l.text[l.at] == '=' {
			l.at++
		}
		t.kind, t.text = tokenSymbol, l.text[at:l.at]
		return nil
	}
	r, _ := utf8.DecodeRuneInString(l.text[at:])
	return l.fail(at, "Invalid input symbol: '%c'", r)
}

func isWordStart(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// isWord reports whether a character may follow in a word: keywords contain dots,
// annotation keys digits and, in brackets, a few more characters.
func isWord(c byte) bool { return isWordStart(c) || c >= '0' && c <= '9' || c == '.' }

// string reads a literal with JSON's escapes. Unlike in JSON, it may contain raw
// line breaks and tabs.
func (l *lexer) string(t *token) error {
	at := t.at
	end := at + 1
	for end < len(l.text) && l.text[end] != '"' {
		if l.text[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(l.text) {
		return l.fail(at, "unterminated string") // not recorded
	}
	l.at = end + 1
	body := l.text[at+1 : end]
	if strings.IndexByte(body, '\\') < 0 {
		t.kind, t.text = tokenString, body
		return nil
	}
	escaped := strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(body)
	var s string
	if err := json.Unmarshal([]byte(`"`+escaped+`"`), &s); err != nil {
		return l.fail(at, "invalid escape in string %s", l.text[at:l.at]) // not recorded
	}
	t.kind, t.text = tokenString, s
	return nil
}

func (l *lexer) number(t *token) error {
	at := t.at
	for l.at < len(l.text) {
		c := l.text[l.at]
		sign := (c == '-' || c == '+') && (l.at == at || l.text[l.at-1]|0x20 == 'e')
		if !(c >= '0' && c <= '9' || c == '.' || c|0x20 == 'e' || sign) {
			break
		}
		l.at++
	}
	s := l.text[at:l.at]
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		l.at = max(l.at, at+1)
		return l.fail(at, "Invalid input symbol: '%s'", l.text[at:l.at])
	}
	t.kind, t.text, t.num = tokenNumber, s, f
	return nil
}

// json reads # and the JSON array after it.
func (l *lexer) json(t *token) error {
	at := t.at
	dec := json.NewDecoder(strings.NewReader(l.text[at+1:]))
	var raw json.RawMessage
	if at+1 >= len(l.text) || l.text[at+1] != '[' || dec.Decode(&raw) != nil {
		return l.fail(at, "'#' must be followed by a JSON array") // not recorded
	}
	l.at = at + 1 + int(dec.InputOffset())
	t.kind, t.text = tokenJSON, string(raw)
	return nil
}

// bracketKey reads an annotation key up to ']'. The text is taken literally unless
// it is quoted. The '[' has been read.
func (l *lexer) bracketKey() (string, error) {
	at := l.at
	for l.at < len(l.text) && l.text[l.at] == ' ' {
		l.at++
	}
	key := ""
	if l.at < len(l.text) && l.text[l.at] == '"' {
		t := token{at: l.at}
		if err := l.string(&t); err != nil {
			return "", err
		}
		key = t.text
		for l.at < len(l.text) && l.text[l.at] == ' ' {
			l.at++
		}
	} else {
		end := strings.IndexAny(l.text[l.at:], "]\n\"")
		if end < 0 {
			end = len(l.text) - l.at
		}
		key = strings.TrimRight(l.text[l.at:l.at+end], " ")
		l.at += end
	}
	if key == "" {
		return "", l.fail(at, "annotation key expected between '[' and ']'") // not recorded
	}
	if l.at >= len(l.text) || l.text[l.at] != ']' {
		return "", l.fail(l.at, "missing ']' after annotation key") // not recorded
	}
	l.at++
	return key, nil
}
