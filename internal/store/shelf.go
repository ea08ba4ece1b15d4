// Package store is the contract between Fluoro and the engines that keep its
// traces. An engine is a Shelf: it stores segments durably, finds traces by a few
// facts, adds up sums and remembers deletions. What an answer means (clocks,
// filters, groups, retention) stands once, above the engines, in store/answer.
// store/storetest holds every engine to the contract.
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
// call names an account and sees the data of that account alone.
//
// What Append acknowledged is part of every call that starts afterwards, and what
// Bury acknowledged of none.
//
// Sequences are single-use and lazy; they stop early when the caller does, when ctx
// ends (they yield ctx's error) or after they yield one error. Segments and traces
// are shared and must not be changed.
//
// A closed shelf answers every call with a KindUnavailable error.
type Shelf interface {
	Writer
	Reader
	Keeper
}

// Writer is how segments come to a shelf and leave it.
type Writer interface {
	// Append stores a batch. It returns nil only when the whole batch is durable: it
	// survives the loss of the process and of power. On error nothing of the batch
	// is acknowledged, though parts of it may be found later. Errors: KindThrottled
	// when there is no room now, KindUnavailable when the engine cannot write (disk
	// full, failed sync), with the reason; reads go on. The shelf owns the batch.
	Append(ctx context.Context, account trace.Account, batch Batch) (Appended, error)

	// Bury puts tombstones on traces and returns how many of them existed and were
	// last received at or after the horizon. When it returns nil the tombstones are
	// durable. The data itself is gone from the disk within a day. A segment that is
	// accepted later begins its trace anew. On error some traces may be buried; the
	// number says of how many that is known.
	Bury(ctx context.Context, account trace.Account, stones []Tombstone, horizon trace.Time) (int, error)
}

// Reader is how answers read a shelf. A shelf leaves out what is damaged and names
// it in Status; only Content.Segments reports damage.
type Reader interface {
	// Find finds those of the given traces that exist, all at one moment, and returns
	// them in the order in which they are cheapest to load. It reads no segments. The
	// sources are valid until the caller calls release.
	Find(ctx context.Context, account trace.Account, ids []trace.ID) (found []Source, release func(), err error)

	// Candidates yields the traces that a scan asks for in descending order of their
	// positions. It may yield traces that the scan's bounds rule out, never leave
	// out one that they allow. A candidate is valid until the next one is yielded.
	Candidates(ctx context.Context, account trace.Account, q *Scan) iter.Seq2[*Candidate, error]

	// Sum hands over everything that was received in a window, once: as sums of
	// owners where the shelf has them, else as traces. When it finds out that some
	// of its sums cannot be used it begins again, with new Sums from begin.
	Sum(ctx context.Context, account trace.Account, q *SumQuery, begin func() Sums) error

	// Estimate tells how much memory a question may take, before it is asked.
	Estimate(ctx context.Context, account trace.Account, q EstimateQuery) (Estimate, error)
}

// Keeper is how a shelf is looked after.
type Keeper interface {
	// Capabilities tells what the shelf does beyond storing. They never change.
	Capabilities() Capabilities

	// Accounts lists the accounts that have traces.
	Accounts(ctx context.Context) ([]trace.Account, error)

	// Portions lists the parts of the stored data that can be dropped as a whole.
	Portions(ctx context.Context) ([]Portion, error)

	// Floor returns the time below which Expire dropped everything; trace.MinTime if
	// it never did.
	Floor(ctx context.Context) (trace.Time, error)

	// Expire drops, for ever and for all accounts, what was last received before the
	// floor. When it returns nil the floor is durable.
	Expire(ctx context.Context, floor trace.Time) error

	// Status tells how much is stored and whether the shelf can write.
	Status(ctx context.Context) (Status, error)

	// Close makes the last state durable and releases the shelf. Closing twice does
	// nothing.
	Close() error
}

// Batch is what arrived together. It counts as one change of each trace it touches.
// A record
// (trace.Record) holds all that is stored of a segment: an engine that fills columns
// straight from records never needs the segments (docs/adr/0012-one-meaning.md).
type Batch struct{ Segments []*trace.Segment }

// Seq is a place in the order of acceptance, which the shelf assigns: of two batches
// the one that was accepted later has the greater Seq, and no two batches of an
// account share one, whichever replica accepted them. A trace id and the Seq of its
// newest batch name the content of that trace for all time. 0 is no place.
type Seq uint64

