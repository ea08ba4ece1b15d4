package ship

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
)

// syslog sends records as messages of RFC 5424: over UDP (RFC 5426), TCP or TLS with
// counted octets (RFC 6587 section 3.4.1, RFC 5425). Syslog acknowledges nothing: records
// in a connection that breaks, and lost datagrams, are lost.
type syslog struct {
	network, address string
	tls              *tls.Config // nil: none
	host             string
	conn             net.Conn
}

const (
	// auditFacility is "log audit" (RFC 5424, table 1).
	auditFacility = 13
	warning, info = 4, 6
	// maxDatagram is the greatest message sent over UDP. Parameters of larger ones are
	// left out.
	maxDatagram = 8 << 10
	// enterprise is the number that RFC 5612 reserves for documents: Fluoro has none.
	enterprise = "32473"
)

func openSyslog(u *url.URL) (*syslog, error) {
	s := &syslog{network: strings.TrimPrefix(u.Scheme, "syslog+"), address: u.Host}
	query := u.Query()
	if s.network == "tls" {
		s.network, s.tls = "tcp", &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
		if name := query.Get("ca"); name != "" {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			s.tls.RootCAs = x509.NewCertPool()
			if !s.tls.RootCAs.AppendCertsFromPEM(text) {
				return nil, fmt.Errorf("%s holds no certificate", name)
			}
		}
		query.Del("ca")
	}
	for name := range query {
		return nil, fmt.Errorf("there is no parameter %.50q", name)
	}
	s.host, _ = os.Hostname()
	if s.host = header(s.host, 255); s.host == "" {
		s.host = "-"
	}
	return s, nil
}

// header keeps the characters that a header of RFC 5424 may have: PRINTUSASCII.
func header(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < 33 || r > 126 {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), limit)]
}

// message makes the message of a record. Events are ASCII without control characters, so
// they need no escapes.
func (s *syslog) message(f audit.Found) []byte {
	var e struct {
		Time  string `json:"eventTime"`
		Name  string `json:"eventName"`
		Error string `json:"errorCode"`
	}
	_ = json.Unmarshal(f.Event, &e) // the log wrote it
	severity := info
	if e.Error != "" {
		severity = warning
	}
	at, name := header(e.Time, 40), header(e.Name, 32)
	if at == "" {
		at = "-"
	}
	if name == "" {
		name = "-"
	}
	return fmt.Appendf(nil, `<%d>1 %s %s fluoro %d %s [fluoro@%s seq="%d"] %s`, auditFacility*8+severity, at, s.host, os.Getpid(), name, enterprise, f.Seq, f.Event)
}

// short leaves the large members out of a record.
func short(event json.RawMessage) json.RawMessage {
	var e map[string]json.RawMessage
	if json.Unmarshal(event, &e) != nil {
		return event
	}
	for _, name := range []string{"requestParameters", "responseElements", "additionalEventData", "resources", "serviceEventDetails"} {
		if e[name] != nil {
			e[name] = json.RawMessage(`{"omitted":true}`)
		}
	}
	b, err := json.Marshal(e)
	if err != nil {
		return event
	}
	return b
}

func (s *syslog) send(ctx context.Context, batch []audit.Found) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = s.conn.SetWriteDeadline(deadline)
	}
	var err error
	if s.network == "udp" {
		for _, f := range batch {
			m := s.message(f)
			if len(m) > maxDatagram {
				m = s.message(audit.Found{Seq: f.Seq, Event: short(f.Event)})
			}
			if _, err = s.conn.Write(m); err != nil {
				break
			}
		}
	} else {
		var text []byte
		for _, f := range batch {
			m := s.message(f)
			text = append(append(strconv.AppendInt(text, int64(len(m)), 10), ' '), m...)
		}
		_, err = s.conn.Write(text)
	}
	if err != nil {
		_ = s.close()
	}
	return err
}

// connect connects, unless there is a connection that the other side still holds open.
func (s *syslog) connect(ctx context.Context) (err error) {
	if s.conn != nil && s.network != "udp" {
		_ = s.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := s.conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			_ = s.close()
		}
	}
	if s.conn != nil {
		return nil
	}
	if s.tls != nil {
		s.conn, err = (&tls.Dialer{Config: s.tls}).DialContext(ctx, s.network, s.address)
	} else {
		s.conn, err = (&net.Dialer{}).DialContext(ctx, s.network, s.address)
	}
	if err != nil {
		s.conn = nil
	}
	return err
}

func (s *syslog) close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	return err
}
