package wire_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	serving "github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/test/harness"
	"github.com/fluoro-io/fluoro/test/harness/inside"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// startTLS runs a server with certificates from files.
func startTLS(t *testing.T, ca *harness.CA, flags ...string) (*inside.Server, harness.Pair) {
	t.Helper()
	files := ca.Issue("traces.example", time.Hour)
	return inside.Start(t, append([]string{"--auth", "required", "--tls-cert", files.Cert, "--tls-key", files.Key}, flags...), serving.WithCredentials(directory())), files
}

// secureClient makes an HTTP client that trusts an authority.
func secureClient(t *testing.T, c *tls.Config) *http.Client {
	tr := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

// exportTLS sends an empty request by gRPC over TLS.
func exportTLS(t *testing.T, s *inside.Server, c *tls.Config, authorization string) error {
	t.Helper()
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(credentials.NewTLS(c)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := t.Context()
	if authorization != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
	}
	_, err = coltrace.NewTraceServiceClient(conn).Export(ctx, &coltrace.ExportTraceServiceRequest{})
	return err
}

// Every TCP address speaks TLS: HTTP/1.1, HTTP/2 and gRPC, with signatures and tokens.
func TestTLS_everyAddress(t *testing.T) {
	ca := harness.NewCA(t)
	s, _ := startTLS(t, ca)
	trusting := &tls.Config{RootCAs: ca.Pool}
	for _, version := range []string{"HTTP/2.0", "HTTP/1.1"} {
		client := secureClient(t, trusting.Clone())
		if version == "HTTP/1.1" {
			client.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		}
		for _, c := range []struct {
			request *http.Request
			host    string
		}{
			{call{path: "/Groups", body: "{}"}.sign(t, s), s.HTTP},
			{call{path: "/v1/traces", body: "{}", before: func(r *http.Request) { r.Header.Set("Content-Type", "application/json"); r.Host = s.OTLP }}.sign(t, s), s.OTLP},
			{call{path: "/console/api/status"}.sign(t, s), s.HTTP},
		} {
			c.request.URL.Scheme, c.request.URL.Host = "https", c.host
			res, err := client.Do(c.request)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != 200 || res.Proto != version {
				t.Errorf("%s at %s: %d %s %s", version, c.host, res.StatusCode, res.Proto, body)
			}
		}
		r := call{path: "/Groups", body: "{}"}.sign(t, s)
		r.URL.Scheme, r.Body = "https", io.NopCloser(strings.NewReader("{ }"))
		r.ContentLength = 3
		if res, err := client.Do(r); err != nil || res.StatusCode != 403 {
			t.Errorf("%s with a swapped body: %v %v", version, res, err)
		}
	}
	if err := exportTLS(t, s, trusting, "Bearer "+goodToken); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	if err := exportTLS(t, s, trusting, ""); status.Code(err) != codes.Unauthenticated {
		t.Errorf("gRPC without credentials: %v", err)
	}
	for _, at := range []string{s.HTTP, s.OTLP} {
		if res, err := http.Get("http://" + at + "/healthz"); err != nil || res.StatusCode != 400 {
			t.Errorf("plain HTTP at %s: %v %v", at, res, err)
		}
	}
	if err := export(t, s, "Bearer "+goodToken); err == nil {
		t.Error("plain gRPC works")
	}
	for version, works := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true} {
		for _, at := range []string{s.HTTP, s.OTLP, s.GRPC} {
			conn, err := tls.Dial("tcp", at, &tls.Config{RootCAs: ca.Pool, MinVersion: tls.VersionTLS10, MaxVersion: version, NextProtos: []string{"h2"}})
			if err == nil {
				conn.Close()
			}
			if (err == nil) != works {
				t.Errorf("%s at %s: %v", tls.VersionName(version), at, err)
			}
		}
	}
	// The names of the certificate are names of the server; others are not.
	for host, want := range map[string]int{"traces.example": 200, "TRACES.example.": 200, "evil.example": 421} {
		r, _ := http.NewRequest("GET", "https://"+s.HTTP+"/healthz", nil)
		r.Host = host
		res, err := secureClient(t, trusting.Clone()).Do(r)
		if err != nil || res.StatusCode != want {
			t.Errorf("%s: %v %v, want %d", host, res, err, want)
		}
	}
}

