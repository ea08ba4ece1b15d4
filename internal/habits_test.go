package internal_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The habits of this code base. A leading context.Context does not count as a
// parameter: it says how long a call may take, not what the call does. An
// embedded interface counts as one method: its own declaration has the limit too.
const (
	maxFileLines  = 600
	maxFuncLines  = 100
	maxParameters = 5
	maxMethods    = 7
)

// exceptions names what may break a habit, one line each: a file, or
// "directory.Function", "directory.Type.Method", "directory.Interface", and the
// reason. The test fails for an exception that nothing needs any more.
const exceptions = `
internal/store/local/block.FuzzTemplate      : the fuzzer changes each column of a row by itself, so each is a parameter
internal/store/local.TestSummaries_passOverNothingThatIsSelected : asserts one history step by step; not split yet
internal/store/local/block.TestPostings_findEachToken            : one table of tokens; not moved out of the function yet
internal/store/local/block.TestSelector_usesFacts                : one table of filters; not moved out of the function yet
internal/store/local/block.readPages                             : page bounds are passed one by one
internal/store/local/rollup.File.addPart                         : the sums of a window are passed one by one
internal/store/local/rollup.File.addSteps                        : the sums of a window are passed one by one
internal/store/local/rollup.File.addTo                           : the sums of a window are passed one by one
internal/store/storetest.segment                                 : a case has one line a document, with its fields in this order
internal/store/storetest.span                                    : a case has one line a span, with its fields in this order
internal/vfs.FS                                                  : what the store needs of a file system; each call is one system call, faults are injected into each
internal/wal.appendFrame                                         : hot path: header fields are passed in registers, not in a struct
internal/decode.TestDocument_refusals                            : one table of documents; not moved out of the function yet
internal/decode.keyOf                                            : a switch over OTLP attribute names that becomes a table
internal/decode.same                                             : compares two entities field by field
internal/decode/document_test.go                                 : tests of all parts of a document; not split by part yet
internal/decode/otlp_test.go                                     : moves with OTLP to a package of its own
internal/receive.Intake.readBody                                 : limits of the request are passed one by one
internal/receive.otlpHTTP.fail                                   : the parts of an OTLP status are passed one by one
`

// sources are the directories that hold code of this project.
var sources = []string{"cmd", "internal", "test", "web"}

// countedFiles are the kinds of files whose length has a limit.
var countedFiles = []string{".go", ".ts", ".tsx", ".css", ".js", ".mjs", ".py", ".java", ".sh"}

// breach is one broken habit: name is its name in the list of exceptions, what
// describes the habit and the measured number.
type breach struct{ name, what string }

func TestHabits(t *testing.T) {
	allowed, used := parseExceptions(t, exceptions), map[string]bool{}
	for _, b := range breaches(t, "..", sources) {
		if _, ok := allowed[b.name]; ok {
			used[b.name] = true
			continue
		}
		t.Errorf("%s %s", b.name, b.what)
	}
	for _, name := range slices.Sorted(maps.Keys(allowed)) {
		if !used[name] {
			t.Errorf("exception %s is no longer needed: remove its line", name)
		}
	}
}

// The habits test itself must be able to fail: one breach of each habit, and
// next to each the largest thing that is still allowed.
func TestHabits_countsWhatItSays(t *testing.T) {
	body := func(lines int) string { return strings.Repeat("\tprintln()\n", lines-2) }
	source := "package p\n" +
		"import \"context\"\n" +
		"func long() {\n" + body(maxFuncLines+1) + "}\n" +
		"func fits() {\n" + body(maxFuncLines) + "}\n" +
		"var literal = func() {\n" + body(maxFuncLines+1) + "}\n" +
		"func (r *T[K]) many(a, b, c int, d, e, f string) {}\n" +
		"func five(ctx context.Context, a, b, c, d, e int) {}\n" +
		"func late(a, b, c, d, e int, ctx context.Context) {}\n" +
		"type T[K any] struct{}\n" +
		"type wide interface { A(); B(); C(); D(); E(); F(); G(); H() }\n" +
		"type enough interface { A(); B(); C(); D(); E(); F(); G() }\n" +
		"type sum interface { ~int | ~string | ~bool }\n"
	source += strings.Repeat("//\n", maxFileLines+1-strings.Count(source, "\n"))

	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "internal/p/testdata"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"internal/p/p.go":              source,
		"internal/p/full.css":          strings.Repeat("\n", maxFileLines),
		"internal/p/over.css":          strings.Repeat("\n", maxFileLines+1),
		"internal/p/testdata/data.css": strings.Repeat("\n", maxFileLines+1),
		"internal/p/generated.go":      "// Code generated by a tool. DO NOT EDIT.\n\npackage p\n\nfunc made(a, b, c, d, e, f int) {}\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, b := range breaches(t, root, []string{"internal"}) {
		got = append(got, b.name+" "+b.what)
	}
	want := []string{
		"internal/p.T.many has 6 parameters (at most 5)",
		"internal/p.late has 6 parameters (at most 5)",
		"internal/p.literal has 101 lines (at most 100)",
		"internal/p.long has 101 lines (at most 100)",
		"internal/p.wide has 8 methods (at most 7)",
		"internal/p/over.css has 601 lines (at most 600)",
		"internal/p/p.go has 601 lines (at most 600)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// parseExceptions reads lines of "name : reason". A line without a reason fails
// the test.
func parseExceptions(t *testing.T, text string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, reason, _ := strings.Cut(line, ":")
		name, reason = strings.TrimSpace(name), strings.TrimSpace(reason)
		if reason == "" {
			t.Errorf("exception %s gives no reason", name)
		}
		if _, twice := out[name]; twice {
			t.Errorf("exception %s stands twice", name)
		}
		out[name] = reason
	}
	return out
}

