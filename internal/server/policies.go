package server

import (
	"github.com/fluoro-io/fluoro/internal/access"
	"github.com/fluoro-io/fluoro/internal/policy/resource"
)

// grants is the source of the policies of principals.
type grants struct {
	access.Grants
	open bool
}

// WithGrants makes policies decide: those of principals, which g finds, and the resource
// policies of the X-Ray API. With open, principals without credentials may do everything
// in their account.
func WithGrants(g access.Grants, open bool) Option {
	return func(s *server) { s.grants = &grants{g, open} }
}

// decideBy makes policies decide if there is a source of them.
func (s *server) decideBy(policies *resource.Policies) {
	if s.grants != nil {
		s.authorizer = access.New(access.Options{Grants: s.grants.Grants, Resources: policies, Open: s.grants.open})
	}
}
