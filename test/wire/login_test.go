package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// browser is a client with cookies that sends what the console's pages send.
type browser struct {
	t      *testing.T
	base   string
	client *http.Client
	token  string // of the session
	header http.Header
}

func newBrowser(t *testing.T, s *harness.Server) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, base: s.URL(""), header: http.Header{}, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// try sends a request; nil is no body.
func (b *browser) try(method, path string, body any) (*http.Response, string) {
	b.t.Helper()
	var in io.Reader
	if body != nil {
		j, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		in = bytes.NewReader(j)
	}
	r, err := http.NewRequest(method, b.base+path, in)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if b.token != "" {
		r.Header.Set("Fluoro-Token", b.token)
	}
	for name, v := range b.header {
		r.Header[name] = v
	}
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res, string(out)
}

// must sends a request that must have a status, and decodes the answer.
func (b *browser) must(status int, method, path string, body any) map[string]any {
	b.t.Helper()
	res, text := b.try(method, path, body)
	if res.StatusCode != status {
		b.t.Fatalf("%s %s: %d %s, want %d", method, path, res.StatusCode, text, status)
	}
	var out map[string]any
	_ = json.Unmarshal([]byte(text), &out)
	return out
}

// login signs in with a password and reads the session.
func (b *browser) login(user, password string) map[string]any {
	b.t.Helper()
	b.must(200, "POST", "/console/api/login", m{"user": user, "password": password})
	return b.session()
}

func (b *browser) session() map[string]any {
	b.t.Helper()
	s := b.must(200, "GET", "/console/api/session", nil)
	b.token, _ = s["token"].(string)
	return s
}

func (b *browser) cookie() string {
	u, _ := url.Parse(b.base)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == "fluoro-session" {
			return c.Value
		}
	}
	return ""
}

// setPassword runs `fluoro users password` with the password on standard input.
func setPassword(t *testing.T, data, user, password string, flags ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), append([]string{"users", "password", user, "--data", data}, flags...)...)
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var setupLink = regexp.MustCompile(`(http://\S+)/#/setup\?token=(\S+)`)

