package policy

import (
	"slices"
	"strings"
)

// Request describes a request to policies.
type Request struct {
	Principal Principal
	Action    string // such as xray:GetGroup
	Resource  string // an ARN; "*" for actions without resource types
	// ResourceAccount is the account of the resource; "" means the principal's.
	ResourceAccount string
	Keys            Keys // nil: no keys
	// Also lists further actions that the same call needs, on the same resource.
	Also []string
}

// Principal is who makes a request.
type Principal struct {
	Kind    PrincipalKind
	ARN     string // of the user, the session or the root user
	RoleARN string // of the role of a session, with path
	ID      string // as in aws:userid
	Account string
	Service string // of a service, such as sns.amazonaws.com; of a web identity: its provider
	// ManagementAccount tells that the account manages the organization: SCPs do not
	// bind it.
	ManagementAccount bool
}

// PrincipalKind is the kind of a principal.
type PrincipalKind string

// The kinds of principals.
const (
	PrincipalUser        PrincipalKind = "user"
	PrincipalSession     PrincipalKind = "session"   // of a role
	PrincipalFederated   PrincipalKind = "federated" // federated user session
	PrincipalRoot        PrincipalKind = "root"
	PrincipalService     PrincipalKind = "service"
	PrincipalWebIdentity PrincipalKind = "web-identity" // before it has a role
	PrincipalAnonymous   PrincipalKind = "anonymous"
)

// Keys knows the condition keys of a request.
type Keys interface {
	// Key returns the value of a condition key, whose name is in lower case. The tags of
	// a resource are aws:resourcetag/KEY.
	Key(name string) Value
}

// Value is the value of a condition key. The zero value means that the request does not
// have the key.
type Value struct {
	state state
	one   string
	many  []string
}

type state uint8

const (
	absent  state = iota
	single        // a key with one value
	several       // a multivalued key, even if the request has one value
	unknown       // known for each segment, later
)

// Single is the value of a key that can have only one.
func Single(s string) Value { return Value{state: single, one: s} }

// Several is the value of a multivalued key. Without values the key is absent.
func Several(list ...string) Value {
	if len(list) == 0 {
		return Value{}
	}
	return Value{state: several, many: list}
}

// Context holds condition keys by their names in lower case.
type Context map[string]Value

// Key returns the value of a condition key.
func (c Context) Key(name string) Value { return c[name] }

// Set sets the value of a key, whose name may be in any case.
func (c Context) Set(name string, v Value) { c[keyName(name)] = v }

// keyName returns the name by which Keys knows a condition key: in lower case, and with
// today's spelling for the tags of resources. AWS's guide of 2023 spells them
// xray:ResourceTag/KEY.
func keyName(name string) string {
	name = lower(name)
	if key, ok := strings.CutPrefix(name, "xray:resourcetag/"); ok {
		return "aws:resourcetag/" + key
	}
	return name
}

// The condition keys of Fluoro about segments. They are absent from AWS's own actions, so
// AWS's own policies mean the same as on AWS. Requests do not have them; segments do.
const (
	KeyService     = "fluoro:Service"     // name of the segment
	KeyEnvironment = "fluoro:Environment" // deployment environment of the segment
	KeyGroup       = "fluoro:Group"       // multivalued: groups that contain the segment's trace
	KeyAnnotation  = "fluoro:Annotation/" // multivalued: an annotation of the segment
)

var (
	laterService     = lower(KeyService)
	laterEnvironment = lower(KeyEnvironment)
	laterGroup       = lower(KeyGroup)
	laterAnnotation  = lower(KeyAnnotation)
)

// isLater reports whether a key, in lower case, is about segments.
func isLater(key string) bool {
	return strings.HasPrefix(key, "fluoro:") &&
		(key == laterService || key == laterEnvironment || key == laterGroup || strings.HasPrefix(key, laterAnnotation))
}

// door answers for a request at the door: the keys about segments are not known yet.
type door struct{ Keys }

func (d door) Key(name string) Value {
	if isLater(name) {
		return Value{state: unknown}
	}
	return d.Keys.Key(name)
}

// strength says how closely a resource policy's statement names the caller. A grant to
// an account lets its own policies decide; a grant to a role is limited by the permissions
// boundary and the session policy; any other grant decides (IAM user guide, "Policy
// evaluation logic").
type strength uint8

const (
	notNamed strength = iota
	namedAccount
	namedRole
	namedItself
)

// named is one entry of a Principal or NotPrincipal.
type named struct{ kind, id string }

// principals is the Principal or NotPrincipal of a statement.
type principals struct {
	there, not bool
	list       []named
}

// names returns how an entry names the principal of a request.
func (p *Principal) names(n named) strength {
	switch n.kind {
	case "Service":
		if p.Kind == PrincipalService && n.id == p.Service {
			return namedItself
		}
	case "Federated":
		if p.Kind == PrincipalWebIdentity && n.id == p.Service {
			return namedItself
		}
	case "AWS":
		return p.named(n.id)
	}
	return notNamed
}

func (p *Principal) named(id string) strength {
	switch {
	case id == "*":
		return namedItself
	case id == "" || p.Kind == PrincipalService || p.Kind == PrincipalWebIdentity || p.Kind == PrincipalAnonymous:
		return notNamed
	case id == p.ARN:
		return namedItself
	case id == p.RoleARN:
		return namedRole
	case id == p.Account || isRootOf(id, p.Account):
		return namedAccount
	case p.ID != "" && !strings.Contains(id, ":"): // the unique id of a user or role
		unique, _, _ := strings.Cut(p.ID, ":")
		switch {
		case id != unique:
		case p.Kind == PrincipalSession:
			return namedRole
		default:
			return namedItself
		}
	}
	return notNamed
}

// isRootOf reports whether an ARN is that of an account's root user, which stands for the
// whole account.
func isRootOf(arn, account string) bool {
	rest, ok := strings.CutSuffix(arn, ":iam::"+account+":root")
	return ok && strings.HasPrefix(rest, "arn:aws") && !strings.Contains(rest[4:], ":") && account != ""
}

// match returns how a statement names the principal. A NotPrincipal exempts whom it
// names. A Deny exempts only callers that it names completely: their account, for
// sessions also the role, and themselves. An Allow spares everyone that it names at all.
// Both ways, an incomplete list does not give more rights.
func (s *principals) match(p *Principal, deny bool) strength {
	best := notNamed
	if !s.not {
		for _, n := range s.list {
			best = max(best, p.names(n))
		}
		return best
	}
	found := map[strength]bool{}
	for _, n := range s.list {
		found[p.names(n)] = true
		if n.id == "*" {
			return notNamed
		}
	}
	exempt := found[namedItself] || found[namedRole] || found[namedAccount]
	if deny {
		exempt = found[namedItself] && (found[namedAccount] || p.Account == "") && (found[namedRole] || p.RoleARN == "")
		if p.Kind == PrincipalRoot {
			exempt = found[namedItself] || found[namedAccount]
		}
	}
	if exempt {
		return notNamed
	}
	return namedItself
}

// Values returns the text values of a key, for tests and messages.
func (v Value) Values() []string {
	switch v.state {
	case single:
		return []string{v.one}
	case several:
		return slices.Clone(v.many)
	}
	return nil
}
