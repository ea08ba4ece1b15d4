package policy

import (
	"embed"
	"strings"
)

//go:embed managed/*.json
var managedFiles embed.FS

// Managed is a policy that is built in. Its document never changes within a version.
type Managed struct {
	Name    string
	ARN     string // arn:aws:iam::aws:policy/NAME; arn:aws:iam::fluoro:policy/NAME for Fluoro's own
	Version string // v1, v2 … as AWS counts them
	About   string
	Text    string // the document
	doc     *Document
}

// Policy returns the policy for a Set.
func (m *Managed) Policy() Policy { return Policy{Name: m.Name, ARN: m.ARN, Document: m.doc} }

// The ARNs of managed policies before their names. AWS's are only for AWS's own policies.
const (
	ManagedByAWS    = "arn:aws:iam::aws:policy/"
	ManagedByFluoro = "arn:aws:iam::fluoro:policy/"
)

// managed lists the built-in policies. The names and versions are AWS's; of the policies
// named CloudWatch…ReadOnlyAccess and …ServiceRolePolicy, only the statements about X-Ray
// are here.
var managed = func() []Managed {
	list := []Managed{
		{Name: "AWSXRayDaemonWriteAccess", Version: "v2", About: "send segments, poll for sampling"},
		{Name: "AWSXrayWriteOnlyAccess", Version: "v2", About: "send segments, poll for sampling"},
		{Name: "AWSXrayReadOnlyAccess", Version: "v8", About: "read traces, graphs, groups and insights"},
		{Name: "AWSXrayFullAccess", Version: "v2", About: "all actions of X-Ray"},
		{Name: "AWSXrayCrossAccountSharingConfiguration", Version: "v1", About: "link accounts to a monitoring account"},
		{Name: "CloudWatchAgentServerPolicy", Version: "v3", About: "what a CloudWatch agent needs, with segments and sampling"},
		{Name: "CloudWatchReadOnlyAccess", Version: "v24", About: "read everything of X-Ray (its other services are left out)"},
		{Name: "CloudWatchApplicationSignalsReadOnlyAccess", Version: "v7", About: "read trace summaries (other services are left out)"},
		{Name: "CloudWatchApplicationSignalsServiceRolePolicy", Version: "v11", About: "read the service graph of the own account (other services are left out)"},
		{Name: "AdministratorAccess", Version: "v1", About: "everything"},
		{Name: "FluoroViewer", Version: "v1", About: "console role: read traces, graphs and settings"},
		{Name: "FluoroOperator", Version: "v1", About: "console role: also groups, sampling, sending, metrics and backups"},
		{Name: "FluoroSecurityAuditor", Version: "v1", About: "console role: settings, policies, audit and evidence, but no traces"},
		{Name: "FluoroAdministrator", Version: "v1", About: "console role: everything, users and policies too"},
	}
	for i := range list {
		m := &list[i]
		m.ARN = ManagedByAWS + m.Name
		if strings.HasPrefix(m.Name, "Fluoro") {
			m.ARN = ManagedByFluoro + m.Name
		}
		text, err := managedFiles.ReadFile("managed/" + m.Name + ".json")
		if err == nil {
			m.Text = strings.TrimSpace(string(text))
			m.doc, err = Parse(m.Text)
		}
		if err != nil {
			panic("built-in policy " + m.Name + ": " + err.Error())
		}
	}
	return list
}()

// AllManaged returns the built-in policies.
func AllManaged() []Managed { return managed }

// FindManaged finds a built-in policy by its name or ARN. AWS mixes XRay and Xray in its
// names, so the case of letters does not matter in names.
func FindManaged(name string) (*Managed, bool) {
	for i := range managed {
		if m := &managed[i]; name == m.ARN || strings.EqualFold(name, m.Name) {
			return m, true
		}
	}
	return nil, false
}
