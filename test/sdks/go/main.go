// Command go-app sends one trace with an official Go SDK and prints its id.
//
//	go-app xray DOWNSTREAM_URL       aws-xray-sdk-go v2: http handler and client
//	go-app xray-central ADDRESS      the same SDK, samples by the service's rules; serves and prints its port
//	go-app otel-grpc|otel-http ADDR  OpenTelemetry
//	go-app zipkin-caller|zipkin-callee ADDR  zipkin-go, through the collector's translator to OTLP/HTTP; the named side's spans are sent first
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/aws/aws-xray-sdk-go/v2/strategy/sampling"
	"github.com/aws/aws-xray-sdk-go/v2/xray"
	"github.com/aws/aws-xray-sdk-go/v2/xraylog"
	otelxray "go.opentelemetry.io/contrib/propagators/aws/xray"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: go-app xray|xray-central|otel-grpc|otel-http|zipkin-caller|zipkin-callee ADDRESS")
	}
	var err error
	switch os.Args[1] {
	case "xray":
		err = sendXRay(os.Args[2])
	case "xray-central":
		err = serveXRay(os.Args[2])
	case "zipkin-caller", "zipkin-callee":
		err = sendZipkin(os.Args[2], os.Args[1] == "zipkin-caller")
	default:
		err = sendOTel(os.Args[1], os.Args[2])
	}
	if err != nil {
		log.Fatal(err)
	}
}

// sendXRay serves one request whose handler calls downstream.
func sendXRay(downstream string) error {
	all, err := sampling.NewLocalizedStrategyFromJSONBytes([]byte(`{"version":2,"rules":[],"default":{"fixed_target":100,"rate":1}}`))
	if err != nil {
		return err
	}
	if err := xray.Configure(xray.Config{SamplingStrategy: all, ServiceVersion: "7"}); err != nil {
		return err
	}
	id := make(chan string, 1)
	handler := xray.Handler(xray.NewFixedSegmentNamer("stock-go"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id <- xray.TraceID(r.Context())
		_ = xray.AddAnnotation(r.Context(), "sku", 42)
		_ = xray.Capture(r.Context(), "price", func(context.Context) error { return errors.New("no price today") })
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, downstream, nil)
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		res, err := xray.Client(nil).Do(req)
		if err != nil {
			http.Error(w, err.Error(), 502)
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}))
	server := httptest.NewServer(handler)
	defer server.Close()
	res, err := http.Get(server.URL + "/stock/42")
	if err != nil {
		return err
	}
	res.Body.Close()
	fmt.Println(<-id)
	time.Sleep(200 * time.Millisecond) // the emitter has no flush
	return nil
}

// serveXRay serves requests until it is killed.
func serveXRay(addr string) error {
	xray.SetLogger(xraylog.NewDefaultLogger(os.Stderr, xraylog.LogLevelInfo)) // not to standard output, which has the port
	central, err := sampling.NewCentralizedStrategy()
	if err != nil {
		return err
	}
	if err := xray.Configure(xray.Config{SamplingStrategy: central}); err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	return http.Serve(l, xray.Handler(xray.NewFixedSegmentNamer("stock-go"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("in stock"))
	})))
}

func sendOTel(protocol, addr string) error {
	ctx := context.Background()
	var client otlptrace.Client
	if protocol == "otel-grpc" {
		client = otlptracegrpc.NewClient(otlptracegrpc.WithEndpoint(addr), otlptracegrpc.WithInsecure())
	} else {
		client = otlptracehttp.NewClient(otlptracehttp.WithEndpoint(addr), otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithIDGenerator(otelxray.NewIDGenerator()),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "otel-go"))))
	tracer := provider.Tracer("stock")
	ctx, span := tracer.Start(ctx, "GET /stock", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", "GET"), attribute.String("url.path", "/stock"), attribute.Int("http.response.status_code", 200)))
	_, child := tracer.Start(ctx, "reserve", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("server.address", "warehouse.internal")))
	child.RecordError(errors.New("shelf is empty"))
	child.SetStatus(codes.Error, "shelf is empty")
	child.End()
	span.End()
	fmt.Println(span.SpanContext().TraceID())
	return errors.Join(provider.ForceFlush(context.Background()), provider.Shutdown(context.Background()))
}
