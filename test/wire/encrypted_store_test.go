package wire_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// secretTexts must not be in any file of an encrypted data directory.
var secretTexts = []string{"planted-annotation", "planted.example.com", "SELECT planted", "planted-user", "planted-service", "planted_key", "planted-error"}

func secretDocument(n int, now float64) string {
	return fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"planted-service","start_time":%f,"end_time":%f,"user":"planted-user-%d","annotations":{"planted_key":"planted-annotation-%d"},
		"http":{"request":{"url":"https://planted.example.com/%d"}},"cause":{"exceptions":[{"id":"1111111111111111","message":"planted-error"}]},"fault":true,
		"subsegments":[{"id":"%016x","name":"db","namespace":"remote","start_time":%f,"end_time":%f,"sql":{"sanitized_query":"SELECT planted FROM t%d"}}]}`,
		exportID(n, now), n+1, now, now+0.5, n, n, n, n+1<<20, now, now+0.1, n)
}

// leaking lists the secret texts, trace ids as text included, that some file has.
func leaking(t *testing.T, dir string, now float64) (all []string) {
	t.Helper()
	texts := append([]string{exportID(1, now), strings.ReplaceAll(exportID(1, now)[2:], "-", "")}, secretTexts...)
	for _, text := range texts {
		for _, file := range holding(t, dir, text) {
			all = append(all, filepath.Base(file)+" has "+text)
		}
	}
	return all
}

// Traces of an encrypted server: no file has a secret, while it runs, after kill -9 and after
// each restart; nothing is lost; check, backup, restore and export work with the key file.
func TestEncryptedStore(t *testing.T) {
	s := harness.Start(t, "--encryption", "local", "--settle", "100ms")
	now := float64(time.Now().Unix())
	sent := 0
	send := func(n int) {
		for range n {
			s.Put(secretDocument(sent, now))
			sent++
		}
	}
	whole := func(when string) {
		t.Helper()
		var got []harness.Summary
		harness.Eventually(t, fmt.Sprintf("%s: %d traces", when, sent), func() bool {
			got = s.Summaries(`annotation.planted_key BEGINSWITH "planted-annotation"`)
			return len(got) == sent
		})
		if found := leaking(t, s.Data, now); len(found) > 0 {
			t.Errorf("%s: %q", when, found)
		}
	}
	for round := range 5 {
		send(8)
		time.Sleep(300 * time.Millisecond) // some settle
		send(4)
		whole(fmt.Sprintf("round %d", round))
		s.Kill()
		if found := leaking(t, s.Data, now); len(found) > 0 {
			t.Errorf("killed: %q", found)
		}
		s.Restart("--encryption", "local", "--settle", "100ms")
		whole(fmt.Sprintf("started again after kill %d", round))
	}
	dir := t.TempDir()
	tar := filepath.Join(dir, "b.tar")
	mustRun(t, "backup", "--url", s.URL(""), "--to", tar)
	if found := leaking(t, dir, now); len(found) > 0 {
		t.Errorf("the backup: %q", found)
	}
	mustRun(t, "export", "--url", s.URL(""), "--out", filepath.Join(dir, "running"))
	s.Stop()
	if out := mustRun(t, "store", "check", "--data", s.Data); !strings.Contains(out, "sound") {
		t.Errorf("check: %s", out)
	}
	mustRun(t, "export", "--data", s.Data, "--out", filepath.Join(dir, "offline"))
	mustRun(t, "export", "--backup", tar, "--key-file", s.Data+".key", "--out", filepath.Join(dir, "backup"))
	for _, out := range []string{"running", "offline", "backup"} {
		if rows := exportRows(t, filepath.Join(dir, out)); len(rows) != sent {
			t.Errorf("%s: %d traces, want %d", out, len(rows), sent)
		}
	}
	if found := leaking(t, s.Data, now); len(found) > 0 {
		t.Errorf("after the commands: %q", found)
	}
	if out, code := fluoro(t, "export", "--data", s.Data, "--key-file", filepath.Join(dir, "none"), "--out", filepath.Join(dir, "x")); code != 1 || !strings.Contains(out, "none") {
		t.Errorf("export without the key file: %d %s", code, out)
	}
	// A restored backup needs the key file, and nothing else.
	restored := filepath.Join(dir, "restored")
	mustRun(t, "restore", "--from", tar, "--data", restored)
	key, err := os.ReadFile(s.Data + ".key")
	if err == nil {
		err = os.WriteFile(restored+".key", key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := harness.Start(t, "--data", restored, "--encryption", "local")
	if got := r.Summaries(""); len(got) != sent {
		t.Errorf("restored: %d traces, want %d", len(got), sent)
	}
}

// A directory that was in the clear has no secret any more once encryption was switched on,
// and is readable again after it is switched off.
func TestEncryptedStore_switched(t *testing.T) {
	s := harness.Start(t, "--settle", "100ms")
	now := float64(time.Now().Unix())
	for n := range 10 {
		s.Put(secretDocument(n, now))
	}
	harness.Eventually(t, "a file has a secret", func() bool { return len(leaking(t, s.Data, now)) > 5 })
	s.Stop()
	s.Restart("--encryption", "local", "--settle", "100ms")
	harness.Eventually(t, "no file has a secret", func() bool { return len(leaking(t, s.Data, now)) == 0 })
	if got := s.Summaries(""); len(got) != 10 {
		t.Errorf("%d traces", len(got))
	}
	if n := s.Metric("fluoro_store_blocks_to_convert"); n != 0 {
		t.Errorf("%v blocks are still to be converted", n)
	}
	s.Stop()
	s.Restart("--settle", "100ms")
	harness.Eventually(t, "files are clear again", func() bool { return len(leaking(t, s.Data, now)) > 5 })
	if got := s.Summaries(""); len(got) != 10 {
		t.Errorf("%d traces after it was switched off", len(got))
	}
}
