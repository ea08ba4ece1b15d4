package policy

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

// CasesFormat is the format of files of decision cases.
const CasesFormat = "fluoro-iam-cases/1"

// Case is a decision case: policies and a request.
type Case struct {
	ID       string
	Policies struct {
		Identity, Boundary, Session, Resource []json.RawMessage
		SCP                                   [][]json.RawMessage
	}
	Request  CaseRequest
	Expected *Expected
}

// CaseRequest is the request of a case. Context has all condition keys: a list is a
// multivalued key, null is an absent one.
type CaseRequest struct {
	Principal       CasePrincipal
	Action          string
	Resource        string
	ResourceAccount string
	Context         map[string]json.RawMessage
	Also            []string
}

// CasePrincipal is the principal of a case. The role of a session is RoleARN or Role if
// given, else the value of aws:PrincipalArn, else made from the session's ARN.
type CasePrincipal struct {
	Type, ARN, RoleARN, Role, Account, Service string
	ManagementAccount                          bool
}

// Expected is the expected decision of a case: Decision is allow or deny, Kind explicit
// or implicit, By a layer. Empty members are not compared.
type Expected struct{ Decision, Kind, By string }

// ParseCases reads a file of cases: an object with the format and the list, or the list
// alone.
func ParseCases(text []byte) ([]Case, error) {
	v, err := jsonscan.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the file is not JSON: %w", err)
	}
	if v.Kind() == jsonscan.Object {
		if f := v.Get("format"); f != nil && f.Text() != CasesFormat {
			return nil, fmt.Errorf("the format must be %s, not %.60s", CasesFormat, f)
		}
		v = v.Get("cases")
	}
	if v.Kind() != jsonscan.Array {
		return nil, fmt.Errorf("the file has no list of cases")
	}
	var out []Case
	for e := range v.Elements() {
		var c Case
		if err := json.Unmarshal(e, &c); err != nil {
			return nil, fmt.Errorf("case %d (%.64s): %w", len(out)+1, c.ID, err)
		}
		if c.ID == "" || strings.ContainsAny(c.ID, " \n\r\t") {
			return nil, fmt.Errorf("case %d: the id %.64q is empty or has blanks", len(out)+1, c.ID)
		}
		out = append(out, c)
	}
	return out, nil
}

// Decide decides a case. An error names the policy or member that cannot be read; the
// request is denied then, by the layer of the policy.
func (c *Case) Decide() (Decision, error) {
	set, by, err := c.set()
	if err != nil {
		return Decision{By: by}, err
	}
	r, err := c.Request.request()
	if err != nil {
		return Decision{}, err
	}
	return set.Decide(r), nil
}

func (c *Case) set() (s *Set, by Layer, err error) {
	s = &Set{}
	for _, l := range []struct {
		by   Layer
		from []json.RawMessage
		to   *[]Policy
	}{
		{LayerIdentity, c.Policies.Identity, &s.Identity}, {LayerBoundary, c.Policies.Boundary, &s.Boundary},
		{LayerSession, c.Policies.Session, &s.Session}, {LayerResource, c.Policies.Resource, &s.Resource},
	} {
		if *l.to, err = documents(string(l.by), l.from); err != nil {
			return nil, l.by, err
		}
	}
	for i, level := range c.Policies.SCP {
		list, err := documents(fmt.Sprintf("scp level %d", i+1), level)
		if err != nil {
			return nil, LayerSCP, err
		}
		s.SCP = append(s.SCP, list)
	}
	return s, "", nil
}

// documents parses policies. Nil stays nil: such a layer is not set.
func documents(layer string, from []json.RawMessage) ([]Policy, error) {
	if from == nil {
		return nil, nil
	}
	out := []Policy{}
	for i, text := range from {
		d, err := Parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s policy %d is malformed: %w", layer, i+1, err)
		}
		out = append(out, Policy{Document: d})
	}
	return out, nil
}

