package query

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/room"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Room is the memory that answers may take together. A nil Room has no bounds.
type Room struct {
	accounts *room.Room
	patience time.Duration
}

const (
	// scanBytes is what a question that looks at many traces is counted with: it
	// has one of them in hand at a time, with what it was read from, and its answer.
	scanBytes = 16 << 20
	// scanParts is how many times its weight a trace takes that is only looked at.
	scanParts = 2
	// answerParts is how many times the weight of a trace an answer with it takes:
	// as it was read, assembled, as documents, as text.
	answerParts = 4
	// roomPatience is how long a question waits for room.
	roomPatience = 5 * time.Second
)

// NewRoom makes a room of some bytes.
func NewRoom(bytes int64) *Room {
	return &Room{accounts: room.New(bytes), patience: roomPatience}
}

// Take takes memory for an account until ctx ends, which it must: with its request.
// It waits for others to give theirs back, up to 5 s, then fails with KindThrottled.
// Who wants more than there is gets all of it, alone.
func (r *Room) Take(ctx context.Context, account trace.Account, bytes int64) error {
	if r == nil || bytes <= 0 {
		return nil
	}
	bytes = min(bytes, r.accounts.Limit())
	waiting, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	if err := r.accounts.Wait(waiting, account, bytes); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return trace.Errorf(trace.KindThrottled, "answers to other requests take all of the %d MB there are for them; try again in a second", r.accounts.Limit()>>20) // not recorded
	}
	context.AfterFunc(ctx, func() { r.accounts.Give(account, bytes) })
	return nil
}

// Scan takes room for a question about a window that looks at many traces, one at a
// time.
func (q *Query) Scan(ctx context.Context, account trace.Account, w trace.Window) error {
	if q.Room == nil {
		return nil
	}
	heaviest, err := q.store.Heaviest(ctx, account, w)
	if err != nil {
		return err
	}
	return q.Room.Take(ctx, account, max(scanBytes, scanParts*heaviest))
}

// admit takes room for an answer with all of some traces.
func (q *Query) admit(ctx context.Context, account trace.Account, ids []trace.ID) error {
	if q.Room == nil || len(ids) == 0 {
		return nil
	}
	all, _, err := q.store.Weigh(ctx, account, ids)
	if err != nil {
		return err
	}
	return q.Room.Take(ctx, account, answerParts*all)
}

// admitEach takes room for an answer that is made of some traces, one at a time.
func (q *Query) admitEach(ctx context.Context, account trace.Account, ids []trace.ID) error {
	if q.Room == nil {
		return nil
	}
	_, most, err := q.store.Weigh(ctx, account, ids)
	if err != nil {
		return err
	}
	return q.Room.Take(ctx, account, max(scanBytes, answerParts*most))
}
