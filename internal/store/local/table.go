package local

import (
	"hash/maphash"
)

// table finds the newest copy of a settled trace. It takes 8 bytes a slot, about 13 a
// trace: it has no keys, but compares them with the entries of the blocks. It has
// shards, so that growing never takes long. The catalog's mutex guards it.
type table struct {
	seed   maphash.Seed
	shards [64]shard
	blocks []*sealed // by slot; nil where free
	count  int64
}

// shard is an open-addressing hash table. A slot is 0 (free), or the upper 16
// bits of the hash, the block's slot (16 bits) and the entry plus one (32 bits).
type shard struct {
	slots []uint64
	used  int
}

func newTable() *table { return &table{seed: maphash.MakeSeed()} }

// register gives a block its slot.
func (t *table) register(b *sealed) {
	for i, other := range t.blocks {
		if other == nil {
			t.blocks[i], b.slot = b, uint16(i)
			return
		}
	}
	b.slot = uint16(len(t.blocks))
	t.blocks = append(t.blocks, b)
}

// release frees a block's slot; no slot of a shard may refer to it any more.
func (t *table) release(b *sealed) { t.blocks[b.slot] = nil }

func (t *table) hash(k key) (uint64, *shard) {
	h := maphash.Comparable(t.seed, k)
	return h, &t.shards[h&63]
}

func (t *table) pack(h uint64, p place) uint64 {
	return h>>48<<48 | uint64(p.block.slot)<<32 | uint64(p.entry+1)
}

func (t *table) place(slot uint64) place {
	return place{t.blocks[uint16(slot>>32)], int(uint32(slot)) - 1}
}

// find returns the slot of a key, or the free one where it belongs.
func (s *shard) find(t *table, h uint64, k key) (at int, found bool) {
	mask := len(s.slots) - 1
	for at = int(h>>8) & mask; s.slots[at] != 0; at = (at + 1) & mask {
		if s.slots[at]>>48 == h>>48 && t.place(s.slots[at]).key() == k {
			return at, true
		}
	}
	return at, false
}

// get returns the place of a trace's newest copy.
func (t *table) get(k key) (place, bool) {
	h, s := t.hash(k)
	if len(s.slots) == 0 {
		return place{}, false
	}
	at, found := s.find(t, h, k)
	if !found {
		return place{}, false
	}
	return t.place(s.slots[at]), true
}

// put sets the place of a trace's newest copy, and returns the one before.
func (t *table) put(k key, p place) (old place, had bool) {
	h, s := t.hash(k)
	if (s.used+1)*4 > len(s.slots)*3 {
		t.grow(s)
	}
	at, found := s.find(t, h, k)
	if found {
		old = t.place(s.slots[at])
	} else {
		s.used++
		t.count++
	}
	s.slots[at] = t.pack(h, p)
	return old, found
}

func (t *table) grow(s *shard) {
	old := s.slots
	s.slots = make([]uint64, max(8, 2*len(old)))
	mask := len(s.slots) - 1
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		h, _ := t.hash(t.place(slot).key())
		at := int(h>>8) & mask
		for s.slots[at] != 0 {
			at = (at + 1) & mask
		}
		s.slots[at] = slot
	}
}

// remove forgets a trace if its newest copy is at a place.
func (t *table) remove(k key, p place) {
	h, s := t.hash(k)
	if len(s.slots) == 0 {
		return
	}
	at, found := s.find(t, h, k)
	if !found || t.place(s.slots[at]) != p {
		return
	}
	s.used--
	t.count--
	mask := len(s.slots) - 1
	// Those behind move up, so that no search ends at the gap.
	for next := (at + 1) & mask; ; next = (next + 1) & mask {
		slot := s.slots[next]
		if slot == 0 {
			s.slots[at] = 0
			return
		}
		h, _ := t.hash(t.place(slot).key())
		home := int(h>>8) & mask
		if (next-home)&mask >= (next-at)&mask {
			s.slots[at] = slot
			at = next
		}
	}
}
