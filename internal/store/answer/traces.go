package answer

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// view is an assembled trace with its summary. It is shared and immutable.
type view struct {
	trace    *trace.Trace
	summary  *trace.Summary
	bytes    int64
	rendered bool // Entity.Raw is set everywhere
}

// viewKey names a view in the cache.
type viewKey struct {
	account  trace.Account
	id       trace.ID
	seq      store.Seq
	rendered bool
	sight    string // key of the judge, "" for a view of the whole trace
}

// bigView is the weight from which traces are assembled one at a time: otherwise many
// readers of large traces would need memory for all of them at once.
const bigView = 4 << 20

// alone makes the caller wait for its turn to assemble a large trace; done ends the
// turn.
func (s *Store) alone(src *store.Source) (done func()) {
	if src.Weight < bigView {
		return func() {}
	}
	s.assembling.Lock()
	return s.assembling.Unlock
}

// view assembles a trace, or takes it from the cache.
func (s *Store) view(ctx context.Context, account trace.Account, src *store.Source, rendered bool) (*view, error) {
	if v := s.cached(account, src, rendered); v != nil {
		return v, nil
	}
	defer s.alone(src)()
	return s.makeView(ctx, account, src, rendered)
}

// cached takes a view from the cache; nil if there is none.
func (s *Store) cached(account trace.Account, src *store.Source, rendered bool) *view {
	k := viewKey{account: account, id: src.ID, seq: src.Seq, rendered: true}
	if v := s.views.Get(k); v != nil || rendered {
		return v
	}
	k.rendered = false
	return s.views.Get(k)
}

func (s *Store) makeView(ctx context.Context, account trace.Account, src *store.Source, rendered bool) (*view, error) {
	segments, err := src.Segments(ctx)
	if err != nil {
		return nil, err
	}
	// Rendering leaves documents as they are: a view with documents only serves both.
	plain := true
	v := &view{bytes: 512}
	for _, seg := range segments {
		plain = plain && seg.Source == trace.SourceDocument
		v.bytes += 2 * store.Memory(seg)
	}
	v.trace = assemble.Trace(src.ID, segments)
	if rendered {
		if err := assemble.Render(v.trace, s.rules.o.Text); err != nil {
			return nil, fmt.Errorf("render trace %s: %w", src.ID, err)
		}
	}
	v.rendered = rendered || plain
	return s.summedUp(account, src, v), nil
}

// summedUp adds the summary to a view and puts it in the cache.
func (s *Store) summedUp(account trace.Account, src *store.Source, v *view) *view {
	v.summary = assemble.Summary(v.trace)
	v.summary.Start, v.summary.Updated = s.clocks(account, src, v.trace)
	for i := range v.summary.Annotations {
		v.bytes += 48 + 80*int64(len(v.summary.Annotations[i].Values))
	}
	if j, ok := src.Content.(*joint); !ok || !j.unread {
		s.views.Put(viewKey{account: account, id: src.ID, seq: src.Seq, rendered: v.rendered}, v, v.bytes)
	}
	return v
}

// viewOf returns the view of a trace that is already assembled.
func (s *Store) viewOf(account trace.Account, src *store.Source, t *trace.Trace) *view {
	if v := s.cached(account, src, false); v != nil {
		return v
	}
	return s.summedUp(account, src, &view{bytes: 512 + 2*src.Weight, trace: t})
}

// assembled returns a trace without its summary. It does not use the cache: a graph
// reads every trace that is still arriving, which would evict everything else.
func (s *Store) assembled(ctx context.Context, account trace.Account, src *store.Source) (*trace.Trace, error) {
	if t := src.Assembled(); t != nil {
		return t, nil
	}
	if v := s.cached(account, src, false); v != nil {
		return v.trace, nil
	}
	segments, err := src.Segments(ctx)
	if err != nil {
		return nil, err
	}
	t := assemble.Trace(src.ID, segments)
	src.Keep(t)
	return t, nil
}

// undamaged returns nil if err reports damage: the shelf names it, and all other data
// is served.
func undamaged(err error) error {
	if _, damaged := errors.AsType[*store.DamagedError](err); damaged {
		return nil
	}
	return err
}

// findStep is how many traces are looked up at a time.
const findStep = 256

