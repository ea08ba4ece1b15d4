package analytics

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// HistogramRequest asks how long traces took: the root's response time, or, with
// Whole set, the duration of the whole trace. For services and edges, without Whole,
// it asks how long their own segments and calls took.
type HistogramRequest struct {
	Selection
	Group Dimension
	Whole bool
	Top   int // number of groups to show, 1 to 50
}

// Histogram has a distribution for each of the largest groups, and one for all
// others. None is as in Series. Unfinished counts items without a time yet.
type Histogram struct {
	Counted
	Groups     []*Distribution `json:"groups"`
	Other      *Distribution   `json:"other"`
	None       int64           `json:"none"`
	Unfinished int64           `json:"unfinished"`
}

// Distribution counts times in bins. Four bins double the time: bin bounds are
// powers of 2^(1/4) seconds, so that they are the same for all groups.
type Distribution struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
	*Percentiles
	Bins []Bin `json:"bins"` // shortest first; empty ones are absent

	times times
	bins  map[int]int64
}

// Bin holds times from From (included) to To seconds.
type Bin struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Count int64   `json:"count"`
}

// zeroBin is for times below a nanosecond, which have no logarithm.
const zeroBin = -120

func binOf(seconds float64) int {
	if seconds < 1e-9 {
		return zeroBin
	}
	n := int(math.Floor(4 * math.Log2(seconds)))
	// The bounds decide, so that rounding of the logarithm has no effect.
	for bound(n+1) <= seconds {
		n++
	}
	for bound(n) > seconds {
		n--
	}
	return n
}

func bound(n int) float64 {
	if n <= zeroBin {
		return 0
	}
	return math.Exp2(float64(n) / 4)
}

// Histogram counts how long the traces of a selection took.
func (a *Analytics) Histogram(ctx context.Context, who answer.Reader, r HistogramRequest) (*Histogram, error) {
	if r.Top < 1 || r.Top > maxTop {
		return nil, invalid("top: must be 1 to %d", maxTop)
	}
	groups := map[string]*Distribution{}
	other := newDistribution("other")
	out := &Histogram{Groups: []*Distribution{}}
	counted, err := a.scan(ctx, who, r.Selection, func(s *trace.Summary, t *trace.Trace) {
		if r.Whole && s.Duration == nil || r.Group.each == nil && s.ResponseTime == nil && !r.Whole {
			out.Unfinished++
			return
		}
		list, unfinished := r.Group.observations(s, t)
		if r.Whole {
			list, unfinished = nil, 0
			for _, v := range r.Group.values(s, t) {
				list = append(list, observation{value: v, took: s.Duration})
			}
		}
		out.Unfinished += int64(unfinished)
		if len(list)+unfinished == 0 {
			out.None++
		}
		for _, o := range list {
			d := groups[o.value]
			if d == nil {
				if d = other; len(groups) < maxGroups {
					d = newDistribution(o.value)
					groups[o.value] = d
				}
			}
			d.add(*o.took)
		}
	})
	if err != nil {
		return nil, err
	}
	out.Counted = counted
	for _, d := range groups {
		out.Groups = append(out.Groups, d)
	}
	slices.SortFunc(out.Groups, func(x, y *Distribution) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Value, y.Value))
	})
	if len(out.Groups) > r.Top {
		for _, d := range out.Groups[r.Top:] {
			other.merge(d)
		}
		out.Groups = out.Groups[:r.Top]
	}
	if other.Count > 0 {
		out.Other = other
		other.finish()
	}
	for _, d := range out.Groups {
		d.finish()
	}
	return out, nil
}

func newDistribution(v string) *Distribution { return &Distribution{Value: v, bins: map[int]int64{}} }

func (d *Distribution) add(took time.Duration) {
	d.Count++
	d.times.add(took)
	d.bins[binOf(took.Seconds())]++
}

func (d *Distribution) merge(o *Distribution) {
	d.Count += o.Count
	d.times.merge(&o.times)
	for n, count := range o.bins {
		d.bins[n] += count
	}
}

func (d *Distribution) finish() {
	d.Percentiles = d.times.percentiles()
	d.Bins = []Bin{}
	for n, count := range d.bins {
		d.Bins = append(d.Bins, Bin{bound(n), bound(n + 1), count})
	}
	slices.SortFunc(d.Bins, func(x, y Bin) int { return cmp.Compare(x.From, y.From) })
}
