// Package slab allocates many small values and short lists in few large pieces, at a
// fraction of the cost of single allocations. A piece stays in memory as long as
// anything in it is used.
package slab

// most is the default of Slab.Most.
const most = 1024

// Slab allocates values of one type. The zero value is ready.
type Slab[T any] struct {
	// Most bounds the values of a piece, and so how much memory one of them can hold; 0
	// stands for 1024. A longer Take gets a piece of its own.
	Most        int
	piece, free []T
}

// Take returns a slice of n values without spare capacity. They are zero, or after a
// Reset what was there before.
func (s *Slab[T]) Take(n int) []T {
	if n > len(s.free) {
		limit := s.Most
		if limit == 0 {
			limit = most
		}
		s.piece = make([]T, max(n, min(2*len(s.piece), limit), 1))
		s.free = s.piece
	}
	out := s.free[:n:n]
	s.free = s.free[n:]
	return out
}

// One returns a pointer to one value.
func (s *Slab[T]) One() *T { return &s.Take(1)[0] }

// Append is the built-in append for a list from this Slab.
func (s *Slab[T]) Append(list []T, v T) []T {
	if len(list) == cap(list) {
		grown := s.Take(max(1, 2*len(list)))
		list = grown[:copy(grown, list)]
	}
	return append(list, v)
}

// Reset frees the newest piece, which nobody may use any more. It drops a piece of more
// than limit values.
func (s *Slab[T]) Reset(limit int) {
	if len(s.piece) > limit {
		s.piece = nil
	}
	s.free = s.piece
}
