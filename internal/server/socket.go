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
)

// The admin socket is the operator's way to a running server: whoever uses it has the
// rights of the root user of every account. On Linux it is a socket without a file (unix(7),
// "abstract"): it leaves nothing behind after a crash, directories can be copied while it
// is open, and both ends ask the kernel who is at the other end. Elsewhere, and if that
// name is taken, it is the file admin.sock in the data directory, which only the user that
// runs the server may open.
const socketName = "admin.sock"

// maxSocketPath is the room for the path of a socket in the system's structures
// (unix(7)), the final NUL excluded. Darwin has the smallest.
const maxSocketPath = 103

// atSocket calls f with a path for the file of a directory's socket that fits into the
// system's structures. For a long path it leads through the open directory (proc(5)).
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
func listenSocket(dir string) (net.Listener, error) {
	if err := os.Remove(filepath.Join(dir, socketName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err // left from a crash: the lock tells that no other server uses it
	}
	if l, err := listenAbstract(dir); err == nil {
		return l, nil
	}
	return listenFile(dir)
}

// listenFile makes the admin socket as a file.
func listenFile(dir string) (l net.Listener, err error) {
	err = atSocket(dir, func(path string) error {
		config := net.ListenConfig{Control: makePrivate}
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
	if c, err := dialAbstract(ctx, dir); err == nil {
		return c, nil
	}
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
