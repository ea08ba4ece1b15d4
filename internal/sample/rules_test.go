package sample_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/sample"
	"github.com/fluoro-io/fluoro/internal/tag"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const arn = "arn:aws:xray:us-east-1:000000000000:sampling-rule/"

// names lists the names of the rules.
func (f *fixture) names() string {
	f.t.Helper()
	rules, err := f.Rules(f.t.Context(), owner)
	if err != nil {
		f.t.Fatal(err)
	}
	var out []string
	for _, r := range rules {
		out = append(out, r.RuleName)
	}
	return strings.Join(out, " ")
}

func TestRules_byNameDefaultLast(t *testing.T) {
	f := fresh(t)
	if got := f.names(); got != "Default" {
		t.Errorf("a new account has %s", got)
	}
	for _, name := range []string{"b", "Z", "É", "a", "DEBUG – history updates"} {
		f.rule(name, 1, 0, nil)
	}
	if got := f.names(); got != "DEBUG – history updates Z a b É Default" {
		t.Errorf("got %s", got)
	}
	if other, err := f.Rules(t.Context(), trace.Owner{Account: "111111111111", Region: "us-east-1"}); err != nil || len(other) != 1 || other[0].RuleARN != "arn:aws:xray:us-east-1:111111111111:sampling-rule/Default" {
		t.Errorf("another account has %+v, %v", other, err)
	}
	if abroad, err := f.Rules(t.Context(), trace.Owner{Account: account, Region: "eu-west-1"}); err != nil || abroad[len(abroad)-1].RuleARN != "arn:aws:xray:eu-west-1:000000000000:sampling-rule/Default" {
		t.Errorf("in another region: %+v, %v", abroad, err)
	}
	rules, _ := f.Rules(t.Context(), owner)
	d := rules[len(rules)-1]
	want := sample.Rule{
		RuleName: "Default", RuleARN: arn + "Default", Priority: 10000, FixedRate: 0.05, ReservoirSize: 1,
		ServiceName: "*", ServiceType: "*", Host: "*", HTTPMethod: "*", URLPath: "*", ResourceARN: "*", Attributes: map[string]string{},
	}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("Default is %+v", d)
	}
}

func TestCreate(t *testing.T) {
	f := fresh(t)
	given := sample.Rule{
		RuleName: "checkout", Priority: 1, FixedRate: 1, ReservoirSize: 50, ServiceName: "s*", ServiceType: "AWS::EC2::Instance", Host: "h?", HTTPMethod: "GET", URLPath: "/p/*", ResourceARN: "*",
		SamplingRateBoost: &sample.RateBoost{MaxRate: 0.5, CooldownWindowMinutes: 10},
	}
	want := given
	want.RuleARN, want.Attributes, want.CreatedAt, want.ModifiedAt = arn+"checkout", map[string]string{}, trace.TimeOf(f.now), trace.TimeOf(f.now)
	got, err := f.Create(t.Context(), owner, given, 1, []tag.Tag{{Key: "b", Value: ""}, {Key: "a", Value: "x"}}, f.now)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
	rules, _ := f.Rules(t.Context(), owner)
	if rules[0].CreatedAt != trace.TimeOf(f.now) || rules[0].SamplingRateBoost == nil || *rules[0].SamplingRateBoost != *want.SamplingRateBoost || rules[0].Attributes == nil {
		t.Errorf("listed as %+v", rules[0])
	}
	if tags := f.tags(got); !reflect.DeepEqual(tags, []tag.Tag{{Key: "b", Value: ""}, {Key: "a", Value: "x"}}) {
		t.Errorf("tags %v", tags)
	}
	// The fields of the record that other packages read.
	var record struct{ RuleName, RuleARN string }
	if err := f.store.View(t.Context(), account, func(tx meta.Tx) error {
		_, err := tx.Get("sampling-rule", "checkout", &record)
		return err
	}); err != nil || record.RuleARN != arn+"checkout" || record.RuleName != "checkout" {
		t.Errorf("record %+v, %v", record, err)
	}

	given.RuleName, given.RuleARN = "", arn+"by arn/with slash"
	if got, err := f.Create(t.Context(), owner, given, 1, nil, f.now); err != nil || got.RuleName != "by arn/with slash" || got.RuleARN != given.RuleARN {
		t.Errorf("by ARN alone: %+v, %v", got, err)
	}
}

