package server

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/access"
	"github.com/fluoro-io/fluoro/internal/config"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
)

var update = flag.Bool("update", false, "rewrite docs/routes.md")

// publicRoutes lists the routes that everyone may use. Add only routes whose answers
// contain nothing of any account.
var publicRoutes = []string{
	"GET /", "GET /healthz", "GET /readyz", "GET /console/api/login", "POST /console/api/login", "POST /console/api/login/passkey",
	"POST /console/api/login/passkey/finish", "POST /console/api/setup", "GET /login/oidc", "GET /login/oidc/callback",
}

func TestRoutes_haveActions(t *testing.T) {
	form := regexp.MustCompile(`^(xray|fluoro|iam|sts|cloudtrail|oam):[A-Z][A-Za-z]+$`)
	seen := map[string]bool{}
	for _, rt := range routes() {
		name := rt.method + " " + rt.path
		if seen[name] {
			t.Errorf("%s has two rows", name)
		}
		seen[name] = true
		if rt.action == public != slices.Contains(publicRoutes, name) || rt.action != public && !form.MatchString(rt.action) {
			t.Errorf("%s has the action %q", name, rt.action)
		}
		if !access.Listed(rt.action) {
			t.Errorf("%s: package access does not list the action %s: say there what it does with segments", name, rt.action)
		}
		if (rt.class == admitIngest) != (rt.brings != "") {
			t.Errorf("%s is admitted as %s and brings %q", name, rt.class, rt.brings)
		}
		if hasBody := rt.method != http.MethodGet; hasBody != (rt.limit > 0) {
			t.Errorf("%s: its body has a limit of %d", name, rt.limit)
		}
		if rt.on == 0 || (rt.handler == nil) != (rt.on == onUDP) {
			t.Errorf("%s is served nowhere or by nothing", name)
		}
	}
	for _, op := range wire.Operations {
		if i := slices.IndexFunc(routes(), func(rt route) bool {
			return rt.on == onHTTP && rt.method == http.MethodPost && rt.path == op.Path && rt.action == op.Action
		}); i < 0 {
			t.Errorf("%s of the API model has no row", op.Name)
		}
	}
}

// Package access decides by lists which actions look at segments. A new action must be put
// into one of them on purpose.
func TestRoutes_actionsAreKnownToAccess(t *testing.T) {
	for _, rt := range routes() {
		if rt.action != public && !access.Knows(rt.action) {
			t.Errorf("%s %s: internal/access/actions.go does not list %s", rt.method, rt.path, rt.action)
		}
	}
	if access.Knows("fluoro:SomethingNew") {
		t.Error("any action is known")
	}
}

// asked is an authenticator that records the actions it is asked about.
type asked struct{ actions []string }

func (a *asked) Authenticate(_ context.Context, c identity.Call) (identity.Principal, error) {
	a.actions = append(a.actions, c.Action)
	return identity.Principal{Owner: trace.Owner{Account: "000000000000", Region: "us-east-1"}}, nil
}

// For any request, the door of a listener serves the rows of the table with an identity
// for their action, and passes everything else to rest.
func TestDoor_servesTheTableAndNothingElse(t *testing.T) {
	var paths []string
	for _, rt := range routes() {
		paths = append(paths, rt.path, rt.path+"/", rt.path+"x", "/x"+rt.path, strings.ToLower(rt.path), "/console/api"+rt.path)
	}
	paths = append(paths, "/debug/pprof/", "/console", "/console/api/", "/console/api/other", "/v1/metrics", "/v1/logs", "/opentelemetry.proto.collector.logs.v1.LogsService/Export")
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
	for _, on := range []listener{onHTTP, onOTLPHTTP, onOTLPGRPC} {
		s := testServer(&config.Config{Account: "000000000000"})
		notes := &asked{}
		s.authenticator = notes
		beyond := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
		d := s.newDoor(on, through(), beyond)
		for _, path := range paths {
			if path == "" {
				continue
			}
			for _, method := range methods {
				var want string
				row, own := false, false
				for _, rt := range routes() {
					same := rt.method == method || rt.method == "GET" && method == "HEAD"
					if rt.on&on != 0 && rt.path == path {
						if own = own || rt.ownMethods; same {
							want, row = rt.action, true
						}
					}
				}
				notes.actions = nil
				w := httptest.NewRecorder()
				d.ServeHTTP(w, httptest.NewRequest(method, "http://127.0.0.1"+path, nil))
				name := fmt.Sprintf("%v: %s %s", on, method, path)
				if served := w.Code == http.StatusOK; served != (row || own) {
					t.Errorf("%s: status %d, in the table: %v", name, w.Code, row)
				}
				if row && want != public && !slices.Equal(notes.actions, []string{want}) || (!row || want == public) && notes.actions != nil {
					t.Errorf("%s: the authenticator was asked for %q", name, notes.actions)
				}
			}
		}
	}
}

