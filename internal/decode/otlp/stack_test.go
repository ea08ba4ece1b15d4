package otlp

import (
	"reflect"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/trace"
)

func frames(fs ...Frame) []Frame { return fs }

func TestParseStack(t *testing.T) {
	java := "a.E: m\n\tat mod/p.A.b(A.java:118)\n\tat app//p.C.d(C.java)\n\tat x.Y(Native Method)\n\tat no parentheses\n\tSuppressed: z.Z: q\n\t\tat p.R.close(R.java:9)\n\t... 3 more\n" +
		"Caused by: b.F: deadlock\n detail\n\tat q.Q(Q.java:1)\n\t... 31 more\nCaused by: c.G:\n\t... 1 more"
	python := "Traceback (most recent call last):\n  File \"/a/b.py\", line 3, in f\n    x()\n  File \"/a/c.py\", line 4, in g\n    y()\nValueError: inner\nmore\n\n" +
		"During handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"/a,b/d.py\", line 5, in h\n    z()\nKeyError: outer\n"
	direct := strings.Replace(python, pythonContext, pythonCause, 1)
	script := "Error: x\n    at foo (/a/b.js:1:2)\n    at /a/c.js:3:4\n    at node:internal/x:1:2\n    at async z (file:///q (1).mjs:9:8)\n    at new Q (native)\n    at Array.map (<anonymous>)\nnot a frame"
	dotnet := "System.E: m\r\n   at A.B(String c) in /s/F.cs:line 42\r\n   at C.D() x\r\n--- End ---\r\n   at in x\r\n   at E in F in G:line"
	golang := "err: x\ngoroutine 1 [running, locked to thread]:\nmain.f(0x1)\n\t/src/a.go:42 +0x1f\ncreated by x\n\tnowhere\nlast"
	for _, c := range []struct {
		what, language, text string
		lenient              bool
		want                 []stackException
	}{
		{"nothing", "java", "", true, nil},
		{"unknown language", "rust", "x\n  at y", true, nil},
		{"java", "java", java, false, []stackException{
			{frames: frames(Frame{"A.java", "p.A.b", 118}, Frame{"C.java", "/p.C.d", 0}, Frame{"Native Method", "x.Y", 0})},
			{typ: "b.F", message: "deadlock detail", frames: frames(Frame{"Q.java", "q.Q", 1})},
			{typ: "c.G", message: "\t... 1 more"},
		}},
		{"php", "php", "E: m\n\tat A.b(a.php:3)", false, []stackException{{frames: frames(Frame{"a.php", "A.b", 3})}}},
		{"one line", "java", "a.E: m", false, []stackException{{}}},
		{"python", "python", python, false, []stackException{
			{}, {typ: "ValueError", message: "inner\nmore", frames: frames(Frame{"/a/c.py", "g", 4}, Frame{"/a/b.py", "f", 3})},
		}},
		{"python, lenient", "python", python, true, []stackException{
			{frames: frames(Frame{"/a,b/d.py", "h", 5})}, {typ: "ValueError", message: "inner\nmore", frames: frames(Frame{"/a/c.py", "g", 4}, Frame{"/a/b.py", "f", 3})},
		}},
		{"python, direct cause", "python", direct, true, []stackException{
			{frames: frames(Frame{"/a,b/d.py", "h", 5})}, {typ: "ValueError", message: "inner\nmore", frames: frames(Frame{"/a/c.py", "g", 4}, Frame{"/a/b.py", "f", 3})},
		}},
		{"python, direct cause, strict", "python", direct, false, []stackException{{frames: frames(Frame{"/a/c.py", "g", 4}, Frame{"/a/b.py", "f", 3})}}},
		{"python without a frame above", "python", "x\n" + pythonContext + "\ny\n", false, []stackException{{}}},
		{"python without colon", "python", "  File \"a\", line 1, in b\n  c\nE\n\n" + pythonContext + "\n\nT:\n  File \"q\", line 2, in r\nE2\n", false, []stackException{{frames: frames(Frame{"q", "r", 2})}}},
		{"javascript", "javascript", script, false, []stackException{{frames: frames(Frame{"/a/b.js", "foo ", 1}, Frame{"/a/c.js", "", 3}, Frame{"node", "", 0},
			Frame{"file", "async z ", 0}, Frame{"native", "new Q ", 0}, Frame{"<anonymous>", "Array.map ", 0})}}},
		{"nodejs", "nodejs", script, true, []stackException{{frames: frames(Frame{"/a/b.js", "foo", 1}, Frame{"/a/c.js", "", 3}, Frame{"node:internal/x", "", 1},
			Frame{"file:///q (1).mjs", "async z", 9}, Frame{"native", "new Q", 0}, Frame{"<anonymous>", "Array.map", 0})}}},
		{"nodejs, strict", "nodejs", script, false, nil},
		{"dotnet", "dotnet", dotnet, false, []stackException{{frames: frames(Frame{"/s/F.cs", "A.B(String c)", 42}, Frame{"", "C.D()", 0}, Frame{"x", "", 0}, Frame{"F", "E", 0})}}},
		{"go", "go", golang, false, []stackException{{frames: frames(Frame{"/src/a.go", "main.f(0x1)", 42}, Frame{"/src/a.go", "created by x", 42}, Frame{"/src/a.go", "last", 42})}}},
		{"go, RecordError", "go", golang[strings.Index(golang, "goroutine"):], false, []stackException{{frames: frames(Frame{"/src/a.go", "main.f(0x1)", 42}, Frame{"/src/a.go", "created by x", 42}, Frame{"/src/a.go", "last", 42})}}},
	} {
		t.Run(c.what, func(t *testing.T) {
			if got := parseStack(c.language, c.text, c.lenient); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestParseStack_bounded(t *testing.T) {
	got := parseStack("java", "E\n"+strings.Repeat("\tat a(b)\n", maxFrames+5), false)
	if len(got) != 1 || len(got[0].frames) != maxFrames {
		t.Errorf("%d frames", len(got[0].frames))
	}
	if got := parseStack("java", "E\n"+strings.Repeat("Caused by: a: b\n\tat a(b)\n", trace.MaxExceptions+5), false); len(got) != trace.MaxExceptions {
		t.Errorf("%d exceptions", len(got))
	}
}

func TestIsGoroutine(t *testing.T) {
	for line, want := range map[string]bool{
		"goroutine 1 [running]:": true, "goroutine 1 [running, locked to thread]:": true, "goroutine 1 [select]:": false, "goroutine 1 [running]": false,
		"goroutinerunning:": false, "goroutine running:": true, "goroutine runnings running:": true, "xgoroutine 1 [running]:": false, "goroutine running_:": false, "goroutine:": false,
	} {
		if isGoroutine(line) != want {
			t.Errorf("isGoroutine(%q) = %v", line, !want)
		}
	}
}

// No text makes a parser fail, and it finds at most one frame for each line.
func FuzzStack(f *testing.F) {
	languages := []string{"java", "php", "python", "javascript", "nodejs", "webjs", "dotnet", "go", "other"}
	for i, text := range []string{
		"a.E: m\n\tat p.A.b(A.java:118)\nCaused by: c.G:\n\tat x(y", "a.E\nCaused by: :", "E\nCaused by: a:\n",
		"T\n  File \"a\", line 1, in b\n  c\nE: m\n\n" + pythonContext + "\n\nT:\n  File \"q\", line 2, in r\nE2\n", "  File \n" + pythonContext + "\n", "  File ,,\nx\n", pythonCause + "\n\n",
		"E\n    at a (b:1:2)\n    at (:::)\n    at )(\n    at ", "E\r\n at a in b:line\r\n at in in in :\r\n at )", "E\ngoroutine running:\n\n:1\n::\na:1", "\n", "\r\n\r\n",
	} {
		f.Add(uint8(i), text)
	}
	f.Fuzz(func(t *testing.T, language uint8, text string) {
		for _, lenient := range []bool{false, true} {
			n := 0
			chain := parseStack(languages[int(language)%len(languages)], text, lenient)
			for _, e := range chain {
				n += len(e.frames)
			}
			if lines := 1 + strings.Count(text, "\n"); n > lines || len(chain) > lines+1 {
				t.Errorf("%d frames and %d exceptions in %d lines", n, len(chain), lines)
			}
		}
	})
}
