//go:build !unix

package vfs

import (
	"errors"
	"os"
)

// lock is not built for this system: data that two processes may write is not safe.
func lock(f *os.File) error {
	return &os.PathError{Op: "lock", Path: f.Name(), Err: errors.ErrUnsupported}
}
