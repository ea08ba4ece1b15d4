package local

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/local/block"
)

// mergeLoop keeps the number of blocks small and drops what is over its time.
func (s *Shelf) mergeLoop() {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		s.retain()
		s.mergeAll()
		s.purge()
		select {
		case <-s.closing:
			return
		case <-tick.C:
		case <-s.merges:
		}
	}
}

// mergeAll merges until the plan is empty. A failure waits for the next call.
func (s *Shelf) mergeAll() {
	s.merging.Lock()
	defer s.merging.Unlock()
	for {
		sources := s.planned()
		if len(sources) == 0 {
			return
		}
		err := s.merge(sources)
		for _, b := range sources {
			b.Release()
		}
		switch {
		case errors.Is(err, errStopped):
			return
		case err != nil:
			s.o.Logger.Warn("blocks not merged", "error", err)
			if !corrupt(err) {
				return
			}
		}
	}
}

// planned are the blocks of the next merge, with a reference each.
func (s *Shelf) planned() []*sealed {
	s.mu.RLock()
	defer s.mu.RUnlock()
	states := make([]state, len(s.blocks))
	for i, b := range s.blocks {
		states[i] = state{b.Number(), b.Size(), b.Len(), b.deadCount, b.Range.MaxUpdated, b.damaged.Load()}
	}
	numbers := plan(states, s.o.MergeBlocks, s.o.largest())
	var sources []*sealed
	for _, b := range s.blocks {
		if slices.Contains(numbers, b.Number()) {
			b.Acquire()
			sources = append(sources, b)
		}
	}
	return sources
}

var errStopped = errors.New("the store is shutting down")

