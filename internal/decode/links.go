package decode

import (
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// referenceType is the attribute of a link that says which side the linked segment
// is: parent, or no such attribute, if it came before; child if it came after.
const (
	referenceType  = "aws.xray.reserved.reference_type"
	referenceChild = "child"
)

// links reads links to segments of other traces; those without valid ids lead
// nowhere and are left out.
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

// documentLink reads the members of a link of a document.
func documentLink(traceID, id, attributes jsonscan.Value) (link trace.Link, ok bool) {
	text := unquoted(traceID)
	if len(text) != 35 && len(text) != 32 || !parseSegmentID(&link.ID, id) {
		return link, false
	}
	var err error
	link.TraceID, err = trace.ParseID(string(text))
	link.Child = string(unquoted(attributes.Get(referenceType))) == referenceChild
	return link, err == nil
}

// typed is a link of a span.
func (l *link) typed() trace.Link {
	out := trace.Link{TraceID: l.traceID, ID: l.id}
	for i := range l.attrs {
		if a := &l.attrs[i]; a.name() == referenceType {
			out.Child = a.value.str() == referenceChild
		}
	}
	return out
}
