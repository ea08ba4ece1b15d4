package local_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

var tenants = []trace.Account{"111111111111", "222222222222", "333333333333"}

// tenant lists the segments that one account must have.
type tenant struct {
	acked map[int]int // segment number to trace number
	maybe map[int]int // sent, but not acknowledged
	// buried are traces whose deletion was not acknowledged.
	buried map[int]bool
}

// world is a store of several accounts whose keys come and go.
type world struct {
	t    *testing.T
	fs   *vfs.Mem
	keys *ring
	s    *opened
	sent int
	own  map[trace.Account]*tenant
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, fs: vfs.NewMem(), keys: newRing(), own: map[trace.Account]*tenant{}}
	for _, a := range tenants {
		w.own[a] = &tenant{map[int]int{}, map[int]int{}, map[int]bool{}}
	}
	w.open()
	return w
}

func (w *world) options() options {
	o := small(w.fs)
	o.Keys, o.SettleAfter = w.keys, 40*time.Millisecond
	return o
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.s, err = open(w.options()); err != nil {
		w.t.Fatalf("open: %v", err)
	}
}

func (w *world) away(a trace.Account) bool {
	w.keys.mu.Lock()
	defer w.keys.mu.Unlock()
	return w.keys.disabled[a]
}

func (w *world) off() bool {
	w.keys.mu.Lock()
	defer w.keys.mu.Unlock()
	return w.keys.off
}

func (w *world) send(a trace.Account, n int) error {
	var batch []*trace.Segment
	numbers := map[int]int{}
	for range n {
		tr := (w.sent * 7) % 11
		batch = append(batch, numbered(w.t, tr, w.sent))
		numbers[w.sent] = tr
		w.sent++
	}
	_, err := w.s.Append(context.Background(), a, batch)
	for seg, tr := range numbers {
		if err == nil {
			w.own[a].acked[seg] = tr
		} else {
			w.own[a].maybe[seg] = tr
		}
	}
	if err != nil && w.away(a) && (trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), string(a))) {
		w.t.Errorf("append without a key: %v", err)
	}
	return err
}

func (w *world) delete(a trace.Account, tr int) {
	id := numbered(w.t, tr, 0).TraceID
	_, err := w.s.Delete(context.Background(), a, answer.DeleteQuery{IDs: []trace.ID{id}})
	o := w.own[a]
	if err != nil {
		if o.buried[tr] = true; !w.away(a) && trace.KindOf(err) != trace.KindUnavailable {
			w.t.Errorf("delete: %v", err)
		}
		return
	}
	for seg, of := range o.acked {
		if of == tr {
			delete(o.acked, seg)
		}
	}
	for seg, of := range o.maybe {
		if of == tr {
			delete(o.maybe, seg)
		}
	}
}

// content returns the segments of an account: number to trace.
func (w *world) content(a trace.Account) (map[int]int, error) {
	var ids []trace.ID
	found := map[int]int{}
	for sum, err := range w.s.Summaries(context.Background(), a, &answer.SummaryQuery{Window: everything}) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, sum.ID)
	}
	for tr, err := range w.s.Traces(context.Background(), a, ids, answer.Reach{}) {
		if err != nil {
			return nil, err
		}
		for _, e := range tr.Segments {
			number := int(e.Annotations[0].Value.Number)
			if _, twice := found[number]; twice {
				return nil, fmt.Errorf("segment %d is there twice", number)
			}
			found[number] = int(tr.ID[15])
		}
	}
	g, err := w.s.Graph(context.Background(), a, answer.GraphQuery{Window: everything})
	if err != nil {
		return nil, err
	}
	var counted int64
	for _, svc := range g.Services {
		if svc.Statistics != nil {
			counted += svc.Statistics.Total()
		}
	}
	if counted != int64(len(found)) {
		return nil, fmt.Errorf("%d segments, the graph counts %d", len(found), counted)
	}
	return found, nil
}

// check compares an account with what it must have.
func (w *world) check(a trace.Account) error {
	found, err := w.content(a)
	if w.away(a) && !(err == nil && w.off()) { // what is in the clear needs no key
		if trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), string(a)) {
			return fmt.Errorf("account %s without its key: %d segments, %v", a, len(found), err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("account %s: %w", a, err)
	}
	o := w.own[a]
	for seg, tr := range o.acked {
		if got, ok := found[seg]; (!ok || got != tr) && !o.buried[tr] {
			return fmt.Errorf("account %s: segment %d of trace %d was acknowledged but is not there", a, seg, tr)
		}
	}
	for seg := range found {
		_, acked := o.acked[seg]
		if _, maybe := o.maybe[seg]; !acked && !maybe {
			return fmt.Errorf("account %s: segment %d was never sent, or deleted", a, seg)
		}
	}
	return nil
}

