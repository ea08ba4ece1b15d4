package assemble

import (
	"slices"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// infers reports whether a subsegment implies a callee without a segment: it is a
// completed call with namespace aws or remote and without a child segment. A call to
// S3 keeps its bucket even if its child is the Lambda function that the bucket's
// event started (as in traces that AWS returned).
func infers(e *trace.Entity) bool {
	if !e.Subsegment || !e.Remote() || e.InProgress {
		return false
	}
	return len(e.Callees) == 0 || e.Namespace == "aws" && calleeName(e) == "S3" && e.Callees[0].Origin == "AWS::Lambda"
}

// typeSQL is the type of a callee that was queried in SQL, and the origin of its
// inferred segment (as in traces that AWS returned).
const typeSQL = "Database::SQL"

// Identity returns the identity of a segment's node.
func Identity(s *trace.Entity) trace.Service {
	return trace.Service{Name: s.Name, Type: s.Origin, Account: accountOf(s)}
}

// accountOf returns the account that owns an entity, "" for that of the reader. A
// placeholder belongs to the account of its first subsegment.
func accountOf(e *trace.Entity) string {
	if e.Received == nil && len(e.Subsegments) > 0 {
		e = e.Subsegments[0]
	}
	if e.Received == nil {
		return ""
	}
	return string(e.Received.Account)
}

// callee returns the identity of the service that a remote subsegment called, as the
// caller knows it. It belongs to the account of the caller.
func callee(e *trace.Entity) trace.Service {
	s := called(e)
	s.Account = accountOf(e)
	return s
}

func called(e *trace.Entity) trace.Service {
	name := calleeName(e)
	if e.Namespace != "aws" {
		if e.SQL != nil {
			return trace.Service{Name: name, Type: typeSQL}
		}
		return trace.Service{Name: name, Type: "remote"}
	}
	if a := e.AWS; a != nil && a.Operation != "" {
		for _, r := range [...]struct{ service, resource, typ string }{
			{"DynamoDB", a.TableName, "AWS::DynamoDB::Table"},
			{"S3", a.BucketName, "AWS::S3::Bucket"},
			{"SQS", a.QueueURL, "AWS::SQS::Queue"},
			{"SNS", a.TopicARN, "AWS::SNS"},
			{"Lambda", a.FunctionName, "AWS::Lambda"},
		} {
			if sameService(name, r.service) && r.resource != "" {
				return trace.Service{Name: r.resource, Type: r.typ}
			}
		}
	}
	return trace.Service{Name: name, Type: "AWS::" + name}
}

// calleeName returns the name of the called service; for AWS the name of the
// service, not of its resource.
func calleeName(e *trace.Entity) string {
	if e.Peer != "" {
		return e.Peer
	}
	return e.Name
}

// sameService compares the name of an AWS service with a subsegment's name, which
// the X-Ray SDK for Python writes in lower case.
func sameService(name, service string) bool {
	if len(name) != len(service) {
		return false
	}
	for i := range len(name) {
		if name[i]|0x20 != service[i]|0x20 {
			return false
		}
	}
	return true
}

// connect makes the trace's nodes and edges.
func connect(t *trace.Trace, m *memory) {
	c := connector{t: t, memory: m}
	for _, s := range t.Segments {
		n := c.node(Identity(s))
		n.State, n.Inferred = trace.StateActive, s.Inferred
		n.Root = n.Root || s == t.Root
		n.Entities = m.entityOf.Append(n.Entities, s)
		c.caller(s, n)
		for e := range Within(s) {
			if infers(e) {
				c.inferred(e, n)
			}
		}
	}
}

// connector collects nodes and edges. Most traces have few of both, and below a
// certain number a linear search is faster than a map.
type connector struct {
	t *trace.Trace
	*memory
	nodeAt map[nodeID]*trace.Node // nil while there are few
	edgeAt map[edgeID]*trace.Edge
	called map[edgeCall]bool
}

// few is the number up to which a list is searched linearly.
const few = 32

// nodeID identifies a node of a trace, edgeID an edge.
type (
	nodeID struct {
		trace.Service
		client bool
	}
	edgeID struct{ from, to *trace.Node }
)

// edgeCall identifies a call of an edge.
type edgeCall struct {
	edge *trace.Edge
	call *trace.Entity
}

// node finds or makes the node of a service that sent segments or was called.
func (c *connector) node(s trace.Service) *trace.Node { return c.find(nodeID{s, false}) }

func (c *connector) find(id nodeID) *trace.Node {
	if c.nodeAt != nil {
		if n := c.nodeAt[id]; n != nil {
			return n
		}
	} else {
		for _, n := range c.t.Nodes {
			if n.Client == id.client && n.Service == id.Service {
				return n
			}
		}
	}
	n := c.nodes.One()
	*n = trace.Node{Service: id.Service, Client: id.client}
	c.t.Nodes = c.nodeOf.Append(c.t.Nodes, n)
	switch {
	case c.nodeAt != nil:
		c.nodeAt[id] = n
	case len(c.t.Nodes) > few:
		c.nodeAt = map[nodeID]*trace.Node{}
		for _, n := range c.t.Nodes {
			c.nodeAt[nodeID{n.Service, n.Client}] = n
		}
	}
	return n
}

func (c *connector) edge(from, to *trace.Node) *trace.Edge {
	if c.edgeAt != nil {
		if e := c.edgeAt[edgeID{from, to}]; e != nil {
			return e
		}
	} else {
		for _, e := range c.t.Edges {
			if e.From == from && e.To == to {
				return e
			}
		}
	}
	e := c.edges.One()
	*e = trace.Edge{From: from, To: to}
	c.t.Edges = c.edgeOf.Append(c.t.Edges, e)
	switch {
	case c.edgeAt != nil:
		c.edgeAt[edgeID{from, to}] = e
	case len(c.t.Edges) > few:
		c.edgeAt = map[edgeID]*trace.Edge{}
		for _, e := range c.t.Edges {
			c.edgeAt[edgeID{e.From, e.To}] = e
		}
	}
	return e
}

// caller makes the edge that leads to a segment: from the client if the segment has
// no parent, otherwise from the owner of the calling entity.
func (c *connector) caller(s *trace.Entity, n *trace.Node) {
	if s.Gap.Unknown() {
		return // its caller is unknown
	}
	if s.Parent == nil && s.ParentID.IsZero() {
		client := c.find(nodeID{trace.Service{Name: s.Name, Type: "client", Account: accountOf(s)}, true})
		client.State = trace.StateUnknown
		client.Entities = c.entityOf.Append(client.Entities, s)
		edge := c.edge(client, n)
		edge.Calls = c.entityOf.Append(edge.Calls, s)
		return
	}
	parent := s.Parent
	if parent == nil || parent.Segment == nil {
		return
	}
	owner := parent.Segment
	edge := c.edge(c.node(Identity(owner)), n)
	if !parent.Subsegment || !parent.Remote() {
		edge.Calls = c.entityOf.Append(edge.Calls, s)
		return
	}
	if len(parent.Callees) > 1 { // one call of the edge, even if several answered
		call := edgeCall{edge, parent}
		if c.called[call] {
			return
		}
		if c.called == nil {
			c.called = map[edgeCall]bool{}
		}
		c.called[call] = true
	}
	edge.Calls = c.entityOf.Append(edge.Calls, parent)
	if alias := callee(parent); !slices.Contains(edge.Aliases, alias) {
		edge.Aliases = append(edge.Aliases, alias)
	}
}

// inferred makes the node and the edge of a callee without a segment.
func (c *connector) inferred(e *trace.Entity, owner *trace.Node) {
	n := c.node(callee(e))
	if n.State != trace.StateActive {
		n.Inferred, n.State = true, trace.StateUnknown
		if e.Namespace == "remote" {
			n.State = trace.StatePassive
		}
	}
	n.Entities = c.entityOf.Append(n.Entities, e)
	edge := c.edge(owner, n)
	edge.Calls = c.entityOf.Append(edge.Calls, e)
}
