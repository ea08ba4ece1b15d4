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

// Places is where in a row group its columns are: what is kept in memory to read it.
type Places struct {
	rows    uint32
	columns []placed
}

type placed struct{ at, size uint32 }

// Rows returns how many rows the group has.
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

// Reader reads the columns of one row group, of which it has all bytes.
type Reader struct {
	table   *Table
	places  *Places
	group   []byte
	decoder *zstd.Decoder
	begins  []int // the row with which each page begins, and behind them how many there are
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

// Pages returns the numbers of the pages that hold rows from one to another.
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

// Rows returns how many rows the pages before one have.
func (r *Reader) Rows(page int) int { return r.begins[page] }

// Values are those of a column in some pages.
type Values struct {
	// Rep and Def are the levels of each slot: Rep is 0 where a row begins, Def
	// is 0 where there is no value. Rep is nil without lists, Def if each row has
	// one value.
	Rep, Def []byte
	// Ints are integers and truth values.
	Ints []int64

	// Texts lie in one piece of memory, so that what is kept of them is nothing to
	// the garbage collector. With a dictionary they are those that there are, and
	// index says which each value is.
	data   []byte
	size   int      // of each text; with 0, 4 bytes before each say
	begins []uint32 // of each text in data
	index  []uint32
	coded  bool // with a dictionary
	small  []int32
}

// Text returns the text or the bytes of a value by its number; it must not be changed.
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

// Len returns how many values there are.
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

// Read reads a column in the pages from first up to last, into values whose
// slices are used again; the texts are not overwritten.
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

// page reads a page behind what there is.
func (r *Reader) page(c *column, v *Values, page *format.PageHeader, body []byte) (err error) {
	h := &page.DataPageHeader.V
	slots := int(h.NumValues)
	if h.Encoding != c.encoding {
		return fmt.Errorf("encoding %v in place of %v", h.Encoding, c.encoding)
	}
	texts := c.physical == format.ByteArray || c.physical == format.FixedLenByteArray
	var b []byte
	if texts && !v.coded { // which stay where they are unpacked
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

// texts finds plain texts or bytes in the data from a place on.
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

// unpack unpacks a page behind some bytes.
func (r *Reader) unpack(to []byte, h *format.PageHeader, body []byte, c *column) ([]byte, error) {
	if c.codec == format.Uncompressed {
		return append(to, body...), nil
	}
	n := int(h.UncompressedPageSize)
	if n < 0 || n > maxGroup || len(to) > maxGroup {
		return to, fmt.Errorf("a page of %d bytes", n)
	}
	// With a little more room than is needed the decoder takes its fastest way.
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

// plains has memory for pages that nothing is left of when they are read.
var plains = sync.Pool{New: func() any { return new([]byte) }}

// grow makes room for n more bytes. Unlike slices.Grow it does not clear it first,
// which was a tenth of what reading a trace cost.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	var room strings.Builder
	room.Grow(len(b) + n + 1)
	_ = room.WriteByte(0) // so that there is a string to ask for its memory
	return append(unsafe.Slice(unsafe.StringData(room.String()), len(b)+n)[:0], b...)
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

// next returns the next page. Its header is valid until the one after.
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
