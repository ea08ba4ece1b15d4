// Package identity tells who makes a request and what they may do. A door asks an
// [Authenticator] once, before it reads the body, then an [Authorizer], and puts the
// [Principal] into the request's context; handlers take account, region and sight from
// there. No long-lived part holds an account.
package identity

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Principal is the identity of a request.
type Principal struct {
	// Owner holds the account whose data the request reads and writes, and the region
	// in its ARNs.
	trace.Owner
	Type  Type
	ARN   string            // arn:aws:iam::ACCOUNT:user/NAME, arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION …
	ID    string            // unique id as in aws:userid: AIDA…, AROA…:SESSION, the account of a root user
	Name  string            // user name or ROLE/SESSION, for logs and aws:username
	Proof string            // how the identity was proved, such as ProofNone
	KeyID string            // id of the access key, token, certificate or console session; "" for none
	Tags  map[string]string // aws:PrincipalTag/KEY; those of a session win over those of its role
	// Session describes temporary credentials; nil for long-term ones.
	Session *Session
	// Scopes are the actions to which the credential is limited, with * and ? as in
	// policies; nil: no limit. The door checks them before it asks the Authorizer.
	Scopes []string
	// Sight limits what the principal may read in this request; nil: no limit. The door
	// sets it.
	Sight sight.Sight
	// Linked lists accounts that share their traces with Account, for requests that read
	// them. The door sets it.
	Linked []trace.Linked
}

// Type is the kind of a principal, in the words of aws:PrincipalType.
type Type string

// The types of principals.
const (
	TypeAnonymous Type = "Anonymous"
	TypeRoot      Type = "Account" // the root user of an account
	TypeUser      Type = "User"
	TypeRole      Type = "AssumedRole"
	TypeService   Type = "Service"
)

// Session describes temporary credentials (AWS STS API reference).
type Session struct {
	Issued, Expires time.Time
	RoleARN         string   // with path; "" if no role was assumed
	Policies        []string // session policies, as JSON documents; nil: none were given
	MFA             bool
	Provider        string // of a web identity: the ARN of its issuer
	SourceIdentity  string
	// TransitiveTags are those of the session's tags that pass on to roles which are
	// assumed with it.
	TransitiveTags map[string]string
}

// The values of Principal.Proof.
const (
	ProofNone      = "none"
	ProofSignature = "sigv4"
	ProofToken     = "bearer"
	ProofTLS       = "mtls"
	ProofSession   = "console-session"
	ProofSocket    = "admin-socket" // a process of the operator on this machine
	ProofLater     = "later"        // the handler of the route finds out who the caller is
	// ProofNetwork: a setting lets the sender's network make just this call without
	// credentials, such as a datagram. The Authorizer is not asked.
	ProofNetwork = "network"
)

// Call holds everything that an Authenticator may use.
type Call struct {
	// Action is the name of the action in the route table, such as
	// "xray:GetTraceSummaries" or "fluoro:DeleteTraces".
	Action string
	// Listener is the name of the listener: http, otlp-http, otlp-grpc or udp.
	Listener string
	// Request is the HTTP or gRPC request, nil for a datagram. An Authenticator must
	// not read its body, but may replace it with a reader that checks the bytes while
	// they are read.
	Request *http.Request
	// Source is the sender's address, host:port. Behind a trusted proxy it is the address
	// of the proxy's client, with port 0.
	Source string
	// Secure tells that the request came over TLS, to this server or to a trusted proxy.
	Secure bool
}

// Authenticator determines who makes a call. Its errors are trace.KindErrors, which the
// door answers in the words of the call's protocol: KindDenied for unknown callers,
// KindUnavailable if it cannot decide now. Many goroutines may call it at once.
type Authenticator interface {
	Authenticate(ctx context.Context, c Call) (Principal, error)
}

// Question asks whether a principal may do something.
type Question struct {
	Action   string // such as "xray:GetGroup"
	Resource string // ARN, or "*" for actions without resource types
	// Keys are the condition keys that only the handler of the request knows, such as
	// aws:ResourceTag/KEY, aws:RequestTag/KEY, aws:TagKeys or xray:ResourcePolicyName.
	Keys map[string][]string
	// Proposed is the text of a resource policy that is not in force yet, "" for none. Then
	// the question is whether this policy would explicitly deny the action.
	Proposed string
}

// Authorizer decides what principals may do. Many goroutines may call it at once.
type Authorizer interface {
	// Authorize returns nil if the principal may, and a limit to what it may read (nil:
	// everything). Errors: KindDenied with the text of AWS's AccessDeniedException,
	// KindUnavailable if it cannot decide now.
	Authorize(ctx context.Context, p Principal, c Call, q Question) (sight.Sight, error)
}

// Anonymous is an Authenticator that requires no proof: every caller is the same
// principal.
type Anonymous trace.Owner

// Authenticate returns the principal of every caller.
func (a Anonymous) Authenticate(context.Context, Call) (Principal, error) {
	return Principal{Owner: trace.Owner(a), Type: TypeAnonymous, Name: "anonymous", Proof: ProofNone}, nil
}

// Everything is an Authorizer that allows everything.
type Everything struct{}

// Authorize allows everything.
func (Everything) Authorize(context.Context, Principal, Call, Question) (sight.Sight, error) {
	return nil, nil
}

type (
	principalKey struct{}
	guardKey     struct{}
)

// With returns a context that carries a principal.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, &p)
}

// From returns the principal in a context. It fails if there is none: a handler that is
// reached without a door must not guess whose data to use.
func From(ctx context.Context) (Principal, error) {
	if p, ok := ctx.Value(principalKey{}).(*Principal); ok {
		return *p, nil
	}
	return Principal{}, trace.Errorf(trace.KindInternal, "the request carries no identity: it did not come through a door")
}

// Guard answers the questions of the handler of one request. The handlers of routes with
// resources ask, because only they know the resource.
type Guard struct {
	asked atomic.Bool
	ask   func(context.Context, Question) error
}

// WithGuard returns a context whose handler can Ask.
func WithGuard(ctx context.Context, ask func(context.Context, Question) error) (context.Context, *Guard) {
	g := &Guard{ask: ask}
	return context.WithValue(ctx, guardKey{}, g), g
}

// Asked reports whether the handler has asked.
func (g *Guard) Asked() bool { return g.asked.Load() }

// Exempt notes that a request needs no permission: its action never does, or its handler
// found out in another way that the caller may make it.
func Exempt(ctx context.Context) {
	if g, ok := ctx.Value(guardKey{}).(*Guard); ok {
		g.asked.Store(true)
	}
}

// Ask returns nil if the principal in a context may do something, and a KindDenied error
// with the reason otherwise. It fails if there is no Guard.
func Ask(ctx context.Context, q Question) error {
	g, ok := ctx.Value(guardKey{}).(*Guard)
	if !ok {
		return trace.Errorf(trace.KindInternal, "nobody can decide about %s: the request did not come through a door", q.Action)
	}
	g.asked.Store(true)
	return g.ask(ctx, q)
}
