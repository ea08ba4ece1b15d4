package iam

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/meta"
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

const (
	maxVersions = 5 // of a managed policy (IAM user guide, quotas)
	// maxText bounds a document before it is parsed.
	maxText = 64 << 10 // bytes
)

// Document is a policy document and its name for reasons of decisions.
type Document struct {
	Name, ARN string // ARN is "" for inline policies
	Text      string
}

// validate checks a document that is going to be stored.
func validate(kind policy.Kind, text string) error {
	if len(text) > maxText {
		return fail(MalformedPolicyDocument, "The policy has %d bytes, more than any policy may have", len(text))
	}
	_, err := policy.Validate(kind, text)
	switch {
	case errors.Is(err, policy.ErrTooLarge):
		return fail(LimitExceeded, "%v", err)
	case err != nil:
		return fail(MalformedPolicyDocument, "%v", err)
	}
	return nil
}

// builtIn returns a policy of AWS or Fluoro by name or ARN.
func builtIn(name string) (Document, bool) {
	m, found := policy.FindManaged(name)
	if !found {
		return Document{}, false
	}
	return Document{m.Name, m.ARN, m.Text}, true
}

// Policy is a managed policy of an account.
type Policy struct {
	Name, Path, ID, ARN string
	Description         string `json:",omitempty"`
	Created             time.Time
	Default             string // id of the version in force
	Next                int    // number of the next version
	Versions            []Version
	Tags                []Tag `json:",omitempty"`
}

// Version is a version of a managed policy: v1, v2 …
type Version struct {
	ID, Text string
	Created  time.Time
}

// version returns a version by its id, nil if there is none.
func (p *Policy) version(id string) *Version {
	for i := range p.Versions {
		if p.Versions[i].ID == id {
			return &p.Versions[i]
		}
	}
	return nil
}

// text returns the document in force.
func (p *Policy) text() string {
	if v := p.version(p.Default); v != nil {
		return v.Text
	}
	return ""
}

// NewPolicy describes a policy to create.
type NewPolicy struct {
	Name, Path, Text, Description string
	Tags                          []Tag
}

// CreatePolicy makes a managed policy.
func (d *Directory) CreatePolicy(ctx context.Context, account trace.Account, n NewPolicy) (Policy, error) {
	if err := checkName("policyName", n.Name, maxPolicyName); err != nil {
		return Policy{}, err
	}
	path, err := checkPath(n.Path)
	if err != nil {
		return Policy{}, err
	}
	if len(n.Description) > 1000 {
		return Policy{}, fail(ValidationError, "The description of a policy must have at most 1000 characters")
	}
	if err := errors.Join(checkTags(n.Tags), validate(policy.KindIdentity, n.Text)); err != nil {
		return Policy{}, err
	}
	var p Policy
	err = d.update(ctx, account, func(tx meta.Tx) error {
		if there, err := get(tx, kindPolicy, n.Name, &Policy{}); err != nil {
			return err
		} else if there {
			return fail(EntityAlreadyExists, "A policy called %s already exists. Duplicate names are not allowed.", n.Name)
		}
		now := d.Now().UTC().Truncate(time.Second)
		p = Policy{
			Name: n.Name, Path: path, ID: newID(prefixPolicy), ARN: ARN(account, "policy"+path+n.Name), Description: n.Description,
			Created: now, Default: "v1", Next: 2, Versions: []Version{{"v1", n.Text, now}}, Tags: n.Tags,
		}
		return tx.Put(kindPolicy, folded(n.Name), p)
	})
	return p, err
}

// noPolicy is the error about a policy that does not exist.
func noPolicy(arn string) error {
	return fail(NoSuchEntity, "Policy %.600s does not exist or is not attachable.", arn)
}

// nameOfPolicy returns the name in the ARN of an account's policy, or a plain name.
func nameOfPolicy(account trace.Account, name string) string {
	if rest, ok := strings.CutPrefix(name, ARN(account, "policy/")); ok {
		return rest[strings.LastIndexByte(rest, '/')+1:]
	}
	if strings.HasPrefix(name, "arn:") {
		return ""
	}
	return name
}

// own reads a policy of the account by name or ARN.
func own(tx meta.Tx, account trace.Account, name string) (Policy, error) {
	var p Policy
	there, err := get(tx, kindPolicy, nameOfPolicy(account, name), &p)
	switch {
	case err != nil:
		return Policy{}, err
	case !there || strings.HasPrefix(name, "arn:") && p.ARN != name:
		return Policy{}, noPolicy(name)
	}
	return p, nil
}

// managed finds a managed policy of the account, of AWS or of Fluoro, by name or ARN. The
// account's policies come first.
func (d *Directory) managed(tx meta.Tx, account trace.Account, name string) (Document, error) {
	p, err := own(tx, account, name)
	if err == nil {
		return Document{p.Name, p.ARN, p.text()}, nil
	}
	if doc, found := builtIn(name); found && trace.KindOf(err) == trace.KindNotFound {
		return doc, nil
	}
	return Document{}, err
}

