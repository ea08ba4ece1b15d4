package decode

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	resourcePrefix = "otel.resource."
	metadataPrefix = "aws.xray.metadata."
)

// indexes says whether the document can have annotations at all.
func (m *Mapper) indexes(d *mapped) bool {
	return m.options.IndexAllAttributes || len(m.indexed) > 0 || d.span.has(keyAWSXRayAnnotations)
}

// named is the set of names in the span's aws.xray.annotations.
func (s *span) named() map[string]bool {
	v := s.get(keyAWSXRayAnnotations)
	if v == nil || v.kind != arrayValue {
		return nil
	}
	out := make(map[string]bool)
	// The message was checked when it was received.
	_ = eachElement(v.data, func(e *anyValue) error {
		if e.kind == stringValue {
			out[e.str()] = true
		}
		return nil
	}, 1)
	return out
}

// eachAnnotation calls do for each annotation of the document, those of the
// resource first. A name may come twice: then the last one counts.
func (m *Mapper) eachAnnotation(d *mapped, do func(name string, v *anyValue)) {
	m.eachAttribute(d, func(name string, v *anyValue, use attributeUse) {
		if use == useAnnotation {
			do(m.annotationKey(name), v)
		}
	})
}

// attributeUse is what becomes of an attribute.
type attributeUse uint8

const (
	useMetadata attributeUse = iota
	useAnnotation
	useNamespace // a metadata namespace of its own
)

// eachAttribute decides for each attribute that no other block has taken what
// becomes of it; those that are lost are left out.
func (m *Mapper) eachAttribute(d *mapped, do func(name string, v *anyValue, use attributeUse)) {
	all := m.options.IndexAllAttributes
	named := d.span.named()
	if d.storeResource {
		for i := range d.res.list {
			a := &d.res.list[i]
			name := resourcePrefix + a.name()
			if a.value.isScalar() && (all || m.indexed[name] || named[name]) {
				do(name, &a.value, useAnnotation)
			} else if a.value.kind != emptyValue {
				do(name, &a.value, useMetadata)
			}
		}
	}
	for i := range d.span.list {
		a := &d.span.list[i]
		name := a.name()
		index := m.indexed[name]
		if m.native() {
			index = index || named[name]
		}
		if !d.keeps(a.key) || m.consumes(d, a) && !index {
			continue
		}
		index = all || index || named[name]
		switch {
		case index && a.value.isScalar():
			do(name, &a.value, useAnnotation)
		case index && !m.native() || a.value.kind == emptyValue:
			// The collector loses what it shall index and cannot.
		case a.value.kind == stringValue && strings.HasPrefix(name, metadataPrefix):
			do(name, &a.value, useNamespace)
		default:
			do(name, &a.value, useMetadata)
		}
	}
}

// keeps says whether an attribute can be part of the document at all.
func (d *mapped) keeps(k key) bool {
	switch k {
	case keyEnduserID:
		return false // is the user
	case keyAWSXRayAnnotations:
		return d.span.get(k).kind != arrayValue
	case keyAWSRemoteService, keyAWSRemoteOperation, keyRemoteTarget, keyK8sRemoteNamespace:
		return d.part == 0
	}
	return true
}

// consumes says whether another block of the document shows the attribute. The
// collector drops some attributes that no block shows; the native profile keeps
// those in the metadata.
func (m *Mapper) consumes(d *mapped, a *attr) bool {
	switch k := a.key; {
	case k == keyOther:
		return false
	case m.native() && (k == keyHTTPStatusCode || k == keyHTTPResponseStatusCode):
		return d.http.showsStatus(&a.value)
	case m.native() && k <= lastHTTPKey:
		return d.http.present && showsHTTP(k)
	case k <= lastHTTPKey:
		return true
	case k <= lastAWSKey:
		return !m.native() || d.aws.present
	case k <= lastSQLKey:
		return d.sql.present
	case k == keyHTTPStatusText:
		return d.span.status == statusError && !d.eventCaused
	case k == keyAWSXRayInProgress:
		return d.inProgress && a.value.kind == boolValue
	case k == keyDBQueryText:
		return m.native() && d.sql.present && d.sql.query == a.value.str()
	}
	return false
}

