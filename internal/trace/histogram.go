package trace

import (
	"math"
	"math/bits"
	"time"
)

// An entry that stands for several values ends at most 5 % above its start, so that
// their mean, which it shows, is within 5 % of every one.
const entryWidth = 1.05

// entryShares bounds how much an entry that stands for several values may hold, as
// a t-digest's compression does: near the median 2 % of all, towards the ends ever
// less. A hundred values that are equally frequent are shown as they are. Of 1 to
// 1,024 ms, once each, 127 entries are made; the native service makes 149 to 157.
const entryShares = 180

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
// Neighbours are joined, as their mean, within entryWidth and entryShares.
func (h *Histogram) Entries() []HistogramEntry {
	if h == nil {
		return nil
	}
	bins, total := h.counts.Bins(), h.counts.Total()
	out := make([]HistogramEntry, 0, min(len(bins), entryShares))
	for i, before := 0, int64(0); i < len(bins); {
		last, most := int64(entryWidth*float64(bins[i].Key)), int64(-1)
		sum, count := bins[i].Key*bins[i].N, bins[i].N
		for i++; i < len(bins) && bins[i].Key <= last; i++ {
			if most < 0 {
				most = entryShare(before, total)
			}
			if count+bins[i].N > most {
				break
			}
			sum, count = sum+bins[i].Key*bins[i].N, count+bins[i].N
		}
		out = append(out, HistogramEntry{Value: math.Round(float64(sum)/float64(count)) / 1000, Count: count})
		before += count
	}
	return out
}

// entryShare is how much an entry may hold that has so many of all before it.
func entryShare(before, total int64) int64 {
	at := math.Asin(2*float64(before)/float64(total)-1) + 2*math.Pi/entryShares
	if at >= math.Pi/2 {
		return total - before
	}
	return int64((math.Sin(at)+1)/2*float64(total)) - before
}

// Count is how many durations were added.
func (h *Histogram) Count() int64 { return h.counts.Total() }
