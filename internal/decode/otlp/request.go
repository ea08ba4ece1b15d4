package otlp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fluoro-io/fluoro/internal/slab"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Limits of one OTLP request. They bound the memory that a small body can take.
const (
	// MaxSpans is how many spans of a request are accepted; the others are rejected.
	MaxSpans = 100_000
	// maxRejections is how many rejected spans are described one by one.
	maxRejections = 100
)

// Spans is the decoded content of an OTLP request.
type Spans struct {
	// Segments are in the order of the spans. A span gives one segment; an Application
	// Signals local root that calls another service gives two.
	Segments []*trace.Segment
	// Spans counts the spans of the request, rejected ones included.
	Spans int
	// Rejected describes the first 100 rejected spans.
	Rejected []RejectedSpan
	// RejectedSpans counts the rejected spans: partial_success.rejected_spans.
	RejectedSpans int
	// Unknown describes the first data that was dropped because it is unknown here and
	// belongs to no span: its place and size.
	Unknown string
	// UnknownData counts the places with such data, HiddenSpans the spans found in it.
	UnknownData, HiddenSpans int
}

// RejectedSpan is a span that cannot be stored though its message is well-formed.
type RejectedSpan struct {
	// Index is the span's position in the request, from 0.
	Index int
	// TraceID and ID are the span's, as far as they could be read.
	TraceID trace.ID
	ID      trace.SegmentID
	// Reason says what is wrong.
	Reason string
}

// Message says what was rejected or dropped, and why, for partial_success.error_message;
// "" if nothing was.
func (s *Spans) Message() string {
	text := s.rejection()
	if s.UnknownData == 0 {
		return text
	}
	if text != "" {
		text += "; "
	}
	text += "not kept, because it is no part of a request for traces that is known here: " + s.Unknown
	if s.UnknownData > 1 {
		text += fmt.Sprintf(", and data in %d other places", s.UnknownData-1)
	}
	if s.HiddenSpans > 0 {
		text += fmt.Sprintf("; %d spans are in it", s.HiddenSpans)
	}
	return text
}

func (s *Spans) rejection() string {
	if s.RejectedSpans == 0 {
		return ""
	}
	first := s.Rejected[0]
	return fmt.Sprintf("%d of %d spans rejected; span %d (trace %s, span %s): %s",
		s.RejectedSpans, s.Spans, first.Index, first.TraceID.Hex(), first.ID, first.Reason)
}

// unknown counts a field that its message does not define.
func (s *Spans) unknown(f *Fields, place func() string) {
	typ := f.Tag & 7
	if typ == Bytes && len(f.Data) == 0 || typ != Bytes && typ != group && f.Num == 0 {
		return // empty
	}
	if s.UnknownData++; s.UnknownData > 1 {
		return
	}
	s.Unknown = fmt.Sprintf("field %d of %s", f.Tag>>3, place())
	if typ == Bytes {
		s.Unknown += fmt.Sprintf(" (%d bytes)", len(f.Data))
	}
}

// Reject adds a rejected span.
func (s *Spans) Reject(r RejectedSpan) {
	s.RejectedSpans++
	if len(s.Rejected) < maxRejections {
		s.Rejected = append(s.Rejected, r)
	}
}

// Proto decodes an ExportTraceServiceRequest in protobuf by the default Options; see
// [Mapper.Proto].
func Proto(body []byte, at trace.Time) (Spans, error) { return new(Mapper).Proto(body, at) }

// JSON decodes an ExportTraceServiceRequest in OTLP/JSON by the default Options;
// see [Mapper.JSON].
func JSON(body []byte, at trace.Time) (Spans, error) { return new(Mapper).JSON(body, at) }

// Proto decodes an ExportTraceServiceRequest in protobuf
// (opentelemetry.proto.collector.trace.v1). The segments own body and their strings
// share its memory: do not change body, and clone a string to keep it longer than its
// segment. at is the time of receipt. The error says where the message is malformed;
// then nothing of it can be used. Invalid UTF-8 in strings becomes U+FFFD.
func (m *Mapper) Proto(body []byte, at trace.Time) (Spans, error) {
	d := decoder{mapper: m, at: at, memory: slab.NewSegments()}
	if err := d.request(body); err != nil {
		return Spans{}, &trace.KindError{Kind: trace.KindInvalid, Message: "malformed OTLP request: " + err.Error()}
	}
	return d.out, nil
}

// Span decodes one span again from its stored form: its protobuf message and its scope.
// The segments own raw.
func (m *Mapper) Span(raw []byte, scope *trace.OTLPScope, at trace.Time) ([]*trace.Segment, error) {
	if scope == nil {
		scope = new(trace.OTLPScope)
	}
	source, err := m.source(scope.Resource)
	if err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	d := decoder{mapper: m, at: at, res: source.res, scope: scope, memory: slab.NewSegments()}
	if err := d.span.parse(raw); err != nil {
		return nil, err
	}
	if err := m.checkTimes(&d.span, at); err != nil {
		return nil, err
	}
	d.add(raw)
	return d.out.Segments, nil
}

