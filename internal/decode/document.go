package decode

import (
	"encoding/base64"
	"fmt"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// MaxDocument is the most bytes a segment document may have. X-Ray's own
	// limit is 64 KB, which is also what a datagram can hold.
	MaxDocument = 1 << 20
	// maxName is where the service cuts names, in characters.
	maxName = 200
)

// Refusal says why a document was not accepted, as PutTraceSegments answers it
// in UnprocessedTraceSegments (X-Ray API model). ID is the document's id when
// that is a string.
type Refusal struct {
	ID            *string
	Code, Message string
}

// Error is the refusal's message.
func (r *Refusal) Error() string { return r.Message }

// Codes that the native service does not have.
const (
	codeTooLarge     = "DocumentTooLarge"
	codeInvalidStart = "InvalidStartTime"
	codeInvalidEnd   = "InvalidEndTime"
)

// invalidEntity, invalidSegment and invalidSubsegment word a refusal as the
// native service does; detail says more where the code is ours.
func invalidEntity(code, detail string) *Refusal {
	return &Refusal{Code: code, Message: "Invalid entity. ErrorCode: " + code + detail}
}

func invalidSegment(code, detail string) *Refusal {
	return &Refusal{Code: code, Message: "Invalid segment. ErrorCode: " + code + detail}
}

func invalidSubsegment(code, detail string) *Refusal {
	cause := ", Cause: null"
	if detail != "" {
		cause = ", Cause: " + detail[2:]
	}
	return &Refusal{Code: code, Message: "Invalid subsegment. ErrorCode: " + code + cause}
}

// Document decodes one element of TraceSegmentDocuments, or the body of one
// datagram: a segment, an independent subsegment, or OTLP spans in base64 behind
// T1S (sampled), T1U (not sampled: accepted, nothing to keep) or T1, as ADOT on
// Lambda sends them. at is the time of receipt. The segments own doc.
//
// Any fault in the document, also in an embedded subsegment, refuses all of it.
func Document(doc []byte, at trace.Time) ([]*trace.Segment, *Refusal) {
	if len(doc) > MaxDocument {
		return nil, invalidSegment(codeTooLarge, fmt.Sprintf(": %d bytes, at most %d are taken", len(doc), MaxDocument))
	}
	if len(doc) > 2 && doc[0] == 'T' && doc[1] == '1' {
		return otlpDocument(doc[2:], at)
	}
	v, err := jsonscan.Parse(doc)
	switch {
	case err != nil:
		return nil, invalidSegment("ParseError", ": "+err.Error())
	case v.Kind() != jsonscan.Object:
		return nil, invalidEntity("ParseError", "")
	}
	s, refusal := segment(v)
	if refusal != nil {
		if id := v.Get("id"); id.Kind() == jsonscan.String {
			text := id.Text()
			refusal.ID = &text
		}
		return nil, refusal
	}
	s.Source, s.Raw, s.ReceivedAt, s.Entity.ReceivedAt = trace.SourceDocument, v, at, at
	return []*trace.Segment{s}, nil
}

// otlpDocument decodes what follows "T1".
func otlpDocument(text []byte, at trace.Time) ([]*trace.Segment, *Refusal) {
	sampled := true
	if text[0] == 'S' || text[0] == 'U' {
		sampled, text = text[0] == 'S', text[1:]
	}
	body := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(body, text)
	if err != nil {
		return nil, invalidEntity("ParseError", ": OTLP document is not base64: "+err.Error())
	}
	spans, err := OTLPProto(body[:n:n], at)
	if err == nil && len(spans.Rejected) > 0 {
		err = fmt.Errorf("%s", spans.Rejected[0].Reason)
	}
	switch {
	case err != nil:
		return nil, invalidEntity("ParseError", ": OTLP document: "+err.Error())
	case !sampled:
		return nil, nil
	}
	return spans.Segments, nil
}

