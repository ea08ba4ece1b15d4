package local_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A directory of format 4, whose blocks have no postings (testdata/version4, three
// traces that the last program of that format wrote), is read, queried, continued and
// merged, and has format 5 from then on.
func TestOpen_version4(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS("testdata/version4")); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		s, err := open(options{Dir: dir, Retention: -1, MergeBlocks: 2})
		if err != nil {
			t.Fatal(err)
		}
		check := func(when string) {
			for text, want := range map[string]int{
				`annotation.tenant = "x2"`: 1, `annotation.tenant = "y"`: 0, `annotation.tenant`: 3, `user = "u3"`: 1, `user = "u4"`: 0, `service("shop") { fault }`: 0,
				`service("shop")`: 3, `annotation[service.name] = "shop" AND !user`: 0, `annotation.tenant = "x1" OR user = "u2"`: 2,
			} {
				e, err := filter.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for sum, err := range s.Summaries(context.Background(), "000000000000", &answer.SummaryQuery{Window: trace.Window{End: trace.MaxTime}, Filter: e}) {
					if err != nil {
						t.Fatal(err)
					}
					if sum.ID[15] < 9 {
						n++
					}
				}
				if n != want {
					t.Errorf("round %d, %s: %s selects %d of the old traces, want %d", round, when, text, n, want)
				}
			}
		}
		check("opened")
		doc := fmt.Sprintf(`{"trace_id":"1-00000000-%024x","id":"00000000000000aa","name":"new","start_time":1790000000,"end_time":1790000001,"annotations":{"tenant":"y%d"}}`, 9+round, round)
		batch, refusal := decode.Document([]byte(doc), trace.FromSeconds(1790000002))
		if refusal != nil {
			t.Fatal(refusal)
		}
		if _, err := s.Append(context.Background(), "000000000000", batch); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		s.Merge()
		check("merged")
		if st, err := s.Stats(context.Background()); err != nil || len(st.Damage) > 0 || st.Traces != int64(4+round) {
			t.Errorf("%+v, %v", st, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "FORMAT")); err != nil || !strings.Contains(string(text), map[bool]string{true: "version 5", false: "version 6"}[everywhere() == nil]) {
			t.Errorf("FORMAT is %q, %v", text, err)
		}
	}
}
