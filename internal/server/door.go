package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/authn"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/cors"
)

// While there are no credentials, any site that someone visits could make their browser
// read and write their traces. The browser tells the truth in two headers: Origin names
// the page that asks, Host the name by which the page knows this server. So a door checks
// both before anything else.

// door is the handler of a listener. It refuses requests that are not addressed to this
// server, and those of web pages that are not allowed. It finds the row of the route
// table and the principal, reserves room, and calls the row's handler with the identity
// in the context.
type door struct {
	server  *server
	name    string // of the listener
	names   *names // nil: it checks neither Host nor Origin
	origins *cors.Cors
	paths   map[string]*path
	rest    http.Handler // answers requests without a route
	refused *prometheus.CounterVec
}

// path holds the routes of one path.
type path struct {
	methods map[string]served
	any     *served // not nil if its handler refuses other methods itself
	route   *route  // one of the routes, for what they have in common
}

// served is a row of the route table on one listener.
type served struct {
	*route
	endpoint
	busy *sync.Mutex // held while a request of class admitAlone is served
}

// identify asks the authenticator who makes a call, and the authorizer whether they may,
// unless the row's handler asks itself. Calls about the whole server are only for the
// server's own account, the account of the operator. The reason of an error is one of a
// few words. The principal comes with an error, too, if it is known.
func (s *server) identify(ctx context.Context, rt *route, c identity.Call) (p identity.Principal, reason string, err error) {
	c.Action = rt.action
	p, err = s.authenticator.Authenticate(ctx, c)
	switch {
	case err != nil:
		return identity.Principal{}, reasonOf(err), err
	case p.Account == "" || p.Region == "":
		return identity.Principal{}, "identity", trace.Errorf(trace.KindInternal, "the identity of %q has no account or no region", p.Name)
	case rt.whole && p.Account != s.own():
		return p, "denied", trace.Errorf(trace.KindDenied, "%s is about all accounts of this server; only account %s may use it", rt.action, s.own())
	}
	if !rt.asks {
		p.Sight, err = s.authorize(ctx, p, c, identity.Question{Action: rt.action, Resource: "*"})
	}
	if err == nil && rt.everything && p.Sight != nil {
		return p, "denied", trace.Errorf(trace.KindDenied, "%s is about all segments, and your permissions do not include all of them", rt.action)
	}
	if err == nil {
		p.Linked = s.linked(rt, &p, c.Request)
	}
	return p, "denied", err
}

// authorize asks the authorizer, after the limits that no policy can widen.
func (s *server) authorize(ctx context.Context, p identity.Principal, c identity.Call, q identity.Question) (sight.Sight, error) {
	switch {
	case p.Proof == identity.ProofNetwork && q.Action == c.Action:
		return nil, nil // a setting allows just this call
	case !authn.InScope(p.Scopes, q.Action):
		// AWS has no scopes, so the reason is our own text.
		return nil, trace.Errorf(trace.KindDenied, "User: %s is not authorized to perform: %s because the scopes of the bearer token do not include the %s action", p.ARN, q.Action, q.Action)
	}
	return s.authorizer.Authorize(ctx, p, c, q)
}

// reasonOf returns the reason of an error of the authenticator.
func reasonOf(err error) string {
	if f := identity.FailureOf(err); f != nil && f.Reason != "" {
		return f.Reason
	}
	return "identity"
}

// guarded serves a row whose handler asks the authorizer itself. An answer of a handler
// that did not ask does not leave the server.
func (d *door) guarded(w http.ResponseWriter, r *http.Request, row served, p identity.Principal) {
	c := d.call(r)
	c.Action = row.action
	ctx, guard := identity.WithGuard(r.Context(), func(ctx context.Context, q identity.Question) error {
		if q.Resource != "*" {
			audit.Of(ctx).Use(q.Resource)
		}
		_, err := d.server.authorize(ctx, p, c, q)
		if err != nil {
			d.count(r, row.route, "denied", err)
		}
		return err
	})
	row.ServeHTTP(&asking{ResponseWriter: w, guard: guard}, r.WithContext(ctx))
}

