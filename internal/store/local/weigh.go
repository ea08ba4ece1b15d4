package local

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/store"
	"github.com/fluoro-io/fluoro/internal/store/local/rollup"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// bigView is the weight from which traces are assembled one at a time: many
// readers of large traces then take the memory of a few.
const bigView = 4 << 20

// weight is about how much memory a trace takes when it is assembled.
func (src *source) weight() (bytes int64) {
	for i := range src.parts {
		bytes += src.parts[i].bytes
	}
	if b := src.base.block; b != nil {
		bytes += int64(b.Entry(src.base.entry).Segments)*entityBytes + b.Weight(src.base.entry)*3/2
	}
	return bytes
}

// Weigh is about how much memory traces take together when they are assembled.
func (s *Store) Weigh(_ context.Context, account trace.Account, ids []trace.ID) (bytes int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, id := range ids {
		if src, ok := s.locate(key{account, id}); ok {
			bytes += src.weight()
			src.release()
		}
	}
	return bytes
}

// heaviest is the largest weight of a block's traces.
func heaviest(b *sealed) (most int64) {
	for i := range b.Len() {
		src := source{base: place{b, i}}
		most = max(most, src.weight())
	}
	return most
}

// Heaviest is the weight of the largest trace that a question about a window may read.
func (s *Store) Heaviest(_ context.Context, account trace.Account, w trace.Window) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	most := s.heaviestOpen(account, w)
	for _, b := range s.blocks {
		r := &b.Range
		if max(r.MaxStart, r.MaxEnd, r.MaxUpdated) >= w.Start && min(r.MinStart, r.MinFirst) < w.End {
			most = max(most, b.heaviest)
		}
	}
	return most
}

// heaviestOpen is the weight of the largest open trace of a window. The mutex is held.
func (s *Store) heaviestOpen(account trace.Account, w trace.Window) (most int64) {
	for _, o := range s.head.accounts[account] {
		src := source{parts: o.parts}
		if reach := src.reach(); max(reach.maxStart, reach.received) < w.Start {
			continue
		}
		if o.reopened {
			if p, ok := s.table.get(o.key); ok {
				src.base = p
			}
		}
		most = max(most, src.weight())
	}
	return most
}

// What a node and an edge take of a graph's memory besides their bins: counted, as
// part of the answer, and as text.
const (
	nodeBytes = 2500
	edgeBytes = 2000
)

// WeighGraph is about how much memory a graph takes.
func (s *Store) WeighGraph(_ context.Context, account trace.Account, q store.GraphQuery) int64 {
	w, owner := q.Window, rollup.Owner{Account: account}
	s.mu.RLock()
	open := s.heaviestOpen(account, w)
	nodes := 2 * min(len(s.head.accounts[account]), s.o.Names)
	var blocks []*sealed
	for _, b := range s.blocks {
		if b.Range.MaxUpdated >= w.Start && b.Range.MinFirst < w.End {
			b.Acquire()
			blocks = append(blocks, b)
		}
	}
	s.mu.RUnlock()
	edges := nodes
	var bins, most int64
	for _, b := range blocks {
		b.rolling.Lock()
		f, err := s.openRollup(b)
		b.rolling.Unlock()
		b.Release()
		if err != nil {
			open = max(open, b.heaviest) // its traces are read
			continue
		}
		n, e, size := f.Size(owner, rollup.Second(w.Start), rollup.Second(w.End))
		nodes, edges, bins, most = nodes+n, edges+e, bins+size, max(most, size)
	}
	// Of services that are in many blocks most times are in many, too.
	limit := s.limit()
	return int64(min(nodes, limit.Most()))*nodeBytes + int64(min(edges, 2*limit.Most()))*edgeBytes + most + bins/4 + traceParts*open
}

// traceParts is how many times its weight a trace takes that is being counted: as it
// was read, and assembled.
const traceParts = 2
