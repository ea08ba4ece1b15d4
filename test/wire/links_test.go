package wire_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluoro-io/fluoro/test/harness"
)

// Two traces: a shop that sends a message, and a worker that receives it.
const (
	sentTrace     = "66669980000000000000000000000001"
	receivedTrace = "66669980000000000000000000000002"
	sentSpan      = "00000000000000b1"
	receivedSpan  = "00000000000000c1"
)

// xrayID returns a trace id in X-Ray's form.
func xrayID(id string) string { return "1-" + id[:8] + "-" + id[8:] }

// linkAttributes are further attributes of a link.
const linkAttributes = `"messaging.message.id":"m-1","n":2`

// linkedDocuments makes the two traces as documents. Each link is "" for none,
// parent or child, the type of this side's reference.
func linkedDocuments(start int64, sender, receiver string) (sent, received string) {
	link := func(typ, id, span string) string {
		if typ == "" {
			return ""
		}
		return fmt.Sprintf(`,"links":[{"trace_id":%q,"id":%q,"attributes":{"aws.xray.reserved.reference_type":%q,%s}}]`, xrayID(id), span, typ, linkAttributes)
	}
	sent = fmt.Sprintf(`{"trace_id":%q,"id":%q,"name":"shop","start_time":%d,"end_time":%d%s}`, xrayID(sentTrace), sentSpan, start, start+1, link(sender, receivedTrace, receivedSpan))
	received = fmt.Sprintf(`{"trace_id":%q,"id":%q,"name":"worker","start_time":%d,"end_time":%d%s}`, xrayID(receivedTrace), receivedSpan, start+3, start+4, link(receiver, sentTrace, sentSpan))
	return sent, received
}

func linkedSpans(start int64, sender, receiver string) (sent, received string) {
	type side struct {
		service, trace, span string
		start                int64
	}
	shop, worker := side{"shop", sentTrace, sentSpan, start}, side{"worker", receivedTrace, receivedSpan, start + 3}
	span := func(from, to side, typ string) string {
		links := ""
		if typ != "" {
			links = fmt.Sprintf(`,"links":[{"traceId":%q,"spanId":%q,"traceState":"a=b","attributes":[{"key":"aws.xray.reserved.reference_type","value":{"stringValue":%q}},{"key":"messaging.message.id","value":{"stringValue":"m-1"}},{"key":"n","value":{"intValue":"2"}}]}]`, to.trace, to.span, typ)
		}
		return fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":%q}}]},"scopeSpans":[{"spans":[{"traceId":%q,"spanId":%q,"name":"x","kind":2,"startTimeUnixNano":"%d000000000","endTimeUnixNano":"%d000000000"%s}]}]}]}`,
			from.service, from.trace, from.span, from.start, from.start+1, links)
	}
	return span(shop, worker, sender), span(worker, shop, receiver)
}

// Whichever side has the link, or both, there is one edge from the sender to the
// receiver: in any order of arrival, while traces are open and when they are in
// blocks.
func TestLinks_oneEdgeWhicheverEndHasIt(t *testing.T) {
	for _, form := range []string{"documents", "spans"} {
		for _, c := range []struct{ sender, receiver string }{{"", "parent"}, {"child", ""}, {"child", "parent"}} {
			for _, receivedFirst := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s,%s,%s,%v", form, c.sender, c.receiver, receivedFirst), func(t *testing.T) {
					s := harness.Start(t, "--settle", "300ms", "--udp", "off", "--otlp-grpc", "off")
					start := time.Now().Unix() - 10
					var docs [2]string
					if form == "spans" {
						docs[0], docs[1] = linkedSpans(start, c.sender, c.receiver)
					} else {
						docs[0], docs[1] = linkedDocuments(start, c.sender, c.receiver)
					}
					if receivedFirst {
						slices.Reverse(docs[:])
					}
					for _, doc := range docs {
						if form == "documents" {
							s.Put(doc)
							continue
						}
						res, err := http.Post(s.URL("/v1/traces"), "application/json", strings.NewReader(doc))
						if err != nil || res.StatusCode != http.StatusOK {
							t.Fatalf("%v %v", res, err)
						}
						_ = res.Body.Close()
					}
					check := func(state string) {
						t.Helper()
						want := []string{"shop client>shop", "shop link>worker, age 2 × 1", "worker client>worker"}
						if got := edgesOf(s); !slices.Equal(got, want) {
							t.Errorf("%s: edges %q, want %q", state, got, want)
						}
						checkLinks(t, s, state, c.sender, sentTrace)
						checkLinks(t, s, state, c.receiver, receivedTrace)
					}
					check("open")
					harness.Eventually(t, "the traces are in blocks", func() bool { return s.Metric("fluoro_store_open_traces") == 0 })
					check("settled")
					s.Stop()
					s.Restart("--udp", "off", "--otlp-grpc", "off")
					check("after a restart")
				})
			}
		}
	}
}

