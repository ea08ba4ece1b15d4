package login

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const acc trace.Account = "111122223333"

const good = "correct horse battery"

var desk = From{Source: "203.0.113.10:4000", Agent: "test", Secure: true, Host: "traces.example.com"}

// fixture is Logins over real records, with a clock that tests set.
type fixture struct {
	*Logins
	t      testing.TB
	now    time.Time
	events []Event
}

func newFixture(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	dir := t.TempDir()
	records, err := sqlite.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = records.Close() })
	secrets, err := seal.Secrets(dir, filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return f.now }
	owner := trace.Owner{Account: acc, Region: "eu-west-1"}
	d := iam.New(iam.Options{Records: records, Secrets: secrets, Region: owner.Region, Management: acc, Now: clock})
	o := Options{Records: records, Directory: d, Owner: owner, Now: clock, Audit: func(_ context.Context, e Event) { f.events = append(f.events, e) }}
	for _, c := range change {
		c(&o)
	}
	f.Logins = New(o)
	return f
}

// user makes a user with the good password.
func (f *fixture) user(name string) {
	f.t.Helper()
	if _, err := f.Directory.CreateUser(f.t.Context(), acc, iam.NewEntity{Name: name}); err != nil {
		f.t.Fatal(err)
	}
	if err := f.SetPassword(f.t.Context(), acc, name, good, ""); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) login(name string) *http.Cookie {
	f.t.Helper()
	s, err := f.Password(f.t.Context(), "", name, good, desk)
	if err != nil {
		f.t.Fatal(err)
	}
	return s.Cookie
}

// get sends a request with a cookie; it returns the cookie that replaces it, nil for none.
func (f *fixture) get(c *http.Cookie, change ...func(*http.Request)) (identity.Principal, *http.Cookie, error) {
	r := httptest.NewRequest(http.MethodGet, "https://traces.example.com/console/api/status", nil)
	r.AddCookie(c)
	for _, do := range change {
		do(r)
	}
	call := identity.Call{Action: "fluoro:GetStatus", Request: r, Source: desk.Source, Secure: true}
	p, _, err := f.Authenticate(f.t.Context(), call)
	if err != nil {
		return p, nil, err
	}
	fresh, err := f.Renew(f.t.Context(), r, p, true)
	return p, fresh, err
}

func (f *fixture) works(what string, c *http.Cookie, want bool) {
	f.t.Helper()
	if _, _, err := f.get(c); (err == nil) != want {
		f.t.Errorf("%s: %v", what, err)
	}
}

// A session ends when its user did nothing for a while, and at its absolute end however
// much it is used.
func TestSession_ends(t *testing.T) {
	f := newFixture(t)
	f.user("ada")
	c := f.login("ada")
	p, _, err := f.get(c)
	if err != nil || p.ARN != "arn:aws:iam::111122223333:user/ada" || p.Proof != identity.ProofSession || p.Session == nil {
		t.Fatalf("%+v, %v", p, err)
	}
	f.now = f.now.Add(29 * time.Minute)
	f.works("before the idle end", c, true)
	f.now = f.now.Add(30 * time.Minute)
	f.works("after the idle end", c, false)

	c = f.login("ada")
	for range 3 { // a program asks, nobody is there
		f.now = f.now.Add(10 * time.Minute)
		_, _, err = f.get(c, func(r *http.Request) { r.Header.Set(IdleHeader, "1") })
	}
	if err == nil {
		t.Error("requests of a program keep a session alive")
	}

	c = f.login("ada")
	for end := f.now.Add(12 * time.Hour); f.now.Before(end); f.now = f.now.Add(10 * time.Minute) {
		_, fresh, err := f.get(c)
		if err != nil {
			t.Fatalf("%v before the end: %v", end.Sub(f.now), err)
		}
		if fresh != nil {
			c = fresh
		}
	}
	f.works("after the absolute end", c, false)
}

