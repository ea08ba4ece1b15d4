// Package manage serves the management API: POST /api/SUBJECT/VERB with one JSON object,
// answered with JSON. Its errors are {"error":{"message":"…"}} with the status that their
// kind has, and "code" beside the message if AWS has a name for the error. Every verb is a row of the route table, with an action of its own.
package manage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Endpoint serves one verb.
type Endpoint struct {
	limit int64
	call  func(ctx context.Context, body []byte) (any, error)
}

// Verb makes the endpoint of a verb. limit bounds the body in bytes. An empty body is an
// empty object; unknown members, and a second value, are refused. call finds the identity
// of the request in its context.
func Verb[Q any](limit int64, call func(ctx context.Context, q *Q) (any, error)) *Endpoint {
	return &Endpoint{limit, func(ctx context.Context, body []byte) (any, error) {
		q := new(Q)
		if len(bytes.TrimSpace(body)) > 0 {
			in := json.NewDecoder(bytes.NewReader(body))
			in.DisallowUnknownFields()
			if err := in.Decode(q); err != nil {
				return nil, trace.Errorf(trace.KindInvalid, "the body is not valid: %v", err)
			}
			if _, err := in.Token(); !errors.Is(err, io.EOF) {
				return nil, trace.Errorf(trace.KindInvalid, "the body is not valid: there is more than one value")
			}
		}
		return call(ctx, q)
	}}
}

// ServeHTTP answers one request.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, e.limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		err = trace.Errorf(trace.KindTooLarge, "the body is larger than %d bytes", e.limit)
	case err != nil && trace.KindOf(err) == trace.KindInternal:
		err = trace.Errorf(trace.KindInvalid, "the body could not be read: %v", err)
	}
	if err != nil {
		e.Refuse(w, r, err)
		return
	}
	out, err := e.call(r.Context(), body)
	if err != nil {
		e.Refuse(w, r, err)
		return
	}
	answer(w, http.StatusOK, out)
}

// Refuse answers with an error.
func (e *Endpoint) Refuse(w http.ResponseWriter, _ *http.Request, err error) {
	status, message := Status(err), err.Error()
	var ke *trace.KindError
	if errors.As(err, &ke) {
		message = ke.Message // causes are for logs
	}
	problem := map[string]string{"message": message}
	if named, ok := errors.AsType[coded](err); ok {
		problem["code"] = named.Code()
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	answer(w, status, map[string]any{"error": problem})
}

// coded is an error that has a name in one of AWS's APIs, such as NoSuchEntity.
type coded interface {
	error
	Code() string
}

// Status returns the HTTP status of an error.
func Status(err error) int {
	switch trace.KindOf(err) {
	case trace.KindInvalid, trace.KindLimit:
		return http.StatusBadRequest
	case trace.KindDenied:
		if identity.FailureOf(err) != nil {
			return http.StatusUnauthorized
		}
		return http.StatusForbidden
	case trace.KindNotFound:
		return http.StatusNotFound
	case trace.KindConflict:
		return http.StatusConflict
	case trace.KindThrottled:
		return http.StatusTooManyRequests
	case trace.KindUnavailable:
		return http.StatusServiceUnavailable
	case trace.KindTooLarge:
		return http.StatusRequestEntityTooLarge
	case trace.KindTimeout:
		return http.StatusRequestTimeout
	case trace.KindUnsupported:
		return http.StatusUnsupportedMediaType
	}
	return http.StatusInternalServerError
}

func answer(w http.ResponseWriter, status int, out any) {
	b, err := json.Marshal(out)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":{"message":"the answer could not be written as JSON"}}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client may be gone
}
