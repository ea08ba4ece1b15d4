package local_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// filled makes a directory with two blocks, a log and deletions, and returns its options.
func filled(t *testing.T) options {
	t.Helper()
	o := options{Dir: t.TempDir(), Retention: -1}
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		if err := put(s, n, 1); err != nil {
			t.Fatal(err)
		}
		if n == 2 || n == 4 {
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(put(s, 0, 2), remove(s, 1), s.Flush(t.Context()), put(s, 6, 1), put(s, 0, 3), s.Close()); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestInspect_countsWhatReadersSee(t *testing.T) {
	o := filled(t)
	for _, deep := range []bool{false, true} {
		r, err := inspect(o, deep)
		if err != nil {
			t.Fatal(err)
		}
		// Traces 0 (three segments), 2, 3, 4, 5, 6.
		if len(r.Accounts) != 1 || r.Accounts[0].Traces != 6 || r.Accounts[0].Segments != 8 || len(r.Damage) != 0 || r.Blocks < 2 || r.WALBytes == 0 {
			t.Errorf("deep %v: %+v", deep, r)
		}
		a := r.Accounts[0]
		if a.Oldest == 0 || a.Newest <= a.Oldest || a.Bytes == 0 || a.Bytes > r.BlockBytes {
			t.Errorf("deep %v: %+v", deep, a)
		}
	}
}

// Inspect finds a flipped bit anywhere, and names its file.
func TestInspect_namesEveryDamage(t *testing.T) {
	o := filled(t)
	var files []string
	for _, pattern := range []string{"wal/*.wal", "blocks/*.blk", "blocks/*.parquet", "deleted"} {
		found, err := filepath.Glob(filepath.Join(o.Dir, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		files = append(files, found...)
	}
	for _, name := range files {
		good, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(good); at += 1 + len(good)/40 {
			bad := append([]byte(nil), good...)
			bad[at] ^= 0x20
			if err := os.WriteFile(name, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := inspect(o, true)
			if err != nil {
				t.Fatalf("%s, byte %d: %v", name, at, err)
			}
			// Nobody knows whether the end of the last log file was acknowledged.
			if said := fmt.Sprint(r.Damage); !strings.Contains(said, name) && !strings.Contains(fmt.Sprint(r.Notes), "never acknowledged") {
				t.Errorf("%s, byte %d: %v, %v", name, at, r.Damage, r.Notes)
			}
		}
		if err := os.WriteFile(name, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInspect_refusals(t *testing.T) {
	o := filled(t)
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inspect(o, true); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("while it is open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := inspect(options{Dir: filepath.Join(t.TempDir(), "none")}, true); err == nil || !strings.Contains(err.Error(), "holds no Fluoro data") {
		t.Errorf("a directory that is missing: %v", err)
	}
}
