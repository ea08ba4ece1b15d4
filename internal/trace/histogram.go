package trace

import (
	"math"
	"math/bits"
	"time"
)

// An entry for several values ends at most 5 % above its start, so that the mean it
// shows is within 5 % of each value.
const entryWidth = 1.05

// entryShares limits the share of an entry that joins several values, like a
// t-digest's compression: 2 % of all values near the median, less and less towards
// the ends. A hundred equally frequent values are shown unchanged. 1 to 1,024 ms,
// once each, make 127 entries; the native service makes 149 to 157.
const entryShares = 180

// exactBits is the number of significant bits kept of a number of milliseconds: all
// of them up to 70 minutes. This limits the number of distinct values.
const exactBits = 22

// Histogram counts durations in milliseconds, rounded. It depends neither on the
// order of Add nor on how parts were merged, and parts can be subtracted again. The
// zero value is empty and ready.
type Histogram struct{ counts Counts }

// HistogramEntry is one bin: a value in seconds and how often it was seen.
type HistogramEntry struct {
	Value float64
	Count int64
}

// HistogramOf returns a histogram of the given counts of milliseconds.
func HistogramOf(c Counts) Histogram { return Histogram{c} }

// Counts returns the counts of milliseconds. They are shared.
func (h *Histogram) Counts() *Counts { return &h.counts }

// Add counts one duration; negative ones count as 0.
func (h *Histogram) Add(d time.Duration) {
	ms := max(0, (int64(d)+int64(time.Millisecond)/2)/int64(time.Millisecond))
	if shift := bits.Len64(uint64(ms)) - exactBits; shift > 0 {
		ms = ms>>shift<<shift + 1<<shift/2
	}
	h.counts.Add(ms, 1)
}

// Merge adds the counts of o, times sign: -1 subtracts them. o does not change.
func (h *Histogram) Merge(o *Histogram, sign int64) {
	if o != nil {
		h.counts.Merge(&o.counts, sign)
	}
}

// Entries returns the bins in ascending order, values in seconds rounded to 1 ms.
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

// entryShare returns how many values an entry may hold that begins after the given
// number of values.
func entryShare(before, total int64) int64 {
	at := math.Asin(2*float64(before)/float64(total)-1) + 2*math.Pi/entryShares
	if at >= math.Pi/2 {
		return total - before
	}
	return int64((math.Sin(at)+1)/2*float64(total)) - before
}

// Count returns how many durations were added.
func (h *Histogram) Count() int64 { return h.counts.Total() }
