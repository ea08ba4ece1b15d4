package wire_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// planted are secrets that the default rules must find wherever they stand.
var planted = []string{"hunter2hunter2", "swordfish-swordfish", "AKIAIOSFODNN7EXAMPLE", "dozjgNryP4J3jVmNHl0w5N", "MIIEpAIBAAKCAQEA75Zn", "ghp_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2", "0123456789abcdefbearer"}

// kept are texts next to them that must survive.
var kept = []string{"ann-the-user", "token_count", "1-581cf771-a006649127e371903a2de979", "db.internal:5432", "order-3w5e11264sgsf"}

const plantedJWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"

// plantedValues are values of attributes and members that hold the secrets.
func plantedValues() map[string]string {
	return map[string]string{
		"db.password": planted[0], "url.full": "https://ann:" + planted[0] + "@shop.example/cart?token=" + planted[1] + "&x=1", "note": "key " + planted[2] + ", jwt " + plantedJWT,
		"db.connection_string": "postgres://app:" + planted[0] + "@db.internal:5432/shop", "key": "-----BEGIN PRIVATE KEY-----\n" + planted[4] + "\n-----END PRIVATE KEY-----",
		"body": `{"password":"` + planted[1] + `","token_count":3}`, "http.request.header.authorization": "Bearer " + planted[6], "out": "Authorization: Bearer " + planted[6] + "\n" + planted[5],
		"order": kept[4], "who": kept[0],
	}
}

func plantedDocument(id, segment string, at time.Time) string {
	v := plantedValues()
	meta, _ := json.Marshal(map[string]any{"default": v, "deep": map[string]any{"list": []any{v}}})
	url, _ := json.Marshal(v["url.full"])
	return fmt.Sprintf(`{"trace_id":%q,"id":%q,"name":"shop","start_time":%d,"end_time":%d,"user":"ann-the-user","metadata":%s,"annotations":{"token":"%s","order":"%s"},
		"http":{"request":{"url":%s,"method":"GET"}},"sql":{"url":"postgres://app:%s@db.internal:5432/shop","sanitized_query":"UPDATE u SET password = '%s'"},
		"cause":{"exceptions":[{"id":"0123456789abcdef","message":"login failed: password=%s","stack":[{"path":"a?token=%s","line":1,"label":"f"}]}]},
		"subsegments":[{"id":"1111111111111111","name":"call","start_time":%d,"end_time":%d,"namespace":"remote","http":{"request":{"url":%s}}}]}`,
		id, segment, at.Unix()-2, at.Unix()-1, meta, planted[1], kept[4], url, planted[0], planted[0], planted[1], planted[0], at.Unix()-2, at.Unix()-1, url)
}

func plantedSpans(trace byte, at time.Time) *coltrace.ExportTraceServiceRequest {
	var attributes []*common.KeyValue
	for k, v := range plantedValues() {
		attributes = append(attributes, &common.KeyValue{Key: k, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}})
	}
	id := bytes.Repeat([]byte{trace}, 16)
	return &coltrace.ExportTraceServiceRequest{ResourceSpans: []*otlptrace.ResourceSpans{{
		Resource: &resource.Resource{Attributes: append([]*common.KeyValue{{Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "shop"}}}}, attributes...)},
		ScopeSpans: []*otlptrace.ScopeSpans{{Spans: []*otlptrace.Span{{
			TraceId: id, SpanId: id[:8], Name: "GET /cart?token=" + planted[1], Kind: otlptrace.Span_SPAN_KIND_SERVER, TraceState: "v=" + plantedJWT,
			StartTimeUnixNano: uint64(at.Add(-2 * time.Second).UnixNano()), EndTimeUnixNano: uint64(at.Add(-time.Second).UnixNano()), Attributes: attributes,
			Events: []*otlptrace.Span_Event{{Name: "exception", Attributes: attributes}}, Links: []*otlptrace.Span_Link{{TraceId: id, SpanId: id[:8], Attributes: attributes}},
			Status: &otlptrace.Status{Code: otlptrace.Status_STATUS_CODE_ERROR, Message: "password=" + planted[0]},
		}}}},
	}}}
}

