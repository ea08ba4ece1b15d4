package columnar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Places is where in a row group its columns are: what is kept in memory to read it.
type Places struct {
	rows    uint32
	columns []placed
}

type placed struct{ at, size uint32 }

// Rows is how many rows the group has.
func (p *Places) Rows() int { return int(p.rows) }

// Places is where the columns are.
func (g *Group) Places() Places {
	p := Places{rows: uint32(g.meta.NumRows), columns: make([]placed, len(g.meta.Columns))}
	for i := range g.meta.Columns {
		c := &g.meta.Columns[i].MetaData
		p.columns[i] = placed{uint32(begins(c) - g.meta.FileOffset), uint32(c.TotalCompressedSize)}
	}
	return p
}

// Reader reads the columns of one row group, of which it has all bytes.
type Reader struct {
	table   *Table
	places  *Places
	group   []byte
	decoder *zstd.Decoder
	rows    []int // of each page
}

// NewReader reads a row group. Its pages end at the same rows in all columns, the
// first of which has a value in each row.
func (t *Table) NewReader(places *Places, group []byte, decoder *zstd.Decoder) (*Reader, error) {
	r := &Reader{table: t, places: places, group: group, decoder: decoder}
	if len(places.columns) != len(t.columns) {
		return nil, fmt.Errorf("%d columns in place of %d", len(places.columns), len(t.columns))
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
			r.rows = append(r.rows, int(h.DataPageHeader.V.NumValues))
			rows += int(h.DataPageHeader.V.NumValues)
		}
	}
	if rows != int(places.rows) {
		return nil, fmt.Errorf("pages of %d rows, %d announced", rows, places.rows)
	}
	return r, nil
}

// Pages are the numbers of the pages that hold rows from one to another, and
// the row with which the first of them begins.
func (r *Reader) Pages(from, to int) (first, last, row int) {
	at := 0
	for i, n := range r.rows {
		if at+n <= from {
			first, row = i+1, at+n
		}
		if at < to {
			last = i + 1
		}
		at += n
	}
	return first, last, row
}

// Values are those of a column in some pages.
type Values struct {
	// Rep and Def are the levels of each slot: Rep is 0 where a row begins, Def
	// is 0 where there is no value. Rep is nil without lists, Def if each row has
	// one value.
	Rep, Def []byte
	// Ints are integers and truth values. Texts are texts and bytes, or with
	// Index those that there are; they must not be changed.
	Ints  []int64
	Texts [][]byte
	Index []uint32
	small []int32
}

// Text is the text of a value by its number.
func (v *Values) Text(i int) []byte {
	if v.Index != nil {
		return v.Texts[v.Index[i]]
	}
	return v.Texts[i]
}

// Read reads a column in the pages from first up to last, into values whose
// slices are used again; the texts are not overwritten.
func (r *Reader) Read(column, first, last int, v *Values) error {
	c := &r.table.columns[column]
	v.Rep, v.Def, v.Ints, v.Texts, v.Index = v.Rep[:0], v.Def[:0], v.Ints[:0], v.Texts[:0], v.Index[:0]
	if err := r.read(c, column, first, last, v); err != nil {
		return fmt.Errorf("column %v: %w", c.path, err)
	}
	if c.encoding != format.RLEDictionary {
		v.Index = nil
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
			b, err := r.unpack(h, body, c)
			if err != nil {
				return err
			}
			if v.Texts, err = texts(v.Texts, b, c, int(h.DictionaryPageHeader.V.NumValues)); err != nil {
				return fmt.Errorf("dictionary: %w", err)
			}
			continue
		}
		if n++; n <= first {
			continue
		}
		b, err := r.unpack(h, body, c)
		if err != nil {
			return err
		}
		if err := v.page(c, b, &h.DataPageHeader.V); err != nil {
			return fmt.Errorf("page %d: %w", n-1, err)
		}
	}
	if v.Index == nil && c.encoding == format.RLEDictionary {
		v.Index = []uint32{}
	}
	return nil
}

// page reads a page behind what there is.
func (v *Values) page(c *column, b []byte, h *format.DataPageHeader) (err error) {
	slots := int(h.NumValues)
	if h.Encoding != c.encoding {
		return fmt.Errorf("encoding %v in place of %v", h.Encoding, c.encoding)
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
		values = 0
		for _, d := range v.Def[at:] {
			values += int(d)
		}
	}
	switch {
	case c.encoding == format.RLEDictionary:
		if len(b) < 1 || b[0] > 32 {
			return errPage
		}
		at := len(v.Index)
		if v.Index, err = readHybrid(v.Index, b[1:], int(b[0]), values); err != nil {
			return err
		}
		for _, n := range v.Index[at:] {
			if int(n) >= len(v.Texts) {
				return fmt.Errorf("value %d of %d", n, len(v.Texts))
			}
		}
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
		v.Texts, err = texts(v.Texts, b, c, values)
	}
	return err
}

// delta reads integers that are written as differences.
func (v *Values) delta(c *column, b []byte, values int) (err error) {
	// The decoder believes the number of values that the page says.
	rest, n := b, uint64(0)
	for range 3 {
		var w int
		if n, w = binary.Uvarint(rest); w <= 0 {
			return errPage
		}
		rest = rest[w:]
	}
	if n != uint64(values) {
		return fmt.Errorf("%d values in place of %d", n, values)
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

// texts reads plain texts or bytes, which share the memory of the page.
func texts(to [][]byte, b []byte, c *column, n int) ([][]byte, error) {
	if n < 0 || n > len(b)/max(c.size, 4) && n > len(b) {
		return nil, errPage
	}
	to = slices.Grow(to, n)
	for range n {
		size := c.size
		if size == 0 {
			if len(b) < 4 {
				return nil, errPage
			}
			size = int(binary.LittleEndian.Uint32(b))
			b = b[4:]
		}
		if uint(size) > uint(len(b)) {
			return nil, errPage
		}
		to = append(to, b[:size:size])
		b = b[size:]
	}
	return to, nil
}

func (r *Reader) unpack(h *format.PageHeader, body []byte, c *column) ([]byte, error) {
	if c.codec == format.Uncompressed {
		return body, nil
	}
	n := int(h.UncompressedPageSize)
	if n < 0 || n > maxGroup {
		return nil, fmt.Errorf("a page of %d bytes", n)
	}
	b, err := r.decoder.DecodeAll(body, make([]byte, 0, min(n, 64*len(body)+4096)))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if len(b) != n {
		return nil, fmt.Errorf("a page of %d bytes, %d announced", len(b), n)
	}
	return b, nil
}

// pageList goes through the pages of a column.
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

var errHeader = errors.New("a page header that makes no sense")

// next is the next page. Its header is valid until the one after.
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