// Appended tells what Append found out.
type Appended struct {
	Seq Seq
	// Repeated are traces of the batch of which the shelf holds, in memory, earlier
	// segments with the ids of new ones.
	Repeated []Repeated
}

// Repeated is a trace that has segments with the same ids.
type Repeated struct {
	ID trace.ID
	// Segments are those that share their ids with a new one, in the order of
	// acceptance, the new ones included.
	Segments []*trace.Segment
	// New tells whether a segment is of the batch.
	New func(*trace.Segment) bool
	// Told, if not nil, notes of which observations the sender was told, so that the
	// shelf does not report them again to Rules.Refused.
	Told func([]trace.Refused)
}

// Tombstone deletes a trace.
type Tombstone struct {
	ID trace.ID
	// UpTo, if not 0, is a condition: the trace stays if it has a batch beyond.
	UpTo Seq
}

// Source is one trace as a shelf has it at one moment.
type Source struct {
	ID      trace.ID
	Seq     Seq        // of its newest batch
	Updated trace.Time // last receipt
	Weight  int64      // about the bytes of memory it takes when it is assembled
	Content
}

// Content loads what a shelf has of a trace.
type Content interface {
	// Segments loads all segments of the trace in the order of acceptance, in a new
	// slice. Damage is a *DamagedError.
	Segments(ctx context.Context) ([]*trace.Segment, error)
	// Assembled returns the trace that Keep was given, if nothing was added since and
	// the shelf still has it, else nil.
	Assembled() *trace.Trace
	// Keep offers the assembled trace to the shelf, which may keep it as long as it
	// has memory for it.
	Keep(t *trace.Trace)
}

// DamagedError names traces that exist and cannot be read, because the stored data
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

// Order says which time positions candidates.
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

// Scan asks for candidates: those with a position in [From, Before), that were last
// received at or after the horizon and that touch a window, if it is given.
type Scan struct {
	By      Order
	From    trace.Time // trace.MinTime: from the first one
	Before  Position   // exclusive
	Horizon trace.Time
	// Touch, if not nil, asks for traces of which something was completed in the
	// window; facts.Touches tells by the facts of a trace whether that can be.
	Touch *trace.Window
	// Bounds allow the shelf to leave out traces. It may use any of them.
	Bounds filter.Bounds
	// Passed, if not nil, is increased by the number of traces that the bounds ruled
	// out. At the end of the sequence these are all; before, those that the shelf has
	// come across.
	Passed *int64
}

// Candidate is a trace that a scan may select.
type Candidate struct {
	Source
	// At is the position of the trace. With Settling it is the greatest one that the
	// trace can have: times of a trace that is still arriving are known when it is
	// assembled.
	At       Position
	Settling bool
}

// SumQuery asks for sums.
type SumQuery struct {
	// Window is applied to the receipt of each completed entity.
	Window trace.Window
	// Horizon: traces that were last received before it do not count.
	Horizon trace.Time
	// Owners are whose sums may be handed over; nil: no sums, only traces.
	Owners []string
}

// Sums takes what a shelf adds up.
type Sums interface {
	// Trace counts what was received of a trace in a window; with sign -1 it takes it
	// away again.
	Trace(ctx context.Context, src *Source, w trace.Window, sign int) error
	// Owner counts sums of the owner with a number, which add adds to the graph or
	// to the series, whichever is not nil.
	Owner(number int, add func(graph *assemble.Sum, series *assemble.SeriesBuilder) error) error
}

// EstimateQuery is a question that is to be asked.
type EstimateQuery struct {
	Window trace.Window
	// Sums: the question is for sums, and the window is one of receipts.
	Sums bool
}

// Estimate is about the memory of a question, in bytes where nothing else is said.
// 0 means that the shelf does not know.
type Estimate struct {
	// Largest is the weight of the largest trace that may be loaded.
	Largest int64
	// Settling is how many traces are loaded because no sums have them yet.
	Settling int
	// Nodes and Edges are in the sums that are added up, of which some may be the
	// same ones; SumBytes is the size of these sums, LargestSum that of the largest.
	Nodes, Edges         int
	SumBytes, LargestSum int64
}

// Portion is a part of the stored data that can be dropped as a whole.
type Portion struct {
	Bytes   int64
	Updated trace.Time // last receipt of its newest trace
}

// Capabilities are what a shelf does beyond storing.
type Capabilities struct {
	Sums   bool // keeps sums of owners, so that counting loads few traces
	Prunes bool // uses the bounds of scans
	Drops  bool // frees space by Expire: has Portions
}
