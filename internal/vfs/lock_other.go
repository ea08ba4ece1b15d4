//go:build !unix

package vfs

import (
	"errors"
	"os"
)

// lock always fails: without a lock on this system, two processes could write the
// same data.
func lock(f *os.File) error {
	return &os.PathError{Op: "lock", Path: f.Name(), Err: errors.ErrUnsupported}
}