func TestCreate_refuses(t *testing.T) {
	many := make([]tag.Tag, 51)
	for i := range many {
		many[i].Key = fmt.Sprint(i)
	}
	for name, c := range map[string]struct {
		change  func(*sample.Rule)
		version int
		tags    []tag.Tag
		kind    trace.Kind
		text    string
	}{
		"exists":         {func(r *sample.Rule) { r.RuleName = "a" }, 1, nil, trace.KindConflict, "Sampling rule already exists"},
		"exists, by ARN": {func(r *sample.Rule) { r.RuleName, r.RuleARN = "", arn+"a" }, 1, nil, trace.KindConflict, "Sampling rule already exists"},
		"Default":        {func(r *sample.Rule) { r.RuleName = "Default" }, 1, nil, trace.KindConflict, "Sampling rule already exists"},
		"version":        {func(*sample.Rule) {}, 2, nil, trace.KindInvalid, "Sampling rule version must be 1"},
		"both":           {func(r *sample.Rule) { r.RuleARN = arn + "new" }, 1, nil, trace.KindInvalid, "Request cannot contain both sampling rule name and sampling rule ARN"},
		"neither":        {func(r *sample.Rule) { r.RuleName = "" }, 1, nil, trace.KindInvalid, "Request must contain either sampling rule name or sampling rule ARN"},
		"ARN, no rule":   {func(r *sample.Rule) { r.RuleName, r.RuleARN = "", "arn:aws:xray:us-east-1:000000000000:group/a" }, 1, nil, trace.KindInvalid, "Sampling rule ARN must be"},
		"ARN, other":     {func(r *sample.Rule) { r.RuleName, r.RuleARN = "", strings.Replace(arn, "0000", "1111", 1)+"a" }, 1, nil, trace.KindInvalid, "Sampling rule ARN must be"},
		"ARN, no name":   {func(r *sample.Rule) { r.RuleName, r.RuleARN = "", arn }, 1, nil, trace.KindInvalid, "Sampling rule ARN must be"},
		"ARN, long":      {func(r *sample.Rule) { r.RuleName, r.RuleARN = "", arn+strings.Repeat("n", 33) }, 1, nil, trace.KindInvalid, "Sampling rule ARN must be"},
		"NUL":            {func(r *sample.Rule) { r.RuleName = "a\x00" }, 1, nil, trace.KindInvalid, "without NUL"},
		"priority":       {func(r *sample.Rule) { r.Priority = 10000 }, 1, nil, trace.KindInvalid, "Invalid create request for sampling rule"},
		"rate":           {func(r *sample.Rule) { r.FixedRate = -0.1 }, 1, nil, trace.KindInvalid, "Invalid create request for sampling rule"},
		"cooldown":       {func(r *sample.Rule) { r.SamplingRateBoost = &sample.RateBoost{MaxRate: 0.5} }, 1, nil, trace.KindInvalid, "Invalid create request for sampling rule"},
		"tag aws:":       {func(*sample.Rule) {}, 1, []tag.Tag{{Key: "AWS:x"}}, trace.KindInvalid, "system tags"},
		"tag twice":      {func(*sample.Rule) {}, 1, []tag.Tag{{Key: "x"}, {Key: "x"}}, trace.KindInvalid, "is given twice"},
		"many tags":      {func(*sample.Rule) {}, 1, many, trace.KindLimit, "at most 50 tags"},
	} {
		t.Run(name, func(t *testing.T) {
			f := fresh(t)
			f.rule("a", 1, 0.5, nil)
			before := fmt.Sprint(f.store.records)
			r := sample.Rule{RuleName: "new", Priority: 1, FixedRate: 0.5, ServiceName: "*", ServiceType: "*", Host: "*", HTTPMethod: "*", URLPath: "*", ResourceARN: "*"}
			c.change(&r)
			_, err := f.Create(t.Context(), owner, r, c.version, c.tags, f.now)
			if err == nil || trace.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v (kind %d)", err, trace.KindOf(err))
			}
			if fmt.Sprint(f.store.records) != before {
				t.Error("something was stored")
			}
		})
	}
}

