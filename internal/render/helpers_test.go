package render_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
)

// corpus returns the folder of recorded requests; without one it skips the test.
func corpus(t testing.TB) string {
	t.Helper()
	return filepath.Join(harness.Shared(t), "corpus")
}

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// at is the time when requests are accepted in these tests.
var at = trace.TimeOf(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC))
