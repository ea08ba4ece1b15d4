package block

import (
	"encoding/binary"
	"fmt"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// callsText is a segment with the calls that an SDK records, as SDKs write it.
const callsText = `{"id":"5d8bc84d3d8ad0f3","name":"scorekeep","start_time":1700000000.123,"trace_id":"1-00020000-000000000000000000000000","in_progress":false,"end_time":1700000000.456,"origin":"AWS::ECS::Fargate","service":{"name":"scorekeep","version":"1.0.0","runtime":"node","runtime_version":"v18.17.1"},"aws":{"xray":{"sdk":"X-Ray for Node.js","sdk_version":"3.5.1","package":"aws-xray-sdk","rule_name":"Default"},"ecs":{"container":"ip-10-0-1-22.eu-west-1.compute.internal","container_id":"0123456789abcdef"}},` +
	`"http":{"request":{"method":"POST","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","client_ip":"203.0.113.9","url":"https://api.example.com/api/game/ABCDEF/rules","x_forwarded_for":true},"response":{"status":200,"content_length":86}},"user":"u-1024","annotations":{"plan":"gold","retry":2,"vip":true},"metadata":{"default":{"game":{"id":"ABCDEF","rules":["a","b"],"note":"said \"hi\"\n"}}},"subsegments":[` +
	`{"id":"53995c3f42cd8ad1","name":"## validate","start_time":1700000000.13,"end_time":1700000000.14,"subsegments":[{"id":"53995c3f42cd8ad2","name":"parse","start_time":1700000000.131,"end_time":1700000000.132}]},` +
	`{"id":"53995c3f42cd8ad3","name":"DynamoDB","start_time":1700000000.15,"end_time":1700000000.2,"namespace":"aws","http":{"response":{"status":200,"content_length":210}},"aws":{"operation":"GetItem","region":"eu-west-1","request_id":"3AIENM5J4ELQ3SPODHKBIRVIC3VV4KQNSO5AEMVJF66Q9ASUAAJG","retries":0,"table_name":"scorekeep-game","consistent_read":false}},` +
	`{"id":"53995c3f42cd8ad4","name":"users.internal","start_time":1700000000.21,"end_time":1700000000.3,"namespace":"remote","http":{"request":{"url":"https://users.internal/u-1024","method":"GET","traced":true},"response":{"status":200,"content_length":12}}}]}`

// callsSplit is how callsText is stored.
const callsSplit = `["\a{\"id\":\"\x05\n\",\"name\":\"\r\x00\x0f\",\"start_time\":\n\x03\r,\"trace_id\":\"\x02!\",\"in_progress\":false,\"end_time\":\v\x03\xea\x02,\"origin\":\"AWS::ECS::Fargate\",\"service\":{\"name\":\"scorekeep\",\"version\":\"1.0.0\",\"runtime\":\"node\",\"runtime_version\":\"v18.17.1\"},\"aws\":{\"xray\":{\"sdk\":\"X-Ray for Node.js\",\"sdk_version\":\"3.5.1\",\"package\":\"aws-xray-sdk\",\"rule_name\":\"Default\"},\"ecs\":{\"container\":\"ip-10-0-1-22.eu-west-1.compute.internal\",\"container_id\":\"0123456789abcdef\"}},\"http\":{\"request\":{\"method\":\"\r\x01\x10\",\"user_agent\":\"\x12\x1b\x0f\",\"client_ip\":\"\x122\t\",\"url\":\"\r\x02/\",\"x_forwarded_for\":true},\"response\":{\"status\":\r\x05\x12,\"content_length\":\x12:\v}},\"user\":\"\r\x04\x11\",\"annotations\":{\x10\x01,\x11\x01,\x11'},\"metadata\":{\"default\":{\"game\":{\"id\":\"\x12\x1d\f\",\"rules\":[\"\x12\x12\x03\",\"\x12\x12\n\"],\"note\":\x126\x13}}},\"subsegments\":[" "\a{\"id\":\"\x13\n\",\"name\":\"\x12\x0f\x0f\",\"start_time\":\x12\x14\f,\"end_time\":\x129\x10,\"subsegments\":[" "\a{\"id\":\"\x13\n\",\"name\":\"\x12\x0f\x0f\",\"start_time\":\x14\x03\f,\"end_time\":\x15\x03\x04}]}," "\a{\"id\":\"\x13\n\",\"name\":\"\x12\x0f\x0f\",\"start_time\":\x12\x14\f,\"end_time\":\x129E,\"namespace\":\"aws\",\"http\":{\"response\":{\"status\":200,\"content_length\":\x12:C}},\"aws\":{\"operation\":\"GetItem\",\"region\":\"eu-west-1\",\"request_id\":\"\x12\x15F\",\"retries\":0,\"table_name\":\"scorekeep-game\",\"consistent_read\":false}}," "\a{\"id\":\"\x13\n\",\"name\":\"\x12\x0f\x0f\",\"start_time\":\x12\x14\f,\"end_time\":\x1290,\"namespace\":\"remote\",\"http\":{\"request\":{\"url\":\"\x12\fJ\",\"method\":\"GET\",\"traced\":true},\"response\":{\"status\":200,\"content_length\":\x12:\x05}}}]}"] ids 53995c3f42cd8ad153995c3f42cd8ad253995c3f42cd8ad353995c3f42cd8ad4 times 1002 rest ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36" "203.0.113.9" "86" "ABCDEF" "a" "b" "\"said \\\"hi\\\"\\n\"" "## validate" "1700000000.13" "1700000000.14" "parse" "DynamoDB" "1700000000.15" "1700000000.2" "210" "3AIENM5J4ELQ3SPODHKBIRVIC3VV4KQNSO5AEMVJF66Q9ASUAAJG" "users.internal" "1700000000.21" "1700000000.3" "https://users.internal/u-1024" "12"] kinds [27 50 58 29 18 18 54 15 20 57 15 15 20 57 58 21 15 20 57 12 58] pairs [{plan gold} {retry 2} {vip true}]`

// BenchmarkSplit takes one record apart, without writing it.
func BenchmarkSplit(b *testing.B) {
	id := trace.ID{1: 2}
	text := func(key, value string) *common.KeyValue {
		return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
	}
	span, err := proto.Marshal(&otlptrace.Span{
		TraceId: id[:], SpanId: binary.BigEndian.AppendUint64(nil, 5), ParentSpanId: binary.BigEndian.AppendUint64(nil, 4), Name: "GET /items/{id}", Kind: 3,
		StartTimeUnixNano: 1_760_000_000_123_456_789, EndTimeUnixNano: 1_760_000_000_223_456_789,
		Attributes: []*common.KeyValue{
			text("http.request.method", "GET"), text("url.full", "http://storefront/items/order-1abcdefghij"),
			{Key: "http.response.status_code", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: 200}}},
			text("server.address", "catalog"), text("user.id", "user-4711"), text("app.order", "order-1abcdefghij"), text("app.tier", "gold"),
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		source trace.Source
		raw    []byte
	}{
		{"segment", trace.SourceDocument, []byte(segmentText)},
		{"child", trace.SourceDocument, []byte(childText)},
		{"calls", trace.SourceDocument, []byte(callsText)},
		{"span", trace.SourceOTLP, span},
	} {
		b.Run(c.name, func(b *testing.B) {
			var m rowMaker
			r := Record{TraceID: id, Source: c.source, ReceivedAt: 1_700_000_001_000_000_000, Raw: c.raw}
			b.SetBytes(int64(len(c.raw)))
			b.ReportAllocs()
			for b.Loop() {
				m.take("1", id, &r)
			}
			if m.row.Raw != nil {
				b.Fatal("the record stayed whole")
			}
		})
	}
}

// The split of a document must not change: blocks of all versions share templates in
// their dictionaries when they are merged.
func TestSplit_templateOfADocument(t *testing.T) {
	var m rowMaker
	m.take("1", trace.ID{1: 2}, &Record{Source: trace.SourceDocument, ReceivedAt: 1_700_000_001_000_000_000, Raw: []byte(callsText)})
	got := fmt.Sprintf("%q ids %x times %x rest %q kinds %v pairs %v", m.row.Template, m.row.IDs, m.row.Times, m.row.Rest, m.splitter.kinds, m.row.Attributes)
	if got != callsSplit {
		t.Errorf("got\n%s\nwant\n%s", got, callsSplit)
	}
}
