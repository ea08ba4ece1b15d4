package console

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/query/analytics"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// question reads query parameters. It keeps the first error, which names the parameter.
type question struct {
	values url.Values
	err    error
}

func (q *question) fail(format string, args ...any) {
	if q.err == nil {
		q.err = trace.Errorf(trace.KindInvalid, format, args...)
	}
}

// number reads a parameter as a number, fallback if it is absent. A fallback of NaN makes
// the parameter required.
func (q *question) number(name string, fallback float64) float64 {
	text := q.values.Get(name)
	if text == "" {
		if math.IsNaN(fallback) {
			q.fail("%s: is required", name)
		}
		return fallback
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		q.fail("%s: %.50q is no number", name, text)
		return 0
	}
	return v
}

// parseQuestion parses a query. It allows only known parameters, each once.
func parseQuestion(raw string, known string) *question {
	q := &question{}
	values, err := url.ParseQuery(raw)
	if err != nil {
		q.fail("query: %v", err)
	}
	q.values = values
	for name, list := range values {
		switch {
		case !strings.Contains(" "+known+" ", " "+name+" "):
			q.fail("%.50q: no such parameter; there are %s", name, known)
		case len(list) > 1:
			q.fail("%s: is given %d times", name, len(list))
		}
	}
	return q
}

func (q *question) selection() analytics.Selection {
	start, end := q.number("start", math.NaN()), q.number("end", math.NaN())
	return analytics.Selection{
		Window: trace.Window{Start: trace.FromSeconds(start), End: trace.FromSeconds(end)},
		Filter: q.values.Get("filter"),
	}
}

func seriesRequest(raw string) (r analytics.SeriesRequest, err error) {
	q := parseQuestion(raw, "start end filter group bucket top")
	r.Selection = q.selection()
	// A bucket is cut to 30 days, because 500 of them fit a Duration.
	r.Bucket = time.Duration(min(30*86400, max(0, q.number("bucket", 60))) * float64(time.Second))
	r.Top = q.top(10)
	if q.err != nil {
		return r, q.err
	}
	r.Group, err = analytics.ParseDimension(q.values.Get("group"))
	return r, err
}

// answer makes a handler that sends the result of a function, or its error, as JSON.
func answer(question func(r *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		out, err := question(r)
		if err != nil {
			audit.Of(r.Context()).Fail(codeOf(err), err.Error())
			status := http.StatusInternalServerError
			switch trace.KindOf(err) {
			case trace.KindInvalid:
				status = http.StatusBadRequest
			case trace.KindDenied:
				status = http.StatusForbidden
				if identity.FailureOf(err) != nil {
					status = http.StatusUnauthorized
					h.Set("WWW-Authenticate", "Bearer") // RFC 9110, section 11.6.1
				}
			case trace.KindNotFound:
				status = http.StatusNotFound
			case trace.KindThrottled:
				status = http.StatusTooManyRequests
			case trace.KindUnavailable:
				status = http.StatusServiceUnavailable
			case trace.KindTooLarge:
				status = http.StatusRequestEntityTooLarge
			}
			if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
				h.Set("Retry-After", "1")
			}
			w.WriteHeader(status)
			out = map[string]any{"error": map[string]string{"message": err.Error()}}
		}
		_ = json.NewEncoder(w).Encode(out) // the client may be gone
	})
}

// ask makes a handler of a query over the traces of the account of the request.
func ask(question func(r *http.Request, who query.Reader) (any, error)) http.Handler {
	return answer(func(r *http.Request) (any, error) {
		p, err := identity.From(r.Context())
		if err != nil {
			return nil, err
		}
		out, err := question(r, query.ReaderOf(p))
		noteQuestion(r, out, err)
		return out, err
	})
}

func seriesHandler(a *analytics.Analytics) http.Handler {
	return ask(func(r *http.Request, who query.Reader) (any, error) {
		q, err := seriesRequest(r.URL.RawQuery)
		if err != nil {
			return nil, err
		}
		return a.Series(r.Context(), who, q)
	})
}

// top reads the parameter top.
func (q *question) top(fallback float64) int {
	top := q.number("top", fallback)
	if top != math.Trunc(top) {
		q.fail("top: must be a whole number")
	}
	return int(max(-1, min(1e6, top)))
}

func facetsRequest(raw string) (r analytics.FacetsRequest, err error) {
	q := parseQuestion(raw, "start end filter of prefix top")
	r.Selection, r.Prefix, r.Top = q.selection(), q.values.Get("prefix"), q.top(100)
	r.All = q.values.Get("of") == ""
	if q.err != nil || r.All {
		return r, q.err
	}
	r.Of, err = analytics.ParseDimension(q.values.Get("of"))
	return r, err
}

func facetsHandler(a *analytics.Analytics) http.Handler {
	return ask(func(r *http.Request, who query.Reader) (any, error) {
		q, err := facetsRequest(r.URL.RawQuery)
		if err != nil {
			return nil, err
		}
		return a.Facets(r.Context(), who, q)
	})
}

func compareRequest(raw string) (r analytics.CompareRequest, err error) {
	q := parseQuestion(raw, "start end filter against against_start against_end top")
	r.A, r.Top = q.selection(), q.top(50)
	r.B = analytics.Selection{Window: r.A.Window, Filter: q.values.Get("against")}
	if q.values.Has("against_start") || q.values.Has("against_end") {
		start, end := q.number("against_start", math.NaN()), q.number("against_end", math.NaN())
		r.B.Window = trace.Window{Start: trace.FromSeconds(start), End: trace.FromSeconds(end)}
		if !q.values.Has("against") {
			r.B.Filter = r.A.Filter // the same filter at another time
		}
	} else if !q.values.Has("against") {
		r.Rest = true
	}
	return r, q.err
}

func compareHandler(a *analytics.Analytics) http.Handler {
	return ask(func(r *http.Request, who query.Reader) (any, error) {
		q, err := compareRequest(r.URL.RawQuery)
		if err != nil {
			return nil, err
		}
		return a.Compare(r.Context(), who, q)
	})
}

func histogramRequest(raw string) (r analytics.HistogramRequest, err error) {
	q := parseQuestion(raw, "start end filter group top time")
	r.Selection, r.Top = q.selection(), q.top(10)
	switch which := q.values.Get("time"); which {
	case "", "response":
	case "duration":
		r.Whole = true
	default:
		q.fail("time: %.50q is neither response nor duration", which)
	}
	if q.err != nil {
		return r, q.err
	}
	r.Group, err = analytics.ParseDimension(q.values.Get("group"))
	return r, err
}

func histogramHandler(a *analytics.Analytics) http.Handler {
	return ask(func(r *http.Request, who query.Reader) (any, error) {
		q, err := histogramRequest(r.URL.RawQuery)
		if err != nil {
			return nil, err
		}
		return a.Histogram(r.Context(), who, q)
	})
}

func searchHandler(a *analytics.Analytics) http.Handler {
	return ask(func(r *http.Request, who query.Reader) (any, error) {
		q := parseQuestion(r.URL.RawQuery, "start end filter text top token")
		s := analytics.SearchRequest{Selection: q.selection(), Text: q.values.Get("text"), Top: q.top(20), Token: q.values.Get("token")}
		if q.err != nil {
			return nil, q.err
		}
		return a.Search(r.Context(), who, s)
	})
}
