package vfs_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

func keyOf(id uint32) *seal.Key { return seal.NewKey(id, sha256.Sum256([]byte{byte(id)})) }

func find(account string, id uint32) (vfs.SealKey, error) {
	if account != "111111111111" || id > 9 {
		return nil, errors.New("no such key")
	}
	return keyOf(id), nil
}

func memory(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	if err := m.MkdirAll("d/blocks"); err != nil {
		t.Fatal(err)
	}
	return m
}

func sealedFS(m *vfs.Mem, key uint32) vfs.Sealed {
	return vfs.Sealed{FS: m, Root: "d", Find: find, Account: "111111111111", Key: keyOf(key)}
}

func write(t testing.TB, fsys vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fsys.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 { // in parts of odd lengths
		n := min(len(b), 777)
		if _, err := f.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func readAll(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size+1)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i / 3)
	}
	return b
}

// raw returns the bytes on the disk.
func raw(t testing.TB, m *vfs.Mem, name string) []byte {
	t.Helper()
	b, err := readAll(m, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSealed_readsWhatWasWritten(t *testing.T) {
	const chunk = 16 << 10
	for _, n := range []int{0, 1, 15, 16, chunk - 1, chunk, chunk + 1, 2 * chunk, 3*chunk - 1, 40*chunk + 5} {
		m := memory(t)
		s, want := sealedFS(m, 1), pattern(n)
		write(t, s, "d/blocks/1.blk.tmp", want)
		if err := m.Rename("d/blocks/1.blk.tmp", "d/blocks/1.blk"); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(s, "d/blocks/1.blk")
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: %d come back, %v", n, len(got), err)
		}
		if n > 100 && bytes.Contains(raw(t, m, "d/blocks/1.blk"), want[40:90]) {
			t.Fatalf("%d bytes: the disk has clear text", n)
		}
		f, err := s.Open("d/blocks/1.blk")
		if err != nil {
			t.Fatal(err)
		}
		rnd := rand.New(rand.NewPCG(1, uint64(n)))
		for range 200 {
			at, size := rnd.IntN(n+1), rnd.IntN(3*chunk)
			p := make([]byte, size)
			k, err := f.ReadAt(p, int64(at))
			end := min(n, at+size)
			if k != end-at || !bytes.Equal(p[:k], want[at:end]) || (err != nil) != (k < size) {
				t.Fatalf("%d bytes: read %d at %d: got %d, %v", n, size, at, k, err)
			}
		}
	}
}

// Whatever somebody does to the bytes of a sealed file, a reader notices it.
func TestSealed_noticesEveryChange(t *testing.T) {
	const chunk, full, head = 16 << 10, 16<<10 + 16, 128
	m := memory(t)
	s := sealedFS(m, 1)
	write(t, s, "d/a", pattern(3*chunk+100))
	write(t, s, "d/b", pattern(3*chunk+100))
	a, b := raw(t, m, "d/a"), raw(t, m, "d/b")
	part := func(x []byte, i int) []byte { return x[head+i*full : min(len(x), head+(i+1)*full)] }
	swapped := slices.Concat(a[:head], part(a, 1), part(a, 0), part(a, 2), part(a, 3))
	changes := map[string][]byte{
		"cut at a chunk":            a[:head+3*full],
		"cut within a chunk":        a[:head+2*full+7],
		"cut to the header":         a[:head],
		"a chunk left out":          slices.Concat(a[:head+full], a[head+2*full:]),
		"two chunks swapped":        swapped,
		"a chunk twice":             slices.Concat(a[:head+full], part(a, 0), a[head+2*full:]),
		"a chunk of another file":   slices.Concat(a[:head+full], part(b, 1), a[head+2*full:]),
		"the last chunk twice":      slices.Concat(a, part(a, 3)),
		"the whole of another file": b,
		"more at the end":           slices.Concat(a, []byte("x")),
	}
	for at := 0; at < len(a); at += 1 + at/9 {
		flipped := slices.Clone(a)
		flipped[at] ^= 1 << (at % 8)
		changes[fmt.Sprintf("bit of byte %d flipped", at)] = flipped
	}
	for name, bytesOf := range changes {
		if err := m.Damage("d/a", func([]byte) []byte { return slices.Clone(bytesOf) }); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(s, "d/a")
		if !vfs.IsSealed(bytesOf) {
			continue // the header says that it is no sealed file: who expects one, checks that
		}
		if err == nil {
			t.Errorf("%s: %d bytes are read without an error", name, len(got))
		} else if _, damage := errors.AsType[*vfs.CorruptError](err); !damage {
			t.Errorf("%s: %v is no damage", name, err)
		}
	}
}

func TestSealed_anAbsentKeyIsNoDamage(t *testing.T) {
	m := memory(t)
	write(t, sealedFS(m, 1), "d/a", pattern(50))
	s := sealedFS(m, 1)
	s.Find = func(string, uint32) (vfs.SealKey, error) { return nil, errors.New("disabled") }
	_, err := s.Open("d/a")
	k, absent := errors.AsType[*vfs.KeyError](err)
	if _, damage := errors.AsType[*vfs.CorruptError](err); !absent || damage || k.Account != "111111111111" || k.Key != 1 {
		t.Fatalf("%v", err)
	}
	s.Find = func(string, uint32) (vfs.SealKey, error) { return keyOf(2), nil } // another key
	if _, err := readAll(s, "d/a"); err == nil {
		t.Error("another key opens the file")
	}
}

func TestSealed_opensClearFilesAndMakesSomeClear(t *testing.T) {
	m := memory(t)
	s := sealedFS(m, 1)
	write(t, m, "d/clear", pattern(50))
	s.Clear = func(name string) bool { return name == "d/table" }
	write(t, s, "d/table", pattern(50))
	for _, name := range []string{"d/clear", "d/table"} {
		if b, err := readAll(s, name); err != nil || !bytes.Equal(b, pattern(50)) || !bytes.Equal(raw(t, m, name), pattern(50)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if h, err := vfs.ReadSealHeader(m, "d/clear"); h != nil || err != nil {
		t.Errorf("%v, %v", h, err)
	}
}

func TestSealBytes(t *testing.T) {
	for _, n := range []int{0, 1, 100_000} {
		b, err := vfs.SealBytes("manifest", vfs.SealHeader{Account: "111111111111", Generation: 7}, keyOf(3), pattern(n))
		if err != nil {
			t.Fatal(err)
		}
		got, h, err := vfs.OpenBytes(b, "d/manifest", "manifest", find)
		if err != nil || !bytes.Equal(got, pattern(n)) || h.Generation != 7 || h.Key != 3 {
			t.Fatalf("%d bytes: %v, %v", n, h, err)
		}
		if _, _, err := vfs.OpenBytes(b, "d/deleted", "deleted", find); err == nil {
			t.Errorf("%d bytes: under another name it is accepted", n)
		}
		b[len(b)-1] ^= 1
		if _, _, err := vfs.OpenBytes(b, "d/manifest", "manifest", find); err == nil {
			t.Errorf("%d bytes: a flipped bit is accepted", n)
		}
	}
}

// A file that could not be written to its end is not used, and says so.
func TestSealed_keepsTheErrorOfAWrite(t *testing.T) {
	m := memory(t)
	f, err := sealedFS(m, 1).Create("d/a")
	if err != nil {
		t.Fatal(err)
	}
	m.Before(func(op vfs.Op) error {
		if op.Kind == "write" {
			return errors.New("full")
		}
		return nil
	})
	_, err = f.Write(pattern(100_000))
	m.Before(nil)
	if err == nil || f.Sync() == nil {
		t.Errorf("the write fails with %v, Sync does not", err)
	}
}

func FuzzOpenBytes(f *testing.F) {
	good, err := vfs.SealBytes("x", vfs.SealHeader{Account: "111111111111"}, keyOf(1), pattern(100))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:140])
	f.Add([]byte("FLUOSEAL"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _, err := vfs.OpenBytes(b, "x", "x", find)
		if err == nil && !bytes.Equal(got, pattern(100)) {
			t.Fatalf("%d forged bytes are accepted", len(got))
		}
	})
}

func BenchmarkSealed(b *testing.B) {
	m := memory(b)
	s := sealedFS(m, 1)
	want := pattern(4 << 20)
	write(b, s, "d/a", want)
	f, err := s.Open("d/a")
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("read=%dK", size>>10), func(b *testing.B) {
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			at := 0
			for b.Loop() {
				at = (at + 131071) % (len(want) - size)
				if _, err := f.ReadAt(p, int64(at)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("write", func(b *testing.B) {
		b.SetBytes(1 << 20)
		for b.Loop() {
			if _, err := vfs.SealBytes("d/a", vfs.SealHeader{Account: "111111111111"}, keyOf(1), want[:1<<20]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
