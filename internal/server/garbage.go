package server

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// The percentages by which the heap may grow over its live part before the collector
// runs. Collecting less often is cheaper: 150 instead of the usual 100 saves a tenth of
// the CPU of ingest (docs/adr/0004-ingest-cost.md).
const (
	leastGarbage = 50
	mostGarbage  = 150
)

// tuner makes the collector run when the heap reaches a goal, not a multiple of its live
// part: more open traces or larger indexes then mean less garbage, not more memory. It
// adjusts the percentage after each collection.
type tuner struct {
	goal    int64
	percent int
	sample  []metrics.Sample
}

// tune starts a tuner, unless GOGC sets the percentage.
func tune(goal int64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	t := &tuner{goal: goal, percent: mostGarbage, sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
	debug.SetGCPercent(t.percent)
	t.arm()
}

// arm waits for the next collection: it frees an object that nothing refers to.
func (t *tuner) arm() {
	runtime.AddCleanup(new(*tuner), func(t *tuner) {
		t.adjust()
		t.arm()
	}, t)
}

func (t *tuner) adjust() {
	metrics.Read(t.sample)
	live := int64(t.sample[0].Value.Uint64())
	// Each change stops the world for a moment.
	if percent := t.fitting(live); percent < t.percent-4 || percent > t.percent+4 {
		t.percent = percent
		debug.SetGCPercent(percent)
	}
}

// fitting returns the percentage with which the heap reaches the goal.
func (t *tuner) fitting(live int64) int {
	return int(max(leastGarbage, min(mostGarbage, 100*(t.goal-live)/max(live, 1))))
}
