// Package assemble joins the documents of a trace into one tree and derives its
// nodes and edges, summary, root causes, its part of the service graph, and the
// documents that BatchGetTraces returns. It consists of pure functions: no clock, no
// files.
//
// The rules follow the X-Ray developer guide ("Segment documents", "Inferred
// segments", "Service map") and the native service's answers. The result depends
// only on the documents, not on their batches; their order matters only if two
// documents contradict each other about one observation: then the first complete one
// wins.
package assemble

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"sync"

	"github.com/fluoro-io/fluoro/internal/slab"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Trace joins segments, given in order of acceptance. It does not change the
// segments; the trace shares their strings and raw bytes.
func Trace(id trace.ID, segments []*trace.Segment) *trace.Trace {
	j := joiners.Get().(*joiner)
	defer j.free()
	return j.trace(id, segments)
}

// Assembler joins one trace after another and reuses its memory: a trace is valid
// until the next call of Trace, an outline until the next call of Outline. The zero
// value is ready.
type Assembler struct {
	joiner  joiner
	outline outline
}

// Trace works like the function Trace.
func (a *Assembler) Trace(id trace.ID, segments []*trace.Segment) *trace.Trace {
	a.joiner.memory.reset()
	return a.joiner.trace(id, segments)
}

// Outline works like the function Outline.
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
	t.Refused, j.refused = j.refused, nil
	j.link(t)
	measure(t, j.order)
	connect(t, &j.memory)
	return t
}

// memory allocates the parts of traces. It may return dirty values: callers set
// every field before they read it.
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
	// around is the piece whose document embeds this one, nil if it has its own
	// document.
	around *piece
	// parent is the piece that the entity's ParentID names.
	parent *piece
	// order is the place among its siblings in the document; independent subsegments
	// follow all embedded ones.
	order int
	// next is the index in pieces, plus 1, of another piece with the same id.
	next int32
	// walked is 0 before cut visits the piece, 1 while it is on the current path, 2
	// afterwards.
	walked uint8
	// circle is true if its parents lead back to it; the circle is cut at this
	// piece.
	circle bool
}

const independent = 1 << 30

// joiner collects the pieces of a trace by entity id.
type joiner struct {
	pieces  []piece  // in order of first appearance; they do not move
	order   []*piece // the same, later sorted
	slots   []int32  // a hash table of the ids: indexes in pieces + 1
	shared  bool     // some ids have several pieces
	stack   []level
	path    []*piece
	gaps    map[gapKey]*trace.Entity
	refused []trace.Refused
	// memory holds everything that the trace keeps.
	memory   memory
	entities []trace.Entity
}

// level is the position of a walk among the subsegments of an entity.
type level struct {
	of    *trace.Entity
	piece *piece
	next  int
}

// joiners are reused: a trace keeps only a joiner's memory.
var joiners = sync.Pool{New: func() any { return new(joiner) }}

// maxKept limits the number of pieces whose memory a joiner keeps.
const maxKept = 1 << 14

func (j *joiner) free() {
	if cap(j.pieces) > maxKept {
		return
	}
	clear(j.pieces)
	clear(j.order)
	clear(j.stack[:cap(j.stack)])
	clear(j.path[:cap(j.path)])
	j.memory, j.entities, j.gaps = memory{}, nil, nil
	joiners.Put(j)
}

