package assemble

import (
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Member says of an observation, by its receipt, whether it belongs to a group,
// and whether by an older filter of the group than today's. nil means that
// everything belongs.
type Member func(received trace.Time) (belongs, old bool)

// SeriesBuilder counts completed entities by the minute of their receipt (X-Ray
// API model, GetTimeSeriesServiceStatistics).
type SeriesBuilder struct {
	window trace.Window
	period time.Duration
	what   *filter.Entities
	series trace.Series
	points map[trace.Time]*trace.SeriesPoint
}

// NewSeries makes an empty series. Buckets whose end is in the window are kept;
// a period of five minutes joins the kept minutes. what selects a service or an
// edge; nil stands for all edges that lead from clients.
func NewSeries(window trace.Window, period time.Duration, what *filter.Entities) *SeriesBuilder {
	return &SeriesBuilder{window: window, period: period, what: what, points: map[trace.Time]*trace.SeriesPoint{}}
}

// Received are the times of receipt that a series over a window counts.
func Received(window trace.Window) trace.Window {
	return trace.Window{Start: window.Start - trace.Time(time.Minute), End: window.End}
}

// Add counts a trace.
func (b *SeriesBuilder) Add(t *trace.Trace, member Member) {
	for e := range All(t) {
		if p := b.point(e, member); p != nil && b.points[p.End] == nil {
			b.points[p.End] = p
		}
	}
	switch {
	case b.what != nil && !b.what.Edge:
		for _, n := range t.Nodes {
			if !n.Client && b.what.Node(n.Service) {
				b.count(n.Entities, member)
			}
		}
	default:
		for _, e := range t.Edges {
			if b.what == nil && e.From.Client || b.what != nil && b.what.Call(e.From.Service, e.To.Service) {
				b.count(e.Calls, member)
			}
		}
	}
}

func (b *SeriesBuilder) count(list []*trace.Entity, member Member) {
	for _, e := range list {
		p := b.point(e, member)
		if p == nil {
			continue
		}
		if p.Statistics == nil {
			p.Statistics, p.ResponseTimes = &trace.Statistics{}, &trace.Histogram{}
		}
		d := time.Duration(e.Duration())
		p.Statistics.Add(e.Outcome(), d)
		p.ResponseTimes.Add(d)
	}
}

// point is the bucket of an observation, nil if it is none of this series.
func (b *SeriesBuilder) point(e *trace.Entity, member Member) *trace.SeriesPoint {
	if e.InProgress {
		return nil
	}
	end := ceil(e.ReceivedAt, time.Minute)
	if !b.window.Contains(end) {
		return nil
	}
	if member != nil {
		belongs, old := member(e.ReceivedAt)
		if !belongs {
			return nil
		}
		b.series.OldGroupVersions = b.series.OldGroupVersions || old
	}
	end = ceil(end-1, b.period)
	if p := b.points[end]; p != nil {
		return p
	}
	return &trace.SeriesPoint{End: end}
}

// ceil is the first multiple of a period that comes after an instant.
func ceil(t trace.Time, period time.Duration) trace.Time {
	rest := t % trace.Time(period)
	if rest < 0 {
		rest += trace.Time(period)
	}
	return t - rest + trace.Time(period)
}

// Series is the series of all that was added, newest bucket first. The builder
// must not be used afterwards.
func (b *SeriesBuilder) Series() *trace.Series {
	for _, p := range b.points {
		b.series.Points = append(b.series.Points, p)
	}
	slices.SortFunc(b.series.Points, func(x, y *trace.SeriesPoint) int { return int(max(-1, min(1, y.End-x.End))) })
	return &b.series
}
