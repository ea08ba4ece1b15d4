package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// otlpAttributes makes attributes of OTLP/JSON.
func otlpAttributes(pairs ...any) []any {
	out := []any{}
	for i := 0; i < len(pairs); i += 2 {
		value := map[string]any{}
		switch v := pairs[i+1].(type) {
		case string:
			value["stringValue"] = v
		case int:
			value["intValue"] = fmt.Sprint(v)
		case bool:
			value["boolValue"] = v
		case []string:
			var values []any
			for _, s := range v {
				values = append(values, map[string]any{"stringValue": s})
			}
			value["arrayValue"] = map[string]any{"values": values}
		default:
			panic(fmt.Sprintf("attribute of type %T", v))
		}
		out = append(out, map[string]any{"key": pairs[i], "value": value})
	}
	return out
}

// callSpan is a span of kind CLIENT (3) or PRODUCER (4) and the expected node of its
// callee.
type callSpan struct {
	node, name string
	kind       int
	attributes []any
}

// callees are calls in old and new semantic conventions, several for each callee.
var callees = func() (list []callSpan) {
	add := func(node, name string, kind int, pairs ...any) {
		list = append(list, callSpan{node, name, kind, otlpAttributes(pairs...)})
	}
	const client, producer = 3, 4
	add("shop@pg.internal|Database::SQL", "SELECT shop.users", client, "db.system", "postgresql", "db.name", "shop", "db.statement", "SELECT 1", "db.operation", "SELECT", "net.peer.name", "pg.internal", "net.peer.port", 5432)
	add("shop@pg.internal|Database::SQL", "INSERT users", client, "db.system.name", "postgresql", "db.namespace", "shop", "db.query.text", "INSERT", "db.operation.name", "INSERT", "db.collection.name", "users", "server.address", "pg.internal", "server.port", 5432)
	add("mysql|Database::SQL", "SELECT", client, "db.system", "mysql")
	add("mysql|Database::SQL", "UPDATE", client, "db.system.name", "mysql", "network.peer.address", "10.0.0.9", "network.peer.port", 3306)
	add("redis|remote", "HGETALL", client, "db.system", "redis", "db.statement", "HGETALL ?")
	add("redis|remote", "GET", client, "db.system.name", "redis", "db.namespace", "0", "network.peer.address", "10.0.0.9")
	add("cache.internal|remote", "SET", client, "db.system", "redis", "net.peer.name", "cache.internal", "net.peer.port", 6379)
	add("cache.internal|remote", "EXPIRE", client, "db.system.name", "redis", "server.address", "cache.internal")
	add("10.9.8.7|remote", "PING", client, "network.peer.address", "10.9.8.7")
	add("10.9.8.7|remote", "PONG", client, "net.sock.peer.addr", "10.9.8.7")
	add("shop@mongo|remote", "find users", client, "db.system", "mongodb", "db.name", "shop", "db.mongodb.collection", "users", "net.peer.name", "mongo")
	add("shop@mongo|remote", "insert orders", client, "db.system.name", "mongodb", "db.namespace", "shop", "db.collection.name", "orders", "server.address", "mongo")
	add("elastic|remote", "search", client, "db.system.name", "elasticsearch", "url.full", "http://elastic:9200/a/_search", "http.request.method", "POST")
	add("memcached|remote", "get", client, "db.system", "memcached")
	add("cassandra|remote", "SELECT", client, "db.system.name", "cassandra")
	add("api.example.com|remote", "GET", client, "http.request.method", "GET", "url.full", "https://api.example.com:8443/v1?a=b", "http.response.status_code", 200)
	add("api.example.com|remote", "HTTP GET", client, "http.method", "GET", "http.host", "api.example.com:8443", "http.url", "https://api.example.com:8443/v1", "http.status_code", 200)
	add("api.example.com|remote", "POST /v1", client, "http.request.method", "POST", "server.address", "api.example.com", "server.port", 8443)
	add("shop.Prices|remote", "shop.Prices/Get", client, "rpc.system", "grpc", "rpc.service", "shop.Prices", "rpc.method", "Get", "net.peer.name", "prices")
	add("shop.Prices|remote", "shop.Prices/List", client, "rpc.system.name", "grpc", "rpc.method", "shop.Prices/List", "server.address", "prices")
	add("orders|remote", "send orders", producer, "messaging.system", "kafka", "messaging.destination.name", "orders", "server.address", "broker")
	add("orders|remote", "orders publish", producer, "messaging.system", "rabbitmq", "messaging.destination", "orders", "net.peer.name", "rabbit")
	add("kafka|remote", "send", producer, "messaging.system", "kafka")
	add("https://sqs/1/jobs|AWS::SQS::Queue", "jobs send", producer, "rpc.system", "aws-api", "rpc.service", "SQS", "rpc.method", "SendMessage", "messaging.system", "aws_sqs", "messaging.destination.name", "jobs", "aws.sqs.queue.url", "https://sqs/1/jobs")
	add("carts|AWS::DynamoDB::Table", "DynamoDB.GetItem", client, "rpc.system", "aws-api", "rpc.service", "DynamoDB", "rpc.method", "GetItem", "db.system", "dynamodb", "db.name", "carts", "aws.dynamodb.table_names", []string{"carts"})
	add("carts|AWS::DynamoDB::Table", "DynamoDB.PutItem", client, "rpc.system", "aws-api", "rpc.service", "DynamoDB", "rpc.method", "PutItem", "aws.dynamodb.table_names", []string{"carts"})
	add("resize|remote", "resize invoke", client, "faas.invoked_name", "resize", "faas.invoked_provider", "gcp", "faas.invoked_region", "eu")
	add("openai|remote", "chat gpt", client, "gen_ai.provider.name", "openai", "gen_ai.operation.name", "chat", "gen_ai.request.model", "gpt")
	add("openai|remote", "embeddings e3", client, "gen_ai.system", "openai", "gen_ai.operation.name", "embeddings")
	add("billing|remote", "call", client, "peer.service", "billing", "server.address", "10.0.0.3")
	add("ledger|remote", "call", client, "aws.remote.service", "ledger", "aws.remote.operation", "Post", "peer.service", "x", "db.system", "redis")
	return list
}()

