package block

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/fluoro-io/fluoro/internal/store/local/columnar"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// A block is four files (docs/format/store.md): <n>.entities.parquet and
// <n>.traces.parquet, which anyone can read, <n>.rollup (package rollup), and <n>.blk,
// which gets its name last and without which the others do not count. The integers of
// <n>.blk are little-endian:
//
//	head    16 bytes: magic "FLUOBLK\n", version u32, crc32c u32 of the 12 before
//	postings (postings.go), which the index knows
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
const (
	magic      = "FLUOBLK\n"
	version    = 5
	oldVersion = 4 // read only
	headBytes  = 16
	tailBytes  = 48
	suffix     = ".blk"
	tempSuffix = ".tmp"

	entitiesSuffix = ".entities.parquet"
	tracesSuffix   = ".traces.parquet"
	rollupSuffix   = ".rollup"

	// A page ends with the first trace that brings it to this many rows or received
	// bytes, and a row group with the page that does the same: reading one trace
	// reads the dictionaries of a row group, and a page of each column.
	pageRows   = 2048
	pageBytes  = 1 << 20
	groupRows  = 4096
	groupBytes = 3 << 20
	traceGroup = 16384 // rows of a row group of the table of traces
	// maxTrace bounds the received bytes of one trace.
	maxTrace = maxChunk / 2
)

// Level tells how much work compression may take.
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

	file    vfs.File // that of the entities, then the others
	open    string   // suffix of its name
	offset  int64
	named   bool // the block may have its name
	index   *builder
	maker   rowMaker
	groups  []columnar.Group
	rows    int // of the current row group
	bytes   int // received, of these rows
	page    struct{ rows, bytes int }
	packed  []byte
	highest uint64
	pairs   pairs     // of traces that were added
	merged  []mapping // of the blocks whose traces were copied
	// footer is that of the block whose row groups are being taken.
	footer []columnar.Group
	source *Block
}

// WriterOptions say where to write a block and how to compress it.
type WriterOptions struct {
	FS     vfs.FS
	Dir    string
	Number uint64
	Codec  *Codec
	Level  Level
	// Choice is the choice of the tokens of added traces.
	Choice Choice
}

// Create begins a block under a temporary name.
func Create(o WriterOptions) (*Writer, error) {
	w := &Writer{fs: o.FS, dir: o.Dir, number: o.Number, codec: o.Codec, level: o.Level, index: newBuilder()}
	w.index.choice = o.Choice
	w.maker.to = w.codec.writer(o.Level)
	if err := w.create(entitiesSuffix); err != nil {
		return w, err
	}
	return w, w.write(columnar.Head())
}

func (w *Writer) create(suffix string) (err error) {
	w.open, w.offset = suffix, 0
	if w.file, err = w.fs.Create(w.temp()); err != nil {
		return fmt.Errorf("create block: %w", err)
	}
	return nil
}

// finish makes a file durable under its temporary name.
func (w *Writer) finish() error {
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync block %s: %w", w.temp(), err)
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("close block %s: %w", w.temp(), err)
	}
	w.file = nil
	return nil
}

// name gives a finished file its name.
func (w *Writer) name(suffix string) error {
	name := pathOf(w.dir, w.number, suffix)
	if err := w.fs.Rename(name+tempSuffix, name); err != nil {
		return fmt.Errorf("name block: %w", err)
	}
	return nil
}

