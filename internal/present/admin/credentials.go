package admin

import (
	"context"
	"slices"

	"github.com/fluoro-io/fluoro/internal/iam"
	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// self returns the user that a request names, or its own user.
func (c *call) self() string {
	if c.in.UserName == "" && c.caller.Type == identity.TypeUser {
		return c.caller.Name
	}
	return c.in.UserName
}

// aboutKey asks about the user that has the access key of a request.
func (c *call) aboutKey(ctx context.Context, action string) error {
	_, err := c.about(ctx, action, iam.TypeUser, c.Directory.UserOfKey(ctx, c.account, c.in.AccessKeyId))
	if trace.KindOf(err) == trace.KindNotFound {
		return nil // the verb itself says that the key does not exist
	}
	return err
}

// credentialVerbs returns the verbs about keys, tokens, certificates and providers.
func credentialVerbs() []Verb {
	return slices.Concat(keyVerbs(), tokenVerbs(), certificateVerbs(), providerVerbs())
}

// mayCreateKey asks for everything that CreateAccessKey does: it may make a user and
// attach policies.
func (c *call) mayCreateKey(ctx context.Context, user string) error {
	name := user
	if name == "" {
		name = "*"
	}
	r, err := c.about(ctx, "iam:CreateAccessKey", iam.TypeUser, name)
	missing := trace.KindOf(err) == trace.KindNotFound && err != nil
	if err != nil && !missing || missing && len(c.in.Policies) == 0 {
		return err
	}
	if r == nil {
		if err := c.ask(ctx, "iam:CreateUser", iam.ARN(c.account, "user/"+name)); err != nil {
			return err
		}
	}
	for _, p := range c.in.Policies {
		if _, err := c.about(ctx, "iam:AttachUserPolicy", iam.TypeUser, name, "iam:PolicyARN", c.arnOf(ctx, p)); err != nil && trace.KindOf(err) != trace.KindNotFound {
			return err
		}
	}
	return nil
}

func keyVerbs() []Verb {
	return []Verb{
		verb("CreateAccessKey", "UserName Policies", func(ctx context.Context, c *call) (any, error) {
			user := c.in.UserName
			if len(c.in.Policies) == 0 {
				user = c.self()
			}
			if err := c.mayCreateKey(ctx, user); err != nil {
				return nil, err
			}
			k, err := c.Directory.CreateKey(ctx, c.account, iam.KeyRequest{User: user, Policies: c.in.Policies})
			if err != nil {
				return nil, err
			}
			return map[string]any{"AccessKey": newKeyOf(k)}, nil
		}),
		own("RotateAccessKey", "AccessKeyId", func(ctx context.Context, c *call) (any, error) {
			if err := c.aboutKey(ctx, "iam:CreateAccessKey"); err != nil {
				return nil, err
			}
			k, err := c.Directory.RotateKey(ctx, c.account, c.in.AccessKeyId)
			if err != nil {
				return nil, err
			}
			return map[string]any{"AccessKey": newKeyOf(k)}, nil
		}),
		verb("ListAccessKeys", "UserName Marker MaxItems", func(ctx context.Context, c *call) (any, error) {
			name := c.self()
			if name == "" { // of all users
				if err := c.ask(ctx, "iam:ListAccessKeys", iam.ARN(c.account, "user/*")); err != nil {
					return nil, err
				}
			} else if _, err := c.about(ctx, "iam:ListAccessKeys", iam.TypeUser, name); err != nil {
				return nil, err
			}
			keys, err := c.Directory.Keys(ctx, c.account, name)
			if err != nil {
				return nil, err
			}
			list := []accessKey{}
			for _, k := range keys {
				list = append(list, keyOf(k))
			}
			list, p, err := paged(c, list, func(k accessKey) string { return k.AccessKeyID })
			return struct {
				AccessKeyMetadata []accessKey
				page
			}{list, p}, err
		}),
		verb("GetAccessKeyLastUsed", "AccessKeyId", func(ctx context.Context, c *call) (any, error) {
			if err := c.aboutKey(ctx, "iam:GetAccessKeyLastUsed"); err != nil {
				return nil, err
			}
			k, err := c.Directory.Key(ctx, c.account, c.in.AccessKeyId)
			return map[string]any{"UserName": k.User, "AccessKeyLastUsed": k.LastUsed}, err
		}),
		verb("UpdateAccessKey", "UserName AccessKeyId Status", func(ctx context.Context, c *call) (any, error) {
			if err := c.aboutKey(ctx, "iam:UpdateAccessKey"); err != nil {
				return nil, err
			}
			return nil, c.Directory.SetKeyStatus(ctx, c.account, c.in.UserName, c.in.AccessKeyId, c.in.Status)
		}),
		verb("DeleteAccessKey", "UserName AccessKeyId", func(ctx context.Context, c *call) (any, error) {
			if err := c.aboutKey(ctx, "iam:DeleteAccessKey"); err != nil {
				return nil, err
			}
			return nil, c.Directory.DeleteKey(ctx, c.account, c.in.UserName, c.in.AccessKeyId)
		}),
	}
}

// of returns the user or role of a request.
func (c *call) of() iam.Ref {
	if c.in.RoleName != "" {
		return iam.Ref{Type: iam.TypeRole, Name: c.in.RoleName}
	}
	return iam.Ref{Type: iam.TypeUser, Name: c.in.UserName}
}

// aboutToken asks about the user or role of the token of a request.
func (c *call) aboutToken(ctx context.Context, action string) error {
	t, err := c.Directory.Token(ctx, c.account, c.in.TokenId)
	if err != nil && trace.KindOf(err) != trace.KindNotFound {
		return err
	}
	if err != nil {
		if denied := c.ask(ctx, action, iam.ARN(c.account, "user/*")); denied != nil {
			return denied
		}
		return err
	}
	_, err = c.about(ctx, action, t.Of.Type, t.Of.Name)
	return err
}

func tokenVerbs() []Verb {
	return []Verb{
		own("CreateToken", "UserName RoleName Description Purpose Scopes Expires", func(ctx context.Context, c *call) (any, error) {
			of := c.of()
			if _, err := c.about(ctx, "fluoro:CreateToken", of.Type, of.Name); err != nil {
				return nil, err
			}
			if of.Type == iam.TypeRole { // whoever has the token is the role
				if _, err := c.about(ctx, "iam:PassRole", of.Type, of.Name); err != nil {
					return nil, err
				}
			}
			t, text, err := c.Directory.CreateToken(ctx, c.account, iam.TokenRequest{
				User: c.in.UserName, Role: c.in.RoleName, Description: text(c.in.Description), Purpose: c.in.Purpose, Scopes: c.in.Scopes, Expires: c.in.Expires,
			})
			if err != nil {
				return nil, err
			}
			return map[string]any{"Token": tokenOf(t, text)}, nil
		}),
		own("ListTokens", "UserName RoleName Marker MaxItems", func(ctx context.Context, c *call) (any, error) {
			of := c.of()
			if of.Name == "" {
				if err := c.ask(ctx, "fluoro:ListTokens", iam.ARN(c.account, "user/*")); err != nil {
					return nil, err
				}
			} else if _, err := c.about(ctx, "fluoro:ListTokens", of.Type, of.Name); err != nil {
				return nil, err
			}
			all, err := c.Directory.Tokens(ctx, c.account, of)
			if err != nil {
				return nil, err
			}
			list := []token{}
			for _, t := range all {
				list = append(list, tokenOf(t, ""))
			}
			list, p, err := paged(c, list, func(t token) string { return t.TokenID })
			return struct {
				Tokens []token
				page
			}{list, p}, err
		}),
		own("UpdateToken", "TokenId Status", func(ctx context.Context, c *call) (any, error) {
			if err := c.aboutToken(ctx, "fluoro:UpdateToken"); err != nil {
				return nil, err
			}
			return nil, c.Directory.SetTokenStatus(ctx, c.account, c.in.TokenId, c.in.Status)
		}),
		own("DeleteToken", "TokenId", func(ctx context.Context, c *call) (any, error) {
			if err := c.aboutToken(ctx, "fluoro:DeleteToken"); err != nil {
				return nil, err
			}
			return nil, c.Directory.DeleteToken(ctx, c.account, c.in.TokenId)
		}),
	}
}

// certificateVerbs returns the verbs about client certificates and the organization: they
// concern all accounts of the server.
func certificateVerbs() []Verb {
	all := []Verb{
		own("PutCertificate", "Match Account UserName RoleName Description", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "fluoro:PutCertificate", "*"); err != nil {
				return nil, err
			}
			account := trace.Account(c.in.Account)
			if account == "" {
				account = c.account
			}
			cert, err := c.Directory.PutCertificate(ctx, iam.Certificate{Match: c.in.Match, Account: account, Of: c.of(), Description: text(c.in.Description)})
			return map[string]any{"Certificate": certificateOf(cert)}, err
		}),
		own("ListCertificates", "Marker MaxItems", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "fluoro:ListCertificates", "*"); err != nil {
				return nil, err
			}
			all, err := c.Directory.Certificates(ctx)
			if err != nil {
				return nil, err
			}
			list := []certificate{}
			for _, cert := range all {
				list = append(list, certificateOf(cert))
			}
			list, p, err := paged(c, list, func(c certificate) string { return c.Match })
			return struct {
				Certificates []certificate
				page
			}{list, p}, err
		}),
		own("DeleteCertificate", "Match", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "fluoro:DeleteCertificate", "*"); err != nil {
				return nil, err
			}
			return nil, c.Directory.DeleteCertificate(ctx, c.in.Match)
		}),
		own("PutOrganization", "Organization", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "fluoro:PutOrganization", "*"); err != nil {
				return nil, err
			}
			if c.in.Organization == nil {
				return nil, trace.Errorf(trace.KindInvalid, "Organization is required")
			}
			o, err := c.Directory.PutOrganization(ctx, *c.in.Organization)
			return map[string]any{"Organization": o}, err
		}),
		own("GetOrganization", "", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "fluoro:GetOrganization", "*"); err != nil {
				return nil, err
			}
			o, err := c.Directory.Organization(ctx)
			return map[string]any{"Organization": o}, err
		}),
		own("DeleteOrganization", "", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "fluoro:DeleteOrganization", "*"); err != nil {
				return nil, err
			}
			return nil, c.Directory.DeleteOrganization(ctx)
		}),
	}
	for i := range all {
		all[i].Whole = true
	}
	return all
}

