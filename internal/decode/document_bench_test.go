package decode_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/jsonscan"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// typical holds documents as SDKs send them.
var typical = []struct{ name, doc string }{
	{"least", `{"name":"www.example.com","id":"70de5b6f19ff9a0a","start_time":1478293361.271,"trace_id":"1-581cf771-a006649127e371903a2de979","end_time":1478293361.449}`},
	{"goHTTP", `{"trace_id":"1-5f187253-6a106696d56b1f4ef9eba2ed","id":"5cc4a447f5d4d696","name":"SampleServer","start_time":1595437651.680097,"end_time":1595437652.197392,"http":{"request":{"method":"GET","url":"http://localhost:8000/","client_ip":"127.0.0.1:60848","user_agent":"curl/7.54.0"},"response":{"status":200}},"aws":{"xray":{"sdk_version":"1.1.0","sdk":"X-Ray for Go","sampling_rule_name":"Default"}},"service":{"compiler_version":"go1.14.6","compiler":"gc"},"Dummy":false}`},
	{"nodeCalls", `{"id":"5d8bc84d3d8ad0f3","name":"scorekeep","start_time":1700000000.123,"trace_id":"1-6553f100-a006649127e371903a2de979","in_progress":false,"end_time":1700000000.456,"origin":"AWS::ECS::Fargate","service":{"name":"scorekeep","version":"1.0.0","runtime":"node","runtime_version":"v18.17.1"},"aws":{"xray":{"sdk":"X-Ray for Node.js","sdk_version":"3.5.1","package":"aws-xray-sdk","rule_name":"Default"},"ecs":{"container":"ip-10-0-1-22.eu-west-1.compute.internal","container_id":"0123456789abcdef"}},` +
		`"http":{"request":{"method":"POST","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","client_ip":"203.0.113.9","url":"https://api.example.com/api/game/ABCDEF/rules","x_forwarded_for":true},"response":{"status":200,"content_length":86}},"user":"u-1024","annotations":{"plan":"gold","retry":2,"vip":true},"metadata":{"default":{"game":{"id":"ABCDEF","rules":["a","b"],"note":"said \"hi\"\n"}}},"subsegments":[` +
		`{"id":"53995c3f42cd8ad1","name":"## validate","start_time":1700000000.13,"end_time":1700000000.14,"subsegments":[{"id":"53995c3f42cd8ad2","name":"parse","start_time":1700000000.131,"end_time":1700000000.132}]},` +
		`{"id":"53995c3f42cd8ad3","name":"DynamoDB","start_time":1700000000.15,"end_time":1700000000.2,"namespace":"aws","http":{"response":{"status":200,"content_length":210}},"aws":{"operation":"GetItem","region":"eu-west-1","request_id":"3AIENM5J4ELQ3SPODHKBIRVIC3VV4KQNSO5AEMVJF66Q9ASUAAJG","retries":0,"table_name":"scorekeep-game","consistent_read":false}},` +
		`{"id":"53995c3f42cd8ad4","name":"users.internal","start_time":1700000000.21,"end_time":1700000000.3,"namespace":"remote","http":{"request":{"url":"https://users.internal/u-1024","method":"GET","traced":true},"response":{"status":200,"content_length":12}}},` +
		`{"id":"53995c3f42cd8ad5","name":"scores@db.internal","start_time":1700000000.31,"end_time":1700000000.4,"namespace":"remote","sql":{"url":"jdbc:postgresql://db.internal:5432/scores","preparation":"statement","database_type":"PostgreSQL","database_version":"14.5","driver_version":"42.2","user":"app","sanitized_query":"SELECT * FROM scores WHERE game = ? AND player = ?"},"error":true,"fault":true,"cause":{"working_directory":"/srv","exceptions":[{"message":"deadlock detected","type":"PSQLException","id":"aaaaaaaaaaaaaaaa","remote":false,"stack":[{"path":"db.js","line":12,"label":"query"},{"path":"game.js","line":99,"label":"save"}]}]}}]}`},
	{"lambda", `{"id":"3e9fb0b0b8a0ab11","name":"thumbnail","start_time":1615455019.055,"trace_id":"1-6049e32a-49e6a9866fc15c8e30479d09","end_time":1615455019.477,"parent_id":"0a1b2c3d4e5f6071","origin":"AWS::Lambda::Function","resource_arn":"arn:aws:lambda:eu-west-1:123456789012:function:thumbnail","aws":{"account_id":"123456789012","function_arn":"arn:aws:lambda:eu-west-1:123456789012:function:thumbnail","cold_start":true,"resource_names":["thumbnail"]},"subsegments":[{"id":"1e9fb0b0b8a0ab12","name":"Initialization","start_time":1615455019.06,"end_time":1615455019.2,"aws":{"function_arn":"arn:aws:lambda:eu-west-1:123456789012:function:thumbnail"}},{"id":"1e9fb0b0b8a0ab13","name":"Invocation","start_time":1615455019.2,"end_time":1615455019.47},{"id":"1e9fb0b0b8a0ab14","name":"Overhead","start_time":1615455019.47,"end_time":1615455019.477}]}`},
	{"streamed", `{"type":"subsegment","trace_id":"1-6553f100-a006649127e371903a2de979","parent_id":"5d8bc84d3d8ad0f3","id":"53995c3f42cd8ad3","name":"DynamoDB","start_time":1700000000.15,"end_time":1700000000.2,"namespace":"aws","aws":{"operation":"GetItem","region":"eu-west-1","table_name":"scorekeep-game"},"http":{"response":{"status":200}}}`},
	{"metadata8KB", `{"name":"worker","id":"70de5b6f19ff9a0a","start_time":1478293361.271,"trace_id":"1-581cf771-a006649127e371903a2de979","end_time":1478293361.449,"metadata":{"default":{"rows":[` + strings.Repeat(`{"sku":"A-100","quantity":2,"price":12.5,"tags":["new","sale"],"note":"a \"quoted\" word"},`, 90) + `{}]}}}`},
}