// Traces yields those given traces that exist, in the order of ids, assembled, with
// Entity.Raw set on every entity. Damage of one trace does not hide the others: a
// *store.DamagedError at the end names the missing ones. For a reader with a Sight, traces without visible segments do not exist for the reader, and neither do
// damaged ones, about which nobody can tell.
func (s *Store) Traces(ctx context.Context, account trace.Account, ids []trace.ID, reach Reach) iter.Seq2[*trace.Trace, error] {
	return func(yield func(*trace.Trace, error) bool) {
		j, err := s.judge(ctx, account, reach.Sight)
		if err != nil {
			yield(nil, err)
			return
		}
		var damaged store.DamagedError
		show := func(src *store.Source, v *view) bool {
			v = s.seen(account, src, v, j)
			return v == nil || yield(v.trace, nil)
		}
		held := func(t *trace.Trace) bool {
			t = j.mask(t, nil)
			return t == nil || yield(t, nil)
		}
		for len(ids) > 0 {
			step := ids[:min(findStep, len(ids))]
			ids = ids[len(step):]
			if more, err := s.someTraces(ctx, account, &reach, &shown{ids: step, damaged: &damaged, show: show, held: held}); err != nil {
				yield(nil, err)
				return
			} else if !more {
				return
			}
		}
		if len(damaged.IDs) > 0 && j == nil {
			yield(nil, &damaged)
		}
	}
}

// mostReasons is the maximum number of reasons in a DamagedError.
const mostReasons = 5

// shown is a step of Traces.
type shown struct {
	ids     []trace.ID
	damaged *store.DamagedError
	show    func(*store.Source, *view) bool
	held    func(*trace.Trace) bool // shows a trace with segments under legal hold
}

func (s *Store) someTraces(ctx context.Context, account trace.Account, reach *Reach, step *shown) (more bool, err error) {
	damaged := step.damaged
	if err := s.usable(ctx); err != nil {
		return false, err
	}
	found, release, err := s.find(ctx, account, reach, step.ids)
	if err != nil {
		return false, err
	}
	defer release()
	horizon, sources := s.rules.Horizon(), make(map[trace.ID]*store.Source, len(found))
	for i := range found {
		if found[i].Updated >= horizon {
			sources[found[i].ID] = &found[i]
		}
	}
	for _, id := range step.ids {
		if err := s.usable(ctx); err != nil {
			return false, err
		}
		src := sources[id]
		if t, err := s.withHeld(ctx, account, id, src); err != nil {
			return false, err
		} else if t != nil {
			if !step.held(t) {
				return false, nil
			}
			continue
		}
		if src == nil {
			continue
		}
		v, err := s.view(ctx, account, src, true)
		switch {
		case err == nil:
			if v.trace.Updated >= horizon && !step.show(src, v) { // a repeated segment is no receipt
				return false, nil
			}
		case ctx.Err() != nil:
			return false, ctx.Err()
		case trace.KindOf(err) == trace.KindUnavailable || trace.KindOf(err) == trace.KindThrottled:
			return false, err // the engine cannot be reached
		default:
			if undamaged(err) != nil { // damage is named by the shelf
				s.rules.o.Logger.Error("a trace cannot be shown", "trace", id, "error", err)
			}
			damaged.IDs = append(damaged.IDs, id)
			if len(damaged.IDs) <= mostReasons {
				damaged.Err = errors.Join(damaged.Err, err)
			}
		}
	}
	return true, nil
}

// Weigh returns about how many bytes of memory the given traces take together when
// Traces yields them, and the largest of them alone. It loads no trace.
func (s *Store) Weigh(ctx context.Context, account trace.Account, ids []trace.ID) (all, largest int64, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, 0, err
	}
	found, release, err := s.shelf.Find(ctx, account, ids)
	if err != nil {
		return 0, 0, err
	}
	defer release()
	for i := range found {
		all, largest = all+found[i].Weight, max(largest, found[i].Weight)
	}
	return all, largest, nil
}

// Heaviest returns about how many bytes of memory the largest trace takes that a query
// about a window may load.
func (s *Store) Heaviest(ctx context.Context, account trace.Account, w trace.Window) (int64, error) {
	e, err := s.shelf.Estimate(ctx, account, store.EstimateQuery{Window: w})
	return e.Largest, err
}

// The memory of a node and of an edge of a graph, besides their bins: counted, as part
// of the answer, and as text.
const (
	nodeBytes = 2500
	edgeBytes = 2000
	// traceParts is how many times its weight a trace takes while it is counted: as it
	// was read, and assembled.
	traceParts = 2
)

// WeighGraph returns about how many bytes of memory Graph takes, its answer included.
func (s *Store) WeighGraph(ctx context.Context, account trace.Account, q GraphQuery) (int64, error) {
	e, err := s.shelf.Estimate(ctx, account, store.EstimateQuery{Window: q.Window, Sums: true})
	if err != nil {
		return 0, err
	}
	// A trace that is still arriving may have names that occur nowhere else.
	settling := 2 * min(e.Settling, s.rules.o.Names)
	// A service in many sums is usually counted many times.
	most := s.rules.Limit().Most()
	return int64(min(settling+e.Nodes, most))*nodeBytes + int64(min(settling+e.Edges, 2*most))*edgeBytes + e.LargestSum + e.SumBytes/4 + traceParts*e.Largest, nil
}
