package otlp

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// HTTP is the http block of a document.
type HTTP struct {
	Present                          bool
	Method, URL, UserAgent, ClientIP string
	Forwarded                        bool // a proxy reported client_ip
	hasURL, HasStatus                bool
	Status                           int64
	ContentLength                    int64
}

// urlParts are the attributes that make up a URL, nil if missing.
type urlParts struct {
	full, scheme, httpHost, serverName, hostName, netHostName, peerName, peerIP *Value
	target, query, either, path, serverAddress                                  *Value
	hostPort, peerPort, serverPort                                              *Value
}

// mapHTTP fills the http block from the old and the stable HTTP conventions. Of several
// attributes with the same meaning the last counts.
func (m *Mapper) mapHTTP(d *Document) {
	if !d.Span.attrs.http {
		return
	}
	h := &d.HTTP
	var u urlParts
	hasClient, hasPeer := false, false
	list := d.Span.list
	for i := range list {
		v := &list[i].Value
		switch list[i].key {
		case keyHTTPMethod, keyHTTPRequestMethod:
			h.Method, h.Present = v.Text(), true
		case keyHTTPClientIP:
			h.ClientIP, h.Present = v.Text(), true
			hasClient = h.ClientIP != ""
		case keyHTTPUserAgent, keyUserAgentOriginal:
			h.UserAgent, h.Present = v.Text(), true
		case keyHTTPStatusCode, keyHTTPResponseStatusCode:
			if n, ok := m.statusCode(v); ok {
				h.Status, h.HasStatus, h.Present = n, true, true
			}
		case keyClientAddress:
			if isIP(v.Text()) {
				h.ClientIP, hasClient = v.Text(), true
			}
		case keyNetPeerIP:
			if hasPeer = true; !hasClient && m.peerIsClient(d) {
				h.ClientIP = v.Text()
				hasClient = h.ClientIP != ""
			}
			u.peerIP, h.hasURL = v, true
		case keyNetworkPeerAddress:
			if isIP(v.Text()) {
				if hasPeer = true; !hasClient && m.peerIsClient(d) {
					h.ClientIP, hasClient = v.Text(), true
				}
				h.hasURL = true
			}
		default:
			u.collect(h, list[i].key, v)
		}
	}
	h.Forwarded = hasClient && !hasPeer
	if !h.Present {
		*h = HTTP{}
		return
	}
	if m.native() {
		h.URL = u.native(d.Span.Kind)
		h.hasURL = h.URL != ""
	} else if h.hasURL {
		h.URL = u.collector(d.Span.Kind)
	}
	h.ContentLength = m.contentLength(d.Span)
}

// peerIsClient says whether the other end of the connection is the client. The collector
// assumes it for every span.
func (m *Mapper) peerIsClient(d *Document) bool {
	return !m.native() || d.Span.Kind == KindServer || d.Span.Kind == KindUnspecified
}

// statusCode reads an HTTP status. The native profile reads numbers of any type and text
// (trace.ParseStatus), from 100 to 599 (RFC 9110, section 15); other values stay among
// the attributes. The collector reads integers, and everything else as 0.
func (m *Mapper) statusCode(v *Value) (int64, bool) {
	if !m.native() {
		return v.int(), true
	}
	n, ok := int64(0), false
	switch v.kind {
	case intValue:
		n, ok = int64(v.num), true
	case doubleValue:
		n, ok = trace.WholeStatus(v.double())
	case stringValue:
		n, ok = trace.ParseStatus(v.Text())
	}
	return n, ok && n >= 100 && n <= 599
}

// showsStatus says whether the block shows everything that a status attribute says. It
// does not show a second status, nor the phrase after the number.
func (h *HTTP) showsStatus(v *Value) bool {
	if !h.HasStatus {
		return false
	}
	switch v.kind {
	case intValue:
		return int64(v.num) == h.Status
	case doubleValue:
		return v.double() == float64(h.Status)
	}
	return v.kind == stringValue && v.Text() == strconv.FormatInt(h.Status, 10)
}

