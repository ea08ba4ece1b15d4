//go:build linux

package wire_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// exchange sends bytes to an address and reads one HTTP/1 answer.
func exchange(t *testing.T, addr, text string) (*http.Response, string) {
	t.Helper()
	c := dial(t, addr)
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res, string(body)
}

// Requests to a foreign name are not served, whatever their path and form of HTTP,
// so that no web page can read or write through a rebound name.
func TestDoor_namesOfOthers(t *testing.T) {
	s := harness.Start(t, "--allowed-hosts", "fluoro,*.traces.example")
	s.Put(good)
	delete := fmt.Sprintf(`{"ids":[%q]}`, goodID)
	for _, addr := range []string{s.HTTP, s.OTLP} {
		_, port, _ := strings.Cut(addr, ":")
		for _, host := range []string{"evil.example", "evil.example:" + port, "localhost.evil.example", "10.1.2.3:" + port, "127.0.0.1.evil.example", "traces.example", "0.0.0.0:" + port, ""} {
			for _, request := range []string{
				"GET / HTTP/1.1", "GET /healthz HTTP/1.1", "GET /metrics HTTP/1.1", "GET /console/api/backup HTTP/1.1", "GET /console/api/live HTTP/1.1",
				"POST /Traces HTTP/1.1", "POST /v1/traces HTTP/1.1", "OPTIONS /v1/traces HTTP/1.1", "GET / HTTP/1.0", "POST /TraceSegments HTTP/1.0",
			} {
				res, body := exchange(t, addr, fmt.Sprintf("%s\r\nHost: %s\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", request, host))
				if res == nil || res.StatusCode != 421 || !strings.Contains(body, "--allowed-hosts") {
					t.Errorf("%s of %q: %v %.200s", request, host, res, body)
				}
			}
		}
		for text, want := range map[string]int{
			"GET / HTTP/1.0\r\n\r\n": 421, // no name at all
			"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n":    421, // the target's name counts
			"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n": 400,
			"GET / HTTP/1.1\r\n\r\n": 400,
			"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n":                                                                     421,
			"GET / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\n\r\n":                                                             421,
			"GET / HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\n":                                                             421,
			"GET / HTTP/1.1\r\nHost: evil.example\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n": 421,
		} {
			if res, body := exchange(t, addr, text); res == nil || res.StatusCode != want {
				t.Errorf("%q: %v %.200s, want %d", text, res, body, want)
			}
		}
	}
	if res, body := exchange(t, s.HTTP, fmt.Sprintf("POST /console/api/delete HTTP/1.1\r\nHost: evil.example\r\nContent-Length: %d\r\n\r\n%s", len(delete), delete)); res == nil || res.StatusCode != 421 {
		t.Errorf("a deletion: %v %s", res, body)
	}
	// The gRPC port does not speak browsers' protocols.
	for _, host := range []string{"evil.example", "localhost"} {
		if res, _ := exchange(t, s.GRPC, "POST /opentelemetry.proto.collector.trace.v1.TraceService/Export HTTP/1.1\r\nHost: "+host+"\r\nContent-Type: application/grpc\r\nContent-Length: 5\r\n\r\n\x00\x00\x00\x00\x00"); res != nil && res.StatusCode < 400 {
			t.Errorf("gRPC answers HTTP/1 with %v", res)
		}
	}
	alive(t, s)
	_, port, _ := strings.Cut(s.HTTP, ":")
	for _, host := range []string{"localhost:" + port, "LOCALHOST", "localhost.", "my.localhost:1", "127.0.0.1", "127.9.9.9", "[::1]:" + port, "fluoro:" + port, "FLUORO.", "a.traces.example"} {
		if res, body := exchange(t, s.HTTP, "GET /healthz HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); res == nil || res.StatusCode != 200 {
			t.Errorf("own name %q: %v %s", host, res, body)
		}
	}
	for _, listener := range []string{"http", "otlp-http"} {
		if n := s.Metric(fmt.Sprintf(`fluoro_http_refused_total{listener=%q,reason="host"}`, listener)); n < 80 {
			t.Errorf("%s: %v are counted", listener, n)
		}
	}
	if n := s.Metric(`fluoro_receive_segments_total{outcome="rejected",protocol="otlp-http",reason="Host"}`); n < 9 {
		t.Errorf("%v requests with spans are counted", n)
	}
}

