package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/login"
	"github.com/fluoro-io/fluoro/internal/present/signin"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/transport"
)

// maxLogin bounds the bodies of logins: a passkey's answer has a few kilobytes.
const maxLogin = 64 << 10

// loginRoutes are the rows of logins and console sessions.
func loginRoutes() []route {
	var list []route
	for _, r := range signin.Routes() {
		rt := route{on: onHTTP, method: r.Method, path: r.Path, action: r.Action, class: admitAlways, asks: r.Action != public,
			handler: func(s *server, rt *route) endpoint { return r.Serve(s.front(), rt.limit) }}
		if r.Body {
			rt.limit = maxLogin
		}
		list = append(list, rt)
	}
	return append(list, profileRoutes()...)
}

// profileRoutes are the rows about the logins of users.
func profileRoutes() []route {
	var list []route
	for _, v := range signin.Profiles() {
		list = append(list, route{on: onHTTP, method: http.MethodPost, path: "/api/iam/" + v.Name, action: v.Action, class: admitAlways, limit: maxAdmin, asks: true,
			handler: func(s *server, rt *route) endpoint { return v.Endpoint(s.logins, rt.limit) }})
	}
	return list
}

// openLogins makes the logins of the settings.
func (s *server) openLogins() error {
	c := &s.config.Console
	o := login.Options{
		Records: s.records, Directory: s.directory, Owner: trace.Owner{Account: s.own(), Region: s.config.Region},
		Idle: c.Idle, Absolute: c.Max, Rotate: c.Rotate, URL: c.URL, Audit: s.signIn, Logger: s.log,
	}
	if c.Issuer != "" {
		rules, err := login.ParseRoles(c.Roles)
		if err != nil {
			return fmt.Errorf("--oidc-roles: %w", err)
		}
		o.OIDC = &login.OIDC{Issuer: c.Issuer, ClientID: c.ClientID, Scopes: c.Scopes, Roles: rules}
		if file := c.SecretFile; file != "" {
			o.OIDC.Secret = func() (string, error) {
				b, err := os.ReadFile(file)
				return strings.TrimSpace(string(b)), err
			}
			if _, err := o.OIDC.Secret(); err != nil {
				return fmt.Errorf("--oidc-client-secret-file: %w", err)
			}
		}
		tls, err := transport.Client(transport.ClientOptions{CA: c.CAFile})
		if err != nil {
			return fmt.Errorf("--oidc-ca: %w", err)
		}
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = tls
		o.Transport = t
	}
	s.logins = login.New(o)
	return nil
}

// signIn records a login, successful or not. What people do with their session is
// recorded as requests.
func (s *server) signIn(ctx context.Context, e login.Event) {
	a := s.audit
	if a == nil || e.Name != "ConsoleLogin" && e.Name != "ConsoleSetup" && e.Name != "SessionReuse" {
		return
	}
	p := e.As
	if p.Type == "" {
		p = identity.Principal{Owner: e.Owner, Type: identity.TypeUser, Name: login.Hidden}
		if e.Who != login.Hidden {
			p.ARN, p.Name = e.Who, e.Who[strings.LastIndexByte(e.Who, '/')+1:]
		}
	}
	r := (&http.Request{Header: http.Header{"User-Agent": {e.Agent}}}).WithContext(ctx)
	_, details := audit.Begin(ctx, identity.Call{Action: "fluoro:" + e.Name, Listener: onHTTP.String(), Request: r, Source: e.Source}, &p, a.hash)
	details.SignIn(e.Name, e.Failure == "")
	status := http.StatusOK
	if e.Failure != "" {
		status = http.StatusUnauthorized
		details.Fail("Failed authentication", e.Failure)
	}
	details.Set("method", string(e.Method))
	_ = a.Write(details.End(status, "")) // the log counts what is lost
}

// front makes the handlers of logins.
func (s *server) front() *signin.Front {
	return signin.New(signin.Options{
		Logins: s.logins, Required: s.config.Auth == config.Required, Call: s.callOf, Exposed: s.exposed, Actions: s.allowed,
	})
}

// callOf describes a request to a route whose handler needs more than its identity.
func (s *server) callOf(r *http.Request) identity.Call {
	return identity.Call{Listener: onHTTP.String(), Request: r, Source: r.RemoteAddr, Secure: r.TLS != nil || overTLS(r.Context())}
}

