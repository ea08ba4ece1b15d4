package scrub

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// spanText makes a request in protobuf of one in OTLP/JSON whose only span has more
// members.
func spanText(t testing.TB, resource, span string) []byte {
	t.Helper()
	var r coltrace.ExportTraceServiceRequest
	text := `{"resourceSpans":[{"resource":{"attributes":[` + resource + `]},"scopeSpans":[{"scope":{"name":"lib","attributes":[{"key":"x","value":{"stringValue":"scope"}}]},"spans":[{"traceId":"MDEyMzQ1Njc4OWFiY2RlZg==","spanId":"MDEyMzQ1Njc=","name":"GET /"` + span + `}]}]}]}`
	if err := protojson.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func kv(key, value string) string { return `{"key":"` + key + `","value":` + value + `}` }

func text(s string) string { return `{"stringValue":"` + s + `"}` }

func attributes(list ...string) string { return `,"attributes":[` + strings.Join(list, ",") + `]` }

// Of each case: the rules, the span's members before and after; "" for the same.
var spanCases = []struct {
	name     string
	rules    []Rule
	in, want string
}{
	{"an attribute", keys(Mask, "x"), attributes(kv("a", text("b")), kv("x", text("y"))), attributes(kv("a", text("b")), kv("x", text("[scrubbed by a]")))},
	{"an attribute is dropped", keys(Drop, "x"), attributes(kv("x", text("y")), kv("a", text("b"))), attributes(kv("a", text("b")))},
	{"an integer", keys(Mask, "x"), attributes(kv("x", `{"intValue":"42"}`)), attributes(kv("x", text("[scrubbed by a]")))},
	{"a double", keys(KeepLast, "x"), attributes(kv("x", `{"doubleValue":1234567.5}`)), attributes(kv("x", text("****67.5")))},
	{"a bool", keys(Hash, "x"), attributes(kv("x", `{"boolValue":true}`)), attributes(kv("x", text("hmac-")))},
	{"a negative integer", keys(KeepLast, "x"), attributes(kv("x", `{"intValue":"-12345678"}`)), attributes(kv("x", text("****5678")))},
	{"a card that is an integer", detect(KeepLast, "card"), attributes(kv("c", `{"intValue":"4111111111111111"}`), kv("d", `{"intValue":"4111111111111112"}`)), attributes(kv("c", text("****1111")), kv("d", `{"intValue":"4111111111111112"}`))},
	{"bytes", keys(Mask, "x"), attributes(kv("x", `{"bytesValue":"c2VjcmV0"}`)), attributes(kv("x", `{"bytesValue":"W3NjcnViYmVkIGJ5IGFd"}`))},
	{"an array", keys(Mask, "x"), attributes(kv("x", `{"arrayValue":{"values":[`+text("a")+`]}}`)), attributes(kv("x", text("[scrubbed by a]")))},
	{"the hashes of an array", keys(Hash, "x"), attributes(kv("x", `{"arrayValue":{"values":[`+text("a")+`,{"intValue":"1"}]}}`)), attributes(kv("x", `{"arrayValue":{"values":[`+text("hmac-")+`,`+text("hmac-")+`]}}`))},
	{"a map", keys(Mask, "x"), attributes(kv("m", `{"kvlistValue":{"values":[`+kv("x", text("y"))+`,`+kv("a", text("b"))+`]}}`)), attributes(kv("m", `{"kvlistValue":{"values":[`+kv("x", text("[scrubbed by a]"))+`,`+kv("a", text("b"))+`]}}`))},
	{"a member of a map is dropped", paths(Drop, "attributes.m.x"), attributes(kv("m", `{"kvlistValue":{"values":[`+kv("x", text("y"))+`]}}`), kv("x", text("y"))), attributes(kv("m", `{"kvlistValue":{}}`), kv("x", text("y")))},
	{"an empty value stays", keys(Mask, "x"), attributes(kv("x", `{}`), kv("y", text(""))), ""},
	{"an event", keys(Mask, "x"), `,"events":[{"name":"e","attributes":[` + kv("x", text("y")) + `]}]`, `,"events":[{"name":"e","attributes":[` + kv("x", text("[scrubbed by a]")) + `]}]`},
	{"the name of an event", detect(Mask, "email"), `,"events":[{"name":"to a@b.example"}]`, `,"events":[{"name":"to ***"}]`},
	{"an exception", paths(Drop, "events.exception.stacktrace"), `,"events":[{"name":"exception","attributes":[` + kv("exception.message", text("m")) + `,` + kv("exception.stacktrace", text("s")) + `]}]`, `,"events":[{"name":"exception","attributes":[` + kv("exception.message", text("m")) + `]}]`},
	{"a link", paths(Mask, "links.x"), `,"links":[{"traceId":"MDEyMzQ1Njc4OWFiY2RlZg==","spanId":"MDEyMzQ1Njc=","attributes":[` + kv("x", text("y")) + `]}]`, `,"links":[{"traceId":"MDEyMzQ1Njc4OWFiY2RlZg==","spanId":"MDEyMzQ1Njc=","attributes":[` + kv("x", text("[scrubbed by a]")) + `]}]`},
	{"the trace state", []Rule{{Pattern: "secret"}}, `,"traceState":"v=secret,w=1"`, `,"traceState":"v=***,w=1"`},
	{"the status", paths(Mask, "status.message"), `,"status":{"message":"m","code":"STATUS_CODE_ERROR"}`, `,"status":{"message":"[scrubbed by a]","code":"STATUS_CODE_ERROR"}`},
	{"the status is dropped", paths(Drop, "status.message"), `,"status":{"message":"m"}`, `,"status":{"message":"***"}`},
	{"a path of documents: url", paths(Mask, "http.request.url"), attributes(kv("url.full", text("u")), kv("http.url", text("v")), kv("url.scheme", text("s"))), attributes(kv("url.full", text("[scrubbed by a]")), kv("http.url", text("[scrubbed by a]")), kv("url.scheme", text("s")))},
	{"a path of documents: SQL", paths(Mask, "sql.sanitized_query"), attributes(kv("db.statement", text("q")), kv("db.query.text", text("q"))), attributes(kv("db.statement", text("[scrubbed by a]")), kv("db.query.text", text("[scrubbed by a]")))},
	{"a path of documents: user", paths(Drop, "user"), attributes(kv("enduser.id", text("ann"))), ""},
	{"a path of documents: annotation", paths(Mask, "annotations.x*"), attributes(kv("x", text("y")), kv("x1", text("y")), kv("y", text("x"))), attributes(kv("x", text("[scrubbed by a]")), kv("x1", text("[scrubbed by a]")), kv("y", text("x")))},
	{"a path of documents: exception", paths(Mask, "cause.exceptions.message"), `,"status":{"message":"m"},"events":[{"name":"exception","attributes":[` + kv("exception.message", text("m")) + `]}]`, `,"status":{"message":"[scrubbed by a]"},"events":[{"name":"exception","attributes":[` + kv("exception.message", text("[scrubbed by a]")) + `]}]`},
	{"SQL literals", detect(Mask, "sql"), attributes(kv("db.statement", text("SELECT a FROM b WHERE c = 'd' AND e = 5")), kv("other", text("c = 'd'"))), attributes(kv("db.statement", text("SELECT a FROM b WHERE c = *** AND e = ***")), kv("other", text("c = 'd'")))},
	{"another service", []Rule{{Keys: []string{"x"}, Services: []string{"cart"}}}, attributes(kv("x", text("y"))), ""},
	{"the service", []Rule{{Keys: []string{"x"}, Services: []string{"Sh*"}}}, attributes(kv("x", text("y"))), attributes(kv("x", text("[scrubbed by a]")))},
	{"a rule that only counts", []Rule{{Keys: []string{"x"}, Action: Drop, DryRun: true}}, attributes(kv("x", text("y")), kv("x", `{"arrayValue":{"values":[`+text("a")+`]}}`)), ""},
}

func TestSpan(t *testing.T) {
	service := kv("service.name", text("shop"))
	for _, c := range spanCases {
		p := only(t, c.rules...)
		want := c.want
		if c.name == "a path of documents: user" {
			want = ``
		} else if want == "" {
			want = c.in
		}
		in := spanText(t, service, c.in)
		out := p.Request(bytes.Clone(in))
		got, expected := requestJSON(t, out), requestJSON(t, spanText(t, service, want))
		if c.name != "another service" { // the scope has an attribute x, too
			expected = scopeLike(got, expected)
		}
		if withoutHashes(got) != withoutHashes(expected) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, withoutHashes(got), expected)
		}
		if again := p.Request(out); !bytes.Equal(again, out) {
			t.Errorf("%s: scrubbed twice it is %s", c.name, requestJSON(t, again))
		}
		if got == requestJSON(t, in) && len(out) > 0 && !bytes.Equal(out, in) {
			t.Errorf("%s: the bytes changed, but nothing else", c.name)
		}
	}
	t.Logf("%d cases", len(spanCases))
}

