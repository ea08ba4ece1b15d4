package decode

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"unsafe"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/slab"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// documentReader reads one document in one pass. Members may come in any order and more
// than once (the last counts), so an entity is checked after its last member.
type documentReader struct {
	jsonscan.Reader
	memory *slab.Segments
}

// text reads a string, "" for other types: a member of the wrong type counts as missing;
// it remains in the document's text.
func (d *documentReader) text() string { return keep(d.Skip()) }

// keep returns a string that shares the document's memory; the segment keeps the
// document anyway.
func keep(v jsonscan.Value) string {
	if v.Kind() != jsonscan.String {
		return ""
	}
	b := v[1 : len(v)-1]
	if bytes.IndexByte(b, '\\') >= 0 {
		return jsonscan.Unquote(b)
	}
	return view(b)
}

// view returns a string that shares the memory of b.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// flag reads one value; only the literal true is true.
func (d *documentReader) flag() bool { return d.Skip().Bool() }

// members are the unparsed members of an entity that need a check, and the first fault
// among its embedded subsegments.
type members struct {
	typ, id, name, traceID, parentID, start, end jsonscan.Value
	embedded                                     *Refusal
}

// entity reads a segment or subsegment with its embedded subsegments. Documents nest at
// most jsonscan.MaxDepth deep, which bounds the recursion. The caller must check the
// members before it uses e.
func (d *documentReader) entity(e *trace.Entity) (m members) {
	begin, traced := d.Pos(), false
	for more := d.Object(); more; more = d.NextMember() {
		switch string(d.Name()) {
		case "type":
			m.typ = d.Skip()
		case "id":
			m.id = d.Skip()
		case "name":
			m.name = d.Skip()
		case "trace_id":
			m.traceID = d.Skip()
		case "parent_id":
			m.parentID = d.Skip()
		case "start_time":
			m.start = d.Skip()
		case "end_time":
			m.end = d.Skip()
		case "in_progress":
			e.InProgress = d.flag()
		case "traced":
			traced = d.flag()
		case "subsegments":
			m.embedded = d.subsegments(e)
		default:
			d.detail(e)
		}
	}
	e.Name = trace.CutName(keep(m.name))
	e.HTTP.Traced = e.HTTP.Traced || traced
	e.Raw = d.Since(begin)
	return m
}

// detail reads a member that needs no check.
func (d *documentReader) detail(e *trace.Entity) {
	switch string(d.Name()) {
	case "namespace":
		e.Namespace = d.text()
	case "origin":
		e.Origin = d.text()
	case "user":
		e.User = d.text()
	case "resource_arn":
		e.ResourceARN = d.text()
	case "service":
		e.Version = ""
		for more := d.Object(); more; more = d.NextMember() {
			if v := d.Skip(); string(d.Name()) == "version" {
				e.Version = keep(v)
			}
		}
	case "inferred":
		e.Inferred = d.flag()
	case "fault":
		e.Fault = d.flag()
	case "error":
		e.Error = d.flag()
	case "throttle":
		e.Throttle = d.flag()
	case "http":
		e.HTTP = d.http()
	case "aws":
		e.AWS = d.aws()
	case "sql":
		e.SQL = d.sql()
	case "cause":
		e.Cause = d.cause()
	case "annotations":
		e.Annotations = d.annotations()
	case "links":
		e.Links = d.links()
	default:
		d.Skip()
	}
}

// subsegments reads the embedded subsegments of e and returns their first fault. It
// ignores a value that is not an array.
func (d *documentReader) subsegments(e *trace.Entity) (refusal *Refusal) {
	e.Subsegments = nil
	for more := d.Array(); more; more = d.NextElement() {
		switch {
		case refusal != nil:
			d.Skip()
		case d.Kind() != jsonscan.Object:
			d.Skip()
			refusal = anEntity.refuse("ParseError", "an element of subsegments is no JSON object")
		default:
			child := d.memory.Entities.One()
			child.Subsegment = true
			m := d.entity(child)
			if refusal = checkEmbedded(child, &m); refusal == nil {
				e.Subsegments = d.memory.Children.Append(e.Subsegments, child)
			}
		}
	}
	return refusal
}

