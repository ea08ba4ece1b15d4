package iam

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Entity is the common part of users, groups and roles, as it is stored and shown.
type Entity struct {
	Name, Path, ID string
	ARN            string
	Created        time.Time
	Tags           []Tag             `json:",omitempty"`
	Attached       []string          `json:",omitempty"` // ARNs of managed policies
	Inline         map[string]string `json:",omitempty"` // documents by name
	Boundary       string            `json:",omitempty"` // ARN of the permissions boundary
}

// User is a user. Groups are the names of its groups.
type User struct {
	Entity
	Groups []string `json:",omitempty"`
	// Made tells that the user was made together with its first key. It is deleted with
	// its last one.
	Made bool `json:",omitempty"`
}

// Group is a group of users.
type Group struct{ Entity }

// Role is a role. Its trust policy says who may assume it.
type Role struct {
	Entity
	Description string `json:",omitempty"`
	Trust       string
	MaxSession  int        // seconds
	Revoked     *time.Time `json:",omitempty"` // sessions issued before are void
}

// Type is the type of an entity.
type Type string

// The types of entities, as they stand in ARNs.
const (
	TypeUser  Type = "user"
	TypeGroup Type = "group"
	TypeRole  Type = "role"
)

// typed describes a type of entities.
type typed struct {
	kind     meta.Kind
	prefix   string
	mostName int
	mostAll  int // inline policies together, in characters without blanks
	title    string
}

// types holds the limits of each type (IAM user guide, "IAM and STS quotas").
var types = map[Type]typed{
	TypeUser:  {kindUser, prefixUser, maxUserName, 2048, "User"},
	TypeGroup: {kindGroup, prefixGroup, maxGroupName, 5120, "Group"},
	TypeRole:  {kindRole, prefixRole, maxRoleName, 10240, "Role"},
}

// maxAttached is the maximum number of managed policies of an entity.
const maxAttached = 10

// NewEntity describes an entity to create.
type NewEntity struct {
	Name, Path string
	Tags       []Tag
	Boundary   string // ARN
}

// record is a stored entity of one of the types.
type record interface {
	entity() *Entity
}

func (u *User) entity() *Entity  { return &u.Entity }
func (g *Group) entity() *Entity { return &g.Entity }
func (r *Role) entity() *Entity  { return &r.Entity }

// blank makes an empty record.
func (t Type) blank() record {
	switch t {
	case TypeUser:
		return &User{}
	case TypeGroup:
		return &Group{}
	}
	return &Role{}
}

// missing is the error about an entity that does not exist.
func (t Type) missing(name string) error {
	return fail(NoSuchEntity, "The %s with name %.140s cannot be found.", t, name)
}

// create stores a new entity. r holds the members of its own type.
func (d *Directory) create(ctx context.Context, account trace.Account, t Type, n NewEntity, r record) error {
	kind := types[t]
	if err := checkName(string(t)+"Name", n.Name, kind.mostName); err != nil {
		return err
	}
	path, err := checkPath(n.Path)
	if err != nil {
		return err
	}
	if err := checkTags(n.Tags); err != nil {
		return err
	}
	return d.update(ctx, account, func(tx meta.Tx) error {
		if there, err := get(tx, kind.kind, n.Name, t.blank()); err != nil {
			return err
		} else if there {
			return fail(EntityAlreadyExists, "%s with name %s already exists.", kind.title, n.Name)
		}
		if n.Boundary != "" {
			if _, err := d.managed(tx, account, n.Boundary); err != nil {
				return err
			}
		}
		*r.entity() = Entity{
			Name: n.Name, Path: path, ID: newID(kind.prefix), ARN: ARN(account, string(t)+path+n.Name),
			Created: d.Now().UTC().Truncate(time.Second), Tags: n.Tags, Boundary: n.Boundary,
		}
		return tx.Put(kind.kind, folded(n.Name), r)
	})
}

// change reads an entity, changes it with f and stores it.
func (d *Directory) change(ctx context.Context, account trace.Account, t Type, name string, f func(tx meta.Tx, r record) error) error {
	return d.update(ctx, account, func(tx meta.Tx) error {
		r := t.blank()
		if there, err := get(tx, types[t].kind, name, r); err != nil {
			return err
		} else if !there {
			return t.missing(name)
		}
		if err := f(tx, r); err != nil {
			return err
		}
		return tx.Put(types[t].kind, folded(name), r)
	})
}

