package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// links reads links to segments of other traces; those without valid ids lead
// nowhere and are left out.
func (d *documentReader) links() (out []trace.Link) {
	for more := d.Array(); more; more = d.NextElement() {
		var traceID, id jsonscan.Value
		for more := d.Object(); more; more = d.NextMember() {
			switch v := d.Skip(); string(d.Name()) {
			case "trace_id":
				traceID = v
			case "id":
				id = v
			}
		}
		var link trace.Link
		text := unquoted(traceID)
		if len(text) != 35 && len(text) != 32 || !parseSegmentID(&link.ID, id) {
			continue
		}
		var err error
		if link.TraceID, err = trace.ParseID(string(text)); err == nil {
			out = append(out, link)
		}
	}
	return out
}
