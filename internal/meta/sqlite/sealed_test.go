package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/metatest"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const other trace.Account = "111111111111"

// system is the kind of records that are sealed under the keys of the server.
func system(kind meta.Kind) bool { return kind == "user" }

// keys opens a ring beside a data directory.
func keys(t testing.TB, dir string, mode seal.Mode) *seal.Ring {
	t.Helper()
	r, err := seal.Open(seal.Options{Dir: dir, Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func openSealed(t testing.TB, dir string, k seal.Keys) *Store {
	t.Helper()
	s, err := OpenSealed(dir, Options{Keys: k, System: system})
	if err != nil {
		t.Fatalf("OpenSealed: %v", err)
	}
	return s
}

func dataDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestContract_sealed(t *testing.T) {
	metatest.Run(t, metatest.Engine{
		Open: func(t testing.TB) meta.Store {
			dir := dataDir(t)
			return openSealed(t, dir, keys(t, dir, seal.ModeLocal))
		},
		Reopen: func(t testing.TB, s meta.Store) meta.Store {
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			dir := filepath.Dir(s.(*Store).path)
			return openSealed(t, dir, keys(t, dir, seal.ModeLocal))
		},
	})
}

// planted returns the files of a directory that contain a text.
func planted(t testing.TB, dir, text string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			files = append(files, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// all returns all records of an account of the kinds of these tests.
func all(t testing.TB, s *Store, account trace.Account) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := s.View(ctx, account, func(tx meta.Tx) error {
		for _, kind := range []meta.Kind{"test", "user"} {
			err := tx.List(kind, func(name string, value json.RawMessage) error {
				var direct string
				if found, err := tx.Get(kind, name, &direct); err != nil || !found {
					return fmt.Errorf("%s is listed, but Get says %v, %v", name, found, err)
				}
				got[string(kind)+" "+name] = direct
				return json.Unmarshal(value, &direct)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func putAs(s *Store, a trace.Account, kind meta.Kind, name, value string) error {
	return s.Update(ctx, a, func(tx meta.Tx) error { return tx.Put(kind, name, value) })
}

// Clear records are sealed while others read and write, no file keeps a clear text, and
// they become clear again when encryption is switched off.
func TestReseal(t *testing.T) {
	dir := dataDir(t)
	s := open(t, dir)
	want := map[string]string{}
	for i := range 250 {
		kind := meta.Kind("test")
		if i%5 == 0 {
			kind = "user"
		}
		name := fmt.Sprintf("plantedname%03d", i)
		want[string(kind)+" "+name] = "plantedvalue" + name
		if err := putAs(s, account, kind, name, "plantedvalue"+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(planted(t, dir, "plantedname")) == 0 {
		t.Fatal("the test does not find clear records")
	}
	ring := keys(t, dir, seal.ModeLocal)
	s = openSealed(t, dir, ring)
	whileBusy(t, s, want, func() error { return s.Reseal(ctx, false) })
	for range 3 { // a reader may have held the log back
		if err := s.Reseal(ctx, false); err != nil {
			t.Log(err)
		}
	}
	for _, text := range []string{"plantedname", "plantedvalue"} {
		if files := planted(t, dir, text); files != nil {
			t.Errorf("%s is in %v", text, files)
		}
	}
	if err := ring.Rotate(ctx, account); err != nil {
		t.Fatal(err)
	}
	whileBusy(t, s, want, func() error { return s.Reseal(ctx, true) })
	if used := s.used[place{account, account}]; len(used) != 1 {
		t.Errorf("after a rotation, records use the keys %v", used)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openSealed(t, dir, keys(t, dir, seal.ModeOff))
	defer s.Close()
	if err := s.Reseal(ctx, false); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s, account); !maps.Equal(got, want) {
		t.Errorf("%d records are clear again, want %d", len(got), len(want))
	}
	if len(planted(t, dir, "plantedname")) == 0 || len(s.used[place{account, account}]) > 0 {
		t.Error("records are still sealed")
	}
}

// whileBusy runs f while others read and write, who must always see all records.
func whileBusy(t *testing.T, s *Store, want map[string]string, f func() error) {
	t.Helper()
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got := all(t, s, account); !maps.Equal(got, want) {
				t.Errorf("a reader sees %d records, want %d", len(got), len(want))
				return
			}
		}
	})
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := fmt.Sprintf("plantedname%03d", 1+i%4)
			if err := putAs(s, account, "test", name, "plantedvalue"+name); err != nil {
				t.Error(err)
				return
			}
		}
	})
	if err := f(); err != nil && !strings.Contains(err.Error(), "tried again") {
		t.Error(err)
	}
	close(stop)
	others.Wait()
	if got := all(t, s, account); !maps.Equal(got, want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
}

// unusable keys fail for some accounts.
type unusable struct {
	seal.Keys
	account trace.Account
}

func (u unusable) fail(account trace.Account) error {
	if account == u.account {
		return trace.Errorf(trace.KindUnavailable, "the key of account %s is disabled", account)
	}
	return nil
}

func (u unusable) Newest(ctx context.Context, account trace.Account) (*seal.Key, error) {
	if err := u.fail(account); err != nil {
		return nil, err
	}
	return u.Keys.Newest(ctx, account)
}

func (u unusable) Find(ctx context.Context, account trace.Account, id uint32) (*seal.Key, error) {
	if err := u.fail(account); err != nil {
		return nil, err
	}
	return u.Keys.Find(ctx, account, id)
}

// The records of an account whose key is disabled cannot be used. Those of others can, and
// so can its own records that are sealed under the keys of the server.
func TestSealed_disabledKey(t *testing.T) {
	dir := dataDir(t)
	ring := keys(t, dir, seal.ModeLocal)
	s := openSealed(t, dir, ring)
	for _, a := range []trace.Account{account, other} {
		for _, kind := range []meta.Kind{"test", "user"} {
			if err := putAs(s, a, kind, "a", "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openSealed(t, dir, unusable{ring, account})
	defer s.Close()
	var v string
	get := func(a trace.Account, kind meta.Kind) error {
		return s.View(ctx, a, func(tx meta.Tx) error { _, err := tx.Get(kind, "a", &v); return err })
	}
	for _, c := range []struct {
		account trace.Account
		kind    meta.Kind
		works   bool
	}{{account, "test", false}, {account, "user", true}, {other, "test", true}, {other, "user", true}} {
		for verb, err := range map[string]error{"get": get(c.account, c.kind), "put": putAs(s, c.account, c.kind, "b", "y")} {
			if c.works != (err == nil) || err != nil && (trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), string(c.account))) {
				t.Errorf("%s %s of %s: %v", verb, c.kind, c.account, err)
			}
		}
	}
	damage, found, err := Check(ctx, dir, Options{Keys: unusable{ring, account}, System: system}, nil)
	if err != nil || !found || len(damage) != 1 || !strings.Contains(damage[0], "disabled") || !strings.Contains(damage[0], string(account)) {
		t.Errorf("Check: %q, %v", damage, err)
	}
	if damage, _, err := Check(ctx, dir, Options{Keys: ring, System: system}, nil); err != nil || len(damage) > 0 {
		t.Errorf("Check with all keys: %q, %v", damage, err)
	}
}

// Records of destroyed keys are gone, and new ones take their place.
func TestSealed_destroyedKeys(t *testing.T) {
	dir := dataDir(t)
	ring := keys(t, dir, seal.ModeLocal)
	s := openSealed(t, dir, ring)
	defer s.Close()
	for _, a := range []trace.Account{account, other} {
		if err := putAs(s, a, "test", "a", "old"); err != nil {
			t.Fatal(err)
		}
	}
	if err := ring.Forget(account); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s, account); len(got) > 0 {
		t.Errorf("%v is still there", got)
	}
	if err := putAs(s, account, "test", "b", "new"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reseal(ctx, false); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s, account); len(got) != 1 || got["test b"] != "new" {
		t.Errorf("got %v", got)
	}
	if got := all(t, s, other); got["test a"] != "old" {
		t.Errorf("of the other account: %v", got)
	}
	var n int
	if err := s.read.QueryRow("SELECT count(*) FROM sealed WHERE account = ?", string(account)).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// Rows that were changed, swapped or moved by another program are reported, and the others
// are served.
func TestSealed_noticesChanges(t *testing.T) {
	for name, statement := range map[string]string{
		"a changed body":     "UPDATE sealed SET body = CAST(substr(body, 1, length(body) - 1) || x'00' AS BLOB) WHERE rowid_of = 1",
		"two bodies swapped": "UPDATE sealed SET body = (SELECT body FROM sealed s WHERE s.hash <> sealed.hash ORDER BY hash LIMIT 1) WHERE rowid_of = 1",
		"another kind":       "UPDATE sealed SET kind = 'other' WHERE rowid_of = 1",
		"another account":    "UPDATE sealed SET account = '111111111111', owner = '111111111111' WHERE rowid_of = 1",
		"another key":        "UPDATE sealed SET key = 5 WHERE rowid_of = 1",
		"an empty body":      "UPDATE sealed SET body = x'' WHERE rowid_of = 1",
	} {
		t.Run(name, func(t *testing.T) {
			dir := dataDir(t)
			ring := keys(t, dir, seal.ModeLocal)
			s := openSealed(t, dir, ring)
			for _, n := range []string{"a", "b", "c"} {
				if err := putAs(s, account, "test", n, n); err != nil {
					t.Fatal(err)
				}
			}
			if err := putAs(s, other, "test", "o", "o"); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			execute(t, dir, strings.ReplaceAll(statement, "rowid_of = 1", "account = '000000000000' AND hash = (SELECT min(hash) FROM sealed WHERE account = '000000000000')"))
			o := Options{Keys: ring, System: system}
			if damage, _, err := Check(ctx, dir, o, nil); err != nil || len(damage) == 0 {
				t.Errorf("Check: %q, %v", damage, err)
			}
			s = openSealed(t, dir, ring)
			defer s.Close()
			list := func(a trace.Account) (names []string) {
				err := s.View(ctx, a, func(tx meta.Tx) error {
					return tx.List("test", func(name string, _ json.RawMessage) error { names = append(names, name); return nil })
				})
				if err != nil && !strings.Contains(err.Error(), "key 5") {
					t.Error(err)
				}
				return names
			}
			if names := list(account); name != "another key" && len(names) != 2 {
				t.Errorf("listed %v", names)
			}
			if names := list(other); len(names) > 0 && !slices.Equal(names, []string{"o"}) {
				t.Errorf("the other account lists %v", names)
			}
		})
	}
}

// A backup is sealed, and can be read with the same keys.
func TestBackup_sealed(t *testing.T) {
	dir := dataDir(t)
	ring := keys(t, dir, seal.ModeLocal)
	s := openSealed(t, dir, ring)
	defer s.Close()
	if err := putAs(s, account, "test", "plantedname", "plantedvalue"); err != nil {
		t.Fatal(err)
	}
	to := dataDir(t)
	if err := s.Backup(ctx, filepath.Join(to, FileName)); err != nil {
		t.Fatal(err)
	}
	if files := planted(t, to, "planted"); files != nil {
		t.Errorf("clear text in %v", files)
	}
	copied := openSealed(t, to, ring)
	defer copied.Close()
	if got := all(t, copied, account); got["test plantedname"] != "plantedvalue" {
		t.Errorf("got %v", got)
	}
}

// Whatever is interrupted, every record is there afterwards, once.
func TestReseal_interrupted(t *testing.T) {
	dir := dataDir(t)
	s := open(t, dir)
	want := map[string]string{}
	for i := range 450 {
		name := fmt.Sprint(i)
		want["test "+name] = name
		if err := putAs(s, account, "test", name, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for round := range 12 {
		mode := []seal.Mode{seal.ModeLocal, seal.ModeLocal, seal.ModeOff}[round%3]
		s := openSealed(t, dir, keys(t, dir, mode))
		stopped, stop := context.WithCancel(ctx)
		for range round % 4 { // some steps, then the end
			if _, err := s.resealSome(stopped, place{account, account}, false); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		if err := s.Reseal(stopped, false); err == nil {
			t.Error("it does not say that it was interrupted")
		}
		if got := all(t, s, account); !maps.Equal(got, want) {
			t.Fatalf("round %d: %d records, want %d", round, len(got), len(want))
		}
		var n int
		if err := s.read.QueryRow("SELECT (SELECT count(*) FROM sealed) + (SELECT count(*) FROM record)").Scan(&n); err != nil || n != len(want) {
			t.Errorf("round %d: %d rows, %v", round, n, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzOpenRecord(f *testing.F) {
	k := seal.NewKey(7, [seal.KeyBytes]byte{1})
	p := place{account, account}
	hash := nameHash(k, "test", "a")
	good, err := sealRecord(k, p, "test", hash, record{"a", []byte(`"x"`)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:40])
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		name, value, err := openRecord(k, p, "test", hash, body)
		if err == nil && (name != "a" || string(value) != `"x"`) {
			t.Errorf("%q, %q from %x", name, value, body)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	for _, mode := range []seal.Mode{seal.ModeOff, seal.ModeLocal} {
		b.Run(string(mode), func(b *testing.B) {
			dir := dataDir(b)
			s := openSealed(b, dir, keys(b, dir, mode))
			defer s.Close()
			if err := putAs(s, account, "test", "a", strings.Repeat("x", 300)); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				var v string
				if err := s.View(ctx, account, func(tx meta.Tx) error { _, err := tx.Get("test", "a", &v); return err }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A command that was started without the settings of the server leaves the file encrypted.
func TestSealed_staysWithoutTheSetting(t *testing.T) {
	dir := dataDir(t)
	s := openSealed(t, dir, keys(t, dir, seal.ModeLocal))
	if err := putAs(s, account, "test", "a", "plantedold"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openSealed(t, dir, keys(t, dir, seal.ModeOff))
	defer s.Close()
	for _, a := range []trace.Account{account, other} {
		for _, kind := range []meta.Kind{"test", "user"} {
			for _, name := range []string{"a", "b"} {
				if err := putAs(s, a, kind, name, "plantednew"); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if files := planted(t, dir, "planted"); files != nil {
		t.Errorf("clear text in %v", files)
	}
	if got := all(t, s, account); len(got) != 4 || got["test a"] != "plantednew" {
		t.Errorf("got %v", got)
	}
	for range 2 { // the second round moves what others sealed during the first
		if err := s.Reseal(ctx, false); err != nil {
			t.Fatal(err)
		}
	}
	if got := all(t, s, other); len(got) != 4 || len(s.used[place{other, other}]) > 0 {
		t.Errorf("after Reseal: %v, sealed under %v", got, s.used)
	}
	if len(planted(t, dir, "plantednew")) == 0 {
		t.Error("Reseal has not made the records clear")
	}
}
