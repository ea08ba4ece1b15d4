package assemble

import (
	"bytes"
	"encoding/binary"
	"hash/crc64"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// An id does not identify an observation: with B3, a client and its server share
// one, and agents outside a process reuse ids that they see.
//
//   - Spans are the same if id, kind, service, name and start are equal. One in progress may have another name, because programs rename running spans.
//   - Segments are the same if id, name and start are equal.
//   - Subsegments are the same if id and start are equal, and parent or name. (Natively the id alone decides. We recorded subsegments of one parent under two names.)
//   - A document in progress is an earlier version of another one even if the name or the start differs, but not if both do.
//   - A document and a span are the same if one may be a translation of the other: both segments, or both subsegments, with one name, that start in the same microsecond.

// same reports whether a piece is the same observation as an entity with the same
// id. around is the piece that embeds the entity, nil if it is independent.
func same(p *piece, e *trace.Entity, around *piece) bool {
	o := p.entity
	name, start := o.Name == e.Name, o.Start == e.Start
	open := o.InProgress || e.InProgress
	switch {
	case o.Span != nil && e.Span != nil:
		if o.Span.Kind != e.Span.Kind || o.Span.Resource.Differs(e.Span.Resource) {
			return false
		}
		return start && (open || o.Span.Name == e.Span.Name)
	case o.Subsegment != e.Subsegment:
		return false
	case o.Span != nil || e.Span != nil:
		near := o.Start-e.Start < 1000 && e.Start-o.Start < 1000 // the precision of seconds in a float64
		return near && (name || spanName(o) == spanName(e))
	case o.Subsegment:
		name = name || parentID(o, p.around) == parentID(e, around)
	}
	if open {
		return name || start
	}
	return name && start
}

// spanName returns a span's own name; for documents their name.
func spanName(e *trace.Entity) string {
	if e.Span != nil {
		return e.Span.Name
	}
	return e.Name
}

func parentID(e *trace.Entity, around *piece) trace.SegmentID {
	if around != nil {
		return around.entity.ID
	}
	return e.ParentID
}

// contradicts reports whether an entity's content differs from the version that is
// kept. A repetition does not differ if only the order of attributes changed, or if
// it is independent instead of embedded.
func contradicts(kept, e *trace.Entity, of *trace.Segment) bool {
	switch {
	case (kept.Span == nil) != (e.Span == nil):
		return false // one is a translation of the other
	case e.Span != nil:
		a, b := kept.Received.Raw, of.Raw
		return !bytes.Equal(a, b) && digest(a) != digest(b)
	}
	return !bytes.Equal(kept.Raw, e.Raw) && !(hasAllOf(kept.Raw, e.Raw) && hasAllOf(e.Raw, kept.Raw))
}

// hasAllOf reports whether a document has all members of another, except those that
// only tell where it belongs.
func hasAllOf(doc, other jsonscan.Value) bool {
	for name, v := range other.Members() {
		switch string(name) {
		case "type", "trace_id", "parent_id", "subsegments":
			continue
		}
		own := doc.Get(string(name))
		if own.Kind() == jsonscan.Missing || !bytes.Equal(appendCompact(nil, own), appendCompact(nil, v)) {
			return false
		}
	}
	return true
}

// digest sums the fields of a protobuf message independently of their order. For
// other bytes it is a checksum.
func digest(b []byte) (sum uint64) {
	for rest := b; len(rest) > 0; {
		tag, n := binary.Uvarint(rest)
		size := n
		switch tag & 7 {
		case 0:
			_, m := binary.Uvarint(rest[max(n, 0):])
			size += m
			if m <= 0 {
				size = -1
			}
		case 1:
			size += 8
		case 2:
			length, m := binary.Uvarint(rest[max(n, 0):])
			size += m + int(min(length, uint64(len(b))))
		case 5:
			size += 4
		default:
			size = -1
		}
		if n <= 0 || size < n || size > len(rest) {
			return crc64.Checksum(b, digests)
		}
		sum += crc64.Checksum(rest[:size], digests)
		rest = rest[size:]
	}
	return sum
}

var digests = crc64.MakeTable(crc64.ECMA)
