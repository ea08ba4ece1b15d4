package seal

import (
	"bytes"
	"os"
	"testing"
	"time"
)

func readRaw(name string) ([]byte, error) { return os.ReadFile(name) }

// Whatever a file of the ring holds, it is either refused or written again as it was read.
func FuzzParseState(f *testing.F) {
	s := &state{Revision: 3, Account: alice, Config: Config{TypeKMS, "alias/a"}, Target: keyA, Last: 2026112901, Keys: []wrappedKey{
		{ID: 2026112900, Created: time.Unix(1, 0).UTC(), Wrapper: keyA, Context: map[string]string{contextAccount: string(alice)}, Wrapped: []byte("wrapped"), Check: []byte("check")},
	}}
	good, err := s.encode()
	if err != nil {
		f.Fatal(err)
	}
	for _, b := range [][]byte{good, good[:len(good)/2], nil, []byte(ringHead), []byte("fluoro keys 2\n{}"), bytes.Replace(good, []byte("alias"), []byte("alibi"), 1), append(bytes.Clone(good), '\n')} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseState(b)
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseState(again); err != nil {
			t.Errorf("%v after writing %q", err, b)
		}
	})
}

// Errors about a key file never show what it holds.
func FuzzParseKeyFile(f *testing.F) {
	k, err := newLocalKey(time.Unix(1, 0))
	if err != nil {
		f.Fatal(err)
	}
	good := formatKeyFile([]localKey{k, k})
	for _, b := range [][]byte{good, good[:len(good)-5], nil, []byte("# nothing\n"), []byte("a b c"), bytes.ReplaceAll(good, []byte("local"), []byte("lokal"))} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeyFile(b)
		if err != nil {
			if secret := b64(k.key.secret[:])[:20]; bytes.Contains([]byte(err.Error()), []byte(secret)) {
				t.Errorf("the error shows a secret: %v", err)
			}
			return
		}
		again, err := parseKeyFile(formatKeyFile(keys))
		if err != nil || len(again) != len(keys) {
			t.Errorf("%d keys became %d: %v", len(keys), len(again), err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	k := NewKey(7, [KeyBytes]byte{1, 2, 3})
	good, err := k.Seal("test", []byte("place"), []byte("value"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:headBytes])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		// Only what was sealed opens; another process has sealed it with another salt.
		if value, err := k.Open("test", []byte("place"), b); err == nil && string(value) != "value" {
			t.Errorf("%q from %x", value, b)
		}
	})
}

func BenchmarkNewest(b *testing.B) {
	r := open(b, local(b))
	newest(b, r, alice)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := r.Newest(b.Context(), alice); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkFind(b *testing.B) {
	r := open(b, local(b))
	id := newest(b, r, alice).ID()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := r.Find(b.Context(), alice, id); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkNewestOff(b *testing.B) {
	o := local(b)
	o.Mode = ModeOff
	r := open(b, o)
	for b.Loop() {
		if _, err := r.Newest(b.Context(), alice); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSealRecord(b *testing.B) {
	r := open(b, local(b))
	value := make([]byte, 300)
	for b.Loop() {
		if _, err := SealRecord(b.Context(), r, alice, "bench", nil, value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenRecord(b *testing.B) {
	r := open(b, local(b))
	sealed, err := SealRecord(b.Context(), r, alice, "bench", nil, make([]byte, 300))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := OpenRecord(b.Context(), r, alice, "bench", nil, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
