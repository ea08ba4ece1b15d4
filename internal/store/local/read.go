package local

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// source says where all of one trace is, at one moment: what a block holds,
// then the open parts. Whoever has one holds a reference to the block.
type source struct {
	key
	base  place // block nil: nothing is settled
	parts []part
	open  *open // nil if nothing of it is open
}

// lsn is the LSN up to which the source is complete. Account, id and LSN
// together name the content of a trace for all time.
func (src *source) lsn() uint64 {
	if n := len(src.parts); n > 0 {
		return src.parts[n-1].lsn
	}
	return src.base.block.Entry(src.base.entry).LSN
}

// reach bounds the times of an open trace, its settled part included.
func (src *source) reach() reach {
	r := noReach()
	for i := range src.parts {
		r.join(src.parts[i].reach)
	}
	if b := src.base.block; b != nil {
		e := b.Entry(src.base.entry)
		r.join(reach{e.Start, e.Start, e.Updated})
	}
	return r
}

// locate finds a trace and takes a reference to its block. The mutex is held.
func (s *Store) locate(k key) (src source, ok bool) {
	src.key = k
	o := s.head.get(k)
	if o != nil {
		src.parts, src.open = o.parts[:len(o.parts):len(o.parts)], o
	}
	if o == nil || o.reopened {
		if p, found := s.table.get(k); found {
			src.base = p
		}
	}
	if src.base.block != nil {
		src.base.block.Acquire()
	}
	return src, o != nil || src.base.block != nil
}

func (src *source) release() {
	if src.base.block != nil {
		src.base.block.Release()
	}
}

// view is an assembled trace. It is shared and immutable.
type view struct {
	trace   *trace.Trace
	summary *trace.Summary
	bytes   int64
}

// viewKey names a view for the cache. rendered views have Entity.Raw everywhere.
type viewKey struct {
	key
	lsn      uint64
	rendered bool
}

// view assembles a trace, or takes it from the cache. Damage is a *CorruptError.
func (s *Store) view(src *source, rendered bool, keep block.Keeper) (*view, error) {
	if v := s.viewed(src, rendered); v != nil {
		return v, nil
	}
	defer s.alone(src)()
	return s.makeView(src, rendered, keep)
}

// alone lets large traces be assembled one at a time, until its result is called.
func (s *Store) alone(src *source) (done func()) {
	if src.weight() < bigView {
		return func() {}
	}
	s.assembling.Lock()
	return s.assembling.Unlock
}

// viewed takes a trace from the cache, or is nil.
func (s *Store) viewed(src *source, rendered bool) *view {
	k := viewKey{src.key, src.lsn(), true}
	if v := s.views.Get(k); v != nil {
		return v
	}
	if !rendered {
		k.rendered = false
		return s.views.Get(k)
	}
	return nil
}

func (s *Store) makeView(src *source, rendered bool, keep block.Keeper) (*view, error) {
	segments, err := s.segments(src, keep)
	if err != nil {
		return nil, err
	}
	// A document is rendered as it is: such a view serves both.
	plain := true
	v := &view{bytes: 512}
	for _, seg := range segments {
		plain = plain && seg.Source == trace.SourceDocument
		bytes, _ := measure(seg)
		v.bytes += 2 * bytes
	}
	k := viewKey{src.key, src.lsn(), rendered || plain}
	v.trace = assemble.Trace(src.id, segments)
	if rendered {
		if err := assemble.Render(v.trace, decode.Text); err != nil {
			return nil, fmt.Errorf("render: %w", err)
		}
	}
	return s.summedUp(k, v), nil
}

// summedUp adds the summary to a view and keeps it in the cache.
func (s *Store) summedUp(k viewKey, v *view) *view {
	v.summary = assemble.Summary(v.trace)
	for i := range v.summary.Annotations {
		v.bytes += 48 + 80*int64(len(v.summary.Annotations[i].Values))
	}
	s.views.Put(k, v, v.bytes)
	return v
}

// openView is the view of an open trace that is assembled already.
func (s *Store) openView(src *source, t *trace.Trace) *view {
	for _, rendered := range []bool{true, false} {
		if v := s.views.Get(viewKey{src.key, src.lsn(), rendered}); v != nil {
			return v
		}
	}
	return s.summedUp(viewKey{src.key, src.lsn(), false}, &view{bytes: 512 + 2*src.weight(), trace: t})
}

