// Package columnar writes and reads Apache Parquet files column by column: what
// the embedded engine's tables need of the format, without a value for each cell
// and without reflection. Anything that reads Parquet reads these files; the
// pages' encodings are those of parquet-go, whose schema of a struct is used, too.
//
// A file is a sequence of row groups and a footer. A row group is written as one
// piece whose inner places are relative to its start, so that it can be copied
// from one file to another as it is: Group.At says what a footer has to know.
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

// Table is the schema of files: which columns there are.
type Table struct {
	schema  []format.SchemaElement
	orders  []format.ColumnOrder
	columns []column
}

// column is a leaf of the schema.
type column struct {
	path     []string
	physical format.Type
	size     int // bytes of each value; 0 if they differ
	encoding format.Encoding
	codec    format.CompressionCodec // the same in all row groups: parquet-go takes that of the first for all
	optional bool
	list     bool
	bounds   bool
}

// levels says that not every row has one value.
func (c *column) levels() bool { return c.optional || c.list }

// TableOf returns the table whose rows have the fields of T, with the tags of
// parquet-go: booleans, integers, texts and bytes, of these "delta" (integers)
// and "dict" (texts and bytes), "optional", "uncompressed" (else zstd) and lists one deep. Columns of the
// names in bounds get a least and a greatest value in each row group. It panics
// on anything else, as T is part of the program.
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

// footerOf decodes what ends a file, or the end of one that holds all of its footer.
func footerOf(b []byte) (*format.FileMetaData, error) {
	if len(b) < 8 || string(b[len(b)-4:]) != magic {
		return nil, errors.New("no Parquet file ends here")
	}
	n := int(binary.LittleEndian.Uint32(b[len(b)-8:]))
	if n > len(b)-8 {
		return nil, fmt.Errorf("a footer of %d bytes in %d", n, len(b)-8)
	}
	var protocol thrift.CompactProtocol
	footer := new(format.FileMetaData)
	return footer, thrift.Unmarshal(&protocol, b[len(b)-8-n:len(b)-8], footer)
}

// Path returns where in a row a column is.
func (t *Table) Path(column int) []string { return t.columns[column].path }

// Footer returns the end of a file with some row groups, which are where their
// numbers say.
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

// Head begins every file.
func Head() []byte { return []byte(magic) }

// Group is a row group as a footer knows it.
type Group struct{ meta format.RowGroup }

// Rows returns how many rows there are, Offset where in the file the group begins,
// Size how many bytes it has.
func (g *Group) Rows() int     { return int(g.meta.NumRows) }
func (g *Group) Offset() int64 { return g.meta.FileOffset }
func (g *Group) Size() int64   { return g.meta.TotalCompressedSize }

// At returns the same group at another place of a file.
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

// Groups reads the footer of a file whose rest it is and checks that its row
// groups are of this table and lie before it, which is where the file has end.
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

// What a wrong number can make us allocate.
const (
	maxGroup = 1 << 30 // bytes
	maxSlots = 1 << 24 // rows of a group, slots of a page
)

func (t *Table) check(g *format.RowGroup, end int64) error {
	if len(g.Columns) != len(t.columns) {
		return fmt.Errorf("%d columns in place of %d", len(g.Columns), len(t.columns))
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

// begins returns where a column's first page is.
func begins(c *format.ColumnMetaData) int64 {
	if c.DictionaryPageOffset > 0 {
		return c.DictionaryPageOffset
	}
	return c.DataPageOffset
}
