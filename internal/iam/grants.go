package iam

import (
	"context"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// granted are the policies of a user or role, for one organization.
type granted struct {
	set *policy.Set
	org *Organization
}

// Grants returns the policies that apply to a principal, except those of resources. The
// set must not be changed; while nobody changes a policy, a principal has the same one.
// Errors: KindDenied if the principal no longer exists, KindUnavailable.
func (d *Directory) Grants(ctx context.Context, p identity.Principal) (*policy.Set, error) {
	all, err := d.snapshot(ctx, system)
	if err != nil {
		return nil, unreadable(err)
	}
	s, err := d.of(ctx, p.Account)
	if err != nil {
		return nil, unreadable(err)
	}
	if p.Type != identity.TypeUser && p.Type != identity.TypeRole {
		g := &policy.Set{}
		return g, all.org.applyTo(g, p.Account)
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
	if !ok || base.(granted).org != all.org {
		g, err := grantsOf(s, r)
		if err == nil {
			err = all.org.applyTo(g, p.Account)
		}
		if err != nil {
			return nil, err
		}
		base = granted{g, all.org}
		s.grants.Store(arn, base)
	}
	g := base.(granted).set
	if p.Session == nil || p.Session.Policies == nil {
		return g, nil
	}
	return s.sessionGrants(g, p)
}

// sessionGrants adds the session policies of a principal to the policies of its role. The
// last ones of each session are kept while its role's do not change.
func (s *snapshot) sessionGrants(g *policy.Set, p identity.Principal) (*policy.Set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.narrowed[p.KeyID]; old.of == g && slices.Equal(old.policies, p.Session.Policies) {
		return old.grants, nil
	}
	made := *g
	made.Session = []policy.Policy{}
	for i, text := range p.Session.Policies {
		doc, err := Document{Name: "session policy " + decimal(i+1), Text: text}.parsed()
		if err != nil {
			return nil, err
		}
		made.Session = append(made.Session, doc)
	}
	if len(s.narrowed) >= mostNarrowed {
		clear(s.narrowed)
	}
	if s.narrowed == nil {
		s.narrowed = map[string]narrowed{}
	}
	s.narrowed[p.KeyID] = narrowed{g, p.Session.Policies, &made}
	return &made, nil
}

// parsed compiles a document. It fails if that is impossible: leaving it out could leave
// out a Deny.
func (doc Document) parsed() (policy.Policy, error) {
	p, err := policy.Parse(doc.Text)
	if err != nil {
		return policy.Policy{}, &trace.KindError{Kind: trace.KindUnavailable, Message: "policy " + doc.Name + " cannot be parsed, so nothing is allowed", Err: err}
	}
	return policy.Policy{Name: doc.Name, ARN: doc.ARN, Document: p}, nil
}

// mostNarrowed bounds the sessions whose grants a snapshot keeps.
const mostNarrowed = 1000

// narrowed are the grants of one session, made of its role's.
type narrowed struct {
	of       *policy.Set
	policies []string
	grants   *policy.Set
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
func grantsOf(s *snapshot, r record) (*policy.Set, error) {
	e := r.entity()
	g := &policy.Set{}
	if err := collect(s, e, &g.Identity); err != nil {
		return nil, err
	}
	if u, ok := r.(*User); ok {
		for _, name := range u.Groups {
			if group := s.groups[name]; group != nil {
				if err := collect(s, &group.Entity, &g.Identity); err != nil {
					return nil, err
				}
			}
		}
	}
	if e.Boundary != "" {
		doc, err := document(s, e.Boundary)
		if err != nil {
			return nil, err
		}
		g.Boundary = []policy.Policy{doc}
	}
	return g, nil
}

// collect appends the policies of one entity.
func collect(s *snapshot, e *Entity, into *[]policy.Policy) error {
	for _, arn := range e.Attached {
		doc, err := document(s, arn)
		if err != nil {
			return err
		}
		*into = append(*into, doc)
	}
	for _, name := range sorted(e.Inline) {
		doc, err := Document{Name: name, Text: e.Inline[name]}.parsed()
		if err != nil {
			return err
		}
		*into = append(*into, doc)
	}
	return nil
}

// document returns a managed policy.
func document(s *snapshot, arn string) (policy.Policy, error) {
	if p := s.policies[arn]; p != nil {
		return Document{p.Name, p.ARN, p.text()}.parsed()
	}
	if m, found := policy.FindManaged(arn); found {
		return m.Policy(), nil
	}
	return policy.Policy{}, trace.Errorf(trace.KindUnavailable, "policy %s is attached, but this version of Fluoro does not know it", arn)
}
