package wire_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// The corpus of package filter through GetTraceSummaries.
func TestFilters(t *testing.T) {
	s := harness.Start(t)
	ids := map[string]string{} // of names
	traces := harness.SelectionTraces(t, func(name string) string {
		if ids[name] == "" {
			ids[name] = fmt.Sprintf("1-00000000-%024x", len(ids)+1)
		}
		return ids[name]
	})
	names := map[string]string{} // of ids
	for _, name := range slices.Sorted(maps.Keys(traces)) {
		names[ids[name]] = name
		s.Put(traces[name]...)
	}
	for _, c := range harness.Selections(t) {
		if c.NamesGroup() {
			continue
		}
		var p page
		s.Ask("/TraceSummaries", map[string]any{"StartTime": 0, "EndTime": 1000, "FilterExpression": c.Expression}, &p)
		var got []string
		for _, id := range p.ids() {
			got = append(got, names[id])
		}
		slices.Sort(got)
		if !slices.Equal(got, c.Want) {
			t.Errorf("%s\n\tselects %v\n\twant    %v", c.Expression, got, c.Want)
		}
	}
}

func TestFilters_refused(t *testing.T) {
	s := harness.Start(t)
	for _, c := range harness.Refusals(t) {
		status, header, body := s.Post("/TraceSummaries", map[string]any{"StartTime": 0, "EndTime": 1, "FilterExpression": c.Expression})
		var answer struct{ Message string }
		err := json.Unmarshal(body, &answer)
		if err != nil || status != http.StatusBadRequest || header.Get("x-amzn-errortype") != "InvalidRequestException" || answer.Message != c.Error {
			t.Errorf("%s: status %d, %s\n\twant %s", c.Expression, status, body, c.Error)
		}
	}
}
