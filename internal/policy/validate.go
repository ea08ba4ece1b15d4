package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Kind is a kind of policy. Each has its own grammar and limits.
type Kind string

// The kinds of policies.
const (
	KindIdentity Kind = "identity" // managed
	KindInline   Kind = "inline"   // in a user, role or group; the sum of theirs is limited
	KindBoundary Kind = "boundary"
	KindSession  Kind = "session"
	KindTrust    Kind = "trust"
	KindSCP      Kind = "scp"
	KindResource Kind = "resource" // of the X-Ray API
)

// Limits of the sizes of policies (IAM user guide, "IAM and AWS STS quotas"; X-Ray API
// model). [Size] counts the characters of IAM's.
const (
	MaxManaged     = 6144
	MaxInlineUser  = 2048 // the sum of all inline policies
	MaxInlineRole  = 10240
	MaxInlineGroup = 5120
	MaxTrust       = 2048
	MaxSession     = 2048    // characters, blanks included
	MaxSCP         = 5120    // bytes
	MaxResource    = 5 << 10 // bytes
)

// Reasons to refuse a policy, as causes of errors with longer messages.
var (
	ErrMalformed = errors.New("malformed policy document")
	ErrTooLarge  = errors.New("policy size limit exceeded")
)

// invalid is a reason to refuse a policy: its text is the message, without the cause.
type invalid struct {
	cause   error
	message string
}

func (e *invalid) Error() string { return e.message }
func (e *invalid) Unwrap() error { return e.cause }

// awsText is a text of AWS's for a refused policy.
type awsText string

// Error returns the text.
func (t awsText) Error() string { return string(t) }

const (
	errActions   awsText = "Policy statement must contain actions."
	errResources awsText = "Policy statement must contain resources."
	errPrincipal awsText = "Policy document should not specify a principal."
	errResource  awsText = "Has prohibited field Resource"
	errUnique    awsText = "Statement IDs (SID) in a single policy must be unique."
	errVendor    awsText = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
	errTrust     awsText = "AssumeRole policy may only specify STS AssumeRole actions."
)

// Size is the size of a policy as IAM counts it: the number of characters without white
// space.
func Size(text string) int {
	n := 0
	for _, r := range text {
		if r != ' ' && r != '\n' && r != '\r' && r != '\t' {
			n++
		}
	}
	return n
}

// Validate compiles a policy that is to be saved. It refuses everything that [Parse]
// refuses, and what AWS refuses when such a policy is saved. The errors wrap ErrMalformed
// or ErrTooLarge and tell where and why.
func Validate(kind Kind, text string) (*Document, error) {
	if err := checkSize(kind, text); err != nil {
		return nil, err
	}
	d, err := Parse(text)
	if err == nil {
		err = d.validate(kind, text)
	}
	if err != nil {
		return nil, &invalid{ErrMalformed, err.Error()}
	}
	return d, nil
}

func checkSize(kind Kind, text string) error {
	size, most, message := Size(text), MaxManaged, ""
	switch kind {
	case KindIdentity, KindBoundary:
		message = "Cannot exceed quota for PolicySize: 6144"
	case KindInline:
		most = MaxInlineRole
	case KindTrust:
		most, message = MaxTrust, "Cannot exceed quota for ACLSizePerRole: 2048"
	case KindSession:
		size, most = len([]rune(text)), MaxSession
	case KindSCP:
		size, most = len(text), MaxSCP
	case KindResource:
		size, most = len(text), MaxResource
	default:
		return fmt.Errorf("there is no kind of policy %q", kind)
	}
	if size <= most {
		return nil
	}
	if message == "" { // not recorded
		message = fmt.Sprintf("the policy has %d characters, the limit is %d", size, most)
	}
	return &invalid{ErrTooLarge, message}
}

