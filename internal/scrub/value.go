package scrub

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"math/bits"
	"unicode/utf8"
)

// The texts that replace values. No rule changes them again, so that scrubbing twice
// gives the same result. Those for parts of texts are valid in URLs.
const (
	maskedPart  = "***"
	maskedLast  = "****" // before the last four characters
	maskedBegin = "[scrubbed by "
	hashBegin   = "hmac-"
	hashDigits  = 32
	lastKept    = 4
	// leastKept is the length in characters from which on four of them may stay.
	leastKept = 8
)

// isToken tells whether a text is one that replaces values.
func isToken(text []byte) bool {
	n := tokenAt(text, 0)
	return n > 0 && n == len(text)
}

// tokenAt returns the length of the token that begins at i; 0 if none does.
func tokenAt(text []byte, i int) int {
	t := text[i:]
	switch {
	case bytes.HasPrefix(t, []byte(maskedLast)):
		end := len(maskedLast)
		for k := 0; k < lastKept && end < len(t); k++ {
			_, n := utf8.DecodeRune(t[end:])
			end += n
		}
		return end
	case bytes.HasPrefix(t, []byte(maskedPart)):
		return len(maskedPart)
	case bytes.HasPrefix(t, []byte(hashBegin)):
		if end := len(hashBegin) + hashDigits; len(t) >= end && isHex(t[len(hashBegin):end]) {
			return end
		}
	case bytes.HasPrefix(t, []byte(maskedBegin)):
		for k := len(maskedBegin); k < len(t) && k < len(maskedBegin)+65; k++ {
			if c := t[k]; c == ']' {
				return k + 1
			} else if !isAlnum(c) && c != '-' && c != '_' {
				return 0
			}
		}
	}
	return 0
}

// inToken tells whether a part of a text lies in a token.
func inToken(text []byte, p part) bool {
	for i := max(0, p.start-len(maskedBegin)-66); i <= p.start; i++ {
		if n := tokenAt(text, i); n > 0 {
			if i+n >= p.end {
				return true
			}
			i += n - 1
		}
	}
	return false
}

// result tells whether a value changed.
type result uint8

const (
	same result = iota
	changed
	dropped
)

// rounds is how often rules are applied until nothing changes any more. A text that
// still changes then is masked as a whole.
const rounds = 4

// text applies the rules that select a text by its place (sel), and those that look at
// all texts. The result shares no memory with the text if it changed.
func (w *walker) text(text []byte, sel uint64) ([]byte, result) {
	p := w.program
	rules := (sel | p.everywhere) & w.rules
	if rules&^p.quick == 0 && (rules == 0 || !suspicious(text)) {
		return text, same
	}
	if len(text) == 0 {
		return text, same
	}
	return w.apply(text, rules, true)
}

// valueKind is the type of a value that is no text.
type valueKind uint8

const (
	numberValue valueKind = iota
	wordValue             // true and false
)

// scalar applies rules to a value that is no text, given its text.
func (w *walker) scalar(text []byte, sel uint64, kind valueKind) ([]byte, result) {
	rules := sel & w.rules
	if kind == wordValue {
		rules &^= w.program.defaults
	} else {
		rules |= w.program.everywhere & w.rules &^ w.program.quick
	}
	if rules == 0 {
		return text, same
	}
	return w.apply(text, rules, false)
}

// apply applies rules to a text. isText is false for the text of a number, true or false,
// to which only rules for whole values, patterns and the card detector apply.
func (w *walker) apply(text []byte, rules uint64, isText bool) ([]byte, result) {
	now := text
	for round := 0; ; round++ {
		before := now
		for left := rules; left != 0; left &= left - 1 {
			i := bits.TrailingZeros64(left)
			r := &w.program.rules[i]
			next, res, stop := r.apply(w.program, now, isText)
			if res != same {
				if round == 0 {
					w.note(i, now, next)
				}
				if r.DryRun {
					continue
				}
				if res == dropped {
					return nil, dropped
				}
				now = next
			}
			if stop {
				break
			}
		}
		if bytes.Equal(before, now) {
			break
		}
		if round == rounds {
			now = []byte(maskedPart)
			break
		}
	}
	if bytes.Equal(now, text) {
		return text, same
	}
	return now, changed
}

// apply applies a rule to a text; stop tells that no later rule may change it.
func (r *compiled) apply(p *Program, text []byte, isText bool) (out []byte, res result, stop bool) {
	if r.whole {
		switch {
		case r.Action == Keep:
			return text, same, true
		case len(text) == 0 || isToken(text):
			return text, same, false
		case r.Action == Drop:
			return nil, dropped, true
		}
		return r.replace(p, nil, text, true), changed, false
	}
	if !isText && !r.numbers {
		return text, same, false
	}
	var buffer [8]part
	parts := r.find(buffer[:0], text)
	if len(parts) == 0 {
		return text, same, false
	}
	if r.Action == Keep {
		return text, same, true
	}
	at := 0
	tokens := bytes.Contains(text, []byte(maskedPart)) || bytes.Contains(text, []byte(hashBegin)) || bytes.Contains(text, []byte(maskedBegin))
	for _, part := range parts {
		if part.start < at || part.end <= part.start || tokens && inToken(text, part) {
			continue
		}
		out = append(out, text[at:part.start]...)
		if r.Action != Drop {
			out = r.replace(p, out, text[part.start:part.end], false)
		}
		at = part.end
	}
	if at == 0 {
		return text, same, false
	}
	out = append(out, text[at:]...)
	if bytes.Equal(out, text) {
		return text, same, false
	}
	return out, changed, false
}

// find finds the parts of a text that the pattern and the detectors select, in order.
func (r *compiled) find(parts []part, text []byte) []part {
	if r.regexp != nil {
		for _, m := range r.regexp.FindAllIndex(text, -1) {
			parts = append(parts, part{m[0], m[1]})
		}
	}
	for _, d := range r.detect {
		n := len(parts)
		if parts = d(parts, text); n > 0 && len(parts) > n {
			sortParts(parts)
		}
	}
	return parts
}

// replace appends the replacement of a value.
func (r *compiled) replace(p *Program, out, value []byte, whole bool) []byte {
	switch r.Action {
	case KeepLast:
		out = append(out, maskedLast...)
		if utf8.RuneCount(value) >= leastKept {
			at := len(value)
			for range lastKept {
				_, n := utf8.DecodeLastRune(value[:at])
				at -= n
			}
			out = append(out, value[at:]...)
		}
		return out
	case Hash:
		mac := hmac.New(sha256.New, p.key)
		mac.Write(value)
		return hex.AppendEncode(append(out, hashBegin...), mac.Sum(nil)[:hashDigits/2])
	}
	if whole {
		return append(append(append(out, maskedBegin...), r.Name...), ']')
	}
	return append(out, maskedPart...)
}
