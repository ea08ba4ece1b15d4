package analytics

import (
	"math"
	"slices"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"
)

const (
	// exact is how many values are kept exactly; more are moved to a sketch.
	exact = 400
	// accuracy is the relative error of a sketch's percentiles.
	accuracy = 0.01
	// sketchBins limits the bins of a sketch; beyond it, the lowest values share a
	// bin.
	sketchBins = 2048
)

// times is a distribution of durations in seconds.
type times struct {
	list   []float64
	sketch *ddsketch.DDSketch // nil while list has all values
}

func (t *times) add(d time.Duration) { t.put(d.Seconds()) }

func (t *times) put(v float64) {
	if t.sketch == nil && len(t.list) < exact {
		t.list = append(t.list, v)
		return
	}
	t.spill()
	_ = t.sketch.Add(v) // durations are finite and not negative
}

func (t *times) spill() {
	if t.sketch != nil {
		return
	}
	// The only possible error is an accuracy outside 0 to 1.
	t.sketch, _ = ddsketch.LogCollapsingLowestDenseDDSketch(accuracy, sketchBins)
	for _, v := range t.list {
		_ = t.sketch.Add(v)
	}
	t.list = nil
}

func (t *times) merge(o *times) {
	if o.sketch != nil {
		t.spill()
		_ = t.sketch.MergeWith(o.sketch) // both have the same accuracy
		return
	}
	for _, v := range o.list {
		t.put(v)
	}
}

// Percentiles are in seconds, by nearest rank.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P75 float64 `json:"p75"`
	P90 float64 `json:"p90"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// percentiles returns nil without values.
func (t *times) percentiles() *Percentiles {
	if t.sketch == nil && len(t.list) == 0 {
		return nil
	}
	slices.Sort(t.list)
	at := func(q float64) float64 {
		if t.sketch != nil {
			v, _ := t.sketch.GetValueAtQuantile(q)
			return v
		}
		return t.list[max(0, int(math.Ceil(q*float64(len(t.list))))-1)]
	}
	return &Percentiles{at(.50), at(.75), at(.90), at(.95), at(.99)}
}
