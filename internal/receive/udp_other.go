//go:build !linux

package receive

import "net"

// oobSize is 0: only Linux reports how many datagrams it dropped.
const oobSize = 0

func tune(conn *net.UDPConn) error {
	// Systems have different limits; the default size works everywhere.
	_ = conn.SetReadBuffer(udpSocketBuffer)
	return nil
}

func overflow([]byte) (uint32, bool) { return 0, false }
