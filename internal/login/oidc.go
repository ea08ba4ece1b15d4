package login

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/trace"
	"golang.org/x/oauth2"
)

// OIDC are the settings of an OpenID Connect provider.
type OIDC struct {
	Issuer, ClientID string
	// Secret reads the client's secret; nil for a public client, which proves itself by
	// PKCE alone.
	Secret func() (string, error)
	Scopes []string
	Roles  []RoleRule
}

// RoleRule gives a role to whoever has a claim: the ARN of a role, or the name of a
// managed policy.
type RoleRule struct{ Claim, Value, Role string }

// ParseRoles reads rules such as groups:sre=arn:aws:iam::111122223333:role/operator,
// separated by commas. The value * matches any value of the claim.
func ParseRoles(text string) (out []RoleRule, err error) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		// Names of claims may be URLs with colons: the last one before = counts.
		left, role, ok := strings.Cut(item, "=")
		at := strings.LastIndexByte(left, ':')
		if !ok || at <= 0 || at == len(left)-1 || role == "" || strings.ContainsAny(role, " \t") {
			return nil, fmt.Errorf("%q: want CLAIM:VALUE=ROLE, such as groups:sre=arn:aws:iam::111122223333:role/operator or groups:dev=FluoroViewer", item)
		}
		out = append(out, RoleRule{left[:at], left[at+1:], role})
	}
	return out, nil
}

const (
	flowTime     = 10 * time.Minute
	discoverTime = 10 * time.Minute // how long the provider's document is used
	retryTime    = 5 * time.Second
	maxAnswer    = 1 << 20 // bytes of an answer of the provider
	providerTime = 10 * time.Second
)

// provider is the provider's document, read when somebody signs in.
type provider struct {
	mu    sync.Mutex
	found *oidc.Provider
	at    time.Time
	err   error
}

// limited bounds the answers of the provider.
type limited struct{ base http.RoundTripper }

// RoundTrip cuts long answers.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.base.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, err
}

func (l *Logins) client(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, &http.Client{Transport: limited{l.Transport}, Timeout: providerTime})
}

// discover reads the provider's document.
func (l *Logins) discover(ctx context.Context) (*oidc.Provider, error) {
	p := &l.provider
	p.mu.Lock()
	defer p.mu.Unlock()
	age := l.Now().Sub(p.at)
	if p.found != nil && age < discoverTime {
		return p.found, nil
	}
	if p.err != nil && age < retryTime {
		return p.found, p.err
	}
	found, err := oidc.NewProvider(l.client(context.WithoutCancel(ctx)), l.OIDC.Issuer)
	p.at, p.err = l.Now(), nil
	if err != nil {
		l.Logger.Warn("the identity provider cannot be reached", "issuer", l.OIDC.Issuer, "error", err)
		if p.found == nil {
			p.err = trace.Errorf(trace.KindUnavailable, "The identity provider cannot be reached.")
		}
		return p.found, p.err
	}
	p.found = found
	return found, nil
}

// flow is a login through the provider that waits for the browser to come back. It
// travels in a sealed cookie, so that nobody can fill the server's memory.
type flow struct {
	State, Nonce, Verifier string
	To                     string // where to go then
	Until                  int64
}

func (l *Logins) aead() cipher.AEAD {
	block, err := aes.NewCipher(l.flows[:])
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	out, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return out
}

func (l *Logins) seal(f flow) string {
	b, _ := json.Marshal(f) // it has only texts and a number
	return base64.RawURLEncoding.EncodeToString(l.aead().Seal(nil, nil, b, nil))
}

func (l *Logins) unseal(text string) (f flow, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return flow{}, false
	}
	plain, err := l.aead().Open(nil, nil, b, nil)
	return f, err == nil && json.Unmarshal(plain, &f) == nil && l.Now().Unix() < f.Until
}

