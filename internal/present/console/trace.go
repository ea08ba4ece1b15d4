package console

import (
	"net/http"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// TraceView is a whole trace: the segments of BatchGetTraces, and those that X-Ray leaves
// out until the rest of the trace arrives.
type TraceView struct {
	// ID is the trace id. Segments have the form of BatchGetTraces. A document with a
	// member metadata.fluoro.missing is a placeholder for a segment that was not
	// received; the member tells why.
	ID       string            `json:"Id"`
	Duration *float64          `json:"Duration"` // seconds; null while no entity is completed
	Segments []SegmentDocument `json:"Segments"`
	// Refused lists observations that are not shown, because they contradict shown
	// ones.
	Refused []RefusedEntity `json:"Refused"`
}

// SegmentDocument is a segment with its subsegments, as JSON text.
type SegmentDocument struct {
	ID       string `json:"Id"`
	Document string `json:"Document"`
}

// RefusedEntity is an observation that is stored but not shown.
type RefusedEntity struct {
	ID     string `json:"Id"`
	Name   string `json:"Name"`
	Reason string `json:"Reason"`
}

// traceHandler answers GET /console/api/trace?id=1-….
func traceHandler(o Options) http.Handler {
	return answer(func(r *http.Request) (any, error) {
		q := parseQuestion(r.URL.RawQuery, "id")
		id := q.values.Get("id")
		if q.err == nil && id == "" {
			q.fail("id: is required")
		}
		if q.err != nil {
			return nil, q.err
		}
		d := audit.Of(r.Context())
		d.Request(map[string]any{"id": id})
		view, err := o.Trace(r.Context(), id)
		if view != nil {
			d.Traces(view.ID)
			d.Set("segments", len(view.Segments))
		}
		if err == nil && view == nil {
			return nil, trace.Errorf(trace.KindNotFound, "there is no trace %s", id)
		}
		return view, err
	})
}
