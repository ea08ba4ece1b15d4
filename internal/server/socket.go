package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketName is the name of the admin socket in the data directory. Who may open it has
// the rights of the operator: only the user that runs the server, and root.
const socketName = "admin.sock"

// maxSocketPath is the room for the path of a socket in the system's structures
// (unix(7)), the final NUL excluded. Darwin has the smallest.
const maxSocketPath = 103

// atSocket calls f with a path for the socket of a directory that fits into the system's
// structures. For a long path it leads through the open directory (proc(5)).
func atSocket(dir string, f func(path string) error) error {
	path := filepath.Join(dir, socketName)
	if len(path) <= maxSocketPath {
		return f(path)
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%s has %d bytes, more than the %d that a socket may have", path, len(path), maxSocketPath)
	}
	open, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer open.Close()
	return f(filepath.Join("/proc/self/fd", strconv.Itoa(int(open.Fd())), socketName))
}

// listenSocket makes the admin socket of a data directory, which the caller has locked.
func listenSocket(dir string) (l net.Listener, err error) {
	err = atSocket(dir, func(path string) error {
		// The lock tells that no other server uses the file: it is left from a crash.
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			var failed error
			// Before it is bound, so that at no time others can open it.
			err := c.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), 0o600) })
			if runtime.GOOS != "linux" {
				failed = nil // Chmod below must do
			}
			return errors.Join(err, failed)
		}}
		made, err := config.Listen(context.Background(), "unix", path)
		if err != nil {
			return err
		}
		if err := os.Chmod(path, 0o600); err != nil {
			return errors.Join(err, made.Close())
		}
		// The path may lead through a file descriptor that is closed when this returns.
		made.(*net.UnixListener).SetUnlinkOnClose(false)
		l = made
		return nil
	})
	return l, err
}

// dialSocket connects to the admin socket of a data directory.
func dialSocket(ctx context.Context, dir string) (c net.Conn, err error) {
	err = atSocket(dir, func(path string) error {
		c, err = (&net.Dialer{}).DialContext(ctx, "unix", path)
		return err
	})
	return c, err
}

// openSocket starts to listen on the admin socket. Without it the server works, but the
// commands about keys, users and so on need it to be stopped.
func (s *server) openSocket() {
	l, err := listenSocket(s.config.Data)
	if err != nil {
		s.log.Warn("there is no admin socket: fluoro keys, users and similar commands work only while this server is stopped", "error", err)
		return
	}
	s.adminAt = l
	s.admin = httpServer(s.adminDoor(), s.log)
	s.admin.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, socketKey{}, true)
	}
}

// adminDoor is the door of the admin socket: it serves all routes of the HTTP address. A
// browser cannot reach it, so it checks no names.
func (s *server) adminDoor() *door {
	return s.newDoor(onHTTP, routes(), http.NotFoundHandler())
}

// closeSocket removes the admin socket.
func (s *server) closeSocket() error {
	if s.adminAt == nil {
		return nil
	}
	_ = s.adminAt.Close() // already closed if it was served
	s.adminAt = nil
	if err := os.Remove(filepath.Join(s.config.Data, socketName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the admin socket: %w", err)
	}
	return nil
}
