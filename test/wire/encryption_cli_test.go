package wire_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// typed runs the binary with a text on its standard input.
func typed(t *testing.T, input string, args ...string) (code int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, harness.Binary(t), args...)
	cmd.Stdin = strings.NewReader(input)
	b, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// fluoro encryption works on a directory that no server uses as on a running server.
func TestEncryptionCLI_offline(t *testing.T) {
	s := harness.Start(t, "--encryption", "local")
	plant(s, "a")
	at := []string{"--data", s.Data, "--encryption", "local"}
	if code, out := run(t, append([]string{"encryption", "rotate"}, at...)...); code != 0 || !strings.Contains(out, "000000000000") {
		t.Errorf("while a server runs: %d %s", code, out)
	}
	s.Stop()
	if code, out := run(t, append([]string{"encryption", "rotate", "--new-key"}, at...)...); code != 0 || !strings.Contains(out, "000000000000") {
		t.Errorf("rotate: %d %s", code, out)
	}
	if code, out := run(t, append([]string{"encryption", "rewrap", "--account", "000000000000"}, at...)...); code != 0 {
		t.Errorf("rewrap: %d %s", code, out)
	}
	key, err := os.ReadFile(s.Data + ".key")
	if err != nil || strings.Count(string(key), "local:") != 2 {
		t.Errorf("the key file has not two keys: %v", err)
	}
	s.Restart("--encryption", "local")
	found(t, s, "a")
	s.Stop()
	forget := append([]string{"encryption", "forget", "--account", "000000000000"}, at...)
	for input, words := range map[string]string{"": "nothing was destroyed", "yes\n": "nothing was destroyed", "000000000001\n": "nothing was destroyed"} {
		if code, out := typed(t, input, forget...); code != 1 || !strings.Contains(out, words) {
			t.Errorf("typed %q: %d %s", input, code, out)
		}
	}
	if code, out := typed(t, "000000000000\n", forget...); code != 0 || !strings.Contains(out, "destroyed") {
		t.Errorf("forget: %d %s", code, out)
	}
	for _, wrong := range [][]string{{"encryption", "forget", "--data", s.Data}, {"encryption", "status", "--data", s.Data, "--url", "http://127.0.0.1:1"}, {"encryption", "nothing"}, {"encryption", "status", "--data", s.Data, "--encryption", "maybe"}} {
		if code, out := run(t, wrong...); code != 2 {
			t.Errorf("%v: %d %s", wrong, code, out)
		}
	}
	if code, out := run(t, "encryption", "status", "--data", filepath.Join(t.TempDir(), "none")); code != 1 || !strings.Contains(out, "no Fluoro data") {
		t.Errorf("status of nothing: %d %s", code, out)
	}
	s.Restart("--encryption", "local")
	if _, _, b := s.Post("/Groups", m{}); strings.Contains(string(b), "plantedservice") {
		t.Errorf("the group is still there: %s", b)
	}
	plant(s, "b")
	found(t, s, "b")
	if code, out := run(t, "encryption", "status", "--url", s.URL("")); code != 0 || !strings.Contains(out, "destroyed") {
		t.Errorf("status: %d %s", code, out)
	}
}

// A damaged file of the ring is reported by check, which changes nothing, and repaired by
// the next start.
func TestEncryptionCLI_checkFindsADamagedRing(t *testing.T) {
	s := harness.Start(t, "--encryption", "local")
	plant(s, "a")
	s.Stop()
	file := filepath.Join(s.Data, "keys", "000000000000.copy")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte(nil), good...)
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(file, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := run(t, "store", "check", "--data", s.Data); code != 1 || !strings.Contains(out, file) {
		t.Errorf("check: %d %s", code, out)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(bad) {
		t.Errorf("check has changed the file, %v", err)
	}
	s.Restart("--encryption", "local")
	found(t, s, "a")
	if now, err := os.ReadFile(file); err != nil || string(now) == string(bad) {
		t.Errorf("the file is not repaired, %v", err)
	}
}
