package policy

import (
	"fmt"
	"slices"
	"strings"
)

// template is a text of a policy that may contain policy variables (IAM user guide,
// "IAM policy elements: Variables and tags"). Without variables, plain and wild are
// ready to be compared.
type template struct {
	text  string  // as written
	plain string  // the text with escapes resolved, for comparisons without wildcards
	wild  pattern // for comparisons with wildcards
	parts []part  // nil without variables
	bad   error   // why a variable cannot be read; the text is literal then
}

// part is a piece of a template.
type part struct {
	text     string // in which * and ? are wildcards
	literal  string // in which they are not
	key      string // name of a condition key in lower case; "" for none
	fallback string // the value if the key is absent
	hasDef   bool
}

// newTemplate compiles a text. Policies of the old version have no variables: there $
// and braces are characters like others.
func newTemplate(text string, variables bool) template {
	t := template{text: text, plain: text, wild: newPattern(text)}
	if !variables || !strings.Contains(text, "${") {
		return t
	}
	var parts []part
	if parts, t.bad = splitVariables(text); t.bad != nil {
		return t
	}
	if !slices.ContainsFunc(parts, func(p part) bool { return p.key != "" }) {
		t.fix(parts)
		return t
	}
	return template{text: text, parts: parts}
}

// fix sets the compared forms of a template whose parts have no variables.
func (t *template) fix(parts []part) {
	var plain strings.Builder
	var tokens []token
	escaped := false
	for _, p := range parts {
		plain.WriteString(p.text + p.literal)
		tokens = appendLiteral(appendWild(tokens, p.text), p.literal)
		escaped = escaped || strings.ContainsAny(p.literal, "*?")
	}
	t.plain, t.parts = plain.String(), nil
	t.wild = pattern{form: formEscaped}
	if !escaped {
		t.wild = newPattern(t.plain)
	}
	t.wild.tokens = tokens
}

// splitVariables splits a text at its variables: ${key}, ${key, 'default'}, and the
// escapes ${*}, ${?} and ${$}.
func splitVariables(text string) ([]part, error) {
	var parts []part
	for text != "" {
		before, rest, found := strings.Cut(text, "${")
		if before != "" {
			parts = append(parts, part{text: before})
		}
		if !found {
			break
		}
		p, length, err := variable(rest)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
		text = rest[length:]
	}
	return parts, nil
}

// variable reads the variable after "${", and returns its length with the closing brace.
func variable(rest string) (part, int, error) {
	end, quoted := -1, false
	for i := 0; i < len(rest) && end < 0; i++ {
		switch {
		case rest[i] == '\'':
			quoted = !quoted
		case rest[i] == '}' && !quoted:
			end = i
		}
	}
	if end < 0 {
		return part{}, 0, fmt.Errorf("the policy variable ${%.40s has no end", rest)
	}
	inside := rest[:end]
	if inside == "*" || inside == "?" || inside == "$" {
		return part{literal: inside}, end + 1, nil
	}
	name, def, hasDef := strings.Cut(inside, ",")
	p := part{key: keyName(strings.TrimSpace(name)), hasDef: hasDef}
	if p.key == "" || strings.ContainsAny(p.key, "${'*?") {
		return part{}, 0, fmt.Errorf("${%.40s} is no policy variable", inside)
	}
	if hasDef {
		def = strings.TrimSpace(def)
		if len(def) < 2 || def[0] != '\'' || def[len(def)-1] != '\'' {
			return part{}, 0, fmt.Errorf("the default value of policy variable ${%.60s} must stand in single quotes", inside)
		}
		p.fallback = def[1 : len(def)-1]
	}
	return p, end + 1, nil
}

// lower changes A to Z. Names of condition keys and actions are ASCII.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if b[j] >= 'A' && b[j] <= 'Z' {
					b[j] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// value returns the text of a part's variable. A key with several values has no value as
// a variable.
func (p *part) value(keys Keys) (string, bool) {
	v := keys.Key(p.key)
	if v.state == single {
		return v.one, true
	}
	return p.fallback, p.hasDef
}

// expand returns the text with the values of its variables; false if one has no value.
func (t *template) expand(keys Keys) (string, bool) {
	if t.parts == nil {
		return t.plain, true
	}
	var b strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		b.WriteString(p.text)
		b.WriteString(p.literal)
		if p.key != "" {
			v, ok := p.value(keys)
			if !ok {
				return "", false
			}
			b.WriteString(v)
		}
	}
	return b.String(), true
}

// appendTokens appends the pattern with the values of its variables, in which * and ?
// are not wildcards: a user who chooses a tag or a name must not be able to widen a
// policy.
func (t *template) appendTokens(dst []token, keys Keys) ([]token, bool) {
	for i := range t.parts {
		p := &t.parts[i]
		dst = appendLiteral(appendWild(dst, p.text), p.literal)
		if p.key != "" {
			v, ok := p.value(keys)
			if !ok {
				return dst, false
			}
			dst = appendLiteral(dst, v)
		}
	}
	return dst, true
}

// match reports whether the template matches a text with its wildcards. A variable
// without a value matches nothing.
func (t *template) match(text string, keys Keys) bool {
	if t.parts == nil {
		return t.wild.match(text)
	}
	var space [128]token
	tokens, ok := t.appendTokens(space[:0], keys)
	return ok && matchTokens(tokens, text)
}

// bind puts in the values of the variables that keys knows now. Variables whose values
// come later remain. A template with a variable that has no value matches nothing.
func (t *template) bind(keys Keys) template {
	if t.parts == nil {
		return *t
	}
	bound, open := make([]part, len(t.parts)), false
	for i, p := range t.parts {
		if p.key != "" && keys.Key(p.key).state != unknown {
			v, ok := p.value(keys)
			if !ok {
				return template{text: t.text, parts: []part{{key: never}}}
			}
			p = part{literal: v}
		}
		bound[i] = p
		open = open || p.key != ""
	}
	out := template{text: t.text, parts: bound}
	if !open {
		out.fix(bound)
	}
	return out
}

// never is the name of a key that no request has.
const never = "\x00never"

// later reports whether the template has a variable about segments.
func (t *template) later() bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return isLater(p.key) })
}
