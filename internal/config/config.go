// Package config reads the settings of `fluoro serve`. The table settings describes
// each setting once: flags, environment variables, keys of the YAML file, help text
// and docs/config.md follow from it.
//
// A flag wins over the environment, the environment over the file, the file over the
// default.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// Config holds the settings of a server.
type Config struct {
	Data         string         // directory of the embedded store
	HTTP         string         // X-Ray API, console, OTLP/HTTP, health and metrics
	UDP          string         // X-Ray daemon datagrams
	OTLPGRPC     string         // OTLP over gRPC
	OTLPHTTP     string         // OTLP over HTTP
	Account      string         // account of unsigned requests
	Region       string         // region in ARNs
	Insecure     bool           // allow addresses that are not loopback without credentials
	AllowedHosts []string       // names this server has besides the default ones: lower case, *.NAME, *
	CORSOrigins  []string       // web pages that may send spans: SCHEME://HOST[:PORT], one * in each, or *
	Settle       time.Duration  // idle time after which a trace moves to blocks
	Retention    time.Duration  // how long traces are kept
	RetentionFor []RetentionFor // how long those of some accounts and groups are kept
	// SearchAttributes says which OpenTelemetry attributes are annotations for
	// search (otlp.ParsePatterns reads it), AnnotationKeys and AnnotationValues how
	// many have an index.
	SearchAttributes string
	OTLPMapping      string // native or collector
	AnnotationKeys   int
	AnnotationValues int
	Quota            string // limits of accounts without their own; quota.Parse reads it
	Memory           int64  // limit of the process's memory in bytes; 0 for the default
	RetentionBytes   int64  // limit of the blocks' bytes; 0 for none
	Audit            string // on or off
	AuditRequired    bool   // requests that cannot be recorded are refused
	AuditIngest      bool   // requests that bring data are recorded, too
	AuditFilters     string // plain or hash
	AuditRetention   time.Duration
	EraseGuard       time.Duration
	AuditStreams     string        // URLs; ship.Parse reads it
	AuditSecretFile  string        // holds the secret that signs webhooks
	Findings         bool          // whether security findings are made
	FindingsLearn    time.Duration // how long each account is only learnt
	FindingsEvery    time.Duration // between two looks
	Scrub            string        // defaults, strict or off
	Parquet          string        // sealed or clear: the tables of an encrypted directory
	Access
	TLS     TLS
	Console Console
	Encryption
	LogLevel  string // debug, info, warn or error
	LogFormat string // text or json
}

// Encryption holds the settings of encryption at rest.
type Encryption struct {
	Encrypt      string        // off, local or kms
	KeyFile      string        // "" for the data directory's name with .key
	KMSEndpoint  string        // URL, aws, or "" for none
	KMSRegion    string        // "" for Region
	KMSKey       string        // alias, id or ARN of the key for accounts that chose none
	KMSCA        string        // PEM file; "" for the system's authorities
	KMSCert      string        // PEM file with a client certificate; "" for none
	KMSCertKey   string        // PEM file with its key
	KeyCache     time.Duration // how long a data key stays in memory
	DataKeyAge   time.Duration // after it, a new data key is made
	DataKeyBytes int64         // after so much data, too
}

// RetentionFor is how long the traces of an account or of a group are kept; one of
// Account and Group is "".
type RetentionFor struct {
	Account, Group string
	For            time.Duration
}

// setting describes one setting.
type setting struct {
	name, value, help string // flag name, default, explanation
	set               func(c *Config, v string) error
}

