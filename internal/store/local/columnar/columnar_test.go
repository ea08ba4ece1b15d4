package columnar_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/fluoro-io/fluoro/internal/store/local/columnar"
)

// line has a column of every kind.
type line struct {
	Account string   `parquet:"account,dict"`
	ID      [16]byte `parquet:"id,dict"`
	Span    [8]byte  `parquet:"span,uncompressed"`
	Far     int32    `parquet:"far,delta"`
	Start   int64    `parquet:"start,delta,timestamp(nanosecond)"`
	Plain   int64    `parquet:"plain"`
	Small   int32    `parquet:"small"`
	Maybe   *int64   `parquet:"maybe,optional"`
	Name    string   `parquet:"name,dict,optional"`
	URL     string   `parquet:"url,optional"`
	Failed  bool     `parquet:"failed"`
	Pairs   []pair   `parquet:"pairs,list"`
	Words   []string `parquet:"words,dict,list"`
	Text    string   `parquet:"text"`
}

type pair struct {
	Key   string `parquet:"key,dict"`
	Value string `parquet:"value,dict"`
}

var lines = columnar.TableOf[line]("account", "start", "name", "small")

func some(rnd *rand.Rand, n int) []line {
	list := make([]line, n)
	for i := range list {
		l := &list[i]
		l.Account, l.Far, l.Start, l.Plain, l.Small = "a", int32(rnd.IntN(7)-3), rnd.Int64(), rnd.Int64N(100), int32(rnd.IntN(500))
		for k := range l.Span {
			l.Span[k] = byte(rnd.Uint32())
		}
		l.ID[3] = byte(i / 10)
		if rnd.IntN(3) > 0 {
			v := rnd.Int64N(10)
			l.Maybe, l.Name = &v, fmt.Sprint("name", rnd.IntN(400))
			l.URL = fmt.Sprint("http://", rnd.IntN(1e6))
		}
		l.Text = fmt.Sprint(rnd.IntN(1e4))
		l.Failed = rnd.IntN(5) == 0
		for k := range rnd.IntN(4) {
			l.Pairs = append(l.Pairs, pair{fmt.Sprint("key", k), fmt.Sprint("value", rnd.IntN(1000))})
			l.Words = append(l.Words, "word")
		}
	}
	return list
}

// fill adds lines to a writer.
func fill(w *columnar.Writer, list []line) {
	for i := range list {
		l := &list[i]
		w.Column(0).Text(l.Account)
		w.Column(1).Bytes(l.ID[:])
		w.Column(2).Bytes(l.Span[:])
		w.Column(3).Int(int64(l.Far))
		w.Column(4).Int(l.Start)
		w.Column(5).Int(l.Plain)
		w.Column(6).Int(int64(l.Small))
		if l.Maybe == nil {
			w.Column(7).Null()
		} else {
			w.Column(7).Int(*l.Maybe)
		}
		for c, text := range []string{l.Name, l.URL} {
			if text == "" {
				w.Column(8 + c).Null()
			} else {
				w.Column(8 + c).Text(text)
			}
		}
		w.Column(10).Bool(l.Failed)
		w.Column(14).Text(l.Text)
		for k, p := range l.Pairs {
			section := w.Column(11).Element(k == 0, 0, p.Key)
			w.Column(12).Element(k == 0, section, p.Value)
		}
		for k, word := range l.Words {
			w.Column(13).Element(k == 0, 0, word)
		}
		if len(l.Pairs) == 0 {
			w.Column(11).Null()
			w.Column(12).Null()
			w.Column(13).Null()
		}
	}
}

func coders(t testing.TB) (*zstd.Encoder, *zstd.Decoder) {
	t.Helper()
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(1<<24))
	if err != nil {
		t.Fatal(err)
	}
	return e, d
}

