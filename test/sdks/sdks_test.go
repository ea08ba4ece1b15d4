// Package sdks_test runs small applications with the official SDKs against the real
// binary. Only the SDKs' usual settings tell where to send traces.
package sdks_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// downstream answers every call.
func downstream(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("in stock")) }))
	t.Cleanup(s.Close)
	return s.URL + "/price"
}

// serve starts an application that prints its port, and returns its address.
func serve(t *testing.T, s *harness.Server, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = filepath.Join(harness.Root(), "test", "sdks")
	cmd.Env = append(os.Environ(), append(env, "AWS_XRAY_DAEMON_ADDRESS="+s.UDP)...)
	cmd.Stderr = &testLog{t: t}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s did not start: %v", name, err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}

// run runs a program that prints a trace id last, and returns the id.
func run(t *testing.T, s *harness.Server, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = filepath.Join(harness.Root(), "test", "sdks")
	cmd.Env = append(os.Environ(), append(env, "AWS_XRAY_DAEMON_ADDRESS="+s.UDP)...)
	cmd.Stderr = &testLog{t: t}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	lines := strings.Fields(string(out))
	if len(lines) == 0 {
		t.Fatalf("%s printed no trace id", name)
	}
	return lines[len(lines)-1]
}

// testLog forwards a program's messages to the test's log.
type testLog struct{ t *testing.T }

func (l *testLog) Write(b []byte) (int, error) {
	if strings.TrimSpace(string(b)) != "" {
		fmt.Fprintf(os.Stderr, "    %s: %s", l.t.Name(), b)
	}
	return len(b), nil
}

func tool(elements ...string) string {
	return filepath.Join(append([]string{harness.Root(), ".cache"}, elements...)...)
}

// get calls an application as a traced caller does.
func get(t *testing.T, url, header string, status int) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != "" {
		req.Header.Set("X-Amzn-Trace-Id", header)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != status {
		t.Fatalf("%s answered %d, not %d", url, res.StatusCode, status)
	}
}

// entities waits until a trace has all named entities, and returns them by name.
func entities(t *testing.T, s *harness.Server, id string, names ...string) map[string]*harness.Node {
	t.Helper()
	found := map[string]*harness.Node{}
	harness.Eventually(t, fmt.Sprintf("entities %v of trace %s", names, id), func() bool {
		clear(found)
		for _, doc := range s.Trace(id) {
			doc.Each(func(n *harness.Node) {
				if had := found[n.Name]; had == nil || !n.Inferred {
					found[n.Name] = n
				}
			})
		}
		for _, name := range names {
			if found[name] == nil || found[name].InProgress {
				return false
			}
		}
		return true
	})
	return found
}

// newRoot returns a fresh trace id and the header that carries it.
func newRoot(n int) (id, header string) {
	id = fmt.Sprintf("1-%08x-%024x", time.Now().Unix(), 0xabc000+n)
	return id, "Root=" + id + ";Sampled=1"
}

func TestXRayPython_flask(t *testing.T) {
	s := harness.Start(t)
	url := serve(t, s, []string{"DOWNSTREAM_URL=" + downstream(t)}, tool("venv", "bin", "python"), "python/xray_app.py")
	id, header := newRoot(1)
	get(t, url+"/orders/21", header, 200)
	found := entities(t, s, id, "orders-python", "pricing", "127.0.0.1")
	root := found["orders-python"]
	if root.Annotations["order"] != 21.0 || root.User != "ada" || root.HTTP["response"].(map[string]any)["status"] != 200.0 {
		t.Errorf("segment %+v", root)
	}
	if call := found["127.0.0.1"]; call.Namespace != "remote" || !strings.HasSuffix(call.HTTP["request"].(map[string]any)["url"].(string), "/price") {
		t.Errorf("downstream call %+v", call)
	}
	var sql *harness.Node
	root.Each(func(n *harness.Node) {
		if n.SQL != nil {
			sql = n
		}
	})
	if sql == nil {
		t.Errorf("no sqlite query in %+v", root)
	} else if list := s.Summaries(fmt.Sprintf(`service(id(name: %q, type: "Database::SQL")) { ok }`, sql.Name)); len(list) != 1 || list[0].Id != id {
		t.Errorf("the database of %+v is no node: %+v", sql, list)
	}
	if found["pricing"].Metadata["default"].(map[string]any)["double"] != 42.0 {
		t.Errorf("metadata %+v", found["pricing"].Metadata)
	}

	id, header = newRoot(2)
	get(t, url+"/broken", header, 500)
	if broken := entities(t, s, id, "orders-python")["orders-python"]; !broken.Fault || broken.Cause == nil {
		t.Errorf("a failed request is %+v", broken)
	}
	if list := s.Summaries(`service("orders-python") AND fault`); len(list) != 1 || list[0].Id != id {
		t.Errorf("faults: %+v", list)
	}
}

// With the service's rules, an SDK starts at once and samples by them.
func TestXRayPython_centralSampling(t *testing.T) {
	centralSampling(t, "orders-python", "/orders/1", tool("venv", "bin", "python"), "python/xray_app.py")
}

func TestXRayNode_centralSampling(t *testing.T) {
	centralSampling(t, "cart-node", "/cart/1", "node", "node/app.js")
}

func TestXRayGo_centralSampling(t *testing.T) {
	centralSampling(t, "stock-go", "/stock/1", tool("bin", "go-app"), "xray-central", "127.0.0.1:0")
}

// centralSampling calls an application until a segment shows that a rule of the
// service chose it: first Default, then a rule for this application. Until its first
// poll, an SDK uses its own rules.
func centralSampling(t *testing.T, service, path, name string, args ...string) {
	for _, rule := range []string{"Default", "all of " + service} {
		t.Run(rule, func(t *testing.T) {
			s := harness.Start(t)
			if rule != "Default" {
				s.Ask("/CreateSamplingRule", map[string]any{"SamplingRule": map[string]any{
					"RuleName": rule, "Priority": 5, "FixedRate": 1, "ReservoirSize": 2, "ServiceName": service[:3] + "*", "ServiceType": "*", "Host": "127.*", "HTTPMethod": "GET", "URLPath": "/?*", "ResourceARN": "*", "Version": 1,
				}}, &struct{}{})
			}
			url := serve(t, s, []string{"XRAY_SAMPLING=1"}, name, args...)
			harness.Eventually(t, "a segment sampled by the rule "+rule, func() bool {
				get(t, url+path, "", 200)
				for _, sum := range s.Summaries(fmt.Sprintf("service(%q)", service)) {
					for _, doc := range s.Trace(sum.Id) {
						xray, _ := doc.AWS["xray"].(map[string]any)
						if xray["sampling_rule_name"] == rule || xray["rule_name"] == rule {
							return true
						}
					}
				}
				return false
			})
			// Ten seconds after its start it reports.
			harness.Eventually(t, "a report that is answered", func() bool {
				get(t, url+path, "", 200)
				return s.Metric(`fluoro_api_request_seconds_count{operation="GetSamplingTargets",status="OK"}`) > 0
			})
		})
	}
}

func TestXRayNode_express(t *testing.T) {
	s := harness.Start(t)
	url := serve(t, s, []string{"DOWNSTREAM_URL=" + downstream(t)}, "node", "node/app.js")
	id, header := newRoot(3)
	get(t, url+"/cart/9", header, 200)
	found := entities(t, s, id, "cart-node", "reserve", "127.0.0.1")
	if found["cart-node"].Annotations["cart"] != "9" || found["127.0.0.1"].Namespace != "remote" {
		t.Errorf("segment %+v, call %+v", found["cart-node"], found["127.0.0.1"])
	}
	id, header = newRoot(4)
	get(t, url+"/broken", header, 500)
	if broken := entities(t, s, id, "cart-node")["cart-node"]; !broken.Fault {
		t.Errorf("a failed request is %+v", broken)
	}
}

func TestXRayGo(t *testing.T) {
	s := harness.Start(t)
	id := run(t, s, nil, tool("bin", "go-app"), "xray", downstream(t))
	found := entities(t, s, id, "stock-go", "price")
	if found["stock-go"].Annotations["sku"] != 42.0 || !found["price"].Fault || found["price"].Cause == nil {
		t.Errorf("segment %+v, subsegment %+v", found["stock-go"], found["price"])
	}
	var remote bool
	found["stock-go"].Each(func(n *harness.Node) { remote = remote || n.Namespace == "remote" })
	if !remote {
		t.Error("no remote subsegment for the call downstream")
	}
}

func TestXRayJava(t *testing.T) {
	for _, central := range []string{"", "1"} {
		t.Run("XRAY_SAMPLING="+central, func(t *testing.T) {
			s := harness.Start(t)
			id := run(t, s, []string{"XRAY_SAMPLING=" + central}, "java", "-cp", tool("java", "app.jar")+":"+tool("java", "lib", "*"), "App", downstream(t))
			found := entities(t, s, id, "billing-java", "calculate")
			cause, _ := found["calculate"].Cause.(map[string]any)
			exceptions, _ := cause["exceptions"].([]any)
			if found["billing-java"].Annotations["invoice"] != 7.0 || !found["calculate"].Fault || len(exceptions) != 2 {
				t.Errorf("segment %+v, subsegment %+v", found["billing-java"], found["calculate"])
			}
		})
	}
}

func TestOTelPython(t *testing.T) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			s := harness.Start(t)
			addr := map[string]string{"grpc": s.GRPC, "http": "http://" + s.OTLP}[protocol]
			id := run(t, s, nil, tool("venv", "bin", "python"), "python/otel_app.py", protocol, addr)
			root := entities(t, s, id, "otel-python")["otel-python"]
			if !root.Fault || root.Cause == nil || root.Metadata["default"] == nil {
				t.Errorf("segment %+v", root)
			}
			var sql bool
			for _, doc := range s.Trace(id) {
				doc.Each(func(n *harness.Node) { sql = sql || n.SQL != nil })
			}
			if !sql {
				t.Error("the database span has no sql block")
			}
		})
	}
}

