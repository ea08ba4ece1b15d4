package assemble

import (
	"maps"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Sum is the contribution of traces to a service graph. It consists of counts only,
// so that parts can be added in any order and subtracted again. The zero value is
// empty.
type Sum struct {
	Entities int64 // completed, of any kind
	Nodes    map[NodeKey]*NodeSum
	Edges    map[EdgeKey]*EdgeSum
	Links    map[LinkKey]int64
	// Limit limits the number of names (bound.go); 0 means no limit.
	Limit  Limit
	within *Sum // nil, or the sum that this one will be subtracted from: names it lacks are folded
	own    bool // copy names, because they may outlive the traces that have them
	links  linkSample
	only   chooser // nil: everything is counted
	rest   struct {
		node NodeSum // receives the counts that are not selected
		edge EdgeSum
	}
}

// NodeKey identifies a node of a graph.
type NodeKey struct {
	trace.Service
	Client bool
}

// EdgeKey identifies an edge that calls make.
type EdgeKey struct{ From, To NodeKey }

// LinkKey is a trace link; it makes an edge once the linked trace is known.
type LinkKey struct {
	trace.Link
	// Node is the receiver of the message; for a link with Child set, the sender.
	Node NodeKey
	// Time is the start of the entity with the link; for a link with Child set, its
	// end.
	Time   trace.Time
	Second int64 // of its trace, as in NodeSum
	// Sender is the entity that has a link with Child set, because its receiver may
	// have a link to it, too. It is empty for other links.
	Sender trace.Link
}

// NodeSum is the contribution to a node.
type NodeSum struct {
	// Seconds are the Unix seconds in which the traces with this node start, one for
	// each observation.
	Seconds trace.Counts
	// Roots and Active count the observations in traces whose root the node has, and
	// in traces where it has segments.
	Roots, Active int64
	// The following fields stay empty for client nodes.
	Statistics    trace.Statistics
	ResponseTimes trace.Histogram
	Durations     trace.Histogram
}

// EdgeSum is the contribution to an edge.
type EdgeSum struct {
	Seen          int64 // observations in which it appears; not all are calls
	Statistics    trace.Statistics
	ResponseTimes trace.Histogram
	Aliases       map[trace.Service]int64
	most          int // half of the maximum number of aliases; 0: no limit
}

// Node finds or makes a node. Over the limit it returns the node of all others.
func (s *Sum) Node(k NodeKey) *NodeSum {
	if n := s.Nodes[k]; n != nil {
		return n
	}
	return s.newNode(k)
}

// Edge finds or makes an edge; its nodes must exist. Over the limit it returns an
// edge to all others.
func (s *Sum) Edge(k EdgeKey) *EdgeSum {
	if e := s.Edges[k]; e != nil {
		return e
	}
	return s.newEdge(k)
}

// Link counts a link.
func (s *Sum) Link(k LinkKey, n int64) {
	if s.Limit > 0 && !s.sampled(k) {
		return
	}
	if s.Links == nil {
		s.Links = map[LinkKey]int64{}
	}
	if s.Links[k] += n; s.Links[k] == 0 {
		delete(s.Links, k)
	}
}

// Merge adds the counts of o, times sign: -1 subtracts them.
func (s *Sum) Merge(o *Sum, sign int64) {
	s.Entities += sign * o.Entities
	for k, n := range o.Nodes {
		s.Node(k).Merge(n, sign)
	}
	for k, e := range o.Edges {
		s.Edge(k).Merge(e, sign)
	}
	for k, n := range o.Links {
		s.Link(k, sign*n)
	}
}

// Merge adds the counts of o, times sign.
func (n *NodeSum) Merge(o *NodeSum, sign int64) {
	n.Seconds.Merge(&o.Seconds, sign)
	n.Roots += sign * o.Roots
	n.Active += sign * o.Active
	n.Statistics.Merge(o.Statistics, sign)
	n.ResponseTimes.Merge(&o.ResponseTimes, sign)
	n.Durations.Merge(&o.Durations, sign)
}

// Merge adds the counts of o, times sign.
func (e *EdgeSum) Merge(o *EdgeSum, sign int64) {
	e.Seen += sign * o.Seen
	e.Statistics.Merge(o.Statistics, sign)
	e.ResponseTimes.Merge(&o.ResponseTimes, sign)
	for a, n := range o.Aliases {
		e.alias(a, sign*n)
	}
}

func (e *EdgeSum) alias(a trace.Service, n int64) {
	if _, known := e.Aliases[a]; !known && e.most > 0 && len(e.Aliases) >= 2*e.most {
		a = Other
	}
	if e.Aliases == nil {
		e.Aliases = map[trace.Service]int64{}
	}
	if e.Aliases[a] += n; e.Aliases[a] == 0 {
		delete(e.Aliases, a)
	}
}

// Empty reports whether a node has no counts left.
func (n *NodeSum) Empty() bool { return len(n.Seconds.Bins()) == 0 }

func keyOf(n *trace.Node) NodeKey { return NodeKey{n.Service, n.Client} }

func (n *NodeSum) appear(node *trace.Node, second int64) {
	n.Seconds.Add(second, 1)
	if node.Root {
		n.Roots++
	}
	if node.State == trace.StateActive {
		n.Active++
	}
}

// Observe counts a trace. Each completed entity is counted in the sum that at
// returns for its receipt; nil means that it is not counted. Nothing else about the
// trace matters, so sums over adjacent times add up.
func Observe(t *trace.Trace, at func(received trace.Time) *Sum) {
	o := observation{at: at, trace: t.ID, second: secondOf(t)}
	left := maxTraceLinks
	for e := range All(t) {
		if s := o.sum(e); s != nil && e.Gap == trace.NoGap {
			s.Entities++
		}
		if len(e.Links) > 0 && !e.InProgress && e.Segment != nil {
			n := min(len(e.Links), maxLinks, left)
			left -= n
			o.links(e, e.Links[:n])
		}
	}
	o.known = o.space[:0]
	for _, n := range t.Nodes {
		o.node(n)
	}
	for _, e := range t.Edges {
		o.edge(e)
	}
}

// secondOf returns the Unix second in which a trace starts, for its nodes.
func secondOf(t *trace.Trace) int64 {
	if t.Root != nil {
		return int64(t.Root.Start.FloorSecond() / 1e9)
	}
	return int64(t.Start.FloorSecond() / 1e9)
}

// maxLinks and maxTraceLinks limit the counted links of an entity and of a trace
// (X-Ray developer guide, trace links).
const (
	maxLinks      = 20
	maxTraceLinks = 100
)

// observation is the state of counting one trace.
type observation struct {
	at       func(trace.Time) *Sum
	trace    trace.ID
	second   int64
	asked    bool
	received trace.Time // receipt of the last call of at
	answer   *Sum
	known    []nodeOf // sums looked up so far
	space    [16]nodeOf
}

// nodeOf is a node of the trace and its counts in a sum.
type nodeOf struct {
	in   *Sum
	node *trace.Node
	sum  *NodeSum
}

// nodeSum returns a node's counts in a sum. A trace looks up few of them, often.
func (o *observation) nodeSum(in *Sum, n *trace.Node) *NodeSum {
	for i := range o.known {
		if k := &o.known[i]; k.node == n && k.in == in {
			return k.sum
		}
	}
	sum := in.Node(keyOf(n))
	if len(o.known) < 64 {
		o.known = append(o.known, nodeOf{in, n, sum})
	}
	return sum
}

func (o *observation) sum(e *trace.Entity) *Sum {
	if e.InProgress {
		return nil
	}
	if !o.asked || o.received != e.ReceivedAt {
		o.asked, o.received, o.answer = true, e.ReceivedAt, o.at(e.ReceivedAt)
	}
	return o.answer
}

func (o *observation) node(n *trace.Node) {
	var in *Sum
	var node *NodeSum
	for _, e := range n.Entities {
		s := o.sum(e)
		if s == nil {
			continue
		}
		if s != in {
			in, node = s, o.nodeSum(s, n)
		}
		node.appear(n, o.second)
		if n.Client {
			continue
		}
		d := time.Duration(e.Duration())
		node.Statistics.Add(e.Outcome(), d)
		node.ResponseTimes.Add(d)
		node.Durations.Add(envelope(e))
	}
}

// edge counts the calls of an edge; both ends appear even if their own documents
// were received at another time.
func (o *observation) edge(edge *trace.Edge) {
	var in *Sum
	var out *EdgeSum
	var from, to *NodeSum
	appear := func(s *Sum) {
		if s != in {
			key := EdgeKey{keyOf(edge.From), keyOf(edge.To)}
			in, from, to = s, o.nodeSum(s, edge.From), o.nodeSum(s, edge.To)
			out = s.Edge(key) // after its nodes
		}
		from.appear(edge.From, o.second)
		to.appear(edge.To, o.second)
		out.Seen++
		for _, a := range edge.Aliases {
			out.alias(a, 1)
		}
	}
	for _, call := range edge.Calls {
		if s := o.sum(call); s != nil {
			appear(s)
			d := time.Duration(call.Duration())
			out.Statistics.Add(call.Outcome(), d)
			out.ResponseTimes.Add(d)
		}
	}
	if edge.From.Client {
		return
	}
	// A callee received at another time than its caller shows its edge with zero
	// counts.
	var times map[trace.Time]bool // receipts of completed calls, if there are many
	if len(edge.Calls) > few {
		times = make(map[trace.Time]bool)
		for _, call := range edge.Calls {
			if !call.InProgress {
				times[call.ReceivedAt] = true
			}
		}
	}
	for _, e := range edge.To.Entities {
		if times != nil && !times[e.ReceivedAt] || times == nil && !calledAt(edge, e.ReceivedAt) {
			if s := o.sum(e); s != nil {
				appear(s)
			}
		}
	}
}

// calledAt reports whether a completed call of an edge was received at an instant.
func calledAt(edge *trace.Edge, received trace.Time) bool {
	for _, call := range edge.Calls {
		if call.ReceivedAt == received && !call.InProgress {
			return true
		}
	}
	return false
}

func (o *observation) links(e *trace.Entity, list []trace.Link) {
	s := o.sum(e)
	if s == nil {
		return
	}
	for _, l := range list {
		s.Link(linkKey(o.trace, e, l, o.second), 1)
	}
}

// linkKey returns the key under which a link of an entity is counted.
func linkKey(in trace.ID, e *trace.Entity, l trace.Link, second int64) LinkKey {
	if l.Child {
		return LinkKey{Link: l, Node: NodeKey{Service: sender(e)}, Time: e.End, Second: second, Sender: trace.Link{TraceID: in, ID: e.ID}}
	}
	return LinkKey{Link: l, Node: NodeKey{Service: Identity(e.Segment)}, Time: e.Start, Second: second}
}

// sender returns the node that sent a message: the queue that an entity called, if
// it is known, otherwise the entity's service.
func sender(e *trace.Entity) trace.Service {
	if e.Subsegment && infers(e) {
		return callee(e)
	}
	return Identity(e.Segment)
}

// envelope returns how long a service was busy for an entity: from the earliest
// start to the latest end of it and its subsegments, asynchronous ones included.
func envelope(e *trace.Entity) time.Duration {
	start, end := e.Start, e.End
	if len(e.Subsegments) > 0 {
		for s := range Within(e) {
			start = min(start, s.Start)
			if !s.InProgress {
				end = max(end, s.End)
			}
		}
	}
	return max(0, end.Sub(start))
}

// aliases returns the remaining names, in order.
func (e *EdgeSum) aliases() []trace.Service {
	var list []trace.Service
	for a := range maps.Keys(e.Aliases) {
		list = append(list, a)
	}
	return list
}
