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

// Options are what the console shows and where it comes from. All are required.
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
}

// Handler serves the console at / and its own endpoints below /console/api/.
// Any other path is 404, any method but GET and HEAD 405. It is safe for
// concurrent use.
func Handler(o Options) http.Handler {
	files := newAssets(o.Assets)
	mux := http.NewServeMux()
	mux.Handle("/console/api/status", statusHandler(o.Status))
	mux.Handle("/console/api/live", liveHandler(o.Live))
	mux.Handle("/console/api/trace", traceHandler(o))
	mux.Handle("/console/api/series", seriesHandler(o.Analytics))
	mux.Handle("/console/api/search", searchHandler(o.Analytics))
	mux.Handle("/console/api/histogram", histogramHandler(o.Analytics))
	mux.Handle("/console/api/facets", facetsHandler(o.Analytics))
	mux.Handle("/console/api/compare", compareHandler(o.Analytics))
	mux.Handle("/", files)
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
		mux.ServeHTTP(w, r)
	})
}
