package api

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// getTimeSeriesServiceStatistics answers the statistics of a service if the selector
// selects a service, else those of an edge. There are no forecasts yet: their members are
// null, as in the native service until it has learnt a model.
func (a *API) getTimeSeriesServiceStatistics(ctx context.Context, r *request) (any, error) {
	return ask(r, func(q *wire.GetTimeSeriesServiceStatisticsRequest) (any, error) {
		request := query.SeriesRequest{
			Window: window(q.StartTime, q.EndTime), Group: query.GroupName{Name: value(q.GroupName), ARN: value(q.GroupARN)},
			Selector: value(q.EntitySelectorExpression), Forecast: q.ForecastStatistics != nil && *q.ForecastStatistics, Token: value(q.NextToken),
		}
		if q.Period != nil {
			if request.Period = time.Duration(*q.Period) * time.Second; request.Period == 0 {
				request.Period = time.Nanosecond // 0 is refused; absent is a minute
			}
		}
		s, of, next, err := a.Query.Series(ctx, r.reader, request)
		if err != nil {
			return nil, err
		}
		answer := wire.GetTimeSeriesServiceStatisticsResult{ContainsOldGroupVersions: s.OldGroupVersions, NextToken: text(next), TimeSeriesServiceStatistics: []wire.TimeSeriesServiceStatistics{}}
		for _, p := range s.Points {
			point := wire.TimeSeriesServiceStatistics{Timestamp: timestamp(p.End), ResponseTimeHistogram: histogram(p.ResponseTimes)}
			switch {
			case p.Statistics == nil:
			case of != nil && !of.Edge:
				point.ServiceSummaryStatistics = statistics(p.Statistics)
			default:
				point.EdgeSummaryStatistics = statistics(p.Statistics)
			}
			answer.TimeSeriesServiceStatistics = append(answer.TimeSeriesServiceStatistics, point)
		}
		return answer, nil
	})
}
