package store

import (
	"context"
	"errors"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Rules answers the questions of an engine when it works in the background: when it
// settles, merges and reads stored data. Package answer implements it.
type Rules interface {
	// Restore decodes a stored record into a segment.
	Restore(r *trace.Record) (*trace.Segment, error)
	// Owners returns a function that lists the owners, besides the whole account, of
	// the observations of a trace. The engine calls Owners after it received the data
	// to count. ErrOwnersUnknown: the owners cannot be known; the engine must not keep
	// sums of owners.
	Owners(ctx context.Context, account trace.Account) (func(*trace.Trace, *trace.Summary) []Owner, error)
	// Horizon returns the present horizon of retention: traces last received before it
	// have expired.
	Horizon() trace.Time
	// Limit returns how many names a sum keeps distinct.
	Limit() assemble.Limit
	// Folded reports how many names a sum folded into one because of the limit.
	Folded(names int)
	// Refused reports observations that contradict earlier ones, in cases where Append
	// could not tell the sender. It must neither block nor keep the list.
	Refused(account trace.Account, refused []trace.Refused)
}

// ErrOwnersUnknown is the error of Rules.Owners when the owners cannot be known.
var ErrOwnersUnknown = errors.New("the owners of sums are not known")

// Owner counts the observations of a trace that were received in a window. Its ID is
// permanently unique in the account.
type Owner struct {
	ID       string
	Received trace.Window
}
