package local

import (
	"slices"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// lacks says that an open trace cannot be selected, as it was never sent what the
// bounds ask for. The trace need not be put together to see that.
func lacks(src *source, b *filter.Bounds) bool {
	if src.base.block != nil {
		return false // the other part is on disk
	}
	for i := range b.Annotations {
		if want := &b.Annotations[i]; !src.sent(want.Key, func(v trace.Value) bool { return v == want.Value }) {
			return true
		}
	}
	for _, key := range b.AnnotationKeys {
		if !src.sent(key, func(trace.Value) bool { return true }) {
			return true
		}
	}
	return slices.ContainsFunc(b.Either, func(alternatives []filter.Bounds) bool {
		return !slices.ContainsFunc(alternatives, func(b filter.Bounds) bool { return !lacks(src, &b) })
	})
}

// sent says whether something that was sent of an open trace has an annotation
// with a value that is wanted.
func (src *source) sent(key string, wanted func(trace.Value) bool) bool {
	other := func(name string, v trace.Value) bool { return name != key || !wanted(v) }
	var last trace.Attributes // spans of one resource often come together
	var stack []*trace.Entity
	for i := range src.parts {
		for _, seg := range src.parts[i].segments {
			stack = append(stack[:0], &seg.Entity)
			for len(stack) > 0 {
				e := stack[len(stack)-1]
				stack = append(stack[:len(stack)-1], e.Subsegments...)
				for k := range e.Annotations {
					if a := &e.Annotations[k]; !other(a.Key, a.Value) {
						return true
					}
				}
			}
			a := seg.Attributes
			if a == nil {
				continue
			}
			if !a.OfSpan(seg.Raw, nil, other) || a != last && !a.OfResource(other) {
				return true
			}
			last = a
		}
	}
	return false
}
