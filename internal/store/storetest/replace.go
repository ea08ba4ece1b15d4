package storetest

import (
	"bytes"
	"testing"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// replace replaces a trace by a copy in which some texts are others, in the store and in
// the model.
func (f *fixture) replace(account trace.Account, id trace.ID) {
	f.Helper()
	found, release, err := f.shelf.Find(f.ctx, account, []trace.ID{id})
	if err != nil || len(found) != 1 {
		f.Fatalf("Find(%s): %+v, %v", id, found, err)
	}
	defer release()
	stored, err := found[0].Segments(f.ctx)
	if err != nil {
		f.Fatalf("Segments: %v", err)
	}
	segments := others(f, stored)
	if done, err := f.shelf.Replace(f.ctx, account, store.Replacement{ID: id, Seq: found[0].Seq, Segments: segments}); err != nil || !done {
		f.Fatalf("Replace(%s): %v, %v", id, done, err)
	}
	f.model.accounts[account][id] = others(f, stored)
}

// others decodes segments again after their names and texts have changed.
func others(t testing.TB, segments []*trace.Segment) (out []*trace.Segment) {
	t.Helper()
	for _, s := range segments {
		raw := bytes.ReplaceAll(s.Raw, []byte("front"), []byte("FRONT"))
		raw = bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("svc"), []byte("SVC")), []byte("user-"), []byte("USER-"))
		next, err := decode.Restore(s.Source, raw, s.Scope, s.Part, s.ReceivedAt)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, next)
	}
	return out
}

func replacements(t *testing.T, e Engine) {
	f := newFixture(t, e)
	fill(f, 20)
	ids := f.model.ids(home)
	before := f.stats()
	f.replace(home, ids[0])
	f.replace(home, ids[3])
	f.compare("at once", home)
	f.states(func(state string) { f.compare(state, home) })
	f.replace(home, ids[3]) // settled and reopened
	f.replace(home, ids[5])
	received := clockOf(100)
	f.append(home, segment(f, received(), 5, segmentID(77), "late", 100, 101, nil)) // continues a trace
	f.replace(home, traceID(5))
	f.replace(home, ids[0])
	f.states(func(state string) { f.compare(state, home) })
	f.delete(home, ids[3])
	f.reopen()
	f.compare("deleted afterwards", home)
	if now := f.stats(); now.Traces != before.Traces-1 {
		t.Errorf("%d traces, before %d", now.Traces, before.Traces)
	}
	if found, release, err := f.shelf.Find(f.ctx, home, []trace.ID{traceID(5)}); err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	} else {
		release()
	}
}

func staleReplacements(t *testing.T, e Engine) {
	f := newFixture(t, e)
	received := clockOf(0)
	add := func(n int) {
		f.append(home, segment(f, received(), 1, segmentID(n), "svc", float64(n), float64(n)+1, nil))
	}
	add(1)
	for _, settled := range []bool{false, true} {
		src, release := f.find(traceID(1))
		segments, err := src.Segments(f.ctx)
		if err != nil {
			t.Fatal(err)
		}
		release()
		add(2)
		if settled {
			f.settle()
		}
		if done, err := f.shelf.Replace(f.ctx, home, store.Replacement{ID: traceID(1), Seq: src.Seq, Segments: others(f, segments)}); done || err != nil {
			t.Errorf("settled %v: a trace that has changed was replaced: %v, %v", settled, done, err)
		}
		f.compare("after a stale replacement", home)
	}
	src, release := f.find(traceID(1))
	segments, err := src.Segments(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	release()
	f.delete(home, traceID(1))
	for _, account := range []trace.Account{home, "111111111111"} {
		if done, err := f.shelf.Replace(f.ctx, account, store.Replacement{ID: traceID(1), Seq: src.Seq, Segments: others(f, segments)}); done || err != nil {
			t.Errorf("%s: a trace that does not exist was replaced: %v, %v", account, done, err)
		}
	}
	f.states(func(state string) { f.compare(state, home) })
}
