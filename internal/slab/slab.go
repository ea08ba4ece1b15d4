// Package slab allocates many small values and short lists in a few large chunks of
// memory, which costs a fraction of separate allocations. A chunk stays in memory
// while any of its values is used.
package slab

// most is the default of Slab.Most.
const most = 1024

// Slab makes values of one type. The zero value is ready.
type Slab[T any] struct {
	// Most limits the values of a chunk, and so how much memory one used value can
	// keep; 0 stands for 1024. A Take of more than Most gets a chunk of that size.
	Most        int
	piece, free []T
}

// Take returns a slice of n values without spare capacity. The values are zero;
// after a Reset they are arbitrary.
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

// Append works like the built-in append, for a list that this slab allocated.
func (s *Slab[T]) Append(list []T, v T) []T {
	if len(list) == cap(list) {
		grown := s.Take(max(1, 2*len(list)))
		list = grown[:copy(grown, list)]
	}
	return append(list, v)
}

// Reset makes the newest chunk free again; none of its values may be in use. A chunk
// of more than limit values is released instead.
func (s *Slab[T]) Reset(limit int) {
	if len(s.piece) > limit {
		s.piece = nil
	}
	s.free = s.piece
}
