package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-xray-sdk-go/v2/strategy/ctxmissing"
	"github.com/aws/aws-xray-sdk-go/v2/strategy/sampling"
	"github.com/aws/aws-xray-sdk-go/v2/xray"
	"github.com/aws/aws-xray-sdk-go/v2/xraylog"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	xraypropagator "go.opentelemetry.io/contrib/propagators/aws/xray"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Both SDKs use X-Ray's trace header, so that one trace crosses them.
var propagator = xraypropagator.Propagator{}

// tracing sets up OpenTelemetry for one service, over gRPC or HTTP.
func (s *shop) tracing(ctx context.Context, service, version string, overGRPC bool) (*sdktrace.TracerProvider, error) {
	var exporter *otlptrace.Exporter
	var err error
	if overGRPC {
		exporter, err = otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(s.OTLPGRPC), otlptracegrpc.WithInsecure())
	} else {
		exporter, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(s.OTLPHTTP), otlptracehttp.WithInsecure())
	}
	if err != nil {
		return nil, fmt.Errorf("start tracing of %s: %w", service, err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(500*time.Millisecond)),
		sdktrace.WithIDGenerator(xraypropagator.NewIDGenerator()),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", service), attribute.String("service.version", version), attribute.String("deployment.environment", "demo"),
			attribute.String("telemetry.sdk.name", "opentelemetry"), attribute.String("telemetry.sdk.language", "go"),
		)),
	)
	s.closers = append(s.closers, func(ctx context.Context) { _ = provider.Shutdown(ctx) })
	return provider, nil
}

// traced instruments a handler with OpenTelemetry; spans are named by route.
func traced(provider trace.TracerProvider, h http.Handler) http.Handler {
	return otelhttp.NewHandler(h, "", otelhttp.WithTracerProvider(provider), otelhttp.WithPropagators(propagator),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + r.URL.Path }))
}

// tracedClient calls a peer with OpenTelemetry.
func tracedClient(provider trace.TracerProvider, peer string) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: otelhttp.NewTransport(http.DefaultTransport,
		otelhttp.WithTracerProvider(provider), otelhttp.WithPropagators(propagator),
		otelhttp.WithSpanOptions(trace.WithAttributes(attribute.String("peer.service", peer))))}
}

// recorder configures the X-Ray SDK for one service: every request is sampled,
// and a missing segment is logged, never a panic.
func (s *shop) recorder(ctx context.Context, version string) (context.Context, error) {
	xray.SetLogger(xraylog.NewDefaultLogger(io.Discard, xraylog.LogLevelError))
	rules, err := sampling.NewLocalizedStrategyFromJSONBytes([]byte(`{"version":2,"default":{"fixed_target":1,"rate":1.0}}`))
	if err != nil {
		return nil, fmt.Errorf("start X-Ray SDK: %w", err)
	}
	addr, err := net.ResolveUDPAddr("udp", s.XRayAddr)
	if err != nil {
		return nil, fmt.Errorf("start X-Ray SDK: %w", err)
	}
	emitter, err := xray.NewDefaultEmitter(addr)
	if err != nil {
		return nil, fmt.Errorf("start X-Ray SDK: %w", err)
	}
	ctx, err = xray.ContextWithConfig(ctx, xray.Config{
		DaemonAddr: s.XRayAddr, Emitter: emitter, ServiceVersion: version, SamplingStrategy: rules, ContextMissingStrategy: ctxmissing.NewDefaultLogErrorStrategy(),
	})
	if err != nil {
		return nil, fmt.Errorf("start X-Ray SDK: %w", err)
	}
	return ctx, nil
}

// get sends a request to a peer and returns its status; it discards the body.
func get(ctx context.Context, client *http.Client, method, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}
