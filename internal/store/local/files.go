package local

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"path/filepath"

	"github.com/fluoro-io/fluoro/internal/vfs"
)

// tempSuffix ends the name of a file that is being written.
const tempSuffix = ".tmp"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// aside returns a free name for a damaged file, which is kept beside its replacement.
func aside(fsys vfs.FS, name string) string {
	for n := 0; ; n++ {
		to := name + ".damaged"
		if n > 0 {
			to = fmt.Sprintf("%s.damaged.%d", name, n)
		}
		f, err := fsys.Open(to)
		if err != nil {
			return to // it is free, or the disk fails
		}
		_ = f.Close() // only its existence matters
	}
}

// replace writes a file under a temporary name, then renames it.
func replace(fsys vfs.FS, name string, b []byte) error {
	err := writeFile(fsys, name+tempSuffix, b)
	if err == nil {
		err = fsys.Rename(name+tempSuffix, name)
	}
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func readWhole(fsys vfs.FS, name string) ([]byte, error) {
	return readAtMost(fsys, name, math.MaxInt64)
}

// readAtMost reads a file of bounded length.
func readAtMost(fsys vfs.FS, name string, most int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > most {
		return nil, fmt.Errorf("it has %d bytes, %d at most are read", size, most)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) && err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

func readFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, 1<<16))
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, err
	}
	return b, nil
}

// sealedTwice tells whether one of two copies is sealed.
func sealedTwice(b []byte) bool { return vfs.IsSealed(b) || vfs.IsSealed(b[len(b)/2:]) }

func writeFile(fsys vfs.FS, name string, b []byte) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}
