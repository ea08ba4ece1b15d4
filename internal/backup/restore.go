package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Restore reads a backup into a data directory that is missing or empty. It writes
// to another name beside it and renames that when every checksum is right and
// everything is on disk. If it fails, it leaves nothing behind.
func Restore(r io.Reader, dir string) (m *Manifest, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := Vacant(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+restoringMark+"*")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	dirs := map[string]bool{temp: true}
	m, err = Read(r, func(name string, _ int64, r io.Reader) error {
		to := filepath.Join(temp, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
			return err
		}
		dirs[filepath.Dir(to)] = true
		return writeSynced(to, r)
	})
	if err != nil {
		return nil, err
	}
	for d := range dirs {
		if err := syncDir(d); err != nil {
			return nil, err
		}
	}
	// The target may be an empty directory.
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.Rename(temp, dir); err != nil {
		return nil, err
	}
	return m, syncDir(filepath.Dir(dir))
}

// Vacant returns an error unless a directory is missing or empty.
func Vacant(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return fmt.Errorf("directory %s is not empty (found %q): restore into a new one", dir, list[0].Name())
	}
	return nil
}

func writeSynced(name string, r io.Reader) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
