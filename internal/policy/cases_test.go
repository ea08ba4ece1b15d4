package policy

import (
	"strings"
	"testing"
)

const oneCase = `{"id":"a","policies":{"identity":[{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}]},"request":{"principal":{"type":"user","arn":"arn:aws:iam::111122223333:user/alice"},"action":"a:b","resource":"*","context":{"x:n":1,"x:b":true,"x:l":["a",2],"x:z":null}}}`

func TestParseCases(t *testing.T) {
	for _, text := range []string{`{"format":"fluoro-iam-cases/1","about":"x","cases":[` + oneCase + `]}`, `{"cases":[` + oneCase + `]}`, `[` + oneCase + `]`} {
		cases, err := ParseCases([]byte(text))
		if err != nil || len(cases) != 1 {
			t.Fatalf("%s: %v", text, err)
		}
		if d, err := cases[0].Decide(); err != nil || !d.Allowed {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for text, want := range map[string]string{
		"": "not JSON", "{}": "no list of cases", `{"format":"other/1","cases":[]}`: "the format must be fluoro-iam-cases/1", `[{}]`: "case 1", `[{"id":"a b"}]`: "has blanks", `["a"]`: "case 1",
	} {
		if _, err := ParseCases([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// A case that cannot be read is denied, by the layer of the policy that is malformed.
func TestCase_malformed(t *testing.T) {
	for change, by := range map[string]Layer{
		"": LayerIdentity, `"boundary":[{"Statement":[]}]`: LayerBoundary, `"session":["x"]`: LayerSession, `"scp":[[{"Version":"1"}]]`: LayerSCP,
		`"resource":[{"Statement":{"Effect":"Deny","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}]`: LayerResource,
	} {
		text := strings.Replace(oneCase, `"policies":{`, `"policies":{`+change+`,`, 1)
		if by == LayerIdentity {
			text = strings.Replace(oneCase, `"Effect":"Allow",`, "", 1)
		}
		cases, err := ParseCases([]byte(`[` + text + `]`))
		if err != nil {
			t.Fatal(err)
		}
		if d, err := cases[0].Decide(); err == nil || d.Allowed || d.By != by {
			t.Errorf("%s: %+v, %v", change, d, err)
		}
	}
	cases, err := ParseCases([]byte(`[` + strings.Replace(oneCase, `"x:n":1`, `"x:n":{}`, 1) + `]`))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := cases[0].Decide(); err == nil || d.Allowed || !strings.Contains(err.Error(), `context key "x:n"`) {
		t.Errorf("a strange context: %v, %v", d, err)
	}
}

func TestPrincipalOf(t *testing.T) {
	for arn, want := range map[string]Principal{
		"":                                   {Kind: PrincipalAnonymous},
		"arn:aws:iam::111122223333:root":     {Kind: PrincipalRoot, Account: testAccount},
		"arn:aws:iam::111122223333:user/p/a": {Kind: PrincipalUser, Account: testAccount},
		"arn:aws-cn:sts::111122223333:assumed-role/r/s": {Kind: PrincipalSession, Account: testAccount, RoleARN: "arn:aws-cn:iam::111122223333:role/r"},
		"arn:aws:sts::111122223333:federated-user/f":    {Kind: PrincipalFederated, Account: testAccount},
		"nonsense": {Kind: PrincipalUser},
	} {
		want.ARN = arn
		if got := PrincipalOf(arn, ""); got != want {
			t.Errorf("%s: %+v, want %+v", arn, got, want)
		}
	}
	if got := PrincipalOf("arn:aws:iam::111122223333:role/p/r", ""); got.Kind != PrincipalSession || got.ARN != "" || got.RoleARN != "arn:aws:iam::111122223333:role/p/r" {
		t.Errorf("%+v", got)
	}
}

// FuzzCases checks that no file of cases breaks the reader or a decision.
func FuzzCases(f *testing.F) {
	for _, s := range []string{`[` + oneCase + `]`, `{"cases":[{"id":"x","policies":{"scp":[[]],"boundary":null},"request":{"principal":{"service":"sns.amazonaws.com"},"also":["a:b"]}}]}`, `[{"id":1}]`, `{"cases":{}}`, "["} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		cases, err := ParseCases(text)
		if err != nil {
			return
		}
		for i := range cases {
			d, err := cases[i].Decide()
			if err != nil && d.Allowed {
				t.Fatal("allowed in spite of an error")
			}
			if strings.ContainsAny(cases[i].ID, " \n") || d.String() == "" {
				t.Fatalf("%q %v", cases[i].ID, d)
			}
			(&Expected{Decision: "allow"}).Differs(d)
		}
	})
}
