package scrub

import (
	"bytes"
	"encoding/base64"
	"maps"
	"slices"
)

// part is a part of a text.
type part struct{ start, end int }

// detector appends the parts of a text that it recognises, in order and apart.
type detector func(parts []part, text []byte) []part

var detectors = map[string]detector{
	"card": findCards, "email": findMails, "iban": findIBANs, "jwt": findJWTs, "aws-key": findAWSKeys, "bearer": findBearers,
	"password": findPasswords, "private-key": findPrivateKeys, "api-token": findAPITokens, "sql": findLiterals,
}

// Detectors lists the names of all detectors.
func Detectors() []string { return slices.Sorted(maps.Keys(detectors)) }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isAlnum(c byte) bool { return isDigit(c) || isLetter(c) }

// isWord is true for the bytes of names, and for all bytes of other scripts.
func isWord(c byte) bool { return isAlnum(c) || c == '_' || c >= 0x80 }

func isBase64URL(c byte) bool { return isAlnum(c) || c == '-' || c == '_' }

// run returns the offset behind the bytes from i on for which ok is true.
func run(text []byte, i int, ok func(byte) bool) int {
	for i < len(text) && ok(text[i]) {
		i++
	}
	return i
}

// findJWTs finds JSON web tokens and encrypted ones: base64url parts with dots between, the
// first of them a JSON object (RFC 7519, section 3; RFC 7516, section 3).
func findJWTs(parts []part, text []byte) []part {
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte("eyJ"))
		if i < 0 {
			return parts
		}
		start := at + i
		at = start + 3
		if start > 0 && isBase64URL(text[start-1]) {
			continue
		}
		end := run(text, start, isBase64URL)
		dots := 0
		for dots < 4 && end < len(text) && text[end] == '.' {
			next := run(text, end+1, isBase64URL)
			if next == end+1 && dots == 0 {
				break
			}
			end = next
			dots++
		}
		if dots >= 2 && end-start >= 20 && isJSONHeader(text[start:]) {
			parts = append(parts, part{start, end})
			at = end
		}
	}
}

// isJSONHeader tells whether the first part of a token decodes to the begin of an object.
func isJSONHeader(token []byte) bool {
	var out [6]byte
	if len(token) < 8 {
		return false
	}
	_, err := base64.RawURLEncoding.Decode(out[:], token[:8])
	return err == nil && out[0] == '{' && out[1] == '"'
}

// findAWSKeys finds access key ids of users and sessions (IAM user guide, "Understanding
// unique ID prefixes": AKIA, ASIA, ABIA, ACCA) and, near one, secret access keys: 40
// characters of base64.
func findAWSKeys(parts []part, text []byte) []part {
	upper := func(c byte) bool { return 'A' <= c && c <= 'Z' || isDigit(c) }
	found := false
	for i := 0; i+20 <= len(text); i++ {
		if text[i] != 'A' || i > 0 && isAlnum(text[i-1]) {
			continue
		}
		switch string(text[i : i+4]) {
		case "AKIA", "ASIA", "ABIA", "ACCA":
			if end := run(text, i, upper); end == i+20 && (end == len(text) || !isAlnum(text[end])) {
				parts = append(parts, part{i, end})
				found = true
				i = end - 1
			}
		}
	}
	if !found {
		return parts
	}
	before := len(parts)
	base64 := func(c byte) bool { return isAlnum(c) || c == '/' || c == '+' }
	for i := 0; i < len(text); i++ {
		if !base64(text[i]) {
			continue
		}
		end := run(text, i, base64)
		if end-i == 40 && !isHex(text[i:end]) {
			parts = append(parts, part{i, end})
		}
		i = end
	}
	if len(parts) > before {
		slices.SortFunc(parts, func(a, b part) int { return a.start - b.start })
	}
	return parts
}

func isHex(text []byte) bool {
	return run(text, 0, func(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }) == len(text)
}

// schemeBefore returns the length of an authentication scheme that ends before the blank
// at i: Bearer, Basic, Token, Digest …; 0 if there is none.
func schemeBefore(text []byte, i int) int {
	for _, s := range [...]string{"bearer", "basic", "token"} {
		if i >= len(s) && equalFold(text[i-len(s):i], s) && (i == len(s) || !isWord(text[i-len(s)-1])) {
			return len(s)
		}
	}
	return 0
}

// equalFold compares ASCII text with a text in lower case.
func equalFold(text []byte, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for i := range len(lower) {
		if c := text[i]; c != lower[i] && !('A' <= c && c <= 'Z' && c|0x20 == lower[i]) {
			return false
		}
	}
	return true
}