// file writes lines to a file: row groups of pages of lines.
func file(t testing.TB, groups [][][]line) []byte {
	t.Helper()
	encoder, _ := coders(t)
	w := lines.NewWriter(encoder)
	b := columnar.Head()
	var all []columnar.Group
	for _, pages := range groups {
		rows := 0
		for _, page := range pages {
			fill(w, page)
			w.EndPage()
			rows += len(page)
		}
		body, g, err := w.EndGroup(rows, int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, body...)
		all = append(all, g)
	}
	footer, err := lines.Footer(all)
	if err != nil {
		t.Fatal(err)
	}
	return append(b, footer...)
}

func TestFile_isReadByParquetGo(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var groups [][][]line
	var want []line
	for _, sizes := range [][]int{{300, 200, 1}, {1}, {70}} {
		var pages [][]line
		for _, n := range sizes {
			page := some(rnd, n)
			pages, want = append(pages, page), append(want, page...)
		}
		groups = append(groups, pages)
	}
	b := file(t, groups)
	got, err := parquet.Read[line](bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		if len(got[i].Pairs) == 0 {
			got[i].Pairs, got[i].Words = nil, nil
		}
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("row %d is\n%+v, want\n%+v", i, got[i], want[i])
		}
	}
}

func TestReader_pagesOfGroupsThatWereMoved(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	pages := [][]line{some(rnd, 40), some(rnd, 50), some(rnd, 60)}
	b := file(t, [][][]line{{some(rnd, 30)}, pages})
	_, decoder := coders(t)
	groups, err := lines.Groups(b, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	second := groups[1]
	body := b[second.Offset() : second.Offset()+second.Size()]
	moved := append(columnar.Head(), body...)
	footer, err := lines.Footer([]columnar.Group{second.At(4)})
	if err != nil {
		t.Fatal(err)
	}
	moved = append(moved, footer...)
	if got, err := parquet.Read[line](bytes.NewReader(moved), int64(len(moved))); err != nil || len(got) != 150 || got[149].Span != pages[2][59].Span {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	places := second.Places()
	r, err := lines.NewReader(&places, body, decoder)
	if err != nil {
		t.Fatal(err)
	}
	first, last := r.Pages(45, 91)
	if first != 1 || last != 3 || r.Rows(first) != 40 || r.Rows(last) != 150 {
		t.Fatalf("pages %d to %d, rows %d to %d", first, last, r.Rows(first), r.Rows(last))
	}
	var v columnar.Values
	if err := r.Read(4, 1, 2, &v); err != nil || len(v.Ints) != 50 || v.Ints[7] != pages[1][7].Start {
		t.Errorf("%d starts, %v", len(v.Ints), err)
	}
	if err := r.Read(12, 1, 3, &v); err != nil {
		t.Fatal(err)
	}
	value := 0
	line := -1
	all := append(pages[1:2:2][0][:50:50], pages[2]...)
	at := 0
	for slot := range v.Def {
		if v.Rep[slot] == 0 {
			line++
			at = 0
		}
		if v.Def[slot] == 0 {
			continue
		}
		if got, want := string(v.Text(value)), all[line].Pairs[at].Value; got != want {
			t.Fatalf("line %d, pair %d: %q, want %q", line, at, got, want)
		}
		value, at = value+1, at+1
	}
	if line != len(all)-1 {
		t.Errorf("%d lines of %d", line+1, len(all))
	}
}

func FuzzReader(f *testing.F) {
	b := file(f, [][][]line{{some(rand.New(rand.NewPCG(5, 6)), 20), some(rand.New(rand.NewPCG(7, 8)), 3)}})
	f.Add(b)
	f.Add(b[:len(b)-9])
	f.Add([]byte("PAR1"))
	_, decoder := coders(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		groups, err := lines.Groups(b, int64(len(b)))
		if err != nil {
			return
		}
		for _, g := range groups {
			places := g.Places()
			r, err := lines.NewReader(&places, b[g.Offset():g.Offset()+g.Size()], decoder)
			if err != nil {
				continue
			}
			var v columnar.Values
			first, last := r.Pages(0, g.Rows())
			for c := range 15 {
				_ = r.Read(c, first, last, &v)
			}
		}
	})
}
