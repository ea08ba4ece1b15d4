// Package scrub removes what must not be stored from segment documents and spans before
// they are decoded: passwords, tokens, keys, and whatever the rules of an account name.
// All bytes that no rule selects stay as they were sent.
//
// A [Program] is a compiled list of rules. [Rules] keeps the rules of accounts as records
// and gives the receivers the program of an account.
package scrub

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// Action says how a rule changes a value.
type Action string

// The actions of rules.
const (
	// Drop removes the member or attribute; of a part of a text it removes that part.
	Drop Action = "drop"
	// Mask replaces the value by a text that names the rule, and a part of a text by ***.
	Mask Action = "mask"
	// KeepLast replaces all except the last four characters. Of values with fewer than
	// eight characters it keeps none.
	KeepLast Action = "last4"
	// Hash replaces the value by its keyed hash (HMAC-SHA-256, 128 bits). Equal values of
	// an account have equal hashes.
	Hash Action = "hash"
	// Keep protects the value from all later rules.
	Keep Action = "keep"
)

var actions = []Action{Drop, Mask, KeepLast, Hash, Keep}

// Rule selects values and says what to do with them. Keys and Paths select values by
// their place; without them a rule looks at all texts. Pattern and Detectors select parts
// of a text; without them a rule changes the whole value. Services limit a rule.
type Rule struct {
	Name        string // letters, digits, - and _; unique in the account
	Description string `json:",omitempty"`
	// Order: rules with a smaller number work first, rules with the same number by name.
	// The default rules work last.
	Order int
	// Keys are names of members and attributes, with * for any characters. Case, - and _
	// do not matter. A key without a dot also matches the last part of a name:
	// authorization matches http.request.header.authorization.
	Keys []string `json:",omitempty"`
	// Paths are places such as metadata.default.request.body, http.request.url,
	// attributes.app.card, resource.host.name, events.exception.message, links.app.id,
	// status.message, with * for any characters. A path of a document also selects the
	// attributes that a span has for it.
	Paths []string `json:",omitempty"`
	// Pattern is a regular expression (RE2).
	Pattern string `json:",omitempty"`
	// Detectors are names of Detectors.
	Detectors []string `json:",omitempty"`
	// Services are names of services, with * for any characters; none: all services.
	Services []string `json:",omitempty"`
	Action   Action
	DryRun   bool `json:",omitempty"` // counts, but changes nothing
	Disabled bool `json:",omitempty"`
}

// Limits of rules.
const (
	MaxRules   = 50   // of an account, without the default rules
	maxList    = 100  // keys, paths or services of a rule
	maxText    = 256  // bytes of a key, path, service or description
	maxPattern = 1024 // bytes of a pattern
	maxOrder   = 1_000_000
)

// defaultPrefix begins the names of default rules.
const defaultPrefix = "default-"

// Defaults returns the default rules, in their order. They look for credentials.
func Defaults() []Rule {
	rule := func(name, what string, detectors ...string) Rule {
		return Rule{Name: defaultPrefix + name, Description: what, Order: maxOrder, Detectors: detectors, Action: Mask}
	}
	return []Rule{
		rule("keys", "values under names such as password, secret, token, api_key, authorization, cookie"),
		rule("passwords", "password=…, \"token\": \"…\", secrets in URLs and connection strings", "password"),
		rule("bearer-tokens", "Bearer and Basic credentials", "bearer"),
		rule("jwt", "JSON web tokens", "jwt"),
		rule("aws-keys", "AWS access keys and the secrets next to them", "aws-key"),
		rule("private-keys", "private keys in PEM form", "private-key"),
		rule("api-tokens", "tokens of GitHub, GitLab, Slack, Stripe, Google, npm and others, by their prefixes", "api-token"),
	}
}

