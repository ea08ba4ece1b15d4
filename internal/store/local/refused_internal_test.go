package local

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
)

func TestIDSet(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, among := range []uint64{2, 9, 40, 5000} {
		var s idSet
		known := map[uint64]bool{}
		for range 3 * among {
			n := rnd.Uint64N(among) // 0, too
			var id trace.SegmentID
			binary.BigEndian.PutUint64(id[:], n)
			if got := s.add(id); got != known[n] {
				t.Fatalf("of %d ids: %d was there: %v, want %v", among, n, got, known[n])
			}
			known[n] = true
		}
	}
}
