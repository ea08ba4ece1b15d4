//go:build !unix

package transport

import "io/fs"

// inode has no meaning on this system.
func inode(fs.FileInfo) uint64 { return 0 }
