package wire_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// page is an answer of GetTraceSummaries.
type page struct {
	TraceSummaries []struct {
		Id               string
		StartTime        float64
		MatchedEventTime *float64
	}
	ApproximateTime      float64
	TracesProcessedCount int
	NextToken            *string
}

func (p *page) ids() (out []string) {
	for _, s := range p.TraceSummaries {
		out = append(out, s.Id)
	}
	return out
}

// numbered returns a document of trace n, which starts at second n.
func numbered(n int, more string) (id, doc string) {
	id = fmt.Sprintf("1-00000000-%024x", n)
	return id, fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"front","start_time":%d,"end_time":%d.5%s}`, id, n+1, n, n, more)
}

// Pages are newest first, contain every trace once, also while new ones arrive, and
// report how far they reach.
func TestPages(t *testing.T) {
	s := harness.Start(t)
	const traces = 250
	var docs, want []string
	for n := 1000; n < 1000+traces; n++ {
		id, doc := numbered(n, "")
		docs, want = append(docs, doc), append(want, id)
	}
	s.Put(docs...)
	slices.Reverse(want)
	request := map[string]any{"StartTime": 900.5, "EndTime": 5000, "FilterExpression": `service("front")`}
	var got []string
	for number := 1; ; number++ {
		var p page
		s.Ask("/TraceSummaries", request, &p)
		got = append(got, p.ids()...)
		last := got[len(got)-1]
		// New traces are newer than all pages, or older than the end of this one.
		_, newer := numbered(2000+number, "")
		s.Put(newer)
		if p.NextToken == nil {
			if p.ApproximateTime != 900 || number != 5 {
				t.Errorf("page %d is the last and reaches back to %v, want page 5 and 900", number, p.ApproximateTime)
			}
			break
		}
		if at := p.TraceSummaries[len(p.TraceSummaries)-1].StartTime; len(p.TraceSummaries) != 50 || p.ApproximateTime != at {
			t.Errorf("page %d has %d traces and reaches back to %v; its last is %s of %v", number, len(p.TraceSummaries), p.ApproximateTime, last, at)
		}
		// The same token gives the same page.
		request["NextToken"] = *p.NextToken
		var again, once page
		s.Ask("/TraceSummaries", request, &once)
		s.Ask("/TraceSummaries", request, &again)
		if !slices.Equal(once.ids(), again.ids()) {
			t.Errorf("page %d changes when asked again", number+1)
		}
		// It is valid only for its own request.
		for member, value := range map[string]any{"StartTime": 901, "EndTime": 5001, "FilterExpression": `service( "front")`, "TimeRangeType": "Service", "NextToken": *p.NextToken + "A"} {
			other := map[string]any{"StartTime": 900.5, "EndTime": 5000, "FilterExpression": `service("front")`, "NextToken": *p.NextToken}
			other[member] = value
			status, _, body := s.Post("/TraceSummaries", other)
			if refusal := fmt.Sprintf(`{"Message":"Invalid token %s"}`, other["NextToken"]); status != http.StatusBadRequest || string(body) != refusal {
				t.Errorf("token with another %s: status %d, %s", member, status, body)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d traces in pages, want %d; or they are in another order", len(got), traces)
	}
}

// With the clock Event, a trace that receives more matches only at its new receipt,
// which MatchedEventTime shows in whole seconds.
func TestClockEvent_isTheLastReceipt(t *testing.T) {
	s := harness.Start(t)
	id, doc := numbered(10, "")
	before := time.Now()
	s.Put(doc)
	time.Sleep(time.Until(before.Truncate(time.Second).Add(1100 * time.Millisecond)))
	between := time.Now().Truncate(time.Second)
	s.Put(strings.Replace(doc, `"id":"000000000000000b"`, `"id":"00000000000000ff","parent_id":"000000000000000b"`, 1))
	ask := func(start, end time.Time) (p page) {
		s.Ask("/TraceSummaries", map[string]any{"StartTime": start.Unix(), "EndTime": end.Unix(), "TimeRangeType": "Event"}, &p)
		return p
	}
	if p := ask(before.Add(-time.Minute), between); len(p.TraceSummaries) != 0 {
		t.Errorf("the first receipt still matches: %+v", p)
	}
	p := ask(between, between.Add(time.Minute))
	if len(p.TraceSummaries) != 1 || p.TraceSummaries[0].Id != id || p.ApproximateTime != float64(between.Unix()) {
		t.Fatalf("the second receipt: %+v", p)
	}
	if at := p.TraceSummaries[0].MatchedEventTime; at == nil || *at < float64(between.Unix()) || *at > float64(time.Now().Unix()) || *at != float64(int64(*at)) {
		t.Errorf("MatchedEventTime is %v, want whole seconds from %d on", at, between.Unix())
	}
}

// A fixed rate returns about that share, the same traces each time.
func TestFixedRate(t *testing.T) {
	s := harness.Start(t)
	var docs []string
	for n := range 400 {
		_, doc := numbered(n, "")
		docs = append(docs, doc)
	}
	s.Put(docs...)
	now := time.Now().Unix()
	ask := func(rate float64) (out []string) {
		request := map[string]any{"StartTime": now - 60, "EndTime": now + 60, "TimeRangeType": "Event", "Sampling": true, "SamplingStrategy": map[string]any{"Name": "FixedRate", "Value": rate}}
		for {
			var p page
			s.Ask("/TraceSummaries", request, &p)
			out = append(out, p.ids()...)
			if p.NextToken == nil {
				slices.Sort(out)
				return out
			}
			request["NextToken"] = *p.NextToken
		}
	}
	half := ask(0.5)
	if len(half) < 120 || len(half) > 280 || !slices.Equal(half, ask(0.5)) {
		t.Errorf("%d of 400 at a rate of 0.5, or others each time", len(half))
	}
	if none, all := ask(0), ask(1); len(none) != 0 || len(all) != 400 {
		t.Errorf("%d at a rate of 0, %d at 1", len(none), len(all))
	}
}

// While the destination is CloudWatchLogs, the indexing rule's share of traces has
// summaries; earlier traces do not change. Every trace can be read by its id.
func TestIndexing_decidesWhatHasASummary(t *testing.T) {
	s := harness.Start(t)
	put := func(from, to int) {
		var docs []string
		for n := from; n < to; n++ {
			_, doc := numbered(n, "")
			docs = append(docs, doc)
		}
		s.Put(docs...)
	}
	now := time.Now().Unix()
	count := func() (n int) {
		request := map[string]any{"StartTime": now - 60, "EndTime": now + 60, "TimeRangeType": "Event"}
		for {
			var p page
			s.Ask("/TraceSummaries", request, &p)
			n += len(p.TraceSummaries)
			if p.NextToken == nil {
				return n
			}
			request["NextToken"] = *p.NextToken
		}
	}
	put(0, 50)
	var answer any
	s.Ask("/UpdateIndexingRule", map[string]any{"Name": "Default", "Rule": map[string]any{"Probabilistic": map[string]any{"DesiredSamplingPercentage": 25}}}, &answer)
	put(50, 100)
	if n := count(); n != 100 {
		t.Errorf("%d of 100 summaries while segments go to XRay", n)
	}
	s.Ask("/UpdateTraceSegmentDestination", map[string]any{"Destination": "CloudWatchLogs"}, &answer)
	put(100, 500)
	n := count()
	if n < 100+50 || n > 100+150 {
		t.Errorf("%d summaries, want those of 100 traces and of about a quarter of 400", n)
	}
	s.Ask("/UpdateTraceSegmentDestination", map[string]any{"Destination": "XRay"}, &answer)
	put(500, 510)
	if after := count(); after != n+10 {
		t.Errorf("%d summaries after going back to XRay, want %d", after, n+10)
	}
	for n := 100; n < 120; n++ {
		if id, _ := numbered(n, ""); len(s.Trace(id)) == 0 {
			t.Errorf("trace %s is not found by its id", id)
		}
	}
}

// The ids of inferred segments stay the same, also after a restart.
func TestInferredSegments_keepTheirIDs(t *testing.T) {
	s := harness.Start(t)
	id, doc := numbered(1, `,"subsegments":[{"id":"00000000000000aa","name":"SQS","namespace":"aws","start_time":1,"end_time":1.25,"aws":{"operation":"SendMessage","queue_url":"https://q"}}]`)
	s.Put(doc)
	ids := func() (out []string) {
		for _, n := range s.Trace(id) {
			n.Each(func(n *harness.Node) { out = append(out, n.ID) })
		}
		return out
	}
	first := ids()
	if len(first) != 4 || slices.Contains(first, "") {
		t.Fatalf("ids are %q, want segment, call, queue and time in it", first)
	}
	again := ids()
	s.Stop()
	s.Restart()
	if restarted := ids(); !slices.Equal(first, again) || !slices.Equal(first, restarted) {
		t.Errorf("ids are %q, then %q, then %q", first, again, restarted)
	}
}

// However many values a histogram has, none is lost, and few are exact.
func TestServiceGraph_histogramsKeepTheirCounts(t *testing.T) {
	for _, n := range []int{100, 1024} {
		s := harness.Start(t)
		var docs []string
		for i := range n {
			docs = append(docs, fmt.Sprintf(`{"trace_id":"1-00000000-%024x","id":"%016x","name":"front","start_time":1,"end_time":%.3f}`, i, i+1, 1+float64(i+1)/1000))
		}
		s.Put(docs...)
		var g apiGraph
		now := time.Now().Unix()
		s.Ask("/ServiceGraph", map[string]any{"StartTime": now - 60, "EndTime": now + 60}, &g)
		for _, v := range g.Services {
			if v.Type != nil {
				continue
			}
			for name, h := range map[string]apiHistogram{"response time": v.ResponseTimeHistogram, "duration": v.DurationHistogram} {
				count, total := 0.0, 0.0
				for _, e := range h {
					count, total = count+e.Count, total+e.Count*e.Value
				}
				want := float64(n*(n+1)) / 2000
				if count != float64(n) || total < want*0.98 || total > want*1.02 || n <= 100 && len(h) != n || len(h) > 400 {
					t.Errorf("%s of %d values: %d entries with %v values, %v s together; want %v s", name, n, len(h), count, total, want)
				}
			}
			if v.SummaryStatistics.TotalCount != float64(n) {
				t.Errorf("%v of %d segments count", v.SummaryStatistics.TotalCount, n)
			}
		}
		if len(g.Services) != 2 {
			t.Errorf("%d nodes, want front and its client", len(g.Services))
		}
	}
}
