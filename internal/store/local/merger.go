package local

import (
	"cmp"
	"container/heap"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// merger keeps the number of blocks small, drops blocks that are over their time and
// takes deleted traces off the disk.
type merger struct {
	*base
	state     *state
	log       *log
	inventory *inventory
	rollups   *rollups
	settler   *settler

	asked atomic.Int64 // Purge asked for deletions up to this time

	mu sync.Mutex // held during a merge: one at a time
}

// run merges until the shelf closes.
func (m *merger) run() {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		m.dropOver()
		m.mergeAll()
		m.purge()
		select {
		case <-m.closing.Done():
			return
		case <-tick.C:
		case <-m.state.catalog.changed:
		}
	}
}

// still keeps blocks from being made, merged and dropped, and the log from being cut,
// until the caller calls resume.
func (m *merger) still() (resume func()) {
	m.mu.Lock()
	m.settler.mu.Lock()
	return func() {
		m.settler.mu.Unlock()
		m.mu.Unlock()
	}
}

// mergeAll merges until the plan is empty. A failure waits for the next call.
func (m *merger) mergeAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		sources := m.state.catalog.planned()
		if len(sources) == 0 {
			return
		}
		err := m.merge(sources)
		releaseAll(sources)
		switch {
		case errors.Is(err, errStopped):
			return
		case err != nil:
			m.Logger.Warn("blocks were not merged", "error", err)
			if !corrupt(err) {
				return
			}
		}
	}
}

func releaseAll(blocks []*sealed) {
	for _, b := range blocks {
		b.Release()
	}
}

var errStopped = errors.New("the store is shutting down")

// going returns an error when the shelf is being closed.
func (m *merger) going() error {
	if m.closing.Err() != nil {
		return errStopped
	}
	return nil
}

// merge writes the live entries of some blocks to one that takes over from them.
func (m *merger) merge(sources []*sealed) error {
	var inputs mergings
	var surveys []*survey
	for _, b := range sources {
		v := m.state.survey(b)
		surveys = append(surveys, v)
		if len(v.copied) > 0 {
			inputs = append(inputs, &merging{survey: v, taken: map[int]block.Group{}})
		}
	}
	if len(inputs) > 0 {
		merged, origin, err := m.write(surveys, inputs)
		if err != nil {
			return err
		}
		m.state.catalog.takeOver(newSealed(merged), origin, sources)
	}
	return m.drop(sources)
}

// write writes the merged block; origin has the source of each entry.
func (m *merger) write(surveys []*survey, inputs mergings) (b *block.Block, origin []place, err error) {
	number := m.state.catalog.numbers.take()
	w, err := block.Create(block.WriterOptions{FS: m.FS, Dir: m.dir.sub(blockDir), Number: number, Codec: m.codec, Level: block.Small})
	var roll []byte
	if err == nil {
		origin, err = m.copyAll(w, inputs)
	}
	if err == nil {
		roll, err = m.rollups.merged(m.working, surveys)
	}
	if err == nil {
		b, err = w.Finish(roll)
	}
	if damage, ok := errors.AsType[*CorruptError](err); ok {
		for _, v := range surveys { // postings are read last
			if v.File() == damage.File {
				err = v.readFailed(m.damage, err)
			}
		}
	}
	if err != nil {
		if w != nil {
			w.Abort()
		}
		m.inventory.giveUp(number)
		return nil, nil, err
	}
	return b, origin, nil
}

// merging goes through the copied entries of one block, in its order.
type merging struct {
	*survey
	at int // of copied
	// taken are the row groups that were copied as a whole, by number.
	taken map[int]block.Group
	memo  block.Memo
}

func (m *merging) entry() int { return m.copied[m.at] }

type mergings []*merging

func (h mergings) Len() int { return len(h) }
func (h mergings) Less(i, j int) bool {
	a, b := h[i].Entry(h[i].entry()), h[j].Entry(h[j].entry())
	return cmp.Or(cmp.Compare(a.Start, b.Start), a.ID.Compare(b.ID)) < 0
}
func (h mergings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *mergings) Push(m any)   { *h = append(*h, m.(*merging)) }
func (h *mergings) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	*h = (*h)[:last]
	return m
}

