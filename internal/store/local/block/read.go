// Package block keeps settled traces: immutable files of compressed chunks of
// what was received, grouped by trace, with an index that fits in memory and
// that says where each trace is and which queries can want it.
package block

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"encoding/binary"

	"github.com/fluoro-io/fluoro/internal/store/local/vfs"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Block is an open block. Its methods may be called by many goroutines; it is
// immutable, but for its reference count.
type Block struct {
	number uint64
	name   string
	file   vfs.File
	size   int64
	codec  *Codec
	index  *index
	// HighestLSN is the highest of all entries.
	HighestLSN uint64
	// Range bounds the entries' times.
	Range Range

	refs atomic.Int64

	updated     sync.Once
	updatedList []uint32
}

// Range is the least and greatest of several times over all entries of a block.
type Range struct {
	MinStart, MaxStart     trace.Time
	MinEnd, MaxEnd         trace.Time
	MinUpdated, MaxUpdated trace.Time
	MinFirst               trace.Time
	// Backward: some entry has the flag of that name.
	Backward bool
}

// Name is the file name of a block.
func Name(number uint64) string { return fmt.Sprintf("%016x%s", number, suffix) }

// Number is the number in the file name of a block.
func Number(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, suffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	return n, err == nil
}

// IsTemp says whether a file name is of a block that was never finished.
func IsTemp(name string) bool { return strings.HasSuffix(name, suffix+tempSuffix) }

// ErrVersion is of a file that a newer program wrote.
var ErrVersion = errors.New("unknown version of the block format")

// Open opens a block and reads its index. Damage is a *vfs.CorruptError. The
// caller holds the first reference.
func Open(fs vfs.FS, dir string, number uint64, codec *Codec) (*Block, error) {
	b := &Block{number: number, name: filepath.Join(dir, Name(number)), codec: codec}
	b.refs.Store(1)
	var err error
	if b.file, err = fs.Open(b.name); err != nil {
		return nil, fmt.Errorf("open block: %w", err)
	}
	if err := b.load(); err != nil {
		return nil, errors.Join(err, b.file.Close())
	}
	return b, nil
}

func (b *Block) load() (err error) {
	if b.size, err = b.file.Size(); err != nil {
		return fmt.Errorf("open block %s: %w", b.name, err)
	}
	if b.size < headBytes+tailBytes {
		return vfs.Corrupt(b.name, b.size, "the file has %d bytes, fewer than an empty block", b.size)
	}
	head, err := b.read(0, headBytes)
	if err != nil {
		return err
	}
	if err := checkVersion(head[:12], head[8:12], head[12:16]); err != nil {
		return b.wrong(0, err)
	}
	tailAt := b.size - tailBytes
	tail, err := b.read(tailAt, tailBytes)
	if err != nil {
		return err
	}
	if string(head[:8]) != magic || string(tail[40:]) != magic {
		return vfs.Corrupt(b.name, tailAt, "no block ends here")
	}
	if err := checkVersion(tail[:36], tail[32:36], tail[36:40]); err != nil {
		return b.wrong(tailAt, err)
	}
	at, stored, raw := int64(binary.LittleEndian.Uint64(tail)), binary.LittleEndian.Uint32(tail[8:]), binary.LittleEndian.Uint32(tail[12:])
	if at < headBytes || at+int64(stored) != tailAt {
		return vfs.Corrupt(b.name, tailAt, "an index of %d bytes at %d does not end here", stored, at)
	}
	packed, err := b.read(at, int(stored))
	if err != nil {
		return err
	}
	if crc32.Checksum(packed, castagnoli()) != binary.LittleEndian.Uint32(tail[16:]) {
		return vfs.Corrupt(b.name, at, "wrong checksum of the index")
	}
	plain, err := b.codec.unpack(nil, packed, raw)
	if err != nil {
		return vfs.Corrupt(b.name, at, "index: %w", err)
	}
	if b.index, err = decodeIndex(plain); err != nil {
		return vfs.Corrupt(b.name, at, "index: %w", err)
	}
	if n := binary.LittleEndian.Uint32(tail[20:]); len(b.index.entries) != int(n) {
		return vfs.Corrupt(b.name, tailAt, "%d entries, %d announced", len(b.index.entries), n)
	}
	b.HighestLSN = binary.LittleEndian.Uint64(tail[24:])
	b.Range = rangeOf(b.index.entries)
	return nil
}

