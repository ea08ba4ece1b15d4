package vfs

import "fmt"

// CorruptError is damage of a file: where, and what is wrong there.
type CorruptError struct {
	File   string
	Offset int64
	Err    error
}

// Error names file and offset.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %v", e.File, e.Offset, e.Err)
}

// Unwrap is what is wrong.
func (e *CorruptError) Unwrap() error { return e.Err }
