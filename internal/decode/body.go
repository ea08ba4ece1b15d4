package decode

import (
	"fmt"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

// SerializationError is a request body that is not JSON, or holds a value of
// another type than the API model says. The API answers it with
// SerializationException.
type SerializationError struct{ Message string }

// Error is the message for the client.
func (e *SerializationError) Error() string { return e.Message }

// Body takes a PutTraceSegments request apart: {"TraceSegmentDocuments": ["…"]}.
// The documents are unescaped copies that the caller owns; docs is nil when the
// member is missing or null, and empty for an empty list. The error is a
// *SerializationError.
func Body(body []byte) (docs [][]byte, err error) {
	v, err := jsonscan.Parse(body)
	if err != nil {
		return nil, &SerializationError{"request body is not JSON: " + err.Error()}
	}
	if v.Kind() != jsonscan.Object {
		return nil, &SerializationError{"request body must be a JSON object"}
	}
	list := v.Get("TraceSegmentDocuments")
	switch list.Kind() {
	case jsonscan.Missing, jsonscan.Null:
		return nil, nil
	case jsonscan.Array:
	default:
		return nil, &SerializationError{"Expected list or null"}
	}
	docs = [][]byte{}
	// One buffer for all documents: unescaping never lengthens.
	buf := make([]byte, 0, len(list))
	for e := range list.Elements() {
		if e.Kind() != jsonscan.String {
			return nil, &SerializationError{notAString(e)}
		}
		start := len(buf)
		buf = jsonscan.AppendUnquoted(buf, e[1:len(e)-1])
		docs = append(docs, buf[start:len(buf):len(buf)])
	}
	return docs, nil
}

// notAString words a list element of the wrong type as the native service does.
func notAString(v jsonscan.Value) string {
	name := map[jsonscan.Kind]string{
		jsonscan.Object: "START_OBJECT", jsonscan.Array: "START_ARRAY", jsonscan.Number: "NUMBER_VALUE", jsonscan.Null: "NULL_VALUE", jsonscan.Bool: "FALSE_VALUE",
	}[v.Kind()]
	if v.Bool() {
		name = "TRUE_VALUE"
	}
	return fmt.Sprintf("%s can not be converted to a String", name)
}
