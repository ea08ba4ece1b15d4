package assemble

import (
	"bytes"
	"cmp"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// causes finds where faults (or errors) start. A walk begins at a flagged
// segment, or the callee of a flagged call that sent no segment, to which no
// flagged segment leads through flagged entities alone. It goes down through
// flagged children to the deepest evidence: an entity with exceptions, or a
// flagged call to a callee without segment. A walk without evidence gives
// nothing.
func causes(t *trace.Trace, flagged func(*trace.Entity) bool) []trace.RootCause {
	var out []trace.RootCause
	for _, s := range t.Segments {
		for e := range Within(s) {
			if !flagged(e) || e.Subsegment && !infers(e) || propagates(e, flagged) {
				continue
			}
			if e.Subsegment {
				out = append(out, trace.RootCause{Services: []trace.CauseService{inferredCause(e, nil)}})
				continue
			}
			w := walk{flagged: flagged, depth: map[*trace.Entity]int{}}
			if path := w.path(e); path != nil {
				out = append(out, trace.RootCause{Services: onServices(path, nil), ClientImpacting: e == t.Root})
			}
		}
	}
	return out
}

// propagates says whether flagged entities lead from a flagged segment above to
// e: then e is on that segment's way, not a start.
func propagates(e *trace.Entity, flagged func(*trace.Entity) bool) bool {
	for e = e.Parent; e != nil && flagged(e); e = e.Parent {
		if !e.Subsegment {
			return true
		}
	}
	return false
}

// inferredCause is the service of a callee that sent no segment.
func inferredCause(e *trace.Entity, coverage func(*trace.Entity) float64) trace.CauseService {
	service := callee(e)
	ce := trace.CauseEntity{Name: service.Name}
	if coverage != nil {
		ce.Coverage = coverage(e)
	}
	return trace.CauseService{Service: service, Inferred: true, Entities: []trace.CauseEntity{ce}}
}

// walk looks for evidence below one start.
type walk struct {
	flagged func(*trace.Entity) bool
	// depth is how many steps below an entity its deepest evidence is; -1: none.
	depth map[*trace.Entity]int
}

// path lists the entities from the start to its evidence, nil if there is none.
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
		path = append(path, next)
		e = next
	}
}

// measure fills depth for start and all flagged entities below it, children
// first; with its own stack, because chains may be long.
func (w *walk) measure(start *trace.Entity) {
	order := []*trace.Entity{start}
	w.depth[start] = -1
	for i := 0; i < len(order); i++ {
		for _, c := range children(order[i]) {
			if _, seen := w.depth[c]; w.flagged(c) && !seen {
				w.depth[c] = -1
				order = append(order, c)
			}
		}
	}
	for i := len(order) - 1; i >= 0; i-- {
		e := order[i]
		if next := w.next(e); next != nil {
			w.depth[e] = w.depth[next] + 1
		} else if len(e.Cause.Exceptions) > 0 || infers(e) {
			w.depth[e] = 0
		}
	}
}

// next is the flagged child to go on with, nil to stop here.
func (w *walk) next(e *trace.Entity) *trace.Entity {
	if e.Cause.Ref != "" && len(e.Cause.Exceptions) == 0 {
		return w.towards(e)
	}
	var best *trace.Entity
	for _, c := range children(e) {
		if !w.flagged(c) || w.depth[c] < 0 {
			continue
		}
		if best == nil || betterCause(c, best) {
			best = c
		}
	}
	return best
}

// betterCause prefers calls to callees without segments, then what began
// earlier. (Among equals the native choice depends on ids.)
func betterCause(a, b *trace.Entity) bool {
	if infers(a) != infers(b) {
		return infers(a)
	}
	return cmp.Or(cmp.Compare(a.Start, b.Start), bytes.Compare(a.ID[:], b.ID[:])) < 0
}

// towards is the child on the way to the exception that e's cause names, nil if
// none below e owns it.
func (w *walk) towards(e *trace.Entity) *trace.Entity {
	seen := map[*trace.Entity]*trace.Entity{} // entity → child of e above it
	var queue []*trace.Entity
	for _, c := range children(e) {
		seen[c] = c
		queue = append(queue, c)
	}
	for i := 0; i < len(queue); i++ {
		for _, x := range queue[i].Cause.Exceptions {
			if x.ID == e.Cause.Ref && w.depth[seen[queue[i]]] >= 0 {
				return seen[queue[i]]
			}
		}
		for _, c := range children(queue[i]) {
			if seen[c] == nil {
				seen[c] = seen[queue[i]]
				queue = append(queue, c)
			}
		}
	}
	return nil
}

// children are the subsegments and child segments of an entity.
func children(e *trace.Entity) []*trace.Entity {
	if len(e.Callees) == 0 {
		return e.Subsegments
	}
	return append(append([]*trace.Entity(nil), e.Subsegments...), e.Callees...)
}

// responseCauses follows the longest child above half of the root's duration.
func responseCauses(t *trace.Trace) []trace.RootCause {
	root := t.Root
	if root == nil || root.Duration() == 0 {
		return nil
	}
	whole := root.Duration()
	path := []*trace.Entity{root}
	for e := root; e != nil && !(e.Subsegment && infers(e)); {
		var longest *trace.Entity
		for _, c := range children(e) {
			d := c.Duration()
			if c.InProgress || 2*d <= whole || d > whole {
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

// onServices groups a path by the services it passes. A call to a callee without
// segment ends in a service of its own. coverage is nil for fault and error
// causes, which show exceptions instead.
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
			out = append(out, trace.CauseService{Service: trace.Service{Name: owner.Name, Type: owner.Origin}, Inferred: owner.Inferred})
		}
		last := &out[len(out)-1]
		last.Entities = append(last.Entities, entity(e))
	}
	if end := path[len(path)-1]; end.Subsegment && infers(end) {
		out = append(out, inferredCause(end, coverage))
	}
	return out
}
