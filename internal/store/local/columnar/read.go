package columnar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Places tells where in a row group its columns are. It stays in memory, so that the
// group can be read.
type Places struct {
	rows    uint32
	columns []placed
}

type placed struct{ at, size uint32 }

// Rows returns the number of rows of the group.
func (p *Places) Rows() int { return int(p.rows) }

// Places returns where the columns are.
func (g *Group) Places() Places {
	p := Places{rows: uint32(g.meta.NumRows), columns: make([]placed, len(g.meta.Columns))}
	for i := range g.meta.Columns {
		c := &g.meta.Columns[i].MetaData
		p.columns[i] = placed{uint32(begins(c) - g.meta.FileOffset), uint32(c.TotalCompressedSize)}
	}
	return p
}

// Reader reads the columns of one row group, given all its bytes.
type Reader struct {
	table   *Table
	places  *Places
	group   []byte
	decoder *zstd.Decoder
	begins  []int // the first row of each page, and at the end the number of rows
}

// NewReader reads the page headers of a row group. Its pages end at the same rows in
// all columns, and the first column has a value in each row.
func (t *Table) NewReader(places *Places, group []byte, decoder *zstd.Decoder) (*Reader, error) {
	r := &Reader{table: t, places: places, group: group, decoder: decoder}
	if len(places.columns) != len(t.columns) {
		return nil, fmt.Errorf("%d columns instead of %d", len(places.columns), len(t.columns))
	}
	pages, err := r.open(0)
	if err != nil {
		return nil, err
	}
	rows := 0
	for len(pages.rest) > 0 {
		h, _, err := pages.next()
		if err != nil {
			return nil, err
		}
		if h.Type == format.DataPage {
			r.begins = append(r.begins, rows)
			rows += int(h.DataPageHeader.V.NumValues)
		}
	}
	if rows != int(places.rows) {
		return nil, fmt.Errorf("pages of %d rows, %d announced", rows, places.rows)
	}
	r.begins = append(r.begins, rows)
	return r, nil
}

// Pages returns the numbers of the pages with the rows from one to another.
func (r *Reader) Pages(from, to int) (first, last int) {
	for i, begin := range r.begins[:len(r.begins)-1] {
		if begin <= from {
			first = i
		}
		if begin < to {
			last = i + 1
		}
	}
	return first, max(first, last)
}

// Rows returns the number of rows before a page.
func (r *Reader) Rows(page int) int { return r.begins[page] }

// Values are the values of a column in some pages.
type Values struct {
	// Rep and Def are the levels of each slot: Rep is 0 where a row begins, Def is 0
	// where there is no value. Rep is nil without lists, Def if each row has one
	// value.
	Rep, Def []byte
	// Ints are integers and booleans.
	Ints []int64

	// The texts are in one allocation, so that the garbage collector need not scan
	// them. With a dictionary, they are the distinct texts, and index has the number
	// of each value.
	data   []byte
	size   int      // of each text; with 0, 4 bytes before each text hold its length
	begins []uint32 // of each text in data
	index  []uint32
	coded  bool // with a dictionary
	small  []int32
}

// Text returns a value's text or bytes, by number; it must not be changed.
func (v *Values) Text(i int) []byte {
	if v.coded {
		i = int(v.index[i])
	}
	at, size := v.begins[i], uint32(v.size)
	if size == 0 {
		size = binary.LittleEndian.Uint32(v.data[at-4:])
	}
	return v.data[at : at+size : at+size]
}

// Len returns the number of values.
func (v *Values) Len() int {
	switch {
	case v.coded:
		return len(v.index)
	case v.begins != nil:
		return len(v.begins)
	}
	return len(v.Ints)
}

// Bytes returns about how much memory the values take.
func (v *Values) Bytes() int64 {
	return int64(cap(v.Rep) + cap(v.Def) + 8*cap(v.Ints) + cap(v.data) + 4*cap(v.begins) + 4*cap(v.index))
}

// Read reads a column of the pages from first to last (excluded) into values. It
// reuses the slices of values, but does not overwrite their texts.
func (r *Reader) Read(column, first, last int, v *Values) error {
	c := &r.table.columns[column]
	*v = Values{Rep: v.Rep[:0], Def: v.Def[:0], Ints: v.Ints[:0], begins: v.begins[:0], index: v.index[:0], small: v.small[:0], size: c.size, coded: c.encoding == format.RLEDictionary}
	if err := r.read(c, column, first, last, v); err != nil {
		return fmt.Errorf("column %v: %w", c.path, err)
	}
	return nil
}

