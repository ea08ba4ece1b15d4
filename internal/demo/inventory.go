package demo

import (
	"context"
	"fmt"
	"net"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// stock answers shop.Inventory/Reserve.
type stock struct {
	shop *shop
	db   *database
}

// inventory counts what is in stock. OpenTelemetry over gRPC, and a gRPC server
// itself; SQL.
func (s *shop) inventory(ctx context.Context) (string, error) {
	provider, err := s.tracing(ctx, "inventory", "0.14.0", true)
	if err != nil {
		return "", err
	}
	db, err := s.openDatabase(ctx, "stock", provider, "CREATE TABLE stock (item TEXT PRIMARY KEY, count INTEGER)", "INSERT INTO stock VALUES ('shoes', 1000000)")
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("start inventory: %w", err)
	}
	server := grpc.NewServer(grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(provider), otelgrpc.WithPropagators(propagator))))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.Inventory", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Reserve", Handler: func(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			item := new(wrapperspb.StringValue)
			if err := dec(item); err != nil {
				return nil, err
			}
			return srv.(*stock).reserve(ctx, item)
		}}},
	}, &stock{shop: s, db: db})
	s.wait.Go(func() { _ = server.Serve(l) })
	s.closers = append(s.closers, func(context.Context) { server.Stop() })
	s.services = append(s.services, service{"inventory", l.Addr().String(), "OpenTelemetry, gRPC, SQL"})
	return l.Addr().String(), nil
}

func (st *stock) reserve(ctx context.Context, item *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	st.shop.random.work(ctx, time.Millisecond)
	if err := st.db.query(ctx, "UPDATE stock", "UPDATE stock SET count = count - 1 WHERE item = ? RETURNING count", item.GetValue()); err != nil {
		return nil, err
	}
	return wrapperspb.String("reserved"), nil
}
