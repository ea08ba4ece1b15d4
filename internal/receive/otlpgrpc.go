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
// and a retry delay, those for which there never is without one, those that
// cannot be written with UNAVAILABLE.
func OTLPGRPC(in *Intake, account trace.Account) *grpc.Server {
	// A request is in memory before anybody knows its size.
	most := min(maxOTLPBody, in.maxInFlight/grpcReaders)
	s := grpc.NewServer(grpc.MaxRecvMsgSize(int(most)), grpc.InitialWindowSize(grpcWindow), grpc.InitialConnWindowSize(4*grpcWindow), grpc.ForceServerCodecV2(rawCodec{encoding.GetCodecV2(encproto.Name)}),
		grpc.ConnectionTimeout(20*time.Second), grpc.MaxConcurrentStreams(1000))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: coltrace.TraceService_ServiceDesc.ServiceName,
		HandlerType: (*any)(nil),
		// On the wire a call with one message is a stream of one; as a stream we are
		// called before it is read.
		Streams:  []grpc.StreamDesc{{StreamName: "Export", Handler: export, ClientStreams: true}},
		Metadata: coltrace.TraceService_ServiceDesc.Metadata,
	}, &otlpGRPC{in: in, account: account, readers: make(chan struct{}, grpcReaders)})
	return s
}

const (
	grpcReaders = 6         // requests that are read at the same time
	grpcWindow  = 256 << 10 // what comes of a request before its turn
	// grpcPatience is how long a request waits for its turn to be read.
	grpcPatience = time.Second
	// grpcReadTime is how long it may take to come once it has its turn.
	grpcReadTime = 20 * time.Second
)

type otlpGRPC struct {
	in      *Intake
	account trace.Account
	readers chan struct{}
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

func export(srv any, stream grpc.ServerStream) error {
	g, ctx := srv.(*otlpGRPC), stream.Context()
	source := ""
	if p, ok := peer.FromContext(ctx); ok {
		source = p.Addr.String()
	}
	raw, err := g.read(ctx, stream, source)
	if err != nil {
		return err
	}
	answer, err := g.export(ctx, source, raw)
	if err != nil {
		return err
	}
	return stream.SendMsg(answer)
}

// read reads a request when its turn comes.
func (g *otlpGRPC) read(ctx context.Context, stream grpc.ServerStream, source string) (rawMessage, error) {
	var raw rawMessage
	timer := time.NewTimer(grpcPatience)
	defer timer.Stop()
	select {
	case g.readers <- struct{}{}:
		defer func() { <-g.readers }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		err := trace.Errorf(trace.KindThrottled, "%d requests are being read already; try again in a second", grpcReaders)
		g.in.turnAway(ProtocolOTLPGRPC, source, 1, err)
		return nil, grpcError(err)
	}
	got := make(chan error, 1)
	go func() { got <- stream.RecvMsg(&raw) }()
	timer.Reset(grpcReadTime)
	select {
	case err := <-got:
		return raw, err
	case <-timer.C: // the end of the call ends RecvMsg
		err := status.Errorf(codes.DeadlineExceeded, "the request did not come within %v", grpcReadTime)
		g.in.tally.Refuse(ProtocolOTLPGRPC, source, "Slow", err.Error())
		return nil, err
	}
}

func (g *otlpGRPC) export(ctx context.Context, source string, raw []byte) (*coltrace.ExportTraceServiceResponse, error) {
	taken := room{in: g.in}
	defer taken.release()
	if err := taken.take(int64(len(raw)) + spansCost(raw, false)); err != nil {
		g.in.turnAway(ProtocolOTLPGRPC, source, 1, err)
		return nil, grpcError(err)
	}
	spans, err := decode.OTLPProto(raw, g.in.stamp())
	if err != nil {
		g.in.tally.Refuse(ProtocolOTLPGRPC, source, "InvalidRequest", err.Error())
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := g.in.Spans(ctx, ProtocolOTLPGRPC, g.account, source, &spans); err != nil {
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
