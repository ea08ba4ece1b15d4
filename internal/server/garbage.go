package server

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much of what is in use, in percent, may be added to it before the collector
// runs. The more, the less it costs: 150 in place of the usual 100 saves a tenth of
// the CPU of ingest (docs/adr/0004-ingest-cost.md).
const (
	leastGarbage = 50
	mostGarbage  = 150
)

// tuner lets the collector run when the heap reaches a goal rather than a multiple
// of what is in use: with more open traces or larger indexes there is less garbage,
// not more memory. It looks after each collection.
type tuner struct {
	goal    int64
	percent int
	sample  []metrics.Sample
}

// tune begins, unless GOGC says how much garbage there is to be.
func tune(goal int64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	t := &tuner{goal: goal, percent: mostGarbage, sample: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
	debug.SetGCPercent(t.percent)
	t.arm()
}

// arm waits for the next collection, which frees what nothing refers to.
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

// fitting is how much garbage reaches the goal.
func (t *tuner) fitting(live int64) int {
	return int(max(leastGarbage, min(mostGarbage, 100*(t.goal-live)/max(live, 1))))
}
