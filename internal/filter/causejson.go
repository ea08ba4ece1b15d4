package filter

import "github.com/fluoro-io/fluoro/internal/trace"

// causeJSON reports whether each wanted partial root cause matches a root cause of
// the trace, of any category. Given members must be equal; lists must contain the
// given elements in order, possibly with others between (X-Ray developer guide,
// "Getting data from X-Ray", root cause analytics).
func (m *matcher) causeJSON(n *causeJSONNode) bool {
	var have []any
	for _, c := range []causeCategory{faultCause, errorCause, responseTimeCause} {
		for _, cause := range m.causes(c) {
			have = append(have, causeObject(c, cause))
		}
	}
	for _, want := range n.want {
		matched := false
		for _, h := range have {
			matched = matched || matchJSON(want, h)
		}
		if !matched {
			return false
		}
	}
	return true
}

func matchJSON(want, have any) bool {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range w {
			if hv, ok := h[k]; !ok || !matchJSON(v, hv) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		if !ok {
			return false
		}
		for _, v := range h {
			if len(w) > 0 && matchJSON(w[0], v) {
				w = w[1:]
			}
		}
		return len(w) == 0
	}
	return want == have
}

// causeObject returns a root cause in the form of the API.
func causeObject(c causeCategory, cause trace.RootCause) any {
	var services []any
	for _, s := range cause.Services {
		var path []any
		for _, e := range s.Entities {
			entity := map[string]any{"Name": e.Name, "Remote": e.Remote}
			if c == responseTimeCause {
				entity["Coverage"] = e.Coverage
			} else {
				exceptions := []any{}
				for _, x := range e.Exceptions {
					exceptions = append(exceptions, map[string]any{"Name": orNull(x.Type), "Message": orNull(x.Message)})
				}
				entity["Exceptions"] = exceptions
			}
			path = append(path, entity)
		}
		services = append(services, map[string]any{
			"Name": s.Name, "Names": []any{s.Name}, "Type": orNull(s.Type), "AccountId": orNull(s.Account),
			"Inferred": s.Inferred, "EntityPath": path,
		})
	}
	return map[string]any{"Services": services, "ClientImpacting": cause.ClientImpacting}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
