package backup_test

import (
	"archive/tar"
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/backup"
)

var content = map[string]string{"FORMAT": "a format\n", "blocks/1.blk": strings.Repeat("block ", 300), "wal/1.wal": "", "meta.db": "records"}

func whole(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := backup.NewWriter(&b, time.Unix(1_780_000_000, 0))
	for _, name := range []string{"FORMAT", "blocks/1.blk", "wal/1.wal", "meta.db"} {
		if err := w.Add(name, int64(len(content[name])), strings.NewReader(content[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(b []byte) (map[string]string, error) {
	got := map[string]string{}
	_, err := backup.Read(bytes.NewReader(b), func(name string, size int64, r io.Reader) error {
		text, err := io.ReadAll(r)
		got[name] = string(text)
		return err
	})
	return got, err
}

func TestRead_givesBackWhatWasWritten(t *testing.T) {
	got, err := read(whole(t))
	if err != nil || !maps.Equal(got, content) {
		t.Fatalf("%v, %v", got, err)
	}
}

// A backup that was truncated anywhere is refused.
func TestRead_refusesPartOfABackup(t *testing.T) {
	b := whole(t)
	// The last two blocks of a tar are empty: without them nothing is missing.
	for n := 0; n < len(b)-1024-512; n += 37 {
		if _, err := read(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes pass for a backup", n, len(b))
		}
	}
}

// A flipped bit is found, or does not change anything that is restored.
func TestRead_findsFlippedBits(t *testing.T) {
	b := whole(t)
	found := 0
	for at := range b {
		b[at] ^= 1 << (at % 8)
		got, err := read(b)
		if err == nil && !maps.Equal(got, content) {
			t.Fatalf("a flipped bit at %d of %d was not found", at, len(b))
		}
		if err != nil {
			found++
		}
		b[at] ^= 1 << (at % 8)
	}
	if found < len(content["blocks/1.blk"]) {
		t.Errorf("only %d flipped bits were found", found)
	}
}

func TestAdd_wantsTheSizeThatWasAnnounced(t *testing.T) {
	for _, size := range []int64{3, 7} {
		w := backup.NewWriter(io.Discard, time.Now())
		if err := w.Add("FORMAT", size, strings.NewReader("fives")); err == nil {
			t.Errorf("5 bytes pass for %d", size)
		}
	}
}

func TestRestore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	if _, err := backup.Restore(bytes.NewReader(whole(t)), dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range content {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := backup.Restore(bytes.NewReader(whole(t)), dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a directory with data: %v", err)
	}
}

func TestRestore_leavesNothingWhenItFails(t *testing.T) {
	parent := t.TempDir()
	b := whole(t)
	for name, bad := range map[string][]byte{"cut short": b[:len(b)/2], "empty": nil, "no tar": bytes.Repeat([]byte("x"), 2000), "damaged": bytes.Replace(b, []byte("records"), []byte("recordz"), 1)} {
		if _, err := backup.Restore(bytes.NewReader(bad), filepath.Join(parent, "data")); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if list, err := os.ReadDir(parent); err != nil || len(list) > 0 {
		t.Errorf("%v is left, %v", list, err)
	}
}

// A name never leads out of the directory.
func TestRead_refusesForeignNames(t *testing.T) {
	for _, h := range []tar.Header{{Name: "../x"}, {Name: "/etc/passwd"}, {Name: "a/../../x"}, {Name: `a\..\x`}, {Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/"}} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		h.Mode = 0o600
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := read(b.Bytes()); err == nil || !strings.Contains(err.Error(), "no backup") {
			t.Errorf("%q: %v", h.Name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(whole(f))
	f.Add([]byte("no tar"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := read(b); err == nil && len(got) == 0 && len(b) < 1024 {
			t.Fatal("nothing is a backup")
		}
	})
}

// Leftovers of a killed backup or restore are recognised by name.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	f, err := backup.CreatePart(filepath.Join(dir, "b.tar"))
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"data.restoring-123", "data.restoring-", "x.restoring-y", "data"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"b.tar", "b.part-3", ".b.part-x", "f.restoring-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	notes := backup.Leftovers(dir, filepath.Join(dir, "none"), dir+"/.")
	if len(notes) != 2 || !strings.Contains(notes[0], f.Name()) || !strings.Contains(notes[1], filepath.Join(dir, "data.restoring-123")) {
		t.Errorf("found %q", notes)
	}
}
