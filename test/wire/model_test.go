package wire_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// modelShape is a shape of the API model.
type modelShape struct {
	Type               string
	Required, Enum     []string
	Members            map[string]struct{ Shape string }
	Member, Key, Value struct{ Shape string }
	Min, Max           *int
	Pattern            string
	Union              bool
}

type model struct {
	Operations map[string]struct {
		HTTP  struct{ RequestURI string }
		Input struct{ Shape string }
	}
	Shapes map[string]modelShape
}

// deviations adds to the model where Fluoro accepts more, or less.
func (m *model) deviations() {
	change := func(name string, f func(*modelShape)) { s := m.Shapes[name]; f(&s); m.Shapes[name] = s }
	change("SamplingStatisticsDocumentList", func(s *modelShape) { s.Max = new(1000) })
	change("SamplingBoostStatisticsDocumentList", func(s *modelShape) { s.Max = new(1000) })
	change("SamplingStatisticsDocument", func(s *modelShape) { s.Required = []string{"RuleName", "ClientID", "Timestamp"} })
	change("CooldownWindowMinutes", func(s *modelShape) { s.Min = new(1) })
}

// walker sends probes for the members of an operation to the real binary.
type walker struct {
	*testing.T
	*model
	server    *harness.Server
	operation string
	path      string
	probes    int
}

// TestModel sends every operation probes of every member and derives the expected
// answers from the API model only.
func TestModel(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(harness.Shared(t), "reference", "xray-service-2.json"))
	if err != nil {
		t.Fatal(err)
	}
	m := &model{}
	if err := json.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	m.deviations()
	server, total := harness.Start(t), 0
	for _, name := range slices.Sorted(maps.Keys(m.Operations)) {
		op := m.Operations[name]
		w := &walker{T: t, model: m, server: server, operation: name, path: op.HTTP.RequestURI}
		w.value(op.Input.Shape, "", func(v any) any { return v })
		total += w.probes
	}
	if total < 1000 {
		t.Errorf("only %d requests", total)
	}
	t.Logf("%d requests", total)
}

// valid returns the smallest valid value of a shape.
func (m *model) valid(name string) any {
	switch s := m.Shapes[name]; s.Type {
	case "structure":
		out := map[string]any{}
		for _, member := range s.Required {
			out[member] = m.valid(s.Members[member].Shape)
		}
		if s.Union {
			for member, of := range s.Members {
				out[member] = m.valid(of.Shape)
			}
		}
		return out
	case "list":
		return []any{}
	case "map":
		return map[string]any{}
	case "integer", "double":
		if s.Min != nil {
			return *s.Min
		}
		return 1
	case "boolean":
		return true
	case "timestamp":
		return time.Now().Unix()
	default:
		return m.text(s, 1)
	}
}

// text returns a text of n characters that satisfies a shape except for its length.
func (m *model) text(s modelShape, n int) string {
	switch {
	case s.Enum != nil:
		return s.Enum[0]
	case strings.HasPrefix(s.Pattern, "[0-9a-fA-F]{8}-"):
		return "11111111-1111-4111-8111-111111111111"
	case s.Min != nil:
		n = max(n, *s.Min)
	}
	return strings.Repeat("a", n)
}

// probe sends values of one shape: path names the member in a violation, in makes
// the whole request from a value.
type probe struct {
	*walker
	modelShape
	path string
	in   func(any) any
}

func (p probe) accept(values ...any) {
	for _, v := range values {
		p.expect(p.in(v), "", "")
	}
}

// wrong sends values of the wrong JSON type.
func (p probe) wrong(values ...any) {
	for _, v := range values {
		p.expect(p.in(v), "SerializationException", "")
	}
}

// broken sends a value that breaks a rule.
func (p probe) broken(v any, rule string) {
	p.expect(p.in(v), "ValidationException", violationAt(p.path, rule))
}