// Policy returns a managed policy of the account, of AWS or of Fluoro.
func (d *Directory) Policy(ctx context.Context, account trace.Account, name string) (out Policy, err error) {
	err = d.Records.View(ctx, account, func(tx meta.Tx) error {
		var err error
		if out, err = own(tx, account, name); err == nil {
			return nil
		}
		doc, found := builtIn(name)
		if !found || trace.KindOf(err) != trace.KindNotFound {
			return err
		}
		out = Policy{Name: doc.Name, ARN: doc.ARN, Path: "/", Default: "v1", Versions: []Version{{ID: "v1", Text: doc.Text}}}
		return nil
	})
	return out, err
}

// Policies returns the account's managed policies in order of their names.
func (d *Directory) Policies(ctx context.Context, account trace.Account) (out []Policy, err error) {
	err = d.Records.View(ctx, account, func(tx meta.Tx) error {
		out = nil
		return list(tx, kindPolicy, func(_ string, p Policy) error { out = append(out, p); return nil })
	})
	return out, err
}

// changePolicy reads a policy of the account, changes and stores it.
func (d *Directory) changePolicy(ctx context.Context, account trace.Account, name string, f func(p *Policy) error) error {
	return d.update(ctx, account, func(tx meta.Tx) error {
		p, err := own(tx, account, name)
		if err != nil {
			return err
		}
		if err := f(&p); err != nil {
			return err
		}
		return tx.Put(kindPolicy, folded(p.Name), p)
	})
}

// CreateVersion adds a version to a policy and puts it in force if asked to.
func (d *Directory) CreateVersion(ctx context.Context, account trace.Account, name, text string, inForce bool) (v Version, err error) {
	if err := validate(policy.KindIdentity, text); err != nil {
		return Version{}, err
	}
	err = d.changePolicy(ctx, account, name, func(p *Policy) error {
		if len(p.Versions) >= maxVersions {
			return fail(LimitExceeded, "A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
		}
		v = Version{"v" + decimal(p.Next), text, d.Now().UTC().Truncate(time.Second)}
		p.Next++
		p.Versions = append(p.Versions, v)
		if inForce {
			p.Default = v.ID
		}
		return nil
	})
	return v, err
}

// DeleteVersion deletes a version that is not in force.
func (d *Directory) DeleteVersion(ctx context.Context, account trace.Account, name, id string) error {
	return d.changePolicy(ctx, account, name, func(p *Policy) error {
		switch {
		case p.version(id) == nil:
			return noVersion(p, id)
		case p.Default == id:
			return fail(DeleteConflict, "Cannot delete the default version of a policy.")
		}
		p.Versions = slices.DeleteFunc(p.Versions, func(v Version) bool { return v.ID == id })
		return nil
	})
}

// SetDefaultVersion puts a version in force.
func (d *Directory) SetDefaultVersion(ctx context.Context, account trace.Account, name, id string) error {
	return d.changePolicy(ctx, account, name, func(p *Policy) error {
		if p.version(id) == nil {
			return noVersion(p, id)
		}
		p.Default = id
		return nil
	})
}

func noVersion(p *Policy, id string) error {
	return fail(NoSuchEntity, "Policy %s version %.20s does not exist or is not attachable.", p.ARN, id)
}

// TagPolicy sets and removes tags of a policy.
func (d *Directory) TagPolicy(ctx context.Context, account trace.Account, name string, set []Tag, remove []string) error {
	if err := checkTags(set); err != nil {
		return err
	}
	return d.changePolicy(ctx, account, name, func(p *Policy) error {
		p.Tags = mergeTags(slices.DeleteFunc(p.Tags, func(t Tag) bool { return slices.Contains(remove, t.Key) }), set)
		return checkTags(p.Tags)
	})
}

// DeletePolicy deletes a policy that nothing uses.
func (d *Directory) DeletePolicy(ctx context.Context, account trace.Account, name string) error {
	return d.update(ctx, account, func(tx meta.Tx) error {
		p, err := own(tx, account, name)
		if err != nil {
			return err
		}
		users, err := usersOf(tx, p.ARN)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return fail(DeleteConflict, "Cannot delete a policy attached to entities.")
		}
		_, err = tx.Delete(kindPolicy, folded(p.Name))
		return err
	})
}

// Use is an entity that uses a policy, attached or as its boundary.
type Use struct {
	Type     Type
	Name     string
	Boundary bool
}

