package group

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/tag"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const account trace.Account = "000000000000"

var owner = trace.Owner{Account: account, Region: "eu-west-1"}

var ctx = context.Background()

func newGroups(t *testing.T, keep time.Duration) (*Groups, *sqlite.Store) {
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
	return New(store, Options{Keep: keep}), store
}

func create(t *testing.T, g *Groups, name, expression string, now trace.Time) Group {
	t.Helper()
	made, err := g.Create(ctx, owner, name, Change{Filter: expression}, nil, now)
	if err != nil {
		t.Fatalf("Create %s: %v", name, err)
	}
	return made
}

func ptr[T any](v T) *T { return &v }

func TestCreate_arnIsNewEachTime(t *testing.T) {
	g, _ := newGroups(t, 0)
	first := create(t, g, "slow", "responsetime > 2", 1)
	if !regexp.MustCompile(`^arn:aws:xray:eu-west-1:000000000000:group/slow/[A-Z2-7]{52}$`).MatchString(first.ARN) {
		t.Errorf("ARN %s", first.ARN)
	}
	if err := g.Delete(ctx, owner, "", first.ARN, 2); err != nil {
		t.Fatal(err)
	}
	again := create(t, g, "slow", "responsetime > 2", 3)
	if again.ARN == first.ARN {
		t.Error("a group that is made again has the old ARN")
	}
	if _, err := g.Get(ctx, owner, "", first.ARN); err == nil || err.Error() != "Group not found" {
		t.Errorf("the old ARN: %v", err)
	}
	if got, err := g.Get(ctx, owner, "", again.ARN); err != nil || got != again {
		t.Errorf("the new ARN: %+v, %v", got, err)
	}
	if _, err := g.Get(ctx, trace.Owner{Account: "111111111111", Region: "eu-west-1"}, "slow", ""); err == nil {
		t.Error("another account has the group")
	}
}

func TestRefusals(t *testing.T) {
	g, _ := newGroups(t, 0)
	made := create(t, g, "a", "ok", 1)
	ofCreate := func(name string, c Change, tags ...tag.Tag) error {
		_, err := g.Create(ctx, owner, name, c, tags, 1)
		return err
	}
	ofUpdate := func(name, arn string, c Change) error {
		_, err := g.Update(ctx, owner, name, arn, c, 1)
		return err
	}
	ofGet := func(name, arn string) error { _, err := g.Get(ctx, owner, name, arn); return err }
	for _, c := range []struct {
		err  error
		want string
	}{
		{ofCreate("a", Change{Filter: "ok"}), "a already exists"},
		{ofCreate("Default", Change{Filter: "ok"}), "Default already exists"},
		{ofCreate("b", Change{}), "Filter Expression is empty"},
		{ofCreate("b", Change{Filter: " \t"}), "Filter Expression is empty"},
		{ofCreate("b", Change{Filter: "ok AND"}), "Error Location: line 1"},
		{ofCreate("b", Change{Filter: `user = "` + strings.Repeat("x", maxFilter) + `"`}), "longer than 16384 bytes"},
		{ofCreate("a b", Change{Filter: "ok"}), "letters, digits and hyphens"},
		{ofCreate("", Change{Filter: "ok"}), "letters, digits and hyphens"},
		{ofCreate("b", Change{Filter: "ok", Notifications: ptr(true)}), "insights enabled"},
		{ofCreate("b", Change{Filter: "ok"}, tag.Tag{Key: "aws:x"}), "system tags"},
		{ofUpdate("a", "", Change{}), "Filter Expression is empty"},
		{ofUpdate("a", "", Change{Insights: ptr(true)}), "Filter Expression is empty"},
		{ofUpdate("Default", "", Change{Insights: ptr(true)}), "Filter Expression is empty"},
		{ofUpdate("Default", "", Change{Filter: "ok"}), "Default cannot be updated"},
		{ofUpdate("nope", "", Change{Filter: "ok"}), "Group not found"},
		{ofUpdate("a", made.ARN, Change{Filter: "ok"}), "Provide either GroupName or GroupARN"},
		{ofGet("", ""), "Provide either GroupName or GroupARN"},
		{ofGet("a", made.ARN), "Provide either GroupName or GroupARN"},
		{ofGet("A", ""), "Group not found"},
		{ofGet("", made.ARN+"A"), "Group not found"},
		{ofGet("", "a"), "Group not found"},
		{ofGet("", "arn:aws:xray:eu-west-1:111111111111:group/Default"), "Group not found"},
		{g.Delete(ctx, owner, "Default", "", 1), "Default cannot be deleted"},
		{g.Delete(ctx, owner, "", Default(owner).ARN, 1), "Default cannot be deleted"},
		{g.Delete(ctx, owner, "nope", "", 1), "Group not found"},
	} {
		kind := trace.KindOf(c.err)
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) || kind != trace.KindInvalid && kind != trace.KindConflict && kind != trace.KindLimit {
			t.Errorf("error %v of kind %d, want %q", c.err, kind, c.want)
		}
	}
	if list, err := g.List(ctx, owner); err != nil || len(list) != 2 {
		t.Errorf("refused requests left %v, %v", list, err)
	}
}

