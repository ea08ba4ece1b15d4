package policy

import (
	"strings"
)

// Policy is a document in use.
type Policy struct {
	Name     string // for reasons; an inline policy has only a name
	ARN      string // of a managed policy or SCP; "" for others
	Document *Document
}

// Set holds all policies that apply to a principal and a resource. Sets do not change
// once they are used.
type Set struct {
	Identity []Policy
	// Boundary and Session are nil if none is set. An empty list is set and allows nothing.
	Boundary, Session []Policy
	// SCP has one list for each level: the root of the organization, its units, the
	// account. Nil: no organization.
	SCP      [][]Policy
	Resource []Policy
	// Trust tells that Resource is the trust policy of a role, which must allow.
	Trust bool
	// OrgID and OrgPaths are those of the principal's account: aws:PrincipalOrgID and
	// aws:PrincipalOrgPaths. Manages tells that it is the management account.
	OrgID    string
	OrgPaths []string
	Manages  bool
}

// Layer is a kind of policies.
type Layer string

// The layers.
const (
	LayerSCP      Layer = "scp"
	LayerResource Layer = "resource"
	LayerTrust    Layer = "trust"
	LayerIdentity Layer = "identity"
	LayerBoundary Layer = "boundary"
	LayerSession  Layer = "session"
	LayerRoot     Layer = "root" // the account's root user needs no policies
)

// Decision is the answer of policies to a request. The zero value denies.
type Decision struct {
	Allowed bool
	// Explicit tells that a statement decided; otherwise no statement allowed.
	Explicit bool
	By       Layer
	// Level counts the levels of SCPs from 1; 0 for other layers.
	Level int
	// Policy, Statement (counted from 1) and Sid name the statement that decided; zero
	// if none did. Index counts the policies of its layer from 1.
	Policy    Policy
	Index     int
	Statement int
	Sid       string
	// Action is the one that was decided: that of the request or one of Also.
	Action string
	// CrossAccount tells that principal and resource have different accounts.
	CrossAccount bool
}

// The bits of allow-masks: which lists of policies have an Allow that applies.
const (
	bitIdentity = 1 << iota
	bitBoundary
	bitSession
	bitAccount // resource policies, by the strength of the grant
	bitRole
	bitItself
	bitSCP // and the following, one for each level
)

// maxLevels bounds the levels of an organization; AWS has at most seven.
const maxLevels = 48

// hit is where a statement stands: the layer's list, counted from 0.
type hit struct {
	layer             Layer
	level             int
	policy, statement int
	found             bool
}

// evaluation is one run over all policies of a set for one action.
type evaluation struct {
	set     *Set
	request *Request
	action  string // in lower case
	keys    Keys
	cross   bool
	denied  hit
	mask    uint64          // of definite allows
	allows  [8 + 6]hit      // by bit; SCP levels beyond have no details
	open    []openStatement // depend on segments
}

// Decide decides about a request. All policies are searched for a Deny, then each layer
// must allow (IAM user guide, "Policy evaluation logic").
func (s *Set) Decide(r *Request) Decision {
	d := s.decideOne(r, r.Action)
	for _, also := range r.Also {
		if !d.Allowed {
			break
		}
		d = s.decideOne(r, also)
	}
	return d
}

func (s *Set) decideOne(r *Request, action string) Decision {
	e := s.start(r, action)
	e.scan()
	return e.decision()
}

func (s *Set) start(r *Request, action string) evaluation {
	e := evaluation{set: s, request: r, action: lower(action), keys: r.Keys}
	if e.keys == nil {
		e.keys = Context(nil)
	}
	e.cross = r.ResourceAccount != "" && r.ResourceAccount != r.Principal.Account
	return e
}

// bound reports whether SCPs bind the principal: users, roles and root users of member
// accounts, but no service-linked roles.
func (s *Set) bound(p *Principal) bool {
	switch p.Kind {
	case PrincipalService, PrincipalWebIdentity, PrincipalAnonymous:
		return false
	}
	return !p.ManagementAccount && !s.Manages && !strings.Contains(p.RoleARN, ":role/aws-service-role/")
}

