package scrub

import (
	"encoding/json"
	"strings"
	"testing"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	jwt    = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
	pem    = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA75Zn\nabc=\n-----END RSA PRIVATE KEY-----"
	secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	byKeys = "[scrubbed by default-keys]"
)

// textCase is a value under a name, and the value that is stored; "=" stands for the same.
type textCase struct{ key, value, want string }

// The default rules.
var defaultCases = []textCase{
	// Names of credentials.
	{"password", "hunter2", byKeys}, {"PASSWORD", "hunter2", byKeys}, {"db.password", "hunter2", byKeys}, {"user_password", "x", byKeys}, {"userPassword", "x", byKeys},
	{"passwd", "x", byKeys}, {"pwd", "x", byKeys}, {"passphrase", "x", byKeys}, {"passcode", "x", byKeys}, {"secret", "x", byKeys}, {"client_secret", "x", byKeys},
	{"aws_secret_access_key", secret, byKeys}, {"SecretAccessKey", secret, byKeys}, {"token", "abc", byKeys}, {"access_token", "abc", byKeys}, {"refreshToken", "abc", byKeys},
	{"X-Auth-Token", "abc", byKeys}, {"x-amz-security-token", "abc", byKeys}, {"api_key", "abc", byKeys}, {"apiKey", "abc", byKeys}, {"X-API-Key", "abc", byKeys},
	{"x-goog-api-key", "abc", byKeys}, {"Ocp-Apim-Subscription-Key", "abc", byKeys}, {"private_key", "abc", byKeys}, {"authorization", "Basic dTpw", byKeys},
	{"http.request.header.authorization", "Bearer x", byKeys}, {"http.request.header.cookie", "a=b", byKeys}, {"Set-Cookie", "a=b; Path=/", byKeys}, {"Proxy-Authorization", "x", byKeys},
	{"rpc.grpc.request.metadata.authorization", "x", byKeys}, {"credentials", "x", byKeys}, {"csrf_token", "x", byKeys}, {"headers[authorization]", "x", byKeys}, {"X-Amz-Signature", "x", byKeys},
	// Names that look like some.
	{"aws.auth.account.access_key", "AKIDEXAMPLE", "="}, {"token_count", "12", "="}, {"gen_ai.usage.input_tokens", "12", "="}, {"max_tokens", "12", "="}, {"author", "Ann", "="}, {"authority", "shop", "="}, {"authorized", "yes", "="},
	{"next_token", "abc", "="}, {"NextToken", "abc", "="}, {"pageToken", "abc", "="}, {"continuation-token", "abc", "="}, {"client_token", "abc", "="}, {"token_type", "jwt", "="},
	{"password_changed", "yes", "="}, {"secretary", "Ann", "="}, {"keyboard", "us", "="}, {"key", "shop/1", "="}, {"primary_key", "17", "="}, {"foreign_key", "17", "="},
	{"messaging.kafka.message.key", "17", "="}, {"aws.s3.key", "a/b", "="}, {"cookie_consent", "yes", "="}, {"session.id", "8d7f", "="}, {"user.id", "ann", "="}, {"auth.method", "oidc", "="},
	// Passwords in URLs and connection strings.
	{"url.full", "https://ann:hunter2@shop.example/cart?x=1", "https://ann:***@shop.example/cart?x=1"},
	{"u", "postgres://app:p%40ss@db.internal:5432/shop?sslmode=require", "postgres://app:***@db.internal:5432/shop?sslmode=require"},
	{"u", "redis://:hunter2@cache:6379/0", "redis://:***@cache:6379/0"}, {"u", "amqp://guest:gu@est@mq:5672/", "amqp://guest:***@mq:5672/"},
	{"u", "mongodb+srv://ann:hunter2@cluster0.example.net/db?retryWrites=true", "mongodb+srv://ann:***@cluster0.example.net/db?retryWrites=true"},
	{"u", "get https://ann:hunter2@a.example and ftp://bob:swordfish@b.example/x", "get https://ann:***@a.example and ftp://bob:***@b.example/x"},
	{"u", "app:hunter2@tcp(127.0.0.1:3306)/shop", "app:***@tcp(127.0.0.1:3306)/shop"}, {"u", "jdbc:oracle:thin:scott/tiger@//db:1521/x", "jdbc:oracle:thin:scott/***@//db:1521/x"},
	{"u", "https://x-access-token:ghs_short1@github.com/a/b", "https://x-access-token:***@github.com/a/b"},
	{"u", "https://shop.example/cart?x=1&token=abc123&y=2", "https://shop.example/cart?x=1&token=***&y=2"}, {"u", "https://shop.example/?api_key=abc#top", "https://shop.example/?api_key=***#top"},
	{"u", "/login?user=ann&password=a,b;c&next=%2F", "/login?user=ann&password=***&next=%2F"}, {"u", "https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F2026&X-Amz-Signature=abcdef&X-Amz-Expires=60", "https://b.s3.amazonaws.com/k?X-Amz-Credential=***&X-Amz-Signature=***&X-Amz-Expires=60"},
	{"c", "Server=db;Database=shop;User Id=app;Password=p@ss,w rd&1;Encrypt=true", "Server=db;Database=shop;User Id=app;Password=***;Encrypt=true"},
	{"c", "Password=a b;Server=db", "Password=***;Server=db"}, {"c", "Server=db;Pwd=hunter2", "Server=db;Pwd=***"}, {"c", "host=db user=app password=hunter2 dbname=shop", "host=db user=app password=*** dbname=shop"},
	{"c", "host=db password='hun ter' dbname=shop", "host=db password='***' dbname=shop"}, {"c", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abc/def==;EndpointSuffix=x", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=***;EndpointSuffix=x"},
	{"c", "Endpoint=sb://a.example/;SharedAccessKeyName=n;SharedAccessKey=abc=", "Endpoint=sb://a.example/;SharedAccessKeyName=n;SharedAccessKey=***"},
	// In running text, JSON, headers, code.
	{"b", `{"user":"ann","password":"hunter2","n":1}`, `{"user":"ann","password":"***","n":1}`}, {"b", `{"password": "hun\"ter2", "n": 1}`, `{"password": "***", "n": 1}`},
	{"b", `{"a":"{\"password\":\"hunter2\",\"n\":1}"}`, `{"a":"{\"password\":\"***\",\"n\":1}"}`}, {"b", `{"pin":1,"api_key":12345,"x":2}`, `{"pin":1,"api_key":***,"x":2}`},
	{"b", `{"password":null,"token":false,"n":1}`, "="}, {"b", "{'secret': 'abc', 'n': 1}", "{'secret': '***', 'n': 1}"}, {"b", `{"tokens":3,"token_count":4,"author":"Ann"}`, "="},
	{"b", "user=ann&password=hunter2&x=1", "user=ann&password=***&x=1"}, {"b", "LoginRequest(user=ann, password=hunter2, remember=true)", "LoginRequest(user=ann, password=***, remember=true)"},
	{"b", "LoginRequest{user='ann', password='hunter2'}", "LoginRequest{user='ann', password='***'}"}, {"b", "tool --user ann --password=hunter2 run", "tool --user ann --password=*** run"},
	{"b", "export DB_PASSWORD=hunter2\nrun", "export DB_PASSWORD=***\nrun"}, {"b", "password: hunter2", "password: ***"}, {"b", "api_key: abc\nuser: ann", "api_key: ***\nuser: ann"},
	{"b", "GET / HTTP/1.1\r\nAuthorization: Digest username=\"ann\"\r\nHost: a", "GET / HTTP/1.1\r\nAuthorization: ***\"ann\"\r\nHost: a"},
	{"b", "GET / HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x, Signature=y\r\nHost: a", "GET / HTTP/1.1\r\nAuthorization: ***\r\nHost: a"},
	{"b", "Cookie: a=b; c=d\nHost: a", "Cookie: ***\nHost: a"}, {"b", "curl -H 'Authorization: Bearer abc' https://a.example", "curl -H 'Authorization: ***' https://a.example"},
	{"b", "headers={Authorization=[Bearer abc], Accept=[*/*]}", "headers={Authorization=[***], Accept=[*/*]}"}, {"b", `"password" => "hunter2"`, `"password" => "***"`},
	{"b", "CREATE USER ann IDENTIFIED BY 'hunter2'", "CREATE USER ann IDENTIFIED BY '***'"}, {"b", "ALTER ROLE ann WITH PASSWORD 'hunter2' VALID UNTIL 'infinity'", "ALTER ROLE ann WITH PASSWORD '***' VALID UNTIL 'infinity'"},
	{"b", "UPDATE users SET password = 'hun''ter2' WHERE id = 5", "UPDATE users SET password = '***' WHERE id = 5"}, {"b", "SELECT * FROM t WHERE password = ? AND token = $1", "SELECT * FROM t WHERE password = *** AND token = ***"},
	{"b", "unexpected token: end of file", "="}, {"b", "SyntaxError: Unexpected token < in JSON at position 0", "="}, {"b", "if password == other {", "="}, {"b", "the secret: be early", "="},
	{"b", "the author: Ann, tokens: 12, key: 5", "="}, {"b", "mailto:ann@example.com", "="}, {"b", "ssh://git@github.com/a/b", "="}, {"b", "https://a.example/@ann/post?mail=x@y.example", "="}, {"b", "https://a.example:8080/x@y", "="},
	// Schemes and tokens.
	{"h", "Bearer abc.def-123", "Bearer ***"}, {"h", "bearer 0123456789abcdef", "bearer ***"}, {"h", "sent BEARER abcdefghijklmnopqrstuvwxyz now", "sent BEARER *** now"}, {"h", "Basic dXNlcjpwYXNz", "Basic ***"},
	{"h", "basic authentication failed", "="}, {"h", "the bearer of bad news", "="}, {"h", "Basic plan", "="}, {"h", "Token 9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b", "Token ***"},
	{"j", jwt, "***"}, {"j", "got " + jwt + ", bad", "got ***, bad"}, {"j", "eyJub3QiOiJhIHRva2VuIn0", "="}, {"j", "keyJson.eyJx.y", "="},
	{"a", "AKIAIOSFODNN7EXAMPLE", "***"}, {"a", "key ASIAIOSFODNN7EXAMPLE used", "key *** used"}, {"a", "AKIAIOSFODNN7EXAMPLE " + secret, "*** ***"}, {"a", "AROAIOSFODNN7EXAMPLE", "="},
	{"a", "AKIAIOSFODNN7EXAMPLEX", "="}, {"a", "xAKIAIOSFODNN7EXAMPLE", "="}, {"a", secret, "="},
	{"p", pem, "***"}, {"p", "before " + pem + " after", "before *** after"}, {"p", "-----BEGIN PRIVATE KEY-----\nabc", "***"}, {"p", "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----", "="},
	{"p", "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----", "="},
	{"g", "ghp_" + strings.Repeat("a1B2", 9), "***"}, {"g", "xoxb-123456789012-abcdefghijkl", "***"}, {"g", "glpat-abcdefghij0123456789", "***"}, {"g", "sk_live_abcdefghij0123456789", "***"},
	{"g", "AIza" + strings.Repeat("a1B2_", 7), "***"}, {"g", "npm_" + strings.Repeat("a1B2", 9), "***"}, {"g", "sk-ant-api03-abcdefghij0123456789", "***"}, {"g", "github_pat_11ABCDEFG0123456789_abc", "***"},
	{"g", "ghp_short", "="}, {"g", "task-service-with-a-rather-long-name-0123456789-abcdefghijklm", "="}, {"g", "xoxo-love", "="}, {"g", "npm_config_registry", "="},
	// What must survive.
	{"i", "1-581cf771-a006649127e371903a2de979", "="}, {"i", "70de5b6f19ff9a0a", "="}, {"i", "4bf92f3577b34da6a3ce929d0e0e4736", "="}, {"i", "2026-11-29T14:49:56.123456789Z", "="},
	{"i", "1764426056123456789", "="}, {"i", "550e8400-e29b-41d4-a716-446655440000", "="}, {"i", "arn:aws:iam::123456789012:role/admin", "="}, {"i", "4111111111111111", "="},
	{"i", "ann@example.com", "="}, {"i", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "="}, {"i", "", "="}, {"i", "äöü ☃ 漢字", "="},
}

