package filter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// sample is a named trace of testdata/traces.txt.
type sample struct {
	t *trace.Trace
	s *trace.Summary
}

// lines yields the lines of a file of testdata that are no comments and not
// blank. ⏎ in them stands for a line break.
func lines(t testing.TB, name string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
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

func samples(t testing.TB) map[string]sample {
	t.Helper()
	docs := map[string][]*trace.Segment{}
	name := ""
	for _, line := range lines(t, "traces.txt") {
		if line[0] != '{' {
			name, _, _ = strings.Cut(line, ":")
			continue
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		lengthen(doc)
		doc["trace_id"] = fmt.Sprintf("1-00000000-%024d", len(docs))
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		segments, refusal := decode.Document(text, 1e9)
		if refusal != nil {
			t.Fatalf("%s: %v", name, refusal)
		}
		docs[name] = append(docs[name], segments...)
	}
	out := map[string]sample{}
	for name, segments := range docs {
		tr := assemble.Trace(segments[0].TraceID, segments)
		out[name] = sample{tr, assemble.Summary(tr)}
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

// TestSelect holds every line "expression => names" of select.txt against the
// traces. A name may be that of a set ("let name = names"); -name takes away.
func TestSelect(t *testing.T) {
	traces := samples(t)
	sets := map[string][]string{"all": slices.Sorted(maps.Keys(traces)), "none": nil}
	for name := range traces {
		sets[name] = []string{name}
	}
	resolve := func(text string) (names []string) {
		for word := range strings.FieldsSeq(text) {
			set, known := sets[strings.TrimPrefix(word, "-")]
			switch {
			case !known:
				t.Fatalf("there is no trace or set %q", word)
			case word[0] == '-':
				names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(set, n) })
			default:
				names = append(names, set...)
			}
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	cases, used := 0, map[string]bool{}
	for _, line := range lines(t, "select.txt") {
		if rest, ok := strings.CutPrefix(line, "let "); ok {
			name, members, _ := strings.Cut(rest, " = ")
			sets[name] = resolve(members)
			continue
		}
		i := strings.LastIndex(line, "=>")
		if i < 0 {
			t.Fatalf("neither a set nor an expression with =>: %s", line)
		}
		text, want := strings.TrimSpace(line[:i]), resolve(line[i+2:])
		cases++
		if used[text] {
			t.Errorf("%s is there twice", text)
		}
		used[text] = true
		e, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		again, err := parse(e.String())
		if err != nil || again.String() != e.String() {
			t.Errorf("%s: printed %s, which parses to %v, %v", text, e, again, err)
			again = e
		}
		got, printed := []string{}, []string{}
		for _, name := range sets["all"] {
			tr := traces[name]
			if e.Match(tr.t, tr.s) {
				got = append(got, name)
				if !allows(e.Bounds(), tr.t, tr.s) {
					t.Errorf("%s selects %s, but its bounds %+v do not allow it", text, name, e.Bounds())
				}
			}
			if again.Match(tr.t, tr.s) {
				printed = append(printed, name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s\n\tselects %v\n\twant    %v", text, got, want)
		}
		if !slices.Equal(got, printed) {
			t.Errorf("%s selects %v, but printed as %s it selects %v", text, got, e, printed)
		}
	}
	if cases < 250 || len(traces) < 25 {
		t.Errorf("only %d expressions on %d traces", cases, len(traces))
	}
}

// TestRefuse holds every expression of refuse.txt against the line that follows
// it: "  line:position reason".
func TestRefuse(t *testing.T) {
	list := lines(t, "refuse.txt")
	for i := 0; i+1 < len(list); i += 2 {
		text, want := list[i], strings.TrimPrefix(list[i+1], "  ")
		line, rest, _ := strings.Cut(want, ":")
		position, reason, _ := strings.Cut(rest, " ")
		want = "Error Location: line " + line + ", position " + position + " : " + reason
		_, err := filter.Parse(text)
		var se *filter.SyntaxError
		switch {
		case err == nil:
			t.Errorf("%s\n\tis taken\n\twant %s", text, want)
		case !errors.As(err, &se) || trace.KindOf(err) != trace.KindInvalid || err.Error() != want:
			t.Errorf("%s\n\tgives %v\n\twant  %s", text, err, want)
		}
	}
	if len(list) < 2*80 || len(list)%2 != 0 {
		t.Errorf("%d lines", len(list))
	}
}