// A server that listens on all addresses is served by any address, because
// orchestrators probe addresses, but not by a foreign name.
func TestDoor_wildcard(t *testing.T) {
	s := harness.Start(t)
	s.Stop()
	loopback := s.HTTP
	_, port, _ := strings.Cut(s.HTTP, ":")
	s.HTTP = "0.0.0.0:" + port
	s.Restart("--insecure")
	for host, want := range map[string]int{"203.0.113.9:" + port: 200, "[2001:db8::1]:80": 200, "localhost": 200, "evil.example": 421, "fluoro": 421} {
		if res, body := exchange(t, loopback, "GET /healthz HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); res == nil || res.StatusCode != want {
			t.Errorf("%q: %v %s, want %d", host, res, body, want)
		}
	}
}

// A page of a listed origin may send spans to both ports, and nothing else; pages of
// other origins may not send anything.
func TestDoor_browsers(t *testing.T) {
	none, s := harness.Start(t), harness.Start(t, "--cors-origins", "https://shop.example.com,http://localhost:*")
	text := `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"6560a0f000000000000000000000b0b0","spanId":"eee19b7ec3c1b174","name":"click","startTimeUnixNano":"1","endTimeUnixNano":2}]}]}]}`
	ask := func(method, url, origin, body string) *http.Response {
		t.Helper()
		r, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		if method == http.MethodOptions {
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", "authorization,content-encoding,content-type,traceparent,x-amzn-trace-id")
		} else {
			r.Header.Set("Content-Type", "application/json")
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res
	}
	for _, url := range []string{s.URL("/v1/traces"), "http://" + s.OTLP + "/v1/traces"} {
		for _, origin := range []string{"https://shop.example.com", "http://localhost:5173"} {
			res := ask("OPTIONS", url, origin, "")
			for header, want := range map[string]string{
				"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Credentials": "true",
				"Access-Control-Allow-Headers": "authorization,content-encoding,content-type,traceparent,x-amzn-trace-id", "Access-Control-Max-Age": "7200",
			} {
				if got := res.Header.Get(header); res.StatusCode != 204 || got != want {
					t.Errorf("preflight of %s to %s: status %d, %s %q", origin, url, res.StatusCode, header, got)
				}
			}
			res = ask("POST", url, origin, text)
			if res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != origin || res.Header.Get("Vary") != "Origin" {
				t.Errorf("spans of %s to %s: %v", origin, url, res)
			}
			if res = ask("POST", url, origin, "{"); res.StatusCode != 400 || res.Header.Get("Access-Control-Allow-Origin") != origin {
				t.Errorf("the answer to bad spans cannot be read: %v", res)
			}
		}
		if res := ask("OPTIONS", url, "https://evil.example", ""); res.StatusCode != 403 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("preflight of a page that is not listed: %v", res)
		}
		if res := ask("POST", url, "https://evil.example", text); res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("a page that is not listed may read: %v", res)
		}
	}
	if got := s.Trace("1-6560a0f0-00000000000000000000b0b0"); len(got) != 1 {
		t.Errorf("the page's trace has %d segments", len(got))
	}
	for _, url := range []string{none.URL("/v1/traces"), "http://" + none.OTLP + "/v1/traces"} {
		if res := ask("OPTIONS", url, "https://shop.example.com", ""); res.StatusCode != 403 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("without a setting: %v", res)
		}
	}
	for _, path := range []string{"/Traces", "/TraceSegments", "/console/api/delete", "/console/api/status"} {
		for _, method := range []string{"OPTIONS", "POST"} {
			if res := ask(method, s.URL(path), "https://shop.example.com", "{}"); res.StatusCode != 403 || res.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s of a page: %v", method, path, res)
			}
		}
	}
}

