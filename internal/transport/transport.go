// Package transport makes the TLS of the server's own addresses, and of connections to
// other servers. The minimum is TLS 1.2. Files are read again when they change.
package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// checkEvery is how often the files are looked at, at most.
const checkEvery = time.Second

// Files are the files of a server's TLS.
type Files struct {
	Cert, Key string // PEM: the certificate with its chain, and its key
	// ClientCA is a PEM file with the authorities of client certificates; "" for none.
	ClientCA string
	// ClientRequired refuses connections without a client certificate.
	ClientRequired bool
}

// Server makes the TLS configurations of a server's listeners. Many goroutines may use it
// at once.
type Server struct {
	files Files
	log   *slog.Logger
	now   func() time.Time
	// issue makes or finds the certificate for a handshake, if it is not in files.
	issue func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	extra []string         // protocols that issue needs
	made  *tls.Certificate // a self-signed one

	mu      sync.Mutex
	checked time.Time
	seen    string // state of the files that were read last, also of wrong ones
	loaded  *loaded
}

// loaded holds what the files contained.
type loaded struct {
	cert    *tls.Certificate // nil if issue makes it
	clients *x509.CertPool   // nil if no client certificates are asked for
	configs map[string]*tls.Config
}

// FromFiles reads certificates from files. When they change, new connections get the new
// ones; wrong or expired new files are logged, and the old certificate stays.
func FromFiles(f Files, log *slog.Logger) (*Server, error) {
	s := &Server{files: f, log: log, now: time.Now}
	return s, s.load()
}

// load reads the files for the first time.
func (s *Server) load() (err error) {
	s.seen, s.checked = s.state(), s.now()
	s.loaded, err = s.read()
	return err
}

// read reads and checks the files.
func (s *Server) read() (*loaded, error) {
	l := &loaded{configs: map[string]*tls.Config{}}
	if s.files.Cert != "" {
		cert, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
		switch {
		case err != nil:
			return nil, fmt.Errorf("TLS certificate %s with key %s: %w", s.files.Cert, s.files.Key, err)
		case s.now().After(cert.Leaf.NotAfter):
			return nil, fmt.Errorf("TLS certificate %s expired at %s", s.files.Cert, cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
		l.cert = &cert
	}
	if s.files.ClientCA != "" {
		var err error
		if l.clients, err = pool(s.files.ClientCA, x509.NewCertPool()); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// pool adds the certificates of a PEM file to a pool.
func pool(file string, to *x509.CertPool) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	if !to.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authorities %s: the file has no certificate in PEM form", file)
	}
	return to, nil
}

// state describes the files, so that a change shows. A file that cannot be read has a
// state too.
func (s *Server) state() (out string) {
	for _, name := range []string{s.files.Cert, s.files.Key, s.files.ClientCA} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			out += err.Error() + "\n"
			continue
		}
		out += fmt.Sprintf("%d %d %v\n", info.Size(), info.ModTime().UnixNano(), inode(info))
	}
	return out
}

// current returns what the files contain now.
func (s *Server) current() *loaded {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.checked) >= checkEvery || now.Before(s.checked) {
		s.checked = now
		if state := s.state(); state != s.seen {
			s.seen = state
			l, err := s.read()
			if err != nil {
				s.log.Error("the TLS files have changed, and cannot be used; the old certificate stays", "error", err)
			} else {
				s.loaded = l
				s.log.Info("the TLS files have changed, and are used now", "certificate", s.files.Cert)
			}
		}
	}
	return s.loaded
}

// Config returns the configuration of a listener that speaks the given protocols, such as
// h2 and http/1.1.
func (s *Server) Config(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: append(append([]string{}, protocols...), s.extra...),
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.config(protocols), nil
		},
	}
}

// config returns the configuration of the present files. The same one serves all
// connections until the files change, so that sessions can be resumed.
func (s *Server) config(protocols []string) *tls.Config {
	l := s.current()
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprint(protocols)
	if c := l.configs[name]; c != nil {
		return c
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: append(append([]string{}, protocols...), s.extra...), GetCertificate: s.issue}
	if l.cert != nil {
		c.Certificates = []tls.Certificate{*l.cert}
	}
	if l.clients != nil {
		c.ClientCAs, c.ClientAuth = l.clients, tls.VerifyClientCertIfGiven
		if s.files.ClientRequired {
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	l.configs[name] = c
	return c
}

// Covers tells whether the present certificate is for a name. Over TLS such a name cannot
// be a foreign one that somebody pointed at this server.
func (s *Server) Covers(host string) bool {
	cert := s.certificate()
	return cert != nil && cert.Leaf.VerifyHostname(host) == nil
}

// certificate returns the present certificate, nil if it is made on demand.
func (s *Server) certificate() *tls.Certificate {
	if s.made != nil {
		return s.made
	}
	return s.current().cert
}

// Expires returns when the present certificate expires, the zero time if it is made on
// demand.
func (s *Server) Expires() time.Time {
	if cert := s.certificate(); cert != nil {
		return cert.Leaf.NotAfter
	}
	return time.Time{}
}

// ClientOptions describe the TLS of connections to another server.
type ClientOptions struct {
	// CA is a PEM file with authorities that are trusted besides the system's; "" for
	// none.
	CA string
	// Cert and Key are PEM files of a client certificate; "" for none. They are read again
	// for each connection.
	Cert, Key string
}

// Client makes the TLS configuration of connections to another server. Nothing turns
// verification off.
func Client(o ClientOptions) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if c.RootCAs, err = pool(o.CA, roots); err != nil {
			return nil, err
		}
	}
	switch {
	case (o.Cert == "") != (o.Key == ""):
		return nil, errors.New("a client certificate needs both a certificate and a key")
	case o.Cert != "":
		read := func() (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(o.Cert, o.Key)
			if err != nil {
				return nil, fmt.Errorf("client certificate %s with key %s: %w", o.Cert, o.Key, err)
			}
			return &cert, nil
		}
		if _, err := read(); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return read() }
	}
	return c, nil
}
