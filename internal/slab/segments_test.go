package slab

import (
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Empty blocks are nil, equal neighbours share a copy, and copies do not change with
// the scratch they came from.
func TestSegments(t *testing.T) {
	s := NewSegments()
	if s.AWS(trace.AWS{}) != nil || s.SQL(trace.SQL{}) != nil || s.Annotations(nil) != nil {
		t.Error("an empty part was kept")
	}
	a, b, c := s.AWS(trace.AWS{Region: "a"}), s.AWS(trace.AWS{Region: "a"}), s.AWS(trace.AWS{Region: "b"})
	if a != b || a == c || a.Region != "a" || c.Region != "b" {
		t.Errorf("%v %v %v", a, b, c)
	}
	s.Scratch = append(s.Scratch[:0], trace.Annotation{Key: "one"}, trace.Annotation{Key: "two"})
	kept := s.Annotations(s.Scratch)
	s.Scratch[0].Key = "other"
	if len(kept) != 2 || cap(kept) != 2 || kept[0].Key != "one" {
		t.Errorf("%v", kept)
	}
}