// settled checks every account until all are right: keys that came back need a moment.
func (w *world) settled(what string) {
	w.t.Helper()
	for _, a := range tenants {
		var err error
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if err = w.check(a); err == nil || trace.KindOf(err) != trace.KindUnavailable {
				break
			}
		}
		if err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
	}
	st, err := w.s.Stats(context.Background())
	if err != nil || len(st.Damage) > 0 {
		w.t.Fatalf("%s: damage %v, %v", what, st.Damage, err)
	}
}

func (w *world) disable(a trace.Account, is bool) {
	w.keys.change(func() { w.keys.disabled[a] = is })
}

// restart closes and opens, or crashes.
func (w *world) restart(rnd *rand.Rand, crash bool) {
	w.t.Helper()
	if crash {
		w.fs.Before(func(vfs.Op) error { return vfs.ErrCrashed })
		_ = w.s.Close()
		w.fs = w.fs.Crash(rnd)
	} else if err := w.s.Close(); err != nil {
		w.t.Fatalf("close: %v", err)
	}
	w.open()
}

// step does one random thing and returns its name.
func (w *world) step(rnd *rand.Rand) string {
	a := tenants[rnd.IntN(len(tenants))]
	switch n := rnd.IntN(20); {
	case n < 7:
		err := w.send(a, 1+rnd.IntN(4))
		return fmt.Sprintf("send to %s: %v", a, err)
	case n < 9:
		if err := w.s.Flush(context.Background()); err != nil {
			w.t.Fatalf("flush: %v", err)
		}
		return "flush"
	case n < 10:
		w.s.Merge()
		return "merge"
	case n < 12:
		is := rnd.IntN(2) == 0
		w.disable(a, is)
		return fmt.Sprintf("key of %s away: %v", a, is)
	case n < 13:
		w.keys.change(func() { w.keys.newest[a]++ })
		return "a new key for " + string(a)
	case n < 14:
		tr := rnd.IntN(11)
		w.delete(a, tr)
		return fmt.Sprintf("delete %d of %s", tr, a)
	case n < 15:
		w.s.PurgeDue()
		return "purge"
	case n < 16:
		var off bool
		w.keys.change(func() { w.keys.off = !w.keys.off; off = w.keys.off })
		return fmt.Sprintf("off: %v", off)
	case n < 18:
		time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond)
		return "wait"
	}
	crash := rnd.IntN(2) == 0
	w.restart(rnd, crash)
	return fmt.Sprintf("restart, crash %v", crash)
}

// Keys that go away and come back, rotate, and encryption that is switched off and on at
// any time, restarts and crashes: every account whose key is there has all that it was
// acknowledged, once; the others are refused, and have it later.
func TestKeys_history(t *testing.T) {
	count := setting(t, "FLUORO_HISTORIES", 60)
	if testing.Short() {
		count = min(count, 12)
	}
	first := setting(t, "FLUORO_HISTORY_SEED", 0)
	for seed := first; seed < first+count; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 16))
			w := newWorld(t)
			var log []string
			defer func() {
				if t.Failed() {
					t.Logf("steps:\n%s", strings.Join(log, "\n"))
				}
			}()
			for range 40 {
				log = append(log, w.step(rnd))
				w.settled(log[len(log)-1])
			}
			for _, a := range tenants {
				w.disable(a, false)
			}
			w.settled("all keys are back")
			if err := w.s.Close(); err != nil {
				t.Fatal(err)
			}
			o := w.options()
			if r, err := inspect(o, true); err != nil || len(r.Damage) > 0 {
				t.Fatalf("a check finds %v, %v", r, err)
			}
		})
	}
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatal(what)
}

func logFiles(fs vfs.FS) (names []string) {
	all, _ := fs.List("data/wal")
	for _, n := range all {
		if strings.HasSuffix(n, ".wal") {
			names = append(names, n)
		}
	}
	return names
}

// While a key is away, the log keeps the files with entries of its account, and no others:
// it does not grow with the traffic of the other accounts.
func TestKeys_awayBoundsTheLog(t *testing.T) {
	w := newWorld(t)
	a, b := tenants[0], tenants[1]
	for range 5 {
		if w.send(a, 3) != nil || w.send(b, 3) != nil {
			t.Fatal("not acknowledged")
		}
	}
	w.disable(a, true)
	waitFor(t, "the account does not leave", func() bool { st, _ := w.s.Stats(t.Context()); return len(st.Locked) == 1 })
	st, _ := w.s.Stats(t.Context())
	if l := st.Locked[0]; l.Account != a || !strings.Contains(l.Reason, "disabled") {
		t.Errorf("locked is %+v", l)
	}
	for range 60 {
		if err := w.send(b, 4); err != nil {
			t.Fatal(err)
		}
		if err := w.s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(logFiles(w.fs)); n > 8 {
		t.Errorf("%d log files are kept", n)
	}
	w.settled("away")
	w.restart(nil, false)
	w.settled("away, started again")
	w.disable(a, false)
	w.settled("back")
	if err := w.send(a, 2); err != nil {
		t.Errorf("append after the key came back: %v", err)
	}
	if err := w.s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "log files stay", func() bool { return len(logFiles(w.fs)) <= 3 })
	w.settled("at the end")
}

