// Package iam is the directory of principals: users, groups, roles, their credentials and
// policies (AWS Identity and Access Management), and the temporary credentials of roles
// (AWS Security Token Service). It keeps them as control-plane records, in the account to
// which they belong.
//
// Requests are answered from a [snapshot] of an account's records in memory. A change in
// this process makes the next request read them again; a change by another process is
// seen within [freshFor].
package iam

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/access"
	"github.com/fluoro-io/fluoro/internal/lru"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Kinds of the records (docs/format/meta.md).
const (
	kindUser     meta.Kind = "iam-user"
	kindGroup    meta.Kind = "iam-group"
	kindRole     meta.Kind = "iam-role"
	kindPolicy   meta.Kind = "iam-policy"
	kindKey      meta.Kind = "access-key"
	kindToken    meta.Kind = "token"
	kindProvider meta.Kind = "oidc-provider"
	kindVersion  meta.Kind = "iam-version"
	kindLastUsed meta.Kind = "last-used"

	// These belong to the whole server.
	kindAccount      meta.Kind = "iam-account"
	kindCertificate  meta.Kind = "client-certificate"
	kindOrganization meta.Kind = "organization"
	kindSessionKey   meta.Kind = "session-key"
)

// system is the owner of the records that belong to the whole server.
const system = seal.System

// Code is the name of an error, as in AWS's IAM and STS APIs. Codes are the causes of
// KindErrors.
type Code string

// Error returns the name.
func (c Code) Error() string { return string(c) }

// Code returns the name.
func (c Code) Code() string { return string(c) }

// The codes of errors (IAM and STS API references).
const (
	NoSuchEntity            Code = "NoSuchEntity"
	EntityAlreadyExists     Code = "EntityAlreadyExists"
	LimitExceeded           Code = "LimitExceeded"
	DeleteConflict          Code = "DeleteConflict"
	MalformedPolicyDocument Code = "MalformedPolicyDocument"
	InvalidInput            Code = "InvalidInput"
	ValidationError         Code = "ValidationError"
	AccessDenied            Code = "AccessDenied"
	PackedPolicyTooLarge    Code = "PackedPolicyTooLarge"
	InvalidIdentityToken    Code = "InvalidIdentityToken"
	ExpiredToken            Code = "ExpiredTokenException"
	IDPCommunicationError   Code = "IDPCommunicationError"
	IDPRejectedClaim        Code = "IDPRejectedClaim"
)

// kinds maps codes to the kinds of errors; KindInvalid if absent.
var kinds = map[Code]trace.Kind{
	NoSuchEntity: trace.KindNotFound, EntityAlreadyExists: trace.KindConflict, LimitExceeded: trace.KindLimit,
	DeleteConflict: trace.KindConflict, AccessDenied: trace.KindDenied, IDPRejectedClaim: trace.KindDenied,
}

// fail makes an error.
func fail(c Code, format string, args ...any) error {
	e := trace.Errorf(kinds[c], format, args...)
	var ke *trace.KindError
	if kinds[c] == trace.KindInternal {
		e = trace.Errorf(trace.KindInvalid, format, args...)
	}
	if errors.As(e, &ke) {
		ke.Err = c
	}
	return e
}

// Options are the parts of a Directory.
type Options struct {
	Records meta.Store
	// Secrets seals secrets, under keys of the whole server: the credentials of an account must
	// work even if the account's own key is disabled, to choose another one.
	Secrets seal.Keys
	// Region is the region of every principal's data.
	Region string
	// Management is the server's own account, --account.
	Management trace.Account
	Now        func() time.Time // time.Now if nil
	Logger     *slog.Logger     // none if nil
	// Assume decides whether a role may be assumed (access.Access.Assume).
	Assume func(access.Assumption) error
	// Forget deletes what other packages keep about a user, in the transaction that deletes
	// the user; nil: nothing.
	Forget func(tx meta.Tx, u *User) error
	// Transport reaches the issuers of web identities; http.DefaultTransport if nil.
	Transport http.RoundTripper
}

// Directory keeps principals. All methods may be called by many goroutines at once.
type Directory struct {
	Options

	accounts registry
	mu       sync.Mutex
	loading  map[trace.Account]*load
	loaded   *lru.Cache[trace.Account, *snapshot]
	sessions *lru.Cache[string, *opened]
	issuers  issuers
	uses     uses
	signing  signing
}

// Limits of memory. A snapshot counts as the JSON of its records; caches ignore larger
// values, so a snapshot counts as at most maxSnapshot.
const (
	snapshotBytes = 64 << 20
	maxSnapshot   = 16 << 20
	sessionBytes  = 8 << 20
)

// New makes a Directory.
func New(o Options) *Directory {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	d := &Directory{
		Options: o, loading: map[trace.Account]*load{}, uses: uses{pending: map[string]use{}},
		loaded:   lru.New[trace.Account, *snapshot](snapshotBytes, snapshotBytes),
		sessions: lru.New[string, *opened](sessionBytes, sessionBytes/16),
	}
	d.issuers.transport = o.Transport
	return d
}

// sealed encrypts a secret for its record. binding says which record: no other opens it.
func (d *Directory) sealed(ctx context.Context, purpose, binding string, secret []byte) ([]byte, error) {
	return seal.SealRecord(ctx, d.Secrets, seal.System, purpose, []byte(binding), secret)
}

// unsealed decrypts a secret.
func (d *Directory) unsealed(ctx context.Context, purpose, binding string, sealed []byte) ([]byte, error) {
	return seal.OpenRecord(ctx, d.Secrets, seal.System, purpose, []byte(binding), sealed)
}

// The purposes of sealed secrets.
const (
	purposeKey     = "access key"
	purposeSession = "session key"
)

// ARN names a resource of IAM, such as "user/alice" or "role/ci/deploy".
func ARN(account trace.Account, resource string) string {
	return "arn:aws:iam::" + string(account) + ":" + resource
}

// get reads a record by a name that is not distinguished by case.
func get(tx meta.Tx, kind meta.Kind, name string, into any) (bool, error) {
	if name == "" {
		return false, nil
	}
	return tx.Get(kind, folded(name), into)
}

// list decodes all records of a kind.
func list[T any](tx meta.Tx, kind meta.Kind, each func(name string, r T) error) error {
	return tx.List(kind, func(name string, value json.RawMessage) error {
		var r T
		if err := json.Unmarshal(value, &r); err != nil {
			return &trace.KindError{Kind: trace.KindUnavailable, Message: "the " + string(kind) + " " + name + " cannot be decoded", Err: err}
		}
		return each(name, r)
	})
}
