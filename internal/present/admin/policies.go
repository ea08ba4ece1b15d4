package admin

import (
	"context"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// groupVerbs returns the verbs about members of groups, and those of roles alone.
func groupVerbs() []Verb {
	return []Verb{
		verb("AddUserToGroup", "GroupName UserName", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:AddUserToGroup", iam.TypeGroup, c.in.GroupName); err != nil {
				return nil, err
			}
			return nil, c.Directory.AddToGroup(ctx, c.account, c.in.UserName, c.in.GroupName)
		}),
		verb("RemoveUserFromGroup", "GroupName UserName", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:RemoveUserFromGroup", iam.TypeGroup, c.in.GroupName); err != nil {
				return nil, err
			}
			return nil, c.Directory.RemoveFromGroup(ctx, c.account, c.in.UserName, c.in.GroupName)
		}),
		verb("ListGroupsForUser", "UserName Marker MaxItems", func(ctx context.Context, c *call) (any, error) {
			r, err := c.about(ctx, "iam:ListGroupsForUser", iam.TypeUser, c.in.UserName)
			if err != nil {
				return nil, err
			}
			groups := []any{}
			for _, name := range r.(*iam.User).Groups {
				g, err := c.Directory.Find(ctx, c.account, iam.TypeGroup, name)
				if err != nil && trace.KindOf(err) != trace.KindNotFound {
					return nil, err
				}
				if err == nil {
					groups = append(groups, shown(g))
				}
			}
			groups, p, err := paged(c, groups, nameOf)
			return struct {
				Groups []any
				page
			}{groups, p}, err
		}),
		verb("UpdateAssumeRolePolicy", "RoleName PolicyDocument", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:UpdateAssumeRolePolicy", iam.TypeRole, c.in.RoleName); err != nil {
				return nil, err
			}
			return nil, c.Directory.UpdateRole(ctx, c.account, c.in.RoleName, &c.in.PolicyDocument, nil, nil)
		}),
		verb("UpdateRole", "RoleName Description MaxSessionDuration", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "iam:UpdateRole", iam.TypeRole, c.in.RoleName); err != nil {
				return nil, err
			}
			return nil, c.Directory.UpdateRole(ctx, c.account, c.in.RoleName, nil, c.in.Description, c.in.MaxSessionDuration)
		}),
		own("RevokeRoleSessions", "RoleName", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.about(ctx, "fluoro:RevokeRoleSessions", iam.TypeRole, c.in.RoleName); err != nil {
				return nil, err
			}
			return nil, c.Directory.RevokeSessions(ctx, c.account, c.in.RoleName)
		}),
	}
}

// own makes a verb that AWS does not have.
func own(name, members string, do func(ctx context.Context, c *call) (any, error)) Verb {
	v := verb(name, members, do)
	v.Action = "fluoro:" + name
	return v
}

// aboutPolicy asks about a managed policy, with its tags as condition keys.
func (c *call) aboutPolicy(ctx context.Context, action string, keys ...string) (iam.Policy, error) {
	name := c.in.PolicyArn
	p, err := c.Directory.Policy(ctx, c.account, name)
	if err != nil && trace.KindOf(err) != trace.KindNotFound {
		return p, err
	}
	arn := p.ARN
	if arn == "" {
		arn = c.arnOf(ctx, name)
	}
	for _, t := range p.Tags {
		keys = append(keys, "aws:ResourceTag/"+t.Key, t.Value, "iam:ResourceTag/"+t.Key, t.Value)
	}
	if denied := c.ask(ctx, action, arn, keys...); denied != nil {
		return p, denied
	}
	return p, err
}

