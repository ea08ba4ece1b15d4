package erase_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/erase"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/memory"
	"github.com/fluoro-io/fluoro/internal/trace"
)

var owner = trace.Owner{Account: "000000000000", Region: "us-east-1"}

type fixture struct {
	*testing.T
	store   *answer.Store
	records meta.Store
	signer  *audit.Signer
	now     time.Time
	held    map[string]string
	broken  error // of the signer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, now: time.Now(), held: map[string]string{}}
	var err error
	if f.store, err = answer.Open(t.Context(), answer.Options{Retention: -1}, func(store.Rules) (store.Shelf, error) { return memory.Open(memory.NewData()), nil }); err != nil {
		t.Fatal(err)
	}
	if f.records, err = sqlite.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if f.signer, err = audit.NewSigner(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = f.store.Close(), f.records.Close() })
	return f
}

func (f *fixture) eraser() *erase.Eraser {
	return erase.New(erase.Options{
		Store: f.store, Records: f.records, Logger: slog.New(slog.DiscardHandler), Guard: time.Hour, Kinds: []meta.Kind{"finding"}, Now: func() time.Time { return f.now },
		Filter: func(_ trace.Owner, text string) (*filter.Expr, error) { return filter.Parse(text) },
		Held: func(context.Context, trace.Account) (func(trace.ID) []string, error) {
			return func(id trace.ID) []string {
				if name := f.held[id.String()]; name != "" {
					return []string{name}
				}
				return nil
			}, nil
		},
		Signer: func(context.Context) (*audit.Signer, error) { return f.signer, f.broken },
	})
}

func id(n int) string { return fmt.Sprintf("1-0a0a0a0a-%024x", n) }

// segment makes a segment of trace n.
func (f *fixture) segment(n int, members string) *trace.Segment {
	f.Helper()
	doc := fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"svc","start_time":1764417600,"end_time":1764417601%s}`, id(n), n+1, members)
	s, err := decode.Restore(trace.SourceDocument, []byte(doc), nil, 0, trace.TimeOf(f.now))
	if err != nil {
		f.Fatal(err)
	}
	return s
}

func (f *fixture) put(n int, members string) {
	f.Helper()
	if _, err := f.store.Append(f.Context(), owner.Account, []*trace.Segment{f.segment(n, members)}); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) refused(e *erase.Eraser, s *trace.Segment) bool {
	f.Helper()
	why, err := e.Refuses(f.Context(), owner.Account)
	if err != nil {
		f.Fatal(err)
	}
	return why != nil && why(s) != ""
}

func TestErase_selectsExactly(t *testing.T) {
	for _, c := range []struct {
		request erase.Request
		want    int
	}{
		{erase.Request{User: `a"b\`}, 1}, // quotes cannot leave the filter
		{erase.Request{User: `x" OR user = "plain`}, 0},
		{erase.Request{Annotation: "n=7"}, 2}, // number and text
		{erase.Request{Annotation: "n=7.0"}, 1},
		{erase.Request{Annotation: "b=true"}, 1},
		{erase.Request{Annotation: "k=a=b"}, 1},
		{erase.Request{Traces: []string{id(1), id(1), id(99), strings.ReplaceAll(id(2)[2:], "-", "")}}, 2},
	} {
		f := newFixture(t)
		f.put(0, `,"user":"a\"b\\"`)
		f.put(1, `,"user":"plain","annotations":{"n":7}`)
		f.put(2, `,"annotations":{"n":"7","b":true}`)
		f.put(3, `,"annotations":{"k":"a=b"}`)
		signed, err := f.eraser().Erase(t.Context(), owner, "tester", c.request)
		if err != nil {
			t.Errorf("%+v: %v", c.request, err)
			continue
		}
		if r := signed.Report; r.Deleted != c.want || r.Before.Traces != c.want || r.After.Traces != 0 || !r.Purged {
			t.Errorf("%+v: %+v", c.request, r)
		}
	}
}

func TestErase_leavesHeldTraces(t *testing.T) {
	f := newFixture(t)
	f.put(0, `,"user":"u"`)
	f.put(1, `,"user":"u"`)
	f.held[id(1)] = "court"
	signed, err := f.eraser().Erase(t.Context(), owner, "tester", erase.Request{User: "u"})
	if err != nil {
		t.Fatal(err)
	}
	if r := signed.Report; r.Deleted != 1 || len(r.Held) != 1 || r.Held[0].ID != id(1) || r.After.Traces != 1 || !strings.Contains(r.Text(), "held         1 traces") {
		t.Errorf("%+v", r)
	}
}

