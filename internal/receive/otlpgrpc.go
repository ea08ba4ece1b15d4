package receive

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress
	encproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// OTLPGRPC makes a server of opentelemetry.proto.collector.trace.v1.TraceService
// (OTLP specification, "OTLP/gRPC"). Spans that are refused are answered with a
// partial success, requests for which there is no room with RESOURCE_EXHAUSTED
// and a retry delay, those that cannot be written with UNAVAILABLE.
func OTLPGRPC(in *Intake, account trace.Account) *grpc.Server {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(maxOTLPBody), grpc.ForceServerCodecV2(rawCodec{encoding.GetCodecV2(encproto.Name)}),
		grpc.ConnectionTimeout(20*time.Second), grpc.MaxConcurrentStreams(1000))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: coltrace.TraceService_ServiceDesc.ServiceName,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Export", Handler: export}},
		Metadata:    coltrace.TraceService_ServiceDesc.Metadata,
	}, &otlpGRPC{in: in, account: account})
	return s
}

type otlpGRPC struct {
	in      *Intake
	account trace.Account
}

// rawMessage is a request as it came: decode slices it instead of having it
// unmarshalled into objects.
type rawMessage []byte

// rawCodec leaves rawMessages as they are.
type rawCodec struct{ encoding.CodecV2 }

func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if raw, ok := v.(*rawMessage); ok {
		*raw = data.Materialize()
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

func export(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var raw rawMessage
	if err := dec(&raw); err != nil {
		return nil, err
	}
	return srv.(*otlpGRPC).export(ctx, raw)
}

func (g *otlpGRPC) export(ctx context.Context, raw []byte) (*coltrace.ExportTraceServiceResponse, error) {
	source := ""
	if p, ok := peer.FromContext(ctx); ok {
		source = p.Addr.String()
	}
	release, err := g.in.Admit(int64(len(raw)))
	if err != nil {
		g.in.tally.Throttle(ProtocolOTLPGRPC, source, 1, err)
		return nil, grpcError(err)
	}
	defer release()
	spans, err := decode.OTLPProto(raw, g.in.stamp())
	if err != nil {
		g.in.tally.Refuse(ProtocolOTLPGRPC, source, "InvalidRequest", err.Error())
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := g.in.Spans(ctx, ProtocolOTLPGRPC, g.account, source, spans); err != nil {
		return nil, grpcError(err)
	}
	return exportResponse(spans), nil
}

func grpcError(err error) error {
	code, delay := codes.Internal, time.Duration(0)
	switch trace.KindOf(err) {
	case trace.KindThrottled:
		code, delay = codes.ResourceExhausted, time.Second
	case trace.KindUnavailable:
		code, delay = codes.Unavailable, 5*time.Second
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
