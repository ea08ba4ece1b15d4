package local

import (
	"slices"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// lacks tells whether an open trace has no segment with what the bounds ask for, so
// that no filter can select it. It does not assemble the trace.
func lacks(src *source, b *filter.Bounds) bool {
	if src.base.block != nil {
		return false // a block has the other part
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

// sent tells whether an open segment of a trace has an annotation or attribute with a
// wanted value.
func (src *source) sent(key string, wanted func(trace.Value) bool) bool {
	other := func(name string, v trace.Value) bool { return name != key || !wanted(v) }
	var last trace.Attributes // spans of one resource often arrive together
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
