// Package identity says who makes a request. A door asks an [Authenticator] once,
// before anything of the request is read, and puts the [Principal] into the
// request's context; everything that serves the request takes account and region
// from there. No long-lived part has an account of its own.
package identity

import (
	"context"
	"net/http"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Principal is who makes a request.
type Principal struct {
	// Owner holds the account whose data the request reads and writes, and the region
	// in its ARNs.
	trace.Owner
	Name  string // for logs: who it is, such as an access key's id
	Proof string // how that was proved, such as ProofNone
}

// ProofNone is the Proof of a principal that proved nothing.
const ProofNone = "none"

// Call holds everything that an Authenticator may look at.
type Call struct {
	// Action names what the call does, as in the route table: such as
	// "xray:GetTraceSummaries" or "fluoro:DeleteTraces".
	Action string
	// Request is the HTTP or gRPC request, nil for a datagram. An Authenticator must
	// not read its body, but may replace it by a reader that checks what it passes on.
	Request *http.Request
	// Source is the sender's address, host:port.
	Source string
}

// Authenticator finds out who makes a call. Its errors are trace.KindErrors, which
// the door answers in the words of the call's protocol: KindDenied for who is
// nobody known or may not do this, KindUnavailable when it cannot tell now. Many
// goroutines may call it at once.
type Authenticator interface {
	Authenticate(ctx context.Context, c Call) (Principal, error)
}

// Anonymous is the Authenticator that asks for no proof: everyone is the same
// principal.
type Anonymous trace.Owner

// Authenticate returns the principal that everyone is.
func (a Anonymous) Authenticate(context.Context, Call) (Principal, error) {
	return Principal{Owner: trace.Owner(a), Name: "anonymous", Proof: ProofNone}, nil
}

type key struct{}

// With returns a context that carries a principal.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, key{}, &p)
}

// From returns the principal that a context carries. Without one it fails: whoever
// serves a request that passed no door must not guess whose data it is about.
func From(ctx context.Context) (Principal, error) {
	if p, ok := ctx.Value(key{}).(*Principal); ok {
		return *p, nil
	}
	return Principal{}, trace.Errorf(trace.KindInternal, "the request carries no identity: it did not come through a door")
}