// The cookie is replaced; the one before works for a moment. If it comes later, it was
// stolen, and the session ends.
func TestSession_rotates(t *testing.T) {
	f := newFixture(t)
	f.user("ada")
	old := f.login("ada")
	f.now = f.now.Add(16 * time.Minute)
	_, fresh, err := f.get(old)
	if err != nil || fresh == nil || fresh.Value == old.Value {
		t.Fatalf("%v, %v", fresh, err)
	}
	f.works("the old cookie, on its way", old, true)
	f.works("the new cookie", fresh, true)
	f.works("the old cookie, still on its way", old, true)
	f.now = f.now.Add(2 * time.Minute)
	f.works("the old cookie again", old, false)
	f.works("the new cookie of a session that is not safe", fresh, false)
	if last := f.events[len(f.events)-1]; last.Name != "SessionReuse" {
		t.Errorf("the last event is %+v", last)
	}
}

// If the answer with a new cookie is lost, the browser gets another one.
func TestSession_lostCookie(t *testing.T) {
	f := newFixture(t)
	f.user("ada")
	c := f.login("ada")
	for range 3 {
		f.now = f.now.Add(16 * time.Minute)
		_, fresh, err := f.get(c)
		if err != nil || fresh == nil {
			t.Fatalf("%v, %v", fresh, err)
		} // and it never arrives
	}
	_, fresh, err := f.get(c)
	if err != nil {
		t.Fatal(err)
	}
	if fresh != nil {
		t.Error("each of many requests replaces the cookie")
	}
}

// A request with a session needs its token if it may change something.
func TestSession_token(t *testing.T) {
	f := newFixture(t)
	f.user("ada")
	c := f.login("ada")
	p, _, _ := f.get(c)
	token, _, err := f.Token(t.Context(), p)
	if err != nil || len(token) < 22 {
		t.Fatalf("%q, %v", token, err)
	}
	for name, ok := range map[string]bool{token: true, "": false, token + "x": false, token[1:]: false} {
		_, _, err := f.get(c, func(r *http.Request) { r.Method = http.MethodPost; r.Header.Set(TokenHeader, name) })
		if (err == nil) != ok {
			t.Errorf("token %q: %v", name, err)
		}
	}
	s := c.Value
	for name, value := range map[string]string{
		"of another account": strings.Replace(s, string(acc), "444455556666", 1), "cut": s[:len(s)-1], "longer": s + "A", "empty": "", "other secret": s[:len(s)-5] + "AAAAA",
	} {
		if _, _, err := f.get(&http.Cookie{Name: c.Name, Value: value}); err == nil {
			t.Errorf("a cookie %s is accepted", name)
		}
	}
	if _, _, err := f.get(c, func(r *http.Request) { r.AddCookie(&http.Cookie{Name: c.Name, Value: "planted"}) }); err == nil {
		t.Error("two cookies are accepted")
	}
	if c.Name != "__Host-fluoro" || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %+v", c)
	}
}

// A new password, a deleted user and a revocation end sessions and their streams.
func TestSession_revoked(t *testing.T) {
	f := newFixture(t)
	f.user("ada")
	c := f.login("ada")
	p, _, _ := f.get(c)
	ctx, done := f.Bind(t.Context(), p)
	defer done()
	if err := f.SetPassword(t.Context(), acc, "ada", "another good password", ""); err != nil {
		t.Fatal(err)
	}
	f.works("after a new password", c, false)
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
		t.Error("a stream outlives its session")
	}
	if _, err := f.Password(t.Context(), "", "ada", good, desk); err == nil {
		t.Error("the old password works")
	}
	for range mostSessions + 3 {
		if _, err := f.begin(t.Context(), record{Account: acc, User: "ada", UniqueID: p.ID, Method: ByPassword}, desk); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := f.Sessions(t.Context(), acc, p.ARN); err != nil || len(all) != mostSessions {
		t.Errorf("%d sessions, %v", len(all), err)
	}
}

