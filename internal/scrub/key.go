package scrub

import (
	"bytes"
	"sync/atomic"
)

// sensitivity is how a name tells that its value is a credential.
type sensitivity uint8

const (
	harmless sensitivity = iota
	// aToken: token, key, secret: in running text also an ordinary word.
	aToken
	// aPassword: the value is secret whatever it looks like.
	aPassword
	// aHeader: the value continues to the end of its line.
	aHeader
)

// maxNormal is how many bytes of a name are compared, from its end.
const maxNormal = 64

// normal writes the last part of a name in lower case, without - _ and blanks. The last
// part begins behind the last dot, slash, colon or bracket.
func normal(into *[maxNormal]byte, name []byte) []byte {
	n := len(into)
	for i := len(name) - 1; i >= 0 && n > 0; i-- {
		c := name[i]
		switch {
		case c == '-' || c == '_' || c == ' ' || c == ']' && n == len(into) || c == '"' || c == '\'':
			continue
		case c == '.' || c == '/' || c == ':' || c == '[' || c == ']':
			if n == len(into) {
				continue
			}
			return into[n:]
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		n--
		into[n] = c
	}
	return into[n:]
}

// secretEnds are the ends of names of credentials.
var secretEnds = []struct {
	end  string
	kind sensitivity
}{
	{"password", aPassword}, {"passwords", aPassword}, {"passwd", aPassword}, {"passphrase", aPassword}, {"passcode", aPassword}, {"pwd", aPassword},
	{"secret", aToken}, {"secrets", aToken}, {"secretkey", aPassword}, {"secretaccesskey", aPassword}, {"secretstring", aPassword},
	{"apikey", aPassword}, {"apikeys", aPassword}, {"apisecret", aPassword}, {"privatekey", aPassword}, {"signingkey", aPassword}, {"encryptionkey", aPassword},
	{"accesskey", aPassword}, {"masterkey", aPassword}, {"sharedkey", aPassword}, {"accountkey", aPassword}, {"subscriptionkey", aPassword}, {"authkey", aPassword},
	{"sessionkey", aPassword}, {"credential", aToken}, {"credentials", aToken}, {"xamzsignature", aPassword}, {"xamzcredential", aPassword},
	{"authorization", aHeader}, {"cookie", aHeader}, {"cookies", aHeader}, {"token", aToken},
}

// harmlessTokens are the beginnings of names that end in token and hold no credential:
// positions in lists, idempotency keys, parts of language models.
var harmlessTokens = map[string]bool{
	"next": true, "page": true, "nextpage": true, "prevpage": true, "continuation": true, "nextcontinuation": true, "pagination": true, "starting": true, "start": true,
	"marker": true, "client": true, "clientrequest": true, "idempotency": true, "lock": true, "sync": true, "nextsync": true, "resume": true, "resumption": true, "cancellation": true,
	"stop": true, "eos": true, "bos": true, "pad": true, "unk": true, "sep": true, "perinput": true, "peroutput": true, "per": true, "unexpected": true, "max": true,
}

// accessKeyID is an attribute in which AWS's distribution of OpenTelemetry puts the id of
// the caller's access key. The id is no secret.
const accessKeyID = "aws.auth.account.access_key"

// sensitive classifies a normalised name.
func sensitive(name []byte) sensitivity {
	if len(name) < len("pwd") {
		return harmless
	}
	switch name[len(name)-1] {
	case 'd', 's', 'e', 'g', 't', 'n', 'y', 'l':
	default:
		return harmless
	}
	for i := range secretEnds {
		end := secretEnds[i].end
		if len(name) >= len(end) && string(name[len(name)-len(end):]) == end {
			if end == "token" && harmlessTokens[string(name[:len(name)-len(end)])] {
				return harmless
			}
			return secretEnds[i].kind
		}
	}
	return harmless
}

// glob matches a text with * for any characters; both in lower case.
func glob(pattern, text []byte) bool {
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// folded writes a text in lower case, without - and _ if loose.
func folded(dst, text []byte, loose bool) []byte {
	for _, c := range text {
		switch {
		case loose && (c == '-' || c == '_'):
		case 'A' <= c && c <= 'Z':
			dst = append(dst, c+'a'-'A')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// keyPattern is a key of a rule, folded. plain ones have no dot: they also match the last
// part of a name.
type keyPattern struct {
	text  []byte
	plain bool
}

func newKeyPattern(key string) keyPattern {
	text := folded(nil, []byte(key), true)
	return keyPattern{text, !bytes.ContainsAny(text, "./")}
}

// matches takes a folded name.
func (k *keyPattern) matches(name []byte) bool {
	if glob(k.text, name) {
		return true
	}
	if i := bytes.LastIndexAny(name, "./"); k.plain && i >= 0 {
		return glob(k.text, name[i+1:])
	}
	return false
}

// memory remembers which rules select a name, for the names that occurred most recently.
// It never locks and never grows.
type memory struct {
	slots [memorySlots]atomic.Pointer[remembered]
}

const (
	memorySlots   = 1 << memoryBits
	memoryBits    = 8
	rememberedKey = 64 // bytes of the longest name that is remembered
)

type remembered struct {
	name  string
	rules uint64
}

// slot chooses a slot by the length of a name and its bytes at both ends.
func (m *memory) slot(name []byte) *atomic.Pointer[remembered] {
	n := len(name)
	var h uint64
	if n >= 8 {
		h = load8(name) ^ load8(name[n-8:])*0x9E3779B97F4A7C15
	} else {
		for _, c := range name {
			h = h<<8 | uint64(c)
		}
	}
	h = (h ^ uint64(n)) * 0x9E3779B97F4A7C15
	return &m.slots[h>>(64-memoryBits)]
}

func load8(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
