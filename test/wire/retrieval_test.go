package wire_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// retrieved is a page of ListRetrievedTraces.
type retrieved struct {
	RetrievalStatus, TraceFormat string
	NextToken                    *string
	Traces                       []struct {
		Id       string
		Duration *float64
		Spans    []struct{ Id, Document string }
	}
}

// retrieve starts a retrieval, waits until it is complete and returns its token.
func retrieve(t *testing.T, s *harness.Server, start, end time.Time, ids ...string) string {
	t.Helper()
	var job struct{ RetrievalToken string }
	s.Ask("/StartTraceRetrieval", map[string]any{"TraceIds": append([]string{}, ids...), "StartTime": start.Unix(), "EndTime": end.Unix()}, &job)
	if job.RetrievalToken == "" || len(job.RetrievalToken) > 1020 {
		t.Fatalf("token %q", job.RetrievalToken)
	}
	harness.Eventually(t, "the retrieval is complete", func() bool {
		var page retrieved
		s.Ask("/ListRetrievedTraces", map[string]any{"RetrievalToken": job.RetrievalToken}, &page)
		return page.RetrievalStatus == "COMPLETE"
	})
	return job.RetrievalToken
}

// pages reads all pages of a retrieval.
func pages(t *testing.T, s *harness.Server, token, format string) (out []retrieved) {
	t.Helper()
	ask := map[string]any{"RetrievalToken": token, "TraceFormat": format}
	for {
		var page retrieved
		s.Ask("/ListRetrievedTraces", ask, &page)
		if page.TraceFormat != format || page.RetrievalStatus != "COMPLETE" || len(page.Traces) > 5 {
			t.Fatalf("page %+v", page)
		}
		out = append(out, page)
		if page.NextToken == nil {
			return out
		}
		ask["NextToken"] = *page.NextToken
	}
}

func segmentOf(id, own string, start int64, more string) string {
	return fmt.Sprintf(`{"trace_id":%q,"id":%q,"name":"shop","start_time":%d,"end_time":%d.5%s}`, id, own, start, start, more)
}

func TestTraceRetrieval(t *testing.T) {
	s := harness.Start(t, "--udp", "off", "--otlp-grpc", "off", "--otlp-http", "off")
	now := time.Now().Truncate(time.Second)
	id := func(n int) string { return fmt.Sprintf("1-%08x-%024x", now.Unix(), n) }
	var ids []string
	for n := range 7 {
		ids = append(ids, id(n))
		s.Put(segmentOf(id(n), fmt.Sprintf("%016x", n+1), now.Unix()-int64(60*n), ""))
	}
	long := id(100)
	for n := range 230 {
		parent := ""
		if n > 0 {
			parent = `,"parent_id":"00000000000003e8"`
		}
		s.Put(segmentOf(long, fmt.Sprintf("%016x", 1000+n), now.Unix(), parent))
	}

	// Traces 0 to 3 overlap the window, both ends included; id(50) does not exist.
	token := retrieve(t, s, now.Add(-3*time.Minute), now, append(slices.Clone(ids), id(50))...)
	got := pages(t, s, token, "XRAY")
	if len(got) != 1 || len(got[0].Traces) != 4 || got[0].Traces[3].Id != id(3) {
		t.Fatalf("in the window: %+v", got)
	}

	token = retrieve(t, s, now.Add(-time.Hour), now, append(slices.Clone(ids), long)...)
	got = pages(t, s, token, "XRAY")
	var sizes []string
	spans := map[string]string{}
	for _, page := range got {
		for _, tr := range page.Traces {
			sizes = append(sizes, fmt.Sprint(len(tr.Spans)))
			for _, d := range tr.Spans {
				spans[d.Id] = d.Document
			}
		}
		sizes = append(sizes, "|")
	}
	if want := "1 1 1 1 1 | 1 1 100 | 100 | 30 |"; strings.Join(sizes, " ") != want {
		t.Errorf("pages %v, not %s", sizes, want)
	}
	if len(spans) != 237 {
		t.Errorf("%d spans, not 237", len(spans))
	}
	var batch struct {
		Traces []struct {
			Duration float64
			Segments []struct{ Id, Document string }
		}
	}
	s.Ask("/Traces", map[string]any{"TraceIds": ids[:1]}, &batch)
	if one := batch.Traces[0].Segments[0]; spans[one.Id] != one.Document {
		t.Errorf("document %s, BatchGetTraces has %s", spans[one.Id], one.Document)
	}
	if d := got[0].Traces[0].Duration; d == nil || *d != 0.5 {
		t.Errorf("duration %v", d)
	}

	s.Ask("/CancelTraceRetrieval", map[string]any{"RetrievalToken": token}, &struct{}{})
	if again := pages(t, s, token, "XRAY"); len(again) != len(got) {
		t.Errorf("cancelled after it was complete: %d pages", len(again))
	}
}

