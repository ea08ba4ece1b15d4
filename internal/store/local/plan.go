package local

import (
	"cmp"
	"slices"

	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	// smallestTier is the size up to which blocks are of tier 0; each tier is eight times
	// the one below.
	smallestTier = 1 << 20
	tierGrowth   = 8
	// largestBlock bounds the size of a merged block. If the size of all blocks is
	// bounded, a merged block has at most an eighth of it.
	largestBlock = 512 << 20
	blocksKept   = 8
	// mostEntries bounds the entries of a merged block: a merge has the indexes that it
	// reads and writes in memory.
	mostEntries = 256 << 10
	// dayTier is the tier from which on blocks of different days are kept apart,
	// so that retention can drop whole files.
	dayTier = 2
)

// mergeable is a block as the plan sees it.
type mergeable struct {
	number  uint64
	size    int64
	entries int
	dead    int
	updated trace.Time // latest
	damaged bool
	domain  trace.Account // blocks of different domains are not merged: their keys differ
}

// largest returns the bound of the size of a merged block.
func (o *Options) largest() int64 {
	if o.BoundBytes > 0 {
		return min(largestBlock, o.BoundBytes/blocksKept)
	}
	return largestBlock
}

func tier(size int64) int {
	n := 0
	for limit := int64(smallestTier); size > limit; limit *= tierGrowth {
		n++
	}
	return n
}

// plan picks the numbers of the blocks to merge, nil if there is nothing to do: a block
// alone if most of its entries are superseded, else the oldest blocks of the lowest tier
// that has enough, up to largest bytes and mostEntries. Damaged blocks stay as they are.
func plan(blocks []mergeable, enough int, largest int64) []uint64 {
	type group struct {
		tier   int
		day    int64
		domain trace.Account
	}
	groups := map[group][]mergeable{}
	for _, b := range blocks {
		if b.damaged {
			continue
		}
		if b.dead*2 > b.entries {
			return []uint64{b.number}
		}
		if 2*b.size > largest || 2*b.entries > mostEntries {
			continue // two of its kind are too large
		}
		g := group{tier: tier(b.size), domain: b.domain}
		if g.tier >= dayTier {
			const day = 24 * 3600 * 1e9
			g.day = int64(b.updated) / day
		}
		groups[g] = append(groups[g], b)
	}
	var best []mergeable
	for _, list := range groups {
		if len(list) < enough {
			continue
		}
		slices.SortFunc(list, func(a, b mergeable) int {
			return cmp.Or(cmp.Compare(a.updated, b.updated), cmp.Compare(a.number, b.number))
		})
		list = list[:min(len(list), 2*enough)]
		sum, entries := int64(0), 0
		for _, b := range list {
			sum, entries = sum+b.size, entries+b.entries
		}
		for len(list) > 1 && (sum > largest || entries > mostEntries) {
			last := list[len(list)-1]
			sum, entries = sum-last.size, entries-last.entries
			list = list[:len(list)-1]
		}
		if len(list) < 2 {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(list[0].size, best[0].size), cmp.Compare(list[0].number, best[0].number)) < 0 {
			best = list
		}
	}
	var numbers []uint64
	for _, b := range best {
		numbers = append(numbers, b.number)
	}
	return numbers
}