// checkVersion checks the sum first: a version is only believed if it is right.
func checkVersion(summed, number, sum []byte) error {
	if crc32.Checksum(summed, castagnoli()) != binary.LittleEndian.Uint32(sum) {
		return errors.New("wrong checksum")
	}
	if v := binary.LittleEndian.Uint32(number); v != version {
		return fmt.Errorf("%w: %d, this program knows %d", ErrVersion, v, version)
	}
	return nil
}

func (b *Block) wrong(at int64, err error) error {
	if errors.Is(err, ErrVersion) {
		return fmt.Errorf("block %s: %w", b.name, err)
	}
	return vfs.Corrupt(b.name, at, "%w", err)
}

func (b *Block) read(at int64, n int) ([]byte, error) {
	p := make([]byte, n)
	if m, err := b.file.ReadAt(p, at); m < n {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, vfs.Corrupt(b.name, at+int64(m), "the file ends here")
		}
		return nil, fmt.Errorf("read block %s: %w", b.name, err)
	}
	return p, nil
}

func rangeOf(entries []Entry) Range {
	const least, most = trace.MinTime, trace.MaxTime
	r := Range{most, least, most, least, most, least, most, false}
	for i := range entries {
		e := &entries[i]
		r.MinStart, r.MaxStart = min(r.MinStart, e.Start), max(r.MaxStart, e.Start)
		r.MinEnd, r.MaxEnd = min(r.MinEnd, e.End), max(r.MaxEnd, e.End)
		r.MinUpdated, r.MaxUpdated = min(r.MinUpdated, e.Updated), max(r.MaxUpdated, e.Updated)
		r.MinFirst = min(r.MinFirst, e.First)
		r.Backward = r.Backward || e.Flags&Backward != 0
	}
	return r
}

// Acquire takes a reference.
func (b *Block) Acquire() { b.refs.Add(1) }

// Release gives one back; the last one closes the file.
func (b *Block) Release() {
	if b.refs.Add(-1) == 0 {
		_ = b.file.Close() // it was only read
	}
}

// Number is the block's number, File its path, Size its length in bytes.
func (b *Block) Number() uint64 { return b.number }

// File is the block's path.
func (b *Block) File() string { return b.name }

// Size is the length of the file in bytes.
func (b *Block) Size() int64 { return b.size }

// Len is how many entries there are.
func (b *Block) Len() int { return len(b.index.entries) }

// Entry is an entry by its place in the order of start, then id; it must not
// be changed.
func (b *Block) Entry(i int) *Entry { return &b.index.entries[i] }

// Account is the account of an entry.
func (b *Block) Account(i int) trace.Account { return b.index.accounts[b.index.entries[i].account] }

// Info is all that the index says of an entry.
func (b *Block) Info(i int) Info { return b.index.info(i) }

// Offset is where in the file the chunk begins that holds an entry's trace.
func (b *Block) Offset(i int) int64 { return b.index.chunks[b.index.entries[i].chunk].offset }

// ByUpdated is the places of all entries, in ascending order of Updated, then
// id. It is made when first asked for.
func (b *Block) ByUpdated() []uint32 {
	b.updated.Do(func() {
		entries := b.index.entries
		list := make([]uint32, len(entries))
		for i := range list {
			list[i] = uint32(i)
		}
		slices.SortFunc(list, func(i, j uint32) int {
			x, y := &entries[i], &entries[j]
			switch {
			case x.Updated < y.Updated:
				return -1
			case x.Updated > y.Updated:
				return 1
			}
			return slices.Compare(x.ID[:], y.ID[:])
		})
		b.updatedList = list
	})
	return b.updatedList
}