func TestCreate_limit(t *testing.T) {
	g, _ := newGroups(t, 0)
	for i := range maxGroups {
		create(t, g, fmt.Sprintf("g%02d", i), "ok", 1)
	}
	if _, err := g.Create(ctx, owner, "more", Change{Filter: "ok"}, nil, 1); trace.KindOf(err) != trace.KindLimit {
		t.Errorf("one more: %v", err)
	}
	list, err := g.List(ctx, owner)
	if err != nil || len(list) != maxGroups+1 || list[0] != Default(owner) || list[1].Name != "g00" {
		t.Errorf("%d groups, first %v: %v", len(list), list[0], err)
	}
	if err := g.Delete(ctx, owner, "g00", "", 2); err != nil {
		t.Fatal(err)
	}
	create(t, g, "more", "ok", 3)
}

func TestUpdate_insights(t *testing.T) {
	g, _ := newGroups(t, 0)
	create(t, g, "a", "ok", 1)
	for _, c := range []struct {
		insights, notifications *bool
		want                    Insights
	}{
		{ptr(true), nil, Insights{true, false}},
		{nil, ptr(true), Insights{true, true}},
		{nil, nil, Insights{true, true}},
		{ptr(false), nil, Insights{false, false}}, // turns notifications off, too
	} {
		got, err := g.Update(ctx, owner, "a", "", Change{"ok", c.insights, c.notifications}, 2)
		if err != nil || got.Insights != c.want {
			t.Errorf("%+v, %v, want %+v", got.Insights, err, c.want)
		}
	}
	if v, err := g.Versions(ctx, account); err != nil || len(v) != 1 {
		t.Errorf("the filter did not change, but there are %d versions, %v", len(v), err)
	}
}

// at returns the filters that are valid at a time, by group.
func at(t *testing.T, g *Groups, now trace.Time) string {
	t.Helper()
	versions, err := g.Versions(ctx, account)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ids := map[string]bool{}
	for _, v := range versions {
		if ids[v.ID] {
			t.Errorf("version %s is there twice", v.ID)
		}
		ids[v.ID] = true
		if now >= v.From && now < v.Until {
			out = append(out, v.Name+" "+v.Filter.String())
		}
	}
	return strings.Join(out, ", ")
}

func TestVersions_sayWhatWasValidWhen(t *testing.T) {
	g, store := newGroups(t, 0)
	create(t, g, "a", "ok", 100)
	create(t, g, "b", "error", 150)
	if _, err := g.Update(ctx, owner, "a", "", Change{Filter: "fault"}, 200); err != nil {
		t.Fatal(err)
	}
	if err := g.Delete(ctx, owner, "b", "", 300); err != nil {
		t.Fatal(err)
	}
	create(t, g, "b", "throttle", 400)
	if _, err := g.Update(ctx, owner, "b", "", Change{Filter: "ok"}, 50); err != nil { // the clock was set back
		t.Fatal(err)
	}
	check := func(g *Groups) {
		t.Helper()
		for when, want := range map[trace.Time]string{
			99: "", 100: "a ok", 149: "a ok", 150: "a ok, b error", 199: "a ok, b error", 200: "b error, a fault", 299: "b error, a fault", 300: "a fault", 399: "a fault",
			400: "a fault, b throttle", 401: "a fault, b ok", trace.MaxTime - 1: "a fault, b ok",
		} {
			if got := at(t, g, when); got != want {
				t.Errorf("at %d: %q, want %q", when, got, want)
			}
		}
	}
	check(g)
	check(New(store, Options{})) // after a restart
}

func TestVersions_areForgottenWithTheirTraces(t *testing.T) {
	g, _ := newGroups(t, time.Hour)
	hour := trace.Time(time.Hour)
	create(t, g, "a", "ok", 0)
	for i, f := range []string{"fault", "error", "throttle"} {
		if _, err := g.Update(ctx, owner, "a", "", Change{Filter: f}, trace.Time(i+1)*hour*2/3); err != nil {
			t.Fatal(err)
		}
	}
	// "ok" ended at 0:40, "fault" at 1:20, "error" at 2:00, which is now.
	if got := at(t, g, hour*2/3-1); got != "" {
		t.Errorf("still there: %q", got)
	}
	if got := at(t, g, hour); got != "a fault" {
		t.Errorf("at 1:00: %q", got)
	}
}

