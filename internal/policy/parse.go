package policy

import (
	"cmp"
	"fmt"
	"iter"
	"regexp"
	"slices"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

// Document is a policy, compiled for decisions (IAM user guide, "Grammar of the IAM JSON
// policy language"). It does not change; many goroutines may use it.
type Document struct {
	// Version is 2012-10-17 or 2008-10-17; policies without a version have the latter.
	Version    string
	Statements []Statement
	later      bool // about segments
}

// The versions of the policy language. Only the newer one has variables.
const (
	VersionOld = "2008-10-17"
	Version    = "2012-10-17"
)

// Statement is one statement of a policy.
type Statement struct {
	Sid        string
	Deny       bool
	principals principals
	actions    matchers // patterns in lower case
	resources  matchers // absent from trust policies
	conditions []condition
	later      bool
}

// matchers is a list of patterns, of an element such as Action or NotAction.
type matchers struct {
	there, not bool
	list       []template
}

// Unconditional reports whether a statement has no conditions.
func (s *Statement) Unconditional() bool { return len(s.conditions) == 0 }

// Principals returns the statement's principals as "AWS ID", "Service ID" and so on, and
// whether they are the exceptions of a NotPrincipal.
func (s *Statement) Principals() (list []string, not bool) {
	for _, n := range s.principals.list {
		list = append(list, n.kind+" "+n.id)
	}
	return list, s.principals.not
}

// Parse compiles a policy of any kind. It refuses only texts that are not in the grammar;
// [Validate] refuses everything that must not be saved. The error tells what is wrong and
// in which statement.
func Parse(text string) (*Document, error) {
	v, err := jsonscan.Parse([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("the policy is not JSON: %w", err)
	}
	m, err := members("the policy", v, "Version", "Id", "Statement")
	if err != nil {
		return nil, err
	}
	d := &Document{Version: VersionOld}
	if version, there := m["Version"]; there {
		if d.Version = version.Text(); version.Kind() != jsonscan.String || d.Version != Version && d.Version != VersionOld {
			return nil, fmt.Errorf("the Version must be 2012-10-17 or 2008-10-17, not %.40s", version)
		}
	}
	if id, there := m["Id"]; there && id.Kind() != jsonscan.String {
		return nil, fmt.Errorf("an Id must be a string")
	}
	list := []jsonscan.Value{}
	switch s := m["Statement"]; s.Kind() {
	case jsonscan.Object:
		list = append(list, s)
	case jsonscan.Array:
		list = slices.AppendSeq(list, s.Elements())
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("the Statement must be a statement or a list of at least one")
	}
	for i, v := range list {
		s, err := parseStatement(v, d.Version == Version)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place(i, s.Sid), err)
		}
		d.Statements = append(d.Statements, s)
		d.later = d.later || s.later
	}
	return d, nil
}

// place names a statement, counted from 1.
func place(i int, sid string) string {
	if sid == "" {
		return fmt.Sprintf("statement %d", i+1)
	}
	return fmt.Sprintf("statement %d (Sid %.64q)", i+1, sid)
}

