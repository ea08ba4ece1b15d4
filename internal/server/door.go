package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/cors"
)

// While there are no credentials, any site that someone visits could ask their
// browser to read and write their traces. The browser keeps it from that where the
// request tells the truth: in Origin, which page asks, and in Host, which name the
// page knows us by. So both are checked before anything else is.

// tracesPath is where spans go by HTTP, the only path that other pages may use.
const tracesPath = "/v1/traces"

// door lets requests in that are addressed to this server, and not made by a web
// page that has no business here. gRPC needs none: browsers speak HTTP/2 only over
// TLS, and its port answers nothing else.
type door struct {
	names   names
	origins *cors.Cors
	tally   *receive.Tally
	refused *prometheus.CounterVec
}

// newDoor makes the door of a listener.
func (s *server) newDoor(listener, addr string) *door {
	if s.refused == nil {
		s.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fluoro_http_refused_total",
			Help: "HTTP requests that were not looked at, by listener and reason: host (a name this server does not have), origin (a web page that may not).",
		}, []string{"listener", "reason"})
		s.registry.MustRegister(s.refused)
	}
	refused := s.refused.MustCurryWith(prometheus.Labels{"listener": listener})
	for _, reason := range []string{"host", "origin"} {
		refused.WithLabelValues(reason)
	}
	return &door{names: namesOf(s.config, addr), origins: originsOf(s.config.CORSOrigins), tally: s.tally, refused: refused}
}

// originsOf answers the preflights of browsers and tells them who may read answers
// (Fetch standard, "CORS protocol").
func originsOf(list []string) *cors.Cors {
	o := cors.Options{
		AllowedOrigins: list, AllowedMethods: []string{http.MethodPost}, AllowedHeaders: []string{"*"}, ExposedHeaders: []string{"Retry-After"},
		// Browsers send beacons with credentials; there are none here that this could
		// give away. Pages of the internet may reach private addresses if they are listed.
		AllowCredentials: true, AllowPrivateNetwork: true,
		MaxAge: 7200, // the most that browsers take
	}
	if len(list) == 0 || slices.Contains(list, "*") {
		// The library takes no origins for all. For all, it would write an asterisk, which
		// browsers do not accept for beacons.
		o.AllowOriginFunc = func(string) bool { return len(list) > 0 }
	}
	return cors.New(o)
}

// guard puts the door before a handler.
func (d *door) guard(next http.Handler) http.Handler {
	spans := d.origins.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !d.names.has(r.Host) {
			d.refuse(w, r, "host", http.StatusMisdirectedRequest, fmt.Sprintf("this server does not know itself by the name %.100q; if that is one of its names, add it to --allowed-hosts ($FLUORO_ALLOWED_HOSTS)", r.Host))
			return
		}
		origin := r.Header.Get("Origin")
		switch {
		case r.URL.Path == tracesPath:
			if r.Method == http.MethodOptions && origin != "" && r.Header.Get("Access-Control-Request-Method") != "" && !d.origins.OriginAllowed(r) {
				w.Header().Set("Vary", "Origin")
				d.refuse(w, r, "origin", http.StatusForbidden, fmt.Sprintf("web pages of %.100q may not send spans; if they should, add their origin to --cors-origins ($FLUORO_CORS_ORIGINS)", origin))
				return
			}
			spans.ServeHTTP(w, r)
		case origin != "" && !sameOrigin(origin, r.Host):
			d.refuse(w, r, "origin", http.StatusForbidden, "requests from web pages of other origins are refused")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, host)
}

// refuse answers and counts. What was to bring segments shows on the status page
// as well: its sender may not look at answers.
func (d *door) refuse(w http.ResponseWriter, r *http.Request, reason string, code int, message string) {
	d.refused.WithLabelValues(reason).Inc()
	protocol := map[string]string{tracesPath: receive.ProtocolOTLPHTTP, "/TraceSegments": receive.ProtocolXRay}[r.URL.Path]
	if protocol != "" {
		d.tally.Refuse(protocol, r.RemoteAddr, strings.ToUpper(reason[:1])+reason[1:], message)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.Error(w, message, code)
}

// names are those a server has.
type names struct {
	all       bool
	exact     map[string]bool
	suffixes  []string // with a dot before them
	addresses bool     // any address
}

// namesOf are the names of a listener: those of loopback, those listened on, and
// those of the settings. Whoever listens on more than loopback is also served by any
// address: a page that was opened by an address comes from there, so that no name can
// be turned against it, and the addresses by which a machine is known behind NAT or
// to an orchestrator that probes /healthz are not its own.
func namesOf(c *config.Config, addr string) names {
	n := names{exact: map[string]bool{"localhost": true}, suffixes: []string{".localhost"}, addresses: !config.Loopback(addr)}
	for _, at := range []string{c.HTTP, c.OTLPHTTP} {
		if host, ok := hostOf(at); ok && at != config.Off {
			n.exact[host] = true
		}
	}
	for _, name := range c.AllowedHosts {
		if rest, ok := strings.CutPrefix(name, "*"); ok {
			n.all = n.all || rest == ""
			n.suffixes = append(n.suffixes, rest)
		} else {
			n.exact[name] = true
		}
	}
	n.suffixes = slices.DeleteFunc(n.suffixes, func(s string) bool { return s == "" })
	return n
}

// has says whether a Host header names this server, at whatever port.
func (n *names) has(header string) bool {
	host, ok := hostOf(header)
	if n.all || !ok {
		return n.all
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || n.addresses || n.exact[host]
	}
	return n.exact[host] || slices.ContainsFunc(n.suffixes, func(s string) bool { return len(host) > len(s) && strings.HasSuffix(host, s) })
}

// hostOf is the name in a Host header (RFC 9110, section 7.2) as it is compared: in
// lower case, without port, brackets and the dot that ends it; addresses in their
// usual form. It is false for what is none.
func hostOf(header string) (string, bool) {
	host, port := header, ""
	if end := strings.LastIndexByte(header, ']'); end >= 0 {
		if host, port = header[:end+1], header[end+1:]; host[0] != '[' {
			return "", false
		}
		ip, err := netip.ParseAddr(host[1:end])
		if err != nil || !ip.Is6() {
			return "", false
		}
		host = ip.WithZone("").Unmap().String()
	} else if i := strings.IndexByte(header, ':'); i >= 0 {
		host, port = header[:i], header[i:]
	}
	if port != "" && port != ":" {
		if _, err := strconv.ParseUint(port[1:], 10, 16); err != nil || port[0] != ':' {
			return "", false
		}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host, host != "" && !strings.ContainsAny(host, "@/\\?# *")
}
