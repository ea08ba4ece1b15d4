package block

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Flags are the yes-or-no facts of a trace.
type Flags uint8

// The flags of a trace.
const (
	Fault Flags = 1 << iota
	Error
	Throttle
	InProgress
	// Backward: an entity ends before the trace starts, so that Start is no bound of
	// its ends.
	Backward
	// many, in blocks of version 4: the trace has tokens that were not kept.
	_
	// Named: Services are the names that nodes have today. An older program named
	// callees otherwise: without this flag Services exclude nothing.
	Named
)

// Unknown stands for a response time or duration that a trace does not have.
const Unknown = time.Duration(math.MinInt64)

// Info describes a trace in the index of a block: its order, and the facts that tell
// that no filter selects it, without reading the trace.
type Info struct {
	Account  trace.Account
	ID       trace.ID
	LSN      uint64 // of the last entry of the log that the copy has
	Start    trace.Time
	End      trace.Time // 0: nothing completed
	Updated  trace.Time
	First    trace.Time // received
	Response time.Duration
	Duration time.Duration
	Segments int
	Flags    Flags
	Services []string // names of all nodes
	Keys     []string // of annotations
	Slow     []uint8  // of each of Services; nil: not known
	Tokens   []uint32 // of Tokens.Kept; the postings have them, the index does not
}

// Entry is the short form of an Info in memory: names are numbers of the block's tables.
type Entry struct {
	ID                 trace.ID
	Start, End         trace.Time
	Updated, First     trace.Time
	Response, Duration time.Duration
	LSN                uint64
	chunk, pos         uint32 // which chunk, and where in it
	Segments           uint32
	services, keys     uint32 // numbers of name sets
	account            uint16
	Flags              Flags
}

// chunkRef locates a row group of the table of entities, or its footer.
type chunkRef struct {
	offset                      int64
	stored, rows, sum, received uint32 // received: about how many bytes its rows were
}

// index is a block without its row groups.
type index struct {
	accounts []trace.Account
	names    []string
	shared   bool // some names are shared by several
	sets     sets
	chunks   []chunkRef
	foot     chunkRef
	traces   chunkRef // all of the table of traces
	entries  []Entry  // by start, then id
	slow     slowest
	buckets  []bucketRef // of postings
	shift    int         // by how many bits a token is shifted for its bucket
	tokens   uint64      // pairs of token and entry in all postings
	choice   Choice
	unnamed  bool // some entry is not Named
	legacy   bool // of version 4: there are no postings
}

// slowest has the longest time of each member of the set of services of each entry.
type slowest struct {
	bytes []byte
	ends  []uint32
}

func (s *slowest) of(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = s.ends[i-1]
	}
	return s.bytes[from:s.ends[i]:s.ends[i]]
}

func (s *slowest) add(codes []uint8) {
	s.bytes = append(s.bytes, codes...)
	s.ends = append(s.ends, uint32(len(s.bytes)))
}

// sets are sets of numbers of names, one after the other, each ascending. There are
// about as many as traces.
type sets struct{ numbers, ends []uint32 }

func (s *sets) len() int { return len(s.ends) }

func (s *sets) of(set uint32) []uint32 {
	from := uint32(0)
	if set > 0 {
		from = s.ends[set-1]
	}
	return s.numbers[from:s.ends[set]]
}

func (s *sets) add(numbers []uint32) {
	s.numbers = append(s.numbers, numbers...)
	s.ends = append(s.ends, uint32(len(s.numbers)))
}

// info returns the long form of an entry.
func (x *index) info(i int) Info {
	e := &x.entries[i]
	return Info{
		Account: x.accounts[e.account], ID: e.ID, LSN: e.LSN, Start: e.Start, End: e.End, Updated: e.Updated, First: e.First,
		Response: e.Response, Duration: e.Duration, Segments: int(e.Segments), Flags: e.Flags,
		Services: x.strings(e.services), Keys: x.strings(e.keys), Slow: slices.Clone(x.slow.of(i)),
	}
}

func (x *index) strings(set uint32) []string {
	numbers := x.sets.of(set)
	out := make([]string, len(numbers))
	for i, n := range numbers {
		out[i] = x.names[n]
	}
	return out
}

// encodedBytes is about the length of an encoded entry without its facts.
const encodedBytes = 45

