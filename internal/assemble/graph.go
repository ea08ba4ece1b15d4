package assemble

import (
	"cmp"
	"slices"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// GraphBuilder aggregates the service graph of many traces.
type GraphBuilder struct {
	window *trace.Window
	sum    *Sum
	old    bool

	linked   map[trace.ID][]LinkKey
	linkedTo map[NodeKey]*NodeSum // nodes known only from links
	links    map[EdgeKey]*trace.Histogram
}

// NewGraph makes an empty graph of everything received in a window; nil means
// everything. The window applies to the receipt of each completed entity.
func NewGraph(window *trace.Window) *GraphBuilder {
	return &GraphBuilder{window: window, sum: &Sum{}}
}

// Limited limits the names that an empty graph keeps.
func (b *GraphBuilder) Limited(limit Limit) *GraphBuilder {
	b.sum.Limit, b.sum.own = limit, limit > 0
	return b
}

// Add counts the observations of a trace that belong to a group.
func (b *GraphBuilder) Add(t *trace.Trace, member Member) {
	Observe(t, func(received trace.Time) *Sum {
		if b.window != nil && !b.window.Contains(received) {
			return nil
		}
		if member != nil {
			belongs, old := member(received)
			if b.old = b.old || old; !belongs {
				return nil
			}
		}
		return b.sum
	})
	if b.sum.within == nil {
		b.sum.Bound(false)
	}
}

// Remove subtracts the counts of Add.
func (b *GraphBuilder) Remove(t *trace.Trace, member Member) {
	gone := NewGraph(b.window).Limited(b.sum.Limit)
	gone.sum.within = b.sum
	gone.Add(t, member)
	b.sum.Merge(gone.sum, -1)
	b.sum.Bound(false)
}

// Sum returns the sum of all additions, so that callers can add more to it.
func (b *GraphBuilder) Sum() *Sum { return b.sum }

// Entities returns how many completed entities were counted.
func (b *GraphBuilder) Entities() int64 { return b.sum.Entities }

// Old tells that some counts belong to the requested group only by an older filter.
func (b *GraphBuilder) Old() { b.old = true }

// sort sorts the links by the traces they point to, once.
func (b *GraphBuilder) sort() {
	if b.linked != nil {
		return
	}
	b.linked, b.linkedTo, b.links = map[trace.ID][]LinkKey{}, map[NodeKey]*NodeSum{}, map[EdgeKey]*trace.Histogram{}
	b.sum.Bound(true)
	for l, n := range b.sum.Links {
		if n > 0 { // otherwise it is not among the counted links
			b.linked[l.TraceID] = append(b.linked[l.TraceID], l)
		}
	}
}

// Linked lists the traces that links point to. Call Resolve with the existing ones.
func (b *GraphBuilder) Linked() []trace.ID {
	b.sort()
	var ids []trace.ID
	for id := range b.linked {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y trace.ID) int { return slices.Compare(x[:], y[:]) })
	return ids
}

// Resolve turns the links into a trace to edges, from the node that sent a message
// to the node that received it.
func (b *GraphBuilder) Resolve(t *trace.Trace) {
	b.sort()
	links := b.linked[t.ID]
	if len(links) == 0 {
		return
	}
	byID := map[trace.SegmentID][]*trace.Entity{}
	for _, l := range links {
		byID[l.ID] = nil
	}
	for e := range All(t) {
		if list, linked := byID[e.ID]; linked && e.Gap == trace.NoGap {
			byID[e.ID] = append(list, e)
		}
	}
	for _, l := range links {
		e := farEnd(byID[l.ID], l.Child)
		if e == nil || e.Segment == nil {
			continue
		}
		node := l.Node
		if !b.has(node) {
			if node = node.other(); !b.has(node) {
				continue
			}
		}
		other := sender(e)
		if l.Child {
			other = Identity(e.Segment)
		}
		if other == node.Service {
			continue
		}
		for _, n := range t.Nodes {
			if n.Service == other && !n.Client {
				b.link(n, node, l, e, t)
			}
		}
	}
}

// farEnd returns the entity that a link points to, among entities with the same id,
// nil if there is none: if a call and its callee share an id, the call sent and the
// callee received.
func farEnd(shared []*trace.Entity, received bool) *trace.Entity {
	for _, e := range shared {
		if e.Subsegment != received {
			return e
		}
	}
	if len(shared) > 0 {
		return shared[0]
	}
	return nil
}

func (b *GraphBuilder) has(k NodeKey) bool {
	n := b.sum.Nodes[k]
	return n != nil && !n.Empty()
}

