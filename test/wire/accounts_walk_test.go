package wire_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	serving "github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/test/harness"
)

// secrets lists texts that first writes; no answer to another account may contain them.
var secrets = []string{
	"secretxray", "secrethttp", "secretport", "secretgrpc", "secretudp", "secretvalue", "secretuser", "secretfilter", "secrethost", "secrettag", "secretsid", "secretkms", "secretscrub",
	"secretpath", "secretrole", "secretpolicy", "secretinline", "secrettoken", "secretclient", "secretsink",
	"37.53125", "CloudWatchLogs", "InvalidId", first,
}

// Traces of first; second sends segments with the same ids.
const (
	sharedID   = "1-0a0a0a0a-0a0a0a0a0a0a0a0a0a0a0a0a"
	datagramID = "1-0e0e0e0e-0e0e0e0e0e0e0e0e0e0e0e0e"
)

// visit is a request to a route.
type visit struct {
	route string // method and path, as in the route table
	query string // of a GET
	body  any
	// seen is a text in the answer to the first account that no other account gets; ""
	// if the answer contains nothing of an account.
	seen string
	// status is the status for second; 0: any, but the same as for an idle account.
	status int
}

// walk is a server in which first wrote data of every kind.
type walk struct {
	*shared
	at                     time.Time
	groupARN, ruleARN, job string
	made                   principals
	sinkARN                string
	limited                string // reader who does not see everything
}

func documentFor(at time.Time, id, service, segment string) string {
	return fmt.Sprintf(`{"trace_id":%q,"id":"%s","name":%q,"start_time":%d,"end_time":%d,"user":"%suser","annotations":{"key":"%svalue"}}`,
		id, segment, service, at.Unix()-2, at.Unix()-1, service[:6], service[:6])
}

// newWalk writes as first: segments through each listener, records of each kind, a job.
func newWalk(t *testing.T, flags ...string) *walk {
	s := &walk{shared: startShared(t, flags...), at: time.Now()}
	s.must(first, "POST", "/TraceSegments", m{"TraceSegmentDocuments": []string{documentFor(s.at, sharedID, "secretxray", "0a0a0a0a0a0a0a0a"), `{"id":"bad"}`}})
	s.must(first, "POST", "/v1/traces", s.spansJSON("secrethttp", 0xb))
	if status, answer := s.call(first, "POST", "http://"+s.otlp+"/v1/traces", s.spansJSON("secretport", 0xc)); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	if err := s.export(first, s.spans("secretgrpc", 0xd)); err != nil {
		t.Fatal(err)
	}
	s.datagram(first, documentFor(s.at, datagramID, "secretudp", "0e0e0e0e0e0e0e0e"))
	s.groupARN = strings.Trim(s.field(s.must(first, "POST", "/CreateGroup", m{"GroupName": "common", "FilterExpression": `annotation.secretfilter = "x"`, "Tags": []m{{"Key": "secrettag", "Value": "x"}}}), "Group", "GroupARN"), `"`)
	s.ruleARN = s.field(s.must(first, "POST", "/CreateSamplingRule", s.rule("secrethost")), "SamplingRuleRecord", "SamplingRule", "RuleARN")
	s.must(first, "POST", "/PutResourcePolicy", m{"PolicyName": "common", "PolicyDocument": `{"Version":"2012-10-17","Statement":[{"Sid":"secretsid","Effect":"Allow","Principal":"*","Action":"xray:*","Resource":"*"}]}`})
	s.must(first, "POST", "/PutEncryptionConfig", m{"Type": "KMS", "KeyId": "alias/secretkms"})
	s.must(first, "POST", "/UpdateTraceSegmentDestination", m{"Destination": "CloudWatchLogs"})
	s.must(first, "POST", "/UpdateIndexingRule", m{"Name": "Default", "Rule": m{"Probabilistic": m{"DesiredSamplingPercentage": 37.53125}}})
	s.must(first, "POST", "/api/scrub/PutRule", m{"Rule": m{"Name": "common", "Keys": []string{"secretscrub"}, "Action": "mask"}})
	s.people()
	s.sinkARN = s.field(s.must(first, "POST", "/api/oam/CreateSink", m{"Name": "secretsink"}), "Arn")
	s.job = s.field(s.must(first, "POST", "/StartTraceRetrieval", s.window(m{"TraceIds": []string{sharedID}})), "RetrievalToken")
	harness.Eventually(t, "the job ends", func() bool {
		return strings.Contains(s.must(first, "POST", "/ListRetrievedTraces", m{"RetrievalToken": s.job}), "COMPLETE")
	})
	return s
}

