package demo

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-xray-sdk-go/v2/xray"
)

// storefront serves the customers. X-Ray SDK.
func (s *shop) storefront(ctx context.Context, catalog, recommendations, checkout string) (string, error) {
	ctx, err := s.recorder(ctx, "3.2.0")
	if err != nil {
		return "", err
	}
	client := xray.Client(&http.Client{Timeout: 10 * time.Second})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s.visit(r)
		s.random.work(r.Context(), 3*time.Millisecond)
		s.relay(w, r, client, "GET", "http://"+catalog+"/search?q=shoes")
		// Without recommendations the page is poorer, not broken.
		_, _ = get(r.Context(), client, "GET", "http://"+recommendations+"/for/"+r.Header.Get("X-Customer"))
	})
	mux.HandleFunc("GET /product/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.visit(r)
		s.relay(w, r, client, "GET", "http://"+catalog+"/product/"+r.PathValue("id"))
	})
	mux.HandleFunc("POST /checkout", func(w http.ResponseWriter, r *http.Request) {
		s.visit(r)
		_ = xray.AddAnnotation(r.Context(), "cart_value", 5+s.random.intn(200))
		_ = xray.AddMetadata(r.Context(), "cart", map[string]any{"items": []string{"shoes", "socks"}, "currency": "EUR"})
		s.relay(w, r, client, "POST", "http://"+checkout+"/orders")
	})
	return s.serve("storefront", "X-Ray SDK, HTTP", "", xray.HandlerWithContext(ctx, xray.NewFixedSegmentNamer("storefront"), mux))
}

// visit records who asks.
func (s *shop) visit(r *http.Request) {
	seg := xray.GetSegment(r.Context())
	if seg == nil {
		return
	}
	customer := r.Header.Get("X-Customer")
	seg.Lock()
	seg.User = customer
	seg.Unlock()
	tier := "standard"
	if len(customer) > 0 && customer[len(customer)-1] == '7' {
		tier = "gold"
	}
	_ = seg.AddAnnotation("tier", tier)
}

// relay forwards a peer's status.
func (s *shop) relay(w http.ResponseWriter, r *http.Request, client *http.Client, method, url string) {
	status, err := get(r.Context(), client, method, url)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(status)
	fmt.Fprintln(w, http.StatusText(status))
}
