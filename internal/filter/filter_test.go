package filter_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/filter"
	"github.com/fluoro-io/fluoro/internal/trace"
)

func id(n byte) trace.SegmentID { return trace.SegmentID{7: n} }

func at(seconds float64) trace.Time { return trace.FromSeconds(1e9 + seconds) }

func text(s string) trace.Value    { return trace.Value{Kind: trace.StringValue, String: s} }
func number(f float64) trace.Value { return trace.Value{Kind: trace.NumberValue, Number: f} }
func boolean(b bool) trace.Value   { return trace.Value{Kind: trace.BoolValue, Bool: b} }

// shop returns one trace: a client calls "front", which calls "back" (with its own
// segment, faulted) and a DynamoDB table (inferred, throttled).
func shop() (*trace.Trace, *trace.Summary) {
	sub := &trace.Entity{ID: id(2), Name: "work", Start: at(0.1), End: at(0.2), User: "bob",
		Annotations: []trace.Annotation{{Key: "step", Value: text("one")}}}
	call := &trace.Entity{ID: id(3), Name: "back.example.com", Namespace: "remote", Start: at(0.2), End: at(1.7), Fault: true,
		HTTP: trace.HTTP{Status: 503, URL: "http://back.example.com/x"}}
	front := &trace.Entity{ID: id(1), Name: "front", Start: at(0), End: at(2), User: "alice", ResourceARN: "arn:front",
		HTTP:        trace.HTTP{URL: "http://shop/api/cart", Method: "GET", Status: 200, ClientIP: "192.0.2.1", UserAgent: "curl"},
		AWS:         &trace.AWS{AvailabilityZone: "eu-1a", InstanceID: "i-1"},
		Annotations: []trace.Annotation{{Key: "plan", Value: text("gold")}, {Key: "age", Value: number(31)}, {Key: "beta", Value: boolean(false)}},
		Subsegments: []*trace.Entity{sub, call}}
	back := &trace.Entity{ID: id(4), ParentID: id(3), Name: "back", Origin: "AWS::EC2::Instance", Start: at(0.4), End: at(7), Fault: true,
		HTTP: trace.HTTP{Status: 503}, Annotations: []trace.Annotation{{Key: "order.id", Value: text("7")}}}
	table := &trace.Entity{ID: id(5), Name: "DynamoDB", Namespace: "aws", Start: at(1), End: at(6), Throttle: true}
	back.Subsegments = []*trace.Entity{table}

	client := &trace.Node{Service: trace.Service{Name: "front", Type: "client"}, Client: true, Entities: []*trace.Entity{front}}
	nFront := &trace.Node{Service: trace.Service{Name: "front"}, Root: true, Entities: []*trace.Entity{front}}
	nBack := &trace.Node{Service: trace.Service{Name: "back", Type: "AWS::EC2::Instance", Account: "111122223333"}, Entities: []*trace.Entity{back}}
	nTable := &trace.Node{Service: trace.Service{Name: "orders", Type: "AWS::DynamoDB::Table"}, Inferred: true, Entities: []*trace.Entity{table}}
	t := &trace.Trace{Segments: []*trace.Entity{front, back}, Root: front, Start: at(0), End: at(7),
		Nodes: []*trace.Node{client, nFront, nBack, nTable},
		Edges: []*trace.Edge{
			{From: client, To: nFront, Calls: []*trace.Entity{front}},
			{From: nFront, To: nBack, Calls: []*trace.Entity{call}},
			{From: nBack, To: nTable, Calls: []*trace.Entity{table}}}}
	duration, response := 7*time.Second, 2*time.Second
	s := &trace.Summary{Start: t.Start, End: t.End, Duration: &duration, ResponseTime: &response, HTTP: front.HTTP,
		Users: []string{"alice", "bob"}, ResourceARNs: []string{"arn:front"}, InstanceIDs: []string{"i-1"}, Zones: []string{"eu-1a"},
		Annotations: []trace.AnnotationValues{{Key: "plan", Values: []trace.Value{text("gold")}}, {Key: "age", Values: []trace.Value{number(31)}},
			{Key: "beta", Values: []trace.Value{boolean(false)}}, {Key: "order.id", Values: []trace.Value{text("7")}}, {Key: "step", Values: []trace.Value{text("one")}}},
		FaultCauses: []trace.RootCause{{Services: []trace.CauseService{
			{Service: nBack.Service, Entities: []trace.CauseEntity{
				{Name: "back", Exceptions: []trace.Exception{}},
				{Name: "deserialize", Exceptions: []trace.Exception{{Type: "IOError", Message: "Access Denied"}}}}}}}},
		ResponseCauses: []trace.RootCause{{ClientImpacting: true, Services: []trace.CauseService{
			{Service: nFront.Service, Entities: []trace.CauseEntity{{Name: "front", Coverage: 1}, {Name: "back.example.com", Coverage: 0.75, Remote: true}}},
			{Service: nBack.Service, Entities: []trace.CauseEntity{{Name: "back", Coverage: 0.7}}}}}},
	}
	return t, s
}

