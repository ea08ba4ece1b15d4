package columnar

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
)

// dictionary assigns numbers to values. It stores values in Parquet's plain
// encoding. Each value belongs to a section; the written dictionary is ordered by
// section, because similar values compress much better together.
type dictionary struct {
	fixed    int // bytes of each value, 0: a length of 4 bytes precedes each
	data     []byte
	entries  []entry
	slots    []uint32 // number of an entry + 1
	starts   []uint32 // scratch of plain
	places   []uint32
	order    []uint32
	sections int
	last     uint32
}

type entry struct {
	hash    uint32
	section uint32
	at, end uint32 // of data, without the length
	next    uint32 // the entry that followed this one last time
}

var seed = maphash.MakeSeed()

// put returns the number of a value, and adds the value if it is new.
func (d *dictionary) put(section uint32, s string) uint32 {
	if len(d.entries) > 0 {
		// Rows are alike: often the value equals the last one, or the one that
		// followed it before.
		if d.is(d.last, section, s) {
			return d.last
		}
		if next := d.entries[d.last].next; d.is(next, section, s) {
			d.last = next
			return next
		}
	}
	n := d.find(section, s)
	d.entries[d.last].next, d.last = n, n
	return n
}

func (d *dictionary) is(n, section uint32, s string) bool {
	e := &d.entries[n]
	return e.section == section && string(d.data[e.at:e.end]) == s
}

// find returns the number of a value by hash, and adds the value if it is new.
func (d *dictionary) find(section uint32, s string) uint32 {
	if 2*len(d.entries) >= len(d.slots) {
		d.grow()
	}
	hash := uint32(maphash.String(seed, s)) ^ section*0x9e3779b1
	mask := uint32(len(d.slots) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		n := d.slots[at]
		if n == 0 {
			n = d.add(entry{hash: hash, section: section}, s)
			d.slots[at] = n + 1
			return n
		}
		if d.entries[n-1].hash == hash && d.is(n-1, section, s) {
			return n - 1
		}
	}
}

func (d *dictionary) add(e entry, s string) uint32 {
	if d.fixed == 0 {
		d.data = binary.LittleEndian.AppendUint32(d.data, uint32(len(s)))
	}
	e.at = uint32(len(d.data))
	d.data = append(d.data, s...)
	e.end = uint32(len(d.data))
	d.entries = append(d.entries, e)
	d.sections = max(d.sections, int(e.section)+1)
	return uint32(len(d.entries) - 1)
}

func (d *dictionary) grow() {
	d.slots = make([]uint32, max(64, 4*len(d.slots)))
	mask := uint32(len(d.slots) - 1)
	for i := range d.entries {
		at := d.entries[i].hash & mask
		for d.slots[at] != 0 {
			at = (at + 1) & mask
		}
		d.slots[at] = uint32(i) + 1
	}
}

// plain returns the values in plain encoding, and the place of each number. places
// is nil if the values are in order of their numbers; it is valid until the next
// call.
func (d *dictionary) plain(to []byte) (values []byte, places []uint32) {
	if d.sections < 2 {
		return append(to, d.data...), nil
	}
	starts := zeros(&d.starts, d.sections+1)
	for i := range d.entries {
		starts[d.entries[i].section+1]++
	}
	for i := 1; i < len(starts); i++ {
		starts[i] += starts[i-1]
	}
	places, order := zeros(&d.places, len(d.entries)), zeros(&d.order, len(d.entries))
	for i := range d.entries {
		s := d.entries[i].section
		places[i] = starts[s]
		order[starts[s]] = uint32(i)
		starts[s]++
	}
	before := uint32(4)
	if d.fixed > 0 {
		before = 0
	}
	for _, i := range order {
		to = append(to, d.data[d.entries[i].at-before:d.entries[i].end]...)
	}
	return to, places
}

// zeros returns n zeros in a reused slice.
func zeros(s *[]uint32, n int) []uint32 {
	if cap(*s) < n {
		*s = make([]uint32, n+n/4)
	}
	*s = (*s)[:n]
	clear(*s)
	return *s
}

// bounds returns the lowest and the highest value.
func (d *dictionary) bounds() (least, greatest []byte) {
	for i := range d.entries {
		v := d.data[d.entries[i].at:d.entries[i].end]
		if i == 0 || bytes.Compare(v, least) < 0 {
			least = v
		}
		if i == 0 || bytes.Compare(v, greatest) > 0 {
			greatest = v
		}
	}
	return least, greatest
}

func (d *dictionary) reset() {
	if 8*len(d.entries) < len(d.slots) {
		d.slots = make([]uint32, max(64, len(d.slots)/4))
	} else {
		clear(d.slots)
	}
	d.data, d.entries, d.sections, d.last = d.data[:0], d.entries[:0], 0, 0
}
