package local_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

func waitWritable(t *testing.T, s *opened) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		st, err := s.Stats(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if st.ReadOnly == "" {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the store did not become writable again")
}

// A full disk, or one that fails to sync, stops writes, with the reason, and not reads.
// Writes come back by themselves; every acknowledged segment stays.
func TestDiskFails_readsGoOnAndWritesComeBack(t *testing.T) {
	for name, c := range map[string]struct {
		kinds string
		err   error
	}{
		"full":         {"write create", syscall.ENOSPC},
		"failed syncs": {"sync", syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, err := open(small(fs))
			if err != nil {
				t.Fatal(err)
			}
			l := newLedger()
			if err := l.send(t, s, 10); err != nil {
				t.Fatal(err)
			}
			var fails atomic.Bool
			fails.Store(true)
			fs.Before(func(op vfs.Op) error {
				if fails.Load() && strings.Contains(c.kinds, op.Kind) {
					return c.err
				}
				return nil
			})
			for range 3 {
				err := l.send(t, s, 2)
				if trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), c.err.Error()) {
					t.Fatalf("Append: %v", err)
				}
				st, err := s.Stats(context.Background())
				if err != nil || !strings.Contains(st.ReadOnly, c.err.Error()) {
					t.Fatalf("Stats: %+v, %v", st, err)
				}
				if err := l.verify(s); err != nil {
					t.Fatalf("reading meanwhile: %v", err)
				}
			}
			fails.Store(false)
			waitWritable(t, s)
			if err := errors.Join(l.send(t, s, 5), l.verify(s), s.Close()); err != nil {
				t.Fatal(err)
			}
			if s, err = open(small(fs.Crash(rand.New(rand.NewPCG(1, 1))))); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(l.verify(s), s.Close()); err != nil {
				t.Fatalf("after a crash: %v", err)
			}
		})
	}
}
