package demo

import (
	"context"
	"io"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// message is one order on the queue.
type message struct{ order, header string }

// queueLength is the maximum number of waiting orders; further ones are refused.
const queueLength = 1000

// queue starts a small message broker: POST /messages puts a message, GET /messages
// takes one and waits a moment if there is none.
func (s *shop) queue() (string, error) {
	waiting := make(chan message, queueLength)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /messages", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		select {
		case waiting <- message{string(body), r.Header.Get("X-Amzn-Trace-Id")}:
			w.WriteHeader(http.StatusAccepted)
		default:
			http.Error(w, "the queue is full", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /messages", func(w http.ResponseWriter, r *http.Request) {
		select {
		case m := <-waiting:
			w.Header().Set("X-Amzn-Trace-Id", m.header)
			_, _ = io.WriteString(w, m.order)
		case <-time.After(200 * time.Millisecond):
			w.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done():
		}
	})
	return s.serve("order queue", "a queue over HTTP", "", mux)
}

// fulfilment packs parcels: it takes orders from the queue, each in its own trace
// with a link to the trace that placed the order. OpenTelemetry over gRPC.
func (s *shop) fulfilment(ctx context.Context, queue string) error {
	provider, err := s.tracing(ctx, "fulfilment", "1.1.0", true)
	if err != nil {
		return err
	}
	db, err := s.openDatabase(ctx, "parcels", provider, "CREATE TABLE parcels (id TEXT)")
	if err != nil {
		return err
	}
	tracer := provider.Tracer("shop/fulfilment")
	s.services = append(s.services, service{"fulfilment", "–", "OpenTelemetry, takes from the queue"})
	s.wait.Go(func() {
		for ctx.Err() == nil {
			m, ok := take(ctx, queue)
			if !ok {
				continue
			}
			s.pack(ctx, tracer, db, m)
		}
	})
	return nil
}

// take gets one message; false if there is none.
func take(ctx context.Context, queue string) (message, bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+queue+"/messages", nil)
	if err != nil {
		return message{}, false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		select { // the queue has stopped: the shop closes
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
		return message{}, false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return message{string(body), res.Header.Get("X-Amzn-Trace-Id")}, err == nil && res.StatusCode == http.StatusOK
}

func (s *shop) pack(ctx context.Context, tracer trace.Tracer, db *database, m message) {
	producer := propagator.Extract(context.Background(), propagation.MapCarrier{"X-Amzn-Trace-Id": m.header})
	ctx, span := tracer.Start(ctx, "orders process", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithLinks(trace.LinkFromContext(producer)),
		trace.WithAttributes(attribute.String("messaging.system", "aws_sqs"), attribute.String("messaging.destination.name", "orders"),
			attribute.String("order_id", m.order), attribute.StringSlice("aws.xray.annotations", []string{"order_id"})))
	defer span.End()
	s.random.work(ctx, 15*time.Millisecond)
	if err := db.query(ctx, "INSERT parcel", "INSERT INTO parcels VALUES (?) RETURNING id", m.order); err != nil {
		span.RecordError(err)
	}
}
