package decode

import (
	"github.com/fluoro-io/fluoro/internal/slab"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// memory is what the segments of one request are made of: to make each part of
// each alone takes twice the time.
type memory struct {
	segments    slab.Slab[trace.Segment]
	entities    slab.Slab[trace.Entity]
	children    slab.Slab[*trace.Entity]
	annotations slab.Slab[trace.Annotation]
	aws         slab.Slab[trace.AWS]
	sql         slab.Slab[trace.SQL]
	spans       slab.Slab[trace.Span]
	lastAWS     *trace.AWS
	scratch     []trace.Annotation // of one entity
}

func newMemory() memory {
	// Enough to save time, few enough that a segment that is kept long does not
	// hold on to many others.
	const most = 16
	var m memory
	m.segments.Most, m.entities.Most, m.children.Most, m.annotations.Most, m.aws.Most, m.sql.Most, m.spans.Most = most, most, most, most, most, most, most
	return m
}

// annotated keeps a list of annotations that is in scratch.
func (m *memory) annotated(list []trace.Annotation) []trace.Annotation {
	if len(list) == 0 {
		return nil
	}
	kept := m.annotations.Take(len(list))
	copy(kept, list)
	return kept
}

// awsOf keeps an aws block. Those of one service are often the same.
func (m *memory) awsOf(block trace.AWS) *trace.AWS {
	if m.lastAWS != nil && *m.lastAWS == block {
		return m.lastAWS
	}
	kept := unlessEmpty(&m.aws, block)
	if kept != nil {
		m.lastAWS = kept
	}
	return kept
}

// unlessEmpty is nil for a block that has nothing we know.
func unlessEmpty[B comparable](memory *slab.Slab[B], block B) *B {
	var empty B
	if block == empty {
		return nil
	}
	kept := memory.One()
	*kept = block
	return kept
}
