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

// join merges sorted bins.
func (c *Counts) join(more []Bin, sign int64) {
	if len(more) == 0 {
		return
	}
	have := c.bins
	if len(have) == 0 || have[len(have)-1].Key < more[0].Key {
		for _, b := range more {
			if b.N != 0 {
				c.bins = append(c.bins, Bin{b.Key, sign * b.N})
			}
		}
		return
	}
	out := make([]Bin, 0, len(have)+len(more)+(len(have)+len(more))/4)
	for len(have) > 0 || len(more) > 0 {
		var b Bin
		switch {
		case len(more) == 0 || len(have) > 0 && have[0].Key < more[0].Key:
			b, have = have[0], have[1:]
		case len(have) == 0 || more[0].Key < have[0].Key:
			b, more = Bin{more[0].Key, sign * more[0].N}, more[1:]
		default:
			b, have, more = Bin{have[0].Key, have[0].N + sign*more[0].N}, have[1:], more[1:]
		}
		if b.N != 0 {
			out = append(out, b)
		}
	}
	c.bins = out
}
