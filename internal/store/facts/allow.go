package facts

import (
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Set holds all facts of one trace, in the simplest form. An engine that stores facts
// in another form may allow more traces than Set.Allows, never fewer.
type Set struct {
	Facts
	slowest map[string]time.Duration // by service
	values  []trace.Annotation
	users   []string
	failed  []filter.FailedService
}

// SetOf collects the facts of a trace.
func SetOf(t *trace.Trace, s *trace.Summary) *Set {
	set := &Set{Facts: Of(t, s), slowest: map[string]time.Duration{}}
	for _, n := range t.Nodes {
		set.slowest[n.Name] = max(set.slowest[n.Name], Slowest(n))
	}
	Each(t, s, (*collector)(set))
	return set
}

// Allows tells whether the facts agree with the bounds of a filter.
func (s *Set) Allows(b *filter.Bounds) bool {
	for _, name := range b.Services {
		if _, ok := s.slowest[name]; !ok {
			return false
		}
	}
	for _, slow := range b.Slow {
		if d, ok := s.slowest[slow.Name]; !ok || d < slow.Least {
			return false
		}
	}
	for _, key := range b.AnnotationKeys {
		if !slices.ContainsFunc(s.values, func(a trace.Annotation) bool { return a.Key == key }) {
			return false
		}
	}
	for _, want := range b.Annotations {
		if !slices.Contains(s.values, want) {
			return false
		}
	}
	for _, user := range b.Users {
		if !slices.Contains(s.users, user) {
			return false
		}
	}
	for _, f := range b.Failed {
		if !slices.Contains(s.failed, f) {
			return false
		}
	}
	return inside(s.Response, b.MinResponse, b.MaxResponse) && inside(s.Duration, b.MinDuration, b.MaxDuration) &&
		agrees(b.Fault, s.Fault) && agrees(b.Error, s.Error) && agrees(b.Throttle, s.Throttle) &&
		!slices.ContainsFunc(b.Either, func(alternatives []filter.Bounds) bool {
			return !slices.ContainsFunc(alternatives, func(b filter.Bounds) bool { return s.Allows(&b) })
		})
}

func inside(d, lowest, highest *time.Duration) bool {
	if lowest == nil && highest == nil {
		return true
	}
	return d != nil && (lowest == nil || *d >= *lowest) && (highest == nil || *d <= *highest)
}

func agrees(want *bool, is bool) bool { return want == nil || *want == is }

// collector fills a Set.
type collector Set

// Value adds a value unless the set has it.
func (c *collector) Value(key string, v trace.Value) bool {
	if a := (trace.Annotation{Key: key, Value: v}); !slices.Contains(c.values, a) {
		c.values = append(c.values, a)
	}
	return true
}

// Resource adds the values of a resource.
func (c *collector) Resource(a trace.Attributes) { a.OfResource(c.Value) }

// User adds a user.
func (c *collector) User(user string) { c.users = append(c.users, user) }

// Failed adds an outcome of a service.
func (c *collector) Failed(service string, o trace.Outcome) {
	c.failed = append(c.failed, filter.FailedService{Name: service, Outcome: o})
}

// Before returns false: the collector does not remember attributes.
func (c *collector) Before([]byte) bool { return false }
