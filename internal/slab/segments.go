package slab

import "github.com/fluoro-io/fluoro/internal/trace"

// Segments allocates the segments of one request and their parts. Single allocations
// take twice the time.
type Segments struct {
	Segments Slab[trace.Segment]
	Entities Slab[trace.Entity]
	Children Slab[*trace.Entity]
	Spans    Slab[trace.Span]
	// Scratch collects the annotations of one entity, for Annotations.
	Scratch []trace.Annotation

	annotations Slab[trace.Annotation]
	aws         Slab[trace.AWS]
	sql         Slab[trace.SQL]
	lastAWS     *trace.AWS
}

// NewSegments uses pieces of at most 16 values: enough to save time, few enough that a
// segment that stays in memory holds few others.
func NewSegments() Segments {
	const most = 16
	var s Segments
	s.Segments.Most, s.Entities.Most, s.Children.Most, s.Spans.Most = most, most, most, most
	s.annotations.Most, s.aws.Most, s.sql.Most = most, most, most
	return s
}

// Annotations copies a list out of Scratch; nil if it is empty.
func (s *Segments) Annotations(list []trace.Annotation) []trace.Annotation {
	if len(list) == 0 {
		return nil
	}
	kept := s.annotations.Take(len(list))
	copy(kept, list)
	return kept
}

// AWS copies an aws block; nil if it is empty. The blocks of one service are often
// equal: equal neighbours share one copy.
func (s *Segments) AWS(block trace.AWS) *trace.AWS {
	if s.lastAWS != nil && *s.lastAWS == block {
		return s.lastAWS
	}
	kept := unlessEmpty(&s.aws, block)
	if kept != nil {
		s.lastAWS = kept
	}
	return kept
}

// SQL copies an sql block; nil if it is empty.
func (s *Segments) SQL(block trace.SQL) *trace.SQL { return unlessEmpty(&s.sql, block) }

func unlessEmpty[B comparable](memory *Slab[B], block B) *B {
	var empty B
	if block == empty {
		return nil
	}
	kept := memory.One()
	*kept = block
	return kept
}
