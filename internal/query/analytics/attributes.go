package analytics

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// maxValues is the maximum number of pairs of attribute and value in a count; pairs
// that appear later are ignored.
const maxValues = 20_000

// maxValueBytes is the maximum size of their texts. These are copies, because a
// reference to a text would keep its trace in memory.
const maxValueBytes = 8 << 20

// pair is an attribute, named as a Dimension is, and one of its values.
type pair struct{ name, value string }

// attributes visits every attribute and value by which traces can be grouped, each
// pair once.
func attributes(s *trace.Summary, t *trace.Trace, visit func(p pair)) {
	for name, d := range dimensions {
		if name == "" {
			continue
		}
		for _, v := range d.named(name).values(s, t) {
			visit(pair{name, v})
		}
	}
	var seen distinct[pair]
	annotations(s, t, func(key string, v trace.Value) {
		if p := (pair{"annotation." + key, valueText(v)}); p.value != "" && seen.add(p) {
			visit(p)
		}
	})
}

// annotations yields all annotations and attributes of a trace, some more than once,
// because a summary may have only a part of them.
func annotations(s *trace.Summary, t *trace.Trace, yield func(key string, v trace.Value)) {
	for _, a := range s.Annotations {
		for _, v := range a.Values {
			yield(a.Key, v)
		}
	}
	if s.AnnotationsCut {
		t.EachAttribute(func(key string, v trace.Value) bool {
			yield(key, v)
			return true
		})
	}
}

// distinct is a list without duplicates.
type distinct[T comparable] struct {
	list []T
	seen map[T]bool // nil while there are few
}

// add adds a value unless it is present, and reports whether it did.
func (d *distinct[T]) add(v T) bool {
	const few = 16
	if d.seen != nil && d.seen[v] || d.seen == nil && slices.Contains(d.list, v) {
		return false
	}
	if d.list = append(d.list, v); d.seen != nil {
		d.seen[v] = true
	} else if len(d.list) > few {
		d.seen = map[T]bool{}
		for _, v := range d.list {
			d.seen[v] = true
		}
	}
	return true
}

func (d Dimension) named(name string) Dimension { d.name = name; return d }

// Facets are the values of one attribute, or the names of all attributes, most
// frequent first.
type Facets struct {
	Counted
	Values []Facet `json:"values"`
	// More is true if some values are not listed.
	More bool `json:"more"`
}

// Facet is a value and the number of traces with it.
type Facet struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

// FacetsRequest asks for the values of Of that begin with Prefix, at most Top (1 to
// 1000). With All set, the values are the attributes' names.
type FacetsRequest struct {
	Selection
	Of     Dimension
	All    bool
	Prefix string
	Top    int
}

// Facets counts values.
func (a *Analytics) Facets(ctx context.Context, who answer.Reader, r FacetsRequest) (*Facets, error) {
	if r.Top < 1 || r.Top > 1000 {
		return nil, invalid("top: must be 1 to 1000")
	}
	counts, bytes := map[string]int64{}, 0
	out := &Facets{Values: []Facet{}}
	counted, err := a.scan(ctx, who, r.Selection, func(s *trace.Summary, t *trace.Trace) {
		var values []string
		if r.All {
			var names distinct[string]
			attributes(s, t, func(p pair) { names.add(p.name) })
			values = names.list
		} else {
			values = r.Of.values(s, t)
		}
		for _, v := range values {
			if !strings.HasPrefix(v, r.Prefix) {
				continue
			}
			if _, known := counts[v]; !known {
				if bytes += len(v); len(counts) >= maxValues || bytes > maxValueBytes {
					out.More = true
					continue
				}
				v = strings.Clone(v)
			}
			counts[v]++
		}
	})
	if err != nil {
		return nil, err
	}
	out.Counted = counted
	for v, n := range counts {
		out.Values = append(out.Values, Facet{v, n})
	}
	slices.SortFunc(out.Values, func(x, y Facet) int { return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Value, y.Value)) })
	if len(out.Values) > r.Top {
		out.Values, out.More = out.Values[:r.Top], true
	}
	return out, nil
}

