package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/store/local/vfs"
)

// The data directory (docs/format/store.md).
const (
	formatName    = "FORMAT"
	formatText    = "fluoro local store"
	formatVersion = 4
	lockName      = "LOCK"
	logDir        = "wal"
	blockDir      = "blocks"
	tempSuffix    = ".tmp"
)

// directory is a data directory that this process alone may write.
type directory struct {
	fs   vfs.FS
	path string
	lock io.Closer
}

// openDirectory checks that a directory is ours before it changes anything in
// it, and locks it.
func openDirectory(fsys vfs.FS, path string) (*directory, error) {
	if path == "" {
		return nil, errors.New("data directory: no name given")
	}
	d := &directory{fs: fsys, path: path}
	fresh, err := d.check()
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := fsys.MkdirAll(path); err != nil {
			return nil, fmt.Errorf("make data directory: %w", err)
		}
	}
	d.lock, err = fsys.Lock(filepath.Join(path, lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("data directory %s is in use by another fluoro process: stop that one or choose another directory", path)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory %s cannot be written: %w", path, err)
	}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

// check says whether the directory is new, and refuses one that is not ours.
func (d *directory) check() (fresh bool, err error) {
	names, err := d.fs.List(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read data directory: %w", err)
	}
	if !slices.Contains(names, formatName) {
		// What a first start that was cut short leaves behind is ours, too.
		for _, n := range names {
			if n != lockName && n != formatName+tempSuffix && n != "lost+found" {
				return false, fmt.Errorf("data directory %s is not empty and holds no Fluoro data (found %q, no %s file): choose another directory", d.path, n, formatName)
			}
		}
		return true, nil
	}
	text, err := readFile(d.fs, filepath.Join(d.path, formatName))
	if err != nil {
		return false, fmt.Errorf("read data directory: %w", err)
	}
	name, number, _ := strings.Cut(strings.TrimSpace(string(text)), " version ")
	version, err := strconv.Atoi(number)
	switch {
	case name != formatText || err != nil:
		return false, fmt.Errorf("data directory %s holds something else: its %s file says %.80q", d.path, formatName, text)
	case version > formatVersion:
		return false, fmt.Errorf("data directory %s was written by a newer fluoro (format %d, this one knows up to %d): use that version", d.path, version, formatVersion)
	case version < 1:
		return false, fmt.Errorf("data directory %s has format %d, which never existed", d.path, version)
	case version < formatVersion:
		return false, fmt.Errorf("data directory %s has format %d, of a fluoro before the first release; this one reads format %d: choose another directory", d.path, version, formatVersion)
	}
	return false, nil
}

// prepare writes the format file of a new directory and makes those below.
func (d *directory) prepare() error {
	// Asked again under the lock: another process may have been faster.
	fresh, err := d.check()
	if err != nil {
		return err
	}
	if fresh {
		if err := d.claim(); err != nil {
			return err
		}
	}
	for _, sub := range []string{logDir, blockDir} {
		if _, err := d.fs.List(d.sub(sub)); err == nil {
			continue
		}
		if err := d.fs.MkdirAll(d.sub(sub)); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
		if err := d.fs.SyncDir(d.path); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
	}
	return nil
}

// claim writes the format file, before anything else is made.
func (d *directory) claim() error {
	name := filepath.Join(d.path, formatName)
	if err := writeFile(d.fs, name+tempSuffix, fmt.Appendf(nil, "%s version %d\n", formatText, formatVersion)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := d.fs.Rename(name+tempSuffix, name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := d.fs.SyncDir(d.path); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	// The name of the directory itself; not every system lets its parent be synced.
	_ = d.fs.SyncDir(filepath.Dir(d.path))
	return nil
}

func (d *directory) sub(name string) string { return filepath.Join(d.path, name) }

func (d *directory) close() error { return d.lock.Close() }

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
