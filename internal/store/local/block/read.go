// Package block stores settled traces in immutable files: compressed row groups of the
// received documents and spans, grouped by trace, with an index that fits in memory. The
// index has the place of each trace and the facts by which questions skip it.
package block

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"encoding/binary"

	"github.com/fluoro-io/fluoro/internal/store/local/columnar"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Block is an open block. Its methods may be called by many goroutines. It is immutable,
// except for its reference count.
type Block struct {
	number uint64
	dir    string
	name   string
	file   vfs.File
	size   int64
	codec  *Codec
	fs     vfs.FS

	entities     vfs.File
	entitiesSize int64
	groups       []columnar.Places
	index        *index
	stripes      []receipts
	rollup       vfs.File
	rollupSize   int64
	// HighestLSN is the highest LSN of all entries.
	HighestLSN uint64
	// Range bounds the entries' times.
	Range Range

	refs atomic.Int64

	updated     sync.Once
	updatedList []uint32
}

// Range has the least and the greatest of the times of all entries of a block.
type Range struct {
	MinStart, MaxStart     trace.Time
	MinEnd, MaxEnd         trace.Time
	MinUpdated, MaxUpdated trace.Time
	MinFirst               trace.Time
	// Backward: some entry has the flag of that name.
	Backward bool
}

// Name returns the file name of a block.
func Name(number uint64) string { return fmt.Sprintf("%016x%s", number, suffix) }

// Number returns the number in the file name of a block.
func Number(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, suffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	return n, err == nil
}

// Begins tells whether a block's file can begin with some bytes.
func Begins(b []byte) bool { return strings.HasPrefix(string(b[:min(len(magic), len(b))]), magic) }

// IsTemp tells whether a file name belongs to an unfinished block.
func IsTemp(name string) bool {
	base, ok := strings.CutSuffix(name, tempSuffix)
	_, table := Table(base)
	return ok && (table || strings.HasSuffix(base, suffix))
}

// Table returns the number in the name of a table or rollup. Without the block of that
// number the file does not count.
func Table(name string) (uint64, bool) {
	for _, s := range []string{entitiesSuffix, tracesSuffix, rollupSuffix} {
		if hex, ok := strings.CutSuffix(name, s); ok {
			return Number(hex + suffix)
		}
	}
	return 0, false
}

// NumberOf returns the number in the name of any file of a block, unfinished ones
// included.
func NumberOf(name string) (uint64, bool) {
	name = strings.TrimSuffix(name, tempSuffix)
	if number, ok := Number(name); ok {
		return number, true
	}
	return Table(name)
}

func pathOf(dir string, number uint64, suffix string) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", number, suffix))
}

// Open opens a block and reads its index. Damage is a *vfs.CorruptError, also for a file
// that cannot be read or has another version. The caller holds the first reference.
func Open(fsys vfs.FS, dir string, number uint64, codec *Codec) (*Block, error) {
	b := &Block{number: number, dir: dir, name: filepath.Join(dir, Name(number)), codec: codec, fs: fsys}
	b.refs.Store(1)
	var err error
	if b.file, err = fsys.Open(b.name); err != nil {
		return nil, vfs.Lost(b.name, "the file cannot be opened: %w", err)
	}
	if err := b.load(); err != nil {
		return nil, errors.Join(err, b.file.Close())
	}
	if err := b.loadTable(); err != nil {
		if b.entities != nil {
			err = errors.Join(err, b.entities.Close())
		}
		return nil, errors.Join(err, b.file.Close())
	}
	// Without a rollup, questions read traces.
	if b.rollup, err = fsys.Open(b.RollupFile()); err == nil {
		b.rollupSize, _ = b.rollup.Size()
	}
	return b, nil
}

