package local

import "github.com/fluoro-io/fluoro/internal/trace"

// Merge merges blocks until the plan is empty, now.
func (s *Store) Merge() { s.mergeAll() }

// Retain drops blocks that are over their time, now.
func (s *Store) Retain() { s.retain() }

// Plan is plan for tests: sizes, entries, dead, latest receipt in seconds.
func Plan(blocks [][4]int64) []uint64 {
	var list []state
	for i, b := range blocks {
		list = append(list, state{number: uint64(i + 1), size: b[0], entries: int(b[1]), dead: int(b[2]), updated: trace.Time(b[3] * 1e9)})
	}
	return plan(list)
}
