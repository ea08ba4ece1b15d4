package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

// Document is a parsed and validated resource policy (IAM user guide, "Grammar of
// the IAM JSON policy language", for policies with a principal).
type Document struct {
	Statements []Statement
	text       jsonscan.Value
}

// Statement is one statement. Of each pair of lists (with and without Not), one is
// nil.
type Statement struct {
	Sid                     string
	Deny                    bool
	Principals              []Principal
	NotPrincipals           []Principal
	Actions, NotActions     []string
	Resources, NotResources []string
	Conditional             bool
}

// Principal is whom a statement applies to: Kind is AWS, Service, Federated or
// CanonicalUser.
type Principal struct{ Kind, ID string }

// MaxDocument is the maximum size of a policy (X-Ray API model).
const MaxDocument = 5 << 10 // bytes

// Parse parses a policy. The error tells what is wrong with it.
func Parse(text string) (*Document, error) {
	v, err := jsonscan.Parse([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("the policy is not JSON: %w", err)
	}
	m, err := members("the policy", v, "Version", "Id", "Statement")
	if err != nil {
		return nil, err
	}
	if version, there := m["Version"]; there {
		if t := string(version); t != `"2012-10-17"` && t != `"2008-10-17"` {
			return nil, fmt.Errorf("the Version must be 2012-10-17 or 2008-10-17, not %.40s", t)
		}
	}
	if id, there := m["Id"]; there && id.Kind() != jsonscan.String {
		return nil, fmt.Errorf("an Id must be a string")
	}
	d := &Document{text: v}
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
	sids := map[string]bool{}
	for i, v := range list {
		s, err := statement(v)
		if err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		if s.Sid != "" && sids[s.Sid] {
			return nil, fmt.Errorf("statement %d: Sid %q is used twice", i+1, s.Sid)
		}
		sids[s.Sid] = true
		d.Statements = append(d.Statements, *s)
	}
	return d, nil
}

func statement(v jsonscan.Value) (*Statement, error) {
	m, err := members("a statement", v, "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
	if err != nil {
		return nil, err
	}
	s := &Statement{}
	if sid, there := m["Sid"]; there {
		if sid.Kind() != jsonscan.String {
			return nil, fmt.Errorf("a Sid must be a string")
		}
		s.Sid = sid.Text()
	}
	switch string(m["Effect"]) {
	case `"Allow"`:
	case `"Deny"`:
		s.Deny = true
	default:
		return nil, fmt.Errorf("the Effect must be Allow or Deny")
	}
	for _, pair := range []struct {
		name       string
		plain, not *[]string
		form       *regexp.Regexp
		want       string
	}{
		{"Action", &s.Actions, &s.NotActions, actionForm, "* or service:operation"},
		{"Resource", &s.Resources, &s.NotResources, resourceForm, "* or an ARN"},
	} {
		into, value, err := oneOf(m, pair.name, pair.plain, pair.not)
		if err != nil {
			return nil, err
		}
		if *into, err = texts(pair.name, value); err != nil {
			return nil, err
		}
		for _, t := range *into {
			if !pair.form.MatchString(t) {
				return nil, fmt.Errorf("%s %.100q is not %s", pair.name, t, pair.want)
			}
		}
	}
	into, value, err := oneOf(m, "Principal", &s.Principals, &s.NotPrincipals)
	if err != nil {
		return nil, err
	}
	if *into, err = principals(value); err != nil {
		return nil, err
	}
	if c, there := m["Condition"]; there {
		if s.Conditional, err = conditions(c); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// oneOf finds the member with a name, or with Not before the name: exactly one of
// them is required.
func oneOf[T any](m map[string]jsonscan.Value, name string, plain, not *T) (*T, jsonscan.Value, error) {
	a, hasPlain := m[name]
	b, hasNot := m["Not"+name]
	switch {
	case hasPlain == hasNot:
		return nil, nil, fmt.Errorf("one of %s and Not%s is required, and not both", name, name)
	case hasPlain:
		return plain, a, nil
	}
	return not, b, nil
}

// members returns the members of an object. It refuses members that are not allowed,
// and duplicates.
func members(what string, v jsonscan.Value, allowed ...string) (map[string]jsonscan.Value, error) {
	if v.Kind() != jsonscan.Object {
		return nil, fmt.Errorf("%s must be an object", what)
	}
	m := map[string]jsonscan.Value{}
	for name, value := range v.Members() {
		n := jsonscan.Unquote(name)
		if len(allowed) > 0 && !slices.Contains(allowed, n) {
			return nil, fmt.Errorf("%s cannot have a member %.100q", what, n)
		}
		if _, twice := m[n]; twice {
			return nil, fmt.Errorf("%s has %q twice", what, n)
		}
		m[n] = value
	}
	return m, nil
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

// The forms of names in a policy (IAM user guide, "IAM JSON policy elements").
var (
	actionForm   = regexp.MustCompile(`^(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$`)
	resourceForm = regexp.MustCompile(`^(\*|arn:[a-z0-9*?-]+:[a-z0-9*?-]+:[a-z0-9*?-]*:[0-9*?]*:.+)$`)
	awsForm      = regexp.MustCompile(`^(\*|[0-9]{12}|A[A-Z0-9]{15,127}|arn:[a-z0-9-]+:iam::[0-9]{12}:(root|(user|role)/.+)|arn:[a-z0-9-]+:sts::[0-9]{12}:(assumed-role/.+/.+|federated-user/.+))$`)
	serviceForm  = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.[a-z]+)?|amazon\.com|aws\.internal|api\.aws)$`)
	conditionKey = regexp.MustCompile(`^[A-Za-z0-9-]+:.+$`)
	operatorForm = regexp.MustCompile(`(?i)^(ForAllValues:|ForAnyValue:)?(String(Not)?(Equals|EqualsIgnoreCase|Like)|Numeric(Not)?Equals|Numeric(Less|Greater)Than(Equals)?|Date(Not)?Equals|Date(Less|Greater)Than(Equals)?|Bool|BinaryEquals|(Not)?IpAddress|Arn(Not)?(Equals|Like))(IfExists)?$`)
)

func principals(v jsonscan.Value) ([]Principal, error) {
	if string(v) == `"*"` {
		return []Principal{{"AWS", "*"}}, nil
	}
	m, err := members("Principal", v, "AWS", "Service", "Federated", "CanonicalUser")
	if err != nil {
		return nil, err
	}
	var out []Principal
	for _, kind := range []string{"AWS", "Service", "Federated", "CanonicalUser"} {
		value, there := m[kind]
		if !there {
			continue
		}
		ids, err := texts("Principal "+kind, value)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if kind == "AWS" && !awsForm.MatchString(id) || kind == "Service" && !serviceForm.MatchString(id) {
				return nil, fmt.Errorf("%.100q is no %s principal", id, kind)
			}
			out = append(out, Principal{kind, id})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the Principal is empty")
	}
	return out, nil
}

// conditions validates a Condition and reports whether it contains any.
func conditions(v jsonscan.Value) (bool, error) {
	operators, err := members("Condition", v)
	if err != nil {
		return false, err
	}
	for operator, block := range operators {
		if !operatorForm.MatchString(operator) && !strings.EqualFold(operator, "Null") {
			return false, fmt.Errorf("there is no condition operator %.100q", operator)
		}
		keys, err := members("Condition "+operator, block)
		if err != nil {
			return false, err
		}
		for key, value := range keys {
			if !conditionKey.MatchString(key) {
				return false, fmt.Errorf("condition key %.100q must be service:name", key)
			}
			if err := conditionValues(value); err != nil {
				return false, fmt.Errorf("condition key %.100q: %w", key, err)
			}
		}
	}
	return len(operators) > 0, nil
}

func conditionValues(v jsonscan.Value) error {
	scalar := func(v jsonscan.Value) bool {
		k := v.Kind()
		return k == jsonscan.String || k == jsonscan.Number || k == jsonscan.Bool
	}
	if v.Kind() == jsonscan.Array {
		for e := range v.Elements() {
			if !scalar(e) {
				return fmt.Errorf("values must be strings, numbers or booleans")
			}
		}
		return nil
	}
	if !scalar(v) {
		return fmt.Errorf("a value must be a string, a number, a boolean or a list of them")
	}
	return nil
}

// String returns the policy as the service shows it: unchanged, except that a list
// with one action becomes that action.
func (d *Document) String() string {
	statement := func(dst []byte, v jsonscan.Value) []byte {
		return object(dst, v, func(dst []byte, name string, value jsonscan.Value) []byte {
			if name == "Action" && value.Kind() == jsonscan.Array {
				if list := slices.Collect(value.Elements()); len(list) == 1 {
					value = list[0]
				}
			}
			return append(dst, value...)
		})
	}
	return string(object(nil, d.text, func(dst []byte, name string, value jsonscan.Value) []byte {
		switch {
		case name != "Statement":
			return append(dst, value...)
		case value.Kind() == jsonscan.Object:
			return statement(dst, value)
		}
		dst = append(dst, '[')
		for v := range value.Elements() {
			if dst[len(dst)-1] != '[' {
				dst = append(dst, ',')
			}
			dst = statement(dst, v)
		}
		return append(dst, ']')
	}))
}

// object appends an object; f appends each value.
func object(dst []byte, v jsonscan.Value, f func(dst []byte, name string, value jsonscan.Value) []byte) []byte {
	dst = append(dst, '{')
	first := true
	for name, value := range v.Members() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, '"'), name...), '"', ':')
		dst = f(dst, jsonscan.Unquote(name), value)
	}
	return append(dst, '}')
}