// scan evaluates all statements of all layers, in the order in which a Deny is reported.
func (e *evaluation) scan() {
	if e.set.bound(&e.request.Principal) {
		for level, list := range e.set.SCP {
			e.layer(LayerSCP, level+1, list)
		}
	}
	e.layer(e.resourceLayer(), 0, e.set.Resource)
	if e.alone() {
		return
	}
	e.layer(LayerIdentity, 0, e.set.Identity)
	e.layer(LayerBoundary, 0, e.set.Boundary)
	e.layer(LayerSession, 0, e.set.Session)
}

func (e *evaluation) resourceLayer() Layer {
	if e.set.Trust {
		return LayerTrust
	}
	return LayerResource
}

// alone tells that only resource policies count: the principal has no others.
func (e *evaluation) alone() bool {
	switch e.request.Principal.Kind {
	case PrincipalService, PrincipalWebIdentity, PrincipalAnonymous:
		return true
	}
	return false
}

// layer evaluates the statements of one layer; of SCPs, of one level.
func (e *evaluation) layer(layer Layer, level int, list []Policy) {
	if e.denied.found {
		return
	}
	byPrincipal := layer == LayerResource || layer == LayerTrust
	bit := bitOf(layer, level)
	for i := range list {
		if list[i].Document == nil {
			continue
		}
		statements := list[i].Document.Statements
		for j := range statements {
			s := &statements[j]
			if byPrincipal != s.principals.there {
				continue // it names nobody, or stands in a policy whose grammar has no principals
			}
			if byPrincipal {
				n := s.principals.match(&e.request.Principal, s.Deny)
				if n == notNamed {
					continue
				}
				bit = bitAccount << (n - namedAccount)
			}
			if !s.Deny && e.mask&bit != 0 { // allowed already
				continue
			}
			switch s.applies(e) {
			case yes:
				at := hit{layer: layer, level: level, policy: i, statement: j, found: true}
				if s.Deny {
					e.denied = at
					return
				}
				e.allow(bit, at)
			case later:
				e.open = append(e.open, e.residual(s, bit))
			}
		}
	}
}

// bitOf returns the bit of a layer. Those of resource policies depend on the statement.
// Levels beyond the limit have none, so they never allow.
func bitOf(layer Layer, level int) uint64 {
	switch layer {
	case LayerIdentity:
		return bitIdentity
	case LayerBoundary:
		return bitBoundary
	case LayerSession:
		return bitSession
	}
	if level < 1 || level > maxLevels {
		return 0
	}
	return bitSCP << (level - 1)
}

func (e *evaluation) allow(bit uint64, at hit) {
	e.mask |= bit
	for i := range e.allows {
		if bit == 1<<i {
			e.allows[i] = at
		}
	}
}

// applies reports whether a statement applies to a request. broken never comes out.
func (s *Statement) applies(e *evaluation) truth {
	if !s.actions.actions(e.action) || !s.resources.resources(e.request.Resource, e.keys) {
		return no
	}
	result := yes
	for i := range s.conditions {
		switch s.conditions[i].holds(e.keys) {
		case no:
			return no
		case broken:
			if !s.Deny {
				return no
			}
		case later:
			result = later
		}
	}
	return result
}

func (m *matchers) actions(action string) bool {
	for i := range m.list {
		if m.list[i].wild.match(action) {
			return !m.not
		}
	}
	return m.not
}

// resources matches a resource. Trust policies have no Resource: they are about their
// role.
func (m *matchers) resources(resource string, keys Keys) bool {
	if !m.there {
		return true
	}
	for i := range m.list {
		t := &m.list[i]
		if t.wild.form == formAll && t.parts == nil || !wildService(t.text) && t.match(resource, keys) {
			return !m.not
		}
	}
	return m.not
}

