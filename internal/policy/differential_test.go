package policy

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// naiveOf makes the naive evaluator of a case.
func naiveOf(t testing.TB, c *Case) *naive {
	q := &c.Request
	n := &naive{
		account: q.Principal.Account, owner: q.ResourceAccount, arn: q.Principal.ARN, service: q.Principal.Service,
		root: q.Principal.Type == "root", management: q.Principal.ManagementAccount, action: q.Action, resource: q.Resource, context: map[string]any{},
	}
	for key, raw := range q.Context {
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatal(err)
		}
		switch x := v.(type) {
		case string:
			n.context[strings.ToLower(key)] = x
		case []any:
			n.context[strings.ToLower(key)] = append([]string{}, list(x)...)
		}
	}
	if strings.Contains(n.arn, ":assumed-role/") {
		n.role, _ = n.context["aws:principalarn"].(string)
	}
	return n
}

// choices makes random cases of parts that meet each other often.
type choices struct{ *rand.Rand }

func (r choices) one(list ...string) string { return list[r.IntN(len(list))] }

func (r choices) some(most int, make func() string) []string {
	out := []string{}
	for range 1 + r.IntN(most) {
		out = append(out, make())
	}
	return out
}

var (
	drawnOperators = func() []string {
		var out []string
		for _, o := range operators {
			out = append(out, o.name)
		}
		slices.Sort(out) // so that a seed always makes the same case
		return out
	}()
	drawnValues = []string{
		"a", "A", "", "web", "w*", "*", "?eb", "${aws:username}", "${aws:PrincipalTag/team}", "${aws:PrincipalTag/team, 'web'}", "${*}", "${?}x", "${$}", "é", "😀", "??", "\u212a", "k", "[a]", `\*`,
		"1", "01", "+1", "1.", "1e0", ".5", "-3", "1e5", "9007199254740993", "9007199254740992", "NaN", "12x",
		"2026-11-29T12:00:00Z", "2026-11-29", "1795953600", "2026-11-29T12:00:00.1239Z", "2026-11-29T13:00:00+01:00", "2026-02-30", "true", "TRUE", "false", "yes", "YQ==", "YQ", "%",
		"203.0.113.0/24", "203.0.113.10", "0.0.0.0/0", "2001:db8::/32", "2001:db8::1", "203.0.113.77/28", "300.1.1.1",
		"arn:aws:iam::111122223333:user/alice", "arn:aws:iam::*:user/*", "arn:aws:iam::111122223333:role/dev", "arn:aws:s?s:*:111122223333:t:*", "arn:aws:sns:x:111122223333:t:u", "arn:aws", "arn:aws:sns:x:111122223333:${aws:username}",
	}
	drawnKeys = []string{"aws:PrincipalTag/team", "AWS:principaltag/TEAM", "aws:TagKeys", "aws:SourceIp", "aws:CurrentTime", "aws:SecureTransport", "aws:PrincipalArn", "x:v", "x:many", "x:absent"}
)

func (r choices) condition() map[string]any {
	out := map[string]any{}
	for range r.IntN(3) {
		name := drawnOperators[r.IntN(len(drawnOperators))]
		if name != "Null" {
			name = r.one("", "", "ForAnyValue:", "ForAllValues:") + name + r.one("", "", "IfExists")
		}
		block := map[string]any{}
		for range 1 + r.IntN(2) {
			block[drawnKeys[r.IntN(len(drawnKeys))]] = r.some(3, func() string { return drawnValues[r.IntN(len(drawnValues))] })
		}
		out[name] = block
	}
	return out
}

func (r choices) document(resource bool) json.RawMessage {
	d := map[string]any{"Version": "2012-10-17"}
	switch r.IntN(8) {
	case 0:
		d["Version"] = "2008-10-17"
	case 1:
		delete(d, "Version")
	}
	var statements []any
	for range 1 + r.IntN(3) {
		s := map[string]any{"Effect": r.one("Allow", "Allow", "Allow", "Deny")}
		s[r.one("Action", "Action", "Action", "NotAction")] = r.some(2, func() string {
			return r.one("*", "xray:*", "xray:Get*", "XRAY:getgroup", "xray:GetGroup", "xray:Put*", "xray:?etGroup*", "s3:*", "xray:*Group?")
		})
		s[r.one("Resource", "Resource", "Resource", "NotResource")] = r.some(2, func() string {
			return r.one("*", "*", "?", "arn:aws:xray:us-east-1:111122223333:group/web/*", "arn:aws:xray:*:*:group/${aws:username}/*", "arn:aws:xray:*:*:group/${aws:PrincipalTag/team,'web'}/?", "arn:aws:*:us-east-1:111122223333:group/*", "arn:*", "arn:aws:xray:us-????-1:*:g*1", "arn:aws:xray:*:*:group/é?/*")
		})
		if c := r.condition(); len(c) > 0 {
			s["Condition"] = c
		}
		if resource {
			s[r.one("Principal", "Principal", "Principal", "NotPrincipal")] = r.principal()
		}
		statements = append(statements, s)
	}
	d["Statement"] = statements
	b, _ := json.Marshal(d)
	return b
}

