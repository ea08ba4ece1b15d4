// Package api serves the X-Ray API: 38 operations, each a POST of JSON to a path of
// its own (X-Ray API model, protocol rest-json). The table in package wire lists
// them; one handler per operation, in one file per resource, answers them. The
// identity in a request's context says whose data it reads and writes.
package api

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/fluoro-io/fluoro/internal/audit"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/sample"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
	"github.com/google/uuid"
)

const (
	// A client must read an answer of more than slowAnswer bytes, which fits no buffer,
	// within answerTime: until then the answer holds memory that others need.
	slowAnswer = 64 << 10
	answerTime = time.Minute
)

// Intake reads bodies and stores the documents of PutTraceSegments.
type Intake interface {
	// Documents stores documents and returns the refusals in document order. An error
	// means that nothing is acknowledged.
	Documents(ctx context.Context, account trace.Account, source string, docs [][]byte) ([]decode.Refusal, error)
	// Read reads and decompresses the body of a request, at most limit bytes, and
	// reserves room for it until release is called. If the body brings segments, Read
	// counts refusals, and the caller must not use the bytes after release. The kind of
	// the error tells the reason.
	Read(w http.ResponseWriter, r *http.Request, limit int64, segments bool) (body []byte, release func(), err error)
}

// Options of the API.
type Options struct {
	Query *query.Query
	// Retrievals are the jobs of StartTraceRetrieval; nil: New makes them.
	Retrievals *query.Retrievals
	Intake     Intake
	Sampler    *sample.Sampler
	Control
	Now func() time.Time
	// Observe, if not nil, is called after every request.
	Observe func(operation string, status int, d time.Duration)
	Logger  *slog.Logger
}

// API holds the handlers of all operations.
type API struct {
	Options
	handlers map[string]handler // by operation
}

// handler answers one operation with a shape of package wire.
type handler func(ctx context.Context, r *request) (any, error)

// request is the part of a request that handlers need.
type request struct {
	body   []byte       // as validate returns it; for PutTraceSegments as received
	owner  trace.Owner  // the owner of the requested data
	reader query.Reader // the same, and how far the caller sees
	source string       // address of the sender
}

// New makes the API.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Retrievals == nil {
		o.Retrievals = query.NewRetrievals(o.Query, o.Now)
	}
	a := &API{Options: o}
	a.handlers = map[string]handler{
		"PutTraceSegments":               a.putTraceSegments,
		"PutTelemetryRecords":            a.putTelemetryRecords,
		"BatchGetTraces":                 a.batchGetTraces,
		"GetTraceSummaries":              a.getTraceSummaries,
		"GetTraceGraph":                  a.getTraceGraph,
		"GetServiceGraph":                a.getServiceGraph,
		"GetTimeSeriesServiceStatistics": a.getTimeSeriesServiceStatistics,
		"CreateSamplingRule":             a.createSamplingRule,
		"UpdateSamplingRule":             a.updateSamplingRule,
		"DeleteSamplingRule":             a.deleteSamplingRule,
		"GetSamplingRules":               a.getSamplingRules,
		"GetSamplingTargets":             a.getSamplingTargets,
		"GetSamplingStatisticSummaries":  a.getSamplingStatisticSummaries,
	}
	maps.Copy(a.handlers, a.control())
	maps.Copy(a.handlers, a.retrieval())
	return a
}

// Endpoint serves one operation.
type Endpoint struct {
	api      *API
	op       wire.Operation
	limit    int64
	segments bool
}

// Endpoint makes the handler of an operation. limit bounds a body, compressed and
// decompressed, in bytes; segments tells that the body brings segments, so that the
// Intake counts refusals. Requests need an identity.
func (a *API) Endpoint(op wire.Operation, limit int64, segments bool) *Endpoint {
	return &Endpoint{a, op, limit, segments}
}