// exposed tells whether others could read the secrets of a call on their way.
func (s *server) exposed(c identity.Call) bool {
	at, err := netip.ParseAddrPort(c.Source)
	return !s.plain() && !c.Secure && (err != nil || !at.Addr().Unmap().IsLoopback())
}

// plain tells that secrets may come without TLS: something in front encrypts.
func (s *server) plain() bool { return s.config.TLS.Mode == config.Off || s.config.Insecure }

// attend renews the cookie of a console session, and ends its request with the session.
func (s *server) attend(ctx context.Context, w http.ResponseWriter, r *http.Request, p identity.Principal) (context.Context, func()) {
	if p.Proof != identity.ProofSession || s.logins == nil {
		return ctx, func() {}
	}
	cookie, err := s.logins.Renew(ctx, r, p, s.callOf(r).Secure)
	if err != nil {
		s.log.Warn("the cookie of a console session could not be renewed", "error", err)
	}
	if cookie != nil {
		http.SetCookie(w, cookie)
	}
	return s.logins.Bind(ctx, p)
}

// harden sets the headers that tell a browser to come back over TLS only. A self-signed
// certificate is for trying out: it must not lock its user out.
func (s *server) harden(w http.ResponseWriter, r *http.Request) {
	if (r.TLS != nil || overTLS(r.Context())) && s.config.TLS.Mode != config.TLSSelfSigned {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// allowed lists the actions of the route table that a principal may use on at least some
// resource, as far as that can be told without naming each. It is a hint for pages: every
// request is decided by itself.
func (s *server) allowed(ctx context.Context, p identity.Principal, c identity.Call) []string {
	var out []string
	seen := map[string]bool{}
	for _, rt := range routes() {
		if rt.action == public || seen[rt.action] || rt.on&onHTTP == 0 || rt.whole && p.Account != s.own() {
			continue
		}
		seen[rt.action] = true
		if p.Type == identity.TypeAnonymous && s.config.Auth != config.Required && changesPrincipals(rt.action) {
			continue
		}
		c.Action = rt.action
		for _, resource := range resourcesOf(rt, p) {
			if _, err := s.authorize(ctx, p, c, identity.Question{Action: rt.action, Resource: resource}); err == nil {
				out = append(out, rt.action)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// changesPrincipals tells whether an action needs credentials even in an open server.
func changesPrincipals(action string) bool {
	_, name, _ := strings.Cut(action, ":")
	return strings.HasPrefix(action, "iam:") && !strings.HasPrefix(name, "Get") && !strings.HasPrefix(name, "List")
}

// resourcesOf returns resources that stand for those of an action.
func resourcesOf(rt route, p identity.Principal) []string {
	out := []string{"*"}
	switch {
	case !rt.asks:
	case strings.HasPrefix(rt.action, "xray:"):
		arn := "arn:aws:xray:" + p.Region + ":" + string(p.Account) + ":"
		out = append(out, arn+"group/*", arn+"group/*/*", arn+"sampling-rule/*")
	default:
		for _, kind := range []string{"user/*", "group/*", "role/*", "policy/*"} {
			out = append(out, iam.ARN(p.Account, kind))
		}
		if p.Type == identity.TypeUser {
			out = append(out, p.ARN)
		}
	}
	return out
}

// invite prints a setup link while nobody can sign in although everybody must.
func (s *server) invite(w io.Writer, scheme, at string) {
	if s.config.Auth != config.Required || s.meta == nil || s.logins == nil || !slices.Contains(s.config.HTTPAuth, "session") {
		return
	}
	empty, err := s.logins.Empty(context.Background())
	if err != nil || !empty {
		return
	}
	token, err := s.logins.NewSetup(context.Background())
	if err != nil {
		s.log.Warn("there is no setup link", "error", err)
		return
	}
	fmt.Fprintf(w, "\nNobody can sign in to the console yet. Make the first administrator, within an hour:\n\n  %s/#/setup?%s\n", s.consoleURL(scheme, at), url.Values{"token": {token}}.Encode())
}

// consoleURL is the address of the console for people at another machine.
func (s *server) consoleURL(scheme, at string) string {
	if s.config.Console.URL != "" {
		return s.config.Console.URL
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return scheme + "://" + at
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
		if names := s.config.TLS.ACMEHosts; len(names) > 0 {
			host = names[0]
		} else if i := slices.IndexFunc(s.config.AllowedHosts, func(h string) bool { return !strings.Contains(h, "*") }); i >= 0 {
			host = s.config.AllowedHosts[i]
		}
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
