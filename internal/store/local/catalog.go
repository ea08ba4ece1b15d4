package local

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// catalog lists the blocks: which of them a scan reads, which entry is the newest copy
// of a settled trace, which traces were deleted, and which numbers of blocks may be
// removed.
//
// Its mutex guards the head, too: a question sees open traces, blocks and tombstones
// at one epoch. The methods at the end of the file need the mutex held, all others take
// it.
type catalog struct {
	*base
	// changed holds a token after blocks were added or the horizon rose: the merger
	// looks for work.
	changed chan struct{}
	floor   atomic.Int64 // the horizon that Expire has reached

	mu    sync.RWMutex // guards all below
	table *table
	// blocks are those that a scan reads; the table may know more while a merged block
	// takes over.
	blocks []*sealed
	// epoch grows whenever entries are superseded or blocks change. A scan sees the
	// state of one epoch.
	epoch      uint32
	tombstones *tombstones
	numbers    *numbers
	absent     []listed // blocks that must be there and cannot be read
	locked     []lockedBlock
}

func newCatalog(b *base) *catalog {
	c := &catalog{base: b, changed: make(chan struct{}, 1), table: newTable(), epoch: 1}
	c.tombstones = &tombstones{mu: &c.mu}
	c.numbers = &numbers{mu: &c.mu, next: 1, leaving: map[uint64]bool{}}
	return c
}

// horizon returns the time before which traces are over their time.
func (c *catalog) horizon() trace.Time {
	return max(trace.Time(c.floor.Load()), c.Rules.Horizon())
}

// raise raises the floor of the horizon.
func (c *catalog) raise(floor trace.Time) {
	c.floor.Store(int64(floor))
	c.change() // the merger drops what is over
}

