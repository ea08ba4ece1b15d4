package ship_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/audit/ship"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

var owner = trace.Owner{Account: "000000000000", Region: "us-east-1"}

var signer = sync.OnceValue(func() *audit.Signer {
	s, err := audit.NewSigner()
	if err != nil {
		panic(err)
	}
	return s
})

func openLog(t *testing.T) *audit.Log {
	t.Helper()
	l, err := audit.Open(t.Context(), audit.Options{Dir: "a", FS: vfs.NewMem(), Signer: signer(), Owner: owner})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func write(t *testing.T, l *audit.Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := l.Write(audit.NewEvent(owner, fmt.Sprint("Event", i), map[string]any{"text": "a\nb\x00\x1b[31m<1>é"})); err != nil {
			t.Fatal(err)
		}
	}
}

func start(t *testing.T, l *audit.Log, dir string, targets ...string) (stop func()) {
	t.Helper()
	s, err := ship.Start(ship.Options{Targets: targets, Source: l, Dir: dir, Secret: "s3cret", Server: "key", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 s:", what)
		}
	}
}

func nameOf(t *testing.T, text string) string {
	t.Helper()
	var e audit.Event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatal(err, text)
	}
	return e.Name
}

func wantNames(t *testing.T, got []string, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("%d records, want %d", len(got), n)
	}
	for i, name := range got {
		if name != fmt.Sprint("Event", i) {
			t.Fatalf("record %d is %s", i, name)
		}
	}
}

// A file gets each record once: over restarts, after a delivery whose position was not
// saved, after an unfinished line, and when it is moved away.
func TestFile_getsEachRecordOnce(t *testing.T) {
	l, dir, out := openLog(t), t.TempDir(), filepath.Join(t.TempDir(), "out.jsonl")
	read := func(names ...string) (got []string) {
		for _, name := range names {
			b, _ := os.ReadFile(name)
			for line := range strings.Lines(string(b)) {
				got = append(got, nameOf(t, line))
			}
		}
		return got
	}
	size := func() int { b, _ := os.ReadFile(out); return strings.Count(string(b), "\n") }
	write(t, l, 0, 1200)
	stop := start(t, l, dir, "file://"+out)
	eventually(t, "all are there", func() bool { return size() == 1200 })
	stop()
	positions, _ := filepath.Glob(filepath.Join(dir, "*.position"))
	before, err := os.ReadFile(positions[0])
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, 1200, 1210)
	stop = start(t, l, dir, "file://"+out)
	eventually(t, "the new ones are there", func() bool { return size() == 1210 })
	stop()
	// A crash after the delivery, in the middle of the next one.
	if err := os.WriteFile(positions[0], before, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(out, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"eventVersion":"1.1`)
	f.Close()
	write(t, l, 1210, 1215)
	stop = start(t, l, dir, "file://"+out)
	eventually(t, "the newest are there", func() bool { return size() == 1215 })
	if err := os.Rename(out, out+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, l, 1215, 1220)
	eventually(t, "the file is there again", func() bool { return size() == 5 })
	stop()
	wantNames(t, read(out+".1", out), 1220)
}

// A webhook gets signed deliveries in order, and each again until it accepts it.
func TestWebhook_getsSignedDeliveries(t *testing.T) {
	l, dir := openLog(t), t.TempDir()
	var mu sync.Mutex
	var got, keys []string
	refuse := 2
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		m := hmac.New(sha256.New, []byte("s3cret"))
		m.Write([]byte(r.Header.Get(ship.HeaderTimestamp) + "."))
		m.Write(body)
		if r.Header.Get(ship.HeaderSignature) != "v1="+hex.EncodeToString(m.Sum(nil)) {
			t.Error("wrong signature")
		}
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if refuse--; refuse >= 0 {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
			return
		}
		for line := range strings.Lines(string(body)) {
			got = append(got, nameOf(t, line))
		}
	}))
	defer server.Close()
	write(t, l, 0, 7)
	stop := start(t, l, dir, server.URL+"/hook?token=t0ken")
	defer stop()
	eventually(t, "the webhook has all", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 7 })
	wantNames(t, got, 7)
	if keys[0] != keys[2] || keys[0] != "fluoro-audit-key-1-7" {
		t.Errorf("keys %q", keys)
	}
	positions, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, name := range positions {
		if b, _ := os.ReadFile(name); strings.Contains(string(b)+name, "t0ken") {
			t.Errorf("%s holds the token: %s", name, b)
		}
	}
}

