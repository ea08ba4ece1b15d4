package analytics

import (
	"strconv"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Dimension is an attribute of traces to group by.
type Dimension struct {
	name string
	key  string // of an annotation
	of   func(s *trace.Summary, t *trace.Trace) []string
	// each, if not nil, yields the entities that are counted instead of the trace: a
	// service's own segments, an edge's calls.
	each func(t *trace.Trace, yield func(value string, e *trace.Entity))
}

// observation is one item counted for a value.
type observation struct {
	value   string
	outcome *trace.Outcome // nil if unknown: the root is missing
	took    *time.Duration // nil if not known yet
}

// observations returns the items that a trace counts: for each of its values the
// trace, with the outcome and response time of its root; for services and edges each
// completed segment or call. unfinished is the number in progress.
func (d Dimension) observations(s *trace.Summary, t *trace.Trace) (list []observation, unfinished int) {
	if d.each == nil {
		root := observation{outcome: outcomeOf(s, t), took: s.ResponseTime}
		for _, v := range d.values(s, t) {
			root.value = v
			list = append(list, root)
		}
		return list, 0
	}
	d.each(t, func(value string, e *trace.Entity) {
		if e.InProgress {
			unfinished++
			return
		}
		took := time.Duration(e.Duration())
		list = append(list, observation{value, &outcomes[e.Outcome()], &took})
	})
	return list, unfinished
}

// outcomes are the targets of the observations' pointers.
var outcomes = [...]trace.Outcome{trace.OK: trace.OK, trace.Error: trace.Error, trace.Fault: trace.Fault, trace.Throttle: trace.Throttle}

// outcomeOf returns the outcome of a trace's root. It is nil for a missing segment,
// unless one of its calls failed.
func outcomeOf(s *trace.Summary, t *trace.Trace) *trace.Outcome {
	switch {
	case s.HasThrottle:
		return &outcomes[trace.Throttle]
	case s.HasFault:
		return &outcomes[trace.Fault]
	case s.HasError:
		return &outcomes[trace.Error]
	case t.Entry != nil && t.Entry.Gap.Unknown():
		return nil
	}
	return &outcomes[trace.OK]
}

// dimensions are the attributes by name, except annotation.<key>.
var dimensions = map[string]Dimension{
	"": {of: func(*trace.Summary, *trace.Trace) []string { return []string{"all"} }},
	"service": {of: func(s *trace.Summary, _ *trace.Trace) []string {
		var out []string
		for _, v := range s.Services {
			if v.Type != "client" {
				out = append(out, v.Name)
			}
		}
		return out
	}, each: func(t *trace.Trace, yield func(string, *trace.Entity)) {
		for _, n := range t.Nodes {
			for _, e := range n.Entities {
				if !n.Client {
					yield(n.Name, e)
				}
			}
		}
	}},
	"edge": {of: func(_ *trace.Summary, t *trace.Trace) []string {
		var out []string
		for _, e := range t.Edges {
			out = append(out, edgeText(e))
		}
		return out
	}, each: func(t *trace.Trace, yield func(string, *trace.Entity)) {
		for _, edge := range t.Edges {
			for _, e := range edge.Calls {
				yield(edgeText(edge), e)
			}
		}
	}},
	"url":    {of: func(s *trace.Summary, _ *trace.Trace) []string { return []string{s.HTTP.URL} }},
	"method": {of: func(s *trace.Summary, _ *trace.Trace) []string { return []string{s.HTTP.Method} }},
	"client": {of: func(s *trace.Summary, _ *trace.Trace) []string { return []string{s.HTTP.ClientIP} }},
	"status": {of: func(s *trace.Summary, _ *trace.Trace) []string {
		if s.HTTP.Status == 0 {
			return nil
		}
		return []string{strconv.Itoa(s.HTTP.Status)}
	}},
	"user":  {of: func(s *trace.Summary, _ *trace.Trace) []string { return s.Users }},
	"entry": {of: func(s *trace.Summary, _ *trace.Trace) []string { return []string{s.Root} }},
	"cause": {of: func(s *trace.Summary, _ *trace.Trace) []string {
		var out []string
		for _, list := range [][]trace.RootCause{s.FaultCauses, s.ErrorCauses, s.ResponseCauses} {
			for i := range list {
				var names []string
				for _, v := range list[i].Services {
					names = append(names, v.Name)
				}
				out = append(out, strings.Join(names, " -> "))
			}
		}
		return out
	}},
}

func edgeText(e *trace.Edge) string {
	if e.From.Client {
		return "client -> " + e.To.Name
	}
	return e.From.Name + " -> " + e.To.Name
}

// ParseDimension parses an attribute to group by: "" (one group, "all"), service,
// edge, url, status, method, user, client (its IP address), entry, cause (root-cause
// path) or annotation.<key>.
func ParseDimension(text string) (Dimension, error) {
	if key, ok := strings.CutPrefix(text, "annotation."); ok && key != "" {
		return Dimension{name: text, key: key}, nil
	}
	d, ok := dimensions[text]
	if !ok {
		return d, invalid("group: %.50q is not one of service, edge, url, status, method, user, client, entry, cause, annotation.<key>", text)
	}
	d.name = text
	return d, nil
}

// values returns the distinct values of a trace, without "".
func (d Dimension) values(s *trace.Summary, t *trace.Trace) []string {
	var out distinct[string]
	add := func(v string) {
		if v != "" {
			out.add(v)
		}
	}
	if d.key != "" {
		annotations(s, t, func(key string, v trace.Value) {
			if key == d.key {
				add(valueText(v))
			}
		})
	} else {
		for _, v := range d.of(s, t) {
			add(v)
		}
	}
	return out.list
}

func valueText(v trace.Value) string {
	switch v.Kind {
	case trace.NumberValue:
		return strconv.FormatFloat(v.Number, 'g', -1, 64)
	case trace.BoolValue:
		return strconv.FormatBool(v.Bool)
	}
	return v.String
}
