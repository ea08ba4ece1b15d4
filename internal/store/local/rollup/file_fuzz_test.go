package rollup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

const fuzzSecond = int64(1_764_000_000)

// fuzzFile returns a small rollup of two owners, its plain index and its plain pages.
func fuzzFile(t testing.TB) (file, index []byte, pages [][]byte) {
	t.Helper()
	var b Builder
	everything := trace.Window{Start: trace.MinTime, End: trace.MaxTime}
	for i := range 3 {
		at := trace.Time(fuzzSecond+int64(40*i)) * 1e9
		s := &trace.Segment{TraceID: trace.ID{15: byte(i)}, Source: trace.SourceDocument, ReceivedAt: at}
		s.ID, s.Name, s.Start, s.End, s.Fault = trace.SegmentID{1}, "front", at, at+2e9, i == 1
		s.Subsegments = []*trace.Entity{{ID: trace.SegmentID{2}, ParentID: s.ID, Name: "back", Namespace: "remote", Start: at, End: at + 1e9, Subsegment: true}}
		s.Links = []trace.Link{{TraceID: trace.ID{15: 9}, ID: trace.SegmentID{3}, Child: i == 0}}
		tr := assemble.Trace(s.TraceID, []*trace.Segment{s})
		b.Add(Owner{Account: "1"}, tr, everything)
		b.Add(Owner{Account: "1", Version: "g.1"}, tr, everything)
	}
	f, err := InMemory(b.Encode(), NewCache(0))
	if err != nil {
		t.Fatal(err)
	}
	plain := func(r ref) []byte {
		b, err := f.unpack(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, k := range slices.SortedFunc(maps.Keys(f.refs), pageKey.compare) {
		pages = append(pages, plain(f.refs[k]))
	}
	return f.mem, plain(indexOf(f.mem)), pages
}

// indexOf returns the location of a file's index.
func indexOf(file []byte) ref {
	tail := file[len(file)-tailBytes:]
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(tail[at:]) }
	return ref{at: int64(binary.LittleEndian.Uint64(tail)), stored: u32(8), raw: u32(12), sum: u32(16)}
}

// A page of arbitrary bytes is refused, or each of its cells has a name of the file
// and a part of the page; it has no more cells than bytes. Adding it and subtracting
// it again leaves nothing.
func FuzzPage(f *testing.F) {
	original, index, pages := fuzzFile(f)
	file := &File{}
	if err := file.loadIndex(index, indexOf(original).at); err != nil {
		f.Fatal(err)
	}
	for _, page := range pages {
		f.Add(page, uint8(seconds))
		f.Add(page, uint8(hours))
	}
	f.Add(pages[0][:len(pages[0])-1], uint8(seconds))
	f.Add([]byte{1, 59, 1, 0, 0, 0}, uint8(seconds))
	f.Add([]byte{1, 60, 1, 0, 0, 0}, uint8(seconds))
	f.Fuzz(func(t *testing.T, b []byte, number uint8) {
		l := level(number) % levels
		start := floor(fuzzSecond, l.length())
		p, err := decode(b, file.names, l, start)
		if err != nil {
			return
		}
		if n := len(p.entities) + len(p.nodes) + len(p.edges) + len(p.links); n > len(b) {
			t.Fatalf("%d cells of %d bytes", n, len(b))
		}
		parts := int32(l.length() / l.step())
		for _, c := range p.entities {
			if c.part < 0 || c.part >= parts {
				t.Fatalf("entities of part %d of %d", c.part, parts)
			}
		}
		for _, c := range p.nodes {
			if int(c.number) >= len(file.names.nodes) || c.part < 0 || c.part >= parts {
				t.Fatalf("node %d, part %d of %d", c.number, c.part, parts)
			}
		}
		for _, c := range p.edges {
			if int(c.number) >= len(file.names.edges) || c.part < 0 || c.part >= parts {
				t.Fatalf("edge %d, part %d of %d", c.number, c.part, parts)
			}
		}
		var sum assemble.Sum
		p.addTo(&sum, file.names, 0, parts, 1)
		p.addTo(&sum, file.names, 0, parts, -1)
		if sum.Entities != 0 {
			t.Fatalf("%d entities are left of what was added and taken away", sum.Entities)
		}
	})
}

// A file with any index and right checksums: it is refused, or every way to ask it
// ends, with an answer or with an error that names the damage.
func FuzzFile(f *testing.F) {
	original, index, _ := fuzzFile(f)
	f.Add(index)
	f.Add(index[:len(index)-5])
	for _, change := range []struct{ from, to string }{
		{"\x05front", "\x04fron"},
		{"\x03g.1", "\x03g.0"},             // owners out of order
		{"\x00\x011\x00", "\x00\x012\x00"}, // of another account
	} {
		if !bytes.Contains(index, []byte(change.from)) {
			f.Fatalf("the index does not hold %q", change.from)
		}
		f.Add(bytes.Replace(index, []byte(change.from), []byte(change.to), 1))
	}
	f.Fuzz(func(t *testing.T, index []byte) {
		w := &writer{file: bytes.Clone(original[:indexOf(original).at])}
		file, err := InMemory(w.finishWith(index), NewCache(1<<20))
		if err != nil {
			return
		}
		if n := len(file.refs) + len(file.names.services) + len(file.names.nodes) + len(file.names.edges); n > len(index) {
			t.Fatalf("%d pages and names of %d bytes", n, len(index))
		}
		for k, r := range file.refs { // so that pages are read, whatever the index says of them
			stored := file.mem[r.at : r.at+int64(r.stored)]
			raw, _ := unpacker.DecodeAll(stored, nil)
			r.raw, r.sum = uint32(len(raw)), crc32.Checksum(stored, castagnoli)
			file.refs[k] = r
		}
		asked(t, file)
	})
}

// finishWith ends a file with a given index.
func (w *writer) finishWith(index []byte) []byte {
	r := w.pack(index)
	b := binary.LittleEndian.AppendUint64(w.file, uint64(r.at))
	for _, n := range []uint32{r.stored, r.raw, r.sum, rules, version} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[len(b)-28:], castagnoli))
	return append(b, magic...)
}

