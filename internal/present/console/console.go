// Package console serves the web console: its files, its status page, a stream of
// events, and queries over many traces for which the X-Ray API has no operation
// (docs/console-api.md). For everything else the console uses that API, like any
// client.
package console

import (
	"context"
	"io/fs"
	"net/http"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/query/analytics"
)

// contentSecurityPolicy allows the console to load only what this server serves. It needs
// no inline styles: styles are files, or attributes that scripts set. The icons of form
// controls are data: images.
const contentSecurityPolicy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"

// permissionsPolicy turns off what the console never uses. Passkeys are for the page itself,
// not for frames.
const permissionsPolicy = "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=(), publickey-credentials-create=(self), publickey-credentials-get=(self)"

// Options of a Console. All are required. Functions find the identity of the request in
// their context.
type Options struct {
	// Assets holds index.html and the files that it refers to. A file x.br or x.gz is x
	// compressed; clients that accept the encoding get it.
	Assets fs.FS
	Status Status
	Live   Live
	// Analytics answers queries over many traces.
	Analytics *analytics.Analytics
	// Trace finds a trace by its id; it returns nil if there is none.
	Trace func(ctx context.Context, id string) (*TraceView, error)
	// Delete deletes traces, or counts them, and returns how many there were.
	Delete func(context.Context, Deletion) (int, error)
	// Audit searches the audit log. The account of the query may be "" for that of the
	// request, or * for all.
	Audit func(context.Context, *audit.Query) (*audit.Page, error)
}

// Console holds the handlers of the console, one for each of its routes. All but
// Files need an identity in the context of a request. They are safe for concurrent
// use.
type Console struct {
	// Files serves the files of the console by their path. It answers 404 for any other
	// path, and 405 for any method but GET and HEAD.
	Files                                                                  http.Handler
	Status, Live, Trace, Series, Search, Histogram, Facets, Compare, Audit http.Handler

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
		Audit:     secured(auditHandler(o)),
		remove:    o.Delete,
	}
}

// Refuse answers a request that its door refused.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	answer(func(*http.Request) (any, error) { return nil, err }).ServeHTTP(w, r)
}

// secured adds the headers that protect a page, and refuses all methods but GET and HEAD.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Permissions-Policy", permissionsPolicy)
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
