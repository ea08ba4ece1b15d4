package iam

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/fluoro-io/fluoro/internal/access"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Limits of providers (IAM API reference, CreateOpenIDConnectProvider).
const (
	maxProviders   = 100
	maxClients     = 100
	maxClientID    = 255
	maxCA          = 64 << 10
	leastJWT       = 4
	mostJWT        = 20_000
	clockTolerance = 30 * time.Second // of nbf
)

// Provider is an OpenID Connect provider whose tokens may be exchanged for sessions.
type Provider struct {
	ARN     string
	URL     string   // issuer; https, or http on a loopback address
	Clients []string // audiences
	// Authorities are PEM certificates that the issuer's certificate may be signed by,
	// besides those of the system.
	Authorities string `json:",omitempty"`
	Created     time.Time
}

// NewProvider describes a provider to create.
type NewProvider struct {
	URL         string
	Clients     []string
	Authorities string
}

// hostPath is the issuer without scheme, as in ARNs and condition keys.
func hostPath(issuer string) string {
	_, rest, _ := strings.Cut(issuer, "://")
	return strings.TrimSuffix(rest, "/")
}

// CreateProvider makes a provider.
func (d *Directory) CreateProvider(ctx context.Context, account trace.Account, n NewProvider) (Provider, error) {
	if err := checkIssuer(n.URL); err != nil {
		return Provider{}, fail(InvalidInput, "The issuer %.300q cannot be used: %v", n.URL, err)
	}
	if err := checkClients(n.Clients); err != nil {
		return Provider{}, err
	}
	if len(n.Authorities) > maxCA {
		return Provider{}, fail(InvalidInput, "The certificates have %d bytes, the limit is %d", len(n.Authorities), maxCA)
	}
	if _, err := poolOf(n.Authorities); err != nil {
		return Provider{}, fail(InvalidInput, "%v", err)
	}
	p := Provider{ARN: ProviderARN(account, n.URL), URL: n.URL, Clients: n.Clients, Authorities: n.Authorities, Created: d.Now().UTC().Truncate(time.Second)}
	err := d.update(ctx, account, func(tx meta.Tx) error {
		if there, err := tx.Get(kindProvider, hostPath(n.URL), &Provider{}); err != nil {
			return err
		} else if there {
			return fail(EntityAlreadyExists, "Provider with url %s already exists.", n.URL)
		}
		count := 0
		if err := tx.List(kindProvider, func(string, json.RawMessage) error { count++; return nil }); err != nil {
			return err
		}
		if count >= maxProviders {
			return fail(LimitExceeded, "Cannot exceed quota for OpenIdConnectProvidersPerAccount: %d", maxProviders)
		}
		return tx.Put(kindProvider, hostPath(n.URL), p)
	})
	return p, err
}

// checkIssuer checks the URL of an issuer (OpenID Connect Discovery 1.0, section 2).
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || len(issuer) > maxClientID:
		return fmt.Errorf("want a URL of at most %d characters such as https://issuer.example.com/path", maxClientID)
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.ForceQuery:
		return fmt.Errorf("an issuer has neither a query nor a fragment nor a user")
	}
	return reachable(u)
}

func checkClients(clients []string) error {
	if len(clients) > maxClients {
		return fail(LimitExceeded, "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d", maxClients)
	}
	for _, c := range clients {
		if c == "" || len(c) > maxClientID {
			return fail(InvalidInput, "The client id %.300q must have 1 to %d characters", c, maxClientID)
		}
	}
	return nil
}

// Providers returns the account's providers.
func (d *Directory) Providers(ctx context.Context, account trace.Account) (out []Provider, err error) {
	err = d.Records.View(ctx, account, func(tx meta.Tx) error {
		out = nil
		return list(tx, kindProvider, func(_ string, p Provider) error { out = append(out, p); return nil })
	})
	return out, err
}

// ProviderARN returns the ARN of the provider of an issuer.
func ProviderARN(account trace.Account, issuer string) string {
	return ARN(account, "oidc-provider/"+hostPath(issuer))
}

// Provider returns the provider with an ARN.
func (d *Directory) Provider(ctx context.Context, account trace.Account, arn string) (p Provider, err error) {
	err = d.Records.View(ctx, account, func(tx meta.Tx) error {
		p, err = provider(tx, account, arn)
		return err
	})
	return p, err
}