// link makes an edge for a link from a node to an entity of another node.
func (b *GraphBuilder) link(n *trace.Node, node NodeKey, l LinkKey, e *trace.Entity, t *trace.Trace) {
	far := keyOf(n)
	if b.sum.Limit > 0 && !b.has(far) && b.linkedTo[far] == nil && len(b.sum.Nodes)+len(b.linkedTo) >= b.sum.Limit.Most() {
		far = far.other()
	}
	key, count := EdgeKey{far, node}, b.sum.Links[l]
	if l.Child {
		key = EdgeKey{node, far}
		// Entities in progress do not count, and a message that its receiver's link
		// counts as well counts once.
		if count -= b.received(e, l, t); e.InProgress || count <= 0 {
			return
		}
	}
	if !b.has(far) { // its own trace is not in the window
		if b.linkedTo[far] == nil {
			b.linkedTo[far] = &NodeSum{}
		}
		b.linkedTo[far].appear(n, l.Second)
	}
	ages, known := b.links[key]
	if !l.Child && e.InProgress { // the age of the message is still unknown
		if !known {
			b.links[key] = nil
		}
		return
	}
	if ages == nil {
		ages = &trace.Histogram{}
		b.links[key] = ages
	}
	age := l.Time.Sub(e.End)
	if l.Child {
		age = e.Start.Sub(l.Time)
	}
	for range count {
		ages.Add(max(0, age))
	}
}

// received returns how often the receiver's links to the sender of a message are
// counted; l is the sender's link to it. Any entity of the receiving segment may
// have them.
func (b *GraphBuilder) received(e *trace.Entity, l LinkKey, t *trace.Trace) (n int64) {
	for r := range Within(e.Segment) {
		for _, back := range r.Links {
			if !back.Child && back.TraceID == l.Sender.TraceID && back.ID == l.Sender.ID {
				n += b.sum.Links[linkKey(t.ID, r, back, secondOf(t))]
			}
		}
	}
	return n
}

// Graph returns the finished graph. The builder must not be used afterwards.
func (b *GraphBuilder) Graph() *trace.Graph {
	b.sum.Bound(true)
	g := &trace.Graph{OldGroupVersions: b.old}
	services := map[NodeKey]*trace.GraphService{}
	for _, nodes := range []map[NodeKey]*NodeSum{b.sum.Nodes, b.linkedTo} {
		for k, n := range nodes {
			if n.Empty() {
				continue
			}
			s := n.service(k)
			if len(g.Services) == 0 {
				g.Start, g.End = s.Start, s.End-1e9
			}
			g.Start, g.End = min(g.Start, s.Start), max(g.End, s.End-1e9)
			services[k] = s
			g.Services = append(g.Services, s)
		}
	}
	// A node may exist only as an end of edges, if its own counts are folded into
	// Other.
	end := func(k NodeKey, like *trace.GraphService) *trace.GraphService {
		s := services[k]
		if s == nil {
			s = &trace.GraphService{Service: k.Service, State: trace.StateUnknown, Start: like.Start, End: like.End}
			if !k.Client {
				s.Statistics, s.Durations, s.ResponseTimes = &trace.Statistics{}, &trace.Histogram{}, &trace.Histogram{}
			}
			services[k] = s
			g.Services = append(g.Services, s)
		}
		return s
	}
	add := func(k EdgeKey, e *trace.GraphEdge) {
		from, to := services[k.From], services[k.To]
		switch {
		case from == nil && to == nil:
			from = end(k.From, &trace.GraphService{Start: g.Start, End: g.End + 1e9})
			to = end(k.To, from)
		case from == nil:
			from = end(k.From, to)
		case to == nil:
			to = end(k.To, from)
		}
		e.To, e.Start, e.End = to, from.Start, from.End
		slices.SortFunc(e.Aliases, byIdentity)
		from.Edges = append(from.Edges, e)
	}
	for k, e := range b.sum.Edges {
		if e.Seen > 0 {
			add(k, &trace.GraphEdge{Statistics: e.Statistics, ResponseTimes: &e.ResponseTimes, Aliases: e.aliases()})
		}
	}
	for k, ages := range b.links {
		add(k, &trace.GraphEdge{Link: true, EventAges: ages, ResponseTimes: &trace.Histogram{}})
	}
	for _, s := range g.Services {
		slices.SortFunc(s.Edges, func(a, b *trace.GraphEdge) int {
			return cmp.Or(byIdentity(a.To.Service, b.To.Service), cmp.Compare(flag(a.Link), flag(b.Link)))
		})
	}
	slices.SortFunc(g.Services, func(a, b *trace.GraphService) int {
		return cmp.Or(byIdentity(a.Service, b.Service), cmp.Compare(flag(a.Statistics == nil), flag(b.Statistics == nil)))
	})
	return g
}

// service returns a node in the form of a graph.
func (n *NodeSum) service(k NodeKey) *trace.GraphService {
	seconds := n.Seconds.Bins()
	s := &trace.GraphService{
		Service: k.Service, State: trace.StateUnknown, Root: n.Roots > 0,
		Start: trace.Time(seconds[0].Key) * 1e9, End: trace.Time(seconds[len(seconds)-1].Key+1) * 1e9,
	}
	switch {
	case n.Active > 0: // wins over traces in which it was only called
		s.State = trace.StateActive
	case !k.Client && (k.Type == "remote" || k.Type == typeSQL):
		s.State = trace.StatePassive
	}
	if !k.Client {
		s.Statistics, s.Durations, s.ResponseTimes = &n.Statistics, &n.Durations, &n.ResponseTimes
	}
	return s
}

func byIdentity(a, b trace.Service) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Account, b.Account))
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