var selections = []struct {
	expr string
	want bool
}{
	{"", true},
	{"   ", true},
	// outcome keywords look at the root only
	{"ok", true}, {"!ok", false}, {"ok = false", false}, {"ok != false", true}, {`ok = "true"`, true},
	{"fault", false}, {"error", false}, {"throttle", false}, {"NOT fault", true},
	{"partial", false}, {"inferred", true},
	// numbers
	{"responsetime > 1", true}, {"responseTime >= 2", true}, {"responsetime > 2", false}, {"responsetime = 2", true},
	{"duration >= 5 AND duration <= 8", true}, {"duration <3", false}, {"duration = \"slow\"", false}, {"duration", true},
	{"http.status = 200", true}, {"http.status != 200", false}, {"http.status", true}, {"responsetime < 2.5e0", true}, {"responsetime > -1", true},
	// strings
	{`http.url CONTAINS "/api/"`, true}, {`http.url BEGINSWITH "http://shop"`, true}, {`http.url ENDSWITH "cart"`, true}, {`http.url endswith "x"`, false},
	{`http.method = "GET"`, true}, {`http.method = "get"`, false}, {`http.method = GET`, true}, {`http.useragent`, true}, {`http.clientip != "192.0.2.1"`, false},
	{`user = "alice"`, true}, {`user = "bob"`, true}, {`user != "alice"`, true}, {`!(user = "alice")`, false}, {`user CONTAINS ""`, true}, {`!user`, false}, {`user = "\u0061lice"`, true},
	{`availabilityzone = "eu-1a"`, true}, {`instance.id = "i-1"`, true}, {`resource.arn ENDSWITH "front"`, true},
	// annotations
	{"annotation.age > 29", true}, {"annotation.age > 31", false}, {"!annotation.age", false}, {"annotation.absent", false}, {"!annotation.absent", true},
	{`annotation.absent != "x"`, false}, {`annotation.plan > 29`, false}, {`annotation.plan = "gold"`, true}, {`annotation[plan] = "gold"`, true}, {`annotation["plan"] = "gold"`, true},
	{`annotation[order.id] = "7"`, true}, {`annotation[Order.id] = "7"`, false}, {`annotation.Plan`, false},
	{"annotation.beta", false}, {"!annotation.beta", true}, {"annotation.beta = false", true}, {"annotation.beta != false", false}, {`annotation.step = "one"`, true},
	// connectives
	{"ok !partial duration > 2", true}, {"fault OR error OR ok", true}, {"fault AND ok OR ok", true}, {"fault AND (ok OR ok)", false}, {"((ok))", true}, {"!!ok", true},
	// services
	{`service("front")`, true}, {`service("nowhere")`, false}, {"service()", true}, {"service", true}, {`!service("front")`, false}, {`service("front") {}`, true},
	{`service("back") { fault }`, true}, {`service("back") { !fault }`, false}, {`service() { fault }`, true}, {`service() { throttle }`, true}, {`service() { error }`, false},
	{`service("front") { root = true and ok }`, true}, {`service(id(name: "front", type: "client")) { ok }`, true}, {`service(id(type: "AWS::DynamoDB::Table")) { inferred }`, true},
	{`service(id(account.id: "111122223333"))`, true}, {`service(id(account.id: "1"))`, false}, {`service("back") { responsetime >= 6.5 AND responsetime <= 7 }`, true},
	{`service("back") { name = "back" type = "AWS::EC2::Instance" }`, true}, {`service("back") { http.status = 503 }`, true}, {`service("front") { annotation.plan = "gold" }`, true},
	{`service("front") { annotation.step = "one" }`, true}, {`service("back") { annotation.plan = "gold" }`, false}, {`service("front") { user = "bob" }`, true},
	{`http.url BEGINSWITH "http://shop/" AND !service("elsewhere")`, true},
	// edges
	{`edge("front", "back")`, true}, {`edge("back", "front")`, false}, {`edge("front", "back") { fault }`, true}, {`edge("front", "back") { responsetime > 1.4 and responsetime < 1.6 }`, true},
	{`edge(id(name: "front", type: "client"), "front") { ok }`, true}, {`edge("front","back") { source.annotation.plan = "gold" }`, true},
	{`edge("front","back") { destination.annotation[order.id] = "7" }`, true}, {`edge("front","back") { annotation.plan }`, false},
	// groups
	{`group.name = "Default"`, true}, {`group.name != "Default"`, false}, {`group.name = "slow"`, true}, {`group.name = "fast"`, false}, {`group.name = "unknown"`, false}, {`group.name != "unknown"`, true},
	{`group.name = "slower"`, true}, {`group.name = "everything"`, true}, {`group.name = "double" AND !group.name = "fast"`, true}, {`group.name != "slower"`, false},
	{`group.arn = "arn:aws:xray:us-east-1:0:group/slow/X" AND user = "alice"`, true},
	// root causes
	{`rootcause.fault.service { name = "back" }`, true}, {`rootcause.fault.service { name = "front" }`, false}, {`rootcause.error.service { name = "back" }`, false},
	{`rootcause.responsetime.service { last and type = "AWS::EC2::Instance" }`, true}, {`rootcause.responsetime.service { first and name = "back" }`, false}, {`rootcause.responsetime.service { index = 1 }`, true},
	{`rootcause.responsetime.entity { last and coverage > 0.7 and remote }`, true}, {`rootcause.fault.exception { last and message = "Access Denied" }`, true}, {`rootcause.fault.exception { name = "IOError" }`, true},
	{`rootcause.fault.entity { last and name = "deserialize" }`, true}, {`rootcause.fault.entity { first and name = "deserialize" }`, false}, {`rootcause.fault.entity {}`, true},
	{`rootcause.json = #[{"Services":[{"Name":"back","EntityPath":[{"Name":"back"},{"Name":"deserialize"}]}]}]`, true},
	{`rootcause.json = #[{"Services":[{"Name":"back","EntityPath":[{"Name":"deserialize"},{"Name":"back"}]}]}]`, false},
	{`rootcause.json = #[{"Services":[{"EntityPath":[{"Exceptions":[{"Message":"Access Denied"}]}]}]}]`, true},
	{`rootcause.json != #[{"ClientImpacting":true}]`, false}, {`rootcause.json = #[]`, true},
}

