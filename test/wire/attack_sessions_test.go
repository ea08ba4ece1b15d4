package wire_test

import (
	"net/http"
	"strings"
	"testing"
)

// The cookie of an administrator's session is worth nothing on any route to a page of
// another origin, or without the token of the session where a request changes something.
// It does not become a session of another account, and its id is worth nothing there.
func TestAttack_sessionsOfOthers(t *testing.T) {
	n := startNetwork(t)
	if out, err := setPassword(t, n.Data, "zqadmin", "correct horse battery"); err != nil {
		t.Fatal(out, err)
	}
	b := newBrowser(t, n.Server)
	id := b.login("zqadmin", "correct horse battery")["session"].(map[string]any)["id"].(string)
	cookie, token := b.cookie(), b.token
	ask := func(r row, change func(*http.Request)) (int, string) {
		q := n.signedAs(somebody{}, r.method, n.names.Replace(r.path), strings.ReplaceAll(n.names.Replace(r.body), "{me}", "stolen"))
		q.AddCookie(&http.Cookie{Name: "fluoro-session", Value: cookie})
		q.Header.Set("Fluoro-Token", token)
		change(q)
		return n.do(q)
	}
	if status, answer := ask(row{method: "POST", path: "/Groups", body: "{}"}, func(*http.Request) {}); status != http.StatusOK || !strings.Contains(answer, "zqgroup") {
		t.Fatalf("the unchanged session: %d %s", status, answer)
	}
	for _, r := range n.requests() {
		for name, change := range map[string]func(*http.Request){
			"another origin":   func(q *http.Request) { q.Header.Set("Origin", "https://evil.example.com") },
			"a sandboxed page": func(q *http.Request) { q.Header.Set("Origin", "null") },
			"another account": func(q *http.Request) {
				q.Header.Set("Cookie", "fluoro-session="+strings.Replace(cookie, operator, second, 1))
			},
			"a cut cookie":       func(q *http.Request) { q.Header.Set("Cookie", "fluoro-session="+cookie[:len(cookie)-2]) },
			"another cookie too": func(q *http.Request) { q.AddCookie(&http.Cookie{Name: "fluoro-session", Value: "x"}) },
		} {
			if status, answer := ask(r, change); status != http.StatusUnauthorized && status != http.StatusForbidden && r.path != "/" {
				t.Errorf("%s %s with a session of %s: %d %.200s", r.method, r.path, name, status, answer)
			}
		}
		if r.method == "GET" || r.path == "/" {
			continue
		}
		if status, answer := ask(r, func(q *http.Request) { q.Header.Del("Fluoro-Token") }); status != http.StatusUnauthorized && status != http.StatusForbidden {
			t.Errorf("%s without the token of the session: %d %.200s", r.path, status, answer)
		}
	}
	if status, answer := n.as(n.who[second]['A'], "POST", "/console/api/sessions/revoke", `{"id":"`+id+`"}`); status != http.StatusNotFound {
		t.Errorf("the session is ended from another account: %d %s", status, answer)
	}
	if _, answer := n.as(n.who[second]['A'], "GET", "/console/api/sessions?all=true", ""); strings.Contains(answer, id) {
		t.Errorf("another account sees the session: %s", answer)
	}
	b.session() // it still works for its owner
	users := b.must(200, "POST", "/api/iam/ListUsers", m{})
	for _, u := range users["Users"].([]any) {
		if at1(u, "UserName") == "stolen" {
			t.Error("a request with a stolen session made a user")
		}
	}
}
