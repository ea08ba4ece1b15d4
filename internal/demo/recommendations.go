package demo

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

var errModel = errors.New("index out of range [3] with length 3: model has no embedding for this customer")

// recommendations suggests products. OpenTelemetry over HTTP; the bad deploy
// happens here.
func (s *shop) recommendations(ctx context.Context) (string, error) {
	old, err := s.tracing(ctx, "recommendations", "1.4.2", false)
	if err != nil {
		return "", err
	}
	bad, err := s.tracing(ctx, "recommendations", "2.0.0", false)
	if err != nil {
		return "", err
	}
	suggest := func(version string, slow time.Duration, crashes float64) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Version", version)
			s.random.work(r.Context(), slow)
			if s.random.chance(crashes) {
				span := trace.SpanFromContext(r.Context())
				span.RecordError(errModel, trace.WithStackTrace(true))
				span.SetStatus(codes.Error, errModel.Error())
				http.Error(w, errModel.Error(), http.StatusInternalServerError)
			}
		})
	}
	good := traced(old, suggest("1.4.2", 8*time.Millisecond, 0.002))
	worse := traced(bad, suggest("2.0.0", 120*time.Millisecond, 0.25))
	return s.serve("recommendations", "OpenTelemetry, HTTP", "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.switches.on(badDeploy) {
			worse.ServeHTTP(w, r)
			return
		}
		good.ServeHTTP(w, r)
	}))
}