// Two services with the SDKs for JavaScript and Python and their instrumentations,
// in one trace: each has its node, and so has each service that they call.
func TestOTelNode_callsPython(t *testing.T) {
	for _, protocols := range [][2]string{{"grpc", "http/protobuf"}, {"http/protobuf", "grpc"}, {"http/json", "http/protobuf"}} {
		t.Run(strings.Join(protocols[:], " and "), func(t *testing.T) {
			s := harness.Start(t)
			settings := func(service, protocol string) []string {
				addr := s.OTLP
				if protocol == "grpc" {
					addr = s.GRPC
				}
				return []string{"OTEL_SERVICE_NAME=" + service, "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol, "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + addr,
					"OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none", "OTEL_NODE_RESOURCE_DETECTORS=env"}
			}
			python := serve(t, s, settings("otel-python", protocols[1]), tool("venv", "bin", "python"), "python/otel_service.py")
			for path, outcome := range map[string]string{"/price": "ok", "/broken": "fault"} {
				node := serve(t, s, append(settings("otel-node", protocols[0]), "DOWNSTREAM_URL="+python+path), "node", "node/otel.js")
				res, err := http.Get(node + "/cart")
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || len(body) != 32 {
					t.Fatalf("%v: %s", err, body)
				}
				id := fmt.Sprintf("1-%s-%s", body[:8], body[8:])
				want := map[string]int{"client → otel-node": 1, "otel-node → otel-python": 1, "otel-node → redis": 2, "otel-node → orders": 1}
				if outcome == "ok" {
					want["otel-python → sqlite"] = 1
				}
				var calls map[string]int
				harness.Eventually(t, "every call is an edge of the graph", func() bool {
					calls = edges(s, id)
					return len(calls) >= len(want)
				})
				if !maps.Equal(calls, want) {
					t.Errorf("%s: %v, want %v", path, calls, want)
				}
				filter := fmt.Sprintf(`service("otel-python") { %s } AND edge("otel-node", "otel-python") { %s } AND service(id(name: "redis", type: "remote"))`, outcome, outcome)
				if outcome == "ok" {
					filter += ` AND service(id(name: "sqlite", type: "Database::SQL"))`
				}
				if list := s.Summaries(filter); len(list) != 1 || list[0].Id != id {
					t.Errorf("%s: %s finds %+v", path, filter, list)
				}
			}
		})
	}
}

