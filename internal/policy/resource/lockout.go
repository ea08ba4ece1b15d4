package resource

import (
	"github.com/fluoro-io/fluoro/internal/policy"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// LocksOut reports whether a policy forbids the root user of an account to replace
// it: with an unconditional Deny of xray:PutResourcePolicy on everything. (A
// statement with a condition may not apply.) A missing Allow does not lock out: a
// resource policy only adds to the account's own permissions (IAM user guide,
// "Policy evaluation logic").
func LocksOut(d *policy.Document, account trace.Account) bool {
	always := &policy.Document{Version: d.Version}
	for _, s := range d.Statements {
		if s.Unconditional() {
			always.Statements = append(always.Statements, s)
		}
	}
	set := policy.Set{Resource: []policy.Policy{{Document: always}}}
	root := policy.PrincipalOf("arn:aws:iam::"+string(account)+":root", "")
	return !set.Decide(&policy.Request{Principal: root, Action: "xray:PutResourcePolicy", Resource: "*"}).Allowed
}