var settings = []setting{
	{"data", "./data", "data directory with all traces; created if missing", text(func(c *Config) *string { return &c.Data })},
	{"http", "127.0.0.1:2000", "TCP address of the X-Ray API, the web console, OTLP/HTTP at /v1/traces, /healthz, /readyz and /metrics", address(func(c *Config) *string { return &c.HTTP })},
	{"udp", "127.0.0.1:2000", "UDP address for X-Ray daemon datagrams, which every X-Ray SDK sends; \"off\" for none", address(func(c *Config) *string { return &c.UDP })},
	{"otlp-grpc", "127.0.0.1:4317", "TCP address for OTLP over gRPC; \"off\" for none", address(func(c *Config) *string { return &c.OTLPGRPC })},
	{"otlp-http", "127.0.0.1:4318", "TCP address for OTLP over HTTP (/v1/traces); \"off\" for none", address(func(c *Config) *string { return &c.OTLPHTTP })},
	{"account", "000000000000", "AWS account id (12 digits) of unsigned requests; appears in every ARN", pattern(func(c *Config) *string { return &c.Account }, `^[0-9]{12}$`, "12 digits")},
	{"region", "us-east-1", "AWS region; appears in every ARN", pattern(func(c *Config) *string { return &c.Region }, `^[a-z]{2,}(-[a-z0-9]+)+$`, "a region such as eu-west-1")},
	{"auth", "auto", "who may use the server: required (only requests with valid credentials) or open (everyone who can reach it; valid credentials are honoured); auto: required as soon as an address is not loopback, unless --insecure", oneOf(func(c *Config) *string { return &c.Auth }, "auto", Open, Required)},
	{"insecure", "false", "allow addresses other than loopback without credentials: everyone who can reach them can read and write all traces", func(c *Config, v string) (err error) {
		c.Insecure, err = strconv.ParseBool(v)
		return err
	}},
	{"allowed-hosts", "", "host names that HTTP requests may use, besides localhost, loopback addresses and the addresses listened on, such as fluoro,traces.example.com,*.internal; requests to other names get a 421; * allows any name, so that every web page a user visits can read and write traces (DNS rebinding)", allowedHosts},
	{"cors-origins", "", "origins of web pages that may send spans to /v1/traces, such as https://shop.example.com,https://*.example.org,http://localhost:*; * for any", corsOrigins},
	{"http-auth", "sigv4,bearer,mtls,session", "kinds of credentials that --http takes: signatures (AWS Signature Version 4), bearer tokens, client certificates, console sessions", kinds(func(c *Config) *[]string { return &c.HTTPAuth }, "sigv4", "bearer", "mtls", "session")},
	{"otlp-http-auth", "sigv4,bearer,mtls", "kinds of credentials that --otlp-http takes", kinds(func(c *Config) *[]string { return &c.OTLPHTTPAuth }, "sigv4", "bearer", "mtls")},
	{"otlp-grpc-auth", "bearer,mtls", "kinds of credentials that --otlp-grpc takes", kinds(func(c *Config) *[]string { return &c.OTLPGRPCAuth }, "bearer", "mtls")},
	{"signature-skew", "5m", "how far the time of a signature may be from the server's, as AWS allows", duration(func(c *Config) *time.Duration { return &c.Skew }, time.Second)},
	{"unsigned-sampling", Off, "with --auth required: networks that may poll sampling rules and targets without credentials, as X-Ray SDKs do: a list of loopback, addresses and CIDR prefixes, each with =ACCOUNT for another account than --account; off for none", networks(func(c *Config) *[]Network { return &c.UnsignedSampling })},
	{"udp-from", "", "networks that may send datagrams, which carry no credentials: a list as for --unsigned-sampling; empty: loopback with --auth required, else all", networks(func(c *Config) *[]Network { return &c.UDPFrom })},
	{"trusted-proxies", "", "addresses and CIDR prefixes of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; nobody else's are", trustedProxies},
	{"tls", "auto", "TLS on all TCP addresses: files (--tls-cert and --tls-key), acme (certificates for --acme-hosts), self-signed (to try out; a new certificate at each start, DATA/self-signed.pem), off (something in front encrypts; other machines may then send bearer tokens in the clear); auto: files if --tls-cert is set, else none", oneOf(func(c *Config) *string { return &c.TLS.Mode }, "auto", Off, TLSFiles, TLSACME, TLSSelfSigned)},
	{"tls-cert", "", "PEM file with the certificate and its chain; read again when it changes", path(func(c *Config) *string { return &c.TLS.CertFile })},
	{"tls-key", "", "PEM file with the key of --tls-cert", path(func(c *Config) *string { return &c.TLS.KeyFile })},
	{"tls-client-ca", "", "PEM file with the authorities whose client certificates identify callers (mTLS); read again when it changes", path(func(c *Config) *string { return &c.TLS.ClientCAFile })},
	{"tls-client-auth", "optional", "whether connections need a client certificate of --tls-client-ca: optional or required", oneOf(func(c *Config) *string { return &c.TLS.ClientAuth }, "optional", "required")},
	{"acme-hosts", "", "names for which --tls acme gets certificates, such as traces.example.com; they are names of this server, as in --allowed-hosts", acmeHosts},
	{"acme-email", "", "address that the certificate authority of --tls acme may write to", path(func(c *Config) *string { return &c.TLS.ACMEEmail })},
	{"acme-directory", "https://acme-v02.api.letsencrypt.org/directory", "URL of the certificate authority of --tls acme (RFC 8555); using it means to agree to its terms", pattern(func(c *Config) *string { return &c.TLS.ACMEDirectory }, `^https://.+`, "an https URL")},
	{"acme-http", Off, "TCP address that answers the authority's HTTP challenges, such as 0.0.0.0:80; off: it must reach --http at port 443 of each name (TLS-ALPN challenge)", address(func(c *Config) *string { return &c.TLS.ACMEHTTP })},
	{"console-url", "", "address of the web console as browsers see it, such as https://traces.example.com, if a proxy in front of this server changes it: for links, identity providers and passkeys", consoleURL},
	{"session-idle", "30m", "a console session ends so long after its user did something", duration(func(c *Config) *time.Duration { return &c.Console.Idle }, time.Minute)},
	{"session-max", "12h", "a console session ends so long after the login at the latest", duration(func(c *Config) *time.Duration { return &c.Console.Max }, time.Minute)},
	{"session-rotate", "15m", "age at which the cookie of a console session is replaced", duration(func(c *Config) *time.Duration { return &c.Console.Rotate }, time.Second)},
	{"oidc-issuer", "", "OpenID Connect provider that signs people in to the console, such as https://login.example.com/realms/main", path(func(c *Config) *string { return &c.Console.Issuer })},
	{"oidc-client-id", "", "id of this server at --oidc-issuer", path(func(c *Config) *string { return &c.Console.ClientID })},
	{"oidc-client-secret-file", "", "file with the secret for --oidc-client-id, read at each login; empty for a public client", path(func(c *Config) *string { return &c.Console.SecretFile })},
	{"oidc-scopes", "openid,profile,email", "what to ask --oidc-issuer for; some need another one for groups", scopes},
	{"oidc-roles", "", "who gets which role: a list of CLAIM:VALUE=ROLE such as groups:sre=arn:aws:iam::111122223333:role/operator,groups:dev=FluoroViewer; ROLE is the ARN of a role or the name of a managed policy, and the first that fits counts; VALUE * is any", path(func(c *Config) *string { return &c.Console.Roles })},
	{"oidc-ca", "", "PEM file with authorities that --oidc-issuer's certificate may be signed by, besides the system's", path(func(c *Config) *string { return &c.Console.CAFile })},
	{"settle", "5s", "idle time after which a trace is written to a block; queries see it at once in any case", duration(func(c *Config) *time.Duration { return &c.Settle }, 100*time.Millisecond)},
	{"retention", "720h", "how long a trace is kept after its last segment was received", duration(func(c *Config) *time.Duration { return &c.Retention }, time.Minute)},
	{"retention-for", "", "different times for accounts and groups, such as account:123456789012=168h,group:checkout=2160h; groups win over accounts, and of several groups the longest time applies", retentionFor},
	{"retention-bytes", "0", "maximum disk space of settled traces, such as 500MB or 20GB; the oldest are deleted first; 0 for no limit", size(func(c *Config) *int64 { return &c.RetentionBytes })},
	{"parquet", "sealed", "the Parquet tables in an encrypted data directory: sealed, so that fluoro export is needed to read them; or clear, so that DuckDB reads them in place, and so does everyone who can open the files", pattern(func(c *Config) *string { return &c.Parquet }, `^(sealed|clear)$`, "sealed or clear")},
	{"search-attributes", "*", "attributes of OpenTelemetry spans and resources that filter expressions treat as annotations: a comma-separated list of names, with * for any characters and ! before names to exclude, such as *,!http.request.header.*; the last matching name decides. The value listed means: as X-Ray does, only attributes that a span lists in aws.xray.annotations", text(func(c *Config) *string { return &c.SearchAttributes })},
	{"otlp-mapping", "native", "how received OpenTelemetry spans become segments: native, or collector for exactly the documents that the OpenTelemetry Collector's awsxrayexporter makes of them (docs/format/otlp.md); spans keep the mapping they arrived with", pattern(func(c *Config) *string { return &c.OTLPMapping }, `^(native|collector)$`, "native or collector")},
	{"annotation-keys", "5000", "how many keys of annotations and attributes are indexed per account; searches for other keys work, but are slower, and the status page tells so", count(func(c *Config) *int { return &c.AnnotationKeys })},
	{"annotation-values", "10000000", "about how many distinct values of each key are indexed; searches for other values work, but are slower", count(func(c *Config) *int { return &c.AnnotationValues })},
	{"scrub", "defaults", "what is removed from received data before it is stored, besides the scrub rules of an account: defaults for passwords, tokens and keys (docs/guides/scrubbing.md); strict for the same, and data is refused while the rules of its account cannot be read; off for nothing", pattern(func(c *Config) *string { return &c.Scrub }, `^(defaults|strict|off)$`, "defaults, strict or off")},
	{"memory", "0", "memory limit of the process, such as 512MB, at least 128MB: limits open traces, requests, answers and the cache (docs/architecture.md); 0 for a quarter of the memory of the machine or control group, at most 2 GB", memorySize},
	{"audit", "auto", "record who did what in the directory audit of the data directory (docs/guides/audit.md): on, off, or auto: on if credentials are required (--auth)", pattern(func(c *Config) *string { return &c.Audit }, `^(auto|on|off)$`, "auto, on or off")},
	{"audit-required", "false", "refuse requests with 503 while they cannot be recorded, such as when the disk is full, and wait until each record survives a power failure; data is received in any case", boolean(func(c *Config) *bool { return &c.AuditRequired })},
	{"audit-ingest", "false", "record requests that bring segments, spans or counts of sampling, too", boolean(func(c *Config) *bool { return &c.AuditIngest })},
	{"audit-filters", "plain", "how records show filter expressions and searched texts, which may hold personal data: plain, or hash for a keyed hash", pattern(func(c *Config) *string { return &c.AuditFilters }, `^(plain|hash)$`, "plain or hash")},
	{"audit-retention", "9600h", "how long records of the audit log are kept (9600h are 400 days)", duration(func(c *Config) *time.Duration { return &c.AuditRetention }, time.Hour)},
	{"audit-streams", "", "where records of the audit log are sent, too: a comma-separated list of file:///PATH, syslog+udp://HOST:PORT, syslog+tcp://HOST:PORT, syslog+tls://HOST:PORT?ca=FILE, https://HOST/PATH and s3://BUCKET/PREFIX?region=REGION (docs/guides/audit.md)", func(c *Config, v string) error { c.AuditStreams = v; return nil }},
	{"audit-secret-file", "", "file with the secret that signs the requests to the webhooks of --audit-streams", func(c *Config, v string) error { c.AuditSecretFile = v; return nil }},
	{"erase-guard", "720h", "how long late segments of erased traces, users and annotations are refused (fluoro erase)", duration(func(c *Config) *time.Duration { return &c.EraseGuard }, time.Minute)},
	{"findings", "on", "whether to look for security findings: services, clients and remote hosts that were never seen together, unusual sizes and rates: on or off", func(c *Config, v string) error {
		if v != "on" && v != "off" {
			return fmt.Errorf("want on or off")
		}
		c.Findings = v == "on"
		return nil
	}},
	{"findings-learn", "24h", "how long each account is only learnt before the first finding", duration(func(c *Config) *time.Duration { return &c.FindingsLearn }, time.Second)},
	{"findings-every", "1m", "how often to look for security findings", duration(func(c *Config) *time.Duration { return &c.FindingsEvery }, time.Second)},
	{"quota", "", "limits of each account without limits of its own (fluoro quota), such as spans=5000,bytes=10MB,series=2000,queries=50,scans=4: segments and spans a second, bytes a second, distinct service names a day, requests that read traces a second, and at the same time those that read many; no limit for those not named", func(c *Config, v string) error { c.Quota = v; return nil }},
	{"encryption", "off", "encryption at rest: off; local for everything, under data keys that the key file wraps; kms for everything, under data keys that --kms-key wraps. Accounts can choose a KMS key of their own with PutEncryptionConfig if --kms-endpoint is set (docs/guides/encryption.md)", pattern(func(c *Config) *string { return &c.Encrypt }, `^(off|local|kms)$`, "off, local or kms")},
	{"key-file", "", "file with the local keys; made when it is needed first. Empty: beside the data directory, with its name and .key. Whoever has this file and the data can read the data; without it the data is lost", optional(func(c *Config) *string { return &c.KeyFile })},
	{"kms-endpoint", "", "URL of a key management service with the API of AWS KMS, or aws for AWS itself; empty for none, or for AWS if encryption is kms. Credentials come from where AWS's SDKs look for them", optional(func(c *Config) *string { return &c.KMSEndpoint })},
	{"kms-region", "", "region of the KMS; empty for --region", optional(func(c *Config) *string { return &c.KMSRegion })},
	{"kms-key", "alias/fluoro", "alias, id or ARN of the KMS key for accounts that chose none, if encryption is kms", text(func(c *Config) *string { return &c.KMSKey })},
	{"kms-ca", "", "PEM file with the certificates to trust for the KMS; empty for those of the system", optional(func(c *Config) *string { return &c.KMSCA })},
	{"kms-cert", "", "PEM file with a client certificate for the KMS; empty for none", optional(func(c *Config) *string { return &c.KMSCert })},
	{"kms-cert-key", "", "PEM file with the key of that certificate", optional(func(c *Config) *string { return &c.KMSCertKey })},
	{"key-cache", "5m", "how long a data key stays in memory before the KMS is asked again, at most 5m: a disabled KMS key takes effect within this time", keyCache},
	{"data-key-age", "24h", "after this time an account gets a new data key; old data keeps its key", duration(func(c *Config) *time.Duration { return &c.DataKeyAge }, time.Second)},
	{"data-key-bytes", "64GB", "after encrypting this much since the start, an account gets a new data key, too", size(func(c *Config) *int64 { return &c.DataKeyBytes })},
	{"log-level", "info", "lowest level of log lines: debug, info, warn or error", pattern(func(c *Config) *string { return &c.LogLevel }, `^(debug|info|warn|error)$`, "debug, info, warn or error")},
	{"log-format", "text", "format of log lines on standard error: text or json", pattern(func(c *Config) *string { return &c.LogFormat }, `^(text|json)$`, "text or json")},
}