// Restore makes a Segment again from what a store keeps of it. The Segment owns
// raw and shares scope.
func Restore(source trace.Source, raw []byte, scope *trace.OTLPScope, part uint8, at trace.Time) (*trace.Segment, error) {
	var segments []*trace.Segment
	switch source {
	case trace.SourceDocument:
		var refusal *Refusal
		if segments, refusal = Document(raw, at); refusal != nil {
			return nil, fmt.Errorf("restore segment document: %w", refusal)
		}
	case trace.SourceOTLP:
		var err error
		if segments, err = spanSegments(raw, scope, at); err != nil {
			return nil, fmt.Errorf("restore span: %w", err)
		}
	default:
		return nil, fmt.Errorf("restore segment: unknown source %d", source)
	}
	for _, s := range segments {
		if s.Part == part {
			return s, nil
		}
	}
	return nil, fmt.Errorf("restore segment: part %d of %d does not exist", part, len(segments))
}

// segment checks and decodes a whole document.
func segment(v jsonscan.Value) (*trace.Segment, *Refusal) {
	s := &trace.Segment{}
	f := collect(v)
	switch typ := f.typ; {
	case typ.Kind() == jsonscan.Missing, typ.Kind() == jsonscan.Null, typ.Text() == "segment":
	case typ.Text() == "subsegment":
		s.Independent, s.Subsegment = true, true
	default:
		return nil, invalidEntity("UnknownType", "")
	}
	invalid := invalidSegment
	if s.Independent {
		invalid = invalidSubsegment
	}
	if refusal := entity(&s.Entity, v, &f, invalid, s.Independent, &s.TraceID); refusal != nil {
		return nil, refusal
	}
	if refusal := subsegments(&s.Entity, f.subsegments); refusal != nil {
		return nil, refusal
	}
	return s, nil
}

// subsegments decodes the embedded subsegments below e. Documents nest at most
// jsonscan.MaxDepth deep, so recursion is bounded. What is no array is ignored.
func subsegments(e *trace.Entity, v jsonscan.Value) *Refusal {
	if v.Kind() != jsonscan.Array {
		return nil
	}
	for element := range v.Elements() {
		if element.Kind() != jsonscan.Object {
			return invalidEntity("ParseError", "")
		}
		child := &trace.Entity{Subsegment: true}
		f := collect(element)
		if refusal := entity(child, element, &f, invalidSubsegment, false, nil); refusal != nil {
			return refusal
		}
		// Some SDKs write the root segment's id here at every depth: nesting
		// tells the parent.
		child.ParentID = e.ID
		if refusal := subsegments(child, f.subsegments); refusal != nil {
			return refusal
		}
		e.Subsegments = append(e.Subsegments, child)
	}
	return nil
}

// members are the members of one entity that decoding looks at.
type members struct {
	typ, id, name, traceID, parentID, start, end, inProgress           jsonscan.Value
	namespace, origin, user, resourceARN, service, inferred, traced    jsonscan.Value
	fault, failed, throttle, http, aws, sql, cause, annotations, links jsonscan.Value
	subsegments                                                        jsonscan.Value
}

// collect finds the members of an entity in one walk.
func collect(v jsonscan.Value) (f members) {
	for name, m := range v.Members() {
		switch string(name) {
		case "type":
			f.typ = m
		case "id":
			f.id = m
		case "name":
			f.name = m
		case "trace_id":
			f.traceID = m
		case "parent_id":
			f.parentID = m
		case "start_time":
			f.start = m
		case "end_time":
			f.end = m
		case "in_progress":
			f.inProgress = m
		case "namespace":
			f.namespace = m
		case "origin":
			f.origin = m
		case "user":
			f.user = m
		case "resource_arn":
			f.resourceARN = m
		case "service":
			f.service = m
		case "inferred":
			f.inferred = m
		case "traced":
			f.traced = m
		case "fault":
			f.fault = m
		case "error":
			f.failed = m
		case "throttle":
			f.throttle = m
		case "http":
			f.http = m
		case "aws":
			f.aws = m
		case "sql":
			f.sql = m
		case "cause":
			f.cause = m
		case "annotations":
			f.annotations = m
		case "links":
			f.links = m
		case "subsegments":
			f.subsegments = m
		}
	}
	return f
}

