package clients_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// TestParquet queries the files of the real binary with DuckDB and pyarrow and
// compares the results with the API's.
func TestParquet(t *testing.T) {
	// With little memory and long documents, traces are written to a block as soon
	// as they settle.
	s := harness.Start(t, "--memory", "128MB", "--settle", "1s")
	now := time.Now().Unix()
	const traces = 40
	spans := make([]any, 20)
	for i := range spans {
		text := func(key, value string) any {
			return map[string]any{"key": key, "value": map[string]any{"stringValue": value}}
		}
		spans[i] = map[string]any{
			"traceId": fmt.Sprintf("%08x%024x", now, 1000+i), "spanId": fmt.Sprintf("%016x", i+1), "name": "GET /items/{id}", "kind": 2,
			"startTimeUnixNano": fmt.Sprint((now - 20) * 1e9), "endTimeUnixNano": fmt.Sprint((now-20)*1e9 + int64(i+1)*1e6),
			"attributes": []any{text("http.request.method", "GET"), text("http.route", "/items/{id}"), text("order.id", fmt.Sprintf("o%02d", i)),
				map[string]any{"key": "http.response.status_code", "value": map[string]any{"intValue": []string{"200", "503"}[i%5/4]}}},
		}
	}
	body, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{
		"resource":   map[string]any{"attributes": []any{map[string]any{"key": "service.name", "value": map[string]any{"stringValue": "items"}}}},
		"scopeSpans": []any{map[string]any{"spans": spans}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(s.URL("/v1/traces"), "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Fatalf("spans: status %d", res.StatusCode)
	}
	var docs []string
	for i := range traces {
		docs = append(docs, fmt.Sprintf(`{"trace_id":"1-%08x-%024x","id":"%016x","name":"shop%d","start_time":%d,"end_time":%d.%03d,"error":%t,"annotations":{%q:%d},"http":{"request":{"method":"GET","url":"http://a/%d"}},"metadata":{"long":%q}}`,
			now, i+1, i+1, i%2, now-20, now-19, 10*i, i%5 == 0, []string{"cart", "lane"}[i%3%2], i, i%4, strings.Repeat("x", 40_000)))
	}
	s.Put(docs...)
	harness.Eventually(t, "a block", func() bool {
		found, _ := filepath.Glob(filepath.Join(s.Data, "blocks", "*.blk"))
		return len(found) > 0
	})
	out, err := exec.Command(filepath.Join(harness.Root(), ".cache", "venv", "bin", "python"), "parquet_test.py", s.Data).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got struct {
		P95, Slowest, Errors [][2]any
		Arrow                int
		Spans                [][]any
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got.Arrow != traces+len(spans) || len(got.P95) != 2 || len(got.Errors) != 4 {
		t.Fatalf("%s", out)
	}
	for _, row := range got.P95 {
		var durations []float64
		for _, sum := range s.Summaries(fmt.Sprintf("service(%q)", row[0])) {
			durations = append(durations, *sum.Duration)
		}
		slices.Sort(durations)
		if want := durations[int(math.Ceil(0.95*float64(len(durations))))-1]; math.Abs(want-row[1].(float64)) > 0.0011 {
			t.Errorf("p95 of %v is %v, the API's durations say %v", row[0], row[1], want)
		}
	}
	if want := fmt.Sprint([][]any{{"items", "/items/{id}", 0.019, 0.2, "o19"}}); fmt.Sprint(got.Spans) != want {
		t.Errorf("spans are %v, want %v", got.Spans, want)
	}
	slowest := s.Summaries("annotation[cart] >= 20")
	slices.SortFunc(slowest, func(a, b harness.Summary) int { return int(math.Copysign(1, *b.Duration-*a.Duration)) })
	for i, row := range got.Slowest {
		if row[0] != slowest[i].Id || math.Abs(row[1].(float64)-*slowest[i].Duration) > 0.0011 {
			t.Errorf("slowest %d with a cart is %v, the API says %s %v", i, row, slowest[i].Id, *slowest[i].Duration)
		}
	}
	for _, row := range got.Errors {
		all := s.Summaries(fmt.Sprintf("http.url = %q", row[0]))
		failed := 0
		for _, sum := range all {
			if sum.HasError {
				failed++
			}
		}
		if want := float64(failed) / float64(len(all)); math.Abs(want-row[1].(float64)) > 1e-9 {
			t.Errorf("error rate of %v is %v, the API says %v", row[0], row[1], want)
		}
	}
}
