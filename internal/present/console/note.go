package console

import (
	"net/http"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/query/analytics"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// noteQuestion records the parameters of a question about many traces, and how many it
// looked at. Invalid questions have no parameters, as in the X-Ray API.
func noteQuestion(r *http.Request, answer any, err error) {
	d := audit.Of(r.Context())
	if d == nil || trace.KindOf(err) == trace.KindInvalid {
		return
	}
	values := map[string]any{}
	for name, list := range r.URL.Query() {
		if name != "token" && len(list) == 1 {
			values[name] = list[0]
		}
	}
	d.Request(values)
	count := func(c analytics.Counted) {
		d.Set("tracesProcessed", c.Examined)
		d.Set("tracesMatched", c.Matched)
	}
	switch a := answer.(type) {
	case *analytics.Found:
		if a != nil {
			count(a.Counted)
			for _, t := range a.Traces {
				d.Traces(t.ID)
			}
		}
	case *analytics.Series:
		if a != nil {
			count(a.Counted)
		}
	case *analytics.Histogram:
		if a != nil {
			count(a.Counted)
		}
	case *analytics.Facets:
		if a != nil {
			count(a.Counted)
		}
	case *analytics.Comparison:
		if a != nil {
			count(analytics.Counted{Examined: a.A.Examined + a.B.Examined, Matched: a.A.Matched + a.B.Matched})
		}
	}
}

// codeOf returns the code of an error in records, as the X-Ray API names it.
func codeOf(err error) string {
	switch trace.KindOf(err) {
	case trace.KindInvalid:
		return "InvalidRequestException"
	case trace.KindDenied:
		return "AccessDenied"
	case trace.KindNotFound:
		return "ResourceNotFoundException"
	case trace.KindThrottled:
		return "ThrottledException"
	case trace.KindUnavailable:
		return "ServiceUnavailableException"
	case trace.KindTooLarge:
		return "RequestEntityTooLargeException"
	}
	return "InternalFailure"
}
