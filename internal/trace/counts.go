package trace

import (
	"cmp"
	"slices"
)

// Counts says how often each of some numbers was seen. What was added can be
// taken away again: the result depends on what is left alone, not on the order.
// The zero value is empty and ready.
type Counts struct {
	bins  []Bin // ascending by key, none of them 0
	loose []Bin // added since, in any order
}

// Bin is a number and how often it was seen.
type Bin struct{ Key, N int64 }

// CountsOf is made of bins in ascending order, which it owns afterwards.
func CountsOf(bins []Bin) Counts { return Counts{bins: bins} }

// Add counts a number n times; n may be negative.
func (c *Counts) Add(key, n int64) {
	if last := len(c.bins) - 1; last < 0 || c.bins[last].Key < key {
		if len(c.loose) == 0 && n != 0 {
			c.bins = append(c.bins, Bin{key, n})
			return
		}
	} else if c.bins[last].Key == key && c.bins[last].N+n != 0 {
		c.bins[last].N += n
		return
	}
	if c.loose = append(c.loose, Bin{key, n}); len(c.loose) > 32+len(c.bins) {
		c.settle()
	}
}

// Merge adds what o counted, times sign; o stays as it is.
func (c *Counts) Merge(o *Counts, sign int64) {
	c.settle()
	o.settle()
	c.join(o.bins, sign)
}

// Bins are the numbers seen, in ascending order. They are shared.
func (c *Counts) Bins() []Bin {
	c.settle()
	return c.bins
}

// Total is how many numbers were counted.
func (c *Counts) Total() int64 {
	var n int64
	for _, b := range c.Bins() {
		n += b.N
	}
	return n
}

func (c *Counts) settle() {
	if len(c.loose) == 0 {
		return
	}
	loose := c.loose
	slices.SortFunc(loose, func(a, b Bin) int { return cmp.Compare(a.Key, b.Key) })
	sum := loose[:0]
	for _, b := range loose {
		if n := len(sum); n > 0 && sum[n-1].Key == b.Key {
			sum[n-1].N += b.N
		} else {
			sum = append(sum, b)
		}
	}
	c.loose = nil
	c.join(sum, 1)
	c.loose = loose[:0]
}

// join merges sorted bins, in place: most of them are there already when many
// histograms of one thing are added up.
func (c *Counts) join(more []Bin, sign int64) {
	have, at, missing, zero := c.bins, 0, 0, false
	for _, b := range more {
		for near := 0; at < len(have) && have[at].Key < b.Key; near++ {
			if near == 4 {
				at = seek(have, at, b.Key)
				break
			}
			at++
		}
		if at < len(have) && have[at].Key == b.Key {
			have[at].N += sign * b.N
			zero = zero || have[at].N == 0
		} else if b.N != 0 {
			missing++
		}
	}
	if missing > 0 {
		c.insert(more, sign, missing)
	}
	if zero {
		c.bins = slices.DeleteFunc(c.bins, func(b Bin) bool { return b.N == 0 })
	}
}

// seek is where from a place on the first bin is whose key is not below one, in
// steps that double: a few bins are often joined to many.
func seek(bins []Bin, at int, key int64) int {
	if at == len(bins) || bins[at].Key >= key {
		return at
	}
	step := 1
	for at+step < len(bins) && bins[at+step].Key < key {
		at, step = at+step, 2*step
	}
	at++
	for end := min(at+step-1, len(bins)); at < end; {
		if middle := (at + end) / 2; bins[middle].Key < key {
			at = middle + 1
		} else {
			end = middle
		}
	}
	return at
}

// insert adds those of some sorted bins that are missing, as many as are said,
// from the last to the first.
func (c *Counts) insert(more []Bin, sign int64, missing int) {
	from := len(c.bins) - 1
	c.bins = slices.Grow(c.bins, missing)[:len(c.bins)+missing]
	for to, i := len(c.bins)-1, len(more)-1; missing > 0; i-- {
		b := more[i]
		for ; from >= 0 && c.bins[from].Key > b.Key; to, from = to-1, from-1 {
			c.bins[to] = c.bins[from]
		}
		if b.N != 0 && (from < 0 || c.bins[from].Key != b.Key) {
			c.bins[to] = Bin{b.Key, sign * b.N}
			to, missing = to-1, missing-1
		}
	}
}