// value probes a value of the named shape.
func (w *walker) value(name, path string, in func(any) any) {
	p := probe{w, w.Shapes[name], path, in}
	list, object := []any{}, map[string]any{}
	switch p.Type {
	case "structure":
		w.structure(p.modelShape, path, in)
		if p.wrong(list); path != "" {
			p.wrong("x", 1, true)
		}
	case "list":
		p.list()
	case "map":
		p.dictionary()
	case "string":
		p.string()
	case "integer", "double":
		p.number()
	case "boolean":
		p.accept(true, false)
		p.wrong("true", 1, list, object)
	case "timestamp":
		now := time.Now()
		p.accept(now.Unix(), float64(now.UnixMilli())/1000, now.UnixMilli(), now.Format(time.RFC3339Nano), 0, -1, json.RawMessage("1.8E9"))
		p.wrong("yesterday", "1700000000", true, list, object, json.RawMessage("1e300"), json.RawMessage("-1e300"), json.RawMessage("1e999"))
	default:
		w.Fatalf("%s: the test knows no type %q", name, p.Type)
	}
}

func (p probe) list() {
	element := p.Shapes[p.Member.Shape]
	repeat := func(n int) []any { return slices.Repeat([]any{p.valid(p.Member.Shape)}, n) }
	p.accept(repeat(1))
	if p.Max != nil {
		p.accept(repeat(*p.Max))
		p.broken(repeat(*p.Max+1), fmt.Sprintf("Member must have length less than or equal to %d", *p.Max))
	}
	p.wrong("x", 1, false, map[string]any{})
	switch {
	case p.operation == "PutTraceSegments":
		p.wrong([]any{nil}, []any{1}, []any{[]any{}})
	case element.Type == "structure":
		inner := p.path + ".1.member"
		p.expect(p.in([]any{nil}), "ValidationException", violationAt(inner, "Member must not be null"))
		p.value(p.Member.Shape, inner, func(v any) any { return p.in([]any{v}) })
	default:
		all := strings.Join(textRules(element), ", ")
		nulls := []any{p.valid(p.Member.Shape), nil}
		if p.Max != nil && *p.Max < len(nulls) {
			nulls = nulls[1:]
		}
		p.broken(nulls, "Member must satisfy constraint: ["+all+", Member must not be null]")
		for _, bad := range p.bad(element) {
			p.broken([]any{bad}, "Member must satisfy constraint: ["+all+"]")
		}
		p.wrong([]any{1}, []any{[]any{}}, []any{map[string]any{}})
	}
}

func (p probe) dictionary() {
	key, value := p.Shapes[p.Key.Shape], p.Shapes[p.Value.Shape]
	p.accept(map[string]any{}, map[string]any{p.text(key, 1): p.text(value, 1)}, map[string]any{p.text(key, *key.Max): p.text(value, *value.Max)})
	p.wrong([]any{}, "x", 1, true, map[string]any{"a": 1}, map[string]any{"a": []any{}})
	many := map[string]any{}
	for i := range *p.Max + 1 {
		many[fmt.Sprint(i)] = "v"
	}
	p.broken(many, fmt.Sprintf("Member must have length less than or equal to %d", *p.Max))
	for _, bad := range p.bad(key) {
		p.broken(map[string]any{bad: "v"}, "Map keys must satisfy constraint: ["+strings.Join(textRules(key), ", ")+"]")
	}
	for _, bad := range p.bad(value) {
		p.broken(map[string]any{"k": bad}, "Map value must satisfy constraint: ["+strings.Join(textRules(value), ", ")+"]")
	}
}

func (p probe) string() {
	p.wrong(1, true, []any{}, map[string]any{})
	p.accept(p.text(p.modelShape, 1))
	for _, v := range p.Enum {
		p.accept(v)
	}
	if p.Enum == nil && p.Pattern == "" && p.Max == nil {
		p.accept("", strings.Repeat("ä", 5000))
	}
	if p.Max != nil {
		p.accept(p.text(p.modelShape, *p.Max))
	}
	for _, bad := range p.bad(p.modelShape) {
		p.broken(bad, anyRule)
	}
}

func (p probe) number() {
	raw := func(text string) any { return json.RawMessage(text) }
	p.wrong("1", true, []any{}, map[string]any{})
	p.accept(1, 1.0, raw("1e0"))
	for _, bound := range []*int{p.Min, p.Max} {
		if bound != nil {
			p.accept(*bound)
		}
	}
	step := map[string]float64{"integer": 1, "double": 0.001}[p.Type]
	if p.Min != nil {
		p.broken(float64(*p.Min)-step, fmt.Sprintf("Member must have value greater than or equal to %d", *p.Min))
	}
	if p.Max != nil {
		p.broken(float64(*p.Max)+step, fmt.Sprintf("Member must have value less than or equal to %d", *p.Max))
		p.broken(raw("1e99"), fmt.Sprintf("Member must have value less than or equal to %d", *p.Max))
	}
	if p.Type == "integer" && p.Max == nil {
		p.accept(raw("3000000000"), raw("1e400"), 1.9)
	}
	if p.Type == "double" {
		p.wrong(raw("1e400"), "NaN")
	}
}

