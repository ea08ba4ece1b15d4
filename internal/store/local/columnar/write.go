package columnar

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Writer fills row groups. Each row adds to each column: a value, Null, or the
// elements of a list.
type Writer struct {
	table   *Table
	pack    *zstd.Encoder
	columns []Column
	out     []byte
	entries []byte // of a column's dictionary
	plain   []byte // of a page, before compression
	packed  []byte
	small   []int32
	header  bytes.Buffer
}

// Column is a column of the row group being filled. The table decides which of its
// methods may be called.
type Column struct {
	column
	rep, def   []byte // of each slot, if the column has levels
	ints       []int64
	data       []byte // values in plain encoding
	index      []uint32
	dictionary dictionary
	slots      int // values, nulls and elements
	nulls      int64
	ends       []mark
}

// mark is the end of a page.
type mark struct{ slots, values, bytes int }

// NewWriter returns a writer that compresses pages with pack.
func (t *Table) NewWriter(pack *zstd.Encoder) *Writer {
	w := &Writer{table: t, pack: pack, columns: make([]Column, len(t.columns))}
	for i := range w.columns {
		w.columns[i].column = t.columns[i]
		w.columns[i].dictionary.fixed = t.columns[i].size
	}
	return w
}

// Column returns the column with a number, in the order of the row's fields.
func (w *Writer) Column(i int) *Column { return &w.columns[i] }

func (c *Column) level(rep, def byte) {
	c.slots++
	if c.list {
		c.rep = append(c.rep, rep)
	}
	if c.levels() {
		c.def = append(c.def, def)
	}
}

// Null adds a row without a value, or with an empty list.
func (c *Column) Null() {
	c.level(0, 0)
	c.nulls++
}

// Int adds a row with an integer.
func (c *Column) Int(v int64) {
	c.level(0, 1)
	c.ints = append(c.ints, v)
}

// Bool adds a row with a boolean.
func (c *Column) Bool(v bool) {
	n := int64(0)
	if v {
		n = 1
	}
	c.slots++
	c.ints = append(c.ints, n)
}

// Text adds a row with a text. With a dictionary, it returns a number with which
// Again adds the same text again, in this row group.
func (c *Column) Text(s string) uint32 {
	c.level(0, 1)
	return c.value(0, s)
}

// Again adds a row with a text that the dictionary has already.
func (c *Column) Again(number uint32) {
	c.level(0, 1)
	c.index = append(c.index, number)
}

// Bytes adds a row with bytes.
func (c *Column) Bytes(b []byte) uint32 { return c.Text(unsafe.String(unsafe.SliceData(b), len(b))) }

// Element adds an element of a list; first is true for the first one of its row. The
// dictionary keeps elements of one section, a small number, together.
func (c *Column) Element(first bool, section uint32, s string) (number uint32) {
	rep := byte(1)
	if first {
		rep = 0
	}
	c.level(rep, 1)
	return c.value(section, s)
}

func (c *Column) value(section uint32, s string) uint32 {
	if c.encoding == format.RLEDictionary {
		n := c.dictionary.put(section, s)
		c.index = append(c.index, n)
		return n
	}
	if c.size == 0 {
		c.data = binary.LittleEndian.AppendUint32(c.data, uint32(len(s)))
	}
	c.data = append(c.data, s...)
	return 0
}

// EndPage ends a page in every column, so that a reader of rows in one page can skip
// the others.
func (w *Writer) EndPage() {
	for i := range w.columns {
		c := &w.columns[i]
		c.ends = append(c.ends, mark{c.slots, len(c.ints) + len(c.index), len(c.data)})
	}
}

// EndGroup returns the row group of all rows added since the last one; call EndPage
// before. offset is the number of bytes already in the file, including its head. The
// group is valid until the next call.
func (w *Writer) EndGroup(rows int, offset int64) ([]byte, Group, error) {
	w.out = w.out[:0]
	g := format.RowGroup{NumRows: int64(rows), FileOffset: offset, Columns: make(thrift.Slice[format.ColumnChunk], len(w.columns))}
	for i := range w.columns {
		c := &w.columns[i]
		meta, err := w.chunk(c, offset)
		if err != nil {
			return nil, Group{}, fmt.Errorf("column %v: %w", c.path, err)
		}
		g.Columns[i] = format.ColumnChunk{FileOffset: begins(&meta), MetaData: meta}
		g.TotalByteSize += meta.TotalUncompressedSize
		c.reset()
	}
	g.TotalCompressedSize = int64(len(w.out))
	return w.out, Group{g}, nil
}

// Reset discards the rows added since the last row group.
func (w *Writer) Reset() {
	for i := range w.columns {
		w.columns[i].reset()
	}
}

func (c *Column) reset() {
	c.slots, c.rep, c.def, c.ints, c.data, c.index, c.nulls, c.ends = 0, c.rep[:0], c.def[:0], c.ints[:0], c.data[:0], c.index[:0], 0, c.ends[:0]
	c.dictionary.reset()
}

// chunk appends all pages of a column.
func (w *Writer) chunk(c *Column, offset int64) (format.ColumnMetaData, error) {
	meta := format.ColumnMetaData{Type: c.physical, PathInSchema: c.path, Codec: c.codec, Encoding: thrift.Slice[format.Encoding]{c.encoding}}
	if c.levels() && c.encoding != format.RLE {
		meta.Encoding = append(meta.Encoding, format.RLE)
	}
	meta.Statistics = c.statistics()
	if c.encoding == format.RLEDictionary {
		var places []uint32
		if w.entries, places = c.dictionary.plain(w.entries[:0]); places != nil {
			for i, n := range c.index {
				c.index[i] = places[n]
			}
		}
		meta.Encoding = append(meta.Encoding, format.Plain)
	}
	begin := len(w.out)
	raw, err := w.pages(c, &meta, offset)
	meta.TotalUncompressedSize, meta.TotalCompressedSize = int64(raw), int64(len(w.out)-begin)
	return meta, err
}