// policyVerbs returns the verbs about managed policies. PolicyArn may also be a name.
func policyVerbs() []Verb {
	return append([]Verb{
		verb("CreatePolicy", "PolicyName Path PolicyDocument Description Tags", func(ctx context.Context, c *call) (any, error) {
			path := c.in.Path
			if path == "" {
				path = "/"
			}
			arn, keys := iam.ARN(c.account, "policy"+path+c.in.PolicyName), tagKeys(c.in.Tags, nil)
			err := c.ask(ctx, "iam:CreatePolicy", arn, keys...)
			if err == nil && len(c.in.Tags) > 0 {
				err = c.ask(ctx, "iam:TagPolicy", arn, keys...)
			}
			if err != nil {
				return nil, err
			}
			p, err := c.Directory.CreatePolicy(ctx, c.account, iam.NewPolicy{Name: c.in.PolicyName, Path: c.in.Path, Text: c.in.PolicyDocument, Description: text(c.in.Description), Tags: c.in.Tags})
			return map[string]any{"Policy": policyOf(&p)}, err
		}),
		verb("GetPolicy", "PolicyArn", func(ctx context.Context, c *call) (any, error) {
			p, err := c.aboutPolicy(ctx, "iam:GetPolicy")
			return map[string]any{"Policy": policyOf(&p)}, err
		}),
		verb("ListPolicies", "PathPrefix Scope Marker MaxItems", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "iam:ListPolicies", "*"); err != nil {
				return nil, err
			}
			all, err := c.policies(ctx)
			if err != nil {
				return nil, err
			}
			var list []policy
			for i := range all {
				if p := policyOf(&all[i]); len(p.Path) >= len(c.in.PathPrefix) && p.Path[:len(c.in.PathPrefix)] == c.in.PathPrefix {
					list = append(list, p)
				}
			}
			list, p, err := paged(c, list, func(p policy) string { return p.PolicyName })
			return struct {
				Policies []policy
				page
			}{list, p}, err
		}),
		verb("DeletePolicy", "PolicyArn", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.aboutPolicy(ctx, "iam:DeletePolicy"); err != nil {
				return nil, err
			}
			return nil, c.Directory.DeletePolicy(ctx, c.account, c.in.PolicyArn)
		}),
		verb("ListEntitiesForPolicy", "PolicyArn", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.aboutPolicy(ctx, "iam:ListEntitiesForPolicy"); err != nil {
				return nil, err
			}
			uses, err := c.Directory.Uses(ctx, c.account, c.in.PolicyArn)
			return map[string]any{"Entities": append([]iam.Use{}, uses...)}, err
		}),
		verb("TagPolicy", "PolicyArn Tags", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.aboutPolicy(ctx, "iam:TagPolicy", tagKeys(c.in.Tags, nil)...); err != nil {
				return nil, err
			}
			return nil, c.Directory.TagPolicy(ctx, c.account, c.in.PolicyArn, c.in.Tags, nil)
		}),
		verb("UntagPolicy", "PolicyArn TagKeys", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.aboutPolicy(ctx, "iam:UntagPolicy", tagKeys(nil, c.in.TagKeys)...); err != nil {
				return nil, err
			}
			return nil, c.Directory.TagPolicy(ctx, c.account, c.in.PolicyArn, nil, c.in.TagKeys)
		}),
	}, versionVerbs()...)
}

func versionVerbs() []Verb {
	return []Verb{
		verb("CreatePolicyVersion", "PolicyArn PolicyDocument SetAsDefault", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.aboutPolicy(ctx, "iam:CreatePolicyVersion"); err != nil {
				return nil, err
			}
			v, err := c.Directory.CreateVersion(ctx, c.account, c.in.PolicyArn, c.in.PolicyDocument, c.in.SetAsDefault)
			return map[string]any{"PolicyVersion": policyVersion{VersionID: v.ID, IsDefaultVersion: c.in.SetAsDefault, CreateDate: &v.Created}}, err
		}),
		verb("GetPolicyVersion", "PolicyArn VersionId", func(ctx context.Context, c *call) (any, error) {
			p, err := c.aboutPolicy(ctx, "iam:GetPolicyVersion")
			if err != nil {
				return nil, err
			}
			for i := range p.Versions {
				if v := &p.Versions[i]; v.ID == c.in.VersionId || c.in.VersionId == "" && v.ID == p.Default {
					return map[string]any{"PolicyVersion": versionOf(&p, v, true)}, nil
				}
			}
			return nil, trace.Errorf(trace.KindNotFound, "Policy %s version %.20s does not exist or is not attachable.", p.ARN, c.in.VersionId)
		}),
		verb("ListPolicyVersions", "PolicyArn", func(ctx context.Context, c *call) (any, error) {
			p, err := c.aboutPolicy(ctx, "iam:ListPolicyVersions")
			if err != nil {
				return nil, err
			}
			list := []policyVersion{}
			for i := range p.Versions {
				list = append(list, versionOf(&p, &p.Versions[i], false))
			}
			return map[string]any{"Versions": list}, nil
		}),
		verb("DeletePolicyVersion", "PolicyArn VersionId", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.aboutPolicy(ctx, "iam:DeletePolicyVersion"); err != nil {
				return nil, err
			}
			return nil, c.Directory.DeleteVersion(ctx, c.account, c.in.PolicyArn, c.in.VersionId)
		}),
		verb("SetDefaultPolicyVersion", "PolicyArn VersionId", func(ctx context.Context, c *call) (any, error) {
			if _, err := c.aboutPolicy(ctx, "iam:SetDefaultPolicyVersion"); err != nil {
				return nil, err
			}
			return nil, c.Directory.SetDefaultVersion(ctx, c.account, c.in.PolicyArn, c.in.VersionId)
		}),
	}
}

// policies returns the managed policies of a scope: those of the account (Local, or
// nothing), the built-in ones (AWS), or both (All).
func (c *call) policies(ctx context.Context) (out []iam.Policy, err error) {
	switch c.in.Scope {
	case "", "Local", "AWS", "All":
	default:
		return nil, trace.Errorf(trace.KindInvalid, "Scope must be All, AWS or Local")
	}
	if c.in.Scope != "AWS" {
		if out, err = c.Directory.Policies(ctx, c.account); err != nil {
			return nil, err
		}
	}
	if c.in.Scope == "AWS" || c.in.Scope == "All" {
		out = append(out, iam.BuiltIn()...)
	}
	return out, nil
}
