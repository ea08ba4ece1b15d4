package filter

import (
	"math"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Bounds is a conjunction of conditions that every trace an expression selects
// satisfies. An engine may use any of them to read fewer traces. They may give false
// positives, never false negatives. The zero value allows all traces.
type Bounds struct {
	// Services are names of nodes; the trace must have all of them.
	Services []string
	// AnnotationKeys are keys; the trace must have all of them.
	AnnotationKeys []string
	// Annotations are values and Users users; the trace must have all of them.
	Annotations []trace.Annotation
	Users       []string
	// Slow are services with an entity that must take at least a given time.
	Slow []SlowService
	// Failed are services with an entity that must have a given outcome.
	Failed []FailedService
	// Either are lists of alternatives: one of each list must hold.
	Either [][]Bounds
	// MinResponse and MaxResponse, if not nil, are inclusive bounds of the
	// response time, which must then be known; likewise for the duration.
	MinResponse, MaxResponse *time.Duration
	MinDuration, MaxDuration *time.Duration
	// Fault, Error and Throttle, if not nil, are the required values of the trace's
	// flags.
	Fault, Error, Throttle *bool
}

// SlowService says that an entity of a service took at least some time.
type SlowService struct {
	Name  string
	Least time.Duration
}

// FailedService says that an entity of a service had an outcome: Error, Fault or
// Throttle. It may have had others, too.
type FailedService struct {
	Name    string
	Outcome trace.Outcome
}

// everything reports whether the bounds allow all traces.
func (b *Bounds) everything() bool {
	return b.Services == nil && b.AnnotationKeys == nil && b.Annotations == nil && b.Users == nil && b.Slow == nil && b.Failed == nil && b.Either == nil &&
		b.MinResponse == nil && b.MaxResponse == nil && b.MinDuration == nil && b.MaxDuration == nil && b.Fault == nil && b.Error == nil && b.Throttle == nil
}

// Bounds returns conditions that every selected trace satisfies.
func (e *Expr) Bounds() Bounds {
	var b Bounds
	if e != nil && e.root != nil {
		b.restrict(e.root)
	}
	return b
}

// OfParts returns those conditions that a trace satisfies if a part of it does: what
// exists in a part exists in the whole. Times, outcomes and names of nodes may differ,
// because a part may have another root, and calls that lead elsewhere.
func (b *Bounds) OfParts() Bounds {
	p := Bounds{AnnotationKeys: b.AnnotationKeys, Annotations: b.Annotations, Users: b.Users}
	for _, alternatives := range b.Either {
		list := make([]Bounds, len(alternatives))
		weak := false
		for i := range alternatives {
			list[i] = alternatives[i].OfParts()
			weak = weak || list[i].everything()
		}
		if !weak {
			p.Either = append(p.Either, list)
		}
	}
	return p
}

// restrict adds the conditions that follow if n is true.
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
			b.inside(*n.sel.name, n.body)
		}
	case *edgeNode:
		b.service(n.from)
		b.service(n.to)
		b.inCall(n.body)
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

// either adds the condition that one of some terms is true.
func (b *Bounds) either(terms []node) {
	list := make([]Bounds, len(terms))
	for i, t := range terms {
		if list[i].restrict(t); list[i].everything() {
			return
		}
	}
	b.Either = append(b.Either, list)
}

// inside adds what follows from the body of a clause about an entity of a service:
// how long it takes, how it failed, what it has. Conditions that hold for one entity
// together also hold for the trace one by one.
func (b *Bounds) inside(service string, n node) {
	switch n := n.(type) {
	case *andNode:
		for _, t := range n.terms {
			b.inside(service, t)
		}
	case *orNode:
		list := make([]Bounds, len(n.terms))
		for i, t := range n.terms {
			if list[i].inside(service, t); list[i].everything() {
				return
			}
		}
		b.Either = append(b.Either, list)
	case *compareNode:
		switch n.field {
		case fieldResponseTime, fieldDuration:
			var least, most *time.Duration
			if narrow(&least, &most, n); least != nil {
				b.Slow = append(b.Slow, SlowService{service, *least})
			}
		case fieldFault, fieldError, fieldThrottle:
			if n.op == 0 || n.lit.typ == boolField && n.lit.yes == (n.op == opEqual) {
				outcome := map[field]trace.Outcome{fieldFault: trace.Fault, fieldError: trace.Error, fieldThrottle: trace.Throttle}[n.field]
				b.Failed = append(b.Failed, FailedService{service, outcome})
			}
		case fieldAnnotation, fieldUser:
			b.compare(n)
		}
	}
}

// inCall adds the annotations and users that the body of a clause about calls
// requires, of any entity.
func (b *Bounds) inCall(n node) {
	switch n := n.(type) {
	case *andNode:
		for _, t := range n.terms {
			b.inCall(t)
		}
	case *compareNode:
		switch n.field {
		case fieldAnnotation, fieldSourceAnnotation, fieldDestinationAnnotation, fieldUser:
			b.compare(n)
		}
	}
}

func (b *Bounds) compare(n *compareNode) {
	switch n.field {
	case fieldUser:
		if n.op == opEqual && n.lit.typ == stringField {
			b.Users = append(b.Users, n.lit.text)
		}
	case fieldAnnotation, fieldSourceAnnotation, fieldDestinationAnnotation:
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

// narrow narrows the bounds of a duration. It rounds outward: the exact comparison
// follows on the candidates.
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
