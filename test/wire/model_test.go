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

// deviations are where Fluoro takes more, or less, than the model says.
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

// TestModel asks every operation about every member and judges the answers from
// the API model alone.
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

// valid is the least value of a shape.
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

// text is a text of n characters that fits a shape but for its length.
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

// value probes a value; in makes the whole request of it.
func (w *walker) value(name, path string, in func(any) any) {
	s := w.Shapes[name]
	accept := func(values ...any) {
		for _, v := range values {
			w.expect(in(v), "", "")
		}
	}
	wrong := func(values ...any) {
		for _, v := range values {
			w.expect(in(v), "SerializationException", "")
		}
	}
	broken := func(v any, rule string) { w.expect(in(v), "ValidationException", violationAt(path, rule)) }
	null, list, object, raw := any(nil), []any{}, map[string]any{}, func(text string) any { return json.RawMessage(text) }
	switch s.Type {
	case "structure":
		w.structure(s, path, in)
		if wrong(list); path != "" {
			wrong("x", 1, true)
		}
	case "list":
		element := w.Shapes[s.Member.Shape]
		repeat := func(n int) []any { return slices.Repeat([]any{w.valid(s.Member.Shape)}, n) }
		accept(repeat(1))
		if s.Max != nil {
			accept(repeat(*s.Max))
			broken(repeat(*s.Max+1), fmt.Sprintf("Member must have length less than or equal to %d", *s.Max))
		}
		wrong("x", 1, false, object)
		switch {
		case w.operation == "PutTraceSegments":
			wrong([]any{null}, []any{1}, []any{list})
		case element.Type == "structure":
			inner := path + ".1.member"
			w.expect(in([]any{null}), "ValidationException", violationAt(inner, "Member must not be null"))
			w.value(s.Member.Shape, inner, func(v any) any { return in([]any{v}) })
		default:
			all := strings.Join(textRules(element), ", ")
			nulls := []any{w.valid(s.Member.Shape), null}
			if s.Max != nil && *s.Max < len(nulls) {
				nulls = nulls[1:]
			}
			broken(nulls, "Member must satisfy constraint: ["+all+", Member must not be null]")
			for _, bad := range w.bad(element) {
				broken([]any{bad}, "Member must satisfy constraint: ["+all+"]")
			}
			wrong([]any{1}, []any{list}, []any{object})
		}
	case "map":
		key, value := w.Shapes[s.Key.Shape], w.Shapes[s.Value.Shape]
		accept(object, map[string]any{w.text(key, 1): w.text(value, 1)}, map[string]any{w.text(key, *key.Max): w.text(value, *value.Max)})
		wrong(list, "x", 1, true, map[string]any{"a": 1}, map[string]any{"a": list})
		many := map[string]any{}
		for i := range *s.Max + 1 {
			many[fmt.Sprint(i)] = "v"
		}
		broken(many, fmt.Sprintf("Member must have length less than or equal to %d", *s.Max))
		for _, bad := range w.bad(key) {
			broken(map[string]any{bad: "v"}, "Map keys must satisfy constraint: ["+strings.Join(textRules(key), ", ")+"]")
		}
		for _, bad := range w.bad(value) {
			broken(map[string]any{"k": bad}, "Map value must satisfy constraint: ["+strings.Join(textRules(value), ", ")+"]")
		}
	case "string":
		wrong(1, true, list, object)
		accept(w.text(s, 1))
		for _, v := range s.Enum {
			accept(v)
		}
		if s.Enum == nil && s.Pattern == "" && s.Max == nil {
			accept("", strings.Repeat("ä", 5000))
		}
		if s.Max != nil {
			accept(w.text(s, *s.Max))
		}
		for _, bad := range w.bad(s) {
			broken(bad, anyRule)
		}
	case "integer", "double":
		wrong("1", true, list, object)
		accept(1, 1.0, raw("1e0"))
		for _, bound := range []*int{s.Min, s.Max} {
			if bound != nil {
				accept(*bound)
			}
		}
		step := map[string]float64{"integer": 1, "double": 0.001}[s.Type]
		if s.Min != nil {
			broken(float64(*s.Min)-step, fmt.Sprintf("Member must have value greater than or equal to %d", *s.Min))
		}
		if s.Max != nil {
			broken(float64(*s.Max)+step, fmt.Sprintf("Member must have value less than or equal to %d", *s.Max))
			broken(raw("1e99"), fmt.Sprintf("Member must have value less than or equal to %d", *s.Max))
		}
		if s.Type == "integer" && s.Max == nil {
			accept(raw("3000000000"), raw("1e400"), 1.9)
		}
		if s.Type == "double" {
			wrong(raw("1e400"), "NaN")
		}
	case "boolean":
		accept(true, false)
		wrong("true", 1, list, object)
	case "timestamp":
		now := time.Now()
		accept(now.Unix(), float64(now.UnixMilli())/1000, now.UnixMilli(), now.Format(time.RFC3339Nano), 0, -1, raw("1.8E9"))
		wrong("yesterday", "1700000000", true, list, object, raw("1e300"), raw("-1e300"), raw("1e999"))
	default:
		w.Fatalf("%s: the test knows no type %q", name, s.Type)
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

// bad are texts that break a shape.
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

// textRules are the constraints of a text in the order in which collections list
// them.
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

// anyRule begins every rule for a text.
const anyRule = "Member must "

// violationAt is what a violation's text holds.
func violationAt(path, rule string) string {
	return " at '" + path + "' failed to satisfy constraint: " + rule
}

// expect sends a request. exception is the answer's, "" for one that passes the
// validation, whatever the operation says then.
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
