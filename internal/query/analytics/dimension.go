package analytics

import (
	"slices"
	"strconv"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Dimension is an attribute of traces to group by.
type Dimension struct {
	name  string
	key   string // of an annotation
	whole bool   // needs the trace, not only its summary
	of    func(s *trace.Summary, t *trace.Trace) []string
}

// dimensions by name; annotation.<key> comes besides.
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
	}},
	"edge": {whole: true, of: func(_ *trace.Summary, t *trace.Trace) []string {
		var out []string
		for _, e := range t.Edges {
			from := e.From.Name
			if e.From.Client {
				from = "client"
			}
			out = append(out, from+" -> "+e.To.Name)
		}
		return out
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

// ParseDimension reads what to group by: "" (one group, "all"), service, edge,
// url, status, method, user, client (its ip), entry, cause (root-cause path) or
// annotation.<key>.
func ParseDimension(text string) (Dimension, error) {
	if key, ok := strings.CutPrefix(text, "annotation."); ok && key != "" {
		return Dimension{name: text, key: key}, nil
	}
	d, ok := dimensions[text]
	if !ok {
		return d, invalid("group: %.50q is none of service, edge, url, status, method, user, client, entry, cause, annotation.<key>", text)
	}
	d.name = text
	return d, nil
}

// values are the distinct values of a trace, without "".
func (d Dimension) values(s *trace.Summary, t *trace.Trace) []string {
	var all []string
	if d.key != "" {
		for _, a := range s.Annotations {
			if a.Key == d.key {
				for _, v := range a.Values {
					all = append(all, valueText(v))
				}
			}
		}
	} else {
		all = d.of(s, t)
	}
	var out []string
	for _, v := range all {
		if v != "" && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
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
