package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/sight"
)

func parsed(t testing.TB, notations ...string) (out []Policy) {
	t.Helper()
	out = []Policy{}
	for _, n := range notations {
		d, err := Parse(notationDocument(t, n))
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		out = append(out, Policy{Document: d})
	}
	return out
}

func segment(service, environment string, groups []string, annotations map[string][]string) *sight.Segment {
	return &sight.Segment{Service: service, Environment: environment, Groups: groups, Annotation: func(key string) []string { return annotations[key] }}
}

// alice is a request of a user; its keys do not have those about segments.
func alice(keys Context) *Request {
	return &Request{Principal: PrincipalOf("arn:aws:iam::111122223333:user/alice", ""), Action: "xray:BatchGetTraces", Resource: "*", ResourceAccount: testAccount, Keys: keys}
}

func TestDecidePartly_segments(t *testing.T) {
	web := segment("web", "prod", []string{"checkout"}, map[string][]string{"team": {"pay"}, "tier": {"1", "2"}})
	db := segment("db", "", nil, nil)
	for _, c := range []struct {
		policies string
		web, db  string // see, hide
		groups   bool
	}{
		{"A * if StringEquals fluoro:Service=web|api", "see", "hide", false},
		{"A * if StringNotEquals fluoro:Service=web", "hide", "see", false},
		{"A *; D * if StringEquals fluoro:Service=web", "hide", "see", false},
		{"A *; D * if StringLike FLUORO:service=w*", "hide", "see", false},
		{"A *; D * if StringNotEquals fluoro:Environment=dev", "hide", "hide", false},
		{"A *; D * if StringNotEqualsIfExists fluoro:Environment=prod", "see", "hide", false},
		{"A * if StringEqualsIfExists fluoro:Environment=prod", "see", "see", false},
		{"A * if Null fluoro:Environment=true", "hide", "see", false},
		{"A * if ForAnyValue:StringEquals fluoro:Group=checkout", "see", "hide", true},
		{"A * if ForAllValues:StringEquals fluoro:Group=checkout", "see", "see", true},
		{"A * if StringEquals fluoro:Group=checkout", "hide", "hide", true}, // plain operators never match
		{"A * if ForAnyValue:StringEquals fluoro:Annotation/team=pay", "see", "hide", false},
		{"A * if ForAnyValue:StringEquals fluoro:Annotation/TEAM=pay", "hide", "hide", false}, // keys of annotations are exact
		{"A * if ForAnyValue:NumericGreaterThan fluoro:Annotation/tier=1", "see", "hide", false},
		{"A * if ForAllValues:NumericGreaterThan fluoro:Annotation/tier=1", "hide", "see", false},
		{"A * if StringEquals fluoro:Service=${aws:PrincipalTag/team}", "see", "hide", false},
		{"A * if StringEquals fluoro:Service=${aws:nothing}", "hide", "hide", false},
		{"A *; D * if StringNotEquals fluoro:Service=${aws:nothing}", "hide", "hide", false},
		{"A * if StringLike fluoro:Service=${aws:PrincipalTag/star}", "hide", "hide", false}, // a star of a tag is literal
		{"A * if StringEquals aws:PrincipalTag/team=${fluoro:Service}", "see", "hide", false},
		{"A * if StringEquals fluoro:Service=web & ForAnyValue:StringEquals fluoro:Group=other", "hide", "hide", true},
		{"A * if StringEquals fluoro:Service=web; A * if StringEquals fluoro:Service=db", "see", "see", false},
		{"A * if StringEquals fluoro:Service=web; D * if StringEquals fluoro:Environment=prod", "hide", "hide", false},
		{"A * if ArnLike fluoro:Service=nonsense; A * if StringEquals fluoro:Service=db", "hide", "see", false},
		{"A *; D * if ArnLike fluoro:Service=nonsense", "hide", "hide", false}, // fails closed
	} {
		set := &Set{Identity: parsed(t, c.policies)}
		keys := Context{}
		keys.Set("aws:PrincipalTag/team", Single("web"))
		keys.Set("aws:PrincipalTag/star", Single("*"))
		d, s := set.DecidePartly(alice(keys))
		if s == nil || !d.Allowed {
			t.Errorf("%s: %+v, %v", c.policies, d, s)
			continue
		}
		for _, one := range []struct {
			segment *sight.Segment
			want    string
		}{{web, c.web}, {db, c.db}, {web, c.web}} { // the second time from memory
			if got := map[bool]string{true: "see", false: "hide"}[s.Sees(one.segment)]; got != one.want {
				t.Errorf("%s: %s of %s", c.policies, got, one.segment.Service)
			}
		}
		if s.NeedsGroups() != c.groups {
			t.Errorf("%s: needs groups %v", c.policies, s.NeedsGroups())
		}
	}
}

