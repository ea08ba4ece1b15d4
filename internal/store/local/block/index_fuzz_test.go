package block

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// fileBytes returns the bytes of a file.
func fileBytes(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b, err := read(f, name, 0, int(size))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fuzzBlock is a block of a few traces of two accounts in directory "d", number 1.
func fuzzBlock(t testing.TB, codec *Codec) *vfs.Mem {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	w, err := Create(WriterOptions{FS: fs, Dir: "d", Number: 1, Codec: codec})
	if err != nil {
		t.Fatal(err)
	}
	var tokens Tokens
	for i, account := range []trace.Account{"1", "2", "1", "1"} {
		tokens.Reset()
		tokens.Key("tier")
		tokens.Annotation("tier", trace.Value{Kind: trace.StringValue, String: []string{"gold", "tin"}[i%2]})
		start := trace.Time(1_700_000_000e9) + trace.Time(i)*1e6
		in := Info{
			Account: account, ID: trace.ID{15: byte(i)}, LSN: uint64(i + 1), Start: start, End: start + 1e9, First: start + 2e9, Updated: start + 3e9,
			Response: Unknown, Duration: time.Second, Services: []string{"front", "back", "pay"}[:i%3+1], Keys: []string{"tier"}, Slow: []uint8{9, 8, 7}[:i%3+1], Tokens: tokens.Kept(),
		}
		if err := w.Add(&in, []Record{{TraceID: in.ID, Source: trace.SourceDocument, Raw: []byte(segmentText)}, {TraceID: in.ID, Source: trace.SourceDocument, Raw: []byte(childText)}}[:i%2+1]); err != nil {
			t.Fatal(err)
		}
	}
	b, err := w.Finish(nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	return fs
}

// takeApart returns the plain index of a block's file, and its postings.
func takeApart(t testing.TB, codec *Codec, file []byte) (index, postings []byte) {
	t.Helper()
	tail := file[len(file)-tailBytes:]
	at, stored := binary.LittleEndian.Uint64(tail), binary.LittleEndian.Uint32(tail[8:])
	index, err := codec.unpack(nil, file[at:at+uint64(stored)], binary.LittleEndian.Uint32(tail[12:]))
	if err != nil {
		t.Fatal(err)
	}
	return index, file[headBytes:at]
}

// putTogether makes a block's file with right checksums, as a bug in the writer would.
func putTogether(codec *Codec, format uint32, index, postings []byte, entries int) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(magic), format)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	b = append(b, postings...)
	packed := codec.encoders[Fast].EncodeAll(index, nil)
	tail := binary.LittleEndian.AppendUint64(nil, uint64(len(b)))
	b = append(b, packed...)
	for _, n := range []uint32{uint32(len(packed)), uint32(len(index)), crc32.Checksum(packed, castagnoli()), uint32(entries)} {
		tail = binary.LittleEndian.AppendUint32(tail, n)
	}
	tail = binary.LittleEndian.AppendUint64(tail, 9)
	tail = binary.LittleEndian.AppendUint32(tail, format)
	tail = binary.LittleEndian.AppendUint32(tail, crc32.Checksum(tail, castagnoli()))
	return append(append(b, tail...), magic...)
}

