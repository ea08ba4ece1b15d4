package otlp_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
)

// awsCall adds the attributes that every call of an AWS SDK has.
func awsCall(pairs ...any) []any { return append([]any{"rpc.system", "aws-api"}, pairs...) }

// peers lists callees, and the attributes of spans that call them; "name" stands for
// the span's own.
var peers = []struct {
	callee string
	spans  [][]any
}{
	{"api.example.com", [][]any{
		{"http.request.method", "GET", "server.address", "api.example.com", "server.port", 8443},
		{"http.request.method", "GET", "url.full", "https://api.example.com/a?b=c"},
		{"http.method", "GET", "http.url", "https://ann:secret@api.example.com:8443/a"},
		{"http.method", "GET", "http.host", "api.example.com:8443", "net.peer.name", "10.0.0.1", "net.peer.port", 8443},
		{"http.method", "GET", "net.peer.name", "api.example.com", "net.peer.ip", "10.0.0.1"},
		{"server.address", "api.example.com", "network.peer.address", "10.0.0.1"},
		{"net.sock.peer.name", "api.example.com", "net.sock.peer.addr", "10.0.0.1"},
		{"server.socket.domain", "api.example.com", "server.socket.address", "10.0.0.1"},
	}},
	{"10.1.2.3", [][]any{
		{"network.peer.address", "10.1.2.3", "network.peer.port", 80},
		{"net.peer.ip", "10.1.2.3"}, {"net.sock.peer.addr", "10.1.2.3"}, {"server.socket.address", "10.1.2.3"},
	}},
	{"::1", [][]any{{"http.host", "[::1]:80"}, {"server.address", "::1"}, {"url.full", "http://[::1]:80/"}}},
	{"/run/app.sock", [][]any{{"server.address", "/run/app.sock"}, {"network.peer.address", "/run/app.sock"}}},
	{"localhost", [][]any{{"url.full", "http://localhost:3000/"}, {"http.host", "localhost:3001"}}},

	{"shop@pg.internal", [][]any{
		{"db.system.name", "postgresql", "db.namespace", "shop", "server.address", "pg.internal", "server.port", 5432, "db.operation.name", "SELECT", "db.collection.name", "users"},
		{"db.system.name", "postgresql", "db.namespace", "shop|public", "server.address", "pg.internal"},
		{"db.system", "postgresql", "db.name", "shop", "net.peer.name", "pg.internal", "db.operation", "SELECT", "db.sql.table", "users"},
		{"db.system", "postgresql", "db.name", "shop", "server.address", "pg.internal", "network.peer.address", "10.0.0.1"},
		{"db.system", "postgresql", "db.name", "shop", "db.connection_string", "jdbc:postgresql://pg.internal:5432/shop"},
	}},
	{"shop", [][]any{{"db.system", "mysql", "db.name", "shop"}, {"db.system.name", "mysql", "db.namespace", "shop"}}},
	{"pg.internal", [][]any{{"db.system", "postgresql", "net.peer.name", "pg.internal"}, {"db.system.name", "postgresql", "server.address", "pg.internal"}}},
	{"postgresql", [][]any{
		{"db.system", "postgresql"}, {"db.system.name", "postgresql", "network.peer.address", "10.0.0.1"}, {"db.system.name", "postgresql", "server.address", "localhost"},
	}},
	{"sales@mssql-1", [][]any{
		{"db.system", "mssql", "db.name", "sales", "db.mssql.instance_name", "i1", "net.peer.name", "mssql-1"},
		{"db.system.name", "microsoft.sql_server", "db.namespace", "i1|sales", "server.address", "mssql-1"},
	}},
	{"mssql", [][]any{{"db.system", "mssql"}, {"db.system.name", "microsoft.sql_server"}}},
	{"redis", [][]any{
		{"db.system", "redis", "db.redis.database_index", 1}, {"db.system.name", "redis", "db.namespace", "1", "network.peer.address", "10.0.0.1"},
		{"db.system", "redis", "net.peer.name", "localhost", "net.peer.port", 6379}, {"db.system", "redis", "db.connection_string", "redis://127.0.0.1:6379"},
	}},
	{"cache.internal", [][]any{
		{"db.system", "redis", "net.peer.name", "cache.internal"}, {"db.system.name", "redis", "db.namespace", "0", "server.address", "cache.internal"},
		{"db.system", "redis", "db.connection_string", "redis://cache.internal:6379"}, {"db.system", "memcached", "net.sock.peer.name", "cache.internal"},
	}},
	{"memcached", [][]any{{"db.system", "memcached"}, {"db.system.name", "memcached"}}},
	{"shop@mongo", [][]any{
		{"db.system", "mongodb", "db.name", "shop", "db.mongodb.collection", "users", "net.peer.name", "mongo"},
		{"db.system.name", "mongodb", "db.namespace", "shop", "db.collection.name", "users", "server.address", "mongo"},
	}},
	{"mongodb", [][]any{{"db.system", "mongodb"}, {"db.system.name", "mongodb", "network.peer.address", "10.0.0.1"}}},
	{"elastic", [][]any{
		{"db.system", "elasticsearch", "http.method", "POST", "http.url", "http://elastic:9200/orders/_search"},
		{"db.system.name", "elasticsearch", "http.request.method", "POST", "url.full", "http://elastic:9200/orders/_search"},
		{"db.system.name", "elasticsearch", "server.address", "elastic"},
	}},
	{"logs@elastic", [][]any{
		{"db.system", "elasticsearch", "db.elasticsearch.cluster.name", "logs", "net.peer.name", "elastic"},
		{"db.system.name", "elasticsearch", "db.namespace", "logs", "server.address", "elastic"},
	}},
	{"ks@cass", [][]any{
		{"db.system", "cassandra", "db.name", "ks", "net.peer.name", "cass"}, {"db.system", "cassandra", "db.cassandra.keyspace", "ks", "net.peer.name", "cass"},
		{"db.system.name", "cassandra", "db.namespace", "ks", "server.address", "cass"},
	}},
	{"cosmosdb", [][]any{{"db.system", "cosmosdb"}, {"db.system.name", "azure.cosmosdb"}}},

	{"shop.Prices", [][]any{
		{"rpc.system", "grpc", "rpc.service", "shop.Prices", "rpc.method", "Get", "net.peer.name", "prices"},
		{"rpc.system.name", "grpc", "rpc.method", "shop.Prices/Get", "server.address", "prices"},
		{"name", "shop.Prices/Get", "rpc.system", "grpc"}, {"name", "/shop.Prices/Get", "rpc.system.name", "grpc"},
	}},
	{"rpc.example", [][]any{{"name", "POST /rpc", "rpc.system", "jsonrpc", "server.address", "rpc.example"}}},

	{"orders", [][]any{
		{"messaging.system", "kafka", "messaging.destination", "orders", "messaging.destination_kind", "topic", "net.peer.name", "broker"},
		{"messaging.system", "kafka", "messaging.destination.name", "orders", "server.address", "broker", "server.port", 9092},
		{"messaging.system", "rabbitmq", "messaging.destination", "", "messaging.rabbitmq.routing_key", "orders"},
		{"messaging.system", "rabbitmq", "messaging.destination.name", "", "messaging.rabbitmq.destination.routing_key", "orders"},
	}},
	{"/orders/{id}", [][]any{{"messaging.system", "jms", "messaging.destination.name", "/orders/17", "messaging.destination.template", "/orders/{id}"}}},
	{"broker", [][]any{{"messaging.system", "rabbitmq", "messaging.destination.name", "amq.gen-17", "messaging.destination.anonymous", true, "server.address", "broker"}}},
	{"jms", [][]any{
		{"messaging.system", "jms", "messaging.destination.name", "tmp-17", "messaging.destination.temporary", true}, {"messaging.system", "jms", "messaging.destination", "tmp-18", "messaging.temp_destination", true},
		{"messaging.system", "jms"},
	}},
	{"aws_sqs", [][]any{{"messaging.system", "AmazonSQS"}, {"messaging.system", "aws_sqs"}}},

	{"resize", [][]any{{"faas.invoked_name", "resize", "faas.invoked_provider", "gcp", "server.address", "run.example"}}},
	{"openai", [][]any{{"gen_ai.system", "openai", "gen_ai.request.model", "m"}, {"gen_ai.provider.name", "openai", "gen_ai.operation.name", "chat"}}},
	{"api.openai.com", [][]any{{"gen_ai.provider.name", "openai", "server.address", "api.openai.com"}}},

	// An explicit attribute wins, first of all that of Application Signals.
	{"billing", [][]any{
		{"peer.service", "billing", "db.system", "postgresql", "db.name", "shop", "server.address", "pg"}, {"aws.remote.service", "billing", "peer.service", "x", "server.address", "y"},
	}},

	// For a call to AWS it is the service; the resource is in the aws block.
	{"DynamoDB", [][]any{
		awsCall("rpc.service", "DynamoDB", "rpc.method", "GetItem", "db.system", "dynamodb", "db.name", "carts", "aws.dynamodb.table_names", []string{"carts"}, "server.address", "dynamodb.eu-west-1.amazonaws.com"),
		{"rpc.system.name", "aws-api", "rpc.method", "DynamoDB/GetItem", "server.address", "dynamodb.eu-west-1.amazonaws.com"},
		awsCall("name", "DynamoDB.GetItem", "net.peer.name", "dynamodb.eu-west-1.amazonaws.com"),
		awsCall("rpc.service", "DynamoDB", "aws.remote.service", "carts", "aws.dynamodb.table_names", []string{"carts"}),
	}},
	{"SQS", [][]any{
		awsCall("rpc.service", "Sqs", "rpc.method", "SendMessage"), awsCall("rpc.service", "AmazonSQS"), awsCall("name", "SQS.SendMessage"),
		awsCall("rpc.service", "SQS", "rpc.method", "SendMessage", "messaging.system", "aws_sqs", "messaging.destination.name", "orders", "aws.sqs.queue.url", "https://sqs/1/orders"),
	}},
	{"S3", [][]any{awsCall("rpc.service", "S3"), awsCall("rpc.service", "Amazon S3", "rpc.method", "GetObject", "net.peer.name", "x.s3.amazonaws.com")}},
	{"Lambda", [][]any{awsCall("rpc.service", "AWSLambda", "rpc.method", "Invoke", "faas.invoked_name", "price")}},
	{"Bedrock Runtime", [][]any{awsCall("rpc.service", "Bedrock Runtime", "rpc.method", "InvokeModel", "gen_ai.system", "aws.bedrock")}},
	{"BedrockRuntime", [][]any{awsCall("rpc.service", "Bedrock Runtime", "aws.remote.service", "AWS::BedrockRuntime")}},

	{"op", [][]any{nil, {"http.request.method", "GET", "url.path", "/a"}}}, // no attribute tells the callee
}

