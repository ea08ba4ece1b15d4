package filter_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
)

// TestSelect checks which traces of testdata/traces.txt each expression of
// testdata/select.txt selects.
func TestSelect(t *testing.T) {
	type sample struct {
		t *trace.Trace
		s *trace.Summary
	}
	traces := map[string]sample{}
	id := func(string) string { return fmt.Sprintf("1-00000000-%024d", 1) }
	for name, docs := range harness.SelectionTraces(t, id) {
		var segments []*trace.Segment
		for _, doc := range docs {
			got, refusal := decode.Document([]byte(doc), 1e9)
			if refusal != nil {
				t.Fatalf("%s: %v", name, refusal)
			}
			segments = append(segments, got...)
		}
		tr := assemble.Trace(segments[0].TraceID, segments)
		traces[name] = sample{tr, assemble.Summary(tr)}
	}
	names := slices.Sorted(maps.Keys(traces))
	cases, used := harness.Selections(t), map[string]bool{}
	for _, c := range cases {
		text := c.Expression
		if used[text] {
			t.Errorf("%s is there twice", text)
		}
		used[text] = true
		e, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		again, err := parse(e.String())
		if err != nil || again.String() != e.String() {
			t.Errorf("%s: printed %s, which parses to %v, %v", text, e, again, err)
			again = e
		}
		got, printed := []string{}, []string{}
		for _, name := range names {
			tr := traces[name]
			if e.Match(tr.t, tr.s) {
				got = append(got, name)
				if !allows(e.Bounds(), tr.t, tr.s) {
					t.Errorf("%s selects %s, but its bounds %+v do not allow it", text, name, e.Bounds())
				}
			}
			if again.Match(tr.t, tr.s) {
				printed = append(printed, name)
			}
		}
		if !slices.Equal(got, c.Want) {
			t.Errorf("%s\n\tselects %v\n\twant    %v", text, got, c.Want)
		}
		if !slices.Equal(got, printed) {
			t.Errorf("%s selects %v, but printed as %s it selects %v", text, got, e, printed)
		}
	}
	if len(cases) < 400 || len(traces) < 25 {
		t.Errorf("only %d expressions on %d traces", len(cases), len(traces))
	}
}

// TestRefuse checks the error of each expression of testdata/refuse.txt.
func TestRefuse(t *testing.T) {
	cases := harness.Refusals(t)
	for _, c := range cases {
		_, err := filter.Parse(c.Expression)
		var se *filter.SyntaxError
		switch {
		case err == nil:
			t.Errorf("%s\n\tis taken\n\twant %s", c.Expression, c.Error)
		case !errors.As(err, &se) || trace.KindOf(err) != trace.KindInvalid || err.Error() != c.Error:
			t.Errorf("%s\n\tgives %v\n\twant  %s", c.Expression, err, c.Error)
		}
	}
	if len(cases) < 110 {
		t.Errorf("only %d", len(cases))
	}
}
