// Package signin serves the logins of the web console as JSON and redirects: sign in and
// out, the session's own facts, passwords, passkeys, lists of sessions (docs/console-api.md).
package signin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/login"
	"github.com/fluoro-io/fluoro/internal/present/manage"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Options are the parts of a Front. All are required.
type Options struct {
	Logins *login.Logins
	// Required tells that nobody gets in without credentials.
	Required bool
	// Call describes a request.
	Call func(*http.Request) identity.Call
	// Exposed tells whether others could read the secrets of a call on their way.
	Exposed func(identity.Call) bool
	// Actions lists the actions that a principal may use, by the route table.
	Actions func(context.Context, identity.Principal, identity.Call) []string
}

// Front answers the routes.
type Front struct {
	Options
	crossOrigin http.CrossOriginProtection
}

// New makes a Front.
func New(o Options) *Front { return &Front{Options: o} }

// Route is a route of the front.
type Route struct {
	Method, Path string
	Action       string // "" for everyone
	Body         bool   // it has a body
	Serve        func(f *Front, limit int64) Endpoint
}

// Endpoint serves a route, and answers refused requests.
type Endpoint interface {
	http.Handler
	Refuse(w http.ResponseWriter, r *http.Request, err error)
}

// Routes lists the routes.
func Routes() []Route {
	post := func(path, action string, serve func(f *Front, limit int64) Endpoint) Route {
		return Route{http.MethodPost, path, action, true, serve}
	}
	get := func(path, action string, serve func(f *Front, c *request) (any, error)) Route {
		return Route{http.MethodGet, path, action, false, func(f *Front, _ int64) Endpoint { return f.read(serve) }}
	}
	return []Route{
		get("/console/api/login", "", (*Front).methods),
		post("/console/api/login", "", verb((*Front).password)),
		post("/console/api/login/passkey", "", verb((*Front).beginLogin)),
		post("/console/api/login/passkey/finish", "", verb((*Front).finishLogin)),
		post("/console/api/setup", "", verb((*Front).setup)),
		{http.MethodGet, "/login/oidc", "", false, func(f *Front, _ int64) Endpoint { return plain{f, f.redirect} }},
		{http.MethodGet, login.CallbackPath, "", false, func(f *Front, _ int64) Endpoint { return plain{f, f.callback} }},
		get("/console/api/session", "fluoro:GetSession", (*Front).session),
		post("/console/api/logout", "fluoro:EndSession", verb((*Front).logout)),
		get("/console/api/sessions", "fluoro:ListSessions", (*Front).sessions),
		post("/console/api/sessions/revoke", "fluoro:RevokeSession", verb((*Front).revoke)),
		post("/console/api/password", "iam:ChangePassword", verb((*Front).changePassword)),
		get("/console/api/passkeys", "fluoro:ListPasskeys", (*Front).passkeys),
		post("/console/api/passkeys/begin", "fluoro:CreatePasskey", verb((*Front).beginPasskey)),
		post("/console/api/passkeys/finish", "fluoro:CreatePasskey", verb((*Front).finishPasskey)),
		post("/console/api/passkeys/delete", "fluoro:DeletePasskey", verb((*Front).deletePasskey)),
	}
}

// request is a request to a route.
type request struct {
	*http.Request
	w    http.ResponseWriter
	call identity.Call
	from login.From
	who  identity.Principal // of the zero type for public routes
}

func (f *Front) request(w http.ResponseWriter, r *http.Request) *request {
	c := f.Call(r)
	q := &request{Request: r, w: w, call: c, from: login.From{Source: c.Source, Agent: r.UserAgent(), Secure: c.Secure, Host: r.Host}}
	q.who, _ = identity.From(r.Context())
	return q
}

// read makes the endpoint of a GET.
func (f *Front) read(serve func(f *Front, c *request) (any, error)) Endpoint {
	return plain{f, func(c *request) {
		out, err := serve(f, c)
		f.answer(c, out, err)
	}}
}

// verb makes the endpoint of a POST with a JSON object.
func verb[Q any](serve func(f *Front, c *request, q *Q) (any, error)) func(*Front, int64) Endpoint {
	return func(f *Front, limit int64) Endpoint {
		return plain{f, func(c *request) {
			q := new(Q)
			err := f.decode(c, limit, q)
			var out any
			if err == nil {
				out, err = serve(f, c, q)
			}
			f.answer(c, out, err)
		}}
	}
}

