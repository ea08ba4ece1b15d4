package trace

// Account is the tenant that owns data: 12 digits in AWS. Data of one account
// cannot be reached from another.
type Account string

// Source tells in which form a segment was received, and so which rules decode it
// again.
type Source uint8

// The forms in which segments are received. Stores keep these numbers.
const (
	// SourceDocument is an X-Ray segment document: Segment.Raw is its JSON text.
	SourceDocument Source = iota + 1
	// SourceOTLP is an OpenTelemetry span: Segment.Raw is one protobuf
	// opentelemetry.proto.trace.v1.Span, Segment.Scope its resource and scope.
	SourceOTLP
	// SourceCollector is an OpenTelemetry span, stored like those of SourceOTLP, but
	// mapped by the rules of the OpenTelemetry Collector's awsxrayexporter.
	SourceCollector
)

// IsSpan tells whether the segment was received as an OpenTelemetry span.
func (s Source) IsSpan() bool { return s == SourceOTLP || s == SourceCollector }

// OTLPScope holds the resource and the scope of a span in an OTLP request. All spans
// of one ScopeSpans share it; it must not be changed.
type OTLPScope struct {
	// Resource and Scope are the protobuf messages
	// opentelemetry.proto.resource.v1.Resource and
	// opentelemetry.proto.common.v1.InstrumentationScope.
	Resource, Scope []byte
	// ResourceSchema and ScopeSchema are the schema URLs.
	ResourceSchema, ScopeSchema string
}

// Segment is one received document, decoded: a segment or an independent
// subsegment, with its embedded subsegments. It is immutable once built and may
// be shared between goroutines.
type Segment struct {
	Entity
	TraceID ID
	// Independent is true for a subsegment that was sent alone
	// ("type":"subsegment").
	Independent bool
	// Source, Raw, Scope and Part must be kept to build this value again and to
	// return everything that was received. The Segment owns Raw.
	Source Source
	Raw    []byte
	Scope  *OTLPScope
	// Part distinguishes the segments made from one span: 0 is the span itself, 1
	// the service segment of an Application Signals local root (collector
	// awsxrayexporter, aws.span.kind=LOCAL_ROOT).
	Part uint8
	// ReceivedAt is when the document was accepted; set by the receiver.
	ReceivedAt Time
	// Attributes reads the attributes that search treats as annotations, in addition
	// to the document's; nil if there are none. All spans of a resource may share
	// it.
	Attributes Attributes
	// Account is the account that owns the segment in a trace of several accounts; "" for
	// the account of the reader, and in all stores.
	Account Account
}

// Attributes reads the attributes of a span and its resource that search treats as
// annotations, under their original names. It decodes them on demand, because most
// spans are never searched. It is immutable.
type Attributes interface {
	// OfSpan yields the attributes of a span, given its Segment.Raw, and OfResource
	// those of its resource, until yield is false; they report whether all were
	// yielded. A name may occur more than once. pass, if not nil, gets the bytes of
	// each attribute first and reports whether to skip it.
	OfSpan(raw []byte, pass func(attribute []byte) bool, yield func(key string, v Value) bool) bool
	OfResource(yield func(key string, v Value) bool) bool
}

// Entity is a segment or a subsegment: one node of a trace's tree.
//
// The fields up to Raw are decoded from the document; strings are "" and pointers
// nil if the document lacks the member. The fields below Raw are set when a trace is
// assembled (package assemble) and empty before.
type Entity struct {
	ID       SegmentID
	ParentID SegmentID // zero: none
	Name     string    // at most 200 characters
	// Peer names the destination of a call if Name, which may be a span's operation,
	// does not: a host, a database, an AWS service. Segment documents have none,
	// because they name calls after their destination.
	Peer string
	// Namespace is "aws", "remote", "local" or ""; only "aws" and "remote" make
	// nodes.
	Namespace   string
	Origin      string
	User        string
	ResourceARN string
	Version     string // service.version
	Start, End  Time   // End is 0 while InProgress
	InProgress  bool
	// Inferred is true if the document says so, or for a segment that was inferred
	// for a callee without a segment.
	Inferred bool
	// Error, Fault and Throttle are the document's flags; see Outcome.
	Error, Fault, Throttle bool

	// Span distinguishes spans that have the same id; nil for documents.
	Span *Span

	HTTP        HTTP
	AWS         *AWS // nil: not in the document
	SQL         *SQL // nil: not in the document
	Cause       Cause
	Annotations []Annotation
	Links       []Link
	// Subsegments are the embedded subsegments in document order; after assembly
	// they include the independent ones that belong here.
	Subsegments []*Entity
	// Raw is the JSON object of this entity alone, a part of the document's
	// text. For spans it is nil until the document is rendered.
	Raw []byte

	// ReceivedAt is when the document holding this entity was accepted.
	ReceivedAt Time
	// Received is the document that contains the entity. It must not be changed.
	Received *Segment
	// Parent is the enclosing or calling entity: of a subsegment the entity around
	// it, of a segment the entity that its ParentID names.
	Parent *Entity
	// Segment is the nearest enclosing segment (itself for a segment).
	Segment *Entity
	// Callees are the segments whose ParentID is this entity's ID.
	Callees []*Entity
	// Subsegment is true for subsegments, embedded or independent. Assembly turns a
	// span's subsegment into a segment if its parent belongs to another service.
	Subsegment bool
	// Gap is set on a placeholder: a segment that assembly adds to show entities
	// that belong to no received segment.
	Gap Gap
}

