package server

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/config"
)

// names holds the names by which clients may address a server.
type names struct {
	all       bool
	exact     map[string]bool
	suffixes  []string // of names, with a dot in front
	addresses bool     // any IP address is accepted
}

// namesOf returns the names of a listener: loopback, the addresses it listens on, and
// the settings. If it listens on more than loopback, any IP address is accepted: DNS
// rebinding needs a name, and a machine may be addressed by IP addresses that it does
// not have itself, for example behind NAT or by an orchestrator that probes /healthz.
func namesOf(c *config.Config, addr string) *names {
	n := &names{exact: map[string]bool{"localhost": true}, suffixes: []string{".localhost"}, addresses: !config.Loopback(addr)}
	for _, at := range []string{c.HTTP, c.OTLPHTTP} {
		if host, ok := hostOf(at); ok && at != config.Off {
			n.exact[host] = true
		}
	}
	for _, name := range slices.Concat(c.AllowedHosts, c.TLS.ACMEHosts) {
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

// has says whether a Host header names this server. It ignores the port.
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

// hostOf returns the name in a Host header (RFC 9110, section 7.2) in the form that is
// compared: lower case, without port, brackets and final dot; addresses in canonical
// form. ok is false if the header is malformed.
func hostOf(header string) (host string, ok bool) {
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
