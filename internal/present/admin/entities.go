package admin

import (
	"context"
	"strings"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// verbs lists all verbs.
var verbs = func() []Verb {
	var all []Verb
	for _, t := range []iam.Type{iam.TypeUser, iam.TypeGroup, iam.TypeRole} {
		all = append(all, entityVerbs(t)...)
	}
	return append(append(append(all, groupVerbs()...), policyVerbs()...), credentialVerbs()...)
}()

// Verbs returns all verbs.
func Verbs() []*Verb {
	out := make([]*Verb, len(verbs))
	for i := range verbs {
		out[i] = &verbs[i]
	}
	return out
}

// verb makes a verb whose action has its name in the namespace iam.
func verb(name, members string, do func(ctx context.Context, c *call) (any, error)) Verb {
	return Verb{Name: name, Action: "iam:" + name, members: strings.Fields(members), do: do}
}

// named returns the member of the input that names an entity of a type.
func (c *call) named(t iam.Type) string {
	switch t {
	case iam.TypeUser:
		return c.in.UserName
	case iam.TypeGroup:
		return c.in.GroupName
	}
	return c.in.RoleName
}

// about asks about an entity, with its tags as condition keys. A missing entity is asked
// about by its name.
func (c *call) about(ctx context.Context, action string, t iam.Type, name string, keys ...string) (any, error) {
	r, err := c.Directory.Find(ctx, c.account, t, name)
	if err != nil && trace.KindOf(err) != trace.KindNotFound {
		return nil, err
	}
	arn := iam.ARN(c.account, string(t)+"/"+name)
	var e *iam.Entity
	switch r := r.(type) {
	case *iam.User:
		e = &r.Entity
	case *iam.Group:
		e = &r.Entity
	case *iam.Role:
		e = &r.Entity
	}
	if e != nil {
		arn = e.ARN
		for _, tag := range e.Tags {
			keys = append(keys, "aws:ResourceTag/"+tag.Key, tag.Value, "iam:ResourceTag/"+tag.Key, tag.Value)
		}
		if e.Boundary != "" && !contains(keys, "iam:PermissionsBoundary") {
			keys = append(keys, "iam:PermissionsBoundary", e.Boundary)
		}
	}
	if denied := c.ask(ctx, action, arn, keys...); denied != nil {
		return nil, denied
	}
	return r, err
}

func contains(keys []string, name string) bool {
	for i := 0; i < len(keys); i += 2 {
		if keys[i] == name {
			return true
		}
	}
	return false
}

// tagKeys returns the condition keys of tags in a request.
func tagKeys(set []iam.Tag, remove []string) (keys []string) {
	for _, t := range set {
		keys = append(keys, "aws:RequestTag/"+t.Key, t.Value, "aws:TagKeys", t.Key)
	}
	for _, k := range remove {
		keys = append(keys, "aws:TagKeys", k)
	}
	return keys
}

// text returns an optional text.
func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// arnOf returns the ARN of a managed policy that a request names, for condition keys.
func (c *call) arnOf(ctx context.Context, name string) string {
	if name == "" || strings.HasPrefix(name, "arn:") {
		return name
	}
	if p, err := c.Directory.Policy(ctx, c.account, name); err == nil {
		return p.ARN
	}
	return iam.ARN(c.account, "policy/"+name)
}

// title is a type as it stands in names of verbs.
func title(t iam.Type) string { return strings.ToUpper(string(t[:1])) + string(t[1:]) }

// entityVerbs returns the verbs that users, groups and roles have in common.
func entityVerbs(t iam.Type) []Verb {
	name := title(t)
	key := name + "Name"
	all := []Verb{
		verb("Create"+name, key+" Path"+map[iam.Type]string{
			iam.TypeUser: " PermissionsBoundary Tags", iam.TypeRole: " PermissionsBoundary Tags AssumeRolePolicyDocument Description MaxSessionDuration",
		}[t], create(t)),
		verb("Delete"+name, key, func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:Delete"+name, t, c.named(t)); err != nil {
				return nil, err
			}
			return nil, c.Directory.Delete(ctx, c.account, t, c.named(t))
		}),
		verb("List"+name+"s", "PathPrefix Marker MaxItems", func(ctx context.Context, c *call) (any, error) {
			prefix := c.in.PathPrefix
			if prefix == "" {
				prefix = "/"
			}
			if err := c.ask(ctx, "iam:List"+name+"s", iam.ARN(c.account, string(t)+prefix)); err != nil {
				return nil, err
			}
			return listOf(ctx, c, t)
		}),
		verb("Attach"+name+"Policy", key+" PolicyArn", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:Attach"+name+"Policy", t, c.named(t), "iam:PolicyARN", c.arnOf(ctx, c.in.PolicyArn)); err != nil {
				return nil, err
			}
			arn, err := c.Directory.Attach(ctx, c.account, t, c.named(t), c.in.PolicyArn)
			return map[string]string{"PolicyArn": arn}, err
		}),
		verb("Detach"+name+"Policy", key+" PolicyArn", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:Detach"+name+"Policy", t, c.named(t), "iam:PolicyARN", c.arnOf(ctx, c.in.PolicyArn)); err != nil {
				return nil, err
			}
			return nil, c.Directory.Detach(ctx, c.account, t, c.named(t), c.in.PolicyArn)
		}),
		verb("ListAttached"+name+"Policies", key+" Marker MaxItems", func(ctx context.Context, c *call) (any, error) {
			r, err := c.about(ctx, "iam:ListAttached"+name+"Policies", t, c.named(t))
			if err != nil {
				return nil, err
			}
			list := []attached{}
			for _, arn := range partsOf(r).Attached {
				list = append(list, attached{arn[strings.LastIndexByte(arn, '/')+1:], arn})
			}
			list, p, err := paged(c, list, func(a attached) string { return a.PolicyArn })
			return struct {
				AttachedPolicies []attached
				page
			}{list, p}, err
		}),
	}
	all = append(all, inlineVerbs(t)...)
	if t != iam.TypeGroup {
		all = append(all, personVerbs(t)...)
	}
	return all
}