func TestCreate_25rules(t *testing.T) {
	f := fresh(t)
	rate := 0.1
	if _, err := f.Update(t.Context(), owner, sample.Update{Selector: sample.Selector{RuleName: "Default"}, FixedRate: &rate}, f.now); err != nil {
		t.Fatal(err) // a stored Default does not count
	}
	for i := range 25 {
		f.rule(fmt.Sprint(i), 1, 0, nil)
	}
	r := sample.Rule{RuleName: "26th", Priority: 1}
	if _, err := f.Create(t.Context(), owner, r, 1, nil, f.now); !errors.Is(err, sample.ErrTooMany) {
		t.Errorf("got %v", err)
	}
	r.RuleName = "3"
	if _, err := f.Create(t.Context(), owner, r, 1, nil, f.now); trace.KindOf(err) != trace.KindConflict {
		t.Errorf("one that exists: %v", err)
	}
	if _, err := f.Delete(t.Context(), owner, sample.Selector{RuleName: "7"}, f.now); err != nil {
		t.Fatal(err)
	}
	f.rule("26th", 1, 0, nil)
}

func TestUpdate_partial(t *testing.T) {
	f := fresh(t)
	boost := &sample.RateBoost{MaxRate: 0.5, CooldownWindowMinutes: 1}
	old := f.rule("a", 3, 0.25, boost)
	one, text, rate := 7, "x", 0.75
	for _, c := range []struct {
		update sample.Update
		want   func(*sample.Rule)
	}{
		{sample.Update{SamplingRateBoost: boost}, func(*sample.Rule) {}},
		{sample.Update{SamplingRateBoost: boost, Priority: &one}, func(r *sample.Rule) { r.Priority = 7 }},
		{sample.Update{SamplingRateBoost: boost, ReservoirSize: &one, FixedRate: &rate}, func(r *sample.Rule) { r.ReservoirSize, r.FixedRate = 7, 0.75 }},
		{sample.Update{SamplingRateBoost: boost, ServiceName: &text, ServiceType: &text, Host: &text}, func(r *sample.Rule) { r.ServiceName, r.ServiceType, r.Host = "x", "x", "x" }},
		{sample.Update{SamplingRateBoost: boost, HTTPMethod: &text, URLPath: &text, ResourceARN: &text}, func(r *sample.Rule) { r.HTTPMethod, r.URLPath, r.ResourceARN = "x", "x", "x" }},
		{sample.Update{SamplingRateBoost: boost, Attributes: map[string]string{"k": "v"}}, func(r *sample.Rule) { r.Attributes = map[string]string{"k": "v"} }},
		{sample.Update{}, func(r *sample.Rule) { r.SamplingRateBoost = nil }}, // keeps the attributes, removes the boost
		{sample.Update{Attributes: map[string]string{}}, func(r *sample.Rule) { r.Attributes = map[string]string{} }},
	} {
		f.pass(time.Second)
		c.want(&old)
		old.ModifiedAt = trace.TimeOf(f.now)
		c.update.RuleARN = arn + "a"
		got, err := f.Update(t.Context(), owner, c.update, f.now)
		if err != nil {
			t.Fatal(err)
		}
		rules, _ := f.Rules(t.Context(), owner)
		if want, _ := json.Marshal(old); asJSON(got) != string(want) || asJSON(rules[0]) != string(want) || rules[0].ModifiedAt != trace.TimeOf(f.now) || rules[0].CreatedAt != trace.TimeOf(start) {
			t.Errorf("update %+v:\n got %s\nwant %s\nlist %s", c.update, asJSON(got), want, asJSON(rules[0]))
		}
	}
}

