package rollup

import (
	"slices"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// A file keeps a limited number of names (assemble.Limit): the most frequent ones at
// the time of writing. It counts all others as assemble.Other. So one file may keep
// a name that another file folds. A subtraction first takes from the name's own
// counts; if they would fall below zero, part of the name's counts were folded, and
// then all of them are folded. So totals are always correct, and no count is below
// zero.

// Names returns the names that a file keeps; nil if it keeps all.
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

// folded reports whether the file has counts of Other.
func (f *File) folded() bool { return slices.Contains(f.names.services, assemble.Other) }

// Size returns the numbers of nodes and edges that a file keeps, and about how much
// memory the bins take that a query for an owner and the seconds [from, to) reads.
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

// binBytes is about the ratio of a page's size in memory, without its cells, to its
// size in bytes.
const binBytes = 6

// bound folds the least frequent names of each account if there are too many. Groups
// keep the same names as their account.
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

// choose returns the names of an account that a merge keeps; nil if it keeps all.
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
	// each visits all seconds, with the names of kept.
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
