package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

func onMem(m *vfs.Mem, f *fake) Options {
	return Options{FS: m, Dir: "d/data", Mode: ModeLocal, KMS: f}
}

func mem(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	if err := m.MkdirAll("d/data"); err != nil {
		t.Fatal(err)
	}
	return m
}

// handedOut remembers keys that callers got, and so may have used.
type handedOut map[trace.Account]map[uint32]*Key

func (h handedOut) newest(ctx context.Context, r *Ring, account trace.Account) error {
	k, err := r.Newest(ctx, account)
	if err != nil {
		return err
	}
	if h[account] == nil {
		h[account] = map[uint32]*Key{}
	}
	if old := h[account][k.ID()]; old != nil && old.secret != k.secret {
		return fmt.Errorf("number %d of account %s has two keys", k.ID(), account)
	}
	h[account][k.ID()] = k
	return nil
}

// life changes the keys of two accounts in every way, until the machine stops.
func life(ctx context.Context, r *Ring, h handedOut) error {
	steps := []func() error{
		func() error { return h.newest(ctx, r, alice) },
		func() error { return h.newest(ctx, r, bob) },
		func() error { return r.Rotate(ctx, alice) },
		func() error { return r.Configure(ctx, alice, Config{TypeKMS, keyA}) },
		func() error { r.Maintain(ctx); return nil },
		func() error { return h.newest(ctx, r, alice) },
		func() error { return r.RotateKeyFile() },
		func() error { r.Maintain(ctx); return nil },
		func() error { return h.newest(ctx, r, bob) },
		func() error { return r.Configure(ctx, alice, Config{TypeKMS, keyB}) },
		func() error { r.Maintain(ctx); return nil },
		func() error { return h.newest(ctx, r, alice) },
		func() error { return r.Rewrap(ctx, alice) },
		func() error { return r.Configure(ctx, alice, Config{Type: TypeNone}) },
		func() error { r.Maintain(ctx); return nil },
		func() error { return h.newest(ctx, r, alice) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// verify fails if a key that was handed out is not the same after a restart.
func (h handedOut) verify(t *testing.T, r *Ring) {
	t.Helper()
	for account, keys := range h {
		for id, k := range keys {
			if got, err := r.Find(t.Context(), account, id); err != nil || got.secret != k.secret {
				t.Fatalf("%v of account %s: %v, %v", k, account, got, err)
			}
		}
	}
}

// The machine stops at every operation on the disk: no key that was handed out is lost, the
// life goes on, and a switch that was begun is completed.
func TestRing_crashAtEveryOperation(t *testing.T) {
	whole := mem(t)
	if err := life(t.Context(), open(t, onMem(whole, newFake())), handedOut{}); err != nil {
		t.Fatal(err)
	}
	operations := whole.Ops()
	if operations < 100 {
		t.Fatalf("a life has only %d operations", operations)
	}
	for n := mem(t).Ops(); n < operations; n++ {
		crashed := false
		rnd := rand.New(rand.NewPCG(uint64(n), 16))
		m, f, h := mem(t), newFake(), handedOut{}
		m.Before(func(op vfs.Op) error {
			if op.N == n {
				crashed = true
				return vfs.ErrCrashed
			}
			return nil
		})
		r := open(t, onMem(m, f))
		_ = life(t.Context(), r, h) // it ends somewhere
		if !crashed {
			t.Fatalf("the machine did not stop at operation %d", n)
		}
		r.background.Wait()
		m = m.Crash(rnd)
		r = open(t, onMem(m, f))
		h.verify(t, r)
		r.Maintain(t.Context())
		for _, account := range []trace.Account{alice, bob} {
			if a, _ := r.Account(account); a.Status != StatusActive || a.Problem != "" || a.Pending != "" {
				t.Fatalf("operation %d: %+v", n, a)
			}
		}
		h.verify(t, r)
		if err := life(t.Context(), r, h); err != nil {
			t.Fatalf("operation %d: life does not go on: %v", n, err)
		}
		h.verify(t, open(t, onMem(m, f)))
	}
}

// The disk fails at one operation, but the machine runs on: the error says so, the keys in
// use stay, and the next attempt succeeds.
func TestRing_diskFaults(t *testing.T) {
	broken := errors.New("input/output error")
	for n := range 120 {
		m, f, h := mem(t), newFake(), handedOut{}
		failed := false
		m.Before(func(op vfs.Op) error {
			if op.N == n {
				failed = true
				return broken
			}
			return nil
		})
		r := open(t, onMem(m, f))
		err := life(t.Context(), r, h)
		if failed && err != nil && (trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), "input/output error")) {
			t.Fatalf("operation %d: %v", n, err)
		}
		h.verify(t, r)
		r.background.Wait()
		f.set(func() {})
		for _, a := range r.list() { // as if the pause after the failure was over
			clear(a.failures)
		}
		if err := life(t.Context(), r, h); err != nil {
			t.Fatalf("operation %d: the next attempt: %v", n, err)
		}
		h.verify(t, open(t, onMem(m, f)))
	}
}

// A damaged copy is repaired from the other one, whatever the damage. If both are damaged,
// only that account is unreadable, and nothing hides that.
func TestRing_damagedFiles(t *testing.T) {
	m, f := mem(t), newFake()
	r := open(t, onMem(m, f))
	key, other := newest(t, r, alice), newest(t, r, bob)
	name := "d/data/keys/" + string(alice)
	good, foreign := file(t, m, name), file(t, m, "d/data/keys/"+string(bob))
	damages := map[string]func([]byte) []byte{
		"empty":   func([]byte) []byte { return nil },
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"zeros":   func(b []byte) []byte { return make([]byte, len(b)) },
		"foreign": func([]byte) []byte { return foreign },
		"more":    func(b []byte) []byte { return append(b, "more"...) },
	}
	for at := 0; at < len(good); at += 7 {
		damages[fmt.Sprintf("bit of byte %d", at)] = func(b []byte) []byte { b[at] ^= 1 << (at % 8); return b }
	}
	for what, change := range damages {
		for _, path := range []string{name, name + ".copy"} {
			if err := m.Damage(path, func([]byte) []byte { return change(bytes.Clone(good)) }); err != nil {
				t.Fatal(err)
			}
			o := onMem(m, f)
			o.ReadOnly = true
			r := open(t, o)
			if d := r.Damage(); len(d) != 1 || !strings.Contains(d[0], string(alice)) {
				t.Errorf("%s of %s, read only: %q", what, path, d)
			}
			if got, err := r.Find(t.Context(), alice, key.ID()); err != nil || got.secret != key.secret || bytes.Equal(file(t, m, path), good) {
				t.Errorf("%s of %s, read only: %v", what, path, err)
			}
			if got, err := open(t, onMem(m, f)).Find(t.Context(), alice, key.ID()); err != nil || got.secret != key.secret {
				t.Errorf("%s of %s: %v", what, path, err)
			}
			if !bytes.Equal(file(t, m, path), good) {
				t.Errorf("%s of %s was not repaired", what, path)
			}
		}
	}
	for _, path := range []string{name, name + ".copy"} {
		if err := m.Damage(path, func(b []byte) []byte { return b[:20] }); err != nil {
			t.Fatal(err)
		}
	}
	r = open(t, onMem(m, f))
	for what, f := range map[string]func() error{
		"Find":      func() error { _, err := r.Find(t.Context(), alice, key.ID()); return err },
		"Newest":    func() error { _, err := r.Newest(t.Context(), alice); return err },
		"Rotate":    func() error { return r.Rotate(t.Context(), alice) },
		"Configure": func() error { return r.Configure(t.Context(), alice, Config{Type: TypeNone}) },
		"Forget":    func() error { return r.Forget(alice) },
		"Backup":    func() error { return r.Backup(func(string, int64, io.Reader) error { return nil }) },
	} {
		if err := f(); trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), string(alice)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if k := newest(t, r, bob); k.secret != other.secret {
		t.Error("the other account has another key")
	}
	if d := r.Damage(); len(d) != 1 || !strings.Contains(d[0], name) {
		t.Errorf("damage: %q", d)
	}
}

func file(t testing.TB, m *vfs.Mem, name string) []byte {
	t.Helper()
	f, err := m.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxRing))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A ring that was lost as a whole begins anew with other numbers: the error for old data
