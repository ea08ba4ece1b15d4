package decode

import (
	"encoding/base64"
	"fmt"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/slab"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Refusal says why a document was refused, as PutTraceSegments answers in
// UnprocessedTraceSegments (X-Ray API model). ID is the document's id if that is a
// string. Clients compare Message: for X-Ray's own codes it is X-Ray's exact text.
// Detail adds what that omits, such as where the JSON is malformed; it may be empty.
type Refusal struct {
	ID                    *string
	Code, Message, Detail string
}

// Error returns the message with its detail.
func (r *Refusal) Error() string {
	if r.Detail == "" {
		return r.Message
	}
	return r.Message + " (" + r.Detail + ")"
}

// Codes that X-Ray does not have.
const (
	codeTooLarge     = "DocumentTooLarge"
	codeInvalidStart = "InvalidStartTime"
	codeInvalidEnd   = "InvalidEndTime"
)

// wording selects how X-Ray words a refusal.
type wording uint8

const (
	// anEntity: it is unknown whether it is a segment or a subsegment.
	anEntity wording = iota
	aSegment
	aSubsegment
)

// refuse returns a refusal with a code of X-Ray. The detail is ours.
func (w wording) refuse(code, detail string) *Refusal {
	return &Refusal{Code: code, Message: w.message(code, "", "null"), Detail: detail}
}

// refuseOur returns a refusal with a code that X-Ray does not have; its message says
// why.
func (w wording) refuseOur(code, why string) *Refusal {
	return &Refusal{Code: code, Message: w.message(code, ": "+why, why)}
}

func (w wording) message(code, detail, cause string) string {
	switch w {
	case aSegment:
		return "Invalid segment. ErrorCode: " + code + detail
	case aSubsegment:
		return "Invalid subsegment. ErrorCode: " + code + ", Cause: " + cause
	}
	return "Invalid entity. ErrorCode: " + code + detail
}

// Document decodes one element of TraceSegmentDocuments, or the body of one datagram: a
// segment, an independent subsegment, or OTLP spans in base64 after T1S (sampled), T1U
// (not sampled: accepted and dropped) or T1, as ADOT on Lambda sends them. It maps spans
// by the default options of package otlp. at is the time of receipt. The segments own
// doc.
//
// Any fault in the document, also in an embedded subsegment, refuses all of it. The text
// is read once; the cost is bounded by its length.
func Document(doc []byte, at trace.Time) ([]*trace.Segment, *Refusal) {
	return NewDocuments(&standard).Append(nil, doc, at)
}

var standard otlp.Mapper // with the default options

// Documents decodes the documents of one request, whose segments share memory.
type Documents struct {
	spans  *otlp.Mapper
	memory slab.Segments
}

// NewDocuments begins a request. spans maps the OTLP spans among its documents.
func NewDocuments(spans *otlp.Mapper) *Documents { return &Documents{spans, slab.NewSegments()} }

// Append decodes a document as the function Document does and appends to a list. After a
// refusal the list is unchanged.
func (r *Documents) Append(to []*trace.Segment, doc []byte, at trace.Time) ([]*trace.Segment, *Refusal) {
	if len(doc) > trace.MaxDocument {
		return to, aSegment.refuseOur(codeTooLarge, fmt.Sprintf("%d bytes, at most %d are taken", len(doc), trace.MaxDocument))
	}
	if len(doc) > 2 && doc[0] == 'T' && doc[1] == '1' {
		segments, refusal := spansOf(doc[2:], r.spans, at)
		return append(to, segments...), refusal
	}
	d := documentReader{Reader: jsonscan.NewReader(doc), memory: &r.memory}
	s := r.memory.Segments.One()
	s.Source, s.ReceivedAt = trace.SourceDocument, at
	isObject := d.Kind() == jsonscan.Object
	m := d.entity(&s.Entity)
	// The text after a syntax error was not read, so this error precedes all others.
	if err := d.End(); err != nil {
		return to, aSegment.refuse("ParseError", err.Error())
	}
	if !isObject {
		return to, anEntity.refuse("ParseError", "a document is a JSON object")
	}
	if refusal := checkDocument(s, &m); refusal != nil {
		if m.id.Kind() == jsonscan.String {
			id := m.id.Text()
			refusal.ID = &id
		}
		return to, refusal
	}
	s.Raw, s.Entity.ReceivedAt = s.Entity.Raw, at
	return append(to, s), nil
}

// spansOf decodes the text after "T1".
func spansOf(text []byte, m *otlp.Mapper, at trace.Time) ([]*trace.Segment, *Refusal) {
	sampled := true
	if text[0] == 'S' || text[0] == 'U' {
		sampled, text = text[0] == 'S', text[1:]
	}
	body := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(body, text)
	if err != nil {
		return nil, anEntity.refuse("ParseError", "OTLP document is not base64: "+err.Error())
	}
	spans, err := m.Proto(body[:n:n], at)
	if err == nil && len(spans.Rejected) > 0 {
		err = fmt.Errorf("%s", spans.Rejected[0].Reason)
	}
	switch {
	case err != nil:
		return nil, anEntity.refuse("ParseError", "OTLP document: "+err.Error())
	case !sampled:
		return nil, nil
	}
	return spans.Segments, nil
}

// Restore decodes a segment again from its stored form; spans by the default options of
// package otlp. The Segment owns raw and shares scope.
func Restore(source trace.Source, raw []byte, scope *trace.OTLPScope, part uint8, at trace.Time) (*trace.Segment, error) {
	return Restorer(&standard)(source, raw, scope, part, at)
}

// Restorer returns a Restore that maps spans by the options of m, with the profile that
// the source names.
func Restorer(m *otlp.Mapper) func(source trace.Source, raw []byte, scope *trace.OTLPScope, part uint8, at trace.Time) (*trace.Segment, error) {
	return func(source trace.Source, raw []byte, scope *trace.OTLPScope, part uint8, at trace.Time) (*trace.Segment, error) {
		var segments []*trace.Segment
		switch source {
		case trace.SourceDocument:
			var refusal *Refusal
			if segments, refusal = Document(raw, at); refusal != nil {
				return nil, fmt.Errorf("restore segment document: %w", refusal)
			}
		case trace.SourceOTLP, trace.SourceCollector:
			var err error
			if segments, err = m.For(source).Span(raw, scope, at); err != nil {
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
}
