package iam

import (
	"context"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Login is a session of the web console: of a user, or of a role to which the claims of
// an identity provider lead. One of User and Role is set.
type Login struct {
	Account         trace.Account
	User            string // name
	Role            string // ARN
	ID              string // unique id of the user or role
	Session         string // name of the role's session
	KeyID           string // for Principal.KeyID
	Issued, Expires time.Time
	MFA             bool
	Provider        string // ARN of the identity provider
	Source          string // source identity
}

// LoginPrincipal returns the principal of a console session. Errors: KindDenied with
// ErrUnknown or ErrExpired if the session has ended or its user or role no longer
// exists, KindUnavailable.
func (d *Directory) LoginPrincipal(ctx context.Context, l Login) (identity.Principal, error) {
	p, err := d.resolve(ctx, &session{
		Key: l.KeyID, Account: l.Account, Role: l.Role, User: l.User, ID: l.ID, Name: l.Session,
		Issued: l.Issued.UnixMilli(), Expires: l.Expires.UnixMilli(), Source: l.Source, Provider: l.Provider, MFA: l.MFA,
	})
	p.Proof = identity.ProofSession
	return p, err
}

// UserOf returns a user by name; nil if there is none. It must not be changed.
func (d *Directory) UserOf(ctx context.Context, account trace.Account, name string) (*User, error) {
	if !accountForm.MatchString(string(account)) {
		return nil, nil
	}
	s, err := d.of(ctx, account)
	if err != nil || s == nil {
		return nil, readable(err)
	}
	return s.users[folded(name)], nil
}

// UserByID returns a user by its unique id; nil if there is none. It must not be changed.
func (d *Directory) UserByID(ctx context.Context, account trace.Account, id string) (*User, error) {
	if !accountForm.MatchString(string(account)) {
		return nil, nil
	}
	s, err := d.of(ctx, account)
	if err != nil || s == nil {
		return nil, readable(err)
	}
	for _, u := range s.users {
		if u.ID == id {
			return u, nil
		}
	}
	return nil, nil
}

func readable(err error) error {
	if err == nil {
		return nil
	}
	return unreadable(err)
}

// RoleFor returns the role for a name in a setting: the ARN of a role, or the name or ARN
// of a managed policy. For a policy it makes a role that has only this policy, and that
// nobody may assume in another way.
func (d *Directory) RoleFor(ctx context.Context, account trace.Account, name string) (*Role, error) {
	if roleForm.MatchString(name) {
		role, _, err := d.roleOf(ctx, name)
		if err == nil && role == nil {
			err = fail(NoSuchEntity, "There is no role %s", name)
		}
		return role, err
	}
	p, err := d.Policy(ctx, account, name)
	if err != nil {
		return nil, err
	}
	arn := ARN(account, "role"+consolePath+loginRole(p.Name))
	role, _, err := d.roleOf(ctx, arn)
	if err != nil || role != nil {
		return role, err
	}
	_, err = d.CreateRole(ctx, account, NewRole{
		NewEntity: NewEntity{Name: loginRole(p.Name), Path: consolePath}, Trust: nobody, Description: "made for console logins (--oidc-roles)",
	})
	if err != nil && trace.KindOf(err) != trace.KindConflict {
		return nil, err
	}
	if _, err := d.Attach(ctx, account, TypeRole, loginRole(p.Name), p.ARN); err != nil {
		return nil, err
	}
	role, _, err = d.roleOf(ctx, arn)
	if err == nil && role == nil {
		err = fail(EntityAlreadyExists, "there is a role %s with another path, so that --oidc-roles cannot use the policy %s; name the role's ARN instead", loginRole(p.Name), p.Name)
	}
	return role, err
}

// consolePath is the path of roles that logins made.
const consolePath = "/console/"

// nobody is the trust policy of such roles.
const nobody = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}]}`

// loginRole is the name of the role for a policy.
func loginRole(policyName string) string {
	name := "console-" + policyName
	return name[:min(len(name), maxRoleName)]
}

// Administrator is the managed policy of the first user.
const Administrator = policy.ManagedByFluoro + "FluoroAdministrator"

// NoUser is the error about a user that does not exist.
func NoUser(name string) error { return TypeUser.missing(name) }

// NoProfile is the error about a user without a password (IAM API reference,
// GetLoginProfile).
func NoProfile(name string) error {
	return fail(NoSuchEntity, "Login Profile for User %.140s cannot be found.", name)
}