// callingTrace is a trace in which one service makes calls. It begins at a time in
// nanoseconds.
type callingTrace struct {
	id    string
	at    int64
	calls []callSpan
}

// send sends the spans of the trace in random order and random batches.
func (c callingTrace) send(t *testing.T, s *harness.Server, random *rand.Rand) {
	t.Helper()
	span := func(n, kind int, name string, attributes []any) map[string]any {
		sent := map[string]any{"traceId": c.id, "spanId": fmt.Sprintf("%016x", n), "name": name, "kind": kind, "startTimeUnixNano": fmt.Sprint(c.at + int64(n)*1e6), "endTimeUnixNano": fmt.Sprint(c.at + int64(n)*1e6 + 5e5), "attributes": attributes}
		if n > 1 {
			sent["parentSpanId"] = fmt.Sprintf("%016x", 1)
		} else {
			sent["endTimeUnixNano"] = fmt.Sprint(c.at + 9e8)
		}
		return sent
	}
	spans := []any{span(1, 2, "GET /cart", nil)}
	for i, call := range c.calls {
		spans = append(spans, span(i+2, call.kind, call.name, call.attributes))
	}
	random.Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
	for len(spans) > 0 {
		n := 1 + random.IntN(len(spans))
		postSpans(t, s, []any{map[string]any{"resource": map[string]any{"attributes": otlpAttributes("service.name", "front")}, "scopeSpans": []any{map[string]any{"spans": spans[:n]}}}})
		spans = spans[n:]
	}
}

// postSpans sends ResourceSpans as OTLP/JSON; all must be accepted.
func postSpans(t *testing.T, s *harness.Server, resourceSpans []any) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"resourceSpans": resourceSpans})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post("http://"+s.OTLP+"/v1/traces", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK || len(answer) > 0 {
		t.Fatalf("status %d, %v: %v", res.StatusCode, err, answer)
	}
}

// graphNodes counts the calls to each node below a service, on the edges that lead
// to it.
func graphNodes(t *testing.T, services []graphService, from string) map[string]int {
	t.Helper()
	byReference, out := map[int]string{}, map[string]int{}
	for _, n := range services {
		byReference[n.ReferenceId] = n.Name + "|" + n.Type
	}
	for _, n := range services {
		if n.Name == from && n.Type != "client" {
			for _, e := range n.Edges {
				out[byReference[e.ReferenceId]] = e.SummaryStatistics.TotalCount
			}
		}
		if strings.HasSuffix(n.Type, "remote") || n.Type == "Database::SQL" {
			if n.State != "passive" {
				t.Errorf("the node %s is %q", n.Name, n.State)
			}
		}
	}
	return out
}

type graphService struct {
	ReferenceId       int
	Name, Type, State string
	Edges             []struct {
		ReferenceId       int
		SummaryStatistics struct{ TotalCount int }
	}
}

