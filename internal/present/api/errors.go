package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// exception is an error in the form of the API. Modelled exceptions (X-Ray API
// model) have their text in "Message", those of the framework in "message".
type exception struct {
	status   int
	name     string
	message  string
	modelled bool
}

func (e *exception) Error() string { return e.message }

func (e *exception) body() any {
	if e.modelled {
		return struct{ Message string }{e.message}
	}
	return struct {
		Message string `json:"message"`
	}{e.message}
}

// toException converts errors to exceptions; no other function does. Its own texts were
// not recorded.
func toException(err error) *exception {
	var e *exception
	var s *decode.SerializationError
	var syntax *filter.SyntaxError
	var ke *trace.KindError
	var damaged *query.DamagedError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &s):
		return &exception{http.StatusBadRequest, "SerializationException", s.Message, false}
	case errors.As(err, &syntax):
		return &exception{http.StatusBadRequest, "InvalidRequestException", syntax.Error(), true}
	case errors.Is(err, context.Canceled):
		return &exception{499, "RequestCancelled", "the client went away", false}
	case errors.As(err, &damaged):
		return &exception{http.StatusInternalServerError, "InternalFailure", "what is kept of this trace is damaged; the status page and the log name the file", false}
	case !errors.As(err, &ke):
		return &exception{http.StatusInternalServerError, "InternalFailure", "internal failure; the log has the request id", false}
	}
	if f := identity.FailureOf(err); f != nil {
		return &exception{http.StatusForbidden, f.Exception, f.Message, false}
	}
	switch ke.Kind {
	case trace.KindInvalid, trace.KindConflict, trace.KindLimit:
		return &exception{http.StatusBadRequest, invalidName(err), ke.Message, true}
	case trace.KindNotFound:
		return &exception{http.StatusNotFound, "ResourceNotFoundException", ke.Message, true}
	case trace.KindDenied:
		return &exception{http.StatusForbidden, "AccessDeniedException", ke.Message, false}
	case trace.KindThrottled:
		return &exception{http.StatusTooManyRequests, "ThrottledException", ke.Message, true}
	case trace.KindTooLarge:
		return &exception{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", ke.Message, false}
	case trace.KindTimeout:
		return &exception{http.StatusRequestTimeout, "RequestTimeoutException", ke.Message, false}
	case trace.KindUnsupported:
		return &exception{http.StatusUnsupportedMediaType, "UnsupportedMediaTypeException", ke.Message, false}
	case trace.KindUnavailable:
		return &exception{http.StatusServiceUnavailable, "ServiceUnavailableException", ke.Message, false}
	}
	return &exception{http.StatusInternalServerError, "InternalFailure", "internal failure; the log has the request id", false}
}

// encode writes an answer without escaping <, > and &, and without a line feed.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// parse reads a validated request body into a shape. An error is a mistake in the shape,
// not in the request, because the body was validated.
func parse(body []byte, into any) error {
	if len(body) == 0 {
		return nil
	}
	return json.Unmarshal(body, into)
}
