package vfs

import "os"

// CreatePrivate makes a file for writing that only its owner may read, such as a file with
// keys. It truncates an existing one. File systems without permissions make an ordinary
// file.
func CreatePrivate(fsys FS, name string) (File, error) {
	if p, ok := fsys.(interface {
		CreatePrivate(name string) (File, error)
	}); ok {
		return p.CreatePrivate(name)
	}
	return fsys.Create(name)
}

// CreatePrivate makes a file that only its owner may read.
func (OS) CreatePrivate(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}
