package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/fluoro-io/fluoro/internal/query"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// roomy lets the console's questions about many traces share the memory for
// answers with those of the API.
func (s *server) roomy(h http.Handler, questions *query.Query) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, question := strings.CutPrefix(r.URL.Path, "/console/api/")
		if !question || name == "status" || name == "live" {
			h.ServeHTTP(w, r)
			return
		}
		ctx, done := context.WithCancel(r.Context())
		defer done()
		everything := trace.Window{Start: trace.MinTime, End: trace.MaxTime}
		if err := questions.Scan(ctx, trace.Account(s.config.Account), everything); err != nil {
			if trace.KindOf(err) == trace.KindThrottled {
				w.Header().Set("Retry-After", "1")
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusTooManyRequests)
				_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"message": err.Error()}})
			}
			return // else the client is gone
		}
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}