// known are the groups that the expressions in these tests may name.
var known = map[string]string{"slow": "responsetime > 1", "fast": "responsetime < 1", "slower": `group.name = "slow" AND duration > 5`, "everything": "",
	"a": `ok OR group.arn = "arn:aws:xray:us-east-1:0:group/b/X"`, "b": `!group.name = "a"`, "double": `group.name = "slow" OR group.name = "slower"`}

func lookup(name, arn string) (*filter.Expr, bool) {
	if arn != "" {
		_, name, _ = strings.Cut(arn, "group/")
		name, _, _ = strings.Cut(name, "/")
	}
	text, found := known[name]
	if !found {
		return nil, false
	}
	e, err := filter.Parse(text)
	if err != nil {
		panic(err)
	}
	return e, true
}

// parse calls Parse and Resolve.
func parse(text string) (*filter.Expr, error) {
	e, err := filter.Parse(text)
	if err != nil {
		return nil, err
	}
	return e.Resolve(lookup)
}

func TestMatch(t *testing.T) {
	tr, s := shop()
	for _, c := range selections {
		e, err := parse(c.expr)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		if got := e.Match(tr, s); got != c.want {
			t.Errorf("%s: %v, want %v", c.expr, got, c.want)
		}
		again, err := parse(e.String())
		if err != nil || again.String() != e.String() {
			t.Errorf("%s: printed %q, which parses to %v, %v", c.expr, e, again, err)
		} else if got := again.Match(tr, s); got != c.want {
			t.Errorf("%s: printed %q, which gives %v", c.expr, e, got)
		}
		if c.want && !allows(e.Bounds(), tr, s) {
			t.Errorf("%s: matches, but its bounds %+v do not allow it", c.expr, e.Bounds())
		}
	}
}

