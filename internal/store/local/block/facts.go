package block

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// With the facts of a trace a question skips it if it has no such value or no such slow
// service: a token, which is a checksum, for each value of an annotation and more
// (postings.go), and the longest time of each service. Both may give false positives,
// never false negatives.

// maxTokens bounds the tokens of a trace; each question reads a trace with more.
const maxTokens = 1 << 20

// The kind of a token, as the byte behind the first 0 of the summed bytes. Values of
// annotations have their kinds, 1 to 3, behind the key.
const (
	ofKey      = 0 // behind the key: the trace has the annotation
	ofAnyValue = 4 // behind the key: it has a value that has no token
	ofAnyKey   = 5 // behind no key: it has annotations that have no tokens
	ofUser     = 1 // in front
	ofAnyUser  = 2 // in front: it has users that have no tokens
	ofFailed   = 3 // in front, then the outcome: an entity of a service failed
)

// Tokens collects the distinct tokens of a trace. The zero value is ready.
type Tokens struct {
	List    []uint32
	scratch []byte
	// seen is a table of tokens, each with its round in the upper bits.
	seen  []uint64
	round uint64
}

// Reset begins the next trace.
func (t *Tokens) Reset() {
	t.List = t.List[:0]
	t.round++
}

// Add adds the tokens of another list.
func (t *Tokens) Add(list []uint32) {
	for _, token := range list {
		t.add(token)
	}
}

// Annotation adds the token of a value of an annotation, and returns it and whether it
// is new.
func (t *Tokens) Annotation(key string, v trace.Value) (token uint32, isNew bool) {
	n := len(t.List)
	token = t.add(t.annotation(key, v))
	return token, len(t.List) > n
}

func (t *Tokens) annotation(key string, v trace.Value) uint32 {
	b := append(append(t.scratch[:0], key...), 0, byte(v.Kind))
	switch v.Kind {
	case trace.NumberValue:
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v.Number+0)) // -0 equals 0
	case trace.BoolValue:
		if v.Bool {
			b = append(b, 1)
		}
	default:
		b = append(b, v.String...)
	}
	return t.sum(b)
}

// Key adds the token of a key: the trace has the annotation. The token is the number of
// the key in other tables, too.
func (t *Tokens) Key(key string) uint32 { return t.add(t.key(key)) }

func (t *Tokens) key(key string) uint32 {
	return t.sum(append(append(t.scratch[:0], key...), 0, ofKey))
}

// AnyValue adds that the trace has values of an annotation without tokens.
func (t *Tokens) AnyValue(key string) { t.add(t.anyValue(key)) }

func (t *Tokens) anyValue(key string) uint32 {
	return t.sum(append(append(t.scratch[:0], key...), 0, ofAnyValue))
}

func (t *Tokens) anyKey() uint32 { return t.sum(append(t.scratch[:0], 0, ofAnyKey)) }

// User adds the token of a user.
func (t *Tokens) User(user string) { t.add(t.user(user)) }

func (t *Tokens) user(user string) uint32 {
	return t.sum(append(append(t.scratch[:0], ofUser), user...))
}

func (t *Tokens) anyUser() uint32 { return t.sum(append(t.scratch[:0], ofAnyUser)) }

// Failed adds an outcome of an entity of a service; there may be several.
func (t *Tokens) Failed(service string, o trace.Outcome) { t.add(t.failed(service, o)) }

func (t *Tokens) failed(service string, o trace.Outcome) uint32 {
	return t.sum(append(append(t.scratch[:0], ofFailed, byte(o)), service...))
}

func (t *Tokens) anyFailed() uint32 { return t.sum(append(t.scratch[:0], ofFailed)) }

func (t *Tokens) sum(b []byte) uint32 {
	t.scratch = b
	return crc32.Checksum(b, castagnoli())
}

// add adds a token unless it is there.
func (t *Tokens) add(token uint32) uint32 {
	if 2*len(t.List) >= len(t.seen) {
		t.grow()
	}
	mask := uint64(len(t.seen) - 1)
	want := t.round<<32 | uint64(token)
	for at := uint64(token) * 0x9e3779b97f4a7c15 >> 32 & mask; ; at = (at + 1) & mask {
		switch {
		case t.seen[at] == want:
			return token
		case t.seen[at]>>32 != t.round: // free
			t.seen[at] = want
			t.List = append(t.List, token)
			return token
		}
	}
}

// grow makes the table twice as large.
func (t *Tokens) grow() {
	list := t.List
	t.seen = make([]uint64, max(256, 2*len(t.seen)))
	t.List = t.List[:0]
	t.round = 1 // new memory is all 0
	for _, token := range list {
		t.add(token)
	}
}

// Kept returns the tokens of the trace; if there are too many, those of Whatever.
func (t *Tokens) Kept() []uint32 {
	if len(t.List) <= maxTokens {
		return t.List
	}
	return t.Whatever()
}

// Whatever returns tokens with which each question reads the trace.
func (t *Tokens) Whatever() []uint32 { return []uint32{t.anyKey(), t.anyUser(), t.anyFailed()} }

// Slow encodes a time in a byte: eight steps for each doubling from 1 us on, 0 for none.
// A longer time never has a smaller code.
func Slow(d time.Duration) uint8 {
	us := uint64(max(d, 0)) / 1000
	if us == 0 {
		return 0
	}
	octave := bits.Len64(us) - 1
	step := us << 3 >> octave & 7
	return uint8(min(254, uint64(octave)<<3+step+1))
}

// unknownSlow is the code of an unknown time.
const unknownSlow = 255
