package answer

import (
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// SummaryQuery selects traces.
type SummaryQuery struct {
	Window trace.Window
	Clock  trace.Clock
	// Filter is nil to select every trace of the window.
	Filter *filter.Expr
	// After resumes behind a position: only traces that come later in the order
	// are yielded. The order is by the query's clock (for ClockService: by start),
	// descending, then by id, descending.
	After *Cursor
	// Seen, if not nil, gets the trace of each summary, just before it is yielded.
	// Entity.Raw may be missing.
	Seen func(*trace.Trace)
	// Examined, if not nil, is increased by one for each trace that was looked at.
	Examined *int64
}

// Cursor is a place in the order of a SummaryQuery: just behind the trace with
// this clock time and id.
type Cursor struct {
	Time trace.Time
	ID   trace.ID
}

// GraphQuery selects what a graph is made of.
type GraphQuery struct {
	// Window is applied to the receipt of each completed entity.
	Window trace.Window
	// Group restricts it to what belongs to a group; nil means everything.
	Group *Group
}

// SeriesQuery selects what a series is made of.
type SeriesQuery struct {
	// Window holds the ends of the buckets.
	Window trace.Window
	// Period is the length of a bucket: one or five minutes.
	Period time.Duration
	// Of is the service or the edge; nil stands for all edges that lead from
	// clients.
	Of    *filter.Entities
	Group *Group
	// Limit is how many buckets the series has, the newest ones; 0: all.
	Limit int
}

// DeleteQuery selects the traces to delete: those with the given ids, or, when
// IDs is empty, those that start in a window and match a filter.
type DeleteQuery struct {
	IDs    []trace.ID
	Window trace.Window
	Filter *filter.Expr // nil for every trace of the window
}

// Event says that an account's data grew.
type Event struct {
	Account  trace.Account
	Segments int // how many were appended since the last event
	Time     trace.Time
}
