package seal

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// clock is a time that a test moves.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }

// withKMS returns a ring in mode local whose accounts can choose keys of a fake KMS.
func withKMS(t testing.TB) (*Ring, *fake, *clock, Options) {
	t.Helper()
	o, f, c := local(t), newFake(), newClock()
	o.KMS, o.Now, o.KeyAge = f, c.now, 1000*time.Hour
	return open(t, o), f, c, o
}

// choose switches an account and waits until that is complete.
func choose(t testing.TB, r *Ring, account trace.Account, to Config) {
	t.Helper()
	if err := r.Configure(t.Context(), account, to); err != nil {
		t.Fatal(err)
	}
	if a, err := r.Account(account); err != nil || a.Status != StatusUpdating || a.Type != to.Type || a.KeyID != to.KeyID {
		t.Errorf("while it is switched: %+v, %v", a, err)
	}
	r.Maintain(t.Context())
	if a, err := r.Account(account); err != nil || a.Status != StatusActive || a.Type != to.Type {
		t.Errorf("after it was switched: %+v, %v", a, err)
	}
}

// A key that was disabled is used for the time of the cache at most. Others notice nothing,
// and when it is enabled again, everything works.
func TestRing_disabledKey(t *testing.T) {
	r, f, c, _ := withKMS(t)
	choose(t, r, alice, Config{TypeKMS, "alias/a"})
	choose(t, r, bob, Config{TypeKMS, "alias/b"})
	key, other := newest(t, r, alice), newest(t, r, bob)
	f.set(func() { f.disabled[keyA] = true })
	c.pass(DefaultCacheTime - time.Second)
	if k, err := r.Newest(t.Context(), alice); err != nil || k != key {
		t.Errorf("within the time of the cache: %v, %v", k, err)
	}
	r.background.Wait() // the key is checked before its time is over
	c.pass(2 * time.Second)
	for _, f := range []func() (*Key, error){
		func() (*Key, error) { return r.Newest(t.Context(), alice) },
		func() (*Key, error) { return r.Find(t.Context(), alice, key.ID()) },
	} {
		_, err := f()
		if trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), string(alice)) || !strings.Contains(err.Error(), keyA+" is disabled") {
			t.Errorf("after that: %v", err)
		}
	}
	if k := newest(t, r, bob); k.secret != other.secret {
		t.Error("the other account has another key")
	}
	if p := r.Problems(); len(p) != 1 || !strings.Contains(p[0], string(alice)) || !strings.Contains(p[0], keyA) {
		t.Errorf("problems: %q", p)
	}
	f.set(func() { f.disabled[keyA] = false })
	c.pass(longestPause)
	if k := newest(t, r, alice); k.secret != key.secret {
		t.Error("another key")
	}
	if p := r.Problems(); len(p) != 0 {
		t.Errorf("problems: %q", p)
	}
}

// No key stays in memory when its time is over.
func TestRing_sweepsTheCache(t *testing.T) {
	r, _, c, _ := withKMS(t)
	newest(t, r, alice)
	c.pass(DefaultCacheTime)
	r.sweep()
	a := r.owners[alice]
	if len(a.cache) != 0 || a.current.Load() != nil {
		t.Errorf("%d keys are in memory", len(a.cache))
	}
}

// A key is checked in the background while it may still be used: no request waits.
func TestRing_checksKeysEarly(t *testing.T) {
	r, f, c, _ := withKMS(t)
	choose(t, r, alice, Config{TypeKMS, keyA})
	key := newest(t, r, alice)
	before := f.count("Decrypt")
	f.set(func() { f.delay = 50 * time.Millisecond })
	for range 5 {
		c.pass(DefaultCacheTime * 2 / 3)
		began := time.Now()
		for range 100 {
			if k := newest(t, r, alice); k != key {
				t.Fatal("another key")
			}
		}
		if d := time.Since(began); d > 40*time.Millisecond {
			t.Errorf("a request waited %v", d)
		}
		r.background.Wait()
	}
	if n := f.count("Decrypt") - before; n != 5 {
		t.Errorf("the KMS was asked %d times, want 5", n)
	}
}

// Many requests for many keys of an account do not flood a KMS that does not answer, and
// do not wait for it one after the other.
func TestRing_outage(t *testing.T) {
	r, f, c, o := withKMS(t)
	choose(t, r, alice, Config{TypeKMS, keyA})
	var ids []uint32
	for range 40 {
		if err := r.Rotate(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, newest(t, r, alice).ID())
	}
	r = open(t, o)
	f.set(func() { f.down, f.delay, f.calls = true, 20*time.Millisecond, map[string]int{} })
	ask := func() {
		var all sync.WaitGroup
		for _, id := range slices.Concat(ids, ids, ids) {
			all.Go(func() {
				if _, err := r.Find(context.Background(), alice, id); trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), "connection refused") {
					t.Errorf("%v", err)
				}
			})
		}
		all.Wait()
	}
	ask()
	if n := f.count("Decrypt"); n == 0 || n > callsAtOnce {
		t.Errorf("120 requests made %d calls", n)
	}
	before := f.count("Decrypt")
	ask()
	if n := f.count("Decrypt") - before; n > 0 {
		t.Errorf("a moment after the failure, there were %d calls", n)
	}
	for range 30 { // the pauses grow
		c.pass(longestPause / 2)
		_, _ = r.Find(context.Background(), alice, ids[0])
	}
	if n := f.count("Decrypt") - before; n < 10 || n > 20 {
		t.Errorf("in %v there were %d calls", 15*longestPause, n)
	}
	if _, err := r.Newest(t.Context(), bob); err != nil {
		t.Errorf("of another account: %v", err)
	}
	f.set(func() { f.down = false })
	c.pass(longestPause)
	for _, id := range ids {
		if _, err := r.Find(t.Context(), alice, id); err != nil {
			t.Fatal(err)
		}
	}
}

