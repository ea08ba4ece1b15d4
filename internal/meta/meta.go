// Package meta keeps control-plane records: groups, sampling rules, resource
// policies, tags, settings. A record is a JSON value with a kind and a name; only
// the package that writes it knows its meaning. Engines live below (SQLite today,
// PostgreSQL for clusters later); each passes the suite in metatest.
package meta

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Kind tells what a record describes: "group", "sampling-rule" …
type Kind string

// Limits that every engine enforces with KindInvalid.
const (
	MaxName  = 2048    // bytes of a name
	MaxValue = 1 << 20 // bytes of a record's JSON
)

// Store keeps records. All methods may be called by many goroutines at once. Every
// call names an account and sees only that account's records. Calls after Close, and
// calls that an engine cannot serve (disk full, damaged file), fail with
// KindUnavailable and the reason.
type Store interface {
	// View runs f over one consistent state of the account's records. It returns f's
	// error, or a read error.
	View(ctx context.Context, account trace.Account, f func(Tx) error) error

	// Update runs f, never at the same time as another update of the account, and
	// commits everything that f wrote, durably, if f returns nil; otherwise nothing.
	// f may run more than once and must have no other effect. It returns f's error,
	// or KindUnavailable if nothing can be written.
	Update(ctx context.Context, account trace.Account, f func(Tx) error) error

	// Close releases the store. Closing twice does nothing.
	Close() error
}

// Unavailable returns a store that answers every call with the error that opening
// the real store returned.
func Unavailable(err error) Store { return unavailable{err} }

type unavailable struct{ err error }

func (u unavailable) View(context.Context, trace.Account, func(Tx) error) error { return u.fail() }

func (u unavailable) Update(context.Context, trace.Account, func(Tx) error) error { return u.fail() }

func (u unavailable) Close() error { return nil }

func (u unavailable) fail() error { return trace.Errorf(trace.KindUnavailable, "%v", u.err) }

// Tx reads and writes the records of one account. It is valid until the function
// that received it returns.
type Tx interface {
	// Get decodes a record into a value and reports whether it exists.
	Get(kind Kind, name string, into any) (found bool, err error)

	// List calls each with every record of a kind, in byte order of their names,
	// except damaged ones, until it returns an error, which List returns. Writes by
	// each do not change the list. Values may be kept.
	List(kind Kind, each func(name string, value json.RawMessage) error) error

	// Put writes a record and replaces the record with the same name. A View refuses
	// it. A name is 1 to MaxName bytes of UTF-8 without NUL.
	Put(kind Kind, name string, value any) error

	// Delete removes a record and reports whether it existed. A View refuses it.
	Delete(kind Kind, name string) (found bool, err error)
}

// Encode makes a record's JSON and validates it and its name against the contract.
// Engines call it.
func Encode(kind Kind, name string, value any) ([]byte, error) {
	switch {
	case kind == "":
		return nil, trace.Errorf(trace.KindInternal, "a record needs a kind")
	case name == "" || len(name) > MaxName:
		return nil, trace.Errorf(trace.KindInvalid, "name of a %s has %d bytes: want 1 to %d", kind, len(name), MaxName)
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return nil, trace.Errorf(trace.KindInvalid, "name of a %s must be UTF-8 without NUL: %.50q", kind, name)
	}
	b, err := json.Marshal(value)
	if err != nil {
		return nil, &trace.KindError{Kind: trace.KindInternal, Message: "a " + string(kind) + " cannot be written as JSON", Err: err}
	}
	if len(b) > MaxValue {
		return nil, trace.Errorf(trace.KindInvalid, "%s %.50q has %d bytes: at most %d can be kept", kind, name, len(b), MaxValue)
	}
	return b, nil
}
