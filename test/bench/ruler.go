package main

import (
	"encoding/json"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// rulerTime is how long a ruler measures.
const rulerTime = 500 * time.Millisecond

// ruler measures a public decoder with the spans of a load, in µs a span. Machines,
// and the minutes of a shared machine, differ by more than a change to the server
// does, so the cost of a span is compared as a multiple of this.
type ruler func(g *generator) (spans int, decode func() error)

// protobufRuler decodes OpenTelemetry's own message with protobuf-go.
func protobufRuler(g *generator) (int, func() error) {
	body, spans, _ := g.otlp(1000)
	return spans, func() error { return proto.Unmarshal(body, &coltrace.ExportTraceServiceRequest{}) }
}

// jsonRuler decodes segment documents with encoding/json, without a schema.
func jsonRuler(g *generator) (int, func() error) {
	var docs []string
	spans := 0
	for spans < 1000 {
		d, n, _ := g.documents()
		docs, spans = append(docs, d...), spans+n
	}
	return spans, func() error {
		for _, doc := range docs {
			var v any
			if err := json.Unmarshal([]byte(doc), &v); err != nil {
				return err
			}
		}
		return nil
	}
}

// measure decodes for rulerTime.
func (r ruler) measure(seed uint64) (microsPerSpan float64, err error) {
	n, decode := r(newGenerator(seed, 99))
	spans, began := 0, time.Now()
	for time.Since(began) < rulerTime {
		if err := decode(); err != nil {
			return 0, err
		}
		spans += n
	}
	return float64(time.Since(began).Microseconds()) / float64(spans), nil
}
