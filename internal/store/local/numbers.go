package local

import "sync"

// numbers tells which numbers blocks have had and whose files may be removed. made and
// doom need the mutex held; the other methods take it.
type numbers struct {
	mu   *sync.RWMutex // the catalog's; guards all below
	next uint64        // number of the next block
	// leaving are the numbers of blocks whose files may be removed: true while the
	// block is being made.
	leaving map[uint64]bool
	doomed  []*sealed // blocks whose files wait for their removal
}

// made notes that a block counts from now on.
func (n *numbers) made(number uint64) { delete(n.leaving, number) }

// doom notes that nothing needs some blocks any more.
func (n *numbers) doom(blocks []*sealed) {
	n.doomed = append(n.doomed, blocks...)
	for _, b := range blocks {
		n.leaving[b.Number()] = false
	}
}

// take takes the number of a block that is going to be made.
func (n *numbers) take() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next++
	n.leaving[n.next-1] = true
	return n.next - 1
}

// giveUp notes that a block was not finished, and returns how many numbers are
// leaving.
func (n *numbers) giveUp(number uint64) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leaving[number] = false
	return len(n.leaving)
}

// gone returns the numbers whose files nothing needs.
func (n *numbers) gone() (list []uint64) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for number, making := range n.leaving {
		if !making {
			list = append(list, number)
		}
	}
	return list
}

// forget forgets numbers that have no file.
func (n *numbers) forget(list []uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, number := range list {
		delete(n.leaving, number)
	}
}

// waiting returns the blocks whose files wait for their removal.
func (n *numbers) waiting() []*sealed {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return append([]*sealed(nil), n.doomed...)
}

// removed notes that the files of blocks are removed.
func (n *numbers) removed(blocks []*sealed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.doomed = withoutBlocks(n.doomed, blocks)
}
