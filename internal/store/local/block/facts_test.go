package block

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store/local/vfs"
	"github.com/fluoro-io/fluoro/internal/trace"
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

// A selector passes over traces that lack a value or were fast, in the block that
// was written, in one that took its row groups over and in one that copied them.
func TestSelector_usesFacts(t *testing.T) {
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
	var tokens Tokens
	tokens.Annotation("tier", gold)
	tokens.User("ann")
	tokens.Annotation("tier", silver)
	many := make([]uint32, maxTokens+1)
	for i, in := range []Info{
		{Services: []string{"a", "b", "a"}, Slow: []uint8{Slow(time.Second), Slow(time.Millisecond), Slow(3 * time.Second)}, Keys: []string{"tier"}, Tokens: tokens.List[:2]},
		{Services: []string{"b"}, Slow: []uint8{Slow(time.Second)}, Keys: []string{"tier"}, Tokens: tokens.List[2:], Flags: Fault},
		{Services: []string{"b"}, Keys: []string{"tier"}, Tokens: many},
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
	for _, c := range []struct {
		expr string
		want [3]bool
	}{
		{`annotation.tier = "gold"`, [3]bool{true, false, true}},
		{`annotation.tier = "tin"`, [3]bool{false, false, true}},
		{`annotation.tier != "tin"`, [3]bool{true, true, true}},
		{`user = "ann"`, [3]bool{true, false, true}},
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
		for _, b := range []*Block{first, second, third} {
			s := b.Select("", e.Bounds())
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

// What an older program named is excluded by no name of a service, also after it
// was merged with what this one named; everything else excludes it as ever.
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
		nothing        bool // of what this program named can be selected
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
		inOld, inToday, inMerged := old.Select("", e.Bounds()), today.Select("", e.Bounds()), merged.Select("", e.Bounds())
		if inOld.Match(0) != c.ofOld || inToday.Match(0) != c.ofToday || inMerged.Match(0) != c.ofOld || inMerged.Match(1) != c.ofToday {
			t.Errorf("%s: %v, %v, merged %v, %v", c.expr, inOld.Match(0), inToday.Match(0), inMerged.Match(0), inMerged.Match(1))
		}
		if inOld.Nothing() || inMerged.Nothing() || inToday.Nothing() != c.nothing {
			t.Errorf("%s: nothing of the blocks: %v, %v, merged %v", c.expr, inOld.Nothing(), inToday.Nothing(), inMerged.Nothing())
		}
	}
}

// Each token finds all entries that have it, in order, and few others.
func TestPostings_findEachToken(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for n := range 60 {
		x := &index{sets: sets{ends: []uint32{0}}}
		has := map[uint32][]uint32{}
		tokens := 0
		for i := range uint32(n * n) {
			e := Entry{}
			var list []uint32
			for range rnd.IntN(4) {
				token := rnd.Uint32() >> (8 * rnd.IntN(4)) << (8 * rnd.IntN(4))
				list = append(list, token)
				has[token] = append(has[token], i)
				tokens++
			}
			if rnd.IntN(50) == 0 {
				e.Flags = Many
			}
			x.entries = append(x.entries, e)
			x.facts.add(nil, list)
		}
		for token, want := range has {
			got := x.postings().find(token)
			if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Fatalf("not ascending: %v", got)
			}
			for _, i := range want {
				if !slices.Contains(got, i) {
					t.Fatalf("token %d of %d: %v, want %v", token, tokens, got, want)
				}
			}
			for i := range x.entries {
				if x.entries[i].Flags&Many != 0 && !slices.Contains(got, uint32(i)) {
					t.Fatalf("entry %d has more tokens than are kept and is not found", i)
				}
			}
		}
	}
}
