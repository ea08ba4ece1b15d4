package harness

import (
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
)

// Issuer starts a real OpenID Connect provider and returns its issuer.
func Issuer(t testing.TB) string {
	t.Helper()
	_, port, err := net.SplitHostPort(FreePort(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(Root(), "test", "oidc", "node_modules", ".bin", "oauth2-mock-server"), "-a", "127.0.0.1", "-p", port)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: scripts/install-test-tools.sh installs it", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	at := "http://localhost:" + port
	Eventually(t, "the provider answers", func() bool {
		res, err := http.Get(at + "/.well-known/openid-configuration")
		return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	return at
}
