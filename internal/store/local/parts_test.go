package local_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parts are the files of the engine, lowest part first. A file refers to nothing in a
// later line: whoever reads a part needs only those above it.
const parts = `
files
manifest
directory
damage
plan options
vault
base
room
ids head entry change
sealed table tombstones numbers horizon
catalog blockdir
source state snapshot refused
loader
rollups
log replace
inventory
keys describe settler
merger
keeper
lacks scanner summer estimator backup
shelf encryption accept check export purge
`

type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not needed") }

func TestParts_knowOnlyThoseBeforeThem(t *testing.T) {
	rank := map[string]int{}
	for i, line := range strings.Split(parts, "\n") {
		for _, name := range strings.Fields(line) {
			rank[name+".go"] = i
		}
	}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if _, known := rank[name]; !known {
			t.Errorf("%s belongs to no part", name)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(fset, name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	// Names of other packages stay unresolved: only this package is checked.
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: noImports{}, Error: func(error) {}}
	pkg, _ := config.Check("local", fset, files, info)
	references := 0
	for ident, object := range info.Uses {
		if object.Pkg() != pkg || !object.Pos().IsValid() {
			continue
		}
		from, to := fset.Position(ident.Pos()), fset.Position(object.Pos())
		if from.Filename == to.Filename {
			continue
		}
		references++
		if rank[to.Filename] > rank[from.Filename] {
			t.Errorf("%s refers to %s of %s, a later part", from, object.Name(), to.Filename)
		}
	}
	if references < 500 {
		t.Errorf("only %d references between files were resolved", references)
	}
}
