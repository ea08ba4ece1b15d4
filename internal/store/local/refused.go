package local

import (
	"encoding/binary"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Joining a trace shows which of its observations contradict others; they are not
// shown. Whoever sent them is told at once when that is seen without reading a
// block: when an id comes a second time while its trace is open. All others are
// found when the trace settles.

// maxRepeated bounds the segments of a trace that are looked through while their
// sender waits: a larger trace is looked at when it settles.
const maxRepeated = 20_000

// repeatedOf lists the traces of a batch that were open with the same segments.
func (s *Shelf) repeatedOf(c *commit) (list []store.Repeated) {
	for _, r := range c.repeated {
		own := inParts(r.parts[len(r.parts)-1:])
		ids := make(map[trace.SegmentID]bool, len(own))
		for seg := range own {
			ids[seg.ID] = true
		}
		var same []*trace.Segment
		n := 0
		for i := range r.parts {
			n += len(r.parts[i].segments)
			for _, seg := range r.parts[i].segments {
				if ids[seg.ID] {
					same = append(same, seg)
				}
			}
		}
		if n > maxRepeated {
			continue
		}
		list = append(list, store.Repeated{
			ID: r.id, Segments: same, New: func(seg *trace.Segment) bool { return own[seg] },
			Told: func(refused []trace.Refused) { s.tell(key{c.account, r.id}, refused) },
		})
	}
	return list
}

func inParts(parts []part) map[*trace.Segment]bool {
	in := map[*trace.Segment]bool{}
	for i := range parts {
		for _, seg := range parts[i].segments {
			in[seg] = true
		}
	}
	return in
}

// tell notes that the sender of some observations is told.
func (s *Shelf) tell(k key, refused []trace.Refused) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.head.get(k)
	if o == nil {
		return // it settles just now
	}
	if o.told == nil {
		o.told = map[*trace.Entity]bool{}
	}
	for _, x := range refused {
		o.told[x.Entity] = true
	}
}

// newlyRefused lists what a trace that settles does not show, of which nobody was
// told yet: what its open parts brought that contradicts anything.
func (s *Shelf) newlyRefused(src *source, t *trace.Trace) (refused []trace.Refused) {
	if len(t.Refused) == 0 {
		return nil
	}
	own := inParts(src.parts)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, x := range t.Refused {
		if own[x.In] && !(src.open != nil && src.open.told[x.Entity]) {
			refused = append(refused, x)
		}
	}
	return refused
}

// idSet is a set of segment ids. The zero value is empty.
type idSet struct {
	few   [8]uint64 // all there are, up to so many: most traces need no table
	slots []uint64  // 0: free
	n     int
	zero  bool
}

// maxIDs bounds the ids of a set. What comes beyond is not looked at before its
// trace settles.
const maxIDs = maxRepeated

// add adds an id and says whether it was there.
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

// grow makes a table twice as large as that of some ids, of 32 places at least.
func (s *idSet) grow(ids []uint64) {
	s.slots = make([]uint64, max(32, 2*len(ids)))
	for _, id := range ids {
		if id != 0 {
			s.slots[s.slot(id)] = id
		}
	}
}

// slot is where an id is, or belongs.
func (s *idSet) slot(id uint64) int {
	mask := len(s.slots) - 1
	at := int(id*0x9e3779b97f4a7c15>>32) & mask
	for s.slots[at] != 0 && s.slots[at] != id {
		at = (at + 1) & mask
	}
	return at
}
