package wire_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/fluoro-io/fluoro/test/harness"
)

// answerOf sends bytes and returns the status line and the rest of one answer. It closes
// nothing before it has the answer: attackers wait.
func answerOf(t *testing.T, addr, text string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(text, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, err.Error()
	}
	return res.StatusCode, string(b)
}

// requests are the rows of the matrix that an administrator may send over HTTP.
func (n *network) requests() (rows []row) {
	seen := map[string]bool{}
	for _, r := range matrix(n.t) {
		if r.method != "UDP" && !strings.HasSuffix(r.path, "TraceService/Export") && r.allowed[operator][0] == 'A' && r.allowed[operator][7] != 'X' && !seen[r.route()] {
			seen[r.route()] = true
			rows = append(rows, r)
		}
	}
	return rows
}

// Nothing of a request can be changed after it was signed, on any route: not its body, its
// path, its query, its method or its signed headers. No changed request has an effect.
func TestAttack_changedAfterSigning(t *testing.T) {
	n := startNetwork(t, "--audit", "on")
	admin := n.who[operator]['A']
	n.names = strings.NewReplacer("{me}", "swapped", "{document}", fmt.Sprintf("%q", allow("*")), "{trust}", fmt.Sprintf("%q", trustAnybody),
		"{trace}", n.ids["trace"], "{hidden}", n.ids["hidden"], "{group}", n.ids["group"], "{rule}", n.ids["rule"], "{job}", n.ids["job"], "{key}", n.ids["key"], "{token}", n.ids["token"],
		"{policy}", n.ids["policy"], "{provider}", n.ids["provider"], "{sink}", n.ids["sink"], "{start}", n.ids["start"], "{end}", n.ids["end"], "{role}", n.ids["role"])
	for _, r := range n.requests() {
		path, body := n.names.Replace(r.path), n.names.Replace(r.body)
		for name, change := range map[string]func(*http.Request){
			"body": func(q *http.Request) {
				q.Body, q.ContentLength = io.NopCloser(strings.NewReader(body+" ")), int64(len(body)+1)
			},
			"query":  func(q *http.Request) { q.URL.RawQuery += "&account=" + second },
			"header": func(q *http.Request) { q.Header.Set("Content-Type", "text/plain") },
			"host":   func(q *http.Request) { q.Host = "localhost:" + strings.Split(n.HTTP, ":")[1] },
			"date": func(q *http.Request) {
				q.Header.Set("X-Amz-Date", time.Now().Add(-time.Minute).UTC().Format("20060102T150405Z"))
			},
			"signature": func(q *http.Request) {
				a := q.Header.Get("Authorization")
				q.Header.Set("Authorization", a[:len(a)-1]+string("0123456789abcdef"[(strings.IndexByte("0123456789abcdef", a[len(a)-1])+1)%16]))
			},
		} {
			q := n.signedAs(admin, r.method, path, body)
			change(q)
			status, answer := n.do(q)
			early := status == http.StatusRequestEntityTooLarge && r.method == "GET" || status == http.StatusUnsupportedMediaType // before the body, which proves the signature, is read
			if status != http.StatusForbidden && status != http.StatusUnauthorized && !early {
				t.Errorf("%s %s with another %s: %d %.200s", r.method, path, name, status, answer)
			}
		}
	}
	// A body that is longer than what was signed: the part after it is not executed.
	q := n.signedAs(admin, "POST", "/api/iam/CreateUser", `{"UserName":"signed"}`)
	q.Body, q.ContentLength = io.NopCloser(strings.NewReader(`{"UserName":"swapped"}`)), -1
	if status, answer := n.do(q); status != http.StatusUnauthorized || !strings.Contains(answer, "signature we calculated") {
		t.Errorf("a swapped body in chunks: %d %s", status, answer)
	}
	users, _ := json.Marshal(n.ok(admin, "/api/iam/ListUsers", m{}))
	if strings.Contains(string(users), "swapped") || strings.Contains(string(users), `"signed"`) {
		t.Errorf("a changed request made a user: %s", users)
	}
}

