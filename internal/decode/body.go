package decode

import (
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
// member is missing or null, or the request is; empty for an empty list. The error is a
// *SerializationError.
func Body(body []byte) (docs [][]byte, err error) {
	r := jsonscan.NewReader(body)
	kind := r.Kind()
	var buf []byte // for all documents, also when the member is there twice
	var wrong string
	for more := r.Object(); more; more = r.NextMember() {
		if string(r.Name()) != "TraceSegmentDocuments" {
			r.Skip()
			continue
		}
		docs, wrong = nil, ""
		switch r.Kind() {
		case jsonscan.Array:
			docs = [][]byte{}
			if buf == nil {
				buf = make([]byte, 0, len(body)) // unescaped it is no longer
			}
		case jsonscan.Null:
		default:
			wrong = NotA("a List", r.Skip())
			continue
		}
		for more := r.Array(); more; more = r.NextElement() {
			if r.Kind() != jsonscan.String {
				if v := r.Skip(); wrong == "" {
					wrong = NotA("a String", v)
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
		return nil, &SerializationError{"request body is not JSON: " + err.Error()} // not recorded
	case kind == jsonscan.Array:
		return nil, &SerializationError{NotA("a Structure", jsonscan.Value("[]"))} // not recorded
	case kind != jsonscan.Object && kind != jsonscan.Null:
		return nil, &SerializationError{"request body must be a JSON object"} // not recorded
	case wrong != "":
		return nil, &SerializationError{wrong}
	}
	return docs, nil
}

// NotA words a value of the wrong type as AWS's framework does; wanted is "a
// String", say. Of X-Ray itself the texts for a number in place of a text and for
// a text in place of a time are known, the others from services on the same
// framework.
func NotA(wanted string, v jsonscan.Value) string {
	switch kind := v.Kind(); {
	case kind == jsonscan.Array:
		return "Start of list found where not expected"
	case kind == jsonscan.Object:
		return "Start of structure or map found where not expected."
	case wanted == "a List":
		return "Expected list or null"
	case wanted == "a Map":
		return "Expected map or null"
	case wanted == "a Structure":
		return "Expected null"
	}
	token := map[jsonscan.Kind]string{jsonscan.String: "STRING_VALUE", jsonscan.Number: "NUMBER_VALUE", jsonscan.Null: "NULL_VALUE", jsonscan.Bool: "FALSE_VALUE"}[v.Kind()]
	if v.Bool() {
		token = "TRUE_VALUE"
	}
	return token + " can not be converted to " + wanted
}