// checkDocument checks a whole document and parses the checked members. The order is
// X-Ray's: type, id, name, trace id, start, end and in_progress, parent id, embedded
// subsegments.
func checkDocument(s *trace.Segment, m *members) *Refusal {
	as := aSegment
	switch m.typ.Kind() {
	case jsonscan.Missing, jsonscan.Null:
	default:
		switch string(unquoted(m.typ)) {
		case "segment":
		case "subsegment":
			as, s.Independent, s.Subsegment = aSubsegment, true, true
		default:
			return anEntity.refuse("UnknownType", "")
		}
	}
	e := &s.Entity
	if refusal := checkName(e, m, as); refusal != nil {
		return refusal
	}
	if missing(m.traceID) {
		return as.refuse("MissingTraceId", "")
	}
	if !parseTraceID(&s.TraceID, m.traceID) {
		return as.refuse("InvalidTraceId", "")
	}
	if refusal := checkTimes(e, m, as); refusal != nil {
		return refusal
	}
	switch kind := m.parentID.Kind(); {
	case !missing(m.parentID):
		if !parseSegmentID(&e.ParentID, m.parentID) {
			return as.refuse("InvalidParentId", "")
		}
	case s.Independent:
		return as.refuse("MissingParentId", "")
	case kind == jsonscan.Number || kind == jsonscan.Bool || kind == jsonscan.Array || kind == jsonscan.Object:
		return as.refuse("InvalidParentId", "")
	}
	return m.embedded
}

// checkEmbedded is checkDocument for an embedded subsegment: it has no trace id, and its
// type is ignored.
func checkEmbedded(e *trace.Entity, m *members) *Refusal {
	if refusal := checkName(e, m, aSubsegment); refusal != nil {
		return refusal
	}
	if refusal := checkTimes(e, m, aSubsegment); refusal != nil {
		return refusal
	}
	return m.embedded
}

// checkName checks id and name and parses the id.
func checkName(e *trace.Entity, m *members, as wording) *Refusal {
	if missing(m.id) {
		return as.refuse("MissingId", "")
	}
	if !parseSegmentID(&e.ID, m.id) {
		return as.refuse("InvalidId", "")
	}
	if missing(m.name) {
		return as.refuse("MissingName", "")
	}
	// Some SDKs write the root segment's id as the parent of subsegments at every depth;
	// nesting tells the real parent.
	for _, child := range e.Subsegments {
		child.ParentID = e.ID
	}
	return nil
}

// missing says whether a required text is missing. An empty text counts as missing: that
// was recorded of id and of name and is assumed of trace_id and parent_id, so an empty
// parent_id makes a segment without parent.
func missing(v jsonscan.Value) bool {
	return v.Kind() != jsonscan.String || len(v) == len(`""`)
}

// checkTimes checks and parses start_time, end_time and in_progress.
func checkTimes(e *trace.Entity, m *members, as wording) *Refusal {
	const outside = "%.40s is not between the years 1677 and 2262"
	if m.start.Kind() != jsonscan.Number {
		return as.refuse("MissingStartTime", "")
	}
	var ok bool
	if e.Start, ok = seconds(m.start); !ok {
		return as.refuseOur(codeInvalidStart, fmt.Sprintf(outside, m.start))
	}
	switch hasEnd := m.end.Kind() == jsonscan.Number; {
	case e.InProgress && hasEnd && as == aSegment:
		return as.refuse("InProgressSegmentHasEndTime", "")
	case e.InProgress && hasEnd:
		return as.refuse("InProgressSubsegmentHasEndTime", "")
	case e.InProgress:
	case !hasEnd:
		return as.refuse("MissingEndTime", "")
	default:
		if e.End, ok = seconds(m.end); !ok {
			return as.refuseOur(codeInvalidEnd, fmt.Sprintf(outside, m.end))
		}
	}
	return nil
}

// unquoted returns the text of a string, nil for other types. Without escapes it shares
// the memory of v.
func unquoted(v jsonscan.Value) []byte {
	if v.Kind() != jsonscan.String {
		return nil
	}
	text := v[1 : len(v)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		return jsonscan.AppendUnquoted(nil, text)
	}
	return text
}

// parseSegmentID is trace.ParseSegmentID without allocations.
func parseSegmentID(id *trace.SegmentID, v jsonscan.Value) bool {
	text := unquoted(v)
	if len(text) != 2*len(id) {
		return false
	}
	_, err := hex.Decode(id[:], text)
	return err == nil
}

// parseTraceID is trace.ParseID for the X-Ray form: documents cannot have the W3C form.
func parseTraceID(id *trace.ID, v jsonscan.Value) bool {
	text := unquoted(v)
	if len(text) != 35 || text[0] != '1' || text[1] != '-' || text[10] != '-' {
		return false
	}
	if _, err := hex.Decode(id[:4], text[2:10]); err != nil {
		return false
	}
	_, err := hex.Decode(id[4:], text[11:])
	return err == nil
}
