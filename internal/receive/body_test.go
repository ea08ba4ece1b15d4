package receive

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/prometheus/client_golang/prometheus"
)

// arriving is an Intake behind a server; the test controls its requests.
type arriving struct {
	*Intake
	t      *testing.T
	addr   string
	errors chan error // one for each body, nil if it was read
}

func newArriving(t *testing.T, most int64) *arriving {
	a := &arriving{t: t, errors: make(chan error, 100)}
	a.Intake = New(Options{MaxInFlight: most, Tally: NewTally(prometheus.NewRegistry(), time.Now, nil)})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := identity.Principal{Owner: trace.Owner{Account: "0"}}
		_, release, err := a.Read(w, r.WithContext(identity.With(r.Context(), p)), 16<<20, true)
		if err == nil {
			release()
		}
		a.errors <- err
	}))
	t.Cleanup(s.Close)
	a.addr = s.Listener.Addr().String()
	return a
}

// begin starts a body of some size and sends its first bytes.
func (a *arriving) begin(size, sent int) net.Conn {
	a.t.Helper()
	c, err := net.Dial("tcp", a.addr)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", sent)); err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a *arriving) inFlight(what string, ok func(n int64) bool) {
	a.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(a.InFlight()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			a.t.Fatalf("%s: %d in flight", what, a.InFlight())
		}
	}
}

// A body holds room for the bytes that arrived, not for those that were announced.
func TestRead_takesRoomAsBytesCome(t *testing.T) {
	a := newArriving(t, 64<<20)
	c := a.begin(8<<20, 1)
	a.inFlight("one byte", func(n int64) bool { return n == firstBuffer })
	fmt.Fprint(c, strings.Repeat("x", 1<<20-1))
	a.inFlight("a megabyte", func(n int64) bool { return n >= 1<<20 && n <= 2<<20 })
	fmt.Fprint(c, strings.Repeat("x", 7<<20))
	if err := <-a.errors; err != nil {
		t.Error(err)
	}
	a.inFlight("the end", func(n int64) bool { return n == 0 })
	c.Close()
	a.begin(8<<20, 1<<20).Close()
	if err := <-a.errors; trace.KindOf(err) != trace.KindInvalid {
		t.Errorf("half a body: %v", err)
	}
	a.inFlight("a client that went", func(n int64) bool { return n == 0 })
}

// When room is short, slow senders lose theirs and get an error; fast senders keep
// theirs. While there is room, slow senders keep theirs too.
func TestRead_slowOnesMakeRoom(t *testing.T) {
	a := newArriving(t, 4<<20)
	var slow []net.Conn
	for range 4 {
		slow = append(slow, a.begin(1<<20, 400_000)) // a fast start gives no advantage
	}
	a.inFlight("slow ones hold", func(n int64) bool { return n == 4*512<<10 })
	time.Sleep(slowAfter + 100*time.Millisecond)
	release, err := a.Admit(1 << 20)
	if err != nil || len(a.errors) > 0 {
		t.Fatalf("while there is room: %v, %d ended", err, len(a.errors))
	}
	release()
	for range 3 {
		if _, err := a.Admit(1 << 20); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := <-a.errors; trace.KindOf(err) != trace.KindThrottled || !strings.Contains(err.Error(), "slowly") {
			t.Errorf("a slow one: %v", err)
		}
	}
	answered := 0
	for _, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if b := make([]byte, 100); true {
			if n, _ := c.Read(b); strings.HasPrefix(string(b[:n]), "HTTP/1.1 ") {
				answered++
			}
		}
	}
	if answered != 2 || a.InFlight() > 4<<20 {
		t.Errorf("%d slow ones lost their room, %d in flight", answered, a.InFlight())
	}
}

// One address cannot hold more than its share of the arriving bodies.
func TestRead_shareOfAClient(t *testing.T) {
	in := New(Options{MaxInFlight: 1 << 20})
	from := func(remote string) *arrival {
		return in.arrive(httptest.NewRecorder(), &http.Request{RemoteAddr: remote}, "0")
	}
	first, again, other := from("10.0.0.1:1"), from("[::ffff:10.0.0.1]:2"), from("10.0.0.2:1")
	if err := first.take(400 << 10); err != nil {
		t.Fatal(err)
	}
	if err := again.take(200 << 10); trace.KindOf(err) != trace.KindThrottled {
		t.Errorf("over the share: %v", err)
	}
	if err := other.take(500 << 10); err != nil {
		t.Errorf("another: %v", err)
	}
	if err := other.take(100 << 10); trace.KindOf(err) != trace.KindTooLarge {
		t.Errorf("more than a share alone: %v", err)
	}
	// Bytes that have arrived count for the request, no longer for its sender.
	taken := &reservation{in: in, account: "0"}
	if err := first.finish(taken); err != nil {
		t.Fatal(err)
	}
	_ = other.finish(nil)
	if err := again.take(500 << 10); err != nil {
		t.Errorf("after the first has come: %v", err)
	}
	_ = again.finish(nil)
	if taken.release(); in.InFlight() != 0 || len(in.arrivals.clients) != 0 || len(in.arrivals.list) != 0 {
		t.Errorf("left: %d in flight, %v, %v", in.InFlight(), in.arrivals.clients, in.arrivals.list)
	}
	if a, b := addressOf("[2001:db8:1:2::1]:5"), addressOf("[2001:db8:1:2:ffff::9%eth0]:7"); a != b {
		t.Errorf("one network of IPv6 is %v and %v", a, b)
	}
}

// A sender that sends too little within the time gets an error.
func TestRead_tooSlow(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for ten seconds")
	}
	t.Parallel()
	a := newArriving(t, 64<<20)
	c := a.begin(1<<20, 100_000)
	go func() {
		for {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}()
	began := time.Now()
	err := <-a.errors
	if took := time.Since(began); trace.KindOf(err) != trace.KindTimeout || took > 2*arrivalGrace {
		t.Errorf("after %v: %v", took, err)
	}
	a.inFlight("nothing is left", func(n int64) bool { return n == 0 })
}
