package wire_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/internal/identity"
	"github.com/fluoro-io/fluoro/internal/policy"
	serving "github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/internal/sight"
	"github.com/fluoro-io/fluoro/test/harness"
)

// limits is an authorizer that hides what a header of the request names.
type limits struct{}

func (limits) Authorize(_ context.Context, _ identity.Principal, c identity.Call, _ identity.Question) (sight.Sight, error) {
	if c.Request == nil || c.Request.Header.Get(hiddenHeader) == "" {
		return nil, nil
	}
	return without(c.Request.Header.Get(hiddenHeader)), nil
}

// without is a sight that hides one thing: service NAME, environment NAME, group NAME or
// annotation KEY=VALUE.
type without string

func (w without) Sees(s *sight.Segment) bool {
	kind, name, _ := strings.Cut(string(w), " ")
	key, value, _ := strings.Cut(name, "=")
	switch kind {
	case "service":
		return s.Service != name
	case "environment":
		return s.Environment != name
	case "group":
		return !slices.Contains(s.Groups, name)
	}
	return !slices.Contains(s.Annotation(key), value)
}

func (w without) NeedsGroups() bool   { return strings.HasPrefix(string(w), "group ") }
func (w without) Fingerprint() string { return string(w) }

// limited is a reader of first who may not see the service zq-pay. Everything that
// zq-pay sent contains "zq", and so do the names of its segments and their ids in hex.
const limited = first + " without service zq-pay"

// Traces of the walk: mixed has hidden segments between visible ones, alone has nothing
// else, spans is like mixed in OTLP. unknown does not exist.
const (
	mixedID   = "1-1a1a1a1a-1a1a1a1a1a1a1a1a1a1a1a1a"
	aloneID   = "1-2a2a2a2a-2a2a2a2a2a2a2a2a2a2a2a2a"
	spansID   = "1-3a3a3a3a-3a3a3a3a3a3a3a3a3a3a3a3a"
	unknownID = "1-4a4a4a4a-4a4a4a4a4a4a4a4a4a4a4a4a"
)

// sightSecrets lists texts that a reader without zq-pay must never get, except where the own
// request has them.
var sightSecrets = []string{"zq-", "zqv", "2a2a2a2a2a2a2a2a2a2a2a2a", "dead0000", "ZQ"}

// part is a segment of the walk; from and to are seconds.
type part struct {
	trace, id, parent, name string
	from, to                float64
}