// allows reports whether bounds admit a trace, as the strictest engine would apply them.
func allows(b filter.Bounds, t *trace.Trace, s *trace.Summary) bool {
	has := func(name string) bool {
		for _, n := range t.Nodes {
			if n.Name == name {
				return true
			}
		}
		return false
	}
	key := func(k string) bool {
		for _, a := range s.Annotations {
			if a.Key == k {
				return true
			}
		}
		return false
	}
	for _, n := range b.Services {
		if !has(n) {
			return false
		}
	}
	for _, k := range b.AnnotationKeys {
		if !key(k) {
			return false
		}
	}
	for _, want := range b.Annotations {
		if !slices.ContainsFunc(s.Annotations, func(a trace.AnnotationValues) bool { return a.Key == want.Key && slices.Contains(a.Values, want.Value) }) {
			return false
		}
	}
	for _, u := range b.Users {
		if !slices.Contains(s.Users, u) {
			return false
		}
	}
	for _, slow := range b.Slow {
		if !slices.ContainsFunc(t.Nodes, func(n *trace.Node) bool {
			return n.Name == slow.Name && slices.ContainsFunc(n.Entities, func(e *trace.Entity) bool { return !e.InProgress && time.Duration(e.Duration()) >= slow.Least })
		}) {
			return false
		}
	}
	for _, failed := range b.Failed {
		if !slices.ContainsFunc(t.Nodes, func(n *trace.Node) bool {
			return n.Name == failed.Name && slices.ContainsFunc(n.Entities, func(e *trace.Entity) bool {
				return map[trace.Outcome]bool{trace.Fault: e.HasFault(), trace.Error: e.Error || e.HasError(), trace.Throttle: e.HasThrottle()}[failed.Outcome]
			})
		}) {
			return false
		}
	}
	for _, alternatives := range b.Either {
		if !slices.ContainsFunc(alternatives, func(b filter.Bounds) bool { return allows(b, t, s) }) {
			return false
		}
	}
	within := func(v, low, high *time.Duration) bool {
		return (low == nil || v != nil && *v >= *low) && (high == nil || v != nil && *v <= *high)
	}
	flag := func(want *bool, have bool) bool { return want == nil || *want == have }
	return within(s.ResponseTime, b.MinResponse, b.MaxResponse) && within(s.Duration, b.MinDuration, b.MaxDuration) &&
		flag(b.Fault, s.HasFault) && flag(b.Error, s.HasError) && flag(b.Throttle, s.HasThrottle)
}

