package assemble

import (
	"fmt"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Render sets Entity.Raw on every entity of a newly assembled trace. text makes the
// segment document of a span; opens is true if assembly made a segment of a
// subsegment.
func Render(t *trace.Trace, text func(s *trace.Segment, opens bool) ([]byte, error)) error {
	for e := range All(t) {
		if e.Raw != nil || e.Gap != trace.NoGap {
			continue
		}
		var err error
		if e.Raw, err = text(e.Received, e.Received.Subsegment && !e.Subsegment); err != nil {
			return fmt.Errorf("trace %s: %w", t.ID, err)
		}
	}
	return nil
}
