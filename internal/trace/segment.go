package trace

// Account is the tenant that owns data: 12 digits in AWS. Data of one account
// cannot be reached from another.
type Account string

// Source says in which form a segment was received, and by which rules it is read
// again.
type Source uint8

// The forms in which segments are received. Stores keep these numbers.
const (
	// SourceDocument is an X-Ray segment document: Segment.Raw is its JSON text.
	SourceDocument Source = iota + 1
	// SourceOTLP is an OpenTelemetry span: Segment.Raw is one protobuf
	// opentelemetry.proto.trace.v1.Span, Segment.Scope what surrounded it.
	SourceOTLP
	// SourceCollector is an OpenTelemetry span, kept as those of SourceOTLP are, that is
	// mapped as the OpenTelemetry Collector's awsxrayexporter maps it.
	SourceCollector
)

// IsSpan says whether the segment was an OpenTelemetry span.
func (s Source) IsSpan() bool { return s == SourceOTLP || s == SourceCollector }

// OTLPScope is what surrounds a span in an OTLP request. It is shared by all
// spans of one ScopeSpans and must not be changed.
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
	// Source, Raw, Scope and Part are what must be kept to build this value
	// again, and to give back everything that was received. The Segment owns Raw.
	Source Source
	Raw    []byte
	Scope  *OTLPScope
	// Part tells segments apart that one span gives rise to: 0 is the span
	// itself, 1 the service segment of an Application Signals local root
	// (collector awsxrayexporter, aws.span.kind=LOCAL_ROOT).
	Part uint8
	// ReceivedAt is when the document was accepted; set by the receiver.
	ReceivedAt Time
	// Attributes finds what search treats as annotations beside those of the
	// document; nil if there is nothing. All spans of a resource may share it.
	Attributes Attributes
}

// Attributes reads the attributes of a span and of its resource that search
// treats as annotations, each under the name it was sent with. They are read when
// somebody asks: most spans are never asked for them. It is immutable.
type Attributes interface {
	// OfSpan yields the attributes of a span, Segment.Raw, and OfResource those of
	// its resource, until yield is false; they say whether all were yielded. A name
	// may come more than once. pass, if not nil, gets the bytes of each attribute
	// first, and says which to pass over.
	OfSpan(raw []byte, pass func(attribute []byte) bool, yield func(key string, v Value) bool) bool
	OfResource(yield func(key string, v Value) bool) bool
}

// Entity is a segment or a subsegment: one node of a trace's tree.
//
// The fields up to Raw are decoded from the document; strings are "" and
// pointers nil where the document has no such member. Those below Raw are set
// when a trace is assembled (package assemble) and empty before.
type Entity struct {
	ID       SegmentID
	ParentID SegmentID // zero: none
	Name     string    // at most 200 characters
	// Peer is the name of what a call leads to where Name, which a span's operation
	// may have given, does not tell it: a host, a database, an AWS service. Segment
	// documents have none: their calls are named after what they lead to.
	Peer string
	// Namespace is "aws", "remote", "local" or ""; only the first two make nodes.
	Namespace   string
	Origin      string
	User        string
	ResourceARN string
	Version     string // service.version
	Start, End  Time   // End is 0 while InProgress
	InProgress  bool
	// Inferred is true if the document says so, or for a segment synthesised for
	// a callee that sent none.
	Inferred bool
	// Error, Fault and Throttle are the document's flags; see Outcome.
	Error, Fault, Throttle bool

	// Span is what tells a span from others with its id; nil for documents.
	Span *Span

	HTTP        HTTP
	AWS         *AWS // nil: the document says nothing of it
	SQL         *SQL // the same
	Cause       Cause
	Annotations []Annotation
	Links       []Link
	// Subsegments are the embedded subsegments in document order; after
	// assembly also the independent ones that joined.
	Subsegments []*Entity
	// Raw is the JSON object of this entity alone, a part of the document's
	// text. For spans it is nil until the document is rendered.
	Raw []byte

	// ReceivedAt is when the document holding this entity was accepted.
	ReceivedAt Time
	// Received is the document that holds the entity. It must not be changed.
	Received *Segment
	// Parent is the enclosing or calling entity: for a subsegment the entity it
	// is part of, for a segment the entity whose id is its ParentID.
	Parent *Entity
	// Segment is the nearest enclosing segment (itself for a segment).
	Segment *Entity
	// Callees are the segments whose ParentID is this entity's ID.
	Callees []*Entity
	// Subsegment is true for subsegments, embedded or independent. Assembly makes a
	// segment of a span's subsegment whose parent belongs to another service.
	Subsegment bool
	// Gap is set on a segment that nobody sent: it holds what would be shown
	// nowhere without it.
	Gap Gap
}

// Gap is why a trace shows a segment that nobody sent.
type Gap uint8

// The reasons for such a segment.
const (
	// NoGap is of what was sent.
	NoGap Gap = iota
	// GapParent: the parent of what it holds has not arrived. Its ID is the
	// parent's.
	GapParent
	// GapCircle: the parents of what it holds lead in a circle.
	GapCircle
	// GapEntry: what it holds is a call of a service that sent no segment for its
	// own part: a script, a publisher, a browser.
	GapEntry
)

