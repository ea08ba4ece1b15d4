package receive

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/prometheus/client_golang/prometheus"
)

// An account that floods the room for requests leaves room for another account as soon
// as that one makes a request, and takes none of its room.
func TestIntake_aFloodLeavesRoomForOtherAccounts(t *testing.T) {
	in := New(Options{MaxInFlight: 1 << 20})
	var flood []func()
	more := func() bool {
		release, err := in.AdmitFor("a", 10<<10)
		if err == nil {
			flood = append(flood, release)
		}
		return err == nil
	}
	for more() {
	}
	if in.InFlight() < 1<<20-10<<10 {
		t.Fatalf("alone it gets %d", in.InFlight())
	}
	if _, err := in.AdmitFor("b", 100<<10); trace.KindOf(err) != trace.KindThrottled || !strings.Contains(err.Error(), "are being stored already") {
		t.Fatalf("while all is taken: %v", err)
	}
	for range 60 { // the flood continues while its requests end
		flood[0]()
		flood = flood[1:]
		more()
	}
	release, err := in.AdmitFor("b", 100<<10)
	if err != nil {
		t.Fatalf("during the flood: %v", err)
	}
	if _, err := in.AdmitFor("a", 10<<10); err == nil || !strings.Contains(err.Error(), "other accounts need the rest") {
		t.Errorf("the flood: %v", err)
	}
	release()
	for _, release := range flood {
		release()
	}
	if in.InFlight() != 0 {
		t.Errorf("%d are left", in.InFlight())
	}
}

// A request that is the only one of its account may take all free room, although its
// body and its documents are reserved one after the other.
func TestIntake_theOnlyRequestOfAnAccountMayBeLarge(t *testing.T) {
	k := &keeper{names: map[trace.Account]map[string]int{}}
	in := New(Options{Store: k, MaxInFlight: 1 << 20, Tally: NewTally(prometheus.NewRegistry(), time.Now, nil)})
	other, err := in.AdmitFor("b", 1) // another account is present
	if err != nil {
		t.Fatal(err)
	}
	defer other()
	var docs [][]byte
	size := 0
	for i := range 700 {
		_, doc, _ := strings.Cut(string(datagramOf(i, "large")), "\n")
		docs, size = append(docs, []byte(doc)), size+len(doc)
	}
	release, err := in.AdmitFor("a", int64(2*size)) // the body
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if refused, err := in.Documents(t.Context(), "a", "", docs); err != nil || len(refused) > 0 {
		t.Errorf("%d documents of %d bytes: %v, %v", len(docs), size, refused, err)
	}
}