// Routes about the whole server serve only its own account.
func TestDoor_keepsTheWholeServerToItsOwnAccount(t *testing.T) {
	for _, own := range []string{"000000000000", "111111111111"} {
		s := testServer(&config.Config{Account: own})
		d := s.newDoor(onHTTP, through(), in{})
		for _, rt := range routes() {
			if rt.on&onHTTP == 0 || rt.action == public {
				continue
			}
			w := httptest.NewRecorder()
			d.ServeHTTP(w, httptest.NewRequest(rt.method, "http://127.0.0.1"+rt.path, nil))
			want := http.StatusOK
			if rt.whole && own != "000000000000" {
				want = http.StatusForbidden
			}
			if w.Code != want {
				t.Errorf("own account %s, %s: %d, want %d", own, rt.path, w.Code, want)
			}
		}
	}
}

// failing is an authenticator that fails.
type failing struct{ err error }

func (f failing) Authenticate(context.Context, identity.Call) (identity.Principal, error) {
	return identity.Principal{}, f.err
}

func TestDoor_refusesAndCountsWhoIsNobody(t *testing.T) {
	s := testServer(&config.Config{Account: "000000000000"})
	s.authenticator = failing{trace.Errorf(trace.KindDenied, "the key is not known")}
	d := s.newDoor(onHTTP, through(), in{})
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest("POST", "http://127.0.0.1/TraceSegments", nil))
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "the key is not known") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if r := s.tally.Refused(""); len(r) != 1 || r[0].Reason != "Identity" || r[0].Protocol != "xray" {
		t.Errorf("counted %+v", r)
	}
	// A principal without an account would read data that nobody owns.
	s.authenticator = identity.Anonymous{Region: "us-east-1"}
	w = httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest("POST", "http://127.0.0.1/Traces", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("without an account: %d", w.Code)
	}
}

// routesPage is docs/routes.md.
func routesPage() string {
	var b strings.Builder
	b.WriteString("# Routes\n\n" +
		"This page is generated from the route table (`internal/server/routes.go`): `go test ./internal/server -run TestRoutes -update`. The server serves nothing else.\n\n" +
		"* **Action** is the name by which a policy will allow or deny a request (there are no credentials yet: everyone may do everything). `none`: health and the files of the console\n" +
		"  need no identity, and contain nothing of any account.\n" +
		"* **Admission** is how the server makes sure that it has memory: `always` needs almost none; `ingest` reserves memory for the decoded request; `answer` reserves it for the\n" +
		"  body, and for the answer by its weight; `scan` reads many traces and reserves memory for that first; `alone` is served one at a time.\n" +
		"* **Limit** is the maximum size of a body, both compressed and decompressed. GET includes HEAD.\n" +
		"* **For**: `account` routes read and write the data of the caller's account. `server` routes concern all accounts, and only the server's own account (`--account`) may use them.\n" +
		"  `proof in the request`: the handler identifies the caller by a token in the request, so the route also takes requests without other credentials.\n\n" +
		"| listener | method | path | action | admission | limit | for |\n|---|---|---|---|---|---|---|\n")
	for _, r := range Routes() {
		path, action, limit, about := "`"+r.Path+"`", "`"+r.Action+"`", "", "account"
		switch {
		case r.Path == "":
			path = "X-Ray datagrams"
		case r.Path == "/" && r.Method == "GET":
			path = "`/` and the files of the console"
		}
		switch {
		case r.Action == "":
			action, about = "none", "everyone"
		case r.Whole:
			about = "server"
		case r.Unsigned:
			about = "account, or proof in the request"
		}
		switch {
		case r.Limit >= 1<<20:
			limit = fmt.Sprintf("%d MB", r.Limit>>20)
		case r.Limit > 0:
			limit = fmt.Sprintf("%d KB", r.Limit>>10)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", r.Listeners, r.Method, path, action, r.Admission, limit, about)
	}
	b.WriteString("\nWeb pages of `--cors-origins` may use only `/v1/traces` ([guide](guides/network.md)).\n")
	return b.String()
}

func TestRoutes_areWhatTheDocsSay(t *testing.T) {
	const path = "../../docs/routes.md"
	if *update {
		if err := os.WriteFile(path, []byte(routesPage()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != routesPage() {
		t.Errorf("%s is stale (%v): go test ./internal/server -run TestRoutes -update", path, err)
	}
	for _, r := range Routes() {
		if r.CrossOrigin != (r.Path == "/v1/traces") {
			t.Errorf("%s: the page tells something else about web pages", r.Path)
		}
	}
}

// A handler that forgets to ask must not answer.
func TestDoor_answersNothingThatNobodyAllowed(t *testing.T) {
	s := testServer(&config.Config{Account: "000000000000"})
	table := through()
	for i := range table {
		table[i].asks = table[i].path == "/CreateGroup"
	}
	w := httptest.NewRecorder()
	s.newDoor(onHTTP, table, in{}).ServeHTTP(w, httptest.NewRequest("POST", "http://127.0.0.1/CreateGroup", nil))
	if w.Code != http.StatusInternalServerError || w.Body.Len() != 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}