// The first start prints a link that makes the first administrator, once. The session can
// use the X-Ray API, and ends with the logout.
func TestLogin_setupLink(t *testing.T) {
	s := harness.Start(t, "--auth", "required")
	harness.Eventually(t, "the server has greeted", func() bool { return strings.Contains(s.Log(), "Read them with") })
	link := setupLink.FindStringSubmatch(s.Log())
	if link == nil || link[1] != s.URL("") {
		t.Fatalf("no setup link: %s", s.Log())
	}
	b := newBrowser(t, s)
	b.must(401, "GET", "/console/api/session", nil)
	b.must(200, "POST", "/console/api/setup", m{"token": link[2], "check": true})
	for name, in := range map[string]m{
		"a wrong token":    {"token": link[2] + "x", "user": "root", "password": "correct horse battery"},
		"a short password": {"token": link[2], "user": "root", "password": "short"},
		"a bad name":       {"token": link[2], "user": "no/slash", "password": "correct horse battery"},
	} {
		if res, text := b.try("POST", "/console/api/setup", in); res.StatusCode < 400 || res.StatusCode >= 500 || b.cookie() != "" {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
	}
	b.must(200, "POST", "/console/api/setup", m{"token": link[2], "user": "root", "password": "correct horse battery"})
	who := b.session()
	if who["arn"] != "arn:aws:iam::000000000000:user/root" || who["proof"] != "console-session" || !slices.Contains(who["actions"].([]any), any("iam:CreateUser")) {
		t.Errorf("session %v", who)
	}
	b.must(200, "POST", "/TraceSummaries", m{"StartTime": 1, "EndTime": 2})
	b.must(200, "GET", "/console/api/status", nil)
	other := newBrowser(t, s)
	other.must(403, "POST", "/console/api/setup", m{"token": link[2], "user": "eve", "password": "correct horse battery"})
	stolen := b.cookie()
	b.must(200, "POST", "/console/api/logout", m{})
	b.must(401, "GET", "/console/api/session", nil)
	other.header.Set("Cookie", "fluoro-session="+stolen)
	other.must(401, "GET", "/console/api/status", nil)
	s.Stop()
	s.Restart("--auth", "required")
	harness.Eventually(t, "the server has greeted", func() bool { return strings.Contains(s.Log(), "Read them with") })
	if setupLink.MatchString(s.Log()) {
		t.Error("there is a setup link although somebody can sign in")
	}
	b.login("root", "correct horse battery")
}

// A session has exactly the rights of its user.
func TestLogin_rightsOfTheUser(t *testing.T) {
	s := harness.Start(t, "--auth", "required")
	operate(t, s.Data, "users", "create", "alice")
	operate(t, s.Data, "users", "attach", "alice", "FluoroViewer")
	if out, err := setPassword(t, s.Data, "alice", "correct horse battery"); err != nil || !strings.Contains(out, "new password") {
		t.Fatal(out, err)
	}
	if out, err := setPassword(t, s.Data, "alice", "short"); err == nil || !strings.Contains(out, "12 characters") {
		t.Error(out, err)
	}
	b := newBrowser(t, s)
	who := b.login("alice", "correct horse battery")
	actions := fmt.Sprint(who["actions"])
	if !strings.Contains(actions, "xray:GetTraceSummaries") || strings.Contains(actions, "iam:CreateUser") || strings.Contains(actions, "fluoro:DeleteTraces") {
		t.Errorf("actions %v", actions)
	}
	b.must(200, "POST", "/TraceSummaries", m{"StartTime": 1, "EndTime": 2})
	b.must(403, "POST", "/console/api/delete", m{"ids": []string{sharedID}})
	b.must(403, "POST", "/api/iam/CreateUser", m{"UserName": "eve"})
	b.must(403, "GET", "/console/api/sessions?all=true", nil)
	if _, err := tryOperate(t, s.Data, "users", "detach", "alice", "FluoroViewer"); err != nil {
		t.Fatal(err)
	}
	b.must(403, "POST", "/TraceSummaries", m{"StartTime": 1, "EndTime": 2})
	if _, err := tryOperate(t, s.Data, "users", "delete", "alice"); err != nil {
		t.Fatal(err)
	}
	if res, text := b.try("POST", "/TraceSummaries", m{"StartTime": 1, "EndTime": 2}); !strings.HasPrefix(res.Header.Get("X-Amzn-Errortype"), "ExpiredTokenException") {
		t.Errorf("a session of a deleted user: %d %s", res.StatusCode, text)
	}
	operate(t, s.Data, "users", "create", "alice") // another one
	newBrowser(t, s).must(401, "POST", "/console/api/login", m{"user": "alice", "password": "correct horse battery"})
}

// Requests that carry a cookie but not the proof that a page of the console made them.
func TestLogin_crossSite(t *testing.T) {
	s := harness.Start(t, "--auth", "required")
	operate(t, s.Data, "users", "create", "alice")
	operate(t, s.Data, "users", "attach", "alice", "AdministratorAccess")
	if out, err := setPassword(t, s.Data, "alice", "correct horse battery"); err != nil {
		t.Fatal(out, err)
	}
	b := newBrowser(t, s)
	b.login("alice", "correct horse battery")
	good := b.token
	for name, change := range map[string]func(){
		"without the token":              func() { b.token = "" },
		"with the token of nobody":       func() { b.token = strings.Repeat("A", len(good)) },
		"of another origin":              func() { b.header.Set("Origin", "https://evil.example") },
		"of another site, by fetch":      func() { b.header.Set("Sec-Fetch-Site", "cross-site") },
		"of the same site, other origin": func() { b.header.Set("Sec-Fetch-Site", "same-site") },
		"of a sandboxed frame":           func() { b.header.Set("Origin", "null") },
	} {
		b.token, b.header = good, http.Header{}
		change()
		if res, text := b.try("POST", "/api/iam/CreateUser", m{"UserName": "eve"}); res.StatusCode != 401 && res.StatusCode != 403 {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
	}
	b.token, b.header = good, http.Header{}
	b.must(404, "POST", "/api/iam/GetUser", m{"UserName": "eve"})
	b.header.Set("Origin", s.URL(""))
	b.header.Set("Sec-Fetch-Site", "same-origin")
	b.must(200, "POST", "/api/iam/CreateUser", m{"UserName": "bob"})
	b.header = http.Header{"Sec-Fetch-Site": {"cross-site"}} // someone else's page signs the victim in
	b.must(403, "POST", "/console/api/login", m{"user": "alice", "password": "correct horse battery"})
	b.header = http.Header{"Content-Type": {"text/plain"}}
	b.must(415, "POST", "/console/api/login", m{"user": "alice", "password": "correct horse battery"})
	res, _ := b.try("GET", "/", nil)
	for name, want := range map[string]string{"Content-Security-Policy": "frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Permissions-Policy": "camera=()"} {
		if got := res.Header.Get(name); !strings.Contains(got, want) || strings.Contains(got, "unsafe") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Sessions are listed and ended: own ones always, those of others with permission.
func TestLogin_sessions(t *testing.T) {
	s := harness.Start(t, "--auth", "required")
	for user, policy := range map[string]string{"alice": "FluoroViewer", "boss": "FluoroAdministrator"} {
		operate(t, s.Data, "users", "create", user)
		operate(t, s.Data, "users", "attach", user, policy)
		if out, err := setPassword(t, s.Data, user, "correct horse battery"); err != nil {
			t.Fatal(out, err)
		}
	}
	one, two, boss := newBrowser(t, s), newBrowser(t, s), newBrowser(t, s)
	one.login("alice", "correct horse battery")
	two.login("alice", "correct horse battery")
	mine := boss.login("boss", "correct horse battery")["session"].(map[string]any)["id"]
	list := one.must(200, "GET", "/console/api/sessions", nil)["sessions"].([]any)
	if len(list) != 2 {
		t.Fatalf("alice sees %v", list)
	}
	if all := boss.must(200, "GET", "/console/api/sessions?all=true", nil)["sessions"].([]any); len(all) != 3 {
		t.Errorf("the administrator sees %v", all)
	}
	one.must(403, "POST", "/console/api/sessions/revoke", m{"id": mine})
	boss.session()
	one.must(200, "POST", "/console/api/sessions/revoke", m{"others": true})
	two.must(401, "GET", "/console/api/session", nil)
	one.session()
	boss.must(200, "POST", "/console/api/sessions/revoke", m{"principal": "arn:aws:iam::000000000000:user/alice"})
	one.must(401, "GET", "/console/api/session", nil)
	boss.must(403, "POST", "/console/api/password", m{"old": "wrong", "new": "another good password"})
	boss.must(200, "POST", "/console/api/password", m{"old": "correct horse battery", "new": "another good password"})
	boss.session()
	newBrowser(t, s).must(401, "POST", "/console/api/login", m{"user": "boss", "password": "correct horse battery"})
}

// Who guesses is slowed down, and learns nothing from the answers.
func TestLogin_guessing(t *testing.T) {
	s := harness.Start(t, "--auth", "required")
	operate(t, s.Data, "users", "create", "alice")
	operate(t, s.Data, "users", "create", "nopassword")
	if out, err := setPassword(t, s.Data, "alice", "correct horse battery"); err != nil {
		t.Fatal(out, err)
	}
	b := newBrowser(t, s)
	var texts []string
	for _, user := range []string{"alice", "nobody", "nopassword", "", "../../etc", strings.Repeat("x", 5000)} {
		res, text := b.try("POST", "/console/api/login", m{"user": user, "password": "a wrong password"})
		if res.StatusCode != 401 {
			t.Errorf("%.20q: %d %s", user, res.StatusCode, text)
		}
		texts = append(texts, text)
	}
	if len(slices.Compact(texts)) != 1 {
		t.Errorf("the answers differ: %q", texts)
	}
	b.must(401, "POST", "/console/api/login", m{"user": "alice", "password": "correct horse battery", "account": "999999999999"})
	for range 20 {
		if res, _ := b.try("POST", "/console/api/login", m{"user": "alice", "password": "a wrong password"}); res.StatusCode == http.StatusTooManyRequests {
			if res.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if strings.Contains(s.Log(), "a wrong password") {
				t.Error("the log has a password")
			}
			return
		}
	}
	t.Error("nothing slows guessing down")
}
