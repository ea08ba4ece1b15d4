// Package login lets people sign in to the web console: with a password or a passkey of a
// user of this server, or through an OpenID Connect provider. It keeps their sessions.
// Users, roles and policies are package iam's: a session yields the same principal as a
// key of its user or a session of its role.
package login

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/lru"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Kinds of the records (docs/format/meta.md). All belong to the account of their user.
const (
	kindSession meta.Kind = "console-session"
	kindProfile meta.Kind = "login-profile"
	kindPasskey meta.Kind = "passkey"
	kindSetup   meta.Kind = "console-setup"
)

// Options are the parts and settings of Logins.
type Options struct {
	Records   meta.Store
	Directory *iam.Directory
	// Owner is the server's own account and region: setup links and identity providers
	// lead to it.
	Owner trace.Owner
	// Idle and Absolute end sessions: so long after the last request of a person, and so
	// long after the login. Rotate is the age at which a cookie is replaced.
	Idle, Absolute, Rotate time.Duration
	// OIDC is the identity provider; nil: there is none.
	OIDC *OIDC
	// URL is the address of the console as browsers see it, such as
	// https://traces.example.com; "": the Host of each request tells.
	URL string
	// Transport reaches the identity provider; http.DefaultTransport if nil.
	Transport http.RoundTripper
	// Audit is told of each login, failure and end of a session.
	Audit  func(context.Context, Event)
	Now    func() time.Time // time.Now if nil
	Logger *slog.Logger     // none if nil
}

// The ends of sessions where settings say nothing (OWASP Session Management Cheat Sheet).
const (
	DefaultIdle     = 30 * time.Minute
	DefaultAbsolute = 12 * time.Hour
	DefaultRotate   = 15 * time.Minute
)

// Event is something that an audit must know.
type Event struct {
	Name    string // ConsoleLogin, Logout, RevokeSession, SetPassword …
	Owner   trace.Owner
	Who     string             // ARN, or Hidden
	As      identity.Principal // of the zero type if nobody signed in
	Session string             // id
	Method  Method
	Source  string // address of the browser
	Agent   string // its User-Agent
	Failure string // "" if it succeeded
}

// Hidden stands for a name that nobody has: it may be a password in the wrong field
// (AWS CloudTrail user guide, "AWS Management Console sign-in events").
const Hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

// Method is a way to sign in.
type Method string

// The ways to sign in.
const (
	ByPassword Method = "password"
	ByPasskey  Method = "passkey"
	ByOIDC     Method = "oidc"
	BySetup    Method = "setup"
)

// From describes the browser of a request.
type From struct {
	Source string // host:port
	Agent  string
	Secure bool   // the request came over TLS
	Host   string // by which the browser knows this server
}

// Logins signs people in and keeps their sessions. Many goroutines may use it at once.
type Logins struct {
	Options
	hashing    chan struct{} // limits how many passwords are hashed at a time
	waiting    chan struct{}
	byAddress  *limiter // attempts of an address,
	byPair     *limiter // with one name,
	byName     *limiter // and of all addresses together with one name
	seen       *lru.Cache[string, *sight]
	ceremonies ceremonies
	provider   provider
	flows      [32]byte // key of the cookies of logins through the provider

	mu    sync.Mutex
	bound map[string]map[*func()]struct{} // ends of running requests, by session
}

// Limits of memory.
const (
	mostSeen   = 20_000
	mostHashes = 2  // at a time: each takes 19 MiB
	mostWaits  = 32 // for a hash
)

// New makes Logins.
func New(o Options) *Logins {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Audit == nil {
		o.Audit = func(context.Context, Event) {}
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	for _, d := range []struct {
		at *time.Duration
		or time.Duration
	}{{&o.Idle, DefaultIdle}, {&o.Absolute, DefaultAbsolute}, {&o.Rotate, DefaultRotate}} {
		if *d.at == 0 {
			*d.at = d.or
		}
	}
	l := &Logins{
		Options: o, hashing: make(chan struct{}, mostHashes), waiting: make(chan struct{}, mostWaits),
		byAddress: newLimiter(30, 5*time.Second), byPair: newLimiter(10, 30*time.Second), byName: newLimiter(100, 6*time.Second),
		seen: lru.New[string, *sight](mostSeen, 1), bound: map[string]map[*func()]struct{}{},
	}
	l.ceremonies.running = lru.New[string, *ceremony](mostCeremonies, 1)
	_, _ = rand.Read(l.flows[:])
	return l
}

// random returns n random bytes in base64url.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// Failed is the text of each failed login: it must not tell which part was wrong.
const Failed = "The name or the credential is wrong."

// failed is the error of a login with wrong credentials.
func failed() error {
	return &identity.Failure{Exception: "SignInFailure", Reason: "login", Message: Failed}
}

// throttled is the error of too many attempts.
func throttled(wait time.Duration) error {
	return trace.Errorf(trace.KindThrottled, "There were too many attempts. Try again in %d seconds.", int(wait/time.Second)+1)
}

// event tells the audit about a login or the like.
func (l *Logins) event(ctx context.Context, e Event, from From, err error) {
	e.Source, e.Agent = from.Source, clip(from.Agent, 300)
	if e.Owner.Account == "" {
		e.Owner = l.Options.Owner
	}
	if err != nil {
		e.Failure = err.Error()
	}
	if trace.KindOf(err) == trace.KindThrottled && err != nil {
		return // a flood of attempts must not become a flood of records
	}
	l.Audit(ctx, e)
	l.Logger.Info("console: "+e.Name, "account", e.Owner.Account, "who", clip(e.Who, 200), "method", e.Method, "source", e.Source, "failure", e.Failure)
}

// clip limits a text of others.
func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}