// A block whose index and postings are arbitrary bytes with right checksums: Open
// returns an error, or a block in which every way to ask finds the same traces. The
// memory it takes is in proportion to the bytes.
func FuzzIndex(f *testing.F) {
	codec, err := NewCodec()
	if err != nil {
		f.Fatal(err)
	}
	original := fuzzBlock(f, codec)
	index, postings := takeApart(f, codec, fileBytes(f, original, filepath.Join("d", Name(1))))
	old, err := os.ReadFile("../testdata/version4/blocks/0000000000000001.blk")
	if err != nil {
		f.Fatal(err)
	}
	oldIndex, _ := takeApart(f, codec, old)
	f.Add(index, postings, false)
	f.Add(oldIndex, []byte{}, true)
	f.Add(index[:len(index)-9], postings, false)
	f.Add(index, []byte{2, 1, 0x0f}, false)
	f.Add(index, []byte{2, 3, 9, 9, 9}, false)
	for _, change := range []struct{ from, to string }{
		{"\x04back", "\x04tier"},         // a name twice
		{"\x011\x012", "\x011\x011"},     // an account twice
		{"\x02\x00\x02", "\x02\x02\x00"}, // a set out of order
		{"\x02\x00\x02", "\x02\x02\x02"}, // a member twice
	} {
		if !bytes.Contains(index, []byte(change.from)) {
			f.Fatalf("the index does not hold %q", change.from)
		}
		f.Add(bytes.Replace(index, []byte(change.from), []byte(change.to), 1), postings, false)
	}
	f.Fuzz(func(t *testing.T, index, postings []byte, legacy bool) {
		format := uint32(version)
		if legacy {
			format, postings = oldVersion, nil
		}
		x, err := decodeIndex(index, format)
		if err != nil {
			return
		}
		if n := len(x.entries) + len(x.names) + len(x.sets.numbers) + len(x.sets.ends) + len(x.chunks) + len(x.slow.bytes) + len(x.buckets); n > len(index) {
			t.Fatalf("%d things of %d bytes", n, len(index))
		}
		if !legacy { // one bucket with the postings, and its checksum
			x.shift, x.buckets = 32, []bucketRef{{uint32(len(postings)), crc32.Checksum(postings, castagnoli())}}
			index = x.encode(nil)
		}
		fs := vfs.NewMem()
		if err := fs.MkdirAll("d"); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{
			Name(1): putTogether(codec, format, index, postings, len(x.entries)),
			filepath.Base(pathOf("d", 1, entitiesSuffix)): fileBytes(t, original, pathOf("d", 1, entitiesSuffix)),
			filepath.Base(pathOf("d", 1, tracesSuffix)):   fileBytes(t, original, pathOf("d", 1, tracesSuffix)),
		} {
			file, err := fs.Create(filepath.Join("d", name))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.Write(content); err != nil {
				t.Fatal(err)
			}
		}
		b, err := Open(fs, "d", 1, codec)
		if err != nil {
			namesDamage(t, err)
			return
		}
		defer b.Release()
		asked(t, b)
	})
}

// namesDamage fails the test for an error that does not say which file is damaged.
func namesDamage(t *testing.T, err error) {
	t.Helper()
	var damage *vfs.CorruptError
	if !errors.As(err, &damage) || damage.File == "" {
		t.Fatalf("the error does not name the damage: %v", err)
	}
}

// asked asks an open block in every way and compares the answers.
func asked(t *testing.T, b *Block) {
	t.Helper()
	for i := range b.Len() {
		if i > 0 && compare(b.Entry(i-1), b.Entry(i).Start, b.Entry(i).ID) > 0 {
			t.Fatalf("entry %d is out of order", i)
		}
		records, err := b.Records(i, nil)
		if err != nil {
			namesDamage(t, err)
		} else if len(records) != int(b.Entry(i).Segments) {
			t.Fatalf("entry %d: %d records of %d", i, len(records), b.Entry(i).Segments)
		}
		_ = b.Weight(i)
	}
	updated := slices.Clone(b.ByUpdated())
	slices.Sort(updated)
	for i, n := range updated {
		if int(n) != i {
			t.Fatalf("by last receipt entry %d is missing or there twice", i)
		}
	}
	received := 0
	for range b.Received(trace.Window{Start: trace.MinTime, End: trace.MaxTime}) {
		received++
	}
	want := 0
	for i := range b.Len() {
		if e := b.Entry(i); e.Updated >= trace.MinTime && e.First < trace.MaxTime {
			want++
		}
	}
	if received != want {
		t.Fatalf("%d entries by receipt, want %d", received, want)
	}
	if err := b.CheckPostings(); err != nil {
		namesDamage(t, err)
	}
	if err := b.CheckTraces(); err != nil {
		namesDamage(t, err)
	}
	for i := range b.Len() {
		in := b.Info(i)
		gold := trace.Annotation{Key: "tier", Value: trace.Value{Kind: trace.StringValue, String: "gold"}}
		for _, bounds := range []filter.Bounds{{Services: in.Services}, {AnnotationKeys: []string{"tier"}}, {Annotations: []trace.Annotation{gold}}} {
			s, err := b.Select(in.Account, bounds, AllAttributes)
			if err != nil {
				namesDamage(t, err)
				continue
			}
			if bounds.Services != nil && (s.Nothing() || !s.Account(b.Entry(i)) || !s.Match(i)) {
				t.Fatalf("entry %d of account %q has the services %q and is not selected by them", i, in.Account, in.Services)
			}
			list, _ := s.Entries()
			if !slices.IsSorted(list) || len(list) > 0 && int(list[len(list)-1]) >= b.Len() {
				t.Fatalf("selected entries %v of %d", list, b.Len())
			}
		}
	}
}
