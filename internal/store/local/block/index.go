package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Flags are what an index knows of a trace besides numbers.
type Flags uint8

// The flags of a trace.
const (
	Fault Flags = 1 << iota
	Error
	Throttle
	InProgress
	// Backward: an entity ends before the trace starts, so that Start bounds
	// no end.
	Backward
	// Many: the trace has more tokens than are kept.
	Many
)

// Unknown is the response time or duration of a trace that has none.
const Unknown = time.Duration(math.MinInt64)

// Info is what a block's index says of a trace: enough to order it and to tell
// that a query does not want it, without reading the trace.
type Info struct {
	Account  trace.Account
	ID       trace.ID
	LSN      uint64 // of the last entry of the log that the copy holds
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
	Tokens   []uint32 // of its annotations and users
}

// Entry is an Info in memory, made small: names are numbers of the block's tables.
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

// EntryBytes is about what an entry costs in memory, facts included.
const EntryBytes = 144

// chunkRef says where a row group of the table of entities is, or its footer.
type chunkRef struct {
	offset                      int64
	stored, rows, sum, received uint32 // received: about how many bytes its rows were
}

// index is everything of a block that is not chunks.
type index struct {
	accounts []trace.Account
	names    []string
	sets     sets
	chunks   []chunkRef
	foot     chunkRef
	traces   chunkRef // all of the table of traces
	entries  []Entry  // by start, then id
	facts    facts
	posted   sync.Once
	posts    *postings
}

// sets are sets of numbers of names, one behind the other, each ascending. There
// are about as many as traces.
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

// builder makes an index, giving names and sets of names their numbers.
type builder struct {
	index
	accountOf map[trace.Account]uint16
	nameOf    map[string]uint32
	setOf     map[uint64]uint32 // by hash, or the next one that is free
	scratch   []byte
	numbers   []uint32
	pairs     []uint64
	codes     []uint8
}

func newBuilder() *builder {
	b := &builder{accountOf: map[trace.Account]uint16{}, nameOf: map[string]uint32{}, setOf: map[uint64]uint32{}}
	b.set(nil) // number 0 is the empty set
	return b
}

func (b *builder) account(a trace.Account) (uint16, error) {
	if n, ok := b.accountOf[a]; ok {
		return n, nil
	}
	if len(b.accounts) > math.MaxUint16 {
		return 0, errors.New("block: more than 65536 accounts")
	}
	n := uint16(len(b.accounts))
	b.accounts = append(b.accounts, a)
	b.accountOf[a] = n
	return n, nil
}

func (b *builder) name(s string) uint32 {
	n, ok := b.nameOf[s]
	if !ok {
		n = uint32(len(b.names))
		b.names = append(b.names, s)
		b.nameOf[s] = n
	}
	return n
}

// set is the number of a set of names.
func (b *builder) set(names []string) uint32 {
	b.numbers = b.numbers[:0]
	for _, s := range names {
		b.numbers = append(b.numbers, b.name(s))
	}
	slices.Sort(b.numbers)
	return b.setNumber(slices.Compact(b.numbers))
}

// slowSet is the number of the set of services, and how slow each member was.
func (b *builder) slowSet(names []string, slow []uint8) (uint32, []uint8) {
	b.pairs = b.pairs[:0]
	for i, s := range names {
		code := uint8(unknownSlow)
		if slow != nil {
			code = slow[i]
		}
		b.pairs = append(b.pairs, uint64(b.name(s))<<8|uint64(code))
	}
	slices.Sort(b.pairs)
	b.numbers, b.codes = b.numbers[:0], b.codes[:0]
	for _, p := range b.pairs {
		n, code := uint32(p>>8), uint8(p)
		if last := len(b.numbers) - 1; last >= 0 && b.numbers[last] == n {
			b.codes[last] = code // the greater one: it comes later
			continue
		}
		b.numbers, b.codes = append(b.numbers, n), append(b.codes, code)
	}
	return b.setNumber(b.numbers), b.codes
}

// setNumber is the number of a set of ascending numbers.
func (b *builder) setNumber(numbers []uint32) uint32 {
	b.scratch = b.scratch[:0]
	for _, n := range numbers {
		b.scratch = binary.AppendUvarint(b.scratch, uint64(n))
	}
	for hash := maphash.Bytes(seed, b.scratch); ; hash++ {
		n, ok := b.setOf[hash]
		if !ok {
			n = uint32(b.sets.len())
			b.sets.add(numbers)
			b.setOf[hash] = n
			return n
		}
		if slices.Equal(b.sets.of(n), numbers) {
			return n
		}
	}
}

// expect makes room for all entries of some blocks.
func (b *builder) expect(blocks []*Block) {
	entries, facts := 0, 0
	for _, o := range blocks {
		entries, facts = entries+len(o.index.entries), facts+len(o.index.facts.bytes)
	}
	b.entries = slices.Grow(b.entries, entries)
	b.facts.bytes, b.facts.ends = slices.Grow(b.facts.bytes, facts), slices.Grow(b.facts.ends, entries)
}

