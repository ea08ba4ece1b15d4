// Package authn determines who makes a call: AWS Signature Version 4, bearer tokens, client
// certificates, console sessions, or nobody. It finds secrets and principals through
// identity.Credentials.
package authn

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/lru"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Options of an Authenticator.
type Options struct {
	// Credentials finds the principals of credentials; nil: there are none.
	Credentials identity.Credentials
	// Owner is the account and region of requests without credentials, and the region of
	// principals that name none.
	Owner trace.Owner
	// Open lets in requests without credentials, and with credentials that this server
	// does not know, as anonymous. It verifies the credentials that it knows.
	Open bool
	// Takes are the kinds of credentials that each listener takes; nil: all that it can.
	Takes map[string]Kinds
	// Skew is how far the time of a signature may be from ours; 0: 5 minutes.
	Skew time.Duration
	// Plain lets other machines send bearer tokens and session cookies without TLS.
	Plain bool
	// Sampling are the networks that may poll sampling rules without credentials:
	// X-Ray SDKs send such polls.
	Sampling Networks
	// Datagrams are the networks that may send datagrams; nil: all.
	Datagrams Networks
	// Session finds the principal of a console session; present is false if the request
	// belongs to none. nil: there are no sessions.
	Session func(ctx context.Context, c identity.Call) (p identity.Principal, present bool, err error)
	// Failed is told of failures that show only when the body of a request is read.
	Failed func(c identity.Call, err error)
	// Now is the clock; nil: the system's.
	Now func() time.Time
}

// Authenticator is the identity.Authenticator of a server.
type Authenticator struct {
	Options
	crossOrigin http.CrossOriginProtection
	keys        *lru.Cache[keyName, *signingKey]
}

// New makes an Authenticator.
func New(o Options) *Authenticator {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Skew == 0 {
		o.Skew = 5 * time.Minute
	}
	return &Authenticator{Options: o, keys: lru.New[keyName, *signingKey](keysKept, 1)}
}

// Authenticate returns the principal of a call. Failures are *identity.Failure. If the
// identity depends on the hash of the body, it replaces the request's body by a reader
// whose last Read fails unless the hash is right: the caller must not act before it has
// read the body to its end.
func (a *Authenticator) Authenticate(ctx context.Context, c identity.Call) (identity.Principal, error) {
	if c.Request == nil {
		return a.datagram(c)
	}
	p, err := a.prove(ctx, c)
	if err != nil && a.Open && !known(err) {
		return a.anonymous(a.Owner, identity.ProofNone), nil
	}
	return p, err
}

// known tells whether a failure is about a credential that this server knows.
func known(err error) bool {
	f := identity.FailureOf(err)
	return f != nil && (f.Reason == ReasonExpired || f.Reason == ReasonScope || f.Reason == ReasonSkew || f.Reason == ReasonSignature)
}