// call describes a request for authenticator and authorizer.
func (d *door) call(r *http.Request) identity.Call {
	return identity.Call{Listener: d.name, Request: r, Source: r.RemoteAddr, Secure: r.TLS != nil || overTLS(r.Context())}
}

// asking is a ResponseWriter that replaces successful answers by a failure unless the
// handler asked the authorizer.
type asking struct {
	http.ResponseWriter
	guard   *identity.Guard
	decided bool
	refused bool
}

// WriteHeader checks that a successful answer was allowed.
func (a *asking) WriteHeader(status int) {
	if !a.decided {
		a.decided = true
		if status < http.StatusBadRequest && !a.guard.Asked() {
			a.refused = true
			a.ResponseWriter.Header().Del("Content-Length")
			status = http.StatusInternalServerError
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write drops the body of an answer that was not allowed.
func (a *asking) Write(b []byte) (int, error) {
	if !a.decided {
		a.WriteHeader(http.StatusOK)
	}
	if a.refused {
		return len(b), nil
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController the connection.
func (a *asking) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// own returns the server's own account, --account: that of its operator and of unsigned
// requests.
func (s *server) own() trace.Account { return trace.Account(s.config.Account) }

// newDoor makes the door of a listener from its rows of a route table. rest answers
// requests without a route; if it is nil, the handler of the first row does.
func (s *server) newDoor(on listener, table []route, rest http.Handler) *door {
	d := &door{server: s, name: on.String(), origins: originsOf(s.config.CORSOrigins), paths: map[string]*path{}, rest: rest, refused: s.refused.MustCurryWith(prometheus.Labels{"listener": on.String()})}
	for _, reason := range append([]string{"host", "origin", "identity", "denied"}, authn.Reasons...) {
		d.refused.WithLabelValues(reason)
	}
	for _, rt := range table {
		if rt.on&on == 0 {
			continue
		}
		p := d.paths[rt.path]
		if p == nil {
			p = &path{methods: map[string]served{}, route: &rt}
			d.paths[rt.path] = p
		}
		row := served{&rt, rt.handler(s, &rt), new(sync.Mutex)}
		p.methods[rt.method] = row
		if rt.method == http.MethodGet {
			p.methods[http.MethodHead] = row
		}
		if rt.ownMethods {
			p.any = &row
		}
		if d.rest == nil {
			d.rest = row.endpoint
		}
	}
	return d
}

// newRefused makes the counter of refused requests.
func newRefused() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fluoro_http_refused_total",
		Help: "HTTP requests that were not looked at, by listener and reason: host (a name this server does not have), origin (a web page that may not), denied (somebody who may not), the others are about credentials: docs/guides/network.md.",
	}, []string{"listener", "reason"})
}

// originsOf makes the handler that answers the preflights of browsers and tells them
// which pages may read answers (Fetch standard, "CORS protocol").
func originsOf(list []string) *cors.Cors {
	o := cors.Options{
		AllowedOrigins: list, AllowedMethods: []string{http.MethodPost}, AllowedHeaders: []string{"*"}, ExposedHeaders: []string{"Retry-After"},
		// Browsers send beacons with credentials, and nothing here accepts these. Pages of
		// the internet that are listed may reach private addresses.
		AllowCredentials: true, AllowPrivateNetwork: true,
		MaxAge: 7200, // the maximum of browsers
	}
	if len(list) == 0 || slices.Contains(list, "*") {
		// The library treats an empty list as all origins. And for all origins it
		// writes an asterisk, which browsers do not accept for beacons.
		o.AllowOriginFunc = func(string) bool { return len(list) > 0 }
	}
	return cors.New(o)
}

// ServeHTTP lets one request in, or refuses it.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = d.server.unproxied(r)
	d.server.harden(w, r)
	p := d.paths[r.URL.Path]
	if d.names != nil && !d.names.has(r.Host) && !d.server.certified(r) {
		d.refuse(w, r, "host", http.StatusMisdirectedRequest, fmt.Sprintf("this server does not know itself by the name %.100q; if that is one of its names, add it to --allowed-hosts ($FLUORO_ALLOWED_HOSTS)", r.Host))
		return
	}
	origin := r.Header.Get("Origin")
	switch {
	case p != nil && p.route.crossOrigin:
		if r.Method == http.MethodOptions && origin != "" && r.Header.Get("Access-Control-Request-Method") != "" && !d.origins.OriginAllowed(r) {
			w.Header().Set("Vary", "Origin")
			d.refuse(w, r, "origin", http.StatusForbidden, fmt.Sprintf("web pages of %.100q may not send spans; if they should, add their origin to --cors-origins ($FLUORO_CORS_ORIGINS)", origin))
			return
		}
		d.origins.Handler(http.HandlerFunc(d.dispatch)).ServeHTTP(w, r)
	case origin != "" && d.names != nil && !sameOrigin(origin, r.Host):
		d.refuse(w, r, "origin", http.StatusForbidden, "requests from web pages of other origins are refused")
	default:
		d.dispatch(w, r)
	}
}

func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, host)
}

