package server

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/present/api"
	"github.com/fluoro-io/fluoro/internal/present/console"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/query/analytics"
	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/sample"
	"github.com/fluoro-io/fluoro/internal/setting"
	"github.com/fluoro-io/fluoro/internal/store/local"
	"github.com/fluoro-io/fluoro/internal/tag"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
	"github.com/fluoro-io/fluoro/web"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// routes is everything the main address serves.
func (s *server) routes() http.Handler {
	account := trace.Account(s.config.Account)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.Handle(tracesPath, receive.OTLPHTTP(s.intake, account))
	control := api.Control{
		Groups: s.groups, Tags: tag.New(s.records, s.config.Region), Policies: policy.New(s.records), Settings: setting.New(s.records),
	}
	questions := query.New(s.store)
	questions.Room, questions.Names = s.answers, s.names
	questions.Groups, questions.History = control.Groups.Lookup, history(control.Groups)
	questions.Indexed = func(ctx context.Context, account trace.Account) (func(trace.ID, trace.Time) bool, error) {
		indexed, err := control.Settings.Indexed(ctx, account)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("every trace has a summary: the indexing rule cannot be read", "error", err)
			return nil, nil
		}
		return indexed, err
	}
	s.retrievals = query.NewRetrievals(questions, time.Now)
	s.retrievals.Logger = s.log
	pages := s.roomy(console.Handler(console.Options{
		Assets: web.Assets(), Status: s.status, Live: s.live, Analytics: analytics.New(s.store, account, questions.Filter),
		Trace: func(ctx context.Context, id string) (*console.TraceView, error) {
			whole, err := questions.Whole(ctx, account, id)
			if err != nil || whole == nil {
				return nil, err
			}
			return traceView(whole), nil
		},
	}), questions)
	operations := api.New(api.Options{
		Control: control, Retrievals: s.retrievals,
		Query: questions, Intake: s.intake, Sampler: sample.New(s.records, s.config.Region), Account: account, Region: s.config.Region,
		Observe: s.observer(), Logger: s.log,
	})
	mux.HandleFunc("GET /console/api/backup", s.backup)
	mux.Handle("POST /console/api/delete", console.DeleteHandler(func(ctx context.Context, d console.Deletion) (int, error) {
		n, err := questions.Delete(ctx, account, query.DeleteRequest{IDs: d.IDs, Window: d.Window(), Filter: d.Filter, DryRun: d.DryRun})
		if !d.DryRun && n > 0 {
			s.log.Info("traces were deleted", "traces", n)
		}
		return n, err
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		// Every operation of the API is a POST, every page of the console a GET.
		_, operation := wire.Lookup(r.URL.Path)
		if r.Method == http.MethodPost || operation {
			operations.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
	return s.newDoor("http", s.config.HTTP).guard(mux)
}

// traceView is a trace as the console shows it.
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

// otlpRoutes is what the OTLP/HTTP address serves.
func (s *server) otlpRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(tracesPath, receive.OTLPHTTP(s.intake, trace.Account(s.config.Account)))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "this address takes OpenTelemetry spans at /v1/traces; there is nothing at "+r.URL.Path, http.StatusNotFound)
	})
	return s.newDoor("otlp-http", s.config.OTLPHTTP).guard(mux)
}

// readyDamage is how many damaged places /readyz names.
const readyDamage = 10

// ready answers 200 while segments can be stored, else 503 with the reason. Damage
// does not make it unready: the rest is served.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	stats, err := s.store.Stats(r.Context())
	reason := stats.ReadOnly
	if err != nil {
		reason = err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	if reason != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	damage, n := s.damage(stats)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"ready": reason == "", "reason": reason, "damaged": n, "damage": append([]string{}, damage[:min(len(damage), readyDamage)]...),
	})
}