func (s *walk) rule(host string) m {
	return m{"SamplingRule": m{"RuleName": "common", "Priority": 7, "FixedRate": 0.5, "ReservoirSize": 10, "Host": host, "HTTPMethod": "*", "ResourceARN": "*", "ServiceName": "*", "ServiceType": "*", "URLPath": "*", "Version": 1}}
}

// window adds start and end time to a request.
func (s *walk) window(body m) m {
	body["StartTime"], body["EndTime"] = s.at.Unix()-600, s.at.Unix()+600
	return body
}

// report makes the report of a client of the sampling rule.
func (s *walk) report() m {
	return m{"SamplingStatisticsDocuments": []m{{"RuleName": "common", "ClientID": strings.Repeat("a", 24), "Timestamp": s.at.Unix(), "RequestCount": 1000, "SampledCount": 1, "BorrowCount": 1}}}
}

// reads lists requests that change nothing.
func (s *walk) reads() []visit {
	id := "a8a5bd59-1f1c-4ab0-9d4d-9d6f37c2d1d1"
	return append(s.readPrincipals(), []visit{
		{route: "POST /Traces", body: m{"TraceIds": []string{sharedID, datagramID, "1-0b0b0b0b-0b0b0b0b0b0b0b0b0b0b0b0b", "1-0c0c0c0c-0c0c0c0c0c0c0c0c0c0c0c0c", "1-0d0d0d0d-0d0d0d0d0d0d0d0d0d0d0d0d"}}, seen: "secretxray"},
		{route: "POST /TraceSummaries", body: s.window(m{"TimeRangeType": "Event"}), seen: "secretudp"},
		{route: "POST /TraceSummaries", body: s.window(m{"FilterExpression": `annotation.key = "secretvalue"`}), seen: `"Id":"` + sharedID},
		{route: "POST /TraceSummaries", body: s.window(m{"FilterExpression": `service("secretgrpc")`}), seen: `"Id":"1-0d0d0d0d`},
		{route: "POST /TraceGraph", body: m{"TraceIds": []string{sharedID}}, seen: "secretxray"},
		{route: "POST /ServiceGraph", body: s.window(m{}), seen: "secretport"},
		{route: "POST /TimeSeriesServiceStatistics", body: s.window(m{"EntitySelectorExpression": `service("secretxray")`}), seen: `"OkCount":1`},
		{route: "POST /GetGroup", body: m{"GroupName": "common"}, seen: "secretfilter"},
		{route: "POST /GetGroup", body: m{"GroupARN": s.groupARN}, seen: "secretfilter"},
		{route: "POST /Groups", body: m{}, seen: "secretfilter"},
		{route: "POST /GetSamplingRules", body: m{}, seen: "secrethost"},
		{route: "POST /SamplingStatisticSummaries", body: m{}},
		{route: "POST /ListTagsForResource", body: m{"ResourceARN": s.groupARN}, seen: "secrettag"},
		{route: "POST /ListTagsForResource", body: m{"ResourceARN": s.ruleARN}, seen: `"Tags":[]`},
		{route: "POST /ListResourcePolicies", body: m{}, seen: "secretsid"},
		{route: "POST /EncryptionConfig", body: m{}, seen: "secretkms"},
		{route: "POST /GetTraceSegmentDestination", body: m{}, seen: "CloudWatchLogs"},
		{route: "POST /GetIndexingRules", body: m{}, seen: "37.53125"},
		{route: "POST /ListRetrievedTraces", body: m{"RetrievalToken": s.job}, seen: "secretxray", status: 404},
		{route: "POST /GetRetrievedTracesGraph", body: m{"RetrievalToken": s.job}, seen: "secretxray", status: 404},
		{route: "POST /api/oam/ListSinks", body: m{}, seen: "secretsink", status: 200},
		{route: "POST /api/oam/GetSinkPolicy", body: m{"SinkIdentifier": s.sinkARN}, seen: `"Policy":""`, status: 404},
		{route: "POST /api/oam/ListAttachedLinks", body: m{"SinkIdentifier": s.sinkARN}, seen: `"Items":[]`, status: 404},
		{route: "POST /api/oam/ListLinks", body: m{}, status: 200},
		{route: "POST /api/oam/GetLink", body: m{"Identifier": "x"}, status: 404},
		{route: "POST /Insight", body: m{"InsightId": id}},
		{route: "POST /InsightEvents", body: m{"InsightId": id}},
		{route: "POST /InsightImpactGraph", body: s.window(m{"InsightId": id})},
		{route: "POST /InsightSummaries", body: s.window(m{"GroupARN": s.groupARN}), seen: `"InsightSummaries":[]`, status: 400},
		{route: "GET /console/api/status", seen: "InvalidId"},
		{route: "GET /console/api/trace", query: "/console/api/trace?id=" + sharedID, seen: "secretxray"},
		{route: "GET /console/api/series", query: question("series", s.at, "group", "service"), seen: "secretxray"},
		{route: "GET /console/api/search", query: question("search", s.at, "text", "value"), seen: "secretxray"},
		{route: "GET /console/api/histogram", query: question("histogram", s.at, "group", "service"), seen: "secrethttp"},
		{route: "GET /console/api/facets", query: question("facets", s.at, "of", "annotation.key"), seen: "secretvalue"},
		{route: "GET /console/api/compare", query: question("compare", s.at, "filter", `annotation.key = "secretvalue"`), seen: "secretuser"},
		{route: "GET /console/api/audit", status: 404}, // there is no audit log
		{route: "POST /api/hold/List", body: m{}},
		{route: "POST /api/hold/List", body: m{"account": first}, status: 403},
		{route: "POST /api/quota/Get", body: m{}}, {route: "POST /api/encryption/Get", body: m{}},
		{route: "POST /api/scrub/ListRules", body: m{}, seen: "secretscrub"},
		{route: "POST /api/scrub/Preview", body: m{"Names": []string{"common"}}, seen: `"Rule":"common"`, status: 404},
		{route: "POST /api/scrub/Test", body: m{"Key": "secretscrub", "Text": "x"}, seen: "[scrubbed by common]"},
		{route: "POST /api/findings/List", body: m{}}, {route: "POST /api/findings/Get", body: m{"id": "0011223344556677"}, status: 404},
		{route: "GET /healthz", seen: "ok"}, {route: "GET /readyz", seen: "ready"}, {route: "GET /", seen: "html"},
	}...)
}