func flowCookie(value string, secure bool) *http.Cookie {
	c := &http.Cookie{Name: plainFlow, Value: value, Path: "/", HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode, MaxAge: int(flowTime / time.Second)}
	if secure {
		c.Name = secureFlow
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// CallbackPath is the path to which the provider sends browsers back.
const CallbackPath = "/login/oidc/callback"

// oauth makes the configuration of a request.
func (l *Logins) oauth(p *oidc.Provider, from From) (*oauth2.Config, error) {
	c := &oauth2.Config{ClientID: l.OIDC.ClientID, Endpoint: p.Endpoint(), RedirectURL: l.Origin(from) + CallbackPath, Scopes: l.OIDC.Scopes}
	if l.OIDC.Secret != nil {
		secret, err := l.OIDC.Secret()
		if err != nil {
			l.Logger.Warn("the client's secret for the identity provider cannot be read", "error", err)
			return nil, trace.Errorf(trace.KindUnavailable, "The login through the identity provider is not set up: its secret cannot be read.")
		}
		c.ClientSecret = secret
	}
	return c, nil
}

// placeForm is a page of the console: a login never leads anywhere else.
var placeForm = regexp.MustCompile(`^#/[\x21-\x7e]*$`)

// Redirect begins a login through the provider. It returns the provider's page and the
// cookie that the browser must bring back.
func (l *Logins) Redirect(ctx context.Context, to string, from From) (location string, cookie *http.Cookie, err error) {
	if l.OIDC == nil {
		return "", nil, trace.Errorf(trace.KindNotFound, "There is no identity provider.")
	}
	if wait := l.byAddress.take(addressKey(from.Source), l.Now()); wait > 0 {
		return "", nil, throttled(wait)
	}
	p, err := l.discover(ctx)
	if err != nil {
		return "", nil, err
	}
	c, err := l.oauth(p, from)
	if err != nil {
		return "", nil, err
	}
	if len(to) > 2000 || !placeForm.MatchString(to) {
		to = ""
	}
	f := flow{State: random(24), Nonce: random(24), Verifier: oauth2.GenerateVerifier(), To: to, Until: l.Now().Add(flowTime).Unix()}
	return c.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), flowCookie(l.seal(f), from.Secure), nil
}

// Callback finishes a login through the provider. It returns the page of the console that
// the person wanted to see.
func (l *Logins) Callback(ctx context.Context, r *http.Request, from From) (s Session, to string, clear *http.Cookie, err error) {
	e := Event{Name: "ConsoleLogin", Method: ByOIDC}
	clear = flowCookie("", from.Secure)
	if l.OIDC == nil {
		return s, "", clear, trace.Errorf(trace.KindNotFound, "There is no identity provider.")
	}
	defer func() { e.Session, e.As = s.ID, s.As; l.event(ctx, e, from, err) }()
	if wait := l.byAddress.take(addressKey(from.Source), l.Now()); wait > 0 {
		return s, "", clear, throttled(wait)
	}
	f, code, err := l.returned(r, clear.Name)
	if err != nil {
		return s, "", clear, err
	}
	claims, err := l.exchange(ctx, code, f, from)
	if err != nil {
		return s, f.To, clear, err
	}
	name := sessionName(claims)
	e.Who = name
	role, err := l.roleOf(ctx, claims)
	if err != nil {
		return s, f.To, clear, err
	}
	account := l.Owner.Account
	if parts := strings.Split(role.ARN, ":"); len(parts) == 6 {
		account = trace.Account(parts[4])
	}
	e.Owner = trace.Owner{Account: account, Region: l.Owner.Region}
	l.byAddress.give(addressKey(from.Source))
	s, err = l.begin(ctx, record{
		Account: account, Role: role.ARN, UniqueID: role.ID, Name: name, Source: name, Method: ByOIDC, MFA: isMFA(claims), Provider: iam.ProviderARN(account, l.OIDC.Issuer),
	}, from)
	return s, f.To, clear, err
}

// returned checks what a browser brings back (RFC 6749, section 4.1.2, and RFC 9207).
func (l *Logins) returned(r *http.Request, cookie string) (f flow, code string, err error) {
	lost := trace.Errorf(trace.KindInvalid, "The login took too long, or began in another browser. Try again.")
	all := r.CookiesNamed(cookie)
	q := r.URL.Query()
	if len(all) != 1 {
		return f, "", lost
	}
	f, ok := l.unseal(all[0].Value)
	if !ok || len(q["state"]) != 1 || !same(f.State, q.Get("state")) {
		return flow{}, "", lost
	}
	if iss := q["iss"]; len(iss) > 1 || len(iss) == 1 && iss[0] != l.OIDC.Issuer {
		return f, "", trace.Errorf(trace.KindInvalid, "The answer is from another identity provider.")
	}
	if q.Get("error") != "" {
		return f, "", trace.Errorf(trace.KindDenied, "The identity provider refused: %s", printable(clip(q.Get("error")+" "+q.Get("error_description"), 200)))
	}
	if code = q.Get("code"); code == "" || len(q["code"]) != 1 || len(code) > 4096 {
		return f, "", trace.Errorf(trace.KindInvalid, "The answer of the identity provider has no code.")
	}
	return f, code, nil
}

func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r > 0x7f && r < 0xa0 || r == 0xfffd {
			return -1
		}
		return r
	}, s))
}

