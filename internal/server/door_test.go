package server

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/authn"
	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/prometheus/client_golang/prometheus"
)

func TestNames(t *testing.T) {
	loopback := &config.Config{HTTP: "127.0.0.1:2000", OTLPHTTP: config.Off}
	named := &config.Config{HTTP: "traces.lan:2000", OTLPHTTP: "10.0.0.5:4318", AllowedHosts: []string{"fluoro", "*.example.com", "192.0.2.7", "2001:db8::1"}}
	all := &config.Config{HTTP: "127.0.0.1:2000", AllowedHosts: []string{"*"}}
	for _, c := range []struct {
		config *config.Config
		addr   string
		yes    []string
		no     []string
	}{
		{loopback, loopback.HTTP, []string{
			"localhost", "localhost:2000", "LOCALHOST:1", "localhost.", "localhost.:2000", "api.localhost", "a.b.Localhost.:80", "localhost:",
			"127.0.0.1", "127.0.0.1:2000", "127.1.2.3:9", "[::1]", "[::1]:2000", "[0:0:0:0:0:0:0:1]:2000", "[::ffff:127.0.0.1]:2000", "[::1%25lo]:2000",
		}, []string{
			"", ":2000", "evil.example", "evil.example:2000", "localhost.evil.example", "localhost.evil.example.", "evil-localhost", "xlocalhost", ".localhost", "127.0.0.1.evil.example",
			"localhost@evil.example", "evil.example@localhost", "localhost:2000@evil.example", "localhost:x", "localhost:99999", "localhost:1:2", "localhost,evil.example", "localhost evil", "localhost/", "http://localhost",
			"10.0.0.1", "192.168.1.1:2000", "0.0.0.0:2000", "[::]:2000", "[2001:db8::1]", "[fe80::1%25eth0]", "[::1", "::1", "[127.0.0.1]", "x[::1]", "[::1]x", "[::1]2000", "127.1", "2130706433", "0x7f.0.0.1", "off", "localhost..", "*",
		}},
		{named, named.HTTP, []string{
			"traces.lan", "TRACES.LAN.:2000", "fluoro:2000", "a.example.com", "a.b.example.com:1", "localhost", "10.0.0.5", "192.0.2.7", "198.51.100.1:2000", "[2001:db8::2]:2000",
		}, []string{"example.com", "evilexample.com", "a.example.com.evil.example", "xfluoro", "fluoro.lan", "lan", ""}},
		{named, "127.0.0.1:4318", []string{"192.0.2.7", "[2001:DB8:0::1]:4318", "10.0.0.5"}, []string{"198.51.100.1"}},
		{all, all.HTTP, []string{"evil.example", "", "localhost@x", "10.0.0.1"}, nil},
	} {
		n := namesOf(c.config, c.addr)
		for _, host := range c.yes {
			if !n.has(host) {
				t.Errorf("%s: %q is refused", c.addr, host)
			}
		}
		for _, host := range c.no {
			if n.has(host) {
				t.Errorf("%s: %q is let in", c.addr, host)
			}
		}
	}
}

// Whatever the header, only names that a client resolves to loopback are accepted.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"localhost:2000", "a.localhost.", "[::1]:80", "[::ffff:127.0.0.1]", "127.0.0.1", "localhost@evil.example", "evil.example:localhost", "[::1%25localhost]", "127.0.0.1:", "[localhost]", "\xff.localhost"} {
		f.Add(seed)
	}
	n := namesOf(&config.Config{HTTP: "127.0.0.1:2000", OTLPHTTP: config.Off}, "127.0.0.1:2000")
	f.Fuzz(func(t *testing.T, header string) {
		if !n.has(header) {
			return
		}
		u, err := url.Parse("http://" + header)
		if err != nil {
			return // no client has such a name
		}
		host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
		if ip, err := netip.ParseAddr(host); err == nil && ip.WithZone("").Unmap().IsLoopback() {
			return
		}
		if u.User != nil || host != "localhost" && !strings.HasSuffix(host, ".localhost") {
			t.Errorf("%q is let in, and is %q", header, host)
		}
	})
}

// in marks in a test that a request passed the door.
type in struct{}

func (in) ServeHTTP(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "in") }

func (in) Refuse(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), statusOf(err))
}

// testServer has all that doors need, and no store.
func testServer(c *config.Config) *server {
	s := &server{config: c, registry: prometheus.NewRegistry(), refused: newRefused(), log: slog.New(slog.DiscardHandler)}
	s.authenticator, s.authorizer = identity.Anonymous{Account: "000000000000", Region: "us-east-1"}, identity.Everything{}
	s.tally = receive.NewTally(s.registry, time.Now, nil)
	return s
}

