package wal_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/vfs"
	"github.com/fluoro-io/fluoro/internal/wal"
)

func keyOf(account string, id uint32) *seal.Key {
	return seal.NewKey(id, sha256.Sum256(fmt.Append(nil, account, id)))
}

// without finds all keys except those of some accounts.
func without(accounts ...string) vfs.FindKey {
	return func(account string, id uint32) (vfs.SealKey, error) {
		if slices.Contains(accounts, account) {
			return nil, errors.New("disabled")
		}
		return keyOf(account, id), nil
	}
}

func sealedText(n int, account string) string {
	return strings.Repeat(fmt.Sprintf("secret %d of %s ", n, account), 1+n%3*30)
}

// sealedLog writes files 1 to 3 with entries of the accounts a and b, and clear ones.
func sealedLog(t testing.TB) (*vfs.Mem, *wal.Log) {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll("wal"); err != nil {
		t.Fatal(err)
	}
	l, _, err := wal.Open(wal.Options{FS: fs, Dir: "wal", FileBytes: 1 << 20, Find: without()}, func(wal.Entry) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for n := range 9 {
		if n%3 == 0 {
			if err := l.Rotate(); err != nil {
				t.Fatal(err)
			}
		}
		var group []wal.Payload
		for i, account := range []string{"a", "b", ""} {
			p := wal.Payload{Data: []byte(sealedText(3*n+i, account)), Account: account}
			if account != "" {
				p.Key = keyOf(account, uint32(1+n/5))
			}
			group = append(group, p)
		}
		if _, _, err := l.AppendSealed(group); err != nil {
			t.Fatal(err)
		}
	}
	return fs, l
}

// entriesOf opens a log and returns its entries and the accounts of the locked ones.
func entriesOf(t testing.TB, o wal.Options) (texts map[uint64]string, locked map[string]int, damage []error) {
	t.Helper()
	texts, locked = map[uint64]string{}, map[string]int{}
	o.Dir, o.FileBytes = "wal", 1<<20
	_, found, err := wal.Open(o, func(e wal.Entry) error {
		if e.Locked != nil {
			locked[e.Locked.Account]++
			return nil
		}
		texts[e.LSN] = string(e.Data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts, locked, found.Damage
}

func TestSealed_eachAccountNeedsItsOwnKey(t *testing.T) {
	fs, l := sealedLog(t)
	check := func(find vfs.FindKey, missing string) {
		t.Helper()
		texts, locked, damage := entriesOf(t, wal.Options{FS: fs, Find: find, Known: l.Mark()})
		if len(damage) > 0 {
			t.Fatalf("damage %v", damage)
		}
		for n := range 27 {
			account := []string{"a", "b", ""}[n%3]
			got, there := texts[uint64(n+1)]
			if there == (account != "" && strings.Contains(missing, account)) || there && got != sealedText(n, account) {
				t.Errorf("without %q: entry %d is %q", missing, n+1, got)
			}
		}
		want := map[string]int{}
		for _, account := range strings.Split(missing, "") {
			want[account] = 9
		}
		if fmt.Sprint(locked) != fmt.Sprint(want) {
			t.Errorf("without %q: locked are %v", missing, locked)
		}
	}
	check(without(), "")
	check(without("a"), "a")
	check(without("a", "b"), "ab")
	check(nil, "ab")
	uses := l.Keys()
	if len(uses) != 4 || !uses[wal.KeyUse{Account: "b", Key: 2}] {
		t.Errorf("keys in use: %v", uses)
	}
	if clear, sealed := l.Clear(); clear != 3 || sealed != 3 {
		t.Errorf("%d files with clear entries, %d with sealed ones", clear, sealed)
	}
	for n := range uint64(3) {
		b, err := readFile(fs, filepath.Join("wal", wal.Name(n+1)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte("secret")) { // the clear ones: the test can find it
			t.Error("no clear entry is found")
		}
		if bytes.Contains(b, []byte("of a ")) || bytes.Contains(b, []byte("of b ")) {
			t.Errorf("file %d has a secret", n+1)
		}
	}
}

func readFile(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	return b, err
}

// Entries that somebody changes or moves are damage, although all checksums are right.
func TestSealed_movedEntriesAreDamage(t *testing.T) {
	fs, _ := sealedLog(t)
	first, err := readFile(fs, filepath.Join("wal", wal.Name(1)))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(f *wal.FrameOf){
		"a bit":                  func(f *wal.FrameOf) { f.Payload[40] ^= 1 },
		"another LSN":            func(f *wal.FrameOf) { f.LSN += 3 },
		"another file":           func(f *wal.FrameOf) { f.Payload = wal.FirstFrame(first).Payload },
		"the salt":               func(f *wal.FrameOf) { f.Payload[0] ^= 1 },
		"the account of another": func(f *wal.FrameOf) { f.Payload = bytes.Replace(f.Payload, []byte("\x01a"), []byte("\x01b"), 1) },
	} {
		fs, l := sealedLog(t)
		if err := fs.Damage(filepath.Join("wal", wal.Name(2)), func(b []byte) []byte { return wal.Forge(b, change) }); err != nil {
			t.Fatal(err)
		}
		texts, locked, damage := entriesOf(t, wal.Options{FS: fs, Find: without(), Known: l.Mark()})
		if len(damage) == 0 || len(locked) > 0 {
			t.Errorf("%s: damage %v, locked %v", name, damage, locked)
		}
		for lsn, text := range texts {
			n := int(lsn) - 1
			if account := []string{"a", "b", ""}[n%3]; account != "" && text != sealedText(n, account) {
				t.Errorf("%s: entry %d is %q", name, lsn, text)
			}
		}
	}
}

// Held files stay when others are removed, and the gaps between them are no damage.
func TestHold(t *testing.T) {
	fs, l := sealedLog(t)
	if err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	l.Hold([]uint64{2})
	if err := l.Remove(4); err != nil {
		t.Fatal(err)
	}
	m := l.Mark()
	if l.Files() != 1 || l.Oldest() != 4 || l.OldestKept() != 2 || m.Oldest != 4 || len(m.Held) != 1 || m.Held[0].Number != 2 {
		t.Fatalf("%d files from %d, kept %d, mark %+v", l.Files(), l.Oldest(), l.OldestKept(), m)
	}
	texts, _, damage := entriesOf(t, wal.Options{FS: fs, Find: without(), Known: m})
	if len(damage) > 0 || len(texts) != 9 {
		t.Errorf("%d entries, damage %v", len(texts), damage)
	}
	read := 0
	again, err := l.Read(2, without(), func(e wal.Entry) error { read++; return nil })
	if err != nil || len(again) > 0 || read != 9 {
		t.Errorf("%d entries are read again, %v, %v", read, again, err)
	}
	if err := fs.Remove(filepath.Join("wal", wal.Name(2))); err != nil {
		t.Fatal(err)
	}
	if _, _, damage := entriesOf(t, wal.Options{FS: fs, Find: without(), Known: m}); len(damage) != 1 {
		t.Errorf("a held file is missing: %v", damage)
	}
	l.Hold(nil)
	if err := l.Remove(4); err != nil {
		t.Fatal(err)
	}
}
