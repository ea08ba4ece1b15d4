package receive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
	"golang.org/x/net/ipv4"
)

const (
	maxDatagram     = 64 << 10 // what the stock daemon reads, and the most UDP carries
	datagramsAtOnce = 32       // read by one system call
	udpSocketBuffer = 16 << 20 // asked of the kernel; it may give less
	udpQueueLength  = 64 << 10
	udpAppendMost   = 512     // documents stored together
	udpAppendBytes  = 1 << 20 // of them
	udpAppenders    = 4       // batches stored at the same time, so that they share a sync
)

// UDP listens for X-Ray daemon datagrams: a header line and a segment document
// (aws-xray-daemon, pkg/tracesegment). Nothing is answered; what is not kept is
// counted by reason and source.
type UDP struct {
	in      *Intake
	account trace.Account
	conn    *net.UDPConn
	queue   chan datagram
	queued  atomic.Int64 // bytes read and not yet stored
	readers sync.WaitGroup
	writers sync.WaitGroup
}

type datagram struct {
	body   []byte
	source string
}

// ListenUDP binds addr.
func ListenUDP(addr string, in *Intake, account trace.Account) (*UDP, error) {
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for datagrams on %s: %w", addr, err)
	}
	conn, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, fmt.Errorf("listen for datagrams on %s: %w", addr, err)
	}
	u := &UDP{in: in, account: account, conn: conn, queue: make(chan datagram, udpQueueLength)}
	if err := tune(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("listen for datagrams on %s: %w", addr, err)
	}
	return u, nil
}

// Addr is the address that is listened on.
func (u *UDP) Addr() net.Addr { return u.conn.LocalAddr() }

// Serve reads until Close.
func (u *UDP) Serve() error {
	for range udpAppenders {
		u.writers.Go(u.store)
	}
	u.readers.Go(u.read)
	u.readers.Wait()
	close(u.queue)
	u.writers.Wait()
	return nil
}

// Close stops reading; Serve returns when all that was read is stored.
func (u *UDP) Close() error { return u.conn.Close() }

// read moves datagrams from the socket to the queue.
func (u *UDP) read() {
	conn := ipv4.NewPacketConn(u.conn)
	messages := make([]ipv4.Message, datagramsAtOnce)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, maxDatagram)}
		messages[i].OOB = make([]byte, oobSize)
	}
	var dropped uint32
	for {
		n, err := conn.ReadBatch(messages, 0)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Errors of single datagrams (such as ICMP answers) do not end the socket.
			u.in.tally.Refuse(ProtocolUDP, "", "ReadError", err.Error())
			continue
		}
		for i := range messages[:n] {
			m := &messages[i]
			if total, ok := overflow(m.OOB[:m.NN]); ok && total != dropped {
				u.in.tally.Drop(ProtocolUDP, "", "KernelBufferFull", "datagrams came faster than they were read; a larger net.core.rmem_max helps", int(total-dropped))
				dropped = total
			}
			u.enqueue(m.Buffers[0][:m.N], m.Addr)
		}
	}
}

func (u *UDP) enqueue(b []byte, from net.Addr) {
	source := from.String()
	body, refusal := decode.Datagram(b)
	if refusal != nil {
		u.in.tally.Refuse(ProtocolUDP, source, refusal.Code, refusal.Error())
		return
	}
	size := int64(len(body))
	if u.queued.Add(size) > u.in.udpQueue {
		u.queued.Add(-size)
		u.in.tally.Drop(ProtocolUDP, source, "QueueFull", "datagrams came faster than they were stored", 1)
		return
	}
	select {
	case u.queue <- datagram{body: append([]byte(nil), body...), source: source}:
	default:
		u.queued.Add(-size)
		u.in.tally.Drop(ProtocolUDP, source, "QueueFull", "datagrams came faster than they were stored", 1)
	}
}

// store decodes and stores what is queued, as many documents together as there
// are.
func (u *UDP) store() {
	for d := range u.queue {
		at := u.in.stamp()
		var batch []*trace.Segment
		documents := decode.NewDocuments(u.in.mapper)
		source, size := d.source, 0
		for more := true; more; {
			size += len(d.body)
			var refusal *decode.Refusal
			if batch, refusal = documents.Append(batch, d.body, at); refusal != nil {
				u.in.tally.Refuse(ProtocolUDP, d.source, refusal.Code, refusal.Error())
			}
			more = false
			if len(batch) < udpAppendMost && size < udpAppendBytes {
				select {
				case d, more = <-u.queue:
				default:
				}
			}
		}
		// The Intake has counted what fails; a datagram has nobody to tell.
		_, _ = u.in.append(context.Background(), ProtocolUDP, u.account, source, batch)
		u.queued.Add(-int64(size))
	}
}
