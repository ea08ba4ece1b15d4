package oam

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/trace"
)

var (
	monitor = trace.Owner{Account: "444444444444", Region: "eu-west-1"}
	source  = trace.Owner{Account: "555555555555", Region: "eu-west-1"}
	other   = trace.Owner{Account: "787878787878", Region: "eu-west-1"}
)

const everybody = `{"Statement":{"Effect":"Allow","Principal":"*","Action":"oam:CreateLink","Resource":"*"}}`

func newLinks(t *testing.T) (*Links, meta.Store) {
	t.Helper()
	store, err := sqlite.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(store), store
}

// sinkFor makes a sink with a policy.
func sinkFor(t *testing.T, l *Links, o trace.Owner, policy string) Sink {
	t.Helper()
	s, err := l.CreateSink(t.Context(), o, "central", nil)
	if err == nil && policy != "" {
		s, err = l.PutSinkPolicy(t.Context(), o, s.Arn, policy)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func request(s Sink) LinkRequest {
	return LinkRequest{LabelTemplate: "shop of $AccountName", SinkIdentifier: s.Arn, ResourceTypes: []string{TraceType}}
}

// of returns the linked accounts as text.
func of(t *testing.T, l *Links, o trace.Owner) string {
	t.Helper()
	list, err := l.Of(t.Context(), o.Account)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, k := range list {
		out = append(out, fmt.Sprintf("%s since %d", k.Account, k.Since))
	}
	return strings.Join(out, ", ")
}

func TestLinks_beginAndEnd(t *testing.T) {
	l, store := newLinks(t)
	s := sinkFor(t, l, monitor, everybody)
	if got := of(t, l, monitor); got != "" {
		t.Errorf("linked without a link: %s", got)
	}
	link, err := l.CreateLink(t.Context(), source, "", request(s), 77)
	if err != nil || link.Label != "shop of 555555555555" {
		t.Fatalf("%+v, %v", link, err)
	}
	for _, l := range []*Links{l, New(store)} { // after a restart
		if got := of(t, l, monitor); got != "555555555555 since 77" {
			t.Errorf("linked: %q", got)
		}
	}
	if got := of(t, l, source); got != "" {
		t.Errorf("the source sees %s", got)
	}
	if err := l.DeleteSink(t.Context(), monitor, s.Id); trace.KindOf(err) != trace.KindConflict {
		t.Errorf("a sink with links is deleted: %v", err)
	}
	if err := l.DeleteLink(t.Context(), other, link.Arn); trace.KindOf(err) != trace.KindNotFound {
		t.Errorf("another account deletes the link: %v", err)
	}
	if err := l.DeleteLink(t.Context(), source, link.Id); err != nil {
		t.Fatal(err)
	}
	if got := of(t, l, monitor); got != "" {
		t.Errorf("after the end: %s", got)
	}
	if err := l.DeleteSink(t.Context(), monitor, s.Arn); err != nil {
		t.Error(err)
	}
}

// halfway is a store that fails for one account.
type halfway struct {
	meta.Store
	broken trace.Account
}

func (h *halfway) Update(ctx context.Context, account trace.Account, f func(meta.Tx) error) error {
	if account == h.broken {
		return errors.New("broken")
	}
	return h.Store.Update(ctx, account, f)
}

// A link has an effect only with the records of both accounts, whichever step failed.
func TestLinks_halfALinkIsNone(t *testing.T) {
	_, store := newLinks(t)
	h := &halfway{Store: store}
	l := New(h)
	s := sinkFor(t, l, monitor, everybody)
	h.broken = source.Account
	if _, err := l.CreateLink(t.Context(), source, "", request(s), 1); err == nil {
		t.Fatal("the link is made without its record")
	}
	if got := of(t, l, monitor); got != "" {
		t.Errorf("without a record of the source: %s", got)
	}
	// The list of the monitoring account cannot make a link up.
	h.broken = ""
	err := store.Update(t.Context(), monitor.Account, func(tx meta.Tx) error {
		return tx.Put(attachedKind, "made-up", attached{LinkArn: LinkARN(source, "made-up"), Source: source.Account, Sink: s.Id})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := of(t, New(store), monitor); got != "" {
		t.Errorf("a made-up link: %s", got)
	}
	link, err := l.CreateLink(t.Context(), source, "", request(s), 2)
	if err != nil {
		t.Fatal(err)
	}
	h.broken = monitor.Account
	if err := l.DeleteLink(t.Context(), source, link.Arn); err == nil {
		t.Fatal("the second step did not fail")
	}
	if got := of(t, l, monitor); got != "" {
		t.Errorf("half deleted: %s", got)
	}
}

func TestLinks_refuse(t *testing.T) {
	l, _ := newLinks(t)
	s := sinkFor(t, l, monitor, everybody)
	silent := sinkFor(t, l, other, "")
	far := source
	far.Region = "us-east-1"
	for name, c := range map[string]struct {
		o      trace.Owner
		change func(*LinkRequest)
		kind   trace.Kind
	}{
		"another region":           {far, func(*LinkRequest) {}, trace.KindInvalid},
		"its own sink":             {monitor, func(*LinkRequest) {}, trace.KindInvalid},
		"an unknown sink":          {source, func(r *LinkRequest) { r.SinkIdentifier = SinkARN(monitor, newID()) }, trace.KindDenied},
		"a sink without a policy":  {source, func(r *LinkRequest) { r.SinkIdentifier = silent.Arn }, trace.KindDenied},
		"no ARN":                   {source, func(r *LinkRequest) { r.SinkIdentifier = s.Id }, trace.KindInvalid},
		"no type":                  {source, func(r *LinkRequest) { r.ResourceTypes = nil }, trace.KindInvalid},
		"an unknown type":          {source, func(r *LinkRequest) { r.ResourceTypes = []string{"x"} }, trace.KindInvalid},
		"a type twice":             {source, func(r *LinkRequest) { r.ResourceTypes = []string{TraceType, TraceType} }, trace.KindInvalid},
		"no label":                 {source, func(r *LinkRequest) { r.LabelTemplate = "" }, trace.KindInvalid},
		"a label with a line feed": {source, func(r *LinkRequest) { r.LabelTemplate = "a\nb" }, trace.KindInvalid},
		"a tag without a key":      {source, func(r *LinkRequest) { r.Tags = map[string]string{"": "x"} }, trace.KindInvalid},
	} {
		r := request(s)
		c.change(&r)
		if _, err := l.CreateLink(t.Context(), c.o, "", r, 1); trace.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want kind %v", name, err, c.kind)
		}
	}
	if _, err := l.CreateLink(t.Context(), source, "", request(s), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := l.CreateLink(t.Context(), source, "", request(s), 1); trace.KindOf(err) != trace.KindConflict {
		t.Errorf("a second link to the sink: %v", err)
	}
	if _, err := l.CreateSink(t.Context(), monitor, "second", nil); trace.KindOf(err) != trace.KindConflict {
		t.Errorf("a second sink: %v", err)
	}
	for i := range maxLinks {
		o := trace.Owner{Account: trace.Account(fmt.Sprintf("%012d", i+1)), Region: "eu-west-1"}
		_, err := l.CreateLink(t.Context(), source, "", request(sinkFor(t, l, o, everybody)), 1)
		if full := i == maxLinks-1; (trace.KindOf(err) == trace.KindLimit) != full || !full && err != nil {
			t.Errorf("link %d: %v", i+2, err)
		}
	}
	// Metrics only: the link exists, and shares no traces.
	r := request(sinkFor(t, l, trace.Owner{Account: "999999999999", Region: "eu-west-1"}, everybody))
	r.ResourceTypes = []string{"AWS::CloudWatch::Metric"}
	if _, err := l.CreateLink(t.Context(), other, "", r, 1); err != nil || of(t, l, trace.Owner{Account: "999999999999"}) != "" {
		t.Errorf("a link of metrics: %v, %s", err, of(t, l, trace.Owner{Account: "999999999999"}))
	}
}

func TestPolicy(t *testing.T) {
	arn := SinkARN(monitor, "11111111-1111-1111-1111-111111111111")
	statement := func(s string) string { return `{"Version":"2012-10-17","Statement":[` + s + `]}` }
	allow := func(principal, more string) string {
		return `{"Effect":"Allow","Principal":` + principal + `,"Action":["oam:CreateLink","oam:UpdateLink"],"Resource":"*"` + more + `}`
	}
	traces, metrics := []string{TraceType}, []string{"AWS::CloudWatch::Metric"}
	for _, c := range []struct {
		policy string
		types  []string
		want   bool
	}{
		{"", traces, false},
		{statement(allow(`"*"`, "")), traces, true},
		{statement(allow(`{"AWS":"*"}`, "")), traces, true},
		{statement(allow(`{"AWS":"555555555555"}`, "")), traces, true},
		{statement(allow(`{"AWS":["111111111111","arn:aws:iam::555555555555:root"]}`, "")), traces, true},
		{statement(allow(`{"AWS":"arn:aws:iam::555555555555:user/alice"}`, "")), traces, true},
		{statement(allow(`{"AWS":"arn:aws:iam::555555555555:user/bob"}`, "")), traces, false},
		{statement(allow(`{"AWS":"111111111111"}`, "")), traces, false},
		{statement(allow(`"*"`, `,"Condition":{"ForAllValues:StringEquals":{"oam:ResourceTypes":"AWS::XRay::Trace"}}`)), traces, true},
		{statement(allow(`"*"`, `,"Condition":{"ForAllValues:StringEquals":{"oam:ResourceTypes":["AWS::XRay::Trace"]}}`)), append(metrics, traces...), false},
		{statement(allow(`"*"`, `,"Condition":{"ForAnyValue:StringEquals":{"OAM:resourcetypes":["AWS::XRay::Trace"]}}`)), append(metrics, traces...), true},
		{statement(allow(`"*"`, `,"Condition":{"StringEquals":{"aws:PrincipalAccount":"555555555555"}}`)), traces, true},
		{statement(allow(`"*"`, `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`)), traces, false},
		{statement(allow(`"*"`, "") + `,{"Effect":"Deny","Principal":{"AWS":"555555555555"},"Action":"*","Resource":"*"}`), traces, false},
		{statement(allow(`"*"`, "") + `,{"Effect":"Deny","Principal":{"AWS":"555555555555"},"Action":"oam:UpdateLink","Resource":"*"}`), traces, true},
		{statement(strings.Replace(allow(`"*"`, ""), `"Resource":"*"`, `"Resource":"`+arn+`"`, 1)), traces, true},
		{statement(strings.Replace(allow(`"*"`, ""), `"Resource":"*"`, `"Resource":"`+SinkARN(other, "11111111-1111-1111-1111-111111111111")+`"`, 1)), traces, false},
	} {
		s := Sink{Arn: arn, Policy: c.policy}
		if got := s.allows(linker{source.Account, "arn:aws:iam::555555555555:user/alice", c.types}); got != c.want {
			t.Errorf("%s for %v: %v", c.policy, c.types, got)
		}
	}
	for _, bad := range []string{
		"", "null", "{}", "[]", `{"Statement":[]}`, `{"Statement":[{}]}`, `{"Statement":{"Effect":"allow"}}`, statement(allow(`"x"`, "")), statement(allow(`{"AWS":[]}`, "")),
		statement(allow(`"*"`, `,"NotAction":"x"`)), `{"Version":"2020","Statement":` + allow(`"*"`, "") + `}`, statement(allow(`"*"`, "")) + "{}", statement(allow(`"*"`, `,"Effect":"Deny"`)),
		statement(allow(`{"AWS":["1","arn:aws:iam::555555555555:root"]}`, "")), strings.Repeat(" ", 1<<16) + statement(allow(`"*"`, "")),
	} {
		if _, err := parsePolicy(bad); trace.KindOf(err) != trace.KindInvalid || !strings.HasPrefix(err.Error(), "Policy: ") {
			t.Errorf("%.100s: %v", bad, err)
		}
		if s := (Sink{Arn: arn, Policy: bad}); s.allows(linker{account: source.Account, types: traces}) {
			t.Errorf("%.100s allows", bad)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	for _, seed := range []string{everybody, "", `{"Statement":[{"Effect":"Deny","Principal":{"AWS":["555555555555"]},"Action":"*","Resource":"*"}]}`, `{"Statement":[null]}`, `{"Statement":{"Principal":{"AWS":{}}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := parsePolicy(text)
		s := Sink{Arn: SinkARN(monitor, "11111111-1111-1111-1111-111111111111"), Policy: text}
		if allowed := s.allows(linker{account: source.Account, types: []string{TraceType}}); err != nil && allowed {
			t.Errorf("%q is refused (%v) and allows", text, err)
		}
	})
}
