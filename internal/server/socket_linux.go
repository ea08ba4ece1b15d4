package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// abstractName is the name of a directory's admin socket without a file. It is the same
// for every path to the directory.
func abstractName(dir string) (name string, owner int, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", 0, errors.New("the directory has no number")
	}
	return fmt.Sprintf("@fluoro-admin-%x-%x", st.Dev, st.Ino), int(st.Uid), nil
}

func listenAbstract(dir string) (net.Listener, error) {
	name, _, err := abstractName(dir)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, err
	}
	return checked{l}, nil
}

// checked is a listener that closes connections of other users at once.
type checked struct{ net.Listener }

// Accept returns the next connection of the operator.
func (l checked) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peer(c); err == nil && isOperator(uid, os.Geteuid()) {
			return c, nil
		}
		_ = c.Close() // it is nobody's
	}
}

// isOperator reports whether a user may administer a server that runs as another user.
func isOperator(uid, server int) bool { return uid == server || uid == 0 }

// dialAbstract connects to a directory's socket. Anyone can listen under its name, so it
// checks that the owner of the directory does, or root, or this user.
func dialAbstract(ctx context.Context, dir string) (net.Conn, error) {
	name, owner, err := abstractName(dir)
	if err != nil {
		return nil, err
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", name)
	if err != nil {
		return nil, err
	}
	if uid, err := peer(c); err != nil || uid != owner && uid != 0 && uid != os.Geteuid() {
		_ = c.Close()
		return nil, fmt.Errorf("the admin socket belongs to the user %d: %w", uid, errors.Join(err, os.ErrPermission))
	}
	return c, nil
}

// peer returns the user at the other end of a connection (SO_PEERCRED).
func peer(c net.Conn) (uid int, err error) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	return int(cred.Uid), nil
}

// makePrivate makes a socket's file private before it exists, so that at no time others
// can open it.
func makePrivate(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), 0o600) })
	return errors.Join(err, failed)
}
