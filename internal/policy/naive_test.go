package policy

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
)

// naive is a second evaluator, written for clarity only, from the same reference as
// Decide: it compiles nothing, shares no code with it, and reads documents as
// encoding/json gives them. Differential tests compare both.
type naive struct {
	account, owner     string // of the caller, of the resource
	arn, role, service string
	root, management   bool
	action, resource   string
	context            map[string]any // by lower-case key: string or []string
}

type statement = map[string]any

func list(v any) (out []string) {
	switch x := v.(type) {
	case string:
		return []string{x}
	case []any:
		for _, e := range x {
			out = append(out, e.(string))
		}
	}
	return out
}

// wild matches with a regular expression over UTF-16 units. A surrogate becomes a rune in a
// private range.
func wild(pattern, text string, literal map[int]bool) bool {
	units := func(s string) string {
		var b strings.Builder
		for _, u := range utf16.Encode([]rune(s)) {
			if u >= 0xD800 && u < 0xE000 {
				b.WriteRune(rune(u) + 0x100000)
			} else {
				b.WriteRune(rune(u))
			}
		}
		return b.String()
	}
	var re strings.Builder
	for i, r := range pattern {
		switch {
		case r == '*' && !literal[i]:
			re.WriteString(`.*`)
		case r == '?' && !literal[i]:
			re.WriteString(`.`)
		default:
			re.WriteString(regexp.QuoteMeta(units(string(r))))
		}
	}
	return regexp.MustCompile(`(?s)^` + re.String() + `$`).MatchString(units(text))
}

var variableForm = regexp.MustCompile(`\$\{([^}]*)\}`)

// expanded replaces variables. It returns the text, the places of characters that are not
// wildcards, and whether all variables have values.
func (n *naive) expanded(text, version string) (string, map[int]bool, bool) {
	literal := map[int]bool{}
	if version != "2012-10-17" {
		return text, literal, true
	}
	out, last, ok := "", 0, true
	for _, m := range variableForm.FindAllStringSubmatchIndex(text, -1) {
		out += text[last:m[0]]
		last = m[1]
		inside := text[m[2]:m[3]]
		value := inside
		if inside != "*" && inside != "?" && inside != "$" {
			name, fallback, has := strings.Cut(inside, ",")
			v, single := n.context[strings.ToLower(strings.TrimSpace(name))].(string)
			switch {
			case single:
				value = v
			case has:
				value = strings.Trim(strings.TrimSpace(fallback), "'")
			default:
				ok = false
			}
		}
		for i := range value {
			literal[len(out)+i] = true
		}
		out += value
	}
	return out + text[last:], literal, ok
}

func (n *naive) resourceMatches(s statement, version string) bool {
	patterns, not := s["Resource"], false
	if patterns == nil {
		patterns, not = s["NotResource"], true
	}
	for _, p := range list(patterns) {
		text, literal, ok := n.expanded(p, version)
		if parts := strings.Split(p, ":"); strings.HasPrefix(p, "arn:") && len(parts) > 3 && strings.ContainsAny(parts[2], "*?") {
			ok = false
		}
		if ok && wild(text, n.resource, literal) {
			return !not
		}
	}
	return not
}

func (n *naive) actionMatches(s statement) bool {
	patterns, not := s["Action"], false
	if patterns == nil {
		patterns, not = s["NotAction"], true
	}
	for _, p := range list(patterns) {
		if wild(strings.ToLower(p), strings.ToLower(n.action), nil) {
			return !not
		}
	}
	return not
}

