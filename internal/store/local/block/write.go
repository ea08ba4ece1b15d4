package block

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"

	"github.com/fluoro-io/fluoro/internal/store/local/vfs"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/klauspost/compress/zstd"
)

// A block file, all integers little-endian (docs/formats/store.md):
//
//	head    16 bytes: magic "FLUOBLK\n", version u32, crc32c u32 of the 12 before
//	chunks  each: stored u32, raw u32, crc32c u32 of the stored bytes, then those
//	        bytes, which are zstd of an Encoder's
//	index   stored bytes, zstd of index.encode
//	tail    48 bytes:
//	         0 offset of the index u64
//	         8 stored u32, raw u32 bytes of the index
//	        16 crc32c u32 of the stored index
//	        20 entries u32
//	        24 highest LSN u64
//	        32 version u32
//	        36 crc32c u32 of the 36 before
//	        40 magic "FLUOBLK\n"
//
// In a chunk a trace is: id, account (uvarint length and bytes), uvarint number
// of records, and the records in the order in which they were accepted.
const (
	magic      = "FLUOBLK\n"
	version    = 1
	headBytes  = 16
	tailBytes  = 48
	chunkHead  = 12
	chunkBytes = 128 << 10 // raw size at which a chunk ends
	suffix     = ".blk"
	tempSuffix = ".tmp"
)

// Level says how much work compression may be.
type Level uint8

// The levels of compression.
const (
	Fast  Level = iota // for blocks that will be merged soon
	Small              // for the result of merging
)

// Writer writes a block. After an error only Abort is allowed.
type Writer struct {
	fs     vfs.FS
	dir    string
	number uint64
	codec  *Codec
	level  Level

	file    vfs.File
	offset  int64
	index   *builder
	chunk   Encoder
	packed  []byte
	highest uint64
}

// WriterOptions say where a block goes and how it is compressed.
type WriterOptions struct {
	FS     vfs.FS
	Dir    string
	Number uint64
	Codec  *Codec
	Level  Level
}

// Create begins a block, under a temporary name.
func Create(o WriterOptions) (*Writer, error) {
	w := &Writer{fs: o.FS, dir: o.Dir, number: o.Number, codec: o.Codec, level: o.Level, index: newBuilder()}
	w.chunk.Reset()
	var err error
	if w.file, err = o.FS.Create(w.temp()); err != nil {
		return nil, fmt.Errorf("create block: %w", err)
	}
	b := append([]byte(nil), magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	return w, w.write(b)
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (w *Writer) temp() string { return filepath.Join(w.dir, Name(w.number)+tempSuffix) }

func (w *Writer) write(b []byte) error {
	n, err := w.file.Write(b)
	w.offset += int64(n)
	if err != nil {
		return fmt.Errorf("write block %s: %w", w.temp(), err)
	}
	return nil
}

// Add adds a trace with its records in the order of acceptance. Traces come in
// ascending order of start, then id, then account.
func (w *Writer) Add(in *Info, records []Record) error {
	if n := len(w.index.entries); n > 0 && compare(&w.index.entries[n-1], in.Start, in.ID) > 0 {
		return errors.New("block: traces out of order")
	}
	if w.chunk.Len() >= chunkBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	pos := w.chunk.Len()
	w.chunk.Begin()
	w.chunk.Bytes(in.ID[:])
	w.chunk.Text(string(in.Account))
	w.chunk.Uvarint(uint64(len(records)))
	for i := range records {
		w.chunk.Record(&records[i])
	}
	if w.chunk.Len() > maxChunk/2 {
		return fmt.Errorf("block: trace %s of %d bytes is over the limit", in.ID, w.chunk.Len()-pos)
	}
	w.highest = max(w.highest, in.LSN)
	in.Segments = len(records)
	return w.index.add(in, uint32(len(w.index.chunks)), uint32(pos))
}

// compare orders entries by start, then id.
func compare(e *Entry, start trace.Time, id trace.ID) int {
	switch {
	case e.Start < start:
		return -1
	case e.Start > start:
		return 1
	}
	return bytes.Compare(e.ID[:], id[:])
}

// pack compresses into the writer's buffer, keeping room before it.
func (w *Writer) pack(b []byte, room int) []byte {
	var encoder *zstd.Encoder
	if encoder = w.codec.fast; w.level == Small {
		encoder = w.codec.small
	}
	w.packed = append(w.packed[:0], make([]byte, room)...)
	w.packed = encoder.EncodeAll(b, w.packed)
	return w.packed
}

// flush writes the chunk that was being filled.
func (w *Writer) flush() error {
	if w.chunk.Len() <= 4 {
		return nil
	}
	raw := w.chunk.Finish()
	b := w.pack(raw, chunkHead)
	stored := b[chunkHead:]
	binary.LittleEndian.PutUint32(b, uint32(len(stored)))
	binary.LittleEndian.PutUint32(b[4:], uint32(len(raw)))
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(stored, castagnoli()))
	w.index.chunks = append(w.index.chunks, chunkRef{offset: w.offset, stored: uint32(len(stored)), raw: uint32(len(raw))})
	w.chunk.Reset()
	return w.write(b)
}

// Len is how many traces were added, Offset how many bytes were written.
func (w *Writer) Len() int { return len(w.index.entries) }

// Finish makes the block durable under its name and opens it. If it fails, the
// block may or may not be found by the next start.
func (w *Writer) Finish() (*Block, error) {
	if err := w.flush(); err != nil {
		return nil, err
	}
	raw := w.index.encode(nil)
	stored := w.pack(raw, 0)
	tail := binary.LittleEndian.AppendUint64(nil, uint64(w.offset))
	tail = binary.LittleEndian.AppendUint32(tail, uint32(len(stored)))
	tail = binary.LittleEndian.AppendUint32(tail, uint32(len(raw)))
	tail = binary.LittleEndian.AppendUint32(tail, crc32.Checksum(stored, castagnoli()))
	tail = binary.LittleEndian.AppendUint32(tail, uint32(len(w.index.entries)))
	tail = binary.LittleEndian.AppendUint64(tail, w.highest)
	tail = binary.LittleEndian.AppendUint32(tail, version)
	tail = binary.LittleEndian.AppendUint32(tail, crc32.Checksum(tail, castagnoli()))
	tail = append(tail, magic...)
	if err := w.write(append(stored, tail...)); err != nil {
		return nil, err
	}
	if err := w.file.Sync(); err != nil {
		return nil, fmt.Errorf("sync block %s: %w", w.temp(), err)
	}
	if err := w.file.Close(); err != nil {
		return nil, fmt.Errorf("close block %s: %w", w.temp(), err)
	}
	w.file = nil
	name := filepath.Join(w.dir, Name(w.number))
	if err := w.fs.Rename(w.temp(), name); err != nil {
		return nil, fmt.Errorf("name block: %w", err)
	}
	if err := w.fs.SyncDir(w.dir); err != nil {
		return nil, fmt.Errorf("sync block directory: %w", err)
	}
	return Open(w.fs, w.dir, w.number, w.codec)
}

// Abort gives the block up and removes what there is of it, as far as that is
// possible: a start sweeps the rest away.
func (w *Writer) Abort() {
	if w.file != nil {
		_ = w.file.Close()
	}
	_ = w.fs.Remove(w.temp())
}
