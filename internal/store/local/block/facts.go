package block

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Facts of a trace let a question pass over it that asks for a value it does not
// have or for a service that was not slow: a token, which is a checksum, for each
// value of an annotation and each user, and how slow each service was at most.
// Both may only be wrong in that a trace is read in vain.

// maxTokens is how many tokens of a trace are kept; those of a trace with more
// say nothing.
const maxTokens = 64

// AnnotationToken is the token of a value of an annotation.
func AnnotationToken(key string, v trace.Value) uint32 {
	b := append(append(make([]byte, 0, 64), key...), 0, byte(v.Kind))
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
	return crc32.Checksum(b, castagnoli())
}

// UserToken is the token of a user.
func UserToken(user string) uint32 {
	return crc32.Checksum(append([]byte{1}, user...), castagnoli())
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
