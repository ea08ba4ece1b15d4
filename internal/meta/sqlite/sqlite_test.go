package sqlite

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/metatest"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const account trace.Account = "000000000000"

var ctx = context.Background()

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func TestContract(t *testing.T) {
	metatest.Run(t, metatest.Engine{
		Open: func(t testing.TB) meta.Store { return open(t, t.TempDir()) },
		Reopen: func(t testing.TB, s meta.Store) meta.Store {
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			return open(t, filepath.Dir(s.(*Store).path))
		},
	})
}

func put(s *Store, name string, v any) error {
	return s.Update(ctx, account, func(tx meta.Tx) error { return tx.Put("test", name, v) })
}

// TestOpen_strangeNames: SQLite parses the name as a URL; no name may show that.
func TestOpen_strangeNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%20e&f")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	defer s.Close()
	if err := put(s, "a", 1); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o007 != 0 || !strings.HasPrefix(e.Name(), FileName) {
			t.Errorf("%s has rights %v, error %v", e.Name(), info.Mode(), err)
		}
	}
	if len(entries) == 0 {
		t.Error("the file is not in its directory")
	}
}

// execute changes the file as another program would.
func execute(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, FileName))
	if err == nil {
		_, err = db.Exec(statement)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOpen_refusesAndNamesTheFile(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"a newer schema":             {func(t *testing.T, dir string) { execute(t, dir, "PRAGMA user_version = 7") }, "written by a newer fluoro (schema 7, this one knows up to 3)"},
		"an impossible schema":       {func(t *testing.T, dir string) { execute(t, dir, "PRAGMA user_version = -1") }, "schema -1 never existed"},
		"another program's database": {func(t *testing.T, dir string) { execute(t, dir, "PRAGMA application_id = 5") }, "another program"},
		"a text file": {func(t *testing.T, dir string) {
			overwrite(t, dir, func([]byte) []byte { return bytes.Repeat([]byte("no database\n"), 500) })
		}, "damaged or no database"},
		"a cut file": {func(t *testing.T, dir string) {
			overwrite(t, dir, func(b []byte) []byte { return b[:len(b)/2/4096*4096+100] })
		}, "damaged"},
		"a damaged page": {func(t *testing.T, dir string) {
			overwrite(t, dir, func(b []byte) []byte {
				for i := 4096; i < 3*4096; i++ {
					b[i] ^= 0x5a
				}
				return b
			})
		}, "damaged"},
		"a directory in its place": {func(t *testing.T, dir string) {
			if err := errors.Join(os.Remove(filepath.Join(dir, FileName)), os.Mkdir(filepath.Join(dir, FileName), 0o750)); err != nil {
				t.Fatal(err)
			}
		}, "is a directory"},
		"no directory": {func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}, "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.Mkdir(dir, 0o750); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir)
			for i := range 300 {
				if err := put(s, fmt.Sprint(i), strings.Repeat("x", 100)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, dir)
			s, err := Open(dir)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), filepath.Join(dir, FileName)) {
				t.Errorf("error %q, want %q and the file", err, c.want)
			}
		})
	}
}

func overwrite(t *testing.T, dir string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, FileName)
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(b), 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestOpen_afterAFirstStartThatWasCutShort: an interrupted first start leaves an
// empty file.
func TestOpen_afterAFirstStartThatWasCutShort(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	defer s.Close()
	if err := put(s, "a", 1); err != nil {
		t.Fatal(err)
	}
}

// TestUpdate_diskFull: SQLite reports a full disk and a file that may not grow at
// the same place.
func TestUpdate_diskFull(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	if _, err := s.write.Exec("PRAGMA max_page_count = 20"); err != nil {
		t.Fatal(err)
	}
	kept := 0
	var err error
	for ; kept < 1000 && err == nil; kept++ {
		err = put(s, fmt.Sprint(kept), strings.Repeat("x", 1000))
	}
	if trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), "no space is left") || !strings.Contains(err.Error(), s.path) {
		t.Fatalf("after %d records: %v", kept, err)
	}
	// Half a transaction is not kept, even if its function ignores the error.
	err = s.Update(ctx, account, func(tx meta.Tx) error {
		_ = tx.Put("test", "0", "small")
		for i := range 100 {
			_ = tx.Put("test", fmt.Sprint("more", i), strings.Repeat("x", 1000))
		}
		return nil
	})
	if trace.KindOf(err) != trace.KindUnavailable {
		t.Errorf("errors swallowed: %v", err)
	}
	// Reads still work, and writes work again when there is space.
	var v string
	read := func(tx meta.Tx) error { _, err := tx.Get("test", "0", &v); return err }
	if err := s.View(ctx, account, read); err != nil || len(v) != 1000 {
		t.Errorf("reading: %v, %d bytes", err, len(v))
	}
	if _, err := s.write.Exec("PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	if err := put(s, "later", 1); err != nil {
		t.Error(err)
	}
}

