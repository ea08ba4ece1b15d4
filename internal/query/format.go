package query

import (
	"fmt"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/render"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// maxSpan is how long a retrieved document may be (X-Ray API model, SpanDocument).
const maxSpan = 204_800

// Format makes the span documents of a trace.
type Format struct {
	Name  string // as TraceFormat names it
	Spans func(*trace.Trace) ([]assemble.Document, error)
}

// FormatXRay gives segment documents, as BatchGetTraces does; what is too long
// for one comes as a segment and its subsegments.
var FormatXRay = Format{"XRAY", func(t *trace.Trace) ([]assemble.Document, error) {
	return fit(assemble.Parts(t, maxSpan)), nil
}}

// FormatOTel gives OTLP/JSON TracesData messages with one span each. Spans that
// were received as OTLP are as they were received; segments and subsegments, also
// those whose parent is missing, are mapped as the collector's awsxrayreceiver
// does.
var FormatOTel = Format{"OTEL", func(t *trace.Trace) ([]assemble.Document, error) {
	var out []assemble.Document
	for e := range assemble.All(t) {
		doc := e.Received
		d := assemble.Document{ID: e.ID.String()}
		switch {
		case e.Gap != trace.NoGap:
			continue // nobody sent it
		case doc == nil:
			return nil, fmt.Errorf("entity %s of trace %s has no document", e.ID, t.ID)
		case !doc.Source.IsSpan():
			d.JSON = render.Entity(doc, e)
		case doc.Part > 0:
			continue // the span comes with its first part
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

// fit makes documents that are too long shorter.
func fit(docs []assemble.Document) []assemble.Document {
	for i, d := range docs {
		if len(d.JSON) > maxSpan {
			docs[i].JSON = shorten(d.JSON, maxSpan)
		}
	}
	return docs
}

// shorten cuts the longest texts and lists of a JSON document until it fits:
// first texts, then also lists and objects of very many members. It stays JSON,
// and short members stay as they are.
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

// cut appends a value with texts of at most so many bytes and lists and objects of
// at most so many members.
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
