package wire_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness/inside"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const mismatchText = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

// What each failure answers, by what is done to a rightly signed request.
func TestSigV4_failures(t *testing.T) {
	s, _ := startRequired(t)
	now := time.Now().UTC()
	day := now.Format("20060102")
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	edit := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			h := r.Header.Get("Authorization")
			if !strings.Contains(h, old) {
				t.Errorf("%q is not in %q", old, h)
			}
			r.Header.Set("Authorization", strings.Replace(h, old, new, 1))
		}
	}
	for _, c := range []struct {
		name   string
		call   call
		after  func(*http.Request)
		code   string
		match  string // regular expression
		status int
	}{
		{name: "good", status: 200},
		{name: "no credentials", after: func(r *http.Request) { r.Header.Del("Authorization") }, code: "MissingAuthenticationTokenException", match: `^Missing Authentication Token$`},
		{name: "empty header", after: set("Authorization", ""), code: "MissingAuthenticationTokenException", match: `^Missing Authentication Token$`},
		{name: "another scheme", after: set("Authorization", "Basic dXNlcjpwYXNz"), code: "IncompleteSignatureException", match: `not a valid key=value pair \(missing equal-sign\) in Authorization header \(hashed with SHA-256 and encoded with Base64\): '[A-Za-z0-9+/]{43}='\.$`},
		{name: "part without equal-sign", after: edit("Signature=", "Signature "), code: "IncompleteSignatureException", match: `\(missing equal-sign\)`},
		{name: "no credential", after: edit("Credential=", "Cred="), code: "IncompleteSignatureException", match: `^Authorization header requires 'Credential' parameter\. \(Hashed with SHA-256 and encoded with Base64\) Authorization=`},
		{name: "nothing but the algorithm", after: set("Authorization", "AWS4-HMAC-SHA256"), code: "IncompleteSignatureException", match: `^Authorization header requires 'Credential' parameter\. Authorization header requires 'Signature' parameter\. Authorization header requires 'SignedHeaders' parameter\. `},
		{name: "no date", after: func(r *http.Request) { r.Header.Del("X-Amz-Date") }, code: "IncompleteSignatureException", match: `^Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header\. `},
		{name: "bad date", after: set("X-Amz-Date", "yesterday"), code: "IncompleteSignatureException", match: `^Date must be in ISO-8601 'basic format'\. Got 'yesterday'\.`},
		{name: "four elements", after: edit("/aws4_request", ""), code: "IncompleteSignatureException", match: `^Credential must have exactly 5 slash-delimited elements, e\.g\. keyid/date/region/service/term, got '`},
		{name: "SigV4A", after: edit("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), code: "IncompleteSignatureException", match: `algorithm`},
		{name: "region", after: edit("us-east-1", "xx"), code: "InvalidSignatureException", match: `^Credential should be scoped to a valid region, not 'xx'\.$`},
		{name: "service", after: edit("/xray/", "/s3/"), code: "InvalidSignatureException", match: `^Credential should be scoped to correct service: 'xray'\.$`},
		{name: "terminator", after: edit("aws4_request", "x"), code: "InvalidSignatureException", match: `^Credential should be scoped with a valid terminator: 'aws4_request', not 'x'\.$`},
		{name: "day", after: edit("/"+day+"/", "/20200101/"), code: "InvalidSignatureException", match: `^Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20200101' != '` + day + `', from '\d{8}T\d{6}Z'\.$`},
		{name: "all of the scope", after: edit(day+"/us-east-1/xray/aws4_request", "1/2/3/4"), code: "InvalidSignatureException", match: `^Credential should be scoped to a valid region, not '2'\. Credential should be scoped to correct service: 'xray'\. Credential should be scoped with a valid terminator: 'aws4_request', not '4'\. Date in Credential scope`},
		{name: "host not signed", after: edit("host;", ""), code: "InvalidSignatureException", match: `^'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization\.$`},
		{name: "x-amz header not signed", after: set("X-Amz-Target", "x"), code: "InvalidSignatureException", match: `^'X-Amz-Target' must be a 'SignedHeader'`},
		{name: "too old", call: call{at: now.Add(-301 * time.Second)}, code: "InvalidSignatureException", match: `^Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)$`},
		{name: "just young enough", call: call{at: now.Add(-290 * time.Second)}, status: 200},
		{name: "from the future", call: call{at: now.Add(310 * time.Second)}, code: "InvalidSignatureException", match: `^Signature not yet current: \d{8}T\d{6}Z is still later than \d{8}T\d{6}Z \(\d{8}T\d{6}Z \+ 5 min\.\)$`},
		{name: "another date", after: set("X-Amz-Date", now.Add(-2*time.Second).Format("20060102T150405Z")), code: "InvalidSignatureException", match: mismatchText},
		{name: "signature", after: edit("Signature=", "Signature=0"), code: "InvalidSignatureException", match: mismatchText},
		{name: "signature that is no number", after: edit("Signature=", "Signature=x"), code: "InvalidSignatureException", match: mismatchText},
		{name: "signed header changed", call: call{before: set("X-Other", "a")}, after: set("X-Other", "b"), code: "InvalidSignatureException", match: mismatchText},
		{name: "host changed", after: func(r *http.Request) { r.Host = "localhost" }, code: "InvalidSignatureException", match: mismatchText},
		{name: "path", after: func(r *http.Request) { r.URL.Path = "/GetGroup" }, code: "InvalidSignatureException", match: mismatchText},
		{name: "query", after: func(r *http.Request) { r.URL.RawQuery = "a=b" }, code: "InvalidSignatureException", match: mismatchText},
		{name: "method", after: func(r *http.Request) { r.Method = "PUT" }, code: "MethodNotAllowedException", match: ".", status: 405},
		{name: "unknown key", call: call{key: "AKIANOBODYNOBODYNOBO"}, code: "UnrecognizedClientException", match: `^The security token included in the request is invalid\.$`},
		{name: "unsigned payload", call: call{before: set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")}, code: "InvalidSignatureException", match: "X-Amz-Content-Sha256"},
		{name: "streaming payload", call: call{before: set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")}, code: "InvalidSignatureException", match: "X-Amz-Content-Sha256"},
		{name: "claim of another body", call: call{before: set("X-Amz-Content-Sha256", strings.Repeat("0", 64))}, code: "InvalidSignatureException", match: mismatchText},
		{name: "two headers", after: func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+goodToken) }, code: "IncompleteSignatureException", match: "2 Authorization headers"},
		{name: "presigned", after: func(r *http.Request) { r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0" }, code: "InvalidSignatureException", match: "Presigned URLs"},
		{name: "many signed headers", after: edit("host;", "host;"+strings.Repeat("x;", 300)), code: "IncompleteSignatureException", match: "more than 200 names"},
		{name: "many parameters", after: func(r *http.Request) { r.URL.RawQuery = strings.Repeat("a&", 300) }, code: "IncompleteSignatureException", match: "more than 200 parameters"},
		{name: "log injection", after: set("Authorization", "AWS4-HMAC-SHA256 Credential=a/b/c\tlevel=ERROR msg=\"owned\"/d/e, SignedHeaders=host;x-amz-date, Signature=0"), code: "UnrecognizedClientException", match: "."},
	} {
		if c.call.path == "" {
			c.call.path, c.call.body = "/Groups", "{}"
		}
		r := c.call.sign(t, s)
		if c.after != nil {
			c.after(r)
		}
		if c.status == 0 {
			c.status = 403
		}
		status, code, body := send(t, r)
		text := field(body, "message")
		if status != c.status || code != c.code || !regexp.MustCompile(c.match).MatchString(text) {
			t.Errorf("%s: %d %s %s, want %d %s %s", c.name, status, code, body, c.status, c.code, c.match)
		}
	}
	if strings.Contains(s.Output(), `msg="owned"`) || strings.Contains(s.Output(), "dXNlcjpwYXNz") {
		t.Errorf("the log contains what a sender wrote:\n%s", s.Output())
	}
}

// field reads a text member of a JSON object, "" if there is none.
func field(object, name string) string {
	var v map[string]any
	if json.Unmarshal([]byte(object), &v) != nil {
		return ""
	}
	text, _ := v[name].(string)
	return text
}

// The forms in which rightly signed requests come.
func TestSigV4_forms(t *testing.T) {
	s, _ := startRequired(t)
	claim := func(r *http.Request) { // the SHA-256 of {}
		r.Header.Set("X-Amz-Content-Sha256", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
	}
	for _, c := range []struct {
		name  string
		call  call
		after func(*http.Request)
	}{
		{"hash of the body in a header", call{path: "/Groups", body: "{}", before: claim}, nil},
		{"no body", call{path: "/console/api/status"}, nil},
		{"a query", call{path: "/console/api/search?start=1&end=2&text=a%20b"}, nil},
		{"blanks in a header", call{path: "/Groups", body: "{}", before: func(r *http.Request) { r.Header.Set("X-Blank", "a   b") }}, nil},
		{"a header twice", call{path: "/Groups", body: "{}", before: func(r *http.Request) { r.Header["X-Twice"] = []string{"a", "b"} }}, nil},
		{"no blanks between parts", call{path: "/Groups", body: "{}"}, func(r *http.Request) {
			r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), ", ", ","))
		}},
		{"a body in chunks", call{path: "/Groups", body: "{}", before: func(r *http.Request) { r.ContentLength = -1 }}, nil},
		{"expect", call{path: "/Groups", body: "{}"}, func(r *http.Request) { r.Header.Set("Expect", "100-continue") }},
		{"another header afterwards", call{path: "/Groups", body: "{}"}, func(r *http.Request) { r.Header.Set("X-Amzn-Trace-Id", "Root=1") }},
		{"a handler that reads little of its body", call{path: "/console/api/delete", body: `{"ids":[],"start":1,"end":2,"dry_run":true}`}, nil},
	} {
		r := c.call.sign(t, s)
		if c.after != nil {
			c.after(r)
		}
		if status, code, body := send(t, r); status != 200 {
			t.Errorf("%s: %d %s %s", c.name, status, code, body)
		}
	}
	// Date instead of X-Amz-Date, as very old clients send.
	r := call{path: "/console/api/status"}.sign(t, s)
	r.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	r.Header.Del("X-Amz-Date")
	if status, code, body := send(t, r); status != 401 || !strings.Contains(body, "signature we calculated") {
		t.Errorf("%d %s %s", status, code, body) // it was read; the signature is for X-Amz-Date
	}
}

// Nobody who only sees a signed request can use it for another body, however it comes.
func TestSigV4_bodyIsNotSwapped(t *testing.T) {
	s, _ := startRequired(t)
	now := time.Now().Unix()
	document := func(name string) string {
		return fmt.Sprintf(`{"TraceSegmentDocuments":["{\"trace_id\":\"1-%08x-%024x\",\"id\":\"00000000000000aa\",\"name\":\"%s\",\"start_time\":%d,\"end_time\":%d}"]}`, now, 0xabc, name, now-1, now)
	}
	zipped := func(text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		return b.String()
	}
	swap := func(path, from, to string, change func(*http.Request)) (int, string) {
		r := call{path: path, body: from, before: change}.sign(t, s)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(to)), int64(len(to))
		status, _, body := send(t, r)
		return status, body
	}
	none := func(*http.Request) {}
	claim := func(body string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", sha256Hex(body)) }
	}
	for _, c := range []struct {
		path, from, to string
		change         func(*http.Request)
		status         int
	}{
		{"/TraceSegments", document("mine"), document("evil"), none, 403},
		{"/TraceSegments", document("mine"), document("evil"), claim(document("mine")), 403},
		{"/TraceSegments", document("mine"), document("mine") + " ", none, 403},
		{"/TraceSegments", zipped(document("mine")), zipped(document("evil")), func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 403},
		{"/CreateGroup", `{"GroupName":"mine"}`, `{"GroupName":"evil"}`, none, 403},
		{"/CreateGroup", `{"GroupName":"mine"}`, `{"GroupName":"evil"}`, claim(`{"GroupName":"mine"}`), 403},
		{"/console/api/delete", `{"ids":["a"],"dry_run":true}`, fmt.Sprintf(`{"ids":["1-%08x-%024x"]}`, now, 0xabc), none, 401},
		{"/console/api/delete", `{"ids":["a"],"dry_run":true}`, fmt.Sprintf(`{"ids":["1-%08x-%024x"]}  `, now, 0xabc), none, 401},
		{"/v1/traces", `{"resourceSpans":[]}`, `{ "resourceSpans":[]}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 401},
		// A body where none belongs.
		{"/console/api/status", "", "x", none, 413},
	} {
		if status, body := swap(c.path, c.from, c.to, c.change); status != c.status || !strings.Contains(body, "signature we calculated") && c.from != "" {
			t.Errorf("%s %.40q instead of %.40q: %d %s", c.path, c.to, c.from, status, body)
		}
	}
	_, _, groups := send(t, call{path: "/Groups", body: "{}"}.sign(t, s))
	_, _, traces := send(t, call{path: "/Traces", body: fmt.Sprintf(`{"TraceIds":["1-%08x-%024x"]}`, now, 0xabc)}.sign(t, s))
	if strings.Contains(groups, "evil") || strings.Contains(groups, "mine") || strings.Contains(traces, "evil") || strings.Contains(traces, "mine") {
		t.Errorf("something was done: %s %s", groups, traces)
	}
	// The status page shows refusals of segments, because senders often ignore answers.
	if report := status200(t, s, "/console/api/status"); strings.Count(report, `"reason":"Signature"`) < 3 {
		t.Errorf("refusals are not shown: %s", report)
	}
}

func status200(t *testing.T, s *inside.Server, path string) string {
	t.Helper()
	status, _, body := send(t, call{path: path}.sign(t, s))
	if status != 200 {
		t.Fatalf("%s: %d %s", path, status, body)
	}
	return body
}

// A compressed body that would become huge is not decompressed before its signature holds,
// and a document with deep nesting is not parsed.
func TestSigV4_bombs(t *testing.T) {
	s, _ := startRequired(t)
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	_, _ = w.Write(make([]byte, 100<<20))
	_ = w.Close()
	gzipped := func(r *http.Request) {
		r.Header.Set("Content-Encoding", "gzip")
		r.Header.Set("Content-Type", "application/x-protobuf")
	}
	for _, path := range []string{"/TraceSegments", "/v1/traces"} {
		for _, c := range []struct {
			key, want string
		}{{"AKIANOBODYNOBODYNOBO", "security token"}, {otherKey, "signature we calculated"}, {goodKey, "larger than"}} {
			r := call{path: path, body: bomb.String(), before: gzipped, key: c.key}.sign(t, s)
			if _, _, body := send(t, r); !strings.Contains(body, c.want) {
				t.Errorf("%s of %s: %.200s", path, c.key, body)
			}
		}
	}
	nested := strings.Repeat("[", 500_000)
	if _, code, _ := send(t, call{path: "/Groups", body: nested, key: otherKey}.sign(t, s)); code != "InvalidSignatureException" {
		t.Errorf("a nested document: %s", code)
	}
	if _, code, _ := send(t, call{path: "/Groups", body: nested}.sign(t, s)); code != "SerializationException" {
		t.Errorf("a nested document of a known sender: %s", code)
	}
}

// Requests that two readers could read in two ways.
func TestSigV4_smuggling(t *testing.T) {
	s, _ := startRequired(t)
	good := call{path: "/Groups", body: "{}"}.sign(t, s)
	auth, date := good.Header.Get("Authorization"), good.Header.Get("X-Amz-Date")
	raw := func(text string, pause bool) string {
		conn, err := net.Dial("tcp", s.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if pause {
			for i := range len(text) {
				if _, err := conn.Write([]byte{text[i]}); err != nil {
					return err.Error()
				}
			}
		} else if _, err := io.WriteString(conn, text); err != nil {
			return err.Error()
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return fmt.Sprintf("%d %s", res.StatusCode, body)
	}
	head := "Host: " + s.HTTP + "\r\nAuthorization: " + auth + "\r\nX-Amz-Date: " + date + "\r\n"
	for name, c := range map[string]struct{ text, want string }{
		"as it is":                {"POST /Groups HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", "200 "},
		"absolute target":         {"POST http://" + s.HTTP + "/Groups HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", "200 "},
		"two lengths":             {"POST /Groups HTTP/1.1\r\n" + head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", "400"},
		"length and chunks":       {"POST /Groups HTTP/1.1\r\n" + head + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{ }\r\n0\r\n\r\n", "403"},
		"unknown transfer coding": {"POST /Groups HTTP/1.1\r\n" + head + "Transfer-Encoding: xchunked\r\n\r\n{}", "501"},
		"a second authorization":  {"POST /Groups HTTP/1.1\r\n" + head + "authorization: " + auth + "\r\nContent-Length: 2\r\n\r\n{}", "403 {\"message\":\"There are 2 Authorization headers.\"}"},
		"a second date":           {"POST /Groups HTTP/1.1\r\n" + head + "x-amz-date: " + date + "\r\nContent-Length: 2\r\n\r\n{}", "403"},
		"a second host":           {"POST /Groups HTTP/1.1\r\n" + head + "Host: " + s.HTTP + "\r\nContent-Length: 2\r\n\r\n{}", "400"},
		"another host":            {"POST /Groups HTTP/1.1\r\n" + strings.Replace(head, s.HTTP, "localhost", 1) + "Content-Length: 2\r\n\r\n{}", "403"},
		"two slashes":             {"POST //Groups HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", "307"},
		"dot segments":            {"POST /x/../Groups HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", "307"},
		"encoded dots":            {"POST /x/%2e%2e/Groups HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", "404"},
		"encoded letter":          {"POST /%47roups HTTP/1.1\r\n" + head + "Content-Length: 2\r\n\r\n{}", "403"},
		"a large header":          {"POST /Groups HTTP/1.1\r\n" + head + "X-Large: " + strings.Repeat("x", 100<<10) + "\r\nContent-Length: 2\r\n\r\n{}", "431"},
		"a folded header":         {"POST /Groups HTTP/1.1\r\n" + strings.Replace(head, ", Signature", ",\r\n Signature", 1) + "Content-Length: 2\r\n\r\n{}", "200 "},
		"a forwarded identity":    {"POST /Groups HTTP/1.1\r\nHost: " + s.HTTP + "\r\nX-Forwarded-User: root\r\nX-Forwarded-For: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}", "403"},
		"nothing after expect":    {"POST /Groups HTTP/1.1\r\nHost: " + s.HTTP + "\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n", "403 {\"message\":\"Missing Authentication Token\"}"},
	} {
		if got := raw(c.text, false); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %.200s, want %s", name, got, c.want)
		}
	}
	if got := raw("POST /Groups HTTP/1.1\r\n"+head+"Content-Length: 2\r\n\r\n{}", true); !strings.HasPrefix(got, "200 ") {
		t.Errorf("one byte at a time: %s", got)
	}
}

// Failures are told in the words of each protocol, and differ from those of callers who
// are known.
func TestAuthn_wordsOfEachProtocol(t *testing.T) {
	s, _ := startRequired(t)
	post := func(at, typ, authorization string) (*http.Response, []byte) {
		r, err := http.NewRequest("POST", at, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", typ)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res, b
	}
	for _, at := range []string{s.HTTP, s.OTLP} {
		res, b := post("http://"+at+"/v1/traces", "application/json", "")
		if res.StatusCode != 401 || res.Header.Get("Www-Authenticate") != "Bearer" || string(b) != `{"code":16,"message":"Missing Authentication Token"}` && string(b) != `{"code":16, "message":"Missing Authentication Token"}` {
			t.Errorf("OTLP/JSON: %d %v %s", res.StatusCode, res.Header, b)
		}
		if res, _ := post("http://"+at+"/v1/traces", "application/x-protobuf", "Bearer fluoro_unknown"); res.StatusCode != 401 || res.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("OTLP/protobuf: %d %v", res.StatusCode, res.Header)
		}
		// The token is known, and limited to other actions.
		if res, b := post("http://"+at+"/v1/traces", "application/json", "Bearer "+writeToken); res.StatusCode != 200 {
			t.Errorf("OTLP with a token: %d %s", res.StatusCode, b)
		}
	}
	if res, b := post("http://"+s.HTTP+"/Groups", "application/json", "Bearer "+writeToken); res.StatusCode != 403 || res.Header.Get("X-Amzn-Errortype") != "AccessDeniedException" || !strings.Contains(string(b), "not authorized to perform: xray:GetGroups because the scopes") {
		t.Errorf("the API beyond the scopes: %d %v %s", res.StatusCode, res.Header, b)
	}
	if res, b := post("http://"+s.HTTP+"/Groups", "application/json", "bearer "+goodToken); res.StatusCode != 200 {
		t.Errorf("the API with a token: %d %s", res.StatusCode, b)
	}
	for token, code := range map[string]string{"fluoro_unknown": "UnrecognizedClientException", "fluoro_old": "ExpiredTokenException", "": "UnrecognizedClientException", strings.Repeat("x", 9000): "UnrecognizedClientException"} {
		if res, b := post("http://"+s.HTTP+"/Groups", "application/json", "Bearer "+token); res.StatusCode != 403 || res.Header.Get("X-Amzn-Errortype") != code {
			t.Errorf("the API with %.20q: %d %v %s", token, res.StatusCode, res.Header, b)
		}
	}
	for _, path := range []string{"/console/api/status", "/metrics", "/console/api/backup"} {
		res, err := http.Get("http://" + s.HTTP + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 401 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	for token, want := range map[string]codes.Code{"": codes.Unauthenticated, "Bearer fluoro_unknown": codes.Unauthenticated, "Bearer fluoro_old": codes.Unauthenticated, "Bearer " + writeToken: codes.OK,
		call{path: "/"}.sign(t, s).Header.Get("Authorization"): codes.Unauthenticated} {
		if err := export(t, s, token); status.Code(err) != want {
			t.Errorf("gRPC with %.30q: %v, want %v", token, err, want)
		}
	}
}

// export sends an empty request by gRPC.
func export(t *testing.T, s *inside.Server, authorization string) error {
	t.Helper()
	conn, err := grpc.NewClient(s.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := t.Context()
	if authorization != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", authorization)
	}
	_, err = coltrace.NewTraceServiceClient(conn).Export(ctx, &coltrace.ExportTraceServiceRequest{})
	return err
}