// The data of an account whose keys were destroyed is gone, which is no damage, and its
// files go, too. The account may begin anew.
func TestKeys_destroyed(t *testing.T) {
	for _, running := range []bool{true, false} {
		for _, settled := range []bool{true, false} {
			t.Run(fmt.Sprintf("running=%v settled=%v", running, settled), func(t *testing.T) {
				w := newWorld(t)
				a := tenants[0]
				for _, tenant := range tenants {
					if err := w.send(tenant, 5); err != nil {
						t.Fatal(err)
					}
				}
				if settled {
					if err := w.s.Flush(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				destroy := func() {
					w.keys.change(func() { w.keys.destroyed[a] = 1 })
					w.own[a].acked = map[int]int{}
				}
				if running {
					destroy()
				} else {
					if err := w.s.Close(); err != nil {
						t.Fatal(err)
					}
					destroy()
					w.open()
				}
				waitFor(t, "the data of the account is still there", func() bool { found, err := w.content(a); return err == nil && len(found) == 0 })
				w.settled("destroyed")
				if err := w.send(a, 3); err != nil {
					t.Fatal(err)
				}
				w.settled("begun anew")
				w.restart(nil, false)
				w.settled("started again")
				waitFor(t, "a destroyed key is still in use", func() bool {
					must(t, w.send(a, 1)) // an idle log keeps its last file
					must(t, w.s.Flush(t.Context()))
					use, err := w.s.shelf.KeysInUse()
					return err == nil && !slices.Contains(use[a], 1) && slices.Contains(use[a], 2)
				})
			})
		}
	}
}

// KeysInUse names the keys that files need, until they are gone.
func TestKeysInUse(t *testing.T) {
	w := newWorld(t)
	a := tenants[0]
	for range 3 {
		if err := w.send(a, 3); err != nil {
			t.Fatal(err)
		}
		if err := w.s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.keys.change(func() { w.keys.newest[a]++ })
	}
	use, err := w.s.shelf.KeysInUse()
	if err != nil || !slices.Equal(use[a], []uint32{1, 2, 3}) || !slices.Equal(use["system"], []uint32{1}) {
		t.Fatalf("%v, %v", use, err)
	}
	w.restart(nil, false)
	if use, err = w.s.shelf.KeysInUse(); err != nil || !slices.Equal(use[a], []uint32{1, 2, 3}) {
		t.Fatalf("after a start: %v, %v", use, err)
	}
}

// Without the key of the server's own files nothing can be read or stored, and nothing is
// changed; every call says why. When the key is back, everything is served.
func TestKeys_systemAway(t *testing.T) {
	w := newWorld(t)
	must(t, w.send(tenants[0], 3))
	must(t, w.s.Close())
	w.disable("system", true)
	ops := w.fs.Ops()
	w.open()
	refused := func(what string, err error) {
		t.Helper()
		if trace.KindOf(err) != trace.KindUnavailable || !strings.Contains(err.Error(), "account system") || !strings.Contains(err.Error(), "disabled") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := w.content(tenants[0])
	refused("summaries", err)
	_, err = w.s.Append(t.Context(), tenants[0], []*trace.Segment{numbered(t, 1, 900)})
	refused("append", err)
	_, err = w.s.Delete(t.Context(), tenants[0], answer.DeleteQuery{IDs: []trace.ID{numbered(t, 1, 0).TraceID}})
	refused("delete", err)
	refused("flush", w.s.Flush(t.Context()))
	refused("backup", w.s.shelf.Backup(t.Context(), nil))
	_, err = w.s.shelf.Export(t.Context(), local.ExportQuery{}, nil)
	refused("export", err)
	_, err = w.s.shelf.KeysInUse()
	refused("keys in use", err)
	st, err := w.s.Stats(t.Context())
	if err != nil || len(st.Locked) != 1 || st.Locked[0].Account != "system" || st.ReadOnly == "" || len(st.Gauges) == 0 {
		t.Errorf("status %+v, %v", st, err)
	}
	must(t, w.s.Close())
	if w.fs.Ops() != ops {
		t.Errorf("%d operations changed something", w.fs.Ops()-ops)
	}
	w.open()
	w.disable("system", false)
	w.settled("back")
	must(t, w.send(tenants[0], 3))
	w.settled("goes on")
	must(t, w.s.Close())
	o := w.options()
	o.Offline = true
	w.disable("system", true)
	if _, err := open(o); trace.KindOf(err) != trace.KindUnavailable {
		t.Errorf("a command: %v", err)
	}
}
