package iam

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Grants are the policies that apply to a principal, except those of resources. They do
// not change; while nobody changes a policy, a principal has the same *Grants.
type Grants struct {
	// Identity are the principal's own policies, attached and inline, those of its groups
	// included.
	Identity []Document
	// Boundary is the permissions boundary, nil if none is set.
	Boundary *Document
	// Session are the session policies, nil if none were given.
	Session []Document
	// SCP are the service control policies from the organization's root down to the
	// account, nil if none apply.
	SCP [][]Document
	// Management tells that the account manages its organization: no SCP binds it.
	Management bool
	// Organization is "o-…", Path "o-…/r-…/ou-…/"; "" outside organizations.
	Organization, Path string

	org  *Organization
	once sync.Once
	made any
}

// Compiled returns the result of f, which it calls once: the place for parsed documents.
func (g *Grants) Compiled(f func(*Grants) any) any {
	g.once.Do(func() { g.made = f(g) })
	return g.made
}

// Grants returns the policies of a principal. Errors: KindDenied if the principal no
// longer exists, KindUnavailable.
func (d *Directory) Grants(ctx context.Context, p identity.Principal) (*Grants, error) {
	all, err := d.snapshot(ctx, system)
	if err != nil {
		return nil, unreadable(err)
	}
	s, err := d.of(ctx, p.Account)
	if err != nil {
		return nil, unreadable(err)
	}
	if p.Type == identity.TypeRoot || p.Type == identity.TypeAnonymous || p.Type == identity.TypeService {
		g := &Grants{}
		all.org.applyTo(g, p.Account)
		return g, nil
	}
	if s == nil {
		return nil, errInvalid
	}
	r := s.entityOf(p)
	if r == nil {
		return nil, errInvalid
	}
	arn := r.entity().ARN
	base, ok := s.grants.Load(arn)
	if !ok || base.(*Grants).org != all.org {
		made, err := d.grantsOf(s, r)
		if err != nil {
			return nil, err
		}
		all.org.applyTo(made, p.Account)
		s.grants.Store(arn, made)
		base = made
	}
	g := base.(*Grants)
	if p.Session == nil || p.Session.Policies == nil {
		return g, nil
	}
	return s.sessionGrants(g, p), nil
}

// sessionGrants adds the session policies of a principal to the policies of its role. The
// last ones of each session are kept while its role's do not change.
func (s *snapshot) sessionGrants(g *Grants, p identity.Principal) *Grants {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.narrowed[p.KeyID]; old.of == g && slices.Equal(old.policies, p.Session.Policies) {
		return old.grants
	}
	made := &Grants{Identity: g.Identity, Boundary: g.Boundary, SCP: g.SCP, Management: g.Management, Organization: g.Organization, Path: g.Path, org: g.org, Session: []Document{}}
	for i, text := range p.Session.Policies {
		made.Session = append(made.Session, Document{Name: "session policy " + decimal(i+1), Text: text})
	}
	if len(s.narrowed) >= mostNarrowed {
		clear(s.narrowed)
	}
	if s.narrowed == nil {
		s.narrowed = map[string]narrowed{}
	}
	s.narrowed[p.KeyID] = narrowed{g, p.Session.Policies, made}
	return made
}

// mostNarrowed bounds the sessions whose grants a snapshot keeps.
const mostNarrowed = 1000

// narrowed are the grants of one session, made of its role's.
type narrowed struct {
	of       *Grants
	policies []string
	grants   *Grants
}

// entityOf returns the user or role of a principal, nil if it no longer exists.
func (s *snapshot) entityOf(p identity.Principal) record {
	if p.Type == identity.TypeUser {
		if u := s.users[folded(p.Name)]; u != nil && u.ID == p.ID {
			return u
		}
		return nil
	}
	id, _, _ := strings.Cut(p.ID, ":")
	role, _, _ := strings.Cut(p.Name, "/")
	if r := s.roles[folded(role)]; r != nil && r.ID == id {
		return r
	}
	return nil
}

// grantsOf collects the policies of a user or role.
func (d *Directory) grantsOf(s *snapshot, r record) (*Grants, error) {
	e := r.entity()
	g := &Grants{}
	if err := d.collect(s, e, &g.Identity); err != nil {
		return nil, err
	}
	if u, ok := r.(*User); ok {
		for _, name := range u.Groups {
			if group := s.groups[name]; group != nil {
				if err := d.collect(s, &group.Entity, &g.Identity); err != nil {
					return nil, err
				}
			}
		}
	}
	if e.Boundary != "" {
		doc, err := d.document(s, e.Boundary)
		if err != nil {
			return nil, err
		}
		g.Boundary = &doc
	}
	return g, nil
}

// collect appends the policies of one entity.
func (d *Directory) collect(s *snapshot, e *Entity, into *[]Document) error {
	for _, arn := range e.Attached {
		doc, err := d.document(s, arn)
		if err != nil {
			return err
		}
		*into = append(*into, doc)
	}
	for _, name := range sorted(e.Inline) {
		*into = append(*into, Document{Name: name, Text: e.Inline[name]})
	}
	return nil
}

// document returns a managed policy. It fails if there is none: leaving it out could
// leave out a Deny.
func (d *Directory) document(s *snapshot, arn string) (Document, error) {
	if p := s.policies[arn]; p != nil {
		return Document{p.Name, p.ARN, p.text()}, nil
	}
	if doc, found := d.Rules.Managed(arn); found {
		return doc, nil
	}
	return Document{}, trace.Errorf(trace.KindUnavailable, "policy %s is attached, but this version of Fluoro does not know it", arn)
}