// Without a key to sign with, nothing is deleted.
func TestErase_needsASignature(t *testing.T) {
	f := newFixture(t)
	f.put(0, `,"user":"u"`)
	f.broken = errors.New("no key")
	if _, err := f.eraser().Erase(t.Context(), owner, "tester", erase.Request{User: "u"}); trace.KindOf(err) != trace.KindUnavailable {
		t.Error(err)
	}
	f.broken = nil
	signed, err := f.eraser().Erase(t.Context(), owner, "tester", erase.Request{User: "u", DryRun: true})
	if err != nil || signed.Report.Before.Traces != 1 || signed.Signature != "" {
		t.Errorf("%+v, %v", signed, err)
	}
}

// Late segments are refused for a time, also after a restart; the records do not hold the
// erased texts.
func TestErase_refusesLateSegments(t *testing.T) {
	f := newFixture(t)
	e := f.eraser()
	if why, err := e.Refuses(t.Context(), owner.Account); why != nil || err != nil {
		t.Fatalf("without erasures every segment is checked: %v", err)
	}
	f.put(1, `,"user":"Mallory"`)
	for _, r := range []erase.Request{{User: "Mallory"}, {Annotation: "iban=DE02"}, {Annotation: "n=7"}, {Traces: []string{id(5)}}} {
		if _, err := e.Erase(t.Context(), owner, "tester", r); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for members, want := range map[string]bool{
			`,"user":"Mallory"`: true, `,"user":"mallory"`: false, `,"user":"Mallory2"`: false, `,"annotations":{"iban":"DE02"}`: true,
			`,"annotations":{"n":7}`: true, `,"annotations":{"n":"7"}`: true, `,"annotations":{"n":8}`: false, `,"annotations":{"m":7}`: false,
			`,"subsegments":[{"id":"00000000000000ff","name":"x","start_time":1,"end_time":2,"annotations":{"iban":"DE02"}}]`: true,
		} {
			if got := f.refused(e, f.segment(50, members)); got != want {
				t.Errorf("%s is refused: %v, want %v", members, got, want)
			}
		}
		for n, want := range map[int]bool{1: true, 5: true, 6: false} {
			if got := f.refused(e, f.segment(n, "")); got != want {
				t.Errorf("trace %d is refused: %v, want %v", n, got, want)
			}
		}
		e = f.eraser() // after a restart
	}
	_ = f.records.View(t.Context(), owner.Account, func(tx meta.Tx) error {
		return tx.List("erasure", func(_ string, value json.RawMessage) error {
			if text := string(value); strings.Contains(text, "Mallory") || strings.Contains(text, "DE02") {
				t.Errorf("a record holds what was erased: %s", text)
			}
			return nil
		})
	})
	f.now = f.now.Add(2 * time.Hour)
	if f.refused(f.eraser(), f.segment(5, `,"user":"Mallory"`)) {
		t.Error("the refusal does not end")
	}
}

// Records that name the person or an erased trace go, others stay.
func TestErase_deletesRecords(t *testing.T) {
	f := newFixture(t)
	f.put(0, `,"user":"u1"`)
	put := map[string]any{"a": map[string]string{"subject": "u1"}, "b": map[string]any{"traces": []string{id(0)}}, "c": map[string]string{"text": `user "u1" is new`}, "d": map[string]string{"subject": "u10"}}
	if err := f.records.Update(t.Context(), owner.Account, func(tx meta.Tx) error {
		for name, v := range put {
			if err := tx.Put("finding", name, v); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	signed, err := f.eraser().Erase(t.Context(), owner, "tester", erase.Request{User: "u1"})
	if err != nil || signed.Report.Records != 3 {
		t.Errorf("%+v, %v", signed, err)
	}
}

// FuzzRequest gives any selector to an erasure: it is refused with KindInvalid, or its
// filter is valid and means exactly the selector.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{"carla", `a"b\`, "k=v", "=", "k=", "a b=1e309", "k=NaN", "k=true", "1-58406520-a006649127e371903a2de979", "\x00=\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fix := newFixture(t)
		e := fix.eraser()
		fix.put(0, `,"user":"somebody else","annotations":{"other":"value"}`)
		for _, r := range []erase.Request{{User: s}, {Annotation: s}, {Traces: []string{s}}} {
			r.DryRun = true
			signed, err := e.Erase(t.Context(), owner, "fuzz", r)
			if err != nil {
				if k := trace.KindOf(err); k != trace.KindInvalid && s != "" {
					var syntax *filter.SyntaxError
					if !errors.As(err, &syntax) {
						t.Errorf("%+v: %v", r, err)
					}
				}
				continue
			}
			if n := signed.Report.Before.Traces; n != 0 && s != "somebody else" && s != "other=value" && s != id(0) {
				t.Errorf("%+v selects %d traces of others", r, n)
			}
		}
	})
}
