package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const account trace.Account = "000000000000"

var ctx = context.Background()

const sns = `{"Version":"2012-10-17","Statement":[{"Sid":"S","Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":["xray:PutTraceSegments","xray:GetSamplingRules"],"Resource":"*","Condition":{"StringEquals":{"aws:SourceAccount":"000000000000"},"ArnLike":{"aws:SourceArn":["arn:aws:sns:us-east-1:000000000000:*"]}}}]}`

func newPolicies(t *testing.T) *Policies {
	t.Helper()
	store, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return New(store)
}

func TestPut_revisions(t *testing.T) {
	p := newPolicies(t)
	for i, c := range []struct {
		revision string // "-" for none
		want     int    // 0: refused
	}{{"1", 0}, {"0", 1}, {"0", 0}, {"-", 2}, {"2", 3}, {"2", 0}, {"03", 0}, {"x", 0}, {"", 0}, {"3", 4}} {
		q := Request{Name: "p", Document: sns}
		if c.revision != "-" {
			q.Revision = &c.revision
		}
		got, err := p.Put(ctx, account, q, trace.Time(i))
		if c.want == 0 {
			if !errors.Is(err, ErrRevision) || !strings.HasPrefix(err.Error(), "Another concurrent request has modified the resource policy p") {
				t.Errorf("step %d: %+v, %v", i, got, err)
			}
			continue
		}
		if err != nil || got.Revision != c.want || got.Updated != trace.Time(i) || got.Document != sns {
			t.Errorf("step %d: %+v, %v", i, got, err)
		}
	}
	stale, present := "3", "4"
	if err := p.Delete(ctx, account, "p", &stale); !errors.Is(err, ErrRevision) || !strings.HasPrefix(err.Error(), "Another concurrent request has modified or deleted the resource policy p") {
		t.Errorf("stale deletion: %v", err)
	}
	if err := p.Delete(ctx, account, "p", &present); err != nil {
		t.Error(err)
	}
	if err := p.Delete(ctx, account, "p", nil); trace.KindOf(err) != trace.KindInvalid || err.Error() != "The resource policy p does not exist." {
		t.Errorf("second deletion: %v", err)
	}
	for _, revision := range []string{"", "0", "4"} {
		if err := p.Delete(ctx, account, "p", &revision); !errors.Is(err, ErrRevision) {
			t.Errorf("deletion of revision %q of what is not there: %v", revision, err)
		}
	}
	if got, err := p.Put(ctx, account, Request{Name: "p", Document: sns}, 1); err != nil || got.RevisionID() != "1" {
		t.Errorf("made again: %+v, %v", got, err)
	}
}

