package assemble

import (
	"iter"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Within yields an entity and all subsegments below it, parents first, siblings in
// order. It uses its own stack: a chain of independent subsegments may be as long as
// the trace.
func Within(root *trace.Entity) iter.Seq[*trace.Entity] {
	return func(yield func(*trace.Entity) bool) {
		if len(root.Subsegments) == 0 {
			yield(root)
			return
		}
		var space [32]*trace.Entity // on the stack
		stack := append(space[:0], root)
		for len(stack) > 0 {
			e := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if !yield(e) {
				return
			}
			for i := len(e.Subsegments) - 1; i >= 0; i-- {
				stack = append(stack, e.Subsegments[i])
			}
		}
	}
}

// All yields every entity of a trace: segments, placeholders included, with their
// subsegments.
func All(t *trace.Trace) iter.Seq[*trace.Entity] {
	return func(yield func(*trace.Entity) bool) {
		for _, s := range t.Segments {
			if len(s.Subsegments) == 0 {
				if !yield(s) {
					return
				}
				continue
			}
			for e := range Within(s) {
				if !yield(e) {
					return
				}
			}
		}
	}
}