// begin allocates the pieces for all entities of some segments.
func (j *joiner) begin(segments []*trace.Segment) {
	n := 0
	for _, s := range segments {
		n += 1 + j.below(&s.Entity)
	}
	if cap(j.pieces) < n {
		j.pieces, j.order = make([]piece, 0, n), make([]*piece, 0, n)
	}
	j.pieces, j.order, j.gaps, j.shared = j.pieces[:0], j.order[:0], nil, false
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

// below returns the number of entities that an entity embeds.
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

// slot returns the slot of an id in the table, or the free slot where it belongs.
func (j *joiner) slot(id trace.SegmentID) int {
	mask := len(j.slots) - 1
	// Most ids are random; the multiplication spreads ids that count up.
	at := int(binary.BigEndian.Uint64(id[:])*0x9e3779b97f4a7c15>>32) & mask
	for n := j.slots[at]; n != 0 && j.pieces[n-1].entity.ID != id; n = j.slots[at] {
		at = (at + 1) & mask
	}
	return at
}

// first returns the first piece of an id, nil if there is none.
func (j *joiner) first(id trace.SegmentID) *piece {
	if n := j.slots[j.slot(id)]; n > 0 {
		return &j.pieces[n-1]
	}
	return nil
}

// following returns the next piece with the same id, nil at the end.
func (j *joiner) following(p *piece) *piece {
	if p.next == 0 {
		return nil
	}
	return &j.pieces[p.next-1]
}

// document merges one document and reports whether it changed anything. A complete
// document that is already known is ignored as a whole; an outdated one in progress
// still adds its embedded subsegments.
func (j *joiner) document(s *trace.Segment) bool {
	order := 0
	if s.Independent {
		order = independent
	}
	p, changed := j.entity(&s.Entity, s, nil, order)
	if !changed && !s.InProgress || len(s.Subsegments) == 0 {
		return changed
	}
	j.stack = append(j.stack[:0], level{of: &s.Entity, piece: p})
	for len(j.stack) > 0 {
		l := &j.stack[len(j.stack)-1]
		if l.next == len(l.of.Subsegments) {
			j.stack = j.stack[:len(j.stack)-1]
			continue
		}
		child := l.of.Subsegments[l.next]
		p, added := j.entity(child, s, l.piece, l.next)
		changed = changed || added
		l.next++
		j.stack = append(j.stack, level{of: child, piece: p})
	}
	return changed
}

// entity adds an entity, or replaces an earlier version that was in progress, and
// reports whether it did.
func (j *joiner) entity(e *trace.Entity, s *trace.Segment, around *piece, order int) (*piece, bool) {
	p := j.known(e, around)
	switch {
	case p == nil:
		p = j.add(e.ID)
	case !p.entity.InProgress:
		if !e.InProgress && contradicts(p.entity, e, s) {
			j.refused = append(j.refused, trace.Refused{Entity: e, In: s, Kept: p.entity})
		}
		return p, false
	}
	*p.entity = *e
	p.order, p.around = order, around
	p.entity.Subsegments = nil
	p.entity.ReceivedAt, p.entity.Received = s.ReceivedAt, s
	return p, true
}

// add makes a piece with an id.
func (j *joiner) add(id trace.SegmentID) *piece {
	at := j.slot(id)
	j.pieces = append(j.pieces, piece{entity: &j.entities[len(j.pieces)]})
	p := &j.pieces[len(j.pieces)-1]
	if n := j.slots[at]; n > 0 {
		last := &j.pieces[n-1]
		for last.next > 0 {
			last = &j.pieces[last.next-1]
		}
		last.next, j.shared = int32(len(j.pieces)), true
	} else {
		j.slots[at] = int32(len(j.pieces))
	}
	j.order = append(j.order, p)
	return p
}

// known returns the piece that is the same observation as an entity, nil if there is
// none.
func (j *joiner) known(e *trace.Entity, around *piece) *piece {
	for p := j.first(e.ID); p != nil; p = j.following(p) {
		if same(p, e, around) {
			return p
		}
	}
	return nil
}

// byStart orders entities independently of the order of acceptance.
func byStart(a, b *trace.Entity) int {
	if a.Start != b.Start {
		return cmp.Compare(a.Start, b.Start)
	}
	if c := bytes.Compare(a.ID[:], b.ID[:]); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(kind(a), kind(b)))
}

func kind(e *trace.Entity) trace.SpanKind {
	if e.Span == nil {
		return trace.SpanUnspecified
	}
	return e.Span.Kind
}

// measure sets the trace's times from all entities.
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
