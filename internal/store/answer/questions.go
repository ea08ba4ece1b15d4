package answer

import (
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Reader tells who asks: the account whose traces are read, the region in its ARNs, and
// how far the reader sees.
type Reader struct {
	trace.Owner
	Reach
}

// Reach tells how far a reader sees. The zero value sees everything of the account.
type Reach struct {
	// Sight, if not nil, hides segments.
	Sight sight.Sight
	// Linked lists more accounts whose traces are read.
	Linked []trace.Linked
}

// SummaryQuery selects traces. With a Sight its filter sees only what the reader sees.
// Window, After and the order still go by the times of the whole trace, and so do Start
// and Updated of the summaries.
type SummaryQuery struct {
	Window trace.Window
	Clock  trace.Clock
	// Filter is nil to select every trace of the window.
	Filter *filter.Expr
	// After continues behind a position: only later traces of the order are yielded.
	// The order is by the query's clock (for ClockService: by start), descending, then
	// by id, descending.
	After *Cursor
	// Seen, if not nil, receives the trace of each summary, just before it is yielded.
	// Entity.Raw may be missing.
	Seen func(*trace.Trace)
	// Examined, if not nil, is increased by one for each examined trace. With a Sight
	// only selected traces count: others could tell that hidden ones exist.
	Examined *int64
	Reach
}

// Cursor is a place in the order of a SummaryQuery: just behind the trace with this
// clock time and id.
type Cursor struct {
	Time trace.Time
	ID   trace.ID
}

// GraphQuery selects the data of a graph.
type GraphQuery struct {
	// Window is applied to the receipt of each completed entity.
	Window trace.Window
	// Group restricts the graph to a group; nil: everything.
	Group *Group
	Reach
}

// SeriesQuery selects the data of a series.
type SeriesQuery struct {
	// Window covers the ends of the buckets.
	Window trace.Window
	// Period is the length of a bucket: one or five minutes.
	Period time.Duration
	// Of selects the service or the edge; nil: all edges from clients.
	Of    *filter.Entities
	Group *Group
	// Limit is the maximum number of buckets, the newest ones; 0: all.
	Limit int
	Reach
}

// DeleteQuery selects the traces to delete: those with the given ids, or, when
// IDs is empty, those that start in a window and match a filter.
type DeleteQuery struct {
	IDs    []trace.ID
	Window trace.Window
	Filter *filter.Expr // nil for every trace of the window
}

// Event tells that an account's data grew.
type Event struct {
	Account  trace.Account
	Segments int // appended since the last event
	Time     trace.Time
}
