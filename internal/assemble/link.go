package assemble

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// link puts every entity below its parent and fills the trace's lists. Entities that
// belong to no segment go below a placeholder, so that nothing is left out.
func (j *joiner) link(t *trace.Trace) {
	slices.SortStableFunc(j.order, func(a, b *piece) int {
		if a.order != b.order {
			return cmp.Compare(a.order, b.order)
		}
		return byStart(a.entity, b.entity)
	})
	for _, p := range j.order {
		p.parent = j.parent(p)
		if p.parent == nil && !p.entity.ParentID.IsZero() && p.entity.ParentID != p.entity.ID {
			t.Partial = true
		}
	}
	for _, p := range j.order {
		j.open(p)
	}
	for _, p := range j.order {
		j.cut(p)
	}
	for _, p := range j.order {
		e := p.entity
		switch {
		case !e.Subsegment:
			t.Segments = j.memory.entityOf.Append(t.Segments, e)
			if p.parent != nil {
				e.Parent = p.parent.entity
				e.Parent.Callees = j.memory.entityOf.Append(e.Parent.Callees, e)
			}
		case p.parent != nil && !p.circle && !foreign(p):
			e.Parent = p.parent.entity
			e.Parent.Subsegments = j.memory.entityOf.Append(e.Parent.Subsegments, e)
		default:
			e.Parent = j.gap(t, p)
			e.Parent.Subsegments = j.memory.entityOf.Append(e.Parent.Subsegments, e)
		}
	}
	slices.SortFunc(t.Segments, byStart)
	for _, s := range t.Segments {
		if t.Root == nil && s.Parent == nil && s.ParentID.IsZero() && !s.Gap.Unknown() {
			t.Root = s
		}
		for e := range Within(s) {
			e.Segment = s
		}
	}
	t.Entry = entry(t)
}

// entry returns the segment where a trace begins, as far as it is known.
func entry(t *trace.Trace) *trace.Entity {
	if t.Root != nil {
		return t.Root
	}
	var stands *trace.Entity
	for _, s := range t.Segments {
		switch {
		case s.Parent != nil:
		case !s.Gap.Unknown():
			return s
		case stands == nil:
			stands = s
		}
	}
	if stands == nil && len(t.Segments) > 0 {
		return t.Segments[0] // segments that name each other as parents
	}
	return stands
}

// parent returns the piece that contains or called a piece; nil if it is unknown.
func (j *joiner) parent(p *piece) *piece {
	if p.around != nil {
		return p.around
	}
	e := p.entity
	if j.shared && answers(e) {
		// A call and the segment that answers it share an id and a parent (B3).
		for o := j.first(e.ID); o != nil; o = j.following(o) {
			if o != p && calls(o.entity) && (e.ParentID == o.entity.ParentID || e.ParentID == e.ID) {
				return o
			}
		}
	}
	if e.ParentID.IsZero() {
		return nil
	}
	var best *piece
	for o := j.first(e.ParentID); o != nil; o = j.following(o) {
		if o != p && (best == nil || fitter(e, o.entity, best.entity)) {
			best = o
		}
	}
	return best
}

// answers reports whether an entity answers a call of another service.
func answers(e *trace.Entity) bool {
	return !e.Subsegment || e.Span != nil && e.Span.Kind == trace.SpanConsumer
}

// calls reports whether an entity is a call to another service.
func calls(e *trace.Entity) bool {
	if e.Span != nil {
		return e.Span.Kind.Calls()
	}
	return e.Subsegment && e.Remote()
}

// fitter reports whether entity a is a likelier parent than b, which has the same
// id. A subsegment's parent belongs to the same service and is not a call; a
// segment's parent is a call by another service.
func fitter(child, a, b *trace.Entity) bool {
	score := func(e *trace.Entity) (n int) {
		if child.Span != nil && e.Span != nil && child.Span.Resource.Differs(e.Span.Resource) == !child.Subsegment {
			n += 4
		}
		if calls(e) == !child.Subsegment {
			n += 2
		}
		if e.Start <= child.Start && (e.InProgress || child.Start <= e.End) {
			n++
		}
		return n
	}
	if x, y := score(a), score(b); x != y {
		return x > y
	}
	if before := a.Start <= child.Start; before && a.Start != b.Start && b.Start <= child.Start {
		return a.Start > b.Start // of two that began before it, the later one
	}
	return byStart(a, b) < 0
}

// foreign reports whether a span's parent belongs to another service.
func foreign(p *piece) bool {
	e, parent := p.entity, p.parent
	return e.Span != nil && parent != nil && e.Span.Resource.Service != "" && e.Span.Resource.Differs(spanResource(parent.entity))
}

