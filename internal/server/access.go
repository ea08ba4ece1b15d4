package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/authn"
	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/transport"
	"github.com/prometheus/client_golang/prometheus"
)

// WithCredentials sets the credentials that the server knows. Without this option it
// knows none.
func WithCredentials(c identity.Credentials) Option { return func(s *server) { s.credentials = c } }

// newAuthenticator makes the authenticator of the settings.
func (s *server) newAuthenticator() (*authn.Authenticator, error) {
	c := s.config
	o := authn.Options{
		Credentials: s.credentials, Owner: trace.Owner{Account: s.own(), Region: c.Region}, Open: c.Auth != config.Required,
		Skew: c.Skew, Plain: s.plain(), Sampling: networksOf(c.UnsignedSampling), Datagrams: networksOf(c.UDPFrom),
		Session: s.logins.Authenticate, Failed: s.failed, Takes: map[string]authn.Kinds{},
	}
	for _, l := range []struct {
		on    listener
		kinds []string
	}{{onHTTP, c.HTTPAuth}, {onOTLPHTTP, c.OTLPHTTPAuth}, {onOTLPGRPC, c.OTLPGRPCAuth}} {
		kinds, err := authn.ParseKinds(l.on.String(), l.kinds)
		if err != nil {
			return nil, fmt.Errorf("--%s-auth: %w", l.on, err)
		}
		o.Takes[l.on.String()] = kinds
	}
	return authn.New(o), nil
}

// networksOf converts the networks of a setting; nil stays nil.
func networksOf(list []config.Network) authn.Networks {
	if list == nil {
		return nil
	}
	out := authn.Networks{}
	for _, n := range list {
		out = append(out, authn.Network{Prefix: n.Prefix, Account: trace.Account(n.Account)})
	}
	return out
}

// openTLS makes the TLS of the TCP addresses, if a setting asks for it.
func (s *server) openTLS() (err error) {
	c := s.config.TLS
	files := transport.Files{Cert: c.CertFile, Key: c.KeyFile, ClientCA: c.ClientCAFile, ClientRequired: c.ClientAuth == "required"}
	switch c.Mode {
	case config.TLSFiles:
		s.tls, err = transport.FromFiles(files, s.log)
	case config.TLSSelfSigned:
		s.tls, err = transport.SelfSigned(s.selfNames(), files, filepath.Join(s.config.Data, "self-signed.pem"), s.log)
	case config.TLSACME:
		o := transport.ACMEOptions{Hosts: c.ACMEHosts, Email: c.ACMEEmail, Directory: c.ACMEDirectory, Cache: transport.Cache{Dir: filepath.Join(s.config.Data, "acme"), Keys: s.auditKeys()}, HTTP: c.ACMEHTTP != config.Off}
		var challenges http.Handler
		if s.tls, challenges, err = transport.ACME(o, files, s.log); err != nil {
			return err
		}
		if challenges != nil {
			if s.acmeAt, err = receive.ListenTCP("ACME challenges", c.ACMEHTTP); err != nil {
				return busy(err, "--acme-http")
			}
			s.acme = httpServer(challenges, s.log)
		}
	default:
		if s.config.Auth == config.Required && s.config.Wide() && c.Mode != config.Off {
			s.log.Warn("requests are verified, but traces cross the network in the clear, because TLS is off; set --tls-cert and --tls-key, --tls acme or --tls self-signed, or --tls off if something in front of this server encrypts")
		}
		return nil
	}
	if err != nil {
		return err
	}
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "fluoro_tls_certificate_expiry_seconds", Help: "When the certificate of the TCP addresses expires, in seconds since 1970; 0 if it is got on demand.",
	}, func() float64 {
		if at := s.tls.Expires(); !at.IsZero() {
			return float64(at.Unix())
		}
		return 0
	}))
	return nil
}

// selfNames are the names of a self-signed certificate: loopback, the addresses listened
// on, and --allowed-hosts.
func (s *server) selfNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	for _, at := range []string{s.config.HTTP, s.config.OTLPHTTP, s.config.OTLPGRPC} {
		host, _, err := net.SplitHostPort(at)
		if ip, bad := netip.ParseAddr(host); err == nil && host != "" && (bad != nil || !ip.IsUnspecified()) {
			names = append(names, host)
		}
	}
	if addrs, err := net.InterfaceAddrs(); err == nil && s.config.Wide() {
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				names = append(names, p.Addr().WithZone("").String())
			}
		}
	}
	for _, name := range s.config.AllowedHosts {
		if name != "*" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// secure prepares an HTTP server for TLS.
func (s *server) secure(h *http.Server, protocols ...string) *http.Server {
	if s.tls != nil {
		h.TLSConfig = s.tls.Config(protocols...)
	}
	return h
}

// certified tells whether a request came over TLS, for a name of our certificate. A page
// of a foreign name gets no such connection: its browser compares the name with the
// certificate.
func (s *server) certified(r *http.Request) bool {
	if r.TLS == nil || s.tls == nil {
		return false
	}
	host, ok := hostOf(r.Host)
	return ok && s.tls.Covers(host)
}

type tlsKey struct{}

// overTLS tells whether a trusted proxy got the request over TLS.
func overTLS(ctx context.Context) bool { return ctx.Value(tlsKey{}) != nil }

// unproxied returns a request of a trusted proxy as the proxy got it: with the address of
// the proxy's client. Other requests stay as they are.
func (s *server) unproxied(r *http.Request) *http.Request {
	if len(s.config.TrustedProxies) == 0 {
		return r
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !s.trusted(at.Addr()) {
		return r
	}
	ctx := r.Context()
	if proto := r.Header.Values("X-Forwarded-Proto"); len(proto) == 1 && strings.EqualFold(strings.TrimSpace(proto[0]), "https") {
		ctx = context.WithValue(ctx, tlsKey{}, true)
	}
	r = r.WithContext(ctx)
	// Each proxy adds the address of its client at the right. Left of the first one that
	// is no trusted proxy, anybody may have written anything.
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		ip, ok := hopOf(strings.TrimSpace(hop))
		if !ok {
			break
		}
		r.RemoteAddr = netip.AddrPortFrom(ip, 0).String()
		if !s.trusted(ip) {
			break
		}
	}
	return r
}

func (s *server) trusted(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(s.config.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// hopOf reads an address with or without a port.
func hopOf(text string) (netip.Addr, bool) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap().WithZone(""), true
	}
	ip, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return ip.Unmap().WithZone(""), err == nil
}
