// Package browser_test walks through the console in a real browser.
package browser_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

func TestWalk(t *testing.T) { walk(t, "walk.mjs", harness.Start(t)) }

// The pages about security work, and nothing on them breaks the content security policy.
func TestWalk_security(t *testing.T) {
	walk(t, "security.mjs", harness.Start(t, "--audit", "on", "--encryption", "local"))
}

// walk runs a script against a server.
func walk(t *testing.T, script string, s *harness.Server) {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("no browser: %v (scripts/install-test-tools.sh installs it)", err)
	}
	cmd := exec.Command("node", script, s.URL(""), browser)
	cmd.Env = append(os.Environ(), "WALK_SCREENSHOT="+filepath.Join(os.TempDir(), "fluoro-"+script+"-failed.png"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