func TestParse_refuses(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{`annotation.owner = "12345678" AND (madeup = 7)`, "Error Location: line 1, position 36 : Invalid input symbol: 'ma'"},
		{"((fault)", "Error Location: line 1, position 9 : missing ')' at end of expression"},
		{"fault AND (", "Error Location: line 1, position 12 : Invalid input symbol: 'fault AND ('"},
		{"fault\nAND bogus", "Error Location: line 2, position 5 : Invalid input symbol: 'bo'"},
		{"é", "Error Location: line 1, position 1 : Invalid input symbol: 'é'"},
		{"fault AND", "position 10"}, {"AND fault", "'AND'"}, {"fault OR OR ok", "'OR'"}, {")", "')'"}, {"fault )", "')'"},
		{"fault > true", "operator '>'"}, {"duration CONTAINS 3", "operator 'CONTAINS'"}, {"http.url > \"a\"", "operator '>'"}, {`annotation.a > "x"`, "operator '>'"},
		{"duration >", "position 11"}, {`"fault"`, "position 1"}, {"3", "'3'"}, {"user = 'x'", "'''"}, {`user = "x`, "unterminated string"}, {`user = "\q"`, "invalid escape"},
		{"annotation", "annotation key expected"}, {"annotation.", "annotation key expected"}, {"annotation.a.b = 1", "annotation[a.b]"}, {"annotation[]", "annotation key expected"}, {"annotation[a = 1", "position"},
		{"name = \"x\"", "not valid at the top level"}, {"coverage > 1", "not valid"}, {`service("x") { root { } }`, "position"}, {`service("x") { service("y") }`, "position"},
		{`service("x") { fault `, "missing '}'"}, {`service("x"`, "missing ')'"}, {"service(x)", "position 9"}, {"service(id())", "position"}, {`service(id(name: "a", name: "b"))`, "given twice"}, {`service(id(nome: "a"))`, "position"},
		{`edge("a")`, "missing ','"}, {"edge()", "position"}, {`edge("a","b") { name = "x" }`, "not valid inside edge()"}, {"edge", "missing '('"},
		{"rootcause.fault.service", "missing '{'"}, {"rootcause.fault.entity { coverage > 0.5 }", "not valid"}, {`rootcause.fault.service { message = "x" }`, "not valid"}, {"rootcause.json = 3", "position"}, {"rootcause.json = #{}", "JSON array"}, {"rootcause.json = #[", "JSON array"},
		{"group.name", "position"}, {`group.name > "x"`, "position"}, {"group.name = 3", "position"},
		{strings.Repeat("(", 1000) + "ok" + strings.Repeat(")", 1000), "deeper than 128"}, {strings.Repeat("!", 1000) + "ok", "deeper than 128"}, {"fault = \xff", "UTF-8"}, {"1e999 > duration", "position"}, {"duration > 1e999", "position"}, {"fault = maybe", "position"}, {"ok;", "';'"},
	} {
		e, err := parse(c.expr)
		if err == nil {
			t.Errorf("%.60s: parsed as %.60s", c.expr, e)
			continue
		}
		var se *filter.SyntaxError
		if !errors.As(err, &se) || trace.KindOf(err) != trace.KindInvalid || !strings.HasPrefix(err.Error(), "Error Location: line ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: %v, want %q in it", c.expr, err, c.want)
		}
	}
}