// usersOf returns the entities that use a policy.
func usersOf(tx meta.Tx, arn string) (out []Use, err error) {
	for _, t := range []Type{TypeUser, TypeGroup, TypeRole} {
		if err := list(tx, types[t].kind, func(_ string, e Entity) error {
			if slices.Contains(e.Attached, arn) {
				out = append(out, Use{t, e.Name, false})
			}
			if e.Boundary == arn {
				out = append(out, Use{t, e.Name, true})
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Uses returns the entities that use a managed policy.
func (d *Directory) Uses(ctx context.Context, account trace.Account, name string) (out []Use, err error) {
	err = d.Records.View(ctx, account, func(tx meta.Tx) error {
		doc, err := d.managed(tx, account, name)
		if err == nil {
			out, err = usersOf(tx, doc.ARN)
		}
		return err
	})
	return out, err
}

// Attach attaches a managed policy to an entity and returns its ARN.
func (d *Directory) Attach(ctx context.Context, account trace.Account, t Type, name, attached string) (arn string, err error) {
	err = d.change(ctx, account, t, name, func(tx meta.Tx, r record) error {
		arn, err = d.attach(tx, account, r.entity(), attached)
		return err
	})
	return arn, err
}

func (d *Directory) attach(tx meta.Tx, account trace.Account, e *Entity, name string) (arn string, err error) {
	doc, err := d.managed(tx, account, name)
	if err != nil {
		return "", err
	}
	if slices.Contains(e.Attached, doc.ARN) {
		return doc.ARN, nil
	}
	if len(e.Attached) >= maxAttached {
		return "", fail(LimitExceeded, "Cannot exceed quota for PoliciesPer%s: %d", strings.ToUpper(e.ID[:1]), maxAttached)
	}
	e.Attached = append(e.Attached, doc.ARN)
	return doc.ARN, nil
}

// Detach detaches a managed policy.
func (d *Directory) Detach(ctx context.Context, account trace.Account, t Type, name, attached string) error {
	return d.change(ctx, account, t, name, func(tx meta.Tx, r record) error {
		e := r.entity()
		at := slices.IndexFunc(e.Attached, func(arn string) bool {
			return arn == attached || !strings.HasPrefix(attached, "arn:") && strings.HasSuffix(arn, "/"+attached)
		})
		if at < 0 {
			return fail(NoSuchEntity, "Policy %.600s was not found.", attached)
		}
		e.Attached = slices.Delete(e.Attached, at, at+1)
		return nil
	})
}

// PutInline sets an inline policy of an entity.
func (d *Directory) PutInline(ctx context.Context, account trace.Account, t Type, name string, doc Document) error {
	if err := checkName("policyName", doc.Name, maxPolicyName); err != nil {
		return err
	}
	if err := validate(policy.KindInline, doc.Text); err != nil {
		return err
	}
	return d.change(ctx, account, t, name, func(_ meta.Tx, r record) error {
		e := r.entity()
		e.Inline = maps.Clone(e.Inline)
		if e.Inline == nil {
			e.Inline = map[string]string{}
		}
		e.Inline[doc.Name] = doc.Text
		sum := 0
		for _, text := range e.Inline {
			sum += policy.Size(text)
		}
		if sum > types[t].mostAll {
			return fail(LimitExceeded, "Maximum policy size of %d bytes exceeded for %s %s", types[t].mostAll, t, e.Name)
		}
		return nil
	})
}

// Inline returns an inline policy of an entity.
func (d *Directory) Inline(ctx context.Context, account trace.Account, t Type, name, inline string) (string, error) {
	r, err := d.Find(ctx, account, t, name)
	if err != nil {
		return "", err
	}
	text, there := r.(record).entity().Inline[inline]
	if !there {
		return "", noInline(t, inline)
	}
	return text, nil
}

// DeleteInline deletes an inline policy of an entity.
func (d *Directory) DeleteInline(ctx context.Context, account trace.Account, t Type, name, inline string) error {
	return d.change(ctx, account, t, name, func(_ meta.Tx, r record) error {
		e := r.entity()
		if _, there := e.Inline[inline]; !there {
			return noInline(t, inline)
		}
		delete(e.Inline, inline)
		return nil
	})
}

func noInline(t Type, name string) error {
	return fail(NoSuchEntity, "The %s policy with name %.140s cannot be found.", t, name)
}

// SetBoundary sets the permissions boundary of a user or role; "" removes it.
func (d *Directory) SetBoundary(ctx context.Context, account trace.Account, t Type, name, boundary string) error {
	return d.change(ctx, account, t, name, func(tx meta.Tx, r record) error {
		if boundary == "" {
			r.entity().Boundary = ""
			return nil
		}
		doc, err := d.managed(tx, account, boundary)
		r.entity().Boundary = doc.ARN
		return err
	})
}

// BuiltIn lists the built-in managed policies.
func BuiltIn() (out []Policy) {
	for _, m := range policy.AllManaged() {
		out = append(out, Policy{Name: m.Name, Path: "/", ARN: m.ARN, Description: m.About, Default: m.Version})
	}
	return out
}
