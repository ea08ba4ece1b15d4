package rollup

import (
	"slices"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// AddTo adds the counts of an owner's observations received in the seconds [from,
// to) to a sum, times sign.
func (f *File) AddTo(sum *assemble.Sum, o Owner, from, to, sign int64) error {
	a := adder{f, sum, o}
	if err := a.add(hours, from, to, sign); err != nil {
		return err
	}
	return f.each(o, links, from, to, func(p *decoded, first, end int32) {
		for i := range p.links {
			if c := &p.links[i]; first <= c.part && c.part < end {
				sum.Link(c.key, sign*c.n)
			}
		}
	})
}

// adder adds sums of an owner.
type adder struct {
	file  *File
	sum   *assemble.Sum
	owner Owner
}

// add reads whole hours from pages of hours, the remaining minutes from pages of
// minutes, and so on.
func (a *adder) add(l level, from, to, sign int64) error {
	if from >= to {
		return nil
	}
	start, end := floor(from+l.step()-1, l.step()), floor(to, l.step())
	if start > end {
		return a.part(l, from, to, sign)
	}
	err := a.steps(l, start, end, sign)
	if err == nil && from < start {
		err = a.part(l, from, start, sign)
	}
	if err == nil && end < to {
		err = a.part(l, end, to, sign)
	}
	return err
}

// steps adds whole steps from pages of a level.
func (a *adder) steps(l level, from, to, sign int64) error {
	return a.file.each(a.owner, l, from, to, func(p *decoded, first, end int32) { p.addTo(a.sum, a.file.names, first, end, sign) })
}

// part adds less than a step of a level, from the level below. If it is most of a
// step, it adds the whole step and subtracts the rest. Often, as when the time
// reaches up to now, the rest is empty.
func (a *adder) part(l level, from, to, sign int64) error {
	if 2*(to-from) <= l.step() {
		return a.add(l-1, from, to, sign)
	}
	start := floor(from, l.step())
	end := start + l.step()
	if err := a.steps(l, start, end, sign); err != nil {
		return err
	}
	if err := a.add(l-1, start, from, -sign); err != nil {
		return err
	}
	return a.add(l-1, to, end, -sign)
}

// each calls do for each page with a part of [from, to), which are multiples of the
// level's step, and with the range of parts.
func (f *File) each(o Owner, l level, from, to int64, do func(p *decoded, first, end int32)) error {
	starts := f.starts[series{o, l}]
	i, _ := slices.BinarySearch(starts, floor(from, l.length()))
	for ; i < len(starts) && starts[i] < to; i++ {
		p, err := f.read(pageKey{o, l, starts[i]})
		if err != nil {
			return err
		}
		do(p, int32((max(from, p.start)-p.start)/p.step), int32((min(to, p.start+l.length())-p.start)/p.step))
	}
	return nil
}

func (p *decoded) addTo(sum *assemble.Sum, n *names, first, end int32, sign int64) {
	for _, c := range p.entities {
		if first <= c.part && c.part < end {
			sum.Entities += sign * c.n
		}
	}
	var node *assemble.NodeSum
	var number uint32
	for i := range p.nodes {
		if c := &p.nodes[i]; first <= c.part && c.part < end {
			if node == nil || c.number != number {
				node, number = sum.Node(n.nodeKey(c.number)), c.number
			}
			node.Merge(&c.NodeSum, sign)
		}
	}
	var edge *assemble.EdgeSum
	for i := range p.edges {
		if c := &p.edges[i]; first <= c.part && c.part < end {
			if edge == nil || c.number != number {
				edge, number = sum.Edge(n.edgeKey(c.number)), c.number
			}
			edge.Merge(&c.EdgeSum, sign)
		}
	}
}

// AddSeries adds the counts of an owner's observations received in the seconds
// [from, to) to a series, times sign, except minutes that end after to.
func (f *File) AddSeries(b *assemble.SeriesBuilder, o Owner, from, to, sign int64) error {
	to = floor(to, 60)
	if from >= to {
		return nil
	}
	s := adding{f: f, b: b, o: o, sign: sign}
	for i := range f.names.nodes {
		s.nodes = append(s.nodes, b.WantsNode(f.names.nodeKey(uint32(i))))
	}
	for i := range f.names.edges {
		s.edges = append(s.edges, b.WantsEdge(f.names.edgeKey(uint32(i))))
	}
	if whole := floor(from+59, 60); whole > from { // part of a minute
		if err := s.add(seconds, from, whole); err != nil {
			return err
		}
		from = whole
	}
	return s.add(minutes, from, to)
}

// adding is the state of one call of AddSeries.
type adding struct {
	f            *File
	b            *assemble.SeriesBuilder
	o            Owner
	sign         int64
	nodes, edges []bool // selected by the series
}

func (s *adding) add(l level, from, to int64) error {
	return s.f.each(s.o, l, from, to, func(p *decoded, first, end int32) {
		at := func(part int32) trace.Time { return trace.Time(floor(p.start+int64(part)*p.step, 60)) * 1e9 }
		for _, c := range p.entities {
			if first <= c.part && c.part < end {
				s.b.Minute(at(c.part), c.n, s.sign)
			}
		}
		for i := range p.nodes {
			if c := &p.nodes[i]; s.nodes[c.number] && first <= c.part && c.part < end {
				s.b.Node(at(c.part), &c.NodeSum, s.sign)
			}
		}
		for i := range p.edges {
			if c := &p.edges[i]; s.edges[c.number] && first <= c.part && c.part < end {
				s.b.Edge(at(c.part), &c.EdgeSum, s.sign)
			}
		}
	})
}

// Any reports whether an account has an observation that was received in a second.
func (f *File) Any(account trace.Account, second int64) (any bool, err error) {
	err = f.each(Owner{Account: account}, seconds, second, second+1, func(p *decoded, first, _ int32) {
		any = slices.ContainsFunc(p.entities, func(c entityCell) bool { return c.part == first })
	})
	return any, err
}