// writes lists requests of second that name the data of first: by name, by ARN, by
// token, by trace id.
func (s *walk) writes() []visit {
	return append(s.writePrincipals(), []visit{
		{route: "POST /console/api/delete", body: m{"ids": []string{sharedID, datagramID}}, status: 200},
		{route: "POST /TraceSegments", body: m{"TraceSegmentDocuments": []string{documentFor(s.at, sharedID, "others", "0a0a0a0a0a0a0a0a"), documentFor(s.at, datagramID, "others", "0101010101010101")}}, status: 200},
		{route: "POST /v1/traces", body: s.spansJSON("others", 0xb), status: 200},
		{route: "POST /TelemetryRecords", body: m{"TelemetryRecords": []m{{"Timestamp": s.at.Unix(), "SegmentsReceivedCount": 1}}}, status: 200},
		{route: "POST /UpdateGroup", body: m{"GroupARN": s.groupARN, "FilterExpression": "fault"}, status: 400},
		{route: "POST /UpdateGroup", body: m{"GroupName": "common", "FilterExpression": "fault"}, status: 400},
		{route: "POST /CreateGroup", body: m{"GroupName": "common", "FilterExpression": "ok"}, status: 200},
		{route: "POST /DeleteGroup", body: m{"GroupARN": s.groupARN}, status: 400},
		{route: "POST /UpdateGroup", body: m{"GroupName": "common", "FilterExpression": "fault"}, status: 200},
		{route: "POST /DeleteGroup", body: m{"GroupName": "common"}, status: 200},
		{route: "POST /UpdateSamplingRule", body: m{"SamplingRuleUpdate": m{"RuleARN": s.ruleARN, "FixedRate": 0}}, status: 400},
		{route: "POST /UpdateSamplingRule", body: m{"SamplingRuleUpdate": m{"RuleName": "common", "FixedRate": 0}}, status: 400},
		{route: "POST /DeleteSamplingRule", body: m{"RuleARN": s.ruleARN}, status: 400},
		{route: "POST /DeleteSamplingRule", body: m{"RuleName": "common"}, status: 400},
		{route: "POST /SamplingTargets", body: s.report(), status: 200},
		{route: "POST /CreateSamplingRule", body: s.rule("others"), status: 200},
		{route: "POST /SamplingTargets", body: s.report(), status: 200},
		{route: "POST /TagResource", body: m{"ResourceARN": s.groupARN, "Tags": []m{{"Key": "secrettag", "Value": "y"}}}, status: 404},
		{route: "POST /UntagResource", body: m{"ResourceARN": s.groupARN, "TagKeys": []string{"secrettag"}}, status: 404},
		{route: "POST /DeleteResourcePolicy", body: m{"PolicyName": "common"}, status: 400},
		{route: "POST /PutResourcePolicy", body: m{"PolicyName": "common", "PolicyDocument": policyOf("Allow")}, status: 200},
		{route: "POST /DeleteResourcePolicy", body: m{"PolicyName": "common"}, status: 200},
		{route: "POST /PutEncryptionConfig", body: m{"Type": "NONE"}, status: 200},
		{route: "POST /UpdateTraceSegmentDestination", body: m{"Destination": "XRay"}, status: 200},
		{route: "POST /UpdateIndexingRule", body: m{"Name": "Default", "Rule": m{"Probabilistic": m{"DesiredSamplingPercentage": 11}}}, status: 200},
		{route: "POST /api/oam/PutSinkPolicy", body: m{"SinkIdentifier": s.sinkARN, "Policy": `{"Statement":{"Effect":"Allow","Principal":"*","Action":"oam:CreateLink","Resource":"*"}}`}, status: 404},
		{route: "POST /api/oam/CreateLink", body: m{"SinkIdentifier": s.sinkARN, "LabelTemplate": "x", "ResourceTypes": []string{"AWS::XRay::Trace"}}, status: 400},
		{route: "POST /api/oam/CreateLink", body: m{"SinkIdentifier": strings.Replace(s.sinkARN, regions[first], regions[second], 1), "LabelTemplate": "x", "ResourceTypes": []string{"AWS::XRay::Trace"}}, status: 403},
		{route: "POST /api/oam/DeleteSink", body: m{"Identifier": s.sinkARN}, status: 404},
		{route: "POST /api/oam/DeleteLink", body: m{"Identifier": "x"}, status: 404},
		{route: "POST /api/oam/CreateSink", body: m{"Name": "others"}, status: 200},
		{route: "POST /StartTraceRetrieval", body: s.window(m{"TraceIds": []string{sharedID, "1-0d0d0d0d-0d0d0d0d0d0d0d0d0d0d0d0d"}}), status: 200},
		{route: "POST /api/erasure/Create", body: m{"traces": []string{sharedID}, "dryRun": true}, status: 200},
		{route: "POST /api/erasure/Create", body: m{"account": first, "traces": []string{sharedID}}, status: 403},
		{route: "POST /api/hold/Add", body: m{"account": first, "name": "others", "traces": []string{sharedID}}, status: 403},
		{route: "POST /api/hold/Add", body: m{"name": "others", "traces": []string{sharedID}}, status: 200},
		{route: "POST /api/hold/Release", body: m{"name": "others"}, status: 200},
		{route: "POST /api/hold/Release", body: m{"account": first, "name": "others"}, status: 403},
		{route: "POST /api/compliance/GetReport", body: m{}, status: 403},
		{route: "POST /api/findings/Decide", body: m{"id": "0011223344556677", "state": "dismissed"}, status: 404},
		{route: "POST /api/quota/GetFor", body: m{"account": first}, status: 403},
		{route: "POST /api/quota/Put", body: m{"account": second, "limits": m{"spans": 1}}, status: 403},
		{route: "POST /api/quota/Reset", body: m{"account": first}, status: 403},
		{route: "POST /api/scrub/GetJob", body: m{}, status: 404},
		{route: "POST /api/scrub/StopJob", body: m{}, status: 404},
		{route: "POST /api/scrub/StartJob", body: m{"Rules": []string{"common"}}, status: 404},
		{route: "POST /api/scrub/DeleteRule", body: m{"Name": "common"}, status: 404},
		{route: "POST /api/scrub/PutRule", body: m{"Rule": m{"Name": "own", "Keys": []string{"others"}, "Action": "drop"}}, status: 200},
		{route: "POST /api/encryption/List", body: m{}, status: 403},
		{route: "POST /api/encryption/Rotate", body: m{"account": first}, status: 403},
		{route: "POST /api/encryption/Rewrap", body: m{"account": first}, status: 403},
		{route: "POST /api/encryption/Forget", body: m{"account": first, "confirm": first}, status: 403},
		{route: "POST /CancelTraceRetrieval", body: m{"RetrievalToken": s.job}, status: 404},
		{route: "POST /console/api/delete", body: m{"start": s.at.Unix() - 600, "end": s.at.Unix() + 600, "filter": ""}, status: 200},
		{route: "POST /console/api/delete", body: m{"ids": []string{sharedID, datagramID}}, status: 200},
	}...)
}