func providerVerbs() []Verb {
	change := func(name string, f func(list []string, id string) []string) Verb {
		return verb(name, "OpenIDConnectProviderArn ClientID", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "iam:"+name, c.in.OpenIDConnectProviderArn); err != nil {
				return nil, err
			}
			return nil, c.Directory.SetClients(ctx, c.account, c.in.OpenIDConnectProviderArn, func(list []string) []string { return f(list, c.in.ClientID) })
		})
	}
	return []Verb{
		verb("CreateOpenIDConnectProvider", "Url ClientIDList CertificateAuthorities", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "iam:CreateOpenIDConnectProvider", iam.ProviderARN(c.account, c.in.Url)); err != nil {
				return nil, err
			}
			p, err := c.Directory.CreateProvider(ctx, c.account, iam.NewProvider{URL: c.in.Url, Clients: c.in.ClientIDList, Authorities: c.in.CertificateAuthorities})
			return map[string]string{"OpenIDConnectProviderArn": p.ARN}, err
		}),
		verb("GetOpenIDConnectProvider", "OpenIDConnectProviderArn", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "iam:GetOpenIDConnectProvider", c.in.OpenIDConnectProviderArn); err != nil {
				return nil, err
			}
			p, err := c.Directory.Provider(ctx, c.account, c.in.OpenIDConnectProviderArn)
			return providerOf(p), err
		}),
		verb("ListOpenIDConnectProviders", "", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "iam:ListOpenIDConnectProviders", "*"); err != nil {
				return nil, err
			}
			all, err := c.Directory.Providers(ctx, c.account)
			list := []map[string]string{}
			for _, p := range all {
				list = append(list, map[string]string{"Arn": p.ARN})
			}
			return map[string]any{"OpenIDConnectProviderList": list}, err
		}),
		verb("DeleteOpenIDConnectProvider", "OpenIDConnectProviderArn", func(ctx context.Context, c *call) (any, error) {
			if err := c.ask(ctx, "iam:DeleteOpenIDConnectProvider", c.in.OpenIDConnectProviderArn); err != nil {
				return nil, err
			}
			return nil, c.Directory.DeleteProvider(ctx, c.account, c.in.OpenIDConnectProviderArn)
		}),
		change("AddClientIDToOpenIDConnectProvider", func(list []string, id string) []string {
			if slices.Contains(list, id) {
				return list
			}
			return append(list, id)
		}),
		change("RemoveClientIDFromOpenIDConnectProvider", func(list []string, id string) []string {
			return slices.DeleteFunc(list, func(c string) bool { return c == id })
		}),
	}
}
