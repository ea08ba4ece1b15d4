package harness

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Selection is an expression and the sorted names of the traces that it selects.
type Selection struct {
	Expression string
	Want       []string
}

// NamesGroup reports whether the expression names a group that exists only in
// package filter's tests: not Default, and not the unknown one.
func (s Selection) NamesGroup() bool {
	return strings.Contains(strings.ToLower(s.Expression), "group.") && !strings.Contains(s.Expression, "Default") && !strings.Contains(s.Expression, "unknown")
}

// SelectionTraces reads the named traces of package filter's tests: the documents of
// each, with short spellings expanded, and with the trace id that id returns.
func SelectionTraces(t testing.TB, id func(name string) string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	name := ""
	for _, line := range selectionLines(t, "traces.txt") {
		if line[0] != '{' {
			name, _, _ = strings.Cut(line, ":")
			continue
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		lengthen(doc)
		doc["trace_id"] = id(name)
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = append(out[name], string(text))
	}
	return out
}

// Selections reads package filter's expressions and the traces that each selects:
// lines of "expression => names". A name may be a set ("let name = names"); -name
// subtracts.
func Selections(t testing.TB) []Selection {
	t.Helper()
	all := slices.Sorted(maps.Keys(SelectionTraces(t, func(string) string { return "" })))
	sets := map[string][]string{"all": all, "none": nil}
	for _, name := range all {
		sets[name] = []string{name}
	}
	names := func(text string) (out []string) {
		for word := range strings.FieldsSeq(text) {
			set, known := sets[strings.TrimPrefix(word, "-")]
			switch {
			case !known:
				t.Fatalf("there is no trace or set %q", word)
			case word[0] == '-':
				out = slices.DeleteFunc(out, func(n string) bool { return slices.Contains(set, n) })
			default:
				out = append(out, set...)
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	var out []Selection
	for _, line := range selectionLines(t, "select.txt") {
		if rest, ok := strings.CutPrefix(line, "let "); ok {
			name, members, _ := strings.Cut(rest, " = ")
			sets[name] = names(members)
			continue
		}
		i := strings.LastIndex(line, "=>")
		if i < 0 {
			t.Fatalf("neither a set nor an expression with =>: %s", line)
		}
		out = append(out, Selection{strings.TrimSpace(line[:i]), names(line[i+2:])})
	}
	return out
}

// Refusal is an invalid expression and its error.
type Refusal struct{ Expression, Error string }

// Refusals reads package filter's refusals: an expression, and below it "
// line:position reason".
func Refusals(t testing.TB) []Refusal {
	t.Helper()
	list := selectionLines(t, "refuse.txt")
	var out []Refusal
	for i := 0; i+1 < len(list); i += 2 {
		line, rest, _ := strings.Cut(strings.TrimPrefix(list[i+1], "  "), ":")
		position, reason, _ := strings.Cut(rest, " ")
		out = append(out, Refusal{list[i], fmt.Sprintf("Error Location: line %s, position %s : %s", line, position, reason)})
	}
	return out
}

// selectionLines returns the lines that are neither comments nor blank. ⏎ stands for
// a line break.
func selectionLines(t testing.TB, name string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Root(), "internal", "filter", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if line != "" && line[0] != '#' {
			out = append(out, strings.ReplaceAll(line, "⏎", "\n"))
		}
	}
	return out
}

// lengthen pads the ids of a document to 16 digits.
func lengthen(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, m := range v {
			if s, ok := m.(string); ok && (k == "id" || k == "parent_id" || k == "cause") {
				v[k] = fmt.Sprintf("%016s", s)
			}
			lengthen(m)
		}
	case []any:
		for _, m := range v {
			lengthen(m)
		}
	}
}
