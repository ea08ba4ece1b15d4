package wire_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// provider goes to the identity provider's page as a browser does, and returns the
// address to which it leads back.
func provider(t *testing.T, location string) string {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(location)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.Header.Get("Location")
}

// pathOf returns path and query of a URL.
func pathOf(t *testing.T, location string) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		t.Fatalf("location %q: %v", location, err)
	}
	return u.RequestURI()
}

// A person of a real identity provider gets the role of the first rule that fits.
func TestLogin_oidc(t *testing.T) {
	issuer := harness.Issuer(t)
	s := harness.Start(t, "--auth", "required", "--oidc-issuer", issuer, "--oidc-client-id", "fluoro", "--oidc-roles", "groups:nobody=AdministratorAccess,sub:johndoe=FluoroViewer")
	if strings.Contains(s.Log(), "/#/setup") {
		t.Error("there is a setup link although the identity provider signs people in")
	}
	b := newBrowser(t, s)
	res, _ := b.try("GET", "/login/oidc?to="+url.QueryEscape("#/traces?filter=x"), nil)
	location := res.Header.Get("Location")
	q, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, issuer) {
		t.Fatalf("%d %q %v", res.StatusCode, location, err)
	}
	for name, want := range map[string]string{"response_type": "code", "code_challenge_method": "S256", "client_id": "fluoro", "redirect_uri": s.URL("/login/oidc/callback")} {
		if got := q.Query().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Query().Get(name)) < 22 {
			t.Errorf("%s is %q", name, q.Query().Get(name))
		}
	}
	back := pathOf(t, provider(t, location))
	stranger := newBrowser(t, s) // who got the link of somebody else's login
	if res, _ := stranger.try("GET", back, nil); !strings.Contains(res.Header.Get("Location"), "problem=lost") || stranger.cookie() != "" {
		t.Errorf("another browser: %d %q", res.StatusCode, res.Header.Get("Location"))
	}
	res, text := b.try("GET", back, nil)
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/#/traces?filter=x" {
		t.Fatalf("%d %q %s\n%s", res.StatusCode, res.Header.Get("Location"), text, s.Log())
	}
	who := b.session()
	if who["arn"] != "arn:aws:sts::000000000000:assumed-role/console-FluoroViewer/johndoe" || who["type"] != "AssumedRole" {
		t.Errorf("session %v", who)
	}
	b.must(200, "POST", "/TraceSummaries", m{"StartTime": 1, "EndTime": 2})
	b.must(403, "POST", "/api/iam/CreateUser", m{"UserName": "eve"})
	if res, _ := b.try("GET", back, nil); !strings.Contains(res.Header.Get("Location"), "problem=") {
		t.Errorf("the same answer again: %q", res.Header.Get("Location"))
	}
	operate(t, s.Data, "roles", "revoke", "console-FluoroViewer")
	b.must(401, "GET", "/console/api/status", nil)
}

// Answers that do not belong to the login that the browser began.
func TestLogin_oidcForged(t *testing.T) {
	issuer := harness.Issuer(t)
	s := harness.Start(t, "--auth", "required", "--oidc-issuer", issuer, "--oidc-client-id", "fluoro", "--oidc-roles", "sub:*=FluoroViewer,groups:x=arn:aws:iam::000000000000:role/missing")
	begin := func() (b *browser, back *url.URL) {
		b = newBrowser(t, s)
		res, _ := b.try("GET", "/login/oidc?to=https://evil.example/", nil)
		back, err := url.Parse(provider(t, res.Header.Get("Location")))
		if err != nil {
			t.Fatal(err)
		}
		return b, back
	}
	for name, change := range map[string]func(q url.Values){
		"another state":   func(q url.Values) { q.Set("state", "x") },
		"no state":        func(q url.Values) { q.Del("state") },
		"two states":      func(q url.Values) { q.Add("state", q.Get("state")) },
		"an unknown code": func(q url.Values) { q.Set("code", "x") },
		"no code":         func(q url.Values) { q.Del("code") },
		"two codes":       func(q url.Values) { q.Add("code", "x") },
		"an error":        func(q url.Values) { q.Set("error", "access_denied\r\nSet-Cookie: x=y") },
		"another issuer":  func(q url.Values) { q.Set("iss", "https://evil.example") },
	} {
		b, back := begin()
		q := back.Query()
		change(q)
		res, text := b.try("GET", back.Path+"?"+q.Encode(), nil)
		if to := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/#/login?problem=") || b.cookie() != "" {
			t.Errorf("%s: %d %q %s", name, res.StatusCode, to, text)
		}
	}
	b, back := begin()
	if res, _ := b.try("GET", back.RequestURI(), nil); res.Header.Get("Location") != "/#/" {
		t.Errorf("an open redirect: %q", res.Header.Get("Location"))
	}
}
