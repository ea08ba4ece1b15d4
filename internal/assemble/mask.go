package assemble

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Mask returns the part of a trace that a reader sees, as if the other segments had
// never arrived: nodes, edges and everything that is made of them know nothing of
// hidden segments. Only Trace.Hidden tells how many there are, and where. sees is asked
// about each segment of the trace, placeholders included, and about refused documents.
// The result is t itself if the reader sees everything, nil if nothing.
//
// A visible call keeps its name for the callee, because this is data of the caller. The
// callee becomes a node that only its caller reports.
func Mask(t *trace.Trace, sees func(segment *trace.Entity) bool) *trace.Trace {
	var hidden map[*trace.Entity]*trace.Hidden
	for _, s := range t.Segments {
		if !sees(s) || !seesSpans(s, sees) {
			if hidden == nil {
				hidden = map[*trace.Entity]*trace.Hidden{}
			}
			hidden[s] = nil
		}
	}
	switch len(hidden) {
	case len(t.Segments):
		return nil
	case 0:
		// A refused document may say more than the one that is shown.
		open := slices.DeleteFunc(slices.Clone(t.Refused), func(r trace.Refused) bool { return !r.In.Independent && !sees(&r.In.Entity) })
		if len(open) == len(t.Refused) {
			return t
		}
		whole := *t
		whole.Refused = open
		return &whole
	}
	m := &mask{from: t, hidden: hidden, copies: map[*trace.Entity]*trace.Entity{}, at: map[trace.SegmentID]*trace.Hidden{}}
	m.to = &trace.Trace{ID: t.ID, Partial: true, LimitExceeded: t.LimitExceeded}
	m.copy()
	m.link()
	m.measure()
	m.place()
	connect(m.to, &memory{})
	return m.to
}

// seesSpans reports whether a reader sees the spans in a segment under the service of
// their resource as well. It may differ from the segment's name: attributes such as
// peer.service name segments, and spans join the segment of a document, which has no
// resource.
func seesSpans(s *trace.Entity, sees func(*trace.Entity) bool) bool {
	for e := range Within(s) {
		if e.Span == nil || e.Span.Resource.Service == "" || e.Span.Resource.Service == s.Name {
			continue
		}
		own := *e
		own.Name = e.Span.Resource.Service
		if !sees(&own) {
			return false
		}
	}
	return true
}

// UnknownService reports whether a segment is a placeholder whose service is not known.
func UnknownService(s *trace.Entity) bool {
	return s.Gap != trace.NoGap && (s.Name == missingSegment || s.Name == unknownService)
}

// Environment returns the deployment environment of a segment, "" if it is unknown. It
// is the first of: the attribute deployment.environment.name of the span's resource, or
// its older name deployment.environment; an annotation with one of these names, also
// with underscores as X-Ray writes them; aws.local.environment (Application Signals);
// the name of the Elastic Beanstalk environment in the aws block. A placeholder has the
// environment of its first subsegment.
func Environment(s *trace.Entity) string {
	if s.Gap != trace.NoGap {
		if len(s.Subsegments) == 0 {
			return ""
		}
		s = s.Subsegments[0]
	}
	if s.Span != nil && s.Span.Resource.Environment != "" {
		return s.Span.Resource.Environment
	}
	for _, name := range [...]string{"deployment.environment.name", "deployment.environment", "deployment_environment_name", "deployment_environment", "aws.local.environment", "aws_local_environment"} {
		for _, a := range s.Annotations {
			if a.Key == name && a.Value.Kind == trace.StringValue && a.Value.String != "" {
				return a.Value.String
			}
		}
	}
	if s.AWS == nil || s.Raw == nil {
		return ""
	}
	if v := jsonscan.Value(s.Raw).Get("aws", "elastic_beanstalk", "environment_name"); v.Kind() == jsonscan.String {
		return v.Text()
	}
	return ""
}

// mask makes the visible part of one trace.
type mask struct {
	from, to *trace.Trace
	hidden   map[*trace.Entity]*trace.Hidden // the hidden segments, with their placeholders
	copies   map[*trace.Entity]*trace.Entity // of the visible entities
	at       map[trace.SegmentID]*trace.Hidden
}

// isHidden reports whether a segment is hidden.
func (m *mask) isHidden(s *trace.Entity) bool {
	_, hidden := m.hidden[s]
	return hidden
}

// copy copies all visible entities, without their relations.
func (m *mask) copy() {
	for _, s := range m.from.Segments {
		if m.isHidden(s) {
			continue
		}
		for e := range Within(s) {
			c := *e
			c.Subsegments, c.Callees, c.Parent, c.Segment = nil, nil, nil, nil
			m.copies[e] = &c
		}
		m.to.Segments = append(m.to.Segments, m.copies[s])
	}
}

// link relates the copies. A segment whose caller is hidden gets the id of a placeholder
// as its parent.
func (m *mask) link() {
	for _, s := range m.from.Segments {
		if m.isHidden(s) {
			m.placeholder(s)
			continue
		}
		var gone trace.SegmentID // the hidden caller
		var instead *trace.Hidden
		if s.Parent != nil && s.Parent.Segment != nil && m.isHidden(s.Parent.Segment) {
			gone, instead = s.ParentID, m.placeholder(s.Parent.Segment)
		}
		for e := range Within(s) {
			c := m.copies[e]
			c.Segment = m.copies[s]
			if e.Parent != nil {
				c.Parent = m.copies[e.Parent]
			}
			for _, below := range e.Subsegments {
				c.Subsegments = append(c.Subsegments, m.copies[below])
			}
			for _, callee := range e.Callees {
				if to := m.copies[callee]; to != nil {
					c.Callees = append(c.Callees, to)
				}
			}
			if instead != nil && e.ParentID == gone {
				reparent(c, instead.Entity.ID)
			}
		}
	}
	for _, s := range m.to.Segments {
		if s.Parent == nil && s.ParentID.IsZero() && !s.Gap.Unknown() {
			m.to.Root = s
			break
		}
	}
	m.to.Entry = entry(m.to)
}