// assembled is a trace without its summary. It does not go to the cache: a graph
// looks at every open trace, which would leave nothing else there. While there is
// memory for it, an open trace keeps it.
func (s *Store) assembled(src *source, keep block.Keeper) (*trace.Trace, error) {
	if t := src.kept(); t != nil {
		return t, nil
	}
	if v := s.viewed(src, false); v != nil {
		return v.trace, nil
	}
	segments, err := s.segments(src, keep)
	if err != nil {
		return nil, err
	}
	t := assemble.Trace(src.id, segments)
	if src.open != nil && s.room.ample() {
		src.open.kept.Store(&kept{src.lsn(), t})
	}
	return t, nil
}

// kept is the trace if it was assembled as it is now, else nil.
func (src *source) kept() *trace.Trace {
	if src.open == nil {
		return nil
	}
	if k := src.open.kept.Load(); k != nil && k.lsn == src.lsn() {
		return k.trace
	}
	return nil
}

// segments are all of a trace, in the order of acceptance, in a new slice.
func (s *Store) segments(src *source, keep block.Keeper) ([]*trace.Segment, error) {
	var segments []*trace.Segment
	if src.base.block != nil {
		records, err := src.base.block.Records(src.base.entry, keep)
		if err != nil {
			err = s.readFailed(src.base.block, err)
			if len(src.parts) == 0 || notCorrupt(err) != nil {
				return nil, err
			}
		}
		for i := range records {
			r := &records[i]
			seg, err := s.o.Restore(r.Source, r.Raw, r.Scope, r.Part, r.ReceivedAt)
			if err != nil {
				b := src.base.block
				return nil, s.readFailed(b, vfs.Corrupt(b.Entities(), b.Offset(src.base.entry), "trace %s: %w", src.id, err))
			}
			segments = append(segments, seg)
		}
	}
	for i := range src.parts {
		segments = append(segments, src.parts[i].segments...)
	}
	return segments, nil
}

// readFailed notes damage of a block, which is then left alone.
func (s *Store) readFailed(b *sealed, err error) error {
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		s.noteDamage(err)
		s.mu.Lock()
		b.damaged = true
		s.mu.Unlock()
	}
	return err
}

// Traces yields traces by id. One that cannot be read does not hide the others:
// which ones those are comes last.
func (s *Store) Traces(ctx context.Context, account trace.Account, ids []trace.ID) iter.Seq2[*trace.Trace, error] {
	return func(yield func(*trace.Trace, error) bool) {
		var damaged store.DamagedError
		for _, id := range ids {
			if err := errors.Join(ctx.Err(), s.usable()); err != nil {
				yield(nil, err)
				return
			}
			s.mu.RLock()
			src, ok := s.locate(key{account, id})
			s.mu.RUnlock()
			if !ok || s.expired(&src) {
				src.release()
				continue
			}
			v, err := s.view(&src, true, s.groups)
			src.release()
			if err == nil {
				if !yield(v.trace, nil) {
					return
				}
				continue
			}
			if notCorrupt(err) != nil { // whatever it is, it is this trace's
				s.noteDamage(fmt.Errorf("trace %s: %w", id, err))
			}
			damaged.IDs = append(damaged.IDs, id)
			if len(damaged.IDs) <= mostReasons {
				damaged.Err = errors.Join(damaged.Err, err)
			}
		}
		if len(damaged.IDs) > 0 {
			yield(nil, &damaged)
		}
	}
}

// mostReasons is how many reasons a DamagedError gives.
const mostReasons = 5

// expired says whether a settled trace is over its time although its block is
// still there.
func (s *Store) expired(src *source) bool {
	return len(src.parts) == 0 && src.base.block != nil && src.base.block.Entry(src.base.entry).Updated < s.horizon()
}

// horizon is the time before which traces are over their time, in whole seconds.
func (s *Store) horizon() trace.Time {
	floor := trace.Time(s.floor.Load())
	if s.o.Retention < 0 {
		return floor
	}
	return max(floor, trace.TimeOf(s.o.Now().Add(-s.o.Retention)).FloorSecond())
}
