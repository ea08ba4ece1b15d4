package policy

import (
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// LocksOut reports whether a policy forbids the root user of an account to replace
// it: with an unconditional Deny of xray:PutResourcePolicy on everything. (A
// statement with a condition may not apply.) A missing Allow does not lock out: a
// resource policy only adds to the account's own permissions (IAM user guide,
// "Policy evaluation logic").
func (d *Document) LocksOut(account trace.Account) bool {
	return slices.ContainsFunc(d.Statements, func(s Statement) bool {
		return s.Deny && !s.Conditional && s.about(account) &&
			applies(s.Actions, s.NotActions, "xray:PutResourcePolicy", true) && applies(s.Resources, s.NotResources, "*", false)
	})
}

// about reports whether a statement applies to the root user of an account.
func (s *Statement) about(account trace.Account) bool {
	root := func(p Principal) bool {
		return p.Kind == "AWS" && (p.ID == "*" || p.ID == string(account) || strings.HasSuffix(p.ID, ":iam::"+string(account)+":root"))
	}
	if s.NotPrincipals != nil {
		return !slices.ContainsFunc(s.NotPrincipals, root)
	}
	return slices.ContainsFunc(s.Principals, root)
}

// applies reports whether patterns match a name, or exceptions do not. With fold
// set, the comparison is case-insensitive, as for actions.
func applies(patterns, except []string, name string, fold bool) bool {
	match := func(pattern string) bool {
		if fold {
			return glob(strings.ToLower(pattern), strings.ToLower(name))
		}
		return glob(pattern, name)
	}
	if except != nil {
		return !slices.ContainsFunc(except, match)
	}
	return slices.ContainsFunc(patterns, match)
}

// glob matches * with any text and ? with one character, in time proportional to the
// product of the lengths.
func glob(pattern, text string) bool {
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
