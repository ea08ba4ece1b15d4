// Package block keeps settled traces in immutable files. A file holds chunks of
// whole traces, compressed together, and an index with one row a trace that is
// held in memory while the block is open: rows answer which traces a question is
// about, chunks are only read for those.
//
//	file    "FLUBLK1\n" · chunk … · index · footer
//	chunk   length · CRC · zstd of the groups of some traces (see AppendSegments)
//	index   zstd of: string table, chunk offsets, rows
//	footer  offset of the index · its length · its CRC · "FLUBLK1\n"
//
// Numbers are little-endian, CRCs are CRC-32C of what is compressed.
package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"time"
	"unique"

	"github.com/fluoro-io/fluoro/internal/store/embedded/vfs"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	magic      = "FLUBLK1\n"
	footerSize = 8 + 4 + 4 + len(magic)
	chunkHead  = 4 + 4
	// chunkSize is how many bytes of groups are compressed together: enough for
	// traces to share their strings, little enough to read for one of them.
	chunkSize = 128 << 10
	maxChunk  = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Unknown is the duration of a trace that has none yet.
const Unknown = time.Duration(-1)

// Row says of one trace what decides whether a question is about it.
type Row struct {
	Account trace.Account
	ID      trace.ID
	// Start, End: of the trace; First, Updated: its first and last receipt.
	Start, End, First, Updated trace.Time
	Response, Duration         time.Duration // Unknown if not known
	Fault, Error, Throttle     bool
	Services, Keys             []unique.Handle[string] // names of nodes, keys of annotations
	Segments                   uint32
	// Sequence is the number of the last batch that is part of this copy.
	Sequence uint64
	// Dead is set once a newer copy exists, or the trace was removed. Its owner
	// guards it.
	Dead bool

	Block *Block
	chunk uint32 // number of the chunk
	at    uint32 // offset of the group in the decompressed chunk
	size  uint32 // of the group
}

// Block is an open file. Its methods may be called by many goroutines.
type Block struct {
	Path string
	Rows []Row // newest start first
	Size int64
	// Live counts the rows that are not dead. Its owner guards it.
	Live int

	file   vfs.File
	chunks []int64 // offsets
	cache  *Cache
}

// Group is one trace to be written: its row and its segments in the form of
// AppendSegments.
type Group struct {
	Row  Row
	Data []byte
}

// Write makes a block of groups and opens it. It is complete and durable under
// its name, or not there at all.
func Write(fs vfs.FS, path string, groups []Group, cache *Cache) (*Block, error) {
	w := writer{strings: map[string]int{}}
	temporary := path + ".tmp"
	f, err := fs.Create(temporary)
	if err != nil {
		return nil, fmt.Errorf("write block: %w", err)
	}
	err = w.write(f, groups)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fs.Rename(temporary, path)
	}
	if err == nil {
		err = fs.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = fs.Remove(temporary) // swept at the next start if it stays
		return nil, fmt.Errorf("write block %s: %w", path, err)
	}
	return Open(fs, path, cache)
}

// writer collects a block.
type writer struct {
	f       vfs.File
	size    int64
	chunks  []int64
	pending []byte
	rows    []byte
	strings map[string]int
	table   []string
}

func (w *writer) write(f vfs.File, groups []Group) error {
	w.f = f
	if err := w.put([]byte(magic)); err != nil {
		return err
	}
	for i := range groups {
		g := &groups[i]
		if len(w.pending) > 0 && len(w.pending)+len(g.Data) > chunkSize {
			if err := w.chunk(); err != nil {
				return err
			}
		}
		g.Row.chunk, g.Row.at, g.Row.size = uint32(len(w.chunks)), uint32(len(w.pending)), uint32(len(g.Data))
		w.pending = append(w.pending, g.Data...)
		w.row(&g.Row)
	}
	if err := w.chunk(); err != nil {
		return err
	}
	index := binary.AppendUvarint(nil, uint64(len(w.table)))
	for _, s := range w.table {
		index = appendBytes(index, s)
	}
	index = binary.AppendUvarint(index, uint64(len(w.chunks)))
	for _, at := range w.chunks {
		index = binary.AppendUvarint(index, uint64(at))
	}
	index = binary.AppendUvarint(index, uint64(len(groups)))
	index = compressor().EncodeAll(append(index, w.rows...), nil)
	footer := binary.LittleEndian.AppendUint64(nil, uint64(w.size))
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(index)))
	footer = binary.LittleEndian.AppendUint32(footer, crc32.Checksum(index, castagnoli))
	return w.put(append(append(index, footer...), magic...))
}

