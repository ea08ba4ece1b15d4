package slab

import "testing"

func TestListsDoNotShareMemory(t *testing.T) {
	s := Slab[int]{Most: 8}
	lists := make([][]int, 5)
	for i := range 200 {
		n := i % len(lists)
		lists[n] = s.Append(lists[n], i)
	}
	for n, list := range lists {
		for i, v := range list {
			if v != i*len(lists)+n {
				t.Fatalf("list %d holds %d at %d", n, v, i)
			}
		}
	}
}

func TestPiecesAreBounded(t *testing.T) {
	s := Slab[int]{Most: 8}
	for range 100 {
		*s.One() = 1
	}
	if len(s.piece) != 8 {
		t.Errorf("a piece has %d values, want 8", len(s.piece))
	}
	if got := s.Take(20); len(got) != 20 || cap(got) != 20 {
		t.Errorf("took %d of %d values, want 20 of 20", len(got), cap(got))
	}
	s.Reset(19)
	if s.piece != nil {
		t.Error("a piece beyond the limit is kept")
	}
}

func TestResetUsesMemoryAgain(t *testing.T) {
	var s Slab[int]
	first := s.One()
	s.Reset(1)
	if second := s.One(); first != second {
		t.Error("memory is not used again")
	}
}
