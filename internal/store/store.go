// Package store is the contract between Fluoro and the engines that keep its
// traces. Engines live below it (store/local); each passes the whole suite in
// store/storetest. The contract speaks of segments, traces, summaries and
// graphs, never of files or SQL.
package store

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Store keeps segments and answers questions about the traces they make. All
// methods may be called by many goroutines at once.
//
// Whatever Append acknowledged is part of the answer to every call that starts
// afterwards. Every call names an account and sees that account's data alone.
//
// Sequences are single-use and lazy; they stop early when the caller does, when
// ctx ends (yielding ctx's error) or after yielding one error. Values they yield
// are shared and must not be changed.
type Store interface {
	// Append keeps a batch of segments. It returns nil only when all of them are
	// durable: they survive the loss of the process and of power. A batch counts
	// as one change of each trace it touches. On error nothing of the batch is
	// acknowledged, though parts of it may be found later. Errors: KindThrottled
	// when there is no room now, KindUnavailable when the engine cannot write
	// (disk full, failed sync), with the reason; reads go on.
	//
	// refused are the observations of the batch that contradict what is open of
	// their traces: they are kept, but not shown. Those that contradict what is
	// settled come to light when their trace settles again (the engine's options
	// say who is told).
	//
	// The engine owns the segments afterwards.
	Append(ctx context.Context, account trace.Account, batch []*trace.Segment) (refused []trace.Refused, err error)

	// Traces yields those of the given traces that exist, in the order of ids,
	// assembled, with Entity.Raw set on every entity. Damage of one does not keep
	// the others back: a *DamagedError behind them says which were not yielded.
	Traces(ctx context.Context, account trace.Account, ids []trace.ID) iter.Seq2[*trace.Trace, error]

	// Weigh is about how many bytes of memory the given traces take together as
	// Traces yields them. It reads none of them.
	Weigh(ctx context.Context, account trace.Account, ids []trace.ID) int64

	// WeighGraph is about how many bytes of memory Graph takes, its answer included,
	// and Heaviest those of the largest trace that a question about a window may read.
	WeighGraph(ctx context.Context, account trace.Account, q GraphQuery) int64
	Heaviest(ctx context.Context, account trace.Account, window trace.Window) int64

	// Summaries yields the traces that a query selects, newest first. It, Graph and
	// Series leave out what is damaged; Stats names it.
	Summaries(ctx context.Context, account trace.Account, q *SummaryQuery) iter.Seq2[*trace.Summary, error]

	// Graph aggregates the service graph of everything that was received in a
	// window.
	Graph(ctx context.Context, account trace.Account, q GraphQuery) (*trace.Graph, error)

	// Series counts what was received, by time.
	Series(ctx context.Context, account trace.Account, q SeriesQuery) (*trace.Series, error)

	// Delete removes whole traces and returns how many existed. When it returns
	// nil the deletion is durable and every call that starts afterwards honours
	// it: traces, summaries, graphs. The data itself is gone from the disk within
	// a day. A segment that arrives later begins its trace anew, without what was
	// deleted. On error some of the traces may have been deleted; the number says
	// how many are known to be. Errors: KindInvalid for a query that names both
	// ids and a filter or neither ids nor a window, KindUnavailable as of Append.
	Delete(ctx context.Context, account trace.Account, q DeleteQuery) (int, error)

	// Follow yields an event after each Append, at most a few a second: events
	// that come faster are merged. It ends with ctx.
	Follow(ctx context.Context) iter.Seq[Event]

	// Stats says how much is kept and whether the engine can write.
	Stats(ctx context.Context) (Stats, error)

	// Close makes the engine's last state durable and releases it. Closing twice
	// does nothing.
	Close() error
}

// DamagedError says which traces exist and cannot be read, because what is kept of
// them is damaged. The others were yielded before.
type DamagedError struct {
	IDs []trace.ID
	Err error // with file and offset
}

// Error names the traces and what is wrong.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("traces %v cannot be read: %v", e.IDs, e.Err)
}

// Unwrap is what is wrong.
func (e *DamagedError) Unwrap() error { return e.Err }

// SummaryQuery selects traces.
type SummaryQuery struct {
	Window trace.Window
	Clock  trace.Clock
	// Filter is nil to select every trace of the window. An engine uses its
	// Bounds to read less; it may prune less than they allow, never more.
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

// Group is which observations belong to a group: a trace is in a group by the
// filter that was the group's when it was received, for ever (X-Ray developer
// guide, "Configuring groups").
type Group struct{ Versions []GroupVersion }

// GroupVersion is a filter that a group had for what was received in a window.
type GroupVersion struct {
	// ID is unique among all versions of all groups of an account, and never
	// used again; "" is of a version that the engine was not told of.
	ID       string
	Filter   *filter.Expr
	Received trace.Window
	Old      bool // not the group's filter of today
}

// Member says which observations of a trace belong to the group. any is false
// when none does. A nil group has everything.
func (g *Group) Member(t *trace.Trace, s *trace.Summary) (member assemble.Member, any bool) {
	if g == nil {
		return nil, true
	}
	var matching []GroupVersion
	for i := range g.Versions {
		if v := &g.Versions[i]; v.Has(t, s) {
			matching = append(matching, *v)
		}
	}
	return func(received trace.Time) (belongs, old bool) {
		for _, v := range matching {
			if v.Received.Contains(received) {
				return true, v.Old
			}
		}
		return false, false
	}, len(matching) > 0
}

// Has says whether what was received of a trace while the version was valid
// belongs to the group, if there is something.
func (v *GroupVersion) Has(t *trace.Trace, s *trace.Summary) bool {
	return v.Received.Start <= t.Updated && v.Received.End > t.FirstReceived && v.Filter.Match(t, s)
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

// KeyStats says what of the keys of annotations and attributes is over its budget,
// since the engine was opened: it is found, but more slowly.
type KeyStats struct {
	Keys         int   // counted, of all accounts
	TracesBeyond int64 // settled with a key for which there was no room
	// Over are keys with more distinct values than their budget, at most some.
	Over []OverBudget
}

// OverBudget names a key of an account.
type OverBudget struct {
	Account trace.Account
	Key     string
}

// Stats describes what an engine holds.
type Stats struct {
	Traces     int64 // known, open or settled
	Segments   int64 // documents held
	OpenTraces int64 // in the head
	Blocks     int64
	BlockBytes int64
	WALBytes   int64
	// Names is how many services graphs tell apart; Folded is how often one more was
	// met since the start, and counted with the node that is named Other.
	Names  int
	Folded int64
	Other  string
	// ReadOnly is "" while the engine can write, else why it cannot.
	ReadOnly string
	Keys     KeyStats
	// Damage names what was found damaged, with file and offset; the rest is
	// served. At most some hundred are kept. Damaged is how many places that are.
	Damage  []string
	Damaged int64
	// Notes are what somebody may want to look at or tidy up, and no damage.
	Notes []string
}