func (b *builder) add(in *Info, chunk, pos uint32) error {
	account, err := b.account(in.Account)
	if err != nil {
		return err
	}
	services, slow := b.slowSet(in.Services, in.Slow)
	flags, tokens := in.Flags, in.Tokens
	if len(tokens) > maxTokens {
		flags, tokens = flags|Many, nil
	}
	b.facts.add(slow, tokens)
	b.entries = append(b.entries, Entry{
		ID: in.ID, Start: in.Start, End: in.End, Updated: in.Updated, First: in.First, Response: in.Response, Duration: in.Duration,
		LSN: in.LSN, chunk: chunk, pos: pos, Segments: uint32(in.Segments), services: services, keys: b.set(in.Keys),
		account: account, Flags: flags,
	})
	return nil
}

// info is the long form of an entry.
func (x *index) info(i int) Info {
	e := &x.entries[i]
	slow, packed := x.factsOf(i)
	var tokens []uint32
	for ; len(packed) >= 4; packed = packed[4:] {
		tokens = append(tokens, binary.LittleEndian.Uint32(packed))
	}
	return Info{
		Account: x.accounts[e.account], ID: e.ID, LSN: e.LSN, Start: e.Start, End: e.End, Updated: e.Updated, First: e.First,
		Response: e.Response, Duration: e.Duration, Segments: int(e.Segments), Flags: e.Flags,
		Services: x.strings(e.services), Keys: x.strings(e.keys), Slow: slices.Clone(slow), Tokens: tokens,
	}
}

// factsOf are an entry's facts: how slow each member of its set of services was,
// and its tokens.
func (x *index) factsOf(i int) (slow, tokens []byte) {
	b := x.facts.of(i)
	n := len(x.sets.of(x.entries[i].services))
	return b[:n:n], b[n:]
}

func (x *index) strings(set uint32) []string {
	numbers := x.sets.of(set)
	out := make([]string, len(numbers))
	for i, n := range numbers {
		out[i] = x.names[n]
	}
	return out
}

// encodedBytes is about what an entry without its facts takes when it is encoded.
const encodedBytes = 45

