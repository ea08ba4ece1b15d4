package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// personal returns a document of a user; secret stands in it in the clear.
func personal(n int, user, secret string) string {
	now := float64(time.Now().Unix())
	return fmt.Sprintf(`{"trace_id":"1-0a0a0a0a-%024x","id":"%016x","name":"shop","user":%q,"start_time":%f,"end_time":%f,"annotations":{"card":%q,"customer":%d},"http":{"request":{"url":"https://x/%s"}}}`,
		n, n+1, user, now-2, now-1, secret, n%2, secret)
}

func traceID(n int) string { return fmt.Sprintf("1-0a0a0a0a-%024x", n) }

// grep returns the files of a directory that hold a text.
func grep(t *testing.T, dir, text string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// okCount is the number of requests of the service in the graph.
func okCount(s *harness.Server) (n int) {
	var g struct {
		Services []struct {
			Name              string
			SummaryStatistics struct{ TotalCount int }
		}
	}
	s.Ask("/ServiceGraph", m{"StartTime": time.Now().Unix() - 600, "EndTime": time.Now().Unix() + 60}, &g)
	for _, x := range g.Services {
		if x.Name == "shop" {
			n += x.SummaryStatistics.TotalCount
		}
	}
	return n
}

// An erasure deletes everything about a user: from answers, counts and files. Its report
// says so, is signed, and names backups. Late segments are refused.
func TestErase_user(t *testing.T) {
	s := harness.Start(t, "--audit", "on", "--settle", "200ms")
	for n := range 40 {
		user, secret := "carla", "PLANTED-SECRET"
		if n >= 10 {
			user, secret = "other", "OTHER-VALUE"
		}
		s.Put(personal(n, user, secret))
		if n == 20 {
			time.Sleep(500 * time.Millisecond) // some settle
		}
	}
	if len(grep(t, s.Data, "PLANTED-SECRET")) == 0 {
		t.Fatal("the secret is in no file: the test shows nothing")
	}
	if code, _, errs := runFluoro(t, "backup", "--url", s.URL(""), "--to", filepath.Join(t.TempDir(), "b.tar")); code != 0 {
		t.Fatal(errs)
	}
	if n := okCount(s); n != 40 {
		t.Fatalf("the graph counts %d", n)
	}
	code, out, errs := runFluoro(t, "erase", "--url", s.URL(""), "--user", "carla")
	if code != 0 || !strings.Contains(out, "before       10 traces, 10 segments") || !strings.Contains(out, "dry run") || okCount(s) != 40 {
		t.Fatal(code, out, errs)
	}
	report := filepath.Join(t.TempDir(), "report.json")
	code, out, errs = runFluoro(t, "erase", "--url", s.URL(""), "--user", "carla", "--reason", "ticket 1", "--report", report, "--yes")
	if code != 0 || !strings.Contains(out, "deleted      10 traces") || !strings.Contains(out, "after        0 traces") || !strings.Contains(out, "backups      1 were made") {
		t.Fatal(code, out, errs)
	}
	if names := grep(t, s.Data, "PLANTED-SECRET"); len(names) > 0 {
		t.Errorf("the secret is still in %v", names)
	}
	if n := okCount(s); n != 30 {
		t.Errorf("the graph counts %d", n)
	}
	for n := range 40 {
		if got := len(s.Trace(traceID(n))); got == 1 != (n >= 10) {
			t.Errorf("trace %d has %d segments", n, got)
		}
	}
	// The report.
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var signed struct {
		Report struct {
			Before, After struct{ Traces, Segments int }
			Deleted       int      `json:"deletedTraces"`
			IDs           []string `json:"traceIds"`
			Proof         struct {
				Filter   string `json:"filterExpression"`
				Examined int    `json:"tracesProcessedCount"`
				Found    int    `json:"tracesFound"`
			}
		}
	}
	if err := json.Unmarshal(b, &signed); err != nil {
		t.Fatal(err)
	}
	r := signed.Report
	if r.Before.Traces != 10 || r.After.Traces != 0 || r.Deleted != 10 || len(r.IDs) != 10 || r.Proof.Found != 0 || r.Proof.Filter != `user = "carla"` {
		t.Errorf("%+v", r)
	}
	_, pem, _ := runFluoro(t, "audit", "public-key", "--data", s.Data)
	key := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := runFluoro(t, "erase", "verify", "--public-key", key, report); code != 0 {
		t.Error(code, out, errs)
	}
	if err := os.WriteFile(report, bytes.Replace(b, []byte(`"deletedTraces":10`), []byte(`"deletedTraces":11`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := runFluoro(t, "erase", "verify", "--public-key", key, report); code != 1 {
		t.Errorf("a changed report: exit code %d", code)
	}
	// Late segments of the user, and of an erased trace, also after a restart.
	for range 2 {
		for _, doc := range []string{personal(99, "carla", "LATE"), personal(3, "someone", "LATE")} {
			_, _, answer := s.Post("/TraceSegments", m{"TraceSegmentDocuments": []string{doc}})
			if !bytes.Contains(answer, []byte(`"ErrorCode":"Erased"`)) {
				t.Errorf("a late segment: %s", answer)
			}
		}
		s.Stop()
		s.Restart("--audit", "on")
	}
	if names := grep(t, filepath.Join(s.Data), "carla"); len(names) > 0 {
		for _, name := range names { // the audit log records the request, and nothing else may
			if !strings.Contains(name, "/audit/") {
				t.Errorf("the name is in %s", name)
			}
		}
	}
}

func TestErase_annotationAndTrace(t *testing.T) {
	s := harness.Start(t)
	for n := range 6 {
		s.Put(personal(n, "u", "x"))
	}
	if code, out, errs := runFluoro(t, "erase", "--url", s.URL(""), "--annotation", "customer=1", "--yes"); code != 0 || !strings.Contains(out, "deleted      3 traces") {
		t.Error(code, out, errs)
	}
	if code, out, errs := runFluoro(t, "erase", "--url", s.URL(""), "--trace", traceID(0)+","+traceID(77), "--yes"); code != 0 || !strings.Contains(out, "deleted      1 traces") {
		t.Error(code, out, errs)
	}
	for n := range 6 {
		if got := len(s.Trace(traceID(n))); got == 1 != (n == 2 || n == 4) {
			t.Errorf("trace %d has %d segments", n, got)
		}
	}
	_, _, answer := s.Post("/TraceSegments", m{"TraceSegmentDocuments": []string{personal(7, "u", "x"), personal(8, "u", "x"), personal(77, "u", "x")}})
	if bytes.Count(answer, []byte(`"Erased"`)) != 2 { // 7 has the annotation, 77 was erased before it came
		t.Errorf("%s", answer)
	}
}

// Held traces survive retention and erasures, stay readable by id, and can go when they are
// released.
func TestHold_survivesRetentionAndErasure(t *testing.T) {
	s := harness.Start(t, "--settle", "100ms")
	for n := range 6 {
		s.Put(personal(n, "mallory", "EVIDENCE"))
	}
	hold := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := runFluoro(t, append([]string{"hold", args[0], "--url", s.URL("")}, args[1:]...)...)
		if code != want {
			t.Fatal(args, code, out, errs)
		}
		return out + errs
	}
	if out := hold(0, "add", "case-1", "--filter", `annotation.customer = 1`, "--reason", "court"); !strings.Contains(out, "holds 3 traces") {
		t.Fatal(out)
	}
	hold(0, "add", "pin", "--trace", traceID(0))
	hold(1, "add", "pin", "--trace", traceID(0)) // there is one with this name
	hold(1, "add", "x", "--filter", `nonsense(`)
	hold(1, "release", "absent")
	// A deletion is refused, an erasure leaves them out and says so.
	res, err := http.Post(s.URL("/console/api/delete"), "application/json", strings.NewReader(`{"ids":["`+traceID(1)+`"]}`))
	if err != nil || res.StatusCode == http.StatusOK {
		t.Errorf("a held trace is deleted: %v %v", res, err)
	}
	res.Body.Close()
	code, out, errs := runFluoro(t, "erase", "--url", s.URL(""), "--user", "mallory", "--yes")
	if code != 0 || !strings.Contains(out, "deleted      2 traces") || !strings.Contains(out, "held         4 traces") {
		t.Fatal(code, out, errs)
	}
	// Retention: everything older than a minute expires.
	s.Stop()
	s.Restart("--settle", "100ms", "--retention", "1m")
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(time.Second) {
		var g struct{ TraceSummaries []any }
		s.Ask("/TraceSummaries", m{"StartTime": time.Now().Unix() - 600, "EndTime": time.Now().Unix()}, &g)
		if len(g.TraceSummaries) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d traces do not expire", len(g.TraceSummaries))
		}
	}
	check := func(held ...int) {
		t.Helper()
		for n := range 6 {
			want := 0
			for _, h := range held {
				if n == h {
					want = 1
				}
			}
			if got := len(s.Trace(traceID(n))); got != want {
				t.Errorf("trace %d has %d segments, want %d", n, got, want)
			}
		}
	}
	check(0, 1, 3, 5)
	if out := hold(0, "list"); !strings.Contains(out, "case-1") || !strings.Contains(out, "court") {
		t.Error(out)
	}
	tar := filepath.Join(t.TempDir(), "b.tar")
	if code, _, errs := runFluoro(t, "backup", "--url", s.URL(""), "--to", tar); code != 0 {
		t.Fatal(errs)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	if code, _, errs := runFluoro(t, "restore", "--from", tar, "--data", restored); code != 0 || len(grep(t, filepath.Join(restored, "holds"), "EVIDENCE")) == 0 {
		t.Errorf("held traces are not in a backup: %s", errs)
	}
	hold(0, "release", "case-1")
	check(0)
	s.Kill()
	s.Restart("--retention", "1m")
	check(0)
	hold(0, "release", "pin")
	check()
	if names := grep(t, filepath.Join(s.Data, "holds"), "EVIDENCE"); len(names) > 0 {
		t.Errorf("released traces are still in %v", names)
	}
}