func (r choices) principal() any {
	if r.IntN(5) == 0 {
		return "*"
	}
	return map[string]any{
		"AWS": r.some(3, func() string {
			return r.one("111122223333", "444455556666", "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:user/alice", "arn:aws:iam::111122223333:role/dev", "arn:aws:sts::111122223333:assumed-role/dev/s1", "arn:aws:iam::444455556666:user/zoe", "arn:aws:iam::111122223333:user/*")
		}),
		"Service": r.one("sns.amazonaws.com", "sqs.amazonaws.com"),
	}
}

func (r choices) documents(most int, resource bool) []json.RawMessage {
	out := []json.RawMessage{}
	for range r.IntN(most + 1) {
		out = append(out, r.document(resource))
	}
	return out
}

func (r choices) randomCase(t testing.TB) *Case {
	c := &Case{ID: "random"}
	c.Policies.Identity = r.documents(3, false)
	if r.IntN(2) == 0 {
		c.Policies.Resource = r.documents(2, true)
	}
	if r.IntN(4) == 0 {
		c.Policies.Boundary = r.documents(2, false)
	}
	if r.IntN(4) == 0 {
		c.Policies.Session = r.documents(2, false)
	}
	for range r.IntN(8) / 5 {
		c.Policies.SCP = append(c.Policies.SCP, r.documents(2, false))
	}
	by := r.one("", "", "", " by sts:dev/s1", " by root user", " by sns.amazonaws.com", " by iam2:user/zoe", " by iam:user/alice (management account)")
	action := r.one("GetGroup", "GetGroups", "PutTraceSegments", "GetGroup @ …:group/web/1", "GetGroup @ …:group/alice/1", "UpdateGroup @ …:group/é😀/1", "GetGroup @ …:group/éa/1")
	readRequest(t, &c.Request, action+by)
	set := func(key string, v any) {
		b, _ := json.Marshal(v)
		c.Request.Context[key] = b
	}
	value := func() string { return drawnValues[r.IntN(len(drawnValues))] }
	if r.IntN(2) == 0 {
		set("aws:PrincipalTag/team", value())
	}
	if r.IntN(2) == 0 {
		set("aws:TagKeys", r.some(3, value))
	}
	if r.IntN(8) == 0 {
		set("aws:TagKeys", []string{})
	}
	set("x:v", value())
	set("x:many", r.some(2, value))
	if r.IntN(4) == 0 {
		set("aws:SourceIp", r.one("2001:db8::1", "203.0.113.200", "nowhere"))
	}
	return c
}

func compareWithNaive(t testing.TB, c *Case) Decision {
	got, err := c.Decide()
	if err != nil {
		t.Fatalf("%v: %s", err, c.Policies.Identity)
	}
	decision, layer := naiveOf(t, c).decide(c)
	want := Expected{Decision: strings.ToLower(decision), Kind: "explicit", By: layer}
	if decision == "deny" {
		want.Kind = "implicit"
	}
	if difference := want.Differs(got); difference != "" {
		b, _ := json.MarshalIndent(c, "", " ")
		t.Fatalf("compared with the naive evaluator: %s\n%s\n%s", difference, got, b)
	}
	return got
}

// beyondNaive matches the cases with forms of values and names that the naive evaluator
// does not read.
var beyondNaive = regexp.MustCompile(`^(address|date)-|^number-1[56]$|^string-34$|^set-31$|^principal-3[15]$|^variable-(08|29)$`)

func TestDecide_agreesWithNaive(t *testing.T) {
	for _, name := range []string{"decisions.txt", "more.txt"} {
		cases, titles := readNotation(t, name)
		for i := range cases {
			c := &cases[i]
			n := naiveOf(t, c)
			if c.Request.Principal.Type == "anonymous" || c.Request.Principal.Type == "federated" || len(c.Request.Also) > 0 || beyondNaive.MatchString(c.ID) {
				continue
			}
			if decision, _ := n.decide(c); strings.ToLower(decision) != c.Expected.Decision {
				t.Errorf("%s (%s): the naive evaluator says %s", c.ID, titles[i], decision)
			}
		}
	}
	r := choices{rand.New(rand.NewPCG(3, 4))}
	count := map[string]int{}
	for range 3000 {
		d := compareWithNaive(t, r.randomCase(t))
		count[d.Word()+" "+d.Kind()+" "+string(d.By)]++
	}
	for _, outcome := range []string{"allow explicit identity", "allow explicit resource", "allow explicit root", "deny implicit identity", "deny implicit scp", "deny implicit boundary", "deny implicit session", "deny implicit resource", "deny explicit identity", "deny explicit scp", "deny explicit resource", "deny explicit session", "deny explicit boundary"} {
		if count[outcome] < 3 {
			t.Errorf("only %d cases end as %s", count[outcome], outcome)
		}
	}
}

