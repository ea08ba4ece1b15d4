package store

import (
	"context"
	"errors"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Rules is what an engine asks the layer above it while it works by itself: when it
// settles, merges and reads back what it stored. Package answer has the rules.
type Rules interface {
	// Restore makes a segment of a stored record.
	Restore(r *trace.Record) (*trace.Segment, error)
	// Owners returns what tells to which owners, besides the whole account, the
	// observations of a trace count. The engine asks after it received what it counts.
	// ErrOwnersUnknown: nobody can know; sums of owners must not be kept.
	Owners(ctx context.Context, account trace.Account) (func(*trace.Trace, *trace.Summary) []Owner, error)
	// Horizon returns the time before which traces are over their time now.
	Horizon() trace.Time
	// Limit returns how many names sums tell apart.
	Limit() assemble.Limit
	// Folded is told how many names a sum did not tell apart any more.
	Folded(names int)
	// Refused is told of observations that contradict earlier ones, where Append could
	// not tell their sender. It must not block, nor keep the list.
	Refused(account trace.Account, refused []trace.Refused)
}

// ErrOwnersUnknown is the error of Rules.Owners when nobody can know the owners.
var ErrOwnersUnknown = errors.New("the owners of sums are not known")

// Owner counts the observations of a trace that were received in a window. Its ID is
// unique in the account for ever.
type Owner struct {
	ID       string
	Received trace.Window
}