// TestVersions_areBounded writes the versions that a thousand changes leave.
func TestVersions_areBounded(t *testing.T) {
	g, store := newGroups(t, 0)
	err := store.Update(ctx, account, func(tx meta.Tx) error {
		for i := range maxEnded + 5 {
			v := versionRecord{Name: "old", Filter: "ok", From: trace.Time(i), Until: trace.Time(i + 1)}
			if err := tx.Put(versionKind, fmt.Sprintf("OLD.%d", i), v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	create(t, g, "a", "fault", 5000)
	if v, err := g.Versions(ctx, account); err != nil || len(v) != maxEnded+1 || v[0].From != 5 {
		t.Fatalf("%d versions from %d, %v", len(v), v[0].From, err)
	}
}

func TestVersions_whileGroupsChange(t *testing.T) {
	g, _ := newGroups(t, 0)
	create(t, g, "a", "responsetime > 0", 0)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if v, err := g.Versions(ctx, account); err != nil || len(v) == 0 || v[len(v)-1].Until != trace.MaxTime {
					t.Errorf("%d versions, %v", len(v), err)
					return
				}
			}
		})
	}
	for i := 1; i <= 20; i++ {
		want := fmt.Sprintf("responsetime > %d", i)
		if _, err := g.Update(ctx, owner, "a", "", Change{Filter: want}, trace.Time(i)); err != nil {
			t.Fatal(err)
		}
		// The next reader sees an acknowledged update.
		if got := at(t, g, trace.Time(i)); got != "a "+want {
			t.Fatalf("after update %d: %q", i, got)
		}
	}
	close(done)
	readers.Wait()
}

func TestLookup(t *testing.T) {
	g, _ := newGroups(t, 0)
	made := create(t, g, "a", "fault", 1)
	text := func(e *filter.Expr, found bool) string {
		if !found {
			return "none"
		}
		if e == nil {
			return "all"
		}
		return e.String()
	}
	for _, c := range []struct{ name, arn, want string }{
		{"a", "", "fault"}, {"", made.ARN, "fault"}, {"b", "", "none"}, {"", made.ARN + "x", "none"}, {"Default", "", "all"}, {"", Default(owner).ARN, "all"},
	} {
		if got := text(g.Lookup(owner, c.name, c.arn)); got != c.want {
			t.Errorf("%q %q: %s, want %s", c.name, c.arn, got, c.want)
		}
	}
	if err := g.Delete(ctx, owner, "a", "", 2); err != nil {
		t.Fatal(err)
	}
	if got := text(g.Lookup(owner, "a", "")); got != "none" {
		t.Errorf("after deletion: %s", got)
	}
}

func TestDelete_removesTags(t *testing.T) {
	g, store := newGroups(t, 0)
	made, err := g.Create(ctx, owner, "a", Change{Filter: "ok"}, []tag.Tag{{Key: "Owner", Value: "x"}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	tags := tag.New(store)
	if list, err := tags.List(ctx, owner, made.ARN); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if err := g.Delete(ctx, owner, "a", "", 2); err != nil {
		t.Fatal(err)
	}
	if _, err := tags.List(ctx, owner, made.ARN); !errors.As(err, new(*tag.NotFoundError)) {
		t.Errorf("after deletion: %v", err)
	}
}

func TestGroupsOfGroups(t *testing.T) {
	g, _ := newGroups(t, 0)
	create(t, g, "a", "fault", 100)
	made := create(t, g, "b", `error AND group.name = "a"`, 200)
	for name, expression := range map[string]string{"c": `group.name = "c"`, "d": `ok OR group.name = "d"`} {
		if _, err := g.Create(ctx, owner, name, Change{Filter: expression}, nil, 300); trace.KindOf(err) != trace.KindInvalid {
			t.Errorf("a group of itself: %v", err)
		}
	}
	for _, expression := range []string{`group.name = "b"`, fmt.Sprintf("group.arn = %q", made.ARN)} {
		if _, err := g.Update(ctx, owner, "a", "", Change{Filter: expression}, 300); trace.KindOf(err) != trace.KindInvalid {
			t.Errorf("a circle of groups: %v", err)
		}
	}
	if got := at(t, g, 300); got != `a fault, b error AND group.name = "a"` {
		t.Errorf("refused updates left %q", got)
	}
	if _, err := g.Update(ctx, owner, "a", "", Change{Filter: "throttle"}, 400); err != nil {
		t.Fatal(err)
	}
	// Versions contain the filters of the groups they name: they match without a
	// lookup.
	versions, err := g.Versions(ctx, account)
	if err != nil || len(versions) != 3 {
		t.Fatalf("%v, %v", versions, err)
	}
	for summary, want := range map[*trace.Summary]bool{{HasError: true, HasThrottle: true}: true, {HasError: true, HasFault: true}: false, {HasThrottle: true}: false} {
		if got := versions[1].Filter.Match(&trace.Trace{}, summary); got != want {
			t.Errorf("%+v matches %v, want %v", summary, got, want)
		}
	}
}
