// Package identity tells who makes a request. A door asks an [Authenticator] once,
// before it reads the body, and puts the [Principal] into the request's context;
// handlers take account and region from there. No long-lived part holds an account.
package identity

import (
	"context"
	"net/http"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Principal is the identity of a request.
type Principal struct {
	// Owner holds the account whose data the request reads and writes, and the region
	// in its ARNs.
	trace.Owner
	Name  string // for logs: an identifier of the caller, such as an access key's id
	Proof string // how the identity was proved, such as ProofNone
}

// ProofNone is the Proof of a principal without any proof.
const ProofNone = "none"

// Call holds everything that an Authenticator may use.
type Call struct {
	// Action is the name of the action in the route table, such as
	// "xray:GetTraceSummaries" or "fluoro:DeleteTraces".
	Action string
	// Request is the HTTP or gRPC request, nil for a datagram. An Authenticator must
	// not read its body, but may replace it with a reader that checks the bytes while
	// they are read.
	Request *http.Request
	// Source is the sender's address, host:port.
	Source string
}

// Authenticator determines who makes a call. Its errors are trace.KindErrors, which the
// door answers in the words of the call's protocol: KindDenied for unknown callers and
// for callers that may not do this, KindUnavailable if it cannot decide now. Many
// goroutines may call it at once.
type Authenticator interface {
	Authenticate(ctx context.Context, c Call) (Principal, error)
}

// Anonymous is an Authenticator that requires no proof: every caller is the same
// principal.
type Anonymous trace.Owner

// Authenticate returns the principal of every caller.
func (a Anonymous) Authenticate(context.Context, Call) (Principal, error) {
	return Principal{Owner: trace.Owner(a), Name: "anonymous", Proof: ProofNone}, nil
}

type key struct{}

// With returns a context that carries a principal.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, key{}, &p)
}

// From returns the principal in a context. It fails if there is none: a handler that is
// reached without a door must not guess whose data to use.
func From(ctx context.Context) (Principal, error) {
	if p, ok := ctx.Value(key{}).(*Principal); ok {
		return *p, nil
	}
	return Principal{}, trace.Errorf(trace.KindInternal, "the request carries no identity: it did not come through a door")
}
