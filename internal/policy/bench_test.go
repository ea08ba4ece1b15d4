package policy

import (
	"fmt"
	"testing"
)

// BenchmarkDecide decides about a request of a user with 20 policies of four statements each;
// most of them are about other things. The budget is 10 µs.
func BenchmarkDecide(b *testing.B) {
	set := &Set{}
	for i := range 20 {
		set.Identity = append(set.Identity, parsed(b, fmt.Sprintf(
			"A xray:Get*|xray:BatchGet* @ * if StringEquals aws:PrincipalTag/team=team-%d|other & IpAddress aws:SourceIp=10.%d.0.0/16; "+
				"A xray:*Group @ …:group/team-%d-*/* if StringEquals aws:ResourceTag/team=${aws:PrincipalTag/team}; "+
				"D xray:Delete*|xray:Put*Policy @ * if Bool aws:MultiFactorAuthPresent=false; "+
				"A logs:*|s3:Get* @ arn:aws:s3:::bucket-%d/*", i, i, i, i))...)
	}
	for name, c := range map[string]struct {
		keys    Context
		action  string
		arn     string
		allowed bool
	}{
		"allowed by the last": {Context{"aws:principaltag/team": Single("team-19"), "aws:sourceip": Single("10.19.3.4")}, "xray:GetTraceSummaries", "*", true},
		"implicitly denied":   {Context{"aws:principaltag/team": Single("nobody"), "aws:sourceip": Single("10.19.3.4")}, "xray:GetTraceSummaries", "*", false},
		"a resource":          {Context{"aws:principaltag/team": Single("pay"), "aws:resourcetag/team": Single("pay")}, "xray:UpdateGroup", "arn:aws:xray:us-east-1:111122223333:group/team-19-web/7Q2F", true},
	} {
		r := alice(c.keys)
		r.Action, r.Resource = c.action, c.arn
		if d := set.Decide(r); d.Allowed != c.allowed {
			b.Fatalf("%s: %v", name, d)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set.Decide(r)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	m, _ := FindManaged("AWSXrayReadOnlyAccess")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(m.Text); err != nil {
			b.Fatal(err)
		}
	}
}
