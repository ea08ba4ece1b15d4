package iam

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/access"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/seal"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	acc   trace.Account = "111122223333"
	other trace.Account = "444455556666"
	all                 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"xray:*","Resource":"*"}]}`
)

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fixture is a directory over real records, and its parts.
type fixture struct {
	*Directory
	clock   *clock
	records meta.Store
	secrets seal.Keys
}

func newFixture(t testing.TB) *fixture {
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
	f := &fixture{clock: &clock{now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}, records: records, secrets: secrets}
	f.Directory = f.another()
	return f
}

// another makes a directory over the same records, as another process would.
func (f *fixture) another() *Directory {
	return New(Options{Records: f.records, Secrets: f.secrets, Region: "eu-west-1", Management: "000000000000", Now: f.clock.time, Assume: access.New(access.Options{Now: f.clock.time}).Assume})
}

// must fails a test for an error.
func must[T any](t testing.TB) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wants checks the code of an error and a part of its message.
func wants(t *testing.T, what string, err error, code Code, text string) {
	t.Helper()
	var c Code
	if !errors.As(err, &c) || c != code || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v (%v), want %s: …%s…", what, err, c, code, text)
	}
}

func TestIDs_haveTheFormsOfAWS(t *testing.T) {
	for prefix, length := range map[string]int{prefixUser: 21, prefixRole: 21, prefixGroup: 21, prefixPolicy: 21} {
		if id := newID(prefix); !regexp.MustCompile(`^`+prefix+`[A-Z2-7]+$`).MatchString(id) || len(id) != length {
			t.Errorf("id %s", id)
		}
	}
	// The account of AWS's own example key can be computed from it as for ours (many
	// tools do, such as trufflehog): bits 1 to 40.
	for _, account := range []trace.Account{"000000000000", "000000000001", acc, "999999999999", "581039954779"} {
		id := newKeyID(prefixKey, account)
		got, ok := accountOfID(id[4:])
		if got != account || !ok || len(id) != 20 {
			t.Errorf("%s: account %s, %v", id, got, ok)
		}
	}
	if got, ok := AccountOfKey("ASIAY34FZKBOKMUTVV7A"); got != "609629065308" || !ok { // an example of the public write-ups
		t.Errorf("account %s, %v", got, ok)
	}
	for _, id := range []string{"", "AKIA", "AKIAIOSFODNN7EXAMPLE", "AKIA0000000000000000", "AKIAQAAAAAAAB2XT5NFZA", "XXXXQAAAAAAAB2XT5NFZ"} {
		if got, ok := AccountOfKey(id); ok {
			t.Errorf("%s has account %s", id, got)
		}
	}
}

func TestEntities_areCheckedAndFoundInAnyCase(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	u := must[User](t)(f.CreateUser(ctx, acc, NewEntity{Name: "Alice", Path: "/dev/", Tags: []Tag{{"team", "pay"}}}))
	if u.ARN != "arn:aws:iam::111122223333:user/dev/Alice" {
		t.Error(u.ARN)
	}
	got := must[any](t)(f.Find(ctx, acc, TypeUser, "aLICE")).(*User)
	if got.Name != "Alice" || got.ID != u.ID {
		t.Errorf("found %+v", got)
	}
	_, err := f.CreateUser(ctx, acc, NewEntity{Name: "alice"})
	wants(t, "other case", err, EntityAlreadyExists, "already exists")
	for name, n := range map[string]NewEntity{
		"empty": {}, "blank": {Name: "a b"}, "slash": {Name: "a/b"}, "long": {Name: strings.Repeat("x", 65)}, "path": {Name: "x", Path: "dev"}, "new line": {Name: "a\nb"}, "other letters": {Name: "é"},
	} {
		_, err := f.CreateUser(ctx, acc, n)
		wants(t, name, err, ValidationError, "")
	}
	for name, tags := range map[string][]Tag{"aws:": {{"aws:x", ""}}, "twice": {{"a", ""}, {"A", ""}}, "form": {{"a<", ""}}, "long": {{"a", strings.Repeat("v", 257)}}} {
		_, err := f.CreateUser(ctx, acc, NewEntity{Name: "x", Tags: tags})
		wants(t, name, err, InvalidInput, "")
	}
	if _, err := f.CreateUser(ctx, "12", NewEntity{Name: "x"}); err == nil {
		t.Error("an account with two digits")
	}
	if _, err := f.Find(ctx, other, TypeUser, "Alice"); trace.KindOf(err) != trace.KindNotFound {
		t.Errorf("another account finds it: %v", err)
	}
}

func TestPolicies_limitsAndReferences(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	must[User](t)(f.CreateUser(ctx, acc, NewEntity{Name: "u"}))
	p := must[Policy](t)(f.CreatePolicy(ctx, acc, NewPolicy{Name: "web", Text: all}))
	_, err := f.CreatePolicy(ctx, acc, NewPolicy{Name: "bad", Text: `{"Statement":[]}`})
	wants(t, "malformed", err, MalformedPolicyDocument, "")
	_, err = f.CreatePolicy(ctx, acc, NewPolicy{Name: "big", Text: strings.Replace(all, "xray:*", "xray:"+strings.Repeat("x", 6200), 1)})
	wants(t, "large", err, LimitExceeded, "PolicySize: 6144")
	for range 4 {
		must[Version](t)(f.CreateVersion(ctx, acc, "web", all, false))
	}
	_, err = f.CreateVersion(ctx, acc, "web", all, true)
	wants(t, "sixth version", err, LimitExceeded, "up to 5 versions")
	wants(t, "version in force", f.DeleteVersion(ctx, acc, "web", "v1"), DeleteConflict, "default version")
	wants(t, "unknown version", f.SetDefaultVersion(ctx, acc, p.ARN, "v9"), NoSuchEntity, "version v9")
	if err := errors.Join(f.SetDefaultVersion(ctx, acc, p.ARN, "v3"), f.DeleteVersion(ctx, acc, "web", "v1")); err != nil {
		t.Fatal(err)
	}
	if v := must[Version](t)(f.CreateVersion(ctx, acc, "web", all, false)); v.ID != "v6" {
		t.Errorf("a number is used again: %s", v.ID)
	}
	arn := must[string](t)(f.Attach(ctx, acc, TypeUser, "u", "web"))
	wants(t, "attached", f.DeletePolicy(ctx, acc, "web"), DeleteConflict, "attached to entities")
	if uses := must[[]Use](t)(f.Uses(ctx, acc, arn)); !slices.Equal(uses, []Use{{TypeUser, "u", false}}) {
		t.Errorf("uses %v", uses)
	}
	if err := errors.Join(f.Detach(ctx, acc, TypeUser, "u", arn), f.SetBoundary(ctx, acc, TypeUser, "u", arn)); err != nil {
		t.Fatal(err)
	}
	wants(t, "a boundary", f.DeletePolicy(ctx, acc, arn), DeleteConflict, "")
	if err := errors.Join(f.SetBoundary(ctx, acc, TypeUser, "u", ""), f.DeletePolicy(ctx, acc, arn)); err != nil {
		t.Fatal(err)
	}
	_, err = f.Attach(ctx, acc, TypeUser, "u", ARN(other, "policy/web"))
	wants(t, "policy of another account", err, NoSuchEntity, "not attachable")
	if arn := must[string](t)(f.Attach(ctx, acc, TypeUser, "u", "AWSXrayReadOnlyAccess")); arn != "arn:aws:iam::aws:policy/AWSXrayReadOnlyAccess" {
		t.Error(arn)
	}
	text := strings.Replace(all, "xray:*", "xray:"+strings.Repeat("x", 950), 1)
	for i := range 2 {
		if err := f.PutInline(ctx, acc, TypeUser, "u", Document{Name: fmt.Sprint(i), Text: text}); (err == nil) != (i < 1) {
			t.Errorf("inline policy %d: %v", i, err)
		}
	}
}

func TestDelete_cleansUpReferences(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	must[User](t)(f.CreateUser(ctx, acc, NewEntity{Name: "u"}))
	must[Group](t)(f.CreateGroup(ctx, acc, NewEntity{Name: "g"}))
	k := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{User: "u"}))
	_, text, err := f.CreateToken(ctx, acc, TokenRequest{User: "u"})
	if err != nil {
		t.Fatal(err)
	}
	must[Certificate](t)(f.PutCertificate(ctx, Certificate{Match: "cn:u", Account: acc, Of: Ref{TypeUser, "u"}}))
	if err := f.AddToGroup(ctx, acc, "u", "g"); err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(ctx, acc, TypeGroup, "g"); err != nil {
		t.Fatal(err)
	}
	if u := must[any](t)(f.Find(ctx, acc, TypeUser, "u")).(*User); len(u.Groups) != 0 {
		t.Errorf("it is still a member of %v", u.Groups)
	}
	_, p, err := f.AccessKey(ctx, k.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(ctx, acc, TypeUser, "U"); err != nil {
		t.Fatal(err)
	}
	must[User](t)(f.CreateUser(ctx, acc, NewEntity{Name: "u"})) // somebody else of the same name
	if _, _, err := f.AccessKey(ctx, k.ID, ""); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("the key of a deleted user: %v", err)
	}
	if _, _, err := f.Bearer(ctx, text); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("the token of a deleted user: %v", err)
	}
	if _, err := f.Grants(ctx, p); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("a deleted user has the policies of its successor: %v", err)
	}
	if list := must[[]Certificate](t)(f.Certificates(ctx)); len(list) != 0 {
		t.Errorf("certificates %v", list)
	}
	if keys := must[[]Key](t)(f.Keys(ctx, acc, "")); len(keys) != 0 {
		t.Errorf("keys %v", keys)
	}
}

// Each level of an organization has its policies, and the management account none.
func TestOrganization_levels(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	must[User](t)(f.CreateUser(ctx, acc, NewEntity{Name: "u"}))
	k := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{User: "u"}))
	_, p, err := f.AccessKey(ctx, k.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	before, err := f.Grants(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"xray:Put*","Resource":"*"}]}`
	o := Organization{Root: Unit{Units: []Unit{{Name: "prod", Policies: []Document{{Name: "FullAWSAccess"}, {Name: "no-put", Text: deny}}, Accounts: []Member{{Account: acc}}}}}}
	made, err := f.PutOrganization(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	set, err := f.Grants(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if set == before || len(set.SCP) != 3 || len(set.SCP[1]) != 2 || set.SCP[1][1].Name != "no-put" || !strings.HasPrefix(set.SCP[1][1].ARN, "arn:aws:organizations::000000000000:policy/"+made.ID+"/service_control_policy/p-") {
		t.Errorf("levels %+v", set.SCP)
	}
	want := made.ID + "/" + made.Root.ID + "/" + made.Root.Units[0].ID + "/"
	if set.OrgID != made.ID || !slices.Equal(set.OrgPaths, []string{want}) || set.Manages {
		t.Errorf("facts %s %v, want %s", set.OrgID, set.OrgPaths, want)
	}
	root, err := f.Grants(ctx, identity.Principal{Owner: trace.Owner{Account: "000000000000"}, Type: identity.TypeRoot})
	if err != nil || !root.Manages || root.SCP != nil {
		t.Errorf("management account: %+v, %v", root, err)
	}
	outside, err := f.Grants(ctx, identity.Principal{Owner: trace.Owner{Account: other}, Type: identity.TypeRoot})
	if err != nil || outside.SCP != nil || outside.OrgID != "" {
		t.Errorf("outside: %+v, %v", outside, err)
	}
	again, err := f.PutOrganization(ctx, o)
	if err != nil || again.ID != made.ID || again.Root.Units[0].ID != made.Root.Units[0].ID {
		t.Errorf("ids changed: %+v, %v", again, err)
	}
	o.Root.Accounts = []Member{{Account: acc}}
	_, err = f.PutOrganization(ctx, o)
	wants(t, "two places", err, ValidationError, "has two places")
	if err := f.DeleteOrganization(ctx); err != nil {
		t.Fatal(err)
	}
	if set, err := f.Grants(ctx, p); err != nil || set.SCP != nil {
		t.Errorf("after its end: %v, %v", set, err)
	}
}

// Many requests read while others change: none may fail or see a state that is older
// than the last change it could know.
func TestSnapshot_underChanges(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	k := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{Policies: []string{"AWSXrayFullAccess"}}))
	var group sync.WaitGroup
	stop, cancel := context.WithCancel(ctx)
	for range 4 {
		group.Go(func() {
			for stop.Err() == nil {
				if _, _, err := f.AccessKey(ctx, k.ID, ""); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 20 {
		made := must[NewKey](t)(f.CreateKey(ctx, acc, KeyRequest{Policies: []string{"AWSXrayFullAccess"}}))
		if _, _, err := f.AccessKey(ctx, made.ID, ""); err != nil {
			t.Errorf("key %d is not known at once: %v", i, err)
		}
		if err := f.DeleteKey(ctx, acc, "", made.ID); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.AccessKey(ctx, made.ID, ""); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("key %d works after its end: %v", i, err)
		}
	}
	cancel()
	group.Wait()
}
