package local

import "github.com/fluoro-io/fluoro/internal/trace"

// source finds all segments of a trace, at one moment: those in a block, then those of
// the open parts. It has a reference to the block until release.
type source struct {
	key
	base  place // its block is nil if nothing is settled
	parts []part
	open  *open // nil if nothing of it is open
	// repeats: a segment id arrived twice, or may have.
	repeats bool
}

// lsn returns the LSN up to which the source is complete. Account, id and LSN name the
// content of a trace for all time.
func (src *source) lsn() uint64 {
	if n := len(src.parts); n > 0 {
		return src.parts[n-1].lsn
	}
	return src.base.lsn()
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
	if src.base.block != nil {
		bytes += src.base.weight()
	}
	return bytes
}

func (src *source) release() {
	if src.base.block != nil {
		src.base.block.Release()
	}
}

// kept returns the assembled trace, if nothing was added since, else nil.
func (src *source) kept() *trace.Trace {
	if src.open == nil {
		return nil
	}
	if k := src.open.kept.Load(); k != nil && k.lsn == src.lsn() {
		return k.trace
	}
	return nil
}