// status is what the console's status page shows.
func (s *server) status(ctx context.Context) (*console.StatusReport, error) {
	stats, err := s.store.Stats(ctx)
	if err != nil {
		return nil, err
	}
	report := &console.StatusReport{
		Version: Version(), Account: s.config.Account, Region: s.config.Region, Started: float64(s.started.UnixMilli()) / 1000,
		Listeners: s.listeners,
		Store: console.StoreStatus{
			Traces: stats.Traces, Segments: stats.Segments, OpenTraces: stats.Gauge(local.GaugeOpenTraces), Blocks: stats.Gauge(local.GaugeBlocks),
			Bytes: stats.Gauge(local.GaugeBlockBytes) + stats.Gauge(local.GaugeLogBytes), WALBytes: stats.Gauge(local.GaugeLogBytes), ReadOnly: stats.ReadOnly,
			Search: console.SearchStatus{Keys: stats.Keys.Keys, TracesBeyond: stats.Keys.TracesBeyond},
			Names:  stats.Names, NamesFolded: stats.Folded, OtherName: stats.Other,
		},
	}
	report.Store.Damage, report.Store.Damaged = s.damage(stats)
	report.Store.Notes = append(slices.Clone(stats.Notes), s.leftovers...)
	for _, k := range stats.Keys.Over {
		report.Store.Search.ManyValues = append(report.Store.Search.ManyValues, string(k.Account)+" "+k.Key)
	}
	for _, c := range s.tally.Counts() {
		report.Received = append(report.Received, console.Count(c))
	}
	for _, r := range s.tally.Refused() {
		report.Refused = append(report.Refused, console.Refused(r))
	}
	return report, nil
}

// observer measures the API's requests.
func (s *server) observer() func(op string, status int, d time.Duration) {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "fluoro_api_request_seconds", Help: "Duration of X-Ray API requests, by operation and status.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"operation", "status"})
	s.registry.MustRegister(seconds)
	return func(op string, status int, d time.Duration) {
		seconds.WithLabelValues(op, http.StatusText(status)).Observe(d.Seconds())
	}
}

// measure registers the gauges of what is held.
func (s *server) measure() {
	gauge := func(name, help string, value func() float64) {
		s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("fluoro_receive_in_flight_bytes", "Bytes of requests being decoded and stored.", func() float64 { return float64(s.intake.InFlight()) })
	stat := func(pick func(st storeStats) int64) func() float64 {
		return func() float64 {
			st, err := s.store.Stats(context.Background())
			if err != nil {
				return 0
			}
			return float64(pick(st))
		}
	}
	gauge("fluoro_store_traces", "Traces held.", stat(func(st storeStats) int64 { return st.Traces }))
	gauge("fluoro_store_segments", "Segment documents and spans held.", stat(func(st storeStats) int64 { return st.Segments }))
	if st, err := s.store.Stats(context.Background()); err == nil { // those of the engine
		for _, g := range st.Gauges {
			gauge("fluoro_store_"+g.Name, g.Help, stat(func(st storeStats) int64 { return st.Gauge(g.Name) }))
		}
	}
	gauge("fluoro_store_damaged_places", "Places of the data directory that are known to be damaged or missing.", func() float64 {
		st, err := s.store.Stats(context.Background())
		if err != nil {
			return 0
		}
		_, n := s.damage(st)
		return float64(n)
	})
	gauge("fluoro_search_keys", "Keys of annotations and attributes with an index for search, since the start.", stat(func(st storeStats) int64 { return int64(st.Keys.Keys) }))
	gauge("fluoro_search_traces_beyond", "Traces settled with a key for which there was no index left; they are found more slowly.", stat(func(st storeStats) int64 { return st.Keys.TracesBeyond }))
	gauge("fluoro_search_keys_many_values", "Keys with more distinct values than have an index; they are found more slowly. At most 20 are counted.", stat(func(st storeStats) int64 { return int64(len(st.Keys.Over)) }))
	gauge("fluoro_store_names_limit", "How many names of services graphs tell apart.", stat(func(st storeStats) int64 { return int64(st.Names) }))
	s.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "fluoro_store_names_folded_total", Help: "How often a name was over that limit when blocks were written, and its counts went to the node of all others.",
	}, stat(func(st storeStats) int64 { return st.Folded })))
	gauge("fluoro_store_read_only", "1 while nothing can be written.", stat(func(st storeStats) int64 {
		if st.ReadOnly != "" {
			return 1
		}
		return 0
	}))
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "fluoro_build_info", Help: "The version that runs, as a label.", ConstLabels: prometheus.Labels{"version": Version()},
	}, func() float64 { return 1 }))
}
