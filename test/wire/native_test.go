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

// pending maps a native case that does not pass yet to whose it is. Every other
// case must pass; one of these that passes fails the test, so that the list
// only shrinks.
var pending = map[string]string{
	"boost-reports":                "sampling rules",
	"destination-default":          "destinations",
	"filters-group":                "groups",
	"groups-get-default":           "groups",
	"policy-list-and-delete":       "policies",
	"rules-create-rejects":         "sampling rules",
	"rules-update-rejects":         "sampling rules",
	"servicegraph-inferred-callee": "groups",
	"tags-rule-lifecycle":          "sampling rules",
	"targets-rates":                "sampling rules",
	"timeseries-group-selector":    "groups, time series",
}

// The recorded cases of the native service, run by their own runner against a
// fresh server. Cases that take a minute or more are left out.
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
	// Status 1 says that cases failed; which, the output says.
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
		if _, known := pending[name]; !known {
			t.Errorf("%s: %s", name, failed[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(pending)) {
		if _, fails := failed[name]; !fails {
			t.Errorf("%s (%s) is pending, but does not fail: take it off the list", name, pending[name])
		}
	}
}

// verdict is a line of the runner: "PASS name", "FAIL name: why" or "SKIP name: why".
var verdict = regexp.MustCompile(`^(PASS|FAIL|SKIP) ([^ :]+):? ?(.*)$`)
