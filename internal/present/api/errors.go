package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// exception is an error as the API answers it. Modelled exceptions (X-Ray API
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

// toException is the only place where kinds of error become exceptions.
func toException(err error) *exception {
	var e *exception
	var s *decode.SerializationError
	var syntax *filter.SyntaxError
	var ke *trace.KindError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &s):
		return &exception{http.StatusBadRequest, "SerializationException", s.Message, false}
	case errors.As(err, &syntax):
		return &exception{http.StatusBadRequest, "InvalidRequestException", syntax.Error(), true}
	case errors.Is(err, context.Canceled):
		return &exception{499, "RequestCancelled", "the client went away", false}
	case !errors.As(err, &ke):
		return &exception{http.StatusInternalServerError, "InternalFailure", "internal failure; the log has the request id", false}
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
	case trace.KindUnavailable:
		return &exception{http.StatusServiceUnavailable, "ServiceUnavailableException", ke.Message, false}
	case trace.KindUnbuilt:
		return &exception{http.StatusNotImplemented, "NotImplementedException", ke.Message, false}
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

// parse reads a request body into a shape; an empty body is an empty object.
// Unknown members are ignored, null is as good as absent.
func parse(body []byte, into any) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil
	}
	if body[0] != '{' && json.Valid(body) {
		return &decode.SerializationError{Message: "Expected structure or null"}
	}
	err := json.Unmarshal(body, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return &decode.SerializationError{Message: wrongType(wrong)}
	}
	return &decode.SerializationError{Message: "request body is not JSON: " + err.Error()}
}

// wrongType words a value of the wrong type as the native service does.
func wrongType(e *json.UnmarshalTypeError) string {
	have, _, _ := strings.Cut(e.Value, " ")
	token := map[string]string{"number": "NUMBER_VALUE", "string": "STRING_VALUE", "bool": "TRUE_VALUE", "array": "START_ARRAY", "object": "START_OBJECT"}[have]
	kind := reflect.Struct
	if e.Type != nil {
		kind = e.Type.Kind()
	}
	switch kind {
	case reflect.Slice:
		return "Expected list or null"
	case reflect.Struct, reflect.Map:
		return "Expected structure or null"
	case reflect.String:
		return fmt.Sprintf("%s can not be converted to a String", token)
	case reflect.Bool:
		return fmt.Sprintf("%s can not be converted to a Boolean", token)
	}
	return fmt.Sprintf("%s can not be converted to a Number", token)
}

// violations collects what a request breaks of the API model's constraints.
type violations []string

// add words one violation. value is shown in quotes, or null.
func (v *violations) add(value *string, path, constraint string) {
	shown := "null"
	if value != nil {
		shown = "'" + *value + "'"
	}
	*v = append(*v, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: Member must %s", shown, path, constraint))
}

// required checks that a member is there.
func (v *violations) required(there bool, path string) {
	if !there {
		v.add(nil, path, "not be null")
	}
}

// length checks a text that may be absent.
func (v *violations) length(value *string, path string, least, most int) {
	switch {
	case value == nil:
	case len([]rune(*value)) < least:
		v.add(value, path, fmt.Sprintf("have length greater than or equal to %d", least))
	case len([]rune(*value)) > most:
		v.add(value, path, fmt.Sprintf("have length less than or equal to %d", most))
	}
}

// enum checks a text that may be absent.
func (v *violations) enum(value *string, path string, allowed ...string) {
	if value == nil {
		return
	}
	for _, a := range allowed {
		if *value == a {
			return
		}
	}
	v.add(value, path, "satisfy enum value set: ["+strings.Join(allowed, ", ")+"]")
}

// least checks a number that may be absent.
func least[N ~int32 | ~float64](v *violations, value *N, path string, bound N) {
	if value != nil && *value < bound {
		text := fmt.Sprint(*value)
		v.add(&text, path, fmt.Sprintf("have value greater than or equal to %v", bound))
	}
}

// err is the ValidationException of all violations, nil if there are none.
func (v violations) err() error {
	switch len(v) {
	case 0:
		return nil
	case 1:
		return &exception{http.StatusBadRequest, "ValidationException", "1 validation error detected: " + v[0], false}
	}
	return &exception{http.StatusBadRequest, "ValidationException", fmt.Sprintf("%d validation errors detected: %s", len(v), strings.Join(v, "; ")), false}
}