// legacySpans returns a request as written by senders before opentelemetry-proto
// 0.15.
func legacySpans(t *testing.T, body []byte) []byte {
	t.Helper()
	var req coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &req); err != nil {
		t.Fatal(err)
	}
	for _, rs := range req.ResourceSpans {
		var list []byte
		for _, ss := range rs.ScopeSpans {
			b, err := proto.Marshal(ss)
			if err != nil {
				t.Fatal(err)
			}
			list = protowire.AppendBytes(protowire.AppendTag(list, 1000, protowire.BytesType), b)
		}
		rs.ScopeSpans = nil
		rs.ProtoReflect().SetUnknown(list)
	}
	b, err := proto.Marshal(&req)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compressed returns a compressed body; pack makes the compressor.
func compressed(t *testing.T, body []byte, pack func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pack(&out)
	if err == nil {
		_, err = w.Write(body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var (
	asGzip   = func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
	asZlib   = func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil }
	asFlate  = func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, 6) }
	asZstd   = func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }
	asSnappy = func(w io.Writer) (io.WriteCloser, error) { return snappy.NewBufferedWriter(w), nil }
)

// Spans and segments are accepted in every usual coding; a request in another one
// gets the list of codings.
func TestEncodings(t *testing.T) {
	s := harness.Start(t)
	o := &overload{s: s}
	for _, c := range []struct {
		header string
		pack   []func(io.Writer) (io.WriteCloser, error)
		want   int
	}{
		{"gzip", []func(io.Writer) (io.WriteCloser, error){asGzip}, 200},
		{"GZIP", []func(io.Writer) (io.WriteCloser, error){asGzip}, 200},
		{"x-gzip", []func(io.Writer) (io.WriteCloser, error){asGzip}, 200},
		{"deflate", []func(io.Writer) (io.WriteCloser, error){asZlib}, 200},
		{"Deflate", []func(io.Writer) (io.WriteCloser, error){asFlate}, 200},
		{"zstd", []func(io.Writer) (io.WriteCloser, error){asZstd}, 200},
		{"snappy", []func(io.Writer) (io.WriteCloser, error){asSnappy}, 200},
		{"identity", nil, 200},
		{"deflate, gzip", []func(io.Writer) (io.WriteCloser, error){asZlib, asGzip}, 200},
		{"identity,zstd", []func(io.Writer) (io.WriteCloser, error){asZstd}, 200},
		{"br", nil, 415},
		{"gzip, br", []func(io.Writer) (io.WriteCloser, error){asGzip}, 415},
		{"gzip", nil, 400},
		{"zstd", nil, 400},
	} {
		protobuf, id := o.spans(3, 100)
		docs, docID := o.documents(3, 100)
		document := fmt.Appendf(nil, `{"TraceSegmentDocuments":[%q,%q,%q]}`, docs[0], docs[1], docs[2])
		for _, to := range []struct {
			url, typ, id string
			body         []byte
		}{
			{s.URL("/v1/traces"), "application/x-protobuf", id, protobuf}, {"http://" + s.OTLP + "/v1/traces", "application/x-protobuf", id, protobuf},
			{s.URL("/TraceSegments"), "application/json", docID, document},
		} {
			body := to.body
			for _, pack := range c.pack {
				body = compressed(t, body, pack)
			}
			r, err := http.NewRequest("POST", to.url, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", to.typ)
			r.Header.Set("Content-Encoding", c.header)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != c.want {
				t.Errorf("%s to %s: status %d, want %d: %.200q", c.header, to.url, res.StatusCode, c.want, text)
			}
			if c.want == 415 && (!strings.Contains(res.Header.Get("Accept-Encoding"), "zstd") || !bytes.Contains(text, []byte("zstd"))) {
				t.Errorf("%s is not told what there is: %v %q", c.header, res.Header, text)
			}
			if got := o.count(t, to.id); (got == 3) != (c.want == 200) {
				t.Errorf("%s to %s: %d segments", c.header, to.url, got)
			}
		}
	}
	if n := s.Metric(`fluoro_receive_segments_total{outcome="rejected",protocol="otlp-http",reason="ContentEncoding"}`); n != 4 {
		t.Errorf("%v are counted", n)
	}
}

// packer is a compressor of a gRPC client.
type packer struct {
	name string
	pack func(io.Writer) (io.WriteCloser, error)
}

func (p packer) Name() string                                 { return p.name }
func (p packer) Compress(w io.Writer) (io.WriteCloser, error) { return p.pack(w) }
func (p packer) Decompress(r io.Reader) (io.Reader, error) {
	return nil, fmt.Errorf("no answer is compressed")
}

func TestEncodings_gRPC(t *testing.T) {
	s := harness.Start(t)
	o := &overload{s: s}
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, p := range []packer{{"gzip", asGzip}, {"deflate", asZlib}, {"zstd", asZstd}, {"snappy", asSnappy}, {"br", asGzip}} {
		encoding.RegisterCompressor(p)
		body, id := o.spans(3, 100)
		var answer []byte
		err := conn.Invoke(t.Context(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export", body, &answer, grpc.UseCompressor(p.name))
		if p.name == "br" {
			if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "zstd") {
				t.Errorf("br: %v", err)
			}
		} else if got := o.count(t, id); err != nil || got != 3 {
			t.Errorf("%s: %v, %d segments", p.name, err, got)
		}
	}
}

// Data of senders before opentelemetry-proto 0.15 is kept and returned; unknown data
// is named and counted, never silently answered with 200.
func TestOTLP_nothingIsLostInSilence(t *testing.T) {
	s := harness.Start(t)
	o := &overload{s: s}
	post := func(typ string, body []byte) *coltrace.ExportTracePartialSuccess {
		t.Helper()
		res, err := http.Post("http://"+s.OTLP+"/v1/traces", typ, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		var answer coltrace.ExportTraceServiceResponse
		if typ == "application/json" {
			err = protojson.Unmarshal(b, &answer)
		} else {
			err = proto.Unmarshal(b, &answer)
		}
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("status %d: %v: %q", res.StatusCode, err, b)
		}
		return answer.GetPartialSuccess()
	}
	body, id := o.spans(3, 100)
	if p := post("application/x-protobuf", legacySpans(t, body)); p != nil {
		t.Errorf("legacy spans: %v", p)
	}
	if got := o.count(t, id); got != 3 {
		t.Errorf("of 3 legacy spans %d are there", got)
	}
	// The returned data has today's form, and is accepted in that form.
	now := time.Now()
	spans := 0
	for _, page := range pages(t, s, retrieve(t, s, now.Add(-time.Minute), now.Add(time.Minute), id), "OTEL") {
		for _, tr := range page.Traces {
			for _, span := range tr.Spans {
				spans++
				if !strings.Contains(span.Document, `"scopeSpans":[`) || !strings.Contains(span.Document, `"overload"`) {
					t.Errorf("given back: %s", span.Document)
				}
				if p := post("application/json", []byte(span.Document)); p != nil {
					t.Errorf("sent again: %v", p)
				}
			}
		}
	}
	if got := o.count(t, id); spans != 3 || got != 3 {
		t.Errorf("%d legacy spans are given back; sent again there are %d", spans, got)
	}
	for _, c := range []struct {
		body, named string
		spans       int64
	}{
		{`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}`, "resourceLogs", 0},
		{`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x"}]}]}]}`, "resourceMetrics", 0},
		{`{"ResourceSpans":[{"ScopeSpans":[{"Spans":[{"traceId":"1","spanId":"2"}]}]}]}`, "ResourceSpans", 1},
		{`{"resourceSpans":[{"librarySpans":[{"spans":[{"trace_id":"1","span_id":"2"},{"trace_id":"1","span_id":"3"}]}]}]}`, "resourceSpans[0].librarySpans", 2},
	} {
		if p := post("application/json", []byte(c.body)); !strings.Contains(p.GetErrorMessage(), c.named) || p.GetRejectedSpans() != c.spans {
			t.Errorf("%s: %v", c.body, p)
		}
	}
	req := &coltrace.ExportTraceServiceRequest{ResourceSpans: []*otlptrace.ResourceSpans{{}}}
	req.ResourceSpans[0].ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 77, protowire.BytesType), "spans of tomorrow"))
	b, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	if p := post("application/x-protobuf", b); !strings.Contains(p.GetErrorMessage(), "field 77 of resourceSpans[0]") {
		t.Errorf("protobuf: %v", p)
	}
	if n := s.Metric(`fluoro_receive_segments_total{outcome="rejected",protocol="otlp-http",reason="UnknownData"}`); n != 6 {
		t.Errorf("%v are counted", n)
	}
	res, err := http.Get(s.URL("/console/api/status"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); !bytes.Contains(b, []byte("field 77")) {
		t.Errorf("the status page does not name it: %s", b)
	}
}