// The forms of names in a policy (IAM user guide, "IAM JSON policy elements").
var (
	sidForm       = regexp.MustCompile(`^[A-Za-z0-9]*$`)
	actionForm    = regexp.MustCompile(`^(\*|\*:\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$`)
	partitionForm = regexp.MustCompile(`^[a-z0-9*?-]+$`)
	serviceName   = regexp.MustCompile(`^[a-z0-9-]+$`)
	regionForm    = regexp.MustCompile(`^[a-z0-9*?-]*$`)
	accountForm   = regexp.MustCompile(`^([0-9*?]*|aws|fluoro)$`)
	awsForm       = regexp.MustCompile(`^(\*|[0-9]{12}|A[A-Z0-9]{15,127}|arn:[a-z0-9-]+:iam::[0-9]{12}:(root|(user|role)/[^*?]+)|arn:[a-z0-9-]+:sts::[0-9]{12}:(assumed-role/[^*?]+/[^*?]+|federated-user/[^*?]+))$`)
	serviceForm   = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.[a-z]+)?|amazon\.com|aws\.internal|api\.aws)$`)
	federatedForm = regexp.MustCompile(`^(arn:[a-z0-9-]+:iam::[0-9]{12}:(oidc-provider|saml-provider)/[^*?]+|[a-z0-9-]+(\.[a-z0-9-]+)+(/[^*?]*)?)$`)
	trustAction   = regexp.MustCompile(`(?i)^(\*|sts:(\*|AssumeRole[A-Za-z*?]*|TagSession|SetSourceIdentity|SetContext))$`)
	// ofIAM is the range of characters of IAM's policies (IAM API reference).
	ofIAM = regexp.MustCompile(`^[\t\n\r\x{20}-\x{FF}]*$`)
)

func (d *Document) validate(kind Kind, text string) error {
	if kind != KindResource && kind != KindSCP && !ofIAM.MatchString(text) {
		return fmt.Errorf("the policy has a character outside of U+0020 to U+00FF; write it as \\uXXXX")
	}
	sids := map[string]bool{}
	for i := range d.Statements {
		s := &d.Statements[i]
		err := s.validate(kind)
		switch {
		case err != nil:
		case kind != KindResource && !sidForm.MatchString(s.Sid):
			err = fmt.Errorf("a Sid can have letters and digits only")
		case s.Sid != "" && sids[s.Sid]:
			err = errUnique
		}
		if err != nil {
			return fmt.Errorf("%s: %w", place(i, s.Sid), err)
		}
		sids[s.Sid] = true
	}
	return nil
}

func (s *Statement) validate(kind Kind) error {
	if err := s.validateElements(kind); err != nil {
		return err
	}
	for _, a := range s.actions.list {
		switch {
		case !actionForm.MatchString(a.text) && !strings.Contains(a.text, ":"):
			return fmt.Errorf("the Action %.100q: %w", a.text, errVendor)
		case !actionForm.MatchString(a.text):
			return fmt.Errorf("the Action %.100q is not * or service:operation", a.text)
		case kind == KindTrust && !trustAction.MatchString(a.text):
			return fmt.Errorf("the Action %.100q: %w", a.text, errTrust)
		}
	}
	for i := range s.resources.list {
		if err := checkResource(&s.resources.list[i]); err != nil {
			return err
		}
	}
	for _, n := range s.principals.list {
		if n.kind == "AWS" && !awsForm.MatchString(n.id) || n.kind == "Service" && !serviceForm.MatchString(n.id) || n.kind == "Federated" && !federatedForm.MatchString(n.id) {
			return fmt.Errorf("%.100q is no %s principal", n.id, n.kind)
		}
	}
	for i := range s.conditions {
		if err := s.conditions[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

// validateElements checks which elements a statement has.
func (s *Statement) validateElements(kind Kind) error {
	switch {
	case kind == KindTrust && s.resources.there:
		return errResource
	case kind == KindTrust && s.principals.not && !s.Deny:
		return fmt.Errorf("an Allow with NotPrincipal would include everybody else, unknown callers too")
	case kind == KindTrust && s.actions.not:
		return errTrust
	case kind != KindTrust && kind != KindResource && s.principals.there:
		return errPrincipal
	case kind != KindTrust && !s.resources.there:
		return errResources
	case (kind == KindTrust || kind == KindResource) && !s.principals.there:
		return fmt.Errorf("one of Principal and NotPrincipal is required, and not both")
	}
	return nil
}

// checkResource checks the form of a resource. Variables may stand in every part of an
// ARN except the service.
func checkResource(t *template) error {
	if t.text == "*" {
		return nil
	}
	text := withoutVariables(t)
	parts, ok := splitARN(text)
	switch {
	case t.bad != nil:
		return fmt.Errorf("the Resource %.100q: %w", t.text, t.bad)
	case strings.HasPrefix(t.text, "${") && strings.HasSuffix(t.text, "}"): // the whole ARN
		return nil
	case !ok:
		return awsText(fmt.Sprintf("Resource %.100s must be in ARN format or \"*\".", t.text))
	case !serviceName.MatchString(parts[2]):
		return fmt.Errorf("the Resource %.100q: the service of an ARN must be a name without wildcards", t.text)
	case !partitionForm.MatchString(parts[1]), !regionForm.MatchString(parts[3]), !accountForm.MatchString(parts[4]), parts[5] == "":
		return fmt.Errorf("the Resource %.100q is not * or an ARN", t.text)
	}
	return nil
}

// withoutVariables returns a text with * for each variable.
func withoutVariables(t *template) string {
	if t.parts == nil {
		return t.text
	}
	var b strings.Builder
	for _, p := range t.parts {
		b.WriteString(p.text)
		if p.key != "" || p.literal != "" {
			b.WriteString("*")
		}
	}
	return b.String()
}

// wants says which values an operator needs.
var wants = map[family]string{
	familyNumeric: "number", familyDate: "date (ISO 8601 or seconds since 1970)", familyBinary: "base64 text",
	familyAddress: "IP address or CIDR range", familyARN: "ARN (six parts, the first of them arn)",
}

func (c *condition) validate() error {
	if i := strings.IndexByte(c.written, ':'); i < 1 || i == len(c.written)-1 {
		return fmt.Errorf("condition key %.100q of %s: it must be service:name", c.written, c.name)
	}
	for i := range c.values {
		o := &c.values[i]
		if o.bad != nil {
			return fmt.Errorf("condition key %.100q of %s: %w", c.written, c.name, o.bad)
		}
		if !o.valid {
			return fmt.Errorf("condition key %.100q of %s: %.100q is no %s", c.written, c.name, o.text, wants[c.family])
		}
	}
	return nil
}

// multivalued lists the multivalued keys that Fluoro and AWS's tracing have.
var multivalued = []string{"aws:tagkeys", "aws:calledvia", "aws:principalorgpaths", "logs:loggeneratingresourcearns", "fluoro:group"}

// Warnings returns what is allowed in a policy, but probably not meant.
func (d *Document) Warnings() []string {
	var out []string
	for i := range d.Statements {
		s := &d.Statements[i]
		warn := func(format string, args ...any) {
			out = append(out, place(i, s.Sid)+": "+fmt.Sprintf(format, args...))
		}
		if s.principals.not && s.Deny {
			warn("a Deny with NotPrincipal denies callers that are not completely listed: account, user, and for sessions role and session")
		}
		if s.principals.not && !s.Deny {
			warn("an Allow with NotPrincipal allows everybody else, unknown callers too")
		}
		if s.actions.not && !s.Deny {
			warn("an Allow with NotAction allows all actions of all services that are not listed")
		}
		if d.Version == VersionOld && slices.ContainsFunc(s.resources.list, func(t template) bool { return strings.Contains(t.text, "${") }) {
			warn("policies of version 2008-10-17 have no variables; ${…} is plain text")
		}
		guarded := slices.ContainsFunc(s.conditions, func(c condition) bool { return c.family == familyNull })
		for _, c := range s.conditions {
			several := slices.Contains(multivalued, c.key) || strings.HasPrefix(c.key, laterAnnotation)
			switch {
			case several && c.set == plainForm && c.family != familyNull:
				warn("%s has several values: %s without ForAnyValue or ForAllValues never matches", c.written, c.name)
			case c.set == forAllValues && !s.Deny && !guarded:
				warn("ForAllValues:%s also matches requests without %s; add Null %s=false", c.name, c.written, c.written)
			case c.family == familyString && !c.like && slices.ContainsFunc(c.values, func(o operand) bool {
				return o.parts == nil && o.wild.form != formEscaped && strings.ContainsAny(o.text, "*?")
			}):
				warn("%s compares * and ? literally; StringLike has wildcards", c.name)
			}
		}
	}
	return out
}
