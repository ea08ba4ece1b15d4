package scrub

import "github.com/fluoro-io/fluoro/internal/decode/otlp"

// The quick pass looks at all sequences of three bytes of a text. A text without one of
// the sequences below holds nothing for the default rules. Each kind of sequence has one
// bit in three lanes of a table: for its last byte, for the middle one, for the first one.
// So one pass costs about a nanosecond a byte, whatever it looks for.
const (
	// The end of a name of a credential before = or :, in documents also before a quote.
	// One kind for each last letter: password, secret, credentials, key and cookie, token,
	// credential.
	endD = 1 << iota
	endT
	endS
	endY
	endN
	endL
	midWord    // passphrase, passcode, x-amz-signature
	aQuote     // = : ' behind a quote, a blank or a bracket
	anAt       // @
	aJWT       // eyJ
	anAWS      // AKI, ASI, AIz …
	aPEM       // --B, glp
	aScheme    // Bearer, Basic or Token, and a blank
	aLow       // prefixes of tokens: ghp_ …
	aHyphen    // xox, sk-
	aBackslash // in documents: a text with escapes
)

const lane = 16 // bits

type sequences [256]uint64

// inText and inJSON are the tables for the text of a value and for a JSON document.
var inText, inJSON sequences

func (t *sequences) add(kind uint64, first, middle, last string) {
	set := func(bytes string, shift int) {
		if bytes == "" {
			for i := range t {
				t[i] |= kind << shift
			}
		}
		for i := range len(bytes) {
			t[bytes[i]] |= kind << shift
		}
	}
	set(first, 2*lane)
	set(middle, lane)
	set(last, 0)
}

func init() {
	for _, t := range []*sequences{&inText, &inJSON} {
		signs, quoted := "=:", "\"'\\] \t-_."
		if t == &inJSON {
			// A quote ends each name of a document. Quotes inside of a text are escaped.
			signs, quoted = "=:\"", "'] \t-_."
			t.add(aBackslash, "", "", "\\")
		}
		t.add(endD, "rRwW", "dD", signs)
		t.add(endT, "eE", "tT", signs)
		t.add(endS, "dDtTyYlLeE", "sS", signs)
		t.add(endY, "eEiI", "yYeE", signs)
		t.add(endN, "eEoO", "nN", signs)
		t.add(endL, "aAnN", "lLgG", signs)
		t.add(midWord, "pPsSmM", "hHsSzZ", "rRcCsS-_")
		t.add(aQuote, "", quoted, signs+"'")
		t.add(anAt, "", "", "@")
		t.add(aJWT, "e", "y", "J")
		t.add(anAWS, "A", "KSBIC", "IzC")
		t.add(aPEM, "-g", "-l", "Bp")
		t.add(aScheme, "eEiI", "rRcCnN", " \t+")
		t.add(aLow, "havsp", "pousretm1", "_")
		t.add(aHyphen, "xs", "ok", "x-")
	}
}

// any tells whether one of the sequences occurs in a text.
func (t *sequences) any(text []byte) bool {
	// Before the text stands nothing; a sign there is behind no name.
	var last uint64 = anAt<<lane | anAt<<(2*lane) | aBackslash<<lane | aBackslash<<(2*lane) | aQuote<<(2*lane)
	var hit uint64
	pair := last & (last >> lane)
	for _, c := range text {
		v := t[c]
		hit |= v & (pair >> lane)
		pair, last = v&(last>>lane), v
	}
	return hit&(1<<lane-1) != 0
}

// suspicious tells whether the default detectors may find something in a text. It may
// give false positives, never false negatives.
func suspicious(text []byte) bool { return inText.any(text) && confirmed(text) }

// confirmed looks more closely at a text in which a sequence occurs.
func confirmed(text []byte) bool {
	for i := range text {
		if confirm(text, i) {
			return true
		}
	}
	return false
}

// confirm looks at the surroundings of the last byte of a sequence.
func confirm(text []byte, i int) bool {
	switch text[i] {
	case '=', ':':
		return sensitiveBefore(text, i) != harmless
	case '\'':
		return keywordBefore(text, i)
	case '@':
		return true
	case 'J':
		return i >= 2 && text[i-2] == 'e' && text[i-1] == 'y'
	case 'I', 'C', 'z':
		return i >= 2 && text[i-2] == 'A'
	case ' ', '\t', '+':
		return schemeBefore(text, i) > 0
	case '-':
		return prefixAt(text, i+1) > 0 || i >= 4 && i+1 < len(text) && text[i+1] == 'B'
	case '_':
		return prefixAt(text, i+1) > 0
	}
	return false
}

// suspects tells whether the default rules may change a document. It may give false
// positives, never false negatives.
func (w *walker) suspects(doc []byte) bool {
	t := &inJSON
	var pair, last uint64
	for i, c := range doc {
		v := t[c]
		if v&(pair>>lane)&(1<<lane-1) != 0 && w.confirmJSON(doc, i) {
			return w.suspectsText(doc)
		}
		pair, last = v&(last>>lane), v
	}
	return false
}

