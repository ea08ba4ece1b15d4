package assemble

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Member reports whether an observation, given its receipt, belongs to a group, and
// whether it does so by an older filter. A nil Member includes everything.
type Member func(received trace.Time) (belongs, old bool)

// SeriesBuilder counts completed entities by the minute of their receipt (X-Ray
// API model, GetTimeSeriesServiceStatistics).
type SeriesBuilder struct {
	window   trace.Window
	period   time.Duration
	what     *filter.Entities
	old      bool
	entities int64
	traces   map[trace.Time]*Sum // by the end of their minute
	points   map[trace.Time]*point
	limit    int        // of points; 0: none
	floor    trace.Time // points that end earlier belong to another page
	waste    point      // receives the counts that are not selected
}

// point is a bucket that is being filled.
type point struct {
	entities, counted int64
	statistics        trace.Statistics
	responses         trace.Histogram
}

// NewSeries makes an empty series. It keeps buckets whose end is in the window; a
// period of five minutes joins the kept minutes. what selects a service or an edge;
// nil selects all edges that start at clients.
func NewSeries(window trace.Window, period time.Duration, what *filter.Entities) *SeriesBuilder {
	return &SeriesBuilder{window: window, period: period, what: what, traces: map[trace.Time]*Sum{}, points: map[trace.Time]*point{}}
}

// Limited limits the points of an empty series to the newest ones. Series.Next tells
// where the next page begins.
func (b *SeriesBuilder) Limited(points int) *SeriesBuilder {
	b.limit = points
	return b
}

// Minutes returns the minutes of receipt, by their starts, that a series over a
// window counts: those that end in it.
func Minutes(window trace.Window) trace.Window {
	up := func(t trace.Time) trace.Time {
		if t > trace.MaxTime-2*minute {
			return t
		}
		return ceil(t-1, time.Minute)
	}
	return trace.Window{Start: up(max(window.Start, trace.MinTime+2*minute)) - minute, End: up(window.End) - minute}
}

const minute = trace.Time(time.Minute)

// Add counts a trace.
func (b *SeriesBuilder) Add(t *trace.Trace, member Member) { b.observe(b.traces, t, member) }

// Remove subtracts the counts of Add.
func (b *SeriesBuilder) Remove(t *trace.Trace, member Member) {
	gone := map[trace.Time]*Sum{}
	b.observe(gone, t, member)
	for end, s := range gone {
		if b.traces[end] == nil {
			b.traces[end] = &Sum{only: b}
		}
		b.traces[end].Merge(s, -1)
		b.entities -= s.Entities
	}
}

func (b *SeriesBuilder) observe(sums map[trace.Time]*Sum, t *trace.Trace, member Member) {
	Observe(t, func(received trace.Time) *Sum {
		end := ceil(received, time.Minute)
		if !b.window.Contains(end) {
			return nil
		}
		if member != nil {
			belongs, old := member(received)
			if !belongs {
				return nil
			}
			b.old = b.old || old
		}
		if sums[end] == nil {
			sums[end] = &Sum{only: b}
		}
		return sums[end]
	})
}

// Old tells that some counts belong to the requested group only by an older filter.
func (b *SeriesBuilder) Old() { b.old = true }

// Entities returns how many completed entities Minute counted, without those that
// Remove subtracted.
func (b *SeriesBuilder) Entities() int64 { return b.entities }

// Minute counts completed entities of the minute with that start, times sign.
func (b *SeriesBuilder) Minute(start trace.Time, n, sign int64) {
	b.entities += sign * n
	b.point(start).entities += sign * n
}

// Node counts a selected node of the minute with that start, times sign.
func (b *SeriesBuilder) Node(start trace.Time, n *NodeSum, sign int64) {
	b.point(start).add(&n.Statistics, &n.ResponseTimes, sign)
}

// Edge counts a selected edge of the minute with that start, times sign.
func (b *SeriesBuilder) Edge(start trace.Time, e *EdgeSum, sign int64) {
	b.point(start).add(&e.Statistics, &e.ResponseTimes, sign)
}

// WantsNode reports whether a node is selected.
func (b *SeriesBuilder) WantsNode(k NodeKey) bool {
	return b.what != nil && !b.what.Edge && !k.Client && b.what.Node(k.Service)
}

// WantsEdge reports whether an edge is selected.
func (b *SeriesBuilder) WantsEdge(k EdgeKey) bool {
	if b.what == nil {
		return k.From.Client
	}
	return b.what.Edge && b.what.Call(k.From.Service, k.To.Service)
}

func (b *SeriesBuilder) point(start trace.Time) *point {
	end := ceil(start, b.period)
	p := b.points[end]
	switch {
	case p != nil:
		return p
	case end < b.floor:
		return &b.waste
	}
	p = &point{}
	b.points[end] = p
	if b.limit > 0 && len(b.points) > 2*b.limit {
		ends := slices.Sorted(maps.Keys(b.points))
		ends = ends[:len(ends)-b.limit]
		for _, old := range ends {
			delete(b.points, old)
		}
		b.floor = ends[len(ends)-1] + 1
		if end < b.floor {
			return &b.waste
		}
	}
	return p
}

func (p *point) add(s *trace.Statistics, responses *trace.Histogram, sign int64) {
	p.counted += sign * s.Total()
	p.statistics.Merge(*s, sign)
	p.responses.Merge(responses, sign)
}

// ceil returns the first multiple of a period after an instant.
func ceil(t trace.Time, period time.Duration) trace.Time {
	rest := t % trace.Time(period)
	if rest < 0 {
		rest += trace.Time(period)
	}
	return t - rest + trace.Time(period)
}

// Series returns the finished series, newest bucket first. The builder must not be
// used afterwards.
func (b *SeriesBuilder) Series() *trace.Series {
	for end, s := range b.traces {
		start := end - minute
		b.Minute(start, s.Entities, 1)
		for _, n := range s.Nodes {
			b.Node(start, n, 1)
		}
		for _, e := range s.Edges {
			b.Edge(start, e, 1)
		}
	}
	out := &trace.Series{OldGroupVersions: b.old}
	for end, p := range b.points {
		if p.entities <= 0 {
			continue
		}
		shown := &trace.SeriesPoint{End: end}
		if p.counted > 0 {
			if negativeTimes(&p.statistics, &p.responses) { // the subtracted counts were folded into Other
				floorTimes(&p.statistics, &p.responses)
			}
			shown.Statistics, shown.ResponseTimes = &p.statistics, &p.responses
		}
		out.Points = append(out.Points, shown)
	}
	slices.SortFunc(out.Points, func(x, y *trace.SeriesPoint) int { return cmp.Compare(y.End, x.End) })
	out.Next = b.floor
	if b.limit > 0 && len(out.Points) > b.limit {
		out.Points = out.Points[:b.limit]
		out.Next = out.Points[b.limit-1].End - trace.Time(b.period) + minute // the end of its first minute
	}
	return out
}
