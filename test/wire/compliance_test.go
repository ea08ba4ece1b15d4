package wire_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// A report is computed from the real state: without an audit log the points that need one
// are not met, with one they are, and after a manipulation they are not.
func TestCompliance_report(t *testing.T) {
	s := harness.Start(t)
	type report struct {
		Report struct {
			Points []struct{ Topic, State string }
			Facts  []struct{ Area, Name, State, Value string }
		}
	}
	read := func() (states map[string]string, facts string) {
		t.Helper()
		code, out, errs := runFluoro(t, "compliance", "report", "--url", s.URL(""), "--format", "json")
		if code != 0 {
			t.Fatal(errs)
		}
		var r report
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err, out)
		}
		states = map[string]string{}
		for _, p := range r.Report.Points {
			states[p.Topic] = p.State
		}
		b, _ := json.Marshal(r.Report.Facts)
		return states, string(b)
	}
	const protect = "protect audit records from change"
	states, facts := read()
	if states[protect] != "not met" || states["identify everybody"] != "not met" || states["keep no longer than needed"] != "met" || states["contracts with processors, transfers"] != "not evaluated" || states["multi-factor authentication"] != "not evaluated" || states["encrypt data in transit"] != "met" {
		t.Errorf("%v %s", states, facts)
	}
	s.Stop()
	flags := []string{"--audit", "on", "--audit-streams", "file://" + filepath.Join(t.TempDir(), "copy.jsonl")}
	s.Restart(flags...)
	s.Post("/Groups", m{})
	if states, facts = read(); states[protect] != "met" || !strings.Contains(facts, "digests verified") {
		t.Errorf("%v %s", states, facts)
	}
	if code, page, _ := runFluoro(t, "compliance", "report", "--url", s.URL(""), "--format", "html"); code != 0 || !strings.HasPrefix(page, "<!doctype html>") || !strings.Contains(page, "PCI DSS") {
		t.Error(page)
	}
	// The console saves the report as files.
	var files struct {
		Signed     json.RawMessage
		JSON, HTML string
	}
	if status, _, body := s.Post("/api/compliance/GetReport", m{"files": true}); status != 200 || json.Unmarshal(body, &files) != nil || files.JSON != string(files.Signed) || !strings.HasPrefix(files.HTML, "<!doctype html>") {
		t.Errorf("%d %s", status, body)
	}
	json, key := filepath.Join(t.TempDir(), "r.json"), filepath.Join(t.TempDir(), "k.pem")
	if code, _, errs := runFluoro(t, "compliance", "report", "--url", s.URL(""), "--format", "json", "--to", json); code != 0 {
		t.Fatal(errs)
	}
	_, pem, _ := runFluoro(t, "audit", "public-key", "--data", s.Data)
	if err := os.WriteFile(key, []byte(pem), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := runFluoro(t, "erase", "verify", "--public-key", key, json); code != 0 {
		t.Error(out, errs)
	}
	name := filepath.Join(s.Data, "audit", "00000001.jsonl")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(b), "GetGroups", "GetGroupz", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if states, facts = read(); states[protect] != "not met" || !strings.Contains(facts, "was changed or replaced") {
		t.Errorf("%v %s", states, facts)
	}
}
