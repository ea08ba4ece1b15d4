package receive

import (
	"bytes"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"google.golang.org/protobuf/encoding/protowire"
)

// A request is decoded only when there is room for the result: a body of many tiny
// spans or subsegments becomes twenty times as large.

// decodedBytes is the memory of one decoded entity, including the memory to write it to
// the store.
const decodedBytes = 800

// leastEntity is the length of the shortest entity: it needs id, name, start and end.
const leastEntity = 64

// mostCost returns an upper bound of documentCost for documents of a size.
func mostCost(size int64) int64 { return size/leastEntity*decodedBytes + size }

// documentCost estimates the memory that a document takes until it is stored, in bytes,
// in addition to its text.
func documentCost(doc []byte) int64 {
	// Each entity has a start_time. If its name is written with escapes, count the
	// escape.
	entities := startTimes(doc) + bytes.Count(doc, []byte(`\u`))
	return int64(entities)*decodedBytes + int64(len(doc))
}

// startTimes counts names that begin with start_. It looks for underscores, because
// they are much rarer than quotes.
func startTimes(doc []byte) (n int) {
	const name = `"start`
	for at := 0; ; at++ {
		i := bytes.IndexByte(doc[at:], '_')
		if i < 0 {
			return n
		}
		at += i
		if at >= len(name) && string(doc[at-len(name):at]) == name {
			n++
		}
	}
}

// spansCost estimates the same for an OTLP request.
func spansCost(body []byte, json bool) int64 {
	if json {
		// JSON becomes protobuf first, span by span.
		spans := bytes.Count(body, []byte(`"start`)) + bytes.Count(body, []byte(`\u`))
		return int64(min(spans, otlp.MaxSpans))*decodedBytes + 2*int64(len(body))
	}
	return int64(min(countSpans(body, 1, 2, 2), otlp.MaxSpans))*decodedBytes + int64(len(body))
}

// legacyScopeSpans is the field in which old senders put scope spans (package otlp).
const legacyScopeSpans = 1000

// countSpans counts the messages at the end of a path of field numbers (OTLP:
// resource_spans 1, scope_spans 2, spans 2). It ignores malformed messages: the decoder
// reports them.
func countSpans(b []byte, path ...protowire.Number) (n int) {
	for len(b) > 0 {
		number, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return n
		}
		b = b[size:]
		legacy := len(path) == 2 && number == legacyScopeSpans
		if number != path[0] && !legacy || typ != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(number, typ, b); size < 0 {
				return n
			}
			b = b[size:]
			continue
		}
		value, size := protowire.ConsumeBytes(b)
		if size < 0 {
			return n
		}
		b = b[size:]
		if len(path) == 1 {
			n++
		} else {
			n += countSpans(value, path[1:]...)
		}
	}
	return n
}
