package api

import (
	"context"
	"net/http"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
	"github.com/fluoro-io/fluoro/internal/wire"
)

// The limits of bodies, as in the route table (package server).
const (
	maxBody       = 1 << 20
	maxIngestBody = 16 << 20
)

// ServeHTTP serves all operations, like a server behind its door.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op, known := wire.Lookup(r.URL.Path)
	if !known || r.Method != http.MethodPost {
		a.Unserved(w, r)
		return
	}
	limit, segments := int64(maxBody), op.Name == "PutTraceSegments"
	if segments {
		limit = maxIngestBody
	}
	p := identity.Principal{Owner: trace.Owner{Account: "000000000000", Region: "us-east-1"}}
	ctx, _ := identity.WithGuard(identity.With(r.Context(), p), func(context.Context, identity.Question) error { return nil })
	a.Endpoint(op, limit, segments).ServeHTTP(w, r.WithContext(ctx))
}
