package otlp

import "google.golang.org/protobuf/encoding/protowire"

// KindNames are the span kinds without their prefix SPAN_KIND_, by number.
var KindNames = [...]string{"UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"}

// StatusNames are the status codes without their prefix STATUS_CODE_, by number.
var StatusNames = [...]string{"UNSET", "OK", "ERROR"}

// Shape describes a protobuf message for its JSON form.
type Shape []Member

// Member describes one field of a message.
type Member struct {
	Name     string // camelCase
	Number   protowire.Number
	Form     Form
	Repeated bool
	Shape    Shape    // of messages
	enum     []string // names by number
	prefix   string   // of the names
}

// Wire returns the member's wire type.
func (m *Member) Wire() uint32 {
	switch m.Form {
	case FormEnum, FormBool, FormVarint:
		return Varint
	case FormFixed32:
		return Fixed32
	case FormFixed64, FormDouble:
		return Fixed64
	}
	return Bytes
}

// Form is how JSON writes a member.
type Form uint8

// The forms of members.
const (
	FormMessage Form = iota
	FormAny          // AnyValue, which may contain itself
	FormString
	FormHex
	FormBase64
	FormEnum
	FormBool
	FormVarint
	FormFixed32
	FormFixed64
	FormDouble
)

// The messages of OTLP traces (opentelemetry-proto 1.x).
var (
	keyValueShape = Shape{
		{Name: "key", Number: 1, Form: FormString},
		{Name: "value", Number: 2, Form: FormAny},
	}
	attributesShape = func(num protowire.Number) Member {
		return Member{Name: "attributes", Number: num, Repeated: true, Shape: keyValueShape}
	}
	eventShape = Shape{
		{Name: "timeUnixNano", Number: 1, Form: FormFixed64},
		{Name: "name", Number: 2, Form: FormString},
		attributesShape(3),
		{Name: "droppedAttributesCount", Number: 4, Form: FormVarint},
	}
	linkShape = Shape{
		{Name: "traceId", Number: 1, Form: FormHex},
		{Name: "spanId", Number: 2, Form: FormHex},
		{Name: "traceState", Number: 3, Form: FormString},
		attributesShape(4),
		{Name: "droppedAttributesCount", Number: 5, Form: FormVarint},
		{Name: "flags", Number: 6, Form: FormFixed32},
	}
	statusShape = Shape{
		{Name: "message", Number: 2, Form: FormString},
		{Name: "code", Number: 3, Form: FormEnum, prefix: "STATUS_CODE_", enum: StatusNames[:]},
	}
	SpanShape = Shape{
		{Name: "traceId", Number: 1, Form: FormHex},
		{Name: "spanId", Number: 2, Form: FormHex},
		{Name: "traceState", Number: 3, Form: FormString},
		{Name: "parentSpanId", Number: 4, Form: FormHex},
		{Name: "name", Number: 5, Form: FormString},
		{Name: "kind", Number: 6, Form: FormEnum, prefix: "SPAN_KIND_", enum: KindNames[:]},
		{Name: "startTimeUnixNano", Number: 7, Form: FormFixed64},
		{Name: "endTimeUnixNano", Number: 8, Form: FormFixed64},
		attributesShape(9),
		{Name: "droppedAttributesCount", Number: 10, Form: FormVarint},
		{Name: "events", Number: 11, Repeated: true, Shape: eventShape},
		{Name: "droppedEventsCount", Number: 12, Form: FormVarint},
		{Name: "links", Number: 13, Repeated: true, Shape: linkShape},
		{Name: "droppedLinksCount", Number: 14, Form: FormVarint},
		{Name: "status", Number: 15, Shape: statusShape},
		{Name: "flags", Number: 16, Form: FormFixed32},
	}
	ScopeShape = Shape{
		{Name: "name", Number: 1, Form: FormString},
		{Name: "version", Number: 2, Form: FormString},
		attributesShape(3),
		{Name: "droppedAttributesCount", Number: 4, Form: FormVarint},
	}
	entityShape = Shape{
		{Name: "schemaUrl", Number: 1, Form: FormString},
		{Name: "type", Number: 2, Form: FormString},
		{Name: "idKeys", Number: 3, Form: FormString, Repeated: true},
		{Name: "descriptionKeys", Number: 4, Form: FormString, Repeated: true},
	}
	ResourceShape = Shape{
		attributesShape(1),
		{Name: "droppedAttributesCount", Number: 2, Form: FormVarint},
		{Name: "entityRefs", Number: 3, Repeated: true, Shape: entityShape},
	}
	scopeSpansShape = Shape{
		{Name: "scope", Number: 1, Shape: ScopeShape},
		{Name: "instrumentationLibrary", Number: 1, Shape: ScopeShape}, // its name before 0.15
		{Name: "spans", Number: 2, Repeated: true, Shape: SpanShape},
		{Name: "schemaUrl", Number: 3, Form: FormString},
	}
	resourceSpansShape = Shape{
		{Name: "resource", Number: 1, Shape: ResourceShape},
		{Name: "scopeSpans", Number: 2, Repeated: true, Shape: scopeSpansShape},
		{Name: "instrumentationLibrarySpans", Number: legacyScopeSpans, Repeated: true, Shape: scopeSpansShape},
		{Name: "schemaUrl", Number: 3, Form: FormString},
	}
	requestShape = Shape{{Name: "resourceSpans", Number: 1, Repeated: true, Shape: resourceSpansShape}}

	ValueShape = Shape{
		{Name: "stringValue", Number: 1, Form: FormString},
		{Name: "boolValue", Number: 2, Form: FormBool},
		{Name: "intValue", Number: 3, Form: FormVarint},
		{Name: "doubleValue", Number: 4, Form: FormDouble},
		{Name: "arrayValue", Number: 5, Shape: Shape{{Name: "values", Number: 1, Repeated: true, Form: FormAny}}},
		{Name: "kvlistValue", Number: 6, Shape: Shape{{Name: "values", Number: 1, Repeated: true, Shape: keyValueShape}}},
		{Name: "bytesValue", Number: 7, Form: FormBase64},
	}
)

// find returns the member with a name as JSON text writes it, nil if unknown.
func (s Shape) find(name []byte) *Member {
	for i := range s {
		if s[i].is(name) {
			return &s[i]
		}
	}
	return nil
}

// is compares a name with the member's, in camelCase or snake_case.
func (m *Member) is(name []byte) bool {
	i := 0
	for _, c := range []byte(m.Name) {
		if i < len(name) && name[i] == '_' && 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
			i++
		}
		if i >= len(name) || name[i] != c {
			return false
		}
		i++
	}
	return i == len(name)
}
