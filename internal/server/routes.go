package server

import (
	"net/http"
	"strings"

	"github.com/fluoro-io/fluoro/internal/present/api"
	"github.com/fluoro-io/fluoro/internal/present/console"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// listener is a set of addresses that a server listens on.
type listener int

const (
	onHTTP listener = 1 << iota
	onOTLPHTTP
	onOTLPGRPC
	onUDP
)

// String returns the names of the listeners, as in metrics and flags.
func (l listener) String() string {
	var all []string
	for i, name := range []string{"http", "otlp-http", "otlp-grpc", "udp"} {
		if l&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	return strings.Join(all, ", ")
}

// class says how the requests of a route are admitted.
type class string

const (
	// admitAlways: such requests need almost no memory.
	admitAlways class = "always"
	// admitIngest: they bring segments. They take room for the decoded segments
	// (package receive), and refusals are counted.
	admitIngest class = "ingest"
	// admitAnswer: they take room for their body, and for their answer by its weight
	// (query.Room).
	admitAnswer class = "answer"
	// admitScan: they read many traces. The door reserves room for that first.
	admitScan class = "scan"
	// admitAlone: the door serves one at a time.
	admitAlone class = "alone"
)

// public is the action of routes that everyone may use: the door asks no authenticator,
// and their answers contain nothing of any account.
const public = ""

// route is a row of the route table. Doors, admission, limits and counters read it;
// nothing else knows paths.
type route struct {
	on     listener
	method string // GET includes HEAD
	path   string // exactly; "/" stands for the files of the console
	action string // the name for policies, or public
	class  class
	limit  int64 // of a body in bytes, compressed and decompressed; 0: requests have none
	// brings is the protocol under which the tally counts its segments; "" for none.
	brings string
	// crossOrigin routes may be used by web pages of --cors-origins.
	crossOrigin bool
	// asks tells that the handler asks the authorizer itself, because only it knows the
	// resource (identity.Ask).
	asks bool
	// unsigned tells which requests need no credentials, because the handler identifies
	// their callers in its own way; nil: none.
	unsigned func(*http.Request) bool
	// whole routes are about all accounts of the server. Only its own account may use them.
	whole bool
	// everything routes read, count or delete segments without regard to a sight. Only
	// principals who may see all segments may use them.
	everything bool
	// handler makes the handler of the route for one listener; nil for datagrams.
	handler func(s *server, rt *route) endpoint
	// ownMethods tells that the handler itself refuses other methods, in the words of
	// its protocol.
	ownMethods bool
}

// endpoint serves the requests of a route that the door accepts, with an identity in
// their contexts, and answers refused ones in the words of its protocol.
type endpoint interface {
	http.Handler
	Refuse(w http.ResponseWriter, r *http.Request, err error)
}

const (
	maxRequest  = 1 << 20  // of the X-Ray API and of the console
	maxSegments = 16 << 20 // of PutTraceSegments
	maxSpans    = 64 << 20 // of OTLP
)

// routes returns the table of everything that is served. docs/routes.md shows it.
func routes() []route {
	list := []route{
		{on: onUDP, method: "UDP", action: "xray:PutTraceSegments", class: admitIngest, limit: receive.MaxDatagram, brings: receive.ProtocolUDP},
		{on: onHTTP | onOTLPHTTP, method: http.MethodPost, path: "/v1/traces", action: "xray:PutSpans", class: admitIngest, limit: maxSpans, brings: receive.ProtocolOTLPHTTP, crossOrigin: true, ownMethods: true,
			handler: func(s *server, rt *route) endpoint { return receive.NewOTLPHTTP(s.intake, rt.limit) }},
		{on: onOTLPGRPC, method: http.MethodPost, path: receive.ExportPath, action: "xray:PutSpans", class: admitIngest, limit: maxSpans, brings: receive.ProtocolOTLPGRPC,
			handler: func(s *server, rt *route) endpoint { return receive.NewOTLPGRPC(s.intake, rt.limit) }},
		{on: onHTTP, method: http.MethodGet, path: "/healthz", action: public, class: admitAlways, handler: plain(func(*server) http.Handler { return http.HandlerFunc(healthy) })},
		{on: onHTTP, method: http.MethodGet, path: "/readyz", action: public, class: admitAlways, handler: plain(func(s *server) http.Handler { return http.HandlerFunc(s.ready) })},
		{on: onHTTP, method: http.MethodGet, path: "/metrics", action: "fluoro:GetMetrics", class: admitAlways, whole: true, everything: true, handler: plain((*server).metrics)},
		{on: onHTTP, method: http.MethodGet, path: "/", action: public, class: admitAlways, handler: plain(func(s *server) http.Handler { return s.console.Files })},
		{on: onHTTP, method: http.MethodGet, path: "/console/api/backup", action: "fluoro:CreateBackup", class: admitAlone, whole: true, everything: true, handler: plain(func(s *server) http.Handler { return http.HandlerFunc(s.backup) })},
		{on: onHTTP, method: http.MethodGet, path: "/console/api/export", action: "fluoro:ExportTraces", class: admitAlone, whole: true, everything: true, handler: plain(func(s *server) http.Handler { return http.HandlerFunc(s.export) })},
		{on: onHTTP, method: http.MethodPost, path: "/console/api/delete", action: "fluoro:DeleteTraces", class: admitScan, limit: maxRequest, everything: true,
			handler: func(s *server, rt *route) endpoint { return page{s.console.Delete(rt.limit)} }},
	}
	for _, q := range []struct {
		name, action string
		class        class
		handler      func(c *console.Console) http.Handler
	}{
		{"status", "fluoro:GetStatus", admitAlways, func(c *console.Console) http.Handler { return c.Status }},
		{"live", "fluoro:GetLiveEvents", admitAlways, func(c *console.Console) http.Handler { return c.Live }},
		{"trace", "fluoro:GetTrace", admitAnswer, func(c *console.Console) http.Handler { return c.Trace }},
		{"series", "fluoro:GetSeries", admitScan, func(c *console.Console) http.Handler { return c.Series }},
		{"search", "fluoro:SearchTraces", admitScan, func(c *console.Console) http.Handler { return c.Search }},
		{"histogram", "fluoro:GetHistogram", admitScan, func(c *console.Console) http.Handler { return c.Histogram }},
		{"facets", "fluoro:GetFacets", admitScan, func(c *console.Console) http.Handler { return c.Facets }},
		{"compare", "fluoro:CompareTraces", admitScan, func(c *console.Console) http.Handler { return c.Compare }},
		{"audit", "cloudtrail:LookupEvents", admitAlways, func(c *console.Console) http.Handler { return c.Audit }},
	} {
		list = append(list, route{on: onHTTP, method: http.MethodGet, path: "/console/api/" + q.name, action: q.action, class: q.class, everything: q.name == "audit",
			handler: func(s *server, _ *route) endpoint { return page{q.handler(s.console)} }})
	}
	list = append(list, quotaRoutes()...)
	list = append(list, evidenceRoutes()...)
	list = append(list, complianceRoutes()...)
	list = append(list, scrubRoutes()...)
	list = append(list, principalRoutes()...)
	list = append(list, loginRoutes()...)
	list = append(list, keyRoutes()...)
	list = append(list, findingRoutes()...)
	list = append(list, linkRoutes()...)
	for _, op := range wire.Operations {
		rt := route{on: onHTTP, method: http.MethodPost, path: op.Path, action: op.Action, class: admitAnswer, limit: maxRequest}
		if op.Name == "PutTraceSegments" {
			rt.class, rt.limit, rt.brings = admitIngest, maxSegments, receive.ProtocolXRay
		}
		rt.asks = api.Asks(op.Name)
		rt.handler = func(s *server, rt *route) endpoint { return s.api.Endpoint(op, rt.limit, rt.class == admitIngest) }
		list = append(list, rt)
	}
	return list
}

// Route is a row of the route table, for documents and tests.
type Route struct {
	Listeners   string // of http, otlp-http, otlp-grpc and udp
	Method      string // UDP for datagrams
	Path        string // "" for datagrams
	Action      string // "" if everyone may use it
	Admission   string // always, ingest, answer, scan or alone
	Limit       int64  // bytes of a body; 0 if it has none
	CrossOrigin bool   // web pages of --cors-origins may use it
	Whole       bool   // for all accounts of the server together
	Unsigned    bool   // some requests need no credentials
}

// Routes lists everything that a server serves.
func Routes() []Route {
	var list []Route
	for _, rt := range routes() {
		list = append(list, Route{rt.on.String(), rt.method, rt.path, rt.action, string(rt.class), rt.limit, rt.crossOrigin, rt.whole, rt.unsigned != nil})
	}
	return list
}

// page is an endpoint of the console, which refuses in JSON.
type page struct{ http.Handler }

// Refuse answers a request that its door refused.
func (page) Refuse(w http.ResponseWriter, r *http.Request, err error) { console.Refuse(w, r, err) }

// plain makes the endpoint of a handler whose refusals are plain text.
func plain(h func(s *server) http.Handler) func(*server, *route) endpoint {
	return func(s *server, _ *route) endpoint { return text{h(s)} }
}

type text struct{ http.Handler }

// Refuse answers a request that its door refused.
func (text) Refuse(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), statusOf(err))
}
