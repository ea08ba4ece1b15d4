package embedded

import (
	"sync"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/store/embedded/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// open is a trace in the head: what came since it last settled. Fields are
// guarded by Store.mu, but for the view, which has a lock of its own so that
// readers can make it.
type open struct {
	id       trace.ID
	segments []*trace.Segment // only appended to
	files    []uint64         // log file of each segment
	bytes    int64
	sequence uint64 // of the last batch
	touched  time.Time
	// start and updated are what windows need to know without a view.
	start, updated trace.Time

	viewMu sync.Mutex
	view   *view
}

// view is an assembled trace.
type view struct {
	trace    *trace.Trace
	summary  *trace.Summary
	sequence uint64     // of the last batch in it
	base     *block.Row // settled part in it
}

// apply makes a durable batch visible. The caller holds mu for writing, or is
// alone.
func (s *Store) apply(b *batch, file uint64, now time.Time) {
	a := s.account(b.account)
	for _, seg := range b.segments {
		o := a.open[seg.TraceID]
		if o == nil {
			o = &open{id: seg.TraceID, start: earliest(&seg.Entity)}
			if row := a.rows[seg.TraceID]; row != nil {
				o.start = min(o.start, row.Start)
			}
			a.open[seg.TraceID] = o
		}
		n := int64(weight(seg))
		o.segments, o.files = append(o.segments, seg), append(o.files, file)
		o.bytes += n
		o.sequence, o.touched = b.sequence, now
		o.start, o.updated = min(o.start, earliest(&seg.Entity)), max(o.updated, seg.ReceivedAt)
		s.headBytes += n
	}
}

// earliest is the earliest start in a document.
func earliest(e *trace.Entity) trace.Time {
	start := e.Start
	for sub := range assemble.Within(e) {
		start = min(start, sub.Start)
	}
	return start
}

// snapshot is what is known of one trace at one moment: immutable.
type snapshot struct {
	open     *open // nil if settled
	base     *block.Row
	segments []*trace.Segment
	sequence uint64
}

// snapshot looks at a trace; false if there is none. The caller holds mu.
func (a *account) snapshot(id trace.ID) (snapshot, bool) {
	sn := snapshot{open: a.open[id], base: a.rows[id]}
	if sn.open != nil {
		sn.segments, sn.sequence = sn.open.segments, sn.open.sequence
	}
	return sn, sn.open != nil || sn.base != nil
}

// documents are all segments of a trace in the order in which they were
// accepted.
func (sn *snapshot) documents() ([]*trace.Segment, error) {
	if sn.base == nil {
		return sn.segments, nil
	}
	settled, err := sn.base.Read(decode.Restore)
	if err != nil {
		return nil, err
	}
	return append(settled, sn.segments...), nil
}

// assemble joins a trace, or takes the view that a reader before made.
func (sn *snapshot) assemble(id trace.ID) (*view, error) {
	if sn.open != nil {
		sn.open.viewMu.Lock()
		defer sn.open.viewMu.Unlock()
		if v := sn.open.view; v != nil && v.sequence == sn.sequence && v.base == sn.base {
			return v, nil
		}
	}
	segments, err := sn.documents()
	if err != nil {
		return nil, err
	}
	v := &view{sequence: sn.sequence, base: sn.base}
	v.trace = assemble.Trace(id, segments)
	v.summary = assemble.Summary(v.trace)
	if sn.open != nil {
		sn.open.view = v
	}
	return v, nil
}

// rendered joins a trace with the text of every entity.
func (sn *snapshot) rendered(id trace.ID) (*trace.Trace, error) {
	segments, err := sn.documents()
	if err != nil {
		return nil, err
	}
	out := make([]*trace.Segment, len(segments))
	for i, seg := range segments {
		if out[i], err = decode.Render(seg); err != nil {
			return nil, err
		}
	}
	return assemble.Trace(id, out), nil
}
