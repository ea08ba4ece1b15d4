// Package store is the contract between Fluoro and the engines that keep its
// traces. An engine is a Shelf: it stores segments durably, finds traces by a few
// facts, adds up sums and remembers deletions. The meaning of an answer (clocks,
// filters, groups, retention) is defined once, above the engines, in store/answer.
// store/storetest tests every engine against the contract.
package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Shelf is an engine. All methods may be called by many goroutines at once. Every
// call names an account and sees only the data of that account.
//
// Once Append has acknowledged a batch, every later call sees it; once Bury has
// acknowledged a tombstone, no later call sees the deleted data.
//
// Sequences are single-use and lazy. They end early when the caller stops, when ctx
// ends (they yield ctx's error) or after they yield an error. Segments and traces
// are shared and must not be changed.
//
// A closed shelf answers every call with a KindUnavailable error.
type Shelf interface {
	Writer
	Reader
	Keeper
	Eraser
}

// Writer adds segments to a shelf and deletes them.
type Writer interface {
	// Append stores a batch. It returns nil only when the whole batch is durable: it
	// survives a crash of the process and a power failure. On error it acknowledges
	// nothing, though later reads may find parts of the batch. Errors: KindThrottled
	// when there is no room now, KindUnavailable when the engine cannot write (disk
	// full, failed sync), with the reason; reads still work. The shelf owns the batch.
	Append(ctx context.Context, account trace.Account, batch Batch) (Appended, error)

	// Bury puts tombstones on traces and returns how many of these traces existed and
	// were last received at or after the horizon. When it returns nil the tombstones
	// are durable. The shelf removes the data from the disk within a day. A segment
	// accepted later starts a new trace. On error some traces may be buried; the
	// number counts those that certainly are.
	Bury(ctx context.Context, account trace.Account, stones []Tombstone, horizon trace.Time) (int, error)

	// Replace replaces all segments of a trace by others in one step, and returns whether
	// it did: only if the newest batch of the trace still has the Seq of the replacement.
	// When it returns true the change is durable. The replaced segments leave the disk
	// like those of a buried trace; every call sees either all of them or all of the
	// others. Receipt times and order of acceptance are those of the new segments and of
	// their list. The shelf owns the segments. Errors as for Append.
	Replace(ctx context.Context, account trace.Account, r Replacement) (bool, error)
}

// Reader gives answers access to a shelf. A shelf leaves out damaged data and names
// it in Status; only Content.Segments reports damage.
type Reader interface {
	// Find returns the sources of those given traces that exist, as of one moment, in
	// the order that is cheapest to load. It reads no segments. The sources are valid
	// until the caller calls release.
	Find(ctx context.Context, account trace.Account, ids []trace.ID) (found []Source, release func(), err error)

	// Candidates yields the traces of a scan in descending order of their positions.
	// It may yield traces that the scan's bounds exclude, but must yield every trace
	// that they allow. A candidate is valid until the next one is yielded.
	Candidates(ctx context.Context, account trace.Account, q *Scan) iter.Seq2[*Candidate, error]

	// Sum passes everything that was received in a window to Sums once: as sums of
	// owners where the shelf has them, else as traces. If some of its sums turn out to
	// be unusable it starts again, with new Sums from begin.
	Sum(ctx context.Context, account trace.Account, q *SumQuery, begin func() Sums) error

	// Estimate tells how much memory a query may take, before the query runs.
	Estimate(ctx context.Context, account trace.Account, q EstimateQuery) (Estimate, error)
}

// Keeper operates a shelf: capabilities, retention, status, shutdown.
type Keeper interface {
	// Capabilities lists the optional abilities of the shelf. They never change.
	Capabilities() Capabilities

	// Accounts lists the accounts that have traces.
	Accounts(ctx context.Context) ([]trace.Account, error)

	// Portions lists the parts of the stored data that can be dropped as a whole.
	Portions(ctx context.Context) ([]Portion, error)

	// Floor returns the floor of the last Expire; trace.MinTime if there was none.
	Floor(ctx context.Context) (trace.Time, error)

	// Expire drops, permanently and for all accounts, all traces last received before
	// the floor. When it returns nil the floor is durable.
	Expire(ctx context.Context, floor trace.Time) error

	// Status tells how much is stored and whether the shelf can write.
	Status(ctx context.Context) (Status, error)

	// Close makes the last state durable and releases the shelf. Closing twice does
	// nothing.
	Close() error
}

// Eraser takes deleted data off the disk.
type Eraser interface {
	// Purge takes everything off the disk that tombstones deleted before the call. When
	// it returns nil, no file of the shelf holds any of it. It may take long. Errors:
	// KindUnavailable if some of it is still there, with the reason.
	Purge(ctx context.Context) error
}

// Batch holds segments that arrived together. It counts as one change of each of its
// traces. A record (trace.Record) holds everything that is stored of a segment: an
// engine that fills columns straight from records never needs the segments
// (docs/adr/0012-one-meaning.md).
type Batch struct{ Segments []*trace.Segment }

// Seq is the number of a batch in the order of acceptance. The shelf assigns it: a
// batch that was accepted later has a greater Seq, and no two batches of an account
// share one, whichever replica accepted them. A trace id and the Seq of its newest
// batch identify the content of that trace permanently. 0 means no batch.
type Seq uint64

// Appended is the result of Append.
type Appended struct {
	Seq Seq
	// Repeated lists traces of the batch for which the shelf holds, in memory,
	// earlier segments with the same ids as new ones.
	Repeated []Repeated
}

