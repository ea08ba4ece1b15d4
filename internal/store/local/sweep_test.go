package local_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/answer"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// putAt appends one segment to trace n, received at a time; odd traces fail.
func putAt(t *testing.T, s *opened, n, segment int, at time.Time) {
	t.Helper()
	doc, err := json.Marshal(map[string]any{"trace_id": idOf(n).String(), "id": fmt.Sprintf("%016x", segment+1), "name": "svc", "start_time": 1780000000.5, "end_time": 1780000001.5, "fault": n%2 == 1})
	if err != nil {
		t.Fatal(err)
	}
	seg, err := decode.Restore(trace.SourceDocument, doc, nil, 0, trace.TimeOf(at))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(context.Background(), owner, []*trace.Segment{seg}); err != nil {
		t.Fatal(err)
	}
}

// Traces are deleted when the time of their account or of their groups has ended, not
// earlier; traces that got new segments meanwhile stay.
func TestSweep(t *testing.T) {
	start := time.Unix(rollupStart+100, 0)
	var passed atomic.Int64 // since the start
	fs, group := vfs.NewMem(), groupOf(t)
	group.Versions = group.Versions[1:] // fault, at any time from here on
	o := small(fs)
	o.Retention = 1000 * time.Hour
	o.Now = func() time.Time { return start.Add(time.Duration(passed.Load())) }
	o.Keep = func(context.Context, trace.Account) (answer.Keep, error) {
		return answer.Keep{Default: time.Hour, Groups: []answer.GroupKeep{{Group: group, For: 3 * time.Hour}}}, nil
	}
	s, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for n := range 4 {
		putAt(t, s, n, n, start)
	}
	expect := func(when string, want ...int) {
		t.Helper()
		for n, segments := range want {
			if got := has(t, s, n); got != segments {
				t.Errorf("%s: trace %d has %d segments, want %d", when, n, got, segments)
			}
		}
	}
	settle := func() {
		t.Helper()
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	settle()
	passed.Store(int64(59 * time.Minute))
	s.Sweep()
	expect("before the time", 1, 1, 1, 1)
	putAt(t, s, 2, 100, o.Now()) // open again
	passed.Store(int64(61 * time.Minute))
	s.Sweep()
	expect("after the default", 0, 1, 2, 1)
	settle()
	putAt(t, s, 0, 200, o.Now()) // begins anew
	expect("anew", 1, 1, 2, 1)
	// Swept traces stay away after a crash.
	crashed := fs.Crash(rand.New(rand.NewPCG(1, 1)))
	_ = s.Close()
	o.FS = crashed
	if s, err = open(o); err != nil {
		t.Fatal(err)
	}
	expect("after a crash", 1, 1, 2, 1)
	settle()
	passed.Store(int64(3*time.Hour + time.Minute))
	s.Sweep()
	expect("after the group's", 0, 0, 0, 0)
	passed.Add(int64(24 * time.Hour))
	for range 100 { // a new log file is begun first, by another goroutine
		if s.PurgeDue(); s.Tombstones() == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d deletions are remembered for ever", s.Tombstones())
}

// A trace that gets a segment between the check and its deletion stays.
func TestDelete_conditional(t *testing.T) {
	fs := vfs.NewMem()
	s, err := open(small(fs))
	if err != nil {
		t.Fatal(err)
	}
	putAt(t, s, 1, 1, time.Now())
	if err := s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	lsn := s.LSN(owner, idOf(1))
	putAt(t, s, 1, 2, time.Now())
	if n, err := s.DeleteUpTo(owner, idOf(1), lsn); n != 0 || err != nil {
		t.Errorf("%d deleted, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = open(small(fs)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if n := has(t, s, 1); n != 2 {
		t.Errorf("%d segments after the log was read again, want 2", n)
	}
	if n, err := s.DeleteUpTo(owner, idOf(1), s.LSN(owner, idOf(1))); n != 1 || err != nil {
		t.Errorf("%d deleted, %v", n, err)
	}
}
