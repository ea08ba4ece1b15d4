package receive

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/room"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A body takes room as its bytes arrive: a sender that announces a large body and sends
// few bytes holds little. A slow sender loses its room: after a while in any case, and
// at once when others need it.
const (
	firstBuffer = 4 << 10  // bytes of a body's first buffer, before its sender has sent anything
	largeBuffer = 32 << 10 // bytes of the second one
	// In each arrivalGrace a body must bring leastProgress bytes, or end.
	arrivalGrace  = 10 * time.Second
	leastProgress = 40 << 10
	// When room is short, a body loses its room if it arrived slower than slowRate when
	// its rate was last measured, over at least slowAfter.
	slowAfter = 500 * time.Millisecond
	slowRate  = 64 << 10 // bytes a second
	// The bodies that one address is sending for an account may hold 1/clientShare of
	// the room.
	clientShare = 2
)

// arrivals holds the bodies that are being read.
type arrivals struct {
	mu      sync.Mutex
	list    map[*arrival]struct{}
	clients map[client]int64 // bytes that the bodies of a client hold
}

// client is an address that sends for an account.
type client struct {
	account trace.Account
	address netip.Prefix
}

// arrival is a body that is being read.
type arrival struct {
	in        *Intake
	client    client
	began     time.Time
	bytes     int64 // room that it holds; guarded by arrivals.mu
	lost      atomic.Bool
	got       atomic.Int64 // bytes read
	last      atomic.Int64 // when the last of them were read: nanoseconds after began
	setWithin func(time.Time) error

	deadline time.Time // of the read, as set last
	earned   int64     // bytes read when it was set

	// The rate of the last measurement, and the start of the present one: its time and
	// the bytes read until then. Guarded by arrivals.mu.
	rate     float64
	since    time.Time
	sinceGot int64
}

// rateAt returns how fast the body arrives, in bytes a second. The caller holds mu.
func (a *arrival) rateAt(now time.Time) float64 {
	if now.Sub(a.began)-time.Duration(a.last.Load()) >= slowAfter {
		return 0 // nothing arrives any more, however fast it was before
	}
	if took := now.Sub(a.since); took >= slowAfter {
		return float64(a.got.Load()-a.sinceGot) / took.Seconds()
	}
	return a.rate
}

// addressOf returns the address of a sender; for IPv6 the /64, which one customer has.
func addressOf(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{} // senders without an address share one
	}
	bits := 64
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		bits = 32
	}
	p, _ := addr.Prefix(bits)
	return p
}

// arrive begins to read the body of a request of an account. The caller calls finish
// when it has read it, or gives up.
func (in *Intake) arrive(w http.ResponseWriter, r *http.Request, account trace.Account) *arrival {
	now := time.Now()
	a := &arrival{in: in, client: client{account, addressOf(r.RemoteAddr)}, began: now, setWithin: http.NewResponseController(w).SetReadDeadline, rate: math.Inf(1), since: now}
	in.arrivals.mu.Lock()
	in.arrivals.list[a] = struct{}{}
	in.arrivals.mu.Unlock()
	return a
}

// finish ends reading. It moves the room of the body to a request, or frees it if to is
// nil.
func (a *arrival) finish(to *reservation) error {
	if to != nil {
		// The deadline was for the body; answering may take longer.
		defer a.setWithin(time.Time{})
	}
	l := &a.in.arrivals
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.list, a)
	switch {
	case to == nil:
		a.giveBack()
	case a.lost.Load():
		return a.why()
	default:
		to.bytes += a.bytes
		to.sent += a.got.Load()
		l.count(a.client, -a.bytes)
		a.bytes = 0
	}
	return nil
}

// giveBack frees the room of a body. The caller holds mu.
func (a *arrival) giveBack() {
	a.in.room.Give(a.client.account, a.bytes)
	a.in.arrivals.count(a.client, -a.bytes)
	a.bytes = 0
}

func (l *arrivals) count(c client, n int64) {
	if l.clients[c] += n; l.clients[c] == 0 {
		delete(l.clients, c)
	}
}

// take reserves n more bytes of room for the body.
func (a *arrival) take(n int64) error {
	in := a.in
	share := in.maxInFlight / clientShare
	l := &in.arrivals
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case a.lost.Load():
		return a.why()
	case a.bytes+n > share:
		return in.tooLarge(clientShare * (a.bytes + n))
	}
	fits := func() bool { return l.clients[a.client]+n <= share }
	if !fits() && !in.evict(a, fits, func(other *arrival) bool { return other.client == a.client }) {
		return trace.Errorf(trace.KindThrottled, "requests that this address is sending take %d MB already, the most that one may; try again in a second", share>>20)
	}
	if err := in.reserve(a.client.account, n, a.bytes, a); err != nil {
		return err
	}
	a.bytes += n
	l.count(a.client, n)
	return nil
}

// why returns the error for a body that lost its room.
func (a *arrival) why() error {
	return trace.Errorf(trace.KindThrottled, "the request came slowly, %d bytes in %.1f s, and others needed its room; try again in a second", a.got.Load(), time.Since(a.began).Seconds())
}

