package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Access holds the settings about who may use the server.
type Access struct {
	Auth                                 string // Open or Required, after Load
	HTTPAuth, OTLPHTTPAuth, OTLPGRPCAuth []string
	Skew                                 time.Duration // of signatures
	UnsignedSampling                     []Network     // may poll sampling rules without credentials
	UDPFrom                              []Network     // may send datagrams; nil: all
	TrustedProxies                       []netip.Prefix
}

// The values of Access.Auth.
const (
	Open     = "open"
	Required = "required"
)

// Network is a range of addresses, and the account that they write to; "" for the
// server's own.
type Network struct {
	netip.Prefix
	Account string
}

// TLS holds the settings of the TLS of the server's own addresses.
type TLS struct {
	Mode                            string // TLSFiles, TLSACME, TLSSelfSigned, Off, or "auto" for none
	CertFile, KeyFile, ClientCAFile string
	ClientAuth                      string // optional or required
	ACMEHosts                       []string
	ACMEEmail, ACMEDirectory        string
	ACMEHTTP                        string // address or Off
}

// The values of TLS.Mode besides Off.
const (
	TLSFiles      = "files"
	TLSACME       = "acme"
	TLSSelfSigned = "self-signed"
)

// Encrypted tells whether the TCP addresses speak TLS.
func (t *TLS) Encrypted() bool { return t.Mode != Off && t.Mode != "auto" }

// oneOf reads one of some words.
func oneOf(at func(*Config) *string, words ...string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("want one of %s", strings.Join(words, ", "))
		}
		*at(c) = v
		return nil
	}
}

// path reads a text that may be empty.
func path(at func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		*at(c) = v
		return nil
	}
}

// kinds reads a list of kinds of credentials.
func kinds(at func(*Config) *[]string, known ...string) func(*Config, string) error {
	return func(c *Config, v string) error {
		list := items(v)
		for _, item := range list {
			if !slices.Contains(known, item) {
				return fmt.Errorf("%q: want one or more of %s", item, strings.Join(known, ", "))
			}
		}
		if len(list) == 0 {
			return fmt.Errorf("want one or more of %s", strings.Join(known, ", "))
		}
		*at(c) = list
		return nil
	}
}

// loopback holds the addresses that only this machine has.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// prefixes reads loopback, an address or a CIDR prefix.
func prefixes(v string) ([]netip.Prefix, error) {
	if v == "loopback" {
		return loopback, nil
	}
	if p, err := netip.ParsePrefix(v); err == nil {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		return []netip.Prefix{p.Masked()}, nil
	}
	ip, err := netip.ParseAddr(v)
	if err != nil {
		return nil, fmt.Errorf("%q: want loopback, an address, or a CIDR prefix such as 10.0.0.0/8", v)
	}
	ip = ip.Unmap().WithZone("")
	return []netip.Prefix{netip.PrefixFrom(ip, ip.BitLen())}, nil
}

var accountForm = regexp.MustCompile(`^[0-9]{12}$`)

// networks reads a list of networks with accounts.
func networks(at func(*Config) *[]Network) func(*Config, string) error {
	return func(c *Config, v string) error {
		*at(c) = nil
		if v == Off {
			*at(c) = []Network{} // not nil: nobody
			return nil
		}
		for _, item := range items(v) {
			network, account, given := strings.Cut(item, "=")
			if given && !accountForm.MatchString(account) {
				return fmt.Errorf("%q: want an account of 12 digits after =", item)
			}
			list, err := prefixes(network)
			if err != nil {
				return err
			}
			for _, p := range list {
				*at(c) = append(*at(c), Network{p, account})
			}
		}
		return nil
	}
}

func trustedProxies(c *Config, v string) error {
	c.TrustedProxies = nil
	for _, item := range items(v) {
		list, err := prefixes(item)
		if err != nil {
			return err
		}
		c.TrustedProxies = append(c.TrustedProxies, list...)
	}
	return nil
}

