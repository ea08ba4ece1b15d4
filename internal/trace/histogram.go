package trace

import (
	"math"
	"slices"
	"time"
)

// exactBins is how many distinct values a Histogram keeps exactly. The native
// service keeps small inputs exact and clusters large ones.
const exactBins = 128

// bucketGrowth is the width of a bucket once values are clustered: each bucket
// ends 2 % above its start, so a bin is within 1 % of every value in it.
const bucketGrowth = 1.02

// Histogram counts durations in milliseconds, rounded. Up to 128 distinct values
// are kept exactly; more are clustered in buckets whose bounds are fixed, so
// that the result depends neither on the order of Add nor on how parts were
// merged. The zero value is empty and ready.
type Histogram struct {
	bins      []bin // ascending by key
	clustered bool
}

// bin holds one millisecond value, or one bucket when clustered.
type bin struct {
	key   int64 // milliseconds, or the bucket's number
	count int64
	sum   int64 // milliseconds
}

// HistogramEntry is one bin: a value in seconds and how often it was seen.
type HistogramEntry struct {
	Value float64
	Count int64
}

// Add counts one duration; negative ones count as 0.
func (h *Histogram) Add(d time.Duration) {
	ms := max(0, (int64(d)+int64(time.Millisecond)/2)/int64(time.Millisecond))
	h.add(bin{key: h.key(ms), count: 1, sum: ms})
}

// Merge adds all that o counted; o stays as it is.
func (h *Histogram) Merge(o *Histogram) {
	if o == nil {
		return
	}
	if o.clustered && !h.clustered {
		h.cluster()
	}
	for _, b := range o.bins {
		if h.clustered && !o.clustered {
			b.key = bucketOf(b.key)
		}
		h.add(b)
	}
}

// Entries are the bins in ascending order, values in seconds rounded to 1 ms.
func (h *Histogram) Entries() []HistogramEntry {
	if h == nil {
		return nil
	}
	out := make([]HistogramEntry, 0, len(h.bins))
	for _, b := range h.bins {
		out = append(out, HistogramEntry{Value: math.Round(float64(b.sum)/float64(b.count)) / 1000, Count: b.count})
	}
	return out
}

// Count is how many durations were added.
func (h *Histogram) Count() int64 {
	var n int64
	for _, b := range h.bins {
		n += b.count
	}
	return n
}

func (h *Histogram) key(ms int64) int64 {
	if h.clustered {
		return bucketOf(ms)
	}
	return ms
}

func (h *Histogram) add(b bin) {
	i, found := slices.BinarySearchFunc(h.bins, b.key, func(x bin, k int64) int { return int(max(-1, min(1, x.key-k))) })
	if found {
		h.bins[i].count += b.count
		h.bins[i].sum += b.sum
		return
	}
	h.bins = slices.Insert(h.bins, i, b)
	if !h.clustered && len(h.bins) > exactBins {
		h.cluster()
	}
}

// cluster moves exact values into buckets. The number of distinct values only
// grows, so whether a histogram is clustered depends on what was added alone.
func (h *Histogram) cluster() {
	exact := h.bins
	h.bins, h.clustered = nil, true
	for _, b := range exact {
		b.key = bucketOf(b.key)
		h.add(b)
	}
}

// bucketOf numbers the bucket of a value: up to 50 ms each value has its own.
func bucketOf(ms int64) int64 {
	const linear = 50
	if ms <= linear {
		return ms
	}
	return linear + 1 + int64(math.Log(float64(ms)/linear)/math.Log(bucketGrowth))
}
