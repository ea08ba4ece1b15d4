package block

import (
	"fmt"
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// Documents have no scope, with any neighbours in their row group.
func TestScope_ofMixedRows(t *testing.T) {
	scopes := []*trace.OTLPScope{nil, {Resource: []byte("a")}, {Resource: []byte("b")}}
	for pattern := range 243 { // all ways to choose 5 of the 3
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
		var want []*trace.OTLPScope
		for i, p := 0, pattern; i < 5; i, p = i+1, p/3 {
			r := Record{TraceID: trace.ID{15: byte(i)}, Raw: []byte(`{"id":"1"}`), Scope: scopes[p%3]}
			if p%3 > 0 {
				r.Source, r.Raw = trace.SourceOTLP, []byte{}
			}
			want = append(want, r.Scope)
			if err := w.Add(&Info{ID: r.TraceID}, []Record{r}); err != nil {
				t.Fatal(err)
			}
		}
		b, err := w.Finish(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, keep := range []Keeper{nil, &Memo{}, NewCache(1 << 20)} {
			for i := range want {
				got, err := b.Records(i, keep)
				if err != nil {
					t.Errorf("pattern %d, trace %d, keeper %T: %v", pattern, i, keep, err)
					continue
				}
				if fmt.Sprint(got[0].Scope) != fmt.Sprint(want[i]) {
					t.Errorf("pattern %d, trace %d: %v, want %v", pattern, i, got[0].Scope, want[i])
				}
			}
		}
		b.Release()
	}
}
