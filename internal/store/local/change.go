package local

import "github.com/fluoro-io/fluoro/internal/trace"

// change is the meaning of one entry of the log: it adds segments, or it deletes traces.
type change struct {
	account  trace.Account
	parts    []tracePart
	bytes    int64     // memory that the parts take in the head
	deletion *deletion // nil if the change only adds segments; it comes first
	// asked: the sender waits, so list in repeated the traces that had a segment with one
	// of the new ids: another observation, the same one sent again, or one that
	// contradicts it.
	asked    bool
	repeated []repeatedTrace
	lsn      uint64 // once the change is applied
}

// tracePart is the part of a batch that belongs to one trace.
type tracePart struct {
	id trace.ID
	part
}

// repeatedTrace has all open parts of a trace after a batch.
type repeatedTrace struct {
	open  *open
	parts []part
}

// bring sorts a batch by trace, keeping the order within each.
func (c *change) bring(batch []*trace.Segment) {
	var places map[trace.ID]int
	if len(batch) > 8 {
		places = make(map[trace.ID]int, len(batch))
	}
	var scope *trace.OTLPScope
	for _, s := range batch {
		at := -1
		if places != nil {
			if n, ok := places[s.TraceID]; ok {
				at = n
			}
		} else {
			for i := range c.parts {
				if c.parts[i].id == s.TraceID {
					at = i
				}
			}
		}
		if at < 0 {
			at = len(c.parts)
			c.parts = append(c.parts, tracePart{s.TraceID, part{reach: noReach()}})
			if places != nil {
				places[s.TraceID] = at
			}
		}
		p := &c.parts[at]
		bytes, r := measure(s)
		if s.Scope != nil && s.Scope != scope {
			// The spans of one sender follow each other, and share their scope.
			bytes += scopeBytes + 2*int64(len(s.Scope.Resource)+len(s.Scope.Scope))
			scope = s.Scope
		}
		p.segments = append(p.segments, s)
		p.bytes += bytes
		p.reach.join(r)
		c.bytes += bytes
	}
}