// Off is the value of an address that turns its listener off.
const Off = "off"

func text(at func(*Config) *string) func(*Config, string) error {
	return pattern(at, `.`, "some text")
}

// optional takes any text, also none.
func optional(at func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		*at(c) = v
		return nil
	}
}

// keyCache refuses more than five minutes.
func keyCache(c *Config, v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d < 100*time.Millisecond || d > 5*time.Minute {
		return fmt.Errorf("want a duration from 100ms to 5m")
	}
	c.KeyCache = d
	return nil
}

func pattern(at func(*Config) *string, expr, want string) func(*Config, string) error {
	re := regexp.MustCompile(expr)
	return func(c *Config, v string) error {
		if !re.MatchString(v) {
			return fmt.Errorf("want %s", want)
		}
		*at(c) = v
		return nil
	}
}

func address(at func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if v == Off && at(c) != &c.HTTP {
			*at(c) = Off
			return nil
		}
		_, port, err := net.SplitHostPort(v)
		if err != nil {
			return fmt.Errorf("want HOST:PORT")
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return fmt.Errorf("want a port from 0 to 65535")
		}
		*at(c) = v
		return nil
	}
}

func duration(at func(*Config) *time.Duration, least time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < least {
			return fmt.Errorf("want a duration of at least %v, such as 90s or 24h", least)
		}
		*at(c) = d
		return nil
	}
}

