package receive

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// maxOTLPBody is the most an OTLP request may hold, decompressed.
const maxOTLPBody = 64 << 20

const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

// OTLPHTTP serves POST /v1/traces (OTLP specification, "OTLP/HTTP"): protobuf or
// JSON, plain or compressed. It answers in the request's encoding: 200 with a partial
// success for spans that were refused, 400 for what is no OTLP, 408 for what comes
// too slowly, 413 over 64 MB, 415 for other types and encodings, 429 and 503 with
// Retry-After when there is no room or nothing can be written.
func OTLPHTTP(in *Intake, account trace.Account) http.Handler {
	return &otlpHTTP{in: in, account: account}
}

type otlpHTTP struct {
	in      *Intake
	account trace.Account
}

func (h *otlpHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	typ, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		h.fail(w, r, jsonType, http.StatusMethodNotAllowed, "MethodNotAllowed", fmt.Errorf("%s is not possible here: send spans with POST", r.Method))
		return
	case typ != protobufType && typ != jsonType:
		h.fail(w, r, jsonType, http.StatusUnsupportedMediaType, "ContentType", fmt.Errorf("content type %q: want %s or %s", typ, protobufType, jsonType))
		return
	}
	taken := room{in: h.in}
	defer taken.release()
	times := int64(2) // the body, and what decoding makes of it besides its spans
	if typ == jsonType {
		times = 3
	}
	body, err := h.in.readBody(w, r, &taken, maxOTLPBody, times, false)
	if err == nil {
		err = taken.take(spansCost(body, typ == jsonType))
	}
	if err != nil {
		h.refuse(w, r, typ, err)
		return
	}
	parse := h.in.mapper.Proto
	if typ == jsonType {
		parse = h.in.mapper.JSON
	}
	spans, err := parse(body, h.in.stamp())
	if err == nil {
		err = h.in.Spans(r.Context(), ProtocolOTLPHTTP, h.account, r.RemoteAddr, &spans)
		if err != nil {
			h.answerError(w, typ, err)
			return
		}
		h.answer(w, typ, http.StatusOK, exportResponse(spans))
		return
	}
	h.refuse(w, r, typ, err)
}

// exportResponse is the answer to a request that was kept: its refused spans, and
// what of it is not known here. With no span refused the message is a warning
// (OTLP specification, "Partial Success").
func exportResponse(spans otlp.Spans) *coltrace.ExportTraceServiceResponse {
	res := &coltrace.ExportTraceServiceResponse{}
	if message := spans.Message(); message != "" {
		res.PartialSuccess = &coltrace.ExportTracePartialSuccess{RejectedSpans: int64(spans.RejectedSpans + spans.HiddenSpans), ErrorMessage: message}
	}
	return res
}

// refuse answers a request that is itself wrong, or for which there is no room.
func (h *otlpHTTP) refuse(w http.ResponseWriter, r *http.Request, typ string, err error) {
	h.in.refuse(ProtocolOTLPHTTP, r.RemoteAddr, err)
	code := http.StatusBadRequest
	switch trace.KindOf(err) {
	case trace.KindThrottled:
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

func (h *otlpHTTP) fail(w http.ResponseWriter, r *http.Request, typ string, code int, reason string, err error) {
	h.in.tally.Refuse(ProtocolOTLPHTTP, r.RemoteAddr, reason, err.Error())
	h.answer(w, typ, code, &status.Status{Code: int32(codes.InvalidArgument), Message: err.Error()})
}

// answerError answers what the store said.
func (h *otlpHTTP) answerError(w http.ResponseWriter, typ string, err error) {
	code, rpc := http.StatusInternalServerError, codes.Internal
	switch trace.KindOf(err) {
	case trace.KindThrottled:
		code, rpc = http.StatusTooManyRequests, codes.ResourceExhausted
		w.Header().Set("Retry-After", "1")
	case trace.KindUnavailable:
		code, rpc = http.StatusServiceUnavailable, codes.Unavailable
		w.Header().Set("Retry-After", "5")
	}
	h.answer(w, typ, code, &status.Status{Code: int32(rpc), Message: err.Error()})
}

func (h *otlpHTTP) answer(w http.ResponseWriter, typ string, code int, m proto.Message) {
	var b []byte
	var err error
	if typ == jsonType {
		b, err = protojson.Marshal(m)
	} else {
		b, err = proto.Marshal(m)
	}
	if err != nil { // a message of ours that cannot be marshalled is a bug, but no reason to fall silent
		code, typ = http.StatusInternalServerError, jsonType
		b, _ = json.Marshal(map[string]string{"message": err.Error()})
	}
	w.Header().Set("Content-Type", typ)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(code)
	_, _ = w.Write(b)
}