// encode writes the index (docs/format/store.md): tables, then entries. Numbers that
// grow slowly are differences from the entry before.
func (x *index) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(x.accounts)))
	for _, a := range x.accounts {
		b = appendText(b, string(a))
	}
	b = binary.AppendUvarint(b, uint64(len(x.names)))
	for _, n := range x.names {
		b = appendText(b, n)
	}
	b = binary.AppendUvarint(b, uint64(x.sets.len()))
	for i := range uint32(x.sets.len()) {
		set := x.sets.of(i)
		b = binary.AppendUvarint(b, uint64(len(set)))
		for _, n := range set {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(x.chunks)))
	for _, c := range append(x.chunks[:len(x.chunks):len(x.chunks)], x.foot, x.traces) {
		b = binary.AppendUvarint(b, uint64(c.offset))
		b = binary.AppendUvarint(b, uint64(c.stored))
		b = binary.AppendUvarint(b, uint64(c.rows))
		b = binary.AppendUvarint(b, uint64(c.received))
		b = binary.LittleEndian.AppendUint32(b, c.sum)
	}
	b = binary.AppendUvarint(b, uint64(len(x.entries)))
	var last Entry
	for i := range x.entries {
		e := &x.entries[i]
		b = append(b, e.ID[:]...)
		b = append(b, byte(e.Flags))
		b = binary.AppendVarint(b, int64(e.Start-last.Start))
		b = binary.AppendVarint(b, int64(e.End-e.Start))
		b = binary.AppendVarint(b, int64(e.Updated-e.Start))
		b = binary.AppendVarint(b, int64(e.First-e.Updated))
		b = binary.AppendVarint(b, int64(e.Duration-time.Duration(e.End-e.Start)))
		b = binary.AppendVarint(b, int64(e.Response-e.Duration))
		b = binary.AppendVarint(b, int64(e.LSN-last.LSN))
		if e.chunk != last.chunk {
			last.pos = 0
		}
		b = binary.AppendVarint(b, int64(e.chunk)-int64(last.chunk))
		b = binary.AppendVarint(b, int64(e.pos)-int64(last.pos))
		b = binary.AppendUvarint(b, uint64(e.Segments))
		b = binary.AppendUvarint(b, uint64(e.services))
		b = binary.AppendUvarint(b, uint64(e.keys))
		b = binary.AppendUvarint(b, uint64(e.account))
		b = append(b, x.slow.of(i)...)
		last = *e
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(x.choice))
	b = append(b, byte(x.shift))
	b = binary.AppendUvarint(b, x.tokens)
	before := uint32(0)
	for _, r := range x.buckets {
		b = binary.AppendUvarint(b, uint64(r.end-before))
		b = binary.LittleEndian.AppendUint32(b, r.sum)
		before = r.end
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decodeIndex decodes the bytes of encode and checks every number that is used as an
// index. An index of version 4 has tokens in the place of postings; it leaves them out,
// as they have none of attributes.
func decodeIndex(b []byte, version uint32) (*index, error) {
	d := &Decoder{buf: b, end: len(b)}
	x := &index{legacy: version == oldVersion}
	d.accounts(x)
	for range d.count(1) {
		x.names = append(x.names, string(d.Blob()))
		x.shared = x.shared || isBucket(x.names[len(x.names)-1])
	}
	for range d.count(1) {
		d.set(x)
	}
	for range d.count(8) {
		x.chunks = append(x.chunks, d.chunkRef())
	}
	x.foot, x.traces = d.chunkRef(), d.chunkRef()
	n := d.count(len(trace.ID{}) + 13)
	x.entries = make([]Entry, n)
	x.slow.ends = make([]uint32, 0, n)
	var last Entry
	for i := range x.entries {
		e := &x.entries[i]
		e.ID = d.ID()
		if flags := d.Bytes(1); flags != nil {
			e.Flags = Flags(flags[0])
			x.unnamed = x.unnamed || e.Flags&Named == 0
		}
		e.Start = last.Start + trace.Time(d.varint())
		e.End = e.Start + trace.Time(d.varint())
		e.Updated = e.Start + trace.Time(d.varint())
		e.First = e.Updated + trace.Time(d.varint())
		e.Duration = time.Duration(e.End-e.Start) + time.Duration(d.varint())
		e.Response = e.Duration + time.Duration(d.varint())
		e.LSN = last.LSN + uint64(d.varint())
		step := d.varint()
		if step != 0 {
			last.pos = 0
		}
		e.chunk = uint32(int64(last.chunk) + step)
		e.pos = uint32(int64(last.pos) + d.varint())
		e.Segments = uint32(d.Uvarint())
		e.services, e.keys = d.below(x.sets.len()), d.below(x.sets.len())
		e.account = uint16(d.below(min(len(x.accounts), math.MaxUint16+1)))
		if d.err == nil && int(e.chunk) >= len(x.chunks) {
			d.fail(fmt.Errorf("chunk %d of %d", e.chunk, len(x.chunks)))
		}
		if d.err != nil {
			return nil, d.err
		}
		if i > 0 && compare(&x.entries[i-1], e.Start, e.ID) > 0 {
			return nil, fmt.Errorf("entry %d is out of order", i)
		}
		x.slow.add(d.Bytes(uint64(len(x.sets.of(e.services)))))
		if x.legacy {
			d.Bytes(4 * uint64(d.count(4)))
		}
		last = *e
	}
	if !x.legacy {
		d.buckets(x)
	}
	// The index stays in memory for long: no spare capacity.
	x.slow.bytes, x.sets = slices.Clone(x.slow.bytes), sets{slices.Clone(x.sets.numbers), slices.Clone(x.sets.ends)}
	if d.err == nil && d.at != d.end {
		d.fail(fmt.Errorf("%d bytes behind the last entry", d.end-d.at))
	}
	return x, d.err
}

// accounts decodes the accounts and refuses one that is there twice: a selector uses the
// first one.
func (d *Decoder) accounts(x *index) {
	seen := map[trace.Account]struct{}{}
	for i := range d.count(1) {
		account := trace.Account(d.Blob())
		if _, twice := seen[account]; twice {
			d.fail(fmt.Errorf("account %d stands twice", i))
		}
		if d.err != nil {
			return
		}
		seen[account] = struct{}{}
		x.accounts = append(x.accounts, account)
	}
}

// set decodes a set of names' numbers and refuses one that does not ascend: a selector
// searches it.
func (d *Decoder) set(x *index) {
	last := -1
	for range d.count(1) {
		n := d.below(len(x.names))
		if int(n) <= last {
			d.fail(fmt.Errorf("a set of names has number %d behind %d", n, last))
		}
		last = int(n)
		x.sets.numbers = append(x.sets.numbers, n)
	}
	x.sets.ends = append(x.sets.ends, uint32(len(x.sets.numbers)))
}

// buckets decodes the places of the postings.
func (d *Decoder) buckets(x *index) {
	if b := d.Bytes(5); b != nil {
		x.choice, x.shift = Choice(binary.LittleEndian.Uint32(b)), int(b[4])
	}
	x.tokens = d.Uvarint()
	if d.err != nil {
		return
	}
	if x.shift > 32 || 1<<(32-x.shift) > min(maxBuckets, (d.end-d.at)/5) {
		d.fail(fmt.Errorf("postings by %d bits", x.shift))
		return
	}
	x.buckets = make([]bucketRef, 1<<(32-x.shift))
	end := uint64(0)
	for i := range x.buckets {
		end += d.Uvarint()
		sum := d.Bytes(4)
		if d.err != nil || end > 1<<32-1 {
			d.fail(errShort)
			return
		}
		x.buckets[i] = bucketRef{uint32(end), binary.LittleEndian.Uint32(sum)}
	}
}

func (d *Decoder) chunkRef() chunkRef {
	c := chunkRef{offset: int64(d.Uvarint()), stored: uint32(d.Uvarint()), rows: uint32(d.Uvarint()), received: uint32(d.Uvarint())}
	if b := d.Bytes(4); b != nil {
		c.sum = binary.LittleEndian.Uint32(b)
	}
	return c
}

// count decodes a number of items, each of at least the given length.
func (d *Decoder) count(least int) int {
	n := d.Uvarint()
	if n > uint64((d.end-d.at)/least) {
		d.fail(errShort)
		return 0
	}
	return int(n)
}

// below decodes a number that must be below a limit.
func (d *Decoder) below(limit int) uint32 {
	n := d.Uvarint()
	if n >= uint64(limit) {
		d.fail(fmt.Errorf("number %d of %d", n, limit))
		return 0
	}
	return uint32(n)
}