// spanWith makes a request with a span.
func spanWith(s *otlptrace.Span) []byte {
	s.TraceId, s.SpanId = []byte("0123456789abcdef"), []byte("01234567")
	b, err := proto.Marshal(&coltrace.ExportTraceServiceRequest{ResourceSpans: []*otlptrace.ResourceSpans{{ScopeSpans: []*otlptrace.ScopeSpans{{Spans: []*otlptrace.Span{s}}}}}})
	if err != nil {
		panic(err)
	}
	return b
}

// spanOf reads the span again.
func spanOf(t *testing.T, body []byte) *otlptrace.Span {
	t.Helper()
	var r coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &r); err != nil {
		t.Fatal(err)
	}
	return r.ResourceSpans[0].ScopeSpans[0].Spans[0]
}

// Each case in a document and in a span, there also in an event, a link and nested.
func TestDefaults(t *testing.T) {
	p := ofDefaults(t)
	for _, c := range defaultCases {
		want := c.want
		if want == "=" {
			want = c.value
		}
		if got := inDocument(t, p, c.key, c.value); got != want {
			t.Errorf("document %s: %q became %q, want %q", c.key, c.value, got, want)
		}
		kv := func() []*common.KeyValue { return []*common.KeyValue{str(c.key, c.value)} }
		nested := &common.KeyValue{Key: "map", Value: &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: kv()}}}}
		s := spanOf(t, p.Request(spanWith(&otlptrace.Span{Attributes: append(kv(), nested), Events: []*otlptrace.Span_Event{{Attributes: kv()}}, Links: []*otlptrace.Span_Link{{Attributes: kv()}}})))
		for where, got := range map[string]string{
			"span": s.Attributes[0].Value.GetStringValue(), "event": s.Events[0].Attributes[0].Value.GetStringValue(), "link": s.Links[0].Attributes[0].Value.GetStringValue(),
			"nested": s.Attributes[1].Value.GetKvlistValue().Values[0].Value.GetStringValue(),
		} {
			if got != want {
				t.Errorf("%s %s: %q became %q, want %q", where, c.key, c.value, got, want)
			}
		}
	}
	t.Logf("%d cases", len(defaultCases))
}

