package local

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/facts"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// head holds the open traces: the acknowledged segments that no block has yet. The log
// can rebuild it. The catalog's mutex guards it.
type head struct {
	accounts map[trace.Account]map[trace.ID]*open
	count    int
	segments int64
	reopened int64
	// first and last are the ends of a list of all open traces, longest idle first.
	first, last *open
}

// open is a trace that is still arriving.
type open struct {
	key
	parts []part
	// reopened: a block has the older part; the table knows which. repeats: a segment id
	// arrived twice, or may have.
	reopened, repeats bool
	touched           time.Time
	prev, next        *open
	// ids are the ids of the segments of all parts.
	ids  idSet
	told told
	// kept is the trace as a question assembled it, for the next question and for the
	// flush. It needs no mutex.
	kept atomic.Pointer[kept]
}

// kept is an assembled trace, and the LSN up to which it is complete.
type kept struct {
	lsn   uint64
	trace *trace.Trace
}

// part has the segments of one batch for one trace. It is immutable once the batch is
// applied.
type part struct {
	segments []*trace.Segment
	lsn      uint64
	file     uint64 // number of the log file that has it
	bytes    int64
	reach    reach
	quiet    bool // Rules.Refused is not told about its contradictions
}

// told lists the observations of an open trace whose sender already knows that they
// contradict others.
type told struct {
	mu       sync.Mutex
	entities map[*trace.Entity]bool
}

func (t *told) add(refused []trace.Refused) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entities == nil {
		t.entities = map[*trace.Entity]bool{}
	}
	for _, x := range refused {
		t.entities[x.Entity] = true
	}
}

func (t *told) has(e *trace.Entity) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entities[e]
}

// reach bounds the times of some segments.
type reach struct {
	minStart, maxStart trace.Time // of any entity
	minEnd, maxEnd     trace.Time // of those that are completed
	received           trace.Time // the last one
}

func noReach() reach {
	return reach{trace.MaxTime, trace.MinTime, trace.MaxTime, trace.MinTime, trace.MinTime}
}

func (r *reach) join(o reach) {
	r.minStart, r.maxStart, r.received = min(r.minStart, o.minStart), max(r.maxStart, o.maxStart), max(r.received, o.received)
	r.minEnd, r.maxEnd = min(r.minEnd, o.minEnd), max(r.maxEnd, o.maxEnd)
}

func (r *reach) entity(e *trace.Entity) {
	r.minStart, r.maxStart = min(r.minStart, e.Start), max(r.maxStart, e.Start)
	if !e.InProgress {
		r.minEnd, r.maxEnd = min(r.minEnd, e.End), max(r.maxEnd, e.End)
	}
}

// touches tells whether an entity of the segments may be completed in a window.
func (r *reach) touches(w trace.Window) bool {
	return r.maxEnd > trace.MinTime && facts.Touches(w, r.minStart, r.maxEnd, r.minEnd < r.minStart)
}

// scopeBytes is about the memory of a resource and a scope, without their texts.
const scopeBytes = 512

// measure returns about how much memory a segment takes, and the bounds of its times.
func measure(s *trace.Segment) (bytes int64, r reach) {
	r = noReach()
	r.received = s.ReceivedAt
	r.entity(&s.Entity)
	entities := int64(1)
	stack := append(make([]*trace.Entity, 0, 16), s.Subsegments...)
	for len(stack) > 0 {
		e := stack[len(stack)-1]
		stack = append(stack[:len(stack)-1], e.Subsegments...)
		entities++
		r.entity(e)
	}
	return entities*store.EntityBytes + store.TextBytes(len(s.Raw)), r
}

func newHead() *head { return &head{accounts: map[trace.Account]map[trace.ID]*open{}} }

func (h *head) get(k key) *open { return h.accounts[k.account][k.id] }

// add adds a part to its trace. repeated: the trace had a segment with one of the new
// ids.
func (h *head) add(k key, p part, now time.Time, settled func(key) bool) (o *open, repeated bool) {
	ids := h.accounts[k.account]
	if ids == nil {
		ids = map[trace.ID]*open{}
		h.accounts[k.account] = ids
	}
	o = ids[k.id]
	if o == nil {
		o = &open{key: k, reopened: settled(k)}
		ids[k.id] = o
		h.count++
		if o.reopened {
			h.reopened++
		}
	} else {
		h.unlink(o)
	}
	o.parts = append(o.parts, p)
	o.kept.Store(nil)
	o.touched = now
	h.segments += int64(len(p.segments))
	h.link(o)
	for _, s := range p.segments {
		if o.ids.add(s.ID) {
			repeated = true
		}
	}
	o.repeats = o.repeats || repeated || o.ids.n >= maxIDs
	return o, repeated
}

func (h *head) link(o *open) {
	o.prev, o.next = h.last, nil
	if h.last != nil {
		h.last.next = o
	} else {
		h.first = o
	}
	h.last = o
}

func (h *head) unlink(o *open) {
	if o.prev != nil {
		o.prev.next = o.next
	} else {
		h.first = o.next
	}
	if o.next != nil {
		o.next.prev = o.prev
	} else {
		h.last = o.prev
	}
}

// settle removes the first n parts, which a block has now, and returns the memory that
// this frees. Later parts stay open.
func (h *head) settle(o *open, n int) (bytes int64) {
	for _, p := range o.parts[:n] {
		bytes += p.bytes
		h.segments -= int64(len(p.segments))
	}
	if n < len(o.parts) {
		// A new slice: readers may still look at the old one.
		o.parts = append([]part(nil), o.parts[n:]...)
		if !o.reopened {
			o.reopened = true
			h.reopened++
		}
		return bytes
	}
	h.unlink(o)
	h.count--
	if o.reopened {
		h.reopened--
	}
	delete(h.accounts[o.account], o.id)
	if len(h.accounts[o.account]) == 0 {
		delete(h.accounts, o.account)
	}
	return bytes
}

// worth tells whether the traces that are idle since a time are worth a block: there
// are enough bytes of them, one has been idle since an earlier time, or no other trace
// is open.
func (h *head) worth(since, waited time.Time, bytes int64) bool {
	if h.first == nil {
		return false
	}
	if !h.first.touched.After(waited) || !h.last.touched.After(since) {
		return true
	}
	for o := h.first; o != nil && !o.touched.After(since) && bytes > 0; o = o.next {
		for i := range o.parts {
			bytes -= o.parts[i].bytes
		}
	}
	return bytes <= 0
}