// condition returns 1 for true, 0 for false, -1 for a value that cannot be compared.
func (n *naive) condition(operator, key string, values []string, version string) int {
	set, base, prefixed := strings.Cut(operator, ":")
	if !prefixed {
		set, base = "", operator
	}
	base, ifExists := strings.CutSuffix(base, "IfExists")
	negated := strings.Contains(base, "Not")
	base = strings.Replace(base, "Not", "", 1)
	value := n.context[strings.ToLower(key)]
	if l, ok := value.([]string); ok && len(l) == 0 {
		value = nil
	}
	truth := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	if base == "Null" || operator == "Null" {
		for _, v := range values {
			if strings.EqualFold(v, "true") == (value == nil) {
				return 1
			}
		}
		return 0
	}
	test := func(v string) int {
		for _, p := range values {
			switch n.compare(base, v, p, version) {
			case 1:
				return truth(!negated)
			case -1:
				return -1
			}
		}
		return truth(negated)
	}
	switch x := value.(type) {
	case nil:
		return truth(ifExists || set == "ForAllValues" || set == "" && negated)
	case string:
		return test(x)
	case []string:
		if set == "" {
			return 0
		}
		for _, v := range x {
			switch t := test(v); {
			case t < 0:
				return -1
			case t == 0 && set == "ForAllValues":
				return 0
			case t == 1 && set == "ForAnyValue":
				return 1
			}
		}
		return truth(set == "ForAllValues")
	}
	panic("a value of a strange type")
}

