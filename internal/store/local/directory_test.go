package local_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The format file, which is written first, makes a directory ours. Other files in it
// (control-plane records, an administrator's note) stay as they are; a directory without
// any sign that it is ours stays as it is.
func TestDirectory_sharedWithOtherFiles(t *testing.T) {
	dir := t.TempDir()
	open := func() error {
		s, err := open(options{Dir: dir, Retention: -1})
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
	for _, gone := range []string{"FORMAT", "manifest", "wal"} {
		if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
		if err := open(); gone != "wal" {
			// Other files show that it is ours.
			if err != nil {
				t.Errorf("without %s: %v", gone, err)
			}
		} else if err != nil {
			t.Errorf("without a log: %v", err)
		}
	}
	for _, gone := range []string{"FORMAT", "manifest", "wal"} {
		if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "no FORMAT file") {
		t.Errorf("where nothing is ours: %v", err)
	}
	for _, name := range []string{"meta.db", "meta.db-wal", "meta.db-shm"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != name {
			t.Errorf("%s now holds %q, error %v", name, b, err)
		}
	}
}

// A directory of format 4, which had no manifest, is brought up to date; other files
// show when a flipped bit in the format file claims another version.
func TestDirectory_format(t *testing.T) {
	newer := "fluoro local store version 7\n"
	newer += fmt.Sprintf("checksum %08x\n", crc32.Checksum([]byte(newer), crc32.MakeTable(crc32.Castagnoli)))
	for name, c := range map[string]struct {
		format  string
		damaged bool
		refused string
	}{
		"before there were manifests":       {"fluoro local store version 4\n", false, ""},
		"a bit of that flipped":             {"fluoro local store version 5\n", true, ""},
		"another bit of that flipped":       {"fluoro local store versikn 4\n", true, ""},
		"a version that no checksum proves": {"fluoro local store version 7\n", true, ""},
		"a newer one":                       {newer, false, "written by a newer fluoro (format 7"},
		"before the first release":          {"fluoro local store version 3\n", false, "before the first release"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			o := options{Dir: dir, Retention: -1}
			s, err := open(o)
			must(t, err)
			must(t, errors.Join(put(s, 1, 1), s.Flush(t.Context()), put(s, 2, 1), s.Close()))
			must(t, os.Remove(filepath.Join(dir, "manifest")))
			must(t, os.WriteFile(filepath.Join(dir, "FORMAT"), []byte(c.format), 0o600))
			for start := 1; start <= 2; start++ {
				s, err = open(o)
				if c.refused != "" {
					if err == nil || !strings.Contains(err.Error(), c.refused) {
						t.Fatalf("Open: %v", err)
					}
					return
				}
				must(t, err)
				st, err := s.Stats(t.Context())
				must(t, err)
				if (len(st.Damage) > 0) != (c.damaged && start == 1) {
					t.Errorf("start %d: damage %v", start, st.Damage)
				}
				if has(t, s, 1) != 1 || has(t, s, 2) != 1 {
					t.Errorf("start %d: traces are missing", start)
				}
				must(t, s.Close())
			}
		})
	}
}