// placeholder returns the placeholder of a hidden segment. All hidden segments below one
// visible entity, with nothing visible between them, share one.
func (m *mask) placeholder(s *trace.Entity) *trace.Hidden {
	var path []*trace.Entity
	var circle trace.Hidden
	p := m.hidden[s]
	for p == nil {
		m.hidden[s] = &circle
		path = append(path, s)
		switch above := s.Parent; {
		case above == nil || above.Segment == nil:
			p = m.below(nil)
		case !m.isHidden(above.Segment):
			p = m.below(above)
		default:
			s = above.Segment
			p = m.hidden[s]
		}
	}
	if p == &circle { // these segments name each other as parents
		p = m.below(nil)
	}
	for _, s := range path {
		m.hidden[s] = p
		p.Segments++
	}
	return p
}

// below finds or makes the placeholder below a visible entity; nil: that of hidden
// segments with nothing visible above them.
func (m *mask) below(above *trace.Entity) *trace.Hidden {
	var key trace.SegmentID
	if above != nil {
		key = above.ID
	}
	if p := m.at[key]; p != nil {
		return p
	}
	e := &trace.Entity{Gap: trace.GapHidden, Inferred: true, ParentID: key}
	if above != nil {
		e.ID, e.Start, e.End, e.InProgress = madeID(key, "hidden"), above.Start, above.End, above.InProgress
		e.Parent = m.copies[above]
	} else {
		h := fnv.New64a()
		_, _ = h.Write(m.from.ID[:])
		_, _ = h.Write([]byte("hidden"))
		binary.BigEndian.PutUint64(e.ID[:], h.Sum64())
	}
	p := &trace.Hidden{Entity: e}
	m.at[key] = p
	return p
}

// place completes the placeholders. One with nothing visible above it covers the
// visible segments below it, or begins with the trace.
func (m *mask) place() {
	for key, p := range m.at {
		e := p.Entity
		if e.Name = fmt.Sprintf("%d segments you may not see", p.Segments); p.Segments == 1 {
			e.Name = "1 segment you may not see"
		}
		if key.IsZero() {
			first := true
			for _, s := range m.to.Segments {
				if s.ParentID != e.ID {
					continue
				}
				if first {
					e.Start, e.End, first = s.Start, s.End, false
				}
				e.Start, e.End, e.InProgress = min(e.Start, s.Start), max(e.End, s.End), e.InProgress || s.InProgress
			}
			if first {
				e.Start, e.End = m.to.Start, m.to.Start
			}
			if e.InProgress {
				e.End = 0
			}
		}
		m.to.Hidden = append(m.to.Hidden, *p)
	}
	slices.SortFunc(m.to.Hidden, func(a, b trace.Hidden) int { return byStart(a.Entity, b.Entity) })
}

// measure sets the times of the trace from what is visible.
func (m *mask) measure() {
	t, receipts, first := m.to, map[trace.Time]bool{}, true
	for e := range All(t) {
		if e.Gap != trace.NoGap {
			continue
		}
		if first {
			t.Start, t.FirstReceived, t.Updated, first = e.Start, e.ReceivedAt, e.ReceivedAt, false
		}
		receipts[e.ReceivedAt] = true
		t.Start, t.FirstReceived, t.Updated = min(t.Start, e.Start), min(t.FirstReceived, e.ReceivedAt), max(t.Updated, e.ReceivedAt)
		if e.InProgress {
			t.InProgress = true
		} else if t.End == 0 || e.End > t.End {
			t.End = e.End
		}
	}
	t.Revision = len(receipts)
}

// reparent replaces the id of an entity's parent, in its texts as well.
func reparent(e *trace.Entity, parent trace.SegmentID) {
	e.ParentID = parent
	if e.Raw != nil {
		o := openObject(nil)
		for name, v := range jsonscan.Value(e.Raw).Members() {
			if string(name) == "parent_id" {
				o.text("parent_id", parent.String())
			} else {
				o.raw(string(name), v)
			}
		}
		e.Raw = o.close()
	}
	if e.Received != nil && e.Received.Source.IsSpan() {
		received := *e.Received
		received.Raw = withParent(received.Raw, parent)
		e.Received = &received
	}
}

// withParent returns a copy of a protobuf span with another parent_span_id
// (opentelemetry-proto, trace.proto: field 4).
func withParent(raw []byte, parent trace.SegmentID) []byte {
	out := slices.Clone(raw)
	for rest := out; len(rest) > 0; {
		tag, size := binary.Uvarint(rest)
		if size <= 0 {
			return out
		}
		switch tag & 7 {
		case 0:
			_, n := binary.Uvarint(rest[size:])
			size += max(n, 1)
		case 1:
			size += 8
		case 2:
			length, n := binary.Uvarint(rest[size:])
			if size += max(n, 1); length > uint64(len(rest)) || size+int(length) > len(rest) {
				return out
			}
			size += int(length)
			if tag>>3 == 4 && length == uint64(len(parent)) {
				copy(rest[size-len(parent):size], parent[:])
			}
		case 5:
			size += 4
		default:
			return out
		}
		if size > len(rest) {
			return out
		}
		rest = rest[size:]
	}
	return out
}

// appendHidden appends the document of a placeholder for hidden segments.
func appendHidden(b []byte, t *trace.Trace, h *trace.Hidden) []byte {
	return append(appendGap(b, t, h.Entity, h.Segments), '}')
}
