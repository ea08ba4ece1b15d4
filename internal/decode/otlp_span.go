package decode

import (
	"fmt"
	"math"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// The span kinds of opentelemetry.proto.trace.v1.Span.SpanKind.
const (
	kindUnspecified = iota
	kindInternal
	kindServer
	kindClient
	kindProducer
	kindConsumer
)

// statusError is opentelemetry.proto.trace.v1.Status.STATUS_CODE_ERROR.
const statusError = 2

// Span.flags: whether the parent is in another process, and whether that is known.
const (
	flagHasRemote = 0x100
	flagIsRemote  = 0x200
)

// Limits of one span, far above what SDKs send (128 of each by default). They
// bound how much memory a small message can take once it is taken apart.
const (
	maxAttributes = 10_000
	maxEvents     = 10_000
	maxLinks      = 10_000
)

// span is one opentelemetry.proto.trace.v1.Span, taken apart. All of it is a
// view of the message.
type span struct {
	spanHead
	events []event
	links  []link
	attrs
}

// spanHead is the part of a span that has no memory of its own.
type spanHead struct {
	traceID    trace.ID
	id, parent trace.SegmentID
	state      string
	name       string
	kind       int32
	flags      uint32
	start, end uint64
	status     int32
	statusText string
	dropped    [3]uint32 // attributes, events, links
}

// event is one Span.Event.
type event struct {
	name    string
	time    uint64
	attrs   []attr
	dropped uint32
}

// link is one Span.Link.
type link struct {
	traceID trace.ID
	id      trace.SegmentID
	state   string
	flags   uint32
	attrs   []attr
	dropped uint32
}

// attrs are the attributes of a span or resource, addressable by key.
type attrs struct {
	list  []attr
	first [keyCount]uint16 // position in list, plus 1
	// http and aws say whether any attribute belongs to these blocks.
	http, aws bool
}

// reset forgets all attributes but keeps their memory.
func (a *attrs) reset() {
	for i := range a.list {
		a.first[a.list[i].key] = 0
	}
	a.list, a.http, a.aws = a.list[:0], false, false
}

// add appends one KeyValue message.
func (a *attrs) add(b []byte) error {
	if len(a.list) >= maxAttributes {
		return invalidSpan(fmt.Sprintf("more than %d attributes", maxAttributes))
	}
	if a.list == nil {
		a.list = make([]attr, 0, 16)
	}
	a.list = append(a.list, attr{})
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

// get is the value of the first attribute with this key, nil if there is none.
func (a *attrs) get(k key) *anyValue {
	if i := a.first[k]; i > 0 {
		return &a.list[i-1].value
	}
	return nil
}

func (a *attrs) has(k key) bool { return a.first[k] > 0 }

// str is the string under k, "" if there is none or it is no string.
func (a *attrs) str(k key) string {
	if i := a.first[k]; i > 0 {
		return a.list[i-1].value.str()
	}
	return ""
}

// firstStr is the first of the strings under ks that is not empty.
func (a *attrs) firstStr(ks ...key) string {
	for _, k := range ks {
		if s := a.str(k); s != "" {
			return s
		}
	}
	return ""
}

func (s *span) isRemote() bool {
	return s.flags&(flagHasRemote|flagIsRemote) == flagHasRemote|flagIsRemote
}

// invalidSpan is why one span cannot be taken, though the message is sound.
type invalidSpan string

func (e invalidSpan) Error() string { return string(e) }

// parse reads a Span message over s, reusing its memory. The error is an
// invalidSpan if the message is sound but the span cannot be kept.
func (s *span) parse(b []byte) error {
	s.attrs.reset()
	s.spanHead, s.events, s.links = spanHead{}, s.events[:0], s.links[:0]
	var invalid error
	var f wireField
	var err error
	hasTrace, hasID := false, false
	for len(b) > 0 {
		if b, err = f.next(b); err != nil {
			return err
		}
		switch {
		case f.is(9, wireBytes):
			err = s.add(f.data)
		case f.is(1, wireBytes):
			hasTrace = copyID(s.traceID[:], f.data, "trace id", &invalid)
		case f.is(2, wireBytes):
			hasID = copyID(s.id[:], f.data, "span id", &invalid)
		case f.is(3, wireBytes):
			s.state = text(f.data)
		case f.is(4, wireBytes):
			if len(f.data) > 0 {
				copyID(s.parent[:], f.data, "parent span id", &invalid)
			}
		case f.is(5, wireBytes):
			s.name = text(f.data)
		case f.is(6, wireVarint):
			s.kind = int32(f.num64)
		case f.is(7, wireFixed64):
			s.start = f.num64
		case f.is(8, wireFixed64):
			s.end = f.num64
		case f.is(16, wireFixed32):
			s.flags = uint32(f.num64)
		default:
			err = s.parseRare(&f, &invalid)
		}
		if err != nil {
			return err
		}
	}
	if invalid != nil {
		return invalid
	}
	return s.check(hasTrace, hasID)
}

// parseRare reads the fields that most spans do not have.
func (s *span) parseRare(f *wireField, invalid *error) error {
	switch {
	case f.is(10, wireVarint):
		s.dropped[0] = uint32(f.num64)
	case f.is(11, wireBytes):
		if len(s.events) >= maxEvents {
			return invalidSpan(fmt.Sprintf("more than %d events", maxEvents))
		}
		s.events = append(s.events, event{})
		if err := s.events[len(s.events)-1].parse(f.data); err != nil {
			return fmt.Errorf("event %d: %w", len(s.events)-1, err)
		}
	case f.is(12, wireVarint):
		s.dropped[1] = uint32(f.num64)
	case f.is(13, wireBytes):
		if len(s.links) >= maxLinks {
			return invalidSpan(fmt.Sprintf("more than %d links", maxLinks))
		}
		s.links = append(s.links, link{})
		if err := s.links[len(s.links)-1].parse(f.data, invalid); err != nil {
			return fmt.Errorf("link %d: %w", len(s.links)-1, err)
		}
	case f.is(14, wireVarint):
		s.dropped[2] = uint32(f.num64)
	case f.is(15, wireBytes):
		if err := s.parseStatus(f.data); err != nil {
			return fmt.Errorf("status: %w", err)
		}
	}
	return nil
}

func (s *span) parseStatus(b []byte) error {
	var f wireField
	var err error
	for len(b) > 0 {
		if b, err = f.next(b); err != nil {
			return err
		}
		switch {
		case f.is(2, wireBytes):
			s.statusText = text(f.data)
		case f.is(3, wireVarint):
			s.status = int32(f.num64)
		}
	}
	return nil
}

// check says why a sound span cannot be kept: spans are stored under their ids
// and times, so these must be real (OTLP: ids of zeros only are invalid).
func (s *span) check(hasTrace, hasID bool) error {
	switch {
	case !hasTrace:
		return invalidSpan("no trace id")
	case s.traceID.IsZero():
		return invalidSpan("trace id is all zeros")
	case !hasID:
		return invalidSpan("no span id")
	case s.id.IsZero():
		return invalidSpan("span id is all zeros")
	case s.start > math.MaxInt64:
		return invalidSpan(fmt.Sprintf("start time %d ns is after the year 2262", s.start))
	case s.end > math.MaxInt64:
		return invalidSpan(fmt.Sprintf("end time %d ns is after the year 2262", s.end))
	}
	return nil
}

// copyID copies an id of exactly the right size and says whether there is one;
// the first id of another size is noted in invalid.
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

func (e *event) parse(b []byte) error {
	var f wireField
	var err error
	for len(b) > 0 {
		if b, err = f.next(b); err != nil {
			return err
		}
		switch {
		case f.is(1, wireFixed64):
			e.time = f.num64
		case f.is(2, wireBytes):
			e.name = text(f.data)
		case f.is(3, wireBytes):
			e.attrs, err = appendAttr(e.attrs, f.data)
		case f.is(4, wireVarint):
			e.dropped = uint32(f.num64)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *link) parse(b []byte, invalid *error) error {
	var f wireField
	var err error
	for len(b) > 0 {
		if b, err = f.next(b); err != nil {
			return err
		}
		switch {
		case f.is(1, wireBytes):
			copyID(l.traceID[:], f.data, "trace id of a link", invalid)
		case f.is(2, wireBytes):
			copyID(l.id[:], f.data, "span id of a link", invalid)
		case f.is(3, wireBytes):
			l.state = text(f.data)
		case f.is(4, wireBytes):
			l.attrs, err = appendAttr(l.attrs, f.data)
		case f.is(5, wireVarint):
			l.dropped = uint32(f.num64)
		case f.is(6, wireFixed32):
			l.flags = uint32(f.num64)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// appendAttr adds one KeyValue message to a short list.
func appendAttr(list []attr, b []byte) ([]attr, error) {
	var a attr
	if err := parseAttr(b, &a); err != nil {
		return nil, fmt.Errorf("attribute %d: %w", len(list), err)
	}
	return append(list, a), nil
}

// find is the first value under k in a short list, nil if there is none.
func find(list []attr, k key) *anyValue {
	for i := range list {
		if list[i].key == k {
			return &list[i].value
		}
	}
	return nil
}
