package filter

import (
	"slices"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Match reports whether the expression selects a trace. s is the trace's summary.
func (e *Expr) Match(t *trace.Trace, s *trace.Summary) bool {
	if e == nil || e.root == nil {
		return true
	}
	m := matcher{t: t, s: s}
	return m.trace(e.root)
}

// MatchService is like Match, for trace.ClockService: an entity that a service() or
// edge() clause matched must have ended in the window. Without such a clause the
// trace must have ended in it.
func (e *Expr) MatchService(t *trace.Trace, s *trace.Summary, w trace.Window) bool {
	if e == nil || e.root == nil || !selects(e.root) {
		return t.End != 0 && w.Contains(t.End) && e.Match(t, s)
	}
	m := matcher{t: t, s: s, window: &w}
	return m.trace(e.root)
}

// selects reports whether n contains a service() or edge() clause that is not
// negated.
func selects(n node) bool {
	switch n := n.(type) {
	case *andNode:
		return slices.ContainsFunc(n.terms, selects)
	case *orNode:
		return slices.ContainsFunc(n.terms, selects)
	case *serviceNode, *edgeNode:
		return true
	case *groupNode:
		return !n.negated && n.expr != nil && n.expr.root != nil && selects(n.expr.root)
	}
	return false
}

// matcher evaluates nodes against one trace.
type matcher struct {
	t      *trace.Trace
	s      *trace.Summary
	window *trace.Window // for clauses that are not negated, nil: no condition
}

// trace evaluates a node at the top level.
func (m *matcher) trace(n node) bool {
	switch n := n.(type) {
	case *andNode:
		for _, t := range n.terms {
			if !m.trace(t) {
				return false
			}
		}
		return true
	case *orNode:
		for _, t := range n.terms {
			if m.trace(t) {
				return true
			}
		}
		return false
	case *notNode:
		window := m.window
		m.window = nil
		matched := m.trace(n.term)
		m.window = window
		return !matched
	case *serviceNode:
		return m.service(n)
	case *edgeNode:
		return m.edge(n)
	case *causeNode:
		return m.cause(n)
	case *causeJSONNode:
		if n.negated { // a trace without root causes has nothing to differ
			return len(m.s.FaultCauses)+len(m.s.ErrorCauses)+len(m.s.ResponseCauses) > 0 && !m.causeJSON(n)
		}
		return m.causeJSON(n)
	case *groupNode:
		return (n.expr != nil && (n.expr.root == nil || m.trace(n.expr.root))) != n.negated
	case *compareNode:
		return n.match((*traceFields)(m))
	}
	return false
}

// body evaluates the inside of a clause against one element.
func body(n node, f valueSource) bool {
	switch n := n.(type) {
	case nil:
		return true
	case *andNode:
		for _, t := range n.terms {
			if !body(t, f) {
				return false
			}
		}
		return true
	case *orNode:
		for _, t := range n.terms {
			if body(t, f) {
				return true
			}
		}
		return false
	case *notNode:
		return !body(n.term, f)
	case *compareNode:
		return n.match(f)
	}
	return false
}

func (s selector) match(v trace.Service) bool {
	return (s.name == nil || *s.name == v.Name) && (s.typ == nil || *s.typ == v.Type) && (s.account == nil || *s.account == v.Account)
}

func (m *matcher) inWindow(e *trace.Entity) bool {
	return m.window == nil || !e.InProgress && m.window.Contains(e.End)
}

func (m *matcher) service(n *serviceNode) bool {
	for _, node := range m.t.Nodes {
		if !n.sel.match(node.Service) {
			continue
		}
		for _, e := range node.Entities {
			if m.inWindow(e) && body(n.body, &entityFields{m: m, node: node, entity: e}) {
				return true
			}
		}
	}
	return false
}

func (m *matcher) edge(n *edgeNode) bool {
	for _, edge := range m.t.Edges {
		if !n.from.match(edge.From.Service) || !n.to.match(edge.To.Service) {
			continue
		}
		if n.body == nil && len(edge.Calls) == 0 && m.window == nil {
			return true
		}
		for _, e := range edge.Calls {
			if m.inWindow(e) && body(n.body, &entityFields{m: m, edge: edge, entity: e}) {
				return true
			}
		}
	}
	return false
}

func (m *matcher) causes(c causeCategory) []trace.RootCause {
	switch c {
	case faultCause:
		return m.s.FaultCauses
	case errorCause:
		return m.s.ErrorCauses
	}
	return m.s.ResponseCauses
}

func (m *matcher) cause(n *causeNode) bool {
	for _, c := range m.causes(n.category) {
		for i := range c.Services {
			s := &c.Services[i]
			if n.scope == inCauseService {
				if body(n.body, &causeFields{service: s, index: i, last: i == len(c.Services)-1}) {
					return true
				}
				continue
			}
			for j := range s.Entities {
				e := &s.Entities[j]
				if n.scope != inException {
					if body(n.body, &causeFields{entity: e, index: j, last: j == len(s.Entities)-1}) {
						return true
					}
					continue
				}
				for k := range e.Exceptions {
					if body(n.body, &causeFields{exception: &e.Exceptions[k], index: k, last: k == len(e.Exceptions)-1}) {
						return true
					}
				}
			}
		}
	}
	return false
}
