package assemble

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Senders choose names, and their number is unlimited: hosts, customers, ids in a
// name by mistake. So a sum keeps a limited number of names and folds all others
// into one node (docs/adr/0010-distinct-names.md). The totals stay exact, and traces
// do not change.

// Other is the identity of the node that counts all folded nodes of a graph. Its
// client node has the type of client nodes. If a sender uses this very name and
// type, it is counted there, too.
var Other = trace.Service{Name: "other services", Type: "fluoro::other"}

// otherClient is the client node that counts all folded client nodes.
var otherClient = trace.Service{Name: Other.Name, Type: "client"}

// Limit is the number of nodes that a graph keeps, not counting Other; 0 means all
// of them. The other limits follow from it.
type Limit int

// Edges returns the number of edges that are kept, and of pairs of an edge and an
// alias. In addition, each node may have an edge to and from Other.
func (l Limit) Edges() int { return 2 * int(l) }

// Links returns the number of links that are resolved.
func (l Limit) Links() int { return 4 * int(l) }

// other returns the node that counts a folded node.
func (k NodeKey) other() NodeKey {
	if k.Client {
		return NodeKey{otherClient, true}
	}
	return NodeKey{Other, false}
}

// IsOther reports whether a node counts folded nodes.
func (k NodeKey) IsOther() bool { return k == k.other() }

// chooser tells what a series counts. Everything chosen is one node and one edge,
// without names.
type chooser interface {
	WantsNode(NodeKey) bool
	WantsEdge(EdgeKey) bool
}

// Most returns how many nodes a sum may have, and half of how many edges, before
// Bound folds the least frequent ones: more names than the limit, so that their
// frequencies are known by then.
func (l Limit) Most() int { return int(l) * 5 / 2 }

// newNode makes a missing node.
func (s *Sum) newNode(k NodeKey) *NodeSum {
	if s.only != nil && k != (NodeKey{}) {
		if !s.only.WantsNode(k) {
			return &s.rest.node
		}
		k = NodeKey{}
		if n := s.Nodes[k]; n != nil {
			return n
		}
	}
	if s.Limit > 0 && !k.IsOther() && s.full(len(s.Nodes) >= s.Limit.Most(), s.within == nil || s.within.Nodes[k] != nil) {
		return s.Node(k.other())
	}
	if s.Nodes == nil {
		s.Nodes = map[NodeKey]*NodeSum{}
	}
	n := &NodeSum{}
	if s.own {
		k = k.clone()
	}
	s.Nodes[k] = n
	return n
}

// clone returns a copy of the key that does not keep the document with its name in
// memory.
func (k NodeKey) clone() NodeKey {
	k.Name, k.Type, k.Account = strings.Clone(k.Name), strings.Clone(k.Type), strings.Clone(k.Account)
	return k
}

// full reports whether a name is folded: if over is true, or, in a sum to be
// subtracted, if there is false: the sum it is subtracted from has folded the name.
func (s *Sum) full(over, there bool) bool {
	if s.within != nil {
		return !there
	}
	return over
}

func (s *Sum) newEdge(k EdgeKey) *EdgeSum {
	if s.only != nil && k != (EdgeKey{}) {
		if !s.only.WantsEdge(k) {
			return &s.rest.edge
		}
		k = EdgeKey{}
		if e := s.Edges[k]; e != nil {
			return e
		}
	}
	if s.Limit > 0 && !k.ofOther() {
		was := k
		if s.Nodes[k.From] == nil {
			k.From = k.From.other()
		}
		if s.Nodes[k.To] == nil || s.full(len(s.Edges) >= 2*s.Limit.Most(), s.within == nil || s.within.Edges[k] != nil) {
			k.To = k.To.other()
		}
		if k != was {
			return s.Edge(k)
		}
	}
	if s.Edges == nil {
		s.Edges = map[EdgeKey]*EdgeSum{}
	}
	e := &EdgeSum{most: int(s.Limit)}
	if s.own {
		k = EdgeKey{k.From.clone(), k.To.clone()}
	}
	s.Edges[k] = e
	return e
}

