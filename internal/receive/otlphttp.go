package receive

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

// OTLPHTTP serves POST /v1/traces (OTLP specification, "OTLP/HTTP"): protobuf or
// JSON, plain or compressed. It answers in the request's encoding: 200 with a partial
// success if spans were refused, 400 if the body is not OTLP, 401 if the sender is unknown, 403 if
// they may not send, 408 if it sends too slowly, 413 if the body is over the limit, 415 for other
// types and encodings, 429 and 503 with Retry-After if there is no room or the store
// cannot write.
type OTLPHTTP struct {
	in    *Intake
	limit int64
}

// NewOTLPHTTP makes the handler; limit bounds a body, compressed and decompressed, in
// bytes. Requests need an identity.
func NewOTLPHTTP(in *Intake, limit int64) *OTLPHTTP { return &OTLPHTTP{in: in, limit: limit} }

// ServeHTTP stores the spans of one request.
func (h *OTLPHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	typ, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		h.fail(w, r, http.StatusMethodNotAllowed, "MethodNotAllowed", fmt.Errorf("%s is not possible here: send spans with POST", r.Method))
		return
	case typ != protobufType && typ != jsonType:
		h.fail(w, r, http.StatusUnsupportedMediaType, "ContentType", fmt.Errorf("content type %q: want %s or %s", typ, protobufType, jsonType))
		return
	}
	p, err := identity.From(r.Context())
	if err != nil {
		h.answerError(w, typ, err)
		return
	}
	from := Sender{p.Account, ProtocolOTLPHTTP, r.RemoteAddr}
	taken := reservation{in: h.in, account: p.Account}
	defer taken.release()
	times := int64(2) // the body, and as much again while it is decoded
	if typ == jsonType {
		times = 3
	}
	body, err := h.in.readBody(w, r, &taken, reading{limit: h.limit, times: times})
	h.in.quota.Sent(from.Account, 0, taken.sent)
	if err == nil {
		err = taken.take(spansCost(body, typ == jsonType))
	}
	if err != nil {
		h.refuse(w, from, typ, err)
		return
	}
	turn, err := h.in.turns.Wait(r.Context(), from.Account)
	defer turn()
	var spans otlp.Spans
	if err == nil {
		spans, err = h.in.decode(r.Context(), &taken, body, typ == jsonType)
		turn()
	}
	if err == nil {
		err = h.in.Spans(r.Context(), from, &spans)
		if err != nil {
			h.answerError(w, typ, err)
			return
		}
		h.answer(w, typ, http.StatusOK, exportResponse(spans))
		return
	}
	h.refuse(w, from, typ, err)
}

// Refuse answers a request that its door did not let in, and counted.
func (h *OTLPHTTP) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	typ, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	h.answerError(w, typ, err)
}

// exportResponse makes the answer to a stored request: it names refused spans and
// unknown fields. If no span was refused, the message is a warning (OTLP specification,
// "Partial Success").
func exportResponse(spans otlp.Spans) *coltrace.ExportTraceServiceResponse {
	res := &coltrace.ExportTraceServiceResponse{}
	if message := spans.Message(); message != "" {
		res.PartialSuccess = &coltrace.ExportTracePartialSuccess{RejectedSpans: int64(spans.RejectedSpans + spans.HiddenSpans), ErrorMessage: message}
	}
	return res
}

// refuse counts and answers an invalid request, or one without room.
func (h *OTLPHTTP) refuse(w http.ResponseWriter, from Sender, typ string, err error) {
	h.in.refuse(from, err)
	code := http.StatusBadRequest
	switch trace.KindOf(err) {
	case trace.KindThrottled, trace.KindUnavailable, trace.KindDenied:
		h.answerError(w, typ, err)
		return
	case trace.KindTooLarge:
		code = http.StatusRequestEntityTooLarge
	case trace.KindUnsupported:
		code = http.StatusUnsupportedMediaType
	case trace.KindTimeout:
		code = http.StatusRequestTimeout
	}
	h.answer(w, typ, code, &status.Status{Code: int32(codes.InvalidArgument), Message: err.Error()})
}

// fail counts and answers a request with a wrong method or content type.
func (h *OTLPHTTP) fail(w http.ResponseWriter, r *http.Request, code int, reason string, err error) {
	from := Sender{Protocol: ProtocolOTLPHTTP, Source: r.RemoteAddr}
	if p, err := identity.From(r.Context()); err == nil { // a request with a wrong method has none
		from.Account = p.Account
	}
	h.in.tally.Refuse(from, reason, err.Error())
	h.answer(w, jsonType, code, &status.Status{Code: int32(codes.InvalidArgument), Message: err.Error()})
}

// answerError answers with an error of the store or of the door.
func (h *OTLPHTTP) answerError(w http.ResponseWriter, typ string, err error) {
	code, rpc := http.StatusInternalServerError, codes.Internal
	switch trace.KindOf(err) {
	case trace.KindThrottled:
		code, rpc = http.StatusTooManyRequests, codes.ResourceExhausted
		w.Header().Set("Retry-After", "1")
	case trace.KindDenied:
		code, rpc = http.StatusForbidden, codes.PermissionDenied
		if f := identity.FailureOf(err); f != nil {
			code, rpc = http.StatusUnauthorized, codes.Unauthenticated
			w.Header().Set("WWW-Authenticate", "Bearer") // RFC 9110, section 11.6.1
			w.Header().Set("X-Amzn-ErrorType", f.Exception)
		}
	case trace.KindUnavailable:
		code, rpc = http.StatusServiceUnavailable, codes.Unavailable
		w.Header().Set("Retry-After", "5")
	}
	h.answer(w, typ, code, &status.Status{Code: int32(rpc), Message: err.Error()})
}

func (h *OTLPHTTP) answer(w http.ResponseWriter, typ string, code int, m proto.Message) {
	var b []byte
	var err error
	if typ == jsonType {
		b, err = protojson.Marshal(m)
	} else {
		b, err = proto.Marshal(m)
	}
	if err != nil { // a bug of ours, but the client still needs an answer
		code, typ = http.StatusInternalServerError, jsonType
		b, _ = json.Marshal(map[string]string{"message": err.Error()})
	}
	w.Header().Set("Content-Type", typ)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(code)
	_, _ = w.Write(b)
}
