package rollup

import (
	"slices"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A file tells a limited number of names apart (assemble.Limit). Which ones is
// decided when it is written, by how frequent they are in it; what the others count
// is counted as assemble.Other. So a name may be told apart in one file and not in
// another. What is taken away of it is first taken from where it stands; a name of
// which less than nothing would be left was counted as Other in part: then all of it
// is. So no total is ever wrong, and no count below zero.

// Names returns the names that a file tells apart; nil if it does so with all.
func (f *File) Names() *assemble.Names {
	if !f.folded() {
		return nil
	}
	n := f.names
	nodes, edges := make([]assemble.NodeKey, len(n.nodes)), make([]assemble.EdgeKey, len(n.edges))
	for i := range nodes {
		nodes[i] = n.nodeKey(uint32(i))
	}
	for i := range edges {
		edges[i] = n.edgeKey(uint32(i))
	}
	return assemble.NewNames(nodes, edges, n.services)
}

// folded reports whether there is something that was counted as Other.
func (f *File) folded() bool { return slices.Contains(f.names.services, assemble.Other) }

// Size returns how many nodes and edges a file tells apart, and about how much memory the
// bins take that a question reads about an owner and the seconds [from, to).
func (f *File) Size(o Owner, from, to int64) (nodes, edges int, bins int64) {
	for _, l := range []level{hours, links} {
		for _, start := range f.starts[series{o, l}] {
			if start < to && start+l.length() > from {
				bins += int64(f.refs[pageKey{o, l, start}].raw)
			}
		}
	}
	for _, l := range []level{minutes, seconds} { // at both ends
		for _, second := range []int64{from, to} {
			bins += int64(f.refs[pageKey{o, l, floor(second, l.length())}].raw)
		}
	}
	return len(f.names.nodes), len(f.names.edges), bins * binBytes
}

// binBytes is about how many times what a page has as bytes it takes in memory,
// without its cells.
const binBytes = 6

// bound counts the least frequent names of each account as Other, once there are too
// many. Groups tell the same names apart as their account.
func (b *Builder) bound(last bool) {
	if b.Limit <= 0 && b.Keep == nil {
		return
	}
	cells := 0
	accounts := map[trace.Account]struct{}{}
	for o, bySecond := range b.owners {
		accounts[o.Account] = struct{}{}
		for _, s := range bySecond {
			cells += len(s.Nodes) + len(s.Edges)
		}
	}
	if !last && cells < b.checkAt {
		return
	}
	for account := range accounts {
		names := b.Keep
		if names == nil {
			var folded int
			names, folded = b.census(account).Names(b.Limit)
			b.Folded += folded
		}
		if names == nil {
			continue
		}
		for o, bySecond := range b.owners {
			if o.Account == account {
				for _, s := range bySecond {
					names.Fold(s)
				}
			}
		}
	}
	b.checkAt = max(4*int(b.Limit), 2*cells)
}

func (b *Builder) census(account trace.Account) *assemble.Census {
	c := &assemble.Census{}
	for _, s := range b.owners[Owner{Account: account}] {
		c.Add(s)
	}
	return c
}

// choose is which names a merge tells apart of an account; nil if all are.
func choose(sources []source, account trace.Account, limit assemble.Limit) (kept *assemble.Names, folded int, err error) {
	if limit <= 0 {
		return nil, 0, nil
	}
	all, wrong := newNames(), false
	for i := range sources {
		n := sources[i].File.names
		for k := range n.nodes {
			all.node(n.nodeKey(uint32(k)))
		}
		for k := range n.edges {
			all.edge(n.edgeKey(uint32(k)))
		}
		for _, s := range n.services {
			all.service(s)
		}
		wrong = wrong || sources[i].folded()
	}
	if !wrong && len(all.nodes) <= int(limit) && len(all.services) <= int(limit) && len(all.edges) <= limit.Edges() {
		return nil, 0, nil
	}
	owner := Owner{Account: account}
	starts := map[int64]struct{}{}
	taken := false
	for i := range sources {
		taken = taken || sources[i].sign < 0
		for _, start := range sources[i].starts[series{owner, seconds}] {
			starts[start] = struct{}{}
		}
	}
	// each visits all seconds as they are when some names are told apart.
	each := func(n *names, kept *assemble.Names, visit func(p *page)) error {
		for i := range sources {
			sources[i].into(n, kept)
		}
		for start := range starts {
			p := newPage(0)
			for i := range sources {
				if err := sources[i].addTo(p, pageKey{owner, seconds, start}); err != nil {
					return err
				}
			}
			visit(p)
		}
		return nil
	}
	var c assemble.Census
	err = each(all, nil, func(p *page) {
		for at, n := range p.nodes {
			c.Node(all.nodeKey(at.number), n)
		}
		for at, e := range p.edges {
			c.Edge(all.edgeKey(at.number), e)
		}
	})
	kept, folded = c.Names(limit)
	for wrong := kept != nil && taken; wrong && err == nil; {
		wrong = false
		n := newNames()
		err = each(n, kept, func(p *page) {
			for at, e := range p.edges {
				wrong = kept.Repair(n.edgeKey(at.number), e) || wrong
			}
		})
	}
	return kept, folded, err
}