// ofOther reports whether an end of an edge counts folded nodes.
func (k EdgeKey) ofOther() bool { return k.From.IsOther() || k.To.IsOther() }

// linkSample selects the counted links if there are too many: those with the lowest
// hashes. The selection does not depend on the order, so exactly the added links are
// subtracted again.
type linkSample struct{ above uint64 } // links with higher hashes do not count; 0: all count

func (s *Sum) sampled(k LinkKey) bool {
	if s.links.above > 0 && k.Hash() > s.links.above {
		return false
	}
	if limit := s.Limit.Links(); len(s.Links) >= 2*limit {
		hashes := make([]uint64, 0, len(s.Links))
		for l := range s.Links {
			hashes = append(hashes, l.Hash())
		}
		slices.Sort(hashes)
		s.links.above = hashes[limit-1]
		for l := range s.Links {
			if l.Hash() > s.links.above {
				delete(s.Links, l)
			}
		}
		return k.Hash() <= s.links.above
	}
	return true
}

// Hash spreads the parts that differ between most links: the message and its time of
// receipt.
func (k LinkKey) Hash() uint64 {
	b := append(append(make([]byte, 0, 32), k.TraceID[:]...), k.ID[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(k.Time))
	x := uint64(crc32.Checksum(b, castagnoli))<<32 | uint64(crc32.ChecksumIEEE(b))
	return max(1, x^bits.RotateLeft64(x, 29)*0x9e3779b97f4a7c15)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Names are the nodes, edges and aliases that are kept. A nil Names keeps all.
type Names struct {
	nodes   map[NodeKey]struct{}
	edges   map[EdgeKey]struct{}
	aliases map[trace.Service]struct{} // nil: all
	// gone are edges to or from Other that are folded, too; with flat set, all of
	// them are.
	gone map[EdgeKey]struct{}
	flat bool
}

// NewNames returns the Names that keep the given ones; with nil aliases all aliases
// are kept.
func NewNames(nodes []NodeKey, edges []EdgeKey, aliases []trace.Service) *Names {
	return &Names{nodes: setOf(nodes), edges: setOf(edges), aliases: setOf(aliases)}
}

func setOf[K comparable](list []K) map[K]struct{} {
	if list == nil {
		return nil
	}
	set := make(map[K]struct{}, len(list))
	for _, k := range list {
		set[k] = struct{}{}
	}
	return set
}

// Node returns the node that counts the given one.
func (n *Names) Node(k NodeKey) NodeKey {
	if n == nil {
		return k
	}
	if _, kept := n.nodes[k]; kept {
		return k
	}
	return k.other()
}

// Edge returns the edge that counts the given one. A folded edge still has its
// source.
func (n *Names) Edge(k EdgeKey) EdgeKey {
	if n == nil {
		return k
	}
	to := EdgeKey{n.Node(k.From), n.Node(k.To)}
	if _, kept := n.edges[to]; !kept && !to.ofOther() {
		to.To = to.To.other()
	}
	if _, gone := n.gone[to]; to.ofOther() && (gone || n.flat) {
		return to.others()
	}
	return to
}

// others returns the edge between the nodes that count folded ones.
func (k EdgeKey) others() EdgeKey { return EdgeKey{k.From.other(), k.To.other()} }

// Repair looks at an edge counted under these names and reports whether it had to
// fold more: if more was subtracted from the edge than it has, a part of its counts
// was added to another edge to or from Other. Both become one edge then.
func (n *Names) Repair(k EdgeKey, e *EdgeSum) bool {
	if n == nil || n.flat || !k.ofOther() || !e.negative() {
		return false
	}
	if k == k.others() {
		n.flat = true
		return true
	}
	if n.gone == nil {
		n.gone = map[EdgeKey]struct{}{}
	}
	n.gone[k] = struct{}{}
	return true
}

// FoldAliases counts the folded aliases of an edge as Other.
func (n *Names) FoldAliases(e *EdgeSum) {
	if n == nil {
		return
	}
	for a, count := range e.Aliases {
		if _, kept := n.aliases[a]; (n.aliases != nil && !kept || count < 0) && a != Other {
			delete(e.Aliases, a)
			e.alias(Other, count)
		}
	}
}

// Fold moves the counts of folded names to Other.
func (n *Names) Fold(s *Sum) {
	if n == nil {
		return
	}
	for k, from := range s.Nodes {
		if to := n.Node(k); to != k {
			delete(s.Nodes, k)
			s.Node(to).Merge(from, 1)
		}
	}
	for k, from := range s.Edges {
		n.FoldAliases(from)
		if to := n.Edge(k); to != k {
			delete(s.Edges, k)
			s.Edge(to).Merge(from, 1)
		}
	}
	for k, count := range s.Links {
		if to := n.Node(k.Node); to != k.Node {
			delete(s.Links, k)
			k.Node = to
			s.Link(k, count)
		}
	}
}

// Census counts how frequent names are, to choose the ones to keep. The zero value
// is ready.
type Census struct {
	nodes   map[NodeKey]int64
	edges   map[EdgeKey]int64
	aliases map[trace.Service]int64
	// wrong is set if more was subtracted from a name than it has: a part of its
	// counts was added to Other, so the rest belongs there, too.
	wrong bool
}

// never is the frequency of a name that must be folded.
const never = -1 << 62

// Node counts a part of a node.
func (c *Census) Node(k NodeKey, n *NodeSum) {
	if c.nodes == nil {
		c.nodes = map[NodeKey]int64{}
	}
	if n.negative() && !k.IsOther() {
		c.nodes[k], c.wrong = never, true
	} else if have := c.nodes[k]; have != never {
		c.nodes[k] = have + n.Seconds.Total()
	}
}

// Edge counts a part of an edge.
func (c *Census) Edge(k EdgeKey, e *EdgeSum) {
	if c.edges == nil {
		c.edges, c.aliases = map[EdgeKey]int64{}, map[trace.Service]int64{}
	}
	switch wrong := e.negative(); {
	case wrong && !k.ofOther():
		c.edges[k], c.wrong = never, true
	case c.edges[k] != never:
		c.edges[k] += e.Seen
		c.wrong = c.wrong || wrong // Repair corrects it
	}
	for a, n := range e.Aliases {
		switch {
		case n < 0 && a != Other:
			c.aliases[a], c.wrong = never, true
		case c.aliases[a] != never:
			c.aliases[a] += n
		}
	}
}

// Add counts a whole sum.
func (c *Census) Add(s *Sum) {
	for k, n := range s.Nodes {
		c.Node(k, n)
	}
	for k, e := range s.Edges {
		c.Edge(k, e)
	}
}

// Names returns the most frequent names; of equally frequent ones the first in
// order. It is nil if all are kept. folded is the number of folded names.
func (c *Census) Names(limit Limit) (n *Names, folded int) {
	if limit <= 0 || !c.wrong && len(c.nodes) <= int(limit) && len(c.edges) <= limit.Edges() && len(c.aliases) <= limit.Edges() {
		return nil, 0
	}
	n = &Names{}
	var gone [3]int
	n.nodes, gone[0] = most(c.nodes, int(limit), compareNodeKeys, NodeKey.IsOther)
	// An edge counts under the names that its nodes have after folding.
	edges := make(map[EdgeKey]int64, len(c.edges))
	for k, count := range c.edges {
		if to := (EdgeKey{n.Node(k.From), n.Node(k.To)}); to == k {
			edges[k] = count
		}
	}
	n.edges, gone[1] = most(edges, limit.Edges(), func(a, b EdgeKey) int {
		return cmp.Or(compareNodeKeys(a.From, b.From), compareNodeKeys(a.To, b.To))
	}, EdgeKey.ofOther)
	n.aliases, gone[2] = most(c.aliases, limit.Edges(), byIdentity, func(a trace.Service) bool { return a == Other })
	return n, gone[0] + gone[1] + gone[2]
}

// most returns the most frequent names. Names that are always kept do not count
// towards the limit.
func most[K comparable](counts map[K]int64, limit int, compare func(a, b K) int, always func(K) bool) (kept map[K]struct{}, gone int) {
	kept = map[K]struct{}{}
	var list []K
	for k, n := range counts {
		switch {
		case always(k):
			kept[k] = struct{}{}
		case n == never:
			gone++
		default:
			list = append(list, k)
		}
	}
	if len(list) > limit {
		slices.SortFunc(list, func(a, b K) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), compare(a, b)) })
		gone += len(list) - limit
		list = list[:limit]
	}
	for _, k := range list {
		kept[k] = struct{}{}
	}
	return kept, gone
}