// copyAll copies the live entries, and returns where each was. It copies large row groups
// as a whole if all their entries are alive: most of the data is not compressed again.
func (m *merger) copyAll(w *block.Writer, inputs mergings) (origin []place, err error) {
	var blocks []*block.Block
	entries := 0
	for _, in := range inputs {
		blocks, entries = append(blocks, in.Block), entries+len(in.copied)
	}
	w.Expect(blocks)
	origin = make([]place, 0, entries)
	for _, in := range inputs {
		if err := m.takeGroups(w, in); err != nil {
			return nil, err
		}
	}
	heap.Init(&inputs)
	for len(inputs) > 0 {
		if err := m.going(); err != nil {
			return nil, err
		}
		in := inputs[0]
		i := in.entry()
		if group, taken := in.taken[in.GroupOf(i)]; taken {
			err = w.Refer(in.Block, i, group)
		} else {
			err = in.readFailed(m.damage, w.Copy(in.Block, i, &in.memo))
		}
		if err != nil {
			return nil, err
		}
		origin = append(origin, place{in.sealed, i})
		if in.at++; in.at < len(in.copied) {
			heap.Fix(&inputs, 0)
		} else {
			heap.Pop(&inputs)
		}
	}
	return origin, nil
}

// takeGroups copies the row groups of a block that are large enough and have only live
// entries.
func (m *merger) takeGroups(w *block.Writer, in *merging) (err error) {
	alive := make([]int, in.Groups())
	for _, i := range in.copied {
		alive[in.GroupOf(i)] += int(in.Entry(i).Segments)
	}
	for group, rows := range alive {
		if !in.Full(group) || rows < in.Rows(group) {
			continue
		}
		if err := m.going(); err != nil {
			return err
		}
		if in.taken[group], err = w.Take(in.Block, group); err != nil {
			return in.readFailed(m.damage, err)
		}
	}
	return nil
}

// drop drops blocks that nothing needs, and their files.
func (m *merger) drop(blocks []*sealed) error {
	m.state.catalog.drop(blocks)
	return m.inventory.removeDoomed()
}

// dropOver drops the blocks all of whose traces are over their time. Traces that are
// over theirs in other blocks are hidden, and go with the next merge.
func (m *merger) dropOver() {
	if err := m.inventory.removeDoomed(); err != nil {
		m.Logger.Warn("files of dropped blocks were not removed", "error", err)
	}
	over := m.state.over()
	if len(over) == 0 {
		return
	}
	m.Logger.Info("dropping blocks that are over their time", "blocks", len(over))
	if err := m.drop(over); err != nil {
		m.Logger.Warn("files of dropped blocks were not removed", "error", err)
	}
}

// purge takes deleted traces off the disk once they are due: it deletes the log files
// and rewrites the blocks that have them, and forgets tombstones that nothing needs.
func (m *merger) purge() {
	due, newest := m.state.catalog.tombstones.due(m.purgeLimit())
	if len(due) == 0 {
		return
	}
	if newest >= m.log.files.File() {
		m.log.probe(true)
	}
	// A block that is being written may hold a deleted trace, and one goroutine at a
	// time may cut the log.
	defer m.still()()
	if err := m.inventory.trimLog(); err != nil {
		m.Logger.Warn("log files that nothing needs were not deleted", "error", err)
		return
	}
	needless := maps.Clone(due)
	for _, b := range m.state.catalog.acquire(everyBlock) {
		if held := holding(b, due); len(held) > 0 && !m.rewrite(b) {
			for _, k := range held {
				delete(needless, k)
			}
		}
		b.Release()
	}
	oldest := m.log.files.Oldest()
	maps.DeleteFunc(needless, func(_ key, v tombstone) bool { return v.file >= oldest })
	if len(m.state.catalog.numbers.waiting()) == 0 { // else a file with a deleted trace may still be there
		m.state.catalog.tombstones.forget(needless)
	}
	if err := m.inventory.saveTombstones(); err != nil {
		m.Logger.Warn("the list of deletions was not written", "error", err)
	}
}

// purgeLimit returns the time up to which deletions are due to leave the disk.
func (m *merger) purgeLimit() trace.Time {
	return max(trace.TimeOf(m.Now().Add(-m.PurgeAfter)), trace.Time(m.asked.Load()))
}

// holding returns the deleted traces that a block has.
func holding(b *sealed, due map[key]tombstone) (keys []key) {
	for i := range b.Len() {
		p := place{b, i}
		if k := p.key(); p.lsn() < due[k].lsn {
			keys = append(keys, k)
		}
	}
	return keys
}

// rewrite writes a block anew without its dead entries. Damaged blocks stay.
func (m *merger) rewrite(b *sealed) bool {
	if b.damaged.Load() {
		return false
	}
	if err := m.merge([]*sealed{b}); err != nil {
		m.Logger.Warn("a block with deleted traces was not rewritten", "file", b.File(), "error", err)
		return false
	}
	return true
}