// prove finds the credentials of a request and verifies them.
func (a *Authenticator) prove(ctx context.Context, c identity.Call) (identity.Principal, error) {
	r := c.Request
	headers := r.Header["Authorization"]
	switch {
	case presigned(r.URL.RawQuery):
		return identity.Principal{}, invalid(ReasonMalformed, "Presigned URLs are not accepted here. Sign the request in its Authorization header.") // not recorded
	case len(headers) > 1:
		return identity.Principal{}, incomplete("There are %d Authorization headers.", len(headers)) // not recorded
	case len(headers) == 1 && headers[0] != "":
		return a.header(ctx, c, headers[0])
	}
	// Browsers add cookies to requests of foreign pages, too. Those have no session.
	if a.Session != nil && a.takes(c.Listener, Session) && a.crossOrigin.Check(r) == nil {
		// In an open server, a cookie of another time must not lock anybody out.
		if p, present, err := a.Session(ctx, c); present && !(a.Open && err != nil) {
			if err == nil && a.exposed(c) {
				err = plaintext("console sessions")
			}
			return a.complete(p, identity.ProofSession, ""), err
		}
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 && a.takes(c.Listener, MTLS) {
		return a.certificate(ctx, c)
	}
	return a.unsigned(c)
}

// presigned tells whether a query carries the parameters of a presigned URL.
func presigned(query string) bool {
	return strings.Contains(query, "X-Amz-Signature=") || strings.Contains(query, "X-Amz-Credential=") || strings.Contains(query, "X-Amz-Algorithm=")
}

// header verifies an Authorization header.
func (a *Authenticator) header(ctx context.Context, c identity.Call, header string) (identity.Principal, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	kind := Kinds(0)
	switch {
	case isSignature(header):
		kind = SigV4
	case strings.EqualFold(scheme, "Bearer"):
		kind = Bearer
	default:
		return identity.Principal{}, notPairs(header)
	}
	switch {
	case !a.takes(c.Listener, kind):
		return identity.Principal{}, &identity.Failure{Exception: incompleteSignature, Reason: ReasonKind,
			Message: "This address does not take credentials of the kind " + kind.String() + ". It takes: " + a.kinds(c.Listener).String() + "."} // not recorded
	case a.Credentials == nil:
		return identity.Principal{}, refusal(identity.ErrUnknown)
	case kind == SigV4:
		return a.signed(ctx, c, header)
	}
	return a.bearer(ctx, c, strings.TrimSpace(rest))
}

// maxToken is the maximum length of a bearer token. No token that we make comes near it.
const maxToken = 8 << 10

// bearer verifies a bearer token (RFC 6750).
func (a *Authenticator) bearer(ctx context.Context, c identity.Call, token string) (identity.Principal, error) {
	if a.exposed(c) {
		return identity.Principal{}, plaintext("bearer tokens")
	}
	if token == "" || len(token) > maxToken {
		return identity.Principal{}, refusal(identity.ErrUnknown)
	}
	p, scopes, err := a.Credentials.Bearer(ctx, token)
	if err != nil {
		return identity.Principal{}, refusal(err)
	}
	p = a.complete(p, identity.ProofToken, "")
	p.Scopes = scopes
	a.Credentials.Used(p, c.Source)
	return p, nil
}

// certificate finds the principal of a client certificate, whose chain the TLS server
// has verified when the connection was made.
func (a *Authenticator) certificate(ctx context.Context, c identity.Call) (identity.Principal, error) {
	leaf := c.Request.TLS.VerifiedChains[0][0]
	switch {
	case a.Credentials == nil:
		return identity.Principal{}, refusal(identity.ErrUnknown)
	case a.Now().After(leaf.NotAfter): // the connection may be older
		return identity.Principal{}, refusal(identity.ErrExpired)
	}
	p, err := a.Credentials.Certificate(ctx, leaf)
	if err != nil {
		return identity.Principal{}, refusal(err)
	}
	p = a.complete(p, identity.ProofTLS, "")
	a.Credentials.Used(p, c.Source)
	return p, nil
}

// complete fills in what every principal has.
func (a *Authenticator) complete(p identity.Principal, proof, key string) identity.Principal {
	p.Proof = proof
	if p.Region == "" {
		p.Region = a.Owner.Region
	}
	if p.KeyID == "" {
		p.KeyID = key
	}
	return p
}

// exposed tells whether others could read the credentials of a call on its way.
func (a *Authenticator) exposed(c identity.Call) bool {
	return !a.Plain && !c.Secure && !sourceOf(c.Source).IsLoopback()
}

func plaintext(what string) error {
	return &identity.Failure{Exception: incompleteSignature, Reason: ReasonPlaintext,
		Message: "This connection has no TLS, so that others could read and use the credential: " + what + " are taken over TLS only (see --tls)."} // not recorded
}

// unsigned decides about a request without credentials.
func (a *Authenticator) unsigned(c identity.Call) (identity.Principal, error) {
	switch c.Action {
	case "xray:GetSamplingRules", "xray:GetSamplingTargets":
		if n, ok := a.Sampling.find(sourceOf(c.Source)); ok && !a.Open && !(n.Loopback() && forwarded(c.Request)) {
			return a.anonymous(a.ownerOf(n), identity.ProofNetwork), nil
		}
	}
	return identity.Principal{}, &identity.Failure{Exception: missingToken, Reason: ReasonUnsigned, Message: textMissing}
}

// forwarded tells whether a proxy passed a request on. Then its sender is not this
// machine, even if the proxy is.
func forwarded(r *http.Request) bool {
	return len(r.Header["X-Forwarded-For"])+len(r.Header["Forwarded"])+len(r.Header["Via"]) > 0
}

// datagram decides about a datagram by the address of its sender. Datagrams have no
// credentials.
func (a *Authenticator) datagram(c identity.Call) (identity.Principal, error) {
	if a.Datagrams == nil {
		return a.anonymous(a.Owner, identity.ProofNetwork), nil
	}
	if n, ok := a.Datagrams.find(sourceOf(c.Source)); ok {
		return a.anonymous(a.ownerOf(n), identity.ProofNetwork), nil
	}
	return identity.Principal{}, &identity.Failure{Exception: missingToken, Reason: ReasonNetwork, Message: "datagrams from this address are not accepted; see --udp-from"}
}

// ownerOf returns the account to which a network belongs.
func (a *Authenticator) ownerOf(n Network) trace.Owner {
	o := a.Owner
	if n.Account != "" {
		o.Account = n.Account
	}
	return o
}

func (a *Authenticator) anonymous(o trace.Owner, proof string) identity.Principal {
	p, _ := identity.Anonymous(o).Authenticate(context.Background(), identity.Call{})
	p.Proof = proof
	return p
}

// sourceOf returns the address in host:port, the zero Addr if there is none.
func sourceOf(source string) netip.Addr {
	if at, err := netip.ParseAddrPort(source); err == nil {
		return at.Addr().Unmap().WithZone("")
	}
	host, _, err := net.SplitHostPort(source)
	if err != nil {
		host = source
	}
	ip, _ := netip.ParseAddr(host)
	return ip.Unmap().WithZone("")
}
