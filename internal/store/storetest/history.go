package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// History runs one random history of a store, derived from the seed, and compares all
// answers with those of the model. Documents of every kind arrive in any order, in any
// batches and with any times of receipt; traces are deleted and start again. In
// between, upset disturbs the store: it makes the engine settle or merge, or injects a
// fault. If upset returns a function, the store is closed and opened again on the shelf
// that this function opens: a restart, or a crash.
func History(t testing.TB, e Engine, seed uint64, upset func(rnd *rand.Rand, s store.Shelf) func(store.Rules) store.Shelf) {
	rnd := rand.New(rand.NewPCG(seed, 99))
	h := &history{fixture: newFixture(t, e), rnd: rnd, now: second(float64(rnd.IntN(120)))}
	h.first = h.now
	var docs []func(at trace.Time) []*trace.Segment
	traces := 4 + rnd.IntN(12)
	for n := range traces {
		docs = append(docs, randomTrace(h, rnd, n, traces)...)
	}
	if rnd.IntN(4) > 0 {
		// Nearly in order, as usual: a few are late.
		for range len(docs) / 4 {
			i, j := rnd.IntN(len(docs)), rnd.IntN(len(docs))
			docs[i], docs[j] = docs[j], docs[i]
		}
	} else {
		rnd.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	}
	accounts := []trace.Account{home, "111111111111"}
	for len(docs) > 0 {
		n := min(len(docs), 1+rnd.IntN(8))
		at := h.tick()
		var batch []*trace.Segment
		for _, d := range docs[:n] {
			batch = append(batch, d(at)...)
		}
		docs = docs[n:]
		h.append(accounts[rnd.IntN(6)/5], batch...)
		if rnd.IntN(2) == 0 {
			if again := upset(rnd, h.shelf); again != nil {
				_ = h.store.Close() // a crashed shelf cannot be closed
				h.open(again)
			}
		}
		if rnd.IntN(9) == 0 {
			h.deleteSome()
		}
		if ids := h.model.ids(home); len(ids) > 0 && rnd.IntN(9) == 0 {
			h.replace(home, ids[rnd.IntN(len(ids))])
		}
		if rnd.IntN(4) == 0 {
			h.look(fmt.Sprintf("seed %d, %d documents to come", seed, len(docs)), home)
		}
	}
	h.states(func(state string) {
		for _, a := range accounts {
			h.compare(fmt.Sprintf("seed %d, %s", seed, state), a)
			h.look(fmt.Sprintf("seed %d, %s", seed, state), a)
		}
	})
}

// history is a fixture with a random clock.
type history struct {
	*fixture
	rnd        *rand.Rand
	first, now trace.Time
}

const minute = trace.Time(time.Minute)

// tick returns the next time of receipt: a little later, much later, or close to the
// start of a minute.
func (h *history) tick() trace.Time {
	switch next := h.now - h.now%minute + minute; h.rnd.IntN(8) {
	case 0:
		h.now = max(h.now+1, next-1+trace.Time(h.rnd.IntN(3))) // the last and the first nanoseconds of a minute
	case 1:
		h.now += trace.Time(h.rnd.IntN(400)) * trace.Time(time.Second)
	case 2:
		h.now += trace.Time(h.rnd.Int64N(int64(2 * minute)))
	default:
		h.now += trace.Time(1 + h.rnd.IntN(int(3*time.Second)))
	}
	return h.now
}

// deleteSome deletes a few traces by id, or the traces that a query selects.
func (h *history) deleteSome() {
	ids := h.model.ids(home)
	if len(ids) > 0 && h.rnd.IntN(2) == 0 {
		h.delete(home, ids[h.rnd.IntN(len(ids)):][:1]...)
		return
	}
	from := second(float64(h.rnd.IntN(100)))
	q := &answer.SummaryQuery{Window: trace.Window{Start: from, End: from + trace.Time(h.rnd.IntN(20))*1e9 + 1}, Clock: trace.ClockTraceID, Filter: h.filter()}
	ids = ids[:0]
	for _, s := range h.model.summaries(home, q) {
		ids = append(ids, s.ID)
	}
	n, err := h.store.Delete(h.ctx, home, answer.DeleteQuery{Window: q.Window, Filter: q.Filter})
	if err != nil || n != len(ids) {
		h.Fatalf("Delete of %s: %d, %v; want %d", describeQuery(q), n, err, len(ids))
	}
	h.model.delete(home, ids...)
}

// filter returns a random filter; the empty one selects everything.
func (h *history) filter() *filter.Expr {
	all := expressions()
	return parse(h, all[h.rnd.IntN(len(all))])
}

