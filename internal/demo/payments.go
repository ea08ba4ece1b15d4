package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

var errCard = errors.New("card vault: connection reset by peer")

// payments takes money. OpenTelemetry over HTTP; calls the bank.
func (s *shop) payments(ctx context.Context, bank string) (string, error) {
	provider, err := s.tracing(ctx, "payments", "5.0.8", false)
	if err != nil {
		return "", err
	}
	client := tracedClient(provider, "bank")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /charge", func(w http.ResponseWriter, r *http.Request) {
		span := trace.SpanFromContext(r.Context())
		span.SetAttributes(attribute.String("payment.method", "card"), attribute.StringSlice("aws.xray.annotations", []string{"payment.method"}))
		s.random.work(r.Context(), 5*time.Millisecond)
		if chance := 0.004; s.random.chance(chance) || s.switches.on(faults) && s.random.chance(0.4) {
			err := fmt.Errorf("charge: %w", errCard)
			span.RecordError(err, trace.WithStackTrace(true))
			span.SetStatus(codes.Error, err.Error())
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		status, err := get(r.Context(), client, "POST", "http://"+bank+"/authorise")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(status)
	})
	return s.serve("payments", "OpenTelemetry, HTTP", "", traced(provider, mux))
}

// bank is another company's service: it is not instrumented and appears as an
// inferred node.
func (s *shop) bank() (string, error) {
	return s.serve("bank", "not instrumented", "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.random.work(r.Context(), 25*time.Millisecond)
		if s.random.chance(0.01) || s.switches.on(throttle) && s.random.chance(0.7) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests", http.StatusTooManyRequests)
		}
	}))
}