// CreateUser makes a user.
func (d *Directory) CreateUser(ctx context.Context, account trace.Account, n NewEntity) (User, error) {
	var u User
	err := d.create(ctx, account, TypeUser, n, &u)
	return u, err
}

// CreateGroup makes a group of users.
func (d *Directory) CreateGroup(ctx context.Context, account trace.Account, n NewEntity) (Group, error) {
	var g Group
	err := d.create(ctx, account, TypeGroup, n, &g)
	return g, err
}

// NewRole describes a role to create. MaxSession is in seconds, 0 for an hour.
type NewRole struct {
	NewEntity
	Trust, Description string
	MaxSession         int
}

// The limits of MaxSession in seconds (IAM API reference, CreateRole).
const (
	leastSession = 3600
	mostSession  = 43200
)

// CreateRole makes a role.
func (d *Directory) CreateRole(ctx context.Context, account trace.Account, n NewRole) (Role, error) {
	if n.MaxSession == 0 {
		n.MaxSession = leastSession
	}
	r := Role{Trust: n.Trust, Description: n.Description, MaxSession: n.MaxSession}
	if err := checkRole(n.Trust, n.Description, n.MaxSession); err != nil {
		return Role{}, err
	}
	err := d.create(ctx, account, TypeRole, n.NewEntity, &r)
	return r, err
}

func checkRole(trust, description string, session int) error {
	if err := validate(policy.KindTrust, trust); err != nil {
		return err
	}
	if session < leastSession || session > mostSession {
		return fail(ValidationError, "1 validation error detected: Value '%d' at 'maxSessionDuration' failed to satisfy constraint: Member must have value between %d and %d", session, leastSession, mostSession)
	}
	if len(description) > 1000 || strings.ContainsFunc(description, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }) {
		return fail(ValidationError, "The description of a role must have at most 1000 characters, no control characters")
	}
	return nil
}

// UpdateRole changes what is not nil.
func (d *Directory) UpdateRole(ctx context.Context, account trace.Account, name string, trust, description *string, session *int) error {
	return d.change(ctx, account, TypeRole, name, func(_ meta.Tx, r record) error {
		role := r.(*Role)
		if trust != nil {
			role.Trust = *trust
		}
		if description != nil {
			role.Description = *description
		}
		if session != nil {
			role.MaxSession = *session
		}
		return checkRole(role.Trust, role.Description, role.MaxSession)
	})
}

// RevokeSessions makes all sessions of a role void that were issued until now.
func (d *Directory) RevokeSessions(ctx context.Context, account trace.Account, name string) error {
	return d.change(ctx, account, TypeRole, name, func(_ meta.Tx, r record) error {
		// Sessions are issued at whole milliseconds; the next one counts as later.
		now := d.Now().UTC().Truncate(time.Millisecond).Add(time.Millisecond)
		r.(*Role).Revoked = &now
		return nil
	})
}

// Find returns a user, group or role: a *User, *Group or *Role.
func (d *Directory) Find(ctx context.Context, account trace.Account, t Type, name string) (any, error) {
	var out record
	err := d.Records.View(ctx, account, func(tx meta.Tx) error {
		r := t.blank()
		if there, err := get(tx, types[t].kind, name, r); err != nil {
			return err
		} else if !there {
			return t.missing(name)
		}
		out = r
		return nil
	})
	return out, err
}

// List returns the users, groups or roles whose path begins with a prefix, in order of
// their names.
func List[R User | Group | Role](ctx context.Context, d *Directory, account trace.Account, prefix string) ([]R, error) {
	var t Type
	var out []R
	switch any(*new(R)).(type) {
	case User:
		t = TypeUser
	case Group:
		t = TypeGroup
	default:
		t = TypeRole
	}
	err := d.Records.View(ctx, account, func(tx meta.Tx) error {
		out = nil
		return list(tx, types[t].kind, func(_ string, r R) error {
			if strings.HasPrefix(any(&r).(record).entity().Path, prefix) {
				out = append(out, r)
			}
			return nil
		})
	})
	return out, err
}

