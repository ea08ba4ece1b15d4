package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
	"golang.org/x/crypto/acme/autocert"
)

// handshake connects a client to a server's configuration. It returns the connection's
// state as the client sees it, and the server's error.
func handshake(t *testing.T, server, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	failed := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			failed <- err
			return
		}
		defer conn.Close()
		c := tls.Server(conn, server)
		if err = c.Handshake(); err == nil {
			_, err = c.Write([]byte("x"))
		}
		failed <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		return tls.ConnectionState{}, errors.Join(err, <-failed)
	}
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	return conn.ConnectionState(), errors.Join(err, <-failed)
}

// clock is a time that a test moves, so that files are looked at again.
func clock(s *Server) func() {
	now := time.Now()
	s.now = func() time.Time { return now }
	return func() { now = now.Add(2 * checkEvery) }
}

func TestFiles_areReadAgain(t *testing.T) {
	ca, log := harness.NewCA(t), new(bytes.Buffer)
	files := ca.Issue("old.example", time.Hour)
	s, err := FromFiles(Files{Cert: files.Cert, Key: files.Key}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	later := clock(s)
	config := s.Config("h2", "http/1.1")
	shown := func() string {
		t.Helper()
		state, err := handshake(t, config, &tls.Config{RootCAs: ca.Pool, ServerName: "localhost", NextProtos: []string{"h2"}})
		if err != nil || state.NegotiatedProtocol != "h2" {
			t.Fatal(state.NegotiatedProtocol, err)
		}
		return state.PeerCertificates[0].Subject.CommonName
	}
	if got := shown(); got != "old.example" || !s.Covers("old.example") || s.Covers("new.example") {
		t.Errorf("at first: %s", got)
	}
	ca.Issue("new.example", time.Hour).Over(t, files)
	later()
	if got := shown(); got != "new.example" || !s.Covers("new.example") || s.Covers("old.example") {
		t.Errorf("afterwards: %s", got)
	}
	// What cannot be used changes nothing, and is logged once.
	other := ca.Issue("other.example", time.Hour)
	for name, damage := range map[string]func(){
		"an expired certificate": func() { ca.Issue("late.example", -time.Minute).Over(t, files) },
		"the key of another": func() {
			harness.Pair{Cert: files.Cert, Key: other.Key}.Over(t, harness.Pair{Cert: files.Cert, Key: files.Key})
		},
		"no PEM":        func() { _ = os.WriteFile(files.Cert, []byte("nonsense"), 0o600) },
		"an empty file": func() { _ = os.WriteFile(files.Key, nil, 0o600) },
		"no file":       func() { _ = os.Remove(files.Key) },
	} {
		log.Reset()
		damage()
		for range 3 {
			later()
			if got := shown(); got != "new.example" {
				t.Errorf("%s: %s", name, got)
			}
		}
		if n := strings.Count(log.String(), "the old certificate stays"); n != 1 {
			t.Errorf("%s: logged %d times: %s", name, n, log)
		}
	}
	ca.Issue("third.example", time.Hour).Over(t, files)
	later()
	if got := shown(); got != "third.example" || s.Expires().Before(time.Now().Add(50*time.Minute)) {
		t.Errorf("at last: %s", got)
	}
}

// A server does not start with files that cannot work.
func TestFiles_refused(t *testing.T) {
	ca := harness.NewCA(t)
	good, late := ca.Issue("a.example", time.Hour), ca.Issue("a.example", -time.Minute)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]Files{
		"no such file":      {Cert: good.Cert, Key: "/nonexistent"},
		"expired at":        {Cert: late.Cert, Key: late.Key},
		"does not match":    {Cert: good.Cert, Key: late.Key},
		"no certificate in": {Cert: good.Cert, Key: good.Key, ClientCA: empty},
	} {
		if _, err := FromFiles(f, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", f, err, want)
		}
	}
}

