// Package vfs is the small file system of the embedded engine: only the operations
// that an append-only log and immutable blocks need, so that tests can replace it
// with one that crashes or fails.
//
// One rule holds for every implementation: bytes are durable once [File.Sync]
// returned nil; names (created, renamed, removed) are durable once [FS.SyncDir] of
// their directory returned nil. After a failed Sync, do not trust or write the file
// again: its bytes after the last good Sync may be lost, although they can still be
// read.
package vfs

import (
	"fmt"
	"io"
)

// FS is a file system. Methods may be called by many goroutines at once. Names are
// paths with the separator of the implementation; errors match fs.ErrExist,
// fs.ErrNotExist and fs.ErrPermission where they apply.
type FS interface {
	// Create makes a file for writing; it truncates an existing one.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	Remove(name string) error
	// Rename moves a file and replaces a file with the new name.
	Rename(from, to string) error
	// MkdirAll makes a directory and its parents.
	MkdirAll(dir string) error
	// List returns the names of a directory's entries, sorted.
	List(dir string) ([]string, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Lock takes a lock that excludes other processes (and openers); it returns
	// ErrLocked if one holds it. Closing it, or the end of the process, releases it.
	Lock(name string) (io.Closer, error)
}

// File is an open file. ReadAt may be called by many goroutines at once.
type File interface {
	io.ReaderAt
	io.Writer // appends
	io.Closer
	// Sync makes the bytes written so far durable.
	Sync() error
	// Size returns the length in bytes.
	Size() (int64, error)
}

// CorruptError reports that a file does not have the content that was written to it.
type CorruptError struct {
	File   string
	Offset int64 // first unreadable byte; -1 for the whole file
	Err    error
}

// Error names the file and the offset.
func (e *CorruptError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s is damaged at byte %d: %v", e.File, e.Offset, e.Err)
}

// Unwrap returns the underlying error.
func (e *CorruptError) Unwrap() error { return e.Err }

// Corrupt makes a CorruptError.
func Corrupt(file string, offset int64, format string, args ...any) error {
	return &CorruptError{File: file, Offset: offset, Err: fmt.Errorf(format, args...)}
}

// Lost makes a CorruptError for a whole file that is missing or unusable.
func Lost(file, format string, args ...any) error {
	return &CorruptError{File: file, Offset: -1, Err: fmt.Errorf(format, args...)}
}
