package wal_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/vfs"
	"github.com/fluoro-io/fluoro/internal/wal"
)

// filled returns a log with entries in three files, and its mark. The log was not
// closed, as after a kill.
func filled(t testing.TB) (*vfs.Mem, wal.Mark) {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll("wal"); err != nil {
		t.Fatal(err)
	}
	l, _, err := wal.Open(wal.Options{FS: fs, Dir: "wal", FileBytes: 1 << 20}, func(wal.Entry) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for n := range 9 {
		if n%3 == 0 {
			if err := l.Rotate(); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := l.Append([][]byte{[]byte(strings.Repeat("x", n)), {byte(n)}}); err != nil {
			t.Fatal(err)
		}
	}
	return fs, l.Mark()
}

func reopen(t testing.TB, fs vfs.FS, known wal.Mark) (entries int, found wal.Found) {
	t.Helper()
	_, found, err := wal.Open(wal.Options{FS: fs, Dir: "wal", FileBytes: 1 << 20, Known: known}, func(wal.Entry) error { entries++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return entries, found
}

// A lost end of the last file is distinguished from a torn one if the .synced file
// or the caller knows how much was synced.
func TestOpen_tellsALostEndFromATornOne(t *testing.T) {
	last := filepath.Join("wal", wal.Name(3))
	for name, c := range map[string]struct {
		beside, known, lost bool
	}{
		"both know":        {true, true, true},
		"the file beside":  {true, false, true},
		"somebody else":    {false, true, true},
		"nobody: as torn ": {false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			fs, mark := filled(t)
			if err := fs.Damage(last, func(b []byte) []byte { return b[:len(b)-5] }); err != nil {
				t.Fatal(err)
			}
			if !c.beside {
				if err := fs.Remove(strings.TrimSuffix(last, ".wal") + ".synced"); err != nil {
					t.Fatal(err)
				}
			}
			if !c.known {
				mark = wal.Mark{}
			}
			entries, found := reopen(t, fs, mark)
			if entries != 16 {
				t.Errorf("%d entries, want 16", entries)
			}
			if c.lost != (len(found.Damage) == 1) || c.lost == (found.Torn > 0) {
				t.Errorf("damage %v, torn %d", found.Damage, found.Torn)
			}
			if c.lost && !strings.Contains(found.Damage[0].Error(), "were acknowledged, up to entry 18") {
				t.Errorf("it says %v", found.Damage[0])
			}
		})
	}
}

// Bytes after the last sync were never acknowledged: they are not damage.
func TestOpen_tornIsNoDamage(t *testing.T) {
	fs, mark := filled(t)
	if err := fs.Damage(filepath.Join("wal", wal.Name(3)), func(b []byte) []byte { return append(b, "FLWR\x01torn"...) }); err != nil {
		t.Fatal(err)
	}
	if entries, found := reopen(t, fs, mark); entries != 18 || len(found.Damage) > 0 || found.Torn == 0 {
		t.Errorf("%d entries, damage %v, torn %d", entries, found.Damage, found.Torn)
	}
}

// Every missing file is reported, and new files never take its number.
func TestOpen_missingFile(t *testing.T) {
	for number := uint64(1); number <= 3; number++ {
		fs, mark := filled(t)
		if err := fs.Remove(filepath.Join("wal", wal.Name(number))); err != nil {
			t.Fatal(err)
		}
		l, found, err := wal.Open(wal.Options{FS: fs, Dir: "wal", FileBytes: 1 << 20, Known: mark}, func(wal.Entry) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if len(found.Damage) != 1 || !strings.Contains(found.Damage[0].Error(), wal.Name(number)) || !strings.Contains(found.Damage[0].Error(), "missing") {
			t.Errorf("file %d: %v", number, found.Damage)
		}
		if lsn, file, err := l.Append([][]byte{{1}}); err != nil || file != 4 || lsn < 19 {
			t.Errorf("file %d: the next entry is %d in file %d, %v", number, lsn, file, err)
		}
	}
}

// Every truncation and bit flip of the last file is reported, byte by byte; damage
// of the .synced file does no harm.
func TestOpen_lastFileByteByByte(t *testing.T) {
	last := filepath.Join("wal", wal.Name(3))
	fs, _ := filled(t)
	var size int
	if err := fs.Damage(last, func(b []byte) []byte { size = len(b); return b }); err != nil {
		t.Fatal(err)
	}
	for at := range size {
		for _, change := range []func(b []byte) []byte{
			func(b []byte) []byte { return b[:at] },
			func(b []byte) []byte { b[at] ^= 1 << (at % 8); return b },
		} {
			fs, mark := filled(t)
			if err := fs.Damage(last, change); err != nil {
				t.Fatal(err)
			}
			if entries, found := reopen(t, fs, mark); len(found.Damage) == 0 || entries < 12 {
				t.Fatalf("byte %d: %d entries, damage %v, torn %d", at, entries, found.Damage, found.Torn)
			}
		}
	}
}