func TestTraceRetrieval_graph(t *testing.T) {
	s := harness.Start(t, "--udp", "off", "--otlp-grpc", "off", "--otlp-http", "off")
	now := time.Now().Truncate(time.Second)
	a, b := fmt.Sprintf("1-%08x-%024x", now.Unix(), 1), fmt.Sprintf("1-%08x-%024x", now.Unix(), 2)
	s.Put(fmt.Sprintf(`{"trace_id":%q,"id":"0000000000000001","name":"producer","start_time":%d,"end_time":%d.5}`, a, now.Unix(), now.Unix()),
		fmt.Sprintf(`{"trace_id":%q,"id":"0000000000000002","name":"consumer","start_time":%d,"end_time":%d.5,"links":[{"trace_id":%q,"id":"0000000000000001"}]}`, b, now.Unix()+1, now.Unix()+1, a))
	token := retrieve(t, s, now.Add(-time.Minute), now.Add(time.Minute), b)
	status, _, body := s.Post("/GetRetrievedTracesGraph", map[string]any{"RetrievalToken": token})
	var graph struct {
		RetrievalStatus string
		NextToken       *string
		Services        []struct {
			Service struct {
				ReferenceId int
				Name        string
				Edges       []struct {
					ReferenceId int
					EdgeType    string
				}
			}
			Links []struct {
				ReferenceType, SourceTraceId string
				DestinationTraceIds          []string
			}
		}
	}
	if err := json.Unmarshal(body, &graph); err != nil || status != http.StatusOK || graph.RetrievalStatus != "COMPLETE" {
		t.Fatalf("%d %s %v", status, body, err)
	}
	links := map[string]string{}
	for _, n := range graph.Services {
		links[n.Service.Name] += fmt.Sprint(n.Links)
		for _, e := range n.Service.Edges {
			links[n.Service.Name] += " " + e.EdgeType + ">" + graph.Services[e.ReferenceId].Service.Name
		}
	}
	if links["producer"] != "[] link>consumer" || !strings.Contains(links["consumer"], fmt.Sprintf("[{parent %s [%s]}]", b, a)) {
		t.Errorf("links %v in %s", links, body)
	}
}

func TestTraceRetrieval_errors(t *testing.T) {
	s := harness.Start(t, "--udp", "off", "--otlp-grpc", "off", "--otlp-http", "off")
	token := retrieve(t, s, time.Now().Add(-time.Hour), time.Now())
	const id = "1-66669980-b3d1d84e16ac2f7e15c3bd0a"
	start := func(from, to int, ids ...string) map[string]any {
		return map[string]any{"TraceIds": ids, "StartTime": from, "EndTime": to}
	}
	for _, c := range []struct {
		path    string
		body    map[string]any
		status  int
		name    string
		message string
	}{
		{"/StartTraceRetrieval", start(1, 2, "nonsense"), 400, "InvalidRequestException", "Invalid trace id nonsense: incorrect id format"},
		{"/StartTraceRetrieval", start(1, 2, id, id), 400, "InvalidRequestException", "Containing duplicate trace ids"},
		{"/StartTraceRetrieval", start(2, 1, id), 400, "InvalidRequestException", "End time cannot be earlier than start time"},
		{"/ListRetrievedTraces", map[string]any{"RetrievalToken": "x"}, 404, "ResourceNotFoundException", "Retrieval token does not exist or has expired"},
		{"/GetRetrievedTracesGraph", map[string]any{"RetrievalToken": "x"}, 404, "ResourceNotFoundException", "Retrieval token does not exist or has expired"},
		{"/CancelTraceRetrieval", map[string]any{"RetrievalToken": ""}, 404, "ResourceNotFoundException", "Retrieval token does not exist or has expired"},
		{"/ListRetrievedTraces", map[string]any{"RetrievalToken": token, "NextToken": "x"}, 400, "InvalidRequestException", "Invalid token x"},
		{"/GetRetrievedTracesGraph", map[string]any{"RetrievalToken": token, "NextToken": "x"}, 400, "InvalidRequestException", "Invalid token x"},
	} {
		status, header, body := s.Post(c.path, c.body)
		var answer struct{ Message string }
		if err := json.Unmarshal(body, &answer); err != nil || status != c.status || header.Get("x-amzn-errortype") != c.name || answer.Message != c.message {
			t.Errorf("%s %v: %d %s %s", c.path, c.body, status, header.Get("x-amzn-errortype"), body)
		}
	}
}

