package wire_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/test/harness"
)

// fetchJSON GETs an endpoint of the console.
func fetchJSON(t *testing.T, s *harness.Server, path string, answer any) int {
	t.Helper()
	r, err := http.Get(s.URL(path))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, answer); err != nil {
		t.Fatalf("%s: %v: %s", path, err, b)
	}
	return r.StatusCode
}

func TestConsoleSeries(t *testing.T) {
	s := harness.Start(t)
	_, a := numbered(1000, `,"http":{"request":{"url":"/a","method":"GET"},"response":{"status":200}}`)
	_, b := numbered(1001, `,"http":{"request":{"url":"/a","method":"GET"},"response":{"status":500}},"fault":true`)
	_, c := numbered(1100, `,"http":{"request":{"url":"/b","method":"GET"},"response":{"status":200}}`)
	s.Put(a, b, c)
	type group struct {
		Value                   string
		Count, Ok, Fault, Error int
		P50                     float64
		Points                  []struct {
			Start, P99 float64
			Count      int
		}
	}
	var got struct {
		Matched  int
		Complete bool
		Groups   []group
		Other    *group
	}
	status := fetchJSON(t, s, "/console/api/series?start=900&end=1200&bucket=60&group=url&filter="+url.QueryEscape(`service("front")`), &got)
	if status != 200 || got.Matched != 3 || !got.Complete || len(got.Groups) != 2 || got.Other != nil {
		t.Fatalf("%d %+v", status, got)
	}
	if g := got.Groups[0]; g.Value != "/a" || g.Count != 2 || g.Ok != 1 || g.Fault != 1 || g.P50 != .5 || len(g.Points) != 1 || g.Points[0].Start != 960 {
		t.Errorf("%+v", g)
	}
	if fetchJSON(t, s, "/console/api/series?start=900&end=1200&group=edge", &got); len(got.Groups) != 1 || got.Groups[0].Value != "client -> front" || got.Groups[0].Count != 3 {
		t.Errorf("edges: %+v", got)
	}
	var facets struct {
		Values []struct {
			Value string
			Count int
		}
	}
	if fetchJSON(t, s, "/console/api/facets?start=900&end=1200&of=url&prefix=/", &facets); len(facets.Values) != 2 || facets.Values[0].Value != "/a" || facets.Values[0].Count != 2 {
		t.Errorf("facets: %+v", facets)
	}
	var compared struct {
		Differences []struct {
			Attribute, Value string
			Score            float64
		}
	}
	fetchJSON(t, s, "/console/api/compare?start=900&end=1200&filter=fault&against=ok&top=2", &compared)
	// One of one against none of two: z is 1/sqrt(2/9 * 3/2) = 1.732; equal scores
	// are in order of value.
	if d := compared.Differences; len(d) != 2 || d[0].Attribute != "status" || d[0].Value != "200" || d[1].Value != "500" || d[1].Score < 1.73 || d[1].Score > 1.74 {
		t.Errorf("differences: %+v", d)
	}
	var histogram struct {
		Groups []struct {
			Count int
			Bins  []struct {
				From, To float64
				Count    int
			}
		}
	}
	if fetchJSON(t, s, "/console/api/histogram?start=900&end=1200&time=duration", &histogram); len(histogram.Groups) != 1 || len(histogram.Groups[0].Bins) != 1 || histogram.Groups[0].Bins[0].From != .5 || histogram.Groups[0].Bins[0].Count != 3 {
		t.Errorf("histogram: %+v", histogram)
	}
	for query, names := range map[string]string{
		"":                              "start: is required",
		"start=1&end=2&filter=service(": "Error Location: line 1, position 9",
		"start=1&end=2&group=color":     "group:",
		"start=1&end=2&top=0":           "top:",
		"start=0&end=1e6&bucket=1":      "bucket:",
		"start=2&end=1":                 "end:",
		"start=1&end=2&colour=1":        "colour",
		"start=1&end=2&start=3":         "start: is given 2 times",
	} {
		var refusal struct{ Error struct{ Message string } }
		if status := fetchJSON(t, s, "/console/api/series?"+query, &refusal); status != 400 || !strings.Contains(refusal.Error.Message, names) {
			t.Errorf("%q: %d %q, want %q", query, status, refusal.Error.Message, names)
		}
	}
}

// Members that are not indexed are found too, case-insensitive, page by page.
func TestConsoleSearch(t *testing.T) {
	s := harness.Start(t)
	older, a := numbered(1000, `,"metadata":{"default":{"order":"Needle-1"}}`)
	newer, b := numbered(1001, `,"subsegments":[{"id":"00000000000000aa","name":"db","start_time":1001,"end_time":1001.1,"sql":{"sanitized_query":"select needle"}}]`)
	_, c := numbered(1002, "")
	s.Put(a, b, c)
	type found struct {
		Matched  int
		Complete bool
		Traces   []struct{ Id, Name string }
		Token    string
	}
	var p, q found
	const path = "/console/api/search?start=900&end=1200&top=1&text=NEEDLE"
	if status := fetchJSON(t, s, path, &p); status != 200 || len(p.Traces) != 1 || p.Traces[0].Id != newer || p.Token == "" || p.Complete {
		t.Fatalf("%d %+v", status, p)
	}
	if fetchJSON(t, s, path+"&token="+p.Token, &q); len(q.Traces) != 1 || q.Traces[0].Id != older {
		t.Errorf("%+v", q)
	}
	var refusal struct{ Error struct{ Message string } }
	if status := fetchJSON(t, s, path+"&token=zz", &refusal); status != 400 || !strings.Contains(refusal.Error.Message, "token") {
		t.Errorf("%d %+v", status, refusal)
	}
}