// Syslog gets counted messages of RFC 5424, over TCP and UDP, also after the connection
// broke.
func TestSyslog_getsMessages(t *testing.T) {
	l, dir := openLog(t), t.TempDir()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	messages, datagrams := make(chan string, 1000), make(chan string, 1000)
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for range 5 { // then it breaks off
					digits, err := r.ReadString(' ')
					if err != nil {
						return
					}
					n, err := strconv.Atoi(strings.TrimSpace(digits))
					if err != nil {
						t.Error("no count:", digits)
						return
					}
					b := make([]byte, n)
					if _, err := io.ReadFull(r, b); err != nil {
						return
					}
					messages <- string(b)
				}
			}()
		}
	}()
	go func() {
		b := make([]byte, 65536)
		for {
			n, _, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			datagrams <- string(b[:n])
		}
	}()
	stop := start(t, l, dir, "syslog+tcp://"+tcp.Addr().String(), "syslog+udp://"+udp.LocalAddr().String())
	defer stop()
	for i := range 10 {
		write(t, l, i, i+1)
		for _, from := range []chan string{messages, datagrams} {
			select {
			case m := <-from:
				var pri, version, pid int
				var at, host, app, id, data, seq string
				if _, err := fmt.Sscanf(m, "<%d>%d %s %s %s %d %s %s %s", &pri, &version, &at, &host, &app, &pid, &id, &data, &seq); err != nil {
					t.Fatal(err, m)
				}
				if pri != 13*8+6 || version != 1 || app != "fluoro" || id != fmt.Sprint("Event", i) || data != "[fluoro@32473" || seq != fmt.Sprintf(`seq="%d"]`, i+1) {
					t.Errorf("message %q", m)
				}
				if nameOf(t, m[strings.Index(m, "] ")+2:]) != fmt.Sprint("Event", i) || strings.ContainsAny(m, "\n\x00\x1b") {
					t.Errorf("message %q", m)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("message %d did not arrive", i)
			}
		}
	}
}

func TestParse_refusesWrongTargets(t *testing.T) {
	for _, target := range []string{"x", "ftp://a/b", "file:relative", "file://host/a", "syslog+tcp://host", "syslog+udp://host:1/path", "https:///path", "https://user:secret@host/", "s3:///prefix", "%zz://"} {
		if _, err := ship.Parse(target); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", target, err)
		}
	}
	if got, err := ship.Parse(" file:///a , https://b/c?d=e,"); err != nil || len(got) != 2 {
		t.Errorf("%q, %v", got, err)
	}
	_, err := ship.Start(ship.Options{Targets: []string{"s3://bucket?nonsense=1"}, Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("file:///a,https://b/c?d=e")
	f.Add("syslog+tls://host:6514?ca=/x")
	f.Add("s3://bucket/prefix?region=eu-west-1&interval=1m")
	f.Add("://,%")
	f.Fuzz(func(t *testing.T, list string) {
		targets, err := ship.Parse(list)
		for _, target := range targets {
			if _, err := ship.Parse(target); err != nil {
				t.Errorf("%q of %q: %v", target, list, err)
			}
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x00\n\x1b") {
			t.Errorf("the error has control characters: %q", err)
		}
	})
}

var _ ship.Source = (*audit.Log)(nil)
