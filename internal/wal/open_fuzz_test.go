package wal_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/wal"
)

// acknowledged are the entries of filled by LSN.
func acknowledged() map[uint64]string {
	all := map[uint64]string{}
	for n := range 9 {
		all[uint64(2*n+1)], all[uint64(2*n+2)] = strings.Repeat("x", n), string(rune(n))
	}
	return all
}

// A file with arbitrary bytes beside good ones: Open never panics, returns only
// entries that were appended, and names the damage if one of them is missing. The
// log then takes new entries, which the next Open finds.
func FuzzOpen(f *testing.F) {
	for number := range uint64(3) {
		fs, _ := filled(f)
		for _, name := range []string{wal.Name(number + 1), strings.TrimSuffix(wal.Name(number+1), ".wal") + ".synced"} {
			if err := fs.Damage(filepath.Join("wal", name), func(b []byte) []byte {
				f.Add(name, b)
				f.Add(name, b[:len(b)-1])                                   // torn
				f.Add(name, b[:len(b)/2])                                   // lost
				f.Add(name, b[:max(0, bytes.LastIndex(b, []byte("FLWR")))]) // ends well, but early
				f.Add(name, slices.Concat(b, b[min(96, len(b)):]))          // the same frames twice
				return b
			}); err != nil {
				f.Fatal(err)
			}
		}
	}
	f.Add(wal.Name(2), []byte{})
	f.Add(wal.Name(9), []byte("FLUOWAL\n"))
	f.Add("other", []byte("FLWR"))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		fs, mark := filled(t)
		file, err := fs.Create(filepath.Join("wal", filepath.Base(name)))
		if err != nil {
			return
		}
		if _, err := file.Write(content); err != nil {
			t.Fatal(err)
		}
		want, found := acknowledged(), map[uint64]bool{}
		check := func(e wal.Entry) error {
			if data, ok := want[e.LSN]; !ok || data != string(e.Data) {
				return fmt.Errorf("entry %d is %q, which nobody appended", e.LSN, e.Data)
			}
			found[e.LSN] = true
			return nil
		}
		o := wal.Options{FS: fs, Dir: "wal", FileBytes: 1 << 20, Known: mark}
		l, state, err := wal.Open(o, check)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) < len(want) && len(state.Damage) == 0 {
			t.Fatalf("%d of %d entries are there and no damage is named (torn %d)", len(found), len(want), state.Torn)
		}
		lsn, _, err := l.Append([][]byte{[]byte("new")})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := want[lsn]; ok {
			t.Fatalf("the new entry gets the number %d again", lsn)
		}
		want[lsn] = "new"
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := wal.Open(o, check); err != nil || !found[lsn] {
			t.Fatalf("open again: %v, entry %d is there: %v", err, lsn, found[lsn])
		}
	})
}