// dispatch finds the route of a request.
func (d *door) dispatch(w http.ResponseWriter, r *http.Request) {
	p := d.paths[r.URL.Path]
	if p == nil {
		d.rest.ServeHTTP(w, r)
		return
	}
	switch row, known := p.methods[r.Method]; {
	case known:
		d.admit(w, r, row)
	case p.any != nil:
		p.any.ServeHTTP(w, r)
	default:
		d.rest.ServeHTTP(w, r)
	}
}

// admit serves a request with the identity of the caller.
func (d *door) admit(w http.ResponseWriter, r *http.Request, row served) {
	if row.action == public {
		row.ServeHTTP(w, r)
		return
	}
	who, reason, err := d.server.identify(r.Context(), row.route, d.call(r))
	ctx := identity.With(r.Context(), who)
	// Bodies that bring segments are large: the Intake reads them to their end before it acts.
	// But who only knows the id of a key must not learn what its owner may, so the answer
	// "denied" needs the proof, too.
	if body, ok := r.Body.(unproved); ok && body.Unproved() && (row.brings == "" || err != nil) {
		r = r.WithContext(ctx)
		release, err := d.server.intake.Hold(w, r, row.limit)
		if err != nil {
			row.Refuse(w, r, err)
			return
		}
		defer release()
	}
	if err != nil {
		d.count(r, row.route, reason, err)
		d.server.refusedTo(r, row.route, &who, err)
		row.Refuse(w, r, err)
		return
	}
	if d.server.audit.records(row.route) {
		d.server.audited(w, r, row, &who, func(w http.ResponseWriter, r *http.Request) { d.serve(w, r, row, who) })
		return
	}
	d.serve(w, r, row, who)
}

