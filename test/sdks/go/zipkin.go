package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/zipkin/zipkinv2"
	"github.com/openzipkin/zipkin-go"
	zipkinhttp "github.com/openzipkin/zipkin-go/middleware/http"
	"github.com/openzipkin/zipkin-go/model"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// sendZipkin traces a request from one service to another with the Zipkin SDK, whose
// client and server spans share an id, as B3 allows. It sends their reports in the
// form of the OpenTelemetry Collector's zipkin receiver, the caller's or the
// callee's spans first.
func sendZipkin(addr string, callerFirst bool) error {
	front, frontReports, err := zipkinTracer("zipkin-front")
	if err != nil {
		return err
	}
	back, backReports, err := zipkinTracer("zipkin-back")
	if err != nil {
		return err
	}
	backServer := httptest.NewServer(zipkinhttp.NewServerMiddleware(back, zipkinhttp.SpanName("get /stock"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		span, _ := back.StartSpanFromContext(r.Context(), "count shelves")
		span.Finish()
		http.Error(w, "no shelves", http.StatusServiceUnavailable)
	})))
	defer backServer.Close()
	client, err := zipkinhttp.NewClient(front)
	if err != nil {
		return err
	}
	frontServer := httptest.NewServer(zipkinhttp.NewServerMiddleware(front, zipkinhttp.SpanName("get /cart"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call, err := http.NewRequestWithContext(r.Context(), http.MethodGet, backServer.URL+"/stock", nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		res, err := client.DoWithAppSpan(call, "stock")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		res.Body.Close()
	})))
	defer frontServer.Close()
	res, err := http.Get(frontServer.URL + "/cart")
	if err != nil {
		return err
	}
	res.Body.Close()
	reports := []*zipkinReports{backReports, frontReports}
	if callerFirst {
		slices.Reverse(reports)
	}
	for _, r := range reports {
		if err := r.send(addr); err != nil {
			return err
		}
	}
	id := frontReports.spans[0].TraceID
	fmt.Printf("%016x%016x\n", id.High, id.Low)
	return nil
}

func zipkinTracer(service string) (*zipkin.Tracer, *zipkinReports, error) {
	endpoint, err := zipkin.NewEndpoint(service, "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	reports := &zipkinReports{}
	tracer, err := zipkin.NewTracer(reports, zipkin.WithLocalEndpoint(endpoint), zipkin.WithSharedSpans(true), zipkin.WithTraceID128Bit(true))
	return tracer, reports, err
}

// zipkinReports are the finished spans of one service.
type zipkinReports struct {
	mu    sync.Mutex
	spans []*model.SpanModel
}

// Send and Close implement the SDK's reporter.
func (r *zipkinReports) Send(s model.SpanModel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, &s)
}

func (r *zipkinReports) Close() error { return nil }

func (r *zipkinReports) send(addr string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	traces, err := zipkinv2.ToTranslator{}.ToTraces(r.spans)
	if err != nil {
		return err
	}
	body, err := ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
	if err != nil {
		return err
	}
	res, err := http.Post("http://"+addr+"/v1/traces", "application/x-protobuf", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || len(answer) > 0 {
		return errors.New(res.Status + ": " + string(answer))
	}
	return nil
}
