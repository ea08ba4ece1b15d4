package sdks_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/test/harness"
	"github.com/fluoro-io/fluoro/test/harness/inside"
)

const secret = "good/secret+of/forty/characters/EXAMPLEKEY"

// startRequired runs a server that requires credentials.
func startRequired(t *testing.T, flags ...string) *inside.Server {
	home := trace.Owner{Account: "000000000000", Region: "us-east-1"}
	return inside.Start(t, append([]string{"--auth", "required"}, flags...), server.WithCredentials(&inside.Directory{
		Keys: map[string]inside.Key{"AKIAGOODGOODGOODGOOD": {Secret: secret, Owner: home}}, Tokens: map[string]inside.Token{"fluoro_good": {Owner: home}},
	}))
}

// ask makes a request with the good token and returns the answer.
func ask(t *testing.T, s *inside.Server, method, path, body string) string {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+s.HTTP+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer fluoro_good")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res.Status, string(b), err)
	}
	return string(b)
}

// arrives waits until a trace has a segment with a name.
func arrives(t *testing.T, s *inside.Server, id, name string) {
	t.Helper()
	harness.Eventually(t, "trace "+id, func() bool {
		return strings.Contains(ask(t, s, "POST", "/Traces", fmt.Sprintf(`{"TraceIds":[%q]}`, id)), `\"name\":\"`+name+`\"`)
	})
}

// The stock daemon signs what it forwards: segments, telemetry and sampling calls.
func TestXRayDaemon_signs(t *testing.T) {
	for _, key := range []struct {
		secret string
		good   bool
	}{{secret, true}, {"wrong", false}} {
		s := startRequired(t, "--udp-from", "off")
		addr := harness.FreePort(t)
		config := filepath.Join(t.TempDir(), "cfg.yaml")
		text := fmt.Sprintf("Region: us-east-1\nEndpoint: http://%s\nLocalMode: true\nSocket:\n  UDPAddress: %s\n  TCPAddress: %s\nVersion: 2\n", s.HTTP, addr, addr)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		daemon := exec.Command(tool("bin", "xray-daemon"), "-c", config, "-o")
		daemon.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIAGOODGOODGOODGOOD", "AWS_SECRET_ACCESS_KEY="+key.secret, "AWS_EC2_METADATA_DISABLED=true")
		daemon.Stdout, daemon.Stderr = &testLog{t: t}, &testLog{t: t}
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
		want := map[bool]int{true: 200, false: 403}[key.good]
		harness.Eventually(t, "the daemon passes a sampling call on", func() bool {
			res, err := http.Post("http://"+addr+"/GetSamplingRules", "application/json", strings.NewReader("{}"))
			if err != nil {
				return false
			}
			res.Body.Close()
			return res.StatusCode == want
		})
		id := run(t, &harness.Server{UDP: addr}, nil, tool("bin", "go-app"), "xray", downstream(t))
		if key.good {
			arrives(t, s, id, "stock-go")
			continue
		}
		harness.Eventually(t, "the refusal is counted", func() bool {
			return strings.Contains(ask(t, s, "GET", "/console/api/status", ""), `"protocol":"xray","outcome":"rejected","reason":"Signature"`)
		})
	}
}

// An OpenTelemetry SDK sends a bearer token in its usual setting for headers.
func TestOTel_bearer(t *testing.T) {
	s := startRequired(t)
	for protocol, endpoint := range map[string]string{"grpc": "http://" + s.GRPC, "http": "http://" + s.OTLP} {
		id := run(t, &harness.Server{}, []string{"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20fluoro_good"}, tool("venv", "bin", "python"), "python/otel_app.py", protocol, endpoint)
		arrives(t, s, "1-"+id[:8]+"-"+id[8:], "otel-python")
	}
	for protocol, reason := range map[string]string{"grpc": "otlp-grpc", "http": "otlp-http"} {
		cmd := exec.Command(tool("venv", "bin", "python"), "python/otel_app.py", protocol, map[string]string{"grpc": "http://" + s.GRPC, "http": "http://" + s.OTLP}[protocol])
		cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20fluoro_wrong")
		out, err := cmd.CombinedOutput()
		if report := ask(t, s, "GET", "/console/api/status", ""); !strings.Contains(report, fmt.Sprintf(`{"protocol":%q,"outcome":"rejected","reason":"Unknown"`, reason)) {
			t.Errorf("%s: %v %s; %s", protocol, err, out, report)
		}
	}
}

func TestNode_credentials(t *testing.T) {
	s := startRequired(t)
	cmd := exec.Command("node", "node/credentials.js")
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL_XRAY=http://"+s.HTTP, "FLUORO_SECRET="+secret)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "OK") {
		t.Fatalf("%v\n%s", err, out)
	}
}
