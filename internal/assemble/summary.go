package assemble

import (
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/slab"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Summary says of a trace what GetTraceSummaries shows.
func Summary(t *trace.Trace) *trace.Summary {
	s := Outline(t)
	Explain(t, s)
	return s
}

// Explain adds the root causes to an outline.
func Explain(t *trace.Trace, s *trace.Summary) {
	s.FaultCauses = causes(t, func(e *trace.Entity) bool { return e.Fault })
	s.ErrorCauses = causes(t, func(e *trace.Entity) bool { return e.Error })
	s.ResponseCauses = responseCauses(t)
}

// Outline is a summary without root causes.
func Outline(t *trace.Trace) *trace.Summary { return new(outline).of(t) }

// outline is a summary with all that it points to.
type outline struct {
	trace.Summary
	duration, response time.Duration
	entry              trace.Service
	values             slab.Slab[trace.Value]
}

// of is the outline of a trace. It uses the lists again that the one before had.
func (o *outline) of(t *trace.Trace) *trace.Summary {
	s := &o.Summary
	*s = trace.Summary{
		ID: t.ID, Start: t.Start, End: t.End, Partial: t.Partial, InProgress: t.InProgress, Revision: t.Revision,
		FirstReceived: t.FirstReceived, Updated: t.Updated,
		Services: s.Services[:0], Users: s.Users[:0], ResourceARNs: s.ResourceARNs[:0],
		InstanceIDs: s.InstanceIDs[:0], Zones: s.Zones[:0], Annotations: s.Annotations[:0],
	}
	if !t.InProgress && t.End != 0 {
		o.duration = max(0, t.End.Sub(t.Start))
		s.Duration = &o.duration
	}
	if root := t.Root; root != nil {
		s.Root, s.HTTP = root.Name, root.HTTP
		o.entry = trace.Service{Name: root.Name, Type: root.Origin}
		s.EntryPoint = &o.entry
		if !root.InProgress {
			o.response = time.Duration(root.Duration())
			s.ResponseTime = &o.response
		}
		s.HasFault, s.HasError, s.HasThrottle = root.HasFault(), root.HasError(), root.HasThrottle()
	}
	s.Services = slices.Grow(s.Services, len(t.Nodes))
	for _, n := range t.Nodes {
		s.Services = append(s.Services, n.Service)
	}
	for e := range All(t) {
		s.Users = distinct(s.Users, e.User)
		s.ResourceARNs = distinct(s.ResourceARNs, e.ResourceARN)
		if e.AWS != nil {
			s.InstanceIDs = distinct(s.InstanceIDs, e.AWS.InstanceID)
			s.Zones = distinct(s.Zones, e.AWS.AvailabilityZone)
		}
		for i := range e.Annotations {
			o.annotate(&e.Annotations[i])
		}
	}
	return s
}

func distinct(list []string, v string) []string {
	if v == "" || slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

func (o *outline) annotate(a *trace.Annotation) {
	s := &o.Summary
	for i := range s.Annotations {
		if k := &s.Annotations[i]; k.Key == a.Key {
			if !slices.Contains(k.Values, a.Value) {
				k.Values = o.values.Append(k.Values, a.Value)
			}
			return
		}
	}
	s.Annotations = append(s.Annotations, trace.AnnotationValues{Key: a.Key, Values: o.values.Append(nil, a.Value)})
}
