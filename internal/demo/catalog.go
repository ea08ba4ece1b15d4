package demo

import (
	"context"
	"net/http"
	"time"
)

// catalog finds products. OpenTelemetry over gRPC; SQL.
func (s *shop) catalog(ctx context.Context) (string, error) {
	provider, err := s.tracing(ctx, "catalog", "2.7.1", true)
	if err != nil {
		return "", err
	}
	db, err := s.openDatabase(ctx, "products", provider,
		"CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, price INTEGER)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000) INSERT INTO products SELECT i, 'product ' || i, i * 7 % 300 FROM n",
	)
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /search", func(w http.ResponseWriter, r *http.Request) {
		statement := "SELECT id, name FROM products WHERE id BETWEEN ? AND ? ORDER BY price"
		if s.switches.on(slowQuery) {
			// A join without an index, so the database really is busy that long.
			statement = "SELECT count(*) FROM products a JOIN products b ON a.price + b.price > ? WHERE a.name || b.name <> ? AND b.id < 120"
		}
		if err := db.query(r.Context(), "SELECT products", statement, 10, 60); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		s.random.work(r.Context(), 2*time.Millisecond)
	})
	mux.HandleFunc("GET /product/{id}", func(w http.ResponseWriter, r *http.Request) {
		if err := db.query(r.Context(), "SELECT product", "SELECT * FROM products WHERE id = ?", r.PathValue("id")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if len(r.PathValue("id")) > 4 {
			http.Error(w, "no such product", http.StatusNotFound)
		}
	})
	return s.serve("catalog", "OpenTelemetry, HTTP, SQL", "", traced(provider, mux))
}
