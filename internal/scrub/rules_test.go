package scrub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/scrub"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const home trace.Account = "000000000000"

// breakable is a store that can be made to fail.
type breakable struct {
	meta.Store
	broken atomic.Bool
}

func (b *breakable) View(ctx context.Context, account trace.Account, f func(meta.Tx) error) error {
	if b.broken.Load() {
		return trace.Errorf(trace.KindUnavailable, "the disk is gone")
	}
	return b.Store.View(ctx, account, f)
}

func records(t *testing.T) *breakable {
	t.Helper()
	s, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &breakable{Store: s}
}

func document(value string) []byte {
	return []byte(`{"metadata":{"x":"` + value + `","password":"p"}}`)
}

func scrubbed(t *testing.T, r *scrub.Rules, account trace.Account) string {
	t.Helper()
	p, err := r.Program(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return string(p.Document(document("y")))
}

// A change counts from the next request on, for its account alone, and after a restart.
func TestRules_countFromTheNextRequestOn(t *testing.T) {
	store := records(t)
	r := scrub.New(scrub.Options{Store: store})
	if got := scrubbed(t, r, home); !strings.Contains(got, `"y"`) || !strings.Contains(got, "[scrubbed by default-keys]") {
		t.Error(got)
	}
	rule := scrub.Rule{Name: "one", Order: 5, Keys: []string{"x"}, Action: scrub.Hash}
	if _, err := r.Put(t.Context(), home, rule); err != nil {
		t.Fatal(err)
	}
	first := scrubbed(t, r, home)
	if !strings.Contains(first, `"x":"hmac-`) {
		t.Error(first)
	}
	if got := scrubbed(t, r, "111111111111"); !strings.Contains(got, `"y"`) {
		t.Error(got)
	}
	if again := scrubbed(t, scrub.New(scrub.Options{Store: store}), home); again != first {
		t.Errorf("after a restart %s, before %s", again, first)
	}
	for _, change := range []struct{ action, want string }{{"mask", "[scrubbed by default-keys]"}, {"drop", `{"metadata":{"x"`}} {
		if _, err := r.Put(t.Context(), home, scrub.Rule{Name: "default-keys", Action: scrub.Action(change.action)}); err != nil {
			t.Fatal(err)
		}
		if got := scrubbed(t, r, home); !strings.Contains(got, change.want) {
			t.Error(got)
		}
	}
	if _, err := r.Put(t.Context(), home, scrub.Rule{Name: "default-keys", Action: scrub.Mask, Disabled: true}); err != nil {
		t.Fatal(err)
	}
	if got := scrubbed(t, r, home); !strings.Contains(got, `"password":"p"`) {
		t.Error(got)
	}
	if err := errors.Join(r.Delete(t.Context(), home, "default-keys"), r.Delete(t.Context(), home, "one")); err != nil {
		t.Fatal(err)
	}
	if got := scrubbed(t, r, home); !strings.Contains(got, `"y"`) || !strings.Contains(got, "[scrubbed by default-keys]") {
		t.Error(got)
	}
	if err := r.Delete(t.Context(), home, "one"); trace.KindOf(err) != trace.KindNotFound {
		t.Error(err)
	}
	list, err := r.List(t.Context(), home)
	if err != nil || len(list) != len(scrub.Defaults()) || !list[0].Default || list[0].Values < 3 {
		t.Errorf("%+v, %v", list, err)
	}
	if n := r.Totals()["default-keys"]; n < 4 {
		t.Errorf("%d in total", n)
	}
}

// While the rules cannot be read, the last known ones apply, then the default ones;
// strict rules refuse.
func TestRules_whileTheRecordsAreAway(t *testing.T) {
	store := records(t)
	now := time.Now()
	clock := func() time.Time { return now }
	for _, strict := range []bool{false, true} {
		store.broken.Store(false)
		r := scrub.New(scrub.Options{Store: store, Strict: strict, Now: clock})
		if _, err := r.Put(t.Context(), home, scrub.Rule{Name: "one", Keys: []string{"x"}, Action: scrub.Drop}); err != nil {
			t.Fatal(err)
		}
		scrubbed(t, r, home)
		store.broken.Store(true)
		now = now.Add(time.Hour)
		if got := scrubbed(t, r, home); strings.Contains(got, `"y"`) {
			t.Errorf("strict %v, known: %s", strict, got)
		}
		p, err := r.Program(t.Context(), "222222222222")
		if strict != (trace.KindOf(err) == trace.KindUnavailable) || !strict && !bytes.Contains(p.Document(document("y")), []byte("default-keys")) {
			t.Errorf("strict %v, unknown: %v", strict, err)
		}
	}
	off := scrub.New(scrub.Options{Store: records(t), NoDefaults: true})
	if p, err := off.Program(t.Context(), home); err != nil || !p.Empty() {
		t.Errorf("without default rules: %v", err)
	}
}

// Wrong rules are refused with their place.
func TestRules_refusesWrongOnes(t *testing.T) {
	r := scrub.New(scrub.Options{Store: records(t)})
	long := strings.Repeat("x", 300)
	for want, rule := range map[string]scrub.Rule{
		"1 to 64 letters":               {Name: "a b", Keys: []string{"x"}, Action: scrub.Mask},
		"want drop, mask, last4":        {Name: "a", Keys: []string{"x"}, Action: "burn"},
		"0 to 1000000":                  {Name: "a", Order: -1, Keys: []string{"x"}, Action: scrub.Mask},
		"selects nothing":               {Name: "a", Services: []string{"s"}, Action: scrub.Mask},
		"Keys[1]":                       {Name: "a", Keys: []string{"x", long}, Action: scrub.Mask},
		"would select every value":      {Name: "a", Keys: []string{"*"}, Action: scrub.Mask},
		"cannot be scrubbed":            {Name: "a", Paths: []string{"Trace_Id"}, Action: scrub.Drop},
		"missing closing )":             {Name: "a", Pattern: "(x", Action: scrub.Mask},
		"matches the empty text":        {Name: "a", Pattern: "x?", Action: scrub.Mask},
		"at most 1024":                  {Name: "a", Pattern: strings.Repeat(long, 4), Action: scrub.Mask},
		"no detector \"nose\"":          {Name: "a", Detectors: []string{"nose"}, Action: scrub.Mask},
		"no such default rule":          {Name: "default-x", Keys: []string{"x"}, Action: scrub.Mask},
		"only Action, DryRun":           {Name: "default-jwt", Keys: []string{"x"}, Action: scrub.Mask},
		"at most 100":                   {Name: "a", Keys: strings.Split(strings.Repeat("x,", 101), ","), Action: scrub.Mask},
		"Description of rule a":         {Name: "a", Description: long, Keys: []string{"x"}, Action: scrub.Mask},
		"Services[0] of rule a: want 1": {Name: "a", Services: []string{""}, Keys: []string{"x"}, Action: scrub.Mask},
	} {
		if _, err := r.Put(t.Context(), home, rule); trace.KindOf(err) != trace.KindInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	for n := range scrub.MaxRules {
		if _, err := r.Put(t.Context(), home, scrub.Rule{Name: fmt.Sprint("r", n), Keys: []string{"x"}, Action: scrub.Mask}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Put(t.Context(), home, scrub.Rule{Name: "more", Keys: []string{"x"}, Action: scrub.Mask}); trace.KindOf(err) != trace.KindLimit {
		t.Error(err)
	}
	if _, err := r.Put(t.Context(), home, scrub.Rule{Name: "r1", Keys: []string{"y"}, Action: scrub.Mask}); err != nil {
		t.Error("an existing rule cannot change:", err)
	}
	if _, err := r.Put(t.Context(), home, scrub.Rule{Name: "default-jwt", Action: scrub.Mask, DryRun: true}); err != nil {
		t.Error("a default rule cannot change:", err)
	}
}

// A preview counts values and traces and shows no value.
func TestPreview(t *testing.T) {
	r := scrub.New(scrub.Options{Store: records(t)})
	p, err := r.Trial(t.Context(), home, []scrub.Rule{{Name: "mails", Detectors: []string{"email"}, Action: scrub.Hash}, {Name: "ids", Keys: []string{"id"}, Action: scrub.KeepLast, DryRun: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := p.Preview()
	for range 2 {
		v.Next()
		for range 3 {
			v.Record(trace.Record{Source: trace.SourceDocument, Raw: []byte(`{"metadata":{"to":"Ann.X@example.com!","id":"Secret-Ä7 text"}}`)})
		}
	}
	got := fmt.Sprintf("%+v", v.Found())
	for _, want := range []string{"Rule:mails Values:6 Traces:2", "Path:metadata.to Before:Aaa.A@aaaaaaa.aaa! After:hmac-", "Rule:ids Values:6 Traces:2", "Path:metadata.id Before:Aaaaaa-A0 aaaa After:****}"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in %s", want, got)
		}
	}
	for _, secret := range []string{"Ann", "Secret", "text"} {
		if strings.Contains(got, secret) {
			t.Errorf("%s is shown: %s", secret, got)
		}
	}
	if _, err := r.Trial(t.Context(), home, nil, []string{"none"}); trace.KindOf(err) != trace.KindNotFound {
		t.Error(err)
	}
}

// Text of any shape takes time in proportion to its length: no text of a megabyte takes
// more than some seconds, whatever its machine.
func TestProgram_takesLinearTime(t *testing.T) {
	r := scrub.New(scrub.Options{Store: records(t)})
	rules := append(scrub.Defaults(), scrub.Rule{Name: "all", Detectors: []string{"card", "email", "iban", "sql"}, Action: scrub.Mask}, scrub.Rule{Name: "paths", Paths: []string{"*.a*b*c*d"}, Action: scrub.Mask})
	p, err := r.Trial(t.Context(), home, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := scrub.Compile(rules, []byte("key"), func(string) *atomic.Int64 { return new(atomic.Int64) })
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{"@", "a@", "://a:", "x://@", "password=", "token=a ", "token=a;", "'", "\\'", "password='", "eyJ", "eyJa.", "-----BEGIN PRIVATE KEY-----", "sk-", "xoxb-", "AKIA", "4", "4 ", "4111 ", "DE12 ", "$a$", "bearer ", "[scrubbed by ", "***", "=", ":", "a,", "{", "by '", "identified by '", "1.", "\\\\\\\""} {
		value := strings.Repeat(unit, 900_000/len(unit))
		doc := append(append([]byte(`{"metadata":{"x":"`), strings.ReplaceAll(strings.ReplaceAll(value, `\`, `\\`), `"`, `\"`)...), `"}}`...)
		for _, p := range []*scrub.Program{p, all} {
			began := time.Now()
			p.Document(doc[:min(len(doc), trace.MaxDocument)])
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%q takes %v", unit, took)
			} else if took > 300*time.Millisecond {
				t.Logf("%q takes %v", unit, took)
			}
		}
	}
}
