package server

import (
	"context"
	"net/http"
	"time"

	"github.com/fluoro-io/fluoro/internal/store/answer"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics makes the handler of GET /metrics. No metric has the account as a label,
// because the number of accounts has no limit; the status page shows the figures of an
// account.
func (s *server) metrics() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{})
}

// observer registers the metrics of API requests and returns the function that measures
// a request.
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

// measure registers the gauges.
func (s *server) measure() {
	gauge := func(name, help string, value func() float64) {
		s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("fluoro_receive_in_flight_bytes", "Bytes of requests being decoded and stored.", func() float64 { return float64(s.intake.InFlight()) })
	stat := func(pick func(st answer.Stats) int64) func() float64 {
		return func() float64 {
			st, err := s.store.Stats(context.Background())
			if err != nil {
				return 0
			}
			return float64(pick(st))
		}
	}
	gauge("fluoro_store_traces", "Traces held.", stat(func(st answer.Stats) int64 { return st.Traces }))
	gauge("fluoro_store_segments", "Segment documents and spans held.", stat(func(st answer.Stats) int64 { return st.Segments }))
	if st, err := s.store.Stats(context.Background()); err == nil { // the engine's gauges
		for _, g := range st.Gauges {
			gauge("fluoro_store_"+g.Name, g.Help, stat(func(st answer.Stats) int64 { return st.Gauge(g.Name) }))
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
	s.registry.MustRegister(scrubbed{s.scrub})
	gauge("fluoro_keys_unusable", "Accounts whose data keys, or some of them, cannot be used.", func() float64 { return float64(len(s.keys.Problems())) })
	gauge("fluoro_search_keys", "Keys of annotations and attributes with an index for search, since the start.", stat(func(st answer.Stats) int64 { return int64(st.Keys.Keys) }))
	gauge("fluoro_search_traces_beyond", "Traces settled with a key for which there was no index left; they are found more slowly.", stat(func(st answer.Stats) int64 { return st.Keys.TracesBeyond }))
	gauge("fluoro_search_keys_many_values", "Keys with more distinct values than have an index; they are found more slowly. At most 20 are counted.", stat(func(st answer.Stats) int64 { return int64(len(st.Keys.Over)) }))
	gauge("fluoro_store_names_limit", "How many distinct names of services graphs keep at most.", stat(func(st answer.Stats) int64 { return int64(st.Names) }))
	s.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "fluoro_store_names_folded_total", Help: "How often a name exceeded that limit when blocks were written, and was counted in the node of all others.",
	}, stat(func(st answer.Stats) int64 { return st.Folded })))
	gauge("fluoro_store_read_only", "1 while nothing can be written.", stat(func(st answer.Stats) int64 {
		if st.ReadOnly != "" {
			return 1
		}
		return 0
	}))
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "fluoro_build_info", Help: "The version that runs, as a label.", ConstLabels: prometheus.Labels{"version": Version()},
	}, func() float64 { return 1 }))
}