// edgesOf returns the edges of the service graph as text.
func edgesOf(s *harness.Server) (out []string) {
	type histogram []struct {
		Value float64
		Count int
	}
	var graph struct {
		Services []struct {
			ReferenceId int
			Name        string
			Type        *string
			Edges       []struct {
				ReferenceId               int
				EdgeType                  *string
				ReceivedEventAgeHistogram histogram
			}
		}
	}
	now := time.Now().Unix()
	s.Ask("/ServiceGraph", m{"StartTime": now - 600, "EndTime": now + 60}, &graph)
	for _, n := range graph.Services {
		for _, e := range n.Edges {
			text := n.Name
			if n.Type != nil && *n.Type == "client" {
				text += " client"
			}
			if e.EdgeType != nil {
				text += " " + *e.EdgeType
			}
			text += ">" + graph.Services[e.ReferenceId].Name
			for _, h := range e.ReceivedEventAgeHistogram {
				text += fmt.Sprintf(", age %g × %d", h.Value, h.Count)
			}
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return out
}

// checkLinks looks for a trace's link, with all its attributes, in all answers with
// documents: BatchGetTraces and both formats of retrievals. typ "" means no type.
func checkLinks(t *testing.T, s *harness.Server, state, typ, id string) {
	t.Helper()
	var batch struct {
		Traces []struct{ Segments []struct{ Document string } }
	}
	s.Ask("/Traces", m{"TraceIds": []string{xrayID(id)}}, &batch)
	shown := map[string]string{"BatchGetTraces": batch.Traces[0].Segments[0].Document}
	token := retrieve(t, s, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), xrayID(id))
	for _, format := range []string{"XRAY", "OTEL"} {
		shown[format] = pages(t, s, token, format)[0].Traces[0].Spans[0].Document
	}
	for where, text := range shown {
		got := map[string]any{}
		if where == "OTEL" {
			var doc struct {
				ResourceSpans []struct {
					ScopeSpans []struct {
						Spans []struct {
							Links []struct {
								Attributes []struct {
									Key   string
									Value struct {
										StringValue *string
										IntValue    *string
									}
								}
							}
						}
					}
				}
			}
			if err := json.Unmarshal([]byte(text), &doc); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			for _, l := range doc.ResourceSpans[0].ScopeSpans[0].Spans[0].Links {
				for _, a := range l.Attributes {
					if a.Value.StringValue != nil {
						got[a.Key] = *a.Value.StringValue
					} else if a.Value.IntValue != nil {
						got[a.Key] = json.Number(*a.Value.IntValue)
					}
				}
			}
		} else {
			var doc struct {
				Links []struct{ Attributes map[string]any }
			}
			d := json.NewDecoder(strings.NewReader(text))
			d.UseNumber()
			if err := d.Decode(&doc); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			for _, l := range doc.Links {
				got = l.Attributes
			}
		}
		want := map[string]any{}
		if typ != "" {
			want = map[string]any{"aws.xray.reserved.reference_type": typ, "messaging.message.id": "m-1", "n": json.Number("2")}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s shows the link's attributes %v, want %v", state, where, got, want)
		}
	}
}