// Client and server share an id in reports of Zipkin's SDK: both are shown, each in
// its service, the server with its own subsegments and its status 503.
func TestZipkin_sharedIDs(t *testing.T) {
	for _, first := range []string{"zipkin-caller", "zipkin-callee"} {
		t.Run(first, func(t *testing.T) {
			s := harness.Start(t)
			hex := run(t, s, nil, tool("bin", "go-app"), first, s.OTLP)
			id := fmt.Sprintf("1-%s-%s", hex[:8], hex[8:])
			want := map[string]int{"client → zipkin-front": 1, "zipkin-front → zipkin-back": 1}
			if calls := edges(s, id); !maps.Equal(calls, want) {
				t.Errorf("%v, want %v", calls, want)
			}
			var call, server, below bool
			for _, doc := range s.Trace(id) {
				server = server || doc.Name == "zipkin-back" && !doc.Inferred && doc.Fault
				doc.Each(func(n *harness.Node) {
					call = call || doc.Name == "zipkin-front" && n.Namespace == "remote" && n.Fault
					below = below || doc.Name == "zipkin-back" && n.Name == "count shelves"
				})
			}
			if !call || !server || !below {
				t.Errorf("the call is shown: %v, the server that answered it: %v, what the server did: %v", call, server, below)
			}
			for _, filter := range []string{`service("zipkin-back") { fault AND http.status = 503 }`, `edge("zipkin-front", "zipkin-back") { fault }`, `service("zipkin-front") { ok }`} {
				if list := s.Summaries(filter); len(list) != 1 || list[0].Id != id {
					t.Errorf("%s finds %+v", filter, list)
				}
			}
		})
	}
}