// scopeLike copies what became of the scope.
func scopeLike(got, want string) string {
	cut := func(s string) (string, string, string) {
		a := strings.Index(s, `"scope":`)
		b := strings.Index(s, `"spans":`)
		return s[:a], s[a:b], s[b:]
	}
	_, scope, _ := cut(got)
	before, _, after := cut(want)
	return before + scope + after
}

func requestJSON(t *testing.T, b []byte) string {
	t.Helper()
	var r coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(b, &r); err != nil {
		t.Fatalf("no request any more: %v", err)
	}
	out, err := protojson.MarshalOptions{UseProtoNames: false}.Marshal(&r)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(out), `, "`, `,"`)
}

// Resources and scopes are scrubbed; the service is read before, wherever it stands.
func TestRequest_resourcesAndScopes(t *testing.T) {
	p := only(t, Rule{Keys: []string{"x", "service.name"}, Services: []string{"shop"}}, Rule{Name: "p", Paths: []string{"resource.host.name"}, Action: Drop})
	in := spanText(t, kv("x", text("y"))+`,`+kv("host.name", text("h"))+`,`+kv("service.name", text("shop")), "")
	got := requestJSON(t, p.Request(in))
	for _, want := range []string{`"x"`, `"service.name"`, `"lib"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is gone: %s", want, got)
		}
	}
	if strings.Contains(got, `"h"`) || strings.Contains(got, `"shop"`) || strings.Contains(got, `"y"`) || strings.Contains(got, `"scope"}`) || strings.Count(got, "[scrubbed by a]") != 3 {
		t.Error(got)
	}
	// The resource behind its spans, as protobuf allows.
	var r coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(in, &r); err != nil {
		t.Fatal(err)
	}
	res, _ := proto.Marshal(r.ResourceSpans[0].Resource)
	scopes, _ := proto.Marshal(r.ResourceSpans[0].ScopeSpans[0])
	late := protowire.AppendBytes(protowire.AppendTag(nil, 1000, protowire.BytesType), scopes)
	late = protowire.AppendBytes(protowire.AppendTag(late, 1, protowire.BytesType), res)
	out := p.Request(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), late))
	if bytes.Contains(out, []byte("shop")) || bytes.Count(out, []byte("[scrubbed by a]")) != 3 {
		t.Errorf("%q", out)
	}
}

// Unknown fields with a secret in them are left out, others stay; so does the part of a
// malformed request that was not read.
func TestRequest_unknownAndMalformed(t *testing.T) {
	p := ofDefaults(t)
	body := spanText(t, "", attributes(kv("password", text("hunter2"))))
	unknown := protowire.AppendString(protowire.AppendTag(nil, 99, protowire.BytesType), "password=hunter2")
	harmless := protowire.AppendString(protowire.AppendTag(nil, 98, protowire.BytesType), "harmless")
	out := p.Request(append(append(bytes.Clone(harmless), body...), unknown...))
	if bytes.Contains(out, []byte("hunter2")) || !bytes.HasPrefix(out, harmless) {
		t.Errorf("%q", out)
	}
	for n := range body {
		out := p.Request(bytes.Clone(body[:n]))
		if n > 2 && len(out) == 0 {
			t.Errorf("%d bytes became nothing", n)
		}
	}
}

// Spans in a document, as ADOT on Lambda sends them.
func TestDocument_encodedSpans(t *testing.T) {
	p := ofDefaults(t)
	for _, head := range []string{"T1", "T1S", "T1U"} {
		in := []byte(head + base64.StdEncoding.EncodeToString(spanText(t, "", attributes(kv("password", text("hunter2"))))))
		out := p.Document(in)
		body, err := base64.StdEncoding.DecodeString(string(out[len(head):]))
		if err != nil || !bytes.HasPrefix(out, []byte(head)) || bytes.Contains(body, []byte("hunter2")) || !strings.Contains(requestJSON(t, body), "[scrubbed by default-keys]") {
			t.Errorf("%s: %v %s", head, err, body)
		}
		clean := []byte(head + base64.StdEncoding.EncodeToString(spanText(t, "", "")))
		if out := p.Document(clean); &out[0] != &clean[0] {
			t.Errorf("%s: a clean one became %s", head, out)
		}
	}
	if out := p.Document([]byte("T1S!!!")); string(out) != "T1S!!!" {
		t.Errorf("%s", out)
	}
}

// A stored span is scrubbed with its resource and scope, which stay shared.
func TestRecord(t *testing.T) {
	p := ofDefaults(t)
	var r coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(spanText(t, kv("token", text("a")), attributes(kv("password", text("b")))), &r); err != nil {
		t.Fatal(err)
	}
	span, _ := proto.Marshal(r.ResourceSpans[0].ScopeSpans[0].Spans[0])
	res, _ := proto.Marshal(r.ResourceSpans[0].Resource)
	scope := &trace.OTLPScope{Resource: res}
	s := p.Records()
	one, changed := s.Record(trace.Record{Source: trace.SourceOTLP, Raw: span, Scope: scope, ReceivedAt: 7})
	two, again := s.Record(trace.Record{Source: trace.SourceOTLP, Raw: span, Scope: scope, Part: 1})
	if !changed || !again || one.Scope != two.Scope || one.Scope == scope || one.ReceivedAt != 7 || two.Part != 1 || !bytes.Contains(one.Raw, []byte(byKeys)) || !bytes.Contains(one.Scope.Resource, []byte(byKeys)) {
		t.Errorf("%+v, %+v", one, two)
	}
	doc := trace.Record{Source: trace.SourceDocument, Raw: []byte(document)}
	if same, changed := s.Record(doc); changed || &same.Raw[0] != &doc.Raw[0] {
		t.Error("a clean document changed")
	}
	var empty *Program
	if _, changed := empty.Records().Record(one); changed {
		t.Error("no program changes something")
	}
}
