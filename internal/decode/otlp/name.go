package otlp

import (
	"cmp"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// mapName finds name and namespace. Spans are named after operations; X-Ray names
// segments after services and subsegments after what they call.
func (m *Mapper) mapName(d *Document) {
	s := d.Span
	if s.awsSDK() || m.native() && s.str(keyRPCSystemName) == awsRPC {
		d.Namespace = "aws"
	}
	calls := s.calls()
	if m.native() && !d.Subsegment && !calls && s.Kind != KindServer && !s.has(keyAWSSpanKind) {
		// A segment that opens a service has its name, whatever the span says of its
		// peer.
		if d.Name = s.str(keyAWSLocalService); d.Name == "" {
			d.Name = d.res.service
		}
	}
	if d.Name == "" {
		d.Name = m.serviceName(d)
	}
	if d.Name == "" {
		if d.Name = s.str(keyAWSService); s.has(keyAWSService) && d.Namespace == "" {
			d.Namespace = "aws"
		}
	}
	given := d.Name != ""
	remote := m.native() && s.Kind == KindProducer && given
	if d.Name == "" {
		if m.native() {
			d.Name, remote = nativeName(d)
		} else {
			d.Name = collectorName(d)
		}
	}
	if d.Name == "" {
		d.Name = m.spanName(s.Name)
	}
	if m.native() && d.Part == 0 && calls {
		d.Peer = d.peerName(given)
		remote = remote || d.Peer != ""
	}
	if d.Namespace == "" && (s.Kind == KindClient || remote && d.Subsegment) {
		d.Namespace = "remote"
	}
}

// serviceName returns the name that the span states explicitly.
func (m *Mapper) serviceName(d *Document) string {
	s := d.Span
	name := ""
	switch s.Kind {
	case KindServer:
		name = s.str(keyAWSLocalService)
	case KindInternal:
		if s.localRoot() {
			name = s.str(keyAWSLocalService)
		}
	case KindClient, KindProducer, KindConsumer:
		if d.Part == 0 {
			name = s.trimSDK(s.str(keyAWSRemoteService))
		}
	}
	if name == "" {
		name = s.str(keyPeerService)
	}
	return name
}

// collectorName derives the name as the collector does.
func collectorName(d *Document) string {
	s := d.Span
	if name := s.str(keyDBName); s.has(keyDBName) {
		if host := connectionHost(s); host != "" {
			name += "@" + host
		}
		if name != "" {
			return name
		}
	}
	if s.Kind == KindServer && d.res.service != "" {
		return d.res.service
	}
	return s.firstStr(keyRPCService, keyHTTPHost, keyNetPeerName)
}

// nativeName derives the name by the native rules: a segment's from its service, a
// call's from its callee. remote says that the name is a callee's.
func nativeName(d *Document) (name string, remote bool) {
	s := d.Span
	calls := s.calls()
	if !d.Subsegment && !calls && d.res.service != "" {
		return d.res.service, false
	}
	// What an AWS SDK accesses, such as a queue, is a resource of a service.
	if calls && d.Namespace == "aws" {
		name := s.rpcService()
		if name == "" || s.str(keyDBName) != "" {
			name = cmp.Or(collectorName(d), name)
		}
		if name != "" {
			return name, true
		}
	}
	if calls {
		if name := databaseName(s); name != "" {
			return name, true
		}
		if name := s.firstStr(keyMessagingDestinationName, keyMessagingDestination); name != "" {
			return name, true
		}
	}
	if name := s.rpcService(); name != "" {
		return name, calls
	}
	if !calls {
		return "", false
	}
	name = s.firstStr(keyHTTPHost, keyNetPeerName, keyServerAddress)
	return name, name != ""
}

// databaseName returns "database@host", as X-Ray SDKs name SQL calls, or "database".
func databaseName(s *Span) string {
	name := s.str(keyDBName)
	if name == "" && s.str(keyDBSystemName) != "redis" { // whose namespaces are numbers
		name = s.str(keyDBNamespace)
	}
	if name == "" {
		return ""
	}
	host := connectionHost(s)
	if host == "" {
		host = s.str(keyServerAddress)
	}
	if host == "" {
		return name
	}
	return name + "@" + host
}

// connectionHost returns the host of db.connection_string, "" if that is not a URL.
func connectionHost(s *Span) string {
	conn := s.str(keyDBConnectionString)
	if conn == "" {
		return ""
	}
	u, err := url.Parse(strings.TrimPrefix(conn, "jdbc:"))
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// spanName turns a span's name into a segment's: it removes the characters that X-Ray
// does not allow, and returns "span" if none is left.
func (m *Mapper) spanName(name string) string {
	if strings.ContainsFunc(name, invalidInName) {
		name = strings.Map(func(r rune) rune {
			if invalidInName(r) {
				return -1
			}
			return r
		}, name)
	}
	if !m.native() && len(name) > trace.MaxName {
		name = Text([]byte(name[:trace.MaxName])) // may split a character, as the collector does
	}
	if name == "" {
		return "span"
	}
	return name
}

func invalidInName(r rune) bool {
	if r < utf8.RuneSelf {
		return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune(" _.:/%&#=+-@", r))
	}
	return !unicode.IsLetter(r)
}
