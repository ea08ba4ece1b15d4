package local_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// putText appends a segment with a text to trace n.
func putText(s *opened, n, segment int, text string) error {
	doc := fmt.Appendf(nil, `{"trace_id":%q,"id":"%016x","name":"svc","start_time":1780000000.5,"end_time":1780000001.5,"annotations":{"a":%q},"metadata":{"d":%q}}`, idOf(n), segment+1, text, text)
	seg, err := decode.Restore(trace.SourceDocument, doc, nil, 0, trace.TimeOf(time.Now()))
	if err != nil {
		return err
	}
	_, err = s.Append(context.Background(), owner, []*trace.Segment{seg})
	return err
}

// texts returns the documents of trace n, one after the other.
func texts(s *opened, n int) (all string, segments int, err error) {
	found, release, err := s.shelf.Find(context.Background(), owner, []trace.ID{idOf(n)})
	if err != nil || len(found) == 0 {
		return "", 0, err
	}
	defer release()
	list, err := found[0].Segments(context.Background())
	for _, seg := range list {
		all += string(seg.Raw)
	}
	return all, len(list), err
}

// mask replaces trace n by one with another text, and tells whether that was
// acknowledged.
func mask(s *opened, n int, old, text string) (bool, error) {
	found, release, err := s.shelf.Find(context.Background(), owner, []trace.ID{idOf(n)})
	if err != nil || len(found) == 0 {
		return false, err
	}
	defer release()
	list, err := found[0].Segments(context.Background())
	if err != nil {
		return false, err
	}
	r := store.Replacement{ID: idOf(n), Seq: found[0].Seq}
	for _, seg := range list {
		next, err := decode.Restore(seg.Source, bytes.ReplaceAll(seg.Raw, []byte(old), []byte(text)), seg.Scope, seg.Part, seg.ReceivedAt)
		if err != nil {
			return false, err
		}
		r.Segments = append(r.Segments, next)
	}
	return s.shelf.Replace(context.Background(), owner, r)
}

// maskSome appends and replaces. sent counts the acknowledged segments of a trace,
// masked the acknowledged replacements after which nothing arrived.
func maskSome(fs vfs.FS) (sent, masked map[int]int) {
	sent, masked = map[int]int{}, map[int]int{}
	s, err := open(deletionOptions(fs))
	if err != nil {
		return sent, masked
	}
	for round := range 3 {
		for n := range 3 {
			if putText(s, n, round, "planted-secret") == nil {
				sent[n]++
			}
			masked[n] = 0
		}
		if round%2 == 0 {
			_ = s.Flush(context.Background())
		}
		for n := range 2 {
			if ok, err := mask(s, n, "planted-secret", "masked"); ok && err == nil {
				masked[n] = 1
			}
		}
		_ = s.Flush(context.Background())
		s.Merge()
		s.PurgeDue()
	}
	_ = s.Close()
	return sent, masked
}

// After a crash at any operation a trace is as it was or as its replacement, never both
// or neither, and an acknowledged replacement holds.
func TestReplace_crashAtEveryOperation(t *testing.T) {
	for k := range faultPoints(t, func(fs *vfs.Mem) { maskSome(fs) }) {
		fs := vfs.NewMem()
		fs.Before(func(op vfs.Op) error {
			if op.N >= k {
				return vfs.ErrCrashed
			}
			return nil
		})
		sent, masked := maskSome(fs)
		survived := fs.Ops() <= k
		o := deletionOptions(fs.Crash(rand.New(rand.NewPCG(uint64(k), 1))))
		for start := range 2 {
			s, err := open(o)
			if err != nil {
				t.Fatalf("operation %d: open: %v", k, err)
			}
			for n := range 3 {
				all, segments, err := texts(s, n)
				if err != nil || segments < sent[n] || segments > sent[n]+1 {
					t.Fatalf("operation %d, start %d: trace %d has %d segments, %v; want %d", k, start, n, segments, err, sent[n])
				}
				old, now := strings.Count(all, "planted-secret"), strings.Count(all, "masked")
				if old+now != 2*segments || masked[n] == 1 && old > 0 || n == 2 && now > 0 {
					t.Fatalf("operation %d, start %d: trace %d of %d segments has %d old texts and %d new ones; masked %v", k, start, n, segments, old, now, masked[n])
				}
			}
			_ = s.Flush(context.Background())
			s.PurgeDue()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if survived && !testing.Short() {
			return
		}
	}
}

// filesWith lists the files of a directory that hold a text.
func filesWith(t *testing.T, dir, text string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			list = append(list, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The bytes of replaced segments go from the log and from blocks, and nothing comes back.
func TestReplace_leavesTheDisk(t *testing.T) {
	o := options{Dir: t.TempDir(), Retention: -1}
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if err := putText(s, n, 1, "planted-secret"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if files := filesWith(t, o.Dir, "planted-secret"); len(files) < 2 {
		t.Fatalf("only %v hold the text: the test would show nothing", files)
	}
	if err := putText(s, 1, 2, "planted-secret"); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if ok, err := mask(s, n, "planted-secret", "masked"); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if err := s.shelf.Purge(t.Context()); err != nil || s.Tombstones() != 0 {
		t.Fatal("the replaced segments were not removed")
	}
	if files := filesWith(t, o.Dir, "planted-secret"); len(files) > 0 {
		t.Errorf("%v hold replaced texts", files)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if files := filesWith(t, o.Dir, "planted-secret"); len(files) > 0 {
		t.Errorf("after the end %v hold replaced texts", files)
	}
	if s, err = open(o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n, want := range []int{1, 2, 1, 1, 1} {
		if all, segments, err := texts(s, n); err != nil || segments != want || strings.Count(all, "masked") != 2*want {
			t.Errorf("trace %d: %s, %v", n, all, err)
		}
	}
}

// Settling and purging cut the log at the same time: the file that is being written stays.
func TestPurge_whileTracesSettle(t *testing.T) {
	o := options{Dir: t.TempDir(), Retention: -1, SettleAfter: time.Millisecond}
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var random []byte // the log compresses
	for len(random) < 64<<10 {
		random = fmt.Appendf(random, "%x", rnd.Uint64())
	}
	text := string(random)
	for n := range 120 {
		if err := putText(s, n, 1, text); err != nil {
			t.Fatal(err)
		}
		if n%6 == 5 { // by now the log is large enough to be cut when nothing is open
			if _, err := mask(s, n-1, text, "masked"); err != nil {
				t.Fatal(err)
			}
			if err := s.shelf.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = open(o); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range 120 {
		if got := has(t, s, n); got != 1 {
			t.Errorf("trace %d has %d segments", n, got)
		}
	}
}