// peerSpan returns a span of a kind with such attributes.
func peerSpan(kind tracepb.Span_SpanKind, pairs []any) *tracepb.Span {
	span := child(newSpan(kind, pairs...))
	if i := slices.Index(pairs, any("name")); i >= 0 {
		span.Name = pairs[i+1].(string)
	}
	return span
}

// One callee has one name in all semantic conventions, for all operations and for all
// span names.
func TestMapper_peers(t *testing.T) {
	for _, c := range peers {
		for _, pairs := range c.spans {
			for _, kind := range []tracepb.Span_SpanKind{client, producer} {
				span := peerSpan(kind, pairs)
				s := mapped(t, new(otlp.Mapper), request(attributes("service.name", "shop"), span))[0]
				if got := cmp.Or(s.Peer, s.Name); got != c.callee || s.Peer == s.Name {
					t.Errorf("%v: callee %q (document %q, peer %q), want %q", pairs, got, s.Name, s.Peer, c.callee)
				}
				if s.Namespace == "" && c.callee != "op" {
					t.Errorf("%v: a call of kind %v without namespace", pairs, kind)
				}
				compatible := mapped(t, otlp.NewMapper(otlp.Options{Profile: otlp.ProfileCollector}), request(nil, span))[0]
				if compatible.Peer != "" {
					t.Errorf("%v: the collector knows no peers: %q", pairs, compatible.Peer)
				}
			}
		}
	}
	for _, kind := range []tracepb.Span_SpanKind{server, internal, consumer} {
		span := child(newSpan(kind, "db.system", "redis", "http.host", "h:1"))
		if s := mapped(t, new(otlp.Mapper), request(nil, span))[0]; s.Peer != "" {
			t.Errorf("kind %v calls nothing and has the peer %q", kind, s.Peer)
		}
	}
	long := child(newSpan(client, "db.system", "mongodb", "db.name", "d", "net.peer.name", strings.Repeat("é", 300)))
	if s := mapped(t, new(otlp.Mapper), request(nil, long))[0]; s.Peer != "d@"+strings.Repeat("é", 198) {
		t.Errorf("peer %q", s.Peer)
	}
}
