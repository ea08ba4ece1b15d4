// Package rollup stores the contributions of a block's traces to service graphs and
// time series, summed by second, minute and hour of receipt, so that a query over
// hours need not read traces. A rollup counts exactly like assemble.Observe: rollups
// of different blocks add up, and the counts of superseded traces can be subtracted.
//
// A rollup is a file beside its block (docs/format/store.md), or in memory if it
// will be subtracted.
package rollup

import (
	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Owner tells whose observations are summed: all of an account, or those that belong
// to a version of a group.
type Owner struct {
	Account trace.Account
	Version string // "" for all
}

// level is the length of time that a page's parts sum.
type level uint8

const (
	seconds level = iota
	minutes
	hours
	links // pages of single links, not of sums
	levels
)

// step returns the length of a part, length the length of a page, both in seconds.
func (l level) step() int64   { return [levels]int64{1, 60, 3600, 1}[l] }
func (l level) length() int64 { return [levels]int64{60, 3600, 3600, 3600}[l] }

// floor returns the start of the page, or part, that contains a second.
func floor(second, length int64) int64 {
	rest := second % length
	if rest < 0 {
		rest += length
	}
	return second - rest
}

// Second returns the Unix second of an instant.
func Second(t trace.Time) int64 { return int64(t.FloorSecond()) / 1e9 }

// Hours returns the whole hours, in Unix seconds, that cover the time from first to
// last.
func Hours(first, last trace.Time) (from, to int64) {
	return floor(Second(first), hours.step()), floor(Second(last), hours.step()) + hours.step()
}

// names numbers the nodes, edges and services of a file. Nodes and edges are stored
// as numbers, because files stay open and this saves memory.
type names struct {
	services []trace.Service
	nodes    []nodeName
	edges    []edgeName

	serviceOf map[trace.Service]uint32
	nodeOf    map[nodeName]uint32
	edgeOf    map[edgeName]uint32
}

// nodeName is twice the number of a service, plus 1 for its client. edgeName is a
// pair of node numbers.
type (
	nodeName uint32
	edgeName struct{ from, to uint32 }
)

func newNames() *names {
	return &names{serviceOf: map[trace.Service]uint32{}, nodeOf: map[nodeName]uint32{}, edgeOf: map[edgeName]uint32{}}
}

func numberOf[K comparable](of map[K]uint32, list *[]K, k K) uint32 {
	n, ok := of[k]
	if !ok {
		n = uint32(len(*list))
		*list = append(*list, k)
		of[k] = n
	}
	return n
}

func (n *names) service(s trace.Service) uint32 { return numberOf(n.serviceOf, &n.services, s) }

func (n *names) node(k assemble.NodeKey) uint32 {
	name := nodeName(n.service(k.Service)) << 1
	if k.Client {
		name++
	}
	return numberOf(n.nodeOf, &n.nodes, name)
}

func (n *names) edge(k assemble.EdgeKey) uint32 {
	return numberOf(n.edgeOf, &n.edges, edgeName{n.node(k.From), n.node(k.To)})
}

// nodeKey returns the node with a number, edgeKey the edge.
func (n *names) nodeKey(number uint32) assemble.NodeKey {
	name := n.nodes[number]
	return assemble.NodeKey{Service: n.services[name>>1], Client: name&1 == 1}
}

func (n *names) edgeKey(number uint32) assemble.EdgeKey {
	name := n.edges[number]
	return assemble.EdgeKey{From: n.nodeKey(name.from), To: n.nodeKey(name.to)}
}

// page holds the sums of one owner over the parts of one page, while they are made.
type page struct {
	entities map[int32]int64 // by part
	nodes    map[place]*assemble.NodeSum
	edges    map[place]*assemble.EdgeSum
	links    map[linkPlace]int64
	limit    assemble.Limit
}

// place is the number of a node or edge, and a part.
type place struct {
	number uint32
	part   int32
}

type linkPlace struct {
	part int32
	key  assemble.LinkKey
}

func newPage(limit assemble.Limit) *page {
	return &page{limit: limit, entities: map[int32]int64{}, nodes: map[place]*assemble.NodeSum{}, edges: map[place]*assemble.EdgeSum{}, links: map[linkPlace]int64{}}
}

// add adds a sum to a part, except its links.
func (p *page) add(n *names, part int32, s *assemble.Sum) {
	p.entities[part] += s.Entities
	for k, from := range s.Nodes {
		p.node(place{n.node(k), part}).Merge(from, 1)
	}
	for k, from := range s.Edges {
		p.edge(place{n.edge(k), part}).Merge(from, 1)
	}
}

func (p *page) node(at place) *assemble.NodeSum {
	s := p.nodes[at]
	if s == nil {
		s = &assemble.NodeSum{}
		p.nodes[at] = s
	}
	return s
}

func (p *page) edge(at place) *assemble.EdgeSum {
	s := p.edges[at]
	if s == nil {
		s = &assemble.EdgeSum{}
		p.edges[at] = s
	}
	return s
}

// floor raises negative counts to zero.
func (p *page) floor() {
	for _, n := range p.nodes {
		n.Floor()
	}
	for _, e := range p.edges {
		e.Floor()
	}
}
