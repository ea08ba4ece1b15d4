package iam

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// States of access keys and tokens (IAM API reference, "AccessKeyMetadata").
const (
	Active   = "Active"
	Inactive = "Inactive"
)

// maxKeys is the maximum number of access keys of a user (IAM user guide, quotas).
const maxKeys = 2

// Key is an access key without its secret.
type Key struct {
	ID       string
	User     string
	Status   string
	Created  time.Time
	LastUsed *LastUsed `json:",omitempty"`
}

// NewKey is a key that was just made: the only time that its secret is shown.
type NewKey struct {
	Key
	Secret string
	// Policies are the ARNs of the policies that were attached to the user.
	Policies []string
}

// keyRecord is a stored access key. Sealed is the secret, sealed with the key's id.
type keyRecord struct {
	Of      Ref
	Status  string
	Created time.Time
	Sealed  []byte
}

// KeyRequest asks for an access key. Without a user, one is made with a name derived from
// the first policy. The policies, by name or ARN, are attached to the user.
type KeyRequest struct {
	User     string
	Policies []string
}

// CreateKey makes an access key.
func (d *Directory) CreateKey(ctx context.Context, account trace.Account, q KeyRequest) (NewKey, error) {
	if q.User == "" && len(q.Policies) == 0 {
		return NewKey{}, fail(ValidationError, "A key needs a user, or a policy for a new user")
	}
	k := NewKey{Key: Key{ID: newKeyID(prefixKey, account), Status: Active, Created: d.Now().UTC().Truncate(time.Second)}, Secret: newSecret()}
	sealed, err := d.sealed(ctx, purposeKey, keyBinding(account, k.ID), []byte(k.Secret))
	if err != nil {
		return NewKey{}, err
	}
	err = d.update(ctx, account, func(tx meta.Tx) error {
		k.Policies = nil
		u, err := d.userFor(tx, account, q)
		if err != nil {
			return err
		}
		for _, p := range q.Policies {
			arn, err := d.attach(tx, account, &u.Entity, p)
			if err != nil {
				return err
			}
			k.Policies = append(k.Policies, arn)
		}
		if len(q.Policies) > 0 {
			if err := tx.Put(kindUser, folded(u.Name), u); err != nil {
				return err
			}
		}
		n := 0
		if err := list(tx, kindKey, func(_ string, other keyRecord) error {
			if other.Of.is(TypeUser, u.Name) {
				n++
			}
			return nil
		}); err != nil {
			return err
		}
		if n >= maxKeys {
			return fail(LimitExceeded, "Cannot exceed quota for AccessKeysPerUser: %d", maxKeys)
		}
		k.User = u.Name
		return tx.Put(kindKey, k.ID, keyRecord{Ref{TypeUser, u.Name}, Active, k.Created, sealed})
	})
	if err != nil {
		return NewKey{}, err
	}
	return k, nil
}

func keyBinding(account trace.Account, id string) string { return string(account) + " " + id }

// userFor finds the user of a new key, or makes one.
func (d *Directory) userFor(tx meta.Tx, account trace.Account, q KeyRequest) (*User, error) {
	var u User
	if q.User != "" {
		switch there, err := get(tx, kindUser, q.User, &u); {
		case err != nil:
			return nil, err
		case there:
			return &u, nil
		case len(q.Policies) == 0:
			return nil, TypeUser.missing(q.User)
		}
	}
	id := newID(prefixUser)
	name := q.User
	if name == "" {
		policy := q.Policies[0]
		policy = policy[strings.LastIndexByte(policy, '/')+1:]
		name = policy[:min(len(policy), maxUserName-9)] + "-" + strings.ToLower(id[len(id)-8:])
	}
	if err := checkName("userName", name, maxUserName); err != nil {
		return nil, err
	}
	u = User{Entity: Entity{Name: name, Path: "/", ID: id, ARN: ARN(account, "user/"+name), Created: d.Now().UTC().Truncate(time.Second)}, Made: q.User == ""}
	return &u, tx.Put(kindUser, folded(name), u)
}

