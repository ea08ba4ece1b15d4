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

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/wal"
)

// backup opens all files of the data directory at one moment, so that their content
// stays.
type backup struct {
	*base
	state     *state
	log       *log
	inventory *inventory
	merger    *merger

	files []keptFile
}

type keptFile struct {
	io.ReaderAt
	io.Closer
	name string
	size int64
}

// open keeps a file. An optional one may be missing.
func (b *backup) open(name string, optional bool) error {
	f, err := b.FS.Open(b.dir.sub(filepath.FromSlash(name)))
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

// put adds bytes as a file.
func (b *backup) put(name string, text []byte) {
	b.files = append(b.files, keptFile{bytes.NewReader(text), io.NopCloser(nil), name, int64(len(text))})
}

func (b *backup) close() error {
	var err error
	for _, f := range b.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// each gives every file to add.
func (b *backup) each(ctx context.Context, add func(name string, size int64, r io.Reader) error) error {
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

// keepFiles opens all files while no block is made or dropped. The log files before a
// new one have everything that is in no block then.
func (b *backup) keepFiles(ctx context.Context) error {
	defer b.merger.still()()
	next, err := b.log.newFile(ctx)
	if err != nil {
		return err
	}
	if err := b.putManifest(next); err != nil {
		return err
	}
	for _, f := range []struct {
		name     string
		optional bool
	}{{formatName, false}, {tombstonesName, true}, {floorName, true}} {
		if err := b.open(f.name, f.optional); err != nil {
			return err
		}
	}
	names, err := b.FS.List(b.dir.sub(logDir))
	if err != nil {
		return fmt.Errorf("back up the log: %w", err)
	}
	for _, name := range names {
		if number, ok := wal.Number(name); ok && number < next {
			if err := b.open(path.Join(logDir, name), false); err != nil {
				return err
			}
		}
	}
	for _, number := range b.state.catalog.kept() {
		for i, file := range block.Files(blockDir, number) {
			if err := b.open(filepath.ToSlash(file), i > 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// putManifest adds the manifest without the log files from a number on.
func (b *backup) putManifest(next uint64) error {
	m := b.inventory.listBefore(next)
	key, err := b.vault.systemKey()
	if err != nil {
		return fmt.Errorf("back up the manifest: %w", err)
	}
	m.Sealed = key != nil
	one, err := m.encode()
	if err != nil {
		return err
	}
	text, err := b.vault.twice(manifestName, one, b.inventory.generation()+1)
	if err != nil {
		return err
	}
	b.put(manifestName, text)
	return nil
}