// entity checks what every entity must have, in the order of the native service
// (id, name, trace id, start, end and in_progress, parent id), and decodes the
// rest. traceID is nil for embedded subsegments, which inherit theirs.
func entity(e *trace.Entity, v jsonscan.Value, f *members, invalid func(code, detail string) *Refusal, parentRequired bool, traceID *trace.ID) *Refusal {
	switch {
	case f.id.Kind() != jsonscan.String:
		return invalid("MissingId", "")
	case f.name.Kind() != jsonscan.String || len(f.name) == 2:
		if _, err := trace.ParseSegmentID(f.id.Text()); err != nil {
			return invalid("InvalidId", "")
		}
		return invalid("MissingName", "")
	}
	var err error
	if e.ID, err = trace.ParseSegmentID(f.id.Text()); err != nil {
		return invalid("InvalidId", "")
	}
	e.Name = cut(f.name.Text())
	if traceID != nil {
		if f.traceID.Kind() != jsonscan.String {
			return invalid("MissingTraceId", "")
		}
		text := f.traceID.Text()
		if *traceID, err = trace.ParseID(text); err != nil || len(text) != 35 {
			return invalid("InvalidTraceId", "")
		}
	}
	if refusal := times(e, f, invalid, traceID != nil && !parentRequired); refusal != nil {
		return refusal
	}
	switch {
	case traceID == nil:
	case f.parentID.Kind() == jsonscan.String:
		if e.ParentID, err = trace.ParseSegmentID(f.parentID.Text()); err != nil {
			return invalid("InvalidParentId", "")
		}
	case parentRequired:
		return invalid("MissingParentId", "")
	case f.parentID.Kind() != jsonscan.Missing && f.parentID.Kind() != jsonscan.Null:
		return invalid("InvalidParentId", "")
	}
	details(e, f)
	e.Raw = v
	return nil
}

// times checks and decodes start_time, end_time and in_progress.
func times(e *trace.Entity, f *members, invalid func(code, detail string) *Refusal, isSegment bool) *Refusal {
	if f.start.Kind() != jsonscan.Number {
		return invalid("MissingStartTime", "")
	}
	var ok bool
	if e.Start, ok = seconds(f.start); !ok {
		return invalid(codeInvalidStart, fmt.Sprintf(": %.40s is not between the years 1677 and 2262", f.start))
	}
	e.InProgress = f.inProgress.Bool()
	switch hasEnd := f.end.Kind() == jsonscan.Number; {
	case e.InProgress && hasEnd && isSegment:
		return invalid("InProgressSegmentHasEndTime", "")
	case e.InProgress && hasEnd:
		return invalid("InProgressSubsegmentHasEndTime", "")
	case e.InProgress:
	case !hasEnd:
		return invalid("MissingEndTime", "")
	default:
		if e.End, ok = seconds(f.end); !ok {
			return invalid(codeInvalidEnd, fmt.Sprintf(": %.40s is not between the years 1677 and 2262", f.end))
		}
	}
	return nil
}

// details decodes everything that is not checked. A member of the wrong type is
// as good as missing; it stays in the document's text.
func details(e *trace.Entity, f *members) {
	e.Namespace = f.namespace.Text()
	e.Origin = f.origin.Text()
	e.User = f.user.Text()
	e.ResourceARN = f.resourceARN.Text()
	e.Version = f.service.Get("version").Text()
	e.Inferred = f.inferred.Bool()
	e.Fault, e.Error, e.Throttle = f.fault.Bool(), f.failed.Bool(), f.throttle.Bool()
	decodeHTTP(&e.HTTP, f.http)
	e.HTTP.Traced = e.HTTP.Traced || f.traced.Bool()
	decodeAWS(&e.AWS, f.aws)
	decodeSQL(&e.SQL, f.sql)
	e.Cause = decodeCause(f.cause)
	e.Annotations = decodeAnnotations(f.annotations)
	e.Links = decodeLinks(f.links)
}

// cut shortens a name to 200 characters, as the service does.
func cut(name string) string {
	if len(name) <= maxName || utf8.RuneCountInString(name) <= maxName {
		return name
	}
	n := 0
	for i := range name {
		if n == maxName {
			return name[:i]
		}
		n++
	}
	return name
}
