// Package metatest checks every engine against the contract of package meta. An
// engine joins with one call:
//
//	func TestContract(t *testing.T) { metatest.Run(t, metatest.Engine{Open: …, Reopen: …}) }
//
// Each case has the name of the sentence in the contract that it checks.
package metatest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Engine gives the suite access to an engine.
type Engine struct {
	// Open opens an empty store. The suite closes it.
	Open func(t testing.TB) meta.Store
	// Reopen closes a store that Open made and opens it again with its records.
	Reopen func(t testing.TB, s meta.Store) meta.Store
}

const (
	home  trace.Account = "000000000000"
	other trace.Account = "111111111111"
	kind  meta.Kind     = "group"
)

// value is a record in the suite.
type value struct {
	Text  string
	Count int
}

// Run runs the suite.
func Run(t *testing.T, e Engine) {
	for _, c := range []struct {
		sentence string
		run      func(*testing.T, *fixture)
	}{
		{"what an update wrote is part of every call that starts afterwards", readYourWrites},
		{"an update reads what it wrote itself", readInUpdate},
		{"put replaces, delete removes and says whether there was one", replaceAndDelete},
		{"every call sees one account's records alone", accountsAreApart},
		{"kinds are apart", kindsAreApart},
		{"list is in the byte order of names", nameOrder},
		{"list ends with the error of its function", listEnds},
		{"what a list's function writes does not change what is listed", listWhileWriting},
		{"a view refuses writes", viewRefuses},
		{"a view is one consistent state", viewIsConsistent},
		{"an update that fails keeps nothing", rollback},
		{"a panic keeps nothing and blocks nobody", panics},
		{"a transaction ends with its function", useAfterEnd},
		{"an update runs alone", updatesRunAlone},
		{"names and values are bounded", bounds},
		{"a record of another shape is an error that names it", wrongShape},
		{"a cancelled context is its error", cancellation},
		{"reopening keeps everything", reopening},
		{"closing twice does nothing, and calls after it say so", closeTwice},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			f := &fixture{TB: t, engine: e, store: e.Open(t), ctx: context.Background()}
			t.Cleanup(func() {
				if err := f.store.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			c.run(t, f)
		})
	}
}

type fixture struct {
	testing.TB
	engine Engine
	store  meta.Store
	ctx    context.Context
}

func (f *fixture) update(account trace.Account, do func(meta.Tx) error) {
	f.Helper()
	if err := f.store.Update(f.ctx, account, do); err != nil {
		f.Fatalf("Update: %v", err)
	}
}

func (f *fixture) put(account trace.Account, kind meta.Kind, name string, v any) {
	f.Helper()
	f.update(account, func(tx meta.Tx) error { return tx.Put(kind, name, v) })
}

// get returns the record, nil if it does not exist.
func (f *fixture) get(account trace.Account, kind meta.Kind, name string) *value {
	f.Helper()
	var v value
	var found bool
	err := f.store.View(f.ctx, account, func(tx meta.Tx) (err error) {
		found, err = tx.Get(kind, name, &v)
		return err
	})
	if err != nil {
		f.Fatalf("Get %s %q: %v", kind, name, err)
	}
	if !found {
		return nil
	}
	return &v
}

func (f *fixture) names(account trace.Account, kind meta.Kind) []string {
	f.Helper()
	var names []string
	err := f.store.View(f.ctx, account, func(tx meta.Tx) error {
		return tx.List(kind, func(name string, _ json.RawMessage) error {
			names = append(names, name)
			return nil
		})
	})
	if err != nil {
		f.Fatalf("List %s: %v", kind, err)
	}
	return names
}

func (f *fixture) want(account trace.Account, kind meta.Kind, name string, want *value) {
	f.Helper()
	if got := f.get(account, kind, name); !reflect.DeepEqual(got, want) {
		f.Errorf("%s %q of %s is %+v, want %+v", kind, name, account, got, want)
	}
}