// make makes a visit.
func (s *walk) make(account string, v visit) (int, string) {
	method, path, _ := strings.Cut(v.route, " ")
	if v.query != "" {
		path = v.query
	}
	return s.call(account, method, "http://"+s.http+path, v.body)
}

// leaks fails for each secret in an answer that is not in the request.
func (s *walk) leaks(v visit, answer string) {
	s.t.Helper()
	sent := v.query + fmt.Sprint(v.body)
	for _, secret := range append(secrets, v.seen) {
		if secret != "" && strings.Contains(answer, secret) && !strings.Contains(sent, secret) {
			s.t.Errorf("%s %s %v shows %q to another account: %s", v.route, v.query, v.body, secret, answer)
		}
	}
}

// all returns everything that first can see.
func (s *walk) all() map[string]string {
	out := map[string]string{}
	for _, v := range s.reads() {
		if v.route != "GET /console/api/status" && v.route != "POST /SamplingStatisticSummaries" && v.seen != "" { // these change by themselves
			_, out[fmt.Sprint(v.route, v.query, v.body)] = s.make(first, v)
		}
	}
	return out
}

// unchanged checks that first sees the same as before.
func (s *walk) unchanged(what string, before map[string]string) {
	s.t.Helper()
	for name, answer := range s.all() {
		if answer != before[name] {
			s.t.Errorf("%s changed what another account sees of %s:\n%s\nbefore\n%s", what, name, answer, before[name])
		}
	}
}

