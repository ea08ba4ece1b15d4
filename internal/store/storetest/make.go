package storetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// doc is the content of a segment document; maps keep the cases short.
type doc map[string]any

// traceID returns the trace id of a number; greater numbers have greater ids.
func traceID(n int) trace.ID {
	var id trace.ID
	id[0], id[1] = 0x58, 0x1c
	id[12], id[13], id[14], id[15] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return id
}

func segmentID(n int) string { return fmt.Sprintf("%016x", n+1) }

// segment decodes one document. start and end are seconds on the fixture's time line.
func segment(t testing.TB, received trace.Time, n int, id string, name string, start, end float64, more doc) *trace.Segment {
	t.Helper()
	d := doc{"trace_id": traceID(n).String(), "id": id, "name": name, "start_time": seconds(start)}
	if end < 0 {
		d["in_progress"] = true
	} else {
		d["end_time"] = seconds(end)
	}
	for k, v := range more {
		d[k] = v
	}
	return decodeDoc(t, d, received)
}

func seconds(s float64) json.Number { return json.Number(fmt.Sprintf("%.6f", second(s).Seconds())) }

func decodeDoc(t testing.TB, d doc, received trace.Time) *trace.Segment {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	segments, refusal := decode.Document(text, received)
	if refusal != nil {
		t.Fatalf("document refused: %s %s\n%s", refusal.Code, refusal.Message, text)
	}
	return segments[0]
}

// spans decodes an OTLP request of one resource: a server span that calls a database.
func spans(t testing.TB, received trace.Time, n int, service string, start float64) []*trace.Segment {
	t.Helper()
	nanos := func(s float64) string { return fmt.Sprint(int64(second(s))) }
	text := fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[
		{"key":"service.name","value":{"stringValue":%q}},{"key":"host.id","value":{"stringValue":"i-0123456789"}}]},
		"schemaUrl":"https://opentelemetry.io/schemas/1.26.0",
		"scopeSpans":[{"scope":{"name":"lib","version":"1.2"},"spans":[
		{"traceId":%q,"spanId":%q,"name":"GET /","kind":2,"startTimeUnixNano":%q,"endTimeUnixNano":%q,"attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"http.response.status_code","value":{"intValue":"503"}}],"status":{"code":2}},
		{"traceId":%q,"spanId":%q,"parentSpanId":%q,"name":"SELECT shop","kind":3,"startTimeUnixNano":%q,"endTimeUnixNano":%q,"attributes":[{"key":"db.system","value":{"stringValue":"postgresql"}},{"key":"db.name","value":{"stringValue":"shop"}}]}
		]}]}]}`, service, traceID(n).Hex(), segmentID(n*10+1), nanos(start), nanos(start+1), traceID(n).Hex(), segmentID(n*10+2), segmentID(n*10+1), nanos(start+0.25), nanos(start+0.5))
	decoded, err := otlp.JSON([]byte(text), received)
	if err != nil || len(decoded.Rejected) > 0 || len(decoded.Segments) < 2 {
		t.Fatalf("OTLPJSON: %v, %+v", err, decoded)
	}
	return decoded.Segments
}

// resource returns the OTLP/JSON text of a service's resource.
func resource(service string) string {
	return fmt.Sprintf(`{"attributes":[{"key":"service.name","value":{"stringValue":%q}}]}`, service)
}

// span makes one span of a service; parent "": a root; end below 0: in progress.
func span(t testing.TB, received trace.Time, n int, service string, kind trace.SpanKind, id, parent, name string, start, end float64) *trace.Segment {
	t.Helper()
	ends := int64(0)
	if end >= 0 {
		ends = int64(second(end))
	}
	text := fmt.Sprintf(`{"resourceSpans":[{"resource":%s,"scopeSpans":[{"spans":[{"traceId":%q,"spanId":%q,"parentSpanId":%q,"name":%q,"kind":%d,"startTimeUnixNano":"%d","endTimeUnixNano":"%d"}]}]}]}`,
		resource(service), traceID(n).Hex(), id, parent, name, kind, int64(second(start)), ends)
	decoded, err := otlp.JSON([]byte(text), received)
	if err != nil || len(decoded.Segments) != 1 {
		t.Fatalf("OTLPJSON: %v, %+v", err, decoded)
	}
	return decoded.Segments[0]
}

// shop makes a realistic trace of three services: a front end that calls an order
// service, which calls a table. The segments are ordered by start.
func shop(t testing.TB, rnd *rand.Rand, received func() trace.Time, n int, start float64) []*trace.Segment {
	t.Helper()
	front, order, call, table := segmentID(n*10+1), segmentID(n*10+2), segmentID(n*10+3), segmentID(n*10+4)
	took := 0.01 + float64(rnd.IntN(400))/100
	status := []int{200, 200, 200, 404, 429, 500}[rnd.IntN(6)]
	user := fmt.Sprintf("user-%d", rnd.IntN(20))
	more := doc{
		"http":        doc{"request": doc{"method": "GET", "url": fmt.Sprintf("https://shop.example.com/orders/%d", rnd.IntN(50)), "client_ip": "203.0.113.7"}, "response": doc{"status": status, "content_length": rnd.IntN(9000)}},
		"user":        user,
		"annotations": doc{"tier": []string{"gold", "silver"}[rnd.IntN(2)], "items": rnd.IntN(9)},
		"aws":         doc{"xray": doc{"sdk": "X-Ray for Go", "sdk_version": "2.0.3"}},
		"origin":      "AWS::ECS::Container",
		"subsegments": []doc{{"id": call, "name": "orders", "namespace": "remote", "start_time": seconds(start + took/10), "end_time": seconds(start + took*0.9), "http": doc{"request": doc{"method": "POST", "url": "http://orders/place", "traced": true}, "response": doc{"status": status}}}},
	}
	if rnd.IntN(4) == 0 {
		more["annotations"].(doc)["campaign"] = true
	}
	if status == 500 {
		more["fault"] = true
		more["cause"] = doc{"working_directory": "/srv", "exceptions": []doc{{"id": segmentID(n*10 + 9), "type": "OrderError", "message": "no stock left", "stack": []doc{{"path": "orders.go", "line": 42, "label": "place"}}}}}
	}
	return []*trace.Segment{
		segment(t, received(), n, front, "front", start, start+took, more),
		segment(t, received(), n, order, "orders", start+took/8, start+took*0.8, doc{
			"parent_id": call, "fault": status == 500,
			"subsegments": []doc{{"id": table, "name": "DynamoDB", "namespace": "aws", "start_time": seconds(start + took/4), "end_time": seconds(start + took/2), "aws": doc{"operation": "PutItem", "table_name": "orders", "region": "us-east-1"}}},
			"metadata":    doc{"default": doc{"cart": []int{1, 2, 3}, "note": "left at the door"}},
		}),
	}
}
