package filter

import (
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Lookup finds the filter expression of a group by its name or by its ARN; the
// other is "". found is false if there is no such group.
type Lookup func(name, arn string) (e *Expr, found bool)

// maxNodes limits the size of an expression with its groups' filters inserted:
// groups that name others twice each would grow exponentially.
const maxNodes = 10_000

// Resolve returns the expression with the groups it names looked up, and the groups
// in their filters. Before that, and with a nil lookup, a group matches no trace,
// except Default, which matches all. The error, of kind invalid, reports groups that
// contain themselves or are too large together.
func (e *Expr) Resolve(lookup Lookup) (*Expr, error) {
	if e == nil || lookup == nil || !namesGroup(e.root) {
		return e, nil
	}
	r := resolver{lookup: lookup, known: map[groupKey]resolved{}}
	root, _, err := r.node(e.root)
	if err != nil {
		return nil, err
	}
	return &Expr{root: root}, nil
}

// namesGroup reports whether a node contains a group.
func namesGroup(n node) bool {
	switch n := n.(type) {
	case *andNode:
		return slices.ContainsFunc(n.terms, namesGroup)
	case *orNode:
		return slices.ContainsFunc(n.terms, namesGroup)
	case *notNode:
		return namesGroup(n.term)
	case *groupNode:
		return true
	}
	return false
}

type groupKey struct {
	byARN bool
	value string
}

// resolved is a group's filter with its own groups inserted, and its number of
// nodes. expr is nil if the group does not exist.
type resolved struct {
	expr *Expr
	size int
}

type resolver struct {
	lookup Lookup
	known  map[groupKey]resolved
	path   []groupKey // groups that are being resolved, outermost first
}

// node returns n with its groups looked up, and the resulting number of nodes.
func (r *resolver) node(n node) (node, int, error) {
	switch n := n.(type) {
	case *andNode:
		terms, size, err := r.terms(n.terms)
		return &andNode{terms}, size, err
	case *orNode:
		terms, size, err := r.terms(n.terms)
		return &orNode{terms}, size, err
	case *notNode:
		term, size, err := r.node(n.term)
		return &notNode{term}, size + 1, err
	case *groupNode:
		group, err := r.group(n)
		resolved := *n
		resolved.expr = group.expr
		return &resolved, group.size + 1, err
	}
	return n, 1, nil
}

func (r *resolver) terms(terms []node) ([]node, int, error) {
	out, size := make([]node, len(terms)), 1
	for i, t := range terms {
		n, s, err := r.node(t)
		if err != nil {
			return nil, 0, err
		}
		if size += s; size > maxNodes {
			return nil, 0, trace.Errorf(trace.KindInvalid, "the groups of the filter expression have more than %d terms together", maxNodes) // not recorded
		}
		out[i] = n
	}
	return out, size, nil
}

func (r *resolver) group(n *groupNode) (resolved, error) {
	key := groupKey{n.byARN, n.value}
	if n.isDefault() {
		return resolved{expr: &Expr{}}, nil
	}
	if g, ok := r.known[key]; ok {
		return g, nil
	}
	switch {
	case slices.Contains(r.path, key):
		return resolved{}, trace.Errorf(trace.KindInvalid, "the filter expression of group '%s' leads back to the group itself", n.value) // not recorded
	case len(r.path) == maxDepth:
		return resolved{}, trace.Errorf(trace.KindInvalid, "groups nest deeper than %d levels", maxDepth) // not recorded
	}
	name, arn := n.value, ""
	if n.byARN {
		name, arn = "", n.value
	}
	var g resolved
	if e, found := r.lookup(name, arn); found && (e == nil || e.root == nil) {
		g.expr = &Expr{}
	} else if found {
		r.path = append(r.path, key)
		root, size, err := r.node(e.root)
		if err != nil {
			return resolved{}, err
		}
		r.path = r.path[:len(r.path)-1]
		g = resolved{&Expr{root: root}, size}
	}
	r.known[key] = g
	return g, nil
}

// isDefault reports whether the group is Default, which has every trace. Its ARN
// ends in :group/Default.
func (n *groupNode) isDefault() bool {
	return !n.byARN && n.value == "Default" || n.byARN && strings.HasSuffix(n.value, ":group/Default")
}