func asJSON(v any) string { b, _ := json.Marshal(v); return string(b) }

func TestUpdate_default(t *testing.T) {
	f := fresh(t)
	rate, size, priority, star, x := 0.2, 4, 10000, "*", "x"
	sel := sample.Selector{RuleName: "Default"}
	got, err := f.Update(t.Context(), owner, sample.Update{Selector: sel, FixedRate: &rate, ReservoirSize: &size, Priority: &priority, Host: &star}, f.now)
	if err != nil || got.FixedRate != 0.2 || got.ReservoirSize != 4 || got.CreatedAt != 0 || got.ModifiedAt != trace.TimeOf(f.now) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if f.names() != "Default" {
		t.Errorf("listed %s", f.names())
	}
	five := 5
	for _, u := range []sample.Update{{Priority: &five}, {Host: &x}, {URLPath: &x}, {Attributes: map[string]string{"a": "b"}}, {SamplingRateBoost: &sample.RateBoost{MaxRate: 1, CooldownWindowMinutes: 1}}} {
		u.Selector, u.FixedRate = sel, new(float64)
		if _, err := f.Update(t.Context(), owner, u, f.now); err == nil || err.Error() != "Invalid update request for default sampling rule" || trace.KindOf(err) != trace.KindInvalid {
			t.Errorf("%+v: %v", u, err)
		}
	}
	if rules, _ := f.Rules(t.Context(), owner); rules[0].FixedRate != 0.2 {
		t.Errorf("a refused update left %+v", rules[0])
	}
}

func TestUpdate_refuses(t *testing.T) {
	f := fresh(t)
	f.rule("a", 3, 0.25, nil)
	n := func(i int) *int { return &i }
	r := func(v float64) *float64 { return &v }
	a := sample.Selector{RuleName: "a"}
	invalid := "Invalid update request for sampling rule"
	before := fmt.Sprint(f.store.records)
	for _, c := range []struct {
		update sample.Update
		kind   trace.Kind
		text   string
	}{
		{sample.Update{}, trace.KindInvalid, "Request must contain either sampling rule name or sampling rule ARN"},
		{sample.Update{Selector: sample.Selector{RuleName: "a", RuleARN: arn + "a"}}, trace.KindInvalid, "Request cannot contain both sampling rule name and sampling rule ARN"},
		{sample.Update{Selector: sample.Selector{RuleName: "b"}}, trace.KindNotFound, "Sampling rule does not exist"},
		{sample.Update{Selector: sample.Selector{RuleARN: arn + "b"}}, trace.KindNotFound, "Sampling rule does not exist"},
		{sample.Update{Selector: sample.Selector{RuleARN: "a"}}, trace.KindNotFound, "Sampling rule does not exist"},
		{sample.Update{Selector: a, Priority: n(-1), FixedRate: r(0.75)}, trace.KindInvalid, invalid},
		{sample.Update{Selector: a, Priority: n(0)}, trace.KindInvalid, invalid},
		{sample.Update{Selector: a, Priority: n(10000)}, trace.KindInvalid, invalid},
		{sample.Update{Selector: a, ReservoirSize: n(-1)}, trace.KindInvalid, invalid},
		{sample.Update{Selector: a, FixedRate: r(1.1)}, trace.KindInvalid, invalid},
		{sample.Update{Selector: a, SamplingRateBoost: &sample.RateBoost{MaxRate: 1.1, CooldownWindowMinutes: 1}}, trace.KindInvalid, invalid},
		{sample.Update{Selector: a, SamplingRateBoost: &sample.RateBoost{}}, trace.KindInvalid, invalid},
	} {
		_, err := f.Update(t.Context(), owner, c.update, f.now.Add(time.Hour))
		if err == nil || err.Error() != c.text || trace.KindOf(err) != c.kind {
			t.Errorf("%+v: %v", c.update, err)
		}
	}
	if fmt.Sprint(f.store.records) != before {
		t.Error("a refused update changed something")
	}
}

