package authn

import (
	"errors"
	"fmt"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// The reasons of failures, for counters and logs.
const (
	ReasonUnsigned  = "unsigned"  // the request has no credentials
	ReasonMalformed = "malformed" // its credentials cannot be read
	ReasonKind      = "kind"      // the listener does not take this kind of credentials
	ReasonPlaintext = "plaintext" // the credential is a secret, and came without TLS
	ReasonUnknown   = "unknown"   // nobody has this credential, or not with this session token
	ReasonExpired   = "expired"   // temporary credentials have expired
	ReasonScope     = "scope"     // signed for another service, region or day
	ReasonSkew      = "skew"      // signed too long ago, or in the future
	ReasonSignature = "signature" // the signature is wrong, or does not cover what it must
	ReasonSession   = "session"   // the console session has ended
	ReasonCSRF      = "csrf"      // a changing request without the token of its console session
	ReasonNetwork   = "network"   // datagrams are not accepted from this address
)

// Reasons lists all reasons.
var Reasons = []string{ReasonUnsigned, ReasonMalformed, ReasonKind, ReasonPlaintext, ReasonUnknown, ReasonExpired, ReasonScope, ReasonSkew, ReasonSignature, ReasonSession, ReasonCSRF, ReasonNetwork}

// Names of AWS's exceptions (security reference of AWS front ends, as recorded by third
// parties).
const (
	missingToken        = "MissingAuthenticationTokenException"
	incompleteSignature = "IncompleteSignatureException"
	invalidSignature    = "InvalidSignatureException"
	unrecognizedClient  = "UnrecognizedClientException"
	expiredToken        = "ExpiredTokenException"
)

const (
	textMismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	textUnknown  = "The security token included in the request is invalid."
	textExpired  = "The security token included in the request is expired"
	textMissing  = "Missing Authentication Token"
)

func incomplete(format string, args ...any) error {
	return &identity.Failure{Exception: incompleteSignature, Reason: ReasonMalformed, Message: fmt.Sprintf(format, args...)}
}

func invalid(reason, format string, args ...any) error {
	return &identity.Failure{Exception: invalidSignature, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func mismatch() error { return invalid(ReasonSignature, textMismatch) }

// refusal turns an error of identity.Credentials into a Failure. Other kinds than
// KindDenied stay as they are.
func refusal(err error) error {
	switch {
	case errors.Is(err, identity.ErrExpired):
		return &identity.Failure{Exception: expiredToken, Reason: ReasonExpired, Message: textExpired}
	case errors.Is(err, identity.ErrUnknown), trace.KindOf(err) == trace.KindDenied:
		return &identity.Failure{Exception: unrecognizedClient, Reason: ReasonUnknown, Message: textUnknown}
	}
	return err
}
