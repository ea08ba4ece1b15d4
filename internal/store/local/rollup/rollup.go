// Package rollup keeps what the traces of a block add to service graphs and time
// series, summed up by the second, minute and hour of receipt, so that a question
// about hours need not read traces. A rollup counts exactly what assemble.Observe
// counts: rollups of different blocks add up, and what superseded traces counted
// can be taken away.
//
// A rollup is a file beside its block (docs/format/store.md) or, for what is to
// be taken away, lives in memory.
package rollup

import (
	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Owner is whose observations are summed: those of an account, all of them or
// those that belong to a version of a group.
type Owner struct {
	Account trace.Account
	Version string // "" for all
}

// level is how long the parts of time are that a page sums.
type level uint8

const (
	seconds level = iota
	minutes
	hours
	links // pages of single links, not of sums
	levels
)

// step is the length of a part, length that of a page, both in seconds.
func (l level) step() int64   { return [levels]int64{1, 60, 3600, 1}[l] }
func (l level) length() int64 { return [levels]int64{60, 3600, 3600, 3600}[l] }

// floor is the first second of the page, or part, that a second lies in.
func floor(second, length int64) int64 {
	rest := second % length
	if rest < 0 {
		rest += length
	}
	return second - rest
}

// Second is the Unix second of an instant.
func Second(t trace.Time) int64 { return int64(t.FloorSecond()) / 1e9 }

// Hours are the whole hours, in Unix seconds, that two instants and what is between
// them lie in.
func Hours(first, last trace.Time) (from, to int64) {
	return floor(Second(first), hours.step()), floor(Second(last), hours.step()) + hours.step()
}

// names gives nodes, edges and services their numbers in a file.
type names struct {
	services []trace.Service
	nodes    []assemble.NodeKey
	edges    []assemble.EdgeKey

	serviceOf map[trace.Service]uint32
	nodeOf    map[assemble.NodeKey]uint32
	edgeOf    map[assemble.EdgeKey]uint32
}

func newNames() *names {
	return &names{serviceOf: map[trace.Service]uint32{}, nodeOf: map[assemble.NodeKey]uint32{}, edgeOf: map[assemble.EdgeKey]uint32{}}
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
	n.service(k.Service)
	return numberOf(n.nodeOf, &n.nodes, k)
}

func (n *names) edge(k assemble.EdgeKey) uint32 {
	n.node(k.From)
	n.node(k.To)
	return numberOf(n.edgeOf, &n.edges, k)
}

// page is the sums of one owner over the parts of one page's time, while they
// are made.
type page struct {
	entities map[int32]int64 // by part
	nodes    map[place]*assemble.NodeSum
	edges    map[place]*assemble.EdgeSum
	links    map[linkPlace]int64
}

// place is a number of a node or edge, and a part.
type place struct {
	number uint32
	part   int32
}

type linkPlace struct {
	part int32
	key  assemble.LinkKey
}

func newPage() *page {
	return &page{entities: map[int32]int64{}, nodes: map[place]*assemble.NodeSum{}, edges: map[place]*assemble.EdgeSum{}, links: map[linkPlace]int64{}}
}

// add adds a sum to a part, but for its links.
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
