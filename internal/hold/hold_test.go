package hold_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/hold"
	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/meta/sqlite"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/memory"
	"github.com/fluoro-io/fluoro/internal/trace"
)

var owner = trace.Owner{Account: "000000000000", Region: "us-east-1"}

// fixture is a store with holds, whose traces expire when its clock moves on.
type fixture struct {
	*testing.T
	now     time.Time
	vault   *memory.Data
	main    *answer.Store
	records meta.Store
	holds   *hold.Holds
	opened  int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, now: time.Unix(1764417600, 0), vault: memory.NewData()}
	clock := func() time.Time { return f.now }
	var err error
	f.main, err = answer.Open(t.Context(), answer.Options{Retention: time.Hour, Now: clock, Holds: late{f}}, func(store.Rules) (store.Shelf, error) { return memory.Open(memory.NewData()), nil })
	if err != nil {
		t.Fatal(err)
	}
	if f.records, err = sqlite.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	f.restart()
	t.Cleanup(func() { _, _, _ = f.holds.Close(), f.main.Close(), f.records.Close() })
	return f
}

// late passes the store's questions to the present Holds.
type late struct{ f *fixture }

func (l late) On(ctx context.Context, account trace.Account) (func(trace.ID) []string, error) {
	return l.f.holds.On(ctx, account)
}

func (l late) Segments(ctx context.Context, account trace.Account, id trace.ID) ([]*trace.Segment, error) {
	return l.f.holds.Segments(ctx, account, id)
}

func (f *fixture) restart() {
	f.Helper()
	if f.holds != nil {
		if err := f.holds.Close(); err != nil {
			f.Fatal(err)
		}
	}
	var err error
	f.holds, err = hold.New(f.Context(), hold.Options{
		Records: f.records, Main: f.main, Now: func() time.Time { return f.now }, Logger: slog.New(slog.DiscardHandler),
		Filter: func(_ trace.Owner, text string) (*filter.Expr, error) { return filter.Parse(text) },
		Vault: func() (hold.Store, error) {
			f.opened++
			return answer.Open(f.Context(), answer.Options{Retention: -1}, func(store.Rules) (store.Shelf, error) { return memory.Open(f.vault), nil })
		},
	})
	if err != nil {
		f.Fatal(err)
	}
}

func id(n int) string { return fmt.Sprintf("1-0a0a0a0a-%024x", n) }

func (f *fixture) put(n, segment int, members string) {
	f.Helper()
	doc := fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"svc","start_time":%d,"end_time":%d%s}`, id(n), segment+1, f.now.Unix()-2, f.now.Unix()-1, members)
	s, err := decode.Restore(trace.SourceDocument, []byte(doc), nil, 0, trace.TimeOf(f.now))
	if err == nil {
		_, err = f.main.Append(f.Context(), owner.Account, []*trace.Segment{s})
	}
	if err != nil {
		f.Fatal(err)
	}
}

// segments returns how many segments BatchGetTraces shows.
func (f *fixture) segments(n int) int {
	f.Helper()
	parsed, err := trace.ParseID(id(n))
	if err != nil {
		f.Fatal(err)
	}
	for t, err := range f.main.Traces(f.Context(), owner.Account, []trace.ID{parsed}, answer.Reach{}) {
		if err != nil {
			f.Fatal(err)
		}
		return len(t.Segments)
	}
	return 0
}

func (f *fixture) add(h hold.Hold, want int) {
	f.Helper()
	st, err := f.holds.Add(f.Context(), owner, h)
	if err != nil || st.Held != want {
		f.Fatalf("%+v, %v; want %d traces", st, err, want)
	}
}

// Without holds there is no vault. A hold with a filter also gets later traces, and what
// arrives later for its traces; late segments of an expired trace join the held ones.
func TestHolds_growUntilTheyAreReleased(t *testing.T) {
	f := newFixture(t)
	if f.opened != 0 {
		t.Fatal("the vault is open without holds")
	}
	f.put(0, 0, `,"user":"m"`)
	f.put(1, 0, `,"user":"other"`)
	f.add(hold.Hold{Name: "a", Filter: `user = "m"`}, 1)
	f.add(hold.Hold{Name: "b", Traces: []string{id(0), id(9)}}, 1)
	f.put(2, 0, `,"user":"m"`)
	f.put(0, 1, "")
	f.holds.Sweep(t.Context())
	f.restart()
	f.now = f.now.Add(3 * time.Hour)
	for n, want := range map[int]int{0: 2, 1: 0, 2: 1} {
		if got := f.segments(n); got != want {
			t.Errorf("trace %d has %d segments, want %d", n, got, want)
		}
	}
	f.put(0, 5, "") // long after it expired
	if got := f.segments(0); got != 3 {
		t.Errorf("with a late segment: %d", got)
	}
	parsed, _ := trace.ParseID(id(2))
	if _, err := f.main.Delete(t.Context(), owner.Account, answer.DeleteQuery{IDs: []trace.ID{parsed}}); trace.KindOf(err) != trace.KindConflict || !strings.Contains(err.Error(), "held by a") {
		t.Errorf("a held trace is deleted: %v", err)
	}
	if n, err := f.holds.Release(t.Context(), owner.Account, "a"); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	f.holds.Sweep(t.Context())
	if f.segments(2) != 0 || f.segments(0) != 3 {
		t.Errorf("after a release: %d, %d", f.segments(2), f.segments(0))
	}
	if n, err := f.holds.Release(t.Context(), owner.Account, "b"); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if left, err := memory.Open(f.vault).Accounts(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("the vault still has traces of %v, %v", left, err)
	}
}

func TestHolds_refuseWrongRequests(t *testing.T) {
	f := newFixture(t)
	f.add(hold.Hold{Name: "a", Filter: "fault"}, 0)
	for _, c := range []struct {
		h    hold.Hold
		kind trace.Kind
	}{
		{hold.Hold{Name: "", Filter: "fault"}, trace.KindInvalid}, {hold.Hold{Name: "x y", Filter: "fault"}, trace.KindInvalid}, {hold.Hold{Name: "b"}, trace.KindInvalid},
		{hold.Hold{Name: "b", Filter: "fault", Group: "g"}, trace.KindInvalid}, {hold.Hold{Name: "b", Traces: []string{"nonsense"}}, trace.KindInvalid}, {hold.Hold{Name: "a", Filter: "ok"}, trace.KindConflict},
	} {
		if _, err := f.holds.Add(t.Context(), owner, c.h); trace.KindOf(err) != c.kind {
			t.Errorf("%+v: %v", c.h, err)
		}
	}
	if _, err := f.holds.Release(t.Context(), owner.Account, "absent"); trace.KindOf(err) != trace.KindNotFound {
		t.Error(err)
	}
	// Another account has its own holds.
	if list, err := f.holds.List(t.Context(), "111111111111"); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
