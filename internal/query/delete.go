package query

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// DeleteRequest selects the traces to delete: by id, or by a window in which they
// start and a filter expression ("" for all).
type DeleteRequest struct {
	IDs    []string
	Window trace.Window
	Filter string
	DryRun bool // only count them
}

// maxDeletedIDs is the maximum number of ids in one request.
const maxDeletedIDs = 10_000

// Delete deletes traces permanently and returns how many there were. A reader who does
// not see everything must not delete, because a trace may have hidden segments, and must
// not learn how many there are.
func (q *Query) Delete(ctx context.Context, who Reader, r DeleteRequest) (int, error) {
	if who.Sight != nil {
		return 0, trace.Errorf(trace.KindDenied, "deleting traces deletes all of their segments, and your permissions do not include all of them in account %s", who.Account)
	}
	if len(r.IDs) > 0 {
		return q.deleteIDs(ctx, who.Account, r)
	}
	if r.Window.Start >= r.Window.End {
		return 0, invalid("a deletion needs ids, or a start and an end that comes after it")
	}
	expr, err := q.Filter(who.Owner, r.Filter)
	if err != nil {
		return 0, err
	}
	if !r.DryRun {
		return q.store.Delete(ctx, who.Account, answer.DeleteQuery{Window: r.Window, Filter: expr})
	}
	n := 0
	for _, err := range q.store.Summaries(ctx, who.Account, &answer.SummaryQuery{Window: r.Window, Clock: trace.ClockTraceID, Filter: expr}) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

func (q *Query) deleteIDs(ctx context.Context, account trace.Account, r DeleteRequest) (int, error) {
	if r.Filter != "" || r.Window != (trace.Window{}) {
		return 0, invalid("a deletion takes ids, or a window and a filter, not both")
	}
	if len(r.IDs) > maxDeletedIDs {
		return 0, invalid("%d ids are too many: one request may have %d", len(r.IDs), maxDeletedIDs)
	}
	ids := make([]trace.ID, 0, len(r.IDs))
	for _, text := range r.IDs {
		id, err := trace.ParseID(text)
		if err != nil {
			return 0, invalid("Invalid trace id %.100s: incorrect id format", text)
		}
		ids = append(ids, id)
	}
	if !r.DryRun {
		return q.store.Delete(ctx, account, answer.DeleteQuery{IDs: ids})
	}
	n := 0
	var unread []trace.ID
	for _, err := range readable(q.store.Traces(ctx, account, ids, answer.Reach{}), &unread) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n + len(unread), nil // damaged traces can be deleted, too
}
