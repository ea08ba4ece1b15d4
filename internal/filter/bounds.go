package filter

import (
	"math"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Bounds is a conjunction of conditions that every trace an expression selects
// satisfies. An engine may use any of them to read less. The zero value allows
// everything.
type Bounds struct {
	// Services are names of nodes the trace must all have.
	Services []string
	// AnnotationKeys must all be present.
	AnnotationKeys []string
	// Annotations are values that the trace must have, Users users.
	Annotations []trace.Annotation
	Users       []string
	// Slow are services of which some entity must take at least so long.
	Slow []SlowService
	// Either are alternatives: of each list, one must hold.
	Either [][]Bounds
	// MinResponse and MaxResponse, if not nil, are inclusive bounds of the
	// response time, which must then be known; likewise for the duration.
	MinResponse, MaxResponse *time.Duration
	MinDuration, MaxDuration *time.Duration
	// Fault, Error and Throttle, if not nil, are what the trace's flags must be.
	Fault, Error, Throttle *bool
}

// SlowService says that an entity of a service took at least some time.
type SlowService struct {
	Name  string
	Least time.Duration
}

// everything says that the bounds allow all traces.
func (b *Bounds) everything() bool {
	return b.Services == nil && b.AnnotationKeys == nil && b.Annotations == nil && b.Users == nil && b.Slow == nil && b.Either == nil &&
		b.MinResponse == nil && b.MaxResponse == nil && b.MinDuration == nil && b.MaxDuration == nil && b.Fault == nil && b.Error == nil && b.Throttle == nil
}

// Bounds is what every selected trace satisfies.
func (e *Expr) Bounds() Bounds {
	var b Bounds
	if e != nil && e.root != nil {
		b.restrict(e.root)
	}
	return b
}

// restrict adds what n, being true, says.
func (b *Bounds) restrict(n node) {
	switch n := n.(type) {
	case *andNode:
		for _, t := range n.terms {
			b.restrict(t)
		}
	case *notNode:
		if c, ok := n.term.(*compareNode); ok && c.op == 0 {
			b.flag(c.field, false)
		}
	case *orNode:
		b.either(n.terms)
	case *serviceNode:
		b.service(n.sel)
		if n.sel.name != nil {
			b.slow(*n.sel.name, n.body)
		}
	case *edgeNode:
		b.service(n.from)
		b.service(n.to)
	case *groupNode:
		if !n.negated && n.expr != nil && n.expr.root != nil {
			b.restrict(n.expr.root)
		}
	case *compareNode:
		b.compare(n)
	}
}

func (b *Bounds) service(s selector) {
	if s.name != nil && !slices.Contains(b.Services, *s.name) {
		b.Services = append(b.Services, *s.name)
	}
}

// either adds what holds if one of some terms does.
func (b *Bounds) either(terms []node) {
	list := make([]Bounds, len(terms))
	for i, t := range terms {
		if list[i].restrict(t); list[i].everything() {
			return
		}
	}
	b.Either = append(b.Either, list)
}

// slow adds what the body of a clause says of how long an entity takes.
func (b *Bounds) slow(service string, n node) {
	switch n := n.(type) {
	case *andNode:
		for _, t := range n.terms {
			b.slow(service, t)
		}
	case *compareNode:
		if n.field != fieldResponseTime && n.field != fieldDuration {
			return
		}
		var least, most *time.Duration
		if narrow(&least, &most, n); least != nil {
			b.Slow = append(b.Slow, SlowService{service, *least})
		}
	}
}

func (b *Bounds) compare(n *compareNode) {
	switch n.field {
	case fieldUser:
		if n.op == opEqual && n.lit.typ == stringField {
			b.Users = append(b.Users, n.lit.text)
		}
	case fieldAnnotation:
		if n.op == opEqual {
			b.Annotations = append(b.Annotations, trace.Annotation{Key: n.key, Value: n.lit.value()})
		}
		if !slices.Contains(b.AnnotationKeys, n.key) {
			b.AnnotationKeys = append(b.AnnotationKeys, n.key)
		}
	case fieldResponseTime:
		narrow(&b.MinResponse, &b.MaxResponse, n)
	case fieldDuration:
		narrow(&b.MinDuration, &b.MaxDuration, n)
	case fieldFault, fieldError, fieldThrottle:
		if n.op == 0 {
			b.flag(n.field, true)
		} else if n.lit.typ == boolField {
			b.flag(n.field, n.lit.yes == (n.op == opEqual))
		}
	}
}

func (b *Bounds) flag(f field, want bool) {
	switch f {
	case fieldFault:
		b.Fault = &want
	case fieldError:
		b.Error = &want
	case fieldThrottle:
		b.Throttle = &want
	}
}

// narrow moves the bounds of a duration. Rounding is outward: the exact
// comparison is made on what comes back.
func narrow(lowest, highest **time.Duration, n *compareNode) {
	if n.lit.typ != numberField && n.op != 0 {
		return
	}
	low := clampDuration(math.Floor(n.lit.num * 1e9))
	high := clampDuration(math.Ceil(n.lit.num * 1e9))
	if (n.op == opEqual || n.op == opGreater || n.op == opGreaterEqual) && (*lowest == nil || **lowest < low) {
		*lowest = &low
	}
	if (n.op == opEqual || n.op == opLess || n.op == opLessEqual) && (*highest == nil || **highest > high) {
		*highest = &high
	}
}

func clampDuration(ns float64) time.Duration {
	return time.Duration(max(math.MinInt64/2, min(math.MaxInt64/2, ns)))
}