// decode reads the body of a request that changes something. Pages of other origins
// cannot send JSON without asking first, and a browser says which page asks.
func (f *Front) decode(c *request, limit int64, into any) error {
	if err := f.crossOrigin.Check(c.Request); err != nil {
		return trace.Errorf(trace.KindDenied, "requests from web pages of other origins are refused")
	}
	if kind, _, err := mime.ParseMediaType(c.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return trace.Errorf(trace.KindUnsupported, "the body must be application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return trace.Errorf(trace.KindTooLarge, "the body is larger than %d bytes", limit)
	case err != nil:
		return trace.Errorf(trace.KindInvalid, "the body could not be read")
	}
	if json.Unmarshal(body, into) != nil { // the cause could repeat a secret
		return trace.Errorf(trace.KindInvalid, "the body is not the JSON object that this address takes")
	}
	return nil
}

// plain is an endpoint.
type plain struct {
	*Front
	serve func(c *request)
}

// ServeHTTP answers a request.
func (p plain) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.serve(p.request(w, r)) }

// Refuse answers with an error.
func (p plain) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	p.answer(p.request(w, r), nil, err)
}

// answer writes an answer, which no cache may keep.
func (f *Front) answer(c *request, out any, err error) {
	status := http.StatusOK
	if err != nil {
		status = manage.Status(err)
		message := err.Error()
		var ke *trace.KindError
		if errors.As(err, &ke) {
			message = ke.Message // causes are for logs
		}
		problem := map[string]string{"message": message}
		if fail := identity.FailureOf(err); fail != nil {
			problem["code"] = fail.Exception
		}
		if named, ok := errors.AsType[interface {
			error
			Code() string
		}](err); ok {
			problem["code"] = named.Code()
		}
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			c.w.Header().Set("Retry-After", "10")
		}
		out = map[string]any{"error": problem}
	}
	if out == nil {
		out = struct{}{}
	}
	b, err := json.Marshal(out)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":{"message":"the answer could not be written as JSON"}}`)
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	protect(h)
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b) // the client may be gone
}

// protect sets the headers of answers that contain secrets or lead to them.
func protect(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// redirect sends a browser to the identity provider.
func (f *Front) redirect(c *request) {
	if err := f.safe(c); err != nil {
		f.back(c, "", err)
		return
	}
	location, cookie, err := f.Logins.Redirect(c.Context(), c.URL.Query().Get("to"), c.from)
	if err != nil {
		f.back(c, "", err)
		return
	}
	protect(c.w.Header())
	http.SetCookie(c.w, cookie)
	c.w.Header().Set("Location", location)
	c.w.WriteHeader(http.StatusSeeOther)
}

// callback takes a browser back from the identity provider.
func (f *Front) callback(c *request) {
	s, to, clear, err := f.Logins.Callback(c.Context(), c.Request, c.from)
	http.SetCookie(c.w, clear)
	if err == nil {
		http.SetCookie(c.w, s.Cookie)
	}
	f.back(c, to, err)
}

// back leads a browser to a page of the console, or to the login page with an error.
func (f *Front) back(c *request, to string, err error) {
	if err != nil {
		to = "#/login?" + url.Values{"problem": {problemOf(err)}}.Encode()
	}
	if to == "" {
		to = "#/"
	}
	protect(c.w.Header())
	c.w.Header().Set("Location", "/"+to)
	c.w.WriteHeader(http.StatusSeeOther)
}

// problemOf names the reason of a failed login for the login page. It is a word, not a
// text: anybody can make a link to that page.
func problemOf(err error) string {
	switch {
	case errors.Is(err, login.ErrNoRole):
		return "role"
	case trace.KindOf(err) == trace.KindDenied:
		return "denied"
	case trace.KindOf(err) == trace.KindInvalid:
		return "lost"
	case trace.KindOf(err) == trace.KindThrottled:
		return "throttled"
	}
	return "unavailable"
}

// safe refuses secrets that others could read on their way.
func (f *Front) safe(c *request) error {
	if f.Exposed(c.call) {
		return trace.Errorf(trace.KindDenied, "This connection has no TLS, so that others could read your credentials: sign in over TLS (see --tls).")
	}
	return nil
}