// merging goes through the entries of one block that a merge takes over, in its
// order.
type merging struct {
	*sealed
	copied, left []int // entries: taken over, left behind
	at           int   // of copied
	// taken are the row groups that were taken over as they are, by number.
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

// merge writes the live entries of some blocks to one and lets it take over.
func (s *Shelf) merge(sources []*sealed) error {
	var inputs mergings
	var all []*merging
	for _, b := range sources {
		m := s.survey(b)
		all = append(all, m)
		if len(m.copied) > 0 {
			inputs = append(inputs, m)
		}
	}
	if len(inputs) == 0 {
		return s.drop(sources)
	}
	number := s.newBlockNumber()
	w, err := block.Create(block.WriterOptions{FS: s.o.FS, Dir: s.dir.sub(blockDir), Number: number, Codec: s.codec, Level: block.Small})
	var origin []place
	var roll []byte
	if err == nil {
		origin, err = s.copyAll(w, inputs)
	}
	if err == nil {
		roll, err = s.mergedRollup(s.ctx, all)
	}
	var b *block.Block
	if err == nil {
		b, err = w.Finish(roll)
	}
	if damage, ok := errors.AsType[*CorruptError](err); ok {
		for _, m := range all { // postings are read last
			if m.File() == damage.File {
				err = s.readFailed(m.sealed, err)
			}
		}
	}
	if err != nil {
		if w != nil {
			w.Abort()
		}
		s.gaveUp(number)
		return err
	}
	s.takeOver(newSealed(b), origin, sources)
	return s.drop(sources)
}

// surveyStep is how many entries are looked at in one go.
const surveyStep = 4096

// survey decides which entries of a block a merge takes over. What dies later is
// dead in the result, too.
func (s *Shelf) survey(b *sealed) *merging {
	m := &merging{sealed: b, taken: map[int]block.Group{}}
	for from := 0; from < b.Len(); from += surveyStep {
		s.mu.RLock()
		for i := from; i < min(from+surveyStep, b.Len()); i++ {
			if m.dead.gone(i, s.epoch) || s.isOver(b, i) {
				m.left = append(m.left, i)
			} else {
				m.copied = append(m.copied, i)
			}
		}
		s.mu.RUnlock()
	}
	return m
}

// copyAll writes what a merge takes over, and says of each entry where it was.
// Row groups that are large enough and hold nothing else go over as they are:
// most of what is merged is not read, let alone compressed again.
func (s *Shelf) copyAll(w *block.Writer, inputs mergings) (origin []place, err error) {
	var blocks []*block.Block
	entries := 0
	for _, m := range inputs {
		blocks, entries = append(blocks, m.Block), entries+len(m.copied)
	}
	w.Expect(blocks)
	origin = make([]place, 0, entries)
	for _, m := range inputs {
		alive := make([]int, m.Groups())
		for _, i := range m.copied {
			alive[m.GroupOf(i)] += int(m.Entry(i).Segments)
		}
		for group, rows := range alive {
			if !m.Full(group) || rows < m.Rows(group) {
				continue
			}
			if err := s.going(); err != nil {
				return nil, err
			}
			if m.taken[group], err = w.Take(m.Block, group); err != nil {
				return nil, s.readFailed(m.sealed, err)
			}
		}
	}
	heap.Init(&inputs)
	for len(inputs) > 0 {
		if err := s.going(); err != nil {
			return nil, err
		}
		m := inputs[0]
		i := m.entry()
		if group, taken := m.taken[m.GroupOf(i)]; taken {
			err = w.Refer(m.Block, i, group)
		} else {
			err = s.readFailed(m.sealed, w.Copy(m.Block, i, &m.memo))
		}
		if err != nil {
			return nil, err
		}
		origin = append(origin, place{m.sealed, i})
		if m.at++; m.at < len(m.copied) {
			heap.Fix(&inputs, 0)
		} else {
			heap.Pop(&inputs)
		}
	}
	return origin, nil
}

// going is an error when the store is being closed.
func (s *Shelf) going() error {
	select {
	case <-s.closing:
		return errStopped
	default:
		return nil
	}
}

// isOver says whether an entry is over its time and nothing continues it. The
// mutex is held.
func (s *Shelf) isOver(b *sealed, i int) bool {
	return b.Entry(i).Updated < s.horizon() && s.head.get(s.table.keyOf(place{b, i})) == nil
}

// takeOverStep is how many entries change hands while nobody else may look.
const takeOverStep = 2048

// takeOver lets a merged block replace its sources. Lookups go over entry by
// entry, which is right at any moment, as both copies are equal; scans go over
// in one step at the end. In between, what supersedes the one copy supersedes
// the other.
func (s *Shelf) takeOver(merged *sealed, origin []place, sources []*sealed) {
	s.mu.Lock()
	s.table.register(merged)
	merged.origin = origin
	s.mu.Unlock()
	for from := 0; from < merged.Len(); from += takeOverStep {
		s.mu.Lock()
		for i := from; i < min(from+takeOverStep, merged.Len()); i++ {
			k := s.table.keyOf(place{merged, i})
			if now, ok := s.table.get(k); ok && now == origin[i] {
				s.table.put(k, place{merged, i})
			} else {
				merged.kill(i, s.epoch)
			}
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	merged.origin = nil
	s.epoch++
	s.blocks = append(withoutBlocks(s.blocks, sources), merged)
	delete(s.leaving, merged.Number())
}

func withoutBlocks(blocks, gone []*sealed) []*sealed {
	var rest []*sealed
	for _, b := range blocks {
		if !slices.Contains(gone, b) {
			rest = append(rest, b)
		}
	}
	return rest
}

// drop deletes blocks that hold nothing that is still wanted. Sequences that
// read them may finish.
func (s *Shelf) drop(blocks []*sealed) error {
	s.mu.Lock()
	s.epoch++
	s.blocks = withoutBlocks(s.blocks, blocks)
	s.doomed = append(s.doomed, blocks...)
	for _, b := range blocks {
		s.leaving[b.Number()] = false
	}
	s.mu.Unlock()
	for _, b := range blocks {
		for from := 0; from < b.Len(); from += takeOverStep {
			s.mu.Lock()
			for i := from; i < min(from+takeOverStep, b.Len()); i++ {
				if p := (place{b, i}); !b.dead.gone(i, s.epoch) {
					s.table.remove(s.table.keyOf(p), p)
				}
			}
			s.mu.Unlock()
		}
		s.mu.Lock()
		s.table.release(b)
		s.mu.Unlock()
		b.Release()
	}
	return s.removeDoomed()
}

// removeDoomed removes the files of blocks that were dropped, once the manifest
// does not ask for them any more. What cannot be removed now waits.
func (s *Shelf) removeDoomed() error {
	s.mu.RLock()
	doomed := slices.Clone(s.doomed)
	s.mu.RUnlock()
	if len(doomed) == 0 {
		return nil
	}
	if err := s.saveManifest(); err != nil {
		// On a disk that is full, what is over its time makes room. A manifest that
		// asks for it means no harm: it says itself when that ended.
		for _, b := range doomed {
			if b.Range.MaxUpdated >= s.horizon() {
				return fmt.Errorf("remove blocks: %w", err)
			}
		}
	}
	dir := s.dir.sub(blockDir)
	remove := func(name string) error {
		if err := s.o.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a file of a block: %w", err)
		}
		return nil
	}
	var failed error
	for _, b := range doomed {
		failed = errors.Join(failed, remove(b.File()))
	}
	if failed = errors.Join(failed, s.o.FS.SyncDir(dir)); failed != nil {
		return failed
	}
	// A block that is there after a crash has its tables.
	for _, b := range doomed {
		for _, name := range b.Tables() {
			failed = errors.Join(failed, remove(name))
		}
	}
	if failed != nil {
		return failed
	}
	s.mu.Lock()
	s.doomed = slices.DeleteFunc(s.doomed, func(b *sealed) bool { return slices.Contains(doomed, b) })
	s.mu.Unlock()
	return s.forgetGone()
}

// forgetGone forgets the numbers of blocks whose files are gone for good.
func (s *Shelf) forgetGone() error {
	s.mu.RLock()
	var gone []uint64
	for number, making := range s.leaving {
		if !making {
			gone = append(gone, number)
		}
	}
	s.mu.RUnlock()
	if len(gone) == 0 {
		return nil
	}
	dir := s.dir.sub(blockDir)
	if err := s.o.FS.SyncDir(dir); err != nil {
		return fmt.Errorf("remove blocks: %w", err)
	}
	names, err := s.o.FS.List(dir)
	if err != nil {
		return fmt.Errorf("remove blocks: %w", err)
	}
	for _, name := range names {
		if number, ok := block.NumberOf(name); ok {
			gone = slices.DeleteFunc(gone, func(n uint64) bool { return n == number })
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, number := range gone {
		delete(s.leaving, number)
	}
	return nil
}

// mostGivenUp is how many numbers of blocks that were given up are kept before
// those are forgotten of which nothing is left.
const mostGivenUp = 32

// gaveUp notes that a block that was being made will not be.
func (s *Shelf) gaveUp(number uint64) {
	s.mu.Lock()
	s.leaving[number] = false
	many := len(s.leaving) > mostGivenUp
	s.mu.Unlock()
	if many {
		if err := s.forgetGone(); err != nil {
			s.o.Logger.Warn("files of blocks that were given up may be left", "error", err)
		}
	}
}

// retain drops the blocks all of whose traces are over their time. Traces that
// are over theirs in other blocks are not shown, and go with the next merge.
func (s *Shelf) retain() {
	if err := s.removeDoomed(); err != nil {
		s.o.Logger.Warn("blocks not removed", "error", err)
	}
	s.mu.RLock()
	var over []*sealed
	for _, b := range s.blocks {
		if b.Range.MaxUpdated < s.horizon() && !s.continued(b) {
			over = append(over, b)
		}
	}
	s.mu.RUnlock()
	if len(over) == 0 {
		return
	}
	s.o.Logger.Info("dropping blocks that are over their time", "blocks", len(over))
	if err := s.drop(over); err != nil {
		s.o.Logger.Warn("blocks not removed", "error", err)
	}
}

// continued says whether an open trace has its older part in a block. The
// mutex is held.
func (s *Shelf) continued(b *sealed) bool {
	if s.head.reopened == 0 {
		return false
	}
	for i := range b.Len() {
		if s.head.get(s.table.keyOf(place{b, i})) != nil {
			return true
		}
	}
	return false
}
