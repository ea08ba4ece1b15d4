package api

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// This version finds no insights. Requests are validated all the same, so that clients
// see the errors that later versions will answer.

const (
	insightAge    = 30 * 24 * time.Hour // how old an insight can be (X-Ray API model)
	insightWindow = 6 * time.Hour       // of GetInsightImpactGraph (X-Ray API model)
	clockLeeway   = time.Minute         // so that a client may ask for exactly 30 days
)

func noInsight() error { return trace.Errorf(trace.KindInvalid, "Insight not found") } // not recorded

func (a *API) getInsight(_ context.Context, r *request) (any, error) {
	return ask(r, func(*wire.GetInsightRequest) (any, error) { return nil, noInsight() })
}

func (a *API) getInsightEvents(_ context.Context, r *request) (any, error) {
	return ask(r, func(*wire.GetInsightEventsRequest) (any, error) { return nil, noInsight() })
}

func (a *API) getInsightImpactGraph(_ context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.GetInsightImpactGraphRequest) (any, error) {
		w, err := a.insightTimes(q.StartTime, q.EndTime)
		if err != nil {
			return nil, err
		}
		if w.End.Sub(w.Start) > insightWindow {
			return nil, trace.Errorf(trace.KindInvalid, "Time range cannot be longer than 6 hours") // not recorded
		}
		return nil, noInsight()
	})
}

func (a *API) getInsightSummaries(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.GetInsightSummariesRequest) (any, error) {
		if _, err := a.insightTimes(q.StartTime, q.EndTime); err != nil {
			return nil, err
		}
		if _, err := a.Groups.Get(ctx, r.owner, value(q.GroupName), value(q.GroupARN)); err != nil {
			return nil, err
		}
		if q.NextToken != nil {
			return nil, trace.Errorf(trace.KindInvalid, "Invalid token %s", *q.NextToken) // there never is a next page
		}
		return wire.GetInsightSummariesResult{InsightSummaries: []struct{}{}}, nil
	})
}

// insightTimes checks the times of a request against the API model: in order, and at most
// 30 days old.
func (a *API) insightTimes(start, end *wire.Timestamp) (trace.Window, error) {
	if start == nil || end == nil {
		return trace.Window{}, trace.Errorf(trace.KindInvalid, "StartTime and EndTime are required") // not recorded
	}
	w, oldest := window(start, end), trace.TimeOf(a.Now().Add(-insightAge-clockLeeway))
	switch {
	case w.Start >= w.End:
		return w, trace.Errorf(trace.KindInvalid, "StartTime must be before EndTime") // not recorded
	case w.End < oldest:
		return w, trace.Errorf(trace.KindInvalid, "EndTime cannot be more than 30 days old") // not recorded
	case w.Start < oldest:
		return w, trace.Errorf(trace.KindInvalid, "StartTime cannot be more than 30 days old") // not recorded
	}
	return w, nil
}