func readYourWrites(_ *testing.T, f *fixture) {
	f.want(home, kind, "a", nil)
	f.put(home, kind, "a", value{"ä <&> \u2028 \x00", 1 << 40})
	f.want(home, kind, "a", &value{"ä <&> \u2028 \x00", 1 << 40})
}

func readInUpdate(t *testing.T, f *fixture) {
	f.update(home, func(tx meta.Tx) error {
		if err := tx.Put(kind, "a", value{Count: 1}); err != nil {
			return err
		}
		var v value
		if found, err := tx.Get(kind, "a", &v); !found || err != nil || v.Count != 1 {
			t.Errorf("Get after Put: %v, %v, %+v", found, err, v)
		}
		if found, err := tx.Delete(kind, "a"); !found || err != nil {
			t.Errorf("Delete after Put: %v, %v", found, err)
		}
		found, err := tx.Get(kind, "a", &v)
		if found {
			t.Error("Get after Delete finds it")
		}
		return err
	})
}

func replaceAndDelete(t *testing.T, f *fixture) {
	f.put(home, kind, "a", value{Count: 1})
	f.put(home, kind, "a", value{Count: 2})
	f.want(home, kind, "a", &value{Count: 2})
	for _, want := range []bool{true, false} {
		f.update(home, func(tx meta.Tx) error {
			found, err := tx.Delete(kind, "a")
			if found != want {
				t.Errorf("Delete says %v, want %v", found, want)
			}
			return err
		})
	}
	f.want(home, kind, "a", nil)
}

func accountsAreApart(t *testing.T, f *fixture) {
	f.put(home, kind, "a", value{Count: 1})
	f.put(other, kind, "a", value{Count: 2})
	f.put(other, kind, "b", value{Count: 3})
	f.want(home, kind, "a", &value{Count: 1})
	f.want(home, kind, "b", nil)
	f.update(home, func(tx meta.Tx) error {
		if found, err := tx.Delete(kind, "b"); found || err != nil {
			t.Errorf("one account deleted another's record: %v, %v", found, err)
		}
		_, err := tx.Delete(kind, "a")
		return err
	})
	if got := f.names(home, kind); got != nil {
		t.Errorf("%s still has %q", home, got)
	}
	if got := f.names(other, kind); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%s has %q", other, got)
	}
}

func kindsAreApart(t *testing.T, f *fixture) {
	f.put(home, "group", "a", value{Count: 1})
	f.put(home, "group-version", "a", value{Count: 2})
	f.want(home, "group", "a", &value{Count: 1})
	f.want(home, "group-version", "a", &value{Count: 2})
	if got := f.names(home, "gro"); got != nil {
		t.Errorf("a kind nobody wrote has %q", got)
	}
}

func nameOrder(t *testing.T, f *fixture) {
	names := []string{"", "a", "B", "b", "a-1", "a1", "ä", "Z", "z", "a\x01", "zz/東", "𝛼", "~", strings.Repeat("n", meta.MaxName)}[1:]
	for _, n := range names {
		f.put(home, kind, n, value{Text: n})
	}
	slices.Sort(names) // Go compares bytes
	if got := f.names(home, kind); !slices.Equal(got, names) {
		t.Errorf("listed %q\n want %q", got, names)
	}
	for _, n := range names {
		f.want(home, kind, n, &value{Text: n})
	}
}

func listEnds(t *testing.T, f *fixture) {
	for _, n := range []string{"a", "b", "c"} {
		f.put(home, kind, n, value{})
	}
	stop, calls := errors.New("enough"), 0
	err := f.store.View(f.ctx, home, func(tx meta.Tx) error {
		return tx.List(kind, func(name string, _ json.RawMessage) error {
			if calls++; name == "b" {
				return stop
			}
			return nil
		})
	})
	if !errors.Is(err, stop) || calls != 2 {
		t.Errorf("%d calls, error %v", calls, err)
	}
}

