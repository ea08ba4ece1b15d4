// Package slab makes many small values and short lists in few large pieces of
// memory, which costs a fraction of making each alone. A piece lives as long as
// anything in it is used.
package slab

// most is how many values a piece has at most, unless more are asked for at once.
const most = 1024

// Slab makes values of one type. The zero value is ready.
type Slab[T any] struct {
	// Most bounds the values of a piece, and so what one of them can keep in
	// memory; 0 stands for 1024.
	Most        int
	piece, free []T
}

// Take is a slice of n values without room for more. They are zero, or after a
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

// One is a pointer to one value.
func (s *Slab[T]) One() *T { return &s.Take(1)[0] }

// Append is the built-in append, for a list whose memory this slab made.
func (s *Slab[T]) Append(list []T, v T) []T {
	if len(list) == cap(list) {
		grown := s.Take(max(1, 2*len(list)))
		list = grown[:copy(grown, list)]
	}
	return append(list, v)
}

// Reset makes the newest piece free again, which must not be in use any more.
// One of more than limit values is given up.
func (s *Slab[T]) Reset(limit int) {
	if len(s.piece) > limit {
		s.piece = nil
	}
	s.free = s.piece
}