func (q *CaseRequest) request() (*Request, error) {
	keys := Context{}
	for name, raw := range q.Context {
		v, err := caseValue(jsonscan.Value(raw))
		if err != nil {
			return nil, fmt.Errorf("context key %.100q: %w", name, err)
		}
		keys.Set(name, v)
	}
	role := q.Principal.RoleARN
	if role == "" && strings.HasPrefix(q.Principal.Role, "arn:") {
		role = q.Principal.Role
	}
	if arn := keys.Key("aws:principalarn"); role == "" && strings.Contains(arn.one, ":role/") {
		role = arn.one
	}
	p := PrincipalOf(q.Principal.ARN, role)
	p.ManagementAccount = q.Principal.ManagementAccount
	if q.Principal.Account != "" {
		p.Account = q.Principal.Account
	}
	p.ID = keys.Key("aws:userid").one
	switch kind := PrincipalKind(q.Principal.Type); {
	case q.Principal.Service != "":
		p.Kind, p.Service = PrincipalService, q.Principal.Service
	case kind == PrincipalRoot, kind == PrincipalAnonymous, kind == PrincipalFederated, kind == PrincipalService, p.ARN == "" && kind == PrincipalUser:
		p.Kind = kind
	}
	return &Request{Principal: p, Action: q.Action, Resource: q.Resource, ResourceAccount: q.ResourceAccount, Keys: keys, Also: q.Also}, nil
}

// PrincipalOf describes the principal with an ARN. roleARN is the role of a session with
// its path; "" derives it without a path.
func PrincipalOf(arn, roleARN string) Principal {
	p := Principal{ARN: arn, Kind: PrincipalUser}
	parts, ok := splitARN(arn)
	if !ok {
		if arn == "" {
			p.Kind = PrincipalAnonymous
		}
		return p
	}
	p.Account = parts[4]
	kind, name, _ := strings.Cut(parts[5], "/")
	switch {
	case parts[2] == "sts" && kind == "assumed-role":
		name, _, _ = strings.Cut(name, "/")
		p.Kind, p.RoleARN = PrincipalSession, "arn:"+parts[1]+":iam::"+parts[4]+":role/"+name
		if roleARN != "" {
			p.RoleARN = roleARN
		}
	case parts[2] == "sts" && kind == "federated-user":
		p.Kind = PrincipalFederated
	case parts[2] == "iam" && kind == "role": // a role without a session
		p.Kind, p.RoleARN, p.ARN = PrincipalSession, arn, ""
	case kind == "root":
		p.Kind = PrincipalRoot
	}
	return p
}

// caseValue converts the value of a context key.
func caseValue(v jsonscan.Value) (Value, error) {
	switch v.Kind() {
	case jsonscan.Null:
		return Value{}, nil
	case jsonscan.Array:
		var list []string
		for e := range v.Elements() {
			one, err := caseValue(e)
			if err != nil || one.state != single {
				return Value{}, fmt.Errorf("a list can hold strings, numbers and booleans only")
			}
			list = append(list, one.one)
		}
		return Several(list...), nil
	case jsonscan.String:
		return Single(v.Text()), nil
	case jsonscan.Number, jsonscan.Bool:
		return Single(string(v)), nil
	}
	return Value{}, fmt.Errorf("a value must be a string, a number, a boolean or a list of them")
}

// Differs returns how a decision differs from the expected one, "" if it does not.
func (e *Expected) Differs(d Decision) string {
	var out []string
	for _, m := range []struct{ name, want, got string }{
		{"decision", e.Decision, d.Word()}, {"kind", e.Kind, d.Kind()}, {"by", e.By, string(d.By)},
	} {
		if m.want != "" && m.want != m.got {
			out = append(out, fmt.Sprintf("%s is %s, expected %s", m.name, m.got, m.want))
		}
	}
	return strings.Join(out, "; ")
}

// Word is allow or deny.
func (d Decision) Word() string {
	if d.Allowed {
		return "allow"
	}
	return "deny"
}

// Kind is explicit if a statement decided, implicit if none allowed.
func (d Decision) Kind() string {
	if d.Explicit {
		return "explicit"
	}
	return "implicit"
}
