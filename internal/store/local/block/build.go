package block

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math"
	"slices"

	"github.com/fluoro-io/fluoro/internal/trace"
)

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
	text      int // bytes of all names
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
	if !ok && (len(b.names) >= maxNames || b.text+len(s) > maxNameBytes) {
		s = bucketOf(s)
		n, ok = b.nameOf[s]
	}
	if !ok {
		b.text += len(s)
		b.shared = b.shared || isBucket(s)
		n = uint32(len(b.names))
		b.names = append(b.names, s)
		b.nameOf[s] = n
	}
	return n
}

// set returns the number of a set of names.
func (b *builder) set(names []string) uint32 {
	b.numbers = b.numbers[:0]
	for _, s := range names {
		b.numbers = append(b.numbers, b.name(s))
	}
	slices.Sort(b.numbers)
	return b.setNumber(slices.Compact(b.numbers))
}

// slowSet returns the number of a set of services, and how slow each member was.
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

// setNumber returns the number of a set of ascending numbers.
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
	entries, slow := 0, 0
	for _, o := range blocks {
		entries, slow = entries+len(o.index.entries), slow+len(o.index.slow.bytes)
	}
	b.entries = slices.Grow(b.entries, entries)
	b.slow.bytes, b.slow.ends = slices.Grow(b.slow.bytes, slow), slices.Grow(b.slow.ends, entries)
}

func (b *builder) add(in *Info, chunk, pos uint32) error {
	account, err := b.account(in.Account)
	if err != nil {
		return err
	}
	services, slow := b.slowSet(in.Services, in.Slow)
	b.slow.add(slow)
	b.entries = append(b.entries, Entry{
		ID: in.ID, Start: in.Start, End: in.End, Updated: in.Updated, First: in.First, Response: in.Response, Duration: in.Duration,
		LSN: in.LSN, chunk: chunk, pos: pos, Segments: uint32(in.Segments), services: services, keys: b.set(in.Keys),
		account: account, Flags: in.Flags,
	})
	return nil
}
