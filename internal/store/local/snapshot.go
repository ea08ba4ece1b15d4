package local

import "github.com/fluoro-io/fluoro/internal/trace"

// snapshot is the state of one account at one moment. Questions read it without the
// mutex; whoever takes one releases it.
type snapshot struct {
	epoch   uint32
	blocks  []*sealed
	dead    []liveness // of the blocks
	opens   []source
	scanned []*sealed          // of each open trace: the block with its settled part, or nil
	masked  map[place]struct{} // entries that an open trace continues
}

func (s *state) snapshot(account trace.Account) *snapshot {
	s.catalog.mu.RLock()
	defer s.catalog.mu.RUnlock()
	snap := &snapshot{epoch: s.catalog.epoch, masked: map[place]struct{}{}}
	for _, b := range s.catalog.blocks {
		b.Acquire()
		snap.blocks = append(snap.blocks, b)
		snap.dead = append(snap.dead, b.dead)
	}
	for id := range s.head.accounts[account] {
		src, _ := s.locate(key{account, id})
		snap.opens = append(snap.opens, src)
		scanned := src.base
		if src.base.block != nil {
			// Scans still read the sources of a merged block that is taking over.
			if origin := src.base.block.origin; origin != nil {
				scanned = origin[src.base.entry]
			}
			snap.masked[scanned] = struct{}{}
		}
		snap.scanned = append(snap.scanned, scanned.block)
	}
	return snap
}

func (snap *snapshot) release() {
	for _, b := range snap.blocks {
		b.Release()
	}
	for i := range snap.opens {
		snap.opens[i].release()
	}
}