// instant returns a time of receipt: half of them at the start of a minute, others at
// the exact time of a receipt.
func (h *history) instant() trace.Time {
	at := h.first - minute + trace.Time(h.rnd.Int64N(int64(h.now-h.first+3*minute)))
	switch h.rnd.IntN(8) {
	case 0, 1, 2, 3:
		at -= at % minute
	case 4:
		at = at - at%minute + trace.Time(h.rnd.IntN(3)) - 1
	case 5:
		at = h.now + trace.Time(h.rnd.IntN(3)) - 1
	}
	return at
}

// window returns a window between two instants, or one that covers all times.
func (h *history) window() trace.Window {
	if h.rnd.IntN(6) == 0 {
		return everything()
	}
	a, b := h.instant(), h.instant()
	if h.rnd.IntN(3) == 0 {
		b = a + trace.Time(1+h.rnd.IntN(6))*minute
	}
	return trace.Window{Start: min(a, b), End: max(a, b)}
}

// group returns nil half of the time, else a group with one or two versions.
func (h *history) group() *answer.Group {
	if h.rnd.IntN(2) == 0 {
		return nil
	}
	changed := h.instant()
	list := []answer.GroupVersion{{Filter: h.filter(), Received: trace.Window{Start: changed, End: trace.MaxTime}}}
	if h.rnd.IntN(2) == 0 {
		list = append(list, answer.GroupVersion{Filter: h.filter(), Received: trace.Window{Start: 0, End: changed}, Old: true})
	}
	return &answer.Group{Versions: list}
}

// look queries a few random windows.
func (h *history) look(state string, account trace.Account) {
	for range 4 {
		reach := answer.Reach{Sight: randomSight(h.rnd), Linked: h.linked(account)}
		state := fmt.Sprintf("%s, reach %v", state, reach)
		h.compareTraces(state, account, reach)
		g := answer.GraphQuery{Window: h.window(), Group: h.group(), Reach: reach}
		h.compareGraph(fmt.Sprintf("%s, %s", state, describeReceived(g.Window, g.Group)), account, g)
		s := answer.SeriesQuery{Window: h.window(), Group: h.group(), Period: time.Minute, Reach: reach}
		if h.rnd.IntN(2) == 0 {
			s.Period *= 5
		}
		text := []string{"", `service("front")`, `service("orders")`, `service("payments")`, `edge("front", "orders")`, `edge(id(name: "front", type: "client"), "front")`}[h.rnd.IntN(6)]
		if text != "" {
			of, err := filter.ParseEntities(text)
			if err != nil {
				h.Fatalf("ParseEntities(%q): %v", text, err)
			}
			s.Of = of
		}
		h.compareSeries(fmt.Sprintf("%s, %s of %q by %v", state, describeReceived(s.Window, s.Group), text, s.Period), account, s)
		clock := trace.Clock(h.rnd.IntN(3))
		q := &answer.SummaryQuery{Window: h.window(), Clock: clock, Filter: h.filter(), Reach: reach}
		if clock != trace.ClockEvent {
			from := second(float64(h.rnd.IntN(100)))
			q.Window = trace.Window{Start: from, End: from + trace.Time(h.rnd.IntN(60))*1e9}
		}
		if list := h.model.summaries(account, q); len(list) > 0 && h.rnd.IntN(2) == 0 {
			last := list[h.rnd.IntN(len(list))]
			q.After = &answer.Cursor{Time: clock.Of(last), ID: last.ID}
		}
		h.compareSummaries(state, account, q)
	}
}

// linked links other accounts a third of the time, some from the beginning.
func (h *history) linked(account trace.Account) []trace.Linked {
	if h.rnd.IntN(3) > 0 {
		return nil
	}
	list := []trace.Linked{{Account: "222222222222", Since: h.instant()}} // it has nothing
	for _, other := range []trace.Account{home, "111111111111"} {
		if other != account {
			list = append(list, trace.Linked{Account: other, Since: []trace.Time{0, h.instant()}[h.rnd.IntN(2)]})
		}
	}
	return list
}

func describeReceived(w trace.Window, g *answer.Group) string {
	text := fmt.Sprintf("received from %d to %d", w.Start, w.End)
	if g != nil {
		for _, v := range g.Versions {
			text += fmt.Sprintf(", from %d to %d matching %v", v.Received.Start, v.Received.End, v.Filter)
		}
	}
	return text
}