// IsDefault tells whether a name belongs to a default rule.
func IsDefault(name string) bool {
	return slices.ContainsFunc(Defaults(), func(r Rule) bool { return r.Name == name })
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

func invalid(format string, args ...any) error {
	return trace.Errorf(trace.KindInvalid, format, args...)
}

// Check returns nil if a rule is valid, else what is wrong and where.
func (r *Rule) Check() error {
	switch {
	case !nameForm.MatchString(r.Name):
		return invalid("Name: %.70q: want 1 to 64 letters, digits, - and _, the first a letter or digit", r.Name)
	case len(r.Description) > maxText || !utf8.ValidString(r.Description):
		return invalid("Description of rule %s: want at most %d bytes of UTF-8", r.Name, maxText)
	case r.Order < 0 || r.Order > maxOrder:
		return invalid("Order of rule %s: %d: want 0 to %d", r.Name, r.Order, maxOrder)
	case !slices.Contains(actions, r.Action):
		return invalid("Action of rule %s: %.40q: want drop, mask, last4, hash or keep", r.Name, r.Action)
	}
	if IsDefault(r.Name) {
		return r.checkDefault()
	}
	if strings.HasPrefix(r.Name, defaultPrefix) {
		return invalid("Name: %s: names that begin with %s belong to the default rules, and there is no such default rule", r.Name, defaultPrefix)
	}
	for _, list := range []struct {
		name  string
		items []string
	}{{"Keys", r.Keys}, {"Paths", r.Paths}, {"Services", r.Services}} {
		if err := r.checkList(list.name, list.items); err != nil {
			return err
		}
	}
	for _, p := range r.Paths {
		if protectedPath(p) {
			return invalid("Paths of rule %s: %.60q: ids, times and types of segments cannot be scrubbed, because traces are built from them", r.Name, p)
		}
	}
	for i, d := range r.Detectors {
		if detectors[d] == nil {
			return invalid("Detectors[%d] of rule %s: there is no detector %.40q: want one of %s", i, r.Name, d, strings.Join(Detectors(), ", "))
		}
	}
	if len(r.Detectors) > len(detectors) {
		return invalid("Detectors of rule %s: the same detector twice", r.Name)
	}
	if _, err := r.pattern(); err != nil {
		return err
	}
	if len(r.Keys)+len(r.Paths)+len(r.Detectors) == 0 && r.Pattern == "" {
		return invalid("rule %s selects nothing: it needs Keys, Paths, a Pattern or Detectors", r.Name)
	}
	return nil
}

// checkDefault checks a change of a default rule: only its action and its state change.
func (r *Rule) checkDefault() error {
	if len(r.Keys)+len(r.Paths)+len(r.Detectors)+len(r.Services) > 0 || r.Pattern != "" {
		return invalid("rule %s: of a default rule only Action, DryRun and Disabled can change; make a rule of your own for other values", r.Name)
	}
	return nil
}

func (r *Rule) checkList(name string, items []string) error {
	if len(items) > maxList {
		return invalid("%s of rule %s: %d of them: want at most %d", name, r.Name, len(items), maxList)
	}
	for i, item := range items {
		if item == "" || len(item) > maxText || !utf8.ValidString(item) {
			return invalid("%s[%d] of rule %s: want 1 to %d bytes of UTF-8", name, i, r.Name, maxText)
		}
		if strings.Trim(item, "*.-_ ") == "" && name == "Keys" {
			return invalid("%s[%d] of rule %s: %q would select every value", name, i, r.Name, item)
		}
	}
	return nil
}

// pattern compiles the pattern; nil if there is none.
func (r *Rule) pattern() (*regexp.Regexp, error) {
	if r.Pattern == "" {
		return nil, nil
	}
	if len(r.Pattern) > maxPattern {
		return nil, invalid("Pattern of rule %s: %d bytes: want at most %d", r.Name, len(r.Pattern), maxPattern)
	}
	re, err := regexp.Compile(r.Pattern)
	if err != nil {
		return nil, invalid("Pattern of rule %s: %v (regular expressions have the syntax of RE2)", r.Name, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	if re.MatchString("") {
		return nil, invalid("Pattern of rule %s: it matches the empty text, so it would match everywhere", r.Name)
	}
	return re, nil
}

// protected are the members of a segment from which traces are built.
var protected = map[string]bool{
	"type": true, "id": true, "trace_id": true, "parent_id": true, "start_time": true, "end_time": true, "in_progress": true, "namespace": true,
	"fault": true, "error": true, "throttle": true, "inferred": true, "traced": true, "precursor_ids": true, "subsegments": true, "links": true,
	"span_id": true, "parent_span_id": true, "kind": true, "start_time_unix_nano": true, "end_time_unix_nano": true, "flags": true,
}

func protectedPath(path string) bool {
	path = strings.ToLower(path)
	return protected[path] || path == "links.id" || path == "links.trace_id" || path == "cause.id" || path == "cause.exceptions.id" || path == "cause.exceptions.cause"
}

// String describes a rule in one line.
func (r *Rule) String() string {
	var parts []string
	add := func(name string, items []string) {
		if len(items) > 0 {
			parts = append(parts, name+" "+strings.Join(items, ","))
		}
	}
	add("keys", r.Keys)
	add("paths", r.Paths)
	if r.Pattern != "" {
		parts = append(parts, "pattern "+r.Pattern)
	}
	add("detectors", r.Detectors)
	add("services", r.Services)
	return fmt.Sprintf("%s: %s", r.Action, strings.Join(parts, "; "))
}