// Two accounts in one server share nothing: on every route, second sees the same as an
// account that never wrote anything, and changes nothing of first, both while first's
// data is in memory and when it is on disk.
func TestAccounts_shareNothing(t *testing.T) {
	for name, settle := range map[string]string{"open traces": "1h", "settled traces": "100ms"} {
		t.Run(name, func(t *testing.T) {
			s := newWalk(t, "--settle", settle)
			if settle != "1h" {
				harness.Eventually(t, "all traces are settled", func() bool {
					return strings.Contains(s.must(operator, "GET", "/console/api/status", nil), `"open_traces":0`)
				})
			}
			visited := map[string]bool{}
			s.look(visited, true)
			before := s.all()
			for _, v := range s.writes() {
				visited[v.route] = true
				status, answer := s.make(second, v)
				if status != v.status {
					t.Errorf("%s %v: %d %s, want %d", v.route, v.body, status, answer, v.status)
				}
				s.leaks(v, answer)
				s.unchanged(v.route, before)
			}
			s.send(visited, before)
			s.look(visited, false)
			s.apart(visited)
			s.live(visited)
			for _, r := range serving.Routes() {
				if !visited[r.Method+" "+r.Path] {
					t.Errorf("no case for the route %s %s", r.Method, r.Path)
				}
			}
		})
	}
}

// look reads every route as first and as second; fresh tells that second has written
// nothing yet, so that it must see the same as the idle account.
func (s *walk) look(visited map[string]bool, fresh bool) {
	for _, v := range s.reads() {
		visited[v.route] = true
		status, mine := s.make(first, v)
		if v.seen != "" && (status != http.StatusOK || !strings.Contains(mine, v.seen)) {
			s.t.Errorf("%s %s %v: who wrote it does not see %q: %d %s", v.route, v.query, v.body, v.seen, status, mine)
		}
		switch v.route {
		case "GET /healthz", "GET /readyz", "GET /": // for everyone
			s.leaks(visit{route: v.route}, mine)
			continue
		}
		status, theirs := s.make(second, v)
		s.leaks(v, theirs)
		if v.status != 0 && status != v.status {
			s.t.Errorf("%s: %d %s, want %d", v.route, status, theirs, v.status)
		}
		if !fresh {
			continue
		}
		if idleStatus, answer := s.make(idle, v); idleStatus != status || strings.ReplaceAll(answer, idle, second) != theirs {
			s.t.Errorf("%s %s %v: an account without anything sees\n%s\nthis one\n%s", v.route, v.query, v.body, answer, theirs)
		}
	}
}

