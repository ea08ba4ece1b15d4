package local

import (
	"encoding/binary"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// maxRepeated bounds the segments that are compared while their sender waits: a larger
// trace is compared when it settles.
const maxRepeated = 20_000

// idSet is a set of segment ids. The zero value is empty.
type idSet struct {
	few   [8]uint64 // the first ids: most traces need no table
	slots []uint64  // 0: free
	n     int
	zero  bool
}

// maxIDs bounds the ids of a set. Segments beyond are compared when their trace
// settles.
const maxIDs = maxRepeated

// add adds an id and tells whether the set had it.
func (s *idSet) add(segment trace.SegmentID) (was bool) {
	id := binary.BigEndian.Uint64(segment[:])
	if id == 0 {
		was, s.zero = s.zero, true
		return was
	}
	if s.slots == nil {
		for _, known := range s.few[:s.n] {
			if known == id {
				return true
			}
		}
		if s.n < len(s.few) {
			s.few[s.n] = id
			s.n++
			return false
		}
		s.grow(s.few[:])
	}
	switch {
	case s.n >= maxIDs:
		return false
	case 2*s.n >= len(s.slots):
		s.grow(s.slots)
	}
	at := s.slot(id)
	if s.slots[at] == id {
		return true
	}
	s.slots[at] = id
	s.n++
	return false
}

// grow makes a table that is twice as long as a list of ids, and at least 32 places, and
// adds them.
func (s *idSet) grow(ids []uint64) {
	s.slots = make([]uint64, max(32, 2*len(ids)))
	for _, id := range ids {
		if id != 0 {
			s.slots[s.slot(id)] = id
		}
	}
}

// slot returns the place of an id in the table.
func (s *idSet) slot(id uint64) int {
	mask := len(s.slots) - 1
	at := int(id*0x9e3779b97f4a7c15>>32) & mask
	for s.slots[at] != 0 && s.slots[at] != id {
		at = (at + 1) & mask
	}
	return at
}
