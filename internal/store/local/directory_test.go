package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/store/local"
)

// TestDirectory_sharedWithOtherFiles: the format file, written first, is what
// makes a directory ours. What lies beside it (control-plane records, an
// administrator's note) is left alone; without it nothing is touched.
func TestDirectory_sharedWithOtherFiles(t *testing.T) {
	dir := t.TempDir()
	open := func() error {
		s, err := local.Open(local.Options{Dir: dir, Retention: -1})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"meta.db", "meta.db-wal", "meta.db-shm"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(); err != nil {
		t.Errorf("with control-plane records: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "FORMAT")); err != nil {
		t.Fatal(err)
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "no FORMAT file") {
		t.Errorf("without the format file: %v", err)
	}
	for _, name := range []string{"meta.db", "meta.db-wal", "meta.db-shm"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != name {
			t.Errorf("%s now holds %q, error %v", name, b, err)
		}
	}
}
