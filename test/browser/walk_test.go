// Package browser_test walks through the console in a real browser.
package browser_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

func TestWalk(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("no browser: %v (scripts/install-test-tools.sh installs it)", err)
	}
	s := harness.Start(t)
	cmd := exec.Command("node", "walk.mjs", s.URL(""), browser)
	cmd.Env = append(os.Environ(), "WALK_SCREENSHOT="+filepath.Join(os.TempDir(), "fluoro-walk-failed.png"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