func (r *Reader) read(c *column, number, first, last int, v *Values) error {
	pages, err := r.open(number)
	if err != nil {
		return err
	}
	for n := 0; n < last; {
		h, body, err := pages.next()
		if err != nil {
			return err
		}
		if h.Type == format.DictionaryPage {
			from := len(v.data)
			if v.data, err = r.unpack(v.data, h, body, c); err != nil {
				return err
			}
			if err = v.texts(from, int(h.DictionaryPageHeader.V.NumValues)); err != nil {
				return fmt.Errorf("dictionary: %w", err)
			}
			continue
		}
		if n++; n <= first {
			continue
		}
		if err := r.page(c, v, h, body); err != nil {
			return fmt.Errorf("page %d: %w", n-1, err)
		}
	}
	return nil
}

// page appends the values of a page.
func (r *Reader) page(c *column, v *Values, page *format.PageHeader, body []byte) (err error) {
	h := &page.DataPageHeader.V
	slots := int(h.NumValues)
	if h.Encoding != c.encoding {
		return fmt.Errorf("encoding %v instead of %v", h.Encoding, c.encoding)
	}
	texts := c.physical == format.ByteArray || c.physical == format.FixedLenByteArray
	var b []byte
	if texts && !v.coded { // they stay where they are decompressed
		from := len(v.data)
		if v.data, err = r.unpack(v.data, page, body, c); err != nil {
			return err
		}
		b = v.data[from:]
	} else {
		plain := plains.Get().(*[]byte)
		defer plains.Put(plain)
		if *plain, err = r.unpack((*plain)[:0], page, body, c); err != nil {
			return err
		}
		b = *plain
	}
	values := slots
	if c.list {
		if v.Rep, b, err = levels(v.Rep, b, slots); err != nil {
			return err
		}
	}
	if c.levels() {
		at := len(v.Def)
		if v.Def, b, err = levels(v.Def, b, slots); err != nil {
			return err
		}
		values = bytes.Count(v.Def[at:], present)
	}
	switch {
	case v.coded:
		if len(b) < 1 || b[0] > 32 {
			return errPage
		}
		at := len(v.index)
		if v.index, err = readHybrid(v.index, b[1:], int(b[0]), values); err != nil {
			return err
		}
		if values > 0 {
			if most := slices.Max(v.index[at:]); int(most) >= len(v.begins) {
				return fmt.Errorf("value %d of %d", most, len(v.begins))
			}
		}
	case texts:
		return v.texts(len(v.data)-len(b), values)
	case c.physical == format.Boolean:
		if len(b) < (values+7)/8 {
			return errPage
		}
		for i := range values {
			v.Ints = append(v.Ints, int64(b[i/8]>>(i%8)&1))
		}
	case c.encoding == format.DeltaBinaryPacked:
		return v.delta(c, b, values)
	case c.physical == format.Int64:
		if len(b) < 8*values {
			return errPage
		}
		for i := range values {
			v.Ints = append(v.Ints, int64(binary.LittleEndian.Uint64(b[8*i:])))
		}
	case c.physical == format.Int32:
		if len(b) < 4*values {
			return errPage
		}
		for i := range values {
			v.Ints = append(v.Ints, int64(int32(binary.LittleEndian.Uint32(b[4*i:]))))
		}
	default:
		return errPage
	}
	return nil
}

var present = []byte{1}

// delta appends integers that are encoded as differences.
func (v *Values) delta(c *column, b []byte, values int) (err error) {
	// The decoder would trust the page's number of values.
	rest, n := b, uint64(0)
	for range 3 {
		var w int
		if n, w = binary.Uvarint(rest); w <= 0 {
			return errPage
		}
		rest = rest[w:]
	}
	if n != uint64(values) {
		return fmt.Errorf("%d values instead of %d", n, values)
	}
	if c.physical == format.Int64 {
		if len(v.Ints) == 0 {
			v.Ints, err = new(delta.BinaryPackedEncoding).DecodeInt64(v.Ints, b)
			return err
		}
		more, err := new(delta.BinaryPackedEncoding).DecodeInt64(nil, b)
		v.Ints = append(v.Ints, more...)
		return err
	}
	if v.small, err = new(delta.BinaryPackedEncoding).DecodeInt32(v.small[:0], b); err != nil {
		return err
	}
	for _, n := range v.small {
		v.Ints = append(v.Ints, int64(n))
	}
	return nil
}

