package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// links reads links to segments of other traces. It drops those without valid ids.
func (d *documentReader) links() (out []trace.Link) {
	for more := d.Array(); more; more = d.NextElement() {
		var traceID, id, attributes jsonscan.Value
		for more := d.Object(); more; more = d.NextMember() {
			switch v := d.Skip(); string(d.Name()) {
			case "trace_id":
				traceID = v
			case "id":
				id = v
			case "attributes":
				attributes = v
			}
		}
		if link, ok := documentLink(traceID, id, attributes); ok {
			out = append(out, link)
		}
	}
	return out
}

// documentLink parses the members of a link.
func documentLink(traceID, id, attributes jsonscan.Value) (link trace.Link, ok bool) {
	text := unquoted(traceID)
	if len(text) != 35 && len(text) != 32 || !parseSegmentID(&link.ID, id) {
		return link, false
	}
	var err error
	link.TraceID, err = trace.ParseID(string(text))
	link.Child = string(unquoted(attributes.Get(trace.LinkReference))) == trace.LinkChild
	return link, err == nil
}

// Link parses a link of a document; ok is false if its ids are not valid.
func Link(v jsonscan.Value) (link trace.Link, ok bool) {
	return documentLink(v.Get("trace_id"), v.Get("id"), v.Get("attributes"))
}
