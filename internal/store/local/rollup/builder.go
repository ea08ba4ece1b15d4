package rollup

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Builder makes a rollup from traces. The zero value is ready.
type Builder struct {
	// Limit is the number of names that each account keeps. Keep, if not nil, are
	// the names to keep instead of the most frequent ones. Folded is the number of
	// folded names.
	Limit  assemble.Limit
	Keep   *assemble.Names
	Folded int

	owners map[Owner]map[int64]*assemble.Sum // by Unix second of receipt
	last   *assemble.Sum                     // of the last call
	owner  Owner
	second int64

	added   int // since names were last counted
	checkAt int // number of cells at which names are counted next
}

// checkEvery is the number of traces between two checks for too many names.
const checkEvery = 256

// Add counts the observations of a trace that were received in a window.
func (b *Builder) Add(o Owner, t *trace.Trace, window trace.Window) {
	assemble.Observe(t, func(received trace.Time) *assemble.Sum {
		if !window.Contains(received) {
			return nil
		}
		return b.sum(o, Second(received))
	})
	if b.added++; b.added%checkEvery == 0 {
		b.bound(false)
	}
}

func (b *Builder) sum(o Owner, second int64) *assemble.Sum {
	if b.last != nil && b.owner == o && b.second == second {
		return b.last
	}
	bySecond := b.owners[o]
	if bySecond == nil {
		if b.owners == nil {
			b.owners = map[Owner]map[int64]*assemble.Sum{}
		}
		bySecond = map[int64]*assemble.Sum{}
		b.owners[o] = bySecond
	}
	s := bySecond[second]
	if s == nil {
		s = &assemble.Sum{Limit: b.Limit}
		bySecond[second] = s
	}
	b.last, b.owner, b.second = s, o, second
	return s
}

// Encode returns the finished rollup as a file.
func (b *Builder) Encode() []byte {
	b.bound(true)
	w := newWriter()
	w.names.learn(b)
	for _, o := range slices.SortedFunc(maps.Keys(b.owners), compareOwners) {
		bySecond := b.owners[o]
		for l := range levels {
			pages := map[int64]*page{}
			for _, second := range slices.Sorted(maps.Keys(bySecond)) {
				start := floor(second, l.length())
				if pages[start] == nil {
					pages[start] = newPage(b.Limit)
				}
				part, s := int32((second-start)/l.step()), bySecond[second]
				if l != links {
					pages[start].add(w.names, part, s)
					continue
				}
				for k, n := range s.Links {
					pages[start].links[linkPlace{part, k}] += n
				}
			}
			for _, start := range slices.Sorted(maps.Keys(pages)) {
				w.page(o, l, start, pages[start])
			}
		}
	}
	return w.finish()
}

// learn numbers all names of a builder, in an order that depends only on the names,
// so that equal rollups are equal files.
func (n *names) learn(b *Builder) {
	services, nodes, edges := map[trace.Service]struct{}{}, map[assemble.NodeKey]struct{}{}, map[assemble.EdgeKey]struct{}{}
	for _, bySecond := range b.owners {
		for _, s := range bySecond {
			for k := range s.Nodes {
				nodes[k] = struct{}{}
			}
			for k, e := range s.Edges {
				edges[k] = struct{}{}
				for a := range e.Aliases {
					services[a] = struct{}{}
				}
			}
			for k := range s.Links {
				nodes[k.Node] = struct{}{}
			}
		}
	}
	for k := range nodes {
		services[k.Service] = struct{}{}
	}
	for _, s := range slices.SortedFunc(maps.Keys(services), compareServices) {
		n.service(s)
	}
	for _, k := range slices.SortedFunc(maps.Keys(nodes), compareNodes) {
		n.node(k)
	}
	for _, k := range slices.SortedFunc(maps.Keys(edges), func(a, b assemble.EdgeKey) int {
		return cmp.Or(compareNodes(a.From, b.From), compareNodes(a.To, b.To))
	}) {
		n.edge(k)
	}
}

func compareServices(a, b trace.Service) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Type, b.Type), strings.Compare(a.Account, b.Account))
}

func compareNodes(a, b assemble.NodeKey) int {
	switch {
	case a.Client == b.Client:
		return compareServices(a.Service, b.Service)
	case a.Client:
		return 1
	}
	return -1
}

// source is a file that Merge adds or subtracts, with the numbers of its names in
// the result, plus one; 0 for names without a number yet.
type source struct {
	*File
	sign         int64
	names        *names // names of the result
	kept         *assemble.Names
	nodes, edges []uint32
}

// into assigns the result's numbers to a source's names; it folds names that the
// result does not keep.
func (s *source) into(n *names, kept *assemble.Names) {
	s.names, s.kept = n, kept
	s.nodes, s.edges = make([]uint32, len(s.File.names.nodes)), make([]uint32, len(s.File.names.edges))
}

func (s *source) node(number uint32) uint32 {
	if s.nodes[number] == 0 {
		s.nodes[number] = s.names.node(s.kept.Node(s.File.names.nodeKey(number))) + 1
	}
	return s.nodes[number] - 1
}

func (s *source) edge(number uint32) uint32 {
	if s.edges[number] == 0 {
		s.edges[number] = s.names.edge(s.kept.Edge(s.File.names.edgeKey(number))) + 1
	}
	return s.edges[number] - 1
}

// Merge returns the rollup of all files in plus, without those in minus, which must
// be part of them. It keeps a limited number of names of each account; folded is the
// number of folded names.
func Merge(plus, minus []*File, limit assemble.Limit) (b []byte, folded int, err error) {
	var sources []source
	kinds := map[pageKey]struct{}{}
	for i, f := range append(plus[:len(plus):len(plus)], minus...) {
		s := source{File: f, sign: 1}
		if i >= len(plus) {
			s.sign = -1
		}
		for k := range f.refs {
			kinds[k] = struct{}{}
		}
		sources = append(sources, s)
	}
	w := newWriter()
	var account trace.Account
	var kept *assemble.Names
	for i, k := range slices.SortedFunc(maps.Keys(kinds), pageKey.compare) {
		if i == 0 || k.owner.Account != account {
			account = k.owner.Account
			var gone int
			if kept, gone, err = choose(sources, account, limit); err != nil {
				return nil, 0, err
			}
			folded += gone
			for i := range sources {
				sources[i].into(w.names, kept)
			}
		}
		p := newPage(limit)
		for i := range sources {
			if err := sources[i].addTo(p, k); err != nil {
				return nil, 0, err
			}
		}
		if kept != nil {
			p.floor()
		}
		w.page(k.owner, k.level, k.start, p)
	}
	return w.finish(), folded, nil
}

// addTo adds one page of a source.
func (s *source) addTo(p *page, k pageKey) error {
	from, err := s.pageOf(k)
	if from == nil || err != nil {
		return err
	}
	for _, c := range from.entities {
		p.entities[c.part] += s.sign * c.n
	}
	for i := range from.nodes {
		c := &from.nodes[i]
		p.node(place{s.node(c.number), c.part}).Merge(&c.NodeSum, s.sign)
	}
	for i := range from.edges {
		c := &from.edges[i]
		e := p.edge(place{s.edge(c.number), c.part})
		e.Merge(&c.EdgeSum, s.sign)
		s.kept.FoldAliases(e)
	}
	for _, c := range from.links {
		c.key.Node = s.kept.Node(c.key.Node)
		p.links[linkPlace{c.part, c.key}] += s.sign * c.n
	}
	return nil
}
