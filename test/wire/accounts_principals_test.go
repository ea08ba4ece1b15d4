package wire_test

import (
	"fmt"
	"strings"
)

// principals holds ids and ARNs of principals that first made.
type principals struct{ key, token, policy, provider string }

const trustAnybody = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`

// people makes a principal of each kind as first.
func (s *walk) people() {
	post := func(verb string, body m) string { return s.must(first, "POST", "/api/iam/"+verb, body) }
	post("CreateUser", m{"UserName": "common", "Path": "/secretpath/", "Tags": []m{{"Key": "secrettag", "Value": "x"}}})
	post("CreateGroup", m{"GroupName": "common", "Path": "/secretpath/"})
	post("AddUserToGroup", m{"GroupName": "common", "UserName": "common"})
	post("CreateRole", m{"RoleName": "common", "Path": "/secretpath/", "AssumeRolePolicyDocument": trustAnybody, "Description": "secretrole", "Tags": []m{{"Key": "secrettag", "Value": "x"}}})
	s.made.policy = s.field(post("CreatePolicy", m{"PolicyName": "common", "PolicyDocument": allow("xray:Get*"), "Description": "secretpolicy"}), "Policy", "Arn")
	for _, kind := range []string{"User", "Group", "Role"} {
		post("Put"+kind+"Policy", m{kind + "Name": "common", "PolicyName": "secretinline", "PolicyDocument": allow("xray:SecretInline")})
		post("Attach"+kind+"Policy", m{kind + "Name": "common", "PolicyArn": "common"})
	}
	post("CreateLoginProfile", m{"UserName": "common", "Password": "correct horse battery"})
	s.made.key = s.field(post("CreateAccessKey", m{"UserName": "common"}), "AccessKey", "AccessKeyId")
	s.made.token = s.field(post("CreateToken", m{"UserName": "common", "Description": "secrettoken"}), "Token", "TokenId")
	s.made.provider = s.field(post("CreateOpenIDConnectProvider", m{"Url": "https://issuer.example.com", "ClientIDList": []string{"secretclient"}}), "OpenIDConnectProviderArn")
}

// allow is a policy that allows an action.
func allow(action string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%q,"Resource":"*"}]}`, action)
}

