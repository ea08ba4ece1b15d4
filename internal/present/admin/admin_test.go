package admin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// asked records the questions of handlers, and answers some with a refusal.
type asked struct {
	questions []identity.Question
	refuse    string // an action
}

func (a *asked) ask(_ context.Context, q identity.Question) error {
	a.questions = append(a.questions, q)
	if q.Action == a.refuse {
		return trace.Errorf(trace.KindDenied, "no")
	}
	return nil
}

func newAPI(t *testing.T) *API {
	t.Helper()
	dir := t.TempDir()
	records, err := sqlite.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = records.Close() })
	secrets, err := seal.Secrets(dir, dir+"/key")
	if err != nil {
		t.Fatal(err)
	}
	return &API{Directory: iam.New(iam.Options{Records: records, Secrets: secrets, Region: "us-east-1"})}
}

var root = identity.Principal{Owner: trace.Owner{Account: "111122223333", Region: "us-east-1"}, Type: identity.TypeRoot}

// call makes a request to a verb.
func (a *API) call(t *testing.T, p identity.Principal, guard *asked, name, body string) (int, string) {
	t.Helper()
	at := slices.IndexFunc(Verbs(), func(v *Verb) bool { return v.Name == name })
	if at < 0 {
		t.Fatalf("there is no verb %s", name)
	}
	r := httptest.NewRequest(http.MethodPost, Prefix+name, strings.NewReader(body))
	ctx, _ := identity.WithGuard(identity.With(r.Context(), p), guard.ask)
	w := httptest.NewRecorder()
	a.Endpoint(Verbs()[at], 10_000).ServeHTTP(w, r.WithContext(ctx))
	return w.Code, w.Body.String()
}

func TestVerbs_haveNamesAndActions(t *testing.T) {
	form := regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
	seen := map[string]bool{}
	for _, v := range Verbs() {
		service, name, _ := strings.Cut(v.Action, ":")
		if !form.MatchString(v.Name) || seen[v.Name] || name != v.Name || service != "iam" && service != "fluoro" {
			t.Errorf("%s with the action %s", v.Name, v.Action)
		}
		seen[v.Name] = true
	}
}

// Every verb asks before it does anything, and does nothing if it may not.
func TestVerbs_ask(t *testing.T) {
	a := newAPI(t)
	for _, v := range Verbs() {
		guard := &asked{refuse: v.Action}
		if v.Name == "RotateAccessKey" {
			guard.refuse = "iam:CreateAccessKey"
		}
		status, answer := a.call(t, root, guard, v.Name, "{}")
		if len(guard.questions) == 0 || status != http.StatusForbidden {
			t.Errorf("%s: %d %s after %d questions", v.Name, status, answer, len(guard.questions))
		}
		if status, answer := a.call(t, root, &asked{}, v.Name, `{"Nope":1}`); status != http.StatusBadRequest || !strings.Contains(answer, `has no member \"Nope\"`) {
			t.Errorf("%s: %d %s", v.Name, status, answer)
		}
	}
}

func TestVerbs_askAboutResourcesAndKeys(t *testing.T) {
	a := newAPI(t)
	guard := &asked{}
	if status, answer := a.call(t, root, guard, "CreateUser", `{"UserName":"alice","Path":"/dev/","Tags":[{"Key":"team","Value":"pay"}],"PermissionsBoundary":"AWSXrayReadOnlyAccess"}`); status != 200 || !strings.Contains(answer, `"UserId":"AIDA`) {
		t.Fatal(status, answer)
	}
	arn := "arn:aws:iam::111122223333:user/dev/alice"
	if q := guard.questions; len(q) != 2 || q[0].Resource != arn || q[1].Action != "iam:TagUser" || q[0].Keys["aws:RequestTag/team"][0] != "pay" ||
		q[0].Keys["aws:TagKeys"][0] != "team" || q[0].Keys["iam:PermissionsBoundary"][0] != "arn:aws:iam::aws:policy/AWSXrayReadOnlyAccess" {
		t.Errorf("asked %+v", q)
	}
	guard = &asked{}
	if status, answer := a.call(t, root, guard, "AttachUserPolicy", `{"UserName":"alice","PolicyArn":"AWSXrayFullAccess"}`); status != 200 {
		t.Fatal(status, answer)
	}
	if q := guard.questions; len(q) != 1 || q[0].Resource != arn || q[0].Keys["iam:PolicyARN"][0] != "arn:aws:iam::aws:policy/AWSXrayFullAccess" || q[0].Keys["aws:ResourceTag/team"][0] != "pay" {
		t.Errorf("asked %+v", q)
	}
	// A key with a policy is worth as much as the permission to attach that policy.
	for _, action := range []string{"iam:CreateAccessKey", "iam:CreateUser", "iam:AttachUserPolicy"} {
		if status, answer := a.call(t, root, &asked{refuse: action}, "CreateAccessKey", `{"Policies":["AdministratorAccess"]}`); status != http.StatusForbidden {
			t.Errorf("without %s: %d %s", action, status, answer)
		}
	}
	if status, answer := a.call(t, root, &asked{refuse: "iam:PassRole"}, "CreateToken", `{"RoleName":"r"}`); status == 200 {
		t.Errorf("without iam:PassRole: %d %s", status, answer)
	}
}

// Who made a key while no credentials were required could use it later.
func TestVerbs_anonymousOnlyReads(t *testing.T) {
	a := newAPI(t)
	nobody := identity.Principal{Owner: root.Owner, Type: identity.TypeAnonymous}
	for _, v := range Verbs() {
		status, answer := a.call(t, nobody, &asked{}, v.Name, "{}")
		if refused := strings.Contains(answer, "needs credentials"); refused == v.reads() {
			t.Errorf("%s: %d %s", v.Name, status, answer)
		}
	}
}

func TestEndpoint_refusesBadBodies(t *testing.T) {
	a := newAPI(t)
	for body, want := range map[string]string{
		`{`: "", `[]`: "no JSON object", `"x"`: "no JSON object", `{"UserName":1}`: "cannot be a number", `{"UserName":"a","UserName":"b"}`: "is there twice",
		`{"username":"a"}`: "has no member", `{"UserName":"a"} {}`: "", `{"Tags":[{"Key":"a","Nope":1}]}`: "",
	} {
		if status, answer := a.call(t, root, &asked{}, "CreateUser", body); status != http.StatusBadRequest || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	if status, _ := a.call(t, root, &asked{}, "CreateUser", `{"UserName":"`+strings.Repeat("x", 10_000)+`"}`); status != http.StatusRequestEntityTooLarge {
		t.Errorf("large body: %d", status)
	}
}

func TestLists_arePaged(t *testing.T) {
	a := newAPI(t)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if status, answer := a.call(t, root, &asked{}, "CreateUser", `{"UserName":"`+name+`"}`); status != 200 {
			t.Fatal(answer)
		}
	}
	for _, k := range []struct{ body, want, not string }{
		{`{"MaxItems":2}`, `"IsTruncated":true,"Marker":"b"`, `"UserName":"c"`},
		{`{"MaxItems":2,"Marker":"b"}`, `"Marker":"d"`, `"UserName":"b"`},
		{`{"MaxItems":2,"Marker":"d"}`, `"IsTruncated":false`, `"UserName":"d"`},
		{`{"MaxItems":1001}`, "MaxItems", "UserName"},
	} {
		if _, answer := a.call(t, root, &asked{}, "ListUsers", k.body); !strings.Contains(answer, k.want) || strings.Contains(answer, k.not) {
			t.Errorf("%s: %s", k.body, answer)
		}
	}
}