// findBearers finds the credentials behind the words Bearer, Basic and Token (RFC 6750,
// section 2.1; RFC 7617).
func findBearers(parts []part, text []byte) []part {
	token68 := func(c byte) bool {
		return isAlnum(c) || c == '-' || c == '.' || c == '_' || c == '~' || c == '+' || c == '/' || c == '=' || c == '%' || c == '*'
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != ' ' && c != '\t' && c != '+' {
			continue
		}
		n := schemeBefore(text, i)
		if n == 0 {
			continue
		}
		start := run(text, i, func(c byte) bool { return c == ' ' || c == '\t' || c == '+' })
		end := run(text, start, token68)
		if credential(text[start:end], n == len("basic") && text[i-1]|0x20 == 'c') {
			parts = append(parts, part{start, end})
			i = end
		}
	}
	return parts
}

// credential tells whether the text behind a scheme is a credential and no word of a
// sentence.
func credential(token []byte, basic bool) bool {
	if isToken(token) {
		return false
	}
	if basic {
		plain, err := base64.RawStdEncoding.DecodeString(string(bytes.TrimRight(token, "=")))
		return err == nil && bytes.IndexByte(plain, ':') >= 0
	}
	return len(token) >= 20 || len(token) >= 6 && bytes.ContainsAny(token, "0123456789")
}

// findPrivateKeys finds private keys in PEM form (RFC 7468), also with escaped ends of
// lines; a key without its end continues to the end of the text.
func findPrivateKeys(parts []part, text []byte) []part {
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte("-----BEGIN "))
		if i < 0 {
			return parts
		}
		start := at + i
		at = start + len("-----BEGIN ")
		label := run(text, at, func(c byte) bool { return 'A' <= c && c <= 'Z' || c == ' ' || isDigit(c) })
		if !bytes.Contains(text[at:label], []byte("PRIVATE KEY")) || !bytes.HasPrefix(text[label:], []byte("-----")) {
			continue
		}
		end := len(text)
		if e := bytes.Index(text[label:], []byte("-----END ")); e >= 0 {
			end = label + e + len("-----END ")
			end = run(text, end, func(c byte) bool { return 'A' <= c && c <= 'Z' || c == ' ' || isDigit(c) })
			end = run(text, end, func(c byte) bool { return c == '-' })
		}
		parts = append(parts, part{start, end})
		at = end
	}
}

// tokenPrefixes are the prefixes of tokens that their issuers document, with the least
// number of characters behind them.
var tokenPrefixes = []struct {
	prefix string
	least  int
}{
	{"ghp_", 30}, {"gho_", 30}, {"ghu_", 30}, {"ghs_", 30}, {"ghr_", 30}, {"github_pat_", 22}, // GitHub
	{"glpat-", 20},                                                                           // GitLab
	{"xoxb-", 20}, {"xoxp-", 20}, {"xoxa-", 20}, {"xoxs-", 20}, {"xoxr-", 20}, {"xoxe-", 20}, // Slack
	{"sk_live_", 16}, {"rk_live_", 16}, {"sk_test_", 16}, // Stripe
	{"npm_", 36}, {"dop_v1_", 60}, {"shpat_", 32}, // npm, DigitalOcean, Shopify
	{"sk-ant-", 20}, {"sk-proj-", 20}, {"sk-", 40}, // Anthropic, OpenAI
}

// prefixAt returns the least length of a token whose prefix ends before i, with the
// prefix; 0 if no prefix ends there or the token is shorter.
func prefixAt(text []byte, i int) int {
	for k := range tokenPrefixes {
		p := &tokenPrefixes[k]
		start := i - len(p.prefix)
		if start < 0 || string(text[start:i]) != p.prefix || start > 0 && isWord(text[start-1]) {
			continue
		}
		if end := run(text, i, isBase64URL); end-i >= p.least {
			return len(p.prefix)
		}
	}
	return 0
}

// findAPITokens finds tokens by the prefixes of their issuers.
func findAPITokens(parts []part, text []byte) []part {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '_', '-':
			if n := prefixAt(text, i+1); n > 0 {
				end := run(text, i+1, isBase64URL)
				parts = append(parts, part{i + 1 - n, end})
				i = end
			}
		case 'A': // Google: AIza and 35 characters
			if len(text)-i >= 39 && string(text[i:i+4]) == "AIza" && (i == 0 || !isWord(text[i-1])) {
				if end := run(text, i, isBase64URL); end == i+39 {
					parts = append(parts, part{i, end})
					i = end
				}
			}
		}
	}
	return parts
}