func compareNodeKeys(a, b NodeKey) int {
	return cmp.Or(byIdentity(a.Service, b.Service), cmp.Compare(flag(a.Client), flag(b.Client)))
}

// Bound folds the least frequent names into Other if they exceed the limit by a
// quarter; with all set, if they exceed the limit at all. folded is their number.
func (s *Sum) Bound(all bool) (folded int) {
	limit := int(s.Limit)
	switch {
	case limit <= 0, !all && len(s.Nodes) <= limit*5/4 && len(s.Edges) <= s.Limit.Edges()*5/4, len(s.Nodes) <= limit && !s.folded():
		return 0
	}
	var c Census
	c.Add(s)
	n, folded := c.Names(s.Limit)
	n.Fold(s)
	if all && n != nil {
		for wrong := true; wrong; n.Fold(s) {
			wrong = false
			for k, e := range s.Edges {
				wrong = n.Repair(k, e) || wrong
			}
		}
		for _, node := range s.Nodes {
			node.Floor()
		}
		for _, e := range s.Edges {
			e.Floor()
		}
	}
	return folded
}

// folded reports whether there may be too many edges or aliases, or counts of Other.
func (s *Sum) folded() bool {
	if len(s.Edges) > s.Limit.Edges() || s.Nodes[NodeKey{Other, false}] != nil || s.Nodes[NodeKey{otherClient, true}] != nil {
		return true
	}
	aliases := 0
	for k, e := range s.Edges {
		aliases += len(e.Aliases)
		if _, other := e.Aliases[Other]; other || k.ofOther() {
			return true
		}
	}
	return aliases > s.Limit.Edges()
}

