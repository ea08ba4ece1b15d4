package block

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Facts of a trace let a question pass over it that asks for a value it does not
// have or for a service that was not slow: a token, which is a checksum, for each
// value of an annotation and each user, and how slow each service was at most.
// Both may only be wrong in that a trace is read in vain.

// maxTokens is how many tokens of a trace are kept; those of a trace with more
// say nothing, so that it is read for each question.
const maxTokens = 4096

// Tokens collects tokens. The zero value is ready.
type Tokens struct {
	List    []uint32
	scratch []byte
}

// Annotation adds the token of a value of an annotation.
func (t *Tokens) Annotation(key string, v trace.Value) {
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
	t.add(b)
}

// User adds the token of a user.
func (t *Tokens) User(user string) { t.add(append(append(t.scratch[:0], 1), user...)) }

func (t *Tokens) add(b []byte) {
	t.List = append(t.List, crc32.Checksum(b, castagnoli()))
	t.scratch = b
}

// Slow makes a time small: eight steps for each doubling from 1 us on, 0 for none.
// It never decreases.
func Slow(d time.Duration) uint8 {
	us := uint64(max(d, 0)) / 1000
	if us == 0 {
		return 0
	}
	octave := bits.Len64(us) - 1
	step := us << 3 >> octave & 7
	return uint8(min(254, uint64(octave)<<3+step+1))
}

// unknownSlow is of a service of which it is not known.
const unknownSlow = 255

// facts are those of all entries, one behind the other: for each name of the
// entry's set of services how slow it was, then the tokens.
type facts struct {
	bytes []byte
	ends  []uint32
}

func (f *facts) of(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = f.ends[i-1]
	}
	return f.bytes[from:f.ends[i]]
}

// add adds an entry's facts.
func (f *facts) add(slow []uint8, tokens []uint32) {
	f.bytes = append(f.bytes, slow...)
	for _, t := range tokens {
		f.bytes = binary.LittleEndian.AppendUint32(f.bytes, t)
	}
	f.ends = append(f.ends, uint32(len(f.bytes)))
}

// hasToken says whether there is a token among the bytes of some.
func hasToken(tokens []byte, want uint32) bool {
	for ; len(tokens) >= 4; tokens = tokens[4:] {
		if binary.LittleEndian.Uint32(tokens) == want {
			return true
		}
	}
	return false
}

// postings find the entries that have a token. They are made when a question
// first asks for one, and take about 5 bytes for each token.
type postings struct {
	shift   int
	begins  []uint32 // of each bucket, and behind them the end of the last
	entries []uint32 // by bucket, which the upper bits of a token say; ascending
	many    []uint32 // entries whose tokens are not kept
}

// bucket is about how many tokens share a bucket.
const bucket = 4

func (x *index) postings() *postings {
	x.posted.Do(func() {
		n, at := 0, 0
		for i := range x.entries {
			_, tokens := x.factsOf(i)
			n += len(tokens) / 4
		}
		p := &postings{shift: 32 - bits.Len(uint(n/bucket)), entries: make([]uint32, n)}
		p.begins = make([]uint32, 1<<(32-p.shift)+1)
		each := func(visit func(entry int, to *uint32)) {
			for i := range x.entries {
				_, tokens := x.factsOf(i)
				for ; len(tokens) >= 4; tokens = tokens[4:] {
					visit(i, &p.begins[uint64(binary.LittleEndian.Uint32(tokens))>>p.shift])
				}
			}
		}
		each(func(_ int, to *uint32) { *to++ })
		for i, count := range p.begins {
			p.begins[i], at = uint32(at), at+int(count)
		}
		each(func(i int, to *uint32) {
			p.entries[*to] = uint32(i)
			*to++
		})
		// Each bucket begins now where it ended.
		copy(p.begins[1:], p.begins)
		p.begins[0] = 0
		for i := range x.entries {
			if x.entries[i].Flags&Many != 0 {
				p.many = append(p.many, uint32(i))
			}
		}
		x.posts = p
	})
	return x.posts
}

// find is the entries that may have a token, ascending; not all of them do.
func (p *postings) find(token uint32) []uint32 {
	at := uint64(token) >> p.shift
	found := slices.Concat(p.entries[p.begins[at]:p.begins[at+1]], p.many)
	slices.Sort(found)
	return slices.Compact(found)
}
