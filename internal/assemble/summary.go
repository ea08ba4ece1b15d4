package assemble

import (
	"slices"
	"time"

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
func Outline(t *trace.Trace) *trace.Summary {
	s := &trace.Summary{
		ID: t.ID, Start: t.Start, End: t.End, Partial: t.Partial, InProgress: t.InProgress, Revision: t.Revision,
		FirstReceived: t.FirstReceived, Updated: t.Updated,
	}
	if !t.InProgress && t.End != 0 {
		d := max(0, t.End.Sub(t.Start))
		s.Duration = &d
	}
	if root := t.Root; root != nil {
		s.Root, s.HTTP = root.Name, root.HTTP
		s.EntryPoint = &trace.Service{Name: root.Name, Type: root.Origin}
		if !root.InProgress {
			d := time.Duration(root.Duration())
			s.ResponseTime = &d
		}
		s.HasFault, s.HasError, s.HasThrottle = root.HasFault(), root.HasError(), root.HasThrottle()
	}
	s.Services = make([]trace.Service, 0, len(t.Nodes))
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
			annotate(s, &e.Annotations[i])
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

func annotate(s *trace.Summary, a *trace.Annotation) {
	for i := range s.Annotations {
		if k := &s.Annotations[i]; k.Key == a.Key {
			if !slices.Contains(k.Values, a.Value) {
				k.Values = append(k.Values, a.Value)
			}
			return
		}
	}
	s.Annotations = append(s.Annotations, trace.AnnotationValues{Key: a.Key, Values: []trace.Value{a.Value}})
}
