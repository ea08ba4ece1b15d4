package wire_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// TestFilters runs the corpus of package filter through GetTraceSummaries.
func TestFilters(t *testing.T) {
	s := harness.Start(t)
	ids := map[string]string{} // by name
	traces := harness.SelectionTraces(t, func(name string) string {
		if ids[name] == "" {
			ids[name] = fmt.Sprintf("1-00000000-%024x", len(ids)+1)
		}
		return ids[name]
	})
	names := map[string]string{} // by id
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

// A missing value satisfies no comparison, whatever the operator; expressions can
// ask whether it is missing. A segment with status 503 and a missing caller is not
// ok; the outcome of a missing segment is unknown unless one of its calls failed.
func TestFilters_missing(t *testing.T) {
	s := harness.Start(t)
	s.Put(`{"trace_id":"1-00000000-000000000000000000000001","id":"0000000000000001","name":"bare","start_time":100,"in_progress":true}`,
		`{"trace_id":"1-00000000-000000000000000000000002","id":"0000000000000002","parent_id":"00000000000000ff","name":"called","start_time":100,"end_time":101,"fault":true,"http":{"response":{"status":503}}}`,
		`{"trace_id":"1-00000000-000000000000000000000003","id":"0000000000000003","parent_id":"00000000000000ff","type":"subsegment","name":"part","start_time":100,"end_time":101,"annotations":{"t":"adrift"}}`,
		`{"trace_id":"1-00000000-000000000000000000000004","id":"0000000000000004","parent_id":"00000000000000ff","type":"subsegment","name":"part","start_time":100,"end_time":101,"fault":true,"annotations":{"t":"failed"}}`)
	find := func(filter string) (n int) {
		var p page
		s.Ask("/TraceSummaries", map[string]any{"StartTime": 0, "EndTime": 1000, "FilterExpression": filter}, &p)
		return len(p.ids())
	}
	values := map[string][]string{
		`= != < <= > >=`:           {"http.status", "responsetime", "duration"},
		`= != CONTAINS BEGINSWITH`: {"http.url", "http.method", "http.useragent", "http.clientip", "user", "availabilityzone", "instance.id", "resource.arn"},
		`= != < CONTAINS ENDSWITH`: {"annotation.a", "annotation[a.b]"},
	}
	for operators, keywords := range values {
		for _, keyword := range keywords {
			for _, op := range strings.Fields(operators) {
				value := `""`
				if op != "CONTAINS" && op != "ENDSWITH" && op != "BEGINSWITH" && (strings.HasPrefix(keyword, "annotation") || strings.Contains(operators, ">=")) {
					value = "0"
				}
				comparison := fmt.Sprintf("%s %s %s", keyword, op, value)
				bare := `service("bare") AND `
				if got := find(bare + comparison); got != 0 {
					t.Errorf("%s finds a trace without a value", comparison)
				}
				if got := find(bare + `!(` + comparison + `)`); got != 1 {
					t.Errorf("!(%s) does not find the trace without a value", comparison)
				}
				if got := find(`service("bare") { ` + comparison + ` }`); got != 0 {
					t.Errorf("service() { %s } finds a segment without a value", comparison)
				}
			}
			if got := find(`service("bare") AND !` + keyword); got != 1 {
				t.Errorf("!%s does not find the trace without a value", keyword)
			}
		}
	}
	for which, filters := range map[string]map[string]int{
		`service("called")`: {
			`ok`: 0, `ok = true`: 0, `ok != false`: 0, `fault = false`: 0, `fault != true`: 0, `!ok`: 1, `service() { fault }`: 1, `service() { ok }`: 0,
			`rootcause.json != #[{"ClientImpacting":true}]`: 0, `rootcause.json != #[]`: 0, `!(rootcause.json = #[{}])`: 1,
		},
		`annotation.t = "adrift"`: {
			`ok`: 0, `ok = true`: 0, `ok != true`: 0, `ok = false`: 0, `ok != false`: 0, `!ok`: 1, `fault`: 0, `fault = false`: 0, `fault != true`: 0, `!fault`: 1,
			`error = false`: 0, `throttle != true`: 0, `responsetime >= 0`: 0, `!responsetime`: 1, `partial`: 1,
		},
		`annotation.t = "failed"`: {`ok`: 0, `ok = false`: 1, `fault`: 1, `fault = true`: 1, `fault = false`: 0, `error = false`: 0, `!error`: 1},
	} {
		for filter, want := range filters {
			if got := find(which + ` AND ` + filter); got != want {
				t.Errorf("%s AND %s finds %d, want %d", which, filter, got, want)
			}
		}
	}
}
