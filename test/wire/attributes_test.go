package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// attribute returns an OTLP/JSON KeyValue: value is a string, bool, int or float64.
func attribute(key string, value any) map[string]any {
	v := map[string]any{}
	switch x := value.(type) {
	case string:
		v["stringValue"] = x
	case bool:
		v["boolValue"] = x
	case int:
		v["intValue"] = fmt.Sprint(x)
	case float64:
		v["doubleValue"] = x
	default:
		v["arrayValue"] = map[string]any{"values": []any{map[string]any{"stringValue": "in an array"}}}
	}
	return map[string]any{"key": key, "value": v}
}

// resourceOf returns the attributes of a service's resource: its name and more.
func resourceOf(service string, more ...any) []any {
	return append([]any{attribute("service.name", service)}, more...)
}

// sendSpan sends SERVER span number n and returns its trace id.
func sendSpan(t *testing.T, s *harness.Server, n int, resource, attributes []any) string {
	t.Helper()
	id := fmt.Sprintf("%032x", n+1)
	now := time.Now().UnixNano()
	body, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{
		"resource": map[string]any{"attributes": resource},
		"scopeSpans": []any{map[string]any{"spans": []any{map[string]any{
			"traceId": id, "spanId": fmt.Sprintf("%016x", n+1), "name": "GET /", "kind": 2,
			"startTimeUnixNano": fmt.Sprint(now), "endTimeUnixNano": fmt.Sprint(now + 1e6), "attributes": attributes,
		}}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(s.URL("/v1/traces"), "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK || strings.Contains(string(text), "rejected") {
		t.Fatalf("status %d, %s", answer.StatusCode, text)
	}
	return "1-" + id[:8] + "-" + id[8:]
}

// attributeCase is a filter expression and the ids of the traces that it selects.
type attributeCase struct {
	expression string
	want       []string
}

// attributeCases returns the cases over the three traces of TestAttributes_areFound;
// odd is the name of an attribute that a filter has to quote.
func attributeCases(odd, one, two, three string) []attributeCase {
	quoted, _ := json.Marshal(odd)
	return []attributeCase{
		{`annotation.tenant = "x"`, []string{one, three}},
		{`annotation.tenant`, []string{one, two, three}},
		{`annotation.tenant != "x"`, []string{two}},
		{`annotation[http.route] BEGINSWITH "/a"`, []string{one}},
		{`annotation[http.route] BEGINSWITH "/b"`, nil},
		{`annotation[http.request.method] = "GET"`, []string{one}},
		{`annotation[http.method] = "GET"`, []string{one}},
		{`annotation[db.system] = "mysql"`, []string{one}},
		{`annotation[user.id] = "ann"`, []string{one}},
		{`annotation[enduser.id] = "ann"`, []string{one}},
		{`annotation[aws.request.id] = "r-1"`, []string{one}},
		{`annotation.count = 5`, []string{one}},
		{`annotation.count = 5.0`, []string{one}},
		{`annotation.count > 5`, []string{two}},
		{`annotation.count = "5"`, nil},
		{`annotation.five = 5`, []string{one}},
		{`annotation.text = "5"`, []string{one}},
		{`annotation.text = 5`, nil},
		{`annotation.ratio <= 0.25`, []string{one}},
		{`annotation.neg = -3`, []string{one}},
		{`annotation.on = true`, []string{one}},
		{`annotation.on`, []string{one}},
		{`annotation.on = false`, []string{two}},
		{`annotation.off = false`, []string{one}},
		{`annotation.on = "true"`, nil},
		{`annotation.empty = ""`, []string{one}},
		{`annotation.list`, nil},
		{`annotation.MiXed = 1`, []string{one}},
		{`annotation.mixed = 1`, nil},
		{`annotation[1digit] = 1`, []string{one}},
		{`annotation[` + string(quoted) + `] = "odd"`, []string{one}},
		{`annotation["a b"] = "blank"`, []string{three}},
		{`annotation[service.version] = "1.2"`, []string{one}},
		{`annotation["service.name"] = "cart"`, []string{two}},
		{`annotation.replicas = 3`, []string{one}},
		{`service("shop") { annotation[k8s.pod.name] = "p-1" }`, []string{one}},
		{`service("cart") { annotation[k8s.pod.name] = "p-1" }`, nil},
		{`service("cart") { annotation.tenant = "y" AND annotation[service.version] = "2.0" }`, []string{two}},
		{`!annotation.replicas`, []string{two, three}},
		{`annotation.tenant = "y" OR annotation.replicas = 3`, []string{one, two}},
	}
}

// Every scalar attribute of spans and resources is an annotation for search, with
// its original name and type: while its trace is open, after it settled, and after a
// restart (issue 14, lines 11 and 12).
func TestAttributes_areFound(t *testing.T) {
	s := harness.Start(t, "--settle", "300ms")
	odd := "a b=c<d~e\"f]g\\h é 日本"
	all := []any{
		attribute("tenant", "x"), attribute("http.route", "/a/{id}"), attribute("http.request.method", "GET"), attribute("http.method", "GET"),
		attribute("count", 5), attribute("ratio", 0.25), attribute("five", 5.0), attribute("text", "5"), attribute("on", true), attribute("off", false),
		attribute(odd, "odd"), attribute("empty", ""), attribute("list", nil), attribute("db.system", "mysql"), attribute("user.id", "ann"),
		attribute("aws.request.id", "r-1"), attribute("enduser.id", "ann"), attribute("MiXed", 1), attribute("1digit", 1), attribute("neg", -3),
	}
	one := sendSpan(t, s, 0, resourceOf("shop", attribute("service.version", "1.2"), attribute("replicas", 3), attribute("k8s.pod.name", "p-1")), all)
	two := sendSpan(t, s, 1, resourceOf("cart", attribute("service.version", "2.0")), []any{attribute("tenant", "y"), attribute("count", 6), attribute("on", false)})
	s.Put(`{"trace_id":"1-00000000-000000000000000000000003","id":"0000000000000003","name":"docs","start_time":` +
		fmt.Sprint(time.Now().Unix()) + `,"end_time":` + fmt.Sprint(time.Now().Unix()+1) + `,"annotations":{"tenant":"x","a b":"blank"}}`)
	three := "1-00000000-000000000000000000000003"
	cases := attributeCases(odd, one, two, three)
	check := func(when string) {
		t.Helper()
		for _, c := range cases {
			var got []string
			for _, sum := range s.Summaries(c.expression) {
				got = append(got, sum.Id)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %s\n\tselects %v\n\twant    %v", when, c.expression, got, c.want)
			}
		}
		var p struct {
			TraceSummaries []struct {
				ID          string `json:"Id"`
				Annotations map[string][]struct{ AnnotationValue map[string]any }
			}
		}
		s.Ask("/TraceSummaries", map[string]any{"StartTime": 0, "EndTime": time.Now().Unix() + 10, "FilterExpression": `annotation.replicas`}, &p)
		if len(p.TraceSummaries) != 1 {
			t.Fatalf("%s: %d summaries", when, len(p.TraceSummaries))
		}
		for key, want := range map[string]any{odd: "odd", "count": 5.0, "on": true, "http.method": "GET", "service.version": "1.2"} {
			got := p.TraceSummaries[0].Annotations[key]
			if len(got) != 1 || !slices.Contains(slices.Collect(maps.Values(got[0].AnnotationValue)), want) {
				t.Errorf("%s: annotation %q is %v, want %v", when, key, got, want)
			}
		}
	}
	check("open")
	harness.Eventually(t, "all are settled", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
	check("settled")
	s.Stop()
	s.Restart("--settle", "300ms")
	check("after a restart")

	window := fmt.Sprintf("start=0&end=%d&", time.Now().Unix()+10)
	var facets struct{ Values []struct{ Value string } }
	fetchJSON(t, s, "/console/api/facets?"+window+"of="+url.QueryEscape("annotation."+odd), &facets)
	if len(facets.Values) != 1 || facets.Values[0].Value != "odd" {
		t.Errorf("facets of a name with signs in it: %v", facets)
	}
	fetchJSON(t, s, "/console/api/facets?top=1000&"+window, &facets)
	for _, want := range []string{"annotation.tenant", "annotation.http.route", "annotation.service.version", "annotation." + odd} {
		if !slices.ContainsFunc(facets.Values, func(v struct{ Value string }) bool { return v.Value == want }) {
			t.Errorf("%s is not among the attributes %v", want, facets.Values)
		}
	}
	// The document is X-Ray's: only attributes that a span lists are annotations.
	for _, d := range documents(t, s, one) {
		if _, has := d["annotations"]; has || !strings.Contains(fmt.Sprint(d["metadata"]), "tenant") {
			t.Errorf("document %v", d)
		}
	}
}

// A setting excludes attributes, or makes search work as in X-Ray.
func TestAttributes_setting(t *testing.T) {
	listed := map[string]any{"key": "aws.xray.annotations", "value": map[string]any{"arrayValue": map[string]any{"values": []any{map[string]any{"stringValue": "tenant"}}}}}
	for setting, want := range map[string]map[string]int{
		"*,!http.*":       {`annotation.tenant`: 1, `annotation[http.route]`: 0, `annotation[a.b]`: 1},
		"!http.*,!*.b":    {`annotation.tenant`: 1, `annotation[http.route]`: 0, `annotation[a.b]`: 0},
		"!*,http.*,a*":    {`annotation[http.route]`: 1, `annotation[a.b]`: 1, `annotation.plain`: 0},
		"http.route,ten*": {`annotation.tenant`: 1, `annotation[http.route]`: 1, `annotation[a.b]`: 0},
		"listed":          {`annotation.tenant`: 1, `annotation[http.route]`: 0, `annotation[a.b]`: 0, `annotation.plain`: 0},
	} {
		s := harness.Start(t, "--search-attributes", setting, "--settle", "200ms")
		sendSpan(t, s, 0, resourceOf("shop"), []any{attribute("tenant", "x"), attribute("http.route", "/a"), attribute("a.b", 1), attribute("plain", 1), listed})
		for _, settled := range []bool{false, true} {
			for expression, n := range want {
				if got := s.Summaries(expression); len(got) != n {
					t.Errorf("%s, settled %v: %s selects %d, want %d", setting, settled, expression, len(got), n)
				}
			}
			harness.Eventually(t, "it is settled", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
		}
		s.Stop()
	}
}

// Keys and values over the budget are found, too, and reported.
func TestAttributes_overTheBudget(t *testing.T) {
	s := harness.Start(t, "--annotation-keys", "6", "--annotation-values", "20", "--settle", "200ms")
	const n = 200
	for i := range n {
		sendSpan(t, s, i, resourceOf("shop"), []any{attribute("request", fmt.Sprintf("r-%d", i)), attribute("tier", "gold"), attribute(fmt.Sprintf("key %d", i%20), i)})
		if i == n/2 { // so that a block without earlier values is over the budget, too
			harness.Eventually(t, "all are settled", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
		}
	}
	harness.Eventually(t, "all are settled", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
	for i := range n {
		for _, expression := range []string{fmt.Sprintf(`annotation.request = "r-%d"`, i), fmt.Sprintf(`annotation["key %d"] = %d`, i%20, i)} {
			if got := s.Summaries(expression); len(got) != 1 {
				t.Fatalf("%s selects %d traces, want 1", expression, len(got))
			}
		}
	}
	if got := s.Summaries(`annotation.request = "r-200"`); len(got) != 0 {
		t.Errorf("a value that was never sent selects %d traces", len(got))
	}
	var status struct {
		Store struct {
			Search struct {
				Keys         int
				TracesBeyond int      `json:"traces_beyond"`
				ManyValues   []string `json:"many_values"`
			}
		}
	}
	fetchJSON(t, s, "/console/api/status", &status)
	if got := status.Store.Search; got.Keys != 6 || got.TracesBeyond == 0 || !slices.Contains(got.ManyValues, "000000000000 request") {
		t.Errorf("status %+v", got)
	}
	if s.Metric("fluoro_search_keys") != 6 || s.Metric("fluoro_search_traces_beyond") == 0 || s.Metric("fluoro_search_keys_many_values") == 0 {
		t.Error("the metrics do not say what is over the budget")
	}
}

// A changed choice of attributes also applies to traces that settled under the
// earlier one.
func TestAttributes_settingIsChanged(t *testing.T) {
	s := harness.Start(t, "--search-attributes", "listed", "--settle", "200ms")
	sendSpan(t, s, 0, resourceOf("shop"), []any{attribute("tenant", "x"), attribute("plan", "gold")})
	for n, c := range []struct {
		setting string
		want    map[string]int
	}{
		{"listed", map[string]int{`annotation.tenant = "x"`: 0, `annotation.plan`: 0, `!annotation.plan`: 1}},
		{"*", map[string]int{`annotation.tenant = "x"`: 2, `annotation.plan`: 2, `annotation.plan = "tin"`: 0}},
		{"plan", map[string]int{`annotation.tenant = "x"`: 0, `annotation.plan = "gold"`: 3}},
		{"tenant", map[string]int{`annotation.tenant = "x"`: 4, `annotation.plan = "gold"`: 0}},
		{"listed", map[string]int{`annotation.tenant = "x"`: 0, `annotation.plan`: 0, `!annotation.plan`: 5}},
	} {
		if n > 0 {
			s.Stop()
			s.Restart("--search-attributes", c.setting, "--settle", "200ms")
			sendSpan(t, s, n, resourceOf("shop"), []any{attribute("tenant", "x"), attribute("plan", "gold")})
		}
		for _, when := range []string{"open", "settled"} {
			for expression, want := range c.want {
				if got := s.Summaries(expression); len(got) != want {
					t.Errorf("%d: %s, %s: %s selects %d, want %d", n, c.setting, when, expression, len(got), want)
				}
			}
			harness.Eventually(t, "all are settled", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
		}
	}
}
