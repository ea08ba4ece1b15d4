package harness

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Moto runs moto, a server with the APIs of AWS, of other authors, until the test ends. It
// gives the process credentials for it, and returns its URL.
func Moto(t testing.TB) string {
	t.Helper()
	tool := filepath.Join(Root(), ".cache", "venv", "bin", "moto_server")
	if _, err := os.Stat(tool); err != nil {
		t.Fatalf("run scripts/install-test-tools.sh: %v", err)
	}
	if tester, ok := t.(*testing.T); ok {
		for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"} {
			tester.Setenv(name, value)
		}
	}
	address := FreePort(t)
	_, port, _ := strings.Cut(address, ":")
	log := &buffer{}
	cmd := exec.Command(tool, "-H", "127.0.0.1", "-p", port)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	Eventually(t, "moto answers", func() bool {
		res, err := http.Get("http://" + address + "/moto-api/")
		return err == nil && res.Body.Close() == nil
	})
	return "http://" + address
}