// negative reports whether more was subtracted from a node than it had. Every count
// of a node comes with an appearance in Seconds.
func (n *NodeSum) negative() bool {
	return n.Seconds.Total() < n.Statistics.Total() || n.Roots < 0 || n.Active < 0 || negative(&n.Seconds) || negativeTimes(&n.Statistics, &n.ResponseTimes) || negative(n.Durations.Counts())
}

func (e *EdgeSum) negative() bool {
	return e.Seen < max(0, e.Statistics.Total()) || negativeTimes(&e.Statistics, &e.ResponseTimes)
}

// Floor raises negative counts of a node to zero.
func (n *NodeSum) Floor() {
	if n.negative() {
		n.Roots, n.Active = max(0, n.Roots), max(0, n.Active)
		n.Seconds.Floor()
		n.Durations.Counts().Floor()
		floorTimes(&n.Statistics, &n.ResponseTimes)
	}
}

// Floor raises negative counts of an edge to zero. An edge to or from Other may have
// been counted as several edges.
func (e *EdgeSum) Floor() {
	if e.negative() {
		floorTimes(&e.Statistics, &e.ResponseTimes)
		e.Seen = max(e.Seen, e.Statistics.Total())
	}
	maps.DeleteFunc(e.Aliases, func(_ trace.Service, n int64) bool { return n < 0 })
}

func floorTimes(s *trace.Statistics, h *trace.Histogram) {
	h.Counts().Floor()
	left := h.Count()
	for _, n := range []*int64{&s.Fault, &s.Error, &s.Throttle} {
		*n = max(0, min(*n, left))
		left -= *n
	}
	s.OK, s.TotalResponseTime = left, max(0, s.TotalResponseTime)
}

func negativeTimes(s *trace.Statistics, h *trace.Histogram) bool {
	return s.OK < 0 || s.Error < 0 || s.Fault < 0 || s.Throttle < 0 || negative(h.Counts())
}

func negative(c *trace.Counts) bool {
	return slices.ContainsFunc(c.Bins(), func(b trace.Bin) bool { return b.N < 0 })
}
