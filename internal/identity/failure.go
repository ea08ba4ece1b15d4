package identity

import (
	"errors"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Failure is the error of a call whose caller proved no identity. Protocols tell it from
// a caller who is known and may not: UNAUTHENTICATED and PERMISSION_DENIED, 401 and 403.
// Its kind is trace.KindDenied.
type Failure struct {
	// Exception is the name of AWS's exception, such as MissingAuthenticationTokenException.
	Exception string
	// Reason is one of a few words for counters and logs, such as "unsigned".
	Reason string
	// Message is for the client. It contains no secret.
	Message string
}

// Error returns the message for the client.
func (f *Failure) Error() string { return f.Message }

// Unwrap returns an error of kind trace.KindDenied.
func (f *Failure) Unwrap() error { return &trace.KindError{Kind: trace.KindDenied, Message: f.Message} }

// FailureOf returns the Failure in err's chain, nil if there is none.
func FailureOf(err error) *Failure {
	f, _ := errors.AsType[*Failure](err)
	return f
}

// Label returns the reason of an error of an Authenticator as the status page shows it,
// such as "Unsigned"; "Identity" if the error has none.
func Label(err error) string {
	if f := FailureOf(err); f != nil && f.Reason != "" {
		return strings.ToUpper(f.Reason[:1]) + f.Reason[1:]
	}
	return "Identity"
}