func listWhileWriting(t *testing.T, f *fixture) {
	for _, n := range []string{"a", "b", "c"} {
		f.put(home, kind, n, value{})
	}
	var seen []string
	f.update(home, func(tx meta.Tx) error {
		return tx.List(kind, func(name string, _ json.RawMessage) error {
			seen = append(seen, name)
			if _, err := tx.Delete(kind, "b"); err != nil {
				return err
			}
			return tx.Put(kind, name+"2", value{})
		})
	})
	if !slices.Equal(seen, []string{"a", "b", "c"}) {
		t.Errorf("listed %q", seen)
	}
	if got := f.names(home, kind); !slices.Equal(got, []string{"a", "a2", "b2", "c", "c2"}) {
		t.Errorf("afterwards %q", got)
	}
}

func viewRefuses(t *testing.T, f *fixture) {
	f.put(home, kind, "a", value{Count: 1})
	err := f.store.View(f.ctx, home, func(tx meta.Tx) error {
		if err := tx.Put(kind, "b", value{}); err == nil {
			t.Error("a view let Put write")
		}
		_, err := tx.Delete(kind, "a")
		return err
	})
	if err == nil {
		t.Error("a view let Delete write")
	}
	f.want(home, kind, "a", &value{Count: 1})
	f.want(home, kind, "b", nil)
}

func viewIsConsistent(t *testing.T, f *fixture) {
	f.put(home, kind, "a", value{Count: 1})
	f.put(home, kind, "b", value{Count: 1})
	err := f.store.View(f.ctx, home, func(tx meta.Tx) error {
		var a, b value
		if _, err := tx.Get(kind, "a", &a); err != nil {
			return err
		}
		done := make(chan error)
		go func() {
			done <- f.store.Update(f.ctx, home, func(tx meta.Tx) error {
				return errors.Join(tx.Put(kind, "a", value{Count: 2}), tx.Put(kind, "b", value{Count: 2}))
			})
		}()
		if err := <-done; err != nil {
			return err
		}
		if _, err := tx.Get(kind, "b", &b); err != nil {
			return err
		}
		if a != b {
			t.Errorf("a view saw %+v and then %+v", a, b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.want(home, kind, "b", &value{Count: 2})
}

func rollback(t *testing.T, f *fixture) {
	f.put(home, kind, "a", value{Count: 1})
	fail := trace.Errorf(trace.KindConflict, "no")
	err := f.store.Update(f.ctx, home, func(tx meta.Tx) error {
		if err := errors.Join(tx.Put(kind, "a", value{Count: 2}), tx.Put(kind, "b", value{})); err != nil {
			t.Error(err)
		}
		return fail
	})
	if err != fail {
		t.Errorf("the error is %v, want the function's own", err)
	}
	f.want(home, kind, "a", &value{Count: 1})
	f.want(home, kind, "b", nil)
}

func panics(t *testing.T, f *fixture) {
	for _, call := range []func(context.Context, trace.Account, func(meta.Tx) error) error{f.store.Update, f.store.View} {
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("the panic was lost")
				}
			}()
			_ = call(f.ctx, home, func(tx meta.Tx) error {
				_ = tx.Put(kind, "a", value{})
				panic("boom")
			})
		}()
	}
	f.want(home, kind, "a", nil)
	f.put(home, kind, "b", value{})
}

func useAfterEnd(t *testing.T, f *fixture) {
	var kept meta.Tx
	f.update(home, func(tx meta.Tx) error {
		kept = tx
		return nil
	})
	if err := kept.Put(kind, "a", value{}); err == nil {
		t.Error("a transaction can be written after its end")
	}
	if _, err := kept.Get(kind, "a", &value{}); err == nil {
		t.Error("a transaction can be read after its end")
	}
	f.want(home, kind, "a", nil)
}

func updatesRunAlone(t *testing.T, f *fixture) {
	const workers, each = 8, 10
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for range each {
				err := f.store.Update(f.ctx, home, func(tx meta.Tx) error {
					var v value
					if _, err := tx.Get(kind, "count", &v); err != nil {
						return err
					}
					v.Count++
					return errors.Join(tx.Put(kind, "count", v), tx.Put(kind, fmt.Sprintf("w%d-%d", w, v.Count), v))
				})
				if err != nil {
					t.Errorf("Update: %v", err)
				}
			}
		})
		group.Go(func() { // readers see a count and the same number of records
			for range each {
				var v value
				n := 0
				err := f.store.View(f.ctx, home, func(tx meta.Tx) error {
					if _, err := tx.Get(kind, "count", &v); err != nil {
						return err
					}
					return tx.List(kind, func(string, json.RawMessage) error { n++; return nil })
				})
				if err != nil || n != 0 && n != v.Count+1 {
					t.Errorf("a view saw count %d and %d records, error %v", v.Count, n, err)
				}
			}
		})
	}
	group.Wait()
	f.want(home, kind, "count", &value{Count: workers * each})
}

