package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// decodeLinks reads links to segments of other traces; those without valid ids
// lead nowhere and are left out.
func decodeLinks(v jsonscan.Value) (out []trace.Link) {
	for e := range v.Elements() {
		traceID, err := trace.ParseID(e.Get("trace_id").Text())
		if err != nil {
			continue
		}
		id, err := trace.ParseSegmentID(e.Get("id").Text())
		if err != nil {
			continue
		}
		out = append(out, trace.Link{TraceID: traceID, ID: id})
	}
	return out
}