// Repeated is a trace that has segments with the same ids.
type Repeated struct {
	ID trace.ID
	// Segments holds the new segments that share an id with another one, and those
	// others, in the order of acceptance.
	Segments []*trace.Segment
	// New tells whether a segment belongs to the batch.
	New func(*trace.Segment) bool
	// Told, if not nil, marks observations as reported to the sender, so that the
	// shelf does not report them again to Rules.Refused.
	Told func([]trace.Refused)
}

// Tombstone deletes a trace.
type Tombstone struct {
	ID trace.ID
	// UpTo, if not 0, is a condition: a trace with a batch after UpTo stays.
	UpTo Seq
}

// Replacement replaces the content of a trace.
type Replacement struct {
	ID       trace.ID
	Seq      Seq              // of the content that it replaces
	Segments []*trace.Segment // at least one, all of that trace
}

// Source is a trace in a shelf, as of one moment.
type Source struct {
	ID      trace.ID
	Seq     Seq        // of its newest batch
	Updated trace.Time // last receipt
	Weight  int64      // bytes of memory that the assembled trace takes, approximately
	Content
}

// Content loads a trace from a shelf.
type Content interface {
	// Segments loads all segments of the trace in the order of acceptance, in a new
	// slice. Damage is a *DamagedError.
	Segments(ctx context.Context) ([]*trace.Segment, error)
	// Assembled returns the trace that Keep received, if nothing was added since then
	// and the shelf still has it, else nil.
	Assembled() *trace.Trace
	// Keep offers the assembled trace to the shelf, which may cache it while it has
	// memory.
	Keep(t *trace.Trace)
}

// DamagedError names existing traces that cannot be read, because their stored data
// is damaged.
type DamagedError struct {
	IDs []trace.ID
	Err error // with file and offset
}

// Error names the traces and the damage.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("traces %v cannot be read: %v", e.IDs, e.Err)
}

// Unwrap returns the damage.
func (e *DamagedError) Unwrap() error { return e.Err }

// Order selects the time by which a scan is ordered.
type Order uint8

// The orders of a scan.
const (
	ByStart   Order = iota // start of the trace
	ByReceipt              // last receipt
)

// Position is a place in the order of a scan: by time, then by id.
type Position struct {
	Time trace.Time
	ID   trace.ID
}

// Compare orders positions.
func (p Position) Compare(o Position) int {
	switch {
	case p.Time != o.Time:
		if p.Time < o.Time {
			return -1
		}
		return 1
	default:
		return p.ID.Compare(o.ID)
	}
}

// Scan selects candidates: traces with a position in [From, Before) that were last
// received at or after the horizon and that touch a window, if one is given.
type Scan struct {
	By      Order
	From    trace.Time // trace.MinTime: from the first one
	Before  Position   // exclusive
	Horizon trace.Time
	// Touch, if not nil, selects traces with an entity that was completed in the
	// window; facts.Touches tells from the facts of a trace whether that is possible.
	Touch *trace.Window
	// Bounds allow the shelf to leave out traces. It may use any of them.
	Bounds filter.Bounds
	// Passed, if not nil, is increased for each trace that the bounds excluded: at the
	// end of the sequence for all of them, before that for those seen so far.
	Passed *int64
}

// Candidate is a trace that a scan may select.
type Candidate struct {
	Source
	// At is the position of the trace. With Settling it is the greatest possible
	// position: the times of a trace that is still arriving are known only when it is
	// assembled.
	At       Position
	Settling bool
}

// SumQuery selects the data that Reader.Sum adds up.
type SumQuery struct {
	// Window is applied to the receipt of each completed entity.
	Window trace.Window
	// Horizon: traces that were last received before it do not count.
	Horizon trace.Time
	// Owners lists the owners whose sums the shelf may pass; nil: only traces.
	Owners []string
}

// Sums receives the data that a shelf adds up.
type Sums interface {
	// Trace counts what was received of a trace in a window; with sign -1 it
	// subtracts that again.
	Trace(ctx context.Context, src *Source, w trace.Window, sign int) error
	// Owner counts the sums of SumQuery.Owners[number]: add adds them to the graph or
	// to the series, whichever is not nil.
	Owner(number int, add func(graph *assemble.Sum, series *assemble.SeriesBuilder) error) error
}

// EstimateQuery describes a query whose memory is estimated.
type EstimateQuery struct {
	Window trace.Window
	// Sums: the query reads sums, and the window selects times of receipt.
	Sums bool
}

// Estimate tells about how much memory a query takes, in bytes unless stated
// otherwise. 0 means that the shelf does not know.
type Estimate struct {
	// Largest is the weight of the largest trace that may be loaded.
	Largest int64
	// Settling is the number of traces that are loaded because no sums contain them
	// yet.
	Settling int
	// Nodes and Edges count the entries of all sums that are added up, duplicates
	// included. SumBytes is the size of these sums, LargestSum of the largest one.
	Nodes, Edges         int
	SumBytes, LargestSum int64
}

// Portion is a part of the stored data that can be dropped as a whole.
type Portion struct {
	Bytes   int64
	Updated trace.Time // last receipt of its newest trace
}

// Capabilities lists the optional abilities of a shelf.
type Capabilities struct {
	Sums   bool // keeps sums of owners, so that counting loads few traces
	Prunes bool // uses the bounds of scans
	Drops  bool // frees space by Expire: has Portions
}
