package vfs

import "golang.org/x/sys/unix"

// Sync makes content and size durable, but does not wait for the times.
func (f osFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}
