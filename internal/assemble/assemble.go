// Package assemble joins the documents of a trace into one tree and says what it
// means: nodes and edges, summary, root causes, service graph, and the documents
// that BatchGetTraces shows. It is made of pure functions: no clock, no files.
//
// The rules are those of the X-Ray developer guide ("Segment documents",
// "Inferred segments", "Service map") and of what the native service answers.
// The result depends on the documents alone, not on how they were batched; their
// order matters only where two documents claim the same id: the first complete
// one wins.
package assemble

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Trace joins segments, given in the order in which they were accepted. The
// segments are not changed; the trace shares their strings and raw bytes.
func Trace(id trace.ID, segments []*trace.Segment) *trace.Trace {
	j := joiner{byID: make(map[trace.SegmentID]*piece, len(segments)*2), pieces: make([]*piece, 0, len(segments))}
	j.grow(len(segments))
	t := &trace.Trace{ID: id}
	for _, s := range segments {
		if !j.document(s) {
			continue
		}
		if t.Revision == 0 {
			t.FirstReceived = s.ReceivedAt
		}
		if t.Revision == 0 || s.ReceivedAt != t.Updated {
			t.Revision++
		}
		t.Updated = max(t.Updated, s.ReceivedAt)
		t.FirstReceived = min(t.FirstReceived, s.ReceivedAt)
	}
	j.link(t)
	measure(t, j.pieces)
	connect(t)
	return t
}

// piece is one entity while a trace is being joined.
type piece struct {
	entity *trace.Entity
	// order is the place among its siblings in the document; independent
	// subsegments come behind all embedded ones.
	order int
	// rooted: 0 not known, 1 being looked at, 2 part of a segment, 3 not.
	rooted uint8
}

const independent = 1 << 30

// joiner merges documents by entity id.
type joiner struct {
	byID   map[trace.SegmentID]*piece
	pieces []*piece // in order of first appearance
	// Memory for the next pieces and their entities, made for many at once.
	free     []piece
	entities []trace.Entity
}

// grow makes room for n pieces.
func (j *joiner) grow(n int) {
	j.free, j.entities = make([]piece, n), make([]trace.Entity, n)
}

func (j *joiner) piece(order int) *piece {
	if len(j.free) == 0 {
		j.grow(min(64, max(4, len(j.pieces)/2)))
	}
	p := &j.free[0]
	p.entity, p.order = &j.entities[0], order
	j.free, j.entities = j.free[1:], j.entities[1:]
	return p
}

// document merges one document and says whether it changed anything. A complete
// document whose own id is complete already is ignored whole; one in progress
// that comes too late still brings what it embeds.
func (j *joiner) document(s *trace.Segment) bool {
	order := 0
	if s.Independent {
		order = independent
	}
	if known := j.byID[s.Entity.ID]; known != nil && !known.entity.InProgress && !s.InProgress {
		return false
	}
	changed := j.entity(&s.Entity, s, order)
	type level struct {
		of   *trace.Entity
		next int
	}
	stack := []level{{of: &s.Entity}}
	for len(stack) > 0 {
		l := &stack[len(stack)-1]
		if l.next == len(l.of.Subsegments) {
			stack = stack[:len(stack)-1]
			continue
		}
		child := l.of.Subsegments[l.next]
		if j.entity(child, s, l.next) {
			changed = true
		}
		l.next++
		stack = append(stack, level{of: child})
	}
	return changed
}

// entity adds an entity, or replaces a version of it that was in progress, and
// says whether it did.
func (j *joiner) entity(e *trace.Entity, s *trace.Segment, order int) bool {
	p := j.byID[e.ID]
	if p == nil {
		p = j.piece(order)
		j.byID[e.ID] = p
		j.pieces = append(j.pieces, p)
	} else if !p.entity.InProgress {
		return false
	}
	*p.entity = *e
	p.order = order
	p.entity.Subsegments = nil
	p.entity.ReceivedAt, p.entity.Received = s.ReceivedAt, s
	return true
}

// link puts every entity under its parent and fills the trace's lists.
func (j *joiner) link(t *trace.Trace) {
	slices.SortStableFunc(j.pieces, func(a, b *piece) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.entity.Start, b.entity.Start), bytes.Compare(a.entity.ID[:], b.entity.ID[:]))
	})
	for _, p := range j.pieces {
		e := p.entity
		parent := j.byID[e.ParentID]
		switch {
		case e.Subsegment && parent != nil && j.isRooted(p):
			e.Parent = parent.entity
			e.Parent.Subsegments = append(e.Parent.Subsegments, e)
		case e.Subsegment:
			t.Orphans = append(t.Orphans, e)
		default:
			t.Segments = append(t.Segments, e)
			if parent != nil && parent != p && !e.ParentID.IsZero() {
				e.Parent = parent.entity
				e.Parent.Callees = append(e.Parent.Callees, e)
			}
		}
		if !e.ParentID.IsZero() && parent == nil {
			t.Partial = true
		}
	}
	byStart := func(a, b *trace.Entity) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), bytes.Compare(a.ID[:], b.ID[:]))
	}
	slices.SortFunc(t.Segments, byStart)
	slices.SortFunc(t.Orphans, byStart)
	for _, s := range t.Segments {
		if t.Root == nil && s.ParentID.IsZero() {
			t.Root = s
		}
		for e := range Within(s) {
			e.Segment = s
		}
	}
}

// isRooted says whether a subsegment's parents lead to a segment: not to an
// entity that is missing, and not in a circle.
func (j *joiner) isRooted(p *piece) bool {
	var path []*piece
	for p != nil && p.rooted == 0 && p.entity.Subsegment {
		p.rooted = 1
		path = append(path, p)
		p = j.byID[p.entity.ParentID]
	}
	result := uint8(3)
	if p != nil && (!p.entity.Subsegment || p.rooted == 2) {
		result = 2
	}
	for _, q := range path {
		q.rooted = result
	}
	return result == 2
}

// measure sets the trace's times over all entities.
func measure(t *trace.Trace, pieces []*piece) {
	for i, p := range pieces {
		e := p.entity
		if i == 0 || e.Start < t.Start {
			t.Start = e.Start
		}
		if e.InProgress {
			t.InProgress = true
		} else if t.End == 0 || e.End > t.End {
			t.End = e.End
		}
	}
}