// Gap is the reason why a trace shows a placeholder segment.
type Gap uint8

// The reasons for a placeholder.
const (
	// NoGap: the segment was received.
	NoGap Gap = iota
	// GapParent: the parent of its children has not arrived. The placeholder has the
	// parent's id.
	GapParent
	// GapCircle: the parents of its children form a circle.
	GapCircle
	// GapEntry: its child is a call by a service that sent no segment for its own
	// work: a script, a publisher, a browser.
	GapEntry
	// GapHidden: the reader may not see the segments for which it stands
	// (Trace.Hidden).
	GapHidden
)

// Unknown reports whether the segment stands for an entity about which nothing is
// known except that it is missing.
func (g Gap) Unknown() bool { return g == GapParent || g == GapCircle }

// Reason returns a sentence about what is missing and why, "" for NoGap.
func (g Gap) Reason() string {
	switch g {
	case GapParent:
		return "The parent of these entities has not arrived: it is unfinished, was not sampled, was lost in transit, or was sent to another server."
	case GapCircle:
		return "These entities are their own ancestors: ids were used twice or set wrongly."
	case GapEntry:
		return "The service sent only this call, and no span for its own work."
	case GapHidden:
		return "Your permissions do not include these segments."
	}
	return ""
}

// SpanKind is opentelemetry.proto.trace.v1.Span.SpanKind.
type SpanKind uint8

// The kinds of spans.
const (
	SpanUnspecified SpanKind = iota
	SpanInternal
	SpanServer
	SpanClient
	SpanProducer
	SpanConsumer
)

// Calls reports whether spans of this kind are calls to another service.
func (k SpanKind) Calls() bool { return k == SpanClient || k == SpanProducer }

// Span distinguishes an OpenTelemetry span from others of its trace with the same
// id, as client and server have with B3.
type Span struct {
	Kind SpanKind
	Name string
	// Resource identifies the sender; it is shared and must not be changed.
	Resource *Resource
}

// Resource is the identity of an OpenTelemetry resource (semantic conventions,
// service.*). "" means unknown.
type Resource struct {
	Service, Namespace, Instance string
	Environment                  string // deployment.environment.name, or its older name deployment.environment
}

// Differs reports whether two resources are known to be different services, or
// different instances of a service.
func (r *Resource) Differs(o *Resource) bool {
	if r == o || r == nil || o == nil {
		return false
	}
	other := func(a, b string) bool { return a != "" && b != "" && a != b }
	return r.Service != o.Service || other(r.Namespace, o.Namespace) || other(r.Instance, o.Instance)
}

// HTTP holds the members of the http block that searches and statistics use.
type HTTP struct {
	URL, Method, UserAgent, ClientIP string
	Status                           int   // 0: none
	Length                           int64 // response.content_length in bytes, 0: none
	Traced                           bool  // request.traced: the callee is instrumented
}

// AWS holds the members of the aws block that identify callees and resources.
type AWS struct {
	AccountID, Operation, Region                            string
	TableName, BucketName, QueueURL, TopicARN, FunctionName string
	InstanceID, AvailabilityZone                            string // aws.ec2
	SamplingRule                                            string // aws.xray.sampling_rule_name or rule_name
}

// SQL holds the members of the sql block that searches use. An empty SQL means that
// the block has none of them: a call with any sql block leads to an SQL database.
type SQL struct{ URL, DatabaseType, User, SanitizedQuery string }

// Cause tells why an entity failed: its own exceptions, or the id of an exception in
// another entity of the trace.
type Cause struct {
	// Ref is the 16-hex id of an exception in another entity, "" if none.
	Ref        string
	Exceptions []Exception
}

