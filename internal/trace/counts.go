package trace

import (
	"cmp"
	"slices"
)

// Counts counts how often each number was seen. Counts can be subtracted again: the
// result does not depend on the order of additions and subtractions. The zero value
// is empty and ready.
type Counts struct {
	bins  []Bin // ascending by key, no count is 0
	loose []Bin // added later, in any order
	// near holds, while many are added up, the counts of adjacent numbers, starting
	// at low. They are not in bins.
	near []int64
	low  int64
	like int // the number of bins for which near was made
}

// Bin is a number and how often it was seen.
type Bin struct{ Key, N int64 }

// CountsOf returns the counts of bins in ascending order. It owns the bins
// afterwards.
func CountsOf(bins []Bin) Counts { return Counts{bins: bins} }

// Add counts a number n times; n may be negative.
func (c *Counts) Add(key, n int64) {
	if i := key - c.low; c.near != nil && i >= 0 && i < int64(len(c.near)) {
		c.near[i] += n
		return
	}
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

// Merge adds the counts of o, times sign; o does not change.
func (c *Counts) Merge(o *Counts, sign int64) {
	c.settle()
	c.merge(o.Bins(), sign)
}

// many is the number of bins from which on numbers get slots in near.
const many = 24

// merge adds sorted bins.
func (c *Counts) merge(more []Bin, sign int64) {
	switch {
	case c.near != nil && len(c.bins) >= max(many, c.like):
		c.place(c.Bins())
	case c.near == nil && len(more) >= max(many, len(c.bins)):
		c.place(more)
	}
	if c.near == nil {
		c.join(more, sign)
		return
	}
	from, _ := slices.BinarySearchFunc(more, c.low, byKey)
	if from > 0 {
		c.join(more[:from], sign)
	}
	near, low := c.near, c.low
	for i, b := range more[from:] {
		at := uint64(b.Key - low)
		if at >= uint64(len(near)) {
			c.join(more[from+i:], sign)
			break
		}
		near[at] += sign * b.N
	}
}

// place gives a slot in near to adjacent numbers, such as those of some bins: from
// the first number on, as long as at least one in eight is present.
func (c *Counts) place(like []Bin) {
	n := 0
	for i := range like {
		if like[i].Key-like[0].Key < 8*int64(i+1) {
			n = i + 1
		}
	}
	c.low, c.like = like[0].Key, len(like)
	c.near = make([]int64, like[n-1].Key-c.low+1)
	from, _ := slices.BinarySearchFunc(c.bins, c.low, byKey)
	end, _ := slices.BinarySearchFunc(c.bins, c.low+int64(len(c.near)), byKey)
	for _, b := range c.bins[from:end] {
		c.near[b.Key-c.low] = b.N
	}
	c.bins = slices.Delete(c.bins, from, end)
}

// gather moves the counts in near to bins.
func (c *Counts) gather() {
	n := 0
	for _, v := range c.near {
		if v != 0 {
			n++
		}
	}
	below, _ := slices.BinarySearchFunc(c.bins, c.low, byKey)
	all := append(make([]Bin, 0, len(c.bins)+n), c.bins[:below]...)
	for i, v := range c.near {
		if v != 0 {
			all = append(all, Bin{c.low + int64(i), v})
		}
	}
	c.bins, c.near = append(all, c.bins[below:]...), nil
}

func byKey(b Bin, key int64) int { return cmp.Compare(b.Key, key) }

// Bins returns the numbers seen, in ascending order. They are shared.
func (c *Counts) Bins() []Bin {
	c.settle()
	if c.near != nil {
		c.gather()
	}
	return c.bins
}

// Floor removes the numbers with negative counts.
func (c *Counts) Floor() {
	c.bins = slices.DeleteFunc(c.Bins(), func(b Bin) bool { return b.N < 0 })
}

// Total returns how many numbers were counted.
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

// join merges sorted bins in place: when many histograms of one service are added
// up, most numbers are present already.
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

// seek returns the index, from at on, of the first bin whose key is not below a key.
// It searches in doubling steps, because often a few bins are joined to many.
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

// insert adds the bins of more that are not present yet, missing in number, from the
// last to the first.
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
