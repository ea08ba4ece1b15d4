package receive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/room"
	"github.com/fluoro-io/fluoro/internal/trace"
	"golang.org/x/net/ipv4"
)

// MaxDatagram is the maximum size of a datagram: the stock daemon reads as many bytes,
// and UDP carries no more.
const MaxDatagram = 64 << 10

const (
	datagramsAtOnce = 32       // read by one system call
	udpSocketBuffer = 16 << 20 // bytes asked of the kernel, which may give less
	udpQueueLength  = 64 << 10
	udpAppendMost   = 512     // documents stored together
	udpAppendBytes  = 1 << 20 // their bytes
	udpAppenders    = 4       // batches stored at the same time, which share a sync
)

// UDP listens for X-Ray daemon datagrams: a header line and a segment document
// (aws-xray-daemon, pkg/tracesegment). It answers nothing, and counts what it does not
// store, by reason and source.
type UDP struct {
	in      *Intake
	who     Who
	conn    *net.UDPConn
	queue   chan datagram
	room    *room.Room // for the datagrams in the queue, in bytes
	slot    int64      // the least bytes that a datagram counts with
	readers sync.WaitGroup
	writers sync.WaitGroup
}

// Who authenticates the sender at an address, host:port. Its errors are those of an
// identity.Authenticator.
type Who func(source string) (identity.Principal, error)

type datagram struct {
	body   []byte
	from   Sender
	weight int64 // bytes of room
}

// ListenUDP binds addr.
func ListenUDP(addr string, in *Intake, who Who) (*UDP, error) {
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for datagrams on %s: %w", addr, err)
	}
	conn, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, fmt.Errorf("listen for datagrams on %s: %w", addr, err)
	}
	u := &UDP{in: in, who: who, conn: conn, queue: make(chan datagram, udpQueueLength), room: room.New(in.udpQueue)}
	u.slot = (in.udpQueue + udpQueueLength - 1) / udpQueueLength // so that the room is full before the queue is
	if err := tune(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("listen for datagrams on %s: %w", addr, err)
	}
	return u, nil
}

// Addr returns the address of the listener.
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

// Close stops reading; Serve returns when everything that was read is stored.
func (u *UDP) Close() error { return u.conn.Close() }

// read moves datagrams from the socket to the queue.
func (u *UDP) read() {
	conn := ipv4.NewPacketConn(u.conn)
	messages := make([]ipv4.Message, datagramsAtOnce)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, MaxDatagram)}
		messages[i].OOB = make([]byte, oobSize)
	}
	var dropped uint32
	for {
		n, err := conn.ReadBatch(messages, 0)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Errors of single datagrams (such as ICMP answers) do not close the socket.
			u.in.tally.Refuse(Sender{Protocol: ProtocolUDP}, "ReadError", err.Error())
			continue
		}
		for i := range messages[:n] {
			m := &messages[i]
			if total, ok := overflow(m.OOB[:m.NN]); ok && total != dropped {
				u.in.tally.Drop(Sender{Protocol: ProtocolUDP}, "KernelBufferFull", "datagrams came faster than they were read; a larger net.core.rmem_max helps", int(total-dropped))
				dropped = total
			}
			u.enqueue(m.Buffers[0][:m.N], m.Addr)
		}
	}
}

func (u *UDP) enqueue(b []byte, addr net.Addr) {
	from := Sender{Protocol: ProtocolUDP, Source: sourceOf(addr)}
	p, err := u.who(from.Source)
	if err != nil {
		u.in.tally.Refuse(from, identity.Label(err), err.Error())
		return
	}
	from.Account = p.Account
	body, refusal := decode.Datagram(b)
	if refusal != nil {
		u.in.tally.Refuse(from, refusal.Code, refusal.Error())
		return
	}
	if err := u.in.quota.MaySend(from.Account); err != nil {
		u.in.tally.Drop(from, "Quota", err.Error(), 1)
		return
	}
	weight := max(int64(len(body)), u.slot)
	if u.room.Try(from.Account, weight, 0) != room.Granted {
		u.in.tally.Drop(from, "QueueFull", "datagrams came faster than they were stored", 1)
		return
	}
	select {
	case u.queue <- datagram{append([]byte(nil), body...), from, weight}:
	default:
		u.room.Give(from.Account, weight)
		u.in.tally.Drop(from, "QueueFull", "datagrams came faster than they were stored", 1)
	}
}

// sourceOf is addr.String() with one allocation instead of three.
func sourceOf(addr net.Addr) string {
	u, ok := addr.(*net.UDPAddr)
	if !ok {
		return addr.String()
	}
	at := u.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String()
}

// parcel holds the documents of one account that are stored together.
type parcel struct {
	from     Sender // of the first of them
	segments []*trace.Segment
	weight   int64
	bytes    int64 // of the datagrams
}

// store decodes and stores the queue, as many documents at once as there are.
func (u *UDP) store() {
	var parcels []parcel
	for d := range u.queue {
		at := u.in.stamp()
		documents := decode.NewDocuments(u.in.mapper)
		n, size := 0, 0
		for more := true; more; {
			n, size = n+1, size+len(d.body)
			i := slices.IndexFunc(parcels, func(p parcel) bool { return p.from.Account == d.from.Account })
			if i < 0 {
				i = len(parcels)
				parcels = append(parcels, parcel{from: d.from})
			}
			p := &parcels[i]
			p.weight += d.weight
			p.bytes += int64(len(d.body))
			if scrub, err := u.in.scrub(context.Background(), d.from.Account); err != nil {
				u.in.tally.Drop(d.from, "Scrub", err.Error(), 1)
			} else {
				var refusal *decode.Refusal
				if p.segments, refusal = documents.Append(p.segments, scrub.Document(d.body), at); refusal != nil {
					u.in.tally.Refuse(d.from, refusal.Code, scrub.Message(refusal.Error()))
				}
			}
			more = false
			if n < udpAppendMost && size < udpAppendBytes {
				select {
				case d, more = <-u.queue:
				default:
				}
			}
		}
		for _, p := range parcels {
			p.segments = u.in.withinSeries(p.from.Account, p.segments, func(_ *trace.Segment, err error) {
				u.in.tally.Drop(p.from, "Quota", err.Error(), 1)
			})
			// The Intake counts failures; nobody waits for an answer.
			_, _ = u.in.append(context.Background(), p.from, p.segments)
			u.in.quota.Sent(p.from.Account, 0, p.bytes)
			u.room.Give(p.from.Account, p.weight)
		}
		clear(parcels)
		parcels = parcels[:0]
	}
}
