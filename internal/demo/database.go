package demo

import (
	"context"
	"database/sql"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	_ "modernc.org/sqlite" // the shop's databases
)

// database is a small SQL database with spans around its queries.
type database struct {
	db     *sql.DB
	name   string
	tracer trace.Tracer
}

// openDatabase makes a database in memory and fills it.
func (s *shop) openDatabase(ctx context.Context, name string, provider trace.TracerProvider, setup ...string) (*database, error) {
	db, err := sql.Open("sqlite", "file:"+name+"?mode=memory")
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", name, err)
	}
	db.SetMaxOpenConns(1) // each connection would have its own database
	s.closers = append(s.closers, func(context.Context) { _ = db.Close() })
	for _, q := range setup {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return nil, fmt.Errorf("fill database %s: %w", name, err)
		}
	}
	return &database{db: db, name: name, tracer: provider.Tracer("shop/sql")}, nil
}

// query runs a statement in a client span and reads its rows.
func (d *database) query(ctx context.Context, operation, statement string, args ...any) error {
	ctx, span := d.tracer.Start(ctx, operation, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("db.system", "sqlite"), attribute.String("db.name", d.name), attribute.String("db.statement", statement), attribute.String("db.user", "shop"),
	))
	defer span.End()
	rows, err := d.db.QueryContext(ctx, statement, args...)
	if err == nil {
		for rows.Next() {
			// Reading takes the time; the rows are not used.
			continue
		}
		err = rows.Err()
		_ = rows.Close()
	}
	if err != nil {
		span.RecordError(err, trace.WithStackTrace(true))
		span.SetStatus(codes.Error, err.Error())
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}