// change tells the merger to look for work.
func (c *catalog) change() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// acquire returns the blocks that are wanted, with a reference each.
func (c *catalog) acquire(wanted func(*sealed) bool) (blocks []*sealed) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, b := range c.blocks {
		if wanted(b) {
			b.Acquire()
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// each calls a function for each block, under the mutex.
func (c *catalog) each(see func(*sealed)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, b := range c.blocks {
		see(b)
	}
}

func everyBlock(*sealed) bool { return true }

// planned returns the blocks of the next merge, with a reference each. skip, if not nil,
// names blocks to leave alone.
func (c *catalog) planned(skip func(*sealed) bool) []*sealed {
	c.mu.RLock()
	defer c.mu.RUnlock()
	list := make([]mergeable, len(c.blocks))
	for i, b := range c.blocks {
		list[i] = mergeable{number: b.Number(), size: b.Size(), entries: b.Len(), dead: b.deadCount, updated: b.Range.MaxUpdated, damaged: b.damaged.Load()}
	}
	for i := range list {
		list[i].domain = c.blocks[i].account
		list[i].damaged = list[i].damaged || skip != nil && skip(c.blocks[i])
	}
	var blocks []*sealed
	numbers := plan(list, c.MergeBlocks, c.largest())
	for _, b := range c.blocks {
		if slices.Contains(numbers, b.Number()) {
			b.Acquire()
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// portions lists the blocks that retention can drop: all but damaged ones.
func (c *catalog) portions() (list []store.Portion) {
	c.each(func(b *sealed) {
		if !b.damaged.Load() {
			list = append(list, store.Portion{Bytes: b.Size(), Updated: b.Range.MaxUpdated})
		}
	})
	c.mu.RLock()
	defer c.mu.RUnlock()
	for i := range c.locked {
		list = append(list, store.Portion{Bytes: c.locked[i].bytes, Updated: c.locked[i].Updated})
	}
	return list
}

// takeOverStep is how many entries change hands while nobody else may look.
const takeOverStep = 2048

// mergedBlock is the result of a merge; origin has the source of each of its entries.
type mergedBlock struct {
	*sealed
	origin []place
}

// takeOver replaces blocks with those that they were merged to. Lookups go over entry by
// entry, which is right at any moment, as both copies are equal; scans go over in one step
// at the end. In between, whoever kills one copy kills the other.
func (c *catalog) takeOver(results []mergedBlock, sources []*sealed) {
	for _, merged := range results {
		c.mu.Lock()
		c.table.register(merged.sealed)
		merged.sealed.origin = merged.origin
		c.mu.Unlock()
		for from := 0; from < merged.Len(); from += takeOverStep {
			c.mu.Lock()
			for i := from; i < min(from+takeOverStep, merged.Len()); i++ {
				copied := place{merged.sealed, i}
				if now, ok := c.table.get(copied.key()); ok && now == merged.origin[i] {
					c.table.put(copied.key(), copied)
				} else {
					merged.kill(i, c.epoch)
				}
			}
			c.mu.Unlock()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.blocks = withoutBlocks(c.blocks, sources)
	for _, merged := range results {
		merged.sealed.origin = nil
		c.blocks = append(c.blocks, merged.sealed)
		c.vault.use(merged.dataKey, 1)
		c.numbers.made(merged.Number())
	}
}

// drop takes blocks out of every answer and dooms their files. Sequences that read
// them may finish.
func (c *catalog) drop(blocks []*sealed) {
	c.mu.Lock()
	c.epoch++
	c.blocks = withoutBlocks(c.blocks, blocks)
	c.numbers.doom(blocks)
	c.mu.Unlock()
	for _, b := range blocks {
		for from := 0; from < b.Len(); from += takeOverStep {
			c.mu.Lock()
			for i := from; i < min(from+takeOverStep, b.Len()); i++ {
				if p := (place{b, i}); !b.dead.gone(i, c.epoch) {
					c.table.remove(p.key(), p)
				}
			}
			c.mu.Unlock()
		}
		c.mu.Lock()
		c.table.release(b)
		c.mu.Unlock()
		c.vault.use(b.dataKey, -1)
		b.Release()
	}
}

// dropLocked forgets blocks that are locked, and returns their numbers.
func (c *catalog) dropLocked(over func(*lockedBlock) bool) (numbers []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.locked = slices.DeleteFunc(c.locked, func(l lockedBlock) bool {
		gone := over(&l)
		if gone {
			numbers = append(numbers, l.Number)
			c.numbers.leaving[l.Number] = false
		}
		return gone
	})
	return numbers
}

// lockedNow lists the blocks whose key is away.
func (c *catalog) lockedNow() []lockedBlock {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.Clone(c.locked)
}

// kept returns the numbers of all blocks that can be read now or later.
func (c *catalog) kept() (numbers []uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, b := range c.blocks {
		numbers = append(numbers, b.Number())
	}
	for i := range c.locked {
		numbers = append(numbers, c.locked[i].Number)
	}
	return numbers
}

// release releases the blocks; a block that a sequence reads stays open for it.
func (c *catalog) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.blocks {
		b.Release()
	}
	c.blocks = nil
}

// The methods below need the mutex held.

// newest finds the newest copy of a settled trace.
func (c *catalog) newest(k key) (place, bool) { return c.table.get(k) }

// has tells whether a trace has a settled copy.
func (c *catalog) has(k key) bool {
	_, ok := c.table.get(k)
	return ok
}

// covers tells whether a block has what an entry of the log has of a trace, or a
// tombstone deletes it.
func (c *catalog) covers(k key, lsn uint64) bool {
	p, ok := c.table.get(k)
	return ok && p.lsn() >= lsn || c.tombstones.cover(k, lsn)
}

// add adds a block that was made. Each of its entries needs a call of settled.
func (c *catalog) add(b *sealed) {
	c.epoch++
	c.table.register(b)
	c.blocks = append(c.blocks, b)
	c.vault.use(b.dataKey, 1)
	c.numbers.made(b.Number())
}

// settled makes an entry of a block the newest copy of its trace, unless the trace was
// deleted while the block was being written.
func (c *catalog) settled(k key, p place) bool {
	if c.tombstones.cover(k, p.lsn()) {
		p.block.kill(p.entry, c.epoch)
		return false
	}
	if old, had := c.table.put(k, p); had {
		old.block.kill(old.entry, c.epoch)
	}
	return true
}

// bury takes the settled copy of a trace out of every answer, if it is older than the
// deletion.
func (c *catalog) bury(k key, lsn uint64) (old place, found bool) {
	p, ok := c.table.get(k)
	if !ok || p.lsn() >= lsn {
		return place{}, false
	}
	c.table.remove(k, p)
	p.block.kill(p.entry, c.epoch)
	return p, true
}

// list lists the blocks for a manifest.
func (c *catalog) list(m *manifest) {
	m.Next, m.Blocks, m.Deleted, m.Tombstones = c.numbers.next, []listed{}, c.tombstones.saved, c.tombstones.generation
	if floor := trace.Time(c.floor.Load()); floor != trace.MinTime {
		m.Horizon = floor
	}
	for _, b := range c.blocks {
		m.Blocks = append(m.Blocks, b.listed())
	}
	for i := range c.locked {
		m.Blocks = append(m.Blocks, c.locked[i].listed)
	}
	// A block that is missing or cannot be opened is listed as long as it would be kept.
	horizon := c.horizon()
	for _, l := range c.absent {
		if l.Updated >= horizon {
			m.Blocks = append(m.Blocks, l)
		}
	}
	slices.SortFunc(m.Blocks, func(a, b listed) int {
		if a.Number < b.Number {
			return -1
		}
		return 1
	})
	m.Going = slices.Sorted(maps.Keys(c.numbers.leaving))
}
