package local

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Merge merges blocks until the plan is empty, now.
func (s *Shelf) Merge() { s.merger.mergeAll() }

// Retain drops blocks that are over their time, now.
func (s *Shelf) Retain() { s.merger.dropOver() }

// PurgeDue takes deleted traces that are due off the disk, now.
func (s *Shelf) PurgeDue() { s.merger.purge() }

// Tombstones returns how many there are.
func (s *Shelf) Tombstones() int {
	s.state.catalog.mu.RLock()
	defer s.state.catalog.mu.RUnlock()
	return len(s.state.catalog.tombstones.byKey)
}

// ReadTombstones decodes a copy of the file of tombstones.
func ReadTombstones(b []byte) (int, error) { list, err := decodeTombstones(b); return len(list), err }

// Plan plans a merge of blocks: size, entries, dead entries, last receipt in seconds.
func Plan(enough int, blocks [][4]int64) []uint64 {
	var list []mergeable
	for i, b := range blocks {
		list = append(list, mergeable{number: uint64(i + 1), size: b[0], entries: int(b[1]), dead: int(b[2]), updated: trace.Time(b[3] * 1e9)})
	}
	return plan(list, enough, 512<<20)
}

// Largest returns the bound of the size of a merged block.
func Largest(o Options) int64 { return o.largest() }

// SettleDue settles what is due by now, as the settler would.
func (s *Shelf) SettleDue() {
	for s.dueNow() > 0 {
		s.state.room.call()
		time.Sleep(time.Millisecond)
	}
}

func (s *Shelf) dueNow() int {
	list := s.settler.due()
	for i := range list {
		list[i].release()
	}
	return len(list)
}

// LSN returns the LSN of the last batch of a trace.
func (s *Shelf) LSN(account trace.Account, id trace.ID) uint64 {
	s.state.catalog.mu.RLock()
	defer s.state.catalog.mu.RUnlock()
	return s.state.newestLSN(key{account, id})
}

// DeleteUpTo deletes a trace unless it has something newer than an LSN.
func (s *Shelf) DeleteUpTo(account trace.Account, id trace.ID, lsn uint64) (int, error) {
	return s.log.delete(context.Background(), account, deletion{ids: []trace.ID{id}, upTo: []uint64{lsn}, horizon: s.state.catalog.horizon()})
}

// ReadManifest decodes a copy of the manifest.
func ReadManifest(b []byte) (blocks int, err error) {
	m, err := decodeManifest(b)
	if err != nil {
		return 0, err
	}
	return len(m.Blocks), nil
}