// decoder decodes one request.
type decoder struct {
	mapper *Mapper
	at     trace.Time
	out    Spans
	res    *resource // of the spans being read
	scope  *trace.OTLPScope
	span   Span     // scratch
	doc    Document // scratch
	memory slab.Segments
	place  place
}

// request reads an ExportTraceServiceRequest message.
func (d *decoder) request(b []byte) error {
	f := FieldsOf(b)
	for f.Next() {
		if !f.Is(1, Bytes) {
			d.out.unknown(&f, func() string { return "the request" })
			continue
		}
		if err := d.resourceSpans(f.Data); err != nil {
			return fmt.Errorf("resourceSpans[%d]%w", d.place.resource, err)
		}
		d.place.resource++
	}
	return f.err
}

// place is the position in the request.
type place struct{ resource, scope int }

func (p place) resourceSpans() string { return fmt.Sprintf("resourceSpans[%d]", p.resource) }

func (p place) scopeSpans() string {
	return fmt.Sprintf("resourceSpans[%d].scopeSpans[%d]", p.resource, p.scope)
}

// legacyScopeSpans is the field instrumentation_library_spans of ResourceSpans, which
// held the spans before opentelemetry-proto 0.15; its messages have the fields of
// ScopeSpans. A request may have both fields: the store counts a span that was sent
// twice once.
const legacyScopeSpans = 1000

func (f *Fields) isScopeSpans() bool {
	return f.Is(2, Bytes) || f.Is(legacyScopeSpans, Bytes)
}

// resourceSpans reads a ResourceSpans message. It reads the resource first, which may
// stand after the spans.
func (d *decoder) resourceSpans(b []byte) error {
	var res, schema []byte
	f := FieldsOf(b)
	for f.Next() {
		switch {
		case f.Is(1, Bytes):
			res = merged(res, f.Data)
		case f.Is(3, Bytes):
			schema = f.Data
		case !f.isScopeSpans():
			d.out.unknown(&f, d.place.resourceSpans)
		}
	}
	if f.err != nil {
		return fmt.Errorf(": %w", f.err)
	}
	source, err := d.mapper.source(res)
	if err != nil {
		return fmt.Errorf(".resource: %w", err)
	}
	d.res = source.res
	i := 0
	for f = FieldsOf(b); f.Next(); {
		if !f.isScopeSpans() {
			continue
		}
		d.place.scope = i
		if err := d.scopeSpans(f.Data, source, schema); err != nil {
			return fmt.Errorf(".scopeSpans[%d]%w", i, err)
		}
		i++
	}
	return nil
}

// merged joins two occurrences of a message: protobuf prescribes to append the second to
// the first.
func merged(first, second []byte) []byte {
	if first == nil {
		return second[:len(second):len(second)]
	}
	return append(first, second...)
}

// scopeSpans reads a ScopeSpans message of a resource; outer is the resource's schema
// URL.
func (d *decoder) scopeSpans(b []byte, source *source, outer []byte) error {
	var scope, schema []byte
	spans := 0
	f := FieldsOf(b)
	for f.Next() {
		switch {
		case f.Is(1, Bytes):
			scope = merged(scope, f.Data)
		case f.Is(2, Bytes):
			spans++
		case f.Is(3, Bytes):
			schema = f.Data
		default:
			d.out.unknown(&f, d.place.scopeSpans)
		}
	}
	if f.err != nil {
		return fmt.Errorf(": %w", f.err)
	}
	if err := checkScope(scope); err != nil {
		return fmt.Errorf(".scope: %w", err)
	}
	d.scope = source.scope(scope, outer, schema)
	d.out.Segments = slices.Grow(d.out.Segments, min(spans, MaxSpans-min(d.out.Spans, MaxSpans)))
	i := 0
	for f = FieldsOf(b); f.Next(); {
		if !f.Is(2, Bytes) {
			continue
		}
		if err := d.oneSpan(f.Data); err != nil {
			return fmt.Errorf(".spans[%d]: %w", i, err)
		}
		i++
	}
	return nil
}

// oneSpan reads a Span message.
func (d *decoder) oneSpan(b []byte) error {
	index := d.out.Spans
	d.out.Spans++
	if index >= MaxSpans {
		d.out.Reject(RejectedSpan{Index: index, Reason: fmt.Sprintf("more than %d spans in one request", MaxSpans)})
		return nil
	}
	err := d.span.parse(b)
	if err == nil && len(b) > trace.MaxDocument {
		err = invalidSpan(fmt.Sprintf("span has %d bytes, more than %d", len(b), trace.MaxDocument))
	}
	if err == nil {
		err = d.mapper.checkTimes(&d.span, d.at)
	}
	if invalid, ok := errors.AsType[invalidSpan](err); ok {
		d.out.Reject(RejectedSpan{Index: index, TraceID: d.span.TraceID, ID: d.span.ID, Reason: string(invalid)})
		return nil
	}
	if err != nil {
		return err
	}
	d.add(b)
	return nil
}