// A request that gives up does not spoil the others that wait for the same key.
func TestRing_cancelledRequest(t *testing.T) {
	r, f, _, o := withKMS(t)
	choose(t, r, alice, Config{TypeKMS, keyA})
	id := newest(t, r, alice).ID()
	r = open(t, o)
	f.set(func() { f.delay = 100 * time.Millisecond })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := r.Find(ctx, alice, id); err == nil || time.Until(time.Now()) > 0 {
		t.Error("it did not give up")
	}
	if _, err := r.Find(t.Context(), alice, id); err != nil {
		t.Error(err)
	}
	if n := f.count("Decrypt"); n != 2 { // one of them when the key was configured
		t.Errorf("%d calls", n)
	}
}

// From the key file to a key of the KMS, to another one, and back: every data key that was
// ever handed out stays the same.
func TestRing_switches(t *testing.T) {
	r, f, _, o := withKMS(t)
	handed := map[uint32]*Key{}
	check := func(r *Ring, wrapper string) {
		t.Helper()
		k := newest(t, r, alice)
		handed[k.ID()] = k
		for id, k := range handed {
			if got, err := r.Find(t.Context(), alice, id); err != nil || got.secret != k.secret {
				t.Errorf("%v: %v, %v", k, got, err)
			}
		}
		a, err := r.Account(alice)
		if err != nil || len(a.Wrappers) != 1 || a.Wrappers[wrapper] != len(handed) || a.Pending != "" {
			t.Errorf("wrapped by %v, want all by %s; pending %q, %v", a.Wrappers, wrapper, a.Pending, err)
		}
	}
	file, err := r.local.newest(true, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	check(r, file.id)
	choose(t, r, alice, Config{TypeKMS, "alias/a"})
	check(r, keyA)
	choose(t, r, alice, Config{TypeKMS, "alias/b"})
	check(r, keyB)
	if f.count("ReEncrypt") != 4 || len(handed) != 3 {
		t.Errorf("%d calls of ReEncrypt, %d keys", f.count("ReEncrypt"), len(handed))
	}
	choose(t, r, alice, Config{TypeKMS, keyB}) // the same again needs no new data key
	check(r, keyB)
	check(open(t, o), keyB)
	choose(t, r, alice, Config{Type: TypeNone})
	check(r, file.id)
	check(open(t, o), file.id)
	if len(handed) != 4 {
		t.Errorf("%d keys were made", len(handed))
	}
	for _, with := range f.contexts {
		if with != nil && !maps.Equal(with, map[string]string{"fluoro:account": string(alice)}) {
			t.Errorf("encryption context %v", with)
		}
	}
	if err := r.RotateKeyFile(); err != nil {
		t.Fatal(err)
	}
	r.Maintain(t.Context())
	second, err := r.local.newest(false, time.Now())
	if err != nil || second.id == file.id {
		t.Fatal(err)
	}
	newest(t, r, alice)
	check(r, second.id)
	check(open(t, o), second.id)
}

// An account leaves a key that is disabled: new data works at once, old data when the key
// is enabled again.
func TestRing_leavesADisabledKey(t *testing.T) {
	r, f, c, _ := withKMS(t)
	choose(t, r, alice, Config{TypeKMS, keyA})
	old := newest(t, r, alice)
	f.set(func() { f.disabled[keyA] = true })
	c.pass(DefaultCacheTime)
	choose(t, r, alice, Config{TypeKMS, keyB})
	if k := newest(t, r, alice); k.ID() <= old.ID() {
		t.Errorf("%v follows %v", k, old)
	}
	if _, err := r.Find(t.Context(), alice, old.ID()); trace.KindOf(err) != trace.KindUnavailable {
		t.Errorf("the old key: %v", err)
	}
	if a, _ := r.Account(alice); !strings.Contains(a.Pending, keyA) {
		t.Errorf("pending: %q", a.Pending)
	}
	f.set(func() { f.disabled[keyA] = false })
	c.pass(longestPause)
	r.Maintain(t.Context())
	if a, _ := r.Account(alice); a.Pending != "" || a.Wrappers[keyB] != 2 {
		t.Errorf("%+v", a)
	}
	if k, err := r.Find(t.Context(), alice, old.ID()); err != nil || k.secret != old.secret {
		t.Errorf("%v, %v", k, err)
	}
}

// During an outage a switch neither completes nor is lost.
func TestRing_switchDuringAnOutage(t *testing.T) {
	r, f, c, o := withKMS(t)
	old := newest(t, r, alice)
	if err := r.Configure(t.Context(), alice, Config{TypeKMS, keyA}); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.down = true })
	r.Maintain(t.Context())
	if a, _ := r.Account(alice); a.Status != StatusUpdating || a.Pending == "" {
		t.Errorf("%+v", a)
	}
	if k := newest(t, r, alice); k != old {
		t.Errorf("meanwhile: %v", k)
	}
	r = open(t, o)
	f.set(func() { f.down = false })
	c.pass(longestPause)
	r.Maintain(t.Context())
	if a, _ := r.Account(alice); a.Status != StatusActive || a.Wrappers[keyA] != 2 {
		t.Errorf("%+v", a)
	}
}