// Exception is one exception of a cause block.
type Exception struct {
	ID, Type, Message string
	Cause             string // id of the exception that caused this one
	Remote            bool
}

// Link points from the receiver of a message to its sender, a segment of another
// trace (or the same). If Child is true, it points from the sender to the receiver
// instead, and describes the same message as the receiver's own link (attribute
// aws.xray.reserved.reference_type of links, parent or child, recorded from Lambda).
type Link struct {
	TraceID ID
	ID      SegmentID
	Child   bool
}

// Annotation is one indexed key and its value.
type Annotation struct {
	Key   string
	Value Value
}

// ValueKind is the type of an annotation's value.
type ValueKind uint8

// The types of annotation values.
const (
	StringValue ValueKind = iota + 1
	NumberValue
	BoolValue
)

// Value is an annotation's value: string, number or bool. It is comparable. Integers
// are numbers, as in the API: beyond 2^53 neighbouring integers are equal.
type Value struct {
	Kind   ValueKind
	String string
	Number float64
	Bool   bool
}

// EachAttribute yields the attributes that search treats as annotations of an entity
// of an assembled trace, except those in Annotations, until yield is false. It
// reports whether all were yielded. A name may occur more than once.
func (e *Entity) EachAttribute(yield func(key string, v Value) bool) bool {
	seg := e.Received
	if seg == nil || seg.Attributes == nil {
		return true
	}
	return seg.Attributes.OfSpan(seg.Raw, nil, yield) && seg.Attributes.OfResource(yield)
}

// EachAttribute yields the attributes of all entities; those of a shared resource
// once.
func (t *Trace) EachAttribute(yield func(key string, v Value) bool) bool {
	var seen resources
	var space [32]*Entity // on the stack
	for _, root := range t.Segments {
		for stack := append(space[:0], root); len(stack) > 0; {
			e := stack[len(stack)-1]
			stack = append(stack[:len(stack)-1], e.Subsegments...)
			seg := e.Received
			if seg == nil || seg.Attributes == nil {
				continue
			}
			if !seg.Attributes.OfSpan(seg.Raw, nil, yield) || seen.add(seg.Attributes) && !seg.Attributes.OfResource(yield) {
				return false
			}
		}
	}
	return true
}

// resources is a set: most traces have few resources.
type resources struct {
	few  [8]Attributes
	n    int
	many map[Attributes]bool
}

// add reports whether a resource is new.
func (r *resources) add(a Attributes) bool {
	for _, known := range r.few[:r.n] {
		if known == a {
			return false
		}
	}
	if r.n < len(r.few) {
		r.few[r.n] = a
		r.n++
		return true
	}
	if r.many[a] {
		return false
	}
	if r.many == nil {
		r.many = map[Attributes]bool{}
	}
	r.many[a] = true
	return true
}

// Remote reports whether the entity is a call to another service: a subsegment (or,
// from OTLP, a segment) with namespace "aws" or "remote".
func (e *Entity) Remote() bool { return e.Namespace == "aws" || e.Namespace == "remote" }

// Duration is End-Start in nanoseconds, 0 for entities that end before they
// start or are still in progress.
func (e *Entity) Duration() int64 {
	if e.InProgress || e.End <= e.Start {
		return 0
	}
	return int64(e.End.Sub(e.Start))
}

// Outcome is the single class of a completed entity.
type Outcome uint8

// Outcomes in rising precedence.
const (
	OK Outcome = iota
	Error
	Fault
	Throttle
)

// String returns the filter keyword of the outcome: ok, error, fault or throttle.
func (o Outcome) String() string { return [...]string{"ok", "error", "fault", "throttle"}[o] }

// Outcome classifies the entity for counting, with precedence throttle > fault >
// error > ok.
func (e *Entity) Outcome() Outcome {
	switch {
	case e.HasThrottle():
		return Throttle
	case e.HasFault():
		return Fault
	case e.HasError():
		return Error
	}
	return OK
}

// HasThrottle reports whether the entity was throttled, by its flag or status 429.
func (e *Entity) HasThrottle() bool { return e.Throttle || e.HTTP.Status == 429 }

// HasFault reports whether the entity failed, by its flag or a status of 5xx.
func (e *Entity) HasFault() bool {
	return e.Fault || e.HTTP.Status >= 500 && e.HTTP.Status < 600
}

// HasError reports whether the caller made an error, by the flag or a status of 4xx.
// A throttled entity has no error. An entity may have both error and fault.
func (e *Entity) HasError() bool {
	return !e.HasThrottle() && (e.Error || e.HTTP.Status >= 400 && e.HTTP.Status < 500)
}
