// Package vfs is the small file system the embedded engine stands on: as much
// of one as an append-only log and immutable blocks need, so that tests can
// stand a crashing or failing one in its place.
//
// The rule that holds for every implementation: bytes are durable once
// [File.Sync] returned nil, names (created, renamed, removed) once
// [FS.SyncDir] of their directory did. A file whose Sync failed must not be
// trusted or written to again: what it holds behind its last good Sync may be
// gone although it reads well now.
package vfs

import (
	"fmt"
	"io"
)

// FS is a file system. Methods may be called by many goroutines at once. Names
// are paths with the separator of the implementation; errors match fs.ErrExist,
// fs.ErrNotExist and fs.ErrPermission where they apply.
type FS interface {
	// Create makes a file for writing; one that exists is emptied.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	Remove(name string) error
	// Rename moves a file, replacing one that has the new name.
	Rename(from, to string) error
	// MkdirAll makes a directory and its parents.
	MkdirAll(dir string) error
	// List is the names of a directory's entries, sorted.
	List(dir string) ([]string, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Lock takes a lock that no other process (or opener) can hold at the same
	// time, ErrLocked if one does. Closing it, or the end of the process, frees it.
	Lock(name string) (io.Closer, error)
}

// File is an open file. ReadAt may be called by many goroutines at once.
type File interface {
	io.ReaderAt
	io.Writer // appends
	io.Closer
	// Sync makes the bytes written so far durable.
	Sync() error
	// Size is the length in bytes.
	Size() (int64, error)
}

// CorruptError says that a file does not hold what was written to it.
type CorruptError struct {
	File   string
	Offset int64 // of the first byte of what cannot be read; -1 if it is all of the file
	Err    error
}

// Error names the file and the offset.
func (e *CorruptError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s is damaged at byte %d: %v", e.File, e.Offset, e.Err)
}

// Unwrap returns what is wrong with it.
func (e *CorruptError) Unwrap() error { return e.Err }

// Corrupt makes a CorruptError.
func Corrupt(file string, offset int64, format string, args ...any) error {
	return &CorruptError{File: file, Offset: offset, Err: fmt.Errorf(format, args...)}
}

// Lost makes a CorruptError of a file that is missing or of no use.
func Lost(file, format string, args ...any) error {
	return &CorruptError{File: file, Offset: -1, Err: fmt.Errorf(format, args...)}
}
