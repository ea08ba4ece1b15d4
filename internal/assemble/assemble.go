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
	"encoding/binary"
	"slices"
	"sync"

	"github.com/fluoro-io/fluoro/internal/slab"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Trace joins segments, given in the order in which they were accepted. The
// segments are not changed; the trace shares their strings and raw bytes.
func Trace(id trace.ID, segments []*trace.Segment) *trace.Trace {
	j := joiners.Get().(*joiner)
	defer j.free()
	return j.trace(id, segments)
}

// Assembler joins one trace after the other in the memory of the one before: a
// trace is valid until the next call of Trace, an outline until the next call of
// Outline. The zero value is ready.
type Assembler struct {
	joiner  joiner
	outline outline
}

// Trace is the function Trace.
func (a *Assembler) Trace(id trace.ID, segments []*trace.Segment) *trace.Trace {
	a.joiner.memory.reset()
	return a.joiner.trace(id, segments)
}

// Outline is the function Outline.
func (a *Assembler) Outline(t *trace.Trace) *trace.Summary {
	a.outline.values.Reset(maxKept)
	return a.outline.of(t)
}

func (j *joiner) trace(id trace.ID, segments []*trace.Segment) *trace.Trace {
	j.begin(segments)
	t := j.memory.traces.One()
	*t = trace.Trace{ID: id}
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
	measure(t, j.order)
	connect(t, &j.memory)
	return t
}

// memory is what traces are made of. Of what it gives, all is set before it is
// read.
type memory struct {
	traces   slab.Slab[trace.Trace]
	entities slab.Slab[trace.Entity]
	nodes    slab.Slab[trace.Node]
	edges    slab.Slab[trace.Edge]
	entityOf slab.Slab[*trace.Entity]
	nodeOf   slab.Slab[*trace.Node]
	edgeOf   slab.Slab[*trace.Edge]
}

func (m *memory) reset() {
	m.traces.Reset(maxKept)
	m.entities.Reset(maxKept)
	m.nodes.Reset(maxKept)
	m.edges.Reset(maxKept)
	m.entityOf.Reset(maxKept)
	m.nodeOf.Reset(maxKept)
	m.edgeOf.Reset(maxKept)
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
	pieces []piece  // in order of first appearance; they do not move
	order  []*piece // the same, later sorted
	slots  []int32  // a table of the ids: places in pieces + 1
	stack  []level
	path   []*piece
	// memory is what the trace keeps; its entities are made at once.
	memory   memory
	entities []trace.Entity
}

// level is how far a walk is among the subsegments of an entity.
type level struct {
	of   *trace.Entity
	next int
}

// joiners are used again: all that a trace keeps of one is its memory.
var joiners = sync.Pool{New: func() any { return new(joiner) }}

// maxKept bounds how many pieces a joiner keeps the memory of.
const maxKept = 1 << 14

func (j *joiner) free() {
	if cap(j.pieces) > maxKept {
		return
	}
	clear(j.pieces)
	clear(j.order)
	clear(j.stack[:cap(j.stack)])
	clear(j.path[:cap(j.path)])
	j.memory, j.entities = memory{}, nil
	joiners.Put(j)
}

// begin makes room for all entities of some segments.
func (j *joiner) begin(segments []*trace.Segment) {
	n := 0
	for _, s := range segments {
		n += 1 + j.below(&s.Entity)
	}
	if cap(j.pieces) < n {
		j.pieces, j.order = make([]piece, 0, n), make([]*piece, 0, n)
	}
	j.pieces, j.order = j.pieces[:0], j.order[:0]
	j.entities = j.memory.entities.Take(n)
	size := 16
	for size < 2*n {
		size *= 2
	}
	if cap(j.slots) < size {
		j.slots = make([]int32, size)
	}
	j.slots = j.slots[:size]
	clear(j.slots)
}

// below is how many entities an entity embeds.
func (j *joiner) below(e *trace.Entity) (n int) {
	if len(e.Subsegments) == 0 {
		return 0
	}
	j.stack = append(j.stack[:0], level{of: e})
	for len(j.stack) > 0 {
		e := j.stack[len(j.stack)-1].of
		j.stack = j.stack[:len(j.stack)-1]
		n += len(e.Subsegments)
		for _, s := range e.Subsegments {
			if len(s.Subsegments) > 0 {
				j.stack = append(j.stack, level{of: s})
			}
		}
	}
	return n
}

