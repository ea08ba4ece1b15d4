package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Console holds the settings of logins to the web console.
type Console struct {
	URL               string // "": the Host of each request tells
	Idle, Max, Rotate time.Duration
	Issuer, ClientID  string // of the OpenID Connect provider; "" for none
	SecretFile        string
	Scopes            []string
	Roles             string // login.ParseRoles reads it
	CAFile            string
}

// webURL reads an http or https URL without query and fragment.
func webURL(v string) (*url.URL, error) {
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("want a URL such as https://traces.example.com, without user, query and fragment")
	}
	return u, nil
}

func consoleURL(c *Config, v string) error {
	if v == "" {
		c.Console.URL = ""
		return nil
	}
	u, err := webURL(v)
	if err == nil && strings.Trim(u.Path, "/") != "" {
		err = fmt.Errorf("want a URL without a path: the console is at the root of its name")
	}
	if err == nil {
		c.Console.URL = u.Scheme + "://" + strings.ToLower(u.Host)
	}
	return err
}

func scopes(c *Config, v string) error {
	c.Console.Scopes = items(v)
	if !slices.Contains(c.Console.Scopes, "openid") {
		return fmt.Errorf("want a list with openid in it")
	}
	return nil
}

// checkConsole refuses settings of logins that contradict each other. It adds the host of
// --console-url to the names of the server.
func (c *Config) checkConsole() error {
	o := &c.Console
	if o.Idle > o.Max {
		return fmt.Errorf("--session-idle %v is longer than --session-max %v", o.Idle, o.Max)
	}
	if o.URL != "" {
		u, err := webURL(o.URL)
		if err != nil {
			return fmt.Errorf("--console-url: %w", err)
		}
		if host := u.Hostname(); !slices.Contains(c.AllowedHosts, host) {
			c.AllowedHosts = append(c.AllowedHosts, host)
		}
	}
	if o.Issuer == "" {
		for _, s := range []struct{ name, value string }{{"oidc-client-id", o.ClientID}, {"oidc-client-secret-file", o.SecretFile}, {"oidc-roles", o.Roles}, {"oidc-ca", o.CAFile}} {
			if s.value != "" {
				return fmt.Errorf("--%s needs --oidc-issuer", s.name)
			}
		}
		return nil
	}
	u, err := webURL(o.Issuer)
	if err != nil {
		return fmt.Errorf("--oidc-issuer: %w", err)
	}
	ip := net.ParseIP(u.Hostname())
	switch {
	case u.Scheme != "https" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()):
		return fmt.Errorf("--oidc-issuer %s: want https, because who can change the provider's answers can sign in as anybody", o.Issuer)
	case o.ClientID == "":
		return fmt.Errorf("--oidc-issuer needs --oidc-client-id")
	case o.Roles == "":
		return fmt.Errorf("--oidc-issuer needs --oidc-roles: without it nobody gets a role")
	}
	return nil
}