func bounds(t *testing.T, f *fixture) {
	for _, name := range []string{"", strings.Repeat("n", meta.MaxName+1), "a\x00b", "a\xff"} {
		err := f.store.Update(f.ctx, home, func(tx meta.Tx) error { return tx.Put(kind, name, value{}) })
		if trace.KindOf(err) != trace.KindInvalid {
			t.Errorf("name %.20q: error %v", name, err)
		}
	}
	put := func(v any) error {
		return f.store.Update(f.ctx, home, func(tx meta.Tx) error { return tx.Put(kind, "a", v) })
	}
	if err := put(strings.Repeat("v", meta.MaxValue-1)); trace.KindOf(err) != trace.KindInvalid {
		t.Errorf("a value too large: error %v", err)
	}
	if err := put(func() {}); err == nil {
		t.Error("a value that is no JSON was kept")
	}
	if err := put(strings.Repeat("v", meta.MaxValue-2)); err != nil {
		t.Errorf("the largest value: %v", err)
	}
}

func wrongShape(t *testing.T, f *fixture) {
	f.put(home, kind, "prod", "a text")
	err := f.store.View(f.ctx, home, func(tx meta.Tx) error {
		_, err := tx.Get(kind, "prod", &value{})
		return err
	})
	if err == nil || !strings.Contains(err.Error(), `group "prod"`) {
		t.Errorf("error %v", err)
	}
}

func cancellation(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(f.ctx)
	err := f.store.Update(ctx, home, func(tx meta.Tx) error {
		if err := tx.Put(kind, "a", value{}); err != nil {
			return err
		}
		cancel()
		return tx.Put(kind, "b", value{})
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it ran: %v", err)
	}
	f.want(home, kind, "a", nil)
	if err := f.store.View(ctx, home, func(meta.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
}

func reopening(t *testing.T, f *fixture) {
	for i := range 50 {
		f.put(home, kind, fmt.Sprintf("g%02d", i), value{Count: i})
	}
	f.put(other, kind, "x", value{Text: "other"})
	f.update(home, func(tx meta.Tx) error { _, err := tx.Delete(kind, "g00"); return err })
	before := f.names(home, kind)
	f.store = f.engine.Reopen(t, f.store)
	if got := f.names(home, kind); len(got) != 49 || !slices.Equal(got, before) {
		t.Errorf("after reopening %q", got)
	}
	f.want(home, kind, "g49", &value{Count: 49})
	f.want(other, kind, "x", &value{Text: "other"})
	f.put(home, kind, "g00", value{})
}

func closeTwice(t *testing.T, f *fixture) {
	f.put(home, kind, "a", value{})
	for range 2 {
		if err := f.store.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	for name, call := range map[string]func(context.Context, trace.Account, func(meta.Tx) error) error{"Update": f.store.Update, "View": f.store.View} {
		if err := call(f.ctx, home, func(meta.Tx) error { return nil }); trace.KindOf(err) != trace.KindUnavailable {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
}