// Keys returns the access keys of a user, or of all users for "".
func (d *Directory) Keys(ctx context.Context, account trace.Account, user string) (out []Key, err error) {
	err = d.Records.View(ctx, account, func(tx meta.Tx) error {
		out = nil
		if user != "" {
			if there, err := get(tx, kindUser, user, &User{}); err != nil {
				return err
			} else if !there {
				return TypeUser.missing(user)
			}
		}
		return list(tx, kindKey, func(id string, k keyRecord) error {
			if user == "" || k.Of.is(TypeUser, user) {
				used, err := d.lastUsed(tx, id)
				out = append(out, Key{id, k.Of.Name, k.Status, k.Created, used})
				return err
			}
			return nil
		})
	})
	return out, err
}

// Key returns an access key without its secret.
func (d *Directory) Key(ctx context.Context, account trace.Account, id string) (out Key, err error) {
	err = d.Records.View(ctx, account, func(tx meta.Tx) error {
		var k keyRecord
		if there, err := tx.Get(kindKey, named(id), &k); err != nil {
			return err
		} else if !there {
			return noKey(id)
		}
		used, err := d.lastUsed(tx, id)
		out = Key{id, k.Of.Name, k.Status, k.Created, used}
		return err
	})
	return out, err
}

// named is the name of a record that a request names, never empty.
func named(id string) string {
	if id == "" || len(id) > 128 {
		return "-"
	}
	return id
}

func noKey(id string) error {
	return fail(NoSuchEntity, "The Access Key with id %.140s cannot be found.", id)
}

// SetKeyStatus makes a key Active or Inactive. user, unless "", must be its user.
func (d *Directory) SetKeyStatus(ctx context.Context, account trace.Account, user, id, status string) error {
	if status != Active && status != Inactive {
		return fail(ValidationError, "1 validation error detected: Value '%.40s' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]", status)
	}
	return d.changeKey(ctx, account, user, id, func(tx meta.Tx, k keyRecord) error {
		k.Status = status
		return tx.Put(kindKey, id, k)
	})
}

// DeleteKey deletes a key. A user that was made together with its first key is deleted
// with its last one.
func (d *Directory) DeleteKey(ctx context.Context, account trace.Account, user, id string) error {
	return d.changeKey(ctx, account, user, id, func(tx meta.Tx, k keyRecord) error {
		if err := dropIf(tx, kindKey, id, true); err != nil {
			return err
		}
		var u User
		if there, err := get(tx, kindUser, k.Of.Name, &u); err != nil || !there || !u.Made {
			return err
		}
		left := 0
		if err := list(tx, kindKey, func(_ string, other keyRecord) error {
			if other.Of.is(TypeUser, u.Name) {
				left++
			}
			return nil
		}); err != nil {
			return err
		}
		if err := list(tx, kindToken, func(_ string, other tokenRecord) error {
			if other.Of.is(TypeUser, u.Name) {
				left++
			}
			return nil
		}); err != nil || left > 0 {
			return err
		}
		_, err := tx.Delete(kindUser, folded(u.Name))
		return err
	})
}

func (d *Directory) changeKey(ctx context.Context, account trace.Account, user, id string, f func(meta.Tx, keyRecord) error) error {
	return d.update(ctx, account, func(tx meta.Tx) error {
		var k keyRecord
		if there, err := tx.Get(kindKey, named(id), &k); err != nil {
			return err
		} else if !there || user != "" && !k.Of.is(TypeUser, user) {
			return noKey(id)
		}
		return f(tx, k)
	})
}

// RotateKey makes a new key for the user of a key. The old one stays as it is.
func (d *Directory) RotateKey(ctx context.Context, account trace.Account, id string) (NewKey, error) {
	old, err := d.Key(ctx, account, id)
	if err != nil {
		return NewKey{}, err
	}
	return d.CreateKey(ctx, account, KeyRequest{User: old.User})
}

// UserOfKey returns the ARN and tags of the user that has a key, for the check of
// permissions.
func (d *Directory) UserOfKey(ctx context.Context, account trace.Account, id string) string {
	k, err := d.Key(ctx, account, id)
	if err != nil {
		return ""
	}
	return k.User
}

// sorted returns the keys of a map in order.
func sorted[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