func TestConfig_versions(t *testing.T) {
	ca := harness.NewCA(t)
	files := ca.Issue("a.example", time.Hour)
	s, err := FromFiles(Files{Cert: files.Cert, Key: files.Key}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for version, works := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		_, err := handshake(t, s.Config("http/1.1"), &tls.Config{RootCAs: ca.Pool, ServerName: "a.example", MinVersion: version, MaxVersion: version})
		if (err == nil) != works {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

func TestConfig_clients(t *testing.T) {
	ca, foreign := harness.NewCA(t), harness.NewCA(t)
	files := ca.Issue("a.example", time.Hour)
	for _, c := range []struct {
		name     string
		cert     []tls.Certificate
		optional bool
		required bool
	}{
		{"no certificate", nil, true, false},
		{"of the authority", ca.Issue("checkout", time.Hour).Load(t), true, true},
		{"expired", ca.Issue("checkout", -time.Minute).Load(t), false, false},
		{"of another authority", foreign.Issue("checkout", time.Hour).Load(t), false, false},
	} {
		for _, must := range []bool{false, true} {
			s, err := FromFiles(Files{Cert: files.Cert, Key: files.Key, ClientCA: ca.File, ClientRequired: must}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			// A client that sends its certificate to everybody.
			client := &tls.Config{RootCAs: ca.Pool, ServerName: "a.example", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if c.cert == nil {
					return new(tls.Certificate), nil
				}
				return &c.cert[0], nil
			}}
			want := c.optional
			if must {
				want = c.required
			}
			if _, err := handshake(t, s.Config("http/1.1"), client); (err == nil) != want {
				t.Errorf("%s, required %v: %v", c.name, must, err)
			}
		}
	}
}

func TestSelfSigned(t *testing.T) {
	file := filepath.Join(t.TempDir(), "self-signed.pem")
	s, err := SelfSigned([]string{"localhost", "127.0.0.1", "fluoro"}, Files{}, file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || bytes.Contains(text, []byte("PRIVATE")) {
		t.Fatal(string(text), err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("the file is no certificate")
	}
	for name, works := range map[string]bool{"localhost": true, "127.0.0.1": true, "fluoro": true, "other": false} {
		state, err := handshake(t, s.Config("h2"), &tls.Config{RootCAs: roots, ServerName: name})
		if (err == nil) != works {
			t.Errorf("%s: %v", name, err)
		}
		if works {
			block, _ := pem.Decode(text)
			if !bytes.Equal(state.PeerCertificates[0].Raw, block.Bytes) || !s.Covers(name) {
				t.Error("the file is another certificate")
			}
		}
	}
	if print := s.Fingerprint(); len(print) != 32*3-1 || strings.Count(print, ":") != 31 {
		t.Errorf("fingerprint %s", print)
	}
	if _, err := handshake(t, s.Config("h2"), &tls.Config{ServerName: "localhost"}); err == nil {
		t.Error("a client that was told nothing trusts it")
	}
}

func TestClient(t *testing.T) {
	ca := harness.NewCA(t)
	files, client := ca.Issue("kms.example", time.Hour), ca.Issue("fluoro", time.Hour)
	s, err := FromFiles(Files{Cert: files.Cert, Key: files.Key, ClientCA: ca.File, ClientRequired: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Client(ClientOptions{CA: ca.File, Cert: client.Cert, Key: client.Key})
	if err != nil {
		t.Fatal(err)
	}
	c.ServerName = "kms.example"
	if _, err := handshake(t, s.Config("h2"), c); err != nil {
		t.Error(err)
	}
	c.ServerName = "other.example"
	if _, err := handshake(t, s.Config("h2"), c); err == nil {
		t.Error("another name is accepted")
	}
	for _, o := range []ClientOptions{{Cert: client.Cert}, {Key: client.Key}, {CA: "/nonexistent"}, {Cert: client.Cert, Key: files.Key}} {
		if _, err := Client(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if bare, err := Client(ClientOptions{}); err != nil || bare.MinVersion != tls.VersionTLS12 || bare.InsecureSkipVerify {
		t.Errorf("%+v, %v", bare, err)
	}
}

// ring is a seal.Keys with one key, or none.
type ring struct {
	seal.Off
	key *seal.Key
}

func (r ring) Newest(context.Context, trace.Account) (*seal.Key, error) { return r.key, nil }

func (r ring) Find(ctx context.Context, a trace.Account, id uint32) (*seal.Key, error) {
	if r.key == nil || id != r.key.ID() {
		return r.Off.Find(ctx, a, id)
	}
	return r.key, nil
}

func TestCache(t *testing.T) {
	dir := t.TempDir()
	secret := []byte("-----BEGIN EC PRIVATE KEY----- secret")
	sealed := Cache{Dir: dir, Keys: ring{key: seal.NewKey(7, [seal.KeyBytes]byte{1})}}
	clear := Cache{Dir: dir}
	if _, err := sealed.Get(t.Context(), "a"); !errors.Is(err, autocert.ErrCacheMiss) {
		t.Errorf("an empty cache: %v", err)
	}
	if err := clear.Put(t.Context(), "old", secret); err != nil {
		t.Fatal(err)
	}
	if err := sealed.Put(t.Context(), "a", secret); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "a"} {
		if got, err := sealed.Get(t.Context(), name); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "a"))
	if err != nil || bytes.Contains(raw, []byte("secret")) {
		t.Errorf("on disk: %q, %v", raw, err)
	}
	// Files cannot be swapped, changed, cut, or read without the key.
	for name, change := range map[string]func() []byte{
		"another name": func() []byte { return raw },
		"changed":      func() []byte { b := bytes.Clone(raw); b[len(b)-1] ^= 1; return b },
		"cut":          func() []byte { return raw[:len(raw)-1] },
		"cut salt":     func() []byte { return raw[:len(cacheFormat)+10] },
	} {
		at := "b"
		if name != "another name" {
			at = "a"
		}
		if err := os.WriteFile(filepath.Join(dir, at), change(), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := sealed.Get(t.Context(), at); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	_ = os.WriteFile(filepath.Join(dir, "a"), raw, 0o600)
	for _, c := range []Cache{clear, {Dir: dir, Keys: seal.Off{}}, {Dir: dir, Keys: ring{key: seal.NewKey(8, [seal.KeyBytes]byte{1})}}, {Dir: dir, Keys: ring{key: seal.NewKey(7, [seal.KeyBytes]byte{2})}}} {
		if got, err := c.Get(t.Context(), "a"); err == nil {
			t.Errorf("without the key: %q", got)
		}
	}
	off := Cache{Dir: dir, Keys: seal.Off{}}
	if err := off.Put(t.Context(), "c", secret); err != nil {
		t.Fatal(err)
	}
	if got, err := off.Get(t.Context(), "c"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("encryption off: %q, %v", got, err)
	}
	if err := off.Delete(t.Context(), "c"); err != nil {
		t.Error(err)
	}
}