// Each callee of spans is one node, whatever the operation and the version of the
// semantic conventions, in all answers: before the trace settles, after, and after a
// restart.
func TestCallees(t *testing.T) {
	flags := []string{"--settle", "300ms", "--udp", "off", "--otlp-grpc", "off"}
	s := harness.Start(t, flags...)
	id := fmt.Sprintf("1-%08x-000000000000000000000c01", time.Now().Unix())
	at := time.Now().Add(-time.Second).UnixNano()
	want := map[string]int{}
	for _, c := range callees {
		want[c.node]++
	}
	check := func(when string) {
		t.Helper()
		for _, path := range []string{"/TraceGraph", "/ServiceGraph", "/GetRetrievedTracesGraph"} {
			var graph struct{ Services []graphService }
			ask := map[string]any{"TraceIds": []string{id}}
			switch path {
			case "/ServiceGraph":
				ask = map[string]any{"StartTime": time.Now().Add(-time.Hour).Unix(), "EndTime": time.Now().Add(time.Minute).Unix()}
			case "/GetRetrievedTracesGraph":
				ask = map[string]any{"RetrievalToken": retrieve(t, s, time.Now().Add(-time.Hour), time.Now().Add(time.Minute), id)}
			}
			if path == "/GetRetrievedTracesGraph" {
				var retrieved struct {
					Services []struct{ Service graphService }
				}
				s.Ask(path, ask, &retrieved)
				for _, n := range retrieved.Services {
					graph.Services = append(graph.Services, n.Service)
				}
			} else {
				s.Ask(path, ask, &graph)
			}
			got := graphNodes(t, graph.Services, "front")
			if diffs := differences(got, want); diffs != "" {
				t.Errorf("%s, %s: %s", when, path, diffs)
			}
		}
		summary := s.Summaries(`service("front")`)
		if len(summary) != 1 {
			t.Fatalf("%s: %d summaries", when, len(summary))
		}
		for node := range want {
			name, typ, _ := strings.Cut(node, "|")
			if !slices.ContainsFunc(summary[0].ServiceIds, func(x struct{ Name, Type string }) bool { return x.Name == name && x.Type == typ }) {
				t.Errorf("%s: no %s among %v", when, node, summary[0].ServiceIds)
			}
			if found := s.Summaries(fmt.Sprintf(`service(id(name: %q, type: %q)) { ok } AND edge("front", %q)`, name, typ, name)); len(found) != 1 {
				t.Errorf("%s: a filter for %s finds %d traces", when, node, len(found))
			}
		}
		if found := s.Summaries(`service("HGETALL") OR service("GET") OR service("SELECT") OR service("api.example.com:8443") OR service("SQS")`); len(found) != 0 {
			t.Errorf("%s: an operation is a node", when)
		}
		inferred := map[string]int{}
		for _, doc := range s.Trace(id) {
			if !doc.Inferred {
				continue
			}
			switch {
			case doc.Origin == "":
				inferred[doc.Name+"|remote"]++
				if doc.SQL != nil {
					t.Errorf("%s: %s has an sql block and no origin", when, doc.Name)
				}
			case doc.Origin == "Database::SQL":
				inferred[doc.Name+"|"+doc.Origin]++
				if doc.SQL["database_type"] == nil {
					t.Errorf("%s: %s has the sql block %v", when, doc.Name, doc.SQL)
				}
			default: // named after the service, as X-Ray does
				resource := doc.AWS["resource_names"].([]any)[0]
				inferred[fmt.Sprintf("%v|%s", resource, doc.Origin)]++
			}
		}
		if diffs := differences(inferred, want); diffs != "" {
			t.Errorf("%s: inferred segments: %s", when, diffs)
		}
	}
	for seed := range uint64(2) {
		if seed > 0 { // sent again in another order: nothing changes
			s.Restart(flags...)
		}
		callingTrace{strings.ReplaceAll(id[2:], "-", ""), at, callees}.send(t, s, rand.New(rand.NewPCG(seed, 1)))
		check("before it settles")
		harness.Eventually(t, "the trace settles", func() bool {
			blocks, _ := filepath.Glob(filepath.Join(s.Data, "blocks", "*.blk"))
			return len(blocks) > 0
		})
		check("settled")
		s.Stop()
	}
	s.Restart(flags...)
	check("after a restart")
}

// differences describes in one line where counts differ.
func differences(got, want map[string]int) string {
	var out []string
	for k, n := range want {
		if got[k] != n {
			out = append(out, fmt.Sprintf("%d calls to %s, want %d", got[k], k, n))
		}
	}
	for k, n := range got {
		if want[k] == 0 {
			out = append(out, fmt.Sprintf("%d calls to %s, want none", n, k))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// Even a call that is the only span of a script leads to its callee, not to a node
// with the operation's name.
func TestCallees_ofASingleCall(t *testing.T) {
	s := harness.Start(t, "--udp", "off", "--otlp-grpc", "off")
	for i, c := range callees {
		trace := fmt.Sprintf("%08x%024x", time.Now().Unix(), i+1)
		postSpans(t, s, []any{map[string]any{"resource": map[string]any{"attributes": otlpAttributes("service.name", "script")}, "scopeSpans": []any{map[string]any{"spans": []any{
			map[string]any{"traceId": trace, "spanId": "0000000000000001", "name": c.name, "kind": c.kind, "startTimeUnixNano": fmt.Sprint(time.Now().UnixNano()), "endTimeUnixNano": fmt.Sprint(time.Now().UnixNano() + 1e6), "attributes": c.attributes},
		}}}}})
		var graph struct{ Services []graphService }
		s.Ask("/TraceGraph", map[string]any{"TraceIds": []string{fmt.Sprintf("1-%s-%s", trace[:8], trace[8:])}}, &graph)
		if diffs := differences(graphNodes(t, graph.Services, "script"), map[string]int{c.node: 1}); diffs != "" {
			t.Errorf("%s: %s", c.name, diffs)
		}
	}
}
