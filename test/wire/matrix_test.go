package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	serving "github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/test/harness"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// roles are the letters of the matrix, with a managed policy each. The policy of L is
// limitedPolicy, and X has no credentials.
var roles = []struct {
	letter byte
	policy string
}{
	{'A', "FluoroAdministrator"}, {'O', "FluoroOperator"}, {'V', "FluoroViewer"}, {'R', "AWSXrayReadOnlyAccess"}, {'W', "AWSXRayDaemonWriteAccess"}, {'S', "FluoroSecurityAuditor"},
	{'L', ""}, {'X', ""},
}

// limitedPolicy allows everything, but only for the segments of one service.
const limitedPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["xray:*","fluoro:*"],"Resource":"*","Condition":{"StringEquals":{"fluoro:Service":"front"}}}]}`

// somebody is a principal of a network with credentials; without a key it is nobody.
type somebody struct {
	account, name      string
	key, secret, token string // token: a bearer token
	session            string // of temporary credentials
}

// network is a server that requires credentials, with principals of two accounts.
type network struct {
	*harness.Server
	t     *testing.T
	names *strings.Replacer // of ids of the server's own account
	ids   map[string]string
	at    time.Time
	who   map[string]map[byte]somebody // by account and letter
	sent  map[string]string            // everything that an account sent
}

// signedAs makes a request as somebody. Without a body it has the length 0.
func (n *network) signedAs(who somebody, method, path, body string) *http.Request {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), method, n.URL(path), strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(body, "Action=") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if who.key != "" {
		n.sign(r, who, body, time.Now())
	}
	return r
}

func (n *network) sign(r *http.Request, who somebody, body string, at time.Time) {
	n.t.Helper()
	service := "xray"
	for _, route := range serving.Routes() {
		if prefix, _, _ := strings.Cut(route.Action, ":"); route.Path == r.URL.Path && route.Method == r.Method && (prefix == "iam" || prefix == "sts") {
			service = prefix
		}
	}
	if err := v4.NewSigner().SignHTTP(n.t.Context(), aws.Credentials{AccessKeyID: who.key, SecretAccessKey: who.secret, SessionToken: who.session}, r, sha256Hex(body), service, "us-east-1", at); err != nil {
		n.t.Fatal(err)
	}
}

// do makes a request and returns status and answer. The stream of events has no end, so
// its answer is empty.
func (n *network) do(r *http.Request) (int, string) {
	n.t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return res.StatusCode, ""
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// as makes a request as somebody; braces in path and body are replaced.
func (n *network) as(who somebody, method, path, body string) (int, string) {
	n.t.Helper()
	fill := func(text string) string { return strings.ReplaceAll(n.names.Replace(text), "{me}", who.name) }
	return n.do(n.signedAs(who, method, fill(path), fill(body)))
}

// ok makes a POST that must return 200, and decodes the answer.
func (n *network) ok(who somebody, path string, body any) map[string]any {
	n.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		n.t.Fatal(err)
	}
	code, answer := n.do(n.signedAs(who, http.MethodPost, path, string(b)))
	if code != http.StatusOK {
		n.t.Fatalf("%s: %d %s", path, code, answer)
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(answer), &v); err != nil {
		n.t.Fatalf("%s: %v: %s", path, err, answer)
	}
	return v
}

// at returns a text in an answer by its path of names.
func at(v map[string]any, names ...string) string {
	for _, name := range names[:len(names)-1] {
		v, _ = v[name].(map[string]any)
	}
	return fmt.Sprint(v[names[len(names)-1]])
}

// startNetwork runs a server that requires credentials, makes the principals of the
// matrix in its own account and in second, and data of every kind in its own account.
func startNetwork(t *testing.T, flags ...string) *network {
	n := &network{t: t, at: time.Now(), who: map[string]map[byte]somebody{}, ids: map[string]string{}, sent: map[string]string{}}
	n.Server = harness.Start(t, append([]string{"--auth", "required"}, flags...)...)
	for _, account := range []string{operator, second} {
		k := operate(t, n.Data, "keys", "create", "--user", "zqadmin", "--policy", "FluoroAdministrator", "--account", account)
		admin := somebody{account: account, name: "zqadmin", key: k["AccessKeyId"].(string), secret: k["SecretAccessKey"].(string)}
		n.who[account] = map[byte]somebody{}
		for _, r := range roles {
			n.who[account][r.letter] = n.somebody(admin, account, r.letter, r.policy)
		}
	}
	n.fill()
	return n
}

func (n *network) somebody(admin somebody, account string, letter byte, policy string) somebody {
	s := somebody{account: account, name: strings.ToLower(fmt.Sprintf("me%s%c", account[:3], letter))}
	if letter == 'X' {
		return s
	}
	user := "zq" + strings.ToLower(string(letter)) + account[:1]
	n.ok(admin, "/api/iam/CreateUser", m{"UserName": user})
	if policy != "" {
		n.ok(admin, "/api/iam/AttachUserPolicy", m{"UserName": user, "PolicyArn": policy})
	} else {
		n.ok(admin, "/api/iam/PutUserPolicy", m{"UserName": user, "PolicyName": "limited", "PolicyDocument": limitedPolicy})
	}
	key := n.ok(admin, "/api/iam/CreateAccessKey", m{"UserName": user})
	s.key, s.secret = at(key, "AccessKey", "AccessKeyId"), at(key, "AccessKey", "SecretAccessKey")
	s.token = at(n.ok(admin, "/api/iam/CreateToken", m{"UserName": user}), "Token", "Token")
	return s
}

// fill makes data of every kind in the server's own account. Its names have zq in them,
// so that a leak shows.
func (n *network) fill() {
	a := n.who[operator]['A']
	sec := n.at.Unix()
	id := func(k int) string { return fmt.Sprintf("1-%08x-%024x", sec-20, k) }
	n.ids["trace"], n.ids["hidden"] = id(1), id(2)
	segment := func(trace, id, parent, name string) string {
		return fmt.Sprintf(`{"trace_id":%q,"id":%q,%s"name":%q,"start_time":%d,"end_time":%d.5,"user":"%s-user","http":{"request":{"url":"http://%s/x"}},"annotations":{"%skey":"%s-value"}}`,
			trace, id, parent, name, sec-20, sec-20, name, name, name[:2], name)
	}
	n.ok(a, "/TraceSegments", m{"TraceSegmentDocuments": []string{
		segment(n.ids["trace"], "00000000000000a1", "", "front"), segment(n.ids["trace"], "00000000000000a2", `"parent_id":"00000000000000a1",`, "zq-pay"), segment(n.ids["hidden"], "00000000000000a3", "", "zq-pay"),
	}})
	n.ids["start"], n.ids["end"] = fmt.Sprint(sec-600), fmt.Sprint(sec+600)
	n.ids["group"] = at(n.ok(a, "/CreateGroup", m{"GroupName": "zqgroup", "FilterExpression": `annotation.zqkey = "x"`, "Tags": []m{{"Key": "zqtag", "Value": "x"}}}), "Group", "GroupARN")
	n.ids["rule"] = at(n.ok(a, "/CreateSamplingRule", m{"SamplingRule": m{"RuleName": "zqrule", "Priority": 7, "FixedRate": 0.5, "ReservoirSize": 10, "Host": "zqhost", "HTTPMethod": "*", "ResourceARN": "*", "ServiceName": "*", "ServiceType": "*", "URLPath": "*", "Version": 1}}), "SamplingRuleRecord", "SamplingRule", "RuleARN")
	n.ok(a, "/PutResourcePolicy", m{"PolicyName": "zqpolicy", "PolicyDocument": `{"Version":"2012-10-17","Statement":[{"Sid":"zqsid","Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"xray:PutTraceSegments","Resource":"*"}]}`})
	n.ok(a, "/api/scrub/PutRule", m{"Rule": m{"Name": "zqscrub", "Keys": []string{"zqscrubbed"}, "Action": "mask"}})
	n.ok(a, "/api/hold/Add", m{"name": "zqhold", "reason": "zqreason", "traces": []string{n.ids["hidden"]}})
	iam := func(verb string, body m) map[string]any { return n.ok(a, "/api/iam/"+verb, body) }
	iam("CreateUser", m{"UserName": "zquser", "Path": "/zqpath/", "Tags": []m{{"Key": "zqtag", "Value": "x"}}})
	iam("PutUserPolicy", m{"UserName": "zquser", "PolicyName": "zqinline", "PolicyDocument": allow("xray:GetGroups")})
	iam("CreateGroup", m{"GroupName": "zqpeople"})
	iam("AddUserToGroup", m{"GroupName": "zqpeople", "UserName": "zquser"})
	n.ids["role"] = at(iam("CreateRole", m{"RoleName": "zqrole", "Description": "zqdescription", "AssumeRolePolicyDocument": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"sts:AssumeRole"}]}`}), "Role", "Arn")
	n.ids["policy"] = at(iam("CreatePolicy", m{"PolicyName": "zqmanaged", "PolicyDocument": allow("xray:Get*"), "Description": "zqdescription"}), "Policy", "Arn")
	n.ids["key"] = at(iam("CreateAccessKey", m{"UserName": "zquser"}), "AccessKey", "AccessKeyId")
	n.ids["token"] = at(iam("CreateToken", m{"UserName": "zquser", "Description": "zqtoken"}), "Token", "TokenId")
	n.ids["provider"] = at(iam("CreateOpenIDConnectProvider", m{"Url": "https://zqissuer.example.com", "ClientIDList": []string{"zqclient"}}), "OpenIDConnectProviderArn")
	n.ids["sink"] = at(n.ok(a, "/api/oam/CreateSink", m{"Name": "zqsink"}), "Arn")
	n.ids["job"] = at(n.ok(a, "/StartTraceRetrieval", m{"StartTime": sec - 600, "EndTime": sec + 600, "TraceIds": []string{n.ids["trace"], n.ids["hidden"]}}), "RetrievalToken")
	harness.Eventually(n.t, "the job ends", func() bool {
		return at(n.ok(a, "/ListRetrievedTraces", m{"RetrievalToken": n.ids["job"]}), "RetrievalStatus") == "COMPLETE"
	})
	quoted := func(text string) string { b, _ := json.Marshal(text); return string(b) }
	pairs := []string{"{document}", quoted(allow("xray:GetGroups")), "{trust}", quoted(trustAnybody)}
	for name, value := range n.ids {
		pairs = append(pairs, "{"+name+"}", value)
	}
	n.names = strings.NewReplacer(pairs...)
}

// row is a line of the matrix.
type row struct {
	line                int
	method, path        string
	allowed             map[string]string // letters by account
	own, other, limited int               // statuses of those who may
	body                string
}

// matrix reads testdata/matrix.txt.
func matrix(t *testing.T) (rows []row) {
	text, err := os.ReadFile("testdata/matrix.txt")
	if err != nil {
		t.Fatal(err)
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if line = strings.TrimSuffix(line, "\n"); line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, " | ", 5)
		if len(f) == 4 {
			f[3] = strings.TrimSuffix(f[3], " |")
			f = append(f, "")
		}
		for i := 1; i < 3 && len(f) == 5; i++ {
			if f[i] == "=" {
				f[i] = f[1]
			}
			if f[i] == "~" {
				f[i] = strings.Repeat("~", len(roles))
			}
		}
		if len(f) != 5 || len(f[1]) != len(roles) || len(f[2]) != len(roles) {
			t.Fatalf("line %d: want ROUTE | own | other | status | request: %s", number, line)
		}
		r := row{line: number, allowed: map[string]string{operator: f[1], second: f[2]}, body: f[4]}
		r.method, r.path, _ = strings.Cut(f[0], " ")
		statuses, limited, _ := strings.Cut(f[3], ",")
		own, other, _ := strings.Cut(statuses, "/")
		for _, s := range []struct {
			text string
			to   *int
			or   *int
		}{{own, &r.own, nil}, {other, &r.other, &r.own}, {limited, &r.limited, &r.own}} {
			if s.text == "" && s.or != nil {
				*s.to = *s.or
			} else if _, err := fmt.Sscan(s.text, s.to); err != nil {
				t.Fatalf("line %d: status %q: %v", number, s.text, err)
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// route finds the row of the route table for a request, by method and path.
func (r *row) route() string {
	path, _, _ := strings.Cut(r.path, "?")
	return strings.TrimSpace(r.method + " " + path)
}

// want returns the status that a principal expects; -1: 401 or 403.
func (r *row) want(account string, letter byte) int {
	switch {
	case !strings.Contains(r.allowed[account], string(letter)):
		if letter == 'X' {
			return -1
		}
		if r.route() == "GET /container-credentials" { // it takes only a token of its own
			return http.StatusUnauthorized
		}
		return http.StatusForbidden
	case account == second:
		return r.other
	case letter == 'L':
		return r.limited
	}
	return r.own
}

// TestMatrix makes every request of the matrix as everybody.
func TestMatrix(t *testing.T) {
	n := startNetwork(t, "--audit", "on", "--encryption", "local")
	covered := map[string]bool{}
	for _, r := range matrix(t) {
		covered[r.route()] = true
		for _, account := range []string{second, operator} {
			for i, role := range roles {
				letter := r.allowed[account][i]
				if letter != '-' && letter != '~' && letter != role.letter {
					t.Fatalf("line %d: %q is not at its place", r.line, letter)
				}
				if letter == '~' || role.letter == 'X' && account == second { // nobody is in no account
					continue
				}
				n.visit(r, n.who[account][role.letter], role.letter)
			}
		}
	}
	for _, route := range serving.Routes() {
		if name := strings.TrimSpace(route.Method + " " + route.Path); !covered[name] {
			t.Errorf("the matrix has no row for %s: say in testdata/matrix.txt who may use it", name)
		}
	}
}

// visit makes one request and checks the answer.
func (n *network) visit(r row, who somebody, letter byte) {
	n.t.Helper()
	want := r.want(who.account, letter)
	var got int
	var answer string
	switch {
	case r.method == "UDP":
		if letter != 'X' {
			return
		}
		got = n.sendDatagram()
	case strings.HasSuffix(r.path, "TraceService/Export"):
		got = n.exportAs(who)
	default:
		got, answer = n.as(who, r.method, r.path, r.body)
	}
	if got != want && !(want == -1 && (got == http.StatusUnauthorized || got == http.StatusForbidden)) {
		n.t.Errorf("line %d: %s %s as %c of %s: %d, want %d: %.300s", r.line, r.method, r.path, letter, who.account, got, want, answer)
	}
	sent := n.names.Replace(r.path + r.body)
	if n.sent[who.account] += sent; r.method == "GET" && strings.HasPrefix(r.path, "/console/api/audit") {
		sent = n.sent[who.account] // it shows the requests of the account
	}
	if what := fmt.Sprintf("line %d: %s %s as %c of %s", r.line, r.method, r.path, letter, who.account); who.account == second || letter == 'X' {
		n.discreet(what, sent, answer, "zq", who)
	} else if letter == 'L' {
		n.discreet(what, sent, answer, "zq-pay", who)
		n.discreet(what, sent, answer, "zqkey", who)
	}
}

// discreet fails if an answer contains a word with a secret beginning that is not in the
// request. Principals may see their own names.
func (n *network) discreet(what, sent, answer, secret string, who somebody) {
	n.t.Helper()
	for text := answer; ; {
		i := strings.Index(text, secret)
		if i < 0 {
			return
		}
		word := text[i:]
		if end := strings.IndexFunc(word, func(c rune) bool { return c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') }); end > 0 {
			word = word[:end]
		}
		if own := strings.HasSuffix(word, who.account[:1]) && len(word) == 4 || word == "zqadmin"; !own && !strings.Contains(sent, word) {
			n.t.Errorf("%s shows %q: %.400s", what, word, answer)
			return
		}
		text = text[i+len(secret):]
	}
}

// sendDatagram sends a document and waits until the own account has it.
func (n *network) sendDatagram() int {
	n.t.Helper()
	conn, err := net.Dial("udp", n.UDP)
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	id := fmt.Sprintf("1-%08x-%024x", n.at.Unix()-10, 0xda7a)
	if _, err := fmt.Fprintf(conn, "{\"format\":\"json\",\"version\":1}\n"+`{"trace_id":%q,"id":"00000000000000aa","name":"zq-udp","start_time":%d,"end_time":%d}`, id, n.at.Unix()-10, n.at.Unix()-9); err != nil {
		n.t.Fatal(err)
	}
	has := func(account string) bool {
		b, _ := json.Marshal(n.ok(n.who[account]['A'], "/Traces", m{"TraceIds": []string{id}}))
		return bytes.Contains(b, []byte("zq-udp"))
	}
	harness.Eventually(n.t, "the datagram is stored", func() bool { return has(operator) })
	if has(second) {
		n.t.Error("another account has the datagram")
	}
	return http.StatusOK
}

// exportAs sends spans by gRPC with a bearer token; its codes become those of HTTP.
func (n *network) exportAs(who somebody) int {
	n.t.Helper()
	conn, err := grpc.NewClient(n.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	ctx := context.Background()
	if who.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+who.token)
	}
	_, err = coltrace.NewTraceServiceClient(conn).Export(ctx, &coltrace.ExportTraceServiceRequest{})
	switch code := status.Code(err); code {
	case codes.OK:
		return http.StatusOK
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	default:
		n.t.Fatal(err)
		return 0
	}
}