func levels(to, b []byte, slots int) (out, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errPage
	}
	n := binary.LittleEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) {
		return nil, nil, errPage
	}
	out, err = readHybrid(to, b[:n], 1, slots)
	return out, b[n:], err
}

// texts finds plain texts or bytes in data, starting at a place.
func (v *Values) texts(at, n int) error {
	if rest := len(v.data) - at; n < 0 || n > rest/max(v.size, 4) {
		return errPage
	}
	v.begins = slices.Grow(v.begins, n)
	for range n {
		size := v.size
		if size == 0 {
			if len(v.data)-at < 4 {
				return errPage
			}
			size = int(binary.LittleEndian.Uint32(v.data[at:]))
			at += 4
		}
		if uint(size) > uint(len(v.data)-at) {
			return errPage
		}
		v.begins = append(v.begins, uint32(at))
		at += size
	}
	return nil
}

// unpack decompresses a page and appends it.
func (r *Reader) unpack(to []byte, h *format.PageHeader, body []byte, c *column) ([]byte, error) {
	if c.codec == format.Uncompressed {
		return append(to, body...), nil
	}
	n := int(h.UncompressedPageSize)
	if n < 0 || n > maxGroup || len(to) > maxGroup {
		return to, fmt.Errorf("a page of %d bytes", n)
	}
	// With some spare room, the decoder uses its fastest path.
	const slack = 32
	b, err := r.decoder.DecodeAll(body, grow(to, min(n, 64*len(body)+4096)+slack))
	if err != nil {
		return to, fmt.Errorf("decompress: %w", err)
	}
	if len(b)-len(to) != n {
		return to, fmt.Errorf("a page of %d bytes, %d announced", len(b)-len(to), n)
	}
	return b, nil
}

// plains provides memory for pages that are not kept after reading.
var plains = sync.Pool{New: func() any { return new([]byte) }}

// grow makes room for n more bytes. Unlike slices.Grow, it does not clear the memory
// first, which was a tenth of the time to read a trace.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	var room strings.Builder
	room.Grow(len(b) + n + 1)
	_ = room.WriteByte(0) // so that there is a string to ask for its memory
	return append(unsafe.Slice(unsafe.StringData(room.String()), len(b)+n)[:0], b...)
}

// pageList iterates over the pages of a column.
type pageList struct {
	rest   []byte
	header format.PageHeader
}

func (r *Reader) open(column int) (*pageList, error) {
	p := r.places.columns[column]
	if uint64(p.at)+uint64(p.size) > uint64(len(r.group)) {
		return nil, fmt.Errorf("column %d: %d bytes at %d of %d", column, p.size, p.at, len(r.group))
	}
	return &pageList{rest: r.group[p.at : p.at+p.size]}, nil
}

var errHeader = errors.New("an invalid page header")

// next returns the next page. The header is valid until the next call.
func (l *pageList) next() (*format.PageHeader, []byte, error) {
	source := new(thrift.CompactProtocol).NewReaderFromBytes(l.rest)
	l.header = format.PageHeader{}
	if err := thrift.NewDecoder(source).Decode(&l.header); err != nil {
		return nil, nil, fmt.Errorf("page header: %w", err)
	}
	h, b := &l.header, l.rest[source.BytesRead():]
	if h.CompressedPageSize < 0 || int(h.CompressedPageSize) > len(b) {
		return nil, nil, errPage
	}
	l.rest = b[h.CompressedPageSize:]
	switch h.Type {
	case format.DataPage:
		if !h.DataPageHeader.Valid || h.DataPageHeader.V.NumValues < 0 || h.DataPageHeader.V.NumValues > maxSlots {
			return nil, nil, errHeader
		}
	case format.DictionaryPage:
		if !h.DictionaryPageHeader.Valid || h.DictionaryPageHeader.V.NumValues < 0 || h.DictionaryPageHeader.V.NumValues > maxSlots {
			return nil, nil, errHeader
		}
	default:
		return nil, nil, errHeader
	}
	return h, b[:h.CompressedPageSize:h.CompressedPageSize], nil
}
