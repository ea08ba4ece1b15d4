package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// job returns the latest scrub job.
func job(t *testing.T, s *harness.Server) (j struct {
	State, Reason            string
	Traces, Changed          int
	Problems                 []string
	Values                   map[string]int
	From, To, Place, Started int64
}) {
	t.Helper()
	var out struct{ Job any }
	out.Job = &j
	s.Ask("/api/scrub/GetJob", nil, &out)
	return j
}

// counted describes the graph and the summaries, without texts that scrubbing changes.
func counted(t *testing.T, s *harness.Server, at time.Time) string {
	t.Helper()
	window := map[string]any{"StartTime": at.Unix() - 600, "EndTime": at.Unix() + 600}
	var graph struct {
		Services []struct {
			Name              string
			SummaryStatistics json.RawMessage
			Edges             []struct{ SummaryStatistics json.RawMessage }
		}
	}
	s.Ask("/ServiceGraph", window, &graph)
	var all []any
	for token := ""; ; {
		if token != "" {
			window["NextToken"] = token
		}
		var page struct {
			TraceSummaries []struct {
				Id       string
				Duration float64
				HasError bool
			}
			NextToken string
		}
		s.Ask("/TraceSummaries", window, &page)
		for _, one := range page.TraceSummaries {
			all = append(all, one)
		}
		if token = page.NextToken; token == "" {
			break
		}
	}
	b, err := json.Marshal(map[string]any{"graph": graph, "summaries": all})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Stored traces are scrubbed afterwards: the job survives kills, nothing is lost or
// counted twice, and at its end no answer holds the secrets. (Blocks are compressed: that they hold none is
// shown by TestReplace_leavesTheDisk of the engine.)
func TestScrub_storedTracesSurviveKills(t *testing.T) {
	const traces = 3000
	s := harness.Start(t, "--scrub", "off", "--settle", "100ms")
	at := time.Now()
	var docs []string
	for n := range traces {
		docs = append(docs, fmt.Sprintf(`{"trace_id":"1-6a18aa00-%024x","id":"%016x","name":"shop","start_time":%d.5,"end_time":%d,"error":%v,"annotations":{"n":%d,"token":"swordfish-swordfish"},"http":{"request":{"url":"https://ann:hunter2hunter2@shop.example/%d"}}}`,
			n, n+1, at.Unix()-2, at.Unix()-1, n%10 == 0, n, n))
		if len(docs) == 500 {
			s.Put(docs...)
			docs = nil
		}
	}
	ids := plantAll(t, s)
	before := counted(t, s, at)
	if all := answersOf(t, s, ids); !bytes.Contains(all, []byte("hunter2hunter2")) {
		t.Fatal("the secrets are not stored")
	}
	s.Stop()
	s.Restart("--settle", "100ms")
	if out, err := scrubCLI(t, s, "", "--all", "--dry-run"); err != nil || !strings.Contains(out, fmt.Sprintf("done: %d traces read, %d would be rewritten", traces+len(ids), traces+len(ids))) {
		t.Fatalf("dry run: %v\n%s", err, out)
	}
	if all := answersOf(t, s, ids); !bytes.Contains(all, []byte("hunter2hunter2")) {
		t.Fatal("the dry run changed something")
	}
	cmd := exec.Command(harness.Binary(t), "scrub", "--all", "--rate", "1500", "--url", s.URL(""))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		time.Sleep(400 * time.Millisecond)
		s.Kill()
		s.Restart("--settle", "100ms")
	}
	_ = cmd.Wait() // it lost its service
	harness.Eventually(t, "the job ends", func() bool { return job(t, s).State != "running" && job(t, s).State != "purging" })
	if j := job(t, s); j.State != "done" || len(j.Problems) > 0 || j.Changed == 0 {
		t.Fatalf("%+v", j)
	}
	if after := counted(t, s, at); after != before {
		t.Errorf("before %.2000s\nafter  %.2000s", before, after)
	}
	noSecrets(t, "an answer", answersOf(t, s, append(ids, "1-6a18aa00-000000000000000000000001", "1-6a18aa00-000000000000000000000bb7")), planted...)
	var found []string
	for n := 0; n < traces; n += 50 {
		var list []string
		for k := n; k < n+5; k++ {
			list = append(list, fmt.Sprintf("1-6a18aa00-%024x", k))
		}
		_, _, b := s.Post("/Traces", map[string]any{"TraceIds": list})
		noSecrets(t, "a trace", b, planted...)
		found = append(found, string(b))
	}
	if n := strings.Count(strings.Join(found, ""), "[scrubbed by default-keys]"); n != 5*traces/50 {
		t.Errorf("%d masks, want %d", n, 5*traces/50)
	}
	// Nothing is left to do.
	if out, err := scrubCLI(t, s, "", "--all"); err != nil || !strings.Contains(out, fmt.Sprintf("done: %d traces read, 0 rewritten", traces+len(ids))) {
		t.Errorf("again: %v\n%s", err, out)
	}
	filesHold(t, s.Data, planted...)
	s.Stop()
	filesHold(t, s.Data, planted...)
	if out, err := exec.Command(harness.Binary(t), "store", "check", "--data", s.Data).CombinedOutput(); err != nil {
		t.Errorf("store check: %v\n%s", err, out)
	}
	s.Restart()
	if after := counted(t, s, at); after != before {
		t.Errorf("after a restart: %.2000s", after)
	}
}