// breaches returns all broken habits below the directories of root, sorted.
func breaches(t *testing.T, root string, directories []string) []breach {
	t.Helper()
	var out []breach
	for _, directory := range directories {
		err := filepath.WalkDir(filepath.Join(root, directory), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() {
				if slices.Contains([]string{"node_modules", "dist", "testdata"}, entry.Name()) {
					return fs.SkipDir
				}
				return nil
			}
			if !slices.Contains(countedFiles, filepath.Ext(path)) {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			found, err := breachesOfFile(filepath.ToSlash(name), text)
			out = append(out, found...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(out, func(a, b breach) int { return strings.Compare(a.name+a.what, b.name+b.what) })
	return out
}

// breachesOfFile checks one file. name is its slash-separated path below the root.
func breachesOfFile(name string, text []byte) ([]breach, error) {
	var file *ast.File
	set := token.NewFileSet()
	if strings.HasSuffix(name, ".go") {
		var err error
		if file, err = parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			return nil, err
		}
		if ast.IsGenerated(file) {
			return nil, nil
		}
	}
	var out []breach
	add := func(name string, number, limit int, unit string) {
		if number > limit {
			out = append(out, breach{name, fmt.Sprintf("has %d %s (at most %d)", number, unit, limit)})
		}
	}
	add(name, bytes.Count(text, []byte("\n")), maxFileLines, "lines")
	if file == nil {
		return out, nil
	}
	line := func(p token.Pos) int { return set.Position(p).Line }
	for _, declaration := range file.Decls {
		for name, node := range named(declaration) {
			name = filepath.ToSlash(filepath.Dir(set.Position(file.Package).Filename)) + "." + name
			ast.Inspect(node, func(node ast.Node) bool {
				switch n := node.(type) {
				case *ast.FuncDecl:
					add(name, line(n.End())-line(n.Type.Pos())+1, maxFuncLines, "lines")
				case *ast.FuncLit:
					add(name, line(n.End())-line(n.Pos())+1, maxFuncLines, "lines")
				case *ast.FuncType:
					add(name, parameters(n), maxParameters, "parameters")
				case *ast.InterfaceType:
					add(name, methods(n), maxMethods, "methods")
				}
				return true
			})
		}
	}
	return out, nil
}

// named returns the declared things of a top-level declaration by their names.
func named(declaration ast.Decl) map[string]ast.Node {
	out := map[string]ast.Node{}
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			name = receiver(d.Recv.List[0].Type) + "." + name
		}
		out[name] = d
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				out[s.Name.Name] = s
			case *ast.ValueSpec:
				out[s.Names[0].Name] = s
			}
		}
	}
	return out
}

// receiver returns the name of a method's type, without star and type parameters.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

func parameters(f *ast.FuncType) int {
	count := f.Params.NumFields()
	if count > 0 && isContext(f.Params.List[0].Type) {
		count--
	}
	return count
}

func isContext(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "context" && s.Sel.Name == "Context"
}

// methods counts the methods and the embedded interfaces; the elements of a
// type set are neither.
func methods(i *ast.InterfaceType) int {
	count := 0
	for _, field := range i.Methods.List {
		switch field.Type.(type) {
		case *ast.FuncType, *ast.Ident, *ast.SelectorExpr, *ast.IndexExpr, *ast.IndexListExpr:
			count++
		}
	}
	return count
}
