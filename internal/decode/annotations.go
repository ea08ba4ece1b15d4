package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// decodeAnnotations reads the annotations that are indexed: strings, numbers and
// bools. Other values stay in the document's text alone.
func decodeAnnotations(v jsonscan.Value) (out []trace.Annotation) {
	for name, m := range v.Members() {
		var value trace.Value
		switch m.Kind() {
		case jsonscan.String:
			value = trace.Value{Kind: trace.StringValue, String: m.Text()}
		case jsonscan.Bool:
			value = trace.Value{Kind: trace.BoolValue, Bool: m.Bool()}
		case jsonscan.Number:
			f, ok := m.Float()
			if !ok {
				continue
			}
			value = trace.Value{Kind: trace.NumberValue, Number: f}
		default:
			continue
		}
		out = append(out, trace.Annotation{Key: jsonscan.Unquote(name), Value: value})
	}
	return out
}