// inlineVerbs returns the verbs about inline policies.
func inlineVerbs(t iam.Type) []Verb {
	name := title(t)
	key := name + "Name"
	return []Verb{
		verb("Get"+name, key, func(ctx context.Context, c *call) (any, error) {
			r, err := c.about(ctx, "iam:Get"+name, t, c.named(t))
			if err != nil {
				return nil, err
			}
			return c.described(ctx, t, r)
		}),
		verb("Put"+name+"Policy", key+" PolicyName PolicyDocument", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:Put"+name+"Policy", t, c.named(t)); err != nil {
				return nil, err
			}
			return nil, c.Directory.PutInline(ctx, c.account, t, c.named(t), iam.Document{Name: c.in.PolicyName, Text: c.in.PolicyDocument})
		}),
		verb("Get"+name+"Policy", key+" PolicyName", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:Get"+name+"Policy", t, c.named(t)); err != nil {
				return nil, err
			}
			text, err := c.Directory.Inline(ctx, c.account, t, c.named(t), c.in.PolicyName)
			return map[string]string{key: c.named(t), "PolicyName": c.in.PolicyName, "PolicyDocument": text}, err
		}),
		verb("Delete"+name+"Policy", key+" PolicyName", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:Delete"+name+"Policy", t, c.named(t)); err != nil {
				return nil, err
			}
			return nil, c.Directory.DeleteInline(ctx, c.account, t, c.named(t), c.in.PolicyName)
		}),
		verb("List"+name+"Policies", key+" Marker MaxItems", func(ctx context.Context, c *call) (any, error) {
			r, err := c.about(ctx, "iam:List"+name+"Policies", t, c.named(t))
			if err != nil {
				return nil, err
			}
			var names []string
			for n := range partsOf(r).Inline {
				names = append(names, n)
			}
			names, p, err := paged(c, names, func(n string) string { return n })
			return struct {
				PolicyNames []string
				page
			}{names, p}, err
		}),
	}
}

// personVerbs returns the verbs about boundaries and tags of users and roles.
func personVerbs(t iam.Type) []Verb {
	name := title(t)
	key := name + "Name"
	return []Verb{
		verb("Put"+name+"PermissionsBoundary", key+" PermissionsBoundary", func(ctx context.Context, c *call) (any, error) {
			arn := c.arnOf(ctx, c.in.PermissionsBoundary)
			if _, err := c.about(ctx, "iam:Put"+name+"PermissionsBoundary", t, c.named(t), "iam:PermissionsBoundary", arn); err != nil {
				return nil, err
			}
			if arn == "" {
				return nil, trace.Errorf(trace.KindInvalid, "PermissionsBoundary is required")
			}
			return nil, c.Directory.SetBoundary(ctx, c.account, t, c.named(t), arn)
		}),
		verb("Delete"+name+"PermissionsBoundary", key, func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:Delete"+name+"PermissionsBoundary", t, c.named(t)); err != nil {
				return nil, err
			}
			return nil, c.Directory.SetBoundary(ctx, c.account, t, c.named(t), "")
		}),
		verb("Tag"+name, key+" Tags", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:Tag"+name, t, c.named(t), tagKeys(c.in.Tags, nil)...); err != nil {
				return nil, err
			}
			return nil, c.Directory.SetTags(ctx, c.account, t, c.named(t), c.in.Tags, nil)
		}),
		verb("Untag"+name, key+" TagKeys", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:Untag"+name, t, c.named(t), tagKeys(nil, c.in.TagKeys)...); err != nil {
				return nil, err
			}
			return nil, c.Directory.SetTags(ctx, c.account, t, c.named(t), nil, c.in.TagKeys)
		}),
		verb("List"+name+"Tags", key, func(ctx context.Context, c *call) (any, error) {
			r, err := c.about(ctx, "iam:List"+name+"Tags", t, c.named(t))
			if err != nil {
				return nil, err
			}
			return map[string][]iam.Tag{"Tags": append([]iam.Tag{}, partsOf(r).Tags...)}, nil
		}),
	}
}

