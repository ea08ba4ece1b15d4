package clients_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// TestParquet asks DuckDB and pyarrow about the files of the real binary and
// compares what they say with what the API says.
func TestParquet(t *testing.T) {
	s := harness.Start(t)
	now := time.Now().Unix()
	const traces = 40
	for i := range traces {
		s.Put(fmt.Sprintf(`{"trace_id":"1-%08x-%024x","id":"%016x","name":"shop%d","start_time":%d,"end_time":%d.%03d,"error":%t,"annotations":{%q:%d},"http":{"request":{"method":"GET","url":"http://a/%d"}}}`,
			now, i+1, i+1, i%2, now-20, now-19, 10*i, i%5 == 0, []string{"cart", "lane"}[i%3%2], i, i%4))
	}
	// Settled after 5 s, written after 30 more.
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		if found, _ := filepath.Glob(filepath.Join(s.Data, "blocks", "*.blk")); len(found) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no block was written")
		}
	}
	out, err := exec.Command(filepath.Join(harness.Root(), ".cache", "venv", "bin", "python"), "parquet_test.py", s.Data).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got struct {
		P95, Slowest, Errors [][2]any
		Arrow                int
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got.Arrow != traces || len(got.P95) != 2 || len(got.Errors) != 4 {
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
	slowest := s.Summaries("annotation[cart] >= 0")
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