// Policies that decide alike for all segments give no limit.
func TestDecidePartly_decidedAtTheDoor(t *testing.T) {
	for policies, want := range map[string]bool{
		"A *": true, "D *": false, "A * ⊕ A * if StringEquals fluoro:Service=web": true, "A *; A * if StringEquals fluoro:Service=web": true,
		"D *; A * if StringEquals fluoro:Service=web": false, "A xray:Put* if StringEquals fluoro:Service=web": false,
		"A * if StringEquals fluoro:Service=web & StringEquals aws:PrincipalTag/team=x": false,
		"A *; D * if StringEquals fluoro:Service=web, aws:PrincipalTag/team=x":          true,
	} {
		d, s := (&Set{Identity: parsed(t, strings.Split(policies, " ⊕ ")...)}).DecidePartly(alice(Context{}))
		if s != nil || d.Allowed != want {
			t.Errorf("%s: %v, %v", policies, d.Allowed, s)
		}
	}
	only := parsed(t, "A * if StringEquals fluoro:Service=web")
	for name, set := range map[string]*Set{
		"a boundary without an Allow": {Identity: only, Boundary: parsed(t, "A s3:*")},
		"a session without an Allow":  {Identity: only, Session: []Policy{}},
		"an SCP without an Allow":     {Identity: only, SCP: [][]Policy{parsed(t, "A s3:*")}},
	} {
		if d, s := set.DecidePartly(alice(Context{})); d.Allowed || s != nil || d.By == LayerIdentity {
			t.Errorf("%s: %v, %v", name, d, s)
		}
	}
}

func TestDecidePartly_fingerprint(t *testing.T) {
	fingerprint := func(set *Set) string {
		keys := Context{}
		keys.Set("aws:PrincipalTag/team", Single("web"))
		_, s := set.DecidePartly(alice(keys))
		if s == nil {
			t.Fatal("no limit")
		}
		return s.Fingerprint()
	}
	same := []*Set{
		{Identity: parsed(t, "A * if StringEquals fluoro:Service=web|api")},
		{Identity: parsed(t, "A xray:* if StringEquals FLUORO:Service=api|web|api")},
		{Identity: parsed(t, "A s3:*", "A xray:Batch* if StringEquals fluoro:Service=api|web")},
		{Identity: parsed(t, "A xray:* if StringEquals fluoro:Service=api|${aws:PrincipalTag/team}")},
		{Identity: parsed(t, "A xray:* if StringEquals fluoro:Service=api|web", "A xray:Batch* if StringEquals fluoro:Service=web|api")},
		{Identity: parsed(t, "A xray:* if StringEquals fluoro:Service=api|web"), Boundary: parsed(t, "A *"), SCP: [][]Policy{parsed(t, "A *")}},
		{Identity: parsed(t, "A *"), Boundary: parsed(t, "A xray:* if StringEquals fluoro:Service=api|web")},
	}
	for i, set := range same {
		if fingerprint(set) != fingerprint(same[0]) {
			t.Errorf("set %d differs", i)
		}
	}
	seen := map[string]string{}
	for _, policies := range []string{
		"A * if StringEquals fluoro:Service=web", "A * if StringNotEquals fluoro:Service=web", "A *; D * if StringEquals fluoro:Service=web",
		"A * if StringLike fluoro:Service=web", "A * if StringEquals fluoro:Environment=web", "A * if StringEqualsIfExists fluoro:Service=web",
		"A * if ForAnyValue:StringEquals fluoro:Annotation/web=web", "A * if ForAnyValue:StringEquals fluoro:Annotation/Web=web",
		"A * if ForAllValues:StringEquals fluoro:Annotation/web=web", "A * if StringEquals fluoro:Service=web, fluoro:Environment=web",
		"A * if StringEquals fluoro:Service=web; A * if StringEquals fluoro:Environment=web", "A * if StringLike fluoro:Service=${*}", "A * if StringLike fluoro:Service=*",
		"A * if StringEquals aws:PrincipalTag/team=${fluoro:Service}", "A * if StringEquals aws:PrincipalTag/team=${fluoro:Environment}",
	} {
		f := fingerprint(&Set{Identity: parsed(t, policies)})
		if other := seen[f]; other != "" {
			t.Errorf("%q and %q have the same fingerprint", policies, other)
		}
		seen[f] = policies
	}
}

// An organization with many levels must not cost the time of all their combinations.
func TestDecidePartly_manyLevels(t *testing.T) {
	limits := map[string]bool{}
	for levels := 1; levels <= maxLevels; levels++ {
		set := &Set{Identity: parsed(t, "A *")}
		for i := range levels {
			set.SCP = append(set.SCP, parsed(t, fmt.Sprintf("A * if StringLike fluoro:Service=a*|b%d", i)))
		}
		_, s := set.DecidePartly(alice(Context{}))
		if s == nil || !s.Sees(&sight.Segment{Service: "a1"}) || s.Sees(&sight.Segment{Service: "c"}) || s.Sees(&sight.Segment{Service: "b0"}) != (levels == 1) {
			t.Fatalf("%d levels: %v", levels, s)
		}
		if limits[s.Fingerprint()] {
			t.Errorf("%d levels have the fingerprint of others", levels)
		}
		limits[s.Fingerprint()] = true
	}
}