func (n *naive) compare(base, have, want, version string) int {
	truth := map[bool]int{true: 1, false: 0}
	expanded, literal, ok := n.expanded(want, version)
	switch base {
	case "StringEquals":
		return truth[ok && have == expanded]
	case "StringEqualsIgnoreCase":
		folded := func(s string) string { return strings.Map(unicode.ToLower, s) }
		return truth[ok && folded(have) == folded(expanded)]
	case "StringLike":
		return truth[ok && wild(expanded, have, literal)]
	case "ArnEquals", "ArnLike":
		if !ok {
			return 0
		}
		p, h := strings.SplitN(expanded, ":", 6), strings.SplitN(have, ":", 6)
		if len(p) < 6 || p[0] != "arn" {
			return -1
		}
		if len(h) < 6 || h[0] != "arn" {
			return 0
		}
		at := 0
		for i := range p {
			marks := map[int]bool{}
			for j := range p[i] {
				marks[j] = literal[at+j]
			}
			if !wild(p[i], h[i], marks) {
				return 0
			}
			at += len(p[i]) + 1
		}
		return 1
	case "Bool":
		return truth[strings.EqualFold(have, "true") == strings.EqualFold(want, "true")]
	case "BinaryEquals":
		a, e1 := base64.StdEncoding.DecodeString(have)
		b, e2 := base64.StdEncoding.DecodeString(want)
		return truth[e1 == nil && e2 == nil && string(a) == string(b)]
	case "IpAddress":
		p, err := netip.ParsePrefix(want)
		if err != nil {
			a, err := netip.ParseAddr(want)
			if err != nil {
				return 0
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		a, err := netip.ParseAddr(have)
		return truth[err == nil && p.Masked().Contains(a)]
	}
	order, ok := naiveOrder(base, have, want)
	base = strings.TrimPrefix(strings.TrimPrefix(base, "Numeric"), "Date")
	return truth[ok && map[string]bool{
		"Equals": order == 0, "LessThan": order < 0, "LessThanEquals": order <= 0, "GreaterThan": order > 0, "GreaterThanEquals": order >= 0,
	}[base]]
}

var numberForm = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$`)

func naiveOrder(base, have, want string) (int, bool) {
	if strings.HasPrefix(base, "Numeric") {
		if !numberForm.MatchString(have) || !numberForm.MatchString(want) {
			return 0, false
		}
		a, _ := new(big.Rat).SetString(strings.TrimSuffix(have, "."))
		b, _ := new(big.Rat).SetString(strings.TrimSuffix(want, "."))
		return a.Cmp(b), true
	}
	date := func(s string) (int64, bool) {
		if regexp.MustCompile(`^[+-]?\d+\.?\d*$`).MatchString(s) {
			f, _ := new(big.Rat).SetString(strings.TrimSuffix(s, "."))
			f.Mul(f, big.NewRat(1000, 1))
			return new(big.Int).Quo(f.Num(), f.Denom()).Int64(), true
		}
		for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02"} {
			if t, err := time.Parse(form, s); err == nil {
				return t.UnixMilli(), true
			}
		}
		return 0, false
	}
	a, ok1 := date(have)
	b, ok2 := date(want)
	return int(max(-1, min(1, a-b))), ok1 && ok2
}

// applies reports whether a statement applies, its principals aside.
func (n *naive) applies(s statement, version string) bool {
	if !n.actionMatches(s) || !n.resourceMatches(s, version) {
		return false
	}
	broken := false
	conditions, _ := s["Condition"].(map[string]any)
	for operator, block := range conditions {
		for key, values := range block.(map[string]any) {
			switch n.condition(operator, key, list(values), version) {
			case 0:
				return false
			case -1:
				broken = true
			}
		}
	}
	return !broken || s["Effect"] == "Deny"
}

// names returns how a Principal names the caller: "", account, role or itself.
func (n *naive) names(s statement) string {
	match := func(kind, id string) string {
		switch {
		case kind == "Service" && n.service != "" && id == n.service, kind == "AWS" && id == "*":
			return "itself"
		case kind != "AWS" || n.service != "":
			return ""
		case id == n.arn:
			return "itself"
		case id == n.role && id != "":
			return "role"
		case id == n.account || id == "arn:aws:iam::"+n.account+":root":
			return "account"
		}
		return ""
	}
	each := func(v any) (found map[string]bool) {
		found = map[string]bool{}
		if v == "*" {
			found["itself"] = true
		}
		m, _ := v.(map[string]any)
		for kind, ids := range m {
			for _, id := range list(ids) {
				found[match(kind, id)] = true
			}
		}
		return found
	}
	if v, there := s["Principal"]; there {
		found := each(v)
		for _, how := range []string{"itself", "role", "account"} {
			if found[how] {
				return how
			}
		}
		return ""
	}
	v, there := s["NotPrincipal"]
	found := each(v)
	if v == "*" {
		return ""
	}
	all := found["itself"] && (found["account"] || n.service != "") && (found["role"] || n.role == "")
	if n.root {
		all = found["itself"] || found["account"]
	}
	some := found["itself"] || found["account"] || found["role"]
	if !there || s["Effect"] == "Deny" && all || s["Effect"] == "Allow" && some {
		return ""
	}
	return "itself"
}

// scan returns whether a list of documents denies, and how it allows.
func (n *naive) scan(documents []json.RawMessage, resource bool) (denies bool, allows map[string]bool) {
	allows = map[string]bool{}
	for _, text := range documents {
		var d struct {
			Version   string
			Statement []statement
		}
		if err := json.Unmarshal(text, &d); err != nil {
			panic(err)
		}
		for _, s := range d.Statement {
			how := "yes"
			if resource {
				how = n.names(s)
			}
			if how == "" || !n.applies(s, d.Version) {
				continue
			}
			if s["Effect"] == "Deny" {
				denies = true
			} else {
				allows[how] = true
			}
		}
	}
	return denies, allows
}

// decide returns the decision, "allow", "deny" or "DENY", and the layer.
func (n *naive) decide(c *Case) (string, string) {
	p := &c.Policies
	lone := n.service != ""
	bound := !lone && !n.management
	for _, level := range p.SCP {
		if d, _ := n.scan(level, false); bound && d {
			return "DENY", "scp"
		}
	}
	denies, granted := n.scan(p.Resource, true)
	if denies {
		return "DENY", "resource"
	}
	identity := map[string]bool{}
	limits := []struct {
		name   string
		list   []json.RawMessage
		allows bool
	}{{"boundary", p.Boundary, false}, {"session", p.Session, false}}
	if !lone {
		if denies, identity = n.scan(p.Identity, false); denies {
			return "DENY", "identity"
		}
		for i := range limits {
			d, a := n.scan(limits[i].list, false)
			if d {
				return "DENY", limits[i].name
			}
			limits[i].allows = a["yes"]
		}
	}
	for _, level := range p.SCP {
		if _, a := n.scan(level, false); bound && !a["yes"] {
			return "deny", "scp"
		}
	}
	named := granted["itself"] || granted["role"] || granted["account"]
	cross := n.account != n.owner
	switch {
	case lone && named:
		return "allow", "resource"
	case lone, cross && !named:
		return "deny", "resource"
	case !cross && granted["itself"]:
		return "allow", "resource"
	case n.root && cross:
		return "allow", "resource"
	case n.root:
		return "allow", "root"
	case !identity["yes"] && (cross || !granted["role"]):
		return "deny", "identity"
	}
	for _, l := range limits {
		if l.list != nil && !l.allows {
			return "deny", l.name
		}
	}
	if identity["yes"] {
		return "allow", "identity"
	}
	return "allow", "resource"
}