// CompareRequest asks for the differences between two selections, at most Top (1 to
// 1000). With Rest set, B are all traces of A's window that A does not select.
type CompareRequest struct {
	A, B Selection
	Rest bool
	Top  int
}

// Comparison lists values of all attributes, largest difference first.
type Comparison struct {
	A           Counted      `json:"a"`
	B           Counted      `json:"b"`
	Differences []Difference `json:"differences"`
	// More is true if some differences are not listed.
	More bool `json:"more"`
}

// Difference compares how often a value occurs in A and in B. Score is the z
// statistic of a test of two proportions with pooled variance, positive if the value
// is more frequent in A; the list is in order of its size. Effect is Cohen's h, -π
// to π: from 0.2 small, 0.5 medium, 0.8 large.
type Difference struct {
	Attribute string  `json:"attribute"`
	Value     string  `json:"value"`
	CountA    int64   `json:"count_a"`
	CountB    int64   `json:"count_b"`
	ShareA    float64 `json:"share_a"`
	ShareB    float64 `json:"share_b"`
	Score     float64 `json:"score"`
	Effect    float64 `json:"effect"`
}

// Compare counts every attribute in both selections.
func (a *Analytics) Compare(ctx context.Context, who answer.Reader, r CompareRequest) (*Comparison, error) {
	if r.Top < 1 || r.Top > 1000 {
		return nil, invalid("top: must be 1 to 1000")
	}
	counts, bytes := map[pair]*[2]int64{}, 0
	out := &Comparison{Differences: []Difference{}}
	for i, side := range []struct {
		Selection
		counted *Counted
	}{{r.A, &out.A}, {r.B, &out.B}} {
		c, err := a.scan(ctx, who, side.Selection, func(s *trace.Summary, t *trace.Trace) {
			attributes(s, t, func(p pair) {
				n := counts[p]
				if n == nil {
					if bytes += len(p.name) + len(p.value); len(counts) >= maxValues || bytes > maxValueBytes {
						out.More = true
						return
					}
					n = &[2]int64{}
					counts[pair{strings.Clone(p.name), strings.Clone(p.value)}] = n
				}
				n[i]++
			})
		})
		if err != nil {
			return nil, err
		}
		*side.counted = c
	}
	if r.Rest {
		// B was counted without a filter. Traces that arrived between the two counts
		// can only be in B.
		out.B.Matched = max(0, out.B.Matched-out.A.Matched)
		for _, n := range counts {
			n[1] = max(0, n[1]-n[0])
		}
	}
	for p, n := range counts {
		out.Differences = append(out.Differences, difference(p, n[0], n[1], out.A.Matched, out.B.Matched))
	}
	slices.SortFunc(out.Differences, func(x, y Difference) int {
		return cmp.Or(cmp.Compare(math.Abs(y.Score), math.Abs(x.Score)), cmp.Compare(x.Attribute, y.Attribute), cmp.Compare(x.Value, y.Value))
	})
	if len(out.Differences) > r.Top {
		out.Differences, out.More = out.Differences[:r.Top], true
	}
	return out, nil
}

func difference(p pair, a, b, ofA, ofB int64) Difference {
	d := Difference{Attribute: p.name, Value: p.value, CountA: a, CountB: b}
	if ofA == 0 || ofB == 0 {
		// With an empty side there is nothing to compare: shares where possible, no
		// score.
		d.ShareA, d.ShareB = float64(a)/math.Max(1, float64(ofA)), float64(b)/math.Max(1, float64(ofB))
		return d
	}
	d.ShareA, d.ShareB = float64(a)/float64(ofA), float64(b)/float64(ofB)
	pooled := float64(a+b) / float64(ofA+ofB)
	if v := pooled * (1 - pooled) * (1/float64(ofA) + 1/float64(ofB)); v > 0 {
		d.Score = (d.ShareA - d.ShareB) / math.Sqrt(v)
	}
	d.Effect = 2*math.Asin(math.Sqrt(d.ShareA)) - 2*math.Asin(math.Sqrt(d.ShareB))
	return d
}