func (w *walker) structure(s modelShape, path string, in func(any) any) {
	least := func() map[string]any {
		out := map[string]any{}
		for _, member := range s.Required {
			out[member] = w.valid(s.Members[member].Shape)
		}
		return out
	}
	if !s.Union {
		w.expect(in(least()), "", "")
	} else {
		w.expect(in(least()), "ValidationException", violationAt(path, "Member must have exactly one member"))
	}
	unknown := least()
	unknown["Unknown"], unknown["unknown"] = []any{nil}, "x"
	if !s.Union {
		w.expect(in(unknown), "", "")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Members)) {
		inner := strings.TrimPrefix(path+"."+strings.ToLower(name[:1])+name[1:], ".")
		with := func(v any) any { out := least(); out[name] = v; return in(out) }
		without := least()
		delete(without, name)
		switch {
		case slices.Contains(s.Required, name):
			w.expect(with(nil), "ValidationException", violationAt(inner, "Member must not be null"))
			w.expect(in(without), "ValidationException", violationAt(inner, "Member must not be null"))
		case !s.Union:
			w.expect(with(nil), "", "")
		}
		w.value(s.Members[name].Shape, inner, with)
	}
}

// bad returns texts that violate a shape.
func (w *walker) bad(s modelShape) (out []string) {
	if s.Min != nil && *s.Min > 0 {
		out = append(out, strings.Repeat("a", *s.Min-1))
	}
	if s.Max != nil {
		out = append(out, strings.Repeat("a", *s.Max+1))
	}
	if s.Pattern != "" || s.Enum != nil {
		out = append(out, "no such text!")
	}
	return out
}

// textRules returns the constraints of a text in the order in which the service
// lists them.
func textRules(s modelShape) (out []string) {
	if s.Max != nil {
		out = append(out, fmt.Sprintf("Member must have length less than or equal to %d", *s.Max))
	}
	if s.Min != nil {
		out = append(out, fmt.Sprintf("Member must have length greater than or equal to %d", *s.Min))
	}
	if s.Enum != nil {
		out = append(out, "Member must satisfy enum value set: ["+strings.Join(s.Enum, ", ")+"]")
	}
	return out
}

// anyRule is the beginning of every constraint of a text.
const anyRule = "Member must "

// violationAt returns a part of the message about a violation.
func violationAt(path, rule string) string {
	return " at '" + path + "' failed to satisfy constraint: " + rule
}

// expect sends a request. exception is the expected exception, "" if the request
// must pass validation, whatever the operation answers then.
func (w *walker) expect(request any, exception, text string) {
	w.Helper()
	w.probes++
	body, err := json.Marshal(request)
	if err != nil {
		w.Fatal(err)
	}
	status, header, answer := w.server.Post(w.path, body)
	got := header.Get("x-amzn-errortype")
	if len(body) > 300 {
		body = append(body[:300], "…"...)
	}
	invalid := got == "ValidationException" || got == "SerializationException"
	switch {
	case len(header.Get("x-amzn-RequestId")) != 36 || header.Get("Content-Type") != "application/json":
		w.Errorf("%s %s: headers %v", w.operation, body, header)
	case status >= 500 && got != "NotImplementedException":
		w.Errorf("%s %s: %d %s", w.operation, body, status, answer)
	case exception == "" && invalid, exception != "" && (status != http.StatusBadRequest || got != exception):
		w.Errorf("%s %s: %d %s %s, not %q", w.operation, body, status, got, answer, exception)
	case text != "":
		one := "1 validation error detected: Value "
		if strings.HasSuffix(text, anyRule) {
			one = "" // a text of no characters does not match its pattern either
		}
		var e struct{ Message string }
		if err := json.Unmarshal(answer, &e); err != nil || !strings.HasPrefix(e.Message, one) || !strings.Contains(e.Message, text) {
			w.Errorf("%s %s: %s lacks %q", w.operation, body, answer, text)
		}
	}
}
