package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"

	"github.com/fluoro-io/fluoro/internal/wal"
)

// Backup gives every file of the data directory to add, with its name relative
// to it, as they were at one moment: all that was acknowledged before the call is
// in them. The store goes on meanwhile; files that it drops are kept until they
// were read. Errors: KindUnavailable while nothing can be written.
func (s *Shelf) Backup(ctx context.Context, add func(name string, size int64, r io.Reader) error) (err error) {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return err
	}
	var b keptFiles
	defer func() { err = errors.Join(err, b.close()) }()
	if err := s.keepFiles(ctx, &b); err != nil {
		return err
	}
	for _, f := range b.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := add(f.name, f.size, io.NewSectionReader(f, 0, f.size)); err != nil {
			return err
		}
	}
	return nil
}

// keptFiles are files that are open, so that their content stays.
type keptFiles struct{ files []keptFile }

type keptFile struct {
	io.ReaderAt
	io.Closer
	name string
	size int64
}

// open keeps a file. One that need not be there may be missing.
func (b *keptFiles) open(s *Shelf, name string, optional bool) error {
	f, err := s.o.FS.Open(s.dir.sub(filepath.FromSlash(name)))
	if optional && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("back up %s: %w", name, err)
	}
	size, err := f.Size()
	if err != nil {
		return errors.Join(fmt.Errorf("back up %s: %w", name, err), f.Close())
	}
	b.files = append(b.files, keptFile{f, f, name, size})
	return nil
}

// put keeps bytes as a file.
func (b *keptFiles) put(name string, text []byte) {
	b.files = append(b.files, keptFile{bytes.NewReader(text), io.NopCloser(nil), name, int64(len(text))})
}

func (b *keptFiles) close() error {
	var err error
	for _, f := range b.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// keepFiles opens all files while no block is made or dropped. What is not in a
// block then is in the log files before a new one.
func (s *Shelf) keepFiles(ctx context.Context, b *keptFiles) error {
	s.merging.Lock()
	defer s.merging.Unlock()
	s.settling.Lock()
	defer s.settling.Unlock()
	next, err := s.newLogFile(ctx)
	if err != nil {
		return err
	}
	// The manifest of what is in the backup, not of what comes after it.
	m := s.listing()
	m.Log, m.Going = logMark(s.log.MarkBefore(next)), nil
	text, err := m.encode()
	if err != nil {
		return err
	}
	b.put(manifestName, text)
	for _, f := range []struct {
		name     string
		optional bool
	}{{formatName, false}, {tombstonesName, true}, {floorName, true}} {
		if err := b.open(s, f.name, f.optional); err != nil {
			return err
		}
	}
	names, err := s.o.FS.List(s.dir.sub(logDir))
	if err != nil {
		return fmt.Errorf("back up the log: %w", err)
	}
	for _, name := range names {
		if number, ok := wal.Number(name); ok && number < next {
			if err := b.open(s, path.Join(logDir, name), false); err != nil {
				return err
			}
		}
	}
	blocks := s.acquireBlocks()
	defer func() {
		for _, block := range blocks {
			block.Release()
		}
	}()
	for _, block := range blocks {
		for i, file := range append([]string{block.File()}, block.Tables()...) {
			if err := b.open(s, path.Join(blockDir, filepath.Base(file)), i > 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// newLogFile begins a new log file behind all that waits to be written, and is
// its number.
func (s *Shelf) newLogFile(ctx context.Context) (uint64, error) {
	c := &commit{probe: true, rotate: true, done: make(chan error, 1)}
	if !s.queue.push(c) {
		return 0, errClosed()
	}
	select {
	case err := <-c.done:
		if err != nil {
			return 0, err
		}
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return s.log.File(), nil
}