// An HTTP status is read in any form, and other values are kept.
func TestOTLP_httpStatus(t *testing.T) {
	s := harness.Start(t)
	for i, c := range []struct {
		value string
		want  float64
	}{
		{`{"intValue":"503"}`, 503}, {`{"doubleValue":503}`, 503}, {`{"stringValue":"503"}`, 503}, {`{"stringValue":"503 Service Unavailable"}`, 503},
		{`{"intValue":0}`, 0}, {`{"intValue":70000}`, 0}, {`{"stringValue":"OK"}`, 0}, {`{"doubleValue":503.5}`, 0},
	} {
		for j, name := range []string{"http.status_code", "http.response.status_code"} {
			id := fmt.Sprintf("6560a0f0%023x%d", i+1, j)
			res, err := http.Post("http://"+s.OTLP+"/v1/traces", "application/json", strings.NewReader(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"`+id+`","spanId":"00f067aa0ba902b7","name":"x","kind":2,"startTimeUnixNano":"1700831472000000000","endTimeUnixNano":"1700831473000000000","attributes":[{"key":"`+name+`","value":`+c.value+`}]}]}]}]}`))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			got := s.Trace("1-" + id[:8] + "-" + id[8:])
			if len(got) != 1 {
				t.Fatalf("%d segments", len(got))
			}
			response, _ := got[0].HTTP["response"].(map[string]any)
			code, _ := response["status"].(float64)
			if code != c.want || got[0].Fault != (c.want == 503) {
				t.Errorf("%s %s: status %v, fault %v", name, c.value, code, got[0].Fault)
			}
			if kept := strings.Contains(fmt.Sprint(got[0].Metadata), name); c.want == 0 && !kept {
				t.Errorf("%s %s is lost: %v", name, c.value, got[0].Metadata)
			}
		}
	}
}

// A server stops at once even if gRPC clients are connected, and its last writes can
// still look up groups.
func TestStop_withIdleClients(t *testing.T) {
	s := harness.Start(t, "--settle", "100ms")
	s.Ask("/CreateGroup", map[string]any{"GroupName": "slow", "FilterExpression": "responsetime > 5"}, &struct{}{})
	o := &overload{s: s, acked: map[string]int{}, refused: map[string]int{}}
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 20 {
		o.otlpGRPC(conn, 0)
	}
	began := time.Now()
	s.Stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if log := s.Log(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") || !strings.Contains(log, "everything is on disk") {
		t.Errorf("log: %s", log)
	}
	s.Restart()
	for id, want := range o.acked {
		if got := o.count(t, id); got != want {
			t.Errorf("trace %s has %d segments, want %d", id, got, want)
		}
	}
}