func acmeHosts(c *Config, v string) error {
	c.TLS.ACMEHosts = nil
	for _, item := range items(v) {
		name := strings.ToLower(strings.TrimSuffix(item, "."))
		if _, err := netip.ParseAddr(name); err == nil || !hostName.MatchString(name) || !strings.Contains(name, ".") {
			return fmt.Errorf("%q: want a name such as traces.example.com", item)
		}
		c.TLS.ACMEHosts = append(c.TLS.ACMEHosts, name)
	}
	return nil
}

// check decides the settings that follow from others, and refuses those that contradict
// each other.
func (c *Config) check() error {
	flag, wide := c.wide()
	switch {
	case c.Auth == Open && flag != "" && !c.Insecure:
		return fmt.Errorf("--%s %s is not a loopback address: with --auth open, everyone who can reach it could read and write all traces; use --auth required, or add --insecure to allow that", flag, wide)
	case c.Auth == "auto" && flag != "" && !c.Insecure:
		c.Auth = Required
	case c.Auth == "auto":
		c.Auth = Open
	}
	if c.Auth == Required && c.UDPFrom == nil {
		_ = networks(func(c *Config) *[]Network { return &c.UDPFrom })(c, "loopback")
	}
	if err := c.checkConsole(); err != nil {
		return err
	}
	if err := c.checkAudit(); err != nil {
		return err
	}
	return c.checkTLS()
}

// checkAudit decides whether there is an audit log.
func (c *Config) checkAudit() error {
	if c.Audit == "auto" {
		c.Audit = map[bool]string{true: "on", false: "off"}[c.Auth == Required]
	}
	for _, need := range []struct {
		flag string
		set  bool
	}{{"required", c.AuditRequired}, {"streams", c.AuditStreams != ""}} {
		if need.set && c.Audit == "off" {
			return fmt.Errorf("--audit-%s needs --audit on", need.flag)
		}
	}
	return nil
}

func (c *Config) checkTLS() error {
	if c.TLS.Mode == "auto" && c.TLS.CertFile != "" {
		c.TLS.Mode = TLSFiles
	}
	switch {
	case c.TLS.Mode == TLSFiles && (c.TLS.CertFile == "" || c.TLS.KeyFile == ""):
		return fmt.Errorf("TLS with files needs both --tls-cert and --tls-key")
	case c.TLS.Mode != TLSFiles && (c.TLS.CertFile != "" || c.TLS.KeyFile != ""):
		return fmt.Errorf("--tls-cert and --tls-key belong to --tls files, not to --tls %s", c.TLS.Mode)
	case c.TLS.Mode == TLSACME && len(c.TLS.ACMEHosts) == 0:
		return fmt.Errorf("--tls acme needs --acme-hosts, the names for which to get certificates")
	case c.TLS.Mode != TLSACME && len(c.TLS.ACMEHosts) > 0:
		return fmt.Errorf("--acme-hosts belongs to --tls acme, not to --tls %s", c.TLS.Mode)
	case c.TLS.ClientCAFile != "" && !c.TLS.Encrypted():
		return fmt.Errorf("--tls-client-ca needs TLS; see --tls")
	case c.TLS.ClientAuth == "required" && c.TLS.ClientCAFile == "":
		return fmt.Errorf("--tls-client-auth required needs --tls-client-ca")
	}
	return nil
}

// wide returns the flag and value of an address that other machines can reach; "" if there
// is none.
func (c *Config) wide() (flag, addr string) {
	for _, a := range []struct{ flag, addr string }{{"http", c.HTTP}, {"udp", c.UDP}, {"otlp-grpc", c.OTLPGRPC}, {"otlp-http", c.OTLPHTTP}} {
		if a.addr != Off && !Loopback(a.addr) {
			return a.flag, a.addr
		}
	}
	return "", ""
}

// Wide tells whether other machines can reach an address of the server.
func (c *Config) Wide() bool {
	flag, _ := c.wide()
	return flag != ""
}