// add maps the span that was just read.
func (d *decoder) add(raw []byte) {
	for part := range d.span.parts() {
		seg := d.memory.Segments.One()
		d.mapper.mapSpan(&d.doc, &d.span, d.res, uint8(part), false)
		d.mapper.fill(seg, &d.doc, &d.memory)
		seg.Source, seg.Raw, seg.Scope, seg.Attributes = d.mapper.segmentSource(), raw, d.scope, d.res.attributes()
		seg.ReceivedAt, seg.Entity.ReceivedAt = d.at, d.at
		d.out.Segments = append(d.out.Segments, seg)
	}
}

// checkScope reads an InstrumentationScope message to its end.
func checkScope(b []byte) error {
	_, err := parseScope(b)
	return err
}

// checkTimes refuses trace ids that X-Ray refused in the past, if the options say so.
func (m *Mapper) checkTimes(s *Span, at trace.Time) error {
	if !m.options.CheckTraceIDTime {
		return nil
	}
	if !plausible(s.TraceID, at) {
		return invalidSpan("invalid xray traceid: " + s.TraceID.Hex())
	}
	for i := range s.Links {
		if !plausible(s.Links[i].TraceID, at) {
			return invalidSpan("invalid xray traceid: " + s.Links[i].TraceID.Hex())
		}
	}
	return nil
}

// plausible says whether a trace id begins with a time from 28 days ago to 5 minutes
// ahead.
func plausible(id trace.ID, at trace.Time) bool {
	epoch := int64(id[0])<<24 | int64(id[1])<<16 | int64(id[2])<<8 | int64(id[3])
	age := int64(at)/1e9 - epoch
	return age <= 28*24*3600 && age >= -5*60
}

// fill makes a segment from a document.
func (m *Mapper) fill(seg *trace.Segment, d *Document, memory *slab.Segments) {
	s := d.Span
	seg.TraceID, seg.Part, seg.Independent = s.TraceID, d.Part, d.Subsegment
	e := &seg.Entity
	e.ID, e.ParentID, e.Name, e.Peer, e.Namespace = d.ID, d.Parent, d.Name, d.Peer, d.Namespace
	e.Origin, e.User, e.ResourceARN, e.Version = d.res.origin, d.User, d.res.arn, d.res.version
	e.Start, e.End, e.InProgress = trace.Time(s.Start), trace.Time(s.End), d.InProgress
	if d.InProgress {
		e.End = 0
	}
	e.Subsegment = d.Subsegment
	if m.native() { // without Span it is joined as X-Ray joins the exporter's documents
		e.Span = memory.Spans.One()
		*e.Span = trace.Span{Kind: d.kind(), Name: s.Name, Resource: &d.res.kept.identity}
	}
	e.Error, e.Fault, e.Throttle = d.Error, d.Fault, d.Throttle
	if h := &d.HTTP; h.Present {
		e.HTTP = trace.HTTP{URL: h.URL, Method: h.Method, UserAgent: h.UserAgent, ClientIP: h.ClientIP, Status: int(h.Status), Length: max(0, h.ContentLength)}
	}
	if a := &d.AWS; a.Present {
		block := trace.AWS{AccountID: a.Account, Operation: a.Operation, Region: a.Region, TableName: a.TableName, BucketName: a.Bucket,
			QueueURL: a.QueueURL, TopicARN: a.TopicARN, FunctionName: a.Function, SamplingRule: a.SamplingRule}
		block.InstanceID, block.AvailabilityZone = d.res.instance, d.res.zone
		e.AWS = memory.AWS(block)
	}
	if q := &d.SQL; q.Present {
		e.SQL = memory.SQL(trace.SQL{URL: q.URL, DatabaseType: q.System, User: q.User, SanitizedQuery: q.Query})
	}
	if len(d.Exceptions) > 0 {
		e.Cause.Exceptions = make([]trace.Exception, len(d.Exceptions))
		for i := range d.Exceptions {
			x := &d.Exceptions[i]
			e.Cause.Exceptions[i] = trace.Exception{ID: x.ID.String(), Type: x.Type, Message: x.Message, Remote: x.Remote}
			if !x.Cause.IsZero() {
				e.Cause.Exceptions[i].Cause = x.Cause.String()
			}
		}
	}
	if m.indexes(d) {
		memory.Scratch = memory.Scratch[:0]
		d.eachAnnotation(func(name string, v *Value) {
			memory.Scratch = append(memory.Scratch, trace.Annotation{Key: name, Value: v.annotation()})
		})
		e.Annotations = memory.Annotations(memory.Scratch)
	}
	if len(s.Links) > 0 && d.KeepsLinks() {
		e.Links = make([]trace.Link, len(s.Links))
		for i := range s.Links {
			e.Links[i] = s.Links[i].typed()
		}
	}
}
