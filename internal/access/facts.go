package access

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/policy"
)

// facts knows the condition keys of a request (IAM user guide, "AWS global condition
// context keys"). It looks for a key when a policy asks for it.
type facts struct {
	p       *identity.Principal
	c       *identity.Call
	q       *identity.Question
	set     *policy.Set
	request *policy.Request
	now     time.Time
}

const principalTag = "aws:principaltag/"

// Key returns the value of a condition key; its name is in lower case. A handler's keys
// never replace those that are known here.
func (f *facts) Key(name string) policy.Value {
	if v, known := f.ofPrincipal(name); known {
		return v
	}
	if v, known := f.ofRequest(name); known {
		return v
	}
	return f.ofQuestion(name)
}

// text is the value of a key with one value, absent if it is empty.
func text(s string) policy.Value {
	if s == "" {
		return policy.Value{}
	}
	return policy.Single(s)
}

func truth(b bool) policy.Value { return policy.Single(strconv.FormatBool(b)) }

// ofPrincipal knows the keys about the principal.
func (f *facts) ofPrincipal(name string) (policy.Value, bool) {
	service := f.p.Type == identity.TypeService
	switch name {
	case "aws:principalarn":
		if f.p.Session != nil && f.p.Session.RoleARN != "" {
			return policy.Single(f.p.Session.RoleARN), true
		}
		if role := f.request.Principal.RoleARN; role != "" {
			return policy.Single(role), true
		}
		return text(f.p.ARN), true
	case "aws:principalaccount":
		if service || f.p.Type == identity.TypeAnonymous {
			return policy.Value{}, true
		}
		return text(string(f.p.Account)), true
	case "aws:principaltype":
		return text(string(f.p.Type)), true
	case "aws:userid":
		return text(f.p.ID), true
	case "aws:username":
		if f.p.Type == identity.TypeUser {
			return text(f.p.Name), true
		}
		return policy.Value{}, true
	case "aws:principalorgid":
		return text(f.set.OrgID), true
	case "aws:principalorgpaths":
		return policy.Several(f.set.OrgPaths...), true
	case "aws:principalisawsservice":
		return truth(service), true
	case "aws:principalservicename":
		if service {
			return text(f.p.Name), true
		}
		return policy.Value{}, true
	}
	if key, ok := strings.CutPrefix(name, principalTag); ok {
		return tag(f.p.Tags, key), true
	}
	return f.ofSession(name)
}

// ofSession knows the keys about temporary credentials.
func (f *facts) ofSession(name string) (policy.Value, bool) {
	s := f.p.Session
	if s == nil {
		s = &identity.Session{}
	}
	switch name {
	case "aws:tokenissuetime":
		if s.Issued.IsZero() {
			return policy.Value{}, true
		}
		return policy.Single(s.Issued.UTC().Format(time.RFC3339)), true
	case "aws:multifactorauthpresent":
		if f.p.Session == nil {
			return policy.Value{}, true
		}
		return truth(s.MFA), true
	case "aws:federatedprovider":
		return text(s.Provider), true
	case "aws:sourceidentity":
		return text(s.SourceIdentity), true
	}
	return policy.Value{}, false
}

// tag finds a tag. Names of condition keys are not case-sensitive, so the first name in
// the order of bytes counts.
func tag(tags map[string]string, key string) policy.Value {
	best, found := "", false
	for name := range tags {
		if strings.EqualFold(name, key) && (!found || name < best) {
			best, found = name, true
		}
	}
	if !found {
		return policy.Value{}
	}
	return policy.Single(tags[best])
}

// ofRequest knows the keys about the request, the network and the resource.
func (f *facts) ofRequest(name string) (policy.Value, bool) {
	switch name {
	case "aws:currenttime":
		return policy.Single(f.now.Format(time.RFC3339)), true
	case "aws:epochtime":
		return policy.Single(strconv.FormatInt(f.now.Unix(), 10)), true
	case "aws:requestedregion":
		return text(f.p.Region), true
	case "aws:sourceip":
		return text(address(f.c.Source)), true
	case "aws:securetransport":
		return truth(f.c.Secure || f.c.Request != nil && f.c.Request.TLS != nil), true
	case "aws:useragent":
		return f.header("User-Agent"), true
	case "aws:referer":
		return f.header("Referer"), true
	case "aws:viaawsservice":
		return policy.Single("false"), true
	case "aws:resourceaccount":
		return text(f.request.ResourceAccount), true
	case "aws:resourceorgid":
		if f.request.ResourceAccount == string(f.p.Account) {
			return text(f.set.OrgID), true
		}
		return policy.Value{}, true
	}
	return policy.Value{}, false
}

func (f *facts) header(name string) policy.Value {
	if f.c.Request == nil {
		return policy.Value{}
	}
	return text(f.c.Request.Header.Get(name))
}

// address returns the IP address of host:port; an IPv4 address in IPv6 form is that IPv4
// address.
func address(source string) string {
	at, err := netip.ParseAddrPort(source)
	if err != nil {
		a, err := netip.ParseAddr(source)
		if err != nil {
			return ""
		}
		return a.Unmap().WithZone("").String()
	}
	return at.Addr().Unmap().WithZone("").String()
}

// multivalued lists the keys that have several values, even if a request has one.
var multivalued = []string{"aws:tagkeys", "aws:calledvia", "logs:loggeneratingresourcearns"}

// ofQuestion finds a key of the handler.
func (f *facts) ofQuestion(name string) policy.Value {
	best, found := "", false
	for key := range f.q.Keys {
		if strings.EqualFold(key, name) && (!found || key < best) {
			best, found = key, true
		}
	}
	values := f.q.Keys[best]
	switch {
	case !found || len(values) == 0:
		return policy.Value{}
	case len(values) > 1 || slices.Contains(multivalued, name):
		return policy.Several(values...)
	}
	return policy.Single(values[0])
}