// Spans received as OTLP are returned with resource and scope, and the answer can be
// sent again; documents are converted.
func TestTraceRetrieval_otel(t *testing.T) {
	s := harness.Start(t, "--udp", "off", "--otlp-grpc", "off", "--otlp-http", "off")
	now := time.Now().Truncate(time.Second)
	nano := func(ms int64) string { return fmt.Sprint(now.UnixNano() + ms*1e6 + 7) }
	hex := fmt.Sprintf("%08x%024x", now.Unix(), 1)
	const resource = `"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"process.pid","value":{"intValue":"9007199254740993"}}]}`
	const scope = `"scope":{"name":"lib","version":"1.2","attributes":[{"key":"of","value":{"arrayValue":{"values":[{"boolValue":false},{"doubleValue":0.5}]}}}]}`
	span := fmt.Sprintf(`{"traceId":%q,"spanId":"00000000000000a1","name":"GET /","kind":2,"startTimeUnixNano":%q,"endTimeUnixNano":%q,"attributes":[{"key":"blob","value":{"bytesValue":"AP8="}}],"events":[{"timeUnixNano":%q,"name":"e"}],"status":{"message":"no","code":2}}`, hex, nano(0), nano(20), nano(5))
	sent := `{"resourceSpans":[{` + resource + `,"scopeSpans":[{` + scope + `,"spans":[` + span + `],"schemaUrl":"https://opentelemetry.io/schemas/1.26.0"}],"schemaUrl":"https://opentelemetry.io/schemas/1.25.0"}]}`
	send := func(text string) {
		t.Helper()
		res, err := http.Post(s.URL("/v1/traces"), "application/json", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || string(body) != "{}" {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
	}
	send(sent)
	own := fmt.Sprintf("1-%08x-%024x", now.Unix(), 2)
	s.Put(fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000b1","name":"svc","start_time":%d,"end_time":%d.5,"subsegments":[{"id":"00000000000000b2","name":"DynamoDB","namespace":"aws","start_time":%d,"end_time":%d.25}]}`, own, now.Unix(), now.Unix(), now.Unix(), now.Unix()))
	first := fmt.Sprintf("1-%08x-%024x", now.Unix(), 1)
	get := func() map[string]string {
		out := map[string]string{}
		for _, page := range pages(t, s, retrieve(t, s, now.Add(-time.Minute), now.Add(time.Minute), first, own), "OTEL") {
			for _, tr := range page.Traces {
				for _, d := range tr.Spans {
					out[d.Id] = d.Document
				}
			}
		}
		return out
	}
	got := get()
	if len(got) != 3 || got["00000000000000a1"] != sent {
		t.Errorf("%d spans; sent\n%s\ngiven\n%s", len(got), sent, got["00000000000000a1"])
	}
	if d := got["00000000000000b2"]; !strings.Contains(d, `"parentSpanId":"00000000000000b1"`) || !strings.Contains(d, `"kind":3`) || !strings.Contains(d, `{"key":"aws.service","value":{"stringValue":"DynamoDB"}}`) {
		t.Errorf("subsegment: %s", d)
	}
	// Read from disk, it is the same.
	s.Stop()
	s.Restart("--udp", "off", "--otlp-grpc", "off", "--otlp-http", "off")
	if again := get(); !maps.Equal(got, again) {
		t.Errorf("after a restart %v", again)
	}
	// Another server accepts this server's answer.
	other := harness.Start(t, "--udp", "off", "--otlp-grpc", "off", "--otlp-http", "off")
	s = other
	send(got["00000000000000a1"])
	for _, id := range []string{"00000000000000b1", "00000000000000b2"} {
		send(got[id])
	}
	if back := get()["00000000000000a1"]; back != sent {
		t.Errorf("sent on: %s", back)
	}
}
