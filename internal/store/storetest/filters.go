package storetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/test/harness"
)

// filters queries the corpus of package filter: the answers must not depend on how an
// engine uses an expression's bounds, wherever the traces are.
func filters(t *testing.T, e Engine) {
	f := newFixture(t, e)
	ids := map[string]string{} // by name
	traces := harness.SelectionTraces(t, func(name string) string {
		if ids[name] == "" {
			ids[name] = fmt.Sprintf("1-00000000-%024x", len(ids)+1)
		}
		return ids[name]
	})
	names := map[string]string{} // by id
	for i, name := range slices.Sorted(maps.Keys(traces)) {
		names[ids[name]] = name
		for _, doc := range traces[name] {
			segments, refusal := decode.Document([]byte(doc), second(float64(i)))
			if refusal != nil {
				t.Fatalf("%s: %v", name, refusal)
			}
			f.append(home, segments...)
		}
	}
	f.states(func(state string) {
		for _, c := range harness.Selections(t) {
			if c.NamesGroup() {
				continue // belongs to package filter's own tests
			}
			var got []string
			for _, s := range f.summaries(home, &answer.SummaryQuery{Window: everything(), Filter: parse(t, c.Expression)}) {
				got = append(got, names[s.ID.String()])
			}
			slices.Sort(got)
			if !slices.Equal(got, c.Want) {
				t.Errorf("%s: %s selects [%s], want [%s]", state, c.Expression, strings.Join(got, " "), strings.Join(c.Want, " "))
			}
		}
	})
}