// Unknown says whether the segment stands for something of which nothing is known
// but that it is missing.
func (g Gap) Unknown() bool { return g == GapParent || g == GapCircle }

// Reason says in a sentence what is missing and why that may be, "" for NoGap.
func (g Gap) Reason() string {
	switch g {
	case GapParent:
		return "The parent of what is shown here has not arrived: it is not finished yet, was not sampled, was lost on its way, or is sent somewhere else."
	case GapCircle:
		return "What is shown here names itself, or something below it, as its parent: ids were used twice, or set wrong."
	case GapEntry:
		return "The service sent this call alone: it has no span for its own work."
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

// Calls says whether a span of the kind stands for a call of another service.
func (k SpanKind) Calls() bool { return k == SpanClient || k == SpanProducer }

// Span is what tells an OpenTelemetry span from others of its trace that have
// the same id, as client and server do where they share one (B3).
type Span struct {
	Kind SpanKind
	Name string
	// Resource is who sent it; it is shared and must not be changed.
	Resource *Resource
}

// Resource is the identity of an OpenTelemetry resource (semantic conventions,
// service.*). "" is not known.
type Resource struct{ Service, Namespace, Instance string }

// Differs says whether two resources are known to be different services, or
// different instances of one.
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
	Status                           int  // 0: none
	Traced                           bool // request.traced: the callee is instrumented
}

// AWS holds the members of the aws block that identify callees and resources.
type AWS struct {
	AccountID, Operation, Region                            string
	TableName, BucketName, QueueURL, TopicARN, FunctionName string
	InstanceID, AvailabilityZone                            string // aws.ec2
	SamplingRule                                            string // aws.xray.sampling_rule_name or rule_name
}

// SQL holds the members of the sql block that searches use. It is there, with
// nothing in it, also where the block has none of them: a call with a block leads
// to an SQL database.
type SQL struct{ URL, DatabaseType, User, SanitizedQuery string }

// Cause is why an entity failed: exceptions of its own, or the id of an
// exception that another entity of the trace holds.
type Cause struct {
	// Ref is the 16-hex id of an exception held elsewhere, "" if none.
	Ref        string
	Exceptions []Exception
}

// Exception is one exception of a cause block.
type Exception struct {
	ID, Type, Message string
	Cause             string // id of the exception that caused this one
	Remote            bool
}

// Link points from this entity to a segment of another trace (or the same), which
// came before: it sent what this entity received. If Child it is the other way round,
// and says of the receiver what the receiver's own link says of the sender (attribute
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

// Value is an annotation's value: string, number or bool. It is comparable.
// Integers are numbers, as in the API: beyond 2^53 neighbours are one value.
type Value struct {
	Kind   ValueKind
	String string
	Number float64
	Bool   bool
}

// EachAttribute yields the attributes that search treats as annotations of an
// entity of an assembled trace, without those in Annotations, until yield is
// false. It says whether all were yielded. A name may come more than once.
func (e *Entity) EachAttribute(yield func(key string, v Value) bool) bool {
	seg := e.Received
	if seg == nil || seg.Attributes == nil {
		return true
	}
	return seg.Attributes.OfSpan(seg.Raw, nil, yield) && seg.Attributes.OfResource(yield)
}

// EachAttribute yields the attributes of all entities, those of a resource once.
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

// resources is a set: a trace has few, most of the time.
type resources struct {
	few  [8]Attributes
	n    int
	many map[Attributes]bool
}

// add says whether a resource is new.
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

// Remote says whether the entity is a call to another service: a subsegment
// (or, from OTLP, a segment) with namespace "aws" or "remote".
func (e *Entity) Remote() bool { return e.Namespace == "aws" || e.Namespace == "remote" }

// Duration is End-Start in nanoseconds, 0 for entities that end before they
// start or are still in progress.
func (e *Entity) Duration() int64 {
	if e.InProgress || e.End <= e.Start {
		return 0
	}
	return int64(e.End.Sub(e.Start))
}

// Outcome is the exclusive class of a completed entity.
type Outcome uint8

// Outcomes in rising precedence.
const (
	OK Outcome = iota
	Error
	Fault
	Throttle
)

// String is the filter keyword of the outcome: ok, error, fault or throttle.
func (o Outcome) String() string { return [...]string{"ok", "error", "fault", "throttle"}[o] }

// Outcome classes the entity for counting, with precedence throttle > fault >
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

// HasThrottle says whether the entity was throttled, by its flag or status 429.
func (e *Entity) HasThrottle() bool { return e.Throttle || e.HTTP.Status == 429 }

// HasFault says whether the entity failed, by its flag or a status of 5xx.
func (e *Entity) HasFault() bool {
	return e.Fault || e.HTTP.Status >= 500 && e.HTTP.Status < 600
}

// HasError says whether its caller made an error, by its flag or a status of
// 4xx. What was throttled has none. An entity may have error and fault.
func (e *Entity) HasError() bool {
	return !e.HasThrottle() && (e.Error || e.HTTP.Status >= 400 && e.HTTP.Status < 500)
}
