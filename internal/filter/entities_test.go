package filter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

func TestParseEntities(t *testing.T) {
	front, back, table := trace.Service{Name: "front"}, trace.Service{Name: "back", Type: "AWS::EC2::Instance"}, trace.Service{Name: "t", Type: "AWS::DynamoDB::Table", Account: "1"}
	for text, want := range map[string]string{
		`service("front")`:                                       "front",
		` SERVICE ( "back" ) `:                                   "back",
		`service(id(name: "back", type: "x"))`:                   "",
		`service(id(type: "AWS::DynamoDB::Table"))`:              "t",
		`service(id(account.id: "1"))`:                           "t",
		`edge("front","back")`:                                   "front>back",
		`edge(id(name: "back"), id(name: "t", account.id: "1"))`: "back>t",
		`edge("back", "front")`:                                  "",
	} {
		e, err := filter.ParseEntities(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		again, err := filter.ParseEntities(e.String())
		if err != nil || again.String() != e.String() {
			t.Errorf("%s: printed %s, which parses to %v, %v", text, e, again, err)
		}
		var got []string
		for _, s := range []trace.Service{front, back, table} {
			if e.Node(s) {
				got = append(got, s.Name)
			}
		}
		for _, c := range [][2]trace.Service{{front, back}, {back, table}} {
			if e.Call(c[0], c[1]) {
				got = append(got, c[0].Name+">"+c[1].Name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s selects %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"":                             "line 1, position 1 : Invalid input symbol: ''",
		"fault":                        "line 1, position 1 : Invalid input symbol: 'fault'",
		"bogus":                        "line 1, position 1 : Invalid input symbol: 'bo'",
		`service`:                      "line 1, position 8 : missing '(' at end of expression",
		`service()`:                    "line 1, position 9 : Invalid input symbol: ')'",
		`service ( )`:                  "line 1, position 11 : Invalid input symbol: ')'",
		`service(id())`:                "line 1, position 12 : Invalid input symbol: ')'",
		`service {fault}`:              "line 1, position 9 : missing '(' before '{'",
		`edge(,"b")`:                   "line 1, position 6 : Invalid input symbol: ','",
		`edge("a",)`:                   "line 1, position 10 : Invalid input symbol: ')'",
		`service("a") { fault }`:       "line 1, position 1 : an entity selector has no filter in braces",
		`edge("a", "b") {}`:            "line 1, position 1 : an entity selector has no filter in braces",
		`service("a") OR service("b")`: "line 1, position 14 : Invalid input symbol: 'OR'",
		`service("a") service("b")`:    "line 1, position 14 : Invalid input symbol: 'service'",
		`!service("a")`:                "line 1, position 1 : Invalid input symbol: '!'",
		`(service("a"))`:               "line 1, position 1 : Invalid input symbol: '('",
		`edge("a")`:                    "line 1, position 9 : missing ',' before ')'",
		"service(\"\xff\")":            "line 1, position 10 : Invalid input symbol: byte 0xff is not UTF-8",
		`service("` + strings.Repeat("a", 500) + `")`: "line 1, position 512 : an entity selector has at most 500 characters",
	} {
		_, err := filter.ParseEntities(text)
		var se *filter.SyntaxError
		if !errors.As(err, &se) || err.Error() != "Error Location: "+want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
