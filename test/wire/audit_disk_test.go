//go:build linux

package wire_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// With --audit-required, nobody reads while the disk of the audit log is full; data is
// received if it has another disk. Without it, reads continue, and the log says later how
// many records are missing.
func TestAudit_fullDisk(t *testing.T) {
	for _, required := range []bool{true, false} {
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("no tmpfs can be mounted, run this test as root: %v", err)
			}
			t.Skipf("SKIPPED, nothing is known of full disks: no tmpfs can be mounted (run as root): %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		s := harness.Start(t)
		s.Stop()
		if err := os.Symlink(dir, filepath.Join(s.Data, "audit")); err != nil {
			t.Fatal(err)
		}
		flags := []string{"--audit", "on"}
		if required {
			flags = append(flags, "--audit-required")
		}
		s.Restart(flags...)
		read := func() int {
			status, _, _ := s.Post("/Groups", m{})
			return status
		}
		if status := read(); status != http.StatusOK {
			t.Fatal(status)
		}
		ballast := filepath.Join(dir, "ballast")
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		for block := make([]byte, 4096); err == nil; {
			_, err = f.Write(block)
		}
		f.Close()
		want := http.StatusOK
		if required {
			want = http.StatusServiceUnavailable
		}
		// Some records still fit the last block of the file.
		harness.Eventually(t, "the log is full", func() bool { return read() == want && s.Metric("fluoro_audit_records_lost_total") > 0 })
		if status, _, answer := s.Post("/Groups", m{}); status != want || required && !strings.Contains(string(answer), "audit log cannot be written") {
			t.Errorf("required %v: %d %s", required, status, answer)
		}
		s.Put(`{"trace_id":"1-0a0a0a0a-0a0a0a0a0a0a0a0a0a0a0a0a","id":"0a0a0a0a0a0a0a0a","name":"x","start_time":1,"end_time":2}`)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the log goes on", func() bool { return read() == http.StatusOK })
		harness.Eventually(t, "the log says what it lost", func() bool {
			_, out, _ := runFluoro(t, "audit", "export", "--data", s.Data)
			return strings.Contains(out, "LoseAuditRecords")
		})
		if code, out, errs := runFluoro(t, "audit", "verify", "--data", s.Data); code != 0 {
			t.Error(code, out, errs)
		}
	}
}
