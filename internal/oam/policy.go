package oam

import (
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// actionLink is the action that a sink policy must allow.
const actionLink = "oam:CreateLink"

// everything stands for the policies of the source account, which has asked its own
// authorizer before.
var everything = func() *policy.Document {
	d, err := policy.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	if err != nil {
		panic(err) // it is constant
	}
	return d
}()

// parsePolicy compiles a sink policy. Errors are KindInvalid and name the statement and
// the reason.
func parsePolicy(text string) (*policy.Document, error) {
	d, err := policy.Validate(policy.KindResource, text)
	if err != nil {
		return nil, invalid("Policy: %v", err)
	}
	return d, nil
}

// linker is who wants to link, and how.
type linker struct {
	account trace.Account
	arn     string // of the principal; "" stands for the account's root user
	types   []string
}

// allows reports whether a sink policy lets somebody of another account link to a sink.
func (s *Sink) allows(by linker) bool {
	if s.Policy == "" {
		return false
	}
	d, err := parsePolicy(s.Policy)
	if err != nil {
		return false
	}
	arn := by.arn
	if arn == "" {
		arn = "arn:aws:iam::" + string(by.account) + ":root"
	}
	p := policy.PrincipalOf(arn, "")
	p.Account = string(by.account)
	keys := policy.Context{}
	keys.Set("oam:ResourceTypes", policy.Several(by.types...))
	keys.Set("aws:PrincipalAccount", policy.Single(p.Account))
	keys.Set("aws:PrincipalArn", policy.Single(or(p.RoleARN, arn)))
	set := policy.Set{Identity: []policy.Policy{{Name: "source account", Document: everything}}, Resource: []policy.Policy{{Name: "sink policy", Document: d}}}
	return set.Decide(&policy.Request{
		Principal: p, Action: actionLink, Resource: s.Arn, ResourceAccount: validARN.FindStringSubmatch(s.Arn)[2], Keys: keys,
	}).Allowed
}