// ServeHTTP answers one request.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := e.api.Now()
	// Cancelling ctx frees the memory that the answer took.
	ctx, done := context.WithCancel(r.Context())
	defer done()
	answer, err := e.call(w, r.WithContext(ctx))
	if err == nil {
		noteAnswer(ctx, e.op.Name, answer)
	}
	status := e.api.answer(ctx, w, answer, err)
	e.api.observe(e.op.Name, status, began)
}

// Refuse answers a request that its door refused.
func (e *Endpoint) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	began := e.api.Now()
	e.api.observe(e.op.Name, e.api.answer(r.Context(), w, nil, err), began)
}

// Unserved answers a request to a path without an operation, or by another method.
func (a *API) Unserved(w http.ResponseWriter, r *http.Request) {
	began := a.Now()
	op, known := wire.Lookup(r.URL.Path)
	name, err := op.Name, &exception{http.StatusMethodNotAllowed, "MethodNotAllowedException", op.Name + " takes POST, not " + r.Method, false} // not recorded
	if known {
		w.Header().Set("Allow", http.MethodPost)
	} else {
		name, err = "unknown", &exception{http.StatusNotFound, "UnknownOperationException", "there is no operation at " + r.URL.Path, false} // not recorded
	}
	a.observe(name, a.answer(r.Context(), w, nil, err), began)
}

func (a *API) observe(operation string, status int, began time.Time) {
	if a.Observe != nil {
		a.Observe(operation, status, a.Now().Sub(began))
	}
}

// call reads the body, validates it and runs the handler.
func (e *Endpoint) call(w http.ResponseWriter, r *http.Request) (any, error) {
	p, err := identity.From(r.Context())
	if err != nil {
		return nil, err
	}
	body, release, err := e.api.Intake.Read(w, r, e.limit, e.segments)
	switch {
	case trace.KindOf(err) == trace.KindInvalid:
		return nil, &decode.SerializationError{Message: err.Error()}
	case err != nil:
		return nil, err
	}
	defer release()
	// decode.Body checks and splits a body of segments in one pass. The documents are
	// copies, so nothing refers to the body after release.
	if !e.segments {
		if body, err = validate(wire.Inputs[e.op.Name], body); err != nil {
			return nil, err
		}
	}
	noteRequest(r.Context(), e, body)
	h := e.api.handlers[e.op.Name]
	if h == nil {
		return nil, &exception{http.StatusNotImplemented, "NotImplementedException", e.op.Name + " is not built yet in this version of Fluoro", false} // not recorded
	}
	return h(r.Context(), &request{body: body, owner: p.Owner, reader: query.ReaderOf(p), source: r.RemoteAddr})
}

// answer writes the answer or the error, and returns its status.
func (a *API) answer(ctx context.Context, w http.ResponseWriter, answer any, err error) int {
	status := http.StatusOK
	h := w.Header()
	id := uuid.NewString()
	h.Set("x-amzn-RequestId", id)
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Strict-Transport-Security", "max-age=31540000; includeSubDomains")
	if err != nil {
		e := toException(err)
		if e.status == http.StatusInternalServerError && a.Logger != nil {
			a.Logger.Error("request failed", "request_id", id, "error", err)
		}
		h.Set("x-amzn-errortype", e.name)
		audit.Of(ctx).Fail(e.name, e.message)
		if e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable {
			h.Set("Retry-After", "1")
		}
		status, answer = e.status, bodyOf(e, err)
		if e.name == malformedPolicy {
			h.Set("x-fluoro-reason", strconv.QuoteToASCII(e.message))
		}
	}
	b, err := encode(answer)
	if err != nil && a.Logger != nil {
		a.Logger.Error("answer could not be written as JSON", "request_id", id, "error", err)
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	if c := http.NewResponseController(w); len(b) > slowAnswer && c.SetWriteDeadline(a.Now().Add(answerTime)) == nil {
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
	}
	_, _ = w.Write(b)
	return status
}