// TestKill kills a process that writes all the time, again and again: every
// acknowledged transaction is there, and each transaction is complete or absent.
func TestKill(t *testing.T) {
	if dir := os.Getenv("FLUORO_TEST_META"); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir, said := t.TempDir(), 0
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "FLUORO_TEST_META="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 20+7*round && lines.Scan(); n++ {
			if said, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatalf("the writer says %q", lines.Text())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // acknowledged before it was killed: counts, too
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				said = n
			}
		}
		_ = cmd.Wait()
		s := open(t, dir)
		var a, b int
		err = s.View(ctx, account, func(tx meta.Tx) error {
			_, errA := tx.Get("test", "a", &a)
			_, errB := tx.Get("test", "b", &b)
			return errors.Join(errA, errB)
		})
		if err = errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		if a < said || a != b || said == 0 {
			t.Fatalf("round %d: the writer said %d, found %d and %d", round, said, a, b)
		}
	}
}

func writeUntilKilled(t *testing.T, dir string) {
	s := open(t, dir)
	for {
		var n int
		err := s.Update(ctx, account, func(tx meta.Tx) error {
			if _, err := tx.Get("test", "a", &n); err != nil {
				return err
			}
			n++
			return errors.Join(tx.Put("test", "a", n), tx.Put("test", "b", n))
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(n)
	}
}

// TestCommit_isSynced: without these two settings a power failure may lose a commit;
// our tests cannot simulate one.
func TestCommit_isSynced(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	var mode string
	var synchronous int
	if err := errors.Join(s.write.QueryRow("PRAGMA journal_mode").Scan(&mode), s.write.QueryRow("PRAGMA synchronous").Scan(&synchronous)); err != nil {
		t.Fatal(err)
	}
	if mode != "wal" || synchronous != 2 {
		t.Errorf("journal_mode %s, synchronous %d: want wal and 2 (FULL)", mode, synchronous)
	}
}

// A record that fails its checksum is named; the others are served.
func TestRecord_damaged(t *testing.T) {
	for name, c := range map[string]struct{ statement, want string }{
		"another value":    {`UPDATE record SET value = '"x"' WHERE name = 'b'`, "wrong checksum"},
		"another name":     {`UPDATE record SET name = 'c' WHERE name = 'b'`, "wrong checksum"},
		"no checksum":      {`UPDATE record SET sum = NULL WHERE name = 'b'`, "wrong checksum"},
		"another checksum": {`UPDATE record SET sum = sum + 1 WHERE name = 'b'`, "wrong checksum"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			for _, name := range []string{"a", "b", "d"} {
				if err := put(s, name, name); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			execute(t, dir, c.statement)
			damage, found, err := Check(ctx, dir, Options{}, nil)
			if err != nil || !found || len(damage) != 1 || !strings.Contains(damage[0], c.want) || !strings.Contains(damage[0], filepath.Join(dir, FileName)) {
				t.Errorf("Check: %v, %v, %v", damage, found, err)
			}
			s = open(t, dir)
			defer s.Close()
			var listed []string
			var v string
			err = s.View(ctx, account, func(tx meta.Tx) error {
				if err := tx.List("test", func(name string, _ json.RawMessage) error { listed = append(listed, name); return nil }); err != nil {
					return err
				}
				_, err := tx.Get("test", "a", &v)
				return err
			})
			if err != nil || len(listed) != 2 || v != "a" {
				t.Errorf("listed %v, %q, %v", listed, v, err)
			}
			if d := s.Damage(); len(d) != 1 || !strings.Contains(d[0], c.want) {
				t.Errorf("Damage: %v", d)
			}
			err = s.View(ctx, account, func(tx meta.Tx) error {
				for _, name := range []string{"b", "c"} {
					if _, err := tx.Get("test", name, &v); err != nil {
						return err
					}
				}
				return nil
			})
			if trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Get: %v", err)
			}
		})
	}
}

// Records of schema 1, which had no checksums, get checksums.
func TestOpen_addsChecksums(t *testing.T) {
	dir := t.TempDir()
	execute(t, dir, migrations[0]+fmt.Sprintf(`; INSERT INTO record VALUES ('000000000000', 'test', 'a', '"x"'); PRAGMA application_id = %d; PRAGMA user_version = 1`, applicationID))
	s := open(t, dir)
	defer s.Close()
	var v string
	if err := s.View(ctx, account, func(tx meta.Tx) error { _, err := tx.Get("test", "a", &v); return err }); err != nil || v != "x" {
		t.Errorf("%q, %v", v, err)
	}
}

// A check finds a flipped bit in every page of the file, and changes nothing.
func TestCheck_findsFlippedBits(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for n := range 60 {
		if err := put(s, strconv.Itoa(n), strings.Repeat("lorem ipsum ", 20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if damage, found, err := Check(ctx, dir, Options{}, nil); err != nil || !found || len(damage) > 0 {
		t.Fatalf("without damage: %v, %v, %v", damage, found, err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	missed := 0
	for at := 4096; at < len(whole); at += 509 {
		overwrite(t, dir, func([]byte) []byte { b := bytes.Clone(whole); b[at] ^= 0x10; return b })
		damage, _, err := Check(ctx, dir, Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(damage) == 0 {
			missed++ // in space that no record uses: every record matched its checksum
		}
		if b, err := os.ReadFile(filepath.Join(dir, FileName)); err != nil || b[at] != whole[at]^0x10 {
			t.Fatalf("the file was changed, %v", err)
		}
	}
	if all := (len(whole) - 4096) / 509; missed > all/2 {
		t.Errorf("%d of %d flipped bits were not found", missed, all)
	}
}
