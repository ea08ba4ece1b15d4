package decode

import (
	"net/netip"
	"strconv"
	"strings"
)

// httpBlock is the http member of a document.
type httpBlock struct {
	present                          bool
	method, url, userAgent, clientIP string
	forwarded                        bool // client_ip is what a proxy said
	hasURL, hasStatus                bool
	status                           int64
	contentLength                    int64
}

// urlParts are the attributes a URL can be made of, nil where there is none.
type urlParts struct {
	full, scheme, httpHost, serverName, hostName, netHostName, peerName, peerIP *anyValue
	target, query, either, path, serverAddress                                  *anyValue
	hostPort, peerPort, serverPort                                              *anyValue
}

// mapHTTP makes the http block of the old and the stable HTTP conventions.
// Where several attributes mean the same, the last one counts.
func (m *Mapper) mapHTTP(d *mapped) {
	if !d.span.attrs.http {
		return
	}
	h := &d.http
	var u urlParts
	hasClient, hasPeer := false, false
	list := d.span.list
	for i := range list {
		v := &list[i].value
		switch list[i].key {
		case keyHTTPMethod, keyHTTPRequestMethod:
			h.method, h.present = v.str(), true
		case keyHTTPClientIP:
			h.clientIP, h.present = v.str(), true
			hasClient = h.clientIP != ""
		case keyHTTPUserAgent, keyUserAgentOriginal:
			h.userAgent, h.present = v.str(), true
		case keyHTTPStatusCode, keyHTTPResponseStatusCode:
			if n, ok := m.statusCode(v); ok {
				h.status, h.hasStatus, h.present = n, true, true
			}
		case keyClientAddress:
			if isIP(v.str()) {
				h.clientIP, hasClient = v.str(), true
			}
		case keyNetPeerIP:
			if hasPeer = true; !hasClient && m.peerIsClient(d) {
				h.clientIP = v.str()
				hasClient = h.clientIP != ""
			}
			u.peerIP, h.hasURL = v, true
		case keyNetworkPeerAddress:
			if isIP(v.str()) {
				if hasPeer = true; !hasClient && m.peerIsClient(d) {
					h.clientIP, hasClient = v.str(), true
				}
				h.hasURL = true
			}
		default:
			u.collect(h, list[i].key, v)
		}
	}
	h.forwarded = hasClient && !hasPeer
	if !h.present {
		*h = httpBlock{}
		return
	}
	if m.native() {
		h.url = u.native(d.span.kind)
		h.hasURL = h.url != ""
	} else if h.hasURL {
		h.url = u.compatible(d.span.kind)
	}
	h.contentLength = m.contentLength(d.span)
}

// peerIsClient says whether the other end of the connection is the client. The
// collector believes so of any span.
func (m *Mapper) peerIsClient(d *mapped) bool {
	return !m.native() || d.span.kind == kindServer || d.span.kind == kindUnspecified
}

// statusCode is an HTTP status. The native profile reads numbers of any type and
// text (readStatus), from 100 to 599 (RFC 9110, section 15); what is none of these
// sets nothing and stays among the attributes. The collector takes integers alone,
// and what it cannot read for 0.
func (m *Mapper) statusCode(v *anyValue) (int64, bool) {
	if !m.native() {
		return v.int(), true
	}
	n, ok := int64(0), false
	switch v.kind {
	case intValue:
		n, ok = int64(v.num), true
	case doubleValue:
		n, ok = wholeStatus(v.double())
	case stringValue:
		n, ok = readStatus(v.str())
	}
	return n, ok && n >= 100 && n <= 599
}

// showsStatus says whether the block holds all that a status attribute says: not of
// two that differ, and not a phrase behind the number.
func (h *httpBlock) showsStatus(v *anyValue) bool {
	if !h.hasStatus {
		return false
	}
	switch v.kind {
	case intValue:
		return int64(v.num) == h.status
	case doubleValue:
		return v.double() == float64(h.status)
	}
	return v.kind == stringValue && v.str() == strconv.FormatInt(h.status, 10)
}

