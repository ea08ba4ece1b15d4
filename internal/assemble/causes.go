package assemble

import (
	"bytes"
	"cmp"
	"iter"
	"slices"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// causes finds where faults (or errors) start. A walk begins at a flagged segment,
// or at the callee of a flagged call that sent no segment, unless a flagged segment
// leads there through flagged entities only. It descends through flagged children to
// the deepest evidence: an entity with exceptions, or a flagged call to a callee
// without a segment. A walk without evidence yields no cause.
//
// If an entity's cause names an exception, the walk continues only at the owner of
// that exception, so flagged entities beside that path are starts as well. Causes
// that begin at segments precede those that begin at inferred callees.
func causes(t *trace.Trace, flagged func(*trace.Entity) bool) []trace.RootCause {
	var starts, calls []*trace.Entity
	var w *walk
	for _, s := range t.Segments {
		for e := range Within(s) {
			if !flagged(e) || e.Subsegment && !infers(e) {
				continue
			}
			if w == nil {
				w = newWalk(t, flagged)
			}
			switch {
			case w.explains(e):
			case e.Subsegment:
				calls = append(calls, e)
			default:
				starts = append(starts, e)
			}
		}
	}
	var out []trace.RootCause
	// A path to an owner may pass unflagged entities, with starts below them: these
	// are already on that path.
	var passed map[*trace.Entity]bool
	if w != nil && w.owners != nil {
		passed = map[*trace.Entity]bool{}
	}
	for _, e := range starts {
		if passed[e] {
			continue
		}
		if path := w.path(e); path != nil {
			out = append(out, trace.RootCause{Services: onServices(path, nil), ClientImpacting: e == t.Entry})
			if passed != nil {
				for _, p := range path {
					passed[p] = true
				}
			}
		}
	}
	for _, e := range calls {
		if !passed[e] {
			out = append(out, trace.RootCause{Services: []trace.CauseService{inferredCause(e, nil)}})
		}
	}
	return out
}

// inferredCause returns the service of a callee that sent no segment.
func inferredCause(e *trace.Entity, coverage func(*trace.Entity) float64) trace.CauseService {
	service := callee(e)
	ce := trace.CauseEntity{Name: service.Name}
	if coverage != nil {
		ce.Coverage = coverage(e)
	}
	return trace.CauseService{Service: service, Inferred: true, Entities: []trace.CauseEntity{ce}}
}

// walk looks for evidence below starts. One walk serves one kind of cause of one
// trace.
type walk struct {
	flagged func(*trace.Entity) bool
	// depth is the number of steps from an entity down to its deepest evidence; -1:
	// none.
	depth map[*trace.Entity]int
	// owners are the entities with a referenced exception, by its id, in the order
	// of their places. owners and places are nil if nothing refers to an exception.
	owners map[string][]*trace.Entity
	places map[*trace.Entity]place
	// aboves caches results of above, for entities that are neither segments nor
	// refer to exceptions.
	aboves map[*trace.Entity]*trace.Entity
}

// place identifies the entities below an entity: their first is above the entity's
// first and at most its last.
type place struct{ first, last int }

func newWalk(t *trace.Trace, flagged func(*trace.Entity) bool) *walk {
	w := &walk{flagged: flagged, depth: map[*trace.Entity]int{}}
	for e := range All(t) {
		if refers(e) {
			if w.owners == nil {
				w.owners = map[string][]*trace.Entity{}
			}
			w.owners[e.Cause.Ref] = nil
		}
	}
	if w.owners == nil {
		return w
	}
	w.places = map[*trace.Entity]place{}
	for _, s := range t.Segments {
		if s.Parent == nil { // segments that call each other in a circle have no places
			w.number(s)
		}
	}
	return w
}

// number assigns places to an entity and all entities below it, and collects the
// owners among them.
func (w *walk) number(root *trace.Entity) {
	stack := []*trace.Entity{root}
	for len(stack) > 0 {
		e := stack[len(stack)-1]
		if p, seen := w.places[e]; seen {
			stack = stack[:len(stack)-1]
			w.places[e] = place{p.first, len(w.places)}
			continue
		}
		w.places[e] = place{first: len(w.places) + 1}
		for i := range e.Cause.Exceptions {
			id := e.Cause.Exceptions[i].ID
			list, referred := w.owners[id]
			if referred && (len(list) == 0 || list[len(list)-1] != e) {
				w.owners[id] = append(list, e)
			}
		}
		below := children(e)
		for i := len(below) - 1; i >= 0; i-- {
			stack = append(stack, below[i])
		}
	}
}

// refers reports whether an entity's cause is the id of an exception in another
// entity.
func refers(e *trace.Entity) bool { return e.Cause.Ref != "" && len(e.Cause.Exceptions) == 0 }

// maxReferences limits how many referring entities above one entity are examined;
// without it, the time for a long chain would grow with the square of its length.
const maxReferences = 256

// explains reports whether flagged entities lead from a flagged segment above down
// to e: then e is on that segment's path and not a start. References on the path
// must lead to e, or to an entity above or below it.
func (w *walk) explains(e *trace.Entity) bool {
	references := 0
	for above := w.above(e); above != nil; above = w.above(above) {
		if refers(above) && references < maxReferences {
			references++
			if owner := w.owner(above); owner == nil || owner != e && !w.isBelow(owner, e) && !w.isBelow(e, owner) {
				return false
			}
		}
		if !above.Subsegment {
			return true
		}
	}
	return false
}

// above returns the nearest entity above e that is a segment or refers to an
// exception, nil if an entity between them is not flagged.
func (w *walk) above(e *trace.Entity) (found *trace.Entity) {
	var between []*trace.Entity // worth caching: most paths are short
	steps := 0
	for p := e.Parent; p != nil && w.flagged(p); p = p.Parent {
		if !p.Subsegment || refers(p) {
			found = p
			break
		}
		if known, ok := w.aboves[p]; ok {
			found = known
			break
		}
		if steps++; steps > few {
			between = append(between, p)
		}
	}
	if len(between) > 0 && w.aboves == nil {
		w.aboves = map[*trace.Entity]*trace.Entity{}
	}
	for _, p := range between {
		w.aboves[p] = found
	}
	return found
}

// path lists the entities from the start down to its evidence, nil if there is none.
func (w *walk) path(start *trace.Entity) []*trace.Entity {
	w.measure(start)
	if w.depth[start] < 0 {
		return nil
	}
	path := []*trace.Entity{start}
	for e := start; ; {
		next := w.next(e)
		if next == nil {
			return path
		}
		// An owner of a referenced exception may be several levels below.
		from := len(path)
		for between := next; between != e; between = between.Parent {
			path = append(path, between)
		}
		slices.Reverse(path[from:])
		e = next
	}
}

// measure fills depth for start and all entities that a walk from it may pass,
// lowest first. It uses its own stack, because chains may be long.
func (w *walk) measure(start *trace.Entity) {
	stack := []*trace.Entity{start}
	for len(stack) > 0 {
		e := stack[len(stack)-1]
		if _, seen := w.depth[e]; !seen {
			w.depth[e] = -1
			for c := range w.below(e) {
				if _, seen := w.depth[c]; !seen {
					stack = append(stack, c)
				}
			}
			continue
		}
		stack = stack[:len(stack)-1]
		if next := w.next(e); next != nil {
			w.depth[e] = w.depth[next] + 1
		} else if len(e.Cause.Exceptions) > 0 || infers(e) {
			w.depth[e] = 0
		}
	}
}

// below yields the entities where a walk may continue: the owner of the exception
// that the entity's cause names, otherwise its flagged children.
func (w *walk) below(e *trace.Entity) iter.Seq[*trace.Entity] {
	return func(yield func(*trace.Entity) bool) {
		if refers(e) {
			if owner := w.owner(e); owner != nil {
				yield(owner)
			}
			return
		}
		for _, c := range children(e) {
			if w.flagged(c) && !yield(c) {
				return
			}
		}
	}
}

// next returns the entity where the walk continues, nil to stop.
func (w *walk) next(e *trace.Entity) *trace.Entity {
	var best *trace.Entity
	for c := range w.below(e) {
		if w.depth[c] >= 0 && (best == nil || betterCause(c, best)) {
			best = c
		}
	}
	return best
}

// owner returns the entity below e that has the exception named by e's cause, nil if
// there is none. It need not be flagged.
func (w *walk) owner(e *trace.Entity) *trace.Entity {
	own, known := w.places[e]
	if !known {
		return nil
	}
	list := w.owners[e.Cause.Ref]
	i, _ := slices.BinarySearchFunc(list, own.first+1, func(o *trace.Entity, first int) int {
		return cmp.Compare(w.places[o].first, first)
	})
	if i < len(list) && w.isBelow(list[i], e) {
		return list[i]
	}
	return nil
}

// isBelow reports whether an entity is below another one in the tree.
func (w *walk) isBelow(e, above *trace.Entity) bool {
	x, y := w.places[e], w.places[above]
	return x.first > y.first && x.first <= y.last
}

// betterCause prefers calls to callees without segments, then the earlier start.
// (Among equals, the native choice depends on ids.)
func betterCause(a, b *trace.Entity) bool {
	if infers(a) != infers(b) {
		return infers(a)
	}
	return cmp.Or(cmp.Compare(a.Start, b.Start), bytes.Compare(a.ID[:], b.ID[:])) < 0
}

// children returns the subsegments and child segments of an entity.
func children(e *trace.Entity) []*trace.Entity {
	if len(e.Callees) == 0 {
		return e.Subsegments
	}
	return append(append([]*trace.Entity(nil), e.Subsegments...), e.Callees...)
}

// responseCauses follows the longest child above half of the root's duration.
func responseCauses(t *trace.Trace) []trace.RootCause {
	root := t.Entry
	if root == nil || root.Gap.Unknown() || root.Duration() == 0 {
		return nil
	}
	whole := root.Duration()
	path := []*trace.Entity{root}
	for e := root; e != nil && !(e.Subsegment && infers(e)); {
		var longest *trace.Entity
		for _, c := range children(e) {
			d := c.Duration()
			if c.InProgress || 2*d <= whole || d > whole || c == root { // segments may call each other in a circle
				continue
			}
			if longest == nil || d > longest.Duration() || d == longest.Duration() && c.Start < longest.Start {
				longest = c
			}
		}
		if e = longest; e != nil {
			path = append(path, e)
		}
	}
	if len(path) == 1 {
		return nil
	}
	coverage := func(e *trace.Entity) float64 { return float64(e.Duration()) / float64(whole) }
	return []trace.RootCause{{Services: onServices(path, coverage), ClientImpacting: true}}
}

// onServices groups a path by service. A call to a callee without a segment ends in
// its own service. coverage is nil for fault and error causes, which show exceptions
// instead.
func onServices(path []*trace.Entity, coverage func(*trace.Entity) float64) []trace.CauseService {
	var out []trace.CauseService
	entity := func(e *trace.Entity) trace.CauseEntity {
		ce := trace.CauseEntity{Name: e.Name, Remote: e.Subsegment && e.Remote()}
		if coverage != nil {
			ce.Coverage = coverage(e)
		} else {
			ce.Exceptions = e.Cause.Exceptions
		}
		return ce
	}
	var owner *trace.Entity
	for _, e := range path {
		if e.Segment != owner {
			owner = e.Segment
			out = append(out, trace.CauseService{Service: Identity(owner), Inferred: owner.Inferred})
		}
		last := &out[len(out)-1]
		last.Entities = append(last.Entities, entity(e))
	}
	if end := path[len(path)-1]; end.Subsegment && infers(end) {
		out = append(out, inferredCause(end, coverage))
	}
	return out
}
