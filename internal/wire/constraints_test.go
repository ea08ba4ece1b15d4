package wire_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/fluoro-io/fluoro/internal/wire"
)

// modelShape is a shape of the API model.
type modelShape struct {
	Type     string
	Required []string
	Members  map[string]struct{ Shape string }
	Member   struct{ Shape string }
	Key      struct{ Shape string }
	Value    struct{ Shape string }
	Min, Max *int
	Pattern  string
	Enum     []string
	Union    bool
}

type apiModel struct {
	Operations map[string]struct {
		HTTP  struct{ Method, RequestURI string }
		Input struct{ Shape string }
	}
	Shapes map[string]modelShape
}

// model returns the API model, from the folder beside the repository, or from
// FLUORO_SHARED.
func model(t testing.TB) *apiModel {
	t.Helper()
	root := os.Getenv("FLUORO_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	b, err := os.ReadFile(filepath.Join(root, "reference", "xray-service-2.json"))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the API model is missing: %v (FLUORO_SHARED names its folder)", err)
		}
		t.Skipf("no API model: %v (FLUORO_SHARED names its folder)", err)
	}
	m := &apiModel{}
	if err := json.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestOperations_areThoseOfTheModel(t *testing.T) {
	m := model(t)
	if len(m.Operations) != len(wire.Operations) || len(m.Operations) != len(wire.Inputs) {
		t.Errorf("the model has %d operations, the tables %d and %d", len(m.Operations), len(wire.Operations), len(wire.Inputs))
	}
	for _, o := range wire.Operations {
		if in, ok := m.Operations[o.Name]; !ok || in.HTTP.Method != "POST" || in.HTTP.RequestURI != o.Path {
			t.Errorf("%s at %s: the model has %+v", o.Name, o.Path, in.HTTP)
		}
	}
}

func TestConstraints_areThoseOfTheModel(t *testing.T) {
	m := model(t)
	seen := map[*wire.Shape]bool{}
	for name, op := range m.Operations {
		s := wire.Inputs[name]
		if s == nil {
			t.Errorf("%s has no input", name)
			continue
		}
		if s.Name != op.Input.Shape {
			t.Errorf("%s takes %s, not %s", name, op.Input.Shape, s.Name)
		}
		compare(t, m, s, seen)
	}
}

var types = map[string]wire.Type{
	"string": wire.String, "integer": wire.Integer, "double": wire.Double, "boolean": wire.Boolean, "timestamp": wire.Time,
	"list": wire.List, "map": wire.Map, "structure": wire.Structure,
}

// sorted returns a sorted copy: our enums are in the order of the service's errors,
// which is not always the model's.
func sorted(values []string) []string { return slices.Sorted(slices.Values(values)) }

// compare compares a shape, and all shapes below it, with the model.
func compare(t *testing.T, m *apiModel, s *wire.Shape, seen map[*wire.Shape]bool) {
	if seen[s] {
		return
	}
	seen[s] = true
	deviation(t, s.Name, s.Model != nil, s.Why)
	for _, below := range []*wire.Shape{s.Element, s.Key} {
		if below != nil {
			compare(t, m, below, seen)
		}
	}
	want, ok := m.Shapes[s.Name]
	if !ok {
		t.Errorf("the model has no shape %s", s.Name)
		return
	}
	if s.Model != nil {
		s = s.Model
	}
	typ, ok := types[want.Type]
	if !ok || typ != s.Type || !reflect.DeepEqual(want.Min, s.Min) || !reflect.DeepEqual(want.Max, s.Max) ||
		want.Pattern != s.Pattern || !slices.Equal(sorted(want.Enum), sorted(s.Enum)) || want.Union != s.Union {
		t.Errorf("%s differs: %s, model %s", s.Name, show(s), show(want))
	}
	element := want.Member.Shape
	if want.Type == "map" {
		element = want.Value.Shape
	}
	if named(s.Element) != element || named(s.Key) != want.Key.Shape {
		t.Errorf("%s holds %q %q, in the model %q %q", s.Name, named(s.Key), named(s.Element), want.Key.Shape, element)
	}
	var members, required []string
	for _, member := range s.Members {
		deviation(t, s.Name+"."+member.Name, member.Model != nil, member.Why)
		if member.Model != nil {
			member = *member.Model
		}
		members = append(members, member.Name)
		if member.Required {
			required = append(required, member.Name)
		}
		if got := want.Members[member.Name].Shape; got != named(member.Shape) {
			t.Errorf("%s.%s is a %q, in the model %q", s.Name, member.Name, named(member.Shape), got)
		}
		compare(t, m, member.Shape, seen)
	}
	if len(members) != len(want.Members) {
		t.Errorf("%s has the members %v, in the model %d", s.Name, members, len(want.Members))
	}
	slices.Sort(required)
	slices.Sort(want.Required)
	if !slices.Equal(required, want.Required) {
		t.Errorf("%s requires %v, in the model %v", s.Name, required, want.Required)
	}
}

// deviation checks that every deviation from the model has a reason.
func deviation(t *testing.T, name string, differs bool, why string) {
	if differs != (why != "") {
		t.Errorf("%s deviates: %t, because %q", name, differs, why)
	}
}

func named(s *wire.Shape) string {
	if s == nil {
		return ""
	}
	return s.Name
}

func show(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}
