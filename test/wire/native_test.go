package wire_test

import (
	"bytes"
	"errors"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// The recorded cases of the native service, run by their own runner against a fresh
// server, except cases that take a minute or more.
func TestNative(t *testing.T) {
	native := filepath.Join(harness.Shared(t), "native")
	runner := filepath.Join(t.TempDir(), "runner")
	build := exec.Command("go", "build", "-o", runner, ".")
	build.Dir = filepath.Join(native, "runner")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the runner: %v\n%s", err, out)
	}
	s := harness.Start(t)
	out, err := exec.Command(runner, "-url", s.URL(""), "-cases", filepath.Join(native, "cases"), "-noslow").CombinedOutput()
	// Status 1 means that cases failed; the output tells which.
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !(ok && exit.ExitCode() == 1) {
		t.Fatalf("run the cases: %v\n%s", err, out)
	}
	failed, skipped := map[string]string{}, 0
	passed := map[string]bool{}
	for line := range bytes.Lines(out) {
		switch m := verdict.FindStringSubmatch(strings.TrimSpace(string(line))); {
		case m == nil:
		case m[1] == "PASS":
			passed[m[2]] = true
		case m[1] == "FAIL":
			failed[m[2]] = m[3]
		default:
			skipped++
		}
	}
	cases, _ := filepath.Glob(filepath.Join(native, "cases", "*.json"))
	if n := len(passed) + len(failed) + skipped; len(cases) == 0 || n != len(cases) {
		t.Errorf("%d verdicts for %d cases:\n%s", n, len(cases), out)
	}
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		t.Errorf("%s: %s", name, failed[name])
	}
}

// verdict is a line of the runner: "PASS name", "FAIL name: why" or "SKIP name: why".
var verdict = regexp.MustCompile(`^(PASS|FAIL|SKIP) ([^ :]+):? ?(.*)$`)
