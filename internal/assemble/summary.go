package assemble

import (
	"math"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/slab"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// MaxAttributes is the maximum number of attribute values, each with its name, that
// a summary shows besides the annotations of documents: enough for people, and few
// enough that a page of summaries does not take megabytes.
const MaxAttributes = 500

// maxAttributeBytes is the maximum length of all of them together, with their names.
const maxAttributeBytes = 64 << 10

// Summary returns the facts about a trace that GetTraceSummaries shows.
func Summary(t *trace.Trace) *trace.Summary {
	o := new(outline)
	s := o.of(t)
	Explain(t, s)
	o.attributes(t)
	return s
}

// Explain adds the root causes to an outline.
func Explain(t *trace.Trace, s *trace.Summary) {
	s.FaultCauses = causes(t, func(e *trace.Entity) bool { return e.Fault })
	s.ErrorCauses = causes(t, func(e *trace.Entity) bool { return e.Error })
	s.ResponseCauses = responseCauses(t)
}

// Outline returns a summary without root causes and attributes.
func Outline(t *trace.Trace) *trace.Summary { return new(outline).of(t) }

// outline is a summary with everything it points to.
type outline struct {
	trace.Summary
	duration, response                 time.Duration
	entry                              trace.Service
	users, resources, instances, zones distinct[string]
	values                             slab.Slab[trace.Value]
	keyAt                              map[string]int    // nil while there are few keys
	seen                               map[keyValue]bool // for keys with many values
}

// keyValue is a value of the annotation key with the given number.
type keyValue struct {
	key   int
	value trace.Value
}

// of returns the outline of a trace. It reuses the lists of the previous outline.
func (o *outline) of(t *trace.Trace) *trace.Summary {
	s := &o.Summary
	*s = trace.Summary{
		ID: t.ID, Start: t.Start, End: t.End, Partial: t.Partial, InProgress: t.InProgress, Revision: t.Revision,
		FirstReceived: t.FirstReceived, Updated: t.Updated, Services: s.Services[:0], Annotations: s.Annotations[:0],
	}
	if !t.InProgress && t.End != 0 {
		o.duration = max(0, t.End.Sub(t.Start))
		s.Duration = &o.duration
	}
	if root := t.Entry; root != nil {
		s.Root, s.HTTP = root.Name, root.HTTP
		o.entry = Identity(root)
		s.EntryPoint = &o.entry
		if !root.InProgress && !root.Gap.Unknown() {
			o.response = time.Duration(root.Duration())
			s.ResponseTime = &o.response
		}
		s.HasFault, s.HasError, s.HasThrottle = root.HasFault(), root.HasError(), root.HasThrottle()
	}
	s.Services = slices.Grow(s.Services, len(t.Nodes))
	for _, n := range t.Nodes {
		s.Services = append(s.Services, n.Service)
	}
	for _, list := range []*distinct[string]{&o.users, &o.resources, &o.instances, &o.zones} {
		list.reset()
	}
	o.keyAt, o.seen = nil, nil
	for e := range All(t) {
		if e.User != "" {
			o.users.add(e.User)
		}
		if e.ResourceARN != "" {
			o.resources.add(e.ResourceARN)
		}
		if a := e.AWS; a != nil {
			if a.InstanceID != "" {
				o.instances.add(a.InstanceID)
			}
			if a.AvailabilityZone != "" {
				o.zones.add(a.AvailabilityZone)
			}
		}
		for i := range e.Annotations {
			o.annotate(&e.Annotations[i])
		}
	}
	s.Users, s.ResourceARNs, s.InstanceIDs, s.Zones = o.users.list, o.resources.list, o.instances.list, o.zones.list
	return s
}

// attributes adds the first attribute values to the annotations. The annotations of
// documents do not count towards the limit.
func (o *outline) attributes(t *trace.Trace) {
	room, bytes := MaxAttributes, maxAttributeBytes
	t.EachAttribute(func(key string, v trace.Value) bool {
		a, size := trace.Annotation{Key: key, Value: v}, len(key)+len(v.String)
		if room == 0 || size > bytes {
			o.AnnotationsCut = o.AnnotationsCut || !o.has(&a)
			return room > 0 || !o.AnnotationsCut
		}
		if o.annotate(&a) {
			room, bytes = room-1, bytes-size
		}
		return true
	})
}

// has reports whether a value is present.
func (o *outline) has(a *trace.Annotation) bool {
	return slices.ContainsFunc(o.Annotations, func(k trace.AnnotationValues) bool { return k.Key == a.Key && slices.Contains(k.Values, a.Value) })
}

// annotate adds a value to its key, unless it is present, and reports whether it
// did.
func (o *outline) annotate(a *trace.Annotation) bool {
	if n := a.Value.Number; math.IsNaN(n) || math.IsInf(n, 0) {
		return false // OTLP allows it, the API does not
	}
	at := o.key(a.Key)
	k := &o.Annotations[at]
	if len(k.Values) <= few {
		if slices.Contains(k.Values, a.Value) {
			return false
		}
	} else {
		if o.seen == nil {
			o.seen = map[keyValue]bool{}
		}
		if len(k.Values) == few+1 {
			for _, v := range k.Values {
				o.seen[keyValue{at, v}] = true
			}
		}
		if o.seen[keyValue{at, a.Value}] {
			return false
		}
		o.seen[keyValue{at, a.Value}] = true
	}
	k.Values = o.values.Append(k.Values, a.Value)
	return true
}

// key finds or makes a key.
func (o *outline) key(name string) int {
	if o.keyAt != nil {
		if at, ok := o.keyAt[name]; ok {
			return at
		}
	} else {
		for i := range o.Annotations {
			if o.Annotations[i].Key == name {
				return i
			}
		}
	}
	at := len(o.Annotations)
	o.Annotations = append(o.Annotations, trace.AnnotationValues{Key: name})
	switch {
	case o.keyAt != nil:
		o.keyAt[name] = at
	case at == few:
		o.keyAt = map[string]int{}
		for i := range o.Annotations {
			o.keyAt[o.Annotations[i].Key] = i
		}
	}
	return at
}

// distinct is a list without duplicates.
type distinct[T comparable] struct {
	list []T
	seen map[T]bool // nil while there are few
}

func (d *distinct[T]) reset() { d.list, d.seen = d.list[:0], nil }

func (d *distinct[T]) add(v T) {
	if d.seen != nil && d.seen[v] || d.seen == nil && slices.Contains(d.list, v) {
		return
	}
	d.list = append(d.list, v)
	switch {
	case d.seen != nil:
		d.seen[v] = true
	case len(d.list) > few:
		d.seen = map[T]bool{}
		for _, v := range d.list {
			d.seen[v] = true
		}
	}
}