// reserve takes n bytes of the room for a request of an account; the request holds own
// bytes already. If there is not enough room, slow bodies lose theirs: those of the
// same account, and those of accounts that hold as much or more, except the body but.
// The caller holds arrivals.mu.
func (in *Intake) reserve(account trace.Account, n, own int64, but *arrival) error {
	verdict := in.room.Try(account, n, own)
	if verdict == room.Granted {
		return nil
	}
	held := in.room.Held(account)
	fits := func() bool {
		verdict = in.room.Try(account, n, own)
		return verdict == room.Granted
	}
	if in.evict(but, fits, func(a *arrival) bool {
		return a.client.account == account || verdict == room.Full && in.room.Held(a.client.account) >= held
	}) {
		return nil
	}
	if verdict == room.Over {
		return trace.Errorf(trace.KindThrottled, "requests of this account take %d MB already, and other accounts need the rest; try again in a second", in.room.Held(account)>>20)
	}
	return in.full()
}

// evict takes the room from slow bodies that may selects, the slowest first, until
// enough returns true, and says whether it did. The caller holds mu.
func (in *Intake) evict(but *arrival, enough func() bool, may func(*arrival) bool) bool {
	type slow struct {
		a    *arrival
		rate float64
	}
	var list []slow
	now := time.Now()
	for a := range in.arrivals.list {
		if rate := a.rateAt(now); a != but && rate < slowRate && a.bytes > 0 {
			list = append(list, slow{a, rate})
		}
	}
	slices.SortFunc(list, func(x, y slow) int { return cmp.Compare(x.rate, y.rate) })
	for _, s := range list {
		if !may(s.a) {
			continue
		}
		s.a.lost.Store(true)
		s.a.giveBack()
		_ = s.a.setWithin(time.Unix(1, 0)) // ends the read that it waits in
		if enough() {
			return true
		}
	}
	return false
}

// extend moves the deadline of the next read if the body came fast enough, and
// measures its rate.
func (a *arrival) extend() error {
	now, got := time.Now(), a.got.Load()
	a.last.Store(int64(now.Sub(a.began)))
	if a.deadline.IsZero() || got-a.earned >= leastProgress {
		a.earned = got
		if d := now.Add(arrivalGrace); d.Sub(a.deadline) >= time.Second {
			a.deadline = d
			_ = a.setWithin(d) // not every writer has deadlines; those of the server do
		}
	}
	if now.Sub(a.since) >= slowAfter {
		a.in.arrivals.mu.Lock()
		a.rate, a.since, a.sinceGot = a.rateAt(now), now, got
		a.in.arrivals.mu.Unlock()
	}
	// evict may have set its deadline just before this one.
	if a.lost.Load() {
		return a.why()
	}
	return nil
}

// read reads size bytes, or up to the end if size is negative; at most limit. With
// reuse the bytes are in a buffer that the caller may pass to recycle.
func (a *arrival) read(src io.Reader, size, limit int64, reuse bool) ([]byte, error) {
	if size > limit {
		return nil, errLimit(limit)
	}
	if share := a.in.maxInFlight / clientShare; size > share {
		return nil, a.in.tooLarge(clientShare * size)
	}
	most := limit + 1 // one byte more shows that the body is too large
	if size >= 0 {
		most = size
	}
	buf, err := a.grow(nil, most, reuse)
	for err == nil && int64(len(buf)) < most {
		if len(buf) == cap(buf) {
			if buf, err = a.grow(buf, most, reuse); err != nil {
				break
			}
		}
		if err = a.extend(); err != nil {
			break
		}
		var n int
		n, err = src.Read(buf[len(buf):min(int64(cap(buf)), most)])
		buf = buf[:len(buf)+n]
		a.got.Add(int64(n))
	}
	switch {
	case size >= 0 && int64(len(buf)) == size, size < 0 && errors.Is(err, io.EOF) && int64(len(buf)) <= limit:
		return buf, nil
	case size < 0 && int64(len(buf)) > limit:
		err = errLimit(limit)
	case a.lost.Load():
		err = a.why()
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = trace.Errorf(trace.KindTimeout, "the request came too slowly: %d bytes in %.0f s", a.got.Load(), time.Since(a.began).Seconds())
	case trace.KindOf(err) == trace.KindInternal:
		if size >= 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		err = trace.Errorf(trace.KindInvalid, "request body could not be read after %d bytes: %v", len(buf), err)
	}
	recycle(buf)
	return nil, err
}

// grow moves the bytes to a larger buffer: in large steps at first, then twice the size.
func (a *arrival) grow(buf []byte, most int64, reuse bool) ([]byte, error) {
	next := int64(2 * cap(buf))
	switch cap(buf) {
	case 0:
		next = firstBuffer
	case firstBuffer:
		next = largeBuffer
	case largeBuffer:
		next = 4 * largeBuffer
	}
	if share := a.in.maxInFlight / clientShare; next > share && share > int64(cap(buf)) {
		next = share
	}
	if next >= most {
		if next = most; reuse {
			next = classSize(next)
		}
	}
	if err := a.take(next - int64(cap(buf))); err != nil {
		return buf, err
	}
	into := buffer(int(next))
	into = append(into, buf...)
	recycle(buf)
	return into, nil
}

