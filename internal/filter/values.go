package filter

import (
	"slices"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// valueSource returns the values of fields in one scope. Strings and annotations may
// have several; each value is passed to yield until yield returns true.
type valueSource interface {
	bool(f field) (v, known bool)
	number(f field) (v float64, known bool)
	strings(f field, yield func(string) bool)
	annotations(f field, key string, yield func(trace.Value) bool)
}

// match compares. With a missing value, or a value of another type, every comparison
// is false; of several values, one match is enough.
func (n *compareNode) match(f valueSource) bool {
	switch fields[n.field].typ {
	case boolField:
		v, known := f.bool(n.field)
		if n.op == 0 || !known {
			return known && v
		}
		return n.lit.typ == boolField && (v == n.lit.yes) == (n.op == opEqual)
	case numberField:
		v, known := f.number(n.field)
		if n.op == 0 || !known {
			return known
		}
		return n.lit.typ == numberField && compareNumber(n.op, v, n.lit.num)
	case stringField:
		found := false
		f.strings(n.field, func(v string) bool {
			found = n.op == 0 || n.lit.typ == stringField && compareString(n.op, v, n.lit.text)
			return found
		})
		return found
	}
	found := false
	f.annotations(n.field, n.key, func(v trace.Value) bool {
		found = n.matchValue(v)
		return found
	})
	return found
}

// matchValue compares an annotation's value. Without an operator, an annotation
// matches if it is present; a boolean one if it is true.
func (n *compareNode) matchValue(v trace.Value) bool {
	switch {
	case n.op == 0:
		return v.Kind != trace.BoolValue || v.Bool
	case n.lit.typ == numberField && v.Kind == trace.NumberValue:
		return compareNumber(n.op, v.Number, n.lit.num)
	case n.lit.typ == stringField && v.Kind == trace.StringValue:
		return compareString(n.op, v.String, n.lit.text)
	case n.lit.typ == boolField && v.Kind == trace.BoolValue:
		return (v.Bool == n.lit.yes) == (n.op == opEqual)
	}
	return false
}

func compareNumber(o op, a, b float64) bool {
	switch o {
	case opEqual:
		return a == b
	case opNotEqual:
		return a != b
	case opLess:
		return a < b
	case opLessEqual:
		return a <= b
	case opGreater:
		return a > b
	}
	return a >= b
}

func compareString(o op, a, b string) bool {
	switch o {
	case opEqual:
		return a == b
	case opNotEqual:
		return a != b
	case opContains:
		return strings.Contains(a, b)
	case opBeginsWith:
		return strings.HasPrefix(a, b)
	}
	return strings.HasSuffix(a, b)
}

// traceFields are the fields at the top level: the root segment's outcome and http
// block, the whole trace's users, annotations and resources.
type traceFields matcher

func (m *traceFields) bool(f field) (v, known bool) {
	// The outcome of a missing segment is unknown, unless one of its calls failed.
	known = m.t.Entry == nil || !m.t.Entry.Gap.Unknown()
	switch f {
	case fieldOK:
		failed := m.s.HasError || m.s.HasFault || m.s.HasThrottle
		return !failed, known || failed
	case fieldError:
		return m.s.HasError, known || m.s.HasError
	case fieldFault:
		return m.s.HasFault, known || m.s.HasFault
	case fieldThrottle:
		return m.s.HasThrottle, known || m.s.HasThrottle
	case fieldPartial:
		return m.s.Partial, true
	}
	return slices.ContainsFunc(m.t.Nodes, func(n *trace.Node) bool { return n.Inferred }), true
}

func (m *traceFields) number(f field) (float64, bool) {
	switch f {
	case fieldResponseTime:
		return seconds(m.s.ResponseTime)
	case fieldDuration:
		return seconds(m.s.Duration)
	}
	return float64(m.s.HTTP.Status), m.s.HTTP.Status != 0
}

func seconds(d *time.Duration) (float64, bool) {
	if d == nil {
		return 0, false
	}
	return d.Seconds(), true
}

func (m *traceFields) strings(f field, yield func(string) bool) {
	switch f {
	case fieldUser:
		each(m.s.Users, yield)
	case fieldZone:
		each(m.s.Zones, yield)
	case fieldInstance:
		each(m.s.InstanceIDs, yield)
	case fieldResource:
		each(m.s.ResourceARNs, yield)
	default:
		present(httpField(&m.s.HTTP, f), yield)
	}
}

func (m *traceFields) annotations(_ field, key string, yield func(trace.Value) bool) {
	for i := range m.s.Annotations {
		if m.s.Annotations[i].Key == key && slices.ContainsFunc(m.s.Annotations[i].Values, yield) {
			return
		}
	}
	// A summary may have only some of the attributes.
	m.t.EachAttribute(named(key, yield))
}

// named returns a yield function for the attributes with one name; it continues
// until yield is true.
func named(key string, yield func(trace.Value) bool) func(string, trace.Value) bool {
	return func(name string, v trace.Value) bool { return name != key || !yield(v) }
}

func each(values []string, yield func(string) bool) { _ = slices.ContainsFunc(values, yield) }

// present yields a string unless it is empty, which means that it is missing.
func present(v string, yield func(string) bool) bool { return v != "" && yield(v) }

func httpField(h *trace.HTTP, f field) string {
	switch f {
	case fieldURL:
		return h.URL
	case fieldMethod:
		return h.Method
	case fieldUserAgent:
		return h.UserAgent
	case fieldClientIP:
		return h.ClientIP
	}
	return ""
}

// entityFields are the fields inside service() and edge(): of one entity of the
// node, or one call of the edge.
type entityFields struct {
	m      *matcher
	node   *trace.Node // nil inside edge()
	edge   *trace.Edge // nil inside service()
	entity *trace.Entity
}

func (f *entityFields) bool(k field) (v, known bool) {
	switch k {
	case fieldOK:
		v = f.entity.Outcome() == trace.OK
	case fieldError:
		// A throttled call is also an error if its document says so; only a trace's
		// HasError excludes it.
		v = f.entity.Error || f.entity.HasError()
	case fieldFault:
		v = f.entity.HasFault()
	case fieldThrottle:
		v = f.entity.HasThrottle()
	case fieldPartial:
		v = f.m.t.Partial
	case fieldInferred:
		v = f.node.Inferred
	default:
		v = f.node.Root
	}
	return v, true
}

func (f *entityFields) number(k field) (float64, bool) {
	if k == fieldStatus {
		return float64(f.entity.HTTP.Status), f.entity.HTTP.Status != 0
	}
	return time.Duration(f.entity.Duration()).Seconds(), !f.entity.InProgress
}

func (f *entityFields) strings(k field, yield func(string) bool) {
	switch k {
	case fieldName:
		yield(f.node.Name)
	case fieldType:
		present(f.node.Type, yield)
	case fieldURL, fieldMethod, fieldUserAgent, fieldClientIP:
		present(httpField(&f.entity.HTTP, k), yield)
	default:
		within(f.entity, func(e *trace.Entity) bool {
			switch {
			case k == fieldUser:
				return present(e.User, yield)
			case k == fieldResource:
				return present(e.ResourceARN, yield)
			case e.AWS == nil:
				return true
			case k == fieldZone:
				return present(e.AWS.AvailabilityZone, yield)
			}
			return present(e.AWS.InstanceID, yield)
		})
	}
}

func (f *entityFields) annotations(k field, key string, yield func(trace.Value) bool) {
	entities := []*trace.Entity{f.entity}
	switch k {
	case fieldSourceAnnotation:
		entities = f.edge.From.Entities
	case fieldDestinationAnnotation:
		entities = f.edge.To.Entities
	}
	for _, root := range entities {
		if within(root, func(e *trace.Entity) bool {
			for i := range e.Annotations {
				if e.Annotations[i].Key == key && yield(e.Annotations[i].Value) {
					return true
				}
			}
			return !e.EachAttribute(named(key, yield))
		}) {
			return
		}
	}
}

// within passes an entity and its subsegments at any depth to yield until it returns
// true. It uses its own stack: documents nest as deeply as independent subsegments
// chain.
func within(root *trace.Entity, yield func(*trace.Entity) bool) bool {
	stack := []*trace.Entity{root}
	for len(stack) > 0 {
		e := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if yield(e) {
			return true
		}
		stack = append(stack, e.Subsegments...)
	}
	return false
}

// causeFields are the fields inside a root-cause clause: of one service, entity or
// exception, and its place in its list.
type causeFields struct {
	service   *trace.CauseService
	entity    *trace.CauseEntity
	exception *trace.Exception
	index     int
	last      bool
}

func (f *causeFields) bool(k field) (v, known bool) {
	switch k {
	case fieldFirst:
		v = f.index == 0
	case fieldLast:
		v = f.last
	case fieldInferred:
		v = f.service.Inferred
	default:
		v = f.entity.Remote
	}
	return v, true
}

func (f *causeFields) number(k field) (float64, bool) {
	if k == fieldCoverage {
		return f.entity.Coverage, true
	}
	return float64(f.index), true
}

func (f *causeFields) strings(k field, yield func(string) bool) {
	switch {
	case k == fieldType:
		present(f.service.Type, yield)
	case k == fieldAccount:
		present(f.service.Account, yield)
	case k == fieldMessage:
		present(f.exception.Message, yield)
	case f.service != nil:
		yield(f.service.Name)
	case f.entity != nil:
		yield(f.entity.Name)
	default:
		present(f.exception.Type, yield)
	}
}

func (f *causeFields) annotations(field, string, func(trace.Value) bool) {}