// readPrincipals lists requests about principals that change nothing.
func (s *walk) readPrincipals() []visit {
	visits := []visit{
		{route: "POST /", body: "Action=GetCallerIdentity"}, // not in the form of a form
		{route: "GET /container-credentials"},
		{route: "GET /console/api/login"}, {route: "GET /login/oidc"}, {route: "GET /login/oidc/callback", query: "/login/oidc/callback?state=x&code=y"},
		{route: "POST /console/api/login", body: m{"user": "common", "password": "a wrong password"}, status: 401},
		{route: "POST /console/api/login/passkey", body: m{}}, {route: "POST /console/api/login/passkey/finish", body: m{"id": "x", "answer": m{}}},
		{route: "POST /console/api/setup", body: m{"token": "x", "check": true}, status: 403},
		{route: "GET /console/api/session", seen: `"account":"` + first + `"`}, {route: "GET /console/api/sessions"}, {route: "GET /console/api/passkeys", status: 403},
		{route: "POST /api/iam/GetLoginProfile", body: m{"UserName": "common"}, seen: "CreateDate", status: 404},
		{route: "POST /api/iam/ListPasskeys", body: m{"UserName": "common"}, seen: "[]", status: 404},
		{route: "POST /api/iam/ListUsers", body: m{}, seen: "secretpath"},
		{route: "POST /api/iam/ListUserTags", body: m{"UserName": "common"}, seen: "secrettag", status: 404},
		{route: "POST /api/iam/ListRoleTags", body: m{"RoleName": "common"}, seen: "secrettag", status: 404},
		{route: "POST /api/iam/ListGroupsForUser", body: m{"UserName": "common"}, seen: "secretpath", status: 404},
		{route: "POST /api/iam/ListPolicies", body: m{}, seen: "secretpolicy"},
		{route: "POST /api/iam/GetPolicy", body: m{"PolicyArn": s.made.policy}, seen: "secretpolicy", status: 404},
		{route: "POST /api/iam/GetPolicyVersion", body: m{"PolicyArn": "common"}, seen: "xray:Get*", status: 404},
		{route: "POST /api/iam/ListPolicyVersions", body: m{"PolicyArn": s.made.policy}, seen: "v1", status: 404},
		{route: "POST /api/iam/ListEntitiesForPolicy", body: m{"PolicyArn": s.made.policy}, seen: "common", status: 404},
		{route: "POST /api/iam/ListAccessKeys", body: m{}, seen: s.made.key},
		{route: "POST /api/iam/ListAccessKeys", body: m{"UserName": "common"}, seen: s.made.key, status: 404},
		{route: "POST /api/iam/GetAccessKeyLastUsed", body: m{"AccessKeyId": s.made.key}, seen: `"UserName":"common"`, status: 404},
		{route: "POST /api/iam/ListTokens", body: m{}, seen: "secrettoken"},
		{route: "POST /api/iam/ListOpenIDConnectProviders", body: m{}, seen: "issuer.example.com"},
		{route: "POST /api/iam/GetOpenIDConnectProvider", body: m{"OpenIDConnectProviderArn": s.made.provider}, seen: "secretclient", status: 404},
	}
	for _, kind := range []string{"User", "Group", "Role"} {
		visits = append(visits,
			visit{route: "POST /api/iam/List" + kind + "s", body: m{}, seen: "secretpath"},
			visit{route: "POST /api/iam/Get" + kind, body: m{kind + "Name": "common"}, seen: "secretpath", status: 404},
			visit{route: "POST /api/iam/ListAttached" + kind + "Policies", body: m{kind + "Name": "common"}, seen: s.made.policy, status: 404},
			visit{route: "POST /api/iam/List" + kind + "Policies", body: m{kind + "Name": "common"}, seen: "secretinline", status: 404},
			visit{route: "POST /api/iam/Get" + kind + "Policy", body: m{kind + "Name": "common", "PolicyName": "secretinline"}, seen: "xray:SecretInline", status: 404},
		)
	}
	for _, verb := range []string{"ListCertificates", "GetOrganization"} {
		visits = append(visits, visit{route: "POST /api/iam/" + verb, body: m{}, status: 403})
	}
	return visits
}

