package local_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// planted are texts in every segment of secretSegment. None is so random that it could
// not be stored as it is.
var planted = []string{"planted-annotation-value", "planted.example.com/cart", "SELECT planted FROM", "planted-user", "planted-service", "planted_key", "planted-exception"}

// secretSegment makes a segment with everything that must not be readable.
func secretSegment(t testing.TB, tr, segment int) *trace.Segment {
	t.Helper()
	at := 1_780_000_000 + float64(segment)
	doc := fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"planted-service-%d","start_time":%f,"end_time":%f,"user":"planted-user-%d","annotations":{"planted_key":"planted-annotation-value-%d"},
		"http":{"request":{"method":"GET","url":"https://planted.example.com/cart/%d"}},"cause":{"exceptions":[{"id":"1111111111111111","message":"planted-exception"}]},"fault":true,
		"subsegments":[{"id":"%016x","name":"db","namespace":"remote","start_time":%f,"end_time":%f,"sql":{"sanitized_query":"SELECT planted FROM carts WHERE id = %d"}}]}`,
		secretID(tr), segment+1, segment%2, at, at+1, segment, segment, segment, 1_000_000+segment, at, at+1, segment)
	list, refusal := decode.Document([]byte(doc), trace.FromSeconds(at))
	if refusal != nil {
		t.Fatalf("refused: %+v", refusal)
	}
	return list[0]
}

func secretID(tr int) string { return fmt.Sprintf("1-581cf771-a006649127e37100%08x", 0x51000000+tr) }

// leaks returns the planted texts, trace ids included, that some file has.
func leaks(t testing.TB, dir string) (found []string) {
	t.Helper()
	texts := map[string][]byte{}
	for _, p := range planted {
		texts[p] = []byte(p)
	}
	for tr := range 4 {
		id := strings.ReplaceAll(secretID(tr)[2:], "-", "")
		raw, err := hex.DecodeString(id)
		must(t.(*testing.T), err)
		texts["id "+secretID(tr)], texts["hex "+id], texts["bytes of "+id] = []byte(secretID(tr)), []byte(id), raw
	}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for what, text := range texts {
			if bytes.Contains(b, text) || strings.Contains(name, string(text)) {
				found = append(found, filepath.Base(name)+" has "+what)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

// fill makes every kind of file: log, blocks, merged blocks, deletions, a horizon.
func fillSecrets(t *testing.T, s *opened, from int) {
	t.Helper()
	n := from
	send := func(times int) {
		for range times {
			for _, a := range tenants[:2] {
				_, err := s.Append(t.Context(), a, []*trace.Segment{secretSegment(t, n%4, n)})
				must(t, err)
			}
			n++
		}
	}
	for range 6 {
		send(3)
		must(t, s.Flush(t.Context()))
	}
	s.Merge()
	_, err := s.Delete(t.Context(), tenants[0], answer.DeleteQuery{IDs: []trace.ID{secretSegment(t, 1, 0).TraceID}})
	must(t, err)
	must(t, s.Flush(t.Context()))
	must(t, s.shelf.Expire(t.Context(), 1000))
	send(5)
}

func secretOptions(dir string) options {
	return options{Dir: dir, Retention: -1, MergeBlocks: 3, SettleAfter: time.Hour, LogFileBytes: 20_000, Keys: newRing()}
}

// No file has a planted text while traces arrive, are settled, merged and deleted, after
// a clean end and after a kill. Without encryption the same search finds them.
func TestSecrets_noFileHasThem(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		t.Run(fmt.Sprint(sealed), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			o := secretOptions(dir)
			o.Keys.(*ring).off = !sealed
			check := func(when string) {
				t.Helper()
				found := leaks(t, dir)
				if sealed && len(found) > 0 {
					t.Errorf("%s: %q", when, found)
				}
				if !sealed && len(found) < 20 {
					t.Errorf("%s: only %q is found", when, found)
				}
			}
			s, err := open(o)
			must(t, err)
			fillSecrets(t, s, 0)
			check("running")
			// The process is killed now: its files are copied as they are.
			killed := filepath.Join(t.TempDir(), "data")
			must(t, os.CopyFS(killed, os.DirFS(dir)))
			must(t, s.Close())
			check("closed")
			o.Dir = killed
			if s, err = open(o); err != nil {
				t.Fatal(err)
			}
			for _, a := range tenants[:2] {
				if n := countTraces(t, s, a); n < 3 {
					t.Errorf("after the kill: %d traces of %s", n, a)
				}
			}
			must(t, s.Close())
			dir = killed
			check("started after a kill")
			if r, err := inspect(o, true); err != nil || len(r.Damage) > 0 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func countTraces(t *testing.T, s *opened, a trace.Account) (n int) {
	t.Helper()
	for _, err := range s.Summaries(t.Context(), a, &answer.SummaryQuery{Window: everything}) {
		must(t, err)
		n++
	}
	return n
}

// Encryption that is switched on rewrites existing files, and when it is switched off, too;
// a restart in between goes on. The status tells how much is left.
func TestSwitch_rewritesEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	o := secretOptions(dir)
	keys := o.Keys.(*ring)
	keys.off = true
	s, err := open(o)
	must(t, err)
	fillSecrets(t, s, 0)
	counts := map[trace.Account]int{}
	for _, a := range tenants[:2] {
		counts[a] = countTraces(t, s, a)
	}
	must(t, s.Close())
	text, err := os.ReadFile(filepath.Join(dir, "FORMAT"))
	must(t, err)
	if !strings.Contains(string(text), "version 5") {
		t.Errorf("without encryption FORMAT is %q", text)
	}
	left := func() int64 {
		st, err := s.Stats(t.Context())
		must(t, err)
		return st.Gauge(local.GaugeToConvert)
	}
	for _, off := range []bool{false, true, false} {
		keys.change(func() { keys.off = off })
		for start := range 2 {
			if s, err = open(o); err != nil {
				t.Fatal(err)
			}
			if start == 1 {
				must(t, s.Flush(t.Context()))
				waitFor(t, "not everything is rewritten", func() bool { return left() == 0 })
			}
			for _, a := range tenants[:2] {
				if n := countTraces(t, s, a); n != counts[a] {
					t.Errorf("off=%v start %d: account %s has %d traces, want %d", off, start, a, n, counts[a])
				}
			}
			must(t, s.Close())
		}
		if found := leaks(t, dir); off != (len(found) > 0) {
			t.Errorf("off=%v: %q", off, found)
		}
	}
}

// A command that opens an encrypted directory without the server's settings makes nothing
// clear.
func TestOffline_staysEncrypted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	o := secretOptions(dir)
	s, err := open(o)
	must(t, err)
	fillSecrets(t, s, 0)
	must(t, s.Close())
	keys := o.Keys.(*ring)
	keys.change(func() { keys.off = true })
	o.Offline = true
	s, err = open(o)
	must(t, err)
	must(t, s.Flush(t.Context()))
	if _, _, done := exported(t, s, local.ExportQuery{Since: trace.MinTime}); done.Traces == 0 {
		t.Error("nothing is exported")
	}
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(dir, "blocks", blockNames(t, dir)[0])))
	if _, err := accept(o); err != nil {
		t.Error(err)
	}
	if found := leaks(t, dir); len(found) > 0 {
		t.Errorf("%q", found)
	}
	b, err := os.ReadFile(filepath.Join(dir, "manifest"))
	if err != nil || !vfs.IsSealed(b) {
		t.Errorf("the manifest is not sealed any more, %v", err)
	}
}

func blockNames(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(filepath.Join(dir, "blocks"))
	must(t, err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".blk") {
			names = append(names, e.Name())
		}
	}
	return names
}

// With clear tables only the tables are readable.
func TestClearTables(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	o := secretOptions(dir)
	o.ClearTables = true
	for _, clear := range []bool{true, false, true} {
		o.ClearTables = clear
		s, err := open(o)
		must(t, err)
		if countTraces(t, s, tenants[0]) == 0 {
			fillSecrets(t, s, 0)
		}
		must(t, s.Flush(t.Context()))
		waitFor(t, "tables are not rewritten", func() bool {
			st, err := s.Stats(t.Context())
			return err == nil && st.Gauge(local.GaugeToConvert) == 0
		})
		must(t, s.Close())
		tables := 0
		for _, f := range leaks(t, dir) {
			if !strings.Contains(f, ".parquet") {
				t.Errorf("clear=%v: %s", clear, f)
			}
			tables++
		}
		if clear != (tables > 0) {
			t.Errorf("clear=%v: %d texts in tables", clear, tables)
		}
	}
}

// tampers are changes to a directory that somebody with access to the disk makes.
func tampers(t *testing.T) map[string]func(m *vfs.Mem, old map[string][]byte) {
	content := func(m *vfs.Mem, name string) []byte { return contentOf(t, m, name) }
	blk := func(m *vfs.Mem, suffix string) (names []string) {
		for _, n := range files(t, m, "blocks") {
			if strings.HasSuffix(n, suffix) {
				names = append(names, n)
			}
		}
		return names
	}
	put := func(m *vfs.Mem, name string, b []byte) {
		must(t, m.Damage(name, func([]byte) []byte { return slices.Clone(b) }))
	}
	return map[string]func(m *vfs.Mem, old map[string][]byte){
		"two blocks swapped": func(m *vfs.Mem, _ map[string][]byte) {
			for _, suffix := range []string{".blk", ".entities.parquet", ".traces.parquet", ".rollup"} {
				n := blk(m, suffix)
				a, b := content(m, n[0]), content(m, n[1])
				put(m, n[0], b)
				put(m, n[1], a)
			}
		},
		"tables of two blocks swapped": func(m *vfs.Mem, _ map[string][]byte) {
			n := blk(m, ".entities.parquet")
			a, b := content(m, n[0]), content(m, n[1])
			put(m, n[0], b)
			put(m, n[1], a)
		},
		"a block cut": func(m *vfs.Mem, _ map[string][]byte) {
			n := blk(m, ".blk")[0]
			b := content(m, n)
			put(m, n, b[:len(b)-40])
		},
		"a rollup cut": func(m *vfs.Mem, _ map[string][]byte) {
			n := blk(m, ".rollup")[0]
			b := content(m, n)
			put(m, n, b[:len(b)-40])
		},
		"a table moved": func(m *vfs.Mem, _ map[string][]byte) {
			n := blk(m, ".entities.parquet")
			put(m, n[0], content(m, n[1]))
		},
		"a clear block instead of a sealed one": func(m *vfs.Mem, _ map[string][]byte) {
			clear := newWorld(t)
			clear.keys.off = true
			must(t, clear.send(tenants[0], 6))
			must(t, clear.s.Flush(t.Context()))
			must(t, clear.s.Close())
			for _, suffix := range []string{".blk", ".entities.parquet", ".traces.parquet", ".rollup"} {
				put(m, blk(m, suffix)[0], content(clear.fs, blk(clear.fs, suffix)[0]))
			}
		},
		"a block of another directory with the same keys": func(m *vfs.Mem, _ map[string][]byte) {
			other := newWorld(t)
			must(t, other.send(tenants[0], 6))
			must(t, other.s.Flush(t.Context()))
			must(t, other.s.Close())
			for _, suffix := range []string{".blk", ".entities.parquet", ".traces.parquet", ".rollup"} {
				put(m, blk(m, suffix)[0], content(other.fs, blk(other.fs, suffix)[0]))
			}
		},
		"older deletions replayed": func(m *vfs.Mem, old map[string][]byte) { put(m, "data/deleted", old["data/deleted"]) },
		"an older manifest":        func(m *vfs.Mem, old map[string][]byte) { put(m, "data/manifest", old["data/manifest"]) },
		"the manifest as deletions": func(m *vfs.Mem, _ map[string][]byte) {
			put(m, "data/deleted", content(m, "data/manifest"))
		},
	}
}

func contentOf(t *testing.T, m *vfs.Mem, name string) []byte {
	t.Helper()
	f, err := m.Open(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	return b
}

// Somebody with access to the disk swaps, cuts, replays or forges files: each is noticed,
// and the answers have nothing of it.
func TestTamper_isNoticed(t *testing.T) {
	build := func() (w *world, old map[string][]byte) {
		w, old = newWorld(t), map[string][]byte{}
		for range 2 {
			for _, a := range tenants[:2] {
				must(t, w.send(a, 6))
			}
			must(t, w.s.Flush(t.Context()))
		}
		w.delete(tenants[0], 0)
		must(t, w.s.Close())
		for _, name := range []string{"data/manifest", "data/deleted"} {
			old[name] = contentOf(t, w.fs, name)
		}
		w.open()
		must(t, w.send(tenants[0], 6))
		must(t, w.s.Flush(t.Context()))
		w.delete(tenants[0], 3)
		must(t, w.s.Close())
		return w, old
	}
	for name, change := range tampers(t) {
		t.Run(name, func(t *testing.T) {
			w, old := build()
			change(w.fs, old)
			r, err := inspect(w.options(), true)
			if err != nil || len(r.Damage) == 0 {
				t.Errorf("a check finds %+v, %v", r, err)
			}
			w.open()
			defer w.s.Close()
			for _, a := range tenants[:2] {
				found, err := w.content(a)
				if _, damaged := errors.AsType[*store.DamagedError](err); err != nil && !damaged && !strings.Contains(err.Error(), "graph counts") {
					t.Errorf("account %s: %v", a, err)
				}
				for seg := range found {
					if _, acked := w.own[a].acked[seg]; !acked && !strings.Contains(name, "deletions") {
						t.Errorf("account %s has segment %d, which is not its own", a, seg)
					}
				}
			}
			st, err := w.s.Stats(t.Context())
			if err != nil || len(st.Damage) == 0 {
				t.Errorf("no damage is named: %v, %v", st.Damage, err)
			}
		})
	}
}