// inDocument returns what becomes of a metadata value.
func inDocument(t *testing.T, p *Program, key, value string) string {
	t.Helper()
	in, err := json.Marshal(map[string]any{"metadata": map[string]any{"default": map[string]string{key: value}}})
	if err != nil {
		t.Fatal(err)
	}
	out := p.Document(in)
	if again := p.Document(out); string(again) != string(out) {
		t.Errorf("scrubbed twice %s became %s", out, again)
	}
	var doc struct {
		Metadata struct{ Default map[string]string }
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return doc.Metadata.Default[key]
}

// Every case of the quick pass: it has no false negatives.
func TestSuspicious_hasNoFalseNegatives(t *testing.T) {
	for _, c := range defaultCases {
		if c.want != "=" && c.want != byKeys && !suspicious([]byte(c.value)) {
			t.Errorf("%q is not suspicious", c.value)
		}
		if c.want == byKeys && unlikelyName([]byte(c.key)) {
			t.Errorf("%q is an unlikely name", c.key)
		}
	}
	for _, e := range secretEnds {
		for _, name := range []string{e.end, strings.ToUpper(e.end), "my_" + e.end} {
			if unlikelyName([]byte(name)) {
				t.Errorf("%q is an unlikely name", name)
			}
			for _, sign := range []string{"=x1234567", ": x12345678", `":"x"`, `\":\"x\"`, "' : 'x'"} {
				if !suspicious([]byte(name + sign)) {
					t.Errorf("%q is not suspicious", name+sign)
				}
			}
			doc := []byte(`{"metadata":{"` + name + `":"x"}}`)
			if p := ofDefaults(t); string(p.Document(doc)) == string(doc) {
				t.Errorf("%s stays", doc)
			}
		}
	}
}