// Slow bodies lose their room, except those of an account that holds less than the
// account that needs room.
func TestIntake_evictsNoSlowBodyOfASmallerAccount(t *testing.T) {
	in := New(Options{MaxInFlight: 1 << 20})
	slow := func(account trace.Account, n int64) *arrival {
		a := in.arrive(httptest.NewRecorder(), &http.Request{RemoteAddr: fmt.Sprintf("10.0.0.%d:1", len(in.arrivals.list)+1)}, account)
		if err := a.take(n); err != nil {
			t.Fatal(err)
		}
		a.began = a.began.Add(-time.Minute)
		return a
	}
	small, large := slow("b", 50<<10), slow("a", 300<<10)
	release, err := in.AdmitFor("c", 600<<10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.AdmitFor("a", 200<<10); err != nil {
		t.Errorf("with room of its own slow body: %v", err)
	}
	if small.lost.Load() || !large.lost.Load() {
		t.Errorf("the small account's body is lost: %v, the asker's own: %v", small.lost.Load(), large.lost.Load())
	}
	release()
}

// One address that sends for two accounts has a share in each.
func TestRead_shareOfAnAddressIsByAccount(t *testing.T) {
	in := New(Options{MaxInFlight: 1 << 20})
	from := func(account trace.Account) *arrival {
		return in.arrive(httptest.NewRecorder(), &http.Request{RemoteAddr: "10.0.0.1:1"}, account)
	}
	if err := from("a").take(400 << 10); err != nil {
		t.Fatal(err)
	}
	if err := from("a").take(200 << 10); trace.KindOf(err) != trace.KindThrottled {
		t.Errorf("over the share: %v", err)
	}
	if err := from("b").take(200 << 10); err != nil {
		t.Errorf("the other account: %v", err)
	}
}

// keeper remembers the account of stored segments.
type keeper struct {
	mu    sync.Mutex
	names map[trace.Account]map[string]int
}

func (k *keeper) Append(_ context.Context, account trace.Account, batch []*trace.Segment) ([]trace.Refused, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.names[account] == nil {
		k.names[account] = map[string]int{}
	}
	for _, s := range batch {
		k.names[account][s.Name]++
	}
	return nil, nil
}

func (k *keeper) count(account trace.Account, name string) (of, all int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.names[account] {
		all += n
	}
	return k.names[account][name], all
}

func datagramOf(i int, name string) []byte {
	return fmt.Appendf(nil, "{\"format\":\"json\",\"version\":1}\n{\"name\":%q,\"id\":\"%016x\",\"trace_id\":\"1-5f84c7a1-%024x\",\"start_time\":1.5,\"end_time\":2}", name, i+1, i+1)
}

// listen binds a listener whose senders' ports determine the account: 1 is "a", 2 is
// "b".
func listen(t *testing.T, o Options) *UDP {
	t.Helper()
	o.Tally = NewTally(prometheus.NewRegistry(), time.Now, nil)
	u, err := ListenUDP("127.0.0.1:0", New(o), func(source string) (p identity.Principal, err error) {
		switch _, port, _ := net.SplitHostPort(source); port {
		case "1":
			p.Account = "a"
		case "2":
			p.Account = "b"
		default:
			err = trace.Errorf(trace.KindDenied, "who is %s", source)
		}
		return p, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return u
}

func from(port int) net.Addr { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }

// Datagrams of several accounts that are stored together stay with their accounts;
// those without an account are refused.
func TestUDP_keepsAccountsApart(t *testing.T) {
	k := &keeper{names: map[trace.Account]map[string]int{}}
	u := listen(t, Options{Store: k})
	for i := range 300 {
		u.enqueue(datagramOf(i, "of a"), from(1))
		u.enqueue(datagramOf(i, "of b"), from(2))
		u.enqueue(datagramOf(i, "of nobody"), from(3))
	}
	done := make(chan error)
	go func() { done <- u.Serve() }()
	_ = u.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for account, name := range map[trace.Account]string{"a": "of a", "b": "of b"} {
		if of, all := k.count(account, name); of != 300 || all != 300 {
			t.Errorf("account %s has %d of its own of %d", account, of, all)
		}
		if c := u.in.tally.Counts(account); len(c) != 1 || c[0].Count != 300 || c[0].Outcome != OutcomeAccepted {
			t.Errorf("account %s is counted %+v", account, c)
		}
	}
	if c := u.in.tally.Counts(""); len(c) != 1 || c[0].Reason != "Identity" || c[0].Count != 300 || len(k.names) != 2 {
		t.Errorf("nobody is counted %+v, stored are %v", c, k.names)
	}
	if u.room.Used() != 0 {
		t.Errorf("%d bytes are left", u.room.Used())
	}
}

// A flood of datagrams of one account leaves room in the queue for those of another
// one, however small they are.
func TestUDP_aFloodLeavesRoomForOtherAccounts(t *testing.T) {
	u := listen(t, Options{UDPQueueBytes: 64 << 10})
	flood := func() (n int) {
		before := u.room.Held("a")
		for range 2000 {
			u.enqueue(datagramOf(n, "of a"), from(1))
			if u.room.Held("a") == before {
				return n
			}
			n, before = n+1, u.room.Held("a")
		}
		return n
	}
	all := flood()
	u.enqueue(datagramOf(0, "of b"), from(2)) // finds no room and is dropped
	for range all / 2 {
		d := <-u.queue
		u.room.Give(d.from.Account, d.weight)
		flood()
	}
	u.enqueue(datagramOf(1, "of b"), from(2))
	if c := u.in.tally.Counts("b"); len(c) != 1 || c[0].Count != 1 || c[0].Reason != "QueueFull" || u.room.Held("b") == 0 {
		t.Errorf("b holds %d bytes and is counted %+v", u.room.Held("b"), c)
	}
}
