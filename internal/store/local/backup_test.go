package local_test

import (
	"context"
	"io"
	"path/filepath"
	"testing"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

// copyTo backs a store up into a new file system.
func copyTo(t *testing.T, s *opened) *vfs.Mem {
	t.Helper()
	fs := vfs.NewMem()
	err := s.shelf.Backup(context.Background(), func(name string, size int64, r io.Reader) error {
		to := filepath.Join("data", name)
		if err := fs.MkdirAll(filepath.Dir(to)); err != nil {
			return err
		}
		f, err := fs.Create(to)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if int64(len(b)) != size {
			t.Errorf("%s has %d bytes, %d announced", name, len(b), size)
		}
		if _, err := f.Write(b); err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// In any state of a store, its backup opens without damage and has all acknowledged
// segments and deletions.
func TestBackup_hasWhatWasAcknowledged(t *testing.T) {
	s, err := open(small(vfs.NewMem()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	l := newLedger()
	for round := range 9 {
		if err := l.send(t, s, 1+round%4); err != nil {
			t.Fatal(err)
		}
		if err := put(s, 1000+round, round); err != nil {
			t.Fatal(err)
		}
		if round%3 == 1 {
			if err := s.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if round == 6 {
			s.Merge()
		}
		if err := remove(s, 1000+round); err != nil {
			t.Fatal(err)
		}
		copied, err := open(small(copyTo(t, s)))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.verify(copied); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if n := has(t, copied, 1000+round); n != 0 {
			t.Errorf("round %d: a deleted trace is back with %d segments", round, n)
		}
		if err := copied.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A backup reads files to their end, also those that are dropped meanwhile.
func TestBackup_keepsWhatIsDroppedMeanwhile(t *testing.T) {
	fs := vfs.NewMem()
	s, err := open(small(fs))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	l := newLedger()
	for range 4 {
		if err := l.send(t, s, 3); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	merged := false
	err = s.shelf.Backup(context.Background(), func(_ string, size int64, r io.Reader) error {
		if !merged {
			s.Merge() // removes the blocks that the backup has begun to copy
			merged = true
		}
		b, err := io.ReadAll(r)
		if int64(len(b)) != size {
			t.Errorf("%d of %d bytes", len(b), size)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
