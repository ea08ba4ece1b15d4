package local

import (
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Joining a trace shows which of its observations contradict others; they are not
// shown. Whoever sent them is told at once when that is seen without reading a
// block: when an id comes a second time while its trace is open. All others are
// found when the trace settles.

// repeatedOf lists the traces of a batch that were open with the same segments.
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

// untold lists the observations of a trace that settles which contradict others and of
// which no sender was told: of those that its open parts brought.
func (src *source) untold(t *trace.Trace) (refused []trace.Refused) {
	if len(t.Refused) == 0 {
		return nil
	}
	own := inParts(src.parts)
	for _, x := range t.Refused {
		if own[x.In] && !(src.open != nil && src.open.told.has(x.Entity)) {
			refused = append(refused, x)
		}
	}
	return refused
}
