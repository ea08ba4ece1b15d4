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
	"strings"

	"github.com/fluoro-io/fluoro/internal/audit"
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
	note(r.Context(), body)
	out, err := e.call(r.Context(), body)
	if err != nil {
		e.Refuse(w, r, err)
		return
	}
	noteAnswer(r.Context(), out)
	answer(w, http.StatusOK, out)
}

// Refuse answers with an error.
func (e *Endpoint) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	status, message := Status(err), err.Error()
	var ke *trace.KindError
	if errors.As(err, &ke) {
		message = ke.Message // causes are for logs
	}
	audit.Of(r.Context()).Fail(codes[status], message)
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

// noteAnswer records the names and ids in the answer to a change, such as the id of a new
// key. Secrets have other names.
func noteAnswer(ctx context.Context, out any) {
	d := audit.Of(ctx)
	if !d.Changes() {
		return
	}
	b, err := json.Marshal(out)
	if err != nil {
		return
	}
	if values := known(audit.Camel(b)); len(values) > 0 {
		d.Respond(values)
	}
}

// known returns the members of an object and of objects in it that are recorded.
func known(v map[string]any) map[string]any {
	out := map[string]any{}
	for name, value := range v {
		if inner, ok := value.(map[string]any); ok {
			if inner = known(inner); len(inner) > 0 {
				out[name] = inner
			}
		} else if recorded[strings.ToLower(name)] {
			out[name] = value
		}
	}
	return out
}

// codes are the error codes of records, as the X-Ray API names them.
var codes = map[int]string{
	http.StatusBadRequest: "InvalidRequestException", http.StatusForbidden: "AccessDenied", http.StatusNotFound: "ResourceNotFoundException",
	http.StatusConflict: "ConflictException", http.StatusTooManyRequests: "ThrottledException", http.StatusServiceUnavailable: "ServiceUnavailableException",
	http.StatusRequestEntityTooLarge: "RequestEntityTooLargeException", http.StatusRequestTimeout: "RequestTimeoutException",
	http.StatusUnsupportedMediaType: "UnsupportedMediaTypeException", http.StatusInternalServerError: "InternalFailure",
}

// recorded lists the members of requests that are recorded, in lower case: names and
// choices. Everything else could be a secret or a document. Handlers may record more.
var recorded = map[string]bool{
	"account": true, "accounts": true, "name": true, "user": true, "username": true, "role": true, "rolename": true, "group": true, "groupname": true,
	"policy": true, "policyname": true, "policyarn": true, "arn": true, "id": true, "keyid": true, "accesskeyid": true, "kind": true, "status": true,
	"scopes": true, "expires": true, "limits": true, "quota": true, "region": true, "dryrun": true, "dry_run": true, "trace": true, "traces": true,
	"ids": true, "filter": true, "start": true, "end": true, "reason": true, "annotation": true, "rule": true, "detector": true, "type": true,
	"policydocument": true, "assumerolepolicydocument": true, "permissionsboundary": true, "versionid": true, "path": true, "description": true,
	"state": true, "identifier": true, "sinkidentifier": true, "labeltemplate": true, "resourcetypes": true, "seconds": true, "rate": true, "key_file": true,
	"setasdefault": true, "userid": true, "roleid": true, "groupid": true, "policyid": true, "tokenid": true, "certificateid": true, "createdate": true,
}

// note records the parameters of a request.
func note(ctx context.Context, body []byte) {
	d := audit.Of(ctx)
	if d == nil {
		return
	}
	values := audit.Camel(body)
	for name := range values {
		if !recorded[strings.ToLower(name)] {
			delete(values, name)
		}
	}
	d.Request(values)
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
