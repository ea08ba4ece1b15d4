package server

import (
	"context"
	"net/http"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/policy/resource"
	"github.com/fluoro-io/fluoro/internal/present/api"
	"github.com/fluoro-io/fluoro/internal/present/console"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/query/analytics"
	"github.com/fluoro-io/fluoro/internal/sample"
	"github.com/fluoro-io/fluoro/internal/setting"
	"github.com/fluoro-io/fluoro/internal/tag"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
	"github.com/fluoro-io/fluoro/web"
)

// present makes the queries, the X-Ray API and the console.
func (s *server) present() {
	control := api.Control{Groups: s.groups, Tags: tag.New(s.records), Policies: resource.New(s.records), Settings: setting.New(s.records)}
	control.Encryption = encryption{s, control.Settings}
	s.decideBy(control.Policies)
	q := query.New(s.store)
	q.Room, q.Names = s.answers, s.names
	q.Groups, q.History = control.Groups.Lookup, history(control.Groups)
	q.Indexed = func(ctx context.Context, account trace.Account) (func(trace.ID, trace.Time) bool, error) {
		indexed, err := control.Settings.Indexed(ctx, account)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("every trace has a summary: the indexing rule cannot be read", "error", err)
			return nil, nil
		}
		return indexed, err
	}
	s.questions = q
	s.retrievals = query.NewRetrievals(q, time.Now)
	s.retrievals.Logger = s.log
	s.api = api.New(api.Options{
		Control: control, Query: q, Retrievals: s.retrievals, Intake: s.intake, Sampler: sample.New(s.records), Observe: s.observer(), Logger: s.log,
	})
	s.console = console.New(console.Options{
		Assets: web.Assets(), Status: s.status, Live: s.live, Analytics: analytics.New(s.store, q.Filter), Trace: s.trace, Delete: s.delete, Audit: s.lookupEvents,
	})
}

// trace finds a trace of the identity in ctx for the console; nil if there is none.
func (s *server) trace(ctx context.Context, id string) (*console.TraceView, error) {
	p, err := identity.From(ctx)
	if err != nil {
		return nil, err
	}
	whole, err := s.questions.Whole(ctx, query.ReaderOf(p), id)
	if err != nil || whole == nil {
		return nil, err
	}
	return traceView(whole), nil
}

// traceView converts a trace to the console's form.
func traceView(w *query.WholeTrace) *console.TraceView {
	v := &console.TraceView{ID: w.Trace.ID.String(), Segments: []console.SegmentDocument{}, Refused: []console.RefusedEntity{}}
	if w.Duration != nil {
		d := w.Duration.Seconds()
		v.Duration = &d
	}
	for _, d := range w.Documents {
		v.Segments = append(v.Segments, console.SegmentDocument{ID: d.ID, Document: string(d.JSON)})
	}
	for i := range w.Trace.Refused {
		r := &w.Trace.Refused[i]
		v.Refused = append(v.Refused, console.RefusedEntity{ID: r.Entity.ID.String(), Name: r.Entity.Name, Reason: r.Reason()})
	}
	return v
}

// delete deletes traces of the identity in ctx.
func (s *server) delete(ctx context.Context, d console.Deletion) (int, error) {
	p, err := identity.From(ctx)
	if err != nil {
		return 0, err
	}
	n, err := s.questions.Delete(ctx, query.ReaderOf(p), query.DeleteRequest{IDs: d.IDs, Window: d.Window(), Filter: d.Filter, DryRun: d.DryRun})
	if !d.DryRun && n > 0 {
		s.log.Info("traces were deleted", "account", p.Account, "traces", n)
	}
	return n, err
}

// httpRest makes the handler of requests to the HTTP address that have no route. It
// serves the console's files; it answers a POST with the API's error for unknown
// operations, and everything else with 404 or 405.
func (s *server) httpRest() http.Handler {
	mux := http.NewServeMux() // it redirects to clean paths
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if _, operation := wire.Lookup(r.URL.Path); operation || r.Method == http.MethodPost {
			s.api.Unserved(w, r)
			return
		}
		s.console.Files.ServeHTTP(w, r)
	})
	return mux
}

// otlpRest answers requests to the OTLP/HTTP address that have no route.
func otlpRest(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "this address takes OpenTelemetry spans at /v1/traces; there is nothing at "+r.URL.Path, http.StatusNotFound)
}
