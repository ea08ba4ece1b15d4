package receive

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// OTLPGRPC serves opentelemetry.proto.collector.trace.v1.TraceService (OTLP
// specification, "OTLP/gRPC") over HTTP/2. It answers a partial success if
// spans were refused, RESOURCE_EXHAUSTED with a retry delay if there is no room now and
// without a delay if there never will be, DEADLINE_EXCEEDED if the request comes too
// slowly, UNAUTHENTICATED if the sender is unknown, PERMISSION_DENIED if they may not send, UNAVAILABLE if the store cannot
// write.
//
// It uses the HTTP/2 server of net/http, which passes on a message piece by piece, so
// that room is reserved as the bytes arrive. The server of grpc-go holds the whole
// message in memory before it calls us.
type OTLPGRPC struct {
	in    *Intake
	limit int64
	grpc  *grpc.Server
}

// ExportPath is the path of the one method.
const ExportPath = coltrace.TraceService_Export_FullMethodName

// NewOTLPGRPC makes the handler; limit bounds a message, compressed and decompressed,
// in bytes. Requests to ExportPath need an identity; it answers others as unknown.
func NewOTLPGRPC(in *Intake, limit int64) *OTLPGRPC {
	g := &OTLPGRPC{in: in, limit: limit, grpc: grpc.NewServer()}
	g.grpc.RegisterService(&grpc.ServiceDesc{
		ServiceName: coltrace.TraceService_ServiceDesc.ServiceName,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: export}},
		Metadata:    coltrace.TraceService_ServiceDesc.Metadata,
	}, g)
	return g
}

// GRPCServer makes the HTTP/2 server for a handler of gRPC requests, with or without TLS.
func GRPCServer(h http.Handler, encrypted bool) *http.Server {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 20 * time.Second, MaxHeaderBytes: 64 << 10, Protocols: new(http.Protocols),
		// Clients keep their connections and notice late when one is closed.
		IdleTimeout: time.Hour,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: 1000, MaxReceiveBufferPerStream: grpcWindow, MaxReceiveBufferPerConnection: 4 * grpcWindow},
	}
	s.Protocols.SetUnencryptedHTTP2(!encrypted)
	s.Protocols.SetHTTP2(encrypted)
	return s
}

// grpcWindow is how many bytes of a request a client may send before they are read.
const grpcWindow = 256 << 10

// incoming is a request that was read, or the reason why not.
type incoming struct {
	from  Sender
	bytes []byte
	room  *reservation // nil for a request that its door refused, and counted
	err   error
}

type incomingKey struct{}

// ServeHTTP reads and stores the message of an export.
func (g *OTLPGRPC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != ExportPath {
		g.grpc.ServeHTTP(w, r)
		return
	}
	p, err := identity.From(r.Context())
	m := &incoming{from: Sender{p.Account, ProtocolOTLPGRPC, r.RemoteAddr}, room: &reservation{in: g.in, account: p.Account}, err: err}
	defer m.room.release()
	if err == nil {
		m.bytes, m.err = g.read(w, r, m.room)
	}
	g.serve(w, r, m)
}

// Refuse answers a request that its door did not let in, and counted.
func (g *OTLPGRPC) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	g.serve(w, r, &incoming{err: err})
}

// serve lets grpc answer the call. grpc gets an empty message, because we have read the
// real one.
func (g *OTLPGRPC) serve(w http.ResponseWriter, r *http.Request, m *incoming) {
	r = r.WithContext(context.WithValue(r.Context(), incomingKey{}, m))
	r.Body = io.NopCloser(bytes.NewReader(make([]byte, grpcPrefix)))
	r.Header.Del("Grpc-Encoding")
	g.grpc.ServeHTTP(w, r)
}

// grpcPrefix is the length of the prefix of a message: one byte says whether it is
// compressed, four are its size (gRPC over HTTP/2, "Length-Prefixed-Message").
const grpcPrefix = 5

// read reads one message and decompresses it.
func (g *OTLPGRPC) read(w http.ResponseWriter, r *http.Request, taken *reservation) ([]byte, error) {
	codings, err := codingsOf(r.Header["Grpc-Encoding"])
	if err != nil {
		w.Header().Set("Grpc-Accept-Encoding", acceptedCodings)
		return nil, err
	}
	a := g.in.arrive(w, r, taken.account)
	prefix, err := a.read(r.Body, grpcPrefix, grpcPrefix, false)
	var body []byte
	if err == nil {
		size := int64(binary.BigEndian.Uint32(prefix[1:]))
		if prefix[0] == 0 {
			codings = nil
		}
		if len(codings) == 0 && size <= g.limit && 2*size > g.in.maxInFlight {
			err = g.in.tooLarge(2 * size)
		} else {
			body, err = a.read(r.Body, size, g.limit, len(codings) > 0)
		}
	}
	if err != nil {
		_ = a.finish(nil)
		return nil, err
	}
	if err := a.finish(taken); err != nil {
		return nil, err
	}
	g.in.quota.Sent(taken.account, 0, taken.sent)
	return g.in.decompress(body, codings, taken, g.limit, false)
}

func export(srv any, ctx context.Context, _ func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	m, ok := ctx.Value(incomingKey{}).(*incoming)
	if !ok {
		return nil, status.Error(codes.Internal, "the request has no message")
	}
	return srv.(*OTLPGRPC).export(ctx, m)
}

func (g *OTLPGRPC) export(ctx context.Context, m *incoming) (*coltrace.ExportTraceServiceResponse, error) {
	err := m.err
	if m.room == nil {
		return nil, grpcError(err)
	}
	if err == nil {
		err = m.room.take(spansCost(m.bytes, false))
	}
	if err != nil {
		g.in.refuse(m.from, err)
		return nil, grpcError(err)
	}
	turn, err := g.in.turns.Wait(ctx, m.from.Account)
	defer turn()
	var spans otlp.Spans
	if err == nil {
		spans, err = g.in.decode(ctx, m.room, m.bytes, false)
		turn()
	}
	if err != nil {
		g.in.refuse(m.from, err)
		return nil, grpcError(err)
	}
	if err := g.in.Spans(ctx, m.from, &spans); err != nil {
		return nil, grpcError(err)
	}
	return exportResponse(spans), nil
}

func grpcError(err error) error {
	code, delay := codes.Internal, time.Duration(0)
	switch trace.KindOf(err) {
	case trace.KindThrottled:
		code, delay = codes.ResourceExhausted, time.Second
	case trace.KindTooLarge:
		code = codes.ResourceExhausted // without a delay: the client must not try again
	case trace.KindUnavailable:
		code, delay = codes.Unavailable, 5*time.Second
	case trace.KindInvalid:
		code = codes.InvalidArgument
	case trace.KindDenied:
		code = codes.PermissionDenied
		if identity.FailureOf(err) != nil {
			code = codes.Unauthenticated
		}
	case trace.KindTimeout:
		code = codes.DeadlineExceeded
	case trace.KindUnsupported:
		code = codes.Unimplemented // gRPC, "Compression"
	}
	s := status.New(code, err.Error())
	if delay > 0 {
		if detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}); err == nil {
			s = detailed
		}
	}
	return s.Err()
}

// ListenTCP binds addr for a service with this name.
func ListenTCP(service, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for %s on %s: %w", service, addr, err)
	}
	return l, nil
}
