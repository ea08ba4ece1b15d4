package local

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluoro-io/fluoro/internal/assemble"
	"github.com/fluoro-io/fluoro/internal/decode/otlp"
	"github.com/fluoro-io/fluoro/internal/trace"
)

// BenchmarkDescribe makes the index entry of a trace of 15 spans of 4 services, with 7
// attributes each.
func BenchmarkDescribe(b *testing.B) {
	var groups []string
	text := func(key, value string) string {
		return fmt.Sprintf(`{"key":%q,"value":{"stringValue":%q}}`, key, value)
	}
	const spans = 15
	for service := range 4 {
		var list []string
		for i := service; i < spans; i += 4 {
			parent := ""
			if i > 0 {
				parent = fmt.Sprintf(`"parentSpanId":"%016x",`, (i-1)/2+1)
			}
			list = append(list, fmt.Sprintf(`{"traceId":"%032x","spanId":"%016x",%s"name":"GET","kind":%d,"startTimeUnixNano":"1000","endTimeUnixNano":"9000","attributes":[%s]}`, 1, i+1, parent, 2+i%2,
				strings.Join([]string{text("http.request.method", "GET"), text("url.full", fmt.Sprintf("http://s%d/items/order-7", service)), `{"key":"http.response.status_code","value":{"intValue":"200"}}`,
					text("server.address", fmt.Sprintf("s%d", service+1)), text("user.id", "user-77"), text("app.order", "order-7xk2j9"), text("app.tier", "gold")}, ",")))
		}
		var resource []string
		for i, key := range []string{"service.name", "service.version", "service.instance.id", "telemetry.sdk.name", "telemetry.sdk.language", "k8s.namespace.name", "k8s.node.name", "host.name", "deployment.environment", "os.type"} {
			resource = append(resource, text(key, fmt.Sprintf("v%d-%d", service, i)))
		}
		groups = append(groups, fmt.Sprintf(`{"resource":{"attributes":[%s]},"scopeSpans":[{"spans":[%s]}]}`, strings.Join(resource, ","), strings.Join(list, ",")))
	}
	got, err := otlp.JSON([]byte(`{"resourceSpans":[`+strings.Join(groups, ",")+`]}`), 1)
	if err != nil || len(got.Segments) != spans {
		b.Fatal(err, got.Message())
	}
	var a assemble.Assembler
	t := a.Trace(got.Segments[0].TraceID, got.Segments)
	sum := a.Outline(t)
	d := describer{keys: newKeys(1000, 1000)}
	src := &source{key: key{"a", t.ID}, parts: []part{{segments: got.Segments}}}
	b.ReportAllocs()
	for b.Loop() {
		d.info(src, t, sum)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/spans, "ns/span")
}

// A sketch is wrong by a fifth at most, and Status names a key that has more values than
// its budget.
func TestKeys_countValues(t *testing.T) {
	k := newKeys(2, 1000)
	u := k.add("a", "id", 1)
	for i := range 100_000 {
		if i%7 == 0 {
			u.see(uint32(i - i/2)) // seen before, except the first ones
		}
		u.see(uint32(i))
		if n := float64(i + 1); i > 100 && (u.estimate() < n*0.8 || u.estimate() > n*1.25) {
			t.Fatalf("about %.0f values of %.0f", u.estimate(), n)
		}
	}
	k.exceed("a", u)
	if k.add("a", "other", 2) == nil || k.add("a", "third", 3) != nil || k.add("b", "first", 1) == nil {
		t.Error("a budget of 2 keys is for each account")
	}
	if st := k.stats(); st.Keys != 3 || len(st.Over) != 1 || st.Over[0].Key != "id" || st.Over[0].Account != trace.Account("a") {
		t.Errorf("%+v", st)
	}
}

// The tokens of one flush are bounded, also for thousands of traces with thousands of
// attributes each; traces beyond have the tokens of Whatever.
func TestDescriber_isBounded(t *testing.T) {
	var list []string
	for i := range 3000 {
		list = append(list, fmt.Sprintf(`{"key":"k%d","value":{"intValue":"1"}}`, i))
	}
	got, err := otlp.JSON([]byte(`{"resourceSpans":[{"resource":{"attributes":[`+strings.Join(list, ",")+
		`]},"scopeSpans":[{"spans":[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000002","name":"a","kind":2,"endTimeUnixNano":"1"}]}]}]}`), 1)
	if err != nil || len(got.Segments) != 1 {
		t.Fatal(err, got.Message())
	}
	tr := assemble.Trace(got.Segments[0].TraceID, got.Segments)
	sum := assemble.Outline(tr)
	d := describer{keys: newKeys(10_000, 1000)}
	src := &source{key: key{"a", tr.ID}, parts: []part{{segments: got.Segments}}}
	made, few := 0, 0
	for range 2 * maxMade / 6000 {
		n := len(d.info(src, tr, sum).Tokens)
		if made += n; n < 10 {
			few++
		}
	}
	if made > maxMade+10_000 || made < maxMade/2 || few == 0 {
		t.Errorf("%d tokens were made, %d traces have few", made, few)
	}
}
