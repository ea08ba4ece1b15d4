package admin

import (
	"time"

	"github.com/fluoro-io/fluoro/internal/iam"
)

// input has the members of all verbs. Each verb lists those that it takes.
type input struct {
	UserName, GroupName, RoleName, PolicyName string
	Path, PathPrefix                          string
	Description                               *string
	PermissionsBoundary                       string // ARN or name of a managed policy
	PolicyArn                                 string // ARN or name of a managed policy
	PolicyDocument, AssumeRolePolicyDocument  string
	MaxSessionDuration                        *int
	Tags                                      []iam.Tag
	TagKeys                                   []string
	VersionId                                 string
	SetAsDefault                              bool
	AccessKeyId, Status                       string
	Policies                                  []string // names or ARNs of managed policies
	TokenId, Purpose                          string
	Scopes                                    []string
	Expires                                   *time.Time
	Url, ClientID                             string
	ClientIDList                              []string
	CertificateAuthorities                    string
	OpenIDConnectProviderArn                  string
	Match, Account                            string
	Organization                              *iam.Organization
	Marker                                    string
	MaxItems                                  int
	Scope                                     string
}

type tags = []iam.Tag

// entity has the common members of AWS's User, Group and Role.
type entity struct {
	Path       string
	Arn        string
	CreateDate time.Time
	Tags       tags      `json:",omitempty"`
	Boundary   *boundary `json:"PermissionsBoundary,omitempty"`
}

type boundary struct {
	PermissionsBoundaryType string
	PermissionsBoundaryArn  string
}

func entityOf(e *iam.Entity) entity {
	out := entity{Path: e.Path, Arn: e.ARN, CreateDate: e.Created, Tags: e.Tags}
	if e.Boundary != "" {
		out.Boundary = &boundary{"Policy", e.Boundary}
	}
	return out
}

type user struct {
	UserName string
	UserID   string `json:"UserId"`
	entity
}

type group struct {
	GroupName string
	GroupID   string `json:"GroupId"`
	entity
}

type role struct {
	RoleName string
	RoleID   string `json:"RoleId"`
	entity
	Description              string `json:",omitempty"`
	AssumeRolePolicyDocument string
	MaxSessionDuration       int
	RoleLastUsed             *iam.LastUsed `json:",omitempty"`
	SessionsRevokedBefore    *time.Time    `json:",omitempty"`
}

// shown converts a user, group or role.
func shown(r any) any {
	switch r := r.(type) {
	case *iam.User:
		return user{r.Name, r.ID, entityOf(&r.Entity)}
	case *iam.Group:
		return group{r.Name, r.ID, entityOf(&r.Entity)}
	case *iam.Role:
		return role{r.Name, r.ID, entityOf(&r.Entity), r.Description, r.Trust, r.MaxSession, nil, r.Revoked}
	}
	return nil
}

type policy struct {
	PolicyName       string
	PolicyID         string `json:"PolicyId,omitempty"`
	Arn, Path        string
	Description      string `json:",omitempty"`
	DefaultVersionID string `json:"DefaultVersionId"`
	CreateDate       *time.Time
	Tags             tags `json:",omitempty"`
}

func policyOf(p *iam.Policy) policy {
	out := policy{p.Name, p.ID, p.ARN, p.Path, p.Description, p.Default, nil, p.Tags}
	if !p.Created.IsZero() {
		out.CreateDate = &p.Created
	}
	return out
}

type policyVersion struct {
	VersionID        string `json:"VersionId"`
	Document         string `json:",omitempty"`
	IsDefaultVersion bool
	CreateDate       *time.Time `json:",omitempty"`
}

func versionOf(p *iam.Policy, v *iam.Version, text bool) policyVersion {
	out := policyVersion{VersionID: v.ID, IsDefaultVersion: v.ID == p.Default}
	if text {
		out.Document = v.Text
	}
	if !v.Created.IsZero() {
		out.CreateDate = &v.Created
	}
	return out
}

type attached struct{ PolicyName, PolicyArn string }

type accessKey struct {
	UserName        string
	AccessKeyID     string `json:"AccessKeyId"`
	Status          string
	SecretAccessKey string `json:",omitempty"`
	CreateDate      time.Time
	LastUsed        *iam.LastUsed `json:",omitempty"`
	Policies        []string      `json:",omitempty"`
}

func keyOf(k iam.Key) accessKey {
	return accessKey{UserName: k.User, AccessKeyID: k.ID, Status: k.Status, CreateDate: k.Created, LastUsed: k.LastUsed}
}

func newKeyOf(k iam.NewKey) accessKey {
	out := keyOf(k.Key)
	out.SecretAccessKey, out.Policies = k.Secret, k.Policies
	return out
}

type token struct {
	TokenID     string     `json:"TokenId"`
	Token       string     `json:",omitempty"` // the secret, shown once
	UserName    string     `json:",omitempty"`
	RoleName    string     `json:",omitempty"`
	Description string     `json:",omitempty"`
	Purpose     string     `json:",omitempty"`
	Scopes      []string   `json:",omitempty"`
	Expires     *time.Time `json:",omitempty"`
	Status      string
	CreateDate  time.Time
	LastUsed    *iam.LastUsed `json:",omitempty"`
}

func tokenOf(t iam.Token, text string) token {
	out := token{TokenID: t.ID, Token: text, Description: t.Description, Purpose: t.Purpose, Scopes: t.Scopes, Expires: t.Expires, Status: t.Status, CreateDate: t.Created, LastUsed: t.LastUsed}
	if t.Of.Type == iam.TypeRole {
		out.RoleName = t.Of.Name
	} else {
		out.UserName = t.Of.Name
	}
	return out
}

type certificate struct {
	Match       string
	Account     string
	UserName    string `json:",omitempty"`
	RoleName    string `json:",omitempty"`
	Description string `json:",omitempty"`
	CreateDate  time.Time
}

func certificateOf(c iam.Certificate) certificate {
	out := certificate{Match: c.Match, Account: string(c.Account), Description: c.Description, CreateDate: c.Created}
	if c.Of.Type == iam.TypeRole {
		out.RoleName = c.Of.Name
	} else {
		out.UserName = c.Of.Name
	}
	return out
}

type provider struct {
	OpenIDConnectProviderArn string
	URL                      string `json:"Url"`
	ClientIDList             []string
	CertificateAuthorities   string `json:",omitempty"`
	CreateDate               time.Time
}

func providerOf(p iam.Provider) provider {
	return provider{p.ARN, p.URL, p.Clients, p.Authorities, p.Created}
}
