package local

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/block"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
)

// place is where a settled trace is: an entry of a block.
type place struct {
	block *sealed
	entry int
}

func (p place) key() key { return key{p.block.Account(p.entry), p.block.Entry(p.entry).ID} }

func (p place) lsn() uint64 { return p.block.Entry(p.entry).LSN }

// weight returns about how much memory the trace takes when it is assembled.
func (p place) weight() int64 {
	return int64(p.block.Entry(p.entry).Segments)*store.EntityBytes + store.TextBytes(int(p.block.Weight(p.entry)))
}

// sealed is a block, and which of its entries are superseded. The catalog's mutex
// guards what changes, unless a field says otherwise.
type sealed struct {
	*block.Block
	outside            // its key
	rollupBytes int64  // as the manifest knew at the start
	heaviest    int64  // weight of the largest trace
	slot        uint16 // in the table

	dead      liveness
	deadCount int
	segments  int64 // of entries that are not dead
	// origin tells, while a merged block takes over from its sources, where each
	// entry comes from: whoever kills the copy kills the original.
	origin []place

	// damaged blocks are neither merged nor deleted before their time. It is only ever
	// set, and needs no mutex.
	damaged atomic.Bool
	rolled  rolled // has a mutex of its own
}

// rolled caches the sums that questions have made from a block's rollup; rollups.go uses
// it.
type rolled struct {
	mu         sync.Mutex // guards all below
	plus       *rollup.File
	minus      *rollup.File // sums of the entries that were dead in minusEpoch
	minusEpoch uint32
	minusCount int
	unusable   bool
}

func newSealed(b *block.Block) *sealed {
	s := &sealed{Block: b}
	for i := range b.Len() {
		s.segments += int64(b.Entry(i).Segments)
		s.heaviest = max(s.heaviest, place{s, i}.weight())
	}
	return s
}

// listed describes the block for the manifest.
func (s *sealed) listed() listed {
	l := listedOf(s.Block)
	l.Account, l.Key, l.Seal = s.account, s.id, s.mark
	if s.Rollup() == nil { // it cannot be read today
		l.Rollup = s.rollupBytes
	}
	return l
}

// liveness holds for each entry of a block the epoch in which a newer copy or a
// tombstone superseded it, 0 for never; it is nil while nothing is dead. A scan takes
// it under the mutex and reads it without: later epochs do not concern it.
type liveness []atomic.Uint32

// gone tells whether an entry is superseded in an epoch.
func (l liveness) gone(i int, epoch uint32) bool {
	if l == nil {
		return false
	}
	e := l[i].Load()
	return e != 0 && e <= epoch
}

// kill marks an entry as superseded from an epoch on.
func (s *sealed) kill(i int, epoch uint32) {
	if s.dead == nil {
		s.dead = make(liveness, s.Len())
	}
	if s.dead[i].Load() == 0 {
		s.dead[i].Store(epoch)
		s.deadCount++
		s.segments -= int64(s.Entry(i).Segments)
	}
	if s.origin != nil {
		o := s.origin[i]
		o.block.kill(o.entry, epoch)
	}
}

// readFailed notes damage in a ledger; the block is then left alone. It returns err.
func (s *sealed) readFailed(damage *ledger, err error) error {
	if corrupt(err) {
		damage.note(err)
		s.damaged.Store(true)
	}
	return err
}

// withoutBlocks returns the blocks that are not gone, in a new slice.
func withoutBlocks(blocks, gone []*sealed) []*sealed {
	var rest []*sealed
	for _, b := range blocks {
		if !slices.Contains(gone, b) {
			rest = append(rest, b)
		}
	}
	return rest
}