// Memo keeps the chunk that was read last, for a caller that reads entries in
// order. The zero value is ready; it is for one goroutine.
type Memo struct {
	block *Block
	chunk uint32
	data  []byte
}

// Records reads the records of an entry, in the order of acceptance. They own
// their memory. Damage is a *vfs.CorruptError. memo may be nil.
func (b *Block) Records(i int, memo *Memo) ([]Record, error) {
	if memo == nil {
		memo = &Memo{}
	}
	e := &b.index.entries[i]
	at := b.index.chunks[e.chunk].offset
	if memo.block != b || memo.chunk != e.chunk {
		data, err := b.unpackChunk(b.index.chunks[e.chunk], memo.data)
		if err != nil {
			memo.block = nil
			return nil, err
		}
		*memo = Memo{block: b, chunk: e.chunk, data: data}
	}
	records, err := recordsAt(memo.data, e, b.index.accounts[e.account])
	if err != nil {
		return nil, vfs.Corrupt(b.name, at, "trace %s: %w", e.ID, err)
	}
	return records, nil
}

func (b *Block) unpackChunk(c chunkRef, dst []byte) ([]byte, error) {
	if c.stored > maxChunk || c.offset < headBytes || c.offset+chunkHead+int64(c.stored) > b.size {
		return nil, vfs.Corrupt(b.name, c.offset, "a chunk of %d bytes does not fit", c.stored)
	}
	p, err := b.read(c.offset, chunkHead+int(c.stored))
	if err != nil {
		return nil, err
	}
	stored := p[chunkHead:]
	if binary.LittleEndian.Uint32(p) != c.stored || binary.LittleEndian.Uint32(p[4:]) != c.raw {
		return nil, vfs.Corrupt(b.name, c.offset, "the chunk's head does not agree with the index")
	}
	if crc32.Checksum(stored, castagnoli()) != binary.LittleEndian.Uint32(p[8:]) {
		return nil, vfs.Corrupt(b.name, c.offset, "wrong checksum of a chunk")
	}
	data, err := b.codec.unpack(dst, stored, c.raw)
	if err != nil {
		return nil, vfs.Corrupt(b.name, c.offset, "chunk: %w", err)
	}
	return data, nil
}

// recordsAt reads the records of one trace and copies them, so that keeping
// one does not keep its chunk.
func recordsAt(data []byte, e *Entry, account trace.Account) ([]Record, error) {
	d, err := NewDecoder(data)
	if err != nil {
		return nil, err
	}
	d.Seek(int(e.pos))
	if id, a := d.ID(), d.Blob(); d.err == nil && (id != e.ID || string(a) != string(account)) {
		return nil, fmt.Errorf("found %s of account %q in its place", id, a)
	}
	n := d.count(3)
	if d.err != nil {
		return nil, d.err
	}
	if n != int(e.Segments) || n > math.MaxInt32 {
		return nil, fmt.Errorf("%d records, %d announced", n, e.Segments)
	}
	records := make([]Record, n)
	size := 0
	for i := range records {
		records[i] = d.Record(e.ID)
		size += len(records[i].Raw)
	}
	if d.err != nil {
		return nil, d.err
	}
	own := make([]byte, 0, size)
	scopes := map[*trace.OTLPScope]*trace.OTLPScope{}
	for i := range records {
		r := &records[i]
		start := len(own)
		own = append(own, r.Raw...)
		r.Raw = own[start:len(own):len(own)]
		if r.Scope != nil {
			if scopes[r.Scope] == nil {
				s := *r.Scope
				s.Resource, s.Scope = slices.Clone(s.Resource), slices.Clone(s.Scope)
				scopes[r.Scope] = &s
			}
			r.Scope = scopes[r.Scope]
		}
	}
	return records, nil
}
