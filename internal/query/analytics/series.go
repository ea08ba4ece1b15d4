package analytics

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	maxBuckets = 500
	maxTop     = 50
	// maxGroups is the maximum number of groups in a count, maxCells the maximum
	// number of pairs of group and bucket. Further ones are counted as other.
	maxGroups = 1000
	maxCells  = 20_000
)

// SeriesRequest asks for series of response times: of traces (the duration of the
// root segment), or of services or edges (of their own segments or calls).
type SeriesRequest struct {
	Selection
	Group  Dimension
	Bucket time.Duration // at most 500 fit the window
	Top    int           // number of groups to show, 1 to 50
}

// Series is a line for each of the largest groups, and one for all others.
type Series struct {
	Counted
	Bucket float64  `json:"bucket"` // seconds
	Groups []*Group `json:"groups"` // largest first
	// Other joins all further groups, nil if there are none. None counts traces
	// without a value; a trace with several values counts in each of their groups.
	// For services and edges, each segment or call is counted, not the trace.
	Other *Group `json:"other"`
	None  int64  `json:"none"`
}

// Group is one line of a series.
type Group struct {
	Value string `json:"value"`
	Counts
	*Percentiles
	Points []*Point `json:"points"` // oldest first; empty buckets are absent

	times times
	cells map[trace.Time]*Point
}

// Point is a group's part of one bucket.
type Point struct {
	Start float64 `json:"start"` // epoch seconds
	Rate  float64 `json:"rate"`  // what is counted, a second
	Counts
	*Percentiles

	times times
}

// Counts counts traces by the outcome of their root, unknown if the root is missing,
// or segments or calls by their own outcome; throttle takes precedence over fault,
// and fault over error.
type Counts struct {
	Count    int64 `json:"count"`
	OK       int64 `json:"ok"`
	Error    int64 `json:"error"`
	Fault    int64 `json:"fault"`
	Throttle int64 `json:"throttle"`
	Unknown  int64 `json:"unknown"`
}

func (c *Counts) add(o *trace.Outcome) {
	c.Count++
	if o == nil {
		c.Unknown++
		return
	}
	switch *o {
	case trace.Throttle:
		c.Throttle++
	case trace.Fault:
		c.Fault++
	case trace.Error:
		c.Error++
	default:
		c.OK++
	}
}

func (c *Counts) merge(o Counts) {
	c.Count, c.OK, c.Error = c.Count+o.Count, c.OK+o.OK, c.Error+o.Error
	c.Fault, c.Throttle, c.Unknown = c.Fault+o.Fault, c.Throttle+o.Throttle, c.Unknown+o.Unknown
}

// Series counts the traces of a selection by time and group.
func (a *Analytics) Series(ctx context.Context, who answer.Reader, r SeriesRequest) (*Series, error) {
	switch {
	case r.Bucket < time.Second:
		return nil, invalid("bucket: must be at least one second")
	case r.Window.End.Sub(r.Window.Start) > maxBuckets*r.Bucket:
		return nil, invalid("bucket: at most %d fit a window", maxBuckets)
	case r.Top < 1 || r.Top > maxTop:
		return nil, invalid("top: must be 1 to %d", maxTop)
	}
	groups := map[string]*Group{}
	other := newGroup("other")
	cells := 0
	out := &Series{Bucket: r.Bucket.Seconds(), Groups: []*Group{}}
	counted, err := a.scan(ctx, who, r.Selection, func(s *trace.Summary, t *trace.Trace) {
		list, unfinished := r.Group.observations(s, t)
		if len(list)+unfinished == 0 {
			out.None++
		}
		start := floor(s.Start, r.Bucket)
		for _, o := range list {
			g := groups[o.value]
			if g == nil {
				if g = other; len(groups) < maxGroups && cells < maxCells {
					g = newGroup(o.value)
					groups[o.value] = g
				}
			}
			if g != other && g.cells[start] == nil && cells >= maxCells {
				g = other
			}
			if g.cells[start] == nil {
				cells++
			}
			g.add(o, start)
		}
	})
	if err != nil {
		return nil, err
	}
	out.Counted = counted
	for _, g := range groups {
		out.Groups = append(out.Groups, g)
	}
	slices.SortFunc(out.Groups, func(x, y *Group) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Value, y.Value))
	})
	if len(out.Groups) > r.Top {
		for _, g := range out.Groups[r.Top:] {
			other.merge(g)
		}
		out.Groups = out.Groups[:r.Top]
	}
	if other.Count > 0 {
		out.Other = other
		other.finish(r.Bucket)
	}
	for _, g := range out.Groups {
		g.finish(r.Bucket)
	}
	return out, nil
}

func newGroup(v string) *Group { return &Group{Value: v, cells: map[trace.Time]*Point{}} }

func (g *Group) cell(start trace.Time) *Point {
	p := g.cells[start]
	if p == nil {
		p = &Point{Start: start.Seconds()}
		g.cells[start] = p
	}
	return p
}

func (g *Group) add(o observation, start trace.Time) {
	p := g.cell(start)
	p.Counts.add(o.outcome)
	g.Counts.add(o.outcome)
	if o.took != nil {
		p.times.add(*o.took)
	}
}

func (g *Group) merge(o *Group) {
	g.Counts.merge(o.Counts)
	for start, q := range o.cells {
		p := g.cell(start)
		p.Counts.merge(q.Counts)
		p.times.merge(&q.times)
	}
}

// finish makes the points from the counts.
func (g *Group) finish(bucket time.Duration) {
	g.Points = []*Point{}
	for _, p := range g.cells {
		p.Rate, p.Percentiles = float64(p.Count)/bucket.Seconds(), p.times.percentiles()
		g.times.merge(&p.times)
		g.Points = append(g.Points, p)
	}
	g.Percentiles = g.times.percentiles()
	slices.SortFunc(g.Points, func(x, y *Point) int { return cmp.Compare(x.Start, y.Start) })
}

// floor returns the start of an instant's bucket; buckets are aligned to the epoch.
func floor(t trace.Time, bucket time.Duration) trace.Time {
	rest := t % trace.Time(bucket)
	if rest < 0 {
		rest += trace.Time(bucket)
	}
	return t - rest
}