func boolean(at func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) (err error) {
		if *at(c), err = strconv.ParseBool(v); err != nil {
			return errors.New("want true or false")
		}
		return nil
	}
}

func count(at func(*Config) *int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return fmt.Errorf("want a number, at least 1")
		}
		*at(c) = n
		return nil
	}
}

// size reads a number of bytes, plain or with KB, MB, GB or TB (powers of 1024).
func size(at func(*Config) *int64) func(*Config, string) error {
	return func(c *Config, v string) error {
		digits, shift := v, 0
		for i, unit := range []string{"KB", "MB", "GB", "TB"} {
			if d, ok := strings.CutSuffix(v, unit); ok {
				digits, shift = d, 10*(i+1)
			}
		}
		n, err := strconv.ParseUint(digits, 10, 62)
		if err != nil || n > 1<<62>>shift {
			return fmt.Errorf("want a number of bytes, such as 500MB or 20GB, or 0")
		}
		*at(c) = int64(n << shift)
		return nil
	}
}

// items splits a list at commas.
func items(v string) (out []string) {
	for item := range strings.SplitSeq(v, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

// hostName matches a name, or the part of a pattern after "*.".
var hostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

func allowedHosts(c *Config, v string) error {
	c.AllowedHosts = nil
	for _, item := range items(v) {
		name := strings.ToLower(strings.TrimSuffix(item, "."))
		if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
			name = ip.Unmap().String()
		} else if name != "*" && !hostName.MatchString(strings.TrimPrefix(name, "*.")) {
			return fmt.Errorf("%q: want a name or an address without scheme and port, such as fluoro or traces.example.com, *.NAME for all subdomains of a name, or *", item)
		}
		c.AllowedHosts = append(c.AllowedHosts, name)
	}
	return nil
}

// originForm is the origin of a web page (RFC 6454, section 6.2), with one *.
var originForm = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9_.-]*\*?[a-z0-9_.-]*)(:([0-9]{1,5}|\*))?$`)

func corsOrigins(c *Config, v string) error {
	c.CORSOrigins = nil
	for _, item := range items(v) {
		origin := strings.ToLower(strings.TrimSuffix(item, "/"))
		if origin != "*" && (!originForm.MatchString(origin) || strings.Count(origin, "*") > 1 || strings.HasSuffix(origin, "://")) {
			return fmt.Errorf("%q: want the origin of a page, such as https://shop.example.com or http://localhost:8080, with at most one * in it, or *", item)
		}
		c.CORSOrigins = append(c.CORSOrigins, origin)
	}
	return nil
}

var retentionOf = regexp.MustCompile(`^(?:account:([0-9]{12})|group:([A-Za-z0-9-]{1,32}))=([^=]+)$`)

// retentionFor parses a list of KIND:NAME=DURATION, separated by commas.
func retentionFor(c *Config, v string) error {
	c.RetentionFor = nil
	for item := range strings.SplitSeq(v, ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		m := retentionOf.FindStringSubmatch(strings.TrimSpace(item))
		if m == nil {
			return fmt.Errorf("%q: want account:123456789012=DURATION or group:NAME=DURATION", item)
		}
		d, err := time.ParseDuration(m[3])
		if err != nil || d < time.Minute {
			return fmt.Errorf("%q: want a duration of at least 1m, such as 168h", item)
		}
		c.RetentionFor = append(c.RetentionFor, RetentionFor{m[1], m[2], d})
	}
	return nil
}

// LeastMemory is the minimum memory of a server in bytes.
const LeastMemory = 128 << 20

// memorySize refuses less than LeastMemory.
func memorySize(c *Config, v string) error {
	if err := size(func(c *Config) *int64 { return &c.Memory })(c, v); err != nil {
		return err
	}
	if c.Memory != 0 && c.Memory < LeastMemory {
		return fmt.Errorf("want at least %dMB", LeastMemory>>20)
	}
	return nil
}

// Env returns the environment variable of a setting: --otlp-grpc is FLUORO_OTLP_GRPC.
func Env(name string) string {
	return "FLUORO_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// Register adds a flag for every setting, and --config.
func Register(flags *pflag.FlagSet) { RegisterOnly(flags) }

// RegisterOnly adds flags for some settings, all without names, and --config. Load takes
// the others from environment and file.
func RegisterOnly(flags *pflag.FlagSet, names ...string) {
	for _, s := range settings {
		if names != nil && !slices.Contains(names, s.name) {
			continue
		}
		usage := fmt.Sprintf("%s [$%s]", s.help, Env(s.name))
		if s.value == "false" {
			flags.Bool(s.name, false, usage)
		} else {
			flags.String(s.name, s.value, usage)
		}
	}
	flags.String("config", "", "YAML file with settings, keys as the flags [$FLUORO_CONFIG]")
}

// Load combines the settings from parsed flags (see Register), environment (getenv)
// and file. Errors name the setting and the origin of its value.
func Load(flags *pflag.FlagSet, getenv func(string) string) (*Config, error) {
	path, _ := flags.GetString("config")
	if path == "" {
		path = getenv("FLUORO_CONFIG")
	}
	file, err := readFile(path)
	if err != nil {
		return nil, err
	}
	c := &Config{}
	for _, s := range settings {
		value, origin := s.value, "default of --"+s.name
		if v, ok := file[s.name]; ok {
			value, origin = v, fmt.Sprintf("%s in %s", s.name, path)
			delete(file, s.name)
		}
		if v := getenv(Env(s.name)); v != "" {
			value, origin = v, "$"+Env(s.name)
		}
		if f := flags.Lookup(s.name); f != nil && f.Changed {
			value, origin = f.Value.String(), "--"+s.name
		}
		if err := s.set(c, value); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", origin, value, err)
		}
	}
	for key := range file {
		return nil, fmt.Errorf("%s: there is no setting %q", path, key)
	}
	return c, c.check()
}

// readFile reads the YAML file: one mapping of setting names to scalars.
func readFile(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("read settings from %s: %w", path, err)
	}
	var values map[string]yaml.Node
	if err := yaml.Unmarshal(b, &values); err != nil {
		return nil, fmt.Errorf("read settings from %s: %w", path, err)
	}
	out := make(map[string]string, len(values))
	for key, node := range values {
		if node.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("%s line %d: %s must be a plain value", path, node.Line, key)
		}
		out[key] = node.Value
	}
	return out, nil
}

// Loopback reports whether only this machine can reach an address HOST:PORT.
func Loopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Markdown returns the table of all settings, for docs/config.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Settings of `fluoro serve`\n\nA flag wins over the environment, the environment over the file (`--config FILE` or `$FLUORO_CONFIG`), the file over the default.\n" +
		"The file is YAML with the flags' names as keys:\n\n```yaml\ndata: /var/lib/fluoro\nhttp: 127.0.0.1:2000\nregion: eu-west-1\n```\n\n" +
		"| flag and key | environment | default | meaning |\n|---|---|---|---|\n")
	for _, s := range settings {
		fmt.Fprintf(&b, "| `--%s` | `%s` | `%s` | %s |\n", s.name, Env(s.name), s.value, s.help)
	}
	return b.String()
}
