package internal_test

import (
	"bytes"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// dialect lists phrases that a reader has to decode: a text of the project says
// the same in plain words. A blank in a pattern stands for any white space.
var dialect = []struct {
	pattern string
	bad     string // an example, which the pattern must find
	better  string // how to say it
}{
	{`\bwhat comes\b`, "what comes is counted", "name it: requests, spans, the next page"},
	{`\bthose that there are\b`, "all those that there are", "all of them"},
	{`\b(is|are|was|were) of (a|an|the|one|what|that|this|no|its|their|others?|another)\b`, "the span is of another service", "belongs to, comes from, describes"},
	{`\blets? (\w+ ){1,3}go\b`, "lets the log go", "deletes, frees, closes"},
	{`\bmay only be wrong\b`, "it may only be wrong in that a trace is read", "may give false positives, never false negatives"},
	{`\bin vain\b`, "a trace is read in vain", "needlessly, without a match"},
	{`\bof (which|whom)\b`, "a block of which a row is read", "whose, or two sentences"},
	{`\b(is|are|was|were) what\b`, "Size is what a span takes", "a verb: Size returns how many bytes …"},
	{`\bof what\b`, "the digest of what was sent", "name the thing: of the request"},
	{`\b(that|what|which) (is|are) none\b`, "text that is none", "say what it is not: text that is no number"},
	{`\bas good as (none|missing)\b`, "is as good as none", "counts as missing"},
	{`\bspeaks? against\b`, "no fact speaks against it", "excludes"},
	{`\bwhat (there is|is left|is there)\b`, "what is left of it", "the rest, the others, the existing …"},
	{`\bin place of\b`, "a tree in place of a list", "instead of"},
	{`\bbut for\b`, "all files but for the lock", "except"},
	{`\bso many (bytes|entries|files|rows|spans|times|traces)\b`, "a file of so many bytes", "a number: of n bytes, of size bytes"},
	{`\btak(e|es|en|ing) away\b`, "what was taken away", "subtracts, removes"},
	{`\btold apart\b`, "names are told apart", "distinguished, kept"},
	{`\b(gives?|given|gave) back\b`, "the bytes are given back", "returns, restores"},
}

// compiled holds the patterns of dialect.
var compiled = func() []*regexp.Regexp {
	out := make([]*regexp.Regexp, len(dialect))
	for i, d := range dialect {
		out[i] = regexp.MustCompile(`(?i)` + strings.ReplaceAll(d.pattern, " ", `\s+`))
	}
	return out
}()

// TestProse_hasNoDialect reads the comments of Go, TypeScript and CSS files, the
// texts that Go programs print or return, and Markdown.
func TestProse_hasNoDialect(t *testing.T) {
	root := os.DirFS("..")
	read := 0
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case ".git", "node_modules", "dist", "bin", "testdata", ".cache":
				return fs.SkipDir
			}
			return nil
		}
		prose := readers[path.Ext(name)]
		if prose == nil {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		read++
		for _, problem := range find(prose(name, text)) {
			t.Errorf("%s:%s", name, problem)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if read == 0 {
		t.Error("no file was read")
	}
}

// TestProse_findsEachPattern feeds the check one example of each pattern, in each
// kind of file, broken over two lines.
func TestProse_findsEachPattern(t *testing.T) {
	for _, d := range dialect {
		words := strings.Fields(d.bad)
		first, rest := strings.Join(words[:2], " "), strings.Join(words[2:], " ")
		for name, text := range map[string]string{
			"a.go":  "package a\n\n// " + first + "\n// " + rest + "\nvar a int\n",
			"b.go":  "package b\n\nvar b = \"" + d.bad + "\"\n",
			"c.md":  "# Title\n\n" + first + "\n" + rest + "\n",
			"d.tsx": "const d = 1 // " + first + "\n// " + rest + "\n",
			"e.css": "/* " + first + "\n" + rest + " */\n",
		} {
			if len(find(readers[path.Ext(name)](name, []byte(text)))) == 0 {
				t.Errorf("%q is not found in %s", d.bad, name)
			}
		}
	}
	const after = "package a\n\n// An ellipsis … and a dash –.\n\n// Size is what a span takes.\n"
	if got := find(goProse("a.go", []byte(after))); len(got) != 1 || !strings.HasPrefix(got[0], "5: ") {
		t.Errorf("after characters of several bytes: %v, want one on line 5", got)
	}
	for name, text := range map[string]string{
		"a.go": "package a\n\n// Size returns how many bytes a span takes.\nvar a = 1\n",
		"b.md": "Say `what comes` in code only.\n\n```\nin place of\n```\n",
	} {
		if problems := find(readers[path.Ext(name)](name, []byte(text))); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

// find returns one line for each phrase in text, with its line number.
func find(text string) []string {
	var problems []string
	for i, pattern := range compiled {
		for _, at := range pattern.FindAllStringIndex(text, -1) {
			line := 1 + strings.Count(text[:at[0]], "\n")
			phrase := strings.Join(strings.Fields(text[at[0]:at[1]]), " ")
			problems = append(problems, fmt.Sprintf("%d: %q: %s", line, phrase, dialect[i].better))
		}
	}
	return problems
}

// readers give the prose of a file by its extension. Everything else is blanked
// out, so that lines keep their numbers.
var readers = map[string]func(name string, text []byte) string{
	".go": goProse,
	".md": func(_ string, text []byte) string { return blank(code, string(text)) },
	".ts": scriptProse, ".tsx": scriptProse, ".css": scriptProse,
}

var (
	code    = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	comment = regexp.MustCompile(`(?s)/\*.*?\*/|(?:^|[\s;{}(,])//[^\n]*`)
	visible = regexp.MustCompile(`\S`)
)

func blank(pattern *regexp.Regexp, text string) string {
	return pattern.ReplaceAllStringFunc(text, func(s string) string { return visible.ReplaceAllString(s, " ") })
}

// scriptProse keeps comments, without their signs.
func scriptProse(_ string, text []byte) string {
	var out strings.Builder
	end := 0
	for _, at := range comment.FindAllIndex(text, -1) {
		out.WriteString(visible.ReplaceAllString(string(text[end:at[0]]), " "))
		out.WriteString(strings.NewReplacer("//", "  ", "/*", "  ", "*", " ").Replace(string(text[at[0]:at[1]])))
		end = at[1]
	}
	return out.String()
}

// goProse keeps comments and, of files that are no tests, string literals.
func goProse(name string, text []byte) string {
	files := token.NewFileSet()
	file := files.AddFile(name, -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, scanner.ScanComments)
	out := blankBytes(text)
	for {
		at, kind, _ := s.Scan()
		if kind == token.EOF {
			return string(out)
		}
		if kind != token.COMMENT && (kind != token.STRING || strings.HasSuffix(name, "_test.go")) {
			continue
		}
		from := file.Offset(at)
		to := from + tokenLength(text[from:], kind)
		copy(out[from:to], text[from:to])
		if kind == token.COMMENT {
			copy(out[from:], "  ")
		}
	}
}

// blankBytes returns text with a blank for every byte of its visible characters, so that
// offsets stay the same.
func blankBytes(text []byte) []byte {
	out := bytes.Repeat([]byte(" "), len(text))
	for i, c := range text {
		if c == '\n' || c == '\r' {
			out[i] = c
		}
	}
	return out
}

// tokenLength returns how many bytes a comment or string takes in the source. The
// scanner's literal has other bytes where the source has carriage returns.
func tokenLength(text []byte, kind token.Token) int {
	s := string(text)
	switch {
	case kind == token.COMMENT && s[1] == '/':
		return len(s[:strings.IndexByte(s+"\n", '\n')])
	case kind == token.COMMENT:
		return strings.Index(s, "*/") + 2
	case s[0] == '`':
		return strings.IndexByte(s[1:], '`') + 2
	}
	for i := 1; ; i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}