// SetClients replaces the audiences of a provider.
func (d *Directory) SetClients(ctx context.Context, account trace.Account, arn string, change func([]string) []string) error {
	return d.update(ctx, account, func(tx meta.Tx) error {
		p, err := provider(tx, account, arn)
		if err != nil {
			return err
		}
		p.Clients = change(p.Clients)
		if err := checkClients(p.Clients); err != nil {
			return err
		}
		return tx.Put(kindProvider, hostPath(p.URL), p)
	})
}

// DeleteProvider deletes a provider. Sessions that it made possible stay.
func (d *Directory) DeleteProvider(ctx context.Context, account trace.Account, arn string) error {
	return d.update(ctx, account, func(tx meta.Tx) error {
		p, err := provider(tx, account, arn)
		if err != nil {
			return err
		}
		_, err = tx.Delete(kindProvider, hostPath(p.URL))
		return err
	})
}

func provider(tx meta.Tx, account trace.Account, arn string) (p Provider, err error) {
	name, ok := strings.CutPrefix(arn, ARN(account, "oidc-provider/"))
	if ok && name != "" && len(name) < meta.MaxName {
		ok, err = tx.Get(kindProvider, name, &p)
	}
	if err == nil && !ok {
		err = fail(NoSuchEntity, "OpenIDConnect Provider not found for arn %.600s", arn)
	}
	return p, err
}

// claims are the claims of a web identity that the exchange uses.
type claims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Party    string   `json:"azp"`
	Expires  float64  `json:"exp"`
	Before   float64  `json:"nbf"`
	AMR      []string `json:"amr"`
	Email    string   `json:"email"`
	Source   string   `json:"https://aws.amazon.com/source_identity"`
	Attached struct {
		Tags       map[string][]string `json:"principal_tags"`
		Transitive []string            `json:"transitive_tag_keys"`
	} `json:"https://aws.amazon.com/tags"`
	audience []string
}

var errJWT = fail(InvalidIdentityToken, "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")

// unverified reads the issuer of a JWT whose signature nobody has checked yet.
func unverified(jwt string) (issuer string, err error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return "", errJWT
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", errJWT
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &c) != nil || c.Issuer == "" {
		return "", errJWT
	}
	return c.Issuer, nil
}

