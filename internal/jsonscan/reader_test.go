package jsonscan_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/jsonscan"
)

// read rebuilds a value with a Reader; deeper than levels it skips.
func read(r *jsonscan.Reader, levels int) any {
	kind := r.Kind()
	if levels == 0 && (kind == jsonscan.Object || kind == jsonscan.Array) {
		return plain(r.Skip())
	}
	switch kind {
	case jsonscan.Object:
		m := map[string]any{}
		for more := r.Object(); more; more = r.NextMember() {
			name := string(r.Name())
			m[name] = read(r, levels-1)
		}
		return m
	case jsonscan.Array:
		a := []any{}
		for more := r.Array(); more; more = r.NextElement() {
			a = append(a, read(r, levels-1))
		}
		return a
	case jsonscan.String:
		if levels%2 != 0 {
			return string(r.AppendText([]byte("before"))[len("before"):])
		}
	}
	return plain(r.Skip())
}

// readerAgrees compares a Reader with Check and the walk of Members, Elements.
func readerAgrees(t *testing.T, text []byte) {
	t.Helper()
	want := jsonscan.Check(text)
	for _, levels := range []int{0, 1, 3, -1} {
		r := jsonscan.NewReader(text)
		got := read(&r, levels)
		if err := r.End(); !reflect.DeepEqual(err, want) {
			t.Fatalf("%.200q, %d levels: %v, Check says %v", text, levels, err, want)
		}
		if want != nil {
			if r.Kind() != jsonscan.Missing || r.Skip() != nil || r.Object() || r.Array() || r.NextMember() || r.NextElement() || r.Since(0) != nil {
				t.Fatalf("%.200q: values behind an error", text)
			}
			continue
		}
		v, err := jsonscan.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if w := plain(v); !reflect.DeepEqual(got, w) {
			t.Fatalf("%.200q, %d levels: read as %v, want %v", text, levels, got, w)
		}
	}
}

func TestReader_agreesWithCheck(t *testing.T) {
	for _, s := range texts {
		readerAgrees(t, []byte(s))
	}
	for _, depth := range []int{511, 512, 513, 10_000} {
		readerAgrees(t, []byte(strings.Repeat("[", depth)+strings.Repeat("]", depth)))
		readerAgrees(t, []byte(strings.Repeat(`{"a":`, depth)+"0"+strings.Repeat("}", depth)))
		readerAgrees(t, []byte(strings.Repeat(`[{"a":`, depth/2)+strings.Repeat("}]", depth/2)))
	}
}

// TestCheck_stringsOfEveryLength puts each kind of byte at each place of strings around
// the width that is tested at once.
func TestCheck_stringsOfEveryLength(t *testing.T) {
	for n := range 20 {
		for i := range n {
			for _, c := range []string{"\"", `\"`, `\\`, `\u00e9`, `\u00g9`, `\`, "\x1f", " ", "!", "#", "[", "]", "\x7f", "\x80", "é", "é\x01", "\xc3", "\xff"} {
				text := `"` + strings.Repeat("x", i) + c + strings.Repeat("y", n-i) + `"`
				agree(t, []byte(text))
				agree(t, []byte(text+"     "))
				readerAgrees(t, []byte("["+text+","+text+"]"))
			}
		}
	}
}

func TestReader_since(t *testing.T) {
	r := jsonscan.NewReader([]byte(` {"a" : [1, {"b":2} ] , "c":3 } `))
	r.Object()
	inner := r.Pos()
	for more := r.Array(); more; more = r.NextElement() {
		r.Skip()
	}
	if got := string(r.Since(inner)); got != `[1, {"b":2} ]` {
		t.Errorf("array: %s", got)
	}
	if !r.NextMember() || string(r.Name()) != "c" || string(r.Skip()) != "3" || r.NextMember() || r.End() != nil {
		t.Error("c was not read")
	}
}

// TestReader_AppendText_keepsOneBuffer checks that strings in one buffer do not change
// each other, and that the buffer is allocated once.
func TestReader_AppendText_keepsOneBuffer(t *testing.T) {
	r := jsonscan.NewReader([]byte(`["a long string of more than eight","\u00e9\n",7,"","\ud83d\ude00\ud83d\ud83d\ude00\u0041","last"]`))
	var buf []byte
	var got []string
	for more := r.Array(); more; more = r.NextElement() {
		start, first := len(buf), cap(buf)
		buf = r.AppendText(buf)
		got = append(got, string(buf[start:]))
		if first > 0 && cap(buf) != first {
			t.Error("a second buffer")
		}
	}
	if want := []string{"a long string of more than eight", "é\n", "", "", "😀\ufffd😀A", "last"}; !reflect.DeepEqual(got, want) || r.End() != nil {
		t.Errorf("got %q, want %q", got, want)
	}
	if want := "a long string of more than eighté\n😀\ufffd😀Alast"; string(buf) != want {
		t.Errorf("got %q, want %q", buf, want)
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range texts {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) { readerAgrees(t, text) })
}

func TestReader_errorsNameThePlace(t *testing.T) {
	for text, want := range map[string]int{`{"a":1,}`: 7, `[1 2]`: 3, `{"a":{"b":01}}`: 11, `["\u12"]`: 2, `{"a"`: 4} {
		r := jsonscan.NewReader([]byte(text))
		read(&r, -1)
		var e *jsonscan.Error
		if err := r.End(); !errors.As(err, &e) || e.Offset != want {
			t.Errorf("%s: %v, want an error at byte %d", text, err, want)
		}
		if json.Valid([]byte(text)) {
			t.Errorf("%s is JSON", text)
		}
	}
}