func parseStatement(v jsonscan.Value, variables bool) (s Statement, err error) {
	m, err := members("a statement", v, "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
	if err != nil {
		return s, err
	}
	if sid, there := m["Sid"]; there {
		if sid.Kind() != jsonscan.String {
			return s, fmt.Errorf("a Sid must be a string")
		}
		s.Sid = sid.Text()
	}
	effect := m["Effect"].Text()
	if s.Deny = effect == "Deny"; m["Effect"].Kind() != jsonscan.String || !s.Deny && effect != "Allow" {
		return s, fmt.Errorf("the Effect must be Allow or Deny")
	}
	if s.actions, err = parseMatchers(m, "Action", false); err != nil {
		return s, err
	}
	if !s.actions.there {
		return s, errActions
	}
	for i, a := range s.actions.list {
		s.actions.list[i].wild = newPattern(lower(a.text))
	}
	if s.resources, err = parseMatchers(m, "Resource", variables); err != nil {
		return s, err
	}
	if s.principals, err = parsePrincipals(m); err != nil {
		return s, err
	}
	if c, there := m["Condition"]; there {
		if s.conditions, err = parseConditions(c, variables); err != nil {
			return s, err
		}
	}
	s.later = slices.ContainsFunc(s.conditions, func(c condition) bool { return c.later })
	return s, nil
}

// oneOf finds the element with a name, or with Not before the name. A statement cannot
// have both.
func oneOf(m map[string]jsonscan.Value, name string) (v jsonscan.Value, there, not bool, err error) {
	a, plain := m[name]
	b, not := m["Not"+name]
	switch {
	case plain && not:
		return nil, true, true, fmt.Errorf("one of %s and Not%s is required, and not both", name, name)
	case not:
		return b, true, true, nil
	}
	return a, plain, false, nil
}

func parseMatchers(m map[string]jsonscan.Value, name string, variables bool) (out matchers, err error) {
	v, there, not, err := oneOf(m, name)
	if err != nil || !there {
		return out, err
	}
	list, err := texts(name, v)
	if err != nil {
		return out, err
	}
	out.there, out.not = true, not
	for _, text := range list {
		out.list = append(out.list, newTemplate(text, variables))
	}
	return out, nil
}

// members returns the members of an object. It refuses members that are not allowed,
// and duplicates: parsers disagree about which of two counts.
func members(what string, v jsonscan.Value, allowed ...string) (map[string]jsonscan.Value, error) {
	if v.Kind() != jsonscan.Object {
		return nil, fmt.Errorf("%s must be an object", what)
	}
	m := map[string]jsonscan.Value{}
	for name, value := range ordered(v) {
		if len(allowed) > 0 && !slices.Contains(allowed, name) {
			return nil, fmt.Errorf("%s cannot have a member %.100q", what, name)
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("%s has %.100q twice", what, name)
		}
		m[name] = value
	}
	return m, nil
}

// ordered yields the members of an object in their order, with unquoted names.
func ordered(v jsonscan.Value) iter.Seq2[string, jsonscan.Value] {
	return func(yield func(string, jsonscan.Value) bool) {
		for name, value := range v.Members() {
			if !yield(jsonscan.Unquote(name), value) {
				return
			}
		}
	}
}

// texts reads a string or a non-empty list of strings.
func texts(what string, v jsonscan.Value) ([]string, error) {
	var out []string
	switch v.Kind() {
	case jsonscan.String:
		out = []string{v.Text()}
	case jsonscan.Array:
		for e := range v.Elements() {
			if e.Kind() != jsonscan.String {
				return nil, fmt.Errorf("%s must hold strings only", what)
			}
			out = append(out, e.Text())
		}
	}
	if len(out) == 0 || slices.Contains(out, "") {
		return nil, fmt.Errorf("%s must be a string or a list of them, none empty", what)
	}
	return out, nil
}

// parsePrincipals reads the Principal or NotPrincipal of a statement.
func parsePrincipals(m map[string]jsonscan.Value) (out principals, err error) {
	v, there, not, err := oneOf(m, "Principal")
	if err != nil || !there {
		return out, err
	}
	out.there, out.not = true, not
	if v.Kind() == jsonscan.String && v.Text() == "*" {
		out.list = []named{{"AWS", "*"}}
		return out, nil
	}
	kinds, err := members("Principal", v, "AWS", "Service", "Federated", "CanonicalUser")
	if err != nil {
		return out, err
	}
	for _, kind := range []string{"AWS", "Service", "Federated", "CanonicalUser"} {
		value, there := kinds[kind]
		if !there {
			continue
		}
		ids, err := texts("Principal "+kind, value)
		if err != nil {
			return out, err
		}
		for _, id := range ids {
			out.list = append(out.list, named{kind, id})
		}
	}
	if len(out.list) == 0 {
		return out, fmt.Errorf("the Principal is empty")
	}
	return out, nil
}

// operatorForm splits the name of a condition operator.
var operatorForm = regexp.MustCompile(`(?i)^(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?$`)

// parseConditions reads a Condition.
func parseConditions(v jsonscan.Value, variables bool) (out []condition, err error) {
	if _, err := members("Condition", v); err != nil {
		return nil, err
	}
	for name, block := range ordered(v) {
		parts := operatorForm.FindStringSubmatch(name)
		if parts == nil || operators[lower(parts[2])] == nil {
			return nil, fmt.Errorf("there is no condition operator %.100q", name)
		}
		c := condition{operator: operators[lower(parts[2])], ifExists: parts[3] != ""}
		switch lower(parts[1]) {
		case "forallvalues":
			c.set = forAllValues
		case "foranyvalue":
			c.set = forAnyValue
		}
		if c.family == familyNull && (c.ifExists || c.set != plainForm) {
			return nil, fmt.Errorf("there is no condition operator %.100q", name)
		}
		if _, err := members("Condition "+name, block); err != nil {
			return nil, err
		}
		for key, value := range ordered(block) {
			c, err := c.with(key, value, variables)
			if err != nil {
				return nil, fmt.Errorf("condition key %.100q of %s: %w", key, name, err)
			}
			out = append(out, c)
		}
	}
	// All must hold, so those that are compared faster come first.
	slices.SortStableFunc(out, func(a, b condition) int { return cmp.Compare(a.cost(), b.cost()) })
	return out, nil
}

// with returns the condition with a key and its values.
func (c condition) with(key string, v jsonscan.Value, variables bool) (condition, error) {
	c.key, c.written, c.values = keyName(key), key, nil
	c.later = isLater(c.key)
	list := []jsonscan.Value{v}
	if v.Kind() == jsonscan.Array {
		list = slices.Collect(v.Elements())
	}
	for _, e := range list {
		text := string(e) // of numbers and booleans
		switch e.Kind() {
		case jsonscan.String:
			text = e.Text()
		case jsonscan.Number, jsonscan.Bool:
		default:
			return c, fmt.Errorf("a value must be a string, a number, a boolean or a list of them")
		}
		o := newOperand(c.operator, text, variables)
		c.values = append(c.values, o)
		c.later = c.later || o.later()
	}
	return c, nil
}