// A recorded request is good for five minutes, for the one request that it is; and not
// any more when its key is disabled. Segments that come twice are there once.
func TestAttack_replay(t *testing.T) {
	n := startNetwork(t)
	admin, writer := n.who[operator]['A'], n.who[operator]['W']
	id := fmt.Sprintf("1-%08x-%024x", time.Now().Unix(), 0x4e)
	body, _ := json.Marshal(m{"TraceSegmentDocuments": []string{fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000f1","name":"once","start_time":%d,"end_time":%d}`, id, time.Now().Unix()-2, time.Now().Unix()-1)}})
	recorded := n.signedAs(writer, "POST", "/TraceSegments", string(body))
	replay := func() int {
		q := recorded.Clone(t.Context())
		q.Body = io.NopCloser(strings.NewReader(string(body)))
		status, _ := n.do(q)
		return status
	}
	for range 3 {
		if status := replay(); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	if answer, _ := json.Marshal(n.ok(admin, "/Traces", m{"TraceIds": []string{id}})); strings.Count(string(answer), "00000000000000f1") != 2 { // the id and the document
		t.Errorf("replayed segments: %s", answer)
	}
	for _, at := range []time.Duration{-6 * time.Minute, 6 * time.Minute} {
		q := n.signedAs(somebody{}, "POST", "/Groups", "{}")
		n.sign(q, admin, "{}", time.Now().Add(at))
		if status, answer := n.do(q); status != http.StatusForbidden || !strings.Contains(answer, "Signature ") {
			t.Errorf("%v: %d %s", at, status, answer)
		}
	}
	operate(t, n.Data, "keys", "disable", writer.key)
	if status := replay(); status != http.StatusForbidden {
		t.Errorf("a replay after the key was disabled: %d", status)
	}
}

// Other spellings of a path reach no route past its policy.
func TestAttack_paths(t *testing.T) {
	n := startNetwork(t)
	for _, r := range n.requests() {
		path, _, _ := strings.Cut(r.path, "?")
		last := path[len(path)-1]
		for _, spelling := range []string{
			"/" + path, path + "/", "/." + path, "/x/.." + path, "/%2e%2e" + path, "/healthz/.." + path, "/healthz/%2e%2e" + path, "/healthz;" + path, path + ";x", path + "%00", path + "%20", path + "#",
			strings.ToLower(path), strings.ToUpper(path), path[:len(path)-1] + fmt.Sprintf("%%%02x", last), path[:len(path)-1] + fmt.Sprintf("%%25%02x", last), strings.ReplaceAll(path, "/", "%2f"), strings.ReplaceAll(path, "/", `\`),
			"http://" + n.HTTP + path, "http://other.example.com" + path, "*",
		} {
			for _, method := range []string{r.method, "HEAD", "PUT", "get"} {
				status, answer := answerOf(t, n.HTTP, method+" "+spelling+" HTTP/1.1\r\nHost: "+n.HTTP+"\r\nX-HTTP-Method-Override: "+r.method+"\r\nX-Original-URL: "+path+"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				if (status == http.StatusOK || status == http.StatusNoContent) && !strings.Contains(answer, "<html") && answer != "" && !strings.Contains(answer, "ok") {
					t.Errorf("%s %s for nobody: %d %.200s", method, spelling, status, answer)
				}
				n.discreet(method+" "+spelling, spelling, answer, "zq", somebody{account: operator})
			}
		}
	}
}

// No route reads the body of nobody, or of a signature that is wrong: it answers before the
// body came, and takes no memory for the claim of its length.
func TestAttack_bodiesBeforeCredentials(t *testing.T) {
	n := startNetwork(t)
	for _, r := range n.requests() {
		if r.method != "POST" {
			continue
		}
		for _, credential := range []string{"", "Authorization: Bearer fluoro_nobody\r\n", "Authorization: AWS4-HMAC-SHA256 Credential=AKIAAAAAAAAAAAAAAAAA/20261129/us-east-1/xray/aws4_request, SignedHeaders=host, Signature=00\r\n"} {
			// The HTTP library reads up to 256 KB of a body before it answers, and throws it away.
			for _, length := range []string{"Content-Length: 60000000", "Content-Encoding: gzip\r\nContent-Length: 60000000", "Expect: 100-continue\r\nContent-Length: 2"} {
				began := time.Now()
				status, answer := answerOf(t, n.HTTP, "POST "+r.path+" HTTP/1.1\r\nHost: "+n.HTTP+"\r\nContent-Type: application/json\r\n"+credential+length+"\r\n\r\n")
				if route := r.route(); status != http.StatusUnauthorized && status != http.StatusForbidden || time.Since(began) > 2*time.Second {
					if route == "POST /" && credential == "" {
						continue // AssumeRoleWithWebIdentity is a request without credentials
					}
					t.Errorf("%s with %q and %q: %d after %v: %.200s", route, credential, length, status, time.Since(began), answer)
				}
			}
		}
	}
}

// A page of another origin reaches no route, whatever the browser sends along with it, and
// may read no answer.
func TestAttack_otherOrigins(t *testing.T) {
	n := startNetwork(t)
	admin := n.who[operator]['A']
	for _, r := range n.requests() {
		path, body := n.names.Replace(r.path), n.names.Replace(r.body)
		for _, origin := range []string{"https://evil.example.com", "null", "http://" + n.HTTP + ".evil.example.com", "http://127.0.0.1:1", "https://" + strings.Split(n.HTTP, ":")[0]} {
			for _, method := range []string{r.method, "OPTIONS"} {
				q := n.signedAs(somebody{}, method, path, body)
				q.Header.Set("Authorization", "Bearer "+admin.token)
				q.Header.Set("Origin", origin)
				q.Header.Set("Cookie", "session="+admin.token+"; __Host-fluoro="+admin.token)
				if method == "OPTIONS" {
					q.Header.Set("Access-Control-Request-Method", r.method)
				}
				res, err := http.DefaultClient.Do(q)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.Header.Get("Access-Control-Allow-Origin") != "" || res.StatusCode < 400 && !(r.path == "/v1/traces" && method == "POST") {
					t.Errorf("%s %s from a page of %s: %d, may be read by %q", method, path, origin, res.StatusCode, res.Header.Get("Access-Control-Allow-Origin"))
				}
			}
		}
		// A cookie alone proves nothing, not even from the own origin.
		q := n.signedAs(somebody{}, r.method, path, body)
		q.Header.Set("Cookie", "session="+admin.token+"; __Host-fluoro-session="+admin.token)
		if status, answer := n.do(q); status != http.StatusUnauthorized && status != http.StatusForbidden && r.path != "/" {
			t.Errorf("%s %s with a token as cookie: %d %.100s", r.method, path, status, answer)
		}
	}
}

// Headers that other servers trust change nothing: neither the account nor the rights.
func TestAttack_headers(t *testing.T) {
	n := startNetwork(t)
	viewer := n.who[second]['V']
	for _, header := range []string{"Fluoro-Account", "X-Test-Account", "X-Amz-Account-Id", "X-Forwarded-User", "X-Remote-User", "X-Amz-Security-Token-Account", "X-Fluoro-Account", "X-Original-Method"} {
		q := n.signedAs(somebody{}, "POST", "/Groups", "{}")
		q.Header.Set(header, operator)
		n.sign(q, viewer, "{}", time.Now())
		if status, answer := n.do(q); status != http.StatusOK || strings.Contains(answer, "zq") || !strings.Contains(answer, ":"+second+":group/Default") {
			t.Errorf("%s: %d %s", header, status, answer)
		}
		q = n.signedAs(somebody{}, "GET", "/console/api/backup", "")
		q.Header.Set(header, operator)
		n.sign(q, viewer, "", time.Now())
		if status, answer := n.do(q); status != http.StatusForbidden {
			t.Errorf("%s: a backup: %d %.100s", header, status, answer)
		}
	}
	for _, name := range []string{"evil.example.com", n.HTTP + ".evil.example.com", "127.0.0.1.evil.example.com", "evil.example.com#" + n.HTTP, "user@" + n.HTTP} {
		if status, answer := answerOf(t, n.HTTP, "GET /console/api/status HTTP/1.1\r\nHost: "+name+"\r\nAuthorization: Bearer "+n.who[operator]['A'].token+"\r\nConnection: close\r\n\r\n"); status < 400 {
			t.Errorf("host %s: %d %.100s", name, status, answer)
		}
	}
}

// What callers write is one line of the log and one record of the audit log, and cannot
// look like another one.
func TestAttack_logInjection(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		n := startNetwork(t, "--audit", "on", "--audit-ingest=true", "--log-format", format)
		const forged = "level=ERROR msg=forged"
		evil := "x\r\n2026-11-29T12:00:00Z " + forged + " \x1b[2J\u2028\u202e{\"forged\":1}\n"
		quoted, _ := json.Marshal(evil)
		body := string(quoted)
		admin := n.who[operator]['A']
		for _, r := range []struct{ path, body string }{
			{"/GetGroup", `{"GroupName":` + body + `}`}, {"/TraceSummaries", `{"StartTime":1,"EndTime":2,"FilterExpression":` + body + `}`}, {"/TraceSegments", `{"TraceSegmentDocuments":[` + body + `]}`},
			{"/api/iam/CreateUser", `{"UserName":` + body + `}`}, {"/api/scrub/PutRule", `{"Rule":{"Name":` + body + `,"Keys":["a"],"Action":"mask"}}`}, {"/api/hold/Add", `{"name":` + body + `,"reason":` + body + `,"traces":["` + n.ids["trace"] + `"]}`},
			{"/api/erasure/Create", `{"user":` + body + `,"reason":` + body + `,"dryRun":true}`}, {"/PutEncryptionConfig", `{"Type":"KMS","KeyId":` + body + `}`}, {"/api/findings/Get", `{"id":` + body + `}`},
		} {
			for _, who := range []somebody{admin, n.who[operator]['L'], {}} {
				q := n.signedAs(who, "POST", r.path, r.body)
				q.Header.Set("User-Agent", "x\t"+forged+"\u2028")
				n.do(q)
			}
		}
		for _, path := range []string{"/x%0d%0a" + forged[:11], "/console/api/trace?id=%0d%0alevel=ERROR", "/console/api/search?start=1&end=2&text=%0alevel=ERROR%1b[2J"} {
			n.do(n.signedAs(admin, "GET", path, ""))
		}
		answerOf(t, n.HTTP, "POST /Groups HTTP/1.1\r\nHost: "+n.HTTP+"\r\nAuthorization: AWS4-HMAC-SHA256 Credential=A\x0blevel=ERROR/1/2/3/4, SignedHeaders=a, Signature=b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		conn, err := net.Dial("udp", n.UDP)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "{\"format\":\"json\",\"version\":1}\n{\"trace_id\":%s}", quoted)
		conn.Close()
		n.Stop()
		for line := range strings.Lines(n.Log()) {
			if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "2026-11-29T12") || strings.IndexFunc(line, func(c rune) bool { return !unicode.IsPrint(c) && c != '\t' }) >= 0 {
				t.Errorf("a line of the %s log: %q", format, line)
			}
			if format == "json" && strings.HasPrefix(line, "{") && !json.Valid([]byte(line)) {
				t.Errorf("a line of the log is not JSON: %q", line)
			}
		}
		_, out, _ := runFluoro(t, "audit", "export", "--data", n.Data)
		for line := range strings.Lines(out) {
			var e event
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.EventName == "" || strings.ContainsAny(line[:len(line)-1], "\r\x1b\u2028") {
				t.Errorf("a record of the audit log: %v: %q", err, line)
			}
		}
		if code, out, errs := runFluoro(t, "audit", "verify", "--data", n.Data); code != 0 {
			t.Errorf("audit verify: %d %s %s", code, out, errs)
		}
		n.secrets(t)
	}
}

// secrets fails if a secret of somebody is in the log or in a file in the clear.
func (n *network) secrets(t *testing.T) {
	t.Helper()
	var all []string
	for _, list := range n.who {
		for _, s := range list {
			if s.key != "" {
				all = append(all, s.secret, s.token)
			}
		}
	}
	noSecrets(t, "the log", []byte(n.Log()), all...)
	err := filepath.WalkDir(n.Data, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		noSecrets(t, path, b, all...)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Ids of one principal's work are worth nothing to others: page tokens, findings, links,
// positions in the audit log, sessions.
func TestAttack_idsOfOthers(t *testing.T) {
	n := startNetwork(t, "--audit", "on", "--findings-learn", "1s", "--findings-every", "1s")
	admin, limited, other := n.who[operator]['A'], n.who[operator]['L'], n.who[second]['A']
	foreign := func(what string, who somebody, path string, body any) (int, string) {
		t.Helper()
		text, ok := body.(string)
		method := "GET"
		if !ok {
			b, _ := json.Marshal(body)
			text, method = string(b), "POST"
		}
		status, answer := n.do(n.signedAs(who, method, path, text))
		secret := "zq"
		if who.account == operator {
			secret = "zq-pay"
		}
		n.discreet(what, text, answer, secret, who)
		return status, answer
	}

	// A page token of the administrator.
	var docs []string
	for k := range 150 {
		docs = append(docs, fmt.Sprintf(`{"trace_id":"1-%08x-%024x","id":"%016x","name":"zq-pay","start_time":%d,"end_time":%d}`, n.at.Unix()-30, 0x1000+k, 0x1000+k, n.at.Unix()-30, n.at.Unix()-29))
	}
	for len(docs) > 0 {
		n.ok(admin, "/TraceSegments", m{"TraceSegmentDocuments": docs[:50]})
		docs = docs[50:]
	}
	ask := m{"StartTime": n.at.Unix() - 600, "EndTime": n.at.Unix() + 600}
	harness.Eventually(t, "there is a second page", func() bool {
		ask["NextToken"] = nil
		token, _ := n.ok(admin, "/TraceSummaries", ask)["NextToken"].(string)
		ask["NextToken"] = token
		return token != ""
	})
	for _, who := range []somebody{limited, other} {
		if status, answer := foreign("a page token", who, "/TraceSummaries", ask); status == http.StatusOK && strings.Contains(answer, `"Id":"1-`+fmt.Sprintf("%08x", n.at.Unix()-30)) {
			t.Errorf("a page token of the administrator, as %s: %s", who.name, answer)
		}
	}

	// A finding about a hidden service.
	began, finding := time.Now(), ""
	for k := 0; finding == "" && time.Since(began) < 20*time.Second; k++ {
		at := time.Now()
		n.ok(admin, "/TraceSegments", m{"TraceSegmentDocuments": []string{fmt.Sprintf(`{"trace_id":"1-%08x-%024x","id":"%016x","name":"zq-pay","start_time":%d,"end_time":%d,"subsegments":[{"id":"%016x","name":"zq-pay-%d","namespace":"remote","start_time":%d,"end_time":%d}]}`,
			at.Unix()-2, 0x2000+k, 0x2000+k, at.Unix()-2, at.Unix()-1, 0x3000+k, k, at.Unix()-2, at.Unix()-1)}})
		if list, _ := n.ok(admin, "/api/findings/List", m{})["findings"].([]any); len(list) > 0 {
			finding = at1(list[0], "id")
		}
		time.Sleep(200 * time.Millisecond)
	}
	if finding == "" {
		t.Fatal("there is no finding")
	}
	for _, who := range []somebody{limited, other} {
		for path, body := range map[string]m{"Get": {"id": finding}, "Decide": {"id": finding, "state": "dismissed"}} {
			if status, answer := foreign("a finding", who, "/api/findings/"+path, body); status != http.StatusNotFound {
				t.Errorf("findings/%s as %s: %d %s", path, who.name, status, answer)
			}
		}
		if _, answer := foreign("findings", who, "/api/findings/List", m{}); strings.Contains(answer, finding) {
			t.Errorf("findings as %s: %s", who.name, answer)
		}
	}

	// Records of the audit log of another account.
	for _, query := range []string{"token=5", "token=1000000", "account=" + operator, "account=*", "account=" + operator + "&token=50", "principal=zqa0", "trace=" + n.ids["hidden"]} {
		status, answer := foreign("audit records", other, "/console/api/audit?start=0&end=4000000000&limit=100&"+query, "")
		if strings.Contains(answer, `"accountId":"`+operator) || status != http.StatusOK && status != http.StatusForbidden && status != http.StatusBadRequest {
			t.Errorf("audit?%s in another account: %d %.300s", query, status, answer)
		}
	}

	// A link of another account, and the sink that it leads to.
	n.ok(admin, "/api/oam/PutSinkPolicy", m{"SinkIdentifier": n.ids["sink"], "Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + second + `"},"Action":"oam:CreateLink","Resource":"*","Condition":{"ForAllValues:StringEquals":{"oam:ResourceTypes":["AWS::XRay::Trace"]}}}]}`})
	link := at(n.ok(other, "/api/oam/CreateLink", m{"SinkIdentifier": n.ids["sink"], "LabelTemplate": "x", "ResourceTypes": []string{"AWS::XRay::Trace"}}), "Arn")
	for _, verb := range []string{"GetLink", "DeleteLink"} {
		for _, id := range []string{link, link[strings.LastIndex(link, "/")+1:]} {
			if status, answer := foreign("a link", admin, "/api/oam/"+verb, m{"Identifier": id}); status != http.StatusForbidden && status != http.StatusNotFound {
				t.Errorf("%s %s of another account: %d %s", verb, id, status, answer)
			}
		}
	}
	// The source account shows its traces; it sees nothing of the monitoring account.
	if _, answer := foreign("a monitoring account", other, "/Traces", m{"TraceIds": []string{n.ids["trace"], n.ids["hidden"]}}); !strings.Contains(answer, `"Traces":[]`) {
		t.Errorf("the source account reads the monitoring account: %s", answer)
	}
}

func at1(v any, name string) string { o, _ := v.(map[string]any); return fmt.Sprint(o[name]) }