// Services and edges count their own segments and calls; a comparison without a
// second filter uses the rest; search finds members and values.
func TestConsoleAnalytics_ofOneSystem(t *testing.T) {
	s := harness.Start(t)
	for n := range 4 {
		id, span, slow := fmt.Sprintf("1-00000000-%024x", 0xa00+n), 0xb00+n*16, n == 3
		plan, took := "free", 0.25
		if slow {
			plan, took = "gold", 1.5
		}
		s.Put(fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"front","start_time":1000,"end_time":%d,"annotations":{"plan":%q},"metadata":{"default":{"app.tier":"t%d"}},"subsegments":[{"id":"%016x","name":"back","namespace":"remote","start_time":1000,"end_time":%f}]}`,
			id, span, 1002, plan, n, span+1, 1000+took+.05),
			fmt.Sprintf(`{"trace_id":%q,"id":"%016x","parent_id":"%016x","name":"back","start_time":1000,"end_time":%f,"fault":%v,"http":{"response":{"status":%d}}}`,
				id, span+2, span+1, 1000+took, slow, 200+n))
	}
	const window = "start=900&end=1100"
	var series struct {
		Groups []struct {
			Value            string
			Count, Ok, Fault int
			P50, P99         float64
		}
	}
	want := map[string]string{"service": "[{back 4 3 1 0.25 1.5} {front 4 4 0 2 2}]", "edge": "[{client -> front 4 4 0 2 2} {front -> back 4 4 0 0.3 1.55}]"}
	for group, want := range want {
		if fetchJSON(t, s, "/console/api/series?"+window+"&group="+group, &series); fmt.Sprint(series.Groups) != want {
			t.Errorf("series by %s: %v, want %s", group, series.Groups, want)
		}
	}
	var histogram struct {
		Groups []struct {
			Value string
			Count int
			Bins  []struct{ Count int }
		}
	}
	if fetchJSON(t, s, "/console/api/histogram?"+window+"&group=service", &histogram); fmt.Sprint(histogram.Groups) != "[{back 4 [{3} {1}]} {front 4 [{4}]}]" {
		t.Errorf("histogram by service: %v", histogram.Groups)
	}
	type counted struct{ Matched int }
	var compared struct {
		A, B        counted
		Differences []struct {
			Attribute, Value string
			Count_a, Count_b int
		}
	}
	fetchJSON(t, s, "/console/api/compare?"+window+"&top=1&filter="+url.QueryEscape(`annotation.plan = "gold"`), &compared)
	if d := compared.Differences; compared.A.Matched != 1 || compared.B.Matched != 3 || len(d) != 1 || d[0].Attribute != "annotation.plan" || d[0].Count_a+d[0].Count_b != 1 && d[0].Count_a+d[0].Count_b != 3 {
		t.Errorf("gold against the rest: %+v", compared)
	}
	fetchJSON(t, s, "/console/api/compare?"+window+"&against_start=2000&against_end=3000", &compared)
	if compared.A.Matched != 4 || compared.B.Matched != 0 {
		t.Errorf("against another time: %+v", compared)
	}
	for term, want := range map[string]int{
		"plan=gold": 1, "plan!=gold": 3, "app.tier=t2": 1, "metadata.default.app.tier~T": 4, "http.response.status>=202": 2, "status<201": 1, "status=*": 4, "missing=*": 0, `"T3"`: 1,
	} {
		var found struct{ Traces []struct{ Id string } }
		if fetchJSON(t, s, "/console/api/search?"+window+"&text="+url.QueryEscape(term), &found); len(found.Traces) != want {
			t.Errorf("search for %s: %d traces, want %d", term, len(found.Traces), want)
		}
	}
	var facets struct {
		Values []struct {
			Value string
			Count int
		}
	}
	if fetchJSON(t, s, "/console/api/facets?"+window+"&of=edge", &facets); fmt.Sprint(facets.Values) != "[{client -> front 4} {front -> back 4}]" {
		t.Errorf("edges: %v", facets.Values)
	}
	if fetchJSON(t, s, "/console/api/facets?start=5&end=6&of=edge", &facets); len(facets.Values) != 0 {
		t.Errorf("edges of nothing: %v", facets.Values)
	}
	var refusal struct{ Error struct{ Message string } }
	for query, want := range map[string]string{"search?" + window + "&text=a%3Eb": "compares numbers", "compare?" + window + "&against_start=1": "against_end: is required", "facets?" + window + "&of=colour": "group:", "histogram?" + window + "&time=long": "time:"} {
		if status := fetchJSON(t, s, "/console/api/"+query, &refusal); status != 400 || !strings.Contains(refusal.Error.Message, want) {
			t.Errorf("%s: %d %q, want %q", query, status, refusal.Error.Message, want)
		}
	}
}