func TestConfigure_refusesKeys(t *testing.T) {
	r, f, _, o := withKMS(t)
	for name, c := range map[string]struct {
		spoil func()
		kind  trace.Kind
		want  string
	}{
		"disabled": {func() { f.disabled[keyA] = true }, trace.KindInvalid, "KeyId alias/a cannot be used: DisabledException"},
		"unknown":  {func() { f.unknown = true }, trace.KindInvalid, "KeyId alias/a cannot be used: NotFoundException"},
		"outage":   {func() { f.down = true }, trace.KindThrottled, "try again later"},
	} {
		f.set(c.spoil)
		if err := r.Configure(t.Context(), alice, Config{TypeKMS, "alias/a"}); trace.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		f.set(func() { f.disabled[keyA], f.unknown, f.down = false, false, false })
	}
	if a, _ := r.Account(alice); a.Type != TypeNone || a.Status != StatusActive {
		t.Errorf("a refused key changed the account: %+v", a)
	}
	o.KMS = nil
	if err := open(t, o).Configure(t.Context(), alice, Config{TypeKMS, "alias/a"}); trace.KindOf(err) != trace.KindInvalid || !strings.Contains(err.Error(), "--kms-endpoint") {
		t.Errorf("without a KMS: %v", err)
	}
}

// In mode kms, accounts without a choice use the key of the server.
func TestRing_modeKMS(t *testing.T) {
	o, f := local(t), newFake()
	o.Mode, o.KMS, o.KMSKey = ModeKMS, f, "alias/a"
	f.set(func() { f.down = true })
	c := newClock()
	o.Now = c.now
	r := open(t, o)
	if _, err := r.Newest(t.Context(), alice); trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), "alias/a") {
		t.Errorf("during an outage: %v", err)
	}
	f.set(func() { f.down = false })
	c.pass(time.Second)
	k := newest(t, r, alice)
	if a, _ := r.Account(alice); a.Wrappers[keyA] != 1 || a.Problem != "" {
		t.Errorf("%+v", a)
	}
	// Later the server uses the key file: keys move to it.
	o.Mode = ModeLocal
	r = open(t, o)
	r.Maintain(t.Context())
	if a, _ := r.Account(alice); a.Wrappers[keyA] != 0 || a.Keys != 2 {
		t.Errorf("%+v", a)
	}
	f.set(func() { f.down = true })
	if got, err := open(t, o).Find(t.Context(), alice, k.ID()); err != nil || got.secret != k.secret {
		t.Errorf("without the KMS: %v, %v", got, err)
	}
}

// With encryption off, an account that chose a key of the KMS is encrypted, the others are
// not.
func TestRing_offWithKMS(t *testing.T) {
	o := local(t)
	o.Mode, o.KMS = ModeOff, newFake()
	r := open(t, o)
	choose(t, r, alice, Config{TypeKMS, keyA})
	k := newest(t, r, alice)
	if k == nil {
		t.Fatal("no key")
	}
	if k := newest(t, r, bob); k != nil {
		t.Error("another account is encrypted")
	}
	choose(t, r, alice, Config{Type: TypeNone})
	if k := newest(t, r, alice); k != nil {
		t.Error("it is still encrypted")
	}
	if got, err := r.Find(t.Context(), alice, k.ID()); err != nil || got.secret != k.secret {
		t.Errorf("the old key: %v, %v", got, err)
	}
}

// Until the ring is closed, keys are found, also after Run has ended: a store encrypts its
// last data when it is closed.
func TestRing_servesUntilItIsClosed(t *testing.T) {
	r, f, c, _ := withKMS(t)
	choose(t, r, alice, Config{TypeKMS, keyA})
	key := newest(t, r, alice)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	c.pass(DefaultCacheTime)
	r.sweep()
	for range 20 {
		if k, err := r.Find(t.Context(), alice, key.ID()); err != nil || k.secret != key.secret {
			t.Fatalf("after Run: %v", err)
		}
		c.pass(DefaultCacheTime)
	}
	f.set(func() { f.delay = time.Hour })
	c.pass(DefaultCacheTime)
	go func() { _, err := r.Find(context.Background(), alice, key.ID()); ended <- err }()
	time.Sleep(20 * time.Millisecond)
	r.Close()
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
		t.Error("a call of the KMS goes on after Close")
	}
}