// loadTable reads the footer of the table of entities.
func (b *Block) loadTable() (err error) {
	name := b.Entities()
	if b.entities, err = b.fs.Open(name); errors.Is(err, fs.ErrNotExist) {
		return vfs.Lost(name, "the file is missing")
	} else if err != nil {
		return vfs.Lost(name, "the file cannot be opened: %w", err)
	}
	if b.entitiesSize, err = b.entities.Size(); err != nil {
		return vfs.Lost(name, "the file cannot be read: %w", err)
	}
	foot := b.index.foot
	if foot.offset < 0 || foot.offset+int64(foot.stored) != b.entitiesSize {
		return vfs.Corrupt(name, min(foot.offset, b.entitiesSize), "a footer of %d bytes at %d does not end here", foot.stored, foot.offset)
	}
	if head, err := read(b.entities, name, 0, len(columnar.Head())); err != nil {
		return err
	} else if string(head) != string(columnar.Head()) {
		return vfs.Corrupt(name, 0, "no Parquet file begins here")
	}
	groups, err := b.footer()
	if err != nil {
		return err
	}
	if len(groups) != len(b.index.chunks) {
		return vfs.Corrupt(name, foot.offset, "%d row groups, %d announced", len(groups), len(b.index.chunks))
	}
	b.groups = make([]columnar.Places, len(groups))
	for i := range groups {
		if c := b.index.chunks[i]; groups[i].Offset() != c.offset || groups[i].Size() != int64(c.stored) || groups[i].Rows() != int(c.rows) {
			return vfs.Corrupt(name, foot.offset, "row group %d has %d rows, %d bytes at %d; announced are %d, %d, %d", i, groups[i].Rows(), groups[i].Size(), groups[i].Offset(), c.rows, c.stored, c.offset)
		}
		b.groups[i] = groups[i].Places()
	}
	return nil
}

// footer reads the places of the row groups from the end of the table of entities.
func (b *Block) footer() ([]columnar.Group, error) {
	foot := b.index.foot
	p, err := b.checked(nil, foot)
	if err != nil {
		return nil, err
	}
	groups, err := entities.Groups(p, foot.offset)
	if err != nil {
		return nil, vfs.Corrupt(b.Entities(), foot.offset, "footer: %w", err)
	}
	return groups, nil
}

// checked reads a part of the table of entities, into buf if that is large enough, and
// verifies its checksum.
func (b *Block) checked(buf []byte, c chunkRef) ([]byte, error) {
	name := b.Entities()
	if c.stored > maxChunk || c.offset < 0 || c.offset+int64(c.stored) > b.entitiesSize {
		return nil, vfs.Corrupt(name, c.offset, "a part of %d bytes does not fit", c.stored)
	}
	p := slices.Grow(buf[:0], int(c.stored))[:c.stored]
	if err := readInto(p, b.entities, name, c.offset); err != nil {
		return nil, err
	}
	if crc32.Checksum(p, castagnoli()) != c.sum {
		return nil, vfs.Corrupt(name, c.offset, "wrong checksum")
	}
	return p, nil
}