func TestPut_limits(t *testing.T) {
	p := newPolicies(t)
	long := strings.Replace(sns, `"*"`, `"*"`+strings.Repeat(" ", policy.MaxResource-len(sns)), 1)
	for i := range maxPolicies {
		if _, err := p.Put(ctx, account, Request{Name: fmt.Sprint(i), Document: long}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Put(ctx, account, Request{Name: "more", Document: sns}, 1); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if _, err := p.Put(ctx, account, Request{Name: "0", Document: sns}, 1); err != nil {
		t.Errorf("a change of one of them: %v", err)
	}
	if _, err := p.Put(ctx, account, Request{Name: "0", Document: long + " "}, 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a byte too long: %v", err)
	}
	if list, err := p.List(ctx, account); err != nil || len(list) != maxPolicies || list[0].Revision != 2 || list[0].Document != sns {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := p.List(ctx, "111111111111"); err != nil || len(list) != 0 {
		t.Errorf("another account has %+v, %v", list, err)
	}
}

// with returns a policy of one statement with some members changed; null removes a
// member.
func with(changes string) string {
	m := map[string]any{"Effect": "Allow", "Principal": "*", "Action": "xray:*", "Resource": "*"}
	var c map[string]any
	if err := json.Unmarshal([]byte(changes), &c); err != nil {
		panic(changes)
	}
	for k, v := range c {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	b, _ := json.Marshal(map[string]any{"Statement": []any{m}})
	return string(b)
}

func parse(text string) (*policy.Document, error) { return policy.Validate(policy.KindResource, text) }

func TestParse(t *testing.T) {
	for _, good := range []string{
		sns, with(`{}`), `{"Version":"2008-10-17","Id":"x","Statement":{"Effect":"Deny","NotPrincipal":{"AWS":"000000000000"},"NotAction":"*","NotResource":"arn:aws:xray:*:*:group/a/*"}}`,
		with(`{"Principal":{"AWS":["*","000000000000","arn:aws:iam::000000000000:root","arn:aws-cn:iam::000000000000:role/path/r","AIDACKCEVSQ6C2EXAMPLE","arn:aws:sts::000000000000:assumed-role/r/s"],"Service":["ops.apigateway.amazonaws.com","s3.amazonaws.com.cn"],"Federated":"cognito-identity.amazonaws.com"}}`),
		with(`{"Condition":{}}`), with(`{"Condition":{"ForAnyValue:StringLikeIfExists":{"aws:TagKeys":["a",1,true]},"Null":{"aws:TokenIssueTime":true},"NumericLessThan":{"aws:MultiFactorAuthAge":"3600"},"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`),
	} {
		if _, err := parse(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"": "not JSON", "{": "not JSON", "[]": "must be an object", "null": "must be an object", `{}`: "Statement", `{"Statement":[]}`: "Statement", `{"Statement":[1]}`: "must be an object",
		`{"Version":"2012","Statement":[]}`: "2012-10-17", `{"Version":null,"Statement":[]}`: "2012-10-17", `{"statement":[]}`: `"statement"`, `{"Id":5,"Statement":[]}`: "Id",
		`{"Statement":{"Effect":"Allow","Effect":"Deny"}}`: "twice",
		with(`{"Effect":"allow"}`):                         "Allow or Deny", with(`{"Effect":null}`): "Allow or Deny", with(`{"Sid":5}`): "Sid", with(`{"Extra":1}`): "Extra",
		with(`{"Action":null}`): "actions", with(`{"NotAction":"*"}`): "not both", with(`{"Action":[]}`): "Action", with(`{"Action":[1]}`): "strings", with(`{"Action":"PutTraceSegments"}`): "vendor",
		with(`{"Resource":null}`): "resources", with(`{"Resource":"everything"}`): "ARN", with(`{"Principal":null}`): "Principal", with(`{"Principal":"me"}`): "must be an object",
		with(`{"Principal":{}}`): "empty", with(`{"Principal":{"Robot":"x"}}`): "Robot", with(`{"Principal":{"AWS":"12345"}}`): "no AWS principal", with(`{"Principal":{"AWS":"arn:aws:s3:::b"}}`): "no AWS principal",
		with(`{"Principal":{"Service":"sns"}}`): "no Service principal", with(`{"Principal":{"AWS":[]}}`): "Principal",
		with(`{"Condition":"x"}`): "must be an object", with(`{"Condition":{"Equals":{}}}`): "operator", with(`{"Condition":{"Bool":{"x":true}}}`): "service:name", with(`{"Condition":{"Bool":{"a:b":{}}}}`): "value",
	} {
		if _, err := parse(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", bad, err, want)
		}
	}
	twice := `{"Effect":"Allow","Sid":"a","Principal":"*","Action":"*","Resource":"*"}`
	if _, err := parse(`{"Statement":[` + twice + `,` + twice + `]}`); err == nil || !strings.Contains(err.Error(), "statement 2") {
		t.Errorf("a Sid twice: %v", err)
	}
	_, err := newPolicies(t).Put(ctx, account, Request{Name: "p", Document: "{}"}, 1)
	if !errors.Is(err, ErrMalformed) || trace.KindOf(err) != trace.KindInvalid {
		t.Errorf("Put: %v", err)
	}
}

func TestShown_showsListsOfOneActionAsThatAction(t *testing.T) {
	got := shown(` { "Statement" : [ {"Sid":"\u00e4<", "Action":["xray:A"], "Effect":"Allow","Principal":{"AWS":["*"]},"Resource":["*"]}, {"Effect":"Deny","Principal":"*","Action":["xray:A","xray:B"],"Resource":"*"} ], "Version":"2012-10-17" } `)
	want := `{"Statement":[{"Sid":"\u00e4<","Action":"xray:A","Effect":"Allow","Principal":{"AWS":["*"]},"Resource":["*"]},{"Effect":"Deny","Principal":"*","Action":["xray:A","xray:B"],"Resource":"*"}],"Version":"2012-10-17"}`
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestLocksOut(t *testing.T) {
	for changes, want := range map[string]bool{
		`{}`: false, `{"Effect":"Deny"}`: true, `{"Effect":"Deny","Action":"*"}`: true, `{"Effect":"Deny","Action":["xray:Get*","XRAY:putresource*"]}`: true, `{"Effect":"Deny","Action":"xray:Put?race*"}`: false,
		`{"Effect":"Deny","Action":"xray:PutTraceSegments"}`: false, `{"Effect":"Deny","Action":null,"NotAction":"xray:Get*"}`: true, `{"Effect":"Deny","Action":null,"NotAction":"xray:Put*"}`: false,
		`{"Effect":"Deny","Principal":{"AWS":"000000000000"}}`: true, `{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::000000000000:root"}}`: true, `{"Effect":"Deny","Principal":{"AWS":"111111111111"}}`: false,
		`{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::000000000000:user/x"}}`: false, `{"Effect":"Deny","Principal":{"Service":"sns.amazonaws.com"}}`: false,
		`{"Effect":"Deny","Principal":null,"NotPrincipal":{"AWS":"111111111111"}}`: true, `{"Effect":"Deny","Principal":null,"NotPrincipal":{"AWS":"000000000000"}}`: false,
		`{"Effect":"Deny","Resource":"arn:aws:xray:us-east-1:000000000000:group/*"}`: false,
		`{"Effect":"Deny","Condition":{"Bool":{"aws:SecureTransport":"false"}}}`:     false,
	} {
		d, err := parse(with(changes))
		if err != nil {
			t.Fatalf("%s: %v", changes, err)
		}
		if got := LocksOut(d, account); got != want {
			t.Errorf("%s: %v, want %v", changes, got, want)
		}
		_, err = newPolicies(t).Put(ctx, account, Request{Name: "p", Document: with(changes)}, 1)
		if errors.Is(err, ErrLockout) != want || err != nil && !want {
			t.Errorf("%s: Put says %v", changes, err)
		}
	}
	if _, err := newPolicies(t).Put(ctx, account, Request{Name: "p", Document: with(`{"Effect":"Deny"}`), Bypass: true}, 1); err != nil {
		t.Errorf("with bypass: %v", err)
	}
}

// Decisions see a change at once, a change of another process after a while, and nothing
// at all if a stored policy cannot be read.
func TestDocuments(t *testing.T) {
	p := newPolicies(t)
	count := func(account trace.Account) int {
		t.Helper()
		list, err := p.Documents(ctx, account)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if n := count(account); n != 0 {
		t.Errorf("%d policies", n)
	}
	if _, err := p.Put(ctx, account, Request{Name: "a", Document: sns}, 1); err != nil {
		t.Fatal(err)
	}
	if n := count(account); n != 1 {
		t.Errorf("after Put: %d", n)
	}
	if n := count("111111111111"); n != 0 {
		t.Errorf("another account has %d", n)
	}
	other := New(p.store)
	if _, err := other.Put(ctx, account, Request{Name: "b", Document: sns}, 1); err != nil {
		t.Fatal(err)
	}
	if n := count(account); n != 1 {
		t.Errorf("the compiled policies are not kept: %d", n)
	}
	p.mu.Lock()
	c := p.compiled[account]
	c.read = c.read.Add(-fresh)
	p.compiled[account] = c
	p.mu.Unlock()
	if n := count(account); n != 2 {
		t.Errorf("after a change of another process: %d", n)
	}
	if err := p.Delete(ctx, account, "a", nil); err != nil {
		t.Fatal(err)
	}
	if n := count(account); n != 1 {
		t.Errorf("after Delete: %d", n)
	}
	err := p.store.Update(ctx, account, func(tx meta.Tx) error { return tx.Put(kind, "bad", record{Document: "{"}) })
	if err != nil {
		t.Fatal(err)
	}
	p.forget(account)
	if _, err := p.Documents(ctx, account); err == nil || !strings.Contains(err.Error(), `resource policy "bad"`) {
		t.Errorf("a policy that cannot be read: %v", err)
	}
	for i := range 2 * maxCompiled {
		count(trace.Account(fmt.Sprintf("%012d", 5_000_000+i)))
	}
	if len(p.compiled) > maxCompiled {
		t.Errorf("%d accounts are kept", len(p.compiled))
	}
}

// Put asks about the caller, unless the check is bypassed.
func TestPut_caller(t *testing.T) {
	denied := trace.Errorf(trace.KindDenied, "no")
	broken := trace.Errorf(trace.KindUnavailable, "cannot decide")
	for _, c := range []struct {
		answer error
		bypass bool
		want   error
	}{{nil, false, nil}, {denied, false, ErrLockout}, {denied, true, nil}, {broken, false, broken}} {
		asked := ""
		q := Request{Name: "p", Document: sns, Bypass: c.bypass, Caller: func(document string) error { asked = document; return c.answer }}
		if _, err := newPolicies(t).Put(ctx, account, q, 1); !errors.Is(err, c.want) {
			t.Errorf("%v, bypass %v: %v", c.answer, c.bypass, err)
		}
		if (asked == sns) == c.bypass {
			t.Errorf("bypass %v: asked about %q", c.bypass, asked)
		}
	}
}

// FuzzShown checks that the printed form of an accepted policy is accepted and means
// the same.
func FuzzShown(f *testing.F) {
	for _, s := range []string{sns, with(`{}`), with(`{"Action":["*"]}`), `{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":"*"},"NotAction":["a:b"],"NotResource":"*","Condition":{"Bool":{"a:b":[true]}}}]}`, `{"\u0053tatement":{}}`, "[[", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parse(text)
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q is no JSON", text)
		}
		again, err := parse(shown(text))
		if err != nil {
			t.Fatalf("%q is shown as %q: %v", text, shown(text), err)
		}
		if shown(shown(text)) != shown(text) || LocksOut(again, account) != LocksOut(d, account) || !reflect.DeepEqual(d, again) {
			t.Fatalf("%q is shown as %q, which says something else", text, shown(text))
		}
	})
}