// document makes the document of a segment.
func (s *walk) document(p part, more m) string {
	at := float64(s.at.Unix() - 60)
	doc := m{"trace_id": p.trace, "id": p.id, "name": p.name, "start_time": at + p.from, "end_time": at + p.to}
	if p.parent != "" {
		doc["parent_id"] = p.parent
	}
	for k, v := range more {
		doc[k] = v
	}
	b, err := json.Marshal(doc)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// secret returns the members of a segment of zq-pay: a secret in every place.
func (s *walk) secret(from, to float64) m {
	at := float64(s.at.Unix() - 60)
	return m{
		"user": "zqv-user", "fault": true, "origin": "zqv::origin", "resource_arn": "arn:zqv", "service": m{"version": "zqv-version"},
		"annotations": m{"zqv_key": "zqv-value", "common": "zqv-common", "amount": 77.25},
		"metadata":    m{"default": m{"card": "zqv-card"}},
		"http":        m{"request": m{"url": "http://zqv-host/", "method": "ZQ", "client_ip": "10.9.8.7", "user_agent": "zqv-agent"}, "response": m{"status": 503}},
		"aws":         m{"ec2": m{"instance_id": "zqv-instance", "availability_zone": "zqv-zone"}, "elastic_beanstalk": m{"environment_name": "zqv-env"}},
		"cause":       m{"exceptions": []m{{"id": "dead000000000009", "message": "zqv-message", "type": "zqv-type"}}},
		"subsegments": []m{
			{"id": "dead000000000002", "name": "zqv-database", "namespace": "remote", "start_time": at + from + 0.1, "end_time": at + to - 0.1,
				"sql": m{"sanitized_query": "select zqv", "user": "zqv-sql", "url": "zqv-url", "database_type": "zqv-type"}},
			{"id": "dead000000000003", "name": "back", "namespace": "remote", "start_time": at + from + 0.1, "end_time": at + to - 0.2},
		},
	}
}

// newSightWalk writes the traces of the walk as first.
func newSightWalk(t *testing.T, limited string, options []serving.Option, flags ...string) *walk {
	s := &walk{shared: startSharedWith(t, options, flags...), at: time.Now(), limited: limited}
	at := float64(s.at.Unix() - 60)
	front := m{"annotations": m{"common": "open"}, "user": "open-user", "subsegments": []m{{"id": "aaaa000000000002", "name": "payments", "namespace": "remote", "start_time": at + 1, "end_time": at + 5,
		"http": m{"request": m{"url": "http://payments/", "method": "GET"}, "response": m{"status": 200}}}}}
	s.must(first, "POST", "/TraceSegments", m{"TraceSegmentDocuments": []string{
		s.document(part{mixedID, "aaaa000000000001", "", "front", 0, 6}, front),
		s.document(part{mixedID, "dead000000000001", "aaaa000000000002", "zq-pay", 1.5, 4.5}, s.secret(1.5, 4.5)),
		s.document(part{mixedID, "bbbb000000000001", "dead000000000003", "back", 2, 3}, m{"annotations": m{"common": "open"}}),
		s.document(part{mixedID, "dead000000000005", "bbbb000000000001", "zq-pay", 2.2, 2.8}, nil),
		s.document(part{aloneID, "dead000000000006", "", "zq-pay", 0, 3.25}, s.secret(0, 3.25)),
		s.document(part{mixedID, "dead000000000007", "dead000000000008", "zqv-orphan", 2.2, 2.8}, m{"type": "subsegment"}),
	}})
	s.must(first, "POST", "/TraceSegments", m{"TraceSegmentDocuments": []string{`{"id":"zqv-refused"}`}})
	span := func(p part, kind int, attributes ...any) m {
		return m{"traceId": strings.ReplaceAll(spansID[2:], "-", ""), "spanId": p.id, "parentSpanId": p.parent, "name": "op", "kind": kind, "attributes": otlpAttributes(attributes...),
			"startTimeUnixNano": fmt.Sprintf("%.0f", (at+p.from)*1e9), "endTimeUnixNano": fmt.Sprintf("%.0f", (at+p.to)*1e9)}
	}
	resource := func(service, environment string, spans ...m) m {
		return m{"resource": m{"attributes": otlpAttributes("service.name", service, "deployment.environment.name", environment)}, "scopeSpans": []m{{"spans": spans}}}
	}
	s.must(first, "POST", "/v1/traces", m{"resourceSpans": []m{
		resource("front", "prod", span(part{id: "aaaa000000000011", parent: "", from: 0, to: 6}, 2), span(part{id: "aaaa000000000012", parent: "aaaa000000000011", from: 1, to: 5}, 3, "peer.service", "payments")),
		resource("zq-pay", "zqv-env", span(part{id: "dead000000000011", parent: "aaaa000000000012", from: 1.5, to: 4.5}, 2, "zqv.key", "zqv-value", "enduser.id", "zqv-user"),
			span(part{id: "dead000000000012", parent: "dead000000000011", from: 1.7, to: 3.5}, 3, "peer.service", "zqv-peer", "db.system", "zqv")),
		resource("back", "prod", span(part{id: "bbbb000000000011", parent: "dead000000000012", from: 2, to: 3}, 2)),
	}})
	s.must(first, "POST", "/CreateGroup", m{"GroupName": "mine", "FilterExpression": `annotation.zqv_key = "zqv-value"`})
	harness.Eventually(t, "all segments are stored", func() bool {
		return strings.Contains(s.must(first, "POST", "/Traces", m{"TraceIds": []string{mixedID, spansID}}), "bbbb000000000011")
	})
	return s
}

// sightReads lists a request to each route that reads traces. seen is a text that who
// sees everything gets and others must not get; shown is a text that both get.
func (s *walk) sightReads(job string) []struct {
	visit
	shown string
} {
	type read = struct {
		visit
		shown string
	}
	all := []string{mixedID, aloneID, spansID}
	list := []read{
		{visit{route: "POST /Traces", body: m{"TraceIds": all}, seen: "zqv-card"}, "1 segment you may not see"},
		{visit{route: "POST /TraceSummaries", body: s.window(m{}), seen: "zqv-value"}, mixedID},
		{visit{route: "POST /TraceSummaries", body: s.window(m{"TimeRangeType": "Event"}), seen: "zqv-user"}, mixedID},
		{visit{route: "POST /TraceSummaries", body: s.window(m{"TimeRangeType": "Service"}), seen: "zqv-message"}, mixedID},
		{visit{route: "POST /TraceGraph", body: m{"TraceIds": []string{mixedID}}, seen: "zq-pay"}, `"Name":"payments"`},
		{visit{route: "POST /ServiceGraph", body: s.window(m{}), seen: "zqv-database"}, `"Name":"payments"`},
		{visit{route: "POST /TimeSeriesServiceStatistics", body: s.window(m{"EntitySelectorExpression": `service("zq-pay")`}), seen: `"FaultStatistics":{"OtherCount":2`}, `"ServiceSummaryStatistics":null`},
		{visit{route: "POST /TimeSeriesServiceStatistics", body: s.window(m{}), seen: `"FaultStatistics":{"OtherCount":1`}, `"OkCount":2`},
		{visit{route: "POST /InsightSummaries", body: s.window(m{"GroupName": "Default"})}, "InsightSummaries"},
		{visit{route: "POST /ListRetrievedTraces", body: m{"RetrievalToken": job}, seen: "zqv-card"}, "1 segment you may not see"},
		{visit{route: "POST /ListRetrievedTraces", body: m{"RetrievalToken": job, "TraceFormat": "OTEL"}, seen: "zqv-card"}, "bbbb000000000011"},
		{visit{route: "POST /GetRetrievedTracesGraph", body: m{"RetrievalToken": job}, seen: "zq-pay"}, `"Name":"payments"`},
		{visit{route: "GET /console/api/status", seen: "InvalidId"}, `"refused":[]`},
		{visit{route: "GET /console/api/trace", query: "/console/api/trace?id=" + mixedID, seen: "zqv-card"}, "1 segment you may not see"},
		{visit{route: "GET /console/api/search", query: question("search", s.at, "text", "common"), seen: "dead0000"}, mixedID},
		{visit{route: "GET /console/api/facets", query: question("facets", s.at), seen: "zqv_key"}, "annotation.common"},
		{visit{route: "GET /console/api/compare", query: question("compare", s.at, "filter", "fault", "against", "ok"), seen: "zqv-value"}, `"differences"`},
	}
	for _, group := range []string{"", "service", "edge", "url", "method", "user", "client", "status", "entry", "cause", "annotation.common", "annotation.zqv_key"} {
		for _, name := range []string{"series", "histogram"} {
			list = append(list, read{visit{route: "GET /console/api/" + name, query: question(name, s.at, "group", group)}, `"groups"`})
		}
		list = append(list, read{visit{route: "GET /console/api/facets", query: question("facets", s.at, "of", group)}, `"values"`})
	}
	return list
}

// What somebody may not see is in no answer: not as a text, not as a count, not by asking
// for it.
func TestSight_hidesASegmentEverywhere(t *testing.T) {
	for name, settle := range map[string]string{"open traces": "1h", "settled traces": "100ms"} {
		t.Run(name, func(t *testing.T) {
			s := newSightWalk(t, limited, []serving.Option{serving.WithAuthorizer(limits{})}, "--settle", settle)
			if settle != "1h" {
				harness.Eventually(t, "all traces are settled", func() bool {
					return strings.Contains(s.must(operator, "GET", "/console/api/status", nil), `"open_traces":0`)
				})
			}
			whole, part := s.retrieval(first), s.retrieval(limited)
			for i, v := range s.sightReads(whole) {
				if _, answer := s.make(first, v.visit); v.seen != "" && !strings.Contains(answer, v.seen) {
					t.Errorf("%s %s %v: who sees everything does not get %q: %s", v.route, v.query, v.body, v.seen, answer)
				}
				s.discreet(v.visit, v.shown)
				s.discreet(s.sightReads(part)[i].visit, v.shown) // its own job
			}
			// The job of somebody who sees less stays limited for everyone.
			if answer := s.must(first, "POST", "/ListRetrievedTraces", m{"RetrievalToken": part}); strings.Contains(answer, "zq") || !strings.Contains(answer, mixedID) {
				t.Errorf("the limited job shows %s", answer)
			}
			s.oracles()
			s.unknown()
			s.wholeOnly()
			s.kinds()
			s.liveOfLimited()
		})
	}
}

// retrieval starts a job for the traces of the walk, waits for its end, and returns its
// token.
func (s *walk) retrieval(account string) string {
	job := s.field(s.must(account, "POST", "/StartTraceRetrieval", s.window(m{"TraceIds": []string{mixedID, aloneID, spansID}})), "RetrievalToken")
	harness.Eventually(s.t, "the job ends", func() bool {
		return strings.Contains(s.must(account, "POST", "/ListRetrievedTraces", m{"RetrievalToken": job}), "COMPLETE")
	})
	return job
}

// discreet makes a visit as the limited reader, and checks the answer.
func (s *walk) discreet(v visit, shown string) {
	s.t.Helper()
	status, answer := s.make(s.limited, v)
	if status != http.StatusOK || !strings.Contains(answer, shown) {
		s.t.Errorf("%s %s %v: %d, without %q: %s", v.route, v.query, v.body, status, shown, answer)
	}
	sent := v.query + fmt.Sprint(v.body)
	for _, secret := range append(sightSecrets, v.seen) {
		if secret != "" && strings.Contains(answer, secret) && !strings.Contains(sent, secret) {
			s.t.Errorf("%s %s %v shows %q: %s", v.route, v.query, v.body, secret, answer)
		}
	}
}

// oracles checks that filters know nothing of hidden segments.
func (s *walk) oracles() {
	s.t.Helper()
	count := func(account, filter string) int {
		return strings.Count(s.must(account, "POST", "/TraceSummaries", s.window(m{"FilterExpression": filter})), `"Revision"`)
	}
	for _, filter := range []string{
		`annotation.zqv_key = "zqv-value"`, `annotation.zqv_key BEGINSWITH "z"`, `annotation.amount > 1`, `user = "zqv-user"`, `service("zq-pay")`, `service("zq-pay") { fault }`, `service("zqv-database")`,
		`edge("zq-pay", "back")`, `edge("front", "zq-pay")`, `service(id(name: "zq-pay", type: "zqv::origin"))`, `availabilityzone = "zqv-zone"`, `instance.id = "zqv-instance"`, `resource.arn = "arn:zqv"`,
		`http.url CONTAINS "zqv"`, `http.status = 503`, `rootcause.fault.entity { name = "zq-pay" }`, `group.name = "mine"`,
	} {
		if all := count(first, filter); all == 0 && !strings.Contains(filter, "rootcause") {
			s.t.Errorf("who sees everything finds nothing with %s", filter)
		}
		if n := count(s.limited, filter); n != 0 {
			s.t.Errorf("%s finds %d traces by hidden segments", filter, n)
		}
	}
	for filter, want := range map[string]int{
		``: 2, `service("front")`: 2, `service("payments")`: 2, `edge("front", "payments")`: 2, `annotation.common = "open"`: 1, `user = "open-user"`: 1, `ok`: 2, `!fault`: 2,
		`NOT service("zq-pay")`: 2, `partial`: 2, `duration = 6`: 2,
	} {
		if n := count(s.limited, filter); n != want {
			s.t.Errorf("%s finds %d traces, want %d", filter, n, want)
		}
	}
	if n := count(limited, `fault = false`); n != 2 {
		s.t.Errorf("%d traces have no fault, want 2", n)
	}
	answer := s.must(s.limited, "POST", "/TraceSummaries", s.window(m{}))
	if n := s.field(answer, "TracesProcessedCount"); n != "2" {
		s.t.Errorf("%s traces were processed, want the 2 that match", n)
	}
	for _, group := range []string{"mine"} {
		graph := s.must(s.limited, "POST", "/ServiceGraph", s.window(m{"GroupName": group}))
		if !strings.Contains(graph, `"Services":[]`) {
			s.t.Errorf("the graph of a group of hidden segments has %s", graph)
		}
	}
}

// unknown checks that a trace without visible segments is as unknown as any other.
func (s *walk) unknown() {
	s.t.Helper()
	for _, v := range []visit{
		{route: "POST /Traces", body: m{"TraceIds": []string{aloneID}}},
		{route: "POST /TraceGraph", body: m{"TraceIds": []string{aloneID}}},
		{route: "GET /console/api/trace", query: "/console/api/trace?id=" + aloneID},
	} {
		status, hidden := s.make(s.limited, v)
		other := v
		other.query = strings.ReplaceAll(v.query, aloneID, unknownID)
		if v.body != nil {
			other.body = m{"TraceIds": []string{unknownID}}
		}
		wantStatus, want := s.make(s.limited, other)
		if got := strings.ReplaceAll(hidden, aloneID, unknownID); status != wantStatus || got != want {
			s.t.Errorf("%s: %d %s, but for an unknown id %d %s", v.route, status, got, wantStatus, want)
		}
	}
}

// wholeOnly checks what somebody who does not see everything must not do.
func (s *walk) wholeOnly() {
	s.t.Helper()
	for _, v := range []visit{
		{route: "POST /console/api/delete", body: m{"ids": []string{mixedID}}},
		{route: "POST /console/api/delete", body: m{"ids": []string{mixedID}, "dry_run": true}},
		{route: "POST /console/api/delete", body: s.windowOf(m{"filter": "fault"})},
		{route: "GET /console/api/backup"}, {route: "GET /console/api/export"}, {route: "GET /metrics"},
	} {
		account := strings.Replace(s.limited, first, operator, 1)
		if strings.HasPrefix(v.route, "POST") {
			account = s.limited
		}
		if status, answer := s.make(account, v); status != http.StatusForbidden || !strings.Contains(answer, "permissions do not include all") {
			s.t.Errorf("%s %v: %d %s", v.route, v.body, status, answer)
		}
	}
}

func (s *walk) windowOf(body m) m {
	body["start"], body["end"] = s.at.Unix()-600, s.at.Unix()+600
	return body
}

// kinds checks sights by environment, group and annotation. groups are about whole traces.
func (s *walk) kinds() {
	s.t.Helper()
	for _, c := range []struct {
		hidden   string
		visible  []string // parts of the answer about all traces
		absent   []string
		services string // in the graph of the spans
	}{
		{"environment zqv-env", []string{"aaaa000000000001", "aaaa000000000011", "dead000000000005"}, []string{"dead000000000001", "dead000000000006", "dead000000000011", "zqv-card"}, `"back"`},
		{"annotation zqv_key=zqv-value", []string{"aaaa000000000001", "dead000000000005", "dead000000000011"}, []string{"dead000000000001", "dead000000000006", "zqv-card"}, `"zq-pay"`},
		{"annotation zqv.key=zqv-value", []string{"aaaa000000000001", "zqv-card", "aaaa000000000011"}, []string{"dead000000000011", "dead000000000012"}, `"back"`},
		{"annotation amount=77.25", []string{"aaaa000000000001", "dead000000000011"}, []string{"dead000000000001", "zqv-card"}, `"zq-pay"`},
		{"group mine", []string{"aaaa000000000011", "dead000000000011"}, []string{mixedID, aloneID, "aaaa000000000001", "zqv-card"}, `"zq-pay"`},
		{"group Default", nil, []string{mixedID, aloneID, spansID, "aaaa"}, ""},
	} {
		reader := first + " without " + c.hidden
		answer := s.must(reader, "POST", "/Traces", m{"TraceIds": []string{mixedID, aloneID, spansID}})
		for _, text := range c.visible {
			if !strings.Contains(answer, text) {
				s.t.Errorf("%s hides %s: %s", c.hidden, text, answer)
			}
		}
		for _, text := range c.absent {
			if strings.Contains(answer, text) {
				s.t.Errorf("%s shows %s: %s", c.hidden, text, answer)
			}
		}
		status, graph := s.call(reader, "POST", "http://"+s.http+"/TraceGraph", m{"TraceIds": []string{spansID}})
		if !strings.Contains(graph, c.services) || (status == http.StatusOK) != (c.services != "") {
			s.t.Errorf("%s: the graph has no %s: %d %s", c.hidden, c.services, status, graph)
		}
	}
}

// liveOfLimited checks that the live stream of a limited reader tells neither how much was
// stored nor what was refused.
func (s *walk) liveOfLimited() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	all, some := s.news(ctx, first), s.news(ctx, s.limited)
	s.must(first, "POST", "/TraceSegments", m{"TraceSegmentDocuments": []string{s.document(part{trace: unknownID, id: "dead0000000000aa", name: "zq-pay", to: 1}, nil), `{"id":"zqv-refused"}`}})
	hear := func(from <-chan string, until func(string) bool) (heard string) {
		for deadline := time.After(10 * time.Second); !until(heard); {
			select {
			case text := <-from:
				heard += text
			case <-deadline:
				s.t.Fatalf("heard %q", heard)
			}
		}
		return heard
	}
	hear(all, func(heard string) bool {
		return strings.Contains(heard, "event: traces") && strings.Contains(heard, "event: refused")
	})
	heard := hear(some, func(heard string) bool { return strings.Contains(heard, "event: traces") })
	select {
	case text := <-some:
		heard += text
	case <-time.After(time.Second):
	}
	if strings.Contains(heard, "refused") || strings.Contains(heard, "zq") || !strings.Contains(heard, `"traces":0,`) {
		s.t.Errorf("the limited reader hears %q", heard)
	}
}

