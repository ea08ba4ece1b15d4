package otlp

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Names of attributes begin with these: of resource attributes in a document, and of
// attributes that hold a metadata namespace.
const (
	ResourcePrefix = "otel.resource."
	MetadataPrefix = "aws.xray.metadata."
)

// indexes says whether the document can have annotations at all.
func (m *Mapper) indexes(d *Document) bool {
	return m.options.IndexAllAttributes || len(m.indexed) > 0 || d.Span.has(keyAWSXRayAnnotations)
}

// named returns the names that the span lists in aws.xray.annotations.
func (s *Span) named() map[string]bool {
	v := s.get(keyAWSXRayAnnotations)
	if v == nil || v.kind != arrayValue {
		return nil
	}
	out := make(map[string]bool)
	// The message was checked when it was received.
	_ = eachElement(v.data, func(e *Value) error {
		if e.kind == stringValue {
			out[e.Text()] = true
		}
		return nil
	}, 1)
	return out
}

// eachAnnotation calls do for each annotation of the document, those of the resource
// first. Of two with the same name the last counts.
func (d *Document) eachAnnotation(do func(name string, v *Value)) {
	d.EachAttribute(func(name string, v *Value, use Use) {
		if use == UseAnnotation {
			do(name, v)
		}
	})
}

// Use says where the document shows an attribute.
type Use uint8

// The places of an attribute.
const (
	UseMetadata   Use = iota // in the default namespace of the metadata
	UseAnnotation            // among the annotations
	UseNamespace             // as a metadata namespace of its own
)

// EachAttribute calls do for each attribute that no other block of the document shows,
// with the place where the document shows it. An annotation has the key that X-Ray
// allows.
func (d *Document) EachAttribute(do func(name string, v *Value, use Use)) {
	m := d.mapper
	all := m.options.IndexAllAttributes
	named := d.Span.named()
	if d.storeResource {
		for i := range d.res.list {
			a := &d.res.list[i]
			name := ResourcePrefix + a.Name()
			if a.Value.isScalar() && (all || m.indexed[name] || named[name]) {
				do(m.annotationKey(name), &a.Value, UseAnnotation)
			} else if a.Value.kind != emptyValue {
				do(name, &a.Value, UseMetadata)
			}
		}
	}
	for i := range d.Span.list {
		a := &d.Span.list[i]
		name := a.Name()
		index := m.indexed[name]
		if m.native() {
			index = index || named[name]
		}
		if !d.keeps(a.key) || m.consumes(d, a) && !index {
			continue
		}
		index = all || index || named[name]
		switch {
		case index && a.Value.isScalar():
			do(m.annotationKey(name), &a.Value, UseAnnotation)
		case index && !m.native() || a.Value.kind == emptyValue:
			// The collector drops an attribute that it should index and cannot.
		case a.Value.kind == stringValue && strings.HasPrefix(name, MetadataPrefix):
			do(name, &a.Value, UseNamespace)
		default:
			do(name, &a.Value, UseMetadata)
		}
	}
}

// keeps says whether the document shows the attribute at all.
func (d *Document) keeps(k key) bool {
	switch k {
	case keyEnduserID:
		return false // the user shows it
	case keyAWSXRayAnnotations:
		return d.Span.get(k).kind != arrayValue
	case keyAWSRemoteService, keyAWSRemoteOperation, keyRemoteTarget, keyK8sRemoteNamespace:
		return d.Part == 0
	}
	return true
}

// consumes says whether another block of the document shows the attribute. The collector
// drops some attributes that no block shows; the native profile keeps those in the
// metadata.
func (m *Mapper) consumes(d *Document, a *Attribute) bool {
	switch k := a.key; {
	case k == keyOther:
		return false
	case m.native() && (k == keyHTTPStatusCode || k == keyHTTPResponseStatusCode):
		return d.HTTP.showsStatus(&a.Value)
	case m.native() && k <= lastHTTPKey:
		return d.HTTP.Present && showsHTTP(k)
	case k <= lastHTTPKey:
		return true
	case k <= lastAWSKey:
		return !m.native() || d.AWS.Present
	case k <= lastSQLKey:
		return d.SQL.Present
	case k == keyHTTPStatusText:
		return d.Span.Status == statusError && !d.eventCaused
	case k == keyAWSXRayInProgress:
		return d.InProgress && a.Value.kind == boolValue
	case k == keyDBQueryText:
		return m.native() && d.SQL.Present && d.SQL.Query == a.Value.Text()
	}
	return false
}

// showsHTTP says whether an http block shows the attribute unchanged.
func showsHTTP(k key) bool {
	switch k {
	case keyHTTPMethod, keyHTTPRequestMethod, keyHTTPUserAgent, keyUserAgentOriginal, keyHTTPURL, keyURLFull, keyHTTPClientIP:
		return true
	}
	return false
}

// annotationKey replaces the characters that X-Ray does not allow in keys by _.
func (m *Mapper) annotationKey(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case '0' <= r && r <= '9', 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', r == '.' && !m.options.ReplaceDots:
			return r
		}
		return '_'
	}, name)
}

// annotation turns a scalar into the value of an annotation.
func (v *Value) annotation() trace.Value {
	switch v.kind {
	case boolValue:
		return trace.Value{Kind: trace.BoolValue, Bool: v.num != 0}
	case intValue:
		return trace.Value{Kind: trace.NumberValue, Number: float64(int64(v.num))}
	case doubleValue:
		return trace.Value{Kind: trace.NumberValue, Number: v.double()}
	}
	return trace.Value{Kind: trace.StringValue, String: v.Text()}
}

// asText writes a value of any type as a string.
func (v *Value) asText() string {
	switch v.kind {
	case emptyValue:
		return ""
	case stringValue:
		return v.Text()
	case bytesValue:
		return base64.StdEncoding.EncodeToString(v.data)
	}
	return string(v.AppendJSON(nil))
}

// AppendJSON appends the value as JSON. NaN and infinities become strings, as in
// OTLP/JSON; bytes become base64.
func (v *Value) AppendJSON(b []byte) []byte {
	switch v.kind {
	case stringValue:
		return jsonscan.AppendString(b, v.Text())
	case boolValue:
		return strconv.AppendBool(b, v.num != 0)
	case intValue:
		return strconv.AppendInt(b, int64(v.num), 10)
	case doubleValue:
		return jsonscan.AppendFloat(b, v.double())
	case bytesValue:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.data)
		return append(b, '"')
	case arrayValue:
		b = append(b, '[')
		// The message was checked when it was received.
		_ = eachElement(v.data, func(e *Value) error {
			b = e.AppendJSON(jsonscan.Separate(b))
			return nil
		}, 1)
		return append(b, ']')
	case mapValue:
		var o jsonscan.Members
		_ = eachMember(v.data, func(name string, e *Value) error {
			o.Add(name, e.AppendJSON(o.Buffer()))
			return nil
		}, 1)
		return o.Append(b)
	}
	return append(b, "null"...)
}
