// Package columnar writes and reads Apache Parquet files column by column: the part
// of the format that the embedded engine's tables need, without an allocation for
// each cell and without reflection. Any Parquet reader can read these files;
// parquet-go provides the encodings of pages and the schema of a struct.
//
// A file is a sequence of row groups and a footer. Offsets inside a row group are
// relative to its start, so that its bytes can be copied from one file to another:
// Group.At adjusts the offsets in the footer.
package columnar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// magic begins and ends a Parquet file.
const magic = "PAR1"

// Table is the schema of files: their columns.
type Table struct {
	schema  []format.SchemaElement
	orders  []format.ColumnOrder
	columns []column
}

// column is a leaf of the schema.
type column struct {
	path     []string
	physical format.Type
	size     int // bytes of each value; 0 if they vary
	encoding format.Encoding
	codec    format.CompressionCodec // the same in all row groups: parquet-go uses the first group's codec for all
	optional bool
	list     bool
	bounds   bool
}

// levels reports whether rows may have no value or several values.
func (c *column) levels() bool { return c.optional || c.list }

// TableOf returns the table whose rows have the fields of T, with the tags of
// parquet-go: booleans, integers, texts and bytes, with "delta" (integers), "dict"
// (texts and bytes), "optional", "uncompressed" (otherwise zstd), and lists one
// level deep. Columns named in bounds get a minimum and a maximum in each row group.
// It panics on anything else, because T is part of the program.
func TableOf[T any](bounds ...string) *Table {
	var empty bytes.Buffer
	w := parquet.NewGenericWriter[T](&empty)
	if err := w.Close(); err != nil {
		panic(err)
	}
	footer, err := footerOf(empty.Bytes())
	if err != nil {
		panic(err)
	}
	t := &Table{schema: footer.Schema, orders: footer.ColumnOrders}
	schema := parquet.SchemaOf(*new(T))
	for _, path := range schema.Columns() {
		leaf, _ := schema.Lookup(path...)
		kind := leaf.Node.Type().PhysicalType()
		c := column{path: path, physical: *kind, encoding: format.Plain, codec: format.Zstd, optional: leaf.MaxDefinitionLevel > 0, list: leaf.MaxRepetitionLevel > 0}
		if *kind == format.FixedLenByteArray {
			c.size = leaf.Node.Type().Length()
		}
		if e := leaf.Node.Encoding(); e != nil {
			c.encoding = e.Encoding()
		}
		if z := leaf.Node.Compression(); z != nil {
			c.codec = z.CompressionCodec()
		}
		if leaf.MaxDefinitionLevel > 1 || leaf.MaxRepetitionLevel > 1 {
			panic(fmt.Sprintf("columnar: column %v is nested too deep", path))
		}
		for _, name := range bounds {
			c.bounds = c.bounds || len(path) == 1 && path[0] == name
		}
		t.columns = append(t.columns, c)
	}
	return t
}

// footerOf decodes the footer at the end of a file or of a part of it.
func footerOf(b []byte) (*format.FileMetaData, error) {
	if len(b) < 8 || string(b[len(b)-4:]) != magic {
		return nil, errors.New("not the end of a Parquet file")
	}
	n := int(binary.LittleEndian.Uint32(b[len(b)-8:]))
	if n > len(b)-8 {
		return nil, fmt.Errorf("a footer of %d bytes in %d", n, len(b)-8)
	}
	var protocol thrift.CompactProtocol
	footer := new(format.FileMetaData)
	return footer, thrift.Unmarshal(&protocol, b[len(b)-8-n:len(b)-8], footer)
}

// Path returns the place of a column in a row.
func (t *Table) Path(column int) []string { return t.columns[column].path }

// Footer returns the footer of a file whose row groups are at their offsets.
func (t *Table) Footer(groups []Group) ([]byte, error) {
	all := format.FileMetaData{Version: 1, Schema: t.schema, CreatedBy: "fluoro", ColumnOrders: t.orders, RowGroups: make(thrift.Slice[format.RowGroup], len(groups))}
	for i := range groups {
		g := &groups[i]
		all.NumRows += g.meta.NumRows
		all.RowGroups[i] = g.meta
		all.RowGroups[i].Ordinal = int16(i)
	}
	var protocol thrift.CompactProtocol
	b, err := thrift.Marshal(&protocol, &all)
	if err != nil {
		return nil, fmt.Errorf("encode footer: %w", err)
	}
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(b))), magic...), nil
}

// Head returns the first bytes of every file.
func Head() []byte { return []byte(magic) }

// Group is a row group as described in a footer.
type Group struct{ meta format.RowGroup }

// Rows returns the number of rows, Offset the group's offset in the file, Size its
// bytes.
func (g *Group) Rows() int     { return int(g.meta.NumRows) }
func (g *Group) Offset() int64 { return g.meta.FileOffset }
func (g *Group) Size() int64   { return g.meta.TotalCompressedSize }

// At returns the same group at another offset.
func (g *Group) At(offset int64) Group {
	by := offset - g.meta.FileOffset
	out := Group{g.meta}
	out.meta.FileOffset = offset
	out.meta.Columns = append(thrift.Slice[format.ColumnChunk](nil), g.meta.Columns...)
	for i := range out.meta.Columns {
		c := &out.meta.Columns[i].MetaData
		c.DataPageOffset += by
		if c.DictionaryPageOffset > 0 {
			c.DictionaryPageOffset += by
		}
	}
	return out
}

// Groups reads the footer of a file and checks that its row groups belong to this
// table and lie before end, the footer's offset in the file.
func (t *Table) Groups(footer []byte, end int64) ([]Group, error) {
	all, err := footerOf(footer)
	if err != nil {
		return nil, err
	}
	groups := make([]Group, len(all.RowGroups))
	for i, meta := range all.RowGroups {
		if err := t.check(&meta, end); err != nil {
			return nil, fmt.Errorf("row group %d: %w", i, err)
		}
		groups[i] = Group{meta}
	}
	return groups, nil
}

// Limits for allocations that a wrong number could cause.
const (
	maxGroup = 1 << 30 // bytes
	maxSlots = 1 << 24 // rows of a group, slots of a page
)

func (t *Table) check(g *format.RowGroup, end int64) error {
	if len(g.Columns) != len(t.columns) {
		return fmt.Errorf("%d columns instead of %d", len(g.Columns), len(t.columns))
	}
	if g.FileOffset < 0 || g.TotalCompressedSize < 0 || g.TotalCompressedSize > maxGroup || g.FileOffset+g.TotalCompressedSize > end || g.NumRows < 0 || g.NumRows > maxSlots {
		return fmt.Errorf("%d rows, %d bytes at %d of %d", g.NumRows, g.TotalCompressedSize, g.FileOffset, end)
	}
	for i := range g.Columns {
		c := &g.Columns[i].MetaData
		at := begins(c) - g.FileOffset
		if at < 0 || c.TotalCompressedSize < 0 || at+c.TotalCompressedSize > g.TotalCompressedSize {
			return fmt.Errorf("column %d: %d bytes at %d of %d", i, c.TotalCompressedSize, at, g.TotalCompressedSize)
		}
		if c.Type != t.columns[i].physical || c.Codec != t.columns[i].codec {
			return fmt.Errorf("column %d: %v compressed with %v", i, c.Type, c.Codec)
		}
	}
	return nil
}

// begins returns the offset of a column's first page.
func begins(c *format.ColumnMetaData) int64 {
	if c.DictionaryPageOffset > 0 {
		return c.DictionaryPageOffset
	}
	return c.DataPageOffset
}
