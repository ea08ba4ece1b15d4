package analytics

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/trace"
)

const document = `{"id":"70de5b6f19ff9a0a","name":"Cart","http":{"response":{"status":503,"content_length":12}},"annotations":{"plan":"gold","n":7.50},
 "metadata":{"default":{"app.tier":"Silver \"A\"","a b":"c","a=b":"<~>","q\"]\u00e9\\":1,"x\u003cy":2,"list":[{"sku":"x-1"},{"sku":"x-2"}],"ok":true,"none":null}},
 "cause":{"exceptions":[{"message":"deadlock detected"}]},"subsegments":[{"name":"hidden","annotations":{"plan":"lead"}}]}`

func TestTerm(t *testing.T) {
	for text, want := range map[string]bool{
		"DEADLOCK": true, "cart": true, "sku": true, "hidden": false, `"x-2"`: true, "503": true, "gold silver": false,
		"plan=gold": true, "plan = lead": false, "plan!=gold": false, "plan != lead": true, "plan~OL": true, "plan=*": true, "plans=*": false,
		"annotations.plan=gold": true, "http.response.status=503": true, "response.status = 503": true, "esponse.status=503": false,
		"status>=500": true, "status>503": false, "status<504": true, "status<=502": false, "n=7.5": true, "n=7.50": true, "n>7": true,
		`app.tier="Silver \"A\""`: true, `app.tier="Silver \"A\"" `: true, `app.tier="Silver`: false,
		`"plan"=gold`: true, `"plan" = "gold"`: true, `"plan`: false, `"plan" gold`: false, `"plan"!`: false, `""=gold`: false,
		`"a b"=c`: true, `"a b"=d`: false, `"a=b" = "<~>"`: true, `"a=b"~"~"`: true, `"q\"]é\\"=*`: true, `"q\"]é"=*`: false, `"x<y">1`: true, `"x<y">2`: false,
		`default.a b=c`: false, `"default.a b"=c`: true, "app.tier~silver": true, "sku=x-2": true, "sku=x-3": false, "ok=true": true, "none=null": true, "none!=x": false, "nobody!=x": false,
		"plan>1": false, `"plan=gold"`: false, "a != b": false, "x!": false,
	} {
		term, err := ParseTerm(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if term.Matches([]byte(document)) != want {
			t.Errorf("%s matches: %v, want %v", text, !want, want)
		}
	}
}

func TestParseTerm_refuses(t *testing.T) {
	for _, text := range []string{"", "  ", `""`, "status>high"} {
		if _, err := ParseTerm(text); err == nil {
			t.Errorf("%q is no error", text)
		}
	}
}

func FuzzTerm(f *testing.F) {
	for _, text := range []string{"a", "a=b", `"a"`, "a>=1", "a!", "=", "a~\"b", "é=1", `"a b"=c`, `"a\"="=1`, `"a" b`, `"\`, `"a"<x`} {
		f.Add(text, document)
	}
	f.Fuzz(func(t *testing.T, text, doc string) {
		term, err := ParseTerm(text)
		if err == nil && json.Valid([]byte(doc)) {
			term.Matches([]byte(doc)) // must not panic
			term.MatchesAttribute(text, trace.Value{Kind: trace.StringValue, String: doc})
		}
		// A name is found whatever characters it has.
		key, _ := json.Marshal(map[string]int{doc: 1})
		if quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(doc) + `"=1`; doc != "" && utf8.ValidString(doc) && len(quoted) < maxTerm {
			if term, err := ParseTerm(quoted); err != nil || !term.Matches(key) {
				t.Fatalf("%s does not find %s: %v", quoted, key, err)
			}
		}
	})
}
