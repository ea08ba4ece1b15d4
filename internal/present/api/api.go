// Package api serves the X-Ray API: 38 operations, each a POST of JSON to a path
// of its own (X-Ray API model, protocol rest-json). The table in package wire
// says which there are; a handler per operation, one file a resource, says what
// they do. Requests may be signed or not: there are no credentials yet.
package api

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/sample"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
	"github.com/google/uuid"
)

const (
	maxBody       = 1 << 20  // of most requests
	maxIngestBody = 16 << 20 // of PutTraceSegments

	// An answer of more than slowAnswer bytes, which no buffer takes, must be read
	// within answerTime: until then it keeps others from theirs.
	slowAnswer = 64 << 10
	answerTime = time.Minute
)

// Intake takes the documents of PutTraceSegments.
type Intake interface {
	// Documents keeps documents and returns the refusals in document order. An
	// error means that nothing was acknowledged.
	Documents(ctx context.Context, account trace.Account, source string, docs [][]byte) ([]decode.Refusal, error)
	// Read reads and decompresses the body of a request, of at most limit bytes, and
	// takes room for it, which release gives back; of segments it counts refusals, and
	// the bytes must not be used after release. The error's kind says what is wrong.
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
	Account trace.Account // of every request, and in ARNs
	Region  string        // in ARNs
	Now     func() time.Time
	// Observe, if not nil, is told of every request.
	Observe func(operation string, status int, d time.Duration)
	Logger  *slog.Logger
}

// API is the handler of all operations.
type API struct {
	Options
	handlers map[string]handler // by operation
}

// handler answers one operation: the body's bytes in, a shape of package wire
// out.
type handler func(ctx context.Context, r *request) (any, error)

// request is what a handler sees of a request.
type request struct {
	body   []byte // as validate gives it; of PutTraceSegments as it came
	source string // address of the sender
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

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := a.Now()
	// What an answer takes of the memory for answers is given back with ctx.
	ctx, done := context.WithCancel(r.Context())
	defer done()
	r = r.WithContext(ctx)
	op, known := wire.Lookup(r.URL.Path)
	name := op.Name
	answer, err := any(nil), error(nil)
	switch h := a.handlers[name]; {
	case !known:
		name, err = "unknown", &exception{http.StatusNotFound, "UnknownOperationException", "there is no operation at " + r.URL.Path, false} // not recorded
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		err = &exception{http.StatusMethodNotAllowed, "MethodNotAllowedException", op.Name + " takes POST, not " + r.Method, false} // not recorded
	default:
		answer, err = a.call(w, r, op, h)
	}
	status := a.answer(w, answer, err)
	if a.Observe != nil {
		a.Observe(name, status, a.Now().Sub(began))
	}
}

// call reads the body, validates it and runs the handler.
func (a *API) call(w http.ResponseWriter, r *http.Request, op wire.Operation, h handler) (any, error) {
	limit := int64(maxBody)
	// The documents of segments are copies: the body is not needed when it was answered.
	ingest := op.Name == "PutTraceSegments"
	if ingest {
		limit = maxIngestBody
	}
	body, release, err := a.Intake.Read(w, r, limit, ingest)
	switch {
	case trace.KindOf(err) == trace.KindInvalid:
		return nil, &decode.SerializationError{Message: err.Error()}
	case err != nil:
		return nil, err
	}
	defer release()
	if !ingest { // decode.Body checks that one as it takes it apart, in one pass
		if body, err = validate(wire.Inputs[op.Name], body); err != nil {
			return nil, err
		}
	}
	if h == nil {
		return nil, &exception{http.StatusNotImplemented, "NotImplementedException", op.Name + " is not built yet in this version of Fluoro", false} // not recorded
	}
	return h(r.Context(), &request{body: body, source: r.RemoteAddr})
}

// answer writes the answer or the error, and returns its status.
func (a *API) answer(w http.ResponseWriter, answer any, err error) int {
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