// showsHTTP says whether an http block holds the attribute as it is.
func showsHTTP(k key) bool {
	switch k {
	case keyHTTPMethod, keyHTTPRequestMethod, keyHTTPUserAgent, keyUserAgentOriginal, keyHTTPURL, keyURLFull, keyHTTPClientIP:
		return true
	}
	return false
}

// annotationKey writes _ for the characters that X-Ray's keys cannot have.
func (m *Mapper) annotationKey(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case '0' <= r && r <= '9', 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', r == '.' && !m.options.ReplaceDots:
			return r
		}
		return '_'
	}, name)
}

// annotation is a scalar as the value of an annotation.
func (v *anyValue) annotation() trace.Value {
	switch v.kind {
	case boolValue:
		return trace.Value{Kind: trace.BoolValue, Bool: v.num != 0}
	case intValue:
		return trace.Value{Kind: trace.NumberValue, Number: float64(int64(v.num))}
	case doubleValue:
		return trace.Value{Kind: trace.NumberValue, Number: v.double()}
	}
	return trace.Value{Kind: trace.StringValue, String: v.str()}
}

// asText is the value as a string of any type.
func (v *anyValue) asText() string {
	switch v.kind {
	case emptyValue:
		return ""
	case stringValue:
		return v.str()
	case bytesValue:
		return base64.StdEncoding.EncodeToString(v.data)
	}
	return string(v.appendJSON(nil))
}

// appendJSON appends the value as JSON. Numbers that JSON does not have become
// strings, as in OTLP/JSON; bytes become base64.
func (v *anyValue) appendJSON(b []byte) []byte {
	switch v.kind {
	case stringValue:
		return jsonscan.AppendString(b, v.str())
	case boolValue:
		return strconv.AppendBool(b, v.num != 0)
	case intValue:
		return strconv.AppendInt(b, int64(v.num), 10)
	case doubleValue:
		return appendFloat(b, v.double())
	case bytesValue:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.data)
		return append(b, '"')
	case arrayValue:
		b = append(b, '[')
		// The message was checked when it was received.
		_ = eachElement(v.data, func(e *anyValue) error {
			b = e.appendJSON(separate(b))
			return nil
		}, 1)
		return append(b, ']')
	case mapValue:
		var o object
		_ = eachMember(v.data, func(name string, e *anyValue) error {
			o.add(name, e)
			return nil
		}, 1)
		return o.appendJSON(b)
	}
	return append(b, "null"...)
}

func appendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	case f != 0 && (math.Abs(f) < 1e-6 || math.Abs(f) >= 1e21):
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// separate appends a comma unless b ends where an array or object opens.
func separate(b []byte) []byte {
	if c := b[len(b)-1]; c == '[' || c == '{' {
		return b
	}
	return append(b, ',')
}

// object collects the members of a JSON object: of those with the same name the
// last one counts.
type object struct {
	names  []string
	values [][]byte
	buffer []byte         // holds values
	at     map[string]int // position by name, once there are many
}

// manyMembers is from how many members on an object looks names up in a map.
const manyMembers = 24

// add sets a member to an attribute's value.
func (o *object) add(name string, v *anyValue) {
	start := len(o.buffer)
	o.buffer = v.appendJSON(o.buffer)
	o.set(name, o.buffer[start:len(o.buffer):len(o.buffer)])
}

func (o *object) set(name string, json []byte) {
	if i := o.find(name); i >= 0 {
		o.values[i] = json
		return
	}
	if o.at != nil {
		o.at[name] = len(o.names)
	}
	o.names, o.values = append(o.names, name), append(o.values, json)
}

// find is the position of a member, -1 if there is none.
func (o *object) find(name string) int {
	if len(o.names) < manyMembers {
		return slices.Index(o.names, name)
	}
	if o.at == nil {
		o.at = make(map[string]int, 2*len(o.names))
		for i, n := range o.names {
			o.at[n] = i
		}
	}
	if i, ok := o.at[name]; ok {
		return i
	}
	return -1
}

func (o *object) appendJSON(b []byte) []byte {
	b = append(b, '{')
	for i, name := range o.names {
		b = jsonscan.AppendString(separate(b), name)
		b = append(append(b, ':'), o.values[i]...)
	}
	return append(b, '}')
}
