package wire_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	serving "github.com/fluoro-io/fluoro/internal/server"
	"github.com/fluoro-io/fluoro/test/harness"
)

// Accounts of one region: monitor has a sink, source links to it, stranger does not.
const (
	monitor  = "444444444444"
	source   = "555555555555"
	stranger = "787878787878"
)

func init() {
	for _, a := range []string{monitor, source, stranger} {
		regions[a] = "us-west-2"
	}
}

// linkTypes is a request of a link for traces.
var linkTypes = []string{"AWS::XRay::Trace"}

// sink makes a sink of monitor that source may link to.
func (s *walk) sink() string {
	sink := s.field(s.must(monitor, "POST", "/api/oam/CreateSink", m{"Name": "central"}), "Arn")
	s.must(monitor, "POST", "/api/oam/PutSinkPolicy", m{"SinkIdentifier": sink, "Policy": fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":[%q]},"Action":["oam:CreateLink","oam:UpdateLink"],"Resource":"*","Condition":{"ForAllValues:StringEquals":{"oam:ResourceTypes":["AWS::XRay::Trace"]}}}]}`, source)})
	return sink
}

// put sends a segment of an account. Times are seconds after the start of the walk's
// traces.
func (s *walk) put(account string, p part, more m) {
	s.must(account, "POST", "/TraceSegments", m{"TraceSegmentDocuments": []string{s.document(p, more)}})
}

// A source account links to a monitoring account: from then on, and only then, everything
// that the source receives is in all answers of the monitoring account, with the account
// on its nodes. A trace of both is one. The link ends at once.
func TestLinks_showTheTracesOfSourceAccounts(t *testing.T) {
	for name, settle := range map[string]string{"open traces": "1h", "settled traces": "100ms"} {
		t.Run(name, func(t *testing.T) {
			s := &walk{shared: startSharedWith(t, []serving.Option{serving.WithAuthorizer(limits{})}, "--settle", settle), at: time.Now()}
			at := float64(s.at.Unix() - 60)
			s.put(source, part{trace: unknownID, id: "a100000000000001", name: "before", to: 1}, nil)
			sink := s.sink()
			if status, answer := s.call(stranger, "POST", "http://"+s.http+"/api/oam/CreateLink", m{"LabelTemplate": "x", "SinkIdentifier": sink, "ResourceTypes": linkTypes}); status != 403 {
				t.Fatalf("an account without a grant may link: %d %s", status, answer)
			}
			link := s.must(source, "POST", "/api/oam/CreateLink", m{"LabelTemplate": "$AccountName", "SinkIdentifier": sink, "ResourceTypes": linkTypes})
			for _, account := range []string{source, stranger} {
				s.put(account, part{trace: aloneID, id: "a200000000000001", name: "alone-" + account, to: 2}, m{"annotations": m{"of": account}})
			}
			// One trace of two accounts: web calls the shop of the other account.
			s.put(monitor, part{trace: mixedID, id: "a300000000000001", name: "web", to: 4}, m{"subsegments": []m{{"id": "a300000000000002", "name": "shop.example", "namespace": "remote", "start_time": at + 1, "end_time": at + 3}}})
			s.put(source, part{trace: mixedID, id: "a300000000000003", parent: "a300000000000002", name: "shop", from: 1.5, to: 2.5}, m{"annotations": m{"of": source}})
			if settle != "1h" {
				harness.Eventually(t, "all traces are settled", func() bool {
					return strings.Contains(s.must(operator, "GET", "/console/api/status", nil), `"open_traces":0`)
				})
			}
			s.linkedReads(true)
			s.sightOfLinked()
			s.liveOfLinked()
			if list := s.must(source, "POST", "/api/oam/ListLinks", nil); !strings.Contains(list, s.field(link, "Arn")) || !strings.Contains(list, `"Label":"`+source+`"`) {
				t.Errorf("the links of the source: %s", list)
			}
			if list := s.must(monitor, "POST", "/api/oam/ListAttachedLinks", m{"SinkIdentifier": sink}); !strings.Contains(list, s.field(link, "Arn")) {
				t.Errorf("the links to the sink: %s", list)
			}
			s.must(source, "POST", "/api/oam/DeleteLink", m{"Identifier": s.field(link, "Arn")})
			s.linkedReads(false)
			s.must(monitor, "POST", "/api/oam/DeleteSink", m{"Identifier": sink})
		})
	}
}

// linkedReads checks each read of monitor, with a link and without.
func (s *walk) linkedReads(linked bool) {
	s.t.Helper()
	all := []string{mixedID, aloneID, unknownID}
	for _, v := range []visit{
		{route: "POST /Traces", body: m{"TraceIds": all}, seen: "a300000000000003"},
		{route: "POST /Traces", body: m{"TraceIds": all}, seen: "alone-" + source},
		{route: "POST /TraceSummaries", body: s.window(m{}), seen: `{"AccountId":"` + source + `","Name":"shop"`},
		{route: "POST /TraceSummaries", body: s.window(m{"TimeRangeType": "Event"}), seen: aloneID},
		{route: "POST /TraceSummaries", body: s.window(m{"TimeRangeType": "Service"}), seen: aloneID},
		{route: "POST /TraceSummaries", body: s.window(m{"FilterExpression": `service(id(account.id: "` + source + `"))`}), seen: `"Id":"` + mixedID},
		{route: "POST /TraceSummaries", body: s.window(m{"FilterExpression": `edge("web", "shop")`}), seen: `"Id":"` + mixedID},
		{route: "POST /TraceSummaries", body: s.window(m{"FilterExpression": `annotation.of = "` + source + `"`}), seen: `"Id":"` + aloneID},
		{route: "POST /TraceGraph", body: m{"TraceIds": []string{mixedID}}, seen: `"AccountId":"` + source},
		{route: "POST /ServiceGraph", body: s.window(m{}), seen: `"Name":"alone-` + source},
		{route: "POST /ServiceGraph", body: s.window(m{}), seen: `"AccountId":"` + source},
		{route: "POST /TimeSeriesServiceStatistics", body: s.window(m{"EntitySelectorExpression": `service("shop")`}), seen: `"OkCount":`},
		{route: "GET /console/api/trace", query: "/console/api/trace?id=" + aloneID, seen: "alone-" + source},
		{route: "GET /console/api/facets", query: question("facets", s.at, "of", "annotation.of"), seen: source},
		{route: "GET /console/api/series", query: question("series", s.at, "group", "service"), seen: "alone-" + source},
		{route: "GET /console/api/search", query: question("search", s.at, "text", "alone"), seen: aloneID},
	} {
		_, answer := s.make(monitor, v)
		if strings.Contains(answer, v.seen) != linked {
			s.t.Errorf("linked %v: %s %s %v: %q in %s", linked, v.route, v.query, v.body, v.seen, answer)
		}
		if strings.Contains(answer, "before") || strings.Contains(answer, stranger) {
			s.t.Errorf("%s %s %v: shows what is not shared: %s", v.route, v.query, v.body, answer)
		}
	}
	graph := s.must(monitor, "POST", "/ServiceGraph", s.window(m{}))
	if want := map[bool]string{true: `"Name":"shop.example","Names":["shop.example"],"Type":"remote"}]`, false: `"Name":"shop.example","Names":["shop.example"],"ReferenceId"`}[linked]; !strings.Contains(graph, want) {
		s.t.Errorf("linked %v: the call leads elsewhere: %s", linked, graph)
	}
	if graph := s.must(source, "POST", "/ServiceGraph", s.window(m{})); strings.Contains(graph, `"web"`) || strings.Contains(graph, "AccountId\":\"") {
		s.t.Errorf("the source account sees the monitoring account: %s", graph)
	}
}

// liveOfLinked checks that the live stream of monitor tells that source stored something.
func (s *walk) liveOfLinked() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	news := s.news(ctx, monitor)
	s.put(stranger, part{trace: unknownID, id: "a400000000000001", name: "stranger", to: 1}, nil)
	s.put(source, part{trace: mixedID, id: "a400000000000002", parent: "a300000000000002", name: "shop", from: 1.5, to: 2}, nil)
	heard := "" // an event about monitor's own segments may still be on its way
	for deadline := time.After(10 * time.Second); !strings.Contains(heard, `"traces":0,`); {
		select {
		case text := <-news:
			heard += text
		case <-deadline:
			s.t.Fatalf("monitor hears nothing of the linked account: %q", heard)
		}
	}
}

// sightOfLinked checks that sights apply to linked accounts, and that a request may leave
// them out.
func (s *walk) sightOfLinked() {
	s.t.Helper()
	if answer := s.must(monitor+" without service shop", "POST", "/Traces", m{"TraceIds": []string{mixedID}}); !strings.Contains(answer, "1 segment you may not see") || strings.Contains(answer, "a300000000000003") {
		s.t.Errorf("a hidden segment of a linked account: %s", answer)
	}
	if answer := s.must(monitor+" only own", "POST", "/ServiceGraph", s.window(m{})); strings.Contains(answer, source) || strings.Contains(answer, `"alone`) || !strings.Contains(answer, `"web"`) {
		s.t.Errorf("only this account: %s", answer)
	}
}
