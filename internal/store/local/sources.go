package local

import (
	"cmp"
	"context"
	"errors"
	"slices"

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
	// repeats says that a segment id came twice, or that it is not known.
	repeats bool
}

// lsn returns the LSN up to which the source is complete. Account, id and LSN
// together name the content of a trace for all time.
func (src *source) lsn() uint64 {
	if n := len(src.parts); n > 0 {
		return src.parts[n-1].lsn
	}
	return src.base.block.Entry(src.base.entry).LSN
}

// reach bounds the times of a trace.
func (src *source) reach() reach {
	r := noReach()
	for i := range src.parts {
		r.join(src.parts[i].reach)
	}
	if b := src.base.block; b != nil {
		e := b.Entry(src.base.entry)
		r.join(reach{e.Start, e.Start, trace.MaxTime, e.End, e.Updated})
	}
	return r
}

// weight returns about how much memory a trace takes when it is assembled.
func (src *source) weight() (bytes int64) {
	for i := range src.parts {
		bytes += src.parts[i].bytes
	}
	if b := src.base.block; b != nil {
		bytes += int64(b.Entry(src.base.entry).Segments)*store.EntityBytes + store.TextBytes(int(b.Weight(src.base.entry)))
	}
	return bytes
}

// locate finds a trace and takes a reference to its block. The mutex is held.
func (s *Shelf) locate(k key) (src source, ok bool) {
	src.key = k
	o := s.head.get(k)
	if o != nil {
		src.parts, src.open, src.repeats = o.parts[:len(o.parts):len(o.parts)], o, o.repeats
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

// content is a source as the contract has it.
type content struct {
	*source
	shelf *Shelf
	keep  block.Keeper
}

// sourceOf hands a source to the layer above. keep says what becomes of the row
// groups that are decompressed for it.
func (s *Shelf) sourceOf(src *source, keep block.Keeper) store.Source {
	return store.Source{ID: src.id, Seq: store.Seq(src.lsn()), Updated: src.reach().received, Weight: src.weight(), Content: &content{src, s, keep}}
}

// Segments loads all segments of the trace.
func (c *content) Segments(context.Context) ([]*trace.Segment, error) {
	segments, err := c.shelf.segments(c.source, c.keep)
	if err != nil && !corrupt(err) { // whatever it is, it is this trace's
		c.shelf.damage.note(err)
	}
	if err != nil {
		return nil, &store.DamagedError{IDs: []trace.ID{c.id}, Err: err}
	}
	return segments, nil
}

// Assembled returns the trace if it was assembled as it is now.
func (c *content) Assembled() *trace.Trace { return c.kept() }

// Keep lets an open trace have what was assembled of it, while there is memory.
func (c *content) Keep(t *trace.Trace) {
	if c.open != nil && c.shelf.room.ample() {
		c.open.kept.Store(&kept{c.lsn(), t})
	}
}

// kept returns the trace if it was assembled as it is now, else nil.
func (src *source) kept() *trace.Trace {
	if src.open == nil {
		return nil
	}
	if k := src.open.kept.Load(); k != nil && k.lsn == src.lsn() {
		return k.trace
	}
	return nil
}

// Find locates traces. They come in the order in which blocks have them: neighbours
// are decompressed once.
func (s *Shelf) Find(ctx context.Context, account trace.Account, ids []trace.ID) (found []store.Source, release func(), err error) {
	if err := errors.Join(ctx.Err(), s.usable()); err != nil {
		return nil, nil, err
	}
	list := make([]*source, 0, len(ids))
	s.mu.RLock()
	for _, id := range ids {
		if src, ok := s.locate(key{account, id}); ok {
			list = append(list, &src)
		}
	}
	s.mu.RUnlock()
	number := func(src *source) uint64 {
		if src.base.block == nil {
			return 0
		}
		return src.base.block.Number()
	}
	slices.SortFunc(list, func(x, y *source) int {
		return cmp.Or(cmp.Compare(number(x), number(y)), cmp.Compare(x.base.entry, y.base.entry))
	})
	var keep block.Keeper = s.groups
	if len(list) > fewSources {
		keep = new(block.Memo)
	}
	found = make([]store.Source, len(list))
	for i, src := range list {
		found[i] = s.sourceOf(src, keep)
	}
	return found, func() {
		for _, src := range list {
			src.release()
		}
	}, nil
}

// fewSources is how many traces are loaded by way of the cache. More, which are
// loaded in order, need each row group once.
const fewSources = 5

// segments loads all segments of a trace, in the order of acceptance, in a new slice.
func (s *Shelf) segments(src *source, keep block.Keeper) ([]*trace.Segment, error) {
	var segments []*trace.Segment
	if src.base.block != nil {
		records, err := src.base.block.Records(src.base.entry, keep)
		if err != nil {
			err = s.readFailed(src.base.block, err)
			if len(src.parts) == 0 || !corrupt(err) {
				return nil, err
			}
		}
		for i := range records {
			seg, err := s.o.Rules.Restore(&records[i])
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
func (s *Shelf) readFailed(b *sealed, err error) error {
	if corrupt(err) {
		s.damage.note(err)
		b.damaged.Store(true)
	}
	return err
}

// horizon returns the time before which traces are over their time.
func (s *Shelf) horizon() trace.Time {
	return max(trace.Time(s.floor.Load()), s.o.Rules.Horizon())
}
