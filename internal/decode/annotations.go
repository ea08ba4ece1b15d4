package decode

import (
	"slices"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// annotations reads the annotations that X-Ray indexes: strings, numbers and bools.
// Other values remain in the document's text only.
func (d *documentReader) annotations() []trace.Annotation {
	const few = 32 // up to here a linear search beats a map
	out := d.memory.Scratch[:0]
	var places map[string]int
	for more := d.Object(); more; more = d.NextMember() {
		key := d.Name()
		value, ok := d.annotation()
		place := -1
		if places != nil {
			if p, found := places[string(key)]; found {
				place = p
			}
		} else {
			place = slices.IndexFunc(out, func(a trace.Annotation) bool { return a.Key == string(key) })
		}
		switch {
		case place >= 0:
			out[place].Value = value // its kind is 0 if it is not indexed
		case ok:
			out = append(out, trace.Annotation{Key: view(key), Value: value})
			if places != nil {
				places[out[len(out)-1].Key] = len(out) - 1
			} else if len(out) == few {
				places = make(map[string]int)
				for i, a := range out {
					places[a.Key] = i
				}
			}
		}
	}
	d.memory.Scratch = out
	return d.memory.Annotations(slices.DeleteFunc(out, func(a trace.Annotation) bool { return a.Value.Kind == 0 }))
}

// annotation reads one value; ok is false if X-Ray does not index it.
func (d *documentReader) annotation() (value trace.Value, ok bool) {
	v := d.Skip()
	switch v.Kind() {
	case jsonscan.String:
		return trace.Value{Kind: trace.StringValue, String: keep(v)}, true
	case jsonscan.Bool:
		return trace.Value{Kind: trace.BoolValue, Bool: v.Bool()}, true
	case jsonscan.Number:
		if f, ok := v.Float(); ok {
			return trace.Value{Kind: trace.NumberValue, Number: f}, true
		}
	}
	return trace.Value{}, false
}
