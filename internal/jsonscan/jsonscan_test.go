package jsonscan_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

var texts = []string{
	`{}`, `[]`, `""`, `0`, `-0.5e+10`, `true`, `false`, `null`, ` {"a" : [1, 2 ,{"b":"c\"d\\"}] , "":null} `, `"\u00e9\ud83d\ude00\ud800"`, `"é"`, `[[[]]]`, `{"a":1,"a":2}`,
	``, ` `, `{`, `[1,]`, `{"a"}`, `{"a":}`, `{a:1}`, `01`, `1.`, `.5`, `-`, `1e`, `+1`, `NaN`, `Infinity`, `tru`, `"\x"`, `"\u12"`, "\"\x01\"", "\"\xff\"", `1 2`, `{"a":1}}`, `[1}`, `"`, `"\`, `{"a":1,}`, `nullx`,
}

// plain rebuilds a value with the walker, as encoding/json would.
func plain(v jsonscan.Value) any {
	switch v.Kind() {
	case jsonscan.Object:
		m := map[string]any{}
		for name, member := range v.Members() {
			m[jsonscan.Unquote(name)] = plain(member)
		}
		return m
	case jsonscan.Array:
		a := []any{}
		for e := range v.Elements() {
			a = append(a, plain(e))
		}
		return a
	case jsonscan.String:
		return v.Text()
	case jsonscan.Number:
		return json.Number(v)
	case jsonscan.Bool:
		return v.Bool()
	}
	return nil
}

func agree(t *testing.T, text []byte) {
	t.Helper()
	v, err := jsonscan.Parse(text)
	if err != nil {
		var e *jsonscan.Error
		if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(text) {
			t.Fatalf("%q: %v names no place in the text", text, err)
		}
		if json.Valid(text) && utf8.Valid(text) && !strings.Contains(err.Error(), "deeper") {
			t.Fatalf("%q: refused: %v", text, err)
		}
		return
	}
	if !json.Valid(text) || !utf8.Valid(text) {
		t.Fatalf("%q: accepted", text)
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	var want any
	if err := dec.Decode(&want); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if got := plain(v); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: walked as %v, want %v", text, got, want)
	}
}

func TestParse_agreesWithEncodingJSON(t *testing.T) {
	for _, s := range texts {
		agree(t, []byte(s))
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range texts {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) { agree(t, text) })
}

func TestCheck_depth(t *testing.T) {
	nest := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if err := jsonscan.Check(nest(jsonscan.MaxDepth)); err != nil {
		t.Error(err)
	}
	err := jsonscan.Check(nest(10_000))
	if err == nil || !strings.Contains(err.Error(), "nested deeper than 512 levels at byte 512") {
		t.Errorf("got %v", err)
	}
}

func TestValue_numbers(t *testing.T) {
	for _, c := range []struct {
		text string
		i    int64
		ok   bool
	}{{"12", 12, true}, {"12.9", 12, true}, {"1e3", 1000, true}, {"-1", -1, true}, {"1e300", 0, false}, {`"1"`, 0, false}, {"9223372036854775807", 1<<63 - 1, true}} {
		if i, ok := jsonscan.Value(c.text).Int(); i != c.i || ok != c.ok {
			t.Errorf("%s: %d, %v", c.text, i, ok)
		}
	}
	if v := jsonscan.Value(`{"a":{"b":1},"a":{"b":2}}`).Get("a", "b"); string(v) != "2" {
		t.Errorf("Get: %s", v)
	}
	if v := jsonscan.Value(`{"a":1}`).Get("a", "b"); v.Kind() != jsonscan.Missing {
		t.Errorf("Get: %s", v)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"\\\n\x00\x1fé\xff😀")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(jsonscan.AppendString(nil, s), &got); err != nil || got != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Fatalf("%q became %q: %v", s, got, err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	text := []byte(`{"name":"api","id":"70de5b6f19ff9a0a","trace_id":"1-581cf771-a006649127e371903a2de979","start_time":1478293361.271,"end_time":1478293361.449,"http":{"request":{"method":"GET","url":"https://api.example.com/x"},"response":{"status":200}},"annotations":{"plan":"gold"}}`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := jsonscan.Check(text); err != nil {
			b.Fatal(err)
		}
	}
}
