package query

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/room"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Room limits the memory of all answers together. A nil Room has no limit.
type Room struct {
	accounts *room.Room
	patience time.Duration
}

const (
	// scanBytes is the minimum reserved for a query over many traces: it holds one
	// of them at a time, with its stored form, and the answer.
	scanBytes = 16 << 20
	// scanParts is how many times its weight an examined trace takes.
	scanParts = 2
	// answerParts is how many times its weight a trace in an answer takes: stored,
	// assembled, as documents, as text.
	answerParts = 4
	// roomPatience is how long a request waits for memory.
	roomPatience = 5 * time.Second
)

// NewRoom makes a room of some bytes.
func NewRoom(bytes int64) *Room {
	return &Room{accounts: room.New(bytes), patience: roomPatience}
}

// Take reserves memory for an account until ctx ends; ctx must end with the request.
// It waits up to 5 s for others to release theirs, then fails with KindThrottled. A
// request for more than the limit gets the whole limit, alone.
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
		return trace.Errorf(trace.KindThrottled, "answers to other requests use all %d MB reserved for answers; try again in a second", r.accounts.Limit()>>20) // not recorded
	}
	context.AfterFunc(ctx, func() { r.accounts.Give(account, bytes) })
	return nil
}

// Scan reserves memory for a query over the traces of a window, which reads them one
// at a time.
func (q *Query) Scan(ctx context.Context, who Reader, w trace.Window) error {
	if q.Room == nil {
		return nil
	}
	var heaviest int64
	for _, account := range accountsOf(who) {
		one, err := q.store.Heaviest(ctx, account, w)
		if err != nil && !leftOut(who, account, err) {
			return err
		}
		heaviest = max(heaviest, one)
	}
	return q.Room.Take(ctx, who.Account, max(scanBytes, scanParts*heaviest))
}

// accountsOf lists the accounts whose traces somebody reads.
func accountsOf(who Reader) []trace.Account {
	list := []trace.Account{who.Account}
	for _, l := range who.Linked {
		list = append(list, l.Account)
	}
	return list
}

// leftOut reports whether an error is about a linked account that answers leave out.
func leftOut(who Reader, account trace.Account, err error) bool {
	return account != who.Account && trace.KindOf(err) == trace.KindUnavailable
}

// weigh adds up what the given traces weigh in all accounts, and finds the largest part.
func (q *Query) weigh(ctx context.Context, who Reader, ids []trace.ID) (all, largest int64, err error) {
	for _, account := range accountsOf(who) {
		some, most, err := q.store.Weigh(ctx, account, ids)
		if err != nil && !leftOut(who, account, err) {
			return 0, 0, err
		}
		all, largest = all+some, max(largest, most)
	}
	return all, largest, nil
}

// admit reserves memory for an answer with all given traces.
func (q *Query) admit(ctx context.Context, who Reader, ids []trace.ID) error {
	if q.Room == nil || len(ids) == 0 {
		return nil
	}
	all, _, err := q.weigh(ctx, who, ids)
	if err != nil {
		return err
	}
	return q.Room.Take(ctx, who.Account, answerParts*all)
}

// admitEach reserves memory for an answer made from the given traces, one at a time.
func (q *Query) admitEach(ctx context.Context, who Reader, ids []trace.ID) error {
	if q.Room == nil {
		return nil
	}
	_, most, err := q.weigh(ctx, who, ids)
	if err != nil {
		return err
	}
	return q.Room.Take(ctx, who.Account, max(scanBytes, answerParts*most))
}