// pages appends the pages and returns their size, with headers, before compression.
func (w *Writer) pages(c *Column, meta *format.ColumnMetaData, offset int64) (raw int, err error) {
	width := 8
	if c.encoding == format.RLEDictionary {
		n := len(c.dictionary.entries)
		for n > 1<<width {
			width += 8
		}
		meta.DictionaryPageOffset = offset + int64(len(w.out))
		h := format.PageHeader{Type: format.DictionaryPage, DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: int32(n), Encoding: format.Plain})}
		w.plain = append(w.plain[:0], w.entries...)
		if raw, err = w.page(&h, meta.Codec); err != nil {
			return 0, err
		}
	}
	meta.DataPageOffset, meta.NumValues = offset+int64(len(w.out)), 0
	var from mark
	for _, to := range c.ends {
		w.plain = w.plain[:0]
		if c.list {
			w.plain = sized(w.plain, c.rep[from.slots:to.slots])
		}
		if c.levels() {
			w.plain = sized(w.plain, c.def[from.slots:to.slots])
		}
		if err := w.values(c, from, to, width); err != nil {
			return 0, err
		}
		h := format.PageHeader{Type: format.DataPage, DataPageHeader: thrift.New(format.DataPageHeader{
			NumValues: int32(to.slots - from.slots), Encoding: c.encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
		})}
		n, err := w.page(&h, meta.Codec)
		if err != nil {
			return 0, err
		}
		raw += n
		meta.NumValues += int64(to.slots - from.slots)
		from = to
	}
	return raw, nil
}

// sized appends levels, preceded by their length.
func sized(b []byte, levels []byte) []byte {
	at := len(b)
	b = appendHybrid(append(b, 0, 0, 0, 0), levels, 1)
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// values appends the values of a page.
func (w *Writer) values(c *Column, from, to mark, width int) (err error) {
	switch {
	case c.encoding == format.RLEDictionary:
		w.plain = appendHybrid(append(w.plain, byte(width)), c.index[from.values:to.values], width)
	case c.physical == format.Boolean:
		at := len(w.plain)
		w.plain = append(w.plain, make([]byte, (to.values-from.values+7)/8)...)
		for i, v := range c.ints[from.values:to.values] {
			w.plain[at+i/8] |= byte(v) << (i % 8)
		}
	case c.encoding == format.DeltaBinaryPacked:
		// The encoder accepts only slices of its own type.
		if c.physical == format.Int64 {
			w.packed, err = new(delta.BinaryPackedEncoding).EncodeInt64(w.packed[:0], c.ints[from.values:to.values])
		} else {
			w.small = w.small[:0]
			for _, v := range c.ints[from.values:to.values] {
				w.small = append(w.small, int32(v))
			}
			w.packed, err = new(delta.BinaryPackedEncoding).EncodeInt32(w.packed[:0], w.small)
		}
		w.plain = append(w.plain, w.packed...)
	case c.physical == format.Int64:
		for _, v := range c.ints[from.values:to.values] {
			w.plain = binary.LittleEndian.AppendUint64(w.plain, uint64(v))
		}
	case c.physical == format.Int32:
		for _, v := range c.ints[from.values:to.values] {
			w.plain = binary.LittleEndian.AppendUint32(w.plain, uint32(v))
		}
	default:
		w.plain = append(w.plain, c.data[from.bytes:to.bytes]...)
	}
	return err
}

// page appends the page in w.plain and returns its size before compression.
func (w *Writer) page(h *format.PageHeader, codec format.CompressionCodec) (raw int, err error) {
	body := w.plain
	if codec == format.Zstd {
		w.packed = w.pack.EncodeAll(w.plain, w.packed[:0])
		body = w.packed
	}
	if len(w.plain) > math.MaxInt32 {
		return 0, fmt.Errorf("a page of %d bytes", len(w.plain))
	}
	h.UncompressedPageSize, h.CompressedPageSize = int32(len(w.plain)), int32(len(body))
	w.header.Reset()
	if err := thrift.NewEncoder(new(thrift.CompactProtocol).NewWriter(&w.header)).Encode(h); err != nil {
		return 0, fmt.Errorf("encode page header: %w", err)
	}
	w.out = append(append(w.out, w.header.Bytes()...), body...)
	return w.header.Len() + len(w.plain), nil
}

// maxBound is the length up to which texts may be bounds.
const maxBound = 64

func (c *Column) statistics() format.Statistics {
	s := format.Statistics{NullCount: c.nulls}
	switch {
	case !c.bounds:
	case len(c.ints) > 0 && c.physical == format.Int64:
		s.MinValue, s.MaxValue = binary.LittleEndian.AppendUint64(nil, uint64(slices.Min(c.ints))), binary.LittleEndian.AppendUint64(nil, uint64(slices.Max(c.ints)))
	case len(c.ints) > 0 && c.physical == format.Int32:
		s.MinValue, s.MaxValue = binary.LittleEndian.AppendUint32(nil, uint32(slices.Min(c.ints))), binary.LittleEndian.AppendUint32(nil, uint32(slices.Max(c.ints)))
	case len(c.dictionary.entries) > 0:
		least, greatest := c.dictionary.bounds()
		if len(least) > 0 && len(least) <= maxBound && len(greatest) <= maxBound {
			s.MinValue, s.MaxValue = bytes.Clone(least), bytes.Clone(greatest)
		}
	}
	return s
}
