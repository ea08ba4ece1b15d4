package receive_test

import (
	"context"
	"testing"

	"github.com/fluoro-io/fluoro/internal/receive"
	"github.com/fluoro-io/fluoro/internal/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

type forgetful struct{}

func (forgetful) Append(context.Context, trace.Account, []*trace.Segment) ([]trace.Refused, error) {
	return nil, nil
}

// BenchmarkOTLPGRPC sends a request of 500 spans from a client to a store that discards
// them.
func BenchmarkOTLPGRPC(b *testing.B) {
	tally, _ := newTally(b)
	in := receive.New(receive.Options{Store: forgetful{}, Tally: tally})
	server := receive.GRPCServer(as("0", receive.NewOTLPGRPC(in, 64<<20)), false)
	at, err := receive.ListenTCP("OTLP/gRPC", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.Serve(at) }()
	defer at.Close()
	conn, err := grpc.NewClient(at.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	client := coltrace.NewTraceServiceClient(conn)
	ids := make([]byte, 500)
	for i := range ids {
		ids[i] = byte(i%250 + 1)
	}
	req := request(ids...)
	for _, s := range req.ResourceSpans[0].ScopeSpans[0].Spans {
		for range 8 {
			s.Attributes = append(s.Attributes, &common.KeyValue{Key: "http.request.something", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: "a value of some length that is usual"}}})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Export(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}