// The same with real policies: a Deny about a service, and Allows of services, environments
// and annotations.
func TestSight_byPolicies(t *testing.T) {
	c := &cast{map[string]identity.Principal{}, map[string]*policy.Set{}}
	statement := func(effect, action, condition string) string {
		return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":%q,"Action":%s,"Resource":"*","Condition":%s}]}`, effect, action, condition)
	}
	all := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["xray:*","fluoro:*"],"Resource":"*"}]}`
	reads := `["xray:*","fluoro:*"]`
	c.user(t, first, all)
	c.user(t, "denied", all, statement("Deny", reads, `{"StringEquals":{"fluoro:Service":"zq-pay"}}`))
	c.user(t, "front", statement("Allow", reads, `{"StringEquals":{"fluoro:Service":["front","back"]}}`))
	c.user(t, "production", statement("Allow", reads, `{"StringEquals":{"fluoro:Environment":"prod"}}`))
	c.user(t, "common", statement("Allow", reads, `{"ForAnyValue:StringEquals":{"fluoro:Annotation/common":"open"}}`))
	c.user(t, "mine", statement("Allow", reads, `{"ForAnyValue:StringEquals":{"fluoro:Group":"mine"}}`))
	s := newSightWalk(t, "denied", []serving.Option{serving.WithAuthenticator(c), serving.WithGrants(c, false)}, "--udp", "off", "--otlp-grpc", "off")
	job := s.retrieval("denied")
	for _, v := range s.sightReads(job) {
		s.discreet(v.visit, v.shown)
	}
	s.oracles()
	s.unknown()
	for user, want := range map[string]string{
		"front": "aaaa000000000001 bbbb000000000001 aaaa000000000011 bbbb000000000011", "production": "aaaa000000000011 bbbb000000000011",
		"common": "aaaa000000000001 bbbb000000000001", "mine": "aaaa000000000001 bbbb000000000001 dead000000000001 dead000000000005 dead000000000006",
	} {
		answer := s.must(user, "POST", "/Traces", m{"TraceIds": []string{mixedID, aloneID, spansID}})
		for _, id := range []string{"aaaa000000000001", "bbbb000000000001", "dead000000000001", "dead000000000005", "dead000000000006", "aaaa000000000011", "bbbb000000000011", "dead000000000011"} {
			if strings.Contains(answer, id) != strings.Contains(want, id) {
				t.Errorf("%s: %s is in the answer: %v; %s", user, id, strings.Contains(answer, id), answer)
			}
		}
	}
	if status, answer := s.call("denied", "POST", "http://"+s.http+"/console/api/delete", m{"ids": []string{mixedID}}); status != http.StatusForbidden || strings.Contains(answer, "zq") {
		t.Errorf("a deletion with a limit: %d %s", status, answer)
	}
}
