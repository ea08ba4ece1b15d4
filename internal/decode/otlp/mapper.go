package otlp

import (
	"encoding/binary"
	"hash/fnv"
	"strings"
	"sync"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Profile is a set of rules that map OpenTelemetry spans to segments.
type Profile uint8

const (
	// ProfileNative extends the collector's rules: it reads the stable semantic
	// conventions, names segments after their service, reads stacks of Node.js, and
	// keeps under metadata.otel what a segment document has no member for. It is the
	// default.
	ProfileNative Profile = iota
	// ProfileCollector makes exactly the documents that the OpenTelemetry Collector's
	// awsxrayexporter v0.120 sends to X-Ray, quirks included.
	ProfileCollector
)

// Options configure how spans become segments. The zero value is the default. Apart from
// Searched, they are those of the collector's awsxrayexporter.
type Options struct {
	Profile Profile
	// IndexedAttributes become annotations, besides those that a span lists in
	// aws.xray.annotations. Resource attributes are named otel.resource.<name>.
	IndexedAttributes []string
	// IndexAllAttributes turns every string, number and bool into an annotation.
	IndexAllAttributes bool
	// Searched selects the attributes of spans and resources that search finds as
	// annotations, under the names they were sent with; nil selects all. Documents do
	// not depend on it.
	Searched *Patterns
	// LogGroups are the CloudWatch log groups of services that report none.
	LogGroups []string
	// ReplaceDots replaces dots in annotation keys by _ (the collector's gate
	// exporter.xray.allowDot turned off).
	ReplaceDots bool
	// CheckTraceIDTime refuses a span if its trace id, or that of a link, does not begin
	// with a time of the last 28 days in seconds (the collector's gate
	// exporter.awsxray.skiptimestampvalidation turned off).
	CheckTraceIDTime bool
}

// Mapper maps spans to segments by one set of rules. It is immutable and safe for
// concurrent use. The zero value has the default Options.
type Mapper struct {
	options Options
	indexed map[string]bool
	sources sources
	other   struct { // a Mapper of the other profile, made when first needed
		sync.Once
		*Mapper
	}
}

// NewMapper returns a Mapper. It keeps the slices in o, which must not change.
func NewMapper(o Options) *Mapper {
	m := &Mapper{options: o}
	if len(o.IndexedAttributes) > 0 {
		m.indexed = make(map[string]bool, len(o.IndexedAttributes))
		for _, name := range o.IndexedAttributes {
			m.indexed[name] = true
		}
	}
	return m
}

// For returns a Mapper with the options of m and the profile that made the segments of a
// source. A span keeps the mapping it was received with.
func (m *Mapper) For(source trace.Source) *Mapper {
	if source == m.segmentSource() {
		return m
	}
	m.other.Do(func() {
		o := m.options
		o.Profile = ProfileNative
		if m.native() {
			o.Profile = ProfileCollector
		}
		m.other.Mapper = NewMapper(o)
	})
	return m.other.Mapper
}

// segmentSource returns the source of the segments that m makes.
func (m *Mapper) segmentSource() trace.Source {
	if m.native() {
		return trace.SourceOTLP
	}
	return trace.SourceCollector
}

func (m *Mapper) native() bool { return m.options.Profile == ProfileNative }

// parts returns the number of documents that the span gives: two for an Application
// Signals local root that calls another service.
func (s *Span) parts() int {
	if s.localRoot() && s.Kind != KindServer && s.Kind != KindInternal {
		return 2
	}
	return 1
}

func (s *Span) localRoot() bool {
	return s.has(keyAWSSpanKind) && s.str(keyAWSSpanKind) == "LOCAL_ROOT"
}

// mapSpan maps one part of a span into d. opens tells that the span opens its service in
// the trace: its parent belongs to another service.
func (m *Mapper) mapSpan(d *Document, s *Span, r *resource, part uint8, opens bool) {
	*d = Document{mapper: m, Span: s, res: r, Part: part, ID: s.ID, Parent: s.Parent}
	two := s.parts() == 2
	if two && part == 0 {
		d.Parent = serviceID(s)
	}
	if two && part == 1 {
		d.ID = serviceID(s)
	}
	d.Subsegment = s.Kind != KindServer && !opens && !m.opensService(d)
	d.storeResource = !d.Subsegment || d.Parent.IsZero()
	d.InProgress = m.native() && s.inProgress()
	m.mapHTTP(d)
	m.mapCause(d)
	m.mapAWS(d)
	m.mapSQL(d)
	m.mapName(d)
	d.User = s.str(keyEnduserID)
	if d.User == "" && m.native() {
		d.User = s.str(keyUserID)
	}
	switch {
	case two && part == 0:
		m.toDependency(d)
	case two:
		m.toService(d)
	case s.localRoot():
		d.Subsegment, d.Namespace = false, ""
	case d.Subsegment && d.Namespace == "" && s.has(keyAWSRemoteService) && s.Kind >= KindClient && s.Kind <= KindConsumer:
		d.Namespace = "remote"
	}
	if m.native() {
		if d.Name = trace.CutName(d.Name); d.Name == "" {
			d.Name = "span"
		}
		d.Peer = trace.CutName(d.Peer)
	}
}

// opensService says whether a span that is not SERVER opens its service: it has no
// parent, or its flags say that the parent is in another process. A call never does. The
// collector makes a segment of every span without parent and ignores the flags; spans of
// ADOT carry aws.span.kind instead.
func (m *Mapper) opensService(d *Document) bool {
	s := d.Span
	if !m.native() || s.has(keyAWSSpanKind) {
		return d.Parent.IsZero()
	}
	calls := s.calls()
	return !calls && (d.Parent.IsZero() || s.isRemote())
}

// inProgress says whether the span was sent before its end: it has no end, or carries
// X-Ray's own attribute, which the collector's awsxrayreceiver sets.
func (s *Span) inProgress() bool {
	if s.End == 0 {
		return true
	}
	v := s.get(keyAWSXRayInProgress)
	return v != nil && v.kind == boolValue && v.num == 1
}

// toDependency turns d into the subsegment of the call that a local root makes.
func (m *Mapper) toDependency(d *Document) {
	d.Subsegment = true
	if d.Namespace == "" {
		d.Namespace = "remote"
	}
	if d.Span.has(keyAWSRemoteService) {
		d.Name = d.Span.trimSDK(d.Span.str(keyAWSRemoteService))
	}
}

// toService turns d into the segment of the service that a local root belongs to.
func (m *Mapper) toService(d *Document) {
	d.Subsegment, d.Namespace = false, ""
	if d.Span.has(keyAWSLocalService) {
		d.Name = d.Span.str(keyAWSLocalService)
	}
	d.HTTP = HTTP{}
	d.AWS.Call = Call{}
}

// kind returns the span's kind, for the service segment of a local root SpanInternal.
// Numbers that OpenTelemetry does not define are unspecified.
func (d *Document) kind() trace.SpanKind {
	switch {
	case d.Part > 0:
		return trace.SpanInternal
	case d.Span.Kind < 0 || d.Span.Kind > KindConsumer:
		return trace.SpanUnspecified
	}
	return trace.SpanKind(d.Span.Kind)
}

// KeepsLinks says whether the span's links belong to this document.
func (d *Document) KeepsLinks() bool {
	if d.Span.parts() == 1 {
		return true
	}
	return (d.Span.Kind == KindConsumer) == (d.Part == 1)
}

// serviceID derives the id of a local root's service segment from the span, so that the
// same span always gives the same segment. The collector draws it at random.
func serviceID(s *Span) trace.SegmentID { return derivedID(s, 's', 0) }

// derivedID derives an id for a part of a span that has none.
func derivedID(s *Span, what byte, index int) trace.SegmentID {
	var b [33]byte
	copy(b[:16], s.TraceID[:])
	copy(b[16:24], s.ID[:])
	b[24] = what
	binary.BigEndian.PutUint64(b[25:], uint64(index))
	h := fnv.New64a()
	h.Write(b[:])
	var id trace.SegmentID
	// The finalizer of MurmurHash3 spreads what FNV leaves in the low bits.
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	binary.BigEndian.PutUint64(id[:], max(x^x>>33, 1))
	return id
}

// trimSDK removes the prefix that ADOT adds to names of AWS services.
func (s *Span) trimSDK(name string) string {
	if !s.awsSDK() {
		return name
	}
	if after, ok := strings.CutPrefix(name, "AWS.SDK."); ok {
		return after
	}
	return strings.TrimPrefix(name, "AWS::")
}

// awsSDK says whether an AWS SDK made the span for a call.
func (s *Span) awsSDK() bool { return s.str(keyRPCSystem) == awsRPC }