func isIP(s string) bool {
	if s == "" || s[0] != ':' && (s[0] < '0' || s[0] > '9') && !isHexLetter(s[0]) {
		return false
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

func isHexLetter(c byte) bool { return 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }

// collect notes one attribute of a URL.
func (u *urlParts) collect(h *httpBlock, k key, v *anyValue) {
	switch k {
	case keyHTTPURL, keyURLFull:
		u.full, h.present, h.hasURL = v, true, true
	case keyHTTPScheme, keyURLScheme:
		u.scheme, h.present = v, true
	case keyHTTPHost:
		u.httpHost, h.present, h.hasURL = v, true, true
	case keyHTTPTarget:
		u.target, u.either, h.present = v, v, true
	case keyURLQuery:
		u.query, u.either, h.present = v, v, true
	case keyHTTPServerName:
		u.serverName, h.present, h.hasURL = v, true, true
	case keyNetHostPort:
		u.hostPort, h.present = v, true
	case keyHostName:
		u.hostName, h.hasURL = v, true
	case keyNetHostName:
		u.netHostName, h.hasURL = v, true
	case keyNetPeerName:
		u.peerName, h.hasURL = v, true
	case keyNetPeerPort:
		u.peerPort = v
	case keyURLPath:
		u.path, h.present = v, true
	case keyServerAddress:
		u.serverAddress, h.hasURL = v, true
	case keyServerPort:
		u.serverPort = v
	}
}

// firstPart is the first of vs that was sent.
func firstPart(vs ...*anyValue) *anyValue {
	for _, v := range vs {
		if v != nil {
			return v
		}
	}
	return nil
}

// port is a port number as text.
func port(v *anyValue) string {
	if v == nil {
		return ""
	}
	if s := v.str(); s != "" {
		return s
	}
	return strconv.FormatInt(v.int(), 10)
}

// compatible is the collector's URL: it takes url.query for the whole target, and
// for calls it does not know server.address.
func (u *urlParts) compatible(kind int32) string {
	if u.full != nil {
		return u.full.str()
	}
	scheme := "http"
	if u.scheme != nil {
		scheme = u.scheme.str()
	}
	host, number := u.httpHost, (*anyValue)(nil)
	if kind == kindServer && host == nil {
		host = firstPart(u.serverName, u.netHostName, u.hostName, u.serverAddress)
		number = firstPart(u.hostPort, u.serverPort)
	} else if host == nil {
		host, number = firstPart(u.peerName, u.peerIP), u.peerPort
	}
	target := u.either
	if kind == kindServer && target == nil {
		target = u.path
	}
	path := "/"
	if target != nil {
		path = target.str()
	}
	return joinURL(scheme, host.str(), port(number), path)
}

// native is the URL of all conventions: path and query are joined, calls know
// server.address. Without a host it is the path alone.
func (u *urlParts) native(kind int32) string {
	if s := u.full.str(); s != "" {
		return s
	}
	host, number := u.httpHost.str(), ""
	if host == "" && kind == kindServer {
		host = firstText(u.serverName, u.netHostName, u.hostName, u.serverAddress)
		number = port(firstPart(u.hostPort, u.serverPort))
	} else if host == "" {
		host = firstText(u.peerName, u.serverAddress, u.peerIP)
		number = port(firstPart(u.peerPort, u.serverPort))
	}
	path := u.target.str()
	if path == "" {
		path = u.path.str()
		if q := u.query.str(); q != "" && q[0] == '?' {
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
	scheme := u.scheme.str()
	if scheme == "" {
		scheme = "http"
	}
	if strings.Count(host, ":") > 1 && host[0] != '[' {
		host = "[" + host + "]"
	}
	return joinURL(scheme, host, number, path)
}

func firstText(vs ...*anyValue) string {
	for _, v := range vs {
		if s := v.str(); s != "" {
			return s
		}
	}
	return ""
}

// joinURL leaves out the ports that their schemes imply.
func joinURL(scheme, host, port, path string) string {
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return scheme + "://" + host + path
	}
	return scheme + "://" + host + ":" + port + path
}

// contentLength is the size of the answer: of the first event or the span itself
// that says it received a message of some size.
func (m *Mapper) contentLength(s *span) int64 {
	if s.str(keyMessageType) == "RECEIVED" {
		if n := s.get(keyMessagingMessagePayloadSizeBytes).int(); n != 0 {
			return n
		}
	}
	for i := range s.events {
		list := s.events[i].attrs
		if find(list, keyMessageType).str() == "RECEIVED" {
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