// encode writes the index (docs/format/store.md): tables, then entries, each
// number as the difference from the entry before where that makes it small.
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
		slow, tokens := x.factsOf(i)
		b = append(b, slow...)
		b = binary.AppendUvarint(b, uint64(len(tokens)/4))
		b = append(b, tokens...)
		last = *e
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decodeIndex reads what encode wrote and checks every number that something
// is looked up with.
func decodeIndex(b []byte) (*index, error) {
	d := &Decoder{buf: b, end: len(b)}
	x := &index{}
	for range d.count(1) {
		x.accounts = append(x.accounts, trace.Account(d.Blob()))
	}
	for range d.count(1) {
		x.names = append(x.names, string(d.Blob()))
	}
	for range d.count(1) {
		for range d.count(1) {
			x.sets.numbers = append(x.sets.numbers, d.below(len(x.names)))
		}
		x.sets.ends = append(x.sets.ends, uint32(len(x.sets.numbers)))
	}
	for range d.count(8) {
		x.chunks = append(x.chunks, d.chunkRef())
	}
	x.foot, x.traces = d.chunkRef(), d.chunkRef()
	n := d.count(len(trace.ID{}) + 14)
	x.entries = make([]Entry, n)
	x.facts.bytes = make([]byte, 0, max(0, d.end-d.at-n*encodedBytes))
	x.facts.ends = make([]uint32, 0, n)
	var last Entry
	for i := range x.entries {
		e := &x.entries[i]
		e.ID = d.ID()
		if flags := d.Bytes(1); flags != nil {
			e.Flags = Flags(flags[0])
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
		e.account = uint16(d.below(len(x.accounts)))
		if d.err == nil && int(e.chunk) >= len(x.chunks) {
			d.fail(fmt.Errorf("chunk %d of %d", e.chunk, len(x.chunks)))
		}
		if d.err != nil {
			return nil, d.err
		}
		x.facts.bytes = append(x.facts.bytes, d.Bytes(uint64(len(x.sets.of(e.services))))...)
		x.facts.bytes = append(x.facts.bytes, d.Bytes(4*uint64(d.count(4)))...)
		x.facts.ends = append(x.facts.ends, uint32(len(x.facts.bytes)))
		last = *e
	}
	// What is kept for long is as small as it can be.
	x.facts.bytes, x.sets = slices.Clone(x.facts.bytes), sets{slices.Clone(x.sets.numbers), slices.Clone(x.sets.ends)}
	if d.err == nil && d.at != d.end {
		d.fail(fmt.Errorf("%d bytes behind the last entry", d.end-d.at))
	}
	return x, d.err
}

func (d *Decoder) chunkRef() chunkRef {
	c := chunkRef{offset: int64(d.Uvarint()), stored: uint32(d.Uvarint()), rows: uint32(d.Uvarint()), received: uint32(d.Uvarint())}
	if b := d.Bytes(4); b != nil {
		c.sum = binary.LittleEndian.Uint32(b)
	}
	return c
}

// count reads how many things follow, each of at least so many bytes.
func (d *Decoder) count(least int) int {
	n := d.Uvarint()
	if n > uint64((d.end-d.at)/least) {
		d.fail(errShort)
		return 0
	}
	return int(n)
}

// below reads a number that must be below a limit.
func (d *Decoder) below(limit int) uint32 {
	n := d.Uvarint()
	if n >= uint64(limit) {
		d.fail(fmt.Errorf("number %d of %d", n, limit))
		return 0
	}
	return uint32(n)
}

// Selector prunes by an account and a filter's bounds. It says yes to every
// trace that the filter can select. It is for one goroutine.
type Selector struct {
	x        *index
	account  int // -1: none of this block
	bounds   filter.Bounds
	services *named
	keys     *named
	tokens   []uint32
	slow     []slowService
	either   [][]*Selector
}

// slowService is the number of a name, and how slow the service must have been.
type slowService struct {
	name uint32
	code uint8
}

// Select prepares a selector for this block.
func (b *Block) Select(account trace.Account, bounds filter.Bounds) *Selector {
	s := b.index.selector(bounds)
	s.account = slices.Index(b.index.accounts, account)
	return s
}

func (x *index) selector(bounds filter.Bounds) *Selector {
	s := &Selector{x: x, bounds: bounds, services: x.having(bounds.Services), keys: x.having(bounds.AnnotationKeys)}
	var tokens Tokens
	for _, a := range bounds.Annotations {
		tokens.Annotation(a.Key, a.Value)
	}
	for _, u := range bounds.Users {
		tokens.User(u)
	}
	s.tokens = tokens.List
	for _, slow := range bounds.Slow {
		if n := slices.Index(x.names, slow.Name); n >= 0 { // else services says no
			s.slow = append(s.slow, slowService{uint32(n), Slow(slow.Least)})
		}
	}
	for _, alternatives := range bounds.Either {
		var list []*Selector
		for _, b := range alternatives {
			list = append(list, x.selector(b))
		}
		s.either = append(s.either, list)
	}
	return s
}

// named finds the sets that have all of some names; nil allows all. There may be
// about as many sets as traces: each is looked at when it is first asked for.
type named struct {
	x       *index
	names   []uint32
	missing bool   // no set has some name
	known   []byte // of each set: 0, no or yes
}

const (
	no byte = iota + 1
	yes
)

func (x *index) having(names []string) *named {
	if len(names) == 0 {
		return nil
	}
	n := &named{x: x, known: make([]byte, x.sets.len())}
	for _, name := range names {
		i := slices.Index(x.names, name)
		if i < 0 {
			n.missing = true
			return n
		}
		n.names = append(n.names, uint32(i))
	}
	return n
}

// in says whether a set has all the names.
func (n *named) in(set uint32) bool {
	if n == nil || n.known[set] == yes {
		return true
	}
	if n.missing || n.known[set] == no {
		return false
	}
	n.known[set] = yes
	for _, name := range n.names {
		if _, ok := slices.BinarySearch(n.x.sets.of(set), name); !ok {
			n.known[set] = no
		}
	}
	return n.known[set] == yes
}

// Nothing says that no entry of the block can be selected.
func (s *Selector) Nothing() bool {
	return s.account < 0 || s.services != nil && s.services.missing || s.keys != nil && s.keys.missing
}

// Account says whether an entry is of the account.
func (s *Selector) Account(e *Entry) bool { return int(e.account) == s.account }

// Entries is the only entries that Match can select, ascending, if they are few and
// can be found without a look at the others.
func (s *Selector) Entries() (entries []uint32, ok bool) {
	for _, token := range s.tokens {
		if found := s.x.postings().find(token); !ok || len(found) < len(entries) {
			entries, ok = found, true
		}
	}
	return entries, ok
}

// Match says whether the filter can select the entry of a number.
func (s *Selector) Match(i int) bool {
	e := &s.x.entries[i]
	if !s.services.in(e.services) || !s.keys.in(e.keys) {
		return false
	}
	b := &s.bounds
	if !inside(e.Response, b.MinResponse, b.MaxResponse) || !inside(e.Duration, b.MinDuration, b.MaxDuration) ||
		!agrees(b.Fault, e.Flags&Fault) || !agrees(b.Error, e.Flags&Error) || !agrees(b.Throttle, e.Flags&Throttle) {
		return false
	}
	if s.slow != nil || s.tokens != nil {
		slow, tokens := s.x.factsOf(i)
		for _, want := range s.slow {
			if at, ok := slices.BinarySearch(s.x.sets.of(e.services), want.name); ok && slow[at] < want.code {
				return false
			}
		}
		for _, want := range s.tokens {
			if e.Flags&Many == 0 && !hasToken(tokens, want) {
				return false
			}
		}
	}
	for _, alternatives := range s.either {
		if !slices.ContainsFunc(alternatives, func(a *Selector) bool { return a.Match(i) }) {
			return false
		}
	}
	return true
}

func inside(d time.Duration, lowest, highest *time.Duration) bool {
	if lowest == nil && highest == nil {
		return true
	}
	return d != Unknown && (lowest == nil || d >= *lowest) && (highest == nil || d <= *highest)
}

func agrees(want *bool, flag Flags) bool { return want == nil || *want == (flag != 0) }