// edges counts the calls of each edge of a trace's graph, by the names of both ends;
// the client has no name.
func edges(s *harness.Server, id string) map[string]int {
	var graph struct {
		Services []struct {
			ReferenceId int
			Name, Type  string
			Edges       []struct {
				ReferenceId       int
				SummaryStatistics struct{ TotalCount int }
			}
		}
	}
	if status, _, body := s.Post("/TraceGraph", map[string]any{"TraceIds": []string{id}}); status != http.StatusOK || json.Unmarshal(body, &graph) != nil {
		return nil // nothing of the trace has arrived yet
	}
	names := map[int]string{}
	for _, n := range graph.Services {
		names[n.ReferenceId] = n.Name
		if n.Type == "client" {
			names[n.ReferenceId] = n.Type
		}
	}
	out := map[string]int{}
	for _, n := range graph.Services {
		for _, e := range n.Edges {
			out[names[n.ReferenceId]+" → "+names[e.ReferenceId]] = e.SummaryStatistics.TotalCount
		}
	}
	return out
}

func TestOTelGo(t *testing.T) {
	for _, protocol := range []string{"otel-grpc", "otel-http", "main port"} {
		t.Run(protocol, func(t *testing.T) {
			s := harness.Start(t)
			addr := map[string]string{"otel-grpc": s.GRPC, "otel-http": s.OTLP, "main port": s.HTTP}[protocol]
			if protocol == "main port" {
				protocol = "otel-http"
			}
			id := run(t, s, nil, tool("bin", "go-app"), protocol, addr)
			found := entities(t, s, id, "otel-go", "warehouse.internal")
			if call := found["warehouse.internal"]; call.Cause == nil {
				t.Errorf("call %+v", call)
			}
		})
	}
}

// The stock daemon forwards datagrams to our endpoint, reports its telemetry, and
// proxies the sampling calls.
func TestXRayDaemon(t *testing.T) {
	s := harness.Start(t)
	addr := harness.FreePort(t)
	config := filepath.Join(t.TempDir(), "cfg.yaml")
	text := fmt.Sprintf("Region: us-east-1\nEndpoint: http://%s\nLocalMode: true\nSocket:\n  UDPAddress: %s\n  TCPAddress: %s\nVersion: 2\n", s.HTTP, addr, addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command(tool("bin", "xray-daemon"), "-c", config, "-o")
	daemon.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=y", "AWS_EC2_METADATA_DISABLED=true")
	daemon.Stdout, daemon.Stderr = &testLog{t: t}, &testLog{t: t}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	through := &harness.Server{UDP: addr}
	harness.Eventually(t, "the daemon listens", func() bool {
		res, err := http.Post("http://"+addr+"/GetSamplingRules", "application/json", strings.NewReader("{}"))
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	})
	id := run(t, through, nil, tool("bin", "go-app"), "xray", downstream(t))
	entities(t, s, id, "stock-go", "price")
}

// The AWS SDK for JavaScript recognises the exceptions by their classes. Other tests
// cover the SDKs for Go and Python (internal/present/api, test/clients).
func TestNodeClientErrors(t *testing.T) {
	s := harness.Start(t)
	cmd := exec.Command("node", "node/errors.js")
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL_XRAY="+s.URL(""))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "OK") {
		t.Fatalf("%v\n%s", err, out)
	}
}
