package trace_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

func TestID_bothNotations(t *testing.T) {
	const xray, w3c = "1-581cf771-a006649127e371903a2de979", "581cf771a006649127e371903a2de979"
	for _, s := range []string{xray, w3c, "581CF771A006649127E371903A2DE979"} {
		id, err := trace.ParseID(s)
		if err != nil || id.String() != xray || id.Hex() != w3c {
			t.Errorf("ParseID(%q) = %v, %v", s, id, err)
		}
	}
	for _, s := range []string{"", "1-581cf771", "2-581cf771-a006649127e371903a2de979", "1-581cf77g-a006649127e371903a2de979", xray + "0", "1-581cf771aa006649127e371903a2de979"} {
		if id, err := trace.ParseID(s); err == nil {
			t.Errorf("ParseID(%q) = %v, want an error", s, id)
		}
	}
}

func TestSegmentID(t *testing.T) {
	id, err := trace.ParseSegmentID("70DE5b6f19ff9a0a")
	if err != nil || id.String() != "70de5b6f19ff9a0a" || id.IsZero() {
		t.Errorf("got %v, %v", id, err)
	}
	for _, s := range []string{"", "70de5b6f19ff9a0", "70de5b6f19ff9a0x", "70de5b6f19ff9a0a0"} {
		if _, err := trace.ParseSegmentID(s); err == nil {
			t.Errorf("ParseSegmentID(%q): want an error", s)
		}
	}
}

func TestTime_secondsRoundTripAndSaturate(t *testing.T) {
	for _, s := range []float64{0, 1478293361.271, -1.5, 1790149670} {
		if got := trace.FromSeconds(s).Seconds(); math.Abs(got-s) > 1e-6 {
			t.Errorf("FromSeconds(%v).Seconds() = %v", s, got)
		}
	}
	if trace.FromSeconds(1e300) != trace.MaxTime || trace.FromSeconds(-1e300) != trace.MinTime || trace.FromSeconds(math.NaN()) != 0 {
		t.Error("out of range times do not saturate")
	}
	if got := trace.FromSeconds(-1.5).FloorSecond(); got != trace.FromSeconds(-2) {
		t.Errorf("FloorSecond(-1.5 s) = %v", got)
	}
	if trace.MaxTime.Sub(trace.MinTime) != math.MaxInt64 || trace.MinTime.Sub(trace.MaxTime) != math.MinInt64 {
		t.Error("Sub does not saturate")
	}
}

func TestOutcome_precedence(t *testing.T) {
	for _, c := range []struct {
		e    trace.Entity
		want trace.Outcome
	}{
		{trace.Entity{}, trace.OK},
		{trace.Entity{HTTP: trace.HTTP{Status: 404}}, trace.Error},
		{trace.Entity{HTTP: trace.HTTP{Status: 429}, Error: true}, trace.Throttle},
		{trace.Entity{HTTP: trace.HTTP{Status: 503}, Error: true}, trace.Fault},
		{trace.Entity{Fault: true, Throttle: true}, trace.Throttle},
		{trace.Entity{HTTP: trace.HTTP{Status: 200}, Fault: true}, trace.Fault},
	} {
		if got := c.e.Outcome(); got != c.want {
			t.Errorf("%+v: %v, want %v", c.e, got, c.want)
		}
	}
}

func TestHistogram_smallInputsAreExact(t *testing.T) {
	var h trace.Histogram
	for range 3 {
		h.Add(250 * time.Millisecond)
	}
	h.Add(1499600 * time.Microsecond)
	h.Add(-time.Second)
	got := h.Entries()
	want := []trace.HistogramEntry{{0, 1}, {0.25, 3}, {1.5, 1}}
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("entry %d = %v, want %v", i, got[i], want[i])
		}
	}
}

// A hundred equally frequent times are shown unchanged, even if they are close.
func TestHistogram_equallyFrequentAreExact(t *testing.T) {
	for _, times := range []int{1, 3, 1000} {
		var h trace.Histogram
		for i := range 100 * times {
			h.Add(time.Duration(1000+i%100) * time.Millisecond)
		}
		got := h.Entries()
		if len(got) != 100 {
			t.Fatalf("%d of each: %d entries", times, len(got))
		}
		for i, e := range got {
			if e.Count != int64(times) || e.Value != float64(1000+i)/1000 {
				t.Errorf("%d of each: entry %d is %v", times, i, e)
			}
		}
	}
}

// Each time is counted in an entry close to it, and an entry holds a large share
// only if it has a single time.
func TestHistogram_entriesAreClose(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for round := range 200 {
		var h trace.Histogram
		n, spread, middle := 1+rnd.IntN(1<<(1+rnd.IntN(15))), 2*rnd.Float64(), 1+rnd.Float64()*1000
		var values []int64
		for range n {
			ms := int64(middle * math.Exp(spread*rnd.NormFloat64()))
			values = append(values, ms)
			h.Add(time.Duration(ms) * time.Millisecond)
		}
		slices.Sort(values)
		entries := h.Entries()
		if len(entries) > 256 {
			t.Errorf("round %d: %d entries of %d values", round, len(entries), n)
		}
		var last float64 = -1
		for _, e := range entries {
			if e.Value < last || e.Count < 1 || e.Count > int64(len(values)) {
				t.Fatalf("round %d: %v behind %v, %d values are left", round, e, last, len(values))
			}
			last = e.Value
			mine := values[:e.Count]
			values = values[e.Count:]
			low, high := float64(mine[0])/1000, float64(mine[len(mine)-1])/1000
			if e.Value < low-0.0005 || e.Value > high+0.0005 || high > low*1.05+1e-9 {
				t.Errorf("round %d: %v of %v to %v", round, e, low, high)
			}
			if low < high && float64(len(mine)) > 0.025*float64(n) {
				t.Errorf("round %d: an entry from %v to %v holds %d of %d", round, low, high, len(mine), n)
			}
		}
		if len(values) > 0 {
			t.Errorf("round %d: %d values are not counted", round, len(values))
		}
	}
}

// The result depends neither on the order of Add nor on how parts were merged.
func TestHistogram_orderAndPartsDoNotMatter(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	values := make([]time.Duration, 5000)
	for i := range values {
		values[i] = time.Duration(rnd.ExpFloat64() * float64(300*time.Millisecond))
	}
	var whole trace.Histogram
	for _, v := range values {
		whole.Add(v)
	}
	rnd.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	parts := make([]trace.Histogram, 40)
	for i, v := range values {
		parts[i*i%40].Add(v)
	}
	var merged trace.Histogram
	for i := range parts {
		merged.Merge(&parts[i], 1)
	}
	a, b := whole.Entries(), merged.Entries()
	if len(a) != len(b) || whole.Count() != 5000 || merged.Count() != 5000 {
		t.Fatalf("%d entries of %d, %d of %d", len(a), whole.Count(), len(b), merged.Count())
	}
	for i := range a {
		if a[i] != b[i] {
			t.Errorf("entry %d: %v and %v", i, a[i], b[i])
		}
	}
}
