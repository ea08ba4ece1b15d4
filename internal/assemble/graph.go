package assemble

import (
	"cmp"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// GraphBuilder aggregates the service graph of many traces.
type GraphBuilder struct {
	window   *trace.Window
	member   Member // of the trace that is being added
	old      bool
	services map[trace.Service]*trace.GraphService
	edges    map[edgeKey]*trace.GraphEdge
	links    []pendingLink
	start    trace.Time
	end      trace.Time
	any      bool
}

type edgeKey struct {
	from, to trace.Service
	link     bool
}

// pendingLink is a trace link whose producer is not known yet.
type pendingLink struct {
	trace.Link
	consumer trace.Service
	start    trace.Time // of the consumer
	second   trace.Time // of the consumer's trace
}

// NewGraph makes an empty graph of what was received in a window; nil means
// everything. The window applies to each completed entity's receipt.
func NewGraph(window *trace.Window) *GraphBuilder {
	return &GraphBuilder{window: window, services: map[trace.Service]*trace.GraphService{}, edges: map[edgeKey]*trace.GraphEdge{}}
}

// counts says whether an entity is an observation: completed, received in the
// window, and of the group.
func (b *GraphBuilder) counts(e *trace.Entity) bool {
	if e.InProgress || b.window != nil && !b.window.Contains(e.ReceivedAt) {
		return false
	}
	if b.member == nil {
		return true
	}
	belongs, old := b.member(e.ReceivedAt)
	b.old = b.old || old
	return belongs
}

// Add counts those observations of a trace that belong to a group.
func (b *GraphBuilder) Add(t *trace.Trace, member Member) {
	b.member = member
	second := t.Start.FloorSecond()
	if t.Root != nil {
		second = t.Root.Start.FloorSecond()
	}
	for _, n := range t.Nodes {
		var service *trace.GraphService
		for _, e := range n.Entities {
			if !b.counts(e) {
				continue
			}
			if service == nil {
				service = b.service(n, second)
			}
			if n.Client {
				continue
			}
			d := time.Duration(e.Duration())
			service.Statistics.Add(e.Outcome(), d)
			service.ResponseTimes.Add(d)
			service.Durations.Add(envelope(e))
		}
	}
	for _, edge := range t.Edges {
		b.edge(edge, second)
	}
	b.link(t, second)
}

// service finds or makes a node and widens its bounds by a trace's second.
func (b *GraphBuilder) service(n *trace.Node, second trace.Time) *trace.GraphService {
	s := b.services[n.Service]
	if s == nil {
		s = &trace.GraphService{Service: n.Service, State: n.State, Start: second, End: second + 1e9}
		if !n.Client {
			s.Statistics, s.Durations, s.ResponseTimes = &trace.Statistics{}, &trace.Histogram{}, &trace.Histogram{}
		}
		b.services[n.Service] = s
	}
	if n.State == trace.StateActive {
		s.State = trace.StateActive
	}
	s.Root = s.Root || n.Root
	s.Start, s.End = min(s.Start, second), max(s.End, second+1e9)
	if !b.any {
		b.any, b.start, b.end = true, second, second
	}
	b.start, b.end = min(b.start, second), max(b.end, second)
	return s
}

// edge counts the calls of an edge; both ends appear even if they were received
// outside the window.
func (b *GraphBuilder) edge(edge *trace.Edge, second trace.Time) {
	var out *trace.GraphEdge
	for _, call := range edge.Calls {
		if !b.counts(call) {
			continue
		}
		if out == nil {
			b.service(edge.From, second)
			out = b.graphEdge(edgeKey{edge.From.Service, edge.To.Service, false}, b.service(edge.To, second))
		}
		d := time.Duration(call.Duration())
		out.Statistics.Add(call.Outcome(), d)
		out.ResponseTimes.Add(d)
	}
	if out == nil && b.entersLater(edge) {
		b.service(edge.From, second)
		out = b.graphEdge(edgeKey{edge.From.Service, edge.To.Service, false}, b.service(edge.To, second))
	}
	if out == nil {
		return
	}
	for _, a := range edge.Aliases {
		if !slices.Contains(out.Aliases, a) {
			out.Aliases = append(out.Aliases, a)
		}
	}
}

// entersLater says whether a callee was received in the window although its
// caller was not: the edge then shows with zero counts.
func (b *GraphBuilder) entersLater(edge *trace.Edge) bool {
	return !edge.From.Client && slices.ContainsFunc(edge.To.Entities, b.counts)
}

func (b *GraphBuilder) graphEdge(key edgeKey, to *trace.GraphService) *trace.GraphEdge {
	e := b.edges[key]
	if e == nil {
		e = &trace.GraphEdge{To: to, Link: key.link, ResponseTimes: &trace.Histogram{}}
		b.edges[key] = e
	}
	return e
}

// envelope is how long a service was busy for an entity: from its earliest start
// to the latest end of it and its subsegments, asynchronous ones included.
func envelope(e *trace.Entity) time.Duration {
	start, end := e.Start, e.End
	for s := range Within(e) {
		start = min(start, s.Start)
		if !s.InProgress {
			end = max(end, s.End)
		}
	}
	return max(0, end.Sub(start))
}

// maxLinks and maxTraceLinks are how many links of an entity and of a trace count
// (X-Ray developer guide, trace links).
const (
	maxLinks      = 20
	maxTraceLinks = 100
)

// link notes the links of a trace's entities.
func (b *GraphBuilder) link(t *trace.Trace, second trace.Time) {
	left := maxTraceLinks
	for e := range All(t) {
		if len(e.Links) == 0 || !b.counts(e) || e.Segment == nil {
			continue
		}
		n := min(len(e.Links), maxLinks, left)
		left -= n
		for _, l := range e.Links[:n] {
			b.links = append(b.links, pendingLink{Link: l, start: e.Start, second: second, consumer: trace.Service{Name: e.Segment.Name, Type: e.Segment.Origin}})
		}
	}
}

// Linked lists the traces that links lead to. Call Resolve with those that exist.
func (b *GraphBuilder) Linked() []trace.ID {
	var ids []trace.ID
	seen := map[trace.ID]bool{}
	for _, l := range b.links {
		if !seen[l.TraceID] {
			seen[l.TraceID] = true
			ids = append(ids, l.TraceID)
		}
	}
	return ids
}

// Resolve makes edges of the links that lead into a trace: from the node that
// sent a message to the one that received it.
func (b *GraphBuilder) Resolve(t *trace.Trace) {
	byID := map[trace.SegmentID]*trace.Entity{}
	for e := range All(t) {
		byID[e.ID] = e
	}
	for _, l := range b.links {
		e := byID[l.ID]
		if l.TraceID != t.ID || e == nil || e.Segment == nil {
			continue
		}
		producer := trace.Service{Name: e.Segment.Name, Type: e.Segment.Origin}
		if e.Subsegment && infers(e) {
			producer = callee(e) // the queue stands between
		}
		to := b.services[l.consumer]
		if to == nil || producer == l.consumer {
			continue
		}
		for _, n := range t.Nodes {
			if n.Service == producer && !n.Client {
				if b.services[producer] == nil {
					b.service(n, l.second) // its own trace is not in the window
				}
				edge := b.graphEdge(edgeKey{producer, l.consumer, true}, to)
				if e.InProgress {
					continue // nobody knows yet how old the message was
				}
				if edge.EventAges == nil {
					edge.EventAges = &trace.Histogram{}
				}
				edge.EventAges.Add(max(0, l.start.Sub(e.End)))
			}
		}
	}
}

// Graph is the graph of all that was added. The builder must not be used
// afterwards.
func (b *GraphBuilder) Graph() *trace.Graph {
	g := &trace.Graph{Start: b.start, End: b.end, OldGroupVersions: b.old}
	for key, e := range b.edges {
		from := b.services[key.from]
		e.Start, e.End = from.Start, from.End
		slices.SortFunc(e.Aliases, byIdentity)
		from.Edges = append(from.Edges, e)
	}
	for _, s := range b.services {
		slices.SortFunc(s.Edges, func(a, b *trace.GraphEdge) int {
			return cmp.Or(byIdentity(a.To.Service, b.To.Service), cmp.Compare(flag(a.Link), flag(b.Link)))
		})
		g.Services = append(g.Services, s)
	}
	slices.SortFunc(g.Services, func(a, b *trace.GraphService) int { return byIdentity(a.Service, b.Service) })
	return g
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