func isIP(s string) bool {
	if s == "" || s[0] != ':' && (s[0] < '0' || s[0] > '9') && !isHexLetter(s[0]) {
		return false
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

func isHexLetter(c byte) bool { return 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }

// collect stores one attribute of a URL.
func (u *urlParts) collect(h *HTTP, k key, v *Value) {
	switch k {
	case keyHTTPURL, keyURLFull:
		u.full, h.Present, h.hasURL = v, true, true
	case keyHTTPScheme, keyURLScheme:
		u.scheme, h.Present = v, true
	case keyHTTPHost:
		u.httpHost, h.Present, h.hasURL = v, true, true
	case keyHTTPTarget:
		u.target, u.either, h.Present = v, v, true
	case keyURLQuery:
		u.query, u.either, h.Present = v, v, true
	case keyHTTPServerName:
		u.serverName, h.Present, h.hasURL = v, true, true
	case keyNetHostPort:
		u.hostPort, h.Present = v, true
	case keyHostName:
		u.hostName, h.hasURL = v, true
	case keyNetHostName:
		u.netHostName, h.hasURL = v, true
	case keyNetPeerName:
		u.peerName, h.hasURL = v, true
	case keyNetPeerPort:
		u.peerPort = v
	case keyURLPath:
		u.path, h.Present = v, true
	case keyServerAddress:
		u.serverAddress, h.hasURL = v, true
	case keyServerPort:
		u.serverPort = v
	}
}

// firstPart returns the first attribute that is present.
func firstPart(vs ...*Value) *Value {
	for _, v := range vs {
		if v != nil {
			return v
		}
	}
	return nil
}

// port returns a port number as text.
func port(v *Value) string {
	if v == nil {
		return ""
	}
	if s := v.Text(); s != "" {
		return s
	}
	return strconv.FormatInt(v.int(), 10)
}

// collector builds the exporter's URL, which uses url.query instead of the path, and
// does not use server.address for calls.
func (u *urlParts) collector(kind int32) string {
	if u.full != nil {
		return u.full.Text()
	}
	scheme := "http"
	if u.scheme != nil {
		scheme = u.scheme.Text()
	}
	host, number := u.httpHost, (*Value)(nil)
	if kind == KindServer && host == nil {
		host = firstPart(u.serverName, u.netHostName, u.hostName, u.serverAddress)
		number = firstPart(u.hostPort, u.serverPort)
	} else if host == nil {
		host, number = firstPart(u.peerName, u.peerIP), u.peerPort
	}
	target := u.either
	if kind == KindServer && target == nil {
		target = u.path
	}
	path := "/"
	if target != nil {
		path = target.Text()
	}
	return joinURL(scheme, host.Text(), port(number), path)
}

// native builds the URL from all conventions: it joins path and query, and uses
// server.address for calls. Without a host it is the path.
func (u *urlParts) native(kind int32) string {
	if s := u.full.Text(); s != "" {
		return s
	}
	host, number := u.httpHost.Text(), ""
	if host == "" && kind == KindServer {
		host = firstText(u.serverName, u.netHostName, u.hostName, u.serverAddress)
		number = port(firstPart(u.hostPort, u.serverPort))
	} else if host == "" {
		host = firstText(u.peerName, u.serverAddress, u.peerIP)
		number = port(firstPart(u.peerPort, u.serverPort))
	}
	path := u.target.Text()
	if path == "" {
		path = u.path.Text()
		if q := u.query.Text(); q != "" && q[0] == '?' {
			path += q
		} else if q != "" {
			path += "?" + q
		}
	}
	if host == "" {
		return path
	}
	if path == "" {
		path = "/"
	}
	scheme := u.scheme.Text()
	if scheme == "" {
		scheme = "http"
	}
	if strings.Count(host, ":") > 1 && host[0] != '[' {
		host = "[" + host + "]"
	}
	return joinURL(scheme, host, number, path)
}

func firstText(vs ...*Value) string {
	for _, v := range vs {
		if s := v.Text(); s != "" {
			return s
		}
	}
	return ""
}

// joinURL omits the default port of the scheme.
func joinURL(scheme, host, port, path string) string {
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return scheme + "://" + host + path
	}
	return scheme + "://" + host + ":" + port + path
}

// contentLength returns the size of the response: the first event, or the span itself,
// that reports the size of a received message.
func (m *Mapper) contentLength(s *Span) int64 {
	if s.str(keyMessageType) == "RECEIVED" {
		if n := s.get(keyMessagingMessagePayloadSizeBytes).int(); n != 0 {
			return n
		}
	}
	for i := range s.Events {
		list := s.Events[i].Attributes
		if find(list, keyMessageType).Text() == "RECEIVED" {
			if n := find(list, keyMessagingMessagePayloadSizeBytes).int(); n != 0 {
				return n
			}
		}
	}
	if !m.native() {
		return 0
	}
	if n := s.get(keyHTTPResponseBodySize).int(); n != 0 {
		return n
	}
	return s.get(keyHTTPResponseContentLength).int()
}