func (w *writer) put(b []byte) error {
	_, err := w.f.Write(b)
	w.size += int64(len(b))
	return err
}

// chunk writes the groups that are pending.
func (w *writer) chunk() error {
	if len(w.pending) == 0 {
		return nil
	}
	data := compressor().EncodeAll(w.pending, make([]byte, chunkHead))
	binary.LittleEndian.PutUint32(data, uint32(len(data)-chunkHead))
	binary.LittleEndian.PutUint32(data[4:], crc32.Checksum(data[chunkHead:], castagnoli))
	w.chunks = append(w.chunks, w.size)
	w.pending = w.pending[:0]
	return w.put(data)
}

func (w *writer) row(r *Row) {
	b := w.rows
	b = binary.AppendUvarint(b, w.string(string(r.Account)))
	b = append(b, r.ID[:]...)
	for _, t := range []trace.Time{r.Start, r.End, r.First, r.Updated, trace.Time(r.Response), trace.Time(r.Duration)} {
		b = binary.AppendVarint(b, int64(t))
	}
	flags := byte(0)
	for i, f := range []bool{r.Fault, r.Error, r.Throttle} {
		if f {
			flags |= 1 << i
		}
	}
	b = append(b, flags)
	for _, list := range [][]unique.Handle[string]{r.Services, r.Keys} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, s := range list {
			b = binary.AppendUvarint(b, w.string(s.Value()))
		}
	}
	for _, n := range []uint64{uint64(r.Segments), r.Sequence, uint64(r.chunk), uint64(r.at), uint64(r.size)} {
		b = binary.AppendUvarint(b, n)
	}
	w.rows = b
}

// string numbers a string of the table.
func (w *writer) string(s string) uint64 {
	n, ok := w.strings[s]
	if !ok {
		n = len(w.table)
		w.strings[s] = n
		w.table = append(w.table, s)
	}
	return uint64(n)
}

// Open reads a block's index. Damage is a *vfs.CorruptError.
func Open(fs vfs.FS, path string, cache *Cache) (*Block, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open block: %w", err)
	}
	b := &Block{Path: path, file: f, cache: cache}
	if err := b.index(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return b, nil
}

func (b *Block) corrupt(offset int64, format string, args ...any) error {
	return &vfs.CorruptError{File: b.Path, Offset: offset, Err: fmt.Errorf(format, args...)}
}

func (b *Block) index() error {
	size, err := b.file.Size()
	if err != nil {
		return fmt.Errorf("open block %s: %w", b.Path, err)
	}
	b.Size = size
	if size < int64(footerSize+len(magic)) {
		return b.corrupt(0, "file is cut short")
	}
	footer := make([]byte, footerSize)
	if _, err := b.file.ReadAt(footer, size-int64(footerSize)); err != nil {
		return fmt.Errorf("read block %s: %w", b.Path, err)
	}
	at, length := binary.LittleEndian.Uint64(footer), binary.LittleEndian.Uint32(footer[8:])
	if string(footer[16:]) != magic || at+uint64(length)+uint64(footerSize) != uint64(size) {
		return b.corrupt(size-int64(footerSize), "footer is not valid")
	}
	data := make([]byte, length)
	if _, err := b.file.ReadAt(data, int64(at)); err != nil {
		return fmt.Errorf("read block %s: %w", b.Path, err)
	}
	if crc32.Checksum(data, castagnoli) != binary.LittleEndian.Uint32(footer[12:]) {
		return b.corrupt(int64(at), "checksum of the index does not match")
	}
	data, err = decompressor().DecodeAll(data, nil)
	if err != nil {
		return b.corrupt(int64(at), "index: %w", err)
	}
	if !b.rows(reader{b: data}) {
		return b.corrupt(int64(at), "index does not hold what it says")
	}
	b.Live = len(b.Rows)
	return nil
}

