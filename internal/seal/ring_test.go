package seal

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	alice trace.Account = "111111111111"
	bob   trace.Account = "222222222222"
)

// local returns the options of a server that wraps data keys with a key file.
func local(t testing.TB) Options {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	return Options{Dir: dir, Mode: ModeLocal}
}

func open(t testing.TB, o Options) *Ring {
	t.Helper()
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newest(t testing.TB, keys Keys, account trace.Account) *Key {
	t.Helper()
	k, err := keys.Newest(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A server that encrypts nothing leaves no file behind.
func TestRing_offMakesNoFile(t *testing.T) {
	o := local(t)
	o.Mode = ModeOff
	r := open(t, o)
	if k := newest(t, r, alice); k != nil {
		t.Errorf("got %v", k)
	}
	r.Maintain(t.Context())
	for _, at := range []string{o.Dir, filepath.Dir(o.Dir)} {
		list, err := os.ReadDir(at)
		if err != nil || len(list) > 1 || len(list) == 1 && list[0].Name() != "data" {
			t.Errorf("%s has %v, %v", at, list, err)
		}
	}
}

func TestRing_keysSurviveARestart(t *testing.T) {
	o := local(t)
	r := open(t, o)
	first, other := newest(t, r, alice), newest(t, r, bob)
	if first.secret == other.secret {
		t.Error("two accounts have the same key")
	}
	sealed, err := SealRecord(t.Context(), r, alice, "test", []byte("place"), []byte("a secret"))
	if err != nil {
		t.Fatal(err)
	}
	again := open(t, o)
	if k := newest(t, again, alice); k.ID() != first.ID() || k.secret != first.secret {
		t.Errorf("got %v after a restart, before %v", k, first)
	}
	if got, err := OpenRecord(t.Context(), again, alice, "test", []byte("place"), sealed); err != nil || string(got) != "a secret" {
		t.Errorf("%q, %v", got, err)
	}
	for name, f := range map[string]func() error{
		"another account": func() error {
			_, err := OpenRecord(t.Context(), again, bob, "test", []byte("place"), sealed)
			return err
		},
		"another purpose": func() error {
			_, err := OpenRecord(t.Context(), again, alice, "rest", []byte("place"), sealed)
			return err
		},
		"another place": func() error {
			_, err := OpenRecord(t.Context(), again, alice, "test", []byte("place2"), sealed)
			return err
		},
		"cut": func() error {
			_, err := OpenRecord(t.Context(), again, alice, "test", []byte("place"), sealed[:len(sealed)-1])
			return err
		},
		"empty": func() error { _, err := OpenRecord(t.Context(), again, alice, "test", nil, nil); return err },
	} {
		if err := f(); err == nil || !errors.Is(err, ErrForged) && trace.KindOf(err) != trace.KindUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	info, err := os.Stat(o.Dir + ".key")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info, err)
	}
	noPlainKeys(t, o.Dir, first, other)
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// noPlainKeys fails if a file below dir holds a data key in the clear.
func noPlainKeys(t *testing.T, dir string, keys ...*Key) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, k := range keys {
			for _, form := range []string{string(k.secret[:]), fmt.Sprintf("%x", k.secret), b64(k.secret[:])} {
				if strings.Contains(string(b), form) {
					t.Errorf("%s holds %v in the clear", path, k)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Secrets are sealed even if the server encrypts nothing, and a process can read what
// another one has sealed.
func TestSecrets(t *testing.T) {
	o := local(t)
	keys, err := Secrets(o.Dir, "")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := SealRecord(t.Context(), keys, System, "access key", []byte("AKIA1"), []byte("wJalr"))
	if err != nil || bytes.Contains(sealed, []byte("wJalr")) {
		t.Fatalf("%q, %v", sealed, err)
	}
	o.Mode = ModeOff
	server := open(t, o)
	if k := newest(t, server, System); k != nil {
		t.Errorf("records are encrypted although encryption is off")
	}
	if got, err := OpenRecord(t.Context(), server.Secrets(), System, "access key", []byte("AKIA1"), sealed); err != nil || string(got) != "wJalr" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRing_missingKeyFile(t *testing.T) {
	o := local(t)
	k := newest(t, open(t, o), alice)
	if err := os.Rename(o.Dir+".key", o.Dir+".away"); err != nil {
		t.Fatal(err)
	}
	r := open(t, o)
	for what, f := range map[string]func() error{
		"Newest":                            func() error { _, err := r.Newest(t.Context(), alice); return err },
		"Find":                              func() error { _, err := r.Find(t.Context(), alice, k.ID()); return err },
		"Newest of an account without keys": func() error { _, err := r.Newest(t.Context(), bob); return err },
	} {
		err := f()
		if trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), o.Dir+".key") || !strings.Contains(err.Error(), "account") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := os.Stat(o.Dir + ".key"); !errors.Is(err, os.ErrNotExist) {
		t.Error("a new key file hides that the old one is lost")
	}
	if p := r.Problems(); len(p) == 0 || !strings.Contains(p[0], string(alice)) {
		t.Errorf("problems: %q", p)
	}
	// Another place for it is enough.
	o.KeyFile = o.Dir + ".away"
	if got := newest(t, open(t, o), alice); got.secret != k.secret {
		t.Error("another key")
	}
}

// A data key that is old is replaced, in the background.
func TestRing_replacesOldKeys(t *testing.T) {
	o := local(t)
	now := time.Now()
	o.Now, o.KeyAge = func() time.Time { return now }, time.Hour
	r := open(t, o)
	first := newest(t, r, alice)
	now = now.Add(2 * time.Hour)
	newest(t, r, alice)
	r.background.Wait()
	second := newest(t, r, alice)
	if second.ID() <= first.ID() {
		t.Fatalf("%v follows %v", second, first)
	}
	if got, err := r.Find(context.Background(), alice, first.ID()); err != nil || got.secret != first.secret {
		t.Errorf("the old key: %v, %v", got, err)
	}
	second.Count(DefaultKeyBytes + 1)
	newest(t, r, alice)
	r.background.Wait()
	if third := newest(t, r, alice); third.ID() <= second.ID() {
		t.Errorf("%v follows %v after %d bytes", third, second, int64(DefaultKeyBytes))
	}
}

// A key file that disappears from a running server, or is replaced by another one, is
// reported, and its keys stay in memory.
func TestRing_keyFileDisappears(t *testing.T) {
	o := local(t)
	r := open(t, o)
	k := newest(t, r, alice)
	good, err := os.ReadFile(o.Dir + ".key")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := newLocalKey(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"removed":  func() error { return os.Remove(o.Dir + ".key") },
		"replaced": func() error { return os.WriteFile(o.Dir+".key", formatKeyFile([]localKey{foreign}), 0o600) },
		"emptied":  func() error { return os.WriteFile(o.Dir+".key", nil, 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		r.sweep()
		if p := r.Problems(); len(p) != 1 || !strings.Contains(p[0], o.Dir+".key") || !strings.Contains(p[0], "still in memory") {
			t.Errorf("%s: %q", name, p)
		}
		r.owners[alice].sweep(time.Now().Add(time.Hour))
		if got := newest(t, r, alice); got.secret != k.secret {
			t.Errorf("%s: another key", name)
		}
		if err := os.WriteFile(o.Dir+".key", good, 0o600); err != nil {
			t.Fatal(err)
		}
		r.sweep()
		if p := r.Problems(); len(p) != 0 {
			t.Errorf("after it was put back: %q", p)
		}
	}
}

// Two rings of one directory, which the lock of the directory should exclude, do not drop
// each other's keys.
func TestRing_twoOfOneDirectory(t *testing.T) {
	o := local(t)
	one, two := open(t, o), open(t, o)
	keys := map[uint32]*Key{}
	for i := range 10 {
		r := []*Ring{one, two}[i%2]
		if err := r.Rotate(t.Context(), alice); err != nil && !strings.Contains(err.Error(), "another process") {
			t.Fatal(err)
		}
		k := newest(t, r, alice)
		keys[k.ID()] = k
	}
	third := open(t, o)
	for id, k := range keys {
		if got, err := third.Find(t.Context(), alice, id); err != nil || got.secret != k.secret {
			t.Errorf("%v: %v, %v", k, got, err)
		}
	}
}

// The mode of the server is found again, also in a directory that no longer encrypts, and
// a server that never encrypted records nothing.
func TestRing_remembersItsMode(t *testing.T) {
	o := local(t)
	for _, c := range []struct {
		mode Mode
		want Mode
	}{{ModeOff, ModeOff}, {ModeLocal, ModeLocal}, {ModeLocal, ModeLocal}, {ModeOff, ModeOff}} {
		o.Mode = c.mode
		r := open(t, o)
		if err := r.Remember(); err != nil {
			t.Fatal(err)
		}
		if c.mode == ModeLocal {
			newest(t, r, alice) // a change of the keys keeps the record
			newest(t, r, System)
			if err := r.Rotate(t.Context(), System); err != nil {
				t.Fatal(err)
			}
		}
		if mode, key, err := Remembered(nil, o.Dir); err != nil || mode != c.want || key != "" {
			t.Errorf("%s: got %s %q, %v", c.mode, mode, key, err)
		}
	}
	fresh := local(t)
	fresh.Mode = ModeOff
	if err := open(t, fresh).Remember(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(fresh.Dir, Folder)); !os.IsNotExist(err) {
		t.Errorf("a server that never encrypted made a folder: %v", err)
	}
}
