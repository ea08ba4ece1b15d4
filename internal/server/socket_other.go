//go:build !linux

package server

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// Other systems have no sockets without a file.

func listenAbstract(string) (net.Listener, error) { return nil, errors.ErrUnsupported }

func dialAbstract(context.Context, string) (net.Conn, error) { return nil, errors.ErrUnsupported }

func makePrivate(_, _ string, _ syscall.RawConn) error { return nil }