// wildService reports whether the service of an ARN pattern has a wildcard: such a
// pattern matches nothing (IAM user guide, "IAM JSON policy elements: Resource").
func wildService(pattern string) bool {
	if !strings.HasPrefix(pattern, "arn:") {
		return false
	}
	_, rest, ok := strings.Cut(pattern[4:], ":")
	service, _, _ := strings.Cut(rest, ":")
	return ok && strings.ContainsAny(service, "*?")
}

// rules are the facts about a request that decide which layers must allow.
type rules struct {
	levels                    int
	alone, root, cross, trust bool
	boundarySet, sessionSet   bool
}

func (e *evaluation) rules() rules {
	p := &e.request.Principal
	r := rules{
		alone: e.alone(), root: p.Kind == PrincipalRoot, cross: e.cross, trust: e.set.Trust,
		boundarySet: e.set.Boundary != nil,
		// A federated user has no rights without a session policy.
		sessionSet: e.set.Session != nil || p.Kind == PrincipalFederated,
	}
	if e.set.bound(p) {
		r.levels = len(e.set.SCP)
	}
	return r
}

// decide decides by the lists that allow, when no statement denies. It returns the layer
// and the bit whose Allow counts; for a denial the layer that does not allow, with the
// level of SCPs.
func (r rules) decide(mask uint64) (allowed bool, by Layer, bit uint64, level int) {
	for i := range r.levels {
		if i >= maxLevels || mask&(bitSCP<<i) == 0 {
			return false, LayerSCP, 0, i + 1
		}
	}
	resource := LayerResource
	if r.trust {
		resource = LayerTrust
	}
	granted := uint64(0) // the strongest
	for _, b := range []uint64{bitAccount, bitRole, bitItself} {
		if mask&b != 0 {
			granted = b
		}
	}
	switch {
	case granted == 0 && (r.alone || r.cross || r.trust):
		return false, resource, 0, 0
	case r.alone, !r.cross && granted == bitItself:
		return true, resource, granted, 0
	case r.root && r.cross:
		return true, resource, granted, 0
	case r.root:
		return true, LayerRoot, 0, 0
	case mask&bitIdentity == 0 && (r.cross || granted != bitRole):
		return false, LayerIdentity, 0, 0
	case r.boundarySet && mask&bitBoundary == 0:
		return false, LayerBoundary, 0, 0
	case r.sessionSet && mask&bitSession == 0:
		return false, LayerSession, 0, 0
	case mask&bitIdentity != 0:
		return true, LayerIdentity, bitIdentity, 0
	}
	return true, resource, granted, 0
}

func (e *evaluation) decision() Decision {
	d := Decision{Action: e.request.Action, CrossAccount: e.cross}
	if e.action != lower(d.Action) {
		for _, also := range e.request.Also {
			if lower(also) == e.action {
				d.Action = also
			}
		}
	}
	if e.denied.found {
		d.Explicit = true
		e.explain(&d, e.denied)
		return d
	}
	var bit uint64
	d.Allowed, d.By, bit, d.Level = e.rules().decide(e.mask)
	if d.Allowed {
		d.Explicit = true
		for i := range e.allows {
			if bit == 1<<i && e.allows[i].found {
				e.explain(&d, e.allows[i])
			}
		}
	}
	return d
}

// explain names the statement that decided.
func (e *evaluation) explain(d *Decision, at hit) {
	d.By, d.Level = at.layer, at.level
	var list []Policy
	switch at.layer {
	case LayerSCP:
		list = e.set.SCP[at.level-1]
	case LayerResource, LayerTrust:
		list = e.set.Resource
	case LayerIdentity:
		list = e.set.Identity
	case LayerBoundary:
		list = e.set.Boundary
	case LayerSession:
		list = e.set.Session
	}
	d.Policy, d.Index, d.Statement = list[at.policy], at.policy+1, at.statement+1
	d.Sid = list[at.policy].Document.Statements[at.statement].Sid
}
