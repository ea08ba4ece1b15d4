package local

import (
	"cmp"
	"context"
	"slices"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/vfs"
)

// loader finds traces and loads them. It is the only part that reads records of
// blocks, except for a merge, which copies them.
type loader struct {
	*base
	state  *state
	groups *block.Cache // row groups that questions have read
}

// settled reads the records that a block has of a trace. Damage is noted, and the block
// left alone.
func (l *loader) settled(src *source, keep block.Keeper) ([]block.Record, error) {
	if src.base.block == nil {
		return nil, nil
	}
	records, err := src.base.block.Records(src.base.entry, keep)
	if err != nil {
		return nil, src.base.block.readFailed(l.damage, err)
	}
	return records, nil
}

// records appends the records of a trace, in the order of acceptance. On damage it
// leaves out the settled ones and returns the damage, which is noted.
func (l *loader) records(records []block.Record, src *source, keep block.Keeper) ([]block.Record, error) {
	settled, err := l.settled(src, keep)
	records = append(records, settled...)
	for i := range src.parts {
		for _, seg := range src.parts[i].segments {
			records = append(records, trace.RecordOf(seg))
		}
	}
	return records, err
}

// segments appends the segments of a trace, in the order of acceptance. On damage it
// leaves out those that cannot be read and returns the first damage, which is noted.
func (l *loader) segments(segments []*trace.Segment, src *source, keep block.Keeper) ([]*trace.Segment, error) {
	settled, err := l.settled(src, keep)
	for i := range settled {
		seg, failed := l.Rules.Restore(&settled[i])
		if failed != nil {
			b := src.base.block
			failed = b.readFailed(l.damage, vfs.Corrupt(b.Entities(), b.Offset(src.base.entry), "trace %s: %w", src.id, failed))
			if err == nil {
				err = failed
			}
			continue
		}
		segments = append(segments, seg)
	}
	for i := range src.parts {
		segments = append(segments, src.parts[i].segments...)
	}
	return segments, err
}

// fewSources is how many traces are loaded by way of the cache. More, which are
// loaded in order, need each row group once.
const fewSources = 5

// find finds traces. They come in the order in which blocks have them: neighbours are
// decompressed once.
func (l *loader) find(account trace.Account, ids []trace.ID) (found []store.Source, release func()) {
	list := l.state.find(account, ids)
	number := func(src *source) uint64 {
		if src.base.block == nil {
			return 0
		}
		return src.base.block.Number()
	}
	slices.SortFunc(list, func(x, y *source) int {
		return cmp.Or(cmp.Compare(number(x), number(y)), cmp.Compare(x.base.entry, y.base.entry))
	})
	var keep block.Keeper = l.groups
	if len(list) > fewSources {
		keep = new(block.Memo)
	}
	found = make([]store.Source, len(list))
	for i, src := range list {
		found[i] = l.source(src, keep)
	}
	return found, func() {
		for _, src := range list {
			src.release()
		}
	}
}

// source makes a source of the contract. keep gets the row groups that are decompressed
// for it.
func (l *loader) source(src *source, keep block.Keeper) store.Source {
	return store.Source{ID: src.id, Seq: store.Seq(src.lsn()), Updated: src.reach().received, Weight: src.weight(), Content: &content{src, l, keep}}
}

// content is a source as the contract has it.
type content struct {
	*source
	loader *loader
	keep   block.Keeper
}

// Segments loads all segments of the trace. If the settled part of an open trace is
// damaged it loads the rest.
func (c *content) Segments(context.Context) ([]*trace.Segment, error) {
	segments, err := c.loader.segments(nil, c.source, c.keep)
	switch {
	case err == nil, corrupt(err) && len(c.parts) > 0:
		return segments, nil
	case !corrupt(err):
		c.loader.damage.note(err) // of any kind: this trace cannot be read
	}
	return nil, &store.DamagedError{IDs: []trace.ID{c.id}, Err: err}
}

// Assembled returns the assembled trace, if nothing was added since, else nil.
func (c *content) Assembled() *trace.Trace { return c.kept() }

// Keep keeps the assembled form of an open trace, while there is memory.
func (c *content) Keep(t *trace.Trace) {
	if c.open != nil && c.loader.state.room.ample() {
		c.open.kept.Store(&kept{c.lsn(), t})
	}
}