// writePrincipals lists requests of second that name the principals of first.
func (s *walk) writePrincipals() []visit {
	var visits []visit
	add := func(status int, verb string, body m) {
		visits = append(visits, visit{route: "POST /api/iam/" + verb, body: body, status: status})
	}
	for _, kind := range []string{"User", "Group", "Role"} {
		name := kind + "Name"
		add(404, "Put"+kind+"Policy", m{name: "common", "PolicyName": "x", "PolicyDocument": allow("*")})
		add(404, "Delete"+kind+"Policy", m{name: "common", "PolicyName": "secretinline"})
		add(404, "Attach"+kind+"Policy", m{name: "common", "PolicyArn": "AdministratorAccess"})
		add(404, "Detach"+kind+"Policy", m{name: "common", "PolicyArn": s.made.policy})
		add(404, "Delete"+kind, m{name: "common"})
		if kind != "Group" {
			add(404, "Put"+kind+"PermissionsBoundary", m{name: "common", "PermissionsBoundary": "AdministratorAccess"})
			add(404, "Delete"+kind+"PermissionsBoundary", m{name: "common"})
			add(404, "Tag"+kind, m{name: "common", "Tags": []m{{"Key": "secrettag", "Value": "y"}}})
			add(404, "Untag"+kind, m{name: "common", "TagKeys": []string{"secrettag"}})
		}
	}
	add(404, "AddUserToGroup", m{"GroupName": "common", "UserName": "common"})
	add(404, "RemoveUserFromGroup", m{"GroupName": "common", "UserName": "common"})
	add(404, "UpdateAssumeRolePolicy", m{"RoleName": "common", "PolicyDocument": trustAnybody})
	add(404, "UpdateRole", m{"RoleName": "common", "Description": "x"})
	add(404, "RevokeRoleSessions", m{"RoleName": "common"})
	add(404, "DeletePolicy", m{"PolicyArn": s.made.policy})
	add(404, "TagPolicy", m{"PolicyArn": s.made.policy, "Tags": []m{{"Key": "x", "Value": "y"}}})
	add(404, "UntagPolicy", m{"PolicyArn": s.made.policy, "TagKeys": []string{"x"}})
	add(404, "CreatePolicyVersion", m{"PolicyArn": s.made.policy, "PolicyDocument": allow("*"), "SetAsDefault": true})
	add(404, "DeletePolicyVersion", m{"PolicyArn": s.made.policy, "VersionId": "v1"})
	add(404, "SetDefaultPolicyVersion", m{"PolicyArn": s.made.policy, "VersionId": "v1"})
	add(404, "CreateAccessKey", m{"UserName": "common"})
	add(404, "RotateAccessKey", m{"AccessKeyId": s.made.key})
	add(404, "UpdateAccessKey", m{"AccessKeyId": s.made.key, "Status": "Inactive"})
	add(404, "DeleteAccessKey", m{"AccessKeyId": s.made.key})
	add(404, "CreateToken", m{"RoleName": "common", "Purpose": "container"})
	add(404, "UpdateToken", m{"TokenId": s.made.token, "Status": "Inactive"})
	add(404, "DeleteToken", m{"TokenId": s.made.token})
	add(404, "DeleteOpenIDConnectProvider", m{"OpenIDConnectProviderArn": s.made.provider})
	add(404, "AddClientIDToOpenIDConnectProvider", m{"OpenIDConnectProviderArn": s.made.provider, "ClientID": "x"})
	add(404, "RemoveClientIDFromOpenIDConnectProvider", m{"OpenIDConnectProviderArn": s.made.provider, "ClientID": "secretclient"})
	add(404, "CreateLoginProfile", m{"UserName": "common", "Password": "correct horse battery"})
	add(404, "UpdateLoginProfile", m{"UserName": "common", "Password": "correct horse battery"})
	add(404, "DeleteLoginProfile", m{"UserName": "common"})
	add(404, "DeletePasskey", m{"UserName": "common", "PasskeyId": "x"})
	for path, status := range map[string]int{"logout": 400, "sessions/revoke": 404, "password": 403, "passkeys/begin": 403, "passkeys/finish": 403, "passkeys/delete": 403} {
		visits = append(visits, visit{route: "POST /console/api/" + path, body: m{"id": "x"}, status: status})
	}
	add(403, "PutCertificate", m{"Match": "cn:common", "Account": first, "UserName": "common"})
	add(403, "DeleteCertificate", m{"Match": "cn:common"})
	add(403, "PutOrganization", m{"Organization": m{"Management": second}})
	add(403, "DeleteOrganization", m{})
	// The same names in an account of one's own.
	add(200, "CreateUser", m{"UserName": "common"})
	add(200, "CreateGroup", m{"GroupName": "common"})
	add(200, "CreateRole", m{"RoleName": "common", "AssumeRolePolicyDocument": trustAnybody})
	add(200, "CreatePolicy", m{"PolicyName": "common", "PolicyDocument": allow("*")})
	add(404, "AttachUserPolicy", m{"UserName": "common", "PolicyArn": s.made.policy})
	add(200, "CreateOpenIDConnectProvider", m{"Url": "https://issuer.example.com"})
	add(200, "DeleteOpenIDConnectProvider", m{"OpenIDConnectProviderArn": strings.Replace(s.made.provider, first, second, 1)})
	for _, kind := range []string{"User", "Group", "Role"} {
		add(200, "Delete"+kind, m{kind + "Name": "common"})
	}
	add(200, "DeletePolicy", m{"PolicyArn": "common"})
	return visits
}
