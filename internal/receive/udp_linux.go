package receive

import (
	"encoding/binary"
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// oobSize is the size of the kernel's count of dropped datagrams, in bytes.
var oobSize = unix.CmsgSpace(4)

// tune asks the kernel for a large socket buffer, and to report how many datagrams it
// dropped.
func tune(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		// The first option goes beyond net.core.rmem_max, and needs a privilege.
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, udpSocketBuffer) != nil {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, udpSocketBuffer)
		}
		failed = errors.Join(failed, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1))
	})
	return errors.Join(err, failed)
}

// overflow reads how many datagrams the kernel has dropped on this socket so far. The
// kernel reports it only together with a later datagram.
func overflow(oob []byte) (uint32, bool) {
	if len(oob) == 0 {
		return 0, false
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_RXQ_OVFL && len(m.Data) >= 4 {
			return binary.NativeEndian.Uint32(m.Data), true
		}
	}
	return 0, false
}