// serve reserves room for a request of a known caller and calls its handler.
func (d *door) serve(w http.ResponseWriter, r *http.Request, row served, who identity.Principal) {
	ctx, left := d.server.attend(identity.With(r.Context(), who), w, r, who)
	defer left()
	done, err := d.server.within(ctx, who.Account, row.class)
	if err != nil {
		if row.brings != "" {
			d.server.tally.Throttle(receive.Sender{Account: who.Account, Protocol: row.brings, Source: r.RemoteAddr}, 1, err)
		}
		if r.Context().Err() == nil { // else the client is gone
			row.Refuse(w, r, err)
		}
		return
	}
	defer done()
	if row.class == admitAnswer || row.class == admitScan {
		w = &ready{w, done}
	}
	switch row.class {
	case admitScan:
		var done context.CancelFunc
		ctx, done = context.WithCancel(ctx) // cancelling frees the room
		defer done()
		everything := trace.Window{Start: trace.MinTime, End: trace.MaxTime}
		if err := d.server.questions.Scan(ctx, query.ReaderOf(who), everything); err != nil {
			if r.Context().Err() == nil { // else the client is gone
				row.Refuse(w, r, err)
			}
			return
		}
	case admitAlone:
		if !row.busy.TryLock() {
			row.Refuse(w, r, trace.Errorf(trace.KindConflict, "another request for %s is being served; wait for it to end", row.action))
			return
		}
		defer row.busy.Unlock()
	}
	if row.asks {
		d.guarded(w, r.WithContext(ctx), row, who)
		return
	}
	row.ServeHTTP(w, r.WithContext(ctx))
}

// unproved is a body that proves the identity of its request when it was read to its end.
type unproved interface{ Unproved() bool }

// refuse answers and counts a request that is refused before its handler runs.
func (d *door) refuse(w http.ResponseWriter, r *http.Request, reason string, code int, message string) {
	var rt *route
	if p := d.paths[r.URL.Path]; p != nil {
		rt = p.route
	}
	d.count(r, rt, reason, errors.New(message))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.Error(w, message, code)
}

// count counts and logs a refusal. If the request would have brought segments, the status
// page shows it too, because senders often ignore answers.
func (d *door) count(r *http.Request, rt *route, reason string, err error) {
	d.refused.WithLabelValues(reason).Inc()
	d.server.note(d.name, r, reason, err)
	if rt != nil && rt.brings != "" {
		d.server.tally.Refuse(receive.Sender{Protocol: rt.brings, Source: r.RemoteAddr}, strings.ToUpper(reason[:1])+reason[1:], err.Error())
	}
}

// note logs a refusal: for each listener and reason at most once a minute (sparse). The
// log handlers quote the sender's text.
func (s *server) note(listener string, r *http.Request, reason string, err error) {
	s.log.Warn("a request was refused: "+reason, "protocol", listener, "source", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "error", err)
}

// failed counts a request whose body showed that its signature is wrong. Its handler
// answers.
func (s *server) failed(c identity.Call, err error) {
	reason := reasonOf(err)
	s.refused.WithLabelValues(c.Listener, reason).Inc()
	s.log.Warn("a request was refused: "+reason, "protocol", c.Listener, "source", c.Source, "path", c.Request.URL.Path, "error", err)
}

// httpDoor is the door of the HTTP address.
func (s *server) httpDoor() *door {
	d := s.newDoor(onHTTP, routes(), s.httpRest())
	d.names = namesOf(s.config, s.config.HTTP)
	return d
}

// otlpDoor is the door of the OTLP/HTTP address.
func (s *server) otlpDoor() *door {
	d := s.newDoor(onOTLPHTTP, routes(), http.HandlerFunc(otlpRest))
	d.names = namesOf(s.config, s.config.OTLPHTTP)
	return d
}

// datagrams is the door of the UDP address.
func (s *server) datagrams() receive.Who {
	for _, rt := range routes() {
		if rt.on == onUDP {
			name := onUDP.String()
			return func(source string) (identity.Principal, error) {
				p, _, err := s.identify(context.Background(), &rt, identity.Call{Listener: name, Source: source})
				return p, err
			}
		}
	}
	panic("the route table has no row for datagrams")
}

// statusOf is the HTTP status of an error.
func statusOf(err error) int {
	if identity.FailureOf(err) != nil {
		return http.StatusUnauthorized
	}
	switch trace.KindOf(err) {
	case trace.KindDenied:
		return http.StatusForbidden
	case trace.KindConflict:
		return http.StatusConflict
	case trace.KindTooLarge:
		return http.StatusRequestEntityTooLarge
	case trace.KindUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
