package query

import (
	"fmt"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/render"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// maxSpan is the maximum length of a retrieved document (X-Ray API model,
// SpanDocument).
const maxSpan = 204_800

// Format renders a trace as span documents.
type Format struct {
	Name  string // as in the API's TraceFormat
	Spans func(*trace.Trace) ([]assemble.Document, error)
}

// FormatXRay makes segment documents, as BatchGetTraces does; a document that is too
// long is split into a segment and its subsegments.
var FormatXRay = Format{"XRAY", func(t *trace.Trace) ([]assemble.Document, error) {
	return fit(assemble.Parts(t, maxSpan)), nil
}}

// FormatOTel makes OTLP/JSON TracesData messages with one span each. Spans received
// as OTLP are returned as received; segments and subsegments, also those whose
// parent is missing, are converted as the collector's awsxrayreceiver does.
var FormatOTel = Format{"OTEL", func(t *trace.Trace) ([]assemble.Document, error) {
	var out []assemble.Document
	for e := range assemble.All(t) {
		doc := e.Received
		d := assemble.Document{ID: e.ID.String()}
		switch {
		case e.Gap != trace.NoGap:
			continue // a placeholder
		case doc == nil:
			return nil, fmt.Errorf("entity %s of trace %s has no document", e.ID, t.ID)
		case !doc.Source.IsSpan():
			d.JSON = render.Entity(doc, e)
		case doc.Part > 0:
			continue // its first part has the span
		default:
			var err error
			if d.JSON, err = render.OTLP(doc); err != nil {
				return nil, err
			}
		}
		out = append(out, d)
	}
	return fit(out), nil
}}

// fit shortens documents that are too long.
func fit(docs []assemble.Document) []assemble.Document {
	for i, d := range docs {
		if len(d.JSON) > maxSpan {
			docs[i].JSON = shorten(d.JSON, maxSpan)
		}
	}
	return docs
}

// shorten cuts the longest texts and lists of a JSON document until it fits: first
// texts, then also lists and objects with very many members. The result is valid
// JSON, and short members do not change.
func shorten(doc []byte, limit int) []byte {
	out := doc
	for text := limit / 4; len(out) > limit && text >= 64; text /= 2 {
		out = cut(nil, doc, text, limit)
	}
	for members := 1024; len(out) > limit && members > 0; members /= 2 {
		out = cut(nil, doc, 64, members)
	}
	if len(out) > limit {
		return []byte("{}") // deeper than it is wide
	}
	return out
}

// cut appends a value, with texts cut to text bytes and lists and objects to members
// elements.
func cut(b []byte, v jsonscan.Value, text, members int) []byte {
	switch v.Kind() {
	case jsonscan.Object:
		b = append(b, '{')
		n := 0
		for name, m := range v.Members() {
			if len(name) > text || n == members {
				continue
			}
			if n > 0 {
				b = append(b, ',')
			}
			n++
			b = append(append(append(b, '"'), name...), '"', ':')
			b = cut(b, m, text, members)
		}
		return append(b, '}')
	case jsonscan.Array:
		b = append(b, '[')
		n := 0
		for m := range v.Elements() {
			if n == members {
				break
			}
			if n > 0 {
				b = append(b, ',')
			}
			n++
			b = cut(b, m, text, members)
		}
		return append(b, ']')
	case jsonscan.String:
		if len(v) > text+2 {
			s := v.Text()
			n := min(text, len(s))
			for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
				n--
			}
			return jsonscan.AppendString(b, s[:n])
		}
	}
	return append(b, v...)
}