func (b *Block) load() (err error) {
	if b.size, err = b.file.Size(); err != nil {
		return vfs.Lost(b.name, "the file cannot be read: %w", err)
	}
	if b.size < headBytes+tailBytes {
		return vfs.Corrupt(b.name, b.size, "the file has %d bytes, fewer than an empty block", b.size)
	}
	head, err := b.read(0, headBytes)
	if err != nil {
		return err
	}
	format, err := checkVersion(head[:12], head[8:12], head[12:16])
	if err != nil {
		return vfs.Corrupt(b.name, 0, "%w", err)
	}
	tailAt := b.size - tailBytes
	tail, err := b.read(tailAt, tailBytes)
	if err != nil {
		return err
	}
	if string(head[:8]) != magic || string(tail[40:]) != magic {
		return vfs.Corrupt(b.name, tailAt, "no block ends here")
	}
	if end, err := checkVersion(tail[:36], tail[32:36], tail[36:40]); err != nil {
		return vfs.Corrupt(b.name, tailAt, "%w", err)
	} else if end != format {
		return vfs.Corrupt(b.name, tailAt, "version %d, the head has %d", end, format)
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
	if b.index, err = decodeIndex(plain, format); err != nil {
		return vfs.Corrupt(b.name, at, "index: %w", err)
	}
	end := int64(headBytes)
	if n := len(b.index.buckets); n > 0 {
		end += int64(b.index.buckets[n-1].end)
	}
	if end != at {
		return vfs.Corrupt(b.name, at, "postings end at %d, the index begins at %d", end, at)
	}
	if n := binary.LittleEndian.Uint32(tail[20:]); len(b.index.entries) != int(n) {
		return vfs.Corrupt(b.name, tailAt, "%d entries, %d announced", len(b.index.entries), n)
	}
	b.HighestLSN = binary.LittleEndian.Uint64(tail[24:])
	b.Range, b.stripes = rangeOf(b.index.entries), stripesOf(b.index.entries)
	return nil
}

// checkVersion checks the version. It verifies the checksum first, so that no damage
// passes for another version.
func checkVersion(summed, number, sum []byte) (uint32, error) {
	if crc32.Checksum(summed, castagnoli()) != binary.LittleEndian.Uint32(sum) {
		return 0, errors.New("wrong checksum")
	}
	v := binary.LittleEndian.Uint32(number)
	if v != version && v != oldVersion {
		return 0, fmt.Errorf("version %d of the block format, this program knows %d and %d", v, oldVersion, version)
	}
	return v, nil
}

func (b *Block) read(at int64, n int) ([]byte, error) { return read(b.file, b.name, at, n) }

func read(file vfs.File, name string, at int64, n int) ([]byte, error) {
	p := make([]byte, n)
	return p, readInto(p, file, name, at)
}

func readInto(p []byte, file vfs.File, name string, at int64) error {
	if n, err := file.ReadAt(p, at); n < len(p) {
		if err == nil || errors.Is(err, io.EOF) {
			return vfs.Corrupt(name, at+int64(n), "the file ends here")
		}
		// Bytes that the disk cannot read are damage, too, as long as it cannot.
		return vfs.Corrupt(name, at+int64(n), "the file cannot be read: %w", err)
	}
	return nil
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

// Acquire takes a reference to the block.
func (b *Block) Acquire() { b.refs.Add(1) }

// Release gives a reference back; the last one closes the files.
func (b *Block) Release() {
	if b.refs.Add(-1) == 0 {
		_, _ = b.file.Close(), b.entities.Close() // read-only
		if b.rollup != nil {
			_ = b.rollup.Close()
		}
	}
}

// Number returns the block's number.
func (b *Block) Number() uint64 { return b.number }

// File returns the path of the block's file.
func (b *Block) File() string { return b.name }

// CheckTraces reads all of the table of traces, which is there for other programs only.
// Damage is a *vfs.CorruptError.
func (b *Block) CheckTraces() error { return b.checkTraces(true) }

// CheckLength checks that the table of traces is there and has its length. Damage is a
// *vfs.CorruptError.
func (b *Block) CheckLength() error { return b.checkTraces(false) }

func (b *Block) checkTraces(whole bool) error {
	name, want := pathOf(b.dir, b.number, tracesSuffix), b.index.traces
	file, err := b.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return vfs.Lost(name, "the file is missing")
	} else if err != nil {
		return vfs.Lost(name, "the file cannot be opened: %w", err)
	}
	defer func() { _ = file.Close() }() // read-only
	size, err := file.Size()
	if err != nil {
		return vfs.Lost(name, "the file cannot be read: %w", err)
	}
	if size != int64(want.stored) {
		return vfs.Corrupt(name, min(size, int64(want.stored)), "the file has %d bytes, %d announced", size, want.stored)
	}
	if !whole {
		return nil
	}
	p, err := read(file, name, 0, int(want.stored))
	if err != nil {
		return err
	}
	if crc32.Checksum(p, castagnoli()) != want.sum {
		return vfs.Corrupt(name, 0, "wrong checksum")
	}
	return nil
}

// Entities returns the path of the table of entities.
func (b *Block) Entities() string { return pathOf(b.dir, b.number, entitiesSuffix) }

// Files returns the paths of all files of a block, the one with its index first.
func Files(dir string, number uint64) []string {
	return []string{pathOf(dir, number, suffix), pathOf(dir, number, entitiesSuffix), pathOf(dir, number, tracesSuffix), pathOf(dir, number, rollupSuffix)}
}

// Tables returns the paths of the block's other files. Remove them after the block's
// file is gone for good.
func (b *Block) Tables() []string {
	return []string{b.Entities(), pathOf(b.dir, b.number, tracesSuffix), b.RollupFile()}
}

// RollupFile returns the path of the block's rollup.
func (b *Block) RollupFile() string { return pathOf(b.dir, b.number, rollupSuffix) }

// Rollup returns the open file of the block's rollup, nil if it could not be opened. A
// reader of it needs a reference to the block.
func (b *Block) Rollup() vfs.File { return b.rollup }

// Size returns the length of all files in bytes.
func (b *Block) Size() int64 {
	return b.size + b.entitiesSize + int64(b.index.traces.stored) + b.rollupSize
}

// IndexSize returns the length of the block's file in bytes.
func (b *Block) IndexSize() int64 { return b.size }

// RollupSize returns the length of the rollup in bytes, 0 if it could not be opened.
func (b *Block) RollupSize() int64 { return b.rollupSize }

// Len returns the number of entries.
func (b *Block) Len() int { return len(b.index.entries) }

// Entry returns an entry by its place in the order of start, then id. It must not be
// changed.
func (b *Block) Entry(i int) *Entry { return &b.index.entries[i] }

// Account returns the account of an entry.
func (b *Block) Account(i int) trace.Account { return b.index.accounts[b.index.entries[i].account] }

// Accounts lists the accounts of the entries.
func (b *Block) Accounts() []trace.Account { return b.index.accounts }

// Info returns everything that the index has of an entry.
func (b *Block) Info(i int) Info { return b.index.info(i) }

// Offset returns the offset of an entry's row group in the table of entities.
func (b *Block) Offset(i int) int64 { return b.index.chunks[b.index.entries[i].chunk].offset }

// ByUpdated returns the places of all entries, in ascending order of Updated, then id.
// The first call sorts them.
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

// Records reads the records of an entry, in the order of acceptance. They own
// their memory. Damage is a *vfs.CorruptError. keep may be nil.
func (b *Block) Records(i int, keep Keeper) ([]Record, error) {
	rows, err := b.entryRows(i, keep, false)
	if err != nil {
		return nil, err
	}
	records, err := recordsOf(rows, b.index.entries[i].ID)
	if err != nil {
		return nil, b.wrongTrace(i, err)
	}
	return records, nil
}

func (b *Block) wrongTrace(i int, err error) error {
	return vfs.Corrupt(b.Entities(), b.Offset(i), "trace %s: %w", b.index.entries[i].ID, err)
}

// entryRows reads the rows of an entry.
func (b *Block) entryRows(i int, keep Keeper, all bool) ([]row, error) {
	e := &b.index.entries[i]
	from, n := int(e.pos), int(e.Segments)
	if rows := b.Rows(int(e.chunk)); from+n > rows {
		return nil, b.wrongTrace(i, fmt.Errorf("rows %d to %d of %d", from, from+n, rows))
	}
	var p *pages
	var err error
	if keep != nil {
		p, err = keep.pages(b, e.chunk, from, n, all)
	} else {
		p, err = b.pages(e.chunk, from, n, all)
	}
	if err != nil {
		return nil, err
	}
	rows, err := p.take(from, n)
	if err != nil {
		return nil, vfs.Corrupt(b.Entities(), b.index.chunks[e.chunk].offset, "row group %d: %w", e.chunk, err)
	}
	return rows, nil
}

// pages verifies the checksum of a row group and reads the pages that have some rows.
func (b *Block) pages(chunk uint32, from, n int, all bool) (*pages, error) {
	c := b.index.chunks[chunk]
	buf, _ := b.codec.packed.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	defer b.codec.packed.Put(buf)
	packed, err := b.checked(*buf, c)
	if err != nil {
		return nil, err
	}
	*buf = packed // the pages do not share its memory
	p, err := readPages(&b.groups[chunk], packed, b.codec.decoder, rowRange{from, n, all})
	if err != nil {
		return nil, vfs.Corrupt(b.Entities(), c.offset, "row group %d: %w", chunk, err)
	}
	return p, nil
}

// Groups returns the number of row groups.
func (b *Block) Groups() int { return len(b.index.chunks) }

// GroupOf returns the row group of an entry.
func (b *Block) GroupOf(i int) int { return int(b.index.entries[i].chunk) }

// Rows returns the number of rows of a row group.
func (b *Block) Rows(group int) int { return int(b.index.chunks[group].rows) }

// Full tells whether a row group is about as large as row groups get.
func (b *Block) Full(group int) bool {
	c := b.index.chunks[group]
	return c.rows >= groupRows/2 || c.received >= groupBytes/2
}

// Weight returns about how many bytes of an entry's trace were received: its share of
// its row group. A large trace has a row group almost for itself.
func (b *Block) Weight(i int) int64 {
	e := &b.index.entries[i]
	chunk := b.index.chunks[e.chunk]
	if chunk.rows == 0 {
		return 0
	}
	return int64(chunk.received) * int64(e.Segments) / int64(chunk.rows)
}
