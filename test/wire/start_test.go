package wire_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// run runs the binary to its end and returns its exit code and output.
func run(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b, err := exec.CommandContext(ctx, harness.Binary(t), args...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), string(b)
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, string(b)
}

// refuses checks that serve ends with exit code 1 and an error with all the words.
func refuses(t *testing.T, args []string, words ...string) {
	t.Helper()
	code, out := run(t, args...)
	if code != 1 {
		t.Errorf("exit code %d: %s", code, out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("%q is not in: %s", w, out)
		}
	}
}

func TestStart_saysWhatItListensOn(t *testing.T) {
	s := harness.Start(t)
	log := s.Log()
	// The output arrives through a pipe, a little later.
	for deadline := time.Now().Add(5 * time.Second); !strings.Contains(log, "--endpoint-url") && time.Now().Before(deadline); log = s.Log() {
		time.Sleep(5 * time.Millisecond)
	}
	for _, want := range []string{s.HTTP, s.GRPC, s.OTLP, s.Data, "AWS_XRAY_DAEMON_ADDRESS", "OTEL_EXPORTER_OTLP_ENDPOINT", "--endpoint-url"} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in what the server printed:\n%s", want, log)
		}
	}
	if n := strings.Count(log, "\n"); n > 30 {
		t.Errorf("%d lines are more than a screen", n)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/"} {
		res, err := http.Get(s.URL(path))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("%s answered %d", path, res.StatusCode)
		}
	}
}

func TestStart_busyPort(t *testing.T) {
	s := harness.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, flag := range []string{"--http", "--otlp-grpc", "--otlp-http"} {
		other := &harness.Server{Data: t.TempDir(), HTTP: harness.FreePort(t), UDP: harness.FreePort(t), GRPC: harness.FreePort(t), OTLP: harness.FreePort(t)}
		refuses(t, other.Args(flag, l.Addr().String()), flag, l.Addr().String(), "in use")
	}
	other := &harness.Server{Data: t.TempDir(), HTTP: harness.FreePort(t), GRPC: harness.FreePort(t), OTLP: harness.FreePort(t)}
	other.UDP = s.UDP
	refuses(t, other.Args(), "--udp", s.UDP, "in use")
}

func TestStart_secondProcessOnTheSameData(t *testing.T) {
	s := harness.Start(t)
	s.Put(good)
	other := &harness.Server{Data: s.Data, HTTP: harness.FreePort(t), UDP: harness.FreePort(t), GRPC: harness.FreePort(t), OTLP: harness.FreePort(t)}
	refuses(t, other.Args(), s.Data, "in use by another fluoro")
	alive(t, s)
}

func TestStart_foreignOrUnwritableDirectory(t *testing.T) {
	foreign := t.TempDir()
	thesis := filepath.Join(foreign, "thesis.txt")
	if err := os.WriteFile(thesis, []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, word := range map[string]string{foreign: "no Fluoro data", file: file, "/proc/fluoro": "/proc/fluoro"} {
		other := &harness.Server{Data: dir, HTTP: harness.FreePort(t), UDP: harness.FreePort(t), GRPC: harness.FreePort(t), OTLP: harness.FreePort(t)}
		refuses(t, other.Args(), dir, word)
	}
	names, err := filepath.Glob(filepath.Join(foreign, "*"))
	if err != nil || !slices.Equal(names, []string{thesis}) {
		t.Errorf("the foreign directory holds %v, %v", names, err)
	}
}

// A server that other machines can reach requires credentials, unless somebody says
// clearly that it should not.
func TestStart_wideAddressNeedsCredentials(t *testing.T) {
	s := harness.Start(t)
	s.Stop()
	_, port, _ := strings.Cut(s.HTTP, ":")
	status := func() int {
		res, err := http.Post(s.URL("/Groups"), "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	s.Restart("--http", "0.0.0.0:"+port)
	if got := status(); got != http.StatusForbidden || !strings.Contains(s.Log(), "TLS is off") {
		t.Errorf("status %d, want 403: %s", got, s.Log())
	}
	s.Stop()
	s.Restart("--http", "0.0.0.0:"+port, "--insecure")
	if got := status(); got != http.StatusOK {
		t.Errorf("--insecure: status %d", got)
	}
	s.Stop()
	s.Restart("--auth", "required")
	if got := status(); got != http.StatusForbidden {
		t.Errorf("--auth required: status %d", got)
	}
	open := &harness.Server{Data: t.TempDir(), HTTP: "0.0.0.0:0", UDP: harness.FreePort(t), GRPC: harness.FreePort(t), OTLP: harness.FreePort(t)}
	code, out := run(t, open.Args("--auth", "open")...)
	if code != 2 || !strings.Contains(out, "--insecure") || !strings.Contains(out, "0.0.0.0") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestStart_badSettings(t *testing.T) {
	for _, c := range []struct {
		args []string
		word string
	}{
		{[]string{"serve", "--nonsense"}, "--nonsense"},
		{[]string{"serve", "--account", "12"}, "account"},
		{[]string{"serve", "--http", "nowhere"}, "nowhere"},
		{[]string{"serve", "--config", "/does/not/exist.yaml"}, "/does/not/exist.yaml"},
		{[]string{"frobnicate"}, "frobnicate"},
	} {
		code, out := run(t, c.args...)
		if code == 0 || !strings.Contains(out, c.word) {
			t.Errorf("%v: exit code %d: %s", c.args, code, out)
		}
	}
}

// The environment and a file set what flags set; flags win.
func TestStart_settingsFromFileAndEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fluoro.yaml")
	if err := os.WriteFile(file, []byte("account: \"111111111111\"\nregion: eu-north-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FLUORO_REGION", "eu-west-3")
	s := harness.Start(t, "--config", file)
	var rules struct {
		SamplingRuleRecords []struct{ SamplingRule struct{ RuleARN string } }
	}
	s.Ask("/GetSamplingRules", map[string]any{}, &rules)
	if got := rules.SamplingRuleRecords[0].SamplingRule.RuleARN; got != "arn:aws:xray:eu-west-3:111111111111:sampling-rule/Default" {
		t.Errorf("ARN %s", got)
	}
}

func TestStart_helpAndVersion(t *testing.T) {
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{[]string{"help"}, []string{"serve", "demo", "version"}},
		{[]string{"--help"}, []string{"serve", "demo", "version"}},
		{[]string{"serve", "--help"}, []string{"--data", "--http", "--udp", "--otlp-grpc", "--otlp-http", "--account", "--region", "--insecure", "--config", "FLUORO_"}},
		{[]string{"demo", "--help"}, []string{"--break"}},
		{[]string{"version"}, []string{"fluoro"}},
	} {
		code, out := run(t, c.args...)
		if code != 0 {
			t.Errorf("%v: exit code %d: %s", c.args, code, out)
		}
		for _, w := range c.words {
			if !strings.Contains(out, w) {
				t.Errorf("%v does not mention %s:\n%s", c.args, w, out)
			}
		}
	}
	for _, args := range [][]string{{"nosuch"}, {"serve", "nosuch"}, {"serve", "--nosuch"}} {
		if code, out := run(t, args...); code != 2 || !strings.Contains(out, "nosuch") {
			t.Errorf("%v: exit code %d, want 2 and what is wrong: %s", args, code, out)
		}
	}
}