// says that the key is lost, not that the data is damaged.
func TestRing_lostRing(t *testing.T) {
	o, c := local(t), newClock()
	o.Now = c.now
	key := newest(t, open(t, o), alice)
	c.pass(24 * 3600e9)
	m := o
	m.Dir, m.KeyFile = local(t).Dir, o.Dir+".key"
	r := open(t, m)
	if k := newest(t, r, alice); k.ID() == key.ID() {
		t.Errorf("%v has a number that was used", k)
	}
	if _, err := r.Find(t.Context(), alice, key.ID()); trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), fmt.Sprint(key.ID())) {
		t.Errorf("%v", err)
	}
}

// Forgotten keys are on no disk and in no memory, and their numbers are not used again.
func TestForget(t *testing.T) {
	o := local(t)
	r := open(t, o)
	key, other := newest(t, r, alice), newest(t, r, bob)
	wrapped := r.owners[alice].state.Load().Keys[0].Wrapped
	if err := r.Forget(alice); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*Ring{r, open(t, o)} {
		_, err := r.Find(t.Context(), alice, key.ID())
		if !errors.Is(err, ErrDestroyed) || trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), string(alice)) {
			t.Errorf("%v", err)
		}
		if k := newest(t, r, bob); k.secret != other.secret {
			t.Error("the other account has another key")
		}
	}
	for _, suffix := range []string{"", ".copy"} {
		if b, err := readRaw(o.Dir + "/keys/" + string(alice) + suffix); err != nil || bytes.Contains(b, []byte(b64(wrapped))) {
			t.Errorf("the wrapped key is still on the disk, %v", err)
		}
	}
	if k := newest(t, r, alice); k.ID() <= key.ID() {
		t.Errorf("%v follows %v", k, key)
	}
	if err := r.Forget("333333333333"); trace.KindOf(err) != trace.KindConflict {
		t.Errorf("without keys: %v", err)
	}
}