// asked asks a file about each of its owners, and merges it.
func asked(t *testing.T, file *File) {
	t.Helper()
	namesDamage := func(err error) {
		t.Helper()
		var damage *vfs.CorruptError
		if err != nil && !errors.As(err, &damage) {
			t.Fatalf("the error does not name the damage: %v", err)
		}
	}
	owners := map[Owner]struct{}{{Account: "1"}: {}}
	for k := range file.refs {
		owners[k.owner] = struct{}{}
	}
	for o := range owners {
		for _, w := range [][2]int64{{0, 1 << 40}, {fuzzSecond - 1, fuzzSecond + 3601}, {fuzzSecond, fuzzSecond + 1}, {-1 << 40, 1 << 40}} {
			var sum assemble.Sum
			namesDamage(file.AddTo(&sum, o, w[0], w[1], 1))
			namesDamage(file.AddSeries(assemble.NewSeries(trace.Window{Start: trace.MinTime, End: trace.MaxTime}, time.Minute, nil), o, w[0], w[1], 1))
			_, _, _ = file.Size(o, w[0], w[1])
		}
		_, err := file.Any(o.Account, fuzzSecond)
		namesDamage(err)
	}
	_ = file.Names()
	namesDamage(file.Check())
	for _, limit := range []assemble.Limit{0, 2} {
		merged, _, err := Merge([]*File{file}, nil, limit)
		if namesDamage(err); err != nil {
			continue
		}
		again, err := InMemory(merged, NewCache(0))
		if err == nil {
			err = again.Check()
		}
		if err != nil {
			t.Fatalf("the merged file cannot be read: %v", err)
		}
	}
}