// send sends spans and segments of second through the other listeners, and deletes
// them.
func (s *walk) send(visited map[string]bool, before map[string]string) {
	if status, answer := s.call(second, "POST", "http://"+s.otlp+"/v1/traces", s.spansJSON("others", 0xc)); status != http.StatusOK {
		s.t.Error(status, answer)
	}
	const export = "POST /opentelemetry.proto.collector.trace.v1.TraceService/Export"
	if visited[export] = true; s.export(second, s.spans("others", 0xd)) != nil {
		s.t.Error("spans by gRPC are refused")
	}
	visited["UDP "] = true
	s.datagram(second, documentFor(s.at, datagramID, "others", "0e0e0e0e0e0e0e0e"))
	s.unchanged("sending", before)
	for _, id := range []string{"1-0c0c0c0c-0c0c0c0c0c0c0c0c0c0c0c0c", "1-0d0d0d0d-0d0d0d0d0d0d0d0d0d0d0d0d", datagramID} {
		answer := s.must(second, "POST", "/Traces", m{"TraceIds": []string{id}})
		if s.leaks(visit{route: "POST /Traces"}, answer); !strings.Contains(answer, "others") {
			s.t.Errorf("second does not see its own trace %s: %s", id, answer)
		}
		if answer = s.must(second, "POST", "/console/api/delete", m{"ids": []string{id}}); answer != "{\"traces\":1}\n" {
			s.t.Errorf("second deletes its trace %s: %s", id, answer)
		}
	}
	s.unchanged("deleting", before)
}

// apart checks that each account has separate regions, reservoirs and counts, and that
// neither sees the whole server.
func (s *walk) apart(visited map[string]bool) {
	for account, region := range regions {
		want := fmt.Sprintf(`"GroupARN":"arn:aws:xray:%s:%s:group/Default"`, region, account)
		if answer := s.must(account, "POST", "/GetGroup", m{"GroupName": "Default"}); !strings.Contains(answer, want) {
			s.t.Errorf("want %s: %s", want, answer)
		}
	}
	for _, account := range []string{first, second, first} { // one client each; both get the whole reservoir of their own rule
		if answer := s.must(account, "POST", "/SamplingTargets", s.report()); !strings.Contains(answer, `"ReservoirQuota":10`) {
			s.t.Errorf("%s gets %s", account, answer)
		}
	}
	for _, path := range []string{"/metrics", "/console/api/backup", "/console/api/export"} {
		visited["GET "+path] = true
		for _, account := range []string{first, second, idle} {
			if status, answer := s.call(account, "GET", "http://"+s.http+path, nil); status != http.StatusForbidden || strings.Contains(answer, "secret") {
				s.t.Errorf("%s as %s: %d %.200s", path, account, status, answer)
			}
		}
		if answer := s.must(operator, "GET", path, nil); strings.Contains(answer, first) && path == "/metrics" {
			s.t.Errorf("metrics name an account: %s", answer)
		}
	}
}

// live checks that each account gets only the events of its own segments and refusals.
func (s *walk) live(visited map[string]bool) {
	visited["GET /console/api/live"] = true
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	mine, theirs := s.news(ctx, first), s.news(ctx, second)
	s.must(first, "POST", "/TraceSegments", m{"TraceSegmentDocuments": []string{documentFor(s.at, sharedID, "secretxray", "0f0f0f0f0f0f0f0f"), `{"id":"bad"}`}})
	heard := ""
	for deadline := time.After(10 * time.Second); !strings.Contains(heard, "event: traces") || !strings.Contains(heard, "InvalidId"); {
		select {
		case text := <-mine:
			heard += text
		case <-deadline:
			s.t.Fatalf("who sent them hears %q", heard)
		}
	}
	s.must(second, "POST", "/TraceSegments", m{"TraceSegmentDocuments": []string{documentFor(s.at, datagramID, "others", "0202020202020202")}})
	const last = `"traces":7,` // the number of segments that second has sent
	heard = ""
	for deadline := time.After(10 * time.Second); !strings.Contains(heard, last); {
		select {
		case text := <-theirs:
			heard += text
		case <-deadline:
			s.t.Fatalf("second hears %q", heard)
		}
	}
	select {
	case text := <-theirs:
		heard += text
	case <-time.After(time.Second):
	}
	if strings.Contains(heard, "refused") || !strings.Contains(heard[strings.LastIndex(heard, "data:"):], last) {
		s.t.Errorf("second hears %q", heard)
	}
}