func (b *Block) rows(r reader) bool {
	var table []unique.Handle[string]
	for range r.count() {
		table = append(table, unique.Make(string(r.bytes())))
	}
	for range r.count() {
		b.chunks = append(b.chunks, int64(r.uvarint()))
	}
	b.Rows = make([]Row, r.count())
	look := func(n uint64) unique.Handle[string] {
		if n >= uint64(len(table)) {
			r.bad = true
			return unique.Make("")
		}
		return table[n]
	}
	for i := range b.Rows {
		row := &b.Rows[i]
		row.Block = b
		row.Account = trace.Account(look(r.uvarint()).Value())
		for j := range row.ID {
			row.ID[j] = r.byte()
		}
		row.Start, row.End = trace.Time(r.varint()), trace.Time(r.varint())
		row.First, row.Updated = trace.Time(r.varint()), trace.Time(r.varint())
		row.Response, row.Duration = time.Duration(r.varint()), time.Duration(r.varint())
		flags := r.byte()
		row.Fault, row.Error, row.Throttle = flags&1 != 0, flags&2 != 0, flags&4 != 0
		for _, list := range []*[]unique.Handle[string]{&row.Services, &row.Keys} {
			for range r.count() {
				*list = append(*list, look(r.uvarint()))
			}
		}
		row.Segments, row.Sequence = uint32(r.uvarint()), r.uvarint()
		row.chunk, row.at, row.size = uint32(r.uvarint()), uint32(r.uvarint()), uint32(r.uvarint())
		if r.bad || row.chunk >= uint32(len(b.chunks)) {
			return false
		}
	}
	return !r.bad
}

// Group returns a trace's segments in the form of AppendSegments. It must not be
// changed. Damage is a *vfs.CorruptError.
func (r *Row) Group() ([]byte, error) {
	chunk, err := r.Block.chunk(r.chunk)
	if err != nil {
		return nil, err
	}
	if uint64(r.at)+uint64(r.size) > uint64(len(chunk)) {
		return nil, r.Block.corrupt(r.Block.chunks[r.chunk], "chunk is shorter than the index says")
	}
	return chunk[r.at : r.at+r.size], nil
}

// Read returns a trace's segments in the order in which they were accepted.
func (r *Row) Read(restore Restore) ([]*trace.Segment, error) {
	data, err := r.Group()
	if err != nil {
		return nil, err
	}
	segments, _, err := ReadSegments(data, restore)
	if err != nil {
		return nil, r.Block.corrupt(r.Block.chunks[r.chunk], "trace %s: %w", r.ID, err)
	}
	return segments, nil
}

// chunk reads and decompresses a chunk, or takes it from the cache.
func (b *Block) chunk(n uint32) ([]byte, error) {
	if data := b.cache.get(b, n); data != nil {
		return data, nil
	}
	at := b.chunks[n]
	head := make([]byte, chunkHead)
	if _, err := b.file.ReadAt(head, at); err != nil {
		return nil, fmt.Errorf("read block %s: %w", b.Path, err)
	}
	size := binary.LittleEndian.Uint32(head)
	if int64(size) > b.Size-at {
		return nil, b.corrupt(at, "chunk has no valid length")
	}
	data := make([]byte, size)
	if _, err := b.file.ReadAt(data, at+chunkHead); err != nil {
		return nil, fmt.Errorf("read block %s: %w", b.Path, err)
	}
	if crc32.Checksum(data, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, b.corrupt(at, "checksum of the chunk does not match")
	}
	data, err := decompressor().DecodeAll(data, nil)
	if err != nil {
		return nil, b.corrupt(at, "chunk: %w", err)
	}
	b.cache.put(b, n, data)
	return data, nil
}
