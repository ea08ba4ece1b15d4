package policy

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// pattern is a compiled text with the wildcards * (any run of characters) and ? (one
// UTF-16 unit: a character beyond U+FFFF needs two). All other characters, [ ] and \
// included, stand for themselves.
type pattern struct {
	text string
	form form
	// head and tail are the texts before the first and after the last wildcard, by which
	// most texts are refused.
	head, tail string
	// tokens is the pattern in UTF-16, for texts that are not ASCII; nil if bytes are enough.
	tokens []token
}

type form uint8

const (
	formLiteral form = iota // no wildcards
	formAll                 // * alone
	formPrefix              // one * at the end
	formWild                // anything else
	formEscaped             // with characters that are wildcards but meant literally; only tokens is set
)

// token is one element of a pattern: a UTF-16 unit, or a wildcard.
type token int32

const (
	anyRun token = -1 // *
	anyOne token = -2 // ?
)

func newPattern(text string) pattern {
	p := pattern{text: text, form: formWild}
	switch i := strings.IndexAny(text, "*?"); {
	case i < 0:
		p.form = formLiteral
	case text == "*":
		p.form = formAll
	case i == len(text)-1 && text[i] == '*':
		p.form = formPrefix
	}
	if p.form == formWild {
		p.head, p.tail = text[:strings.IndexAny(text, "*?")], text[strings.LastIndexAny(text, "*?")+1:]
	}
	if strings.Contains(text, "?") {
		p.tokens = appendWild(nil, text)
	}
	return p
}

// match reports whether the pattern matches a whole text.
func (p *pattern) match(text string) bool {
	switch p.form {
	case formLiteral:
		return text == p.text
	case formAll:
		return true
	case formPrefix:
		return strings.HasPrefix(text, p.text[:len(p.text)-1])
	case formEscaped:
		return matchTokens(p.tokens, text)
	}
	if !strings.HasPrefix(text, p.head) || !strings.HasSuffix(text, p.tail) {
		return false
	}
	if p.tokens != nil && !isASCII(text) {
		return matchTokens(p.tokens, text)
	}
	return globBytes(p.text, text)
}

// globBytes matches text with a pattern. The time is bounded by the product of their
// lengths.
func globBytes(pattern, text string) bool {
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for ; p < len(pattern); p++ {
		if pattern[p] != '*' {
			return false
		}
	}
	return true
}

// matchTokens is globBytes in UTF-16 units.
func matchTokens(pattern []token, text string) bool {
	var space [128]token
	units := appendLiteral(space[:0], text)
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(units) {
		switch {
		case p < len(pattern) && pattern[p] == anyRun:
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == anyOne || pattern[p] == units[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for ; p < len(pattern); p++ {
		if pattern[p] != anyRun {
			return false
		}
	}
	return true
}

// appendLiteral appends the UTF-16 units of a text, in which * and ? mean themselves.
func appendLiteral(dst []token, text string) []token {
	for _, r := range text {
		if r > 0xFFFF {
			high, low := utf16.EncodeRune(r)
			dst = append(dst, token(high), token(low))
			continue
		}
		dst = append(dst, token(r))
	}
	return dst
}

// appendWild appends the tokens of a text, in which * and ? are wildcards.
func appendWild(dst []token, text string) []token {
	start := len(dst)
	dst = appendLiteral(dst, text)
	for i, t := range dst[start:] {
		switch t {
		case '*':
			dst[start+i] = anyRun
		case '?':
			dst[start+i] = anyOne
		}
	}
	return dst
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
