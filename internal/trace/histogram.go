package trace

import (
	"math"
	"math/bits"
	"time"
)

// exactEntries is up to how many distinct values a histogram shows as they are.
// The native service shows small inputs exactly and clusters large ones.
const exactEntries = 128

// bucketGrowth is the width of an entry that stands for several values: it ends
// 2 % above its start, so it is within 1 % of every value in it.
const bucketGrowth = 1.02

// exactBits is how many significant bits of a number of milliseconds are kept: up
// to 70 minutes all of them. This bounds how many values can be distinct.
const exactBits = 22

// Histogram counts durations in milliseconds, rounded. It depends neither on the order of Add nor on how parts
// were merged, and parts can be taken away again. The zero value is empty and
// ready.
type Histogram struct{ counts Counts }

// HistogramEntry is one bin: a value in seconds and how often it was seen.
type HistogramEntry struct {
	Value float64
	Count int64
}

// HistogramOf is made of the counts of another.
func HistogramOf(c Counts) Histogram { return Histogram{c} }

// Counts are the milliseconds seen. They are shared.
func (h *Histogram) Counts() *Counts { return &h.counts }

// Add counts one duration; negative ones count as 0.
func (h *Histogram) Add(d time.Duration) {
	ms := max(0, (int64(d)+int64(time.Millisecond)/2)/int64(time.Millisecond))
	if shift := bits.Len64(uint64(ms)) - exactBits; shift > 0 {
		ms = ms>>shift<<shift + 1<<shift/2
	}
	h.counts.Add(ms, 1)
}

// Merge adds all that o counted, times sign: -1 takes it away. o stays as it is.
func (h *Histogram) Merge(o *Histogram, sign int64) {
	if o != nil {
		h.counts.Merge(&o.counts, sign)
	}
}

// Entries are the bins in ascending order, values in seconds rounded to 1 ms.
// More than 128 distinct values are joined in buckets whose bounds are fixed.
func (h *Histogram) Entries() []HistogramEntry {
	if h == nil {
		return nil
	}
	bins := h.counts.Bins()
	out := make([]HistogramEntry, 0, min(len(bins), 4*exactEntries))
	if len(bins) <= exactEntries {
		for _, b := range bins {
			out = append(out, HistogramEntry{Value: float64(b.Key) / 1000, Count: b.N})
		}
		return out
	}
	for i := 0; i < len(bins); {
		bucket := bucketOf(bins[i].Key)
		var sum, count int64
		for ; i < len(bins) && bucketOf(bins[i].Key) == bucket; i++ {
			sum += bins[i].Key * bins[i].N
			count += bins[i].N
		}
		out = append(out, HistogramEntry{Value: math.Round(float64(sum)/float64(count)) / 1000, Count: count})
	}
	return out
}

// Count is how many durations were added.
func (h *Histogram) Count() int64 { return h.counts.Total() }

// bucketOf numbers the bucket of a value: up to 50 ms each value has its own.
func bucketOf(ms int64) int64 {
	const linear = 50
	if ms <= linear {
		return ms
	}
	return linear + 1 + int64(math.Log(float64(ms)/linear)/math.Log(bucketGrowth))
}
