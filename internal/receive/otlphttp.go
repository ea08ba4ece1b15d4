package receive

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/fluoro-io/fluoro/internal/decode"
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
// JSON, plain or gzip. It answers in the request's encoding: 200 with a partial
// success for spans that were refused, 400 for what is no OTLP, 413 over 64 MB,
// 415 for other types, 429 and 503 with Retry-After when there is no room or
// nothing can be written.
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
	body, err := h.body(w, r, &taken)
	if err == nil {
		err = taken.take(spansCost(body, typ == jsonType))
	}
	if err != nil {
		h.refuse(w, r, typ, err)
		return
	}
	parse := decode.OTLPProto
	if typ == jsonType {
		parse = decode.OTLPJSON
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

// errTooLarge is why a body over maxOTLPBody is refused.
var errTooLarge = fmt.Errorf("the request is larger than %d MB decompressed", maxOTLPBody>>20)

// body reads and decompresses the request, for which it takes room.
func (h *otlpHTTP) body(w http.ResponseWriter, r *http.Request, taken *room) ([]byte, error) {
	var src io.Reader = http.MaxBytesReader(w, r.Body, maxOTLPBody)
	switch enc := r.Header.Get("Content-Encoding"); enc {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(src)
		if err != nil {
			return nil, trace.Errorf(trace.KindInvalid, "body is not gzip: %v", err)
		}
		src = z
	default:
		return nil, trace.Errorf(trace.KindInvalid, "content encoding %q: want gzip or none", enc)
	}
	g := &growing{room: taken}
	err := g.read(src, max(0, r.ContentLength))
	return g.buf, err
}

// growing reads a body of unknown size, admitting its bytes as they come so that
// many large bodies at once cannot exhaust the memory.
type growing struct {
	room *room
	buf  []byte
}

func (g *growing) read(src io.Reader, hint int64) error {
	if err := g.grow(int(min(hint, 1<<20)) + 4096); err != nil {
		return err
	}
	for {
		if len(g.buf) == cap(g.buf) {
			if err := g.grow(2 * cap(g.buf)); err != nil {
				return err
			}
		}
		n, err := src.Read(g.buf[len(g.buf):cap(g.buf)])
		g.buf = g.buf[:len(g.buf)+n]
		var tooLarge *http.MaxBytesError
		switch {
		case len(g.buf) > maxOTLPBody, errors.As(err, &tooLarge):
			return errTooLarge
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return trace.Errorf(trace.KindInvalid, "read body after %d bytes: %v", len(g.buf), err)
		}
	}
}

func (g *growing) grow(size int) error {
	if err := g.room.take(int64(size - cap(g.buf))); err != nil {
		return err
	}
	g.buf = append(make([]byte, 0, size), g.buf...)
	return nil
}

// exportResponse is the answer to a request that was kept: its refused spans, and
// what of it is not known here. With no span refused the message is a warning
// (OTLP specification, "Partial Success").
func exportResponse(spans decode.Spans) *coltrace.ExportTraceServiceResponse {
	res := &coltrace.ExportTraceServiceResponse{}
	if message := spans.Message(); message != "" {
		res.PartialSuccess = &coltrace.ExportTracePartialSuccess{RejectedSpans: int64(spans.RejectedSpans + spans.HiddenSpans), ErrorMessage: message}
	}
	return res
}

// refuse answers a request that is itself wrong, or for which there is no room.
func (h *otlpHTTP) refuse(w http.ResponseWriter, r *http.Request, typ string, err error) {
	switch {
	case errors.Is(err, errTooLarge), trace.KindOf(err) == trace.KindTooLarge:
		h.fail(w, r, typ, http.StatusRequestEntityTooLarge, "TooLarge", err)
	case trace.KindOf(err) == trace.KindThrottled:
		h.in.tally.Throttle(ProtocolOTLPHTTP, r.RemoteAddr, 1, err)
		h.answerError(w, typ, err)
	default:
		h.fail(w, r, typ, http.StatusBadRequest, "InvalidRequest", err)
	}
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