// The live stream works over HTTP/2: its events arrive while it is open.
func TestTLS_liveStream(t *testing.T) {
	ca := harness.NewCA(t)
	s, _ := startTLS(t, ca)
	client := secureClient(t, &tls.Config{RootCAs: ca.Pool})
	client.Timeout = 0
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+s.HTTP+"/console/api/live", nil)
	r.Header.Set("Authorization", "Bearer "+goodToken)
	stream, err := client.Do(r)
	if err != nil || stream.StatusCode != 200 || stream.Proto != "HTTP/2.0" {
		t.Fatal(stream, err)
	}
	defer stream.Body.Close()
	event := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stream.Body)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "event:") {
				event <- lines.Text()
				return
			}
		}
		event <- "the stream ended"
	}()
	now := time.Now().Unix()
	put := call{path: "/TraceSegments", body: fmt.Sprintf(`{"TraceSegmentDocuments":["{\"trace_id\":\"1-%08x-%024x\",\"id\":\"00000000000000aa\",\"name\":\"live\",\"start_time\":%d,\"end_time\":%d}"]}`, now, 0x11e, now-1, now)}.sign(t, s)
	put.URL.Scheme = "https"
	if res, err := client.Do(put); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	select {
	case got := <-event:
		if !strings.HasPrefix(got, "event:") {
			t.Error(got)
		}
	case <-time.After(10 * time.Second):
		t.Error("no event arrives")
	}
}

// Other machines send tokens over TLS only, unless a setting says that something else
// encrypts. Signatures do not reveal their secret.
func TestTLS_secretsInTheClear(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	wide := ""
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			wide = n.IP.String()
		}
	}
	if wide == "" {
		t.Skip("this machine has no address but loopback")
	}
	for flag, want := range map[string]int{"auto": 403, "off": 200} {
		port := strings.TrimPrefix(harness.FreePort(t), "127.0.0.1")
		s := inside.Start(t, []string{"--http", "0.0.0.0" + port, "--tls", flag}, serving.WithCredentials(directory()))
		s.HTTP = wide + port
		r, _ := http.NewRequest("POST", "http://"+s.HTTP+"/Groups", strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer "+goodToken)
		if status, _, body := send(t, r); status != want || want == 403 && !strings.Contains(body, "over TLS only") {
			t.Errorf("--tls %s: a token: %d %s", flag, status, body)
		}
		if status, _, body := send(t, call{path: "/Groups", body: "{}"}.sign(t, s)); status != 200 {
			t.Errorf("--tls %s: a signature: %d %s", flag, status, body)
		}
		if warned := strings.Contains(s.Output(), "in the clear"); warned != (flag == "auto") {
			t.Errorf("--tls %s: warned: %v", flag, warned)
		}
	}
}

// A client certificate is an identity at every address.
func TestTLS_clientCertificates(t *testing.T) {
	ca, foreign := harness.NewCA(t), harness.NewCA(t)
	for _, mode := range []string{"optional", "required"} {
		s, _ := startTLS(t, ca, "--tls-client-ca", ca.File, "--tls-client-auth", mode)
		for _, c := range []struct {
			name  string
			certs []tls.Certificate
			want  int // status of the API, 0 if there is no connection
			rpc   codes.Code
		}{
			{"registered", ca.Issue("checkout", time.Hour).Load(t), 200, codes.OK},
			{"of nobody", ca.Issue("nobody", time.Hour).Load(t), 403, codes.Unauthenticated},
			{"expired", ca.Issue("checkout", -time.Minute).Load(t), 0, codes.Unavailable},
			{"of another authority", foreign.Issue("checkout", time.Hour).Load(t), 0, codes.Unavailable},
			{"none", nil, map[string]int{"optional": 403}[mode], map[string]codes.Code{"optional": codes.Unauthenticated, "required": codes.Unavailable}[mode]},
		} {
			config := &tls.Config{RootCAs: ca.Pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if c.certs == nil {
					return new(tls.Certificate), nil
				}
				return &c.certs[0], nil
			}}
			got := 0
			res, err := secureClient(t, config).Post("https://"+s.HTTP+"/Groups", "application/json", strings.NewReader("{}"))
			if err == nil {
				got = res.StatusCode
				res.Body.Close()
			}
			if got != c.want {
				t.Errorf("%s, %s: %d (%v), want %d", mode, c.name, got, err, c.want)
			}
			if err := exportTLS(t, s, config, ""); status.Code(err) != c.rpc {
				t.Errorf("%s, %s by gRPC: %v, want %v", mode, c.name, err, c.rpc)
			}
		}
	}
}

