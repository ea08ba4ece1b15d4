// Package console serves the web console: its files, the figures of its status
// page, a stream that tells it when there is something new, and answers about
// many traces for which the X-Ray API has no operation (docs/console-api.md). All
// other data about traces the console reads through that API, as everyone else.
package console

import (
	"context"
	"io/fs"
	"net/http"

	"github.com/fluoro-io/fluoro/internal/query/analytics"
)

// contentSecurityPolicy lets the console load only what this server serves.
// Component styles are files and style attributes set by script, so no inline
// style is allowed either; data: images are the icons of form controls.
const contentSecurityPolicy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"

// Options say what the console shows. All are required. What takes a context finds
// the identity of the request in it.
type Options struct {
	// Assets holds index.html and what it refers to. A file named x.br or x.gz is
	// x compressed, and is sent to those who accept it.
	Assets fs.FS
	Status Status
	Live   Live
	// Analytics answers the questions below /console/api/ about many traces.
	Analytics *analytics.Analytics
	// Trace finds a trace by its id; nil if there is none.
	Trace func(ctx context.Context, id string) (*TraceView, error)
	// Delete deletes traces, or counts them, and returns how many there were.
	Delete func(context.Context, Deletion) (int, error)
}

// Console holds the handlers of the console, one for each of its routes. All but
// Files need an identity in the context of a request. They are safe for concurrent
// use.
type Console struct {
	// Files serves the files of the console by their path. It answers 404 for any other
	// path, and 405 for any method but GET and HEAD.
	Files                                                           http.Handler
	Status, Live, Trace, Series, Search, Histogram, Facets, Compare http.Handler

	remove func(context.Context, Deletion) (int, error)
}

// New makes the handlers.
func New(o Options) *Console {
	return &Console{
		Files:     secured(newAssets(o.Assets)),
		Status:    secured(statusHandler(o.Status)),
		Live:      secured(liveHandler(o.Live)),
		Trace:     secured(traceHandler(o)),
		Series:    secured(seriesHandler(o.Analytics)),
		Search:    secured(searchHandler(o.Analytics)),
		Histogram: secured(histogramHandler(o.Analytics)),
		Facets:    secured(facetsHandler(o.Analytics)),
		Compare:   secured(compareHandler(o.Analytics)),
		remove:    o.Delete,
	}
}

// Refuse answers a request that its door did not let in.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	answer(func(*http.Request) (any, error) { return nil, err }).ServeHTTP(w, r)
}

// secured sets the headers that protect a page, and lets only GET and HEAD through.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the console answers GET and HEAD only", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}
