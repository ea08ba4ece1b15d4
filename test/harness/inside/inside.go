// Package inside runs a server in the process of a test, with credentials that the test
// makes.
package inside

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"sync"
	"testing"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
	"github.com/spf13/pflag"
)

// Key is an access key.
type Key struct {
	Secret, Token     string
	Expired, Disabled bool
	Owner             trace.Owner
}

// Token is a bearer token.
type Token struct {
	Scopes  []string
	Expired bool
	Owner   trace.Owner
}

// Directory is an identity.Credentials in memory.
type Directory struct {
	mu     sync.Mutex
	Keys   map[string]Key         // by id
	Tokens map[string]Token       // by token
	Certs  map[string]trace.Owner // by the certificate's common name
	used   map[string]int         // by key id
}

// Used notes a use.
func (d *Directory) Used(p identity.Principal, _ string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.used == nil {
		d.used = map[string]int{}
	}
	d.used[p.KeyID]++
}

// Uses returns how often a key was used.
func (d *Directory) Uses(id string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used[id]
}

func principal(o trace.Owner, name, key string) identity.Principal {
	return identity.Principal{Owner: o, Type: identity.TypeUser, Name: name, KeyID: key, ARN: "arn:aws:iam::" + string(o.Account) + ":user/" + name}
}

func denied(err error) error {
	return &trace.KindError{Kind: trace.KindDenied, Message: "no such credential", Err: err}
}

// AccessKey finds an access key.
func (d *Directory) AccessKey(_ context.Context, id, token string) (string, identity.Principal, error) {
	k, known := d.Keys[id]
	switch {
	case !known || k.Disabled || k.Token != token:
		return "", identity.Principal{}, denied(identity.ErrUnknown)
	case k.Expired:
		return "", identity.Principal{}, denied(identity.ErrExpired)
	}
	return k.Secret, principal(k.Owner, "of-"+id, id), nil
}

// Bearer finds a bearer token.
func (d *Directory) Bearer(_ context.Context, token string) (identity.Principal, []string, error) {
	t, known := d.Tokens[token]
	switch {
	case !known:
		return identity.Principal{}, nil, denied(identity.ErrUnknown)
	case t.Expired:
		return identity.Principal{}, nil, denied(identity.ErrExpired)
	}
	sum := sha256.Sum256([]byte(token))
	return principal(t.Owner, "token", string(sum[:4])), t.Scopes, nil
}

// Certificate finds the identity of a client certificate.
func (d *Directory) Certificate(_ context.Context, c *x509.Certificate) (identity.Principal, error) {
	o, known := d.Certs[c.Subject.CommonName]
	if !known {
		return identity.Principal{}, denied(identity.ErrUnknown)
	}
	return principal(o, c.Subject.CommonName, c.SerialNumber.String()), nil
}

// Server is a running server.
type Server struct {
	HTTP, UDP, GRPC, OTLP string
	Data                  string
	out                   buffer
}

// Output returns what the server printed and logged.
func (s *Server) Output() string { return s.out.String() }

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Start runs a server until the test ends. Flags may replace the addresses.
func Start(t testing.TB, flags []string, options ...server.Option) *Server {
	t.Helper()
	s := &Server{HTTP: harness.FreePort(t), GRPC: harness.FreePort(t), OTLP: harness.FreePort(t), Data: t.TempDir()}
	s.UDP = s.HTTP
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Register(set)
	if err := set.Parse(append([]string{"--data", s.Data, "--http", s.HTTP, "--udp", s.UDP, "--otlp-grpc", s.GRPC, "--otlp-http", s.OTLP}, flags...)); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(set, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	s.HTTP, s.UDP, s.GRPC, s.OTLP = c.HTTP, c.UDP, c.OTLPGRPC, c.OTLPHTTP
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, c, &s.out, &s.out, options...) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(s.Output())
		}
	})
	scheme := "http"
	if c.TLS.Encrypted() {
		scheme = "https"
	}
	// Only whether it answers is of interest here.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	harness.Eventually(t, "the server answers", func() bool {
		select {
		case err := <-ended:
			ended <- err
			return true
		default:
		}
		res, err := client.Get(scheme + "://" + s.HTTP + "/readyz")
		if err != nil {
			// A server that wants a client certificate answers in its own way.
			return c.TLS.ClientAuth == "required" && bytes.Contains([]byte(s.Output()), []byte("is ready"))
		}
		return res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
	return s
}
