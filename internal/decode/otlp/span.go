package otlp

import (
	"fmt"
	"math"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// The span kinds of opentelemetry.proto.trace.v1.Span.SpanKind.
const (
	KindUnspecified = iota
	KindInternal
	KindServer
	KindClient
	KindProducer
	KindConsumer
)

// statusError is opentelemetry.proto.trace.v1.Status.STATUS_CODE_ERROR.
const statusError = 2

// Span.flags: whether the parent is in another process, and whether that is known.
const (
	flagHasRemote = 0x100
	flagIsRemote  = 0x200
)

// Limits of one span, far above what SDKs send (128 of each by default). They bound the
// memory that a small message can take.
const (
	maxAttributes = 10_000
	maxEvents     = 10_000
	maxLinks      = 10_000
)

// Span is a parsed opentelemetry.proto.trace.v1.Span. It shares the memory of the
// message.
type Span struct {
	SpanHead
	Events []Event
	Links  []Link
	attrs
}

// SpanHead holds the fields of a span that need no memory of their own.
type SpanHead struct {
	TraceID    trace.ID
	ID, Parent trace.SegmentID
	State      string
	Name       string
	Kind       int32
	Flags      uint32
	Start, End uint64
	Status     int32
	StatusText string
	Dropped    [3]uint32 // attributes, events, links
}

// Event is a parsed Span.Event.
type Event struct {
	Name       string
	Time       uint64
	Attributes []Attribute
	Dropped    uint32
}

// Link is a parsed Span.Link.
type Link struct {
	TraceID    trace.ID
	ID         trace.SegmentID
	State      string
	flags      uint32
	Attributes []Attribute
	dropped    uint32
}

// attrs are the attributes of a span or resource, addressable by key.
type attrs struct {
	list  []Attribute
	first [keyCount]uint16 // position in list, plus 1
	// http and aws say whether any attribute belongs to these blocks.
	http, aws bool
}

// reset removes all attributes but keeps their memory.
func (a *attrs) reset() {
	for i := range a.list {
		a.first[a.list[i].key] = 0
	}
	a.list, a.http, a.aws = a.list[:0], false, false
}

// add appends a KeyValue message.
func (a *attrs) add(b []byte) error {
	if len(a.list) >= maxAttributes {
		return invalidSpan(fmt.Sprintf("more than %d attributes", maxAttributes))
	}
	if a.list == nil {
		a.list = make([]Attribute, 0, 16)
	}
	a.list = append(a.list, Attribute{})
	x := &a.list[len(a.list)-1]
	if err := parseAttr(b, x); err != nil {
		return fmt.Errorf("attribute %d: %w", len(a.list)-1, err)
	}
	if x.key != keyOther && a.first[x.key] == 0 {
		a.first[x.key] = uint16(len(a.list))
		a.http = a.http || x.key <= lastHTTPKey
		a.aws = a.aws || x.key > lastHTTPKey && x.key <= lastAWSKey
	}
	return nil
}

// get returns the value of the first attribute with this key, nil if there is none.
func (a *attrs) get(k key) *Value {
	if i := a.first[k]; i > 0 {
		return &a.list[i-1].Value
	}
	return nil
}

func (a *attrs) has(k key) bool { return a.first[k] > 0 }

// str returns the string under k, "" if there is none.
func (a *attrs) str(k key) string {
	if i := a.first[k]; i > 0 {
		return a.list[i-1].Value.Text()
	}
	return ""
}

// firstStr returns the first non-empty string under ks.
func (a *attrs) firstStr(ks ...key) string {
	for _, k := range ks {
		if s := a.str(k); s != "" {
			return s
		}
	}
	return ""
}

func (s *Span) isRemote() bool {
	return s.Flags&(flagHasRemote|flagIsRemote) == flagHasRemote|flagIsRemote
}

// invalidSpan is the reason to reject a span whose message is well-formed.
type invalidSpan string

// Error returns the reason.
func (e invalidSpan) Error() string { return string(e) }

// parse reads a Span message into s and reuses the memory of s. The error is an
// invalidSpan if the message is well-formed but the span cannot be stored.
func (s *Span) parse(b []byte) error {
	s.attrs.reset()
	s.SpanHead, s.Events, s.Links = SpanHead{}, s.Events[:0], s.Links[:0]
	var invalid error
	hasTrace, hasID := false, false
	f := FieldsOf(b)
	for f.Next() {
		var err error
		switch {
		case f.Is(9, Bytes):
			err = s.add(f.Data)
		case f.Is(1, Bytes):
			hasTrace = copyID(s.TraceID[:], f.Data, "trace id", &invalid)
		case f.Is(2, Bytes):
			hasID = copyID(s.ID[:], f.Data, "span id", &invalid)
		case f.Is(3, Bytes):
			s.State = Text(f.Data)
		case f.Is(4, Bytes):
			if len(f.Data) > 0 {
				copyID(s.Parent[:], f.Data, "parent span id", &invalid)
			}
		case f.Is(5, Bytes):
			s.Name = Text(f.Data)
		case f.Is(6, Varint):
			s.Kind = int32(f.Num)
		case f.Is(7, Fixed64):
			s.Start = f.Num
		case f.Is(8, Fixed64):
			s.End = f.Num
		case f.Is(16, Fixed32):
			s.Flags = uint32(f.Num)
		default:
			err = s.parseRare(&f, &invalid)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case f.err != nil:
		return f.err
	case invalid != nil:
		return invalid
	}
	return s.check(hasTrace, hasID)
}

// parseRare reads the fields that most spans do not have.
func (s *Span) parseRare(f *Fields, invalid *error) error {
	switch {
	case f.Is(10, Varint):
		s.Dropped[0] = uint32(f.Num)
	case f.Is(11, Bytes):
		if len(s.Events) >= maxEvents {
			return invalidSpan(fmt.Sprintf("more than %d events", maxEvents))
		}
		s.Events = append(s.Events, Event{})
		if err := s.Events[len(s.Events)-1].parse(f.Data); err != nil {
			return fmt.Errorf("event %d: %w", len(s.Events)-1, err)
		}
	case f.Is(12, Varint):
		s.Dropped[1] = uint32(f.Num)
	case f.Is(13, Bytes):
		if len(s.Links) >= maxLinks {
			return invalidSpan(fmt.Sprintf("more than %d links", maxLinks))
		}
		s.Links = append(s.Links, Link{})
		if err := s.Links[len(s.Links)-1].parse(f.Data, invalid); err != nil {
			return fmt.Errorf("link %d: %w", len(s.Links)-1, err)
		}
	case f.Is(14, Varint):
		s.Dropped[2] = uint32(f.Num)
	case f.Is(15, Bytes):
		if err := s.parseStatus(f.Data); err != nil {
			return fmt.Errorf("status: %w", err)
		}
	}
	return nil
}

func (s *Span) parseStatus(b []byte) error {
	f := FieldsOf(b)
	for f.Next() {
		switch {
		case f.Is(2, Bytes):
			s.StatusText = Text(f.Data)
		case f.Is(3, Varint):
			s.Status = int32(f.Num)
		}
	}
	return f.err
}

// check returns the reason why a span cannot be stored: spans are stored under their ids
// and times, so these must be valid (OTLP: an id of zeros is invalid).
func (s *Span) check(hasTrace, hasID bool) error {
	switch {
	case !hasTrace:
		return invalidSpan("no trace id")
	case s.TraceID.IsZero():
		return invalidSpan("trace id is all zeros")
	case !hasID:
		return invalidSpan("no span id")
	case s.ID.IsZero():
		return invalidSpan("span id is all zeros")
	case s.Start > math.MaxInt64:
		return invalidSpan(fmt.Sprintf("start time %d ns is after the year 2262", s.Start))
	case s.End > math.MaxInt64:
		return invalidSpan(fmt.Sprintf("end time %d ns is after the year 2262", s.End))
	}
	return nil
}

// copyID copies an id and says whether there is one. It notes the first id of a wrong
// size in invalid.
func copyID(dst, src []byte, what string, invalid *error) bool {
	if len(src) == len(dst) {
		copy(dst, src)
		return true
	}
	if len(src) > 0 && *invalid == nil {
		*invalid = invalidSpan(fmt.Sprintf("%s has %d bytes, want %d", what, len(src), len(dst)))
	}
	return false
}

func (e *Event) parse(b []byte) error {
	f := FieldsOf(b)
	for f.Next() {
		var err error
		switch {
		case f.Is(1, Fixed64):
			e.Time = f.Num
		case f.Is(2, Bytes):
			e.Name = Text(f.Data)
		case f.Is(3, Bytes):
			e.Attributes, err = appendAttr(e.Attributes, f.Data)
		case f.Is(4, Varint):
			e.Dropped = uint32(f.Num)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

func (l *Link) parse(b []byte, invalid *error) error {
	f := FieldsOf(b)
	for f.Next() {
		var err error
		switch {
		case f.Is(1, Bytes):
			copyID(l.TraceID[:], f.Data, "trace id of a link", invalid)
		case f.Is(2, Bytes):
			copyID(l.ID[:], f.Data, "span id of a link", invalid)
		case f.Is(3, Bytes):
			l.State = Text(f.Data)
		case f.Is(4, Bytes):
			l.Attributes, err = appendAttr(l.Attributes, f.Data)
		case f.Is(5, Varint):
			l.dropped = uint32(f.Num)
		case f.Is(6, Fixed32):
			l.flags = uint32(f.Num)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

// appendAttr appends a KeyValue message to a short list.
func appendAttr(list []Attribute, b []byte) ([]Attribute, error) {
	var a Attribute
	if err := parseAttr(b, &a); err != nil {
		return nil, fmt.Errorf("attribute %d: %w", len(list), err)
	}
	return append(list, a), nil
}

// find returns the first value under k in a short list, nil if there is none.
func find(list []Attribute, k key) *Value {
	for i := range list {
		if list[i].key == k {
			return &list[i].Value
		}
	}
	return nil
}

// typed converts a link of a span.
func (l *Link) typed() trace.Link {
	out := trace.Link{TraceID: l.TraceID, ID: l.ID}
	for i := range l.Attributes {
		if a := &l.Attributes[i]; a.Name() == trace.LinkReference {
			out.Child = a.Value.Text() == trace.LinkChild
		}
	}
	return out
}
