package trace

import (
	"errors"
	"fmt"
)

// Kind classifies an error, so that each protocol can answer in its own form. Only
// package api turns kinds into exception names.
type Kind uint8

// The kinds of error.
const (
	KindInternal    Kind = iota // our own fault
	KindInvalid                 // the request is invalid
	KindNotFound                // it names something that does not exist
	KindConflict                // it contradicts what is stored
	KindDenied                  // the caller has no permission
	KindThrottled               // too much at once; try later
	KindLimit                   // over a fixed limit
	KindUnavailable             // not possible now: disk full, shutting down
	KindTooLarge                // it needs more memory than there will ever be
	KindTimeout                 // it did not arrive in time
	KindUnsupported             // its format is not supported
)

// KindError is an error whose kind a protocol may tell its client, with a message
// written for that client.
type KindError struct {
	Kind    Kind
	Message string
	Err     error // the cause, for logs; may be nil
}

// Error returns the message for the client.
func (e *KindError) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *KindError) Unwrap() error { return e.Err }

// Errorf makes a KindError.
func Errorf(k Kind, format string, args ...any) error {
	return &KindError{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of the first KindError in err's chain, KindInternal if
// there is none.
func KindOf(err error) Kind {
	if ke, ok := errors.AsType[*KindError](err); ok {
		return ke.Kind
	}
	return KindInternal
}