// AssumeRoleWithWebIdentity makes a session of a role for whoever has a token of an
// OpenID Connect provider of the role's account.
func (d *Directory) AssumeRoleWithWebIdentity(ctx context.Context, q AssumeRequest) (Assumed, error) {
	if err := q.check(); err != nil {
		return Assumed{}, err
	}
	if len(q.Token) < leastJWT || len(q.Token) > mostJWT {
		return Assumed{}, fail(ValidationError, "1 validation error detected: Value at 'webIdentityToken' failed to satisfy constraint: Member must have length between %d and %d", leastJWT, mostJWT)
	}
	issuer, err := unverified(q.Token)
	if err != nil {
		return Assumed{}, err
	}
	role, account, err := d.roleOf(ctx, q.RoleARN)
	if err != nil {
		return Assumed{}, err
	}
	p, err := d.providerOf(ctx, account, issuer)
	if err != nil {
		return Assumed{}, err
	}
	c, err := d.verifyJWT(ctx, p, issuer, q.Token)
	if err != nil {
		return Assumed{}, err
	}
	if role == nil { // only who has a token of the account may learn that
		return Assumed{}, fail(AccessDenied, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	s := session{Tags: map[string]string{}, Passed: map[string]string{}, Source: c.Source, Provider: p.ARN}
	q.SourceIdentity = c.Source
	for _, k := range sorted(c.Attached.Tags) {
		if len(c.Attached.Tags[k]) != 1 {
			return Assumed{}, fail(InvalidIdentityToken, "The tag %.140q in the token must have one value", k)
		}
		q.Tags = append(q.Tags, Tag{k, c.Attached.Tags[k][0]})
	}
	q.Transitive = c.Attached.Transitive
	if err := q.check(); err != nil {
		return Assumed{}, err
	}
	if err := s.tag(&q); err != nil {
		return Assumed{}, err
	}
	ask := access.Assumption{Caller: identity.Principal{Owner: trace.Owner{Account: account, Region: d.Region}}, Provider: p.ARN, Call: q.Call}
	ask.Question.Keys = q.keys(&s)
	c.keys(ask.Question.Keys, p)
	if err := d.mayAssume(role, ask, q.actions("sts:AssumeRoleWithWebIdentity", &s)); err != nil {
		return Assumed{}, err
	}
	out, err := d.assume(ctx, role, account, &q, s, role.MaxSession)
	out.Subject, out.Audience, out.Provider = c.Subject, c.audienceFor(p), p.ARN
	return out, err
}

// keys adds the condition keys of a token: the issuer's host and path, a colon and a
// claim (IAM user guide, "Available keys for AWS web identity federation").
func (c *claims) keys(into map[string][]string, p *Provider) {
	name := hostPath(p.URL)
	set := func(key, value string) {
		if value != "" {
			into[key] = []string{value}
		}
	}
	set(name+":sub", c.Subject)
	set(name+":aud", c.audienceFor(p))
	set(name+":oaud", c.audienceFor(p))
	set(name+":azp", c.Party)
	set(name+":aud", c.Party) // it wins over the audience
	set(name+":email", c.Email)
	if len(c.AMR) > 0 {
		into[name+":amr"] = c.AMR
	}
}

// audienceFor returns the audience of a token that its provider lists.
func (c *claims) audienceFor(p *Provider) string {
	for _, a := range c.audience {
		if slices.Contains(p.Clients, a) {
			return a
		}
	}
	return c.Party
}

// providerOf finds the provider of an issuer.
func (d *Directory) providerOf(ctx context.Context, account trace.Account, issuer string) (*Provider, error) {
	var p Provider
	found := false
	err := d.Records.View(ctx, account, func(tx meta.Tx) (err error) {
		if name := hostPath(issuer); name != "" && len(name) < meta.MaxName {
			found, err = tx.Get(kindProvider, name, &p)
		}
		return err
	})
	if err != nil {
		return nil, unreadable(err)
	}
	if !found || strings.TrimSuffix(p.URL, "/") != strings.TrimSuffix(issuer, "/") {
		return nil, fail(InvalidIdentityToken, "No OpenIDConnect provider found in your account for %.300s", issuer)
	}
	return &p, nil
}

// verifyJWT checks signature, audience and times of a token.
func (d *Directory) verifyJWT(ctx context.Context, p *Provider, issuer, jwt string) (*claims, error) {
	found, err := d.issuers.get(ctx, p, issuer, d.Now())
	if err != nil {
		d.Logger.Warn("the issuer of a web identity cannot be reached", "issuer", issuer, "error", err)
		return nil, noKeys
	}
	token, err := found.Verifier(&oidc.Config{
		SkipClientIDCheck: true, SkipExpiryCheck: true, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256},
	}).Verify(ctx, jwt)
	if err != nil {
		if strings.Contains(err.Error(), "fetching keys") {
			d.Logger.Warn("the keys of the issuer of a web identity cannot be read", "issuer", issuer, "error", err)
			return nil, noKeys
		}
		return nil, fail(InvalidIdentityToken, "The token cannot be verified: its signature, its algorithm or its issuer is wrong") // not recorded
	}
	c := &claims{audience: token.Audience}
	if err := token.Claims(c); err != nil || c.Subject == "" {
		return nil, errJWT
	}
	now := d.Now()
	if c.Expires == 0 || float64(now.Unix()) >= c.Expires {
		return nil, fail(ExpiredToken, "Token expired: current date/time %d must be before the expiration date/time %.0f", now.Unix(), c.Expires)
	}
	if float64(now.Add(clockTolerance).Unix()) < c.Before {
		return nil, fail(InvalidIdentityToken, "The token is not valid before %.0f, now is %d", c.Before, now.Unix()) // not recorded
	}
	if c.audienceFor(p) == "" || !slices.Contains(p.Clients, c.audienceFor(p)) {
		return nil, fail(InvalidIdentityToken, "Incorrect token audience")
	}
	return c, nil
}

var noKeys = fail(IDPCommunicationError, "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
