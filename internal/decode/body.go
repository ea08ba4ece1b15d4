package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

// SerializationError says that a request body is not JSON, or holds a value of a type
// that the API model does not allow. The API answers SerializationException.
type SerializationError struct{ Message string }

// Error returns the message for the client.
func (e *SerializationError) Error() string { return e.Message }

// Body splits a PutTraceSegments request, {"TraceSegmentDocuments": ["…"]}, into
// documents: unescaped copies that the caller owns. docs is nil if the member or the
// request is missing or null, and empty for an empty list. The error is a
// *SerializationError.
func Body(body []byte) (docs [][]byte, err error) {
	r := jsonscan.NewReader(body)
	kind := r.Kind()
	var buf []byte // of all documents, also if the member occurs twice
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
				buf = make([]byte, 0, len(body)) // unescaping never lengthens
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

// NotA words the error for a value of a wrong type as AWS's framework does; wanted is "a
// String", for example. Two texts were recorded from X-Ray itself (a number instead of a
// text, a text instead of a time), the others from services on the same framework.
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