func TestPassword_rules(t *testing.T) {
	for password, ok := range map[string]bool{
		good: true, "short": false, "elevenchars": false, "twelve chars": true, "åäöåäöåäöåäö": true, strings.Repeat("a", 20): false,
		"administrator": true, strings.Repeat("x1", 600): false, "ada-lovelace": false, "ada-lovelace2026": false, "\xff\xfe invalid utf8 bytes": false,
	} {
		user := "ada-lovelace"
		if err := checkPassword(user, password); (err == nil) != ok {
			t.Errorf("%q: %v", password, err)
		}
	}
}

// A hash that was made with a lower cost is replaced at the next login.
func TestPassword_upgrade(t *testing.T) {
	f := newFixture(t)
	f.user("ada")
	u, _, err := f.hashOf(t.Context(), acc, "ada")
	if err != nil {
		t.Fatal(err)
	}
	was := present
	present = cost{8 << 10, 1, 1}
	if err := f.store(t.Context(), acc, u, good); err != nil {
		t.Fatal(err)
	}
	present = was
	f.login("ada")
	if _, h, err := f.hashOf(t.Context(), acc, "ada"); err != nil || h.cost != present || !h.matches(good) || h.matches(good+"x") {
		t.Errorf("%v, %v", h.cost, err)
	}
}

// Many attempts from one address are refused, whatever names they try; another address
// still gets in.
func TestAttempts_areLimited(t *testing.T) {
	f := newFixture(t)
	f.user("ada")
	throttled := func(from From, name string) bool {
		_, err := f.Password(t.Context(), "", name, "wrong password 1", from)
		return trace.KindOf(err) == trace.KindThrottled
	}
	n := 0
	for ; n < 50 && !throttled(desk, "ada"); n++ {
	}
	if n != 10 {
		t.Errorf("%d attempts at one name", n)
	}
	elsewhere := desk
	elsewhere.Source = "203.0.113.11:1"
	if _, err := f.Password(t.Context(), "", "ada", good, elsewhere); err != nil {
		t.Errorf("a stranger locks out the user: %v", err)
	}
	for n = 0; n < 100 && !throttled(elsewhere, fmt.Sprint("user", n)); n++ {
	}
	if n != 30 {
		t.Errorf("%d attempts of one address", n)
	}
	f.now = f.now.Add(time.Minute)
	if throttled(desk, "ada") {
		t.Error("nothing is allowed after a minute")
	}
}

func TestAddressKey(t *testing.T) {
	for source, want := range map[string]string{
		"203.0.113.10:4000": "203.0.113.10", "[::ffff:203.0.113.10]:1": "203.0.113.10", "[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64", "": "?", "x": "?",
	} {
		if got := addressKey(source); got != want {
			t.Errorf("%q: %q, want %q", source, got, want)
		}
	}
}

