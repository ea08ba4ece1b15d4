package block

import (
	"fmt"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// An index has a bounded number of names, of any number that senders make, and a question
// for any of them finds its trace and few others.
func TestNames_areBounded(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	codec, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	const n = 3 * maxNames
	create := func(number uint64) *Writer {
		w, err := Create(WriterOptions{FS: fs, Dir: "d", Number: number, Codec: codec})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	write := func(number uint64, from, to int) *Block {
		w := create(number)
		for i := from; i < to; i++ {
			in := Info{ID: trace.ID{14: byte(i >> 8), 15: byte(i)}, Services: []string{"front", fmt.Sprintf("svc-%d", i)}, Slow: []uint8{Slow(time.Second), Slow(time.Millisecond)}, Keys: []string{fmt.Sprintf("key-%d", i)}}
			if err := w.Add(&in, []Record{{TraceID: in.ID, Source: trace.SourceDocument, Raw: []byte(`{"id":"1"}`)}}); err != nil {
				t.Fatal(err)
			}
		}
		b, err := w.Finish(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	few, many := write(1, 0, 1000), write(2, 1000, n)
	w := create(3)
	for _, from := range []*Block{few, many} {
		for i := range from.Len() {
			if err := w.Copy(from, i, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	merged, err := w.Finish(nil)
	if err != nil {
		t.Fatal(err)
	}
	reopened, err := Open(fs, "d", 3, codec)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []*Block{many, merged, reopened} {
		if got := len(b.index.names); got > maxNames+buckets {
			t.Errorf("block %d has %d names", b.number, got)
		}
		if !b.index.shared {
			t.Errorf("block %d shares none", b.number)
		}
		for i := 1000; i < n; i += 97 {
			for _, bounds := range []filter.Bounds{
				{Services: []string{fmt.Sprintf("svc-%d", i)}},
				{Services: []string{"front"}, Slow: []filter.SlowService{{Name: "front", Least: 900 * time.Millisecond}, {Name: fmt.Sprintf("svc-%d", i), Least: time.Millisecond}}},
			} {
				s, err := b.Select("", bounds, AllAttributes)
				if err != nil {
					t.Fatal(err)
				}
				found, others := false, 0
				for at := range b.Len() {
					if !s.Match(at) {
						continue
					}
					if id := b.Entry(at).ID; id == (trace.ID{14: byte(i >> 8), 15: byte(i)}) {
						found = true
					} else {
						others++
					}
				}
				if !found || others > 60 && bounds.Slow == nil {
					t.Fatalf("block %d, %v: found %v, and %d others", b.number, bounds, found, others)
				}
			}
		}
		none, err := b.Select("", filter.Bounds{Services: []string{"front"}, Slow: []filter.SlowService{{Name: "front", Least: 10 * time.Second}}}, AllAttributes)
		if err != nil {
			t.Fatal(err)
		}
		for at := range b.Len() {
			if none.Match(at) {
				t.Fatalf("block %d: trace %d was never that slow", b.number, at)
			}
		}
	}
}