func TestResolve(t *testing.T) {
	for text, want := range map[string]string{
		`group.name = "a"`: "group 'a' leads back to the group itself",
		`ok OR !(fault group.arn = "arn:aws:xray:us-east-1:0:group/b/X")`: "group 'arn:aws:xray:us-east-1:0:group/b/X' leads back",
	} {
		e, err := filter.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Resolve(lookup); trace.KindOf(err) != trace.KindInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	// Groups that name the next one twice, and a group that leads back to itself.
	twice := func(name, _ string) (*filter.Expr, bool) {
		e, err := filter.Parse(`group.name = "` + name + `x" OR group.name = "` + name + `x"`)
		return e, err == nil && len(name) < 60
	}
	endless := func(name, _ string) (*filter.Expr, bool) {
		e, err := filter.Parse(`group.name = "` + name + `x"`)
		return e, err == nil
	}
	e, err := filter.Parse(`group.name = "x"`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Resolve(twice); trace.KindOf(err) != trace.KindInvalid || !strings.Contains(err.Error(), "10000 terms") {
		t.Errorf("doubling groups: %v", err)
	}
	if _, err := e.Resolve(endless); trace.KindOf(err) != trace.KindInvalid || !strings.Contains(err.Error(), "128 levels") {
		t.Errorf("endless groups: %v", err)
	}
	// Without a lookup only Default has traces.
	tr, s := shop()
	for text, want := range map[string]bool{`group.name = "slow"`: false, `group.name != "slow"`: true, `group.name = "Default"`: true, `group.arn = "arn:aws:xray:us-east-1:0:group/Default"`: true} {
		e, err := filter.Parse(text)
		if err == nil {
			e, err = e.Resolve(nil)
		}
		if err != nil || e.Match(tr, s) != want {
			t.Errorf("%s without groups: %v, want %v", text, err, want)
		}
	}
}

func TestMatchService_matchedEntityMustEndInWindow(t *testing.T) {
	tr, s := shop()
	early, late := trace.Window{Start: at(1.5), End: at(3)}, trace.Window{Start: at(6.5), End: at(8)}
	for _, c := range []struct {
		expr        string
		early, late bool
	}{
		{`service("front")`, true, false}, {`service("back")`, false, true}, {`edge("front","back")`, true, false}, {`service("front") AND ok`, true, false},
		{`ok`, false, true}, {``, false, true}, {`!service("nowhere")`, false, true}, {`service("front") AND !service("nowhere")`, true, false}, {`service("front") AND !service("back")`, false, false},
	} {
		e, err := filter.Parse(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := e.MatchService(tr, s, early), e.MatchService(tr, s, late); a != c.early || b != c.late {
			t.Errorf("%s: %v early, %v late; want %v, %v", c.expr, a, b, c.early, c.late)
		}
	}
}

func TestBounds(t *testing.T) {
	e, err := filter.Parse(`service("a") { fault } AND edge("a", "b") responsetime > 0.5 duration <= 3 !fault error = true annotation.k = "v" (user = "x" OR throttle)`)
	if err != nil {
		t.Fatal(err)
	}
	b := e.Bounds()
	if strings.Join(b.Services, ",") != "a,b" || strings.Join(b.AnnotationKeys, ",") != "k" || *b.MinResponse != time.Second/2 || b.MaxResponse != nil ||
		*b.MaxDuration != 3*time.Second || b.MinDuration != nil || *b.Fault || !*b.Error || b.Throttle != nil {
		t.Errorf("got %+v", b)
	}
}

// oddKeys are attribute names and how they are written in brackets.
var oddKeys = []struct{ written, key string }{
	{`a b`, "a b"}, {` a b `, "a b"}, {`"a b"`, "a b"}, {`" a "`, " a "}, {`a=b<c>d~e`, "a=b<c>d~e"}, {`"a=b"`, "a=b"}, {`"q\"q"`, `q"q`}, {`"a]b"`, "a]b"},
	{`"back\\slash"`, `back\slash`}, {`back\slash`, `back\slash`}, {`日本 é`, "日本 é"}, {`"\u65e5\ud83d\ude00"`, "日😀"}, {`"tab\tline\n"`, "tab\tline\n"},
	{"\"a\tb\nc\"", "a\tb\nc"}, {`a.b-c/d:e`, "a.b-c/d:e"}, {`1`, "1"}, {`and`, "and"}, {`"="`, "="}, {`{}()!,#`, "{}()!,#"}, {"\u2028", "\u2028"},
}

// An attribute is found by its original name, however it is written, also after
// printing; a different name does not find it.
func TestAnnotationKeys_areWrittenInManyWays(t *testing.T) {
	for _, c := range oddKeys {
		for key, want := range map[string]bool{c.key: true, c.key + "x": false, strings.ToUpper(c.key) + ".": false} {
			body, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{"scopeSpans": []any{map[string]any{"spans": []any{map[string]any{
				"traceId": "00000000000000000000000000000001", "spanId": "0000000000000002", "name": "a", "kind": 2, "endTimeUnixNano": "1",
				"attributes": []any{map[string]any{"key": key, "value": map[string]any{"intValue": "1"}}}}}}}}}})
			if err != nil {
				t.Fatal(err)
			}
			spans, err := otlp.JSON(body, 1)
			if err != nil || len(spans.Segments) != 1 {
				t.Fatal(err)
			}
			tr := assemble.Trace(spans.Segments[0].TraceID, spans.Segments)
			s := assemble.Summary(tr)
			for _, text := range []string{"annotation[" + c.written + "] = 1", "annotation [" + c.written + "]", `service() { annotation[` + c.written + `] < 2 }`} {
				e, err := filter.Parse(text)
				if err != nil {
					t.Errorf("%s: %v", text, err)
					continue
				}
				again, err := filter.Parse(e.String())
				if err != nil || again.String() != e.String() {
					t.Errorf("%s: printed %s, %v", text, e, err)
					continue
				}
				if e.Match(tr, s) != want || again.Match(tr, s) != want {
					t.Errorf("%s and its print %s: with %q %v, %v, want %v", text, e, key, e.Match(tr, s), again.Match(tr, s), want)
				}
			}
		}
	}
	for text, place := range map[string]string{
		`annotation["a b" = 1`: "position 18 : missing ']'", `ok annotation[""]`: "position 15 : annotation key expected", `annotation["é" x]`: "position 16 : missing ']'",
		`annotation["\x"]`: "position 12 : invalid escape", `annotation["a]`: "position 12 : unterminated string",
	} {
		if _, err := filter.Parse(text); err == nil || !strings.Contains(err.Error(), place) {
			t.Errorf("%s: %v, want %s", text, err, place)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range selections {
		f.Add(c.expr)
	}
	f.Add(`annotation["a]b"] = "\ud83d\ude00" AND ((`)
	for _, c := range oddKeys {
		f.Add("service(\"a\") { annotation[" + c.written + "] = 1 }")
	}
	tr, s := shop()
	f.Fuzz(func(t *testing.T, text string) {
		if entities, err := filter.ParseEntities(text); err == nil {
			if again, err := filter.ParseEntities(entities.String()); err != nil || again.String() != entities.String() {
				t.Fatalf("%q: printed %q, which parses to %v, %v", text, entities, again, err)
			}
			if _, err := filter.Parse(text); err != nil {
				t.Fatalf("%q is a selector, but no filter: %v", text, err)
			}
		}
		e, err := filter.Parse(text)
		if err != nil {
			var se *filter.SyntaxError
			if !errors.As(err, &se) || se.Line < 1 || se.Position < 1 {
				t.Fatalf("%q: error without a position: %v", text, err)
			}
			return
		}
		again, err := filter.Parse(e.String())
		if err != nil || again.String() != e.String() {
			t.Fatalf("%q: printed %q, which parses to %v, %v", text, e, again, err)
		}
		if e, err = e.Resolve(lookup); err != nil {
			return
		}
		if again, err = again.Resolve(lookup); err != nil {
			t.Fatalf("%q cannot be resolved, though what was printed can: %v", e, err)
		}
		if m := e.Match(tr, s); m != again.Match(tr, s) {
			t.Fatalf("%q and its print %q differ", text, e)
		} else if m && !allows(e.Bounds(), tr, s) {
			t.Fatalf("%q matches, but its bounds do not allow it", text)
		}
	})
}