// confirmJSON is confirm for the text of a document.
func (w *walker) confirmJSON(doc []byte, i int) bool {
	switch doc[i] {
	case '\\':
		return true // a text with escapes
	case '"':
		if next := run(doc, i+1, blank); next == len(doc) || doc[next] != ':' && doc[next] > ' ' {
			return false // a value
		}
		start := i
		for start > 0 && doc[start-1] != '"' {
			start--
		}
		return w.program.byKey(doc[start:i]) != 0
	case 'r', 'R', 'c', 'C':
		if i >= 2 && (equalFold(doc[i-2:i+1], "phr") || equalFold(doc[i-2:i+1], "ssc") || equalFold(doc[i-2:i+1], "mzc")) {
			return true
		}
	case 'x', 'p', 'B': // xox, glp, --B
		return true
	case '-', '_', 's', 'S':
		if i >= 2 && (equalFold(doc[i-2:i], "mz") || equalFold(doc[i-2:i], "sk")) {
			return true
		}
	}
	return confirm(doc, i)
}

// endings has the last two bytes of names of credentials: one lane for the last byte, one
// for the byte before it.
var endings sequences

func init() {
	signs := "'\"] \t-_./:["
	endings.add(1, "", "rRwW", "dD")
	endings.add(2, "", "sSdDrRiI", "eE")
	endings.add(4, "", "eE", "tT")
	endings.add(8, "", "dDtTyYlLeE", "sS")
	endings.add(16, "", "eE", "yY")
	endings.add(32, "", "eEoO", "nN")
	endings.add(64, "", "aAnN", "lLgG")
	endings.add(128, "", "", signs)
}

// unlikelyName tells from the last two bytes of a name that it names no credential.
func unlikelyName(name []byte) bool {
	n := len(name)
	return n < 2 || endings[name[n-1]]&(endings[name[n-2]]>>lane)&(1<<lane-1) == 0
}

// cleanSpan tells that the default rules change nothing in a span. It knows the common
// fields in their common form; false for others means nothing.
func (w *walker) cleanSpan(b []byte) bool {
	for i := 0; i < len(b); {
		tag := b[i]
		switch tag {
		case 7<<3 | otlp.Fixed64, 8<<3 | otlp.Fixed64:
			i += 9
			continue
		case 6<<3 | otlp.Varint:
			if i+1 >= len(b) || b[i+1] >= 0x80 {
				return false
			}
			i += 2
			continue
		case 0x85: // flags, 16<<3|otlp.Fixed32
			if i+1 >= len(b) || b[i+1] != 1 {
				return false
			}
			i += 6
			continue
		case 1<<3 | otlp.Bytes, 2<<3 | otlp.Bytes, 3<<3 | otlp.Bytes, 4<<3 | otlp.Bytes, 5<<3 | otlp.Bytes, 9<<3 | otlp.Bytes:
		default:
			return false
		}
		if i+2 >= len(b) {
			return i+2 == len(b) && b[i+1] == 0
		}
		size, at := int(b[i+1]), i+2
		if size >= 0x80 {
			if b[at] >= 0x80 {
				return false
			}
			size, at = size&0x7f|int(b[at])<<7, at+1
		}
		if i = at + size; i > len(b) {
			return false
		}
		data := b[at:i]
		switch tag {
		case 3<<3 | otlp.Bytes, 5<<3 | otlp.Bytes:
			if inText.any(data) {
				return false
			}
		case 9<<3 | otlp.Bytes:
			if !w.cleanPair(data) {
				return false
			}
		}
	}
	return true
}

// cleanPair tells the same of a KeyValue.
func (w *walker) cleanPair(b []byte) bool {
	if len(b) < 2 || b[0] != 1<<3|otlp.Bytes || b[1] >= 0x80 {
		return false
	}
	end := 2 + int(b[1])
	if len(b) < end+4 || b[end] != 2<<3|otlp.Bytes {
		return false
	}
	if key := b[2:end]; !unlikelyName(key) && w.program.byKey(key) != 0 {
		return false
	}
	size, at := int(b[end+1]), end+2
	if size >= 0x80 {
		if b[at] >= 0x80 {
			return false
		}
		size, at = size&0x7f|int(b[at])<<7, at+1
	}
	if at+size != len(b) || size < 2 {
		return false
	}
	v := b[at:]
	switch v[0] {
	case 1<<3 | otlp.Bytes:
		size, at = int(v[1]), 2
		if size >= 0x80 {
			if len(v) < 3 || v[2] >= 0x80 {
				return false
			}
			size, at = size&0x7f|int(v[2])<<7, 3
		}
		return at+size == len(v) && !inText.any(v[at:])
	case 3<<3 | otlp.Varint, 2<<3 | otlp.Varint:
		return v[len(v)-1] < 0x80 && len(v) <= 3 // one number and nothing behind it
	case 4<<3 | otlp.Fixed64:
		return len(v) == 9
	}
	return false
}
