package server

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/config"
)

// Whatever the header says, the sender is an address from it, or the proxy; and nobody
// but a trusted proxy is believed.
func FuzzUnproxied(f *testing.F) {
	for _, seed := range []string{"", "203.0.113.5", "10.1.2.3, 203.0.113.5", "a, b", "203.0.113.5:80, 10.0.0.1", "[2001:db8::1]:5, ::ffff:10.0.0.1", ",,,", "fe80::1%eth0", "[", "10.0.0.1 10.0.0.2"} {
		f.Add("10.0.0.9:5", seed)
		f.Add("203.0.113.9:5", seed)
		f.Add("@", seed)
	}
	s := testServer(&config.Config{Access: config.Access{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}})
	f.Fuzz(func(t *testing.T, remote, header string) {
		r := httptest.NewRequest("GET", "http://h/", nil)
		r.RemoteAddr = remote
		r.Header["X-Forwarded-For"] = []string{header}
		r.Header.Set("X-Forwarded-Proto", "https")
		got := s.unproxied(r)
		at, err := netip.ParseAddrPort(remote)
		if trusted := err == nil && s.trusted(at.Addr()); !trusted {
			if got.RemoteAddr != remote || overTLS(got.Context()) {
				t.Errorf("%q is believed", remote)
			}
			return
		}
		if got.RemoteAddr == remote {
			return
		}
		sender, err := netip.ParseAddrPort(got.RemoteAddr)
		if err != nil || sender.Port() != 0 || !overTLS(got.Context()) {
			t.Fatalf("%q makes %q, %v", header, got.RemoteAddr, err)
		}
		listed := false
		for hop := range strings.SplitSeq(header, ",") {
			ip, ok := hopOf(strings.TrimSpace(hop))
			listed = listed || ok && ip == sender.Addr()
		}
		if !listed {
			t.Errorf("%q makes %q", header, got.RemoteAddr)
		}
	})
}