func spanResource(e *trace.Entity) *trace.Resource {
	if e.Span == nil {
		return nil
	}
	return e.Span.Resource
}

// open turns a span into a segment if its service begins with it, although the span
// itself does not say so: its parent belongs to another service, or it receives from
// a producer that reports nothing.
func (j *joiner) open(p *piece) {
	e := p.entity
	if e.Span == nil || !e.Subsegment || e.Span.Kind.Calls() || e.Span.Resource.Service == "" {
		return
	}
	if foreign(p) || p.parent == nil && e.Span.Kind == trace.SpanConsumer {
		e.Subsegment, e.Name, e.Namespace = false, e.Span.Resource.Service, ""
	}
}

// cut detects whether the parents of a subsegment lead back to it, and cuts such a
// circle at the entity that comes first.
func (j *joiner) cut(p *piece) {
	path := j.path[:0]
	for p != nil && p.walked == 0 && p.entity.Subsegment && !foreign(p) {
		p.walked = 1
		path = append(path, p)
		p = p.parent
	}
	if p != nil && p.walked == 1 {
		circle := path[slices.Index(path, p):]
		first := circle[0]
		for _, q := range circle {
			if byStart(q.entity, first.entity) < 0 {
				first = q
			}
		}
		first.circle = true
	}
	for _, q := range path {
		q.walked = 2
	}
	j.path = path
}

// gapKey identifies a placeholder for a missing parent: two services may lack a
// parent with the same id.
type gapKey struct {
	parent  trace.SegmentID
	service string
}

// gap finds or makes the placeholder for a subsegment that belongs to no segment.
func (j *joiner) gap(t *trace.Trace, p *piece) *trace.Entity {
	e := p.entity
	key := gapKey{e.ParentID, serviceOf(e)}
	var why trace.Gap
	switch {
	case p.circle || e.ParentID == e.ID:
		why = trace.GapCircle
	case p.parent != nil || e.ParentID.IsZero():
		why = trace.GapEntry
	default:
		why = trace.GapParent
		if g := j.gaps[key]; g != nil {
			extend(g, e)
			return g
		}
	}
	g := j.memory.entities.One()
	*g = trace.Entity{Gap: why, Name: key.service, Start: e.Start, End: e.End, Origin: e.Origin, ReceivedAt: e.ReceivedAt}
	switch why {
	case trace.GapParent:
		g.ID = e.ParentID
		if j.gaps == nil {
			j.gaps = map[gapKey]*trace.Entity{}
		}
		j.gaps[key] = g
	case trace.GapCircle:
		g.ID = madeID(e.ID, "circle")
	case trace.GapEntry:
		g.ID, g.ParentID, g.HTTP = madeID(e.ID, "entry"), e.ParentID, e.HTTP
		if p.parent != nil {
			g.Parent = p.parent.entity
			g.Parent.Callees = j.memory.entityOf.Append(g.Parent.Callees, g)
		}
	}
	g.Inferred = why.Unknown()
	extend(g, e)
	t.Segments = j.memory.entityOf.Append(t.Segments, g)
	return g
}

// extend widens a placeholder to cover another entity, and takes over its
// outcome.
func extend(g, e *trace.Entity) {
	g.Start, g.End = min(g.Start, e.Start), max(g.End, e.End)
	g.InProgress = g.InProgress || e.InProgress
	if g.InProgress {
		g.End = 0
	}
	g.Error, g.Fault, g.Throttle = g.Error || e.Error || e.HasError(), g.Fault || e.HasFault(), g.Throttle || e.HasThrottle()
	g.ReceivedAt = min(g.ReceivedAt, e.ReceivedAt)
}

// Names of unknown services.
const (
	// unknownService is OpenTelemetry's name for a service that gives none.
	unknownService = "unknown_service"
	// missingSegment names a placeholder whose subsegments do not tell their
	// service.
	missingSegment = "missing segment"
)

// serviceOf returns the service of an entity without a segment: from the span's
// resource, or for documents from an annotation that AWS Lambda Powertools writes.
func serviceOf(e *trace.Entity) string {
	if e.Span != nil {
		return cmp.Or(e.Span.Resource.Service, unknownService)
	}
	for _, a := range e.Annotations {
		if a.Key == "Service" && a.Value.Kind == trace.StringValue && a.Value.String != "" {
			return a.Value.String
		}
	}
	return missingSegment
}

// madeID derives an id that is the same in every read.
func madeID(id trace.SegmentID, purpose string) (out trace.SegmentID) {
	h := fnv.New64a()
	_, _ = h.Write(id[:])
	_, _ = h.Write([]byte(purpose))
	binary.BigEndian.PutUint64(out[:], h.Sum64())
	return out
}
