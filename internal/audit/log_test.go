package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

var owner = trace.Owner{Account: "000000000000", Region: "us-east-1"}

// signer is made once: a key takes long.
var signer = sync.OnceValue(func() *audit.Signer {
	s, err := audit.NewSigner()
	if err != nil {
		panic(err)
	}
	return s
})

func publicKey(t testing.TB) *audit.PublicKey {
	t.Helper()
	k, err := audit.ParsePublicKey(signer().PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// keys are data keys of the system.
type keys struct{ key *seal.Key }

func (k keys) Newest(context.Context, trace.Account) (*seal.Key, error) { return k.key, nil }

func (k keys) Find(_ context.Context, _ trace.Account, id uint32) (*seal.Key, error) {
	if k.key == nil || k.key.ID() != id {
		return nil, fmt.Errorf("no key %d", id)
	}
	return k.key, nil
}

func openLog(t testing.TB, o audit.Options) *audit.Log {
	t.Helper()
	o.Signer, o.Owner = signer(), owner
	l, err := audit.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func write(t testing.TB, l *audit.Log, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := l.Write(audit.NewEvent(owner, name, nil)); err != nil {
			t.Fatal(err)
		}
	}
}

func numbered(from, to int) (names []string) {
	for i := from; i < to; i++ {
		names = append(names, fmt.Sprint("Event", i))
	}
	return names
}

func verify(t testing.TB, fsys vfs.FS, dir string, k seal.Keys) *audit.Report {
	t.Helper()
	r, err := audit.Verify(t.Context(), audit.VerifyOptions{Dir: dir, FS: fsys, Key: publicKey(t), Keys: k})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func names(t testing.TB, records []audit.Found) (out []string) {
	t.Helper()
	for _, f := range records {
		var e audit.Event
		if err := json.Unmarshal(f.Event, &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Name)
	}
	return out
}

func all(t testing.TB, fsys vfs.FS, dir string, k seal.Keys) (out []string) {
	t.Helper()
	var found []audit.Found
	if _, err := audit.Since(t.Context(), audit.Options{Dir: dir, FS: fsys, Keys: k}, 1, func(f audit.Found) error {
		found = append(found, f)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return names(t, found)
}

func TestLog_keepsRecordsOverRestarts(t *testing.T) {
	for _, k := range []seal.Keys{seal.Off{}, keys{seal.NewKey(7, [32]byte{1, 2, 3})}} {
		t.Run(fmt.Sprintf("%T", k), func(t *testing.T) {
			fsys, want := vfs.NewMem(), []string(nil)
			for i := range 3 {
				l := openLog(t, audit.Options{Dir: "a", FS: fsys, Keys: k})
				list := numbered(10*i, 10*i+5)
				write(t, l, list...)
				want = append(want, list...)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if got := all(t, fsys, "a", k); strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("got %v, want %v", got, want)
			}
			r := verify(t, fsys, "a", k)
			if len(r.Problems) > 0 || r.Records != 15 || r.First != 1 || r.Last != 15 || r.Digests < 3 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// The files of an encrypted log hold no text of a record, and those in the clear hold it.
func TestLog_sealsRecords(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		k := keys{}
		if sealed {
			k.key = seal.NewKey(1, [32]byte{9})
		}
		dir := t.TempDir()
		s, err := audit.OpenSigner(t.Context(), dir, k)
		if err != nil {
			t.Fatal(err)
		}
		l, err := audit.Open(t.Context(), audit.Options{Dir: dir, Keys: k, Signer: s, Owner: owner})
		if err != nil {
			t.Fatal(err)
		}
		write(t, l, "PlantedSecret")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		found := 0
		_ = filepath.WalkDir(dir, func(name string, d os.DirEntry, _ error) error {
			if !d.IsDir() {
				b, _ := os.ReadFile(name)
				found += bytes.Count(b, []byte("PlantedSecret")) + bytes.Count(b, []byte("PRIVATE KEY"))
			}
			return nil
		})
		if (found == 0) != sealed {
			t.Errorf("sealed %v: %d plain texts", sealed, found)
		}
		if info, err := os.Stat(filepath.Join(dir, "key")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key has the rights %v, %v", info.Mode(), err)
		}
		if s, err = audit.OpenSigner(t.Context(), dir, k); err != nil {
			t.Fatal(err)
		}
		if r, err := audit.Verify(t.Context(), audit.VerifyOptions{Dir: dir, Keys: k}); err != nil || len(r.Problems) > 0 || r.Records != 1 || r.Fingerprint != s.Fingerprint() {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// Many writers: each record once, in one chain, also over many files.
func TestLog_takesManyWriters(t *testing.T) {
	fsys := vfs.NewMem()
	l := openLog(t, audit.Options{Dir: "a", FS: fsys, FileBytes: 10_000, Durable: true})
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() { write(t, l, numbered(100*i, 100*i+50)...) })
	}
	group.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, name := range all(t, fsys, "a", seal.Off{}) {
		seen[name]++
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", name, n)
		}
	}
	if r := verify(t, fsys, "a", nil); len(r.Problems) > 0 || r.Records != 1000 || len(seen) != 1000 || r.Files < 10 {
		t.Errorf("%d names, %+v", len(seen), r)
	}
}

// After a crash, everything acknowledged by a durable log is there, the chain is intact,
// and an unfinished line is named.
func TestLog_survivesCrashes(t *testing.T) {
	torn := 0
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		fsys, acknowledged := vfs.NewMem(), []string(nil)
		for round := range 3 {
			l, err := audit.Open(t.Context(), audit.Options{Dir: "a", FS: fsys, Signer: signer(), Owner: owner, Durable: true, FileBytes: 2000})
			if err != nil {
				t.Fatal(err)
			}
			steps := 5 + rnd.IntN(30)
			start := fsys.Ops()
			fsys.Before(func(op vfs.Op) error {
				if op.N-start >= steps {
					return errors.New("the machine is off")
				}
				return nil
			})
			for i := range 20 {
				name := fmt.Sprintf("R%dE%d", round, i)
				if l.Write(audit.NewEvent(owner, name, nil)) != nil {
					break
				}
				acknowledged = append(acknowledged, name)
			}
			fsys.Before(func(vfs.Op) error { return errors.New("the machine is off") })
			_ = l.Close()
			fsys = fsys.Crash(rnd)
		}
		l := openLog(t, audit.Options{Dir: "a", FS: fsys})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		have := strings.Join(all(t, fsys, "a", seal.Off{}), " ") + " "
		for _, name := range acknowledged {
			if !strings.Contains(have, name+" ") {
				t.Fatalf("seed %d: %s was acknowledged and is lost; there are %s", seed, name, have)
			}
		}
		r := verify(t, fsys, "a", nil)
		if len(r.Problems) > 0 {
			t.Fatalf("seed %d: %+v", seed, r)
		}
		torn += len(r.Notes)
	}
	if torn == 0 {
		t.Error("no crash left an unfinished record: the test shows nothing")
	}
}

// A full disk: writes fail, Ready says why, and later the log goes on and says how many
// records were lost.
func TestLog_goesOnAfterAFullDisk(t *testing.T) {
	fsys, now := vfs.NewMem(), newClock()
	l := openLog(t, audit.Options{Dir: "a", FS: fsys, Now: now.Now})
	write(t, l, "Before")
	fsys.Before(func(op vfs.Op) error {
		if op.Kind == "write" || op.Kind == "create" {
			return syscall.ENOSPC
		}
		return nil
	})
	for range 3 {
		if err := l.Write(audit.NewEvent(owner, "During", nil)); trace.KindOf(err) != trace.KindUnavailable || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("got %v", err)
		}
	}
	if err := l.Ready(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("ready: %v", err)
	}
	fsys.Before(func(vfs.Op) error { return nil })
	now.add(2 * time.Second)
	if err := l.Ready(); err != nil {
		t.Fatal(err)
	}
	write(t, l, "After")
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(strings.Join(all(t, fsys, "a", seal.Off{}), " "), "LoseAuditRecords") {
		if time.Now().After(deadline) {
			t.Fatal("the log does not say that records were lost")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, lost, _ := l.Stats(); lost != 3 {
		t.Errorf("%d lost", lost)
	}
	if r := verify(t, fsys, "a", nil); len(r.Problems) > 0 {
		t.Errorf("%+v", r)
	}
}

// Old files go, the rest verifies, and the log says what went.
func TestLog_deletesOldFiles(t *testing.T) {
	fsys, now := vfs.NewMem(), newClock()
	l := openLog(t, audit.Options{Dir: "a", FS: fsys, Now: now.Now, Keep: 3 * time.Hour})
	for i := range 8 {
		write(t, l, fmt.Sprint("Hour", i))
		now.add(time.Hour)
		want := now.Now().Format("20060102T150405Z")
		deadline := time.Now().Add(10 * time.Second)
		for !slices.ContainsFunc(list(t, fsys, "a/digests"), func(name string) bool { return strings.Contains(name, want) }) {
			if time.Now().After(deadline) {
				t.Fatalf("hour %d: there is no digest: %v", i, list(t, fsys, "a/digests"))
			}
			sleep()
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	have := strings.Join(all(t, fsys, "a", seal.Off{}), " ")
	if strings.Contains(have, "Hour0") || !strings.Contains(have, "Hour7") || !strings.Contains(have, "DeleteAuditFiles") {
		t.Errorf("there are %s", have)
	}
	if r := verify(t, fsys, "a", nil); len(r.Problems) > 0 || r.First < 2 {
		t.Errorf("%+v", r)
	}
}

func list(t testing.TB, fsys vfs.FS, dir string) []string {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func sleep() { time.Sleep(5 * time.Millisecond) }