func errLimit(limit int64) error {
	return trace.Errorf(trace.KindTooLarge, "request body is larger than %d bytes", limit)
}

// Buffers of 4 KB to 1 MB, in powers of 2, are pooled.
const (
	leastClass = 12
	mostClass  = 20
)

var classes [mostClass - leastClass + 1]sync.Pool

// classSize returns the size of the smallest pooled buffer for n bytes, n if none is
// large enough.
func classSize(n int64) int64 {
	for size := int64(1) << leastClass; size <= 1<<mostClass; size *= 2 {
		if n <= size {
			return size
		}
	}
	return n
}

func classOf(size int) *sync.Pool {
	for i := range classes {
		if size == 1<<(leastClass+i) {
			return &classes[i]
		}
	}
	return nil
}

// buffer returns an empty buffer with room for size bytes.
func buffer(size int) []byte {
	if class := classOf(size); class != nil {
		if b, ok := class.Get().(*[]byte); ok {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, size)
}

// recycle puts a buffer back into its pool. Nothing may refer to it any more.
func recycle(b []byte) {
	if class := classOf(cap(b)); class != nil {
		class.Put(&b)
	}
}

// Read reads and decompresses (Content-Encoding) the body of a request of the X-Ray
// API, at most limit bytes in either form. It reserves room for the body until release
// is called. If the body brings segments, Read counts a refusal, and the caller must not
// use the bytes after release. The error is of KindTooLarge, KindThrottled, KindTimeout,
// KindUnsupported (then Accept-Encoding is set in the answer), KindInvalid, or that of
// identity.From.
func (in *Intake) Read(w http.ResponseWriter, r *http.Request, limit int64, segments bool) (body []byte, release func(), err error) {
	p, err := identity.From(r.Context())
	if err != nil {
		return nil, nil, err
	}
	taken := &reservation{in: in, account: p.Account}
	if body, err = in.readBody(w, r, taken, reading{limit, 1, segments}); err != nil {
		taken.release()
		if segments {
			in.refuse(Sender{p.Account, ProtocolXRay, r.RemoteAddr}, err)
		}
		return nil, nil, err
	}
	if segments {
		in.quota.Sent(p.Account, 0, taken.sent)
	}
	return body, func() {
		taken.release()
		if segments {
			recycle(body)
		}
	}, nil
}

// reading says how a body is read.
type reading struct {
	limit int64 // bytes, compressed and decompressed
	times int64 // the request needs at least this many times the size of its plain body
	reuse bool  // the bytes may be in a buffer that recycle takes back
}

// readBody reads and decompresses a body, and adds the room for it to taken. It refuses
// a body that can never fit before it reads it.
func (in *Intake) readBody(w http.ResponseWriter, r *http.Request, taken *reservation, how reading) ([]byte, error) {
	codings, err := codingsOf(r.Header["Content-Encoding"])
	switch {
	case err != nil:
		w.Header().Set("Accept-Encoding", acceptedCodings)
		return nil, err
	case r.ContentLength > how.limit:
		err = errLimit(how.limit)
	case len(codings) == 0 && how.times*r.ContentLength > in.maxInFlight:
		err = in.tooLarge(how.times * r.ContentLength)
	case r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody:
		return in.decompress(nil, codings, taken, how.limit, how.reuse)
	}
	if err != nil {
		w.Header().Set("Connection", "close")
		return nil, err
	}
	body, err := in.receive(w, r, taken, reading{limit: how.limit, reuse: how.reuse || len(codings) > 0})
	if err != nil {
		return nil, err
	}
	return in.decompress(body, codings, taken, how.limit, how.reuse)
}

// receive reads the bytes of a body as they were sent.
func (in *Intake) receive(w http.ResponseWriter, r *http.Request, taken *reservation, how reading) ([]byte, error) {
	a := in.arrive(w, r, taken.account)
	body, err := a.read(r.Body, r.ContentLength, how.limit, how.reuse)
	if err != nil {
		_ = a.finish(nil)
	} else {
		err = a.finish(taken)
	}
	if err != nil {
		if a.lost.Load() || trace.KindOf(err) != trace.KindThrottled {
			// Do not wait for the rest of the body: it may be large and slow.
			w.Header().Set("Connection", "close")
		}
		return nil, err
	}
	return body, nil
}

// Hold reads the body of a request into memory, at most limit bytes, and makes r.Body read
// these bytes. It reserves room for them until release is called. Its errors are those of
// Read, or that of the body.
func (in *Intake) Hold(w http.ResponseWriter, r *http.Request, limit int64) (release func(), err error) {
	p, err := identity.From(r.Context())
	if err != nil {
		return nil, err
	}
	taken := &reservation{in: in, account: p.Account}
	body, err := in.receive(w, r, taken, reading{limit: limit})
	if err != nil {
		taken.release()
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return taken.release, nil
}