// partsOf returns the common part of a user, group or role.
func partsOf(r any) *iam.Entity {
	switch r := r.(type) {
	case *iam.User:
		return &r.Entity
	case *iam.Group:
		return &r.Entity
	case *iam.Role:
		return &r.Entity
	}
	return &iam.Entity{}
}

// create makes an entity. With a boundary or tags the caller needs the permission to set
// them, too.
func create(t iam.Type) func(ctx context.Context, c *call) (any, error) {
	return func(ctx context.Context, c *call) (any, error) {
		n := iam.NewEntity{Name: c.named(t), Path: c.in.Path, Tags: c.in.Tags, Boundary: c.arnOf(ctx, c.in.PermissionsBoundary)}
		path := n.Path
		if path == "" {
			path = "/"
		}
		arn := iam.ARN(c.account, string(t)+path+n.Name)
		keys := append(tagKeys(n.Tags, nil), "iam:PermissionsBoundary", n.Boundary)
		err := c.ask(ctx, "iam:Create"+title(t), arn, keys...)
		if err == nil && len(n.Tags) > 0 {
			err = c.ask(ctx, "iam:Tag"+title(t), arn, keys...)
		}
		if err != nil {
			return nil, err
		}
		switch t {
		case iam.TypeUser:
			u, err := c.Directory.CreateUser(ctx, c.account, n)
			return map[string]any{"User": shown(&u)}, err
		case iam.TypeGroup:
			g, err := c.Directory.CreateGroup(ctx, c.account, n)
			return map[string]any{"Group": shown(&g)}, err
		}
		q := iam.NewRole{NewEntity: n, Trust: c.in.AssumeRolePolicyDocument, Description: text(c.in.Description)}
		if c.in.MaxSessionDuration != nil {
			q.MaxSession = *c.in.MaxSessionDuration
		}
		r, err := c.Directory.CreateRole(ctx, c.account, q)
		return map[string]any{"Role": shown(&r)}, err
	}
}

// described answers Get…: the entity, of a group also its users, of a role its last use.
func (c *call) described(ctx context.Context, t iam.Type, r any) (any, error) {
	out := map[string]any{title(t): shown(r)}
	switch r := r.(type) {
	case *iam.Group:
		members, err := c.Directory.Members(ctx, c.account, r.Name)
		if err != nil {
			return nil, err
		}
		users := []any{}
		for i := range members {
			users = append(users, shown(&members[i]))
		}
		out["Users"] = users
	case *iam.Role:
		used, err := c.Directory.LastUsed(ctx, c.account, r.ID)
		if err != nil {
			return nil, err
		}
		view := shown(r).(role)
		view.RoleLastUsed = used
		out["Role"] = view
	}
	return out, nil
}

// listOf answers List…s.
func listOf(ctx context.Context, c *call, t iam.Type) (any, error) {
	var all []any
	var err error
	switch t {
	case iam.TypeUser:
		all, err = views[iam.User](ctx, c)
	case iam.TypeGroup:
		all, err = views[iam.Group](ctx, c)
	default:
		all, err = views[iam.Role](ctx, c)
	}
	if err != nil {
		return nil, err
	}
	all, p, err := paged(c, all, nameOf)
	return struct {
		Users  []any `json:",omitempty"`
		Groups []any `json:",omitempty"`
		Roles  []any `json:",omitempty"`
		page
	}{pick(t == iam.TypeUser, all), pick(t == iam.TypeGroup, all), pick(t == iam.TypeRole, all), p}, err
}

func pick(is bool, all []any) []any {
	if is {
		return all
	}
	return nil
}

func views[R iam.User | iam.Group | iam.Role](ctx context.Context, c *call) ([]any, error) {
	list, err := iam.List[R](ctx, c.Directory, c.account, c.in.PathPrefix)
	var out []any
	for i := range list {
		out = append(out, shown(any(&list[i])))
	}
	return out, err
}

func nameOf(v any) string {
	switch v := v.(type) {
	case user:
		return v.UserName
	case group:
		return v.GroupName
	case role:
		return v.RoleName
	}
	return ""
}