// slot is where in the table an id is, or belongs.
func (j *joiner) slot(id trace.SegmentID) int {
	mask := len(j.slots) - 1
	// Ids are random, mostly; the multiplication is for those that count up.
	at := int(binary.BigEndian.Uint64(id[:])*0x9e3779b97f4a7c15>>32) & mask
	for n := j.slots[at]; n != 0 && j.pieces[n-1].entity.ID != id; n = j.slots[at] {
		at = (at + 1) & mask
	}
	return at
}

// byID is the piece of an id, nil if there is none.
func (j *joiner) byID(id trace.SegmentID) *piece {
	if n := j.slots[j.slot(id)]; n > 0 {
		return &j.pieces[n-1]
	}
	return nil
}

// document merges one document and says whether it changed anything. A complete
// document whose own id is complete already is ignored whole; one in progress
// that comes too late still brings what it embeds.
func (j *joiner) document(s *trace.Segment) bool {
	order := 0
	if s.Independent {
		order = independent
	}
	if known := j.byID(s.Entity.ID); known != nil && !known.entity.InProgress && !s.InProgress {
		return false
	}
	changed := j.entity(&s.Entity, s, order)
	if len(s.Subsegments) == 0 {
		return changed
	}
	j.stack = append(j.stack[:0], level{of: &s.Entity})
	for len(j.stack) > 0 {
		l := &j.stack[len(j.stack)-1]
		if l.next == len(l.of.Subsegments) {
			j.stack = j.stack[:len(j.stack)-1]
			continue
		}
		child := l.of.Subsegments[l.next]
		if j.entity(child, s, l.next) {
			changed = true
		}
		l.next++
		j.stack = append(j.stack, level{of: child})
	}
	return changed
}

// entity adds an entity, or replaces a version of it that was in progress, and
// says whether it did.
func (j *joiner) entity(e *trace.Entity, s *trace.Segment, order int) bool {
	var p *piece
	at := j.slot(e.ID)
	if n := j.slots[at]; n > 0 {
		p = &j.pieces[n-1]
	}
	if p == nil {
		j.pieces = append(j.pieces, piece{entity: &j.entities[len(j.pieces)]})
		j.slots[at] = int32(len(j.pieces))
		p = &j.pieces[len(j.pieces)-1]
		j.order = append(j.order, p)
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
	slices.SortStableFunc(j.order, func(a, b *piece) int {
		if a.order != b.order {
			return cmp.Compare(a.order, b.order)
		}
		return byStart(a.entity, b.entity)
	})
	for _, p := range j.order {
		e := p.entity
		parent := j.byID(e.ParentID)
		switch {
		case e.Subsegment && parent != nil && j.isRooted(p):
			e.Parent = parent.entity
			e.Parent.Subsegments = j.memory.entityOf.Append(e.Parent.Subsegments, e)
		case e.Subsegment:
			t.Orphans = j.memory.entityOf.Append(t.Orphans, e)
		default:
			t.Segments = j.memory.entityOf.Append(t.Segments, e)
			if parent != nil && parent != p && !e.ParentID.IsZero() {
				e.Parent = parent.entity
				e.Parent.Callees = j.memory.entityOf.Append(e.Parent.Callees, e)
			}
		}
		if !e.ParentID.IsZero() && parent == nil {
			t.Partial = true
		}
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

func byStart(a, b *trace.Entity) int {
	if a.Start != b.Start {
		return cmp.Compare(a.Start, b.Start)
	}
	return bytes.Compare(a.ID[:], b.ID[:])
}

// isRooted says whether a subsegment's parents lead to a segment: not to an
// entity that is missing, and not in a circle.
func (j *joiner) isRooted(p *piece) bool {
	path := j.path[:0]
	for p != nil && p.rooted == 0 && p.entity.Subsegment {
		p.rooted = 1
		path = append(path, p)
		p = j.byID(p.entity.ParentID)
	}
	result := uint8(3)
	if p != nil && (!p.entity.Subsegment || p.rooted == 2) {
		result = 2
	}
	for _, q := range path {
		q.rooted = result
	}
	j.path = path
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