// through is the route table with in instead of the handlers.
func through() []route {
	table := routes()
	for i := range table {
		if table[i].class == admitScan {
			table[i].class = admitAlways
		}
		table[i].asks = false
		table[i].handler = func(*server, *route) endpoint { return in{} }
	}
	return table
}

func testDoor(t *testing.T, c *config.Config) (http.Handler, *receive.Tally) {
	t.Helper()
	s := testServer(c)
	d := s.newDoor(onHTTP, through(), in{})
	d.names = namesOf(c, c.HTTP)
	return d, s.tally
}

func TestDoor_origins(t *testing.T) {
	const own = "http://127.0.0.1:2000"
	for _, c := range []struct {
		name, method, path, origin string
		list                       []string
		status                     int
		allowed                    bool
	}{
		{"no origin", "POST", "/v1/traces", "", nil, 200, false},
		{"a server that passes it on", "POST", "/v1/traces", "https://a.example", nil, 200, false},
		{"preflight, none listed", "OPTIONS", "/v1/traces", "https://a.example", nil, 403, false},
		{"preflight, another listed", "OPTIONS", "/v1/traces", "https://a.example", []string{"https://b.example"}, 403, false},
		{"preflight, another scheme", "OPTIONS", "/v1/traces", "http://a.example", []string{"https://a.example"}, 403, false},
		{"preflight, another port", "OPTIONS", "/v1/traces", "https://a.example:8443", []string{"https://a.example"}, 403, false},
		{"preflight", "OPTIONS", "/v1/traces", "https://a.example", []string{"https://b.example", "https://a.example"}, 204, true},
		{"preflight of a pattern", "OPTIONS", "/v1/traces", "https://a.example", []string{"https://*.example"}, 204, true},
		{"preflight of any port", "OPTIONS", "/v1/traces", "http://localhost:5173", []string{"http://localhost:*"}, 204, true},
		{"preflight of any", "OPTIONS", "/v1/traces", "null", []string{"*"}, 204, true},
		{"spans", "POST", "/v1/traces", "https://a.example", []string{"https://a.example"}, 200, true},
		{"spans of another", "POST", "/v1/traces", "https://b.example", []string{"https://a.example"}, 200, false},
		{"the API stays closed", "POST", "/TraceSegments", "https://a.example", []string{"*"}, 403, false},
		{"the console stays closed", "GET", "/console/api/status", "https://a.example", []string{"*"}, 403, false},
		{"a preflight for the API", "OPTIONS", "/TraceSegments", "https://a.example", []string{"*"}, 403, false},
		{"the console itself", "POST", "/Traces", own, nil, 200, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, tally := testDoor(t, &config.Config{HTTP: "127.0.0.1:2000", CORSOrigins: c.list})
			r := httptest.NewRequest(c.method, own+c.path, nil)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if c.method == "OPTIONS" {
				r.Header.Set("Access-Control-Request-Method", "POST")
				r.Header.Set("Access-Control-Request-Headers", "authorization,content-encoding,content-type,traceparent,x-amzn-trace-id")
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			got := w.Header()
			if w.Code != c.status {
				t.Errorf("status %d, want %d: %s", w.Code, c.status, w.Body)
			}
			if (got.Get("Access-Control-Allow-Origin") == c.origin) != (c.allowed || c.origin == "") || !c.allowed && got.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("allowed %v: %v", c.allowed, got)
			}
			if c.path == "/v1/traces" && !strings.HasPrefix(got.Get("Vary"), "Origin") {
				t.Errorf("Vary %q", got.Get("Vary"))
			}
			if c.status == 204 && (got.Get("Access-Control-Allow-Methods") != "POST" || got.Get("Access-Control-Allow-Headers") != r.Header.Get("Access-Control-Request-Headers") || got.Get("Access-Control-Max-Age") == "") {
				t.Errorf("preflight answers %v", got)
			}
			if counted := len(tally.Refused("")) == 1; counted != (c.status == 403 && c.path != "/console/api/status") {
				t.Errorf("refusals %v", tally.Refused(""))
			}
		})
	}
}

// What a door costs a request without credentials in an open server.
func BenchmarkDoor(b *testing.B) {
	c := &config.Config{HTTP: "127.0.0.1:2000"}
	s := testServer(c)
	s.authenticator = authn.New(authn.Options{Owner: trace.Owner{Account: "000000000000", Region: "us-east-1"}, Open: true})
	d := s.newDoor(onHTTP, through(), in{})
	d.names = namesOf(c, c.HTTP)
	r := httptest.NewRequest("POST", "http://127.0.0.1:2000/v1/traces", nil)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		w.Body.Reset()
		d.ServeHTTP(w, r)
	}
}