// FuzzDecide compares both evaluators on random cases. The input is a seed, so that
// coverage guides the choice of cases.
func FuzzDecide(f *testing.F) {
	for i := range uint64(8) {
		f.Add(binary.LittleEndian.AppendUint64(nil, i))
	}
	f.Fuzz(func(t *testing.T, seed []byte) {
		var key [32]byte
		copy(key[:], seed)
		compareWithNaive(t, choices{rand.New(rand.NewChaCha8(key))}.randomCase(t))
	})
}

// FuzzParse checks that no text breaks the parser or a decision, and that a text that may
// be saved as a policy of any kind can be parsed again with the same meaning.
func FuzzParse(f *testing.F) {
	for _, n := range []string{"A * if StringLike aws:x=${a:b,'c'}|${*} & ArnLike aws:y=arn:aws:sns:*:ACC:${aws:username}", "D P(ACC|sns.amazonaws.com) not xray:* @not …:group/a/*", "(Version none) A xray:Get? @ …:* if NumericLessThan a:b=1e5"} {
		f.Add(notationDocument(f, n))
	}
	for _, s := range []string{"", "{", `{"Statement":[]}`, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"${"}}`, `{"Statement":{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}}`, `{"Statement":{"Effect":"Deny","Action":["a:b"],"Resource":"*","Condition":{"DateLessThan":{"a:b":[1,true,"2026-01-01"]},"Null":{"a:c":true}}}}`} {
		f.Add(s)
	}
	kinds := []Kind{KindIdentity, KindInline, KindBoundary, KindSession, KindTrust, KindSCP, KindResource}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		for _, k := range kinds {
			if _, failed := Validate(k, text); failed == nil && err != nil {
				t.Fatalf("valid as %s, but %v", k, err)
			}
		}
		if err != nil {
			return
		}
		d.Warnings()
		keys := Context{}
		keys.Set("a:b", Single("2026-01-01"))
		keys.Set("aws:username", Single("*"))
		keys.Set("aws:y", Several("arn:aws:sns:a:111122223333:*", "x"))
		policies := []Policy{{Document: d}}
		r := &Request{Principal: PrincipalOf("arn:aws:iam::111122223333:user/alice", ""), Action: "xray:GetGroup", Resource: "arn:aws:xray:us-east-1:111122223333:group/a/1", ResourceAccount: testAccount, Keys: keys}
		for _, set := range []*Set{{Identity: policies}, {Resource: policies}, {Identity: policies, Boundary: policies, Session: policies, SCP: [][]Policy{policies}}} {
			if got := set.Decide(r); got.Allowed && got.Statement == 0 {
				t.Fatal("allowed by no statement")
			}
			if _, s := set.DecidePartly(r); s != nil {
				s.Sees(segment("a", "b", []string{"c"}, nil))
				s.Fingerprint()
			}
		}
	})
}

// FuzzValues checks the parsers of values: they accept what they print.
func FuzzValues(f *testing.F) {
	for _, s := range drawnValues {
		f.Add(s)
	}
	for _, s := range []string{"1e99999999999999", "00000000000001", "2026-11-29T24:00:00Z", "2026-11-29T12:00:00+99:00", "::ffff:1.2.3.4/120", "1.2.3.4/032", "-1795953600.999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := parseDecimal(s); ok {
			if again, ok := parseDecimal(d.text()); !ok || again.compare(d) != 0 || d.compare(d) != 0 {
				t.Fatalf("%q is %+v, printed %q", s, d, d.text())
			}
		}
		if p, ok := parsePrefix(s); ok {
			if again, ok := parsePrefix(p.String()); !ok || again != p {
				t.Fatalf("%q is %v, read again %v", s, p, again)
			}
		}
		if ms, ok := parseDate(s); ok && strings.Contains(s, "T") && (ms < -62167219200000-86400000 || ms > 253402300799999+86400000) {
			t.Fatalf("%q is %d ms", s, ms)
		}
		newPattern(s).testMatch(t, s)
	})
}

// text prints a decimal.
func (d decimal) text() string {
	if d.digits == "" {
		return "0"
	}
	sign := ""
	if d.negative {
		sign = "-"
	}
	return sign + "." + d.digits + "e" + big10(d.point)
}

func big10(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// testMatch checks that a text matches itself as a pattern, and everything.
func (p pattern) testMatch(t *testing.T, s string) {
	all := newPattern("*" + s + "*")
	if !p.match(s) || !all.match("x"+s+"y") {
		t.Fatalf("%q does not match itself", s)
	}
}
