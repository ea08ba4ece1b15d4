package identity

import (
	"context"
	"crypto/x509"
	"errors"
)

// Reasons why a credential does not identify anybody. They are the causes of KindDenied
// errors.
var (
	ErrUnknown = errors.New("the credential is unknown, disabled or deleted")
	ErrExpired = errors.New("the credential has expired")
)

// Credentials finds the principals of credentials. Implementations keep recent ones in
// memory, unknown ones included, so that a flood of requests does not reach the records.
// Many goroutines may call them at once. Errors: KindDenied with ErrUnknown or ErrExpired,
// KindUnavailable if the records cannot be read.
type Credentials interface {
	// AccessKey returns the secret of an access key and its principal. token is the
	// session token that the request carries, "" for none: temporary keys (ASIA…) need
	// theirs, long-term keys (AKIA…) must have none.
	AccessKey(ctx context.Context, id, token string) (secret string, p Principal, err error)
	// Bearer returns the principal of a bearer token and the actions to which the token
	// is limited, with * and ? as in policies; nil for no limit.
	Bearer(ctx context.Context, token string) (p Principal, scopes []string, err error)
	// Certificate returns the principal of a client certificate whose chain was verified.
	Certificate(ctx context.Context, c *x509.Certificate) (Principal, error)
	// Used notes that a principal's credential was used now, from an address. It never
	// waits for the disk.
	Used(p Principal, source string)
}