// exchange gets the tokens for a code and returns the verified claims.
func (l *Logins) exchange(ctx context.Context, code string, f flow, from From) (map[string]any, error) {
	p, err := l.discover(ctx)
	if err != nil {
		return nil, err
	}
	c, err := l.oauth(p, from)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(l.client(ctx), 2*providerTime)
	defer cancel()
	refused := func(what string, err error) error {
		var re *oauth2.RetrieveError
		if errors.As(err, &re) {
			err = fmt.Errorf("the provider answered %q", clip(re.ErrorCode, 100)) // the rest may hold secrets
		}
		l.Logger.Warn("a login through the identity provider failed: "+what, "error", err)
		return trace.Errorf(trace.KindDenied, "The login through the identity provider failed: %s.", what)
	}
	token, err := c.Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return nil, refused("the code was not accepted", err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, refused("the answer has no ID token", errors.New("id_token is missing"))
	}
	id, err := p.Verifier(&oidc.Config{ClientID: l.OIDC.ClientID, Now: l.Now, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256, oidc.PS256, oidc.EdDSA}}).Verify(ctx, raw)
	if err != nil {
		return nil, refused("the ID token is not valid", err)
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil || id.Subject == "" {
		return nil, refused("the ID token cannot be read", err)
	}
	if !same(id.Nonce, f.Nonce) {
		return nil, refused("the ID token belongs to another login", errors.New("the nonce differs"))
	}
	if party, _ := claims["azp"].(string); len(id.Audience) > 1 && party != l.OIDC.ClientID || party != "" && party != l.OIDC.ClientID {
		return nil, refused("the ID token is for another client", errors.New("azp differs"))
	}
	if id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil {
		return nil, refused("the tokens do not belong together", errors.New("at_hash differs"))
	}
	return l.complete(ctx, p, claims, token)
}

// complete adds the claims that the provider tells only at its userinfo endpoint, if a
// rule needs one that is missing.
func (l *Logins) complete(ctx context.Context, p *oidc.Provider, claims map[string]any, token *oauth2.Token) (map[string]any, error) {
	missing := slices.ContainsFunc(l.OIDC.Roles, func(r RoleRule) bool { return claimOf(claims, r.Claim) == nil })
	if !missing || p.UserInfoEndpoint() == "" {
		return claims, nil
	}
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		l.Logger.Warn("the identity provider told no more about a user", "error", err)
		return claims, nil
	}
	more := map[string]any{}
	if info.Subject != claims["sub"] || info.Claims(&more) != nil {
		return claims, nil
	}
	for k, v := range more {
		if _, there := claims[k]; !there {
			claims[k] = v
		}
	}
	return claims, nil
}

// claimOf finds a claim by its name, or by a path of names with dots.
func claimOf(claims map[string]any, name string) any {
	if v, there := claims[name]; there {
		return v
	}
	var at any = claims
	for part := range strings.SplitSeq(name, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[part]
	}
	return at
}

// values returns the values of a claim as texts.
func values(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case bool:
		return []string{strconv.FormatBool(v)}
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}
	case []any:
		for _, item := range v {
			if _, list := item.([]any); !list {
				out = append(out, values(item)...)
			}
		}
	}
	return out
}

// roleOf returns the role of the first rule that fits.
func (l *Logins) roleOf(ctx context.Context, claims map[string]any) (*iam.Role, error) {
	for _, rule := range l.OIDC.Roles {
		has := values(claimOf(claims, rule.Claim))
		if !slices.Contains(has, rule.Value) && (rule.Value != "*" || len(has) == 0) {
			continue
		}
		role, err := l.Directory.RoleFor(ctx, l.Owner.Account, rule.Role)
		if err == nil {
			return role, nil
		}
		if trace.KindOf(err) == trace.KindUnavailable {
			return nil, err
		}
		l.Logger.Warn("--oidc-roles names a role that cannot be used", "role", rule.Role, "error", err)
	}
	return nil, ErrNoRole
}

// ErrNoRole is the error of a login of somebody for whom no rule has a role.
var ErrNoRole = trace.Errorf(trace.KindDenied, "The identity provider knows this person, but no rule of --oidc-roles gives a role.")

// sessionName makes the name of a role's session of the claims of a person.
func sessionName(claims map[string]any) string {
	for _, claim := range []string{"email", "preferred_username", "sub"} {
		if claim == "email" && claims["email_verified"] == false {
			continue // anybody could have typed it
		}
		text, _ := claims[claim].(string)
		text = strings.Map(func(r rune) rune {
			if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_+=,.@-", r)) {
				return r
			}
			return '-'
		}, text)
		if text = clip(text, 64); len(text) >= 2 {
			return text
		}
	}
	return "user"
}

// isMFA tells whether the provider says that it checked more than one factor (RFC 8176).
func isMFA(claims map[string]any) bool {
	return slices.ContainsFunc(values(claims["amr"]), func(m string) bool { return m == "mfa" || m == "hwk" || m == "otp" })
}