func TestParseRoles(t *testing.T) {
	got, err := ParseRoles("groups:sre=arn:aws:iam::111122223333:role/ops, https://x.example/roles:a b=FluoroViewer,sub:*=FluoroViewer")
	want := []RoleRule{{"groups", "sre", "arn:aws:iam::111122223333:role/ops"}, {"https://x.example/roles", "a b", "FluoroViewer"}, {"sub", "*", "FluoroViewer"}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"groups", "groups:=x", ":x=y", "groups:x=", "groups=x", "a:b=c d"} {
		if got, err := ParseRoles(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestClaims(t *testing.T) {
	claims := map[string]any{"groups": []any{"a", 7.0, true, []any{"nested"}}, "realm": map[string]any{"roles": []any{"x"}}, "a.b": "dotted", "email": "Ada Lovelace@example.com", "amr": []any{"pwd", "otp"}}
	for claim, want := range map[string]string{"groups": "[a 7 true]", "realm.roles": "[x]", "a.b": "[dotted]", "missing": "[]", "realm": "[]", "groups.x": "[]"} {
		if got := fmt.Sprint(values(claimOf(claims, claim))); got != want {
			t.Errorf("%s: %s, want %s", claim, got, want)
		}
	}
	if got := sessionName(claims); got != "Ada-Lovelace@example.com" || !isMFA(claims) {
		t.Errorf("%q", got)
	}
	if got := sessionName(map[string]any{"email": "boss@example.com", "email_verified": false, "sub": "u1\r\n"}); got != "u1--" {
		t.Errorf("%q", got)
	}
}

func TestSetup(t *testing.T) {
	f := newFixture(t)
	token, err := f.NewSetup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := f.NewSetup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.CheckSetup(t.Context(), token, desk); err == nil {
		t.Error("an older link works")
	}
	f.now = f.now.Add(time.Hour)
	if err := f.CheckSetup(t.Context(), second, desk); err == nil {
		t.Error("a link works after an hour")
	}
	if token, err = f.NewSetup(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := f.Setup(t.Context(), token, "boss", "", desk) // a passkey comes later
	if err != nil || s.As.ARN != "arn:aws:iam::111122223333:user/boss" {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := f.Setup(t.Context(), token, "eve", good, desk); err == nil {
		t.Error("a link works twice")
	}
	if empty, err := f.Empty(t.Context()); err != nil || !empty {
		t.Errorf("nobody can sign in yet: %v, %v", empty, err)
	}
}

func FuzzTicket(f *testing.F) {
	f.Add("111122223333." + random(idBytes) + "." + random(secretBytes))
	f.Add("..")
	f.Add("111122223333.AAAA.BBBB\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got, ok := parseTicket(text); ok && got.String() != text {
			t.Errorf("%q is read as %q", text, got)
		}
	})
}

func FuzzHash(f *testing.F) {
	f.Add(cost{8, 1, 1}.make("x").String())
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=8,t=1,p=257$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if h, err := parseHash(text); err == nil && (h.String() != text || h.memory > 1<<20 || h.passes > 16) {
			t.Errorf("%q is read as %q", text, h)
		}
	})
}

func FuzzCallback(f *testing.F) {
	f.Add("state=x&code=y", "x")
	f.Add("error=access_denied&state=%00", "")
	f.Fuzz(func(t *testing.T, query, cookie string) {
		l := New(Options{OIDC: &OIDC{Issuer: "https://issuer.example"}})
		r := &http.Request{Header: http.Header{}, URL: &url.URL{Path: CallbackPath, RawQuery: query}}
		r.AddCookie(&http.Cookie{Name: secureFlow, Value: cookie})
		if fl, code, err := l.returned(r, secureFlow); err == nil {
			t.Errorf("%q with %q is accepted: %v %q", query, cookie, fl, code)
		}
	})
}

func FuzzPasskeyAnswer(f *testing.F) {
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA","userHandle":"AA"}}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`[`))
	l := New(Options{})
	f.Fuzz(func(t *testing.T, answer []byte) {
		from := From{Source: "127.0.0.1:1", Secure: true, Host: "x.example"}
		id, _, err := l.BeginLogin(from)
		if err != nil {
			return // too many attempts
		}
		if _, err := l.FinishLogin(t.Context(), id, answer, from); err == nil {
			t.Errorf("%q signs somebody in", answer)
		}
	})
}

// What a request with a session costs: a read of its record.
func BenchmarkAuthenticate(b *testing.B) {
	f := newFixture(b)
	f.user("ada")
	r := httptest.NewRequest(http.MethodGet, "https://traces.example.com/console/api/status", nil)
	r.AddCookie(f.login("ada"))
	call := identity.Call{Action: "fluoro:GetStatus", Request: r, Source: desk.Source, Secure: true}
	for b.Loop() {
		if _, _, err := f.Authenticate(b.Context(), call); err != nil {
			b.Fatal(err)
		}
	}
}