// anyHistory runs History on an engine that is only settled and reopened.
func anyHistory(t *testing.T, e Engine) {
	for seed := range uint64(4) {
		History(t, e, seed, func(rnd *rand.Rand, s store.Shelf) func(store.Rules) store.Shelf {
			switch rnd.IntN(6) {
			case 0:
				e.Settle(t, s)
			case 1:
				return func(rules store.Rules) store.Shelf { return e.Reopen(t, s, rules) }
			}
			return nil
		})
	}
}

// randomMess returns the spans and documents of a trace with many faults: shared ids;
// parents that never arrive, are the entity itself or belong to another service;
// versions without an end.
func randomMess(t testing.TB, rnd *rand.Rand, n int) (docs []func(trace.Time) []*trace.Segment) {
	begin := float64(rnd.IntN(100))
	for range 1 + rnd.IntN(8) {
		id, parent := segmentID(n*10+rnd.IntN(6)), segmentID(n*10+rnd.IntN(7))
		if rnd.IntN(4) == 0 {
			parent = ""
		}
		service, name := []string{"front", "orders", "payments"}[rnd.IntN(3)], []string{"get", "put"}[rnd.IntN(2)]
		kind, start := trace.SpanKind(rnd.IntN(6)), begin+float64(rnd.IntN(3))
		end := start + float64(rnd.IntN(3))
		if rnd.IntN(4) == 0 { // a document
			more := doc{"fault": rnd.IntN(2) == 0}
			if parent != "" {
				more["parent_id"] = parent
				if rnd.IntN(2) == 0 {
					more["type"] = "subsegment"
				}
			}
			docs = append(docs, func(at trace.Time) []*trace.Segment {
				return []*trace.Segment{segment(t, at, n, id, service, start, end, more)}
			})
			continue
		}
		if rnd.IntN(3) == 0 {
			docs = append(docs, func(at trace.Time) []*trace.Segment {
				return []*trace.Segment{span(t, at, n, service, kind, id, parent, name, start, -1)}
			})
		}
		if rnd.IntN(4) > 0 {
			docs = append(docs, func(at trace.Time) []*trace.Segment {
				return []*trace.Segment{span(t, at, n, service, kind, id, parent, name, start, end)}
			})
		}
	}
	return docs
}

// randomTrace returns the documents of trace number n of the given count: a shop, or
// spans. Some spans are sent in progress first, twice, or in pieces; some link to other
// traces.
func randomTrace(t testing.TB, rnd *rand.Rand, n, of int) []func(trace.Time) []*trace.Segment {
	if rnd.IntN(4) == 0 {
		return randomMess(t, rnd, n)
	}
	if rnd.IntN(4) == 0 {
		start := float64(rnd.IntN(100))
		docs := []func(trace.Time) []*trace.Segment{func(at trace.Time) []*trace.Segment { return spans(t, at, n, "payments", start) }}
		if rnd.IntN(2) == 0 {
			// The two spans in separate requests.
			docs = []func(trace.Time) []*trace.Segment{
				func(at trace.Time) []*trace.Segment { return spans(t, at, n, "payments", start)[1:] },
				func(at trace.Time) []*trace.Segment { return spans(t, at, n, "payments", start)[:1] },
			}
		}
		return docs
	}
	seed, start := rnd.Uint64(), float64(rnd.IntN(100))
	var docs []func(trace.Time) []*trace.Segment
	for part := range 2 {
		whole := func(at trace.Time) []*trace.Segment {
			same := rand.New(rand.NewPCG(seed, 1))
			return shop(t, same, func() trace.Time { return at }, n, start)[part : part+1]
		}
		docs = append(docs, whole)
		if rnd.IntN(3) == 0 {
			docs = append(docs, whole)
		}
		if rnd.IntN(2) == 0 {
			id := segmentID(n*10 + 1 + part)
			docs = append(docs, func(at trace.Time) []*trace.Segment {
				return []*trace.Segment{segment(t, at, n, id, "pending", start, -1, nil)}
			})
		}
	}
	if rnd.IntN(3) == 0 {
		other := rnd.IntN(of)
		links := doc{"links": []doc{{"trace_id": traceID(other).String(), "id": segmentID(other*10 + 1 + rnd.IntN(3)), "attributes": doc{"aws.xray.reserved": doc{"reference_type": "parent"}}}}}
		docs = append(docs, func(at trace.Time) []*trace.Segment {
			return []*trace.Segment{segment(t, at, n, segmentID(n*10+7), "worker", start+2, start+2.5, links)}
		})
	}
	return append(docs, func(at trace.Time) []*trace.Segment {
		return []*trace.Segment{segment(t, at, n, segmentID(n*10+8), "cache", start+0.001, start+0.002,
			doc{"type": "subsegment", "parent_id": segmentID(n*10 + 1), "namespace": "remote"})}
	})
}