// Members returns the users of a group.
func (d *Directory) Members(ctx context.Context, account trace.Account, group string) ([]User, error) {
	if _, err := d.Find(ctx, account, TypeGroup, group); err != nil {
		return nil, err
	}
	all, err := List[User](ctx, d, account, "")
	return slices.DeleteFunc(all, func(u User) bool { return !slices.Contains(u.Groups, folded(group)) }), err
}

// maxGroups is the maximum number of groups of a user (IAM user guide, quotas).
const maxGroups = 10

// AddToGroup makes a user a member of a group.
func (d *Directory) AddToGroup(ctx context.Context, account trace.Account, user, group string) error {
	return d.change(ctx, account, TypeUser, user, func(tx meta.Tx, r record) error {
		if there, err := get(tx, kindGroup, group, &Group{}); err != nil {
			return err
		} else if !there {
			return TypeGroup.missing(group)
		}
		u := r.(*User)
		if slices.Contains(u.Groups, folded(group)) {
			return nil
		}
		if len(u.Groups) >= maxGroups {
			return fail(LimitExceeded, "Cannot exceed quota for GroupsPerUser: %d", maxGroups)
		}
		u.Groups = append(u.Groups, folded(group))
		return nil
	})
}

// RemoveFromGroup ends a membership.
func (d *Directory) RemoveFromGroup(ctx context.Context, account trace.Account, user, group string) error {
	return d.change(ctx, account, TypeUser, user, func(_ meta.Tx, r record) error {
		u := r.(*User)
		at := slices.Index(u.Groups, folded(group))
		if at < 0 {
			return fail(NoSuchEntity, "User %s is not in group %.140s.", u.Name, group) // not recorded
		}
		u.Groups = slices.Delete(u.Groups, at, at+1)
		return nil
	})
}

// SetTags sets some tags of a user or role, and removes others.
func (d *Directory) SetTags(ctx context.Context, account trace.Account, t Type, name string, set []Tag, remove []string) error {
	if err := checkTags(set); err != nil {
		return err
	}
	return d.change(ctx, account, t, name, func(_ meta.Tx, r record) error {
		e := r.entity()
		e.Tags = mergeTags(slices.DeleteFunc(e.Tags, func(t Tag) bool {
			return slices.ContainsFunc(remove, func(k string) bool { return folded(k) == folded(t.Key) })
		}), set)
		return checkTags(e.Tags)
	})
}

// Delete deletes a user, group or role with its keys, tokens, certificates, memberships
// and inline policies. Sessions of a deleted role or user are void.
func (d *Directory) Delete(ctx context.Context, account trace.Account, t Type, name string) error {
	err := d.update(ctx, account, func(tx meta.Tx) error {
		if t == TypeUser && d.Forget != nil {
			var u User
			if there, err := get(tx, kindUser, name, &u); err != nil {
				return err
			} else if there {
				if err := d.Forget(tx, &u); err != nil {
					return err
				}
			}
		}
		if there, err := tx.Delete(types[t].kind, folded(name)); err != nil {
			return err
		} else if !there {
			return t.missing(name)
		}
		if t == TypeGroup {
			return list(tx, kindUser, func(id string, u User) error {
				if at := slices.Index(u.Groups, folded(name)); at >= 0 {
					u.Groups = slices.Delete(u.Groups, at, at+1)
					return tx.Put(kindUser, id, u)
				}
				return nil
			})
		}
		if err := list(tx, kindKey, func(id string, k keyRecord) error { return dropIf(tx, kindKey, id, k.Of.is(t, name)) }); err != nil {
			return err
		}
		return list(tx, kindToken, func(id string, k tokenRecord) error { return dropIf(tx, kindToken, id, k.Of.is(t, name)) })
	})
	if err != nil || t == TypeGroup {
		return err
	}
	return d.dropCertificates(ctx, account, t, name)
}

// dropIf deletes a credential and its last use.
func dropIf(tx meta.Tx, kind meta.Kind, id string, drop bool) error {
	if !drop {
		return nil
	}
	if _, err := tx.Delete(kindLastUsed, id); err != nil {
		return err
	}
	_, err := tx.Delete(kind, id)
	return err
}

// Ref refers to a user or role by name.
type Ref struct {
	Type Type
	Name string
}

// is reports whether it refers to an entity.
func (r Ref) is(t Type, name string) bool { return r.Type == t && folded(r.Name) == folded(name) }
