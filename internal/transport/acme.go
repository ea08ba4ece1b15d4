package transport

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/fluoro-io/fluoro/internal/seal"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACMEOptions say how to get certificates from an authority (RFC 8555).
type ACMEOptions struct {
	Hosts     []string // the names for which to get certificates
	Email     string   // "" for none
	Directory string   // URL of the authority
	Cache     Cache
	// HTTP answers challenges by HTTP too; else only by TLS-ALPN.
	HTTP bool
}

// ACME gets certificates when the first connection asks for them, and renews them before
// they expire. Challenges are answered by TLS-ALPN on the listeners themselves, and with
// o.HTTP by the handler challenges, which is nil otherwise.
func ACME(o ACMEOptions, f Files, log *slog.Logger) (s *Server, challenges http.Handler, err error) {
	m := &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: o.Cache, HostPolicy: autocert.HostWhitelist(o.Hosts...), Email: o.Email,
		Client: &acme.Client{DirectoryURL: o.Directory, UserAgent: "fluoro"},
	}
	f.Cert, f.Key = "", ""
	s = &Server{files: f, log: log, now: time.Now, extra: []string{acme.ALPNProto}}
	if err := s.load(); err != nil {
		return nil, nil, err
	}
	s.issue = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := m.GetCertificate(hello)
		if err != nil && m.HostPolicy(context.Background(), hello.ServerName) == nil {
			log.Error("no certificate from the authority", "host", hello.ServerName, "error", err)
		}
		return cert, err
	}
	if !o.HTTP {
		return s, nil, nil
	}
	// Other requests to the challenge's address get no redirect: clients must learn that
	// they sent something in the clear.
	return s, m.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "this address only answers challenges of a certificate authority", http.StatusNotFound)
	})), nil
}

// cacheFormat begins each sealed file of a Cache.
const cacheFormat = "fluoro acme 1\n"

// saltBytes is the length of the salt of a sealed file.
const saltBytes = 16

// Cache keeps the keys and certificates of ACME in a directory, in files of mode 0600.
type Cache struct {
	Dir string
	// Keys encrypt the files; nil: they are in the clear.
	Keys seal.Keys
}

// Get reads an entry.
func (c Cache) Get(ctx context.Context, name string) ([]byte, error) {
	b, err := autocert.DirCache(c.Dir).Get(ctx, name)
	if err != nil {
		return nil, err
	}
	sealed, ok := bytes.CutPrefix(b, []byte(cacheFormat))
	if !ok {
		return b, nil // written before encryption was on
	}
	if c.Keys == nil || len(sealed) < 4+saltBytes {
		return nil, fmt.Errorf("ACME cache: %s is encrypted, or cut, and cannot be read", name)
	}
	key, err := c.Keys.Find(ctx, seal.System, binary.BigEndian.Uint32(sealed))
	if err != nil {
		return nil, err
	}
	aead, err := key.AEAD("acme 1", sealed[4:4+saltBytes])
	if err != nil {
		return nil, err
	}
	// Each file has a key of its own, so that the nonce may be constant.
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed[4+saltBytes:], []byte(name))
	if err != nil {
		return nil, fmt.Errorf("ACME cache: %s was changed, or belongs to another name", name)
	}
	return plain, nil
}

// Put writes an entry.
func (c Cache) Put(ctx context.Context, name string, data []byte) error {
	var key *seal.Key
	if c.Keys != nil {
		var err error
		if key, err = c.Keys.Newest(ctx, seal.System); err != nil {
			return err
		}
	}
	if key == nil {
		return autocert.DirCache(c.Dir).Put(ctx, name, data)
	}
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // it never fails
	aead, err := key.AEAD("acme 1", salt)
	if err != nil {
		return err
	}
	out := append(binary.BigEndian.AppendUint32([]byte(cacheFormat), key.ID()), salt...)
	return autocert.DirCache(c.Dir).Put(ctx, name, aead.Seal(out, make([]byte, aead.NonceSize()), data, []byte(name)))
}

// Delete removes an entry.
func (c Cache) Delete(ctx context.Context, name string) error {
	return autocert.DirCache(c.Dir).Delete(ctx, name)
}
