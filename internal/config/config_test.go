package config_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "rewrite docs/config.md")

func load(t *testing.T, env map[string]string, args ...string) (*config.Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Register(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.Load(flags, func(k string) string { return env[k] })
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fluoro.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad_defaults(t *testing.T) {
	c, err := load(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{Data: "./data", HTTP: "127.0.0.1:2000", UDP: "127.0.0.1:2000", OTLPGRPC: "127.0.0.1:4317", OTLPHTTP: "127.0.0.1:4318",
		Account: "000000000000", Region: "us-east-1", Settle: 5 * time.Second, Retention: 720 * time.Hour, LogLevel: "info", LogFormat: "text",
		SearchAttributes: "*", OTLPMapping: "native", Scrub: "defaults", Parquet: "sealed", AnnotationKeys: 5000, AnnotationValues: 10_000_000,
		Audit: "off", AuditFilters: "plain", AuditRetention: 9600 * time.Hour, EraseGuard: 720 * time.Hour,
		Findings: true, FindingsLearn: 24 * time.Hour, FindingsEvery: time.Minute,
		Access: config.Access{Auth: config.Open, HTTPAuth: []string{"sigv4", "bearer", "mtls", "session"}, OTLPHTTPAuth: []string{"sigv4", "bearer", "mtls"}, OTLPGRPCAuth: []string{"bearer", "mtls"},
			Skew: 5 * time.Minute, UnsignedSampling: []config.Network{}},
		TLS:        config.TLS{Mode: "auto", ClientAuth: "optional", ACMEDirectory: "https://acme-v02.api.letsencrypt.org/directory", ACMEHTTP: config.Off},
		Console:    config.Console{Idle: 30 * time.Minute, Max: 12 * time.Hour, Rotate: 15 * time.Minute, Scopes: []string{"openid", "profile", "email"}},
		Encryption: config.Encryption{Encrypt: "off", KMSKey: "alias/fluoro", KeyCache: 5 * time.Minute, DataKeyAge: 24 * time.Hour, DataKeyBytes: 64 << 30}}
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got %+v\nwant %+v", *c, want)
	}
}

func TestLoad_flagOverEnvironmentOverFile(t *testing.T) {
	path := file(t, "region: eu-west-1\naccount: \"111122223333\"\nhttp: 127.0.0.1:1\nudp: off\n")
	c, err := load(t, map[string]string{"FLUORO_CONFIG": path, "FLUORO_HTTP": "127.0.0.1:2", "FLUORO_REGION": "eu-west-2"}, "--region", "eu-west-3")
	if err != nil {
		t.Fatal(err)
	}
	if c.Region != "eu-west-3" || c.HTTP != "127.0.0.1:2" || c.Account != "111122223333" || c.UDP != config.Off {
		t.Errorf("got %+v", *c)
	}
}

func TestLoad_allowedHosts(t *testing.T) {
	c, err := load(t, nil, "--allowed-hosts", " Fluoro, *.Internal ,traces.example.com.,[::FFFF:10.0.0.1],2001:DB8::1,*,", "--cors-origins", "https://Shop.example.com/,https://*.example.org, http://localhost:*,http://[::1]:8080,*")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"fluoro", "*.internal", "traces.example.com", "10.0.0.1", "2001:db8::1", "*"}; !reflect.DeepEqual(c.AllowedHosts, want) {
		t.Errorf("hosts %q, want %q", c.AllowedHosts, want)
	}
	if want := []string{"https://shop.example.com", "https://*.example.org", "http://localhost:*", "http://[::1]:8080", "*"}; !reflect.DeepEqual(c.CORSOrigins, want) {
		t.Errorf("origins %q, want %q", c.CORSOrigins, want)
	}
	for _, bad := range []string{"fluoro:2000", "http://fluoro", "*fluoro", "a..b", "a b", "*.*.x", "**", "x/", "-x", "fluoro.."} {
		if _, err := load(t, nil, "--allowed-hosts", bad); err == nil || !strings.Contains(err.Error(), "--allowed-hosts") {
			t.Errorf("hosts %q: %v", bad, err)
		}
	}
	for _, bad := range []string{"shop.example.com", "https://", "https://a/b", "https://*.*.x", "null", "https://a,b", "https://a:x", "https://u@a"} {
		if _, err := load(t, nil, "--cors-origins", bad); err == nil || !strings.Contains(err.Error(), "--cors-origins") {
			t.Errorf("origins %q: %v", bad, err)
		}
	}
}

func TestLoad_retentionFor(t *testing.T) {
	c, err := load(t, nil, "--retention-for", "account:123456789012=168h, group:check-out=2160h")
	if err != nil {
		t.Fatal(err)
	}
	want := []config.RetentionFor{{Account: "123456789012", For: 168 * time.Hour}, {Group: "check-out", For: 2160 * time.Hour}}
	if !reflect.DeepEqual(c.RetentionFor, want) {
		t.Errorf("got %+v", c.RetentionFor)
	}
}

func TestLoad_refuses(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		want string
	}{
		{"address", nil, []string{"--http", "2000"}, `--http: "2000": want HOST:PORT`},
		{"port", nil, []string{"--udp", "127.0.0.1:99999"}, "want a port"},
		{"http cannot be off", nil, []string{"--http", "off"}, "want HOST:PORT"},
		{"account", map[string]string{"FLUORO_ACCOUNT": "12"}, nil, `$FLUORO_ACCOUNT: "12": want 12 digits`},
		{"settle", nil, []string{"--settle", "0s"}, "want a duration"},
		{"retention of nothing", nil, []string{"--retention-for", "checkout=1h"}, "want account:"},
		{"retention of no time", nil, []string{"--retention-for", "group:a=forever"}, "want a duration of at least 1m"},
		{"open wide address", nil, []string{"--http", "0.0.0.0:2000", "--auth", "open"}, "--insecure"},
		{"open wide OTLP address", nil, []string{"--otlp-grpc", ":4317", "--auth", "open"}, "--insecure"},
		{"auth", nil, []string{"--auth", "maybe"}, "want one of auto, open, required"},
		{"kind of credentials", nil, []string{"--http-auth", "sigv4,basic"}, `"basic": want one or more of sigv4, bearer, mtls, session`},
		{"no kind of credentials", nil, []string{"--otlp-http-auth", ","}, "want one or more of"},
		{"signatures over gRPC", nil, []string{"--otlp-grpc-auth", "sigv4"}, "want one or more of bearer, mtls"},
		{"network", nil, []string{"--udp-from", "10.0.0.0/33"}, `"10.0.0.0/33": want loopback, an address, or a CIDR prefix`},
		{"account of a network", nil, []string{"--unsigned-sampling", "10.0.0.0/8=12"}, "12 digits"},
		{"proxy", nil, []string{"--trusted-proxies", "proxy.lan"}, "want loopback, an address"},
		{"key without certificate", nil, []string{"--tls-key", "x"}, "--tls-cert"},
		{"certificate without key", nil, []string{"--tls-cert", "x"}, "--tls-key"},
		{"certificate without TLS", nil, []string{"--tls", "off", "--tls-cert", "x", "--tls-key", "y"}, "not to --tls off"},
		{"client authority without TLS", nil, []string{"--tls-client-ca", "x"}, "--tls-client-ca needs TLS"},
		{"client certificates of no authority", nil, []string{"--tls", "self-signed", "--tls-client-auth", "required"}, "needs --tls-client-ca"},
		{"ACME without names", nil, []string{"--tls", "acme"}, "--acme-hosts"},
		{"ACME for an address", nil, []string{"--tls", "acme", "--acme-hosts", "10.0.0.1"}, "want a name"},
		{"names without ACME", nil, []string{"--acme-hosts", "traces.example.com"}, "--tls acme"},
		{"no file", nil, []string{"--config", "/nonexistent.yaml"}, "/nonexistent.yaml: no such file"},
		{"unknown key", nil, []string{"--config", file(t, "htpp: x\n")}, `no setting "htpp"`},
		{"not a mapping", nil, []string{"--config", file(t, "- a\n")}, "read settings"},
		{"nested", nil, []string{"--config", file(t, "http:\n  a: b\n")}, "line 2: http must be a plain value"},
		{"mapping", nil, []string{"--otlp-mapping", "compatible"}, "want native or collector"},
		{"value in file", nil, []string{"--config", file(t, "region: \"!\"\n")}, "region in "},
	} {
		if _, err := load(t, c.env, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestLoad_insecureAllowsWideAddresses(t *testing.T) {
	if _, err := load(t, nil, "--http", "0.0.0.0:2000", "--insecure"); err != nil {
		t.Error(err)
	}
	if _, err := load(t, nil, "--http", "[::1]:2000", "--udp", "localhost:2000"); err != nil {
		t.Error(err)
	}
}

func TestLoad_auth(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, config.Open},
		{[]string{"--auth", "required"}, config.Required},
		{[]string{"--http", "0.0.0.0:2000"}, config.Required},
		{[]string{"--udp", "0.0.0.0:2000"}, config.Required},
		{[]string{"--otlp-grpc", "10.0.0.1:4317"}, config.Required},
		{[]string{"--http", "0.0.0.0:2000", "--insecure"}, config.Open},
		{[]string{"--http", "0.0.0.0:2000", "--insecure", "--auth", "required"}, config.Required},
		{[]string{"--http", "0.0.0.0:2000", "--insecure", "--auth", "open"}, config.Open},
		{[]string{"--insecure"}, config.Open},
	} {
		got, err := load(t, nil, c.args...)
		if err != nil || got.Auth != c.want {
			t.Errorf("%v: %+v, %v, want %s", c.args, got.Access, err, c.want)
		}
		if limited := len(got.UDPFrom) == 2; limited != (c.want == config.Required) {
			t.Errorf("%v: datagrams from %v", c.args, got.UDPFrom)
		}
	}
}

func TestLoad_networks(t *testing.T) {
	c, err := load(t, nil, "--udp-from", "loopback, 10.1.2.3/8=111122223333,2001:db8::7,::ffff:192.0.2.1,::ffff:192.0.2.0/120", "--trusted-proxies", "10.0.0.1,fd00::/8")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range c.UDPFrom {
		got = append(got, n.Prefix.String()+"="+n.Account)
	}
	if want := []string{"127.0.0.0/8=", "::1/128=", "10.0.0.0/8=111122223333", "2001:db8::7/128=", "192.0.2.1/32=", "192.0.2.0/24="}; !reflect.DeepEqual(got, want) {
		t.Errorf("networks %q, want %q", got, want)
	}
	if got, want := fmt.Sprint(c.TrustedProxies), "[10.0.0.1/32 fd00::/8]"; got != want {
		t.Errorf("proxies %s, want %s", got, want)
	}
	if c, err = load(t, nil, "--udp-from", "off"); err != nil || c.UDPFrom == nil || len(c.UDPFrom) != 0 {
		t.Errorf("off: %v, %v", c.UDPFrom, err)
	}
}

func TestMarkdown_isWhatTheDocsSay(t *testing.T) {
	const path = "../../docs/config.md"
	if *update {
		if err := os.WriteFile(path, []byte(config.Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != config.Markdown() {
		t.Errorf("%s is stale (%v): go test ./internal/config -update", path, err)
	}
}
