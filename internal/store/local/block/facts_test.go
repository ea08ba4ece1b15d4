package block

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

func TestSlow_neverDecreases(t *testing.T) {
	last := uint8(0)
	for d := time.Duration(0); d < 2*time.Hour; d += 1 + d/50 {
		if now := Slow(d); now < last {
			t.Fatalf("%v is %d, something shorter %d", d, now, last)
		} else {
			last = now
		}
	}
	if a, b := Slow(time.Millisecond), Slow(1200*time.Microsecond); a == b || Slow(-1) != 0 || Slow(1<<62) != 254 {
		t.Errorf("1 ms is %d, 1.2 ms %d, -1 ns %d, ages %d", a, b, Slow(-1), Slow(1<<62))
	}
}

// selectable writes a block of three traces, and the same traces once more by row groups
// and once more by records. Trace 0 is slow, of a and b, and gold; trace 1 is a silver
// fault of b; trace 2 has too many values.
func selectable(t *testing.T) []*Block {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	codec, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	create := func(n uint64) *Writer {
		w, err := Create(WriterOptions{FS: fs, Dir: "d", Number: n, Codec: codec})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	gold, silver := trace.Value{Kind: trace.StringValue, String: "gold"}, trace.Value{Kind: trace.StringValue, String: "silver"}
	w := create(1)
	tokens := func(fill func(t *Tokens)) []uint32 {
		var t Tokens
		t.Reset()
		fill(&t)
		return t.Kept()
	}
	first3 := [][]uint32{tokens(func(t *Tokens) {
		t.Key("tier")
		t.Annotation("tier", gold)
		t.User("ann")
	}), tokens(func(t *Tokens) {
		t.Key("tier")
		t.Annotation("tier", silver)
		t.Failed("b", trace.Fault)
	}), tokens(func(t *Tokens) {
		for i := range maxTokens + 1 {
			t.Annotation("n", trace.Value{Kind: trace.NumberValue, Number: float64(i)})
		}
	})}
	if len(first3[0]) != 3 || len(first3[2]) != 3 {
		t.Fatalf("%d and %d tokens, want 3 and 3", len(first3[0]), len(first3[2]))
	}
	for i, in := range []Info{
		{Services: []string{"a", "b", "a"}, Slow: []uint8{Slow(time.Second), Slow(time.Millisecond), Slow(3 * time.Second)}, Tokens: first3[0]},
		{Services: []string{"b"}, Slow: []uint8{Slow(time.Second)}, Tokens: first3[1], Flags: Fault},
		{Services: []string{"b"}, Tokens: first3[2]},
	} {
		in.ID = trace.ID{15: byte(i)}
		if err := w.Add(&in, []Record{{TraceID: in.ID, Source: trace.SourceDocument, Raw: []byte(`{"id":"1"}`)}}); err != nil {
			t.Fatal(err)
		}
	}
	first, err := w.Finish(nil)
	if err != nil {
		t.Fatal(err)
	}
	w = create(2)
	group, err := w.Take(first, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range first.Len() {
		if err := w.Refer(first, i, group); err != nil {
			t.Fatal(err)
		}
	}
	second, err := w.Finish(nil)
	if err != nil {
		t.Fatal(err)
	}
	w = create(3)
	for i := range second.Len() {
		if err := w.Copy(second, i, &Memo{}); err != nil {
			t.Fatal(err)
		}
	}
	third, err := w.Finish(nil)
	if err != nil {
		t.Fatal(err)
	}
	return []*Block{first, second, third}
}

// A selector skips traces that lack a value or were fast: in a block that was written, in
// one with its row groups and in one with copied records.
func TestSelector_usesFacts(t *testing.T) {
	blocks := selectable(t)
	for _, c := range []struct {
		expr string
		want [3]bool
	}{
		{`annotation.tier = "gold"`, [3]bool{true, false, true}},
		{`annotation.tier = "tin"`, [3]bool{false, false, true}},
		{`annotation.tier != "tin"`, [3]bool{true, true, true}},
		{`user = "ann"`, [3]bool{true, false, true}},
		{`annotation.other`, [3]bool{false, false, true}},
		{`annotation.tier = "gold" OR annotation.tier = "silver"`, [3]bool{true, true, true}},
		{`annotation.tier = "gold" OR service("c")`, [3]bool{true, false, true}},
		{`(annotation.tier = "gold" OR annotation.tier = "silver") AND user = "bob"`, [3]bool{false, false, true}},
		{`service("b") { annotation.tier = "gold" }`, [3]bool{true, false, true}},
		{`service("b") { fault }`, [3]bool{false, true, true}},
		{`service("b") { fault OR error = true }`, [3]bool{false, true, true}},
		{`service("b") { error }`, [3]bool{false, false, true}},
		{`service("b") { fault = false }`, [3]bool{true, true, true}},
		{`service("a") { responsetime > 2.5 }`, [3]bool{true, false, false}},
		{`service("a") { responsetime > 4 }`, [3]bool{}},
		{`service("b") { responsetime >= 0.5 AND ok }`, [3]bool{false, true, true}},
		{`(error OR fault) AND service("b")`, [3]bool{false, true, false}},
		{`user = "ann" OR fault = true`, [3]bool{true, true, true}},
	} {
		e, err := filter.Parse(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			s, err := b.Select("", e.Bounds(), AllAttributes)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range c.want {
				if got := s.Match(i); got != want {
					t.Errorf("block %d, %s: trace %d is %v, want %v", b.Number(), c.expr, i, got, want)
				}
				if list, ok := s.Entries(); ok && want && !slices.Contains(list, uint32(i)) {
					t.Errorf("block %d, %s: trace %d is not in %v", b.Number(), c.expr, i, list)
				}
			}
		}
	}
}

// No name of a service excludes a trace that an older program named, also after a merge
// with traces of this program; other facts exclude it as ever.
func TestSelector_ofOlderNames(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	codec, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	blockOf := func(number uint64, fill func(w *Writer) error) *Block {
		w, err := Create(WriterOptions{FS: fs, Dir: "d", Number: number, Codec: codec})
		if err == nil {
			err = fill(w)
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := w.Finish(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one := func(last byte) func(w *Writer) error {
		return func(w *Writer) error {
			in := Info{ID: trace.ID{15: last}, Services: []string{"GET", "front"}, Slow: []uint8{Slow(time.Second), Slow(time.Second)}}
			return w.Add(&in, []Record{{TraceID: in.ID, Source: trace.SourceDocument, Raw: []byte(`{"id":"1"}`)}})
		}
	}
	old, today := blockOf(1, one(1)), blockOf(2, one(2))
	// As an older program would have written it.
	old.index.entries[0].Flags &^= Named
	old.index.unnamed = true
	merged := blockOf(3, func(w *Writer) error {
		return errors.Join(w.Copy(old, 0, &Memo{}), w.Copy(today, 0, &Memo{}))
	})
	for _, c := range []struct {
		expr           string
		ofOld, ofToday bool
		nothing        bool // no trace that this program named can be selected
	}{
		{`service("redis")`, true, false, true},
		{`service("front")`, true, true, false},
		{`service("front") { responsetime > 3 }`, true, false, false},
		{`service("redis") AND fault`, false, false, true},
	} {
		e, err := filter.Parse(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		var in [3]*Selector
		for i, b := range []*Block{old, today, merged} {
			if in[i], err = b.Select("", e.Bounds(), AllAttributes); err != nil {
				t.Fatal(err)
			}
		}
		inOld, inToday, inMerged := in[0], in[1], in[2]
		if inOld.Match(0) != c.ofOld || inToday.Match(0) != c.ofToday || inMerged.Match(0) != c.ofOld || inMerged.Match(1) != c.ofToday {
			t.Errorf("%s: %v, %v, merged %v, %v", c.expr, inOld.Match(0), inToday.Match(0), inMerged.Match(0), inMerged.Match(1))
		}
		if inOld.Nothing() || inMerged.Nothing() || inToday.Nothing() != c.nothing {
			t.Errorf("%s: nothing of the blocks: %v, %v, merged %v", c.expr, inOld.Nothing(), inToday.Nothing(), inMerged.Nothing())
		}
	}
}

// Each token finds all entries that have it and no others: in written blocks and in the
// block that they are merged to, without some of their traces.
func TestPostings_findEachToken(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{1, 2, 3, 40, 3000} {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("d"); err != nil {
			t.Fatal(err)
		}
		codec, err := NewCodec()
		if err != nil {
			t.Fatal(err)
		}
		number := uint64(0)
		create := func() *Writer {
			number++
			w, err := Create(WriterOptions{FS: fs, Dir: "d", Number: number, Codec: codec})
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		finish := func(w *Writer) *Block {
			b, err := w.Finish(nil)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		has := map[uint32]map[trace.ID]bool{}
		var blocks []*Block
		start := trace.Time(0)
		for range 3 {
			w := create()
			for range n {
				start++
				in := Info{ID: trace.ID{byte(start), byte(start >> 8), 2: byte(start >> 16), 15: 1}, Start: start}
				tokens := []uint32{7, 1<<32 - 1}
				for token := range uint32(4) { // of many, not of all
					if rnd.IntN(5) > int(token) {
						tokens = append(tokens, 100+token)
					}
				}
				for range rnd.IntN(6) {
					tokens = append(tokens, rnd.Uint32()>>(8*rnd.IntN(4))<<(8*rnd.IntN(4)))
				}
				slices.Sort(tokens)
				in.Tokens = slices.Compact(tokens)
				for _, token := range in.Tokens {
					if has[token] == nil {
						has[token] = map[trace.ID]bool{}
					}
					has[token][in.ID] = true
				}
				if err := w.Add(&in, []Record{{TraceID: in.ID, Source: trace.SourceDocument, Raw: []byte(`{"id":"1"}`)}}); err != nil {
					t.Fatal(err)
				}
			}
			blocks = append(blocks, finish(w))
		}
		left := map[trace.ID]bool{}
		check := func(blocks ...*Block) { tokensFound(t, blocks, has, left) }
		check(blocks...)
		w := create()
		var memo Memo
		for _, b := range blocks {
			for i := range b.Len() {
				if rnd.IntN(4) == 0 {
					left[b.Entry(i).ID] = true
				} else if err := w.Copy(b, i, &memo); err != nil {
					t.Fatal(err)
				}
			}
		}
		merged := finish(w)
		check(merged)
		if err := merged.CheckPostings(); err != nil {
			t.Fatal(err)
		}
		if entries, err := merged.having(8); err != nil || has[8] == nil && entries != nil {
			t.Fatalf("a token that is not there: %v, %v", entries, err)
		}
	}
}

// tokensFound compares the entries that blocks find by tokens with the traces that have
// them, except those that were left out.
func tokensFound(t *testing.T, blocks []*Block, has map[uint32]map[trace.ID]bool, left map[trace.ID]bool) {
	t.Helper()
	for token, ids := range has {
		want := 0
		for id := range ids {
			if !left[id] {
				want++
			}
		}
		got := 0
		for _, b := range blocks {
			entries, err := b.having(token)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.IsSorted(entries) {
				t.Fatalf("not ascending: %v", entries)
			}
			for _, i := range entries {
				if id := b.Entry(int(i)).ID; !ids[id] || left[id] {
					t.Fatalf("token %d is not of %s", token, id)
				}
				got++
			}
		}
		if got != want {
			t.Fatalf("%d traces, token %d: %d found, want %d", len(ids), token, got, want)
		}
	}
}

// Damaged postings are an error with file and place; the selector then excludes nothing,
// and a merge of the block fails.
func TestPostings_damaged(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	codec, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	w, err := Create(WriterOptions{FS: fs, Dir: "d", Number: 1, Codec: codec})
	if err != nil {
		t.Fatal(err)
	}
	var tokens Tokens
	for i := range 3 {
		tokens.Reset()
		tokens.Key("k")
		tokens.Annotation("k", trace.Value{Kind: trace.NumberValue, Number: float64(i)})
		in := Info{ID: trace.ID{15: byte(i)}, Tokens: tokens.Kept()}
		if err := w.Add(&in, []Record{{TraceID: in.ID, Source: trace.SourceDocument, Raw: []byte(`{"id":"1"}`)}}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := w.Finish(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := fs.Damage(b.File(), func(p []byte) []byte { p[headBytes+2] ^= 4; return p }); err != nil {
		t.Fatal(err)
	}
	b.Release()
	if b, err = Open(fs, "d", 1, codec); err != nil {
		t.Fatalf("the block is not served: %v", err)
	}
	named := func(err error) {
		t.Helper()
		if corrupt, ok := errors.AsType[*vfs.CorruptError](err); !ok || corrupt.File != b.File() || corrupt.Offset != headBytes {
			t.Errorf("%v", err)
		}
	}
	named(b.CheckPostings())
	e, err := filter.Parse("annotation.k = 1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Select("", e.Bounds(), AllAttributes)
	named(err)
	for i := range b.Len() {
		if !s.Match(i) {
			t.Errorf("trace %d is passed over", i)
		}
	}
	if w, err = Create(WriterOptions{FS: fs, Dir: "d", Number: 2, Codec: codec}); err != nil {
		t.Fatal(err)
	}
	if err := w.Copy(b, 1, &Memo{}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Finish(nil)
	named(err)
	w.Abort()
}

func TestPairs_areSorted(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{0, 1, 511, 512, 5000} {
		for _, mask := range []uint64{^uint64(0), 0xffff0000ffff, 1 << 63, 0} {
			list := make(pairs, n)
			for i := range list {
				list[i] = rnd.Uint64() & mask
			}
			want := slices.Clone(list)
			slices.Sort(want)
			if got, _ := list.sort(nil); !slices.Equal(got, want) {
				t.Fatalf("%d values of %x are not sorted", n, mask)
			}
		}
	}
}

// Bytes that are no bucket are refused; a bucket that is decoded, encoded and decoded
// again has the same pairs.
func FuzzBucket(f *testing.F) {
	var count uint64
	f.Add(appendBucket(nil, 0, pairs{pairOf(1, 0), pairOf(1, 1), pairOf(5, 3)}, 4, &count))
	f.Add([]byte{2, 0, 3, 9})
	f.Add([]byte{2, 1, 0x81, 1, 4, 1, 0xff, 0xff})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		const entries = 9
		var list pairs
		if decodeBucket(b, 0, entries, func(token uint32, found []uint32) bool {
			for _, e := range found {
				if e >= entries {
					t.Fatalf("entry %d of %d", e, entries)
				}
				list = append(list, pairOf(token, int(e)))
			}
			return true
		}) != nil {
			return
		}
		list, _ = list.sort(nil)
		want := slices.Compact(slices.Clone(list))
		var again pairs
		var count uint64
		if err := decodeBucket(appendBucket(nil, 0, slices.Clone(want), entries, &count), 0, entries, func(token uint32, found []uint32) bool {
			for _, e := range found {
				again = append(again, pairOf(token, int(e)))
			}
			return true
		}); err != nil || !slices.Equal(again, want) || count != uint64(len(want)) {
			t.Fatalf("%x: %v, read again %v, %v", b, want, again, err)
		}
	})
}
