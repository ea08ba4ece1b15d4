package local

import (
	"slices"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Assembling a trace finds the observations that contradict others; answers leave them
// out. Append tells their sender if it can see that without reading a block: when an id
// arrives again while its trace is open. Settling finds the others.

// repeatedOf lists the traces of a batch that were open and had segments with the same
// ids.
func repeatedOf(c *change) (list []store.Repeated) {
	for _, r := range c.repeated {
		own := inParts(r.parts[len(r.parts)-1:])
		ids := make(map[trace.SegmentID]bool, len(own))
		for seg := range own {
			ids[seg.ID] = true
		}
		var same []*trace.Segment
		n := 0
		for i := range r.parts {
			n += len(r.parts[i].segments)
			for _, seg := range r.parts[i].segments {
				if ids[seg.ID] {
					same = append(same, seg)
				}
			}
		}
		if n > maxRepeated {
			continue
		}
		list = append(list, store.Repeated{
			ID: r.open.id, Segments: same, New: func(seg *trace.Segment) bool { return own[seg] }, Told: r.open.told.add,
		})
	}
	return list
}

func inParts(parts []part) map[*trace.Segment]bool {
	in := map[*trace.Segment]bool{}
	for i := range parts {
		for _, seg := range parts[i].segments {
			in[seg] = true
		}
	}
	return in
}

// untold lists the observations of the open parts of a trace that contradict others and
// whose sender does not know it yet.
func (src *source) untold(t *trace.Trace) (refused []trace.Refused) {
	if len(t.Refused) == 0 {
		return nil
	}
	own := inParts(slices.DeleteFunc(slices.Clone(src.parts), func(p part) bool { return p.quiet }))
	for _, x := range t.Refused {
		if own[x.In] && !(src.open != nil && src.open.told.has(x.Entity)) {
			refused = append(refused, x)
		}
	}
	return refused
}