// plantAll sends the secrets by every protocol, in documents, spans and refused requests,
// and returns the ids of the traces.
func plantAll(t *testing.T, s *harness.Server) []string {
	t.Helper()
	at := time.Now()
	s.Put(plantedDocument("1-581cf771-a006649127e371903a2de979", "70de5b6f19ff9a0a", at))
	spans, err := proto.Marshal(plantedSpans(0x22, at))
	if err != nil {
		t.Fatal(err)
	}
	s.Put("T1S" + base64.StdEncoding.EncodeToString(spans))
	conn, err := net.Dial("udp", s.UDP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("{\"format\":\"json\",\"version\":1}\n" + plantedDocument("1-581cf771-a006649127e371903a2de97a", "70de5b6f19ff9a0b", at))); err != nil {
		t.Fatal(err)
	}
	post := func(typ string, body []byte) int {
		res, err := http.Post(s.URL("/v1/traces"), typ, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode
	}
	if spans, err = proto.Marshal(plantedSpans(0x33, at)); err != nil || post("application/x-protobuf", spans) != 200 {
		t.Fatal("protobuf", err)
	}
	if code := post("application/json", jsonSpan(0x44, at)); code != 200 {
		t.Fatal("JSON", code)
	}
	client, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := coltrace.NewTraceServiceClient(client).Export(context.Background(), plantedSpans(0x55, at)); err != nil {
		t.Fatal(err)
	}
	// Refused ones: the status page, logs and metrics must not quote them.
	s.Post("/TraceSegments", map[string]any{"TraceSegmentDocuments": []string{`{"id":"` + planted[2] + `","name":"password=` + planted[0] + `","start_time":"` + planted[0] + `"}`, `{"password":"` + planted[1] + `",}`}})
	if code := post("application/json", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"password","value":"`+planted[1]+`"}]}]}]}]}`)); code != 400 {
		t.Fatal("refused JSON", code)
	}
	harness.Eventually(t, "the datagram is stored", func() bool {
		return s.Metric(`fluoro_receive_segments_total{outcome="accepted",protocol="udp",reason=""}`) == 1
	})
	var ids []string
	for _, b := range []string{"22", "33", "44", "55"} {
		ids = append(ids, "1-"+strings.Repeat(b, 4)+"-"+strings.Repeat(b, 12))
	}
	return append([]string{"1-581cf771-a006649127e371903a2de979", "1-581cf771-a006649127e371903a2de97a"}, ids...)
}

// jsonSpan makes a request in OTLP/JSON.
func jsonSpan(trace byte, at time.Time) []byte {
	var attributes []map[string]any
	for k, v := range plantedValues() {
		attributes = append(attributes, map[string]any{"key": k, "value": map[string]string{"stringValue": v}})
	}
	id := strings.Repeat(fmt.Sprintf("%02x", trace), 16)
	b, _ := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{"scopeSpans": []any{map[string]any{"spans": []any{map[string]any{
		"traceId": id, "spanId": id[:16], "name": "GET /", "kind": 2, "startTimeUnixNano": fmt.Sprint(at.Add(-2 * time.Second).UnixNano()), "endTimeUnixNano": fmt.Sprint(at.Add(-time.Second).UnixNano()), "attributes": attributes,
	}}}}}}})
	return b
}

// noSecrets fails if a text holds one of the secrets.
func noSecrets(t *testing.T, where string, text []byte, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if i := bytes.Index(text, []byte(secret)); i >= 0 {
			t.Errorf("%s holds %s: %q", where, secret, text[max(0, i-60):min(len(text), i+len(secret)+20)])
		}
	}
}

// filesHold reads every file of a directory.
func filesHold(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		noSecrets(t, path, b, secrets...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// answersOf collects everything that the server shows of the traces.
func answersOf(t *testing.T, s *harness.Server, ids []string) []byte {
	t.Helper()
	var all []byte
	add := func(b []byte) { all = append(append(all, b...), '\n') }
	get := func(path string) {
		res, err := http.Get(s.URL(path))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		add(b)
	}
	for len(ids) > 0 {
		n := min(5, len(ids))
		_, _, b := s.Post("/Traces", map[string]any{"TraceIds": ids[:n]})
		add(b)
		for _, id := range ids[:n] {
			get("/console/api/trace?id=" + id)
		}
		ids = ids[n:]
	}
	now := time.Now()
	window := map[string]any{"StartTime": now.Unix() - 3600, "EndTime": now.Unix() + 60}
	for _, path := range []string{"/TraceSummaries", "/ServiceGraph", "/TimeSeriesServiceStatistics"} {
		_, _, b := s.Post(path, window)
		add(b)
	}
	for _, path := range []string{"/metrics", "/readyz", "/console/api/status"} {
		get(path)
	}
	_, _, b := s.Post("/api/scrub/ListRules", nil)
	add(b)
	_, _, b = s.Post("/api/scrub/Preview", nil)
	add(b)
	return all
}

// Credentials that a sender put anywhere into documents, spans and datagrams are in no
// answer, no log, no metric and no file; everything else is.
func TestScrub_credentialsAreNotStored(t *testing.T) {
	s := harness.Start(t, "--settle", "100ms")
	ids := plantAll(t, s)
	all := answersOf(t, s, ids)
	noSecrets(t, "an answer", all, planted...)
	for _, text := range kept {
		if !bytes.Contains(all, []byte(text)) {
			t.Errorf("%s did not survive", text)
		}
	}
	if n := bytes.Count(all, []byte("[scrubbed by default-keys]")); n < 20 {
		t.Errorf("%d masks are shown", n)
	}
	if s.Metric(`fluoro_scrub_values_total{rule="default-passwords"}`) < 20 {
		t.Error("the values are not counted")
	}
	noSecrets(t, "the log", []byte(s.Log()), planted...)
	filesHold(t, s.Data, planted...) // the log of the store
	s.Stop()
	filesHold(t, s.Data, planted...) // blocks
	s.Restart()
	noSecrets(t, "an answer after a restart", answersOf(t, s, ids), planted...)
}

// Without the default rules everything is stored as it was sent.
func TestScrub_off(t *testing.T) {
	s := harness.Start(t, "--scrub", "off")
	doc := plantedDocument("1-581cf771-a006649127e371903a2de979", "70de5b6f19ff9a0a", time.Now())
	s.Put(doc)
	var out struct {
		Traces []struct{ Segments []struct{ Document string } }
	}
	s.Ask("/Traces", map[string]any{"TraceIds": []string{"1-581cf771-a006649127e371903a2de979"}}, &out)
	var want, got any
	if json.Unmarshal([]byte(doc), &want) != nil || json.Unmarshal([]byte(out.Traces[0].Segments[0].Document), &got) != nil || fmt.Sprint(want) != fmt.Sprint(got) {
		t.Errorf("got %s", out.Traces[0].Segments[0].Document)
	}
}

// scrubCLI runs fluoro scrub.
func scrubCLI(t *testing.T, s *harness.Server, input string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), append(append([]string{"scrub"}, args...), "--url", s.URL(""))...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A rule is previewed on stored traces, counts without changing anything, and then works
// from the next request on; its hashes can be joined.
func TestScrub_rulesFromPreviewToUse(t *testing.T) {
	s := harness.Start(t)
	at := time.Now().Unix() - 2
	put := func(n int, mail string) string {
		id := fmt.Sprintf("1-581cf771-%024x", n)
		s.Put(fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"shop","start_time":%d,"end_time":%d,"annotations":{"mail":%q},"metadata":{"d":{"card":4111111111111111,"to":"see %s"}}}`, id, n, at, at+1, mail, mail))
		return id
	}
	document := func(id string) string {
		var out struct {
			Traces []struct{ Segments []struct{ Document string } }
		}
		s.Ask("/Traces", map[string]any{"TraceIds": []string{id}}, &out)
		return out.Traces[0].Segments[0].Document
	}
	if doc := document(put(1, "ann@example.com")); !strings.Contains(doc, "see ann@example.com") {
		t.Error(doc)
	}
	out, err := scrubCLI(t, s, "", "preview", "--detector", "email", "--action", "hash")
	if err != nil || !strings.Contains(out, "preview: 2 values in 1 traces") || !strings.Contains(out, "annotations.mail: aaa@aaaaaaa.aaa → hmac-") || strings.Contains(out, "ann@") {
		t.Errorf("preview: %v\n%s", err, out)
	}
	if out, err = scrubCLI(t, s, "", "put", "mails", "--detector", "email", "--action", "hash", "--count-only"); err != nil {
		t.Fatal(out)
	}
	if doc := document(put(2, "ann@example.com")); !strings.Contains(doc, "see ann@example.com") {
		t.Error(doc)
	}
	if out, _ = scrubCLI(t, s, "", "rules"); !strings.Contains(out, "mails") || !strings.Contains(out, "counts only  2") {
		t.Error(out)
	}
	rules := "- Name: mails\n  Detectors: [email]\n  Action: hash\n- Name: cards\n  Detectors: [card]\n  Action: last4\n"
	if out, err = scrubCLI(t, s, rules, "put", "--file", "-"); err != nil {
		t.Fatal(out)
	}
	doc, again := document(put(3, "ann@example.com")), document(put(4, "ann@example.com"))
	var one, two struct {
		Annotations struct{ Mail string }
		Metadata    struct{ D struct{ Card, To string } }
	}
	if json.Unmarshal([]byte(doc), &one) != nil || json.Unmarshal([]byte(again), &two) != nil || one.Annotations.Mail != two.Annotations.Mail || !strings.HasPrefix(one.Annotations.Mail, "hmac-") || one.Metadata.D.To != "see "+one.Annotations.Mail || one.Metadata.D.Card != "****1111" {
		t.Errorf("%s, %s", doc, again)
	}
	// The hash finds both traces.
	found := 0
	for _, sum := range s.Summaries(`annotation.mail = "` + one.Annotations.Mail + `"`) {
		_ = sum
		found++
	}
	if found != 2 {
		t.Errorf("the hash finds %d traces", found)
	}
	s.Stop()
	s.Restart()
	if err := json.Unmarshal([]byte(document(put(5, "ann@example.com"))), &two); err != nil || two.Annotations.Mail != one.Annotations.Mail {
		t.Errorf("after a restart: %v", two)
	}
	if out, err = scrubCLI(t, s, "", "delete", "mails"); err != nil {
		t.Fatal(out)
	}
	if doc := document(put(6, "ann@example.com")); !strings.Contains(doc, "see ann@example.com") || !strings.Contains(doc, "****1111") {
		t.Error(doc)
	}
	for _, bad := range [][]string{{"put", "x", "--pattern", "("}, {"put", "x", "--detector", "nose"}, {"put", "x", "--path", "trace_id"}, {"put", "x"}, {"put", "default-none", "--key", "a"}, {"delete", "none"}, {"put", "x", "--pattern", "a*"}} {
		if out, err := scrubCLI(t, s, "", bad...); err == nil {
			t.Errorf("%v: %s", bad, out)
		}
	}
	if out, err := scrubCLI(t, s, "password=hunter2\n", "test"); err != nil || out != "password=***\n" {
		t.Errorf("test: %v %s", err, out)
	}
}