func (w *Writer) syncDir() error {
	if err := w.fs.SyncDir(w.dir); err != nil {
		return fmt.Errorf("sync block directory: %w", err)
	}
	return nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func (w *Writer) temp() string { return pathOf(w.dir, w.number, w.open) + tempSuffix }

func (w *Writer) write(b []byte) error {
	n, err := w.file.Write(b)
	w.offset += int64(n)
	if err != nil {
		return fmt.Errorf("write block %s: %w", w.temp(), err)
	}
	return nil
}

// Add adds a trace with its records in the order of acceptance. Add traces in ascending
// order of start, then id, then account.
func (w *Writer) Add(in *Info, records []Record) error {
	if err := w.next(in); err != nil {
		return err
	}
	in.Flags |= Named
	size := 0
	for i := range records {
		size += len(records[i].Raw)
	}
	w.maker.add(in.Account, in.ID, records)
	for _, token := range in.Tokens {
		w.pairs = append(w.pairs, pairOf(token, len(w.index.entries)))
	}
	return w.added(in, len(records), size)
}

// Expect makes room for all entries of the blocks that Take and Copy copy from.
func (w *Writer) Expect(blocks []*Block) { w.index.expect(blocks) }

// Copy adds an entry of another block with its columns, in the order of Add. Damage of
// that block is a *vfs.CorruptError.
func (w *Writer) Copy(b *Block, i int, keep Keeper) error {
	rows, err := b.entryRows(i, keep, true)
	if err != nil {
		return err
	}
	in := b.Info(i)
	size := 0
	for n := range rows {
		r := &rows[n]
		if r.TraceID != in.ID || r.Account != string(in.Account) {
			return b.wrongTrace(i, fmt.Errorf("found trace %s of account %s in its place", trace.ID(r.TraceID), r.Account))
		}
		size += lengths(r.Template) + lengths(r.Rest) + 2*len(r.IDs) + 4*len(r.Times) + len(r.Raw) + len(r.URL)
		for k := range r.Attributes {
			size += len(r.Attributes[k].Value)
		}
	}
	if err := w.next(&in); err != nil {
		return err
	}
	for n := range rows {
		r := &rows[n]
		w.maker.kinds = restKinds(w.maker.kinds[:0], r.Template, len(r.Rest))
		w.maker.put(r, w.maker.kinds, nil)
		w.maker.putParent(int(r.Parent), int(r.ParentEntity), r.ParentID)
	}
	w.become(b, i)
	return w.added(&in, len(rows), size)
}

// Group is a row group that Take has copied.
type Group struct{ number uint32 }

// Take copies a row group of another block as a whole, before the first Add or Copy. The
// caller must call Refer for each of its entries, so that each row has an entry. Damage
// of that block is a *vfs.CorruptError.
func (w *Writer) Take(b *Block, group int) (Group, error) {
	if w.rows > 0 || len(w.index.entries) > 0 {
		return Group{}, errors.New("block: row groups are taken over before traces are added")
	}
	c := b.index.chunks[group]
	p, err := b.checked(nil, c)
	if err != nil {
		return Group{}, err
	}
	if w.source != b {
		if w.footer, err = b.footer(); err != nil {
			return Group{}, err
		}
		w.source = b
	}
	w.groups = append(w.groups, w.footer[group].At(w.offset))
	c.offset = w.offset
	w.index.chunks = append(w.index.chunks, c)
	return Group{uint32(len(w.index.chunks) - 1)}, w.write(p)
}

// Refer adds an entry of a row group that Take has copied.
func (w *Writer) Refer(b *Block, i int, to Group) error {
	in := b.Info(i)
	if err := w.inOrder(&in); err != nil {
		return err
	}
	w.highest = max(w.highest, in.LSN)
	w.become(b, i)
	return w.index.add(&in, to.number, b.index.entries[i].pos)
}

func (w *Writer) inOrder(in *Info) error {
	if n := len(w.index.entries); n > 0 && compare(&w.index.entries[n-1], in.Start, in.ID) > 0 {
		return errors.New("block: traces out of order")
	}
	return nil
}

// next checks the order of a trace, and ends a page or a row group that has enough rows.
func (w *Writer) next(in *Info) error {
	if err := w.inOrder(in); err != nil {
		return err
	}
	if w.rows-w.page.rows >= pageRows || w.bytes-w.page.bytes >= pageBytes {
		w.endPage()
	}
	if w.rows >= groupRows || w.bytes >= groupBytes {
		return w.flush()
	}
	return nil
}

func (w *Writer) endPage() {
	w.maker.to.EndPage()
	w.page.rows, w.page.bytes = w.rows, w.bytes
}

// added counts a trace of some rows and about size bytes.
func (w *Writer) added(in *Info, rows, size int) error {
	if size > maxTrace {
		return fmt.Errorf("block: trace %s of %d bytes is over the limit", in.ID, size)
	}
	pos := w.rows
	w.rows += rows
	w.bytes += size
	w.highest = max(w.highest, in.LSN)
	in.Segments = rows
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

// pack compresses into the writer's buffer.
func (w *Writer) pack(b []byte) []byte {
	w.packed = w.codec.encoders[w.level].EncodeAll(b, w.packed[:0])
	return w.packed
}

// flush writes the current row group.
func (w *Writer) flush() error {
	if w.rows == 0 {
		return nil
	}
	if w.rows > w.page.rows {
		w.endPage()
	}
	b, group, err := w.maker.to.EndGroup(w.rows, w.offset)
	if err != nil {
		return fmt.Errorf("write block %s: %w", w.temp(), err)
	}
	w.groups = append(w.groups, group)
	w.index.chunks = append(w.index.chunks, chunkRef{offset: w.offset, stored: uint32(len(b)), rows: uint32(w.rows), received: uint32(w.bytes), sum: crc32.Checksum(b, castagnoli())})
	w.maker.forget()
	w.rows, w.bytes, w.page.rows, w.page.bytes = 0, 0, 0, 0
	return w.write(b)
}

// finishTables ends the table of entities and writes the table of traces.
func (w *Writer) finishTables() error {
	if err := w.flush(); err != nil {
		return err
	}
	w.freeTable()
	footer, err := entities.Footer(w.groups)
	if err != nil {
		return fmt.Errorf("write block %s: %w", w.temp(), err)
	}
	w.index.foot = chunkRef{offset: w.offset, stored: uint32(len(footer)), sum: crc32.Checksum(footer, castagnoli())}
	if err := errors.Join(w.write(footer), w.finish()); err != nil {
		return err
	}
	if err := w.create(tracesSuffix); err != nil {
		return err
	}
	var sum uint32
	write := func(b []byte) error {
		sum = crc32.Update(sum, castagnoli(), b)
		return w.write(b)
	}
	if err := writeTraces(w.codec.encoders[w.level], &w.index.index, write); err != nil {
		return fmt.Errorf("write block %s: %w", w.temp(), err)
	}
	w.index.traces = chunkRef{stored: uint32(w.offset), rows: uint32(len(w.index.entries)), sum: sum}
	return w.finish()
}

func (w *Writer) freeTable() {
	if w.maker.to != nil {
		w.codec.free(w.level, w.maker.to)
		w.maker.to = nil
	}
}

// Finish makes the block durable under its name, with its rollup, and opens it. On error
// the next start may or may not find the block.
func (w *Writer) Finish(rollup []byte) (*Block, error) {
	if err := w.finishTables(); err != nil {
		return nil, err
	}
	if err := w.create(rollupSuffix); err != nil {
		return nil, err
	}
	if err := errors.Join(w.write(rollup), w.finish()); err != nil {
		return nil, err
	}
	if err := errors.Join(w.name(entitiesSuffix), w.name(tracesSuffix), w.name(rollupSuffix)); err != nil {
		return nil, err
	}
	// The other files must have their names for good before the last one gets its own.
	if err := w.syncDir(); err != nil {
		return nil, err
	}
	if err := w.create(suffix); err != nil {
		return nil, err
	}
	head := binary.LittleEndian.AppendUint32([]byte(magic), version)
	if err := w.write(binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli()))); err != nil {
		return nil, err
	}
	if err := w.writePostings(); err != nil {
		return nil, err
	}
	raw := w.index.encode(make([]byte, 0, len(w.index.entries)*encodedBytes+len(w.index.slow.bytes)+9*len(w.index.buckets)+2*len(w.index.sets.numbers)+1024))
	stored := w.pack(raw)
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
	if err := w.finish(); err != nil {
		return nil, err
	}
	w.named = true
	if err := w.name(suffix); err != nil {
		return nil, err
	}
	if err := w.syncDir(); err != nil {
		return nil, err
	}
	// Frees the written index before the same index is read.
	w.index, w.groups, w.footer, w.pairs, w.merged = nil, nil, nil, nil, nil
	return Open(w.fs, w.dir, w.number, w.codec)
}

// Abort gives the block up and removes its files as far as possible; the next start
// removes the rest.
func (w *Writer) Abort() {
	w.freeTable()
	if w.file != nil {
		_ = w.file.Close()
	}
	for _, suffix := range []string{suffix, entitiesSuffix, tracesSuffix, rollupSuffix} {
		_ = w.fs.Remove(pathOf(w.dir, w.number, suffix) + tempSuffix)
		if !w.named {
			_ = w.fs.Remove(pathOf(w.dir, w.number, suffix))
		}
	}
}