// BenchmarkDocument reports time and allocations per entity, not per document.
func BenchmarkDocument(b *testing.B) {
	for _, c := range typical {
		b.Run(c.name, func(b *testing.B) {
			doc := []byte(c.doc)
			segments, refusal := decode.Document(doc, at)
			if refusal != nil {
				b.Fatal(refusal)
			}
			entities := float64(count(&segments[0].Entity))
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				decoded, _ = decode.Document(doc, at)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entities, "ns/entity")
		})
	}
}

var decoded []*trace.Segment

// BenchmarkPut decodes a request of 50 documents as the intake does.
func BenchmarkPut(b *testing.B) {
	var docs []string
	for i := range 50 {
		docs = append(docs, typical[i%5].doc)
	}
	body, entities := putBody(docs), 0
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		entities = 0
		list, err := decode.Body(body)
		if err != nil {
			b.Fatal(err)
		}
		for _, doc := range list {
			segments, refusal := decode.Document(doc, at)
			if refusal != nil {
				b.Fatal(refusal)
			}
			entities += count(&segments[0].Entity)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(entities), "ns/entity")
}

func BenchmarkBody(b *testing.B) {
	body := putBody([]string{typical[0].doc, typical[1].doc, typical[2].doc, typical[3].doc, typical[4].doc})
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode.Body(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDatagram(b *testing.B) {
	datagram := fmt.Appendf(nil, "{\"format\": \"json\", \"version\": 1}\n%s", typical[1].doc)
	b.ReportAllocs()
	for b.Loop() {
		if _, refusal := decode.Datagram(datagram); refusal != nil {
			b.Fatal(refusal)
		}
	}
}

// putBody is a PutTraceSegments request as the AWS SDKs write it.
func putBody(docs []string) []byte {
	body := []byte(`{"TraceSegmentDocuments":[`)
	for i, doc := range docs {
		if i > 0 {
			body = append(body, ',')
		}
		body = jsonscan.AppendString(body, doc)
	}
	return append(body, "]}"...)
}
