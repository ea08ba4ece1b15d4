package block

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/fluoro-io/fluoro/internal/store/local/vfs"
)

// groups are the row groups of a table of entities. Parquet's metadata of all of
// them, decoded, takes more memory than the index: it is kept encoded, a footer
// for each row group alone, and decoded when one is read.
type groups struct {
	file   vfs.File
	end    int64    // of what is before the footer
	prefix []byte   // what all footers begin with: the schema
	rest   [][]byte // of each footer
	raw    []uint32 // bytes of each group before compression
}

// magicBytes ends a Parquet file, behind the length of the footer.
const magicBytes = "PAR1"

// loadGroups reads the footer of a file of some size.
func loadGroups(file vfs.File, size int64) (*groups, error) {
	tail := make([]byte, 8)
	if size < int64(len(tail)) {
		return nil, errors.New("the file is too short")
	}
	if _, err := file.ReadAt(tail, size-8); err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	if string(tail[4:]) != magicBytes || n > size-8 {
		return nil, errors.New("no Parquet file ends here")
	}
	footer := make([]byte, n)
	if _, err := file.ReadAt(footer, size-8-n); err != nil {
		return nil, err
	}
	var protocol thrift.CompactProtocol
	var all format.FileMetaData
	if err := thrift.Unmarshal(&protocol, footer, &all); err != nil {
		return nil, err
	}
	g := &groups{file: file, end: size - 8 - n}
	one := format.FileMetaData{Version: all.Version, Schema: all.Schema, NumRows: all.NumRows}
	for i := range all.RowGroups {
		group := all.RowGroups[i]
		g.raw = append(g.raw, uint32(group.TotalByteSize))
		group.Ordinal = 0
		for c := range group.Columns {
			group.Columns[c].MetaData.Statistics = format.Statistics{}
			group.Columns[c].MetaData.EncodingStats = nil
		}
		one.RowGroups = thrift.Slice[format.RowGroup]{group}
		encoded, err := thrift.Marshal(&protocol, &one)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			g.prefix = encoded
		}
		for len(g.prefix) > 0 && (len(encoded) < len(g.prefix) || string(encoded[:len(g.prefix)]) != string(g.prefix)) {
			// The prefix gets shorter: the others get what it loses.
			last := len(g.prefix) - 1
			for r := range g.rest {
				g.rest[r] = append([]byte{g.prefix[last]}, g.rest[r]...)
			}
			g.prefix = g.prefix[:last:last]
		}
		g.rest = append(g.rest, append([]byte(nil), encoded[len(g.prefix):]...))
	}
	return g, nil
}

// open opens a row group.
func (g *groups) open(i uint32) (parquet.RowGroup, error) {
	if int(i) >= len(g.rest) {
		return nil, fmt.Errorf("row group %d of %d", i, len(g.rest))
	}
	footer := append(append(make([]byte, 0, len(g.prefix)+len(g.rest[i])+8), g.prefix...), g.rest[i]...)
	footer = append(binary.LittleEndian.AppendUint32(footer, uint32(len(footer))), magicBytes...)
	table, err := parquet.OpenFile(&alone{g.file, g.end, footer}, g.end+int64(len(footer)), parquet.SkipMagicBytes(true), parquet.SkipPageIndex(false), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	if n := len(table.RowGroups()); n != 1 {
		return nil, fmt.Errorf("%d row groups in place of one", n)
	}
	return table.RowGroups()[0], nil
}

// alone is a file up to its footer, with another footer.
type alone struct {
	file   io.ReaderAt
	end    int64
	footer []byte
}

// ReadAt is part of io.ReaderAt.
func (a *alone) ReadAt(p []byte, at int64) (n int, err error) {
	if at < a.end {
		if n, err = a.file.ReadAt(p[:min(int64(len(p)), a.end-at)], at); n == len(p) || at+int64(n) < a.end {
			return n, err
		}
	}
	from := at + int64(n) - a.end
	if from >= int64(len(a.footer)) {
		return n, io.EOF
	}
	if n += copy(p[n:], a.footer[from:]); n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
