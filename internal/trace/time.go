package trace

import (
	"math"
	"time"
)

// Time is an instant in nanoseconds since the Unix epoch, UTC. It spans the years
// 1677 to 2262; decoding refuses documents with times outside.
type Time int64

// MaxTime and MinTime are the limits of a Time.
const (
	MaxTime Time = math.MaxInt64
	MinTime Time = math.MinInt64
)

// TimeOf converts a time.Time.
func TimeOf(t time.Time) Time { return Time(t.UnixNano()) }

// FromSeconds converts epoch seconds, as the X-Ray API writes times. Values out
// of range saturate; NaN is 0.
func FromSeconds(s float64) Time {
	switch {
	case math.IsNaN(s):
		return 0
	case s >= float64(math.MaxInt64)/1e9:
		return MaxTime
	case s <= float64(math.MinInt64)/1e9:
		return MinTime
	}
	whole, frac := math.Modf(s)
	return Time(int64(whole)*1e9 + int64(math.Round(frac*1e9)))
}

// Seconds returns the instant as epoch seconds.
func (t Time) Seconds() float64 {
	whole, frac := int64(t)/1e9, int64(t)%1e9
	return float64(whole) + float64(frac)/1e9
}

// FloorSecond rounds the instant down to a whole second.
func (t Time) FloorSecond() Time {
	r := t % 1e9
	if r < 0 {
		r += 1e9
	}
	return t - r
}

// Time returns the instant as a time.Time in UTC.
func (t Time) Time() time.Time { return time.Unix(0, int64(t)).UTC() }

// Sub returns the duration t-u; it saturates.
func (t Time) Sub(u Time) time.Duration {
	d := t - u
	if (t > u) != (d > 0) && t != u {
		if t > u {
			return math.MaxInt64
		}
		return math.MinInt64
	}
	return time.Duration(d)
}

// Window is a span of time, Start inclusive, End exclusive.
type Window struct{ Start, End Time }

// Contains reports whether t lies in the window.
func (w Window) Contains(t Time) bool { return t >= w.Start && t < w.End }

// Clock selects the time of a trace to which a window applies (GetTraceSummaries,
// TimeRangeType).
type Clock uint8

// The three clocks of GetTraceSummaries.
const (
	// ClockTraceID is the start of the trace: its earliest entity's start.
	ClockTraceID Clock = iota
	// ClockEvent is the receipt of the trace's last accepted document.
	ClockEvent
	// ClockService is the end of an entity that a service() or edge() clause of
	// the filter matched; without such a clause, the end of the trace.
	ClockService
)