func TestDelete(t *testing.T) {
	f := fresh(t)
	r, err := f.Create(t.Context(), owner, sample.Rule{RuleName: "a", Priority: 5}, 1, []tag.Tag{{Key: "k", Value: "v"}}, f.now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Delete(t.Context(), owner, sample.Selector{RuleARN: r.RuleARN}, f.now)
	if err != nil || asJSON(got) != asJSON(r) {
		t.Errorf("got %+v, %v", got, err)
	}
	if f.names() != "Default" || f.tags(r) != nil {
		t.Errorf("left: %s, tags %v", f.names(), f.tags(r))
	}
	f.pass(time.Minute)
	if again := f.rule("a", 1, 0, nil); again.RuleARN != r.RuleARN || again.CreatedAt != trace.TimeOf(f.now) || f.tags(again) != nil {
		t.Errorf("made again: %+v, tags %v", again, f.tags(again))
	}
	for _, c := range []struct {
		sel  sample.Selector
		kind trace.Kind
		text string
	}{
		{sample.Selector{}, trace.KindInvalid, "Request must contain either sampling rule name or sampling rule ARN"},
		{sample.Selector{RuleName: "a", RuleARN: r.RuleARN}, trace.KindInvalid, "Request cannot contain both sampling rule name and sampling rule ARN"},
		{sample.Selector{RuleName: "b"}, trace.KindNotFound, "Sampling rule does not exist"},
		{sample.Selector{RuleName: "Default"}, trace.KindInvalid, "Invalid delete request for default sampling rule"},
		{sample.Selector{RuleARN: arn + "Default"}, trace.KindInvalid, "Invalid delete request for default sampling rule"},
	} {
		if _, err := f.Delete(t.Context(), owner, c.sel, f.now); err == nil || err.Error() != c.text || trace.KindOf(err) != c.kind {
			t.Errorf("%+v: %v", c.sel, err)
		}
	}
}

// The time that clients compare with their last poll changes with every change and
// never goes back.
func TestChanged(t *testing.T) {
	f := fresh(t)
	check := func(what string, want time.Time) {
		t.Helper()
		if got := f.report().Changed; got.Time() != want.UTC() {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("at first", time.Unix(0, 0))
	f.rule("a", 1, 0, nil)
	check("created", f.now)
	f.pass(time.Second)
	if _, err := f.Update(t.Context(), owner, sample.Update{Selector: sample.Selector{RuleName: "a"}}, f.now); err != nil {
		t.Fatal(err)
	}
	check("updated", f.now)
	f.pass(time.Second)
	if _, err := f.Update(t.Context(), owner, sample.Update{}, f.now); err == nil {
		t.Fatal("accepted")
	}
	check("refused", f.now.Add(-time.Second))
	if _, err := f.Delete(t.Context(), owner, sample.Selector{RuleName: "a"}, f.now); err != nil {
		t.Fatal(err)
	}
	check("deleted", f.now)
	latest := f.now
	f.pass(-time.Hour)
	f.rule("b", 1, 0, nil)
	check("after the clock was set back", latest)
}

func TestRules_storeFails(t *testing.T) {
	f := fresh(t)
	f.rule("a", 1, 0, nil)
	f.store.broken = trace.Errorf(trace.KindUnavailable, "disk full")
	_, err1 := f.Rules(t.Context(), owner)
	_, err2 := f.Create(t.Context(), owner, sample.Rule{RuleName: "b", Priority: 1}, 1, nil, f.now)
	_, err3 := f.Update(t.Context(), owner, sample.Update{Selector: sample.Selector{RuleName: "a"}}, f.now)
	_, err4 := f.Delete(t.Context(), owner, sample.Selector{RuleName: "a"}, f.now)
	_, err5 := f.Report(t.Context(), account, nil, nil, f.now)
	_, err6 := f.Windows(t.Context(), account, f.now)
	for i, err := range []error{err1, err2, err3, err4, err5, err6} {
		if !errors.Is(err, f.store.broken) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
}
