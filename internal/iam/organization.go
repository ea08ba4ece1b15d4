package iam

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// Limits of organizations (AWS Organizations user guide, quotas).
const (
	maxDepth     = 5
	maxSCP       = 5120 // bytes
	maxPerTarget = 5
	maxMembers   = 1000
)

// fullAccess is the policy of targets without any (AWS Organizations, FullAWSAccess).
var fullAccess = Document{
	Name: "FullAWSAccess", ARN: "arn:aws:organizations::aws:policy/service_control_policy/p-FullAWSAccess",
	Text: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
}

// Organization groups the accounts of a server and limits them by service control
// policies (SCPs).
type Organization struct {
	ID         string        // o-…
	Management trace.Account // no policy binds it
	Root       Unit
}

// Unit is the root of an organization, or an organizational unit. A unit without policies
// has FullAWSAccess.
type Unit struct {
	ID       string // r-… or ou-…
	Name     string
	Policies []Document `json:",omitempty"`
	Accounts []Member   `json:",omitempty"`
	Units    []Unit     `json:",omitempty"`
}

// Member is an account of an organization.
type Member struct {
	Account  trace.Account
	Policies []Document `json:",omitempty"`
}

// Organization returns the organization, nil for none.
func (d *Directory) Organization(ctx context.Context) (*Organization, error) {
	s, err := d.snapshot(ctx, system)
	if err != nil {
		return nil, unreadable(err)
	}
	return s.org, nil
}

// PutOrganization replaces the organization. Ids and ARNs are derived from names, so
// that they stay the same when it is put again.
func (d *Directory) PutOrganization(ctx context.Context, o Organization) (*Organization, error) {
	if o.Management == "" {
		o.Management = d.Management
	}
	err := d.update(ctx, system, func(tx meta.Tx) error {
		var old Organization
		if _, err := tx.Get(kindOrganization, "config", &old); err != nil {
			return err
		}
		if o.ID = old.ID; o.ID == "" {
			var b [8]byte
			_, _ = rand.Read(b[:])
			o.ID = "o-" + hex.EncodeToString(b[:])[:10]
		}
		c := checkedOrganization{o: &o, seen: map[trace.Account]bool{}}
		if err := c.unit(&o.Root, "r-"+digest(o.ID)[:4], "", 0); err != nil {
			return err
		}
		if !accountForm.MatchString(string(o.Management)) {
			return fail(ValidationError, "the management account %.40q is no account id: it must have 12 digits", o.Management)
		}
		return tx.Put(kindOrganization, "config", o)
	})
	return &o, err
}

// DeleteOrganization ends the organization: no SCP applies any longer.
func (d *Directory) DeleteOrganization(ctx context.Context) error {
	return d.update(ctx, system, func(tx meta.Tx) error {
		there, err := tx.Delete(kindOrganization, "config")
		if err == nil && !there {
			err = fail(NoSuchEntity, "There is no organization")
		}
		return err
	})
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// checkedOrganization checks an organization and fills in its ids.
type checkedOrganization struct {
	o     *Organization
	seen  map[trace.Account]bool
	units int
}

func (c *checkedOrganization) unit(u *Unit, id, path string, depth int) error {
	if depth > maxDepth {
		return fail(LimitExceeded, "organizational units may be at most %d deep, %s is deeper", maxDepth, path)
	}
	if c.units++; c.units > maxMembers {
		return fail(LimitExceeded, "an organization may have at most %d units", maxMembers)
	}
	u.ID = id
	where := "the root"
	if depth > 0 {
		where = "unit " + path
	}
	if err := c.policies(where, u.Policies); err != nil {
		return err
	}
	for i := range u.Accounts {
		m := &u.Accounts[i]
		switch {
		case !accountForm.MatchString(string(m.Account)):
			return fail(ValidationError, "%s: %.40q is no account id: it must have 12 digits", where, m.Account)
		case c.seen[m.Account]:
			return fail(ValidationError, "%s: account %s has two places", where, m.Account)
		case len(c.seen) >= maxMembers:
			return fail(LimitExceeded, "an organization may have at most %d accounts", maxMembers)
		}
		c.seen[m.Account] = true
		if err := c.policies("account "+string(m.Account), m.Policies); err != nil {
			return err
		}
	}
	names := map[string]bool{}
	for i := range u.Units {
		name := u.Units[i].Name
		if name == "" || len(name) > 128 || names[name] || strings.ContainsAny(name, "/") {
			return fail(ValidationError, "%s: the name of a unit must have 1 to 128 characters, no slash, and be unique: %.140q", where, name)
		}
		names[name] = true
		below := strings.TrimPrefix(path+"/"+name, "/")
		root := "r-" + digest(c.o.ID)[:4]
		if err := c.unit(&u.Units[i], "ou-"+root[2:]+"-"+digest(c.o.ID + below)[:8], below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *checkedOrganization) policies(where string, list []Document) error {
	if len(list) > maxPerTarget {
		return fail(LimitExceeded, "%s has %d policies, the limit is %d", where, len(list), maxPerTarget)
	}
	for i := range list {
		p := &list[i]
		if p.Name == fullAccess.Name && p.Text == "" {
			*p = fullAccess
			continue
		}
		if err := checkName("policyName", p.Name, maxPolicyName); err != nil {
			return err
		}
		if len(p.Text) > maxSCP {
			return fail(LimitExceeded, "%s: policy %s has %d bytes, the limit is %d", where, p.Name, len(p.Text), maxSCP)
		}
		if _, err := policy.Validate(policy.KindSCP, p.Text); err != nil {
			return fail(MalformedPolicyDocument, "%s: policy %s: %v", where, p.Name, err)
		}
		p.ARN = "arn:aws:organizations::" + string(c.o.Management) + ":policy/" + c.o.ID + "/service_control_policy/p-" + digest(p.Name)[:8]
	}
	return nil
}

// applyTo adds the facts and policies of an organization that apply to an account.
func (o *Organization) applyTo(g *policy.Set, account trace.Account) error {
	if o == nil {
		return nil
	}
	levels, path := o.Root.levels(account)
	if account == o.Management {
		g.Manages, g.OrgID = true, o.ID
		if path == "" {
			path = o.Root.ID + "/"
		}
		g.OrgPaths = []string{o.ID + "/" + path}
		return nil
	}
	if levels == nil {
		return nil
	}
	g.OrgID, g.OrgPaths = o.ID, []string{o.ID + "/" + path}
	for _, level := range levels {
		list := []policy.Policy{}
		for _, doc := range level {
			p, err := doc.parsed()
			if err != nil {
				return err
			}
			list = append(list, p)
		}
		g.SCP = append(g.SCP, list)
	}
	return nil
}

// levels returns the policies of each level down to an account, and the ids of the units
// on the way. They are nil if the account is not below.
func (u *Unit) levels(account trace.Account) (out [][]Document, path string) {
	for _, m := range u.Accounts {
		if m.Account == account {
			return [][]Document{orFull(u.Policies), orFull(m.Policies)}, u.ID + "/"
		}
	}
	for i := range u.Units {
		if below, path := u.Units[i].levels(account); below != nil {
			return slices.Insert(below, 0, orFull(u.Policies)), u.ID + "/" + path
		}
	}
	return nil, ""
}

func orFull(list []Document) []Document {
	if len(list) == 0 {
		return []Document{fullAccess}
	}
	return list
}