// While the rules cannot be read, data gets the default rules; with strict, none is taken,
// and each protocol says so in its words.
func TestScrub_whileRulesCannotBeRead(t *testing.T) {
	s := harness.Start(t)
	s.Stop()
	if err := os.WriteFile(filepath.Join(s.Data, "meta.db"), bytes.Repeat([]byte("x"), 8192), 0o640); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	ids := plantAll(t, s)
	noSecrets(t, "an answer", answersOf(t, s, ids), planted...)
	s.Stop()
	s.Restart("--scrub", "strict")
	at := time.Now()
	if code, h, b := s.Post("/TraceSegments", map[string]any{"TraceSegmentDocuments": []string{plantedDocument(ids[0], "70de5b6f19ff9a0a", at)}}); code != 503 || h.Get("Retry-After") == "" || !bytes.Contains(b, []byte("scrub rules")) {
		t.Errorf("PutTraceSegments: %d %s", code, b)
	}
	spans, err := proto.Marshal(plantedSpans(0x77, at))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(s.URL("/v1/traces"), "application/x-protobuf", bytes.NewReader(spans))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("OTLP/HTTP: %d", res.StatusCode)
	}
	client, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := coltrace.NewTraceServiceClient(client).Export(context.Background(), plantedSpans(0x77, at)); status.Code(err) != codes.Unavailable {
		t.Errorf("OTLP/gRPC: %v", err)
	}
	conn, err := net.Dial("udp", s.UDP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("{\"format\":\"json\",\"version\":1}\n" + plantedDocument(ids[1], "70de5b6f19ff9a0b", at))); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the datagram is counted", func() bool {
		return s.Metric(`fluoro_receive_segments_total{outcome="dropped",protocol="udp",reason="Scrub"}`) == 1
	})
	noSecrets(t, "the log", []byte(s.Log()), planted...)
}