// New files are used without a restart; wrong ones are not.
func TestTLS_filesChange(t *testing.T) {
	ca := harness.NewCA(t)
	s, files := startTLS(t, ca)
	name := func() string {
		conn, err := tls.Dial("tcp", s.GRPC, &tls.Config{RootCAs: ca.Pool, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := name(); got != "traces.example" {
		t.Fatal(got)
	}
	if err := os.WriteFile(files.Key, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the wrong file is reported", func() bool {
		return name() == "traces.example" && strings.Contains(s.Output(), "the old certificate stays")
	})
	ca.Issue("renewed.example", time.Hour).Over(t, files)
	harness.Eventually(t, "the new certificate is used", func() bool { return name() == "renewed.example" })
}

// A certificate to try out: its fingerprint is printed, and its file makes clients trust it.
func TestTLS_selfSigned(t *testing.T) {
	s := inside.Start(t, []string{"--tls", "self-signed"})
	text, err := os.ReadFile(filepath.Join(s.Data, "self-signed.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	res, err := secureClient(t, &tls.Config{RootCAs: roots}).Get("https://" + s.HTTP + "/healthz")
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	for _, want := range []string{"TLS certificate        SHA-256 ", "https://" + s.HTTP + "/"} {
		if !strings.Contains(s.Output(), want) {
			t.Errorf("%q is not in %s", want, s.Output())
		}
	}
	boto := exec.Command(filepath.Join(harness.Root(), ".cache", "venv", "bin", "python"), "-c", `import boto3; print(boto3.client("xray").get_groups()["Groups"][0]["GroupName"])`)
	boto.Env = append(os.Environ(), "AWS_ENDPOINT_URL_XRAY=https://"+s.HTTP, "AWS_CA_BUNDLE="+filepath.Join(s.Data, "self-signed.pem"), "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_DEFAULT_REGION=us-east-1", "AWS_MAX_ATTEMPTS=1")
	if out, err := boto.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "Default" {
		t.Errorf("boto3: %v %s", err, out)
	}
}

// A real certificate authority checks the challenge at our address, and issues the
// certificate. After a restart it comes from the cache.
func TestTLS_acme(t *testing.T) {
	ca := harness.NewCA(t)
	at := authority(t, ca)
	t.Setenv("SSL_CERT_FILE", ca.File)
	s := harness.Start(t) // for its addresses
	s.Stop()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.Log())
		}
	})
	for _, running := range []bool{true, false} {
		stop := func() {}
		if running {
			stop = at.start(t, s.HTTP)
		}
		s.Restart("--tls", "acme", "--acme-hosts", "traces.example", "--acme-directory", "https://"+at.directory+"/dir")
		client := secureClient(t, &tls.Config{ServerName: "traces.example", InsecureSkipVerify: true}) // the authority's root is made at its start
		var issuer string
		harness.Eventually(t, "a certificate is issued", func() bool {
			r, _ := http.NewRequest("GET", "https://"+s.HTTP+"/healthz", nil)
			r.Host = "traces.example"
			res, err := client.Do(r)
			if err != nil {
				return false
			}
			res.Body.Close()
			leaf := res.TLS.PeerCertificates[0]
			issuer = leaf.Issuer.CommonName
			return res.StatusCode == 200 && leaf.VerifyHostname("traces.example") == nil
		})
		if !strings.HasPrefix(issuer, "Pebble Intermediate CA") {
			t.Errorf("issued by %s", issuer)
		}
		if _, err := tls.Dial("tcp", s.HTTP, &tls.Config{ServerName: "other.example", InsecureSkipVerify: true}); err == nil {
			t.Error("a name that no setting lists gets a certificate")
		}
		stop()
		s.Stop()
	}
	entries, err := os.ReadDir(filepath.Join(s.Data, "acme"))
	if err != nil || len(entries) < 2 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", e.Name(), info.Mode(), err)
		}
	}
}

// acme is Pebble, the test server of the authors of ACME.
type acme struct {
	directory, management, dns string
	files                      harness.Pair
}

func authority(t *testing.T, ca *harness.CA) *acme {
	a := &acme{directory: harness.FreePort(t), management: harness.FreePort(t), files: ca.Issue("authority.example", time.Hour)}
	names, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { names.Close() })
	a.dns = names.Addr().String()
	go func() {
		for {
			conn, err := names.Accept()
			if err != nil {
				return
			}
			go resolve(conn)
		}
	}()
	return a
}

// start runs the authority until stop is called. It finds every name at the address at.
func (a *acme) start(t *testing.T, at string) (stop func()) {
	t.Helper()
	_, port, _ := net.SplitHostPort(at)
	config, err := json.Marshal(m{"pebble": m{"listenAddress": a.directory, "managementListenAddress": a.management, "certificate": a.files.Cert, "privateKey": a.files.Key,
		"httpPort": 1, "tlsPort": json.Number(port), "profiles": m{"default": m{"description": "any", "validityPeriod": 7776000}}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(harness.Root(), ".cache", "bin", "pebble"), "-config", file, "-dnsserver", a.dns)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1"), t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; run scripts/install-test-tools.sh", err)
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	t.Cleanup(stop)
	harness.Eventually(t, "the authority answers", func() bool {
		conn, err := net.Dial("tcp", a.directory)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return stop
}

// resolve answers questions for names with 127.0.0.1 (DNS over TCP: RFC 1035, section 4.2.2).
func resolve(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		var q dnsmessage.Message
		if _, err := io.ReadFull(conn, b); err != nil || q.Unpack(b) != nil || len(q.Questions) != 1 {
			return
		}
		q.Response, q.Additionals = true, nil
		if q.Questions[0].Type == dnsmessage.TypeA {
			q.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
		}
		out, err := q.AppendPack(make([]byte, 2))
		if err != nil {
			return
		}
		binary.BigEndian.PutUint16(out, uint16(len(out)-2))
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}
