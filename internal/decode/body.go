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
	r := jsonscan.NewReader(body)
	isObject := r.Kind() == jsonscan.Object
	var buf []byte // for all documents, also when the member is there twice
	var wrong string
	for more := r.Object(); more; more = r.NextMember() {
		if string(r.Name()) != "TraceSegmentDocuments" {
			r.Skip()
			continue
		}
		docs, wrong = nil, ""
		switch kind := r.Kind(); kind {
		case jsonscan.Array:
			docs = [][]byte{}
		case jsonscan.Null:
		default:
			wrong = "Expected list or null"
		}
		for more := r.Array(); more; more = r.NextElement() {
			if r.Kind() != jsonscan.String {
				if v := r.Skip(); wrong == "" {
					wrong = notAString(v)
				}
				continue
			}
			start := len(buf)
			buf = r.AppendText(buf)
			docs = append(docs, buf[start:len(buf):len(buf)])
		}
	}
	switch err := r.End(); {
	case err != nil:
		return nil, &SerializationError{"request body is not JSON: " + err.Error()}
	case !isObject:
		return nil, &SerializationError{"request body must be a JSON object"}
	case wrong != "":
		return nil, &SerializationError{wrong}
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
