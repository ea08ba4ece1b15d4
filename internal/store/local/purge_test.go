package local_test

import (
	"context"
	"testing"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

// After a purge no file knows the deleted traces: even without the list of deletions,
// a new start does not show them. All others are there, open ones included.
func TestPurge_leavesNothing(t *testing.T) {
	fsys := vfs.NewMem()
	s, err := open(small(fsys))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if err := put(s, n, 0); err != nil {
			t.Fatal(err)
		}
		if n == 9 {
			if err := s.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := remove(s, 3, 12); err != nil { // one settled, one open
		t.Fatal(err)
	}
	if err := s.shelf.Purge(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := fsys.Remove("data/deleted"); err != nil {
		t.Log(err) // there may be none
	}
	if s, err = open(small(fsys)); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range 20 {
		want := 1
		if n == 3 || n == 12 {
			want = 0
		}
		if got := has(t, s, n); got != want {
			t.Errorf("trace %d has %d segments, want %d", n, got, want)
		}
	}
}
