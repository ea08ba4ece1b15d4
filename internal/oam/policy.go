package oam

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/fluoro-io/fluoro/internal/trace"
)

// A sink policy says which accounts may link. Sinks understand the policies that the OAM
// guide and console write: principals are accounts or everybody, the only condition is on
// the requested resource types. Everything else is refused when the policy is put, so that
// a policy never means less than it says.

// policy is a parsed sink policy.
type policy struct{ statements []statement }

type statement struct {
	deny     bool
	accounts []string // nil: all
	types    []string // nil: all; else the condition
	any      bool     // ForAnyValue instead of ForAllValues
	links    bool     // whether it is about oam:CreateLink
	sinks    []string // "*" or ARNs
}

// texts is a JSON text or a list of texts.
type texts []string

// UnmarshalJSON reads both forms.
func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

type statementJSON struct {
	Sid, Effect string
	Principal   json.RawMessage
	Action      texts
	Resource    texts
	Condition   map[string]map[string]texts
}

// strictly decodes one JSON value without unknown members.
func strictly(b []byte, into any) error {
	in := json.NewDecoder(bytes.NewReader(b))
	in.DisallowUnknownFields()
	if err := in.Decode(into); err != nil {
		return err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one value")
	}
	return nil
}

// parsePolicy parses a sink policy. Errors name the statement and the reason.
func parsePolicy(text string) (*policy, error) {
	if len(text) > maxPolicy {
		return nil, invalid("Policy: it has %d bytes, at most %d are allowed", len(text), maxPolicy)
	}
	var doc struct {
		Version, Id string
		Statement   json.RawMessage
	}
	if err := strictly([]byte(text), &doc); err != nil {
		return nil, invalid("Policy: %v", err)
	}
	if doc.Version != "" && doc.Version != "2012-10-17" && doc.Version != "2008-10-17" {
		return nil, invalid("Policy: the version %.20q is unknown", doc.Version)
	}
	var list []json.RawMessage
	if b := bytes.TrimSpace(doc.Statement); len(b) > 0 && b[0] == '{' {
		list = []json.RawMessage{b}
	} else if err := strictly(b, &list); err != nil || len(list) == 0 {
		return nil, invalid("Policy: there are no statements")
	}
	p := &policy{}
	for i, raw := range list {
		var s statementJSON
		if err := strictly(raw, &s); err != nil {
			return nil, invalid("Policy: statement %d: %v", i+1, err)
		}
		parsed, problem := s.parse()
		if problem != "" {
			return nil, invalid("Policy: statement %d: %s", i+1, problem)
		}
		p.statements = append(p.statements, parsed)
	}
	return p, nil
}

func (s *statementJSON) parse() (out statement, problem string) {
	switch s.Effect {
	case "Allow", "Deny":
		out.deny = s.Effect == "Deny"
	default:
		return out, "Effect must be Allow or Deny"
	}
	if out.accounts, problem = principals(s.Principal); problem != "" {
		return out, problem
	}
	if len(s.Action) == 0 {
		return out, "Action is missing"
	}
	for _, a := range s.Action {
		switch strings.ToLower(a) {
		case "*", "oam:*", "oam:createlink":
			out.links = true
		case "oam:updatelink":
		default:
			return out, "Action is not oam:CreateLink or oam:UpdateLink"
		}
	}
	if len(s.Resource) == 0 {
		return out, "Resource is missing"
	}
	for _, r := range s.Resource {
		if r != "*" && !validARN.MatchString(r) {
			return out, "Resource is neither * nor the ARN of a sink"
		}
	}
	out.sinks = s.Resource
	for operator, keys := range s.Condition {
		for key, values := range keys {
			out.any = operator == "ForAnyValue:StringEquals"
			if !out.any && operator != "ForAllValues:StringEquals" || !strings.EqualFold(key, "oam:ResourceTypes") || len(keys)+len(s.Condition) > 2 {
				return out, "the only condition that sinks understand is ForAllValues:StringEquals or ForAnyValue:StringEquals on oam:ResourceTypes"
			}
			out.types = append(texts{}, values...)
		}
	}
	return out, ""
}

// principals parses a Principal; nil stands for everybody.
func principals(raw json.RawMessage) (accounts []string, problem string) {
	const form = `Principal must be "*", {"AWS":"*"}, or {"AWS": …} with accounts or ARNs of their root users`
	var all string
	if json.Unmarshal(raw, &all) == nil && all == "*" {
		return nil, ""
	}
	var named struct{ AWS texts }
	if err := strictly(raw, &named); err != nil || len(named.AWS) == 0 {
		return nil, form
	}
	accounts = []string{}
	for _, p := range named.AWS {
		if p == "*" {
			return nil, ""
		}
		account := strings.TrimSuffix(strings.TrimPrefix(p, "arn:aws:iam::"), ":root")
		if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
			return nil, form
		}
		accounts = append(accounts, account)
	}
	return accounts, ""
}

// allows reports whether a policy lets an account link to a sink. A Deny wins.
func allows(text string, account trace.Account, sinkARN string, types []string) bool {
	if text == "" {
		return false
	}
	p, err := parsePolicy(text)
	if err != nil {
		return false
	}
	allowed := false
	for _, s := range p.statements {
		if !s.applies(account, sinkARN, types) {
			continue
		}
		if s.deny {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s *statement) applies(account trace.Account, sinkARN string, types []string) bool {
	if !s.links || s.accounts != nil && !slices.Contains(s.accounts, string(account)) || !slices.Contains(s.sinks, "*") && !slices.Contains(s.sinks, sinkARN) {
		return false
	}
	if s.types == nil {
		return true
	}
	named := func(t string) bool { return slices.Contains(s.types, t) }
	if s.any {
		return slices.ContainsFunc(types, named)
	}
	return !slices.ContainsFunc(types, func(t string) bool { return !named(t) })
}