func TestSees_remembersOnlySomeServices(t *testing.T) {
	_, s := (&Set{Identity: parsed(t, "A * if StringLike fluoro:Service=a*")}).DecidePartly(alice(Context{}))
	for i := range 3 * maxSeen {
		if !s.Sees(&sight.Segment{Service: fmt.Sprint("a", i)}) || s.Sees(&sight.Segment{Service: fmt.Sprint("b", i)}) {
			t.Fatal("wrong")
		}
	}
	if n := s.(*limit).count.Load(); n > maxSeen {
		t.Errorf("remembers %d services", n)
	}
}

// together has the keys of a request and those of a segment.
type together struct {
	Context
	segmentKeys
}

func (k together) Key(name string) Value {
	if isLater(name) {
		return k.segmentKeys.Key(name)
	}
	return k.Context.Key(name)
}

// Deciding at the door and then for a segment is the same as deciding with all keys at
// once; equal fingerprints see the same.
func TestDecidePartly_agreesWithDecide(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	condition := func() string {
		return pick("StringEquals", "StringNotEquals", "StringLike", "StringEqualsIfExists", "ForAnyValue:StringEquals", "ForAllValues:StringNotEquals", "ForAnyValue:StringLike", "ArnLike") + " " +
			pick("fluoro:Service", "fluoro:Environment", "fluoro:Group", "fluoro:Annotation/k", "aws:PrincipalTag/team") + "=" +
			pick("a", "b", "*", "a|b", "${aws:PrincipalTag/team}", "${fluoro:Service}", "${aws:nothing}", "${fluoro:Environment,'b'}")
	}
	statement := func() string {
		s := pick("A", "A", "D") + " " + pick("*", "xray:*", "s3:*")
		for i := range r.IntN(3) {
			s += []string{" if ", " & "}[i] + condition()
		}
		return s
	}
	layer := func() (out []string) {
		for range 1 + r.IntN(3) {
			s := statement()
			for operators := map[string]bool{}; ; operators = map[string]bool{} { // one key for each operator
				twice := false
				if _, conditions, ok := strings.Cut(s, " if "); ok {
					for _, c := range strings.Split(conditions, " & ") {
						name, _, _ := strings.Cut(c, " ")
						twice = twice || operators[name]
						operators[name] = true
					}
				}
				if !twice {
					break
				}
				s = statement()
			}
			out = append(out, s)
		}
		return out
	}
	byFingerprint := map[string][]bool{}
	var segments []*sight.Segment
	for _, service := range []string{"a", "b", "c"} {
		for _, environment := range []string{"", "a", "b"} {
			for _, groups := range [][]string{nil, {"a"}, {"a", "b"}} {
				segments = append(segments, segment(service, environment, groups, map[string][]string{"k": groups}))
			}
		}
	}
	limits := 0
	for range 4000 {
		set := &Set{Identity: parsed(t, layer()...)}
		if r.IntN(3) == 0 {
			set.Boundary = parsed(t, layer()...)
		}
		if r.IntN(4) == 0 {
			set.SCP = [][]Policy{parsed(t, layer()...), parsed(t, layer()...)}
		}
		keys := Context{}
		if r.IntN(2) == 0 {
			keys.Set("aws:PrincipalTag/team", Single(pick("a", "b")))
		}
		d, s := set.DecidePartly(alice(keys))
		var sees []bool
		for _, one := range segments {
			q := alice(nil)
			q.Keys = together{keys, segmentKeys{one}}
			want, got := set.Decide(q).Allowed, d.Allowed
			if s != nil {
				got = got && s.Sees(one)
			}
			if got != want {
				t.Fatalf("%+v: at the door and later %v, at once %v (%v)", one, got, want, d)
			}
			sees = append(sees, got)
		}
		if s != nil {
			limits++
			f := s.Fingerprint()
			if old, known := byFingerprint[f]; known && !slices.Equal(old, sees) {
				t.Fatal("two limits with one fingerprint see different segments")
			}
			byFingerprint[f] = sees
		}
	}
	if limits < 400 {
		t.Errorf("only %d of the policies depend on segments", limits)
	}
}

func BenchmarkSees(b *testing.B) {
	_, s := (&Set{Identity: parsed(b, "A * if StringLike fluoro:Service=checkout-*|payment-*; D * if StringEquals fluoro:Environment=prod")}).DecidePartly(alice(Context{}))
	one := &sight.Segment{Service: "payment-gateway", Environment: "staging"}
	b.ReportAllocs()
	for b.Loop() {
		s.Sees(one)
	}
}

func BenchmarkDecidePartly(b *testing.B) {
	set := &Set{Identity: parsed(b, "A xray:Get*|xray:BatchGet* if StringLike fluoro:Service=checkout-*|payment-*|${aws:PrincipalTag/team}-*", "D * if ForAnyValue:StringEquals fluoro:Annotation/confidential=yes")}
	r := alice(Context{"aws:principaltag/team": Single("web")})
	b.ReportAllocs()
	for b.Loop() {
		_, s := set.DecidePartly(r)
		s.Fingerprint()
	}
}
